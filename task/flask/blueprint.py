"""All routes of the extension, as one blueprint."""

from __future__ import annotations

import flask

from task.flask import api, events, pages
from task.flask.guard import guard
from task.flask.settings import Settings

__all__ = ["make_blueprint"]


def make_blueprint(settings: Settings) -> flask.Blueprint:
    """The routes below the prefix; each says with `requires` what it asks for. `guard` keeps the others out."""
    blueprint = flask.Blueprint("tasks", __name__, url_prefix=settings.url_prefix, static_folder=None)
    guard(blueprint)
    api.register(blueprint)
    events.register(blueprint)
    pages.register(blueprint)
    return blueprint
