"""``FlaskTasks``: the extension."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

import flask

from task.errors import DeclarationError, DeclarationTypeError, MissingExtraError, TaskError
from task.flask.access import Auth
from task.flask.blueprint import make_blueprint
from task.flask.commands import tasks_group
from task.flask.guard import announce
from task.flask.servers import look_around
from task.flask.settings import Settings
from task.flask.starting import arrange_start
from task.flask.state import State
from task.log import logger
from task.models import TaskManager
from task.overview import Overview

__all__ = ["FlaskTasks"]

#: The managers that an application has, each with what puts its bodies inside that.
_taken: weakref.WeakKeyDictionary[TaskManager, Callable[[], Any]] = weakref.WeakKeyDictionary()
_taking = threading.Lock()


class FlaskTasks:
    """Tasks in Flask applications: they run, they are shown at ``/tasks``, and their bodies are inside the application.

    *manager* has the tasks; without one, those of the module that makes this object are found. *auth* says who may
    enter the pages and the API (`task.flask.Access`): without it, nobody may. With *app* that is set up at once;
    otherwise `init_app` does it, for any number of applications: nothing of them is kept here. The store, unless the
    manager has one, is a SQLite file in the application's instance folder. Settings are ``TASKS_…`` in ``app.config``.

    The manager runs in every process that serves the application, and in no other: docs/howto/flask.md has the rule.

    >>> from flask import Flask
    >>> from task import TaskManager, every
    >>> manager = TaskManager([])
    >>> @manager.task(every(10).minutes)
    ... def fetch_feeds():
    ...     print("fetching into", current_app.name)
    >>> tasks = FlaskTasks(manager)
    >>> def create_app():
    ...     app = Flask("reader")
    ...     tasks.init_app(app)
    ...     return app
    """

    def __init__(
        self, manager: TaskManager | None = None, *, auth: Auth | None = None, app: flask.Flask | None = None
    ) -> None:
        _check(manager, auth)
        self._manager = TaskManager() if manager is None else manager
        self._auth = auth
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask, manager: TaskManager | None = None, *, auth: Auth | None = None) -> None:
        """Give an application its tasks; ``app.extensions["tasks"].manager`` is its manager.

        *manager* and *auth* go before those of the extension. The first application gets the manager itself, each one
        after it a twin (`Embedding.twin`); within an application a task is that application's. Raises
        `DeclarationError` for a setting that cannot be, and for an application that has its tasks already.
        """
        if not isinstance(app, flask.Flask):
            raise DeclarationTypeError(f"init_app() is given a Flask application, not a {type(app).__name__}.")
        if "tasks" in app.extensions:
            raise DeclarationError(f"The application {app.name!r} has its tasks already: call init_app() once.")
        _check(manager, auth)
        settings = Settings.of(app.config)
        situation = look_around(app)
        taken = _take(self._manager if manager is None else manager)
        try:
            _keep(taken, app, settings)
        except TaskError:
            del _taken[taken]
            raise
        _surround(taken, app)
        with contextlib.suppress(TaskError):  # the start tells of it
            taken.tasks  # noqa: B018 - found now: else a call of one before the start would be on no record
        state = State(taken, Overview(taken), settings, auth or self._auth, situation.threads)
        app.extensions["tasks"] = state
        app.register_blueprint(make_blueprint(settings))
        if situation.role != "others":  # who only gives a command is told nothing of a door that it does not open
            announce(state)
        app.cli.add_command(tasks_group())
        arrange_start(app, taken, situation, settings.autostart)


def _check(manager: Any, auth: Any) -> None:
    if isinstance(manager, flask.Flask):
        raise DeclarationTypeError("FlaskTasks is given a TaskManager first. Give the application with app=.")
    if manager is not None and not isinstance(manager, TaskManager):
        raise DeclarationTypeError(f"FlaskTasks is given a TaskManager, not a {type(manager).__name__}.")
    if auth is not None and not callable(auth):
        raise DeclarationTypeError(
            f"auth is a function that gets the request and says what the person may do, not a {type(auth).__name__}."
        )


def _take(manager: TaskManager) -> TaskManager:
    """The manager for one more application: itself for the first."""
    with _taking:
        if manager in _taken:
            manager = manager.embedding.twin(without=_taken[manager]())
        _taken[manager] = _nothing
    manager.embedding.defer_to(_current)
    return manager


def _nothing() -> None:
    """In the place of a reference to what has gone."""


def _surround(manager: TaskManager, app: flask.Flask) -> None:
    """Put the bodies of a manager inside its application."""

    def inside() -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext() if _is_current(app) else app.app_context()

    manager.embedding.surround(inside)
    _taken[manager] = weakref.ref(inside)  # the manager keeps it: from here it would keep itself


def _is_current(app: flask.Flask) -> bool:
    """Whether this is a context of that application."""
    current: Any = flask.current_app
    return flask.has_app_context() and current._get_current_object() is app


def _current() -> TaskManager | None:
    """That of the application whose context this is."""
    state: State | None = flask.current_app.extensions.get("tasks") if flask.has_app_context() else None
    return None if state is None else state.manager


def _keep(manager: TaskManager, app: flask.Flask, settings: Settings) -> None:
    """Give a manager the store of its application."""
    if not manager.embedding.has_store:
        store = _default_store(app) if settings.store is None else settings.store
        manager.embedding.keep_in(store, settings.namespace)
    elif settings.store is not None:
        raise DeclarationError(
            "The manager was made with store=, and TASKS_STORE names one as well. Leave one of the two out."
        )


def _default_store(app: flask.Flask) -> str:
    try:
        from sqlalchemy.engine import URL
    except ImportError as error:
        raise MissingExtraError.of("flask", "The record in the instance folder") from error
    try:
        os.makedirs(app.instance_path, exist_ok=True)
    except OSError as error:
        logger.error(
            "The folder for the tasks of the application %r cannot be made (%s). Give it a store: set TASKS_STORE.",
            app.name,
            error,
        )
    path = os.path.join(app.instance_path, "tasks.db")
    return URL.create("sqlite", database=path).render_as_string(hide_password=False)
