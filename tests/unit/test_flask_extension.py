"""The extension: the application-factory contract, its settings, its store, and bodies inside the application."""

from __future__ import annotations

import asyncio
import gc
import pathlib
import sys
import weakref
from collections.abc import Callable
from typing import Any

import flask
import pytest

from task import TaskManager, every, task
from task.errors import DeclarationError, DeclarationTypeError, MissingExtraError
from task.flask import FlaskTasks
from task.flask.settings import Settings
from task.stores import MemoryStore
from task.testing import VirtualClock


@pytest.fixture
def app(tmp_path: pathlib.Path) -> flask.Flask:
    return flask.Flask("reader", instance_path=str(tmp_path / "instance"))


def manager_of(app: flask.Flask) -> TaskManager:
    found: TaskManager = app.extensions["tasks"].manager
    return found


def test_bodies_run_inside_the_application_and_its_teardown_follows_each(
    app: flask.Flask, manager: TaskManager, clock: VirtualClock
) -> None:
    FlaskTasks(manager, app=app)
    told: list[object] = []

    @app.teardown_appcontext
    def close(error: BaseException | None) -> None:
        told.append(("closed", flask.g.pop("database", None)))

    @manager.task(every(10).seconds)
    def sync() -> None:
        flask.g.database = "opened by sync"
        told.append(flask.current_app.name)

    @manager.task(every(10).seconds)
    async def sync_async() -> None:
        flask.g.database = "opened by sync_async"
        await asyncio.sleep(0)
        told.append(flask.current_app.name)

    with manager:
        clock.advance(seconds=10)
    assert told == [
        "reader",
        ("closed", "opened by sync"),
        "reader",
        ("closed", "opened by sync_async"),
    ]


def test_a_teardown_that_fails_fails_its_run_and_not_the_scheduler(
    app: flask.Flask, manager: TaskManager, clock: VirtualClock
) -> None:
    FlaskTasks(manager, app=app)

    @app.teardown_appcontext
    def close(error: BaseException | None) -> None:
        raise OSError("cannot close")

    manager.add(lambda: None, every(10).seconds, name="sync")
    with manager:
        clock.advance(seconds=20)
    assert [run.error for run in manager.runs("sync")] == ["OSError: cannot close", "OSError: cannot close"]


def test_a_call_within_the_application_stays_in_that_context(app: flask.Flask, manager: TaskManager) -> None:
    FlaskTasks(manager, app=app)
    sync = manager.add(lambda: flask.g.user, name="sync")
    with app.app_context():
        flask.g.user = "ada"
        assert sync() == "ada"
    with pytest.raises(AttributeError):
        sync()


def test_the_store_is_a_file_in_the_instance_folder(app: flask.Flask, tmp_path: pathlib.Path) -> None:
    FlaskTasks(TaskManager([])).init_app(app)
    manager_of(app).add(lambda: None, name="sync")()
    assert (tmp_path / "instance" / "tasks.db").exists()
    assert manager_of(app).store.shared


def test_without_sqlalchemy_the_error_names_the_extra(app: flask.Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    app.config.pop("TASKS_STORE", None)
    monkeypatch.setitem(sys.modules, "sqlalchemy.engine", None)
    with pytest.raises(MissingExtraError) as raised:
        FlaskTasks(TaskManager([])).init_app(app)
    assert str(raised.value).endswith("needs the extra 'flask': pip install 'schedule-tasks[flask]'")


def test_an_explicit_store_stays(app: flask.Flask) -> None:
    store = MemoryStore()
    FlaskTasks(TaskManager([], store=store)).init_app(app)
    assert manager_of(app).store is store


def test_two_stores_are_refused(app: flask.Flask) -> None:
    app.config["TASKS_STORE"] = "sqlite:///other.db"
    with pytest.raises(DeclarationError, match="Leave one of the two out"):
        FlaskTasks(TaskManager([], store=MemoryStore())).init_app(app)


def test_a_setting_that_is_refused_leaves_the_manager_to_the_next_application(
    app: flask.Flask, tmp_path: pathlib.Path
) -> None:
    manager = TaskManager([])
    tasks = FlaskTasks(manager)
    app.config["TASKS_STORE"] = "no URL"
    with pytest.raises(DeclarationError):
        tasks.init_app(app)
    second = flask.Flask("second", instance_path=str(tmp_path))
    tasks.init_app(second)
    assert manager_of(second) is manager


def test_tasks_are_found_in_the_module_that_makes_the_extension(app: flask.Flask) -> None:
    source = """
from task import every, task
from task.flask import FlaskTasks

tasks = FlaskTasks()

@task(every(10).seconds)
def sync(): ...
"""
    namespace: dict[str, Any] = {"__name__": "reader"}
    exec(source, namespace)
    namespace["tasks"].init_app(app)
    assert list(manager_of(app)) == ["sync"]


def test_each_application_has_a_manager_of_its_own(tmp_path: pathlib.Path) -> None:
    manager = TaskManager([])
    tasks = FlaskTasks(manager)
    seen: list[str] = []

    @manager.task
    def tell() -> None:
        seen.append(flask.current_app.name)

    def create_app(name: str) -> flask.Flask:
        app = flask.Flask(name, instance_path=str(tmp_path / name))
        tasks.init_app(app)
        return app

    first, second = create_app("first"), create_app("second")
    assert manager_of(first) is manager
    assert manager_of(second) is not manager
    for app in (first, second):
        manager_of(app)["tell"]()
    assert seen == ["first", "second"]
    assert manager_of(second)["tell"] is not manager["tell"]
    assert len(manager_of(second).runs("tell")) == 1


def test_an_application_gets_its_tasks_once(app: flask.Flask) -> None:
    FlaskTasks(TaskManager([])).init_app(app)
    with pytest.raises(DeclarationError, match="call init_app"):
        FlaskTasks(TaskManager([])).init_app(app)


def test_an_application_is_no_manager(app: flask.Flask) -> None:
    with pytest.raises(DeclarationTypeError, match="with app="):
        FlaskTasks(app)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("TASKS_STORES", "sqlite:///x.db", "There is no setting TASKS_STORES. Did you mean 'TASKS_STORE'"),
        ("TASKS_AUTOSTART", "yes", "TASKS_AUTOSTART is True, False or None, not 'yes'"),
        ("TASKS_URL_PREFIX", "tasks/", "TASKS_URL_PREFIX is a path such as '/tasks'"),
        ("TASKS_URL_PREFIX", "/a//b", "TASKS_URL_PREFIX is a path such as '/tasks'"),
        ("TASKS_URL_PREFIX", "/%41", "TASKS_URL_PREFIX is a path such as '/tasks'"),
        ("TASKS_URL_PREFIX", "/..", "TASKS_URL_PREFIX is a path such as '/tasks'"),
        ("TASKS_API_KEY", 12345, "not what was given"),
        ("TASKS_EVENT_CLIENTS", -1, "TASKS_EVENT_CLIENTS is a whole number from 0, or None, not -1"),
        ("TASKS_SHELL_COMMANDS", "rsync", "TASKS_SHELL_COMMANDS is a list of executables"),
        ("TASKS_MAX_BODY", 10, "TASKS_MAX_BODY is a whole number of bytes from 1000, not 10"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(key: str, value: object, said: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        Settings.of({key: value})
    assert said in str(caught.value)


def test_settings_are_read_once_with_their_defaults() -> None:
    settings = Settings.of({"TASKS_TITLE": "Night", "TASKS_SHELL_COMMANDS": ["/bin/true"], "DEBUG": True})
    assert (settings.title, settings.shell_commands, settings.url_prefix) == ("Night", ("/bin/true",), "/tasks")


# Several applications.


@pytest.fixture
def two_apps(tmp_path: pathlib.Path, manager: TaskManager) -> tuple[flask.Flask, flask.Flask]:
    """Two applications of one factory, on one instance folder."""
    tasks = FlaskTasks(manager)
    first, second = (flask.Flask(name, instance_path=str(tmp_path)) for name in ("first", "second"))
    tasks.init_app(first)
    tasks.init_app(second)
    return first, second


def test_two_applications_on_one_store_run_each_slot_once(
    two_apps: tuple[flask.Flask, flask.Flask],
    manager: TaskManager,
    clock: VirtualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[float] = []
    manager.add(lambda: seen.append(clock.monotonic()), every(10).seconds, name="sync")
    with manager_of(two_apps[0]), manager_of(two_apps[1]):
        clock.advance(seconds=60)
    assert seen == [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
    assert "each slot will fire" not in caplog.text


def test_two_applications_with_stores_of_their_own_both_fire_and_a_warning_says_so(
    tmp_path: pathlib.Path, manager: TaskManager, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    manager.add(lambda: seen.append(flask.current_app.name), every(10).seconds, name="sync")
    tasks = FlaskTasks(manager)
    apps = [flask.Flask(name, instance_path=str(tmp_path / name)) for name in ("first", "second")]
    for app in apps:
        tasks.init_app(app)
    with manager_of(apps[0]), manager_of(apps[1]):
        clock.advance(seconds=20)
    assert sorted(seen) == ["first", "first", "second", "second"]
    assert "each slot will fire in each of them" in caplog.text


def test_within_an_application_a_task_is_that_applications(
    tmp_path: pathlib.Path, manager: TaskManager, clock: VirtualClock
) -> None:
    tasks = FlaskTasks(manager)
    sync = manager.add(lambda: flask.current_app.name, name="sync")
    first, second = (flask.Flask(name, instance_path=str(tmp_path / name)) for name in ("first", "second"))
    for app in (first, second):
        tasks.init_app(app)
        app.add_url_rule("/", view_func=lambda: sync.trigger().result(timeout=5))
    with manager_of(first), manager_of(second):
        assert second.test_client().get("/").text == "second"
        assert first.test_client().get("/").text == "first"
        with second.app_context():
            sync.disable()
            assert not sync.is_enable
        assert sync.is_enable
    assert [len(manager_of(app).runs("sync")) for app in (first, second)] == [1, 1]


def test_that_is_so_where_each_application_makes_a_manager_of_its_own(tmp_path: pathlib.Path) -> None:
    @task
    def sync() -> str:
        return flask.current_app.name

    apps = [flask.Flask(name, instance_path=str(tmp_path / name)) for name in ("first", "second")]
    for app in apps:
        FlaskTasks(TaskManager([sync]), app=app)
    for app in apps:
        with app.app_context():
            assert sync() == app.name
    assert [len(manager_of(app).runs("sync")) for app in apps] == [1, 1]


def test_another_task_of_the_same_name_acts_for_none(tmp_path: pathlib.Path) -> None:
    managers = [TaskManager([]), TaskManager([])]
    ours, _ = (manager.add(lambda: None, name="sync") for manager in managers)
    apps = [flask.Flask(name, instance_path=str(tmp_path / name)) for name in ("first", "second")]
    for app, manager in zip(apps, managers, strict=True):
        FlaskTasks(manager, app=app)
    with apps[1].app_context():
        ours()
    assert [len(manager_of(app).runs("sync")) for app in apps] == [1, 0]


def test_applications_that_come_and_go_leave_nothing(
    tmp_path: pathlib.Path, wait_for: Callable[[Callable[[], bool]], None]
) -> None:

    manager = TaskManager([])
    manager.add(lambda: None, every(10).seconds, name="sync")
    tasks = FlaskTasks(manager)
    gone: list[weakref.ref[object]] = []
    for number in range(4):
        app = flask.Flask("reader", instance_path=str(tmp_path / str(number)))
        tasks.init_app(app)
        with app.app_context():
            manager["sync"]()
        gone += [weakref.ref(app), weakref.ref(manager_of(app))]
        del app

    def only_the_first_is_left() -> bool:
        gc.collect()  # each time: a thread may have one of them for a moment
        return sum(one() is not None for one in gone) == 2  # the first application and its manager: the given one

    wait_for(only_the_first_is_left)
    assert [one() is not None for one in gone] == [True, True] + [False] * 6


def test_a_task_that_is_called_in_another_applications_context_is_inside_its_own(tmp_path: pathlib.Path) -> None:
    seen: list[str] = []
    apps = [flask.Flask(name, instance_path=str(tmp_path / name)) for name in ("first", "second")]
    for app in apps:
        manager = TaskManager([])
        manager.add(lambda: seen.append(flask.current_app.name), name="tell")
        FlaskTasks(manager).init_app(app)

    with apps[0].app_context():
        manager_of(apps[1])["tell"].func()
        manager_of(apps[1])["tell"]()

    assert seen == ["first", "second"]
