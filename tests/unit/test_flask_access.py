"""Who may enter: the guard before every route of the extension."""

from __future__ import annotations

import logging
from typing import Any

import flask
import pytest

from task import TaskManager
from task.flask import Access, FlaskTasks, allow_anyone, allow_local
from task.flask.access import may_of, requires
from task.flask.servers import Situation
from task.stores import MemoryStore

HERE = {"Origin": "http://localhost", "Content-Type": "application/json"}
KEY = "a-key-of-32-characters-or-so-0123"


def application(auth: Any = None, **config: Any) -> flask.Flask:
    """An application with one task that is enabled."""
    app = flask.Flask("app")
    app.config.update({"TASKS_AUTOSTART": False, "TASKS_STORE": MemoryStore(), **config})
    manager = TaskManager([])
    manager.add(lambda: None, name="sample")
    FlaskTasks(manager, auth=auth).init_app(app)
    return app


def ours(app: flask.Flask) -> list[tuple[Any, Any]]:
    """Every rule below the prefix, whoever made it, and what its view asks of who calls it."""
    rules = [rule for rule in app.url_map.iter_rules() if f"{rule.rule}/".startswith("/tasks/")]
    return [(rule, may_of(app.view_functions[rule.endpoint])) for rule in rules]


def test_every_route_says_who_may_call_it():
    rules = ours(application())
    assert len(rules) > 60
    assert {rule.endpoint.partition(".")[0] for rule, _ in rules} == {"tasks"}  # the guard is before each
    assert [rule.rule for rule, may in rules if may not in ("nothing", "view", "operate")] == []
    assert [rule.rule for rule, may in rules if may == "nothing"] == ["/tasks/api/v1/health"]
    safe = {"GET", "HEAD", "OPTIONS"}
    for rule, may in rules:
        if rule.endpoint != "tasks.unknown":  # has all methods, and does nothing
            assert may == "operate" or rule.methods <= safe, rule.rule


@pytest.mark.parametrize("config", [{"auth": lambda _: None}, {"TASKS_API_KEY": KEY}])
def test_a_stranger_is_refused_on_every_route_by_every_method(config):
    app = application(**config)
    client = app.test_client()
    methods = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW")
    with app.test_request_context():
        fill = {"name": "sample", "id": "1", "action": "run", "to": "on", "anything": "none"}
        urls = {
            flask.url_for(rule.endpoint, **{name: fill[name] for name in rule.arguments})
            for rule, _ in ours(app)
            if rule.endpoint != "tasks.unknown"
        }
    answered = set()
    for url in sorted(urls):
        for path in (url, f"{url}/", url.replace("/tasks/", "/tasks//", 1), f"{url}%2F", f"{url}/../x"):
            for method in methods:
                answer = client.open(path, method=method, headers={"X-HTTP-Method-Override": "GET"})
                if answer.status_code not in (401, 403):
                    answered.add((path, method, answer.text))
    bare = '{"status":"unhealthy"}'
    assert answered == {("/tasks/api/v1/health", "GET", bare), ("/tasks/api/v1/health", "HEAD", "")}


def test_a_route_that_does_not_say_is_refused_to_everybody(caplog):
    app = application(allow_anyone)
    app.add_url_rule("/tasks/new", "tasks.new", lambda: "secret")
    answer = app.test_client().get("/tasks/new", base_url="http://localhost")
    assert answer.status_code == 403
    assert "says not who may call it" in caplog.text


@pytest.mark.parametrize("path", ["/tasks", "/tasks/", "/tasks/api/v1/tasks", "/tasks/api/v1/health", "/tasks//x"])
def test_without_auth_and_key_nobody_enters(path):
    client = application().test_client()
    assert {client.open(path, method=method).status_code for method in ("GET", "POST", "DELETE", "BREW")} == {403}


@pytest.mark.parametrize("path", ["/tasks/api/v1/tasks", "/tasks/api/v1/none"])
def test_a_stranger_is_told_nothing(path):
    client = application(TASKS_API_KEY=KEY).test_client()
    answer = client.get(path)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="tasks"'
    assert answer.mimetype == "application/problem+json"
    assert answer.get_json()["detail"] == "You may not enter."


@pytest.mark.parametrize(
    "header", [{"Authorization": f"Bearer {KEY}"}, {"Authorization": f"bearer  {KEY}"}, {"X-API-Key": KEY}]
)
def test_the_key_opens(header):
    assert application(TASKS_API_KEY=KEY).test_client().get("/tasks/api/v1/none", headers=header).status_code == 404


@pytest.mark.parametrize(
    "header",
    [{"Authorization": "Bearer no"}, {"Authorization": f"Basic {KEY}"}, {"X-API-Key": KEY[:-1]}, {"X-API-Key": ""}],
)
def test_another_key_does_not(header):
    assert application(TASKS_API_KEY=KEY).test_client().get("/tasks/api/v1/none", headers=header).status_code == 401


def test_what_auth_cannot_say_is_nothing(caplog):
    def broken(request: flask.Request) -> Any:
        raise RuntimeError("no database")

    for auth in (broken, lambda _: True, lambda _: "admin", lambda _: Access("view", 7), lambda _: None):  # type: ignore[arg-type]
        assert application(auth).test_client().get("/tasks/").status_code == 403
    assert "no database" in caplog.text
    assert "answered with a bool that is no access" in caplog.text


@pytest.mark.parametrize(
    ("environ", "headers", "base_url", "status"),
    [
        ({}, {}, "http://localhost", 404),
        ({}, {}, "http://127.0.0.1:5000", 404),
        ({}, {}, "http://[::1]:5000", 404),
        ({"REMOTE_ADDR": "::1"}, {}, "http://localhost", 404),
        ({"REMOTE_ADDR": "::ffff:127.0.0.1"}, {}, "http://localhost", 404),
        ({"REMOTE_ADDR": "10.0.0.7"}, {}, "http://localhost", 403),
        ({"REMOTE_ADDR": ""}, {}, "http://localhost", 403),
        ({}, {}, "http://rebound.example", 403),
        ({}, {}, "http://localhost.example", 403),
        ({}, {"Host": "rebound.example@localhost"}, "http://localhost", 403),
        ({}, {"Host": "localhost."}, "http://localhost", 403),
        ({}, {"Host": ""}, "http://localhost", 403),
        ({}, {"X-Forwarded-For": "127.0.0.1"}, "http://localhost", 403),
        ({}, {"X-Forwarded-Host": "localhost"}, "http://localhost", 403),
        ({}, {"Forwarded": "for=127.0.0.1"}, "http://localhost", 403),
        ({}, {"X-Real-IP": "127.0.0.1"}, "http://localhost", 403),
        ({}, {"Via": "1.1 proxy"}, "http://localhost", 403),
        ({"REMOTE_ADDR": "10.0.0.7"}, {"X-Forwarded-For": "127.0.0.1"}, "http://localhost", 403),
    ],
)
def test_allow_local_lets_in_who_is_here_and_came_through_no_proxy(environ, headers, base_url, status):
    client = application(allow_local).test_client()
    answer = client.get("/tasks/api/v1/none", environ_overrides=environ, headers=headers, base_url=base_url)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("auth", "told"),
    [
        (None, "Nobody may enter /tasks"),
        (allow_local, "Anybody on this machine may see and steer"),
        (allow_anyone, "ANYBODY who reaches this server may see and steer"),
    ],
)
def test_an_open_door_is_told_loudly(auth, told, caplog):
    application(auth)
    (record,) = [record for record in caplog.records if record.name == "task"]
    assert record.levelno == logging.WARNING
    assert told in record.getMessage()


def test_a_command_that_does_not_serve_is_not_told_who_may_enter(monkeypatch, caplog):
    monkeypatch.setattr("task.flask.extension.look_around", lambda app: Situation("others", "a command"))
    application(allow_local)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(("method", "status"), [("GET", 302), ("HEAD", 302), ("DELETE", 403)])
def test_the_address_of_the_pages_without_its_slash_leads_to_them(method, status):
    answer = application(allow_anyone).test_client().open("/tasks", method=method, headers=HERE)
    assert (answer.status_code, answer.location) == (status, "/tasks/" if status == 302 else None)


def test_a_key_that_can_be_guessed_is_warned_of(caplog):
    application(TASKS_API_KEY="sesame")
    assert caplog.messages == ["TASKS_API_KEY can be guessed: give it 20 random characters or more"]


def test_what_reports_of_errors_show_of_the_settings_is_no_secret():
    state = application(TASKS_API_KEY=KEY).extensions["tasks"]
    store = f"postgresql://app:{KEY}@db.example/shop"
    assert KEY not in repr(state)
    assert KEY not in repr(state.settings._replace(store=store))


def test_the_application_may_take_less_than_we_do():
    client = application(allow_local, MAX_CONTENT_LENGTH=1_000).test_client()
    assert client.post("/tasks/api/v1/recurring", headers=HERE, data=b" " * 1_001).status_code == 413


def test_every_answer_has_the_headers_that_protect_it():
    client = application(allow_local).test_client()
    for path in ("/tasks/none", "/tasks/api/v1/none"):
        headers = client.get(path).headers
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("settings", [{"DEBUG": True}, {"TESTING": True}, {"PROPAGATE_EXCEPTIONS": True}, {}])
def test_an_unexpected_error_is_told_by_an_id_and_logged_with_its_traceback(settings, caplog):
    app = application(allow_local, **settings)

    @requires("view")
    def broken() -> str:
        raise RuntimeError("secret detail")

    app.add_url_rule("/tasks/api/v1/broken", "tasks.broken", broken)
    answer = app.test_client().get("/tasks/api/v1/broken")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    key = answer.get_json()["instance"].removeprefix("urn:uuid:")
    assert f"Error {key} in the answer to GET '/tasks/api/v1/broken'" in caplog.text
    assert "RuntimeError: secret detail" in caplog.text
