"""What a page tells first: what somebody's last action has led to."""

from __future__ import annotations

from typing import Any, NamedTuple

import flask
from werkzeug.wrappers import Response

from task.flask.state import current_state

__all__ = ["TOLD", "Told", "go", "told_of_request"]


class Told(NamedTuple):
    """One line at the top of a page."""

    text: str
    #: It was refused.
    bad: bool = False


#: By the key in the address, `?told=`: no text of an address is ever shown as ours.
TOLD: dict[str, Told] = {
    "enabled": Told("It is on."),
    "disabled": Told("It is off: its slots are skipped, and recorded so, until it is on again."),
    "paused": Told("All tasks are paused: their slots are skipped, and recorded so, until they are resumed."),
    "resumed": Told("All tasks are resumed."),
    "triggered": Told("It is asked for: this is its run."),
    "cancelled": Told("The run is asked to stop."),
    "ended": Told("There was nothing to cancel: the run had ended.", bad=True),
    "added": Told("The recurring entry is made."),
    "updated": Told("The recurring entry is changed."),
    "removed": Told("The recurring entry is removed. Its runs stay on record."),
    "imported": Told("The recurring entries are imported."),
}


def told_of_request() -> Told | None:
    """What the address of this page says, if it is one of ours."""
    return TOLD.get(flask.request.args.get("told", ""))


def go(endpoint: str, told: str | None = None, **values: Any) -> Response:
    """After an action: the page to look at next, and what it tells first, a key of `TOLD`."""
    current_state().overview.forget()  # it is to show what was just done
    if told is not None:
        values["told"] = told
    return flask.redirect(flask.url_for(endpoint, **values), 303)
