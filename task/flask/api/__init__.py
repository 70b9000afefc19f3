"""The API below ``/api/v1``: endpoints as data, and the OpenAPI document that is written from them."""

from __future__ import annotations

from typing import Any

import flask
from flask.sansio.blueprints import BlueprintSetupState

from task.flask.api.commands import add_command_task
from task.flask.api.endpoints import Endpoint, view_of
from task.flask.api.openapi import document_of
from task.flask.api.recurring import RECURRING
from task.flask.api.runs import RUNS
from task.flask.api.tasks import TASKS
from task.flask.api.whole import WHOLE
from task.flask.state import current_state

__all__ = ["ENDPOINTS", "register"]

PREFIX = "/api/v1"


def show_openapi() -> Any:
    """Show this document."""
    base = f"{flask.request.root_path.rstrip('/')}{current_state().settings.url_prefix}{PREFIX}"
    return document_of(ENDPOINTS, base)


#: All of them, but for the stream of events.
ENDPOINTS = (*TASKS, *RUNS, *RECURRING, *WHOLE, Endpoint("GET", "/openapi.json", show_openapi, dict[str, Any]))


def register(blueprint: flask.Blueprint) -> None:
    """Add its routes."""
    for one in ENDPOINTS:
        blueprint.add_url_rule(
            f"{PREFIX}{one.path}", one.name, view_of(one), methods=[one.method], provide_automatic_options=False
        )
    blueprint.record(_allow_commands)


def _allow_commands(setup: BlueprintSetupState) -> None:
    add_command_task(setup.app.extensions["tasks"])
