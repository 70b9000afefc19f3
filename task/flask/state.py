"""What the extension keeps of one application: ``app.extensions["tasks"]``."""

from __future__ import annotations

import dataclasses
from typing import cast

import flask

from task.flask.access import Auth
from task.flask.settings import Settings
from task.models import TaskManager
from task.overview import Overview

__all__ = ["State", "current_state"]


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """One application's manager, and what serves it."""

    manager: TaskManager
    overview: Overview
    settings: Settings
    #: Says who may enter; None: nobody.
    auth: Auth | None
    #: How many requests the server of this process answers at once; None where that is not known, or has no bound.
    server_threads: int | None = None


def current_state() -> State:
    """That of the application whose request or context this is."""
    return cast(State, flask.current_app.extensions["tasks"])
