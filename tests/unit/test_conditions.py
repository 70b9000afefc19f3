"""``only_if``: slots that somebody does not want."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable

import pytest

from task import DeclarationError, DeclarationTypeError, TaskManager, business_hours, every
from task.testing import VirtualClock

#: So long is waited for what another thread does, on a machine that lets it wait. Seconds.
LIMIT = 60.0

WaitFor = Callable[[Callable[[], bool]], None]


@pytest.mark.parametrize("kind", ["serial", "fixed_delay", "catch-up"])
def test_a_refused_slot_is_a_recorded_skip(clock: VirtualClock, kind: str) -> None:
    manager = TaskManager([], clock=clock)
    asked: list[datetime.datetime] = []

    def even(slot: datetime.datetime) -> bool:
        asked.append(slot)
        return slot.minute % 20 == 0

    manager.add(
        lambda: None,
        every(10).minutes,
        name="sample",
        only_if=even,
        fixed_delay=kind == "fixed_delay",
        misfire="all" if kind == "catch-up" else "latest",
    )
    with manager:
        if kind == "catch-up":
            clock.suspend(minutes=60)
            clock.advance(seconds=1)
        else:
            clock.advance(minutes=61)
        rows = [(str(run.state), run.reason) for run in reversed(manager.runs("sample"))]
        assert rows == [("skipped", "only_if refused: even"), ("succeeded", None)] * 3
        assert manager.tasks_detail[0]["counts"]["skips"] == {"only_if refused: even": 3}
    assert [slot.minute for slot in asked] == [10, 20, 30, 40, 50, 0]


def test_who_triggers_or_calls_by_hand_is_not_asked(manager: TaskManager) -> None:
    sample = manager.add(lambda: "ran", every(10).minutes, name="sample", only_if=lambda: False)
    with manager:
        assert sample.trigger().result(LIMIT) == "ran"
        assert sample() == "ran"


def test_business_hours_keep_the_night_quiet(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(1).hours, name="sample", only_if=business_hours(9, 17, tz="Europe/Amsterdam"))
    with manager:
        clock.advance(hours=24)  # from noon UTC, which is two in the afternoon there, on a Monday in May
        rows = [(str(run.state), run.count) for run in reversed(manager.runs("sample"))]
    assert rows == [("succeeded", 1)] * 2 + [("skipped", 16)] + [("succeeded", 1)] * 6


def test_a_disabled_task_says_so_first(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(10).minutes, name="sample", only_if=lambda: False, disabled=True)
    with manager:
        clock.advance(minutes=11)
        assert manager.runs("sample")[0].reason == "disabled"


def test_one_that_raises_refuses_and_is_logged(
    manager: TaskManager, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> bool:
        raise ValueError("no")

    manager.add(lambda: None, every(10).minutes, name="sample", only_if=broken)
    manager.add(lambda: None, every(10).minutes, name="other")
    with manager:
        clock.advance(minutes=11)
        assert manager.runs("sample")[0].reason == "only_if raised ValueError: no"
        assert manager.runs("other")[0].state == "succeeded"
    assert "'sample'" in caplog.text


def test_one_that_hangs_holds_up_its_own_task_alone(wait_for: WaitFor) -> None:
    clock = VirtualClock(threads=True)
    manager, gate = TaskManager([], clock=clock), threading.Event()
    manager.add(lambda: None, every(10).seconds, name="slow", only_if=lambda: gate.wait(LIMIT))
    manager.add(lambda: None, every(10).seconds, name="other")
    with manager:
        for number in range(1, 6):
            clock.advance(seconds=10)
            wait_for(lambda number=number: len(manager.runs("other", state="succeeded")) == number)
        assert manager.runs("slow") == []
        clock.advance(seconds=30)
        only_that = ("only_if of 'slow' has not answered; 0 others wait for theirs",)
        wait_for(lambda: manager.health.causes == only_that)  # the bodies of the other have found their thread by then
        gate.set()
        wait_for(lambda: len(manager.runs("slow")) > 0)
        wait_for(lambda: manager.tasks_detail[0]["queued"] is False and manager.tasks_detail[0]["running"] is False)

        def ran_again() -> bool:
            clock.advance(seconds=10)  # each time: only a thread puts the task back on the heap
            return bool(manager.tasks_detail[0]["counts"]["runs"] >= 2)

        wait_for(ran_again)


@pytest.mark.parametrize("condition", [3, "weekdays", [1]])
def test_what_is_no_condition_is_refused(manager: TaskManager, condition: object) -> None:
    with pytest.raises((DeclarationError, DeclarationTypeError), match="only_if"):
        manager.add(lambda: None, every(10).minutes, name="sample", only_if=condition)
