"""Faults of runs that a reviewer found by breaking things: races, leaks and secrets. Each stays broken only once."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import gc
import logging
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from task import (
    MemoryStore,
    ParameterError,
    Run,
    RunState,
    TaskManager,
    current_run,
    every,
    run_failed,
    run_queued,
)
from task.executors import Backlog, EventLoop, Gate, ThreadPool
from task.models import process as process_module
from task.pipeline import execution
from task.remote.messages import StandIn, apply_message
from task.runs import Redactor
from task.testing import VirtualClock

Wait = Callable[[Callable[[], bool]], None]

#: How long what will happen is waited for. Seconds.
LIMIT = 60.0

SECRET = "hunter2-canary-9f8e"
#: Longer than anything that is kept, and still a secret that is looked for.
LONG_SECRET = "Zy9" * 2000


def a_run() -> Run:
    return Run("sample", "manual", datetime.datetime.now(datetime.UTC))


# Waiting for a run from outside.


def test_a_run_that_ends_while_a_callback_is_added_calls_it() -> None:
    class Interrupted(Run):
        """Ends in another thread, just after its state was looked at for the first time."""

        __slots__ = ("_state", "interrupt")

        @property
        def state(self) -> RunState:  # type: ignore[override]  # the attribute of a run, seen as it is read
            state = self._state
            interrupt, self.interrupt = getattr(self, "interrupt", None), None
            if interrupt is not None:
                interrupt()
            return state

        @state.setter
        def state(self, state: RunState) -> None:
            self._state = state

    run = Interrupted("sample", "manual", datetime.datetime.now(datetime.UTC))
    run.to(RunState.RUNNING)
    ended = threading.Event()

    def end() -> None:
        run.to(RunState.SUCCEEDED)
        run.ended()

    def end_elsewhere() -> None:
        thread = threading.Thread(target=end)
        thread.start()
        thread.join(0.2)

    run.interrupt = end_elsewhere
    run.add_done_callback(lambda _: ended.set())
    assert ended.wait(LIMIT)


def test_a_done_callback_that_raises_keeps_no_place_from_others(wait_for: Wait) -> None:
    manager, gate = TaskManager([]), threading.Event()
    slow = manager.add(lambda: gate.wait(LIMIT), name="slow", threaded=True, overlap="queue")

    def fail(_: Run) -> None:
        raise SystemExit

    with manager:
        first, second = slow.trigger(), slow.trigger()
        first.add_done_callback(fail)
        gate.set()
        assert first.result(LIMIT) is True
        assert second.result(LIMIT) is True


def test_whoever_waits_in_vain_leaves_nothing_on_the_run() -> None:
    manager, gate = TaskManager([]), threading.Event()
    run_of = manager.add(lambda: gate.wait(LIMIT), name="slow", threaded=True).trigger

    async def give_up(run: Run) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run, 0.01)

    with manager:
        run = run_of()
        assert not run.wait(0)
        asyncio.run(give_up(run))
        assert not run._waiters
        gate.set()
        assert run.result(LIMIT) is True


# What a body returns or raises.


def test_a_result_that_raises_whatever_is_done_with_it_is_a_success() -> None:
    class Hostile(dict[str, int]):
        def items(self) -> Any:
            raise RuntimeError("no")

        def __repr__(self) -> str:
            raise SystemExit

    manager = TaskManager([])
    hostile = manager.add(lambda: Hostile(a=1), name="hostile", threaded=True)
    with manager:
        run = hostile.trigger()
        assert run.wait(LIMIT)
        assert run.state == "succeeded"


def test_an_exception_that_is_frozen_is_recorded_and_raised() -> None:
    @dataclasses.dataclass(frozen=True)
    class FrozenError(Exception):
        code: int

    def body() -> None:
        raise FrozenError(3)

    manager = TaskManager([])
    frozen = manager.add(body, name="frozen", threaded=True)
    with manager:
        with pytest.raises(FrozenError) as raised:
            frozen.trigger().result(LIMIT)
        assert "In the run of task 'frozen'" in raised.value.__notes__[0]


def test_the_end_of_another_run_is_a_plain_failure_of_the_one_that_waited_for_it() -> None:
    manager, gate = TaskManager([]), threading.Event()
    slow = manager.add(lambda: gate.wait(LIMIT), name="slow", threaded=True, timeout=0.05)
    parent = manager.add(lambda: slow.trigger().result(LIMIT), name="parent", threaded=True)
    with manager:
        run = parent.trigger()
        assert run.wait(LIMIT)
        gate.set()
        assert (run.state, (run.error or "")[:12]) == ("failed", "RunTimedOut:")


def test_what_a_lost_body_returns_late_changes_nothing_on_record(wait_for: Wait, caplog: Any) -> None:
    manager, gate = TaskManager([]), threading.Event()

    def body() -> dict[str, int]:
        gate.wait(LIMIT)
        return {"late": 1}

    slow = manager.add(body, name="slow", threaded=True)
    manager.run()
    run = slow.trigger()
    wait_for(lambda: run.state == "running")
    manager.stop(timeout=0)
    recorded = manager.runs("slow")[0].as_dict()
    assert recorded["state"] == "lost"
    gate.set()
    wait_for(lambda: "what it returned is discarded" in caplog.text)
    assert manager.runs("slow")[0].as_dict() == recorded


# Cancelling, timing out and retrying at the same moment.


def test_a_cancelled_run_whose_time_is_up_is_not_repeated(manager: TaskManager, clock: VirtualClock) -> None:
    attempts: list[int] = []

    def body() -> None:
        attempts.append(current_run().attempt)
        current_run().cancel("by hand")
        clock.sleep(20)

    stubborn = manager.add(body, name="stubborn", timeout=5, retry=3)
    with manager:
        run = stubborn.trigger()
        clock.advance(minutes=1)
        assert (run.state, attempts) == ("timed_out", [1])


def test_any_reason_to_cancel_is_one_also_the_word_timeout(manager: TaskManager) -> None:
    def body() -> None:
        current_run().cancel("timeout")
        current_run().check_cancelled()

    with manager:
        run = manager.add(body, name="sample", retry=3).trigger()
        assert (run.state, run.reason) == ("cancelled", "timeout")


def test_a_run_that_is_cancelled_while_its_failure_is_judged_is_not_repeated(
    manager: TaskManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    retry = manager.store.retry

    def cancelled_just_before(run: Run, attempt: int, now: datetime.datetime, next_at: datetime.datetime) -> bool:
        run.cancel("by hand")
        return retry(run, attempt, now, next_at)

    monkeypatch.setattr(manager.store, "retry", cancelled_just_before)
    with manager:
        run = manager.add(lambda: 1 / 0, name="sample", retry=3).trigger()
        assert (run.state, run.reason) == ("cancelled", "by hand")


def test_a_run_that_fails_while_it_is_cancelled_is_not_repeated(
    wait_for: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager, gate = TaskManager([], clock=VirtualClock(threads=True)), threading.Event()

    def body() -> None:
        gate.wait(LIMIT)
        raise ValueError

    sample = manager.add(body, name="sample", threaded=True, retry=3)
    cancel = manager.store.cancel

    def failing_meanwhile(run: Run, *args: Any, **options: Any) -> Any:
        monkeypatch.undo()
        ended = cancel(run, *args, **options)
        gate.set()
        wait_for(lambda: run.state == "retrying")
        return ended

    with manager:
        run = sample.trigger()
        wait_for(lambda: run.state == "running")
        monkeypatch.setattr(manager.store, "cancel", failing_meanwhile)
        assert run.cancel("by hand")
        assert (run.state, run.reason) == ("cancelled", "by hand")


def test_a_body_that_ends_just_when_it_overruns_gets_its_next_attempt(
    wait_for: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = VirtualClock(threads=True)
    manager, gate, begun = TaskManager([], clock=clock), threading.Event(), threading.Event()

    def body() -> int:
        begun.set()
        if current_run().attempt == 1:
            gate.wait(LIMIT)
        return current_run().attempt

    def let_it_end_first(pool: ThreadPool, run: Run, *work: Any) -> bool:
        monkeypatch.undo()
        gate.set()
        wait_for(lambda: run.state == "retrying")
        return pool.replace(run, *work)

    sample = manager.add(body, name="sample", threaded=True, timeout=5, retry=1)
    with manager:
        monkeypatch.setattr(ThreadPool, "replace", let_it_end_first)
        run = sample.trigger()
        assert begun.wait(LIMIT)
        clock.advance(seconds=5)
        wait_for(lambda: run.timer is not None)  # the next attempt
        clock.advance(seconds=1)
        assert run.result(LIMIT) == 2
        assert not run.overrunning


def test_a_time_that_is_found_to_be_up_too_late_changes_nothing_of_what_the_run_came_to(manager: TaskManager) -> None:
    def body() -> int:
        if current_run().attempt == 1:
            raise ValueError("the first time")
        return current_run().attempt

    sample = manager.add(body, name="sample", threaded=True, timeout=5, retry=1)
    with manager:
        run = sample.trigger()
        manager.clock.advance(seconds=10)
        error = run.error
        sample.binding.pipeline.settlement.overran(sample.binding, run, 1)
        assert (str(run.state), run.result(0), run.error) == ("succeeded", 2, error)


def test_a_time_that_is_up_is_recorded_before_the_next_body_takes_the_place(wait_for: Wait) -> None:
    pool, gate, order = ThreadPool("sample", 1), threading.Event(), []
    run, next_run, began, done = a_run(), a_run(), threading.Event(), threading.Event()

    def body(_: Run) -> None:
        began.set()
        gate.wait(LIMIT)

    def next_body(_: Run) -> None:
        order.append("next body")
        done.set()

    pool.submit(body, run)
    assert began.wait(LIMIT)
    pool.submit(next_body, next_run, 10**9)
    assert pool.replace(run, lambda _: order.append("recorded"))
    assert done.wait(LIMIT)
    assert order == ["recorded", "next body"]
    gate.set()
    wait_for(lambda: pool.running() == [])
    pool.close(5)


def test_a_coroutine_on_a_full_pool_times_out_while_another_has_its_place(
    wait_for: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "STOP_GRACE", 0.01)
    manager, loops, ends = TaskManager([], pools={"io": 1}), [], []

    async def stubborn() -> None:
        loops.append(asyncio.get_running_loop())
        ends.append(end := asyncio.Event())
        while not end.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await end.wait()

    manager.add(stubborn, name="first", pool="io", timeout=0.05)
    manager.add(stubborn, name="second", pool="io")
    with manager:
        first, second = manager.trigger("first"), manager.trigger("second")
        wait_for(lambda: len(ends) == 2)
        assert first.wait(LIMIT)
        assert (first.state, second.state) == ("timed_out", "running")
        for end in ends:
            loops[0].call_soon_threadsafe(end.set)
        assert second.wait(LIMIT)


def test_a_body_that_leaves_a_pool_late_takes_no_place_from_its_next_attempt() -> None:
    loop, run, done = EventLoop(), a_run(), threading.Event()
    gate = Gate("io", 1, loop)
    inside: list[int] = []

    async def late(_: Run) -> None:
        gate.replace(run, nothing)  # its time is up; and its next attempt comes before it has left
        gate.submit(next_attempt, run)
        gate.submit(other, a_run())

    async def nothing(_: Run) -> None: ...

    async def next_attempt(_: Run) -> None:
        inside.append(gate.waiting())
        for _ in range(5):
            await asyncio.sleep(0)
        inside.append(gate.waiting())

    async def other(_: Run) -> None:
        done.set()

    gate.submit(late, run)
    assert done.wait(LIMIT)
    loop.close(1)
    assert inside == [1, 1]


def test_a_body_that_ends_while_its_thread_is_replaced_costs_the_pool_no_thread(wait_for: Wait) -> None:
    pool, run = ThreadPool("sample", 2), a_run()
    gate, began, ended, replaced = (threading.Event() for _ in range(4))

    def body(_: Run) -> None:
        began.set()
        gate.wait(LIMIT)

    pool.submit(body, run)
    assert began.wait(LIMIT)

    class Late(type(pool._workers[0])):  # type: ignore[misc]  # the class of its threads
        """Is held up, once it has counted what it has done."""

        @property
        def done(self) -> int:
            return int(self.__dict__["counted"])

        @done.setter
        def done(self, count: int) -> None:
            self.__dict__["counted"] = count
            ended.set()
            replaced.wait(0.1)

    def ending_meanwhile(run: Run, workers: Any) -> Any:
        found = ThreadPool._occupied_by(run, workers)
        gate.set()
        ended.wait(0.1)
        return found

    pool._workers[0].__dict__["counted"] = 0
    pool._workers[0].__class__ = Late
    pool._occupied_by = ending_meanwhile  # type: ignore[method-assign]
    pool.replace(run, lambda _: None)
    replaced.set()
    filled, both, met = threading.Event(), threading.Barrier(3), []
    pool.submit(lambda _: filled.set(), a_run())
    assert filled.wait(LIMIT)
    wait_for(lambda: pool.running() == [] and not pool.waiting())
    for _ in range(2):
        pool.submit(lambda _: met.append(both.wait(LIMIT)), a_run())
    both.wait(LIMIT)
    pool.close(5)


def test_callbacks_of_a_run_that_ended_without_its_body_know_it(wait_for: Wait) -> None:
    manager, gate, known = TaskManager([]), threading.Event(), []
    slow = manager.add(
        lambda: gate.wait(LIMIT),
        name="slow",
        threaded=True,
        timeout=0.05,
        on_failed=lambda: known.append(current_run()),
    )
    with manager:
        run = slow.trigger()
        assert run.wait(LIMIT)
        wait_for(lambda: bool(known))
        gate.set()
    assert known == [run]


# Runs that wait for others.


def test_a_run_that_is_let_go_while_it_is_admitted_is_handed_over_once(
    wait_for: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager, gate, busy = TaskManager([]), threading.Event(), threading.Event()
    slow = manager.add(lambda: gate.wait(LIMIT), name="slow", overlap="queue")
    hog = manager.add(lambda: busy.wait(LIMIT), name="hog")
    claim, hand_over, handed = manager.store.claim, manager._pipeline.hand_over, []

    def let_go_meanwhile(run: Run, *args: Any, **options: Any) -> bool:
        claimed = claim(run, *args, **options)
        if run.task == "slow":
            gate.set()
            wait_for(lambda: run in handed)
        return claimed

    def count(binding: Any, run: Run) -> None:
        handed.append(run)
        hand_over(binding, run)

    with manager:
        first = slow.trigger()
        wait_for(lambda: first.state == "running")
        hog.trigger()  # keeps the serial worker, so that what is handed over stays queued
        monkeypatch.setattr(manager._pipeline, "hand_over", count)
        monkeypatch.setattr(manager.store, "claim", let_go_meanwhile)
        second = slow.trigger()
        busy.set()
        assert second.result(LIMIT) is True
    assert handed.count(second) == 1


def test_of_two_that_take_the_place_of_others_at_once_the_newer_one_stays(
    wait_for: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager, gate = TaskManager([]), threading.Event()
    slow = manager.add(lambda: gate.wait(LIMIT), name="slow", threaded=True, overlap="cancel_previous")
    store, both_wait, both_look = manager.store, threading.Barrier(2), threading.Barrier(2)
    claim, active = store.claim, store.active
    runs: list[Run] = []

    def claim_both(run: Run, *args: Any, **options: Any) -> bool:
        claimed = claim(run, *args, **options)
        both_wait.wait(LIMIT)
        return claimed

    def look_at_both(name: str | None = None) -> list[Run]:
        found = active(name)
        both_look.wait(LIMIT)
        return found

    with manager:
        first = slow.trigger()
        wait_for(lambda: first.state == "running")
        monkeypatch.setattr(store, "claim", claim_both)
        monkeypatch.setattr(store, "active", look_at_both)
        threads = [threading.Thread(target=lambda: runs.append(slow.trigger())) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        monkeypatch.undo()
        assert sorted(run.state for run in runs) == ["cancelled", "queued"]
        gate.set()
        assert {str(run.state) for run in runs if run.wait(LIMIT)} == {"cancelled", "succeeded"}


def test_a_stop_with_hundreds_that_wait_for_one_mutex_is_no_recursion(wait_for: Wait) -> None:
    manager, gate = TaskManager([]), threading.Event()
    hog = manager.add(lambda: gate.wait(LIMIT), name="hog")
    tasks = [manager.add(lambda: None, name=f"task {n}", mutex="one", overlap="queue") for n in range(400)]
    manager.run()
    busy = hog.trigger()
    wait_for(lambda: busy.state == "running")
    runs = [one.trigger() for one in tasks]
    runs[-1].add_done_callback(lambda _: gate.set())
    manager.stop(timeout=5)
    assert {str(run.state) for run in runs} == {"cancelled"}


def test_what_comes_always_after_a_task_comes_also_when_that_is_cancelled_between_attempts(
    manager: TaskManager, clock: VirtualClock
) -> None:
    ran: list[str] = []
    manager.add(lambda: 1 / 0, name="first", retry=3)
    manager.add(lambda: ran.append("second"), name="second", after="first", when="always")
    with manager:
        run = manager.trigger("first")
        assert run.state == "retrying"
        run.cancel()
        clock.advance(seconds=1)
    assert ran == ["second"]


# Conditions, receivers, stores: what is the user's own raises anything and calls anything.


def test_a_condition_that_exits_refuses_its_slot_and_the_next_one_runs(
    manager: TaskManager, clock: VirtualClock
) -> None:
    ran: list[float] = []
    answers: Iterator[BaseException | None] = iter([SystemExit("no"), None])

    def condition() -> bool:
        answer = next(answers)
        if answer is not None:
            raise answer
        return True

    manager.add(lambda: ran.append(clock.monotonic()), every(10).seconds, name="sample", only_if=condition)
    with manager:
        clock.advance(seconds=25)
        assert [str(run.state) for run in manager.runs("sample")] == ["succeeded", "skipped"]
    assert ran == [20]


@pytest.mark.parametrize("fixed_delay", [False, True])
def test_a_claim_that_fails_behind_a_condition_is_not_the_end_of_the_schedule(
    wait_for: Wait, monkeypatch: pytest.MonkeyPatch, fixed_delay: bool
) -> None:
    clock = VirtualClock(threads=True)
    store = MemoryStore()
    manager, ran, failed = TaskManager([], clock=clock, store=store), threading.Event(), threading.Event()

    def fail(*args: Any, **options: Any) -> bool:
        monkeypatch.undo()
        failed.set()
        raise OSError("the store is away")

    manager.add(ran.set, every(10).seconds, name="sample", only_if=lambda: True, fixed_delay=fixed_delay)
    monkeypatch.setattr(store, "claim", fail)
    with manager:
        clock.advance(seconds=10)
        assert failed.wait(LIMIT)
        wait_for(lambda: not manager["sample"].binding.entry.held)  # type: ignore[union-attr]
        clock.advance(seconds=10)
        assert ran.wait(LIMIT)
    process_module.all_managers.discard(
        manager
    )  # not to be audited: the slot that the store did not take has no outcome


def test_a_receiver_may_stop_its_manager_and_whoever_waits_is_told() -> None:
    manager, waited = TaskManager([]), threading.Event()

    def stop(sender: object, run: Run) -> None:
        manager.stop(timeout=1)

    def wait() -> None:
        manager.wait()
        waited.set()

    with run_failed.connected_to(stop, manager):
        manager.run()
        threading.Thread(target=wait, daemon=True).start()
        manager.add(lambda: 1 / 0, name="sample").trigger()
        assert waited.wait(LIMIT)


def test_a_manager_that_a_body_has_stopped_is_not_kept(wait_for: Wait) -> None:
    manager = TaskManager([])
    manager.add(lambda: manager.stop(timeout=1), name="sample", threaded=True)
    manager.run()
    manager.trigger("sample")
    manager.wait()
    assert manager not in process_module.running_managers


def test_a_run_is_queued_once_however_many_attempts_and_waits_it_has(manager: TaskManager, clock: VirtualClock) -> None:
    told: list[Run] = []

    def body() -> None:
        if current_run().attempt < 3:
            raise ValueError

    def tell(sender: object, run: Run) -> None:
        told.append(run)

    manager.add(body, name="first", retry=3)
    manager.add(lambda: None, name="second", after="first")
    with run_queued.connected_to(tell, manager), manager:
        manager.trigger("first")
        clock.advance(seconds=10)
    assert [run.task for run in told] == ["first", "second"]


# Memory.


def test_what_parents_returned_is_let_go_with_the_end_of_the_run(manager: TaskManager, clock: VirtualClock) -> None:
    class Large: ...

    manager.add(lambda: Large(), name="first")
    manager.add(lambda: None, name="second", after="first")
    with manager:
        large = weakref.ref(manager.trigger("first").result(0))
        clock.advance(seconds=1)
        assert manager.runs("second")[0].state == "succeeded"
        manager.trigger("first")
        clock.advance(seconds=1)
        gc.collect()
        assert large() is None


def test_a_time_limit_that_was_kept_does_not_keep_the_result(manager: TaskManager) -> None:
    class Large: ...

    manager.add(lambda: Large(), name="sample", timeout=3600)
    with manager:
        large = weakref.ref(manager.trigger("sample").result(0))
        manager.trigger("sample")
        gc.collect()
        assert large() is None


# Secrets.


def test_a_skipped_run_keeps_no_secret(manager: TaskManager) -> None:
    sync = manager.add(lambda password: None, name="sync", redact=["password"], disabled=True)
    with manager:
        assert sync.trigger(password=SECRET).parameters == {"password": "***"}
        assert SECRET not in repr([run.parameters for run in manager.runs("sync")])


def test_declared_secrets_are_in_no_repr(manager: TaskManager) -> None:
    used: list[str] = []
    sync = manager.add(
        lambda password: used.append(password),
        every(5).minutes,
        name="sync",
        redact=["password"],
        parameters={"password": SECRET},
    )
    with manager:
        assert SECRET not in repr((sync, sync.spec, sync.schedules, manager.tasks_detail))
        sync.schedules[0].job_func()  # type: ignore[misc]  # as plain `schedule` would
        assert used == [SECRET]


@pytest.mark.parametrize("value", [SECRET, {"password": SECRET}])
def test_a_secret_that_does_not_fit_is_not_shown(manager: TaskManager, value: object) -> None:
    pytest.importorskip("msgspec")

    def body(password: int) -> None: ...

    sync = manager.add(body, name="sync", redact=["password"])
    with manager:
        with pytest.raises(ParameterError) as refused:
            sync.trigger(password=value)
        assert SECRET not in "".join(traceback.format_exception(refused.value))
    with pytest.raises(ParameterError) as refused:
        manager.add(body, name="other", redact=["password"], parameters={"password": value})
    assert SECRET not in "".join(traceback.format_exception(refused.value))


def test_a_long_secret_is_masked_before_any_text_is_cut(manager: TaskManager) -> None:
    def body(password: str) -> None:
        current_run().update_progress(50, password)
        raise ValueError(password)

    manager.add(body, name="failing", redact=["password"])
    manager.add(lambda password: [password], name="returning", redact=["password"])
    with manager:
        failed = manager.trigger("failing", password=LONG_SECRET)
        returned = manager.trigger("returning", password=LONG_SECRET)
        assert (failed.message, failed.error) == ("***", "ValueError: ***")
        assert LONG_SECRET[:9] not in f"{failed.traceback}{returned.result_text}"


def test_a_secret_in_a_long_result_is_masked_where_that_is_cut(manager: TaskManager) -> None:
    manager.add(lambda password: "x" * 1985 + password + "x" * 5000, name="sync", redact=["password"])
    with manager:
        text = manager.trigger("sync", password=SECRET).result_text
        assert text is not None
        assert SECRET[:5] not in text
        assert len(text) <= 4000


def test_a_secret_that_a_body_elsewhere_tells_is_masked_before_it_is_cut() -> None:
    run = a_run()
    run.redactor = Redactor(["password"], {"password": SECRET})
    there = StandIn({"task": "sample"}, lambda message: apply_message(run, message))
    there.update_progress(50, "x" * 495 + SECRET)
    there.logger.info("y" * 19_995 + SECRET)
    assert run.message == "x" * 495 + "***"
    assert run.log[0].message.endswith("y***")


def test_a_callback_that_raises_a_secret_does_not_log_it(
    manager: TaskManager, caplog: pytest.LogCaptureFixture
) -> None:
    def callback() -> None:
        raise ValueError(SECRET)

    manager.add(lambda password: None, name="sync", redact=["password"], on_success=callback)
    with manager, caplog.at_level(logging.DEBUG):
        manager.trigger("sync", password=SECRET)
    assert "ValueError: ***" in caplog.text
    assert SECRET not in caplog.text.replace(f'"{SECRET}"', "")


def test_parameters_that_cannot_be_read_at_the_end_do_not_keep_the_run_from_ending() -> None:
    class Fickle(Mapping[str, str]):
        """Can be read once."""

        read = False

        def __getitem__(self, key: str) -> str:
            return "a value"

        def __iter__(self) -> Iterator[str]:
            if self.read:
                raise RuntimeError("it changed")
            self.read = True
            return iter(["password"])

        def __len__(self) -> int:
            return 1

    manager = TaskManager([])
    sync = manager.add(lambda password, options: None, name="sync", redact=["password"], threaded=True)
    with manager:
        run = sync.trigger(password=SECRET, options=Fickle())
        assert run.wait(LIMIT)
        assert run.parameters == {"password": "***", "options": "***"}


def test_an_audit_goes_on_when_a_task_is_forgotten_under_it(
    manager: TaskManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = manager.store.names

    def one_that_was_just_forgotten() -> list[str]:
        return ["forgotten", *names()]

    manager.add(lambda: None, every(5).minutes, name="sample")
    monkeypatch.setattr(manager.store, "names", one_that_was_just_forgotten)
    assert manager.audit() == []
    assert manager.runs("forgotten") == []


def test_a_coroutine_that_comes_as_the_loop_is_closed_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, begun = EventLoop(), threading.Event()
    closer = threading.Thread(target=loop.close, args=(60,))

    async def hangs(_: Run) -> None:
        begun.set()
        await asyncio.Event().wait()

    def close_meanwhile(_: object) -> str:
        closer.start()
        closer.join(0.5)  # where nothing keeps it from that, it is closed by now
        return "another"

    monkeypatch.setattr(sys.modules[EventLoop.__module__], "task_on", close_meanwhile)
    loop.submit(hangs, a_run())
    assert begun.wait(60)
    loop.submit(hangs, a_run())
    closer.join(60)
    assert not closer.is_alive()


def test_what_a_worker_takes_waits_or_runs_at_each_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, taken, go = ThreadPool("sample", 1), threading.Event(), threading.Event()
    pop = Backlog.pop

    def slowly(backlog: Backlog) -> object:
        item = pop(backlog)
        taken.set()
        go.wait(60)
        return item

    monkeypatch.setattr(Backlog, "pop", slowly)
    run = a_run()
    pool.submit(lambda _: None, run)
    assert taken.wait(60)
    assert (pool.waiting(), pool.running()) == (0, [run])
    go.set()
    pool.close(60)
