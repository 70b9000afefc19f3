"""Restarts, catch-up and dead processes: several processes on one store, on a virtual clock."""

from __future__ import annotations

import datetime
import itertools
from typing import Any

import pytest
from virtual_processes import VirtualProcesses, times

from task import every, once

UTC = datetime.UTC
NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=UTC)

# Catch-up.


def test_a_daily_task_survives_hourly_restarts(processes: VirtualProcesses) -> None:
    for _ in range(49):
        process = processes.make()
        process.add("report", every().day.at("02:30", "UTC"))
        process.run()
        processes.clock.advance(seconds=2)
        process.stop()
        processes.clock.advance(minutes=59, seconds=58)

    assert processes.slots("report") == [
        datetime.datetime(2026, 5, 5, 2, 30, tzinfo=UTC),
        datetime.datetime(2026, 5, 6, 2, 30, tzinfo=UTC),
    ]
    assert [one.at.hour for one in processes.begun] == [3, 3]
    assert processes.audit() == []


def test_an_interval_keeps_its_grid_over_restarts(processes: VirtualProcesses) -> None:
    for _ in range(4):
        process = processes.make()
        process.add("sample", every(10).seconds)
        process.run()
        processes.clock.advance(seconds=24)
        process.crash()

    assert times(processes.slots("sample")) == [
        f"12:{second // 60:02}:{second % 60:02}" for second in range(10, 91, 10)
    ]
    assert processes.audit() == []


@pytest.mark.parametrize(
    ("misfire", "ran", "missed"),
    [
        ("latest", ["12:01:00", "12:30:00"], [28]),
        ("skip", ["12:01:00"], [29]),
        ("all", [f"12:{minute:02}:00" for minute in range(1, 31)], []),
    ],
)
def test_a_restart_after_downtime_follows_the_misfire_policy(
    processes: VirtualProcesses, misfire: Any, ran: list[str], missed: list[int]
) -> None:
    before = processes.make()
    before.add("sample", every(1).minutes, misfire=misfire, misfire_grace=5)
    before.run()
    processes.clock.advance(seconds=65)
    before.crash()
    processes.clock.advance(minutes=29, seconds=10)  # 12:30:15

    after = processes.make()
    after.add("sample", every(1).minutes, misfire=misfire, misfire_grace=5)
    after.run()
    processes.clock.advance(seconds=30)

    assert times(processes.slots("sample")) == ran
    assert [count for _, _, count in processes.rows("sample", "missed")] == missed
    assert processes.audit() == []


@pytest.mark.parametrize("misfire", ["latest", "skip", "all"])
def test_what_is_older_than_the_catch_up_window_is_one_missed_row(processes: VirtualProcesses, misfire: Any) -> None:
    options: Any = {"misfire": misfire, "misfire_grace": 5}
    before = processes.make(catch_up_window=600)
    before.add("sample", every(1).minutes, **options)
    before.run()
    processes.clock.advance(seconds=65)
    before.stop()
    processes.clock.advance(hours=3, seconds=-50)  # 15:00:15

    after = processes.make(catch_up_window=600)
    after.add("sample", every(1).minutes, **options)
    after.run()
    processes.clock.advance(seconds=30)

    old = ("missed", "older than the catch-up window when a process came back", 169)
    assert old in processes.rows("sample", "missed")
    caught_up = {
        "latest": ["15:00:00"],
        "skip": [],
        "all": [f"14:{minute}:00" for minute in range(51, 60)] + ["15:00:00"],
    }
    assert times(processes.slots("sample"))[1:] == caught_up[misfire]
    assert processes.audit() == []


def test_a_second_crash_in_the_middle_of_catching_up_repeats_nothing(processes: VirtualProcesses) -> None:
    def start(**options: Any) -> Any:
        process = processes.make(lost_after=2)
        process.add("sample", every(1).minutes, misfire="all", misfire_grace=5, seconds=3)
        return process.run()

    first = start()
    processes.clock.advance(seconds=70)
    first.crash()
    processes.clock.advance(minutes=10)  # 12:11:10
    second = start()
    processes.clock.advance(seconds=8)
    second.crash()  # in the body of the third late slot
    processes.clock.advance(seconds=5)
    third = start()
    processes.clock.advance(seconds=45)
    third.stop()

    assert times(processes.slots("sample")) == [f"12:{minute:02}:00" for minute in range(1, 13)]
    assert processes.doubles() == []
    assert len(processes.rows("sample", "lost")) == 1
    assert processes.audit() == []


def test_two_processes_that_catch_up_together_run_all_late_slots(processes: VirtualProcesses) -> None:
    def make() -> Any:
        process = processes.make()
        process.add("sample", every(1).minutes, misfire="all", misfire_grace=5, seconds=3)
        return process

    first = make().run()
    processes.clock.advance(seconds=70)
    first.crash()
    processes.clock.advance(minutes=10)  # 12:11:10
    one, other = make(), make()
    one.run()
    other.run()
    processes.clock.advance(seconds=45)

    assert times(processes.slots("sample")) == [f"12:{minute:02}:00" for minute in range(1, 12)]
    assert processes.doubles() == []
    assert processes.audit() == []


def test_a_moment_that_passed_while_no_process_lived_is_caught_up(processes: VirtualProcesses) -> None:
    def make() -> Any:
        process = processes.make()
        process.add("launch", once(NOON + datetime.timedelta(minutes=10)))
        return process

    first = make().run()
    processes.clock.advance(seconds=5)
    first.stop()
    processes.clock.advance(hours=2)
    second = make().run()
    processes.clock.advance(seconds=5)
    second.stop()
    processes.clock.advance(hours=1)
    third = make().run()
    processes.clock.advance(seconds=5)

    assert [(one.process, one.slot) for one in processes.begun] == [
        ("process 2", NOON + datetime.timedelta(minutes=10))
    ]
    assert [state for state, _, _ in processes.rows("launch")] == ["succeeded"]
    assert len(third.store.declarations("launch")) == 1
    assert processes.audit() == []


def test_a_moment_that_has_run_is_not_recorded_again_by_restarts(processes: VirtualProcesses, caplog: Any) -> None:
    for _ in range(3):
        process = processes.make()
        process.add("launch", once(NOON + datetime.timedelta(seconds=10)))
        process.run()
        processes.clock.advance(seconds=12)
        process.stop()
        processes.clock.advance(minutes=10)

    assert [state for state, _, _ in processes.rows("launch")] == ["succeeded"]
    assert len(process.store.declarations("launch")) == 1
    assert "recorded as missed" not in caplog.text
    assert processes.audit() == []


def test_a_moment_that_was_past_when_it_was_first_declared_is_told_of_once(
    processes: VirtualProcesses, caplog: Any
) -> None:
    for _ in range(3):
        process = processes.make()
        process.add("launch", once(NOON - datetime.timedelta(hours=1)))
        process.run()
        processes.clock.advance(seconds=5)
        process.stop()
        processes.clock.advance(minutes=10)

    assert [state for state, _, _ in processes.rows("launch")] == ["missed"]
    assert len(process.store.declarations("launch")) == 1
    assert caplog.text.count("recorded as missed") == 1
    assert processes.audit() == []


def test_a_late_slot_is_not_skipped_for_a_run_whose_process_is_dead(processes: VirtualProcesses) -> None:
    def make() -> Any:
        process = processes.make()
        process.add("report", every().day.at("12:00:10", "UTC"), seconds=20)
        return process

    first = make().run()
    processes.clock.advance(seconds=20)
    first.crash()  # in the body
    processes.clock.advance(hours=24)
    second = make().run()
    processes.clock.advance(minutes=1)
    second.stop()

    slot = NOON + datetime.timedelta(seconds=10)
    assert processes.slots("report") == [slot, slot + datetime.timedelta(days=1)]
    assert [state for state, _, _ in processes.rows("report")] == ["lost", "succeeded"]
    assert processes.audit() == []


def test_a_late_slot_does_not_wait_for_a_run_whose_process_lives(processes: VirtualProcesses) -> None:
    def make() -> Any:
        process = processes.make(lost_after=5)
        process.add("sample", every(60).seconds, seconds=150, misfire_grace=5)
        return process

    make().run()
    processes.clock.advance(seconds=130)  # in the body of 12:01; 12:02 was skipped
    make().run()
    processes.clock.advance(seconds=30)

    assert times(processes.slots("sample")) == ["12:01:00"]
    assert [state for state, _, _ in processes.rows("sample")] == ["running", "skipped"]


# Where the next slot depends on the run before.


def test_with_fixed_delay_the_next_slot_counts_from_the_end_of_the_run_wherever_it_was(
    processes: VirtualProcesses,
) -> None:
    for _ in range(2):
        process = processes.make()
        process.add("poll", every(10).seconds, fixed_delay=True, seconds=5)
        process.run()
    processes.clock.advance(seconds=100)

    begun = [one.at for one in processes.begun]
    gaps = {(after - before).total_seconds() for before, after in itertools.pairwise(begun)}
    assert len(begun) >= 6
    assert all(15 <= gap <= 17 for gap in gaps), gaps
    assert processes.doubles() == []
    assert processes.audit() == []


def test_with_fixed_delay_a_process_that_dies_in_the_body_leaves_the_next_slot_to_the_other(
    processes: VirtualProcesses,
) -> None:
    both = []
    for _ in range(2):
        process = processes.make(lost_after=3)
        process.add("poll", every(10).seconds, fixed_delay=True, seconds=5)
        both.append(process.run())
    processes.clock.advance(seconds=12)
    (begun,) = processes.begun
    dead = next(process for process in both if process.name == begun.process)
    dead.crash()
    processes.clock.advance(seconds=20)

    assert len(processes.begun) == 2
    assert processes.begun[1].process != dead.name
    (lost,) = [run for run in both[both.index(dead) - 1].store.runs("poll") if run.state == "lost"]
    assert lost.finished_at is not None
    assert 10 <= (processes.begun[1].at - lost.finished_at).total_seconds() <= 12
    assert processes.doubles() == []


def test_with_fixed_delay_a_restart_counts_from_the_end_of_the_last_run(processes: VirtualProcesses) -> None:
    def make() -> Any:
        process = processes.make()
        process.add("poll", every(40).seconds, fixed_delay=True, seconds=5)
        return process

    first = make().run()
    processes.clock.advance(seconds=46)
    first.stop()
    processes.clock.advance(seconds=20)
    second = make().run()
    processes.clock.advance(seconds=24)
    second.stop()
    processes.clock.advance(hours=1)
    make().run()
    processes.clock.advance(seconds=2)

    assert times(one.at for one in processes.begun) == ["12:00:40", "12:01:25", "13:01:30"]
    assert processes.audit() == []


def test_drawn_distances_make_no_double_rate_in_two_processes(processes: VirtualProcesses) -> None:
    for _ in range(2):
        process = processes.make()
        process.add("sample", every(4).to(8).seconds)
        process.run()
    processes.clock.advance(seconds=60)

    slots = processes.slots("sample")
    assert all(4 <= (after - before).total_seconds() <= 8 for before, after in itertools.pairwise(slots)), times(slots)
    assert 7 <= len(slots) <= 15
    assert processes.doubles() == []


def test_drawn_distances_go_on_from_the_mark_after_a_restart(processes: VirtualProcesses) -> None:
    for _ in range(5):
        process = processes.make()
        process.add("sample", every(10).to(20).seconds)
        process.run()
        processes.clock.advance(seconds=25)
        process.stop()

    slots = processes.slots("sample")
    assert all(10 <= (after - before).total_seconds() <= 20 for before, after in itertools.pairwise(slots))
    assert 6 <= len(slots) <= 13
