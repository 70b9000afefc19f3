"""Deploys: processes with different code of one task on one store, on a virtual clock."""

from __future__ import annotations

import datetime
import itertools
from typing import Any

import pytest
from virtual_processes import VirtualProcess, VirtualProcesses, times

from task import cron, every

UTC = datetime.UTC
NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=UTC)

both_databases = pytest.mark.parametrize("processes", ["sqlite", "postgresql"], indirect=True)


def start(processes: VirtualProcesses, schedule: Any = None, name: str = "sample", **options: Any) -> VirtualProcess:
    process = processes.make(lost_after=3)
    process.add(name, schedule, **options)
    return process.run()


def broken(process: VirtualProcess) -> str | None:
    (detail,) = process.manager.tasks_detail
    return detail["broken"]  # type: ignore[no-any-return]


# A schedule is changed.


@both_databases
def test_the_newest_schedule_counts_and_the_older_code_stops_and_says_so(
    processes: VirtualProcesses, caplog: Any
) -> None:
    old = start(processes, every(10).seconds)
    processes.clock.advance(seconds=25)
    new = start(processes, every(7).seconds)
    processes.clock.advance(seconds=30)

    assert times(processes.slots("sample")) == ["12:00:10", "12:00:20", "12:00:32", "12:00:39", "12:00:46", "12:00:53"]
    assert [one.process for one in processes.begun[2:]] == [new.name] * 4
    assert "newer code" in str(broken(old))
    assert broken(new) is None
    assert "Task 'sample' was declared with another schedule" in caplog.text
    assert processes.doubles() == []
    assert processes.audit() == []


def test_older_code_says_at_once_that_it_is_stale_not_at_its_next_slot(processes: VirtualProcesses) -> None:
    old = start(processes, every().day.at("02:30", "UTC"))
    start(processes, every().day.at("03:30", "UTC"))
    processes.clock.advance(seconds=2)
    assert "newer code" in str(broken(old))


def test_older_code_that_is_declared_again_takes_its_slots_again(processes: VirtualProcesses) -> None:
    first = start(processes, every(10).seconds)
    processes.clock.advance(seconds=15)
    new = start(processes, every(7).seconds)
    processes.clock.advance(seconds=10)  # 12:00:25
    back = start(processes, every(10).seconds)  # rolled back
    processes.clock.advance(seconds=5)
    assert (broken(first), broken(back)) == (None, None)
    assert "newer code" in str(broken(new))
    back.stop()
    new.stop()
    processes.clock.advance(seconds=21)

    assert times(processes.slots("sample")) == ["12:00:10", "12:00:22", "12:00:35", "12:00:45"]
    assert [one.process for one in processes.begun][-1] == first.name
    assert processes.audit() == []


def test_a_deploy_while_no_process_lives_changes_a_schedule_and_loses_no_slot(processes: VirtualProcesses) -> None:
    old = start(processes, every(20).seconds)
    processes.clock.advance(seconds=5)
    old.stop()
    processes.clock.advance(seconds=45)
    start(processes, every(15).seconds)
    processes.clock.advance(seconds=20)

    assert processes.rows("sample")[0] == ("missed", "its schedule was changed before it ran", 2)
    assert times(processes.slots("sample")) == ["12:01:05"]
    assert processes.audit() == []


@pytest.mark.parametrize("misfire", ["latest", "skip", "all"])
def test_of_two_schedules_one_is_dropped_and_every_slot_has_an_outcome(
    processes: VirtualProcesses, misfire: Any
) -> None:
    hourly, half_past = cron("0 * * * *", tz="UTC"), cron("30 13,15 * * *", tz="UTC")
    old = start(processes, [hourly, half_past], misfire=misfire)
    processes.clock.advance(seconds=30)
    old.stop()
    processes.clock.advance(hours=4, minutes=10)  # 16:10:30
    start(processes, [hourly], misfire=misfire)
    processes.clock.advance(minutes=1)

    assert ("missed", "its schedule was changed before it ran", 5) in processes.rows("sample")
    ran = {"latest": ["16:00:00"], "skip": [], "all": ["16:00:00"]}
    assert times(processes.slots("sample")) == ran[misfire]
    assert processes.audit() == []


def test_a_schedule_is_added_and_the_other_keeps_its_grid(processes: VirtualProcesses) -> None:
    old = start(processes, every(10).seconds)
    processes.clock.advance(seconds=13)
    new = start(processes, [every(10).seconds, every(25).seconds])
    processes.clock.advance(seconds=31)
    assert times(processes.slots("sample")) == ["12:00:10", "12:00:20", "12:00:30", "12:00:38", "12:00:40"]
    assert {one.process for one in processes.begun[1:]} == {new.name}
    assert broken(old) is not None
    assert processes.audit() == []


def test_code_that_has_no_schedule_any_more_ends_the_slots(processes: VirtualProcesses) -> None:
    old = start(processes, every(10).seconds)
    processes.clock.advance(seconds=15)
    new = start(processes)
    processes.clock.advance(seconds=30)
    assert times(processes.slots("sample")) == ["12:00:10"]
    assert "newer code" in str(broken(old))
    new.manager.trigger("sample")
    old.manager.trigger("sample")
    assert [one.process for one in processes.begun[1:]] == [new.name, old.name]
    assert processes.audit() == []


def test_the_same_schedules_in_another_order_are_the_same_declaration(processes: VirtualProcesses) -> None:
    one = start(processes, [every(10).seconds, every(15).seconds])
    processes.clock.advance(seconds=12)
    other = start(processes, [every(15).seconds, every(10).seconds])
    processes.clock.advance(seconds=20)
    assert (broken(one), broken(other)) == (None, None)
    assert times(processes.slots("sample")) == ["12:00:10", "12:00:15", "12:00:20", "12:00:30"]
    assert processes.audit() == []


def test_a_rolling_deploy_of_three_processes_doubles_and_loses_nothing(processes: VirtualProcesses) -> None:
    old = [start(processes, every(5).seconds) for _ in range(3)]
    processes.clock.advance(seconds=12)
    new = []
    for number, process in enumerate(old):
        new.append(start(processes, every(3).seconds))
        processes.clock.advance(seconds=4)
        process.stop() if number != 1 else process.crash()
        processes.clock.advance(seconds=3)
    processes.clock.advance(seconds=10)

    slots = processes.slots("sample")
    assert times(slots)[:3] == ["12:00:05", "12:00:10", "12:00:15"]
    assert {(after - before).total_seconds() for before, after in itertools.pairwise(slots[2:])} == {3}
    assert processes.doubles() == []
    assert processes.audit() == []


# A task is renamed, removed, brought back.


def test_a_renamed_task_begins_anew_and_its_old_name_is_left_alone(processes: VirtualProcesses) -> None:
    old = start(processes, every(10).seconds, "before")
    processes.clock.advance(seconds=15)
    new = start(processes, every(10).seconds, "after")
    processes.clock.advance(seconds=20)
    assert times(processes.slots("before")) == ["12:00:10", "12:00:20", "12:00:30"]
    assert times(processes.slots("after")) == ["12:00:25", "12:00:35"]
    assert (broken(old), broken(new)) == (None, None)
    old.stop()
    processes.clock.advance(seconds=30)
    assert processes.slots("before")[-1] == NOON + datetime.timedelta(seconds=30)
    assert processes.slots("after")[-1] == NOON + datetime.timedelta(seconds=65)
    assert new.manager.audit() == []  # the old name's slots are for a process that knows it


def test_a_removed_task_that_is_brought_back_is_caught_up(processes: VirtualProcesses) -> None:
    first = start(processes, every(4).seconds)
    processes.clock.advance(seconds=5)
    first.stop()
    without = processes.make(lost_after=3)
    without.add("other", every(30).seconds)
    without.run()
    processes.clock.advance(seconds=40)  # 12:00:45
    assert [str(run.state) for run in without.store.runs("sample")] == ["succeeded"]
    start(processes, every(4).seconds)
    processes.clock.advance(seconds=4)

    assert times(processes.slots("sample")) == ["12:00:04", "12:00:44", "12:00:48"]
    assert processes.rows("sample", "missed") == [("missed", "late: a newer slot was due", 9)]
    assert processes.doubles() == []
    assert processes.audit() == []


def test_a_task_that_is_taken_out_of_a_running_process_goes_on_in_the_others(processes: VirtualProcesses) -> None:
    one, other = start(processes, every(10).seconds), start(processes, every(10).seconds)
    processes.clock.advance(seconds=15)
    one.manager.remove("sample")
    processes.clock.advance(seconds=30)
    assert times(processes.slots("sample")) == ["12:00:10", "12:00:20", "12:00:30", "12:00:40"]
    assert {begun.process for begun in processes.begun[1:]} == {other.name}
    one.add("sample", every(10).seconds)
    other.crash()
    processes.clock.advance(seconds=20)
    assert times(processes.slots("sample"))[-2:] == ["12:00:50", "12:01:00"]
    assert processes.audit() == []


# What else the code says.


@pytest.mark.parametrize("schedule", [None, every(10).seconds], ids=["by hand", "scheduled"])
def test_a_changed_disabled_counts_as_a_new_switch_and_an_unchanged_one_does_not(
    processes: VirtualProcesses, schedule: Any
) -> None:
    old = start(processes, schedule)
    start(processes, schedule, disabled=True)
    processes.clock.advance(seconds=2)
    switch = old.store.switch("sample", processes.clock.now())
    assert (switch.enabled, switch.note, switch.at, switch.by) == (False, "changed in the code", NOON, "code")
    assert old.manager.trigger("sample").state == "skipped"

    old.manager["sample"].enable()
    again = start(processes, schedule, disabled=True)
    assert again.store.switch("sample", processes.clock.now()).enabled
    assert old.manager.trigger("sample").state in ("queued", "running", "succeeded")
    processes.clock.advance(seconds=2)

    start(processes, schedule, disabled=False)
    old.manager["sample"].disable("by hand")
    start(processes, schedule, disabled=False)
    assert not old.store.switch("sample", processes.clock.now()).enabled


def test_slots_run_with_the_parameters_of_the_process_that_takes_them(processes: VirtualProcesses) -> None:
    old = start(processes, every(10).seconds, parameters={"region": "EU"})
    processes.clock.advance(seconds=15)
    new = start(processes, every(10).seconds, parameters={"region": "US", "size": 3})
    processes.clock.advance(seconds=40)
    assert (broken(old), broken(new)) == (None, None)
    expected: dict[str, dict[str, Any]] = {old.name: {"region": "EU"}, new.name: {"region": "US", "size": 3}}
    assert all(begun.parameters == expected[begun.process] for begun in processes.begun)
    assert times(processes.slots("sample")) == ["12:00:10", "12:00:20", "12:00:30", "12:00:40", "12:00:50"]
    assert processes.audit() == []


def test_a_queued_run_with_the_declared_parameters_has_those_of_the_code_that_runs_it(
    processes: VirtualProcesses,
) -> None:
    options: Any = {"seconds": 25, "overlap": "queue"}
    old = start(processes, every(10).seconds, parameters={"region": "EU"}, **options)
    processes.clock.advance(seconds=21)  # the slot of 12:00:20 waits
    new = start(processes, every(10).seconds, parameters={"region": "US"}, **options)
    processes.clock.advance(seconds=1)
    old.crash()
    processes.clock.advance(seconds=7)
    begun = processes.begun[1]
    assert (begun.process, times([begun.slot]), begun.parameters) == (new.name, ["12:00:20"], {"region": "US"})


def test_a_process_without_the_task_adopts_none_of_its_runs(processes: VirtualProcesses) -> None:
    old = start(processes, overlap="queue", seconds=5)
    old.manager.trigger("sample")
    waiting = old.manager.trigger("sample")
    start(processes, every(1).minutes, "other")
    processes.clock.advance(seconds=1)
    old.crash()
    processes.clock.advance(seconds=10)
    assert [begun.run for begun in processes.begun if begun.task == "sample"][1:] == []
    back = start(processes, overlap="queue", seconds=5)
    processes.clock.advance(seconds=7)
    assert [(begun.process, begun.run) for begun in processes.begun if begun.task == "sample"][1:] == [
        (back.name, waiting.id)
    ]
