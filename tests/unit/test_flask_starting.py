"""Where and when the manager of an application starts. tests/integration/test_flask_servers.py asks real servers."""

from __future__ import annotations

import gc
import os
import pathlib
import signal
import subprocess
import sys
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import click
import flask
import pytest
import werkzeug.serving
from flask.cli import ScriptInfo

from task import TaskManager
from task.errors import StoreError
from task.flask import FlaskTasks
from task.stores import MemoryStore

#: So long is waited for what another thread does, on a machine that lets it wait. Seconds.
LIMIT = 60.0

WaitFor = Callable[[Callable[[], bool]], None]


@pytest.fixture(autouse=True)
def outside_of_flask_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another test's ``flask`` command says to the whole process that it is one."""
    monkeypatch.delenv("FLASK_RUN_FROM_CLI", raising=False)


@pytest.fixture
def create_app(tmp_path: pathlib.Path) -> Callable[..., flask.Flask]:
    """An application factory."""

    def create(**settings: Any) -> flask.Flask:
        app = flask.Flask("reader", instance_path=str(tmp_path))
        app.config.update(settings)
        FlaskTasks(TaskManager([]), app=app)
        return app

    return create


@pytest.fixture
def not_in_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has no pytest."""
    monkeypatch.delitem(sys.modules, "pytest")
    for name in ("WERKZEUG_RUN_MAIN", "FLASK_DEBUG"):
        monkeypatch.delenv(name, raising=False)


def called_by(module: str, call: Callable[[], Any], **values: Any) -> Any:
    """Make a call from a frame of that module, with these values in it."""
    names = ", ".join(["call", *values])
    namespace: dict[str, Any] = {"__name__": module}
    exec(f"def frame({names}):\n    return call()", namespace)
    return namespace["frame"](call, **values)


def manager_of(app: flask.Flask) -> TaskManager:
    found: TaskManager = app.extensions["tasks"].manager
    return found


def no_start_comes(app: flask.Flask) -> bool:
    """Whether it neither runs nor is about to."""
    coming = [thread for thread in threading.enumerate() if thread.name == "task-start"]
    for thread in coming:
        thread.join(LIMIT)
    return manager_of(app).state == "stopped"


# In tests.


def test_it_does_not_start_in_a_test(create_app: Callable[..., flask.Flask]) -> None:
    app = create_app()
    app.test_client().get("/")
    assert no_start_comes(app)


def test_in_a_test_it_starts_when_asked_to_when_the_factory_has_returned(
    tmp_path: pathlib.Path, wait_for: WaitFor
) -> None:
    looked, states = threading.Event(), []

    def create_app() -> flask.Flask:
        app = flask.Flask("reader", instance_path=str(tmp_path))
        app.config["TASKS_AUTOSTART"] = True
        FlaskTasks(TaskManager([]), app=app)
        looked.wait(0.1)  # longer than it takes to look
        states.append(manager_of(app).state)
        return app

    app = create_app()
    wait_for(lambda: manager_of(app).state == "running")
    assert states == ["stopped"]
    manager_of(app).stop()


def test_it_does_not_start_where_the_factory_has_failed(
    create_app: Callable[..., flask.Flask], not_in_a_test: None
) -> None:
    made: list[flask.Flask] = []

    def factory() -> flask.Flask:
        made.append(create_app())
        assert manager_of(made[0]).state == "stopped"
        raise OSError("no configuration")

    with pytest.raises(OSError, match="no configuration"):
        called_by("waitress.runner", factory)
    assert no_start_comes(made[0])


# By the server.


def test_it_starts_when_the_factory_that_a_server_calls_has_returned(
    create_app: Callable[..., flask.Flask], not_in_a_test: None, wait_for: WaitFor
) -> None:
    looked, states = threading.Event(), []

    def factory() -> flask.Flask:
        app = create_app()
        looked.wait(0.1)  # longer than it takes to look
        states.append(manager_of(app).state)
        return app

    app = called_by("uvicorn.importer", factory)
    wait_for(lambda: manager_of(app).state == "running")
    assert states == ["stopped"]
    manager_of(app).stop()


@pytest.mark.parametrize("module", ["uvicorn.importer", "gunicorn.arbiter", "reader"])
def test_nothing_of_the_stack_is_kept(
    create_app: Callable[..., flask.Flask], not_in_a_test: None, wait_for: WaitFor, module: str
) -> None:
    class Configuration:
        """What is on the stack."""

    gone: list[weakref.ref[Configuration]] = []

    def factory() -> flask.Flask:
        kept = Configuration()
        gone.append(weakref.ref(kept))
        return create_app()

    app = called_by(module, factory)
    no_start_comes(app)
    gc.collect()
    assert gone[0]() is None
    manager_of(app).stop()


def test_it_does_not_start_where_that_is_left_to_others(
    create_app: Callable[..., flask.Flask], not_in_a_test: None
) -> None:
    app = called_by("uvicorn.importer", lambda: create_app(TASKS_AUTOSTART=False))
    assert no_start_comes(app)


class _Worker:
    """What has the settings of gunicorn."""

    def __init__(self, kind: str, threads: int) -> None:
        self.cfg = types.SimpleNamespace(worker_class_str=kind, threads=threads)


@pytest.mark.parametrize(
    ("kind", "threads", "expected"), [("sync", 1, 1), ("gthread", 8, 8), ("gevent", 1, None), ("ThreadWorker", 3, 3)]
)
def test_the_threads_of_a_worker_of_gunicorn_are_known(
    create_app: Callable[..., flask.Flask],
    not_in_a_test: None,
    wait_for: WaitFor,
    kind: str,
    threads: int,
    expected: int | None,
) -> None:
    app = called_by("gunicorn.workers.base", create_app, self=_Worker(kind, threads))
    assert app.extensions["tasks"].server_threads == expected
    wait_for(lambda: manager_of(app).state == "running")
    manager_of(app).stop()


def test_it_does_not_start_in_the_master_of_gunicorn(
    create_app: Callable[..., flask.Flask], not_in_a_test: None
) -> None:
    app = called_by("gunicorn.arbiter", create_app, self=_Worker("sync", 1))
    assert no_start_comes(app)


@pytest.mark.parametrize(
    ("modules", "state"), [(["hypercorn.run"], "stopped"), (["hypercorn.run", "hypercorn.asyncio.run"], "running")]
)
def test_hypercorn_serves_in_its_workers(
    create_app: Callable[..., flask.Flask], not_in_a_test: None, wait_for: WaitFor, modules: list[str], state: str
) -> None:
    call: Callable[[], flask.Flask] = create_app
    for module in reversed(modules):
        call = lambda module=module, inner=call: called_by(module, inner)  # noqa: E731
    app = call()
    if state == "stopped":
        assert no_start_comes(app)
    wait_for(lambda: manager_of(app).state == state)
    manager_of(app).stop()


@pytest.mark.parametrize(("worker", "state"), [(0, "stopped"), (1, "running")])
def test_under_uwsgi_the_workers_start_it(
    create_app: Callable[..., flask.Flask],
    not_in_a_test: None,
    monkeypatch: pytest.MonkeyPatch,
    wait_for: WaitFor,
    worker: int,
    state: str,
) -> None:
    monkeypatch.setitem(sys.modules, "uwsgi", types.SimpleNamespace(worker_id=lambda: worker))
    app = create_app()
    wait_for(lambda: manager_of(app).state == state)
    manager_of(app).stop()


def test_under_mod_wsgi_it_starts(
    create_app: Callable[..., flask.Flask],
    not_in_a_test: None,
    monkeypatch: pytest.MonkeyPatch,
    wait_for: WaitFor,
) -> None:
    monkeypatch.setitem(sys.modules, "mod_wsgi", types.SimpleNamespace(threads_per_process=15))
    app = create_app()
    wait_for(lambda: manager_of(app).state == "running")
    assert app.extensions["tasks"].server_threads == 15
    manager_of(app).stop()


def test_a_record_in_memory_is_warned_of_where_it_serves(
    tmp_path: pathlib.Path, not_in_a_test: None, wait_for: WaitFor, caplog: pytest.LogCaptureFixture
) -> None:
    app = flask.Flask("reader", instance_path=str(tmp_path))
    called_by("uvicorn.importer", lambda: FlaskTasks(TaskManager([], store=MemoryStore()), app=app))
    wait_for(lambda: manager_of(app).state == "running")
    manager_of(app).stop()
    assert "of several processes that serve it, each runs every slot" in caplog.text


# The commands of Flask.


@pytest.mark.parametrize(
    ("command", "parameters", "child", "state"),
    [
        ("run", {"reload": None}, False, "running"),
        ("run", {"reload": False, "debug": True}, False, "running"),
        ("run", {"reload": True}, False, "stopped"),
        ("run", {"reload": True}, True, "running"),
        ("run", {"reload": None, "debug": True}, False, "stopped"),
        ("routes", {}, False, "stopped"),
    ],
)
def test_of_the_commands_of_flask_only_the_one_that_serves_starts_it(
    create_app: Callable[..., flask.Flask],
    not_in_a_test: None,
    monkeypatch: pytest.MonkeyPatch,
    wait_for: WaitFor,
    command: str,
    parameters: dict[str, Any],
    child: bool,
    state: str,
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *handler: None)  # what SIGTERM does here is pytest's
    if parameters.pop("debug", False):
        monkeypatch.setenv("FLASK_DEBUG", "1")
    if child:
        monkeypatch.setenv("WERKZEUG_RUN_MAIN", "true")
    root = click.Context(click.Group("flask"), info_name="flask", obj=ScriptInfo())
    context = click.Context(click.Command(command), parent=root, info_name=command)
    context.params = parameters
    with context:
        app = called_by("flask.cli", create_app)
    if state == "stopped":
        assert no_start_comes(app)
    wait_for(lambda: manager_of(app).state == state)
    manager_of(app).stop()


# Scripts.


@pytest.mark.parametrize(
    ("options", "child", "expected"),
    [
        ({}, False, "running"),
        ({"debug": True}, False, "stopped"),
        ({"debug": True}, True, "running"),
        ({"debug": True, "use_reloader": False}, False, "running"),
        ({"use_reloader": True}, False, "stopped"),
    ],
)
def test_a_script_that_serves_starts_it_in_the_process_that_does(
    create_app: Callable[..., flask.Flask],
    not_in_a_test: None,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    child: bool,
    expected: str,
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *handler: None)  # what SIGTERM does here is pytest's
    states: list[str] = []
    app = create_app()
    monkeypatch.setattr(werkzeug.serving, "run_simple", lambda *rest, **more: states.append(manager_of(app).state))
    if child:
        monkeypatch.setenv("WERKZEUG_RUN_MAIN", "true")
    assert manager_of(app).state == "stopped"
    app.run(**options)
    manager_of(app).stop()
    assert states == [expected]


def test_app_run_within_the_command_that_serves_is_ignored_by_flask_and_starts_nothing(
    create_app: Callable[..., flask.Flask], not_in_a_test: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_RUN_FROM_CLI", "true")
    app = create_app()
    app.run()
    assert no_start_comes(app)


def test_a_request_of_a_server_starts_it_and_one_of_a_test_client_does_not(
    create_app: Callable[..., flask.Flask], not_in_a_test: None
) -> None:
    app = create_app()
    app.test_client().get("/")
    assert manager_of(app).state == "stopped"
    environment = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_NAME": "localhost", "SERVER_PORT": "80"}
    app.wsgi_app({**environment, "wsgi.url_scheme": "http"}, lambda status, headers: None)
    assert manager_of(app).state == "running"
    manager_of(app).stop()


# What stands against it.


def test_a_start_that_fails_is_logged_and_shown_by_health_and_the_application_goes_on(
    create_app: Callable[..., flask.Flask],
    not_in_a_test: None,
    monkeypatch: pytest.MonkeyPatch,
    wait_for: WaitFor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def factory() -> flask.Flask:
        app = create_app()

        def refuse() -> None:
            raise StoreError("the disk is gone: give another TASKS_STORE")

        monkeypatch.setattr(manager_of(app).scheduler, "start", refuse)
        app.add_url_rule("/", view_func=lambda: "Hello")
        return app

    app = called_by("uvicorn.importer", factory)
    wait_for(lambda: "COULD NOT BE STARTED" in caplog.text)
    assert "the disk is gone: give another TASKS_STORE" in caplog.text
    assert "the disk is gone" in manager_of(app).health.causes[0]
    assert app.test_client().get("/").text == "Hello"


def test_a_look_at_a_stack_that_changes_is_no_sign_that_the_factory_has_returned(
    create_app: Callable[..., flask.Flask], not_in_a_test: None, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    frames_of_all, looked_often = sys._current_frames, threading.Event()

    def frames() -> dict[int, types.FrameType]:
        looks.append(1)
        if len(looks) > 3:
            looked_often.set()
        return {} if len(looks) == 1 else frames_of_all()  # as where the newest frame was left in between

    def factory() -> flask.Flask:
        app = create_app()
        looked_often.wait(LIMIT)
        return app

    monkeypatch.setattr(sys, "_current_frames", frames)
    app = called_by("uvicorn.importer", factory)
    wait_for(lambda: manager_of(app).state == "running")
    assert looked_often.is_set()
    manager_of(app).stop()


FORKS = """
import os, sys, threading
import flask
from task import TaskManager
from task.flask import FlaskTasks

manager = TaskManager([])
namespace = {"__name__": "gunicorn.arbiter"}
exec("def load(create):\\n    return create()", namespace)


def create_app():
    app = flask.Flask("reader", instance_path=sys.argv[1])
    FlaskTasks(manager, app=app)
    return app


def in_child(work):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    work()
    sys.stdout.flush()
    os._exit(0)


def starts():
    return [thread for thread in threading.enumerate() if thread.name == "task-start"]


def worker():
    for start in starts():
        start.join(60)
    print("worker", manager.health.state, flush=True)  # before the fork: else the child says it, too
    in_child(lambda: print("child of the worker", manager.health.state, threading.active_count()))
    manager.stop()


app = namespace["load"](create_app)
print("master", manager.health.state, len(starts()), flush=True)
in_child(worker)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_the_children_of_a_master_run_it_and_those_that_help_a_body_do_not(tmp_path: pathlib.Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKS, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    told = ["master stopped 0", "worker running", "child of the worker forked 1"]
    assert done.stdout.splitlines() == told, done.stderr
