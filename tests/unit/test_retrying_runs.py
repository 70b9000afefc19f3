"""Retries, time limits and cancelling, through the real pipeline on the virtual clock, and on threads."""

from __future__ import annotations

import asyncio
import datetime
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tenacity import (
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    wait_fixed,
)

from task import (
    MemoryStore,
    Run,
    RunCancelled,
    RunTimedOut,
    TaskManager,
    current_run,
    every,
    run_failed,
    run_retrying,
    task_disabled,
)
from task.executors import Work
from task.models import lifecycle
from task.pipeline import withdrawal
from task.testing import VirtualClock

WaitFor = Callable[[Callable[[], bool]], None]

#: How long what will happen is waited for. Seconds.
LIMIT = 60.0


def failing(times: int, then: Any = "done") -> Callable[[], Any]:
    """A body that fails so many times."""
    left = [times]

    def body() -> Any:
        if left[0]:
            left[0] -= 1
            raise ConnectionError(f"{left[0]} left")
        return then

    return body


# Retries.


@pytest.mark.parametrize("kind", ["serial", "threaded", "async"])
def test_three_retries_come_after_one_two_and_four_seconds(
    manager: TaskManager, clock: VirtualClock, kind: str
) -> None:
    started: list[float] = []

    def body() -> None:
        started.append(clock.monotonic())
        raise ValueError("no")

    async def coroutine() -> None:
        body()

    sample = manager.add(coroutine if kind == "async" else body, name="sample", retry=3, threaded=kind == "threaded")
    with manager:
        run = sample.trigger()
        clock.advance(seconds=30)
        assert started == [0, 1, 3, 7]
        assert (run.state, run.attempt, len(run.attempts)) == ("failed", 4, 4)
        assert [one.error for one in run.attempts] == ["ValueError: no"] * 4
        assert len(manager.runs("sample")) == 1
        with pytest.raises(ValueError, match="no"):
            run.result()


def test_a_run_that_succeeds_in_a_later_attempt_has_succeeded(manager: TaskManager, clock: VirtualClock) -> None:
    told: list[str] = []
    manager.add(
        failing(2),
        every(1).minutes,
        name="sample",
        retry=3,
        on_success=lambda run: told.append(f"success in attempt {run.attempt}"),
        on_failed=lambda: told.append("failed"),
    )
    with manager:
        clock.advance(seconds=61)
        (run,) = manager.runs("sample")
        assert (run.state, run.attempt, run.error) == ("retrying", 2, "ConnectionError: 0 left")
        assert manager.tasks_detail[0]["retrying"] is True
        clock.advance(seconds=10)
        (run,) = manager.runs("sample")
        assert (run.state, run.error, run.duration) == ("succeeded", None, 3.0)
        assert manager.tasks_detail[0]["counts"]["failures"] == 0
    assert told == ["success in attempt 3"]


def test_no_thread_sleeps_while_a_retry_waits(wait_for: WaitFor) -> None:
    clock = VirtualClock(threads=True)
    manager = TaskManager([], clock=clock, max_workers=1)
    retried = manager.add(failing(1), name="retried", retry=3, threaded=True)
    other = manager.add(lambda: "other", name="other", threaded=True)
    with manager:
        waiting = retried.trigger()
        wait_for(lambda: waiting.timer is not None)
        assert other.trigger().result(LIMIT) == "other"
        assert waiting.state == "retrying"
        clock.advance(seconds=1)
        assert waiting.result(LIMIT) == "done"


def test_a_retrying_run_keeps_the_place_of_its_task(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(failing(3), every(2).seconds, name="sample", retry=3)
    with manager:
        clock.advance(seconds=10)
        assert [(str(run.state), run.reason) for run in reversed(manager.runs("sample"))] == [
            ("succeeded", None),
            ("skipped", "already running"),
            ("succeeded", None),
        ]


@pytest.mark.parametrize("how", ["cancel", "stop", "remove"])
def test_a_waiting_retry_is_ended_at_once(manager: TaskManager, clock: VirtualClock, how: str) -> None:
    bodies: list[int] = []
    told: list[str] = []

    def body() -> None:
        bodies.append(1)
        raise ValueError("no")

    sample = manager.add(body, name="sample", retry=3, on_complete=lambda run: told.append(str(run.state)))
    manager.run()
    run = sample.trigger()
    assert run.state == "retrying"
    if how == "cancel":
        assert run.cancel("enough")
    elif how == "stop":
        manager.stop()
    else:
        manager.remove("sample")
    assert (run.state, run.reason) == (
        "cancelled",
        {"cancel": "enough", "stop": "stopped", "remove": "the task was removed"}[how],
    )
    clock.advance(seconds=30)
    manager.stop()
    assert bodies == [1]
    assert told == ["cancelled"]
    with pytest.raises(RunCancelled):
        run.result()


def test_a_failure_while_the_manager_stops_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "CANCEL_TIMEOUT", LIMIT)
    manager, begun = TaskManager([]), threading.Event()

    def body() -> None:
        begun.set()
        run = current_run()
        while not run.is_cancelled():
            threading.Event().wait(0.005)
        raise ValueError("no")

    sample = manager.add(body, name="sample", retry=3, threaded=True)
    manager.run()
    run = sample.trigger()
    assert begun.wait(LIMIT)
    manager.stop(timeout=0)
    assert (run.state, run.attempt) == ("failed", 1)


def test_tenacity_strategies_decide(manager: TaskManager, clock: VirtualClock) -> None:
    only = Retrying(stop=stop_after_attempt(5), wait=wait_fixed(10), retry=retry_if_exception_type(ConnectionError))
    wanted = manager.add(failing(2), name="wanted", retry=only)
    unwanted = manager.add(lambda: 1 / 0, name="unwanted", retry=only)
    odd = manager.add(
        lambda: None,
        name="odd",
        retry=Retrying(
            stop=stop_after_delay(25), wait=wait_fixed(10), retry=retry_if_result(lambda value: value is None)
        ),
    )
    with manager:
        runs = [one.trigger() for one in (wanted, unwanted, odd)]
        clock.advance(minutes=2)
    assert [(str(run.state), run.attempt) for run in runs] == [("succeeded", 3), ("failed", 1), ("failed", 4)]
    assert runs[2].error == "its result asks for another attempt"


def test_a_direct_call_has_one_attempt(manager: TaskManager) -> None:
    sample = manager.add(failing(1), name="sample", retry=3)
    with pytest.raises(ConnectionError):
        sample()
    assert manager.runs("sample")[0].state == "failed"


def test_retries_are_told(manager: TaskManager, clock: VirtualClock) -> None:
    told: list[tuple[int, float]] = []

    def hear(sender: object, run: Any, seconds: float) -> None:
        told.append((run.attempt, seconds))

    sample = manager.add(failing(2), name="sample", retry=3)
    with manager, run_retrying.connected_to(hear):
        sample.trigger()
        clock.advance(seconds=30)
    assert told == [(1, 1.0), (2, 2.0)]


def test_disable_after_switches_off_with_a_note_an_event_and_a_log_line(
    manager: TaskManager, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[tuple[str, str]] = []

    def hear(sender: object, name: str, note: str) -> None:
        told.append((name, note))

    sample = manager.add(lambda: 1 / 0, every(10).seconds, name="sample", disable_after=3)
    with manager, task_disabled.connected_to(hear):
        clock.advance(minutes=1)
        assert not sample.is_enable
        assert manager.tasks_detail[0]["switch"]["note"] == "3 failures in a row"
        assert [(str(run.state), run.count) for run in manager.runs("sample")] == [("skipped", 3)] + [("failed", 1)] * 3
        sample.enable()
        clock.advance(seconds=20)
        assert sample.is_enable  # it is given another chance
        clock.advance(seconds=10)
        assert not sample.is_enable
    assert told == [("sample", "3 failures in a row")] * 2
    assert "'sample' is switched off: 3 failures in a row" in caplog.text


def test_the_last_failure_is_told_before_the_switch_that_it_turns(manager: TaskManager) -> None:
    told: list[str] = []

    def hear_failure(sender: object, run: Any) -> None:
        told.append("failed")

    def hear_switch(sender: object, name: str, note: str) -> None:
        told.append(f"disabled: {note}")

    sample = manager.add(lambda: 1 / 0, name="sample", disable_after=1)
    with manager, run_failed.connected_to(hear_failure), task_disabled.connected_to(hear_switch):
        sample.trigger()
    assert told == ["failed", "disabled: it failed"]


# Time limits.


def test_a_coroutine_is_stopped_at_its_limit(
    manager: TaskManager, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[float] = []

    async def body() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(clock.monotonic())

    failed: list[str] = []
    sample = manager.add(body, name="sample", timeout=5, on_failed=lambda run: failed.append(str(run.state)))
    with manager:
        run = sample.trigger()
        clock.advance(seconds=10)
        assert (run.state, ended, failed) == ("timed_out", [5], ["timed_out"])
        assert run.error == "RunTimedOut: Task 'sample' took longer than its timeout of 5 seconds."
        assert caplog.text.count("took longer than its timeout") == 1
        with pytest.raises(RunTimedOut):
            run.result()


def test_a_limit_is_each_attempts_own(manager: TaskManager, clock: VirtualClock) -> None:
    started: list[float] = []

    async def body() -> None:
        started.append(clock.monotonic())
        await asyncio.sleep(60)

    sample = manager.add(body, name="sample", timeout=5, retry=2)
    with manager:
        run = sample.trigger()
        clock.advance(seconds=60)
        assert (run.state, started) == ("timed_out", [0, 6, 13])


def test_a_limit_that_is_kept_leaves_nothing_on_the_heap(manager: TaskManager, clock: VirtualClock) -> None:
    sample = manager.add(lambda: None, name="sample", timeout=3600)
    with manager:
        for _ in range(200):
            sample()
            assert sample.trigger().result() is None
        assert len(manager.scheduler._heap.live()) <= 2  # the watches


@pytest.mark.parametrize("kind", ["looks", "swallows", "sleeps"])
def test_a_thread_past_its_limit_loses_its_run_and_keeps_its_task(kind: str, wait_for: WaitFor) -> None:
    manager, gate = TaskManager([], max_workers=1), threading.Event()

    def body() -> str:
        run = current_run()
        while not gate.is_set():
            if kind != "sleeps":
                try:
                    run.check_cancelled()
                except RunCancelled:
                    if kind == "looks":
                        raise
            gate.wait(0.005)
        return "late"

    failed: list[str] = []
    sample = manager.add(
        body, name="sample", threaded=True, timeout=0.1, on_failed=lambda run: failed.append(str(run.state))
    )
    other = manager.add(lambda: "other", name="other", threaded=True)
    with manager:
        run = sample.trigger()
        assert run.wait(LIMIT)
        assert run.state == "timed_out"
        assert other.trigger().result(LIMIT) == "other"  # the place in the pool was given back
        if kind != "looks":
            assert (run.overrunning, sample.is_running) == (True, True)
            assert sample.trigger().reason == "already running"  # the task's place was not
        gate.set()
        wait_for(lambda: not sample.is_running and bool(failed))
        assert (run.state, failed) == ("timed_out", ["timed_out"])
        assert sample.trigger().wait(LIMIT)


def test_the_next_attempt_waits_for_the_body_that_overran(wait_for: WaitFor) -> None:
    clock = VirtualClock(threads=True)
    manager, gate, begun = TaskManager([], clock=clock), threading.Event(), threading.Event()
    under_way: list[int] = []
    most: list[int] = []

    def body() -> int:
        attempt = current_run().attempt
        under_way.append(attempt)
        most.append(len(under_way))
        begun.set()
        if attempt == 1:
            gate.wait(LIMIT)
        under_way.remove(attempt)
        return attempt

    def is_due_again() -> bool:
        clock.advance(seconds=0)
        return run.due_again

    sample = manager.add(
        body, name="sample", threaded=True, timeout=5, retry=Retrying(stop=stop_after_attempt(2), wait=wait_fixed(0))
    )
    with manager:
        run = sample.trigger()
        assert begun.wait(LIMIT)
        clock.advance(seconds=5)
        wait_for(is_due_again)
        assert run.state == "retrying"
        gate.set()
        assert run.result(LIMIT) == 2
    assert most == [1, 1]


def test_an_overrunning_body_is_reported_with_its_stack(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture, wait_for: WaitFor
) -> None:
    clock = VirtualClock(threads=True)
    manager, gate, begun = TaskManager([], clock=clock), threading.Event(), threading.Event()

    def body() -> None:
        begun.set()
        gate.wait(LIMIT)

    sample = manager.add(body, name="sample", threaded=True, timeout=5)
    with manager, caplog.at_level(logging.WARNING):
        run = sample.trigger()
        assert begun.wait(LIMIT)
        clock.advance(seconds=5)
        assert run.wait(LIMIT)
        clock.advance(seconds=60)
        wait_for(lambda: "goes on past its limit of 5 seconds" in caplog.text)
        assert "gate.wait(LIMIT)" in caplog.text
        clock.advance(seconds=60)
        wait_for(lambda: caplog.text.count("goes on past its limit of 5 seconds") == 2)
        gate.set()
        wait_for(lambda: "what it returned is discarded" in caplog.text and not run.overrunning)
        clock.advance(minutes=5)
    assert caplog.text.count("goes on past its limit of 5 seconds") == 2


def test_so_many_threads_are_replaced_and_no_more(wait_for: WaitFor) -> None:
    clock = VirtualClock(threads=True)
    manager, gate = TaskManager([], clock=clock, max_workers=1), threading.Event()
    hung = manager.add(lambda: gate.wait(10 * LIMIT), name="hung", threaded=True, timeout=5, overlap="allow")
    with manager:
        runs = [hung.trigger() for _ in range(17)]
        for run in runs:
            wait_for(lambda run=run: run.timer is not None)  # type: ignore[misc]  # its limit
            clock.advance(seconds=5)
            assert run.wait(LIMIT)
            assert run.state == "timed_out"
        late = hung.trigger()
        assert not late.wait(0.2)
        assert late.state == "queued"  # sixteen were replaced; the seventeenth keeps the last place
        gate.set()
        assert late.result(LIMIT) is True


# Cancelling.


def test_a_queued_run_is_cancelled_at_once_and_a_running_one_when_it_looks(wait_for: WaitFor) -> None:
    manager = TaskManager([])

    def body() -> None:
        run = current_run()
        while True:
            run.check_cancelled()
            threading.Event().wait(0.005)

    first = manager.add(body, name="first")
    second = manager.add(lambda: None, name="second")
    with manager:
        running = first.trigger()
        wait_for(lambda: running.state == "running")
        queued = second.trigger()
        assert queued.cancel()
        assert (queued.state, queued.reason) == ("cancelled", "cancelled")
        assert running.cancel("by hand")
        assert running.wait(LIMIT)
        assert (running.state, running.reason) == ("cancelled", "by hand")
        assert not running.cancel()
        with pytest.raises(RunCancelled, match="by hand"):
            running.result()


def test_a_cancelled_run_is_not_repeated(manager: TaskManager, clock: VirtualClock) -> None:
    async def body() -> None:
        await asyncio.sleep(10)

    sample = manager.add(body, name="sample", retry=3)
    with manager:
        run = sample.trigger()
        clock.advance(seconds=5)
        assert run.cancel()
        clock.advance(seconds=30)
        assert (run.state, run.attempt) == ("cancelled", 1)


def test_cancelling_at_the_very_end_leaves_one_final_state_and_a_whole_pool() -> None:
    manager = TaskManager([], max_workers=4)
    sample = manager.add(lambda: None, name="sample", threaded=True, overlap="allow")
    with manager:
        for _ in range(5_000):
            first, second = sample.trigger(), sample.trigger()
            first.cancel()
            assert first.wait(LIMIT)
            assert second.wait(LIMIT)
            assert first.state in ("cancelled", "succeeded")
            assert second.state == "succeeded"
        assert manager.store.active() == []
        assert sample.trigger().result(LIMIT) is None


# Two things at the same moment.


def test_a_cancelled_body_that_goes_on_past_its_limit_is_not_repeated(wait_for: WaitFor) -> None:
    clock = VirtualClock(threads=True)
    manager, gate, begun = TaskManager([], clock=clock), threading.Event(), threading.Event()
    bodies: list[int] = []

    def deaf() -> None:
        bodies.append(1)
        begun.set()
        gate.wait(LIMIT)

    sample = manager.add(deaf, name="sample", threaded=True, timeout=5, retry=3)
    with manager:
        run = sample.trigger()
        assert begun.wait(LIMIT)
        assert run.cancel("by hand")
        clock.advance(seconds=5)
        assert run.wait(LIMIT)
        assert (run.state, run.asked) == ("timed_out", "by hand")
        gate.set()
        wait_for(lambda: not sample.is_running)
        clock.advance(minutes=1)
    assert bodies == [1]


@pytest.mark.parametrize("ending", ["fails", "returns"])
def test_a_body_that_ends_as_it_is_found_to_overrun_does_not_overrun(ending: str, wait_for: WaitFor) -> None:
    clock = VirtualClock(threads=True)
    manager, gate, begun = TaskManager([], clock=clock), threading.Event(), threading.Event()
    attempts: list[int] = []

    def body() -> int:
        attempts.append(current_run().attempt)
        if attempts == [1]:
            begun.set()
            gate.wait(LIMIT)
        return len(attempts)

    retry: Any = 3 if ending == "fails" else None  # past its limit, the first attempt has failed
    sample = manager.add(body, name="sample", threaded=True, timeout=5, retry=retry)
    with manager:
        run = sample.trigger()
        assert begun.wait(LIMIT)
        executors = manager._pipeline.executors
        assert executors is not None
        threads = executors.threads
        replace = threads.replace

        def replace_when_it_has_ended(one: Run, work: Work) -> bool:
            gate.set()
            wait_for(lambda: run.state != "running")
            return replace(one, work)

        threads.replace = replace_when_it_has_ended  # type: ignore[method-assign]  # a moment of the test's choice
        clock.advance(seconds=5)
        wait_for(lambda: not run.overrunning)
        if ending == "fails":
            wait_for(lambda: run.timer is not None)  # the next attempt
        clock.advance(seconds=2)
        assert run.wait(LIMIT)
        assert (run.state, attempts) == (("succeeded", [1, 2]) if ending == "fails" else ("timed_out", [1]))
        assert not sample.is_running
        wait_for(lambda: not any(one.running() or one.waiting() for one in executors.all()))
        clock.advance(minutes=3)
        look_of_the_alerts = manager._alerts._timer
        assert [item for item in manager.scheduler._heap.live() if item is not look_of_the_alerts] == []


class AtTheEndOfAnAttempt(MemoryStore):
    """Something is done just before an attempt is recorded as failed, and found worth another."""

    def __init__(self) -> None:
        super().__init__()
        self.do: Callable[[Run], object] = lambda run: None

    def retry(self, run: Run, *arguments: Any) -> bool:
        do, self.do = self.do, lambda run: None
        do(run)
        return super().retry(run, *arguments)


@pytest.mark.parametrize("how", ["cancel", "stop", "remove"])
def test_what_is_ended_as_an_attempt_fails_has_no_other(
    how: str, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = AtTheEndOfAnAttempt()
    manager, told = TaskManager([], store=store), list[str]()
    draining, drain = threading.Event(), manager._lifecycle._drain

    def draining_now(timeout: float) -> None:
        draining.set()
        drain(timeout)

    def stop(run: Run) -> None:
        threading.Thread(target=manager.stop, args=(60,)).start()
        assert draining.wait(LIMIT)  # it has looked for what is not under way

    ways: dict[str, Callable[[Run], object]] = {
        "cancel": lambda run: run.cancel("enough"),
        "stop": stop,
        "remove": lambda run: manager.remove("sample"),
    }
    reasons = {"cancel": "enough", "stop": "stopped", "remove": "the task was removed"}
    store.do = ways[how]
    monkeypatch.setattr(manager._lifecycle, "_drain", draining_now)
    sample = manager.add(
        lambda: 1 / 0, name="sample", threaded=True, retry=3, on_complete=lambda run: told.append(str(run.state))
    )
    manager.run()
    run = sample.trigger()
    assert run.wait(LIMIT)
    assert (run.state, run.reason, run.attempt) == ("cancelled", reasons[how], 1)
    wait_for(lambda: told == ["cancelled"])
    manager.stop()


def test_a_run_that_is_cancelled_between_two_looks_at_it_has_no_other_attempt(
    manager: TaskManager, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cancel` finds the body under way; by the time that it asks it to stop, the next attempt is waited for."""
    attempts: list[int] = []
    withdraw = manager._pipeline.withdrawal.withdraw
    finds = iter([False])
    monkeypatch.setattr(
        manager._pipeline.withdrawal, "withdraw", lambda *arguments: next(finds, True) and withdraw(*arguments)
    )

    def body() -> None:
        attempts.append(current_run().attempt)
        raise ValueError("no")

    sample = manager.add(body, name="sample", retry=3)
    with manager:
        run = sample.trigger()
        assert run.cancel("enough")
        clock.advance(minutes=1)
        assert (run.state, run.reason, attempts) == ("cancelled", "enough", [1])


def test_a_run_that_is_cancelled_by_a_stop_is_told_though_its_pool_is_full(wait_for: WaitFor) -> None:
    manager, told = TaskManager([], pools={"small": 1}), list[str]()
    begun = threading.Event()

    async def fails() -> None:
        raise ValueError("no")

    async def occupies() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:  # it ends only with its loop, and keeps its place until then
            await asyncio.sleep(60)

    sample = manager.add(
        fails,
        name="sample",
        pool="small",
        retry=Retrying(stop=stop_after_attempt(2), wait=wait_fixed(60)),
        on_complete=lambda run: told.append(str(run.state)),
    )
    other = manager.add(occupies, name="other", pool="small")
    manager.run()
    run = sample.trigger()
    wait_for(lambda: run.state == "retrying")
    other.trigger()
    assert begun.wait(LIMIT)
    manager.stop(timeout=0)
    wait_for(lambda: bool(told))
    assert told == ["cancelled"]


def test_what_is_called_back_for_a_cancelled_run_is_handed_over_before_a_stop_is_done(
    monkeypatch: pytest.MonkeyPatch, wait_for: WaitFor
) -> None:
    manager, told, begun = TaskManager([]), list[str](), threading.Event()
    stopped = manager._lifecycle.stopped
    hand_over = withdrawal.call_back_elsewhere

    def slowly(*arguments: Any) -> None:
        begun.set()
        stopped.wait(0.2)  # in vain: the stop waits for this
        hand_over(*arguments)

    monkeypatch.setattr(withdrawal, "call_back_elsewhere", slowly)
    sample = manager.add(
        failing(1), name="sample", threaded=True, retry=3, on_complete=lambda run: told.append(str(run.state))
    )
    manager.run()
    run = sample.trigger()
    wait_for(lambda: run.state == "retrying")
    canceller = threading.Thread(target=run.cancel)
    canceller.start()
    assert begun.wait(LIMIT)
    manager.stop()
    canceller.join(LIMIT)
    wait_for(lambda: bool(told))
    assert told == ["cancelled"]


class CancelsWhatStarts(MemoryStore):
    """As a newer run does with ``overlap="cancel_previous"``, when it comes in this moment."""

    def start(self, run: Run, now: datetime.datetime) -> bool:
        run.cancel("a newer run takes its place")
        return super().start(run, now)


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_call_that_is_cancelled_before_it_starts_has_no_body(kind: str) -> None:
    manager, bodies = TaskManager([], store=CancelsWhatStarts()), list[int]()

    async def coroutine() -> None:
        bodies.append(1)

    sample = manager.add(coroutine if kind == "async" else lambda: bodies.append(1), name="sample")
    with pytest.raises(RunCancelled, match="a newer run takes its place"):
        _ = asyncio.run(sample()) if kind == "async" else sample()
    assert bodies == []
    assert [(str(run.state), run.attempt) for run in manager.runs()] == [("cancelled", 0)]
