"""Overlap: what becomes of a run that comes while others are under way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from task import DeclarationError, DeclarationTypeError, ManagerStateError, TaskManager, current_run, every, run_skipped
from task.testing import VirtualClock

#: So long is waited for what another thread does, on a machine that lets it wait. Seconds.
LIMIT = 60.0

WaitFor = Callable[[Callable[[], bool]], None]


def outcomes(manager: TaskManager, name: str) -> list[tuple[str, str | None, int]]:
    """State, reason and count of each row, oldest first."""
    return [(str(run.state), run.reason, run.count) for run in reversed(manager.runs(name))]


def test_skip_records_each_slot_that_came_too_early(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: clock.sleep(25), every(10).seconds, name="slow", threaded=True)
    with manager:
        clock.advance(seconds=34)
        assert outcomes(manager, "slow") == [("succeeded", None, 1), ("skipped", "already running", 2)]
        assert manager.tasks_detail[0]["counts"]["skips"] == {"already running": 2}


def test_queue_keeps_one_and_runs_it_when_the_other_has_ended(manager: TaskManager, clock: VirtualClock) -> None:
    started: list[float] = []

    def body() -> None:
        started.append(clock.monotonic())
        clock.sleep(25)

    manager.add(body, every(10).seconds, name="slow", threaded=True, overlap="queue", max_runs=4)
    with manager:
        clock.advance(seconds=120)
        assert started == [10, 35, 60, 85]
        assert outcomes(manager, "slow") == [
            ("succeeded", None, 1),
            ("succeeded", None, 1),
            ("skipped", "one run waits already", 1),
            ("succeeded", None, 1),
            ("skipped", "one run waits already", 2),
            ("succeeded", None, 1),
        ]


def test_a_waiting_run_says_what_it_waits_for_and_can_be_cancelled() -> None:
    manager, gate = TaskManager([]), threading.Event()
    slow = manager.add(lambda: gate.wait(LIMIT), name="slow", threaded=True, overlap="queue")
    with manager:
        first, second = slow.trigger(), slow.trigger()
        assert (second.state, second.reason, second.waiting) == ("queued", "already running", True)
        assert second.cancel("not wanted")
        assert (second.state, second.reason) == ("cancelled", "not wanted")
        third = slow.trigger()
        gate.set()
        assert first.result(LIMIT) is True
        assert third.result(LIMIT) is True


def test_cancel_previous_asks_the_old_one_and_starts_when_it_has_ended(wait_for: WaitFor) -> None:
    manager = TaskManager([])
    running: list[int] = []
    most: list[int] = []

    def body(number: int) -> int:
        running.append(number)
        most.append(len(running))
        run = current_run()
        while number < 3 and not run.is_cancelled():
            threading.Event().wait(0.005)
        running.remove(number)
        run.check_cancelled()
        return number

    slow = manager.add(body, name="slow", threaded=True, overlap="cancel_previous")
    with manager:
        first = slow.trigger(number=1)
        wait_for(lambda: first.state == "running")
        second = slow.trigger(number=2)
        third = slow.trigger(number=3)
        assert third.result(LIMIT) == 3
        assert (first.state, first.reason) == ("cancelled", "a newer run takes its place")
        assert second.wait(LIMIT)
        assert second.state == "cancelled"
    assert max(most) == 1


def test_cancel_previous_really_stops_a_coroutine(manager: TaskManager, clock: VirtualClock) -> None:
    ended: list[str] = []

    async def body() -> None:
        try:
            await asyncio.sleep(25)
        except asyncio.CancelledError:
            ended.append(f"cancelled at {clock.monotonic():.0f}")
            raise

    manager.add(body, every(10).seconds, name="slow", overlap="cancel_previous")
    with manager:
        clock.advance(seconds=31)
        assert ended == ["cancelled at 20", "cancelled at 30"]


def test_allow_lets_them_run_beside_each_other(manager: TaskManager, clock: VirtualClock) -> None:
    async def body() -> None:
        await asyncio.sleep(25)

    manager.add(body, every(10).seconds, name="slow", overlap="allow")
    with manager:
        clock.advance(seconds=61)
        assert manager.tasks_detail[0]["counts"]["skips"] == {}
        assert manager.tasks_detail[0]["counts"]["runs"] == 6


def test_max_concurrent_counts_runs(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: clock.sleep(25), every(10).seconds, name="slow", threaded=True, max_concurrent=2)
    with manager:
        clock.advance(seconds=31)
        assert [row[0] for row in outcomes(manager, "slow")] == ["succeeded", "succeeded", "skipped"]


def test_a_mutex_keeps_tasks_apart(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: clock.sleep(15), every(10).seconds, name="load", threaded=True, mutex="database")
    manager.add(lambda: None, every(20).seconds, name="vacuum", threaded=True, mutex="database")
    manager.add(lambda: None, every(20).seconds, name="patient", threaded=True, mutex="database", overlap="queue")
    with manager:
        clock.advance(seconds=24)
        assert outcomes(manager, "vacuum") == [("skipped", "'load' has the mutex 'database'", 1)]
        clock.advance(seconds=2)
        (patient,) = manager.runs("patient")
        assert (patient.state, patient.lateness) == ("succeeded", 5.0)


def test_a_direct_call_never_waits(manager: TaskManager, clock: VirtualClock) -> None:
    def body() -> None:
        clock.sleep(15)

    slow = manager.add(body, every(10).seconds, name="slow", threaded=True, overlap="queue")
    beside = manager.add(lambda: slow(), every(12).seconds, name="beside", threaded=True)
    with manager:
        clock.advance(seconds=14)
    assert beside.name == "beside"
    assert ("skipped", "already running", 1) in outcomes(manager, "slow")


def test_runs_that_wait_are_cancelled_when_the_manager_stops(manager: TaskManager) -> None:
    real, gate = TaskManager([]), threading.Event()
    slow = real.add(lambda: gate.wait(LIMIT), name="slow", threaded=True, overlap="queue")
    real.run()
    _, second = slow.trigger(), slow.trigger()
    gate.set()
    real.stop()
    assert second.state in ("cancelled", "succeeded")
    real.run()
    assert slow.trigger().result(LIMIT) is True
    real.stop()


def test_the_highest_priority_goes_first_and_then_the_oldest() -> None:
    manager, gate, order = TaskManager([], max_workers=1), threading.Event(), list[str]()
    blocker = manager.add(lambda: gate.wait(LIMIT), name="blocker", threaded=True)
    for name, priority in (("low", -1), ("first", 0), ("second", 0), ("high", 5)):
        manager.add(lambda name=name: order.append(name), name=name, threaded=True, priority=priority)
    with manager:
        blocker.trigger()
        runs = [manager.trigger(name) for name in ("low", "first", "second", "high")]
        gate.set()
        assert all(run.wait(LIMIT) for run in runs)
    assert order == ["high", "first", "second", "low"]


@pytest.mark.parametrize("kind", ["threads", "coroutines"])
def test_a_named_pool_bounds_its_own_tasks_and_no_others(manager: TaskManager, clock: VirtualClock, kind: str) -> None:
    pooled = TaskManager([], clock=clock, pools={"io": 2})
    under_way: list[int] = [0, 0]

    def enter() -> None:
        under_way[0] += 1
        under_way[1] = max(under_way)

    async def coroutine() -> None:
        enter()
        await asyncio.sleep(5)
        under_way[0] -= 1

    def on_thread() -> None:
        enter()
        clock.sleep(5)
        under_way[0] -= 1

    for number in range(6):
        body = coroutine if kind == "coroutines" else on_thread
        pooled.add(body, every(60).seconds, name=f"task {number}", threaded=kind == "threads", pool="io")
    pooled.add(lambda: None, every(60).seconds, name="other", threaded=True)
    with pooled:
        clock.advance(seconds=90)
        assert under_way == [0, 2]
        assert pooled.runs("other")[0].lateness == 0.0
        assert len(pooled.runs(state="succeeded")) == 7


def test_refusals_are_told(manager: TaskManager, clock: VirtualClock) -> None:
    told: list[tuple[str, str | None]] = []

    def hear(sender: object, run: object) -> None:
        told.append((run.task, run.reason))  # type: ignore[attr-defined]  # a Run

    manager.add(lambda: clock.sleep(15), every(10).seconds, name="slow", threaded=True)
    with manager, run_skipped.connected_to(hear):
        clock.advance(seconds=24)
    assert told == [("slow", "already running")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overlap": "wait"}, "overlap is one of"),
        ({"max_concurrent": 0}, "max_concurrent is a whole number from 1"),
        ({"max_concurrent": True}, "max_concurrent is a whole number from 1"),
        ({"mutex": ""}, "mutex is a name"),
        ({"pool": 3}, "pool is a name"),
        ({"priority": "high"}, "priority is a whole number"),
        ({"pool": "ioo"}, "Did you mean 'io'"),
    ],
)
def test_wrong_options_are_refused_by_name(clock: VirtualClock, options: dict[str, object], message: str) -> None:
    manager = TaskManager([], clock=clock, pools={"io": 2})
    with pytest.raises((DeclarationError, DeclarationTypeError), match=message):
        manager.add(lambda: None, name="sample", **options)  # type: ignore[arg-type]  # wrong on purpose


def test_wrong_pools_are_refused() -> None:
    with pytest.raises(ManagerStateError, match="the size of pool 'io' is a whole number from 1"):
        TaskManager([], pools={"io": 0})


def test_bodies_that_overlap_for_ever_on_one_thread_are_told_so(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: clock.sleep(25), every(10).seconds, name="slow", threaded=True, overlap="allow")
    with manager:
        clock.advance(seconds=61)
        failed = manager.runs("slow", state="failed")
        assert "25 bodies sleep inside each other" in str(failed[0].error)
