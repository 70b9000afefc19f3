"""The page of what goes wrong with the processes, the store and the tasks."""

from __future__ import annotations

import flask

from task.doctor import diagnose
from task.flask.access import requires
from task.flask.pages.frame import render
from task.flask.state import current_state

__all__ = ["register"]

#: The states of the pages that have the colour and the shape of these.
_KINDS = {"problem": "failed", "warning": "missed", "not known": "idle", "well": "succeeded"}


@requires("view")
def doctor_page() -> str:
    """What goes wrong, with its cure, the worst first; and what is well."""
    state = current_state()
    found = diagnose(state.manager, state.overview)
    return render(
        "doctor.html",
        "Doctor",
        "tasks.doctor_page",
        wrong=[one for one in found if one.state != "well"],
        well=[one for one in found if one.state == "well"],
        kinds=_KINDS,
        here=flask.url_for("tasks.doctor_page"),
    )


def register(blueprint: flask.Blueprint) -> None:
    """Add the page."""
    blueprint.add_url_rule("/doctor", "doctor_page", doctor_page)
