"""The reading room of ``examples/flask_app``: a Flask application whose tasks fetch feeds that a local server has."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from task import TaskManager
from task.testing import VirtualClock

pytest.importorskip("flask")

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "flask_app"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Imports a module of the example."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yield importlib.import_module
    for name in [name for name in sys.modules if name.split(".")[0] in ("reader", "feed_server")]:
        del sys.modules[name]


@pytest.fixture
def feeds(example: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server of feeds."""
    module = example("feed_server")
    monkeypatch.setattr(module.time, "time", lambda: 20.0 * 101)  # a minute in which no feed fails
    with module.serve() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def app(example: Callable[[str], Any], clock: VirtualClock, tmp_path: Path) -> Any:
    made = example("reader").create_app(instance_path=str(tmp_path), clock=clock)
    made.testing = True
    return made


def manager_of(app: Any) -> TaskManager:
    manager = app.extensions["tasks"].manager
    assert isinstance(manager, TaskManager)
    return manager


def follow(app: Any, *feeds: tuple[str, str]) -> None:
    for name, url in feeds:
        assert app.test_cli_runner().invoke(args=["add-feed", name, url]).output == f"{name} will be fetched\n"


def log_in(app: Any, name: str, may: str) -> Any:
    added = app.test_cli_runner().invoke(args=["add-person", name, "--may", may, "--password", "long and secret"])
    assert added.output == f"{name} may {may}\n"
    client = app.test_client()
    answer = client.post("/login", data={"name": name, "password": "long and secret"})
    assert (answer.status_code, answer.location) == (302, "/tasks/")
    return client


def test_feeds_are_fetched_every_half_minute_and_shown(app: Any, feeds: str, clock: VirtualClock) -> None:
    follow(app, ("tides", f"{feeds}/tides"), ("bread", f"{feeds}/bread"))

    with manager_of(app) as manager:
        clock.advance(seconds=60)
        first, second = reversed(manager.runs("fetch_feeds"))

    assert (first.result(), second.result()) == ({"bread": 10, "tides": 10}, {"bread": 0, "tides": 0})
    assert [line.message for line in first.log] == ["bread: 10 new", "tides: 10 new"]
    shown = app.test_client().get("/").text
    assert "Tides &amp; moons, number 101" in shown
    assert "The bakery&#39;s blackboard, number 92" in shown


def test_one_feed_that_fails_is_told_and_keeps_no_other_from_being_fetched(
    app: Any, feeds: str, clock: VirtualClock
) -> None:
    follow(app, ("gone", f"{feeds}/gone"), ("tides", f"{feeds}/tides"))

    with manager_of(app) as manager:
        clock.advance(seconds=30)
        (run,) = manager.runs("fetch_feeds")

    assert (run.state, run.error) == ("failed", "RuntimeError: 1 of 2 feeds could not be fetched: gone")
    assert "number 101" in app.test_client().get("/").text


def test_a_report_is_kept_with_its_run_and_announced(app: Any, feeds: str, clock: VirtualClock) -> None:
    follow(app, ("tides", f"{feeds}/tides"))

    with manager_of(app) as manager:
        manager.trigger("fetch_feed", name="tides").result(timeout=10)
        run = manager.trigger("report", kind="csv")
        counted = run.result(timeout=10)
        clock.advance(seconds=1)
        (announced,) = manager.runs(parent=run.id)

    assert counted == {"tides": 10}
    assert [artifact.read_text() for artifact in run.artifacts] == ["feed,entries\r\ntides,10\r\n"]
    assert announced.log[0].message == f"A new report is ready: run {run.id}"


def test_a_stranger_sees_no_task_and_a_wrong_password_lets_nobody_in(app: Any) -> None:
    client = app.test_client()

    refused = client.post("/login", data={"name": "ada", "password": "ada"})

    assert "That is not a name and its password." in refused.text
    led = client.get("/tasks/")
    assert (led.status_code, led.location) == (302, "/login")
    assert client.post("/tasks/do/pause").status_code == 403
    assert client.get("/tasks/api/v1/tasks").status_code == 403


def test_who_may_view_sees_the_tasks_and_who_may_operate_steers_them(app: Any) -> None:
    manager, here = manager_of(app), {"Origin": "http://localhost"}
    grace, ada = log_in(app, "grace", "view"), log_in(app, "ada", "operate")
    disable = "/tasks/api/v1/tasks/fetch_feeds/disable"

    assert "fetch_feeds" in grace.get("/tasks/").text
    assert grace.post(disable, json={}, headers=here).status_code == 403
    assert manager["fetch_feeds"].is_enable
    assert ada.post(disable, json={"note": "the feeds move house"}, headers=here).status_code == 200
    assert not manager["fetch_feeds"].is_enable
    (entry,) = manager.journal("fetch_feeds")
    assert (entry.who, entry.what, entry.note) == ("ada", "disabled", "the feeds move house")


def test_two_applications_in_one_process_stay_apart(
    example: Callable[[str], Any], clock: VirtualClock, tmp_path: Path
) -> None:
    create_app = example("reader").create_app

    one = create_app(instance_path=str(tmp_path / "one"), clock=clock)
    two = create_app(instance_path=str(tmp_path / "two"), clock=clock)
    manager_of(one)["report"].disable()

    assert manager_of(one) is not manager_of(two)
    assert manager_of(two)["report"].is_enable
