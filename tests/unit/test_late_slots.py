"""Late slots, clock steps and machine sleep: every slot has one outcome, and none is repeated."""

from __future__ import annotations

import datetime
import itertools
import logging
from typing import Any

import pytest
import schedule

from task import Scheduler, TaskManager, clock_stepped, cron, every, marks_set_back
from task.testing import VirtualClock


def times(manager: TaskManager, name: str) -> list[str]:
    """The outcomes, oldest first: state, slot and how many."""
    return [
        f"{run.state} {run.slot:%H:%M} ×{run.as_dict()['count']}" for run in reversed(manager.runs(name)) if run.slot
    ]


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [
        ("latest", ["succeeded 12:30 ×1", "missed 13:00 ×4", "succeeded 15:00 ×1", "succeeded 15:30 ×1"]),
        ("skip", ["succeeded 12:30 ×1", "missed 13:00 ×5", "succeeded 15:30 ×1"]),
        (
            "all",
            [
                "succeeded 12:30 ×1",
                *[f"succeeded {slot} ×1" for slot in ("13:00", "13:30", "14:00", "14:30", "15:00", "15:30")],
            ],
        ),
    ],
)
@pytest.mark.parametrize("job", [every(30).minutes, cron("*/30 * * * *", tz="UTC")], ids=["interval", "cron"])
def test_slots_that_came_due_in_a_sleep_follow_the_misfire_policy(
    manager: TaskManager, clock: VirtualClock, misfire: Any, expected: list[str], job: schedule.Job
) -> None:
    manager.add(lambda: None, job, name="sample", misfire=misfire)
    with manager:
        clock.advance(minutes=40)
        clock.suspend(hours=2, minutes=35)  # 15:15
        clock.advance(minutes=20)
        assert times(manager, "sample") == expected


def test_a_caught_up_run_says_so(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(30).minutes, name="sample")
    with manager:
        clock.suspend(hours=2)
        clock.advance(seconds=60)
        assert [run.trigger for run in manager.runs("sample")] == ["schedule", "schedule"]  # on its slot: not late
        clock.suspend(hours=2, minutes=10)
        clock.advance(seconds=60)
        assert manager.runs("sample", limit=1)[0].trigger == "catch-up"


def test_all_runs_late_slots_one_by_one_even_when_they_take_long(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: clock.sleep(120), every(10).minutes, name="sample", misfire="all")
    with manager:
        clock.suspend(hours=1)
        clock.advance(minutes=30)
        assert [run.state for run in manager.runs("sample")] == ["succeeded"] * 9


def test_all_is_capped_from_the_newest_end(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(1).minutes, name="sample", misfire="all")
    with manager:
        clock.suspend(hours=5)
        clock.advance(seconds=1)
        runs = manager.runs("sample", limit=1000)
    assert len(runs) == 101
    assert (runs[-1].state, runs[-1].as_dict()["count"]) == ("missed", 200)
    assert runs[0].slot == clock.now() - datetime.timedelta(seconds=1)


@pytest.mark.parametrize(
    ("jump", "fired"),
    [
        ({"hours": -1}, 12),
        ({"days": -1}, 12),
        ({"days": -3}, 12),
        ({"hours": 1}, 13),
        ({"days": 30}, 13),
        ({"days": 365}, 13),
    ],
)
def test_intervals_go_on_at_their_elapsed_rate_whatever_the_wall_clock_does(
    manager: TaskManager, clock: VirtualClock, jump: dict[str, float], fired: int
) -> None:
    elapsed: list[float] = []
    manager.add(lambda: elapsed.append(clock.monotonic()), every(10).seconds, name="sample")
    with manager:
        clock.advance(seconds=65)
        clock.step(**jump)
        clock.advance(seconds=60)
    assert len(elapsed) == fired
    gaps = [later - earlier for earlier, later in itertools.pairwise(elapsed)]
    assert max(gaps) <= 30  # the wait cap


def test_moments_of_intervals_never_go_back_within_a_day(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(10).minutes, name="sample")
    with manager:
        clock.advance(minutes=60)
        clock.step(hours=-1)
        clock.advance(minutes=60)
        admitted = sorted(manager.runs("sample"), key=lambda run: run.token)  # as they came, whatever the clock said
        slots = [run.slot for run in admitted if run.slot]
    assert slots == sorted(set(slots))
    assert len(slots) == 12


def test_calendars_are_silent_until_the_wall_clock_has_passed_the_mark(
    manager: TaskManager, clock: VirtualClock
) -> None:
    manager.add(lambda: None, cron("*/10 * * * *", tz="UTC"), name="sample")
    with manager:
        clock.advance(minutes=35)
        clock.step(hours=-1)  # 11:35; the mark is at 12:30
        clock.advance(minutes=60)
        assert len(manager.runs("sample")) == 3
        clock.advance(minutes=10)
        assert len(manager.runs("sample")) == 4


@pytest.mark.parametrize("job", [every(10).minutes, cron("*/10 * * * *", tz="UTC")], ids=["interval", "cron"])
def test_a_mark_more_than_a_day_ahead_is_set_back(manager: TaskManager, clock: VirtualClock, job: schedule.Job) -> None:
    steps: list[float] = []
    names: list[list[str]] = []
    stepped = clock_stepped.connect(lambda sender, seconds: steps.append(seconds), weak=False)
    reset = marks_set_back.connect(lambda sender, moment, names=names, **_: None, weak=False)
    heard = marks_set_back.connect(lambda sender, **carried: names.append(carried["names"]), weak=False)
    manager.add(lambda: None, job, name="sample")
    with manager:
        clock.advance(minutes=10)
        clock.step(days=30)
        clock.advance(minutes=10)
        clock.step(days=-30)
        clock.advance(minutes=30)
        assert len(manager.runs("sample")) == 7
    assert [round(step / 86400) for step in steps] == [30, -30]
    assert names == [["sample"]]
    clock_stepped.disconnect(stepped)
    marks_set_back.disconnect(reset)
    marks_set_back.disconnect(heard)


def test_a_jump_of_a_year_is_counted_as_more_than_a_thousand(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, cron("* * * * *", tz="Europe/Amsterdam"), name="sample")
    with manager:
        clock.step(days=365)
        clock.advance(minutes=1)
        missed = manager.runs("sample", state="missed")
    assert len(missed) == 1
    assert missed[0].as_dict()["count"] == 1001


def test_a_step_is_logged(manager: TaskManager, clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    manager.add(lambda: None, every(10).seconds, name="sample")
    with manager:
        clock.advance(seconds=10)
        clock.step(hours=1)
        clock.advance(seconds=10)
    assert "jumped by +3600.0 seconds" in caplog.text


def test_a_step_forward_after_one_back_ends_the_lead(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(10).minutes, name="sample")
    with manager:
        clock.advance(minutes=30)
        clock.step(hours=-1)
        clock.advance(minutes=30)
        clock.step(hours=1)
        clock.advance(minutes=30)
        assert len(manager.runs("sample")) == 9


class Broken(schedule.Job):
    def __init__(self, answer: Any) -> None:
        super().__init__(1)
        self.answer = answer
        self.asked = 0

    def next_slot(self, after: datetime.datetime) -> Any:
        self.asked += 1
        if self.asked == 1:
            return after + datetime.timedelta(seconds=10)
        return self.answer(after)


def raises(after: datetime.datetime) -> datetime.datetime:
    raise SystemExit("no")


@pytest.mark.parametrize(
    "answer",
    [
        raises,
        lambda after: after - datetime.timedelta(seconds=1),
        lambda after: after,
        lambda after: datetime.datetime(2030, 1, 1),
        lambda after: "tomorrow",
    ],
    ids=["raises", "past", "same", "naive", "text"],
)
def test_a_broken_schedule_is_left_out_and_shown_and_the_others_go_on(
    manager: TaskManager, clock: VirtualClock, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "task")
    manager.add(lambda: None, Broken(answer), name="broken")
    manager.add(lambda: None, every(10).seconds, name="good")
    with manager:
        clock.advance(minutes=1)
        details = {detail["name"]: detail for detail in manager.tasks_detail}
        asked = manager["broken"].schedules[0].asked  # type: ignore[attr-defined]  # it is a Broken
        assert len(manager.runs("good")) == 6
        assert manager.health
    assert details["broken"]["broken"] is not None
    assert details["broken"]["next_run"] is None
    assert details["good"]["broken"] is None
    assert asked <= 3
    assert "'broken' is broken" in caplog.text


def test_the_loop_asks_for_nothing_while_nothing_is_due(clock: VirtualClock) -> None:
    scheduler = Scheduler(clock)
    scheduler.every(1).hours.do(lambda: None)
    passes = [0]
    make_pass = scheduler._make_pass

    def counted() -> None:
        passes[0] += 1
        make_pass()

    scheduler._make_pass = counted  # type: ignore[method-assign]  # to count
    scheduler.start()
    clock.advance(minutes=10)
    scheduler.stop()
    assert passes[0] <= 21


@pytest.mark.parametrize("kind", ["serial", "threaded", "async"])
def test_all_late_slots_of_every_kind_of_body_are_run_and_it_goes_on(
    manager: TaskManager, clock: VirtualClock, kind: str
) -> None:
    async def asynchronous() -> None: ...

    body = asynchronous if kind == "async" else lambda: None
    manager.add(body, every(1).minutes, name="sample", misfire="all", threaded=kind == "threaded")
    with manager:
        clock.suspend(hours=3)
        clock.advance(minutes=5, seconds=1)
        states = [str(run.state) for run in manager.runs("sample", limit=200)]
    assert states == ["succeeded"] * 105 + ["missed"]


def test_a_task_that_can_never_catch_up_does_not_hold_the_virtual_clock(
    manager: TaskManager, clock: VirtualClock
) -> None:
    manager.add(lambda: clock.sleep(25), [every(10).seconds, every(7).seconds], name="sample", misfire="all")
    with manager:
        clock.suspend(hours=1)
        clock.advance(seconds=0)
        clock.advance(minutes=5)
        assert len(manager.runs("sample", state="succeeded")) >= 12
