"""The pages: plain HTML that works without a script, and keeps itself up to date with one."""

from __future__ import annotations

import flask

from task.flask.pages import assets, doctor, entry, journal, recurring, run, runs, steering, task, tasks, timeline
from task.flask.pages.frame import note_position

__all__ = ["register"]


def register(blueprint: flask.Blueprint) -> None:
    """Add the pages and their files."""
    blueprint.before_request(note_position)
    for room in (assets, doctor, steering, task, tasks, timeline, run, runs, recurring, entry, journal):
        room.register(blueprint)
