"""What becomes of the runs of a process that dies, or is frozen and comes back: on a virtual clock."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from typing import Any

import pytest
from tenacity import Retrying, stop_after_attempt, wait_fixed
from virtual_processes import VirtualProcess, VirtualProcesses, times

from task import CancelJob, every

UTC = datetime.UTC

both_databases = pytest.mark.parametrize("processes", ["sqlite", "postgresql"], indirect=True)


def states(processes: VirtualProcesses, task: str) -> list[str]:
    """In the order of the alphabet: rows of one millisecond have none."""
    return sorted(state for state, _, _ in processes.rows(task))


def two(processes: VirtualProcesses, **options: Any) -> tuple[VirtualProcess, VirtualProcess]:
    one, other = processes.make(lost_after=3), processes.make(lost_after=3)
    for process in (one, other):
        process.add("sample", **options)
        process.run()
    return one, other


# The dead.


@both_databases
def test_the_run_of_a_dead_process_is_lost_and_another_takes_the_next_slot(processes: VirtualProcesses) -> None:
    one, other = two(processes, schedule=every(20).seconds, seconds=5)
    processes.clock.advance(seconds=21)
    (begun,) = processes.begun
    dead, left = (one, other) if begun.process == one.name else (other, one)
    dead.crash()
    processes.clock.advance(seconds=25)

    assert states(processes, "sample") == ["lost", "succeeded"]
    assert next(row.reason for row in left.store.runs("sample", "lost")).endswith("has died")
    assert times(processes.slots("sample")) == ["12:00:20", "12:00:40"]
    assert processes.begun[1].process == left.name
    assert processes.audit() == []


def test_a_process_that_comes_judges_the_others_from_what_it_has_seen_of_them(processes: VirtualProcesses) -> None:
    one = processes.make(lost_after=3)
    one.add("sample", seconds=60)
    one.run()
    one.manager.trigger("sample")
    one.freeze()
    other = processes.make(lost_after=3)
    other.run()
    processes.clock.advance(seconds=2.5)
    judged_early = states(processes, "sample")
    processes.clock.advance(seconds=2.5)

    assert judged_early == ["running"]
    assert states(processes, "sample") == ["lost"]


def test_a_lost_run_is_run_again_with_the_same_parameters_and_its_id_as_parent(processes: VirtualProcesses) -> None:
    one, other = two(processes, seconds=5, on_lost="rerun")
    run = one.manager.trigger("sample", region="EU", size=3)
    processes.clock.advance(seconds=1)
    one.crash()
    processes.clock.advance(seconds=15)

    first, again = processes.begun
    assert (first.run, first.process) == (run.id, one.name)
    assert (again.process, again.parent, again.parameters) == (other.name, run.id, {"region": "EU", "size": 3})
    assert again.token > first.token
    assert states(processes, "sample") == ["lost", "succeeded"]


def test_a_body_that_kills_its_process_is_run_again_three_times_at_most(processes: VirtualProcesses) -> None:
    left = processes.make(lost_after=3)  # does not know the task
    left.run()
    for _ in range(6):
        process = processes.make(lost_after=3)
        process.add("sample", seconds=100, on_lost="rerun", parameters={"region": "EU"})
        process.run()
        if not processes.begun:
            process.manager.trigger("sample")
        processes.clock.advance(seconds=2)
        process.crash()
        processes.clock.advance(seconds=6)

    assert [one.parameters for one in processes.begun] == [{"region": "EU"}] * 4
    assert states(processes, "sample") == ["lost"] * 4
    assert [one.parent for one in processes.begun] == [None, *[one.run for one in processes.begun[:3]]]
    assert [run.id for run in left.store.active()] == []


@both_databases
def test_a_waiting_retry_of_the_dead_goes_on_where_it_was(processes: VirtualProcesses) -> None:
    one, other = two(processes, fails=2, retry=3)
    run = one.manager.trigger("sample", region="EU")
    processes.clock.advance(seconds=1.5)  # the second attempt has failed, and the third follows after 2 seconds
    one.crash()
    processes.clock.advance(seconds=20)

    assert [(begun.process, begun.attempt) for begun in processes.begun] == [
        (one.name, 1),
        (one.name, 2),
        (other.name, 3),
    ]
    assert {begun.run for begun in processes.begun} == {run.id}
    assert processes.begun[2].parameters == {"region": "EU"}
    assert processes.begun[2].token > processes.begun[1].token
    (found,) = other.store.runs("sample")
    assert (found.state, found.attempt) == ("succeeded", 3)
    assert [attempt.error for attempt in found.attempts] == ["ValueError: attempt 1", "ValueError: attempt 2", None]


def test_a_retry_of_the_dead_that_is_not_due_yet_waits_for_its_moment(processes: VirtualProcesses) -> None:
    one, other = two(processes, fails=1, retry=Retrying(stop=stop_after_attempt(2), wait=wait_fixed(60)))
    one.manager.trigger("sample")
    processes.clock.advance(seconds=1)
    one.crash()
    processes.clock.advance(seconds=70)
    assert [(begun.process, begun.attempt, f"{begun.at:%M:%S}") for begun in processes.begun] == [
        (one.name, 1, "00:00"),
        (other.name, 2, "01:00"),
    ]


@both_databases
def test_one_that_waits_is_let_go_by_another_process(processes: VirtualProcesses) -> None:
    one, other = two(processes, seconds=5, overlap="queue")
    first = one.manager.trigger("sample")
    second = other.manager.trigger("sample")
    third = other.manager.trigger("sample")
    assert (second.waiting, third.state) == (True, "skipped")
    processes.clock.advance(seconds=12)

    assert [(begun.process, begun.run) for begun in processes.begun] == [(one.name, first.id), (other.name, second.id)]
    assert 5 <= (processes.begun[1].at - processes.begun[0].at).total_seconds() <= 6
    assert second.state == "succeeded"


def test_one_that_waits_for_the_dead_goes_when_that_is_found_dead(processes: VirtualProcesses) -> None:
    one, other = two(processes, seconds=5, overlap="queue")
    one.manager.trigger("sample")
    second = other.manager.trigger("sample")
    processes.clock.advance(seconds=1)
    one.crash()
    processes.clock.advance(seconds=11)
    assert [begun.run for begun in processes.begun][1:] == [second.id]
    assert states(processes, "sample") == ["lost", "succeeded"]


def test_one_of_the_dead_that_waits_is_adopted_and_waits_on(processes: VirtualProcesses) -> None:
    one, other = two(processes, seconds=20, overlap="queue")
    first = other.manager.trigger("sample")
    second = one.manager.trigger("sample", region="EU")
    processes.clock.advance(seconds=1)
    one.crash()
    processes.clock.advance(seconds=10)
    assert [run.owner for run in other.store.active("sample")] == [other.store.process] * 2
    processes.clock.advance(seconds=30)
    assert [(begun.process, begun.run, begun.parameters) for begun in processes.begun] == [
        (other.name, first.id, {}),
        (other.name, second.id, {"region": "EU"}),
    ]
    assert states(processes, "sample") == ["succeeded", "succeeded"]


def test_the_dead_with_a_run_under_way_and_one_that_waits_for_it(processes: VirtualProcesses) -> None:
    one, other = two(processes, seconds=5, overlap="queue")
    first = one.manager.trigger("sample")
    second = one.manager.trigger("sample")
    processes.clock.advance(seconds=1)
    one.crash()
    processes.clock.advance(seconds=15)
    assert [(begun.process, begun.run) for begun in processes.begun] == [(one.name, first.id), (other.name, second.id)]
    assert states(processes, "sample") == ["lost", "succeeded"]


def test_a_mutex_and_max_concurrent_hold_across_processes(processes: VirtualProcesses) -> None:
    made = []
    for _ in range(3):
        process = processes.make(lost_after=3)
        process.add("first", seconds=5, mutex="door", overlap="queue")
        process.add("second", seconds=5, mutex="door", overlap="queue")
        process.add("wide", seconds=5, max_concurrent=2)
        made.append(process.run())
    made[0].manager.trigger("first")
    made[1].manager.trigger("second")
    wide = [process.manager.trigger("wide").state for process in made]
    assert wide == ["running", "running", "skipped"]
    assert states(processes, "second") == ["queued"]
    processes.clock.advance(seconds=2)
    made[0].crash()
    processes.clock.advance(seconds=12)

    assert states(processes, "first") == ["lost"]
    assert states(processes, "second") == ["succeeded"]
    assert made[2].manager.trigger("wide").state == "running"


def test_what_is_not_under_way_is_put_back_by_a_stop_and_run_elsewhere(processes: VirtualProcesses) -> None:
    one, other = two(processes, seconds=5, overlap="queue", fails=1, retry=1)
    retrying = one.manager.trigger("sample", region="EU")
    waiting = one.manager.trigger("sample", region="US")
    processes.clock.advance(seconds=5.5)  # the first attempt has failed
    one.stop()
    processes.clock.advance(seconds=20)

    assert [(begun.process, begun.run, begun.attempt, begun.parameters) for begun in processes.begun] == [
        (one.name, retrying.id, 1, {"region": "EU"}),
        (other.name, retrying.id, 2, {"region": "EU"}),
        (other.name, waiting.id, 1, {"region": "US"}),
        (other.name, waiting.id, 2, {"region": "US"}),
    ]
    one.store.look()  # its thread does so, as long as somebody may wait
    assert (retrying.result(0), waiting.result(0)) == (other.name, other.name)


def test_what_is_triggered_at_the_very_moment_of_a_stop_is_run_elsewhere(
    processes: VirtualProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two(processes)
    pipeline, looked = one.manager._pipeline, []

    def look(looking: Any) -> Any:
        if looking is pipeline and not looked:
            looked.append(True)
            one.stop()  # another thread does so, just when this one has found that it runs
            return None
        return vars(looking)["closed"]

    closed = property(look, lambda keeping, value: vars(keeping).update(closed=value))
    monkeypatch.setattr(type(pipeline), "closed", closed, raising=False)
    run = one.manager.trigger("sample")
    processes.clock.advance(seconds=2)
    assert [(begun.process, begun.run) for begun in processes.begun] == [(other.name, run.id)]


def test_what_the_last_process_put_back_is_run_by_the_next(processes: VirtualProcesses) -> None:
    def make() -> VirtualProcess:
        process = processes.make(lost_after=3)
        process.add("sample", fails=1, retry=1)
        return process.run()

    first = make()
    run = first.manager.trigger("sample")
    first.stop()
    processes.clock.advance(hours=1)
    make()
    processes.clock.advance(seconds=2)
    assert [(begun.run, begun.attempt) for begun in processes.begun] == [(run.id, 1), (run.id, 2)]
    assert states(processes, "sample") == ["succeeded"]


def test_tokens_only_grow(processes: VirtualProcesses) -> None:
    for _ in range(4):
        process = processes.make(lost_after=3)
        process.add("sample", every(1).seconds)
        process.add("shaky", every(2).seconds, fails=1, retry=2)
        process.add("slow", every(3).seconds, seconds=2, on_lost="rerun", overlap="queue")
        process.run()
        processes.clock.advance(seconds=7)
        process.crash()

    for task in ("sample", "shaky", "slow"):
        tokens = [begun.token for begun in processes.begun if begun.task == task]
        assert tokens == sorted(tokens)
    by_token = {begun.token: begun.run for begun in processes.begun}
    assert len({begun.run for begun in processes.begun}) == len(set(by_token.values()))
    assert processes.doubles() == []


# The frozen.


@both_databases
def test_a_frozen_process_that_returns_finds_its_run_lost_and_is_asked_to_stop(processes: VirtualProcesses) -> None:
    one, other = two(processes, seconds=60)
    run = one.manager.trigger("sample")
    processes.clock.advance(seconds=1)
    name = one.store.process
    one.freeze()
    processes.clock.advance(seconds=10)
    assert [str(found.state) for found in other.store.runs("sample")] == ["lost"]

    one.thaw()
    processes.clock.advance(seconds=3)
    assert run.asked is not None
    assert one.store.process != name
    assert run.state == "lost"
    (found,) = other.store.runs("sample")
    assert found.state == "lost"
    assert found.aside is not None
    assert found.aside["state"] == "cancelled"
    again = one.manager.trigger("sample")
    processes.clock.advance(seconds=20)
    assert again.state == "running"
    assert [str(found.state) for found in other.store.runs("sample")] == ["running", "lost"]


def test_the_late_result_of_a_frozen_process_is_kept_aside(processes: VirtualProcesses) -> None:
    async def stubborn() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(5)
        return "late"

    one, other = processes.make(lost_after=3), processes.make(lost_after=3)
    for process in (one, other):
        process.manager.add(stubborn, name="sample")
        process.run()
    run = one.manager.trigger("sample")
    processes.clock.advance(seconds=4)
    one.freeze()
    processes.clock.advance(seconds=10)
    one.thaw()
    processes.clock.advance(seconds=3)
    (found,) = other.store.runs("sample")
    assert found.aside is not None
    assert (found.state, found.result_text) == ("lost", None)
    assert (found.aside["state"], found.aside["result"]) == ("succeeded", '"late"')
    assert run.state == "lost"


def test_a_frozen_process_leaves_its_waiting_runs_to_those_that_took_them(processes: VirtualProcesses) -> None:
    one, other = two(processes, seconds=3, overlap="queue", fails=1, retry=1)
    first, second = one.manager.trigger("sample"), one.manager.trigger("sample")
    processes.clock.advance(seconds=3.5)  # the first waits for its second attempt
    one.freeze()
    processes.clock.advance(seconds=30)
    one.thaw()
    processes.clock.advance(seconds=5)
    assert [(begun.process, begun.run, begun.attempt) for begun in processes.begun] == [
        (one.name, first.id, 1),
        (other.name, first.id, 2),
        (other.name, second.id, 1),
        (other.name, second.id, 2),
    ]
    assert states(processes, "sample") == ["succeeded", "succeeded"]
    assert one.store.mine() == []
    assert (str(first.state), str(second.state)) == ("succeeded", "succeeded")


def test_a_frozen_process_takes_its_slots_again(processes: VirtualProcesses) -> None:
    one, other = two(processes, schedule=every(2).seconds)
    processes.clock.advance(seconds=5)
    one.freeze()
    processes.clock.advance(seconds=10)
    one.thaw()
    processes.clock.advance(seconds=4)
    other.crash()
    processes.clock.advance(seconds=10)
    assert times(processes.slots("sample")) == [f"12:00:{second:02}" for second in range(2, 30, 2)]
    assert processes.begun[-1].process == one.name
    assert processes.audit() == []


# Everywhere.


def test_a_task_of_everywhere_has_each_slot_once_in_each_process(processes: VirtualProcesses) -> None:
    one, other = two(processes, schedule=every(10).seconds, everywhere=True, seconds=3)
    processes.clock.advance(seconds=35)
    for process in (one, other):
        mine = [begun.slot for begun in processes.begun if begun.process == process.name]
        assert times(mine) == ["12:00:10", "12:00:20", "12:00:30"]
    assert processes.audit() == []


def test_a_task_of_everywhere_catches_nothing_up_and_goes_on_after_a_freeze(processes: VirtualProcesses) -> None:
    one, other = two(processes, schedule=every(10).seconds, everywhere=True)
    processes.clock.advance(seconds=15)
    one.freeze()
    processes.clock.advance(seconds=30)
    one.thaw()
    processes.clock.advance(seconds=30)
    other.stop()
    processes.clock.advance(seconds=60)
    third = processes.make(lost_after=3)
    third.add("sample", every(10).seconds, everywhere=True)
    third.run()
    processes.clock.advance(seconds=15)

    first = [begun.slot for begun in processes.begun if begun.process == one.name]
    assert times(first)[:4] == ["12:00:10", "12:00:40", "12:00:50", "12:01:00"]
    assert len([begun for begun in processes.begun if begun.process == third.name]) == 1
    assert processes.audit() == []


# Schedules that end.


def test_max_runs_counts_the_slots_of_all_processes(processes: VirtualProcesses) -> None:
    one, other = two(processes, schedule=every(2).seconds, max_runs=5)
    processes.clock.advance(seconds=7)
    one.crash()
    processes.clock.advance(seconds=30)
    assert times(processes.slots("sample")) == [f"12:00:{second:02}" for second in (2, 4, 6, 8, 10)]
    assert processes.audit() == []
    other.stop()
    third = processes.make()
    third.add("sample", every(2).seconds, max_runs=5)
    third.run()
    processes.clock.advance(seconds=30)
    assert len(processes.slots("sample")) == 5
    assert processes.audit() == []


def test_a_schedule_that_its_body_ends_has_ended_in_all_processes(processes: VirtualProcesses) -> None:
    begun: list[str] = []
    made = []
    for number in range(2):
        process = processes.make()

        def body(number: int = number, process: VirtualProcess = process) -> Any:
            begun.append(process.name)
            return CancelJob if len(begun) == 3 else None

        process.manager.add(body, every(5).seconds, name="sample")
        made.append(process.run())
    processes.clock.advance(seconds=40)
    assert len(begun) == 3
    assert processes.audit() == []
    for process in made:
        process.stop()
    third = processes.make()
    third.manager.add(lambda: begun.append("again"), every(5).seconds, name="sample")
    third.run()
    processes.clock.advance(seconds=20)
    assert len(begun) == 3
    assert processes.audit() == []


def test_a_slot_that_waited_in_a_frozen_process_does_not_hold_up_those_after_it(processes: VirtualProcesses) -> None:
    one = processes.make(lost_after=3)
    one.add("sample", every(10).seconds, fixed_delay=True, overlap="queue", seconds=2, max_concurrent=1)
    one.run()
    processes.clock.advance(seconds=9)
    one.manager.trigger("sample")
    processes.clock.advance(seconds=1.5)  # the slot of 12:00:10 waits for the run by hand
    one.freeze()
    other = processes.make(lost_after=3)
    other.add("sample", every(10).seconds, fixed_delay=True, overlap="queue", seconds=2)
    other.run()
    processes.clock.advance(seconds=9)
    one.thaw()
    processes.clock.advance(seconds=2)
    other.stop()
    count = len(processes.begun)
    processes.clock.advance(seconds=30)
    assert {begun.process for begun in processes.begun[count:]} == {one.name}
    assert 2 <= len(processes.begun[count:]) <= 3
    assert processes.doubles() == []


def test_a_task_whose_row_was_dropped_is_declared_again(processes: VirtualProcesses) -> None:
    (one,) = [processes.make(lost_after=3)]
    one.add("sample", every(5).seconds)
    one.add("here", every(5).seconds, everywhere=True)
    one.run()
    processes.clock.advance(seconds=6)
    with one.store.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM task_tasks")
        connection.exec_driver_sql("DELETE FROM task_declarations")
    processes.clock.advance(seconds=15)
    assert times(processes.slots("sample"))[-2:] == ["12:00:15", "12:00:20"]
    assert times(processes.slots("here"))[-2:] == ["12:00:15", "12:00:20"]
