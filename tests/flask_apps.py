"""Applications with tasks, and clients of their API, for the tests."""

from __future__ import annotations

from typing import Any

import flask
from werkzeug.test import TestResponse

from task import TaskManager
from task.flask import FlaskTasks
from task.stores import MemoryStore

__all__ = ["API", "KEY", "Client", "application"]

API = "/tasks/api/v1"
KEY = "a-key-of-32-characters-or-so-0123"


def application(manager: TaskManager, auth: Any = None, **config: Any) -> flask.Flask:
    """An application with the tasks of *manager*, in memory, that starts nothing by itself."""
    app = flask.Flask("app")
    kept = {} if manager.embedding.has_store else {"TASKS_STORE": MemoryStore()}
    app.config.update({"TASKS_AUTOSTART": False, "TASKS_API_KEY": KEY, **kept, **config})
    FlaskTasks(manager, auth=auth).init_app(app)
    return app


class Client:
    """Asks the API, with the key."""

    def __init__(self, app: flask.Flask, **headers: str) -> None:
        self.http = app.test_client()
        self.headers = headers or {"X-API-Key": KEY}

    def ask(self, method: str, path: str, **options: Any) -> TestResponse:
        """One request below ``/api/v1``."""
        return self.http.open(f"{API}{path}", method=method, headers=self.headers, **options)

    def get(self, path: str, status: int = 200) -> Any:
        """What is there, as JSON."""
        answer = self.ask("GET", path)
        assert answer.status_code == status, answer.text
        return answer.get_json()

    def post(self, path: str, body: Any = None, status: int = 200, method: str = "POST") -> Any:
        """What came of it, as JSON."""
        answer = self.ask(method, path, **({} if body is None else {"json": body}))
        assert answer.status_code == status, answer.text
        return answer.get_json() if answer.data else None
