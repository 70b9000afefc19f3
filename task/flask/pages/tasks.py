"""The page of all tasks."""

from __future__ import annotations

from typing import Any

import flask

from task.flask.access import requires
from task.flask.pages.frame import render
from task.flask.pages.rows import rows_of
from task.flask.state import current_state

__all__ = ["register"]


@requires("view")
def tasks_page() -> str:
    """All tasks, and first what wants attention."""
    state = current_state()
    args = flask.request.args
    wanted: dict[str, Any] = {key: args.get(key) or None for key in ("text", "tag", "doing", "cursor")}
    page, problems = state.overview.board(**wanted)
    return render(
        "tasks.html",
        "Tasks",
        "tasks.tasks_page",
        page=page,
        rows=rows_of(state, page.cards, wanted),
        problems=problems,
        wanted=wanted,
        filtered=any(wanted[key] for key in ("text", "tag", "doing")),
        paused=page.paused,
        here=flask.url_for("tasks.tasks_page", **_kept(wanted)),
    )


def _kept(wanted: dict[str, str | None]) -> dict[str, Any]:
    return {key: text for key, text in wanted.items() if text}


def register(blueprint: flask.Blueprint) -> None:
    """Add the page."""
    blueprint.add_url_rule("/", "tasks_page", tasks_page)
