"""Runs: their states and the ways between them."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import platform
import threading
from typing import Any

import pytest
from virtual_processes import VirtualProcesses

from task import Run, RunCancelled, RunState, TaskManager, TransitionError
from task.runs import Run as RunFromItsModule
from task.testing import VirtualClock

#: So long is waited for what another thread does, on a machine that lets it wait. Seconds.
LIMIT = 60.0

NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)

ALLOWED = {
    ("queued", "running"),
    ("queued", "cancelled"),
    ("queued", "lost"),
    ("running", "succeeded"),
    ("running", "failed"),
    ("running", "cancelled"),
    ("running", "lost"),
    ("running", "timed_out"),
    ("running", "retrying"),
    ("retrying", "running"),
    ("retrying", "cancelled"),
    ("retrying", "lost"),
}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(RunState, RunState)))
def test_a_run_moves_along_the_drawn_arrows_only(before: RunState, after: RunState) -> None:
    run = Run("sample", "manual", NOON, state=before)
    if (str(before), str(after)) in ALLOWED:
        run.to(after)
        assert run.state is after
    else:
        with pytest.raises(TransitionError, match="cannot go from"):
            run.to(after)


def test_ids_are_uuids_of_version_7_that_sort_by_time() -> None:
    first, second = Run("a", "manual", NOON), Run("a", "manual", NOON + datetime.timedelta(milliseconds=1))
    assert (first.id[14], first.id < second.id, first.id == first.id) == ("7", True, True)
    assert first.id != Run("a", "manual", NOON).id
    assert int(first.id.replace("-", "")[:12], 16) == 1_777_896_000_000


def test_a_run_that_was_asked_to_stop_says_so_inside() -> None:
    run = Run("sample", "manual", NOON)
    run.check_cancelled()
    run.ask_to_stop()
    assert run.is_cancelled()
    with pytest.raises(RunCancelled):
        run.check_cancelled()


def test_wait_ends_with_the_run_and_not_before() -> None:
    run = Run("sample", "manual", NOON)
    assert not run.wait(0)
    waited: list[bool] = []
    thread = threading.Thread(target=lambda: waited.append(run.wait(LIMIT)))
    thread.start()
    run.to(RunState.CANCELLED)
    run.ended()
    thread.join(LIMIT)
    assert waited == [True]
    assert run.wait()


def test_a_run_as_a_dict_is_plain() -> None:
    run = RunFromItsModule("sample", "schedule", NOON, slot=NOON)
    assert run.as_dict() == {
        "id": run.id,
        "task": "sample",
        "trigger": "schedule",
        "state": "queued",
        "reason": None,
        "slot": "2026-05-04T12:00:00+00:00",
        "last": "2026-05-04T12:00:00+00:00",
        "count": 1,
        "queued_at": "2026-05-04T12:00:00+00:00",
        "started_at": None,
        "finished_at": None,
        "duration": None,
        "lateness": None,
        "delays": {},
        "parent_id": None,
        "token": 0,
        "attempt": 0,
        "attempts": [],
        "progress": None,
        "message": "",
        "result": None,
        "error": None,
        "host": platform.node(),
        "process": None,
        "thread": None,
        "aside": None,
    }


def test_a_run_that_ends_as_somebody_begins_to_wait_wakes_them() -> None:
    class EndsWhenLookedAt(Run):
        """It ends just after the first look at its state, when nobody is known to wait."""

        @property
        def state(self) -> RunState:
            if looks:
                return RunState.SUCCEEDED
            looks.append(1)
            self.ended()
            return RunState.RUNNING

        @state.setter
        def state(self, state: RunState) -> None: ...

    looks: list[int] = []
    woken: list[Run] = []
    run = EndsWhenLookedAt("sample", "manual", NOON)
    run.add_done_callback(woken.append)
    assert woken == [run]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool, Any, str | None]]:
    """What another thread would see at the moment in which a run is final: state, whether it ended, value, reason."""
    told: list[tuple[str, bool, Any, str | None]] = []

    def look(run: Run, name: str, value: Any) -> None:
        object.__setattr__(run, name, value)
        if name == "state" and value.final and hasattr(run, "finished_at"):  # else it is just being made
            told.append((str(value), run.finished_at is not None, run.peek_value(), run.reason))

    monkeypatch.setattr(Run, "__setattr__", look, raising=False)
    return told


def test_who_sees_a_final_state_sees_what_belongs_to_it(
    any_store_url: str | None, clock: VirtualClock, seen: list[tuple[str, bool, Any, str | None]]
) -> None:
    async def lasting() -> None:
        await asyncio.sleep(60)

    with TaskManager([], store=any_store_url, clock=clock) as manager:
        manager.add(lambda: 5, name="sample")
        manager.add(lasting, name="lasting")
        manager.trigger("sample")
        manager.trigger("lasting").cancel("not today")
        clock.advance(seconds=1)

    assert set(seen) == {("succeeded", True, 5, None), ("cancelled", True, None, "not today")}
    if manager.store.shared:
        manager.store.close()


def test_who_sees_that_a_run_in_another_process_is_final_sees_its_result(
    processes: VirtualProcesses, clock: VirtualClock, seen: list[tuple[str, bool, Any, str | None]]
) -> None:
    asks, does = processes.make("one"), processes.make("other")
    for process in (asks, does):
        process.add("sample")
    run = asks.manager.trigger("sample")
    run.add_done_callback(lambda _: None)  # somebody waits for it
    does.run()
    clock.advance(seconds=5)
    seen.clear()

    asks.store._attention._follow_watched()  # as its thread does once a second

    assert run.result(0) == "other"
    assert set(seen) == {("succeeded", True, "other", None)}
