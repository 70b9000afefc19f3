"""Incidents are told of once when they begin and once when they are over, or the log says what was not told."""

from __future__ import annotations

import asyncio

import pytest
from virtual_processes import VirtualProcesses

from task import TaskManager, every
from task.testing import VirtualClock


@pytest.fixture
def told() -> list[str]:
    """The first lines of what people were told."""
    return []


@pytest.fixture
def watched(clock: VirtualClock, told: list[str]) -> TaskManager:
    return TaskManager([], clock=clock, notify=lambda text: told.append(text.splitlines()[0]))


def test_a_run_that_has_got_its_place_is_overdue_no_more(
    watched: TaskManager, clock: VirtualClock, told: list[str]
) -> None:
    async def hang() -> None:
        await asyncio.sleep(600)

    watched.add(hang, every(1).hours, name="hang", mutex="one")
    watched.add(lambda: None, every(1).hours, name="report", mutex="one", overlap="queue")
    with watched:
        clock.advance(hours=1, minutes=9)
        assert told == [
            "Task 'report' is overdue: its slot of 2026-05-04 13:00:00 UTC has not been run: its run still waits: "
            "'hang' has the mutex 'one'"
        ]
        clock.advance(minutes=2)

    assert told[1:] == ["Resolved: task 'report' is overdue no more: a run of it has succeeded"]


def test_a_first_run_that_ends_after_all_is_the_end_of_what_its_next_slots_told(
    watched: TaskManager, clock: VirtualClock, told: list[str]
) -> None:
    async def linger() -> None:
        await asyncio.sleep(1_800)

    watched.add(linger, every(10).minutes, name="linger", overlap="skip")
    with watched:
        clock.advance(minutes=39)
        assert told == [
            "Task 'linger' is overdue: its slot of 2026-05-04 12:20:00 UTC has not been run: "
            "the run before it still goes on"
        ]
        clock.advance(minutes=2)

    assert told[1:] == ["Resolved: task 'linger' is overdue no more: a run of it has succeeded"]


def test_an_incident_that_is_open_for_a_month_is_told_of_again(
    processes: VirtualProcesses, clock: VirtualClock, told: list[str]
) -> None:
    worker = processes.make(notify=lambda text: told.append(text.splitlines()[0]))
    worker.add("sync", every(20).days, fails=1_000, alert_after=1)
    worker.run()
    worker.manager.trigger("sync")
    clock.advance(seconds=20)
    clock.step(days=29)
    clock.advance(minutes=3)
    in_a_month = [line.partition(":")[0] for line in told]
    clock.step(days=2)
    clock.advance(minutes=3)

    assert in_a_month == ["Task 'sync' is failing"]
    assert [line.partition(":")[0] for line in told] == ["Task 'sync' is failing"] * 2


def test_what_is_to_be_told_again_when_the_manager_stops_is_in_the_log(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[str] = []

    def notify(text: str) -> bool:
        tried.append(f"{clock.now():%H:%M:%S}")
        return False

    def fail() -> None:
        raise ConnectionError("no route to host")

    manager = TaskManager([], clock=clock, notify=notify)
    manager.add(fail, every(1).hours, name="sync", max_runs=1)
    with manager:
        clock.advance(hours=1, seconds=30)
    assert tried == ["13:00:00", "13:00:05"]
    assert caplog.text.count("and the manager stops; until it runs it is not told: Task 'sync' is failing") == 1
    with manager:
        clock.advance(minutes=5)

    assert tried[2:] == ["13:01:05"]
