"""What has changed since somebody last asked; of every store, and across managers."""

from __future__ import annotations

import asyncio
import datetime
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from databases import sqlite_url
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_rows import execute
from virtual_processes import VirtualProcesses

from task import Changes, MemoryStore, ParameterError, Run, TaskManager, current_run, every
from task.testing import VirtualClock

#: So long is waited for what another thread does, on a machine that lets it wait. Seconds.
LIMIT = 60.0

UTC = datetime.UTC


@pytest.fixture
def kept(any_store_url: str | None, clock: VirtualClock) -> Iterator[TaskManager]:
    """A manager on each kind of store, which runs."""
    with TaskManager([], store=any_store_url, clock=clock) as manager:
        yield manager
    if manager.store.shared:
        manager.store.close()


def told(changes: Changes) -> list[tuple[str, str]]:
    return [(run.task, str(run.state)) for run in changes.runs]


def fail() -> None:
    raise ValueError("no")


def test_a_run_is_told_of_once_as_it_is_now(kept: TaskManager, clock: VirtualClock) -> None:
    kept.add(lambda: None, every(1).minutes, name="sample")
    kept.add(fail, every(2).minutes, name="failing")
    begun = kept.changes()
    clock.advance(minutes=2)

    first = kept.changes(begun.position)
    second = kept.changes(first.position)

    assert begun.runs == []
    assert sorted(told(first)) == [("failing", "failed"), ("sample", "succeeded"), ("sample", "succeeded")]
    assert second == Changes([], [], first.position)
    (failed,) = [run for run in first.runs if run.task == "failing"]
    assert failed.error == "ValueError: no"
    assert failed.slot == datetime.datetime(2026, 5, 4, 12, 2, tzinfo=UTC)
    assert kept.find_run(failed.id).state == "failed"


def test_what_is_skipped_or_missed_is_told_of_also_when_it_joins_a_row(kept: TaskManager, clock: VirtualClock) -> None:
    kept.add(lambda: None, every(1).minutes, name="off", disabled=True)
    position = kept.changes().position
    clock.advance(minutes=2)
    first = kept.changes(position)
    assert [(run.count, str(run.state), run.reason) for run in first.runs] == [(2, "skipped", "disabled")]

    clock.advance(minutes=3)
    second = kept.changes(first.position)

    assert [(run.count, run.last) for run in second.runs] == [(5, datetime.datetime(2026, 5, 4, 12, 5, tzinfo=UTC))]
    assert second.runs[0].id == first.runs[0].id


def test_who_has_steered_is_told_oldest_first(kept: TaskManager) -> None:
    sample = kept.add(lambda: None, name="sample")
    position = kept.changes().position

    sample.disable(note="not now", by="ada")
    sample.enable(by="grace")
    kept.journal()  # on a database it is written soon
    changes = kept.changes(position)

    assert [(entry.who, entry.what, entry.task) for entry in changes.journal] == [
        ("ada", "disabled", "sample"),
        ("grace", "enabled", "sample"),
    ]
    assert kept.changes(changes.position).journal == []


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_more_changes_than_the_limit_come_one_after_the_other(
    kept: TaskManager, clock: VirtualClock, limit: int
) -> None:
    kept.add(lambda: None, every(1).minutes, name="sample")
    position = kept.changes().position
    clock.advance(minutes=5)
    for name in ("a", "b", "c"):
        kept.pause(by=name)
    kept.resume()
    kept.journal()

    slots, names = [], []
    for _ in range(10):
        changes = kept.changes(position, limit=limit)
        assert max(len(changes.runs), len(changes.journal)) <= limit
        slots += [run.slot.minute for run in changes.runs if run.slot is not None]
        names += [entry.who for entry in changes.journal if entry.what == "paused"]
        position = changes.position

    assert slots == [1, 2, 3, 4, 5]
    assert names == ["a", "b", "c"]


def test_progress_and_a_line_of_the_log_are_changes(
    any_store_url: str | None, wait_for: Callable[[Callable[[], bool]], None]
) -> None:
    going, told_of = threading.Event(), threading.Event()

    def body() -> None:
        current_run().update_progress(25, "page 10")
        assert told_of.wait(LIMIT)
        told_of.clear()
        current_run().logger.info("a line")
        assert going.wait(LIMIT)

    manager = TaskManager([], store=any_store_url)
    manager.add(body, name="sample", threaded=True)
    seen: list[Run] = []
    with manager:
        position = manager.changes().position
        run = manager.trigger("sample")

        def follow() -> None:
            nonlocal position
            changes = manager.changes(position)
            position = changes.position
            seen.extend(changes.runs)

        def shown() -> bool:
            follow()
            return any((one.progress, one.message) == (25.0, "page 10") for one in seen)

        wait_for(shown)
        follow()
        before = len(seen)
        told_of.set()
        wait_for(lambda: follow() or len(seen) > before)  # type: ignore[func-returns-value]
        going.set()
        assert run.wait(LIMIT)
    wait_for(lambda: follow() or seen[-1].state == "succeeded")  # type: ignore[func-returns-value]
    assert {one.id for one in seen} == {run.id}
    if manager.store.shared:
        manager.store.close()


@pytest.mark.parametrize(
    "since",
    ["", "0", "1.2.3", "a.b", "-1.0", "99999999999999999999.0", "9223372036854775807.0", "٣.٣", "1.1\n", 7, b"1.1"],
    ids=repr,
)
def test_a_position_that_no_store_has_told_is_refused(manager: TaskManager, since: object) -> None:
    with pytest.raises(ParameterError, match=r"is no position of this store"):
        manager.changes(since)  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [0, 1_001, True, 1.5, "5"])
def test_a_limit_that_is_none_is_refused(manager: TaskManager, limit: object) -> None:
    with pytest.raises(ParameterError, match="limit is a whole number from 1 to 1000"):
        manager.changes(limit=limit)  # type: ignore[arg-type]


def test_a_position_of_before_the_store_was_begun_anew_is_refused(tmp_path: object, clock: VirtualClock) -> None:
    with TaskManager([], store=f"sqlite:///{tmp_path}/old.db", clock=clock) as old:
        old.add(lambda: None, every(1).minutes, name="sample")
        clock.advance(minutes=1)
        position = old.changes().position
    new = TaskManager([], store=f"sqlite:///{tmp_path}/new.db", clock=clock)

    with pytest.raises(ParameterError, match="has been begun anew"):
        new.changes(position)
    old.store.close()
    new.store.close()


def test_a_position_of_its_parent_is_none_of_a_forked_child() -> None:
    """In memory the two have ledgers of their own."""
    program = """
import os
from task import ParameterError, TaskManager
manager = TaskManager([])
position = manager.changes().position
child = os.fork()
try:
    manager.changes(position)
except ParameterError:
    os._exit(7)
assert child, "the child knows it"
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("processes", ["sqlite", "postgresql"], indirect=True)
def test_what_one_process_does_another_one_follows(processes: VirtualProcesses, clock: VirtualClock) -> None:
    one, other = processes.make().run(), processes.make().run()
    one.add("sample", every(1).minutes)
    position = other.manager.changes().position
    clock.advance(minutes=3)

    changes = other.manager.changes(position)

    assert told(changes) == [("sample", "succeeded")] * 3
    assert changes.position == one.manager.changes().position


steps = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.integers(1, 200)),
        st.tuples(st.just("trigger"), st.sampled_from(["slow", "failing"])),
        st.tuples(st.just("cancel"), st.none()),
        st.tuples(st.just("switch"), st.sampled_from([True, False])),
        st.tuples(st.just("poll"), st.integers(1, 4)),
    ),
    max_size=25,
)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_who_polls_misses_no_final_state(
    kind: str, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int | str | bool | None]]
) -> None:
    clock = VirtualClock(datetime.datetime(2026, 5, 4, 12, tzinfo=UTC))
    store = MemoryStore(keep=1_000) if kind == "memory" else sqlite_url(tmp_path_factory.mktemp("store"))
    seen: dict[str, tuple[str, int]] = {}

    async def slow() -> None:
        current_run().update_progress(50)
        await asyncio.sleep(90)

    with TaskManager([], store=store, clock=clock) as manager:
        manager.add(slow, every(1).minutes, name="slow", overlap="queue")
        manager.add(fail, every(45).seconds, name="failing", retry=1)
        position = manager.changes().position

        def poll(limit: int) -> bool:
            nonlocal position
            changes = manager.changes(position, limit=limit)
            seen.update({run.id: (str(run.state), run.count) for run in changes.runs})
            position = changes.position
            return bool(changes.runs)

        for what, value in steps:
            match what, value:
                case "advance", int(seconds):
                    clock.advance(seconds=seconds)
                case "trigger", str(name):
                    manager.trigger(name)
                case "cancel", _:
                    for run in manager.runs(state=["queued", "running", "retrying"]):
                        run.cancel()
                case "switch", bool(on):
                    manager["slow"].enable() if on else manager["slow"].disable()
                case "poll", int(limit):
                    poll(limit)
    while poll(3):
        pass

    assert seen == {run.id: (str(run.state), run.count) for run in manager.runs(limit=1_000)}
    if manager.store.shared:
        manager.store.close()


@pytest.mark.parametrize("column", ["progress", "message", "attempt", "changed", "state", "started_at", "count"])
def test_a_row_that_nobody_of_us_has_written_keeps_nobody_from_the_others(
    tmp_path: object, clock: VirtualClock, column: str
) -> None:
    with TaskManager([], store=f"sqlite:///{tmp_path}/tasks.db", clock=clock) as manager:
        manager.add(lambda: None, every(1).minutes, name="sample")
        position = manager.changes().position
        clock.advance(minutes=2)
    execute(manager, f"UPDATE task_runs SET {column} = x'00ff' WHERE id = (SELECT min(id) FROM task_runs)")

    changes = manager.changes(position)

    assert ("sample", "succeeded") in told(changes)
    assert {run.task for run in changes.runs} == {"sample"}
    assert manager.changes(changes.position).runs == []
    execute(manager, f"UPDATE task_runs SET {column} = 0 WHERE {column} = x'00ff'")
    execute(manager, "UPDATE task_runs SET state = 'succeeded'")
    manager.store.close()


def test_in_memory_what_changes_while_changes_are_told_is_told_the_next_time() -> None:
    class Released:
        """A lock of a store; others have their turn right after it was let go for the first time."""

        def __enter__(self) -> None:
            lock.acquire()

        def __exit__(self, *error: object) -> None:
            lock.release()
            while turns and threading.current_thread() is threading.main_thread():
                turns.pop()()

    with TaskManager([], store=MemoryStore()) as manager:
        begun, barrier = threading.Event(), threading.Event()
        first = manager.add(lambda: begun.set() or barrier.wait(LIMIT), name="first", threaded=True)
        second = manager.add(lambda: None, name="second", disabled=True)
        position = manager.changes().position
        goes_on = first.trigger()
        store: Any = manager.store
        assert begun.wait(LIMIT)  # the thread of the body does not come to that lock now
        lock, turns = store._lock, [lambda: store.release(goes_on), lambda: second.trigger()]
        store._lock = Released()
        told_now = manager.changes(position)
        store._lock = lock
        told_next = manager.changes(told_now.position)
        barrier.set()
        goes_on.wait(LIMIT)

    assert [run.task for run in told_now.runs] == ["first"]
    assert "second" in [run.task for run in told_next.runs]
