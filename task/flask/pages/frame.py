"""What all pages share: the frame around them, and how they are rendered."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import flask

from task.flask.guard import may
from task.flask.origin import form_fields, host_token
from task.flask.pages.assets import asset_url
from task.flask.pages.marks import MARKS
from task.flask.pages.strips import strip
from task.flask.pages.texts import FILTERS
from task.flask.pages.told import Told, told_of_request
from task.flask.problems import in_api
from task.flask.state import current_state
from task.flask.templating import environment
from task.models import Health

__all__ = ["SECTIONS", "Told", "note_position", "render", "render_part"]

environment.filters.update(FILTERS, strip=strip)
environment.globals.update(MARKS, asset=asset_url, form_fields=form_fields, host_token=host_token)

#: The pages that are named at the top of each.
SECTIONS: list[tuple[str, str]] = [
    ("tasks.tasks_page", "Tasks"),
    ("tasks.timeline_page", "Timeline"),
    ("tasks.runs_page", "Runs"),
    ("tasks.recurring_page", "Recurring"),
    ("tasks.journal_page", "Journal"),
]


class HealthPill(NamedTuple):
    """The manager in one word."""

    kind: str
    text: str


def note_position() -> None:
    """Before anything is read for a page: its stream of events goes on from here, and nothing between is lost."""
    if not in_api() and flask.request.endpoint != "tasks.asset":
        flask.g.tasks_position = current_state().overview.position


def render(template: str, heading: str, section: str, *, told: Told | None = None, **values: Any) -> str:
    """One page in its frame."""
    state = current_state()
    health = state.overview.health()
    return environment.get_template(f"tasks/{template}").render(
        heading=heading,
        section=section,
        sections=SECTIONS,
        title=state.settings.title,
        told=told or told_of_request(),
        health=_pill(health),
        events=flask.url_for("tasks.events", since=flask.g.tasks_position),
        now=state.manager.clock.now(),
        zone=time.tzname[time.localtime().tm_isdst],
        may_operate=may("operate"),
        address=f"{flask.request.script_root}{flask.request.full_path}",
        **values,
    )


def _pill(health: Health) -> HealthPill:
    if not health:
        return HealthPill("unhealthy", health.state)
    return HealthPill("healthy", "runs elsewhere" if health.state == "stopped" else health.state)


def render_part(template: str, **values: Any) -> str:
    """A part of a page, to be put into one that is shown."""
    now = current_state().manager.clock.now()
    return environment.get_template(f"tasks/{template}").render(now=now, **values)
