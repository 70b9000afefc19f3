"""Which slots appear, vanish or move between two versions of the code."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from typing import Any

import click
import pytest
import schedule
from hypothesis import example, given, settings
from hypothesis import strategies as st

from task import BrokenScheduleError, ParameterError, TaskManager, business_hours, cron, every, once
from task.foresight import Comparison, TaskChange, compare, comparison_text
from task.schedules import Line, live_copy
from task.testing import VirtualClock

UTC = datetime.UTC
#: A Monday. Europe's clocks go back on the Sunday, from 03:00 to 02:00.
MONDAY = datetime.datetime(2026, 10, 19, tzinfo=UTC)


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone of this process."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


Declare = Callable[[TaskManager], object]


def body() -> None:
    raise AssertionError("nothing is run")


def other_body() -> None:
    raise AssertionError("nothing is run")


def made(declare: Declare) -> TaskManager:
    manager = TaskManager([], clock=VirtualClock(MONDAY))
    declare(manager)
    return manager


def between(old: Declare, new: Declare, days: float = 7) -> Comparison:
    return compare(made(old), made(new), MONDAY + datetime.timedelta(days=days))


def of_one(old: Any, new: Any, days: float = 7, **options: Any) -> TaskChange:
    """What changes of a task ``report`` that has another schedule."""
    found = between(
        lambda manager: manager.add(body, old, name="report", **options),
        lambda manager: manager.add(body, new, name="report", **options),
        days,
    )
    (change,) = found.changes
    return change


def texts(moments: tuple[datetime.datetime, ...]) -> list[str]:
    return [f"{moment:%a %d %H:%M}" for moment in moments]


# Slots.


def test_slots_at_another_time_of_the_same_days_move() -> None:
    change = of_one(every().day.at("02:00", "UTC"), every().day.at("03:30", "UTC"))

    assert (change.kind, change.schedules) == (
        "changed",
        (("every day at 02:00 in UTC",), ("every day at 03:30 in UTC",)),
    )
    moves = change.moves
    assert (moves.were, moves.are, moves.move, moves.appear, moves.vanish) == (7, 7, 7, 0, 0)
    assert [(shift.was, shift.now, shift.times, f"{shift.first:%a}") for shift in moves.shifts] == [
        ("02:00", "03:30", 7, "Mon")
    ]


def test_slots_on_other_days_appear_and_vanish() -> None:
    change = of_one(cron("0 9 * * mon-fri", tz="UTC"), cron("0 9 * * tue-sat", tz="UTC"))

    assert (change.moves.move, change.moves.appear, change.moves.vanish) == (0, 1, 1)
    assert texts(change.moves.vanishing) == ["Mon 19 09:00"]
    assert texts(change.moves.appearing) == ["Sat 24 09:00"]


def test_more_slots_a_day_do_not_move_but_appear() -> None:
    change = of_one(every().hour, every(20).minutes, days=1)

    assert (change.moves.were, change.moves.are) == (24, 72)
    assert (change.moves.move, change.moves.appear, change.moves.vanish) == (0, 48, 0)
    assert texts(change.moves.appearing) == [
        "Mon 19 00:20",
        "Mon 19 00:40",
        "Mon 19 01:20",
        "Mon 19 01:40",
        "Mon 19 02:20",
    ]


def test_days_are_those_of_the_schedules_zone() -> None:
    change = of_one(
        cron("30 0 * * *", tz="Asia/Kolkata"),
        cron("30 23 * * *", tz="Asia/Kolkata"),
        days=7 - 5.5 / 24,  # to a midnight there
    )

    assert [(shift.was, shift.now, shift.times) for shift in change.moves.shifts] == [("00:30", "23:30", 6)]
    assert texts(change.moves.appearing) == ["Mon 19 23:30"]


def test_the_night_in_which_the_clock_goes_back_is_exact() -> None:
    """An hourly pattern follows elapsed time through it: that day has 25 slots, and a daily time just one."""
    change = of_one(cron("30 2 * * *", tz="Europe/Amsterdam"), cron("30 * * * *", tz="Europe/Amsterdam"))
    whole = of_one(
        cron("0 * * * *", tz="Europe/Amsterdam"), cron("30 * * * *", tz="Europe/Amsterdam"), days=7 - 22 / 24
    )

    assert (change.moves.were, change.moves.are) == (7, 168)
    assert (whole.moves.were, whole.moves.are) == (146, 146)


def test_the_night_in_which_the_clock_goes_forward_is_exact() -> None:
    spring = datetime.datetime(2026, 3, 28, 22, tzinfo=UTC)
    old = TaskManager([])
    old.add(body, cron("30 2 * * *", tz="Europe/Amsterdam"), name="report")
    new = TaskManager([])
    new.add(body, cron("0 3 * * *", tz="Europe/Amsterdam"), name="report")

    found = compare(old, new, spring + datetime.timedelta(days=2), since=spring)

    # 02:30 is skipped on Sunday: that slot is at 03:00, where the new one is; on Monday it moves.
    (change,) = found.changes
    assert [(shift.was, shift.now, shift.times, f"{shift.first:%a}") for shift in change.moves.shifts] == [
        ("02:30", "03:00", 1, "Mon")
    ]


def test_a_schedule_beside_another_adds_its_slots_only() -> None:
    change = of_one(every().day.at("02:00", "UTC"), [every().day.at("02:00", "UTC"), once(MONDAY.replace(hour=12))])

    assert (change.moves.move, change.moves.appear, change.moves.vanish) == (0, 1, 0)


def test_where_a_task_begins_and_ends_counts() -> None:
    found = between(
        lambda manager: manager.add(body, every().day.at("02:00", "UTC"), name="report"),
        lambda manager: manager.add(
            body,
            every().day.at("02:00", "UTC"),
            name="report",
            start=MONDAY + datetime.timedelta(days=2),
            max_runs=3,
        ),
    )

    (change,) = found.changes
    assert texts(change.moves.vanishing) == ["Mon 19 02:00", "Tue 20 02:00", "Sat 24 02:00", "Sun 25 02:00"]
    assert [(option.option, option.was, option.now) for option in change.options] == [
        ("start", "None", "2026-10-21 00:00:00+00:00"),
        ("max_runs", "None", "3"),
    ]


def test_an_interval_is_counted_from_its_start() -> None:
    start = MONDAY - datetime.timedelta(minutes=50)
    change = of_one(every(2).hours, every(1).hours, days=0.5, start=start)

    assert texts(change.moves.appearing) == [
        "Mon 19 00:10",
        "Mon 19 02:10",
        "Mon 19 04:10",
        "Mon 19 06:10",
        "Mon 19 08:10",
    ]


class Mornings(schedule.Job):
    """A schedule of the user's own."""

    def __init__(self, hour: int) -> None:
        super().__init__(1, schedule.default_scheduler)
        self.morning = hour

    def next_slot(self, after: datetime.datetime) -> datetime.datetime:
        """Each morning."""
        today = after.replace(hour=self.morning, minute=0, second=0, microsecond=0)
        return today if today > after else today + datetime.timedelta(days=1)


def test_a_schedule_of_ones_own_is_asked() -> None:
    change = of_one(Mornings(7), Mornings(8))

    assert [(shift.was, shift.now, shift.times) for shift in change.moves.shifts] == [("07:00", "08:00", 7)]


def test_a_schedule_of_ones_own_that_fails_is_named() -> None:
    class Broken(Mornings):
        def next_slot(self, after: datetime.datetime) -> datetime.datetime:
            raise ValueError("no")

    with pytest.raises(BrokenScheduleError, match="Task 'report': next_slot"):
        of_one(Mornings(7), Broken(7))


# Tasks and options.


def test_tasks_that_come_go_and_are_renamed() -> None:
    found = between(
        lambda manager: (
            manager.add(body, every().day.at("02:00", "UTC"), name="report"),
            manager.add(other_body, every().monday.at("09:00", "UTC"), name="tidy"),
            manager.add(lambda: None, every().hour, name="same"),
        ),
        lambda manager: (
            manager.add(body, every().day.at("02:00", "UTC"), name="nightly report"),
            manager.add(print, every().tuesday.at("09:00", "UTC"), name="fetch"),
            manager.add(lambda: None, every().hour, name="same"),
        ),
    )

    assert [(change.task, change.kind, change.was) for change in found.changes] == [
        ("fetch", "added", None),
        ("nightly report", "renamed", "report"),
        ("tidy", "removed", None),
    ]
    fetch, report, tidy = found.changes
    assert texts(fetch.moves.appearing) == ["Tue 20 09:00"]
    assert not report.moves.any
    assert texts(tidy.moves.vanishing) == ["Mon 19 09:00"]
    assert (found.unchanged, found.slots_differ) == (1, True)


def test_a_function_of_two_tasks_tells_nothing_of_their_names() -> None:
    found = between(
        lambda manager: [manager.add(body, name=name) for name in ("a", "b")],
        lambda manager: [manager.add(body, name=name) for name in ("c", "d")],
    )

    assert [(change.task, change.kind) for change in found.changes] == [
        ("a", "removed"),
        ("b", "removed"),
        ("c", "added"),
        ("d", "added"),
    ]


def test_options_that_change_what_happens_are_told() -> None:
    found = between(
        lambda manager: manager.add(body, every().hour, name="report", retry=3, tags=["a"], on_success=print),
        lambda manager: manager.add(
            body,
            every().hour,
            name="report",
            retry=5,
            tags=["b"],
            overlap="queue",
            misfire="all",
            disabled=True,
            timeout=60,
            only_if=business_hours("09:00", "17:00", tz="UTC"),
        ),
    )

    (change,) = found.changes
    assert not change.moves.any
    assert [(option.option, option.was, option.now) for option in change.options] == [
        ("disabled", "False", "True"),
        ("misfire", "'latest'", "'all'"),
        ("overlap", "'skip'", "'queue'"),
        ("retry", "3", "5"),
        ("timeout", "None", "60"),
        ("only_if", "[]", "[business_hours('09:00', '17:00', tz='UTC')]"),
    ]
    assert not found.slots_differ


def test_a_strategy_of_tenacity_is_told_by_what_it_holds() -> None:
    import tenacity

    def with_attempts(count: int) -> Declare:
        strategy = tenacity.Retrying(stop=tenacity.stop_after_attempt(count), wait=tenacity.wait_fixed(2))
        return lambda manager: manager.add(body, every().hour, name="report", retry=strategy)

    assert between(with_attempts(3), with_attempts(3)).changes == ()
    (change,) = between(with_attempts(3), with_attempts(4)).changes
    assert "max_attempt_number=3" in change.options[0].was
    assert " at 0x" not in change.options[0].was


def test_secret_parameters_stay_secret() -> None:
    def report(region: str, password: str) -> None: ...

    found = between(
        lambda manager: manager.add(
            report, name="report", parameters={"region": "EU", "password": "hunter22"}, redact=["password"]
        ),
        lambda manager: manager.add(
            report, name="report", parameters={"region": "US", "password": "hunter23"}, redact=["password"]
        ),
    )

    (change,) = found.changes
    assert [(option.was, option.now) for option in change.options] == [
        ("{'region': 'EU', 'password': '***'}", "{'region': 'US', 'password': '***'}")
    ]


def test_recurring_entries_of_the_code_are_compared_too() -> None:
    def with_entry(line: str) -> Declare:
        def declare(manager: TaskManager) -> None:
            manager.add(body, name="report")
            manager.recurring.add("report EU", task="report", schedule=line)

        return declare

    (change,) = between(with_entry("0 9 * * * in UTC"), with_entry("0 10 * * * in UTC")).changes

    assert (change.task, change.moves.move) == ("report EU", 7)


def test_nothing_is_started() -> None:
    old, new = made(lambda manager: manager.add(body, every().hour, name="a", run_at_start=True)), made(lambda _: None)

    compare(old, new, MONDAY + datetime.timedelta(days=30))

    assert (old.state, new.state, list(old.runs()), old["a"].schedules[0].last_run) == ("stopped", "stopped", [], None)


# What cannot be.


@pytest.mark.parametrize(
    "until", [MONDAY, MONDAY + datetime.timedelta(days=367), MONDAY.replace(tzinfo=None), "tomorrow"]
)
def test_a_span_that_cannot_be_foreseen_is_refused(until: Any) -> None:
    with pytest.raises(ParameterError):
        compare(made(lambda _: None), made(lambda _: None), until)


def test_too_many_slots_are_refused_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("task.foresight.comparison.MOST_SLOTS", 100)

    with pytest.raises(
        ParameterError, match=r"more than 100 slots to compare, those of task 'report' among them\. Compare"
    ):
        of_one(every().minute, every(2).minutes)


def test_slots_that_are_surely_the_same_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("task.foresight.comparison.MOST_SLOTS", 0)

    found = between(
        lambda manager: manager.add(body, every().second, name="report"),
        lambda manager: manager.add(body, every().second, name="report", timeout=5),
        days=366,
    )

    assert [change.options[0].option for change in found.changes] == ["timeout"]


# In general.


SCHEDULES = st.one_of(
    st.builds(lambda number: every(number).minutes, st.integers(7, 300)),
    st.builds(lambda hour: every().day.at(f"{hour:02}:30", "Europe/Amsterdam"), st.integers(0, 23)),
    st.builds(lambda hour: every().sunday.at(f"{hour:02}:15", "America/New_York"), st.integers(0, 23)),
    st.builds(
        lambda minute, hour: cron(f"{minute} {hour} * * *", tz="Europe/Amsterdam"),
        st.sampled_from(["0", "30", "*/20"]),
        st.sampled_from(["1", "2", "3", "1-4", "*"]),
    ),
)


@given(st.lists(SCHEDULES, min_size=1, max_size=3), st.lists(SCHEDULES, min_size=1, max_size=3))
@example([cron("0 2 * * *", tz="Europe/Amsterdam")], [every().sunday.at("00:15", "America/New_York")])
@settings(max_examples=40, deadline=None)
def test_every_slot_is_kept_moved_or_told(old: list[Any], new: list[Any]) -> None:
    until = MONDAY + datetime.timedelta(days=7)

    found = between(
        lambda manager: manager.add(body, old, name="report"), lambda manager: manager.add(body, new, name="report")
    )

    were, are = slots_one_by_one(old, until), slots_one_by_one(new, until)
    moves = found.changes[0].moves if found.changes else None
    if moves is None or not moves.any:
        assert were == are
        return
    assert (moves.were, moves.are) == (len(were), len(are))
    assert moves.vanish + moves.move == len(were - are)
    assert moves.appear + moves.move == len(are - were)
    # In UTC: one in the hour that the zone repeats in autumn equals no moment of another zone (PEP 495).
    assert {slot.astimezone(datetime.UTC) for slot in moves.vanishing} <= were - are
    assert {slot.astimezone(datetime.UTC) for slot in moves.appearing} <= are - were


def slots_one_by_one(jobs: list[schedule.Job], until: datetime.datetime) -> set[datetime.datetime]:
    found: set[datetime.datetime] = set()
    for job in jobs:
        line = Line(live_copy(job, "report", ()), MONDAY, "report")
        slot = line.after(MONDAY)
        while slot is not None and slot <= until:
            found.add(slot)
            slot = line.after(slot)
    return found


# In lines.


@pytest.mark.usefixtures("utc")
def test_a_comparison_reads_like_a_difference() -> None:
    found = between(
        lambda manager: (
            manager.add(body, every().day.at("02:00", "UTC"), name="report"),
            manager.add(other_body, every(10).minutes, name="fetch"),
            manager.add(print, once(MONDAY + datetime.timedelta(hours=1)), name="migrate"),
        ),
        lambda manager: (
            manager.add(body, every().day.at("03:00", "UTC"), name="report", overlap="queue"),
            manager.add(other_body, every(12).hours, name="fetch"),
            manager.add(len, name="by hand"),
        ),
    )

    assert list(comparison_text(found)) == [
        "+ by hand: added",
        "    schedule: none",
        "~ fetch",
        "    schedule: every 10 minutes",
        "         now: every 12 hours",
        "    994 slots vanish: Mon 19 Oct 00:10, Mon 19 Oct 00:20, Mon 19 Oct 00:30, Mon 19 Oct 00:40, "
        "Mon 19 Oct 00:50, …",
        "- migrate: removed",
        "    schedule: once at 2026-10-19 01:00:00+00:00",
        "    1 slot vanishes: Mon 19 Oct 01:00",
        "~ report",
        "    schedule: every day at 02:00 in UTC",
        "         now: every day at 03:00 in UTC",
        "    overlap: 'skip' -> 'queue'",
        "    7 slots move: 02:00 -> 03:00, 7 times from Mon 19 Oct",
        "4 tasks are different, 0 tasks are the same: Mon 19 Oct 2026 00:00 to Mon 26 Oct 2026 00:00",
    ]
    assert [click.unstyle(line) for line in comparison_text(found, colour=True)] == list(comparison_text(found))
    assert list(comparison_text(found, limit=1))[2] == "and 3 more tasks that are different"
