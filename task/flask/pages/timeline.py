"""The page of what ran and what is to come, side by side."""

from __future__ import annotations

from typing import Literal

import flask

from task.flask.access import requires
from task.flask.pages.drawing import draw
from task.flask.pages.frame import render
from task.flask.state import current_state

__all__ = ["register"]

#: How many tasks one page shows.
LIMIT = 40

#: How many rows the table has that says the same.
ROWS = 500


@requires("view")
def timeline_page() -> str:
    """The last and the next 24 hours, or 7 days."""
    overview = current_state().overview
    span: Literal["day", "week"] = "week" if flask.request.args.get("span") == "week" else "day"
    tag = flask.request.args.get("tag") or None
    cursor = flask.request.args.get("cursor") or None
    page = overview.tasks(tag=tag, limit=LIMIT, cursor=cursor)
    line = overview.timeline(span, names=[card.name for card in page.cards])
    drawing = draw(line)
    listed = [(row.task, rect.bar) for row in drawing.rows for rect in row.rects]
    return render(
        "timeline.html",
        "Timeline",
        "tasks.timeline_page",
        line=line,
        drawing=drawing,
        listed=sorted(listed, key=lambda one: (one[1].start, one[0]))[:ROWS],
        cut=len(listed) > ROWS,
        span=span,
        tag=tag,
        tags=page.tags,
        cursor=cursor,
        following=page.cursor,
        total=page.total,
        most=max((count for _, _, count in line.overlaps), default=0),
    )


def register(blueprint: flask.Blueprint) -> None:
    """Add the page."""
    blueprint.add_url_rule("/timeline", "timeline_page", timeline_page)
