"""The rows of the list of tasks: each drawn once in a second, and not for everybody who looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flask
from markupsafe import Markup

from task.flask.guard import may
from task.flask.kept import Kept
from task.flask.origin import form_fields
from task.flask.pages.frame import render_part
from task.flask.state import State
from task.overview import TaskCard

__all__ = ["rows_of"]

#: Where the hidden fields of a form go, which are another's for each who asks. No text of a task has such a character:
#: a ``<`` of theirs is escaped.
_FIELDS = Markup("<fields>")

_drawn: Kept[Markup] = Kept(most=1_000)


class _Links(NamedTuple):
    """What the addresses in a row begin with."""

    task: str
    run: str
    tag: str
    enable: str
    disable: str


def rows_of(state: State, cards: Sequence[TaskCard], wanted: Mapping[str, str | None]) -> list[Markup]:
    """The rows of tasks; *wanted* is which tasks were asked for, to come back to them."""
    url_for, second = flask.url_for, int(state.manager.clock.now().timestamp())  # times are told to the second
    links = _Links(
        url_for("tasks.task_page", name=""),
        url_for("tasks.run_page", id="0")[:-1],
        url_for("tasks.tasks_page", tag=""),
        *(url_for("tasks.steer", action=action) for action in ("enable", "disable")),
    )
    kept = tuple((key, text) for key, text in wanted.items() if text)
    operates = may("operate")
    fields = form_fields() if operates and cards else Markup()
    told = {"links": links, "wanted": kept, "may_operate": operates}
    return [_row_of(card, second, {**told, "after": _after(state, card)}).replace(_FIELDS, fields) for card in cards]


def _row_of(card: TaskCard, second: int, told: Mapping[str, Any]) -> Markup:
    """One of them, as it was drawn in this second."""
    return _drawn.of(
        card, (second, *told.values()), lambda: Markup(render_part("row.html", card=card, fields=_FIELDS, **told))
    )


def _after(state: State, card: TaskCard) -> tuple[str, ...]:
    """The tasks that it comes after, where that is all that starts it."""
    if card.schedules or card.name not in state.manager:
        return ()
    return tuple(state.manager[card.name].spec.policy.after)
