"""The signals of runs, tasks and managers: each is sent, once, with what its table says."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import task.events
from task import TaskManager, every, manager_state_changed, run_failed, run_overrunning, run_started, task_overdue
from task.events import signals
from task.testing import VirtualClock

WaitFor = Callable[[Callable[[], bool]], None]

#: How long what will happen is waited for. Seconds.
LIMIT = 60.0


@contextlib.contextmanager
def hearing(*names: str) -> Iterator[list[tuple[str, Any]]]:
    """What the signals of these names carry, in order."""
    heard: list[tuple[str, Any]] = []
    with contextlib.ExitStack() as stack:
        for name in names:

            def hear(sender: object, _name: str = name, **payload: Any) -> None:
                run = payload.get("run")
                heard.append((_name, payload.get("name") if run is None else run.task))

            stack.enter_context(signals[name].connected_to(hear))
        yield heard


OUTCOMES = ["run-succeeded", "run-failed", "run-cancelled", "run-timed-out", "run-skipped", "run-missed", "run-lost"]


def test_each_outcome_is_told_once(manager: TaskManager, clock: VirtualClock) -> None:
    async def slow() -> None:
        await asyncio.sleep(20)

    manager.add(lambda: 1, name="good")
    manager.add(lambda: 1 / 0, name="bad")
    manager.add(slow, name="slow", timeout=5)
    manager.add(slow, name="stopped")
    manager.add(lambda: 1, name="off", disabled=True)
    manager.add(lambda: 1, every(10).minutes, name="late", misfire="skip")
    with manager, hearing(*OUTCOMES) as heard:
        for name in ("good", "bad", "slow", "off"):
            manager.trigger(name)
        manager.trigger("stopped").cancel()
        clock.advance(seconds=10)
        clock.suspend(minutes=15)
        clock.advance(seconds=1)
    assert sorted(heard) == [
        ("run-cancelled", "stopped"),
        ("run-failed", "bad"),
        ("run-missed", "late"),
        ("run-skipped", "off"),
        ("run-succeeded", "good"),
        ("run-timed-out", "slow"),
    ]


def test_the_way_of_a_run_is_told_in_order(manager: TaskManager, clock: VirtualClock) -> None:
    failures = [1]

    def flaky() -> None:
        if failures:
            failures.pop()
            raise ValueError("no")

    sample = manager.add(flaky, name="sample", retry=1)
    with manager, hearing("run-queued", "run-started", "run-retrying", "run-succeeded", "run-failed") as heard:
        sample.trigger()
        clock.advance(seconds=5)
    assert [name for name, _ in heard] == [
        "run-queued",
        "run-started",
        "run-retrying",
        "run-started",
        "run-succeeded",
    ]


def test_a_lost_run_is_told(wait_for: WaitFor) -> None:
    manager, gate, begun = TaskManager([]), threading.Event(), threading.Event()
    hung = manager.add(lambda: (begun.set(), gate.wait(LIMIT)), name="hung", threaded=True)
    with hearing("run-lost") as heard:
        manager.run()
        hung.trigger()
        assert begun.wait(LIMIT)
        manager.stop(timeout=0)
        gate.set()
        wait_for(lambda: bool(heard))
    assert heard == [("run-lost", "hung")]


def test_tasks_and_switches_are_told(manager: TaskManager) -> None:
    with hearing("task-registered", "task-removed", "task-enabled", "task-disabled") as heard:
        sample = manager.add(lambda: None, name="sample")
        sample.disable("why")
        sample.enable()
        manager.remove("sample")
    assert [name for name, _ in heard] == ["task-registered", "task-disabled", "task-enabled", "task-removed"]


def test_the_manager_tells_of_its_states_and_is_the_sender(manager: TaskManager) -> None:
    heard: list[tuple[object, str]] = []

    def hear(sender: object, state: str) -> None:
        heard.append((sender, state))

    assert manager.state == "stopped"
    with manager_state_changed.connected_to(hear), manager:
        assert manager.state == "running"
    assert heard == [(manager, state) for state in ("starting", "running", "stopping", "stopped")]


def test_a_receiver_may_listen_to_one_manager_alone(clock: VirtualClock) -> None:
    mine, other = TaskManager([], clock=clock), TaskManager([], clock=clock)
    heard: list[str] = []

    def hear(sender: object, run: Any) -> None:
        heard.append(run.task)

    for one, name in ((mine, "mine"), (other, "other")):
        one.add(lambda: 1 / 0, name=name)
    with run_failed.connected_to(hear, sender=mine), mine, other:
        mine.trigger("mine")
        other.trigger("other")
    assert heard == ["mine"]


@pytest.mark.parametrize("how", ["raises", "blocks"])
def test_a_bad_receiver_harms_nobody(how: str, caplog: pytest.LogCaptureFixture, wait_for: WaitFor) -> None:
    manager, gate = TaskManager([]), threading.Event()

    def bad(sender: object, run: Any) -> None:
        if how == "blocks":
            gate.wait(LIMIT)
        else:
            raise SystemExit

    sample = manager.add(lambda: 1, name="sample")
    with manager, run_started.connected_to(bad):
        assert [sample.trigger().result(LIMIT) for _ in range(20)] == [1] * 20
        gate.set()
        if how == "raises":
            wait_for(lambda: "A receiver of the signal" in caplog.text)
    assert ("A receiver of the signal" in caplog.text) is (how == "raises")


def test_a_full_queue_of_signals_drops_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task.events.Announcer, "LIMIT", 5)
    manager, gate = TaskManager([]), threading.Event()

    def blocks(sender: object, run: Any) -> None:
        gate.wait(LIMIT)

    sample = manager.add(lambda: 1, name="sample")
    with manager, run_started.connected_to(blocks):
        assert [sample.trigger().result(LIMIT) for _ in range(20)] == [1] * 20
        assert manager.scheduler.announcer.dropped >= 14
        assert manager.health.as_dict()["signals_dropped"] == manager.scheduler.announcer.dropped
        gate.set()


def test_an_overrunning_body_is_told_of(wait_for: WaitFor) -> None:
    manager, gate, heard = TaskManager([]), threading.Event(), list[str]()

    def hear(sender: object, run: Any) -> None:
        heard.append(run.task)

    sample = manager.add(lambda: gate.wait(LIMIT), name="sample", threaded=True, timeout=0.05)
    with manager, run_overrunning.connected_to(hear):
        sample.trigger()
        wait_for(lambda: heard == ["sample"])
        gate.set()


def test_a_run_that_waits_too_long_for_a_place_is_told_of_once(wait_for: WaitFor) -> None:
    clock = VirtualClock(threads=True)
    manager, gate, heard = TaskManager([], clock=clock), threading.Event(), list[str]()

    def hear(sender: object, name: str, run: Any) -> None:
        heard.append(f"{name} {run.state}")

    hung = manager.add(lambda: gate.wait(LIMIT), name="hung")
    waits = manager.add(lambda: None, name="waits", misfire_grace=45)
    with manager, task_overdue.connected_to(hear):
        first = hung.trigger()
        wait_for(lambda: first.state == "running")
        run = waits.trigger()
        for _ in range(5):
            clock.advance(seconds=30)
        wait_for(lambda: heard == ["waits queued"])
        assert [detail["overdue"] for detail in manager.tasks_detail] == [False, True]
        assert "1 runs wait for serial" in manager.health.causes[0]
        gate.set()
        assert run.wait(LIMIT)
        assert manager.health


def test_a_body_that_blocks_the_event_loop_is_named(caplog: pytest.LogCaptureFixture, wait_for: WaitFor) -> None:
    manager, gate, begun = TaskManager([]), threading.Event(), threading.Event()

    async def blocks() -> None:
        begun.set()
        gate.wait(LIMIT)

    async def polite() -> None:
        await asyncio.sleep(0)

    manager.add(blocks, name="blocks")
    manager.add(polite, name="polite")
    with manager:
        manager.trigger("blocks")
        assert begun.wait(LIMIT)
        waiting = manager.trigger("polite")
        wait_for(lambda: "has blocked the event loop" in caplog.text)
        assert "The body of task 'blocks' has blocked the event loop for" in caplog.text
        assert "gate.wait(LIMIT)" in caplog.text
        wait_for(lambda: "task 'blocks' blocked the event loop" in manager.health.causes[0])
        opened = datetime.datetime.now(datetime.UTC)
        gate.set()
        assert waiting.result(LIMIT) is None
        assert waiting.started_at is not None
        assert waiting.started_at >= opened
        wait_for(lambda: bool(manager.health))
