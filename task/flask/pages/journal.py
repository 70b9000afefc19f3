"""The page of who has steered what."""

from __future__ import annotations

import flask

from task.errors import UnknownTaskError
from task.flask.access import requires
from task.flask.pages.frame import render
from task.flask.state import current_state
from task.stores import JournalEntry

__all__ = ["register"]

#: How many entries one page shows, and how many pages can be turned: 1 000 entries can be asked for at once.
LIMIT = 50
PAGES = 19


@requires("view")
def journal_page() -> str | tuple[str, int]:
    """Who has steered what, newest first."""
    task = flask.request.args.get("task", "")
    number = _page_number(flask.request.args.get("page", ""))
    wrong = None
    entries: list[JournalEntry] = []
    try:
        entries = current_state().manager.journal(task or None, number * LIMIT + 1)
    except UnknownTaskError as error:
        wrong = str(error)
    body = render(
        "journal.html",
        "Journal",
        "tasks.journal_page",
        entries=entries[(number - 1) * LIMIT : number * LIMIT],
        task=task,
        wrong=wrong,
        number=number,
        more=len(entries) > number * LIMIT and number < PAGES,
    )
    return (body, 422) if wrong else body


def _page_number(text: str) -> int:
    return min(int(text), PAGES) if text.isascii() and text.isdigit() and 0 < len(text) < 9 and int(text) else 1


def register(blueprint: flask.Blueprint) -> None:
    """Add the page."""
    blueprint.add_url_rule("/journal", "journal_page", journal_page)
