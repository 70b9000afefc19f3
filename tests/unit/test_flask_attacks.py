"""What somebody tried to break the pages and the API with, and what held it up."""

from __future__ import annotations

import datetime
import json
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import flask
import pytest

from task import TaskManager, current_run, every
from task.errors import DeclarationError
from task.flask import FlaskTasks, allow_anyone
from task.stores import MemoryStore

HERE = {"Origin": "http://localhost", "Content-Type": "application/json"}
FORM = {"Origin": "http://localhost"}
TOKEN = "a" * 43

#: What everybody looks at.
SIGHTS = (
    *("/", "/task?name=sample", "/runs", "/timeline", "/recurring", "/journal", "/doctor", "/recurring/export"),
    *("/api/v1/tasks", "/api/v1/tasks/sample", "/api/v1/recurring", "/api/v1/runs", "/api/v1/problems"),
    *("/api/v1/timeline", "/api/v1/upcoming", "/api/v1/metrics", "/api/v1/journal", "/api/v1/doctor"),
)


def application(auth: Any = allow_anyone, **config: Any) -> flask.Flask:
    """An application with one task, that says how its templates are by *options*."""
    app = flask.Flask("app")
    app.config.update({"TASKS_AUTOSTART": False, "TASKS_STORE": MemoryStore(), **config})
    manager = TaskManager([])
    manager.add(lambda **given: None, name="sample", schedule=every(10).minutes)
    FlaskTasks(manager, auth=auth).init_app(app)
    return app


def unseen(app: flask.Flask) -> list[str]:
    """Which of the sights cannot be seen."""
    client = app.test_client()
    return [path for path in SIGHTS if client.get(f"/tasks{path}").status_code >= 500]


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process in the zone where it is the next year first."""
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


# What one person says, and nobody could look at any more.


@pytest.mark.parametrize(
    "until", ["9999-12-31T23:59:59+00:00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"]
)
def test_a_switch_that_no_zone_can_tell_the_end_of_is_refused(until, far_east):
    app = application()
    client = app.test_client()
    client.set_cookie("tasks_token", TOKEN, path="/tasks")
    text = f'{{"version": 1, "entries": [{{"name": "far", "task": "sample", "enabled": false, "until": "{until}"}}]}}'
    asked = {"name": "sample", "until": until, "token": TOKEN}
    statuses = {
        client.post("/tasks/recurring/import", data={"text": text, "token": TOKEN}, headers=FORM).status_code,
        client.post("/tasks/do/disable", data=asked, headers=FORM).status_code,
        client.post("/tasks/api/v1/tasks/sample/disable", json={"until": until}, headers=HERE).status_code,
    }
    assert statuses == {422}
    with pytest.raises(DeclarationError, match="until is a moment from 1970 to 8999"):
        app.extensions["tasks"].manager["sample"].disable(until=datetime.datetime.fromisoformat(until))
    assert unseen(app) == []


def test_a_slot_at_the_end_of_time_is_shown_in_every_zone(far_east):
    app = application()
    words = "once at 9999-12-31 23:59:59 in UTC"
    body = {"name": "last", "task": "sample", "schedule": words}
    assert app.test_client().post("/tasks/api/v1/recurring", json=body, headers=HERE).status_code == 201
    assert unseen(app) == []
    assert app.test_client().get("/tasks/recurring/preview", query_string={"schedule": words}).status_code == 200


@pytest.mark.parametrize("depth", [101, 500, 900])
def test_json_that_nests_deeper_than_its_readers_follow_harms_nobody(depth):
    app = application()
    client = app.test_client()
    deep = "[" * depth + "]" * depth
    entry = client.post(
        "/tasks/api/v1/recurring", headers=HERE, data=f'{{"name":"x","task":"sample","parameters":{{"a":{deep}}}}}'
    )
    assert entry.status_code in (400, 422)
    with app.extensions["tasks"].manager:
        run = client.post("/tasks/api/v1/tasks/sample/trigger", headers=HERE, data=f'{{"parameters":{{"a":{deep}}}}}')
        assert run.status_code == 202
        assert isinstance(run.get_json()["parameters"]["a"], str)
        assert client.get(f"/tasks/run/{run.get_json()['id']}").status_code == 200
    assert unseen(app) == []


def test_who_downloads_a_large_file_needs_no_room_for_it(tmp_path):
    manager = TaskManager([], artifacts=tmp_path)
    app = flask.Flask("app")
    app.config.update(TASKS_AUTOSTART=False, TASKS_STORE=MemoryStore())
    FlaskTasks(manager, auth=allow_anyone).init_app(app)
    manager.add(lambda: current_run().save_artifact("dump.bin", b"x" * 40_000_000).size, name="dump")
    with manager:
        run = manager["dump"].trigger()
        assert run.wait(30)
    path = f"/tasks/api/v1/runs/{run.id}/artifacts/dump.bin"
    tracemalloc.start()
    with app.test_client().get(path) as answer:
        size = sum(len(piece) for piece in answer.response)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    head = app.test_client().head(path)
    assert (size, answer.content_length, head.content_length, head.data) == (40_000_000, 40_000_000, 40_000_000, b"")
    assert peak < 10_000_000


def test_an_import_of_many_entries_does_not_read_all_of_them_for_each(monkeypatch):
    app = application()
    manager = app.extensions["tasks"].manager
    kind, whole = type(manager.store), list[None]()
    entries = kind.entries

    def counted(store: Any, name: str | None = None) -> Any:
        if name is None:
            whole.append(None)
        return entries(store, name)

    listed = [{"name": f"e{number}", "task": "sample", "schedule": "every 5 minutes"} for number in range(30)]
    with manager:
        monkeypatch.setattr(kind, "entries", counted)
        text = json.dumps({"version": 1, "entries": listed})
        client = app.test_client()
        client.set_cookie("tasks_token", TOKEN, path="/tasks")
        answer = client.post("/tasks/recurring/import", data={"text": text, "token": TOKEN}, headers=FORM)
        assert answer.status_code == 303
    assert len(whole) < 10


# What an application has set for its own pages.


@pytest.mark.parametrize(
    "options", [{"autoescape": False}, {"variable_start_string": "[[", "variable_end_string": "]]"}]
)
def test_how_the_application_writes_its_templates_is_not_for_ours(options):
    app = flask.Flask("app")
    app.jinja_options.update(options)
    app.config.update(TASKS_AUTOSTART=False, TASKS_STORE=MemoryStore())
    FlaskTasks(TaskManager([]), auth=allow_anyone).init_app(app)
    answer = app.test_client().get("/tasks/task", query_string={"name": "<script>"}, headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert "&lt;script&gt;" in answer.text
    assert "<script>" not in answer.text
    assert "{{" not in answer.text


@pytest.mark.parametrize("path", ["/", "/task?name=sample", "/runs", "/journal", "/doctor", "/timeline", "/recurring"])
def test_no_page_leads_out_of_where_the_application_is_mounted(path):
    page = application().test_client().get(f"/tasks{path}", environ_overrides={"SCRIPT_NAME": "/shop"}).text
    assert 'hx-get="/shop/tasks' in page
    assert '="/tasks' not in page
