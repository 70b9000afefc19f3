"""Slots to come, and the nights in which a clock changes."""

from __future__ import annotations

import datetime
import time
from typing import Any

import pytest
import schedule

from task import BrokenScheduleError, ScheduleError, TaskManager, every, once
from task.overview import Overview
from task.overview.slots import Ahead, clock_change, upcoming
from task.schedules import Line
from task.testing import VirtualClock

UTC = datetime.UTC


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=UTC)


def told(start: str, words: str, count: int = 4) -> list[tuple[str, str | None]]:
    """The next slots of a schedule, as they are told to somebody at that moment."""
    overview = Overview(TaskManager([], clock=VirtualClock(at(start))))
    return [(slot.local, slot.clock_change) for slot in overview.preview(words, count=count)]


@pytest.mark.parametrize("words", ["30 2 * * * in Europe/Amsterdam", "every day at 02:30 in Europe/Amsterdam"])
def test_a_wall_time_that_the_spring_night_skips_is_marked(words: str) -> None:
    assert told("2026-03-27 12:00", words) == [
        ("Sat 28 Mar 2026 02:30 CET", None),
        ("Sun 29 Mar 2026 03:00 CEST", "gap"),
        ("Mon 30 Mar 2026 02:30 CEST", None),
        ("Tue 31 Mar 2026 02:30 CEST", None),
    ]


@pytest.mark.parametrize("words", ["30 2 * * * in Europe/Amsterdam", "every day at 02:30 in Europe/Amsterdam"])
def test_a_wall_time_that_the_autumn_night_repeats_is_marked(words: str) -> None:
    assert told("2026-10-23 12:00", words) == [
        ("Sat 24 Oct 2026 02:30 CEST", None),
        ("Sun 25 Oct 2026 02:30 CEST", "repeated"),
        ("Mon 26 Oct 2026 02:30 CET", None),
        ("Tue 27 Oct 2026 02:30 CET", None),
    ]


def test_a_wall_time_right_after_the_gap_is_no_other_than_it_says() -> None:
    assert told("2026-03-28 12:00", "0 3 * * * in Europe/Amsterdam", 1) == [("Sun 29 Mar 2026 03:00 CEST", None)]


def test_a_cron_that_follows_elapsed_time_skips_nothing_and_both_passes_of_an_hour_are_marked() -> None:
    assert told("2026-03-29 00:00", "*/30 * * * * in Europe/Amsterdam", 3) == [
        ("Sun 29 Mar 2026 01:30 CET", None),
        ("Sun 29 Mar 2026 03:00 CEST", None),
        ("Sun 29 Mar 2026 03:30 CEST", None),
    ]
    assert told("2026-10-24 23:30", "*/30 * * * * in Europe/Amsterdam", 5) == [
        ("Sun 25 Oct 2026 02:00 CEST", "repeated"),
        ("Sun 25 Oct 2026 02:30 CEST", "repeated"),
        ("Sun 25 Oct 2026 02:00 CET", "repeated"),
        ("Sun 25 Oct 2026 02:30 CET", "repeated"),
        ("Sun 25 Oct 2026 03:00 CET", None),
    ]


def test_lord_howe_changes_its_clock_by_half_an_hour() -> None:
    assert told("2026-10-02 12:00", "15 2 * * * in Australia/Lord_Howe", 3) == [
        ("Sat 3 Oct 2026 02:15 +1030", None),
        ("Sun 4 Oct 2026 02:30 +11", "gap"),
        ("Mon 5 Oct 2026 02:15 +11", None),
    ]
    assert told("2026-04-03 12:00", "45 1 * * * in Australia/Lord_Howe", 3) == [
        ("Sat 4 Apr 2026 01:45 +11", None),
        ("Sun 5 Apr 2026 01:45 +11", "repeated"),
        ("Mon 6 Apr 2026 01:45 +1030", None),
    ]


def test_a_day_without_a_time_of_its_own_has_that_of_its_anchor() -> None:
    start = at("2026-03-28 01:30")  # 02:30 in Amsterdam
    line = Line(every().day.at("02:30", "Europe/Amsterdam"), start, "sample")
    without = Line(every().day, start, "sample")
    without.job.at_time_zone = line.job.at_time_zone

    assert clock_change(without, at("2026-03-29 01:00")) == "gap"


@pytest.mark.parametrize(
    "job", [every(30).minutes, once(at("2026-10-25 00:30")), every(2).to(5).hours], ids=["interval", "once", "drawn"]
)
def test_what_names_no_wall_time_has_none_that_a_clock_could_change(job: schedule.Job) -> None:
    assert clock_change(Line(job, at("2026-10-25 00:00"), "sample"), at("2026-10-25 00:30")) is None


def test_without_a_zone_the_clock_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Amsterdam")
        time.tzset()
        spring, autumn = told("2026-03-28 12:00", "30 2 * * *", 1), told("2026-10-24 12:00", "every day at 02:30", 1)
    time.tzset()

    assert spring == [("Sun 29 Mar 2026 03:00 CEST", "gap")]
    assert autumn == [("Sun 25 Oct 2026 02:30 CEST", "repeated")]


def test_seconds_are_told_where_there_are_any() -> None:
    assert told("2026-05-04 12:00", "0 2 * * * 15 in UTC", 1) == [("Tue 5 May 2026 02:00:15 UTC", None)]


def test_a_preview_of_what_is_no_schedule_says_so(manager: TaskManager) -> None:
    with pytest.raises(ScheduleError):
        Overview(manager).preview("every so often")


def test_a_preview_resolves_the_h_by_the_name_of_the_task(manager: TaskManager) -> None:
    (slot,) = Overview(manager).preview("H 2 * * * in UTC", count=1, name="report")

    assert (slot.at, slot.task, slot.duration) == (at("2026-05-05 02:44"), "report", None)


def test_a_schedule_that_ends_has_a_preview_that_ends(manager: TaskManager) -> None:
    slots = Overview(manager).preview("once at 2026-05-04 18:00:00+00:00")

    assert [slot.at for slot in slots] == [at("2026-05-04 18:00")]


def test_slots_of_all_tasks_come_in_order_each_moment_of_a_task_once(manager: TaskManager) -> None:
    manager.add(lambda: None, [every(20).minutes, every(30).minutes], name="both")
    manager.add(lambda: None, every(25).minutes, name="other")

    with manager:
        slots = Overview(manager).upcoming(until=at("2026-05-04 13:00"))

    assert [(f"{slot.at:%H:%M}", slot.task) for slot in slots] == [
        ("12:20", "both"),
        ("12:25", "other"),
        ("12:30", "both"),
        ("12:40", "both"),
        ("12:50", "other"),
        ("13:00", "both"),
    ]


def test_a_slot_is_expected_to_take_what_runs_take_at_the_median(manager: TaskManager, clock: VirtualClock) -> None:
    takes = iter([1.0, 2.0, 9.0])
    manager.add(lambda: clock.sleep(next(takes)), every(10).minutes, name="sample")

    with manager:
        clock.advance(minutes=35)
        (slot,) = Overview(manager).upcoming("sample", limit=1)

    assert (slot.at, slot.duration) == (at("2026-05-04 12:40"), 2.0)


def test_slots_that_would_be_skipped_are_told_of_their_task_and_not_among_all(manager: TaskManager) -> None:
    off = manager.add(lambda: None, every(10).minutes, name="off")
    manager.add(lambda: None, every(10).minutes, name="on")
    overview = Overview(manager)

    with manager:
        off.disable()
        assert {slot.task for slot in overview.upcoming(limit=5)} == {"on"}
        assert [slot.at for slot in overview.upcoming("off", limit=1)] == [at("2026-05-04 12:10")]
        manager.pause()
        assert overview.upcoming(limit=5) == ()


def test_with_fixed_delay_only_the_next_slot_is_foretold(manager: TaskManager) -> None:
    manager.add(lambda: None, every(10).minutes, name="sample", fixed_delay=True)

    with manager:
        slots = Overview(manager).upcoming("sample")

    assert [slot.at for slot in slots] == [at("2026-05-04 12:10")]


def test_with_fixed_delay_no_slot_is_foretold_before_its_run_has_ended(
    manager: TaskManager, clock: VirtualClock
) -> None:
    overview, seen = Overview(manager), []
    manager.add(lambda: seen.append(overview.upcoming("sample")), every(10).minutes, name="sample", fixed_delay=True)

    with manager:
        clock.advance(minutes=10)
        (slot,) = overview.upcoming("sample")

    assert seen == [()]
    assert slot.at == at("2026-05-04 12:20")


def test_a_manager_that_does_not_run_has_no_slots_to_come(manager: TaskManager) -> None:
    manager.add(lambda: None, every(10).minutes, name="sample")

    assert Overview(manager).upcoming() == ()


def test_a_process_that_runs_nothing_tells_the_slots_of_those_that_do(store_url: str, clock: VirtualClock) -> None:
    elsewhere = TaskManager([], store=store_url, clock=clock)
    elsewhere.add(lambda: None, every(10).minutes, name="sample")
    here = TaskManager([], store=store_url, clock=clock)
    here.add(lambda: None, every(10).minutes, name="sample")

    with elsewhere:
        clock.advance(minutes=5)
        slots = Overview(here).upcoming(limit=2)

    assert [slot.at for slot in slots] == [at("2026-05-04 12:10"), at("2026-05-04 12:20")]


def test_a_schedule_that_breaks_on_the_way_ends_there_and_the_others_go_on() -> None:
    class Breaks(schedule.Job):
        def next_slot(self, after: datetime.datetime) -> datetime.datetime | None:
            raise ValueError("no tide today")

    noon: Any = at("2026-05-04 12:00")
    broken, sound = Line(Breaks(1), noon, "broken"), Line(every(10).minutes, noon, "sound")
    with pytest.raises(BrokenScheduleError):
        broken.after(noon)

    ten = at("2026-05-04 12:10")
    slots = upcoming([Ahead("broken", broken, ten), Ahead("sound", sound, ten)], at("2026-05-04 12:20"))

    assert [(name, f"{slot:%H:%M}") for slot, name, _ in slots] == [
        ("broken", "12:10"),
        ("sound", "12:10"),
        ("sound", "12:20"),
    ]
