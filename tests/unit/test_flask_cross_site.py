"""What another site makes a browser send changes nothing: every unsafe route, in every shape."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import flask
import pytest
from flask_apps import API, KEY, Client, application
from flask_wtf import CSRFProtect
from werkzeug.test import Client as HttpClient

from task import TaskManager
from task.flask import Access, allow_anyone, allow_local
from task.flask.access import requires
from task.flask.origin import form_fields
from task.stores import MemoryStore
from task.testing import VirtualClock

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
HERE = {"Origin": "http://localhost"}

#: What a page of another site can make a browser send, and what a program without the key sends.
SHAPES: dict[str, dict[str, str]] = {
    "a form": {**FORM, "Origin": "https://evil.example"},
    "a form of an old browser": FORM,
    "a form with a file": {"Content-Type": "multipart/form-data; boundary=x", "Origin": "https://evil.example"},
    "plain text": {"Content-Type": "text/plain", "Origin": "https://evil.example"},
    "plain text that looks like JSON": {"Content-Type": "text/plain"},
    "nothing": {},
    "JSON without an origin": JSON,
    "JSON from elsewhere": {**JSON, "Origin": "https://evil.example"},
    "JSON from a sandboxed frame": {**JSON, "Origin": "null"},
    "JSON from another port": {**JSON, "Origin": "http://localhost:8000"},
    "JSON from a name that begins alike": {**JSON, "Origin": "http://localhost.evil.example"},
    "JSON from a user called so": {**JSON, "Origin": "http://localhost@evil.example"},
    "JSON from somebody here": {**JSON, "Origin": "http://evil.example\\@localhost"},
    "JSON from no address": {**JSON, "Origin": "localhost"},
    "JSON across sites": {**JSON, "Sec-Fetch-Site": "cross-site"},
    "JSON from a sister host": {**JSON, "Sec-Fetch-Site": "same-site"},
    "JSON of the address bar": {**JSON, "Sec-Fetch-Site": "none"},
    "JSON with two stories": {**JSON, **HERE, "Sec-Fetch-Site": "cross-site"},
    "JSON with a page of elsewhere": {**JSON, "Referer": "https://evil.example/?http://localhost/"},
    "JSON with a page of here and another origin": {**JSON, "Origin": "null", "Referer": "http://localhost/tasks"},
    "a wrong key": {**JSON, "X-API-Key": "guessed"},
    "another method in a header": {**JSON, "X-HTTP-Method-Override": "GET"},
}


def known(request: flask.Request) -> Access | None:
    """A login by a cookie, as applications have it."""
    return {"ada": Access("operate", "ada"), "eve": Access("view", "eve")}.get(request.cookies.get("login", ""))


def of(app: flask.Flask, login: str = "ada") -> HttpClient:
    client = app.test_client()
    client.set_cookie("login", login)
    return client


@pytest.fixture
def busy(clock: VirtualClock) -> Iterator[TaskManager]:
    """A manager with a task, an entry and a run, that is under way."""
    manager = TaskManager([], clock=clock, store=MemoryStore())
    manager.add(lambda: None, name="sample")
    manager.recurring.add("nightly", task="sample", schedule="0 2 * * *", by="ada")
    with manager:
        manager["sample"].trigger()
        yield manager


def unsafe(app: flask.Flask, manager: TaskManager, methods: tuple[str, ...] = UNSAFE) -> list[tuple[str, str]]:
    """Each unsafe method of each route (or each of *methods*), with a path of something that is there."""
    adapter = app.url_map.bind("localhost")
    run = manager.runs("sample")[0].id
    found = []
    for rule in app.url_map.iter_rules():
        if not rule.endpoint.startswith("tasks."):
            continue
        there = {"id": [run], "name": ["nightly" if "recurring" in rule.rule else "sample"]}
        choices = [getattr(rule._converters[name], "items", there.get(name, [run])) for name in rule.arguments]
        for chosen in itertools.product(*choices):
            values = dict(zip(rule.arguments, chosen, strict=True))
            path = adapter.build(rule.endpoint, values, "GET" if rule.methods is None else None)
            found += [(method, path) for method in methods if method in (rule.methods or methods)]
    return sorted(set(found))


def state_of(manager: TaskManager) -> Any:
    """All that somebody could have changed."""
    runs = [(run.id, str(run.state)) for run in manager.runs()]
    switches = [(task.name, task.is_enable) for task in manager.tasks]
    return runs, switches, manager.recurring.export_json(), manager.journal(), manager.store.paused


def test_there_are_unsafe_routes_to_look_at(busy):
    app = application(busy, known)
    api = [path for _, path in unsafe(app, busy) if path.startswith(API)]
    assert len(api) == 14


@pytest.mark.parametrize("shape", SHAPES)
def test_what_another_site_sends_is_refused_and_changes_nothing(shape, busy):
    app = application(busy, known)
    client, before = of(app), state_of(busy)
    refused = {
        (method, path, client.open(path, method=method, headers=SHAPES[shape], data=b"{}").status_code)
        for method, path in unsafe(app, busy)
    }
    assert {one for one in refused if one[2] != 403} == set()
    assert state_of(busy) == before


@pytest.mark.parametrize("headers", [FORM, {"Content-Type": "text/plain"}, {}])
def test_a_form_of_our_own_host_is_no_call_of_the_api(headers, busy):
    app = application(busy, known)
    client, before = of(app), state_of(busy)
    for method, path in unsafe(app, busy):
        status = client.open(path, method=method, headers={**headers, **HERE}, data=b"{}").status_code
        assert (path, status) == (path, 415 if path.startswith(f"{API}/") else 403)
    assert state_of(busy) == before


@pytest.mark.parametrize(
    "headers",
    [
        HERE,
        {"Sec-Fetch-Site": "same-origin"},
        {**HERE, "Sec-Fetch-Site": "same-origin"},
        {"Referer": "http://localhost/tasks/"},
    ],
)
def test_a_page_of_our_own_host_calls_the_api_and_is_named_in_the_journal(headers, busy):
    answer = of(application(busy, known)).post(f"{API}/tasks/sample/disable", headers=headers, json={"note": "x"})
    assert answer.status_code == 200
    assert (busy.journal()[0].who, busy.journal()[0].what) == ("ada", "disabled")


def test_the_key_needs_no_origin(busy):
    client = Client(application(busy))
    assert client.ask("POST", "/tasks/sample/enable").status_code == 200
    assert busy.journal()[0].who == "api key"


def test_who_may_look_changes_nothing(busy):
    app = application(busy, known)
    client, before = of(app, "eve"), state_of(busy)
    assert client.get(f"{API}/tasks/sample").status_code == 200
    for method, path in unsafe(app, busy):
        status = client.open(path, method=method, headers=HERE, json={}).status_code
        assert (path, status in (403, 404, 405)) == (path, True)  # 404 and 405: no route is there
    assert state_of(busy) == before


def test_a_stranger_changes_and_sees_nothing(busy):
    app = application(busy, known)
    client, before = app.test_client(), state_of(busy)
    for method, path in unsafe(app, busy):
        assert client.open(path, method=method, headers=HERE, json={}).status_code == 401
    safe = unsafe(app, busy, ("GET", "HEAD", "OPTIONS"))
    assert len(safe) > 60
    for method, path in safe:
        if path != f"{API}/health":
            assert (path, client.open(path, method=method).status_code) == (path, 401)
    assert client.get(f"{API}/health").get_json() == {"status": "healthy"}
    assert state_of(busy) == before


@pytest.mark.parametrize(
    "headers",
    [{"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}, {"X-Real-IP": "::1"}, {"Via": "1.1 x"}],
)
def test_a_forged_address_does_not_make_anybody_local(headers, busy):
    app = application(busy, allow_local, TASKS_API_KEY=None)
    before = state_of(busy)
    for address in ("10.0.0.7", "127.0.0.1"):
        for method, path in unsafe(app, busy):
            answer = app.test_client().open(
                path, method=method, headers={**HERE, **headers}, json={}, environ_overrides={"REMOTE_ADDR": address}
            )
            assert answer.status_code == 403
    assert state_of(busy) == before


@pytest.mark.parametrize("auth", [known, allow_local, allow_anyone])
def test_a_foreign_host_is_refused_where_the_application_trusts_its_own_only(auth, busy):
    app = application(busy, auth, TRUSTED_HOSTS=["localhost"])
    client, before = of(app), state_of(busy)
    for method, path in unsafe(app, busy):
        foreign = {"Host": "evil.example", "Origin": "http://evil.example"}
        assert client.open(path, method=method, headers=foreign, json={}).status_code == 400
    assert state_of(busy) == before


def test_a_name_that_is_made_to_lead_here_is_not_local(busy):
    app = application(busy, allow_local, TASKS_API_KEY=None)
    before = state_of(busy)
    for method, path in unsafe(app, busy):
        foreign = {"Host": "evil.example", "Origin": "http://evil.example"}
        assert app.test_client().open(path, method=method, headers=foreign, json={}).status_code == 403
    assert state_of(busy) == before


# Forms of our pages.


def with_form(app: flask.Flask) -> list[str]:
    """A page with a form, as our pages have them; what was sent to it."""
    sent: list[str] = []

    @requires("operate")
    def form() -> str:
        if flask.request.method == "POST":
            sent.append(flask.request.form["text"])
        return str(form_fields())

    app.add_url_rule("/tasks/form", "tasks.form", form, methods=["GET", "POST"])
    return sent


def fields_of(page: str) -> dict[str, str]:
    return dict(re.findall(r'name="(\w+)" value="([^"]+)"', page))


def test_a_form_says_what_its_cookie_says(manager):
    app = application(manager, known)
    sent, client = with_form(app), of(app)
    page = client.get("/tasks/form")
    cookie = page.headers["Set-Cookie"]
    told = fields_of(page.text)
    assert re.fullmatch(r"tasks_token=[\w-]{43}; HttpOnly; Path=/tasks; SameSite=Strict", cookie)
    assert client.get("/tasks/form").headers.get("Set-Cookie") is None  # the forms of other pages stay good
    assert client.post("/tasks/form", data={"text": "hello", **told}, headers=HERE).status_code == 200
    for wrong in ({}, {"token": ""}, {"token": "x" * 43}, {"token": "é"}):
        assert client.post("/tasks/form", data={"text": "no", **wrong}, headers=HERE).status_code == 403
    assert client.post("/tasks/form", data={"text": "no", **told}).status_code == 403
    assert of(app).post("/tasks/form", data={"text": "no", **told}, headers=HERE).status_code == 403
    assert sent == ["hello"]


def test_a_form_is_for_every_worker_and_needs_no_secret_of_the_application(manager):
    first = application(manager, known)
    second = application(TaskManager([]), known)
    sent, client = with_form(second), of(second)
    with_form(first)
    page = of(first).get("/tasks/form")
    client.set_cookie("tasks_token", fields_of(page.text)["token"], path="/tasks")
    answer = client.post("/tasks/form", data={"text": "hello", **fields_of(page.text)}, headers=HERE)
    assert (first.secret_key, answer.status_code, sent) == (None, 200, ["hello"])


def test_a_refused_form_is_told_as_a_page_to_people(manager):
    app = application(manager, known)
    with_form(app)
    answer = of(app).post("/tasks/form", data={"text": "no"}, headers={**HERE, "Accept": "text/html,*/*;q=0.8"})
    assert (answer.status_code, answer.mimetype) == (403, "text/html")
    assert "not of now" in answer.text


# The application's own protection.


@pytest.fixture
def protected(manager: TaskManager) -> tuple[flask.Flask, CSRFProtect]:
    """An application that Flask-WTF protects."""
    manager.add(lambda: None, name="sample")
    app = application(manager, known, SECRET_KEY="not secret")
    return app, CSRFProtect(app)


def test_the_protection_of_the_application_holds_for_us_too(protected):
    app, _ = protected
    sent, client = with_form(app), of(app)
    told = fields_of(client.get("/tasks/form").text)
    call = {"headers": HERE, "json": {}}
    without = client.post(f"{API}/tasks/sample/disable", **call)
    assert (without.status_code, without.mimetype) == (400, "application/problem+json")
    assert "CSRF" in without.get_json()["detail"]
    assert client.post("/tasks/form", data={"text": "no", "token": told["token"]}, headers=HERE).status_code == 400
    assert client.post("/tasks/form", data={"text": "hello", **told}, headers=HERE).status_code == 200
    call["headers"] = {**HERE, "X-CSRFToken": told["csrf_token"]}
    assert client.post(f"{API}/tasks/sample/disable", **call).status_code == 200
    assert sent == ["hello"]


def test_programs_with_the_key_enter_once_the_blueprint_is_exempt(protected):
    app, csrf = protected
    assert Client(app).ask("POST", "/tasks/sample/disable").status_code == 400
    csrf.exempt(app.blueprints["tasks"])
    assert Client(app).ask("POST", "/tasks/sample/disable").status_code == 200
    stranger = app.test_client().post(f"{API}/tasks/sample/enable", headers=HERE, json={})
    foreign = of(app).post(f"{API}/tasks/sample/enable", headers={"Origin": "https://evil.example"}, json={})
    assert (stranger.status_code, foreign.status_code) == (401, 403)
    assert KEY not in stranger.text + foreign.text
