"""The page of all runs."""

from __future__ import annotations

from typing import Any

import flask

from task.errors import ParameterError, UnknownTaskError
from task.flask.access import requires
from task.flask.pages.frame import render
from task.flask.pages.kinds import moment_of
from task.flask.state import current_state
from task.runs import RunState
from task.stores import RunPage

__all__ = ["register"]

#: How many runs one page shows.
LIMIT = 50

#: What is often looked for, and which states that is; `state=` in the address may name one of these, or a state.
KINDS: dict[str, tuple[str, ...]] = {
    "under way": ("queued", "running", "retrying"),
    "failed": ("failed", "timed_out"),
    "lost": ("lost",),
    "did not run": ("skipped", "missed"),
}

FIELDS = ("task", "state", "tag", "since", "until", "parent", "cursor")


@requires("view")
def runs_page() -> str | tuple[str, int]:
    """The runs that are asked for, newest first."""
    given = {key: flask.request.args.get(key, "") for key in FIELDS}
    page, wrong = _found(given)
    body = render(
        "runs.html",
        "Runs",
        "tasks.runs_page",
        page=page,
        given=given,
        wrong=wrong,
        kinds=KINDS,
        states=[str(state) for state in RunState],
        tags=_tags(),
        filtered=any(given[key] for key in FIELDS if key != "cursor"),
    )
    return (body, 422) if wrong else body


def _found(given: dict[str, str]) -> tuple[RunPage, dict[str, str]]:
    """The runs; and what was wrong with which field."""
    wrong: dict[str, str] = {}
    asked: dict[str, Any] = {key: given[key] or None for key in ("tag", "parent", "cursor")}
    for key in ("since", "until"):
        try:
            asked[key] = moment_of(given[key]) if given[key] else None
        except ValueError:
            wrong[key] = "This is no date and time: write it as 2026-05-04T12:00."
    if wrong:
        return RunPage(), wrong
    state: Any = KINDS.get(given["state"], given["state"] or None)
    try:
        return current_state().manager.runs(given["task"] or None, state, LIMIT, **asked), wrong
    except UnknownTaskError as error:
        return RunPage(), {"task": str(error)}
    except ParameterError as error:
        return RunPage(), {"cursor" if given["cursor"] else "state": str(error)}


def _tags() -> list[str]:
    return sorted({tag for task in current_state().manager.tasks for tag in task.spec.tags})


def register(blueprint: flask.Blueprint) -> None:
    """Add the page."""
    blueprint.add_url_rule("/runs", "runs_page", runs_page)
