"""The story of a run: whatever a body, a callback or a result does, it stays inside it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from task import NoRunError, Run, RunCancelled, RunState, TaskManager, current_run, every
from task.models import lifecycle
from task.pipeline import describe
from task.testing import VirtualClock

#: How long what will happen is waited for. Seconds.
LIMIT = 60.0


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def recurse() -> None:
    recurse()


def exhaust() -> None:
    raise MemoryError


def thrower(error: BaseException) -> Callable[[], None]:
    def body() -> None:
        raise error

    return body


BODIES: dict[str, Callable[[], Any]] = {
    "Exception": thrower(ValueError("no")),
    "BaseException": thrower(BaseException("no")),
    "SystemExit": thrower(SystemExit(3)),
    "KeyboardInterrupt": thrower(KeyboardInterrupt()),
    "GeneratorExit": thrower(GeneratorExit()),
    "Unprintable": thrower(UnprintableError()),
    "RecursionError": recurse,
    "MemoryError": exhaust,
    "long text": thrower(ValueError("x" * 1_000_000)),
    "UnfinishedBodyError (generator)": lambda: (number for number in range(3)),
    "UnfinishedBodyError (coroutine)": lambda: asyncio.sleep(1),
}


@pytest.mark.parametrize("kind", ["serial", "threaded", "async"])
@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_raises_fails_alone(manager: TaskManager, clock: VirtualClock, name: str, kind: str) -> None:
    async def asynchronous() -> Any:
        return BODIES[name]()

    body = asynchronous if kind == "async" else BODIES[name]
    manager.add(body, every(10).seconds, name="bad", threaded=kind == "threaded")
    manager.add(lambda: None, every(10).seconds, name="good")
    with manager:
        clock.advance(minutes=1)
        bad, good = manager.runs("bad"), manager.runs("good")
        assert manager.health
    assert [str(run.state) for run in bad] == ["failed"] * 6
    assert [str(run.state) for run in good] == ["succeeded"] * 6
    assert all(run.started_at == run.slot for run in good)
    assert bad[0].error is not None
    assert bad[0].traceback is not None
    assert len(bad[0].error) < 600
    assert len(bad[0].traceback) <= 8_000


@pytest.mark.parametrize("callback", ["on_success", "on_failed", "on_complete"])
@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(), KeyboardInterrupt()])
def test_a_failing_callback_changes_nothing(
    manager: TaskManager, clock: VirtualClock, callback: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    options: dict[str, Any] = {callback: thrower(error)}
    body = (lambda: 1 / 0) if callback == "on_failed" else (lambda: 1)
    manager.add(body, every(10).seconds, name="sample", **options)
    with manager:
        clock.advance(seconds=30)
        states = [str(run.state) for run in manager.runs("sample")]
    assert states == ["failed" if callback == "on_failed" else "succeeded"] * 3
    assert "nothing else is affected" in caplog.text


def test_callbacks_are_called_once_a_run_after_its_final_state(manager: TaskManager, clock: VirtualClock) -> None:
    told: list[str] = []

    def body() -> None:
        if clock.now().second == 20:
            raise ValueError("no")

    manager.add(
        body,
        every(10).seconds,
        name="sample",
        on_success=lambda: told.append("success"),
        on_failed=lambda run: told.append(f"failed {run.state} {run.error}"),
        on_complete=lambda run: told.append(f"complete {run.state}"),
    )
    with manager:
        clock.advance(seconds=20)
    assert told == ["success", "complete succeeded", "failed failed ValueError: no", "complete failed"]


def test_callbacks_of_an_async_body_may_be_async(manager: TaskManager, clock: VirtualClock) -> None:
    told: list[int] = []

    async def body() -> None: ...

    async def after() -> None:
        await asyncio.sleep(1)
        told.append(1)

    async def fails() -> None:
        raise ValueError("no")

    manager.add(body, every(10).seconds, name="sample", on_success=after, on_complete=fails)
    with manager:
        clock.advance(seconds=15)
        assert manager.runs("sample")[0].state == "succeeded"
    assert told == [1]


def test_callbacks_follow_a_direct_call_and_know_its_run(manager: TaskManager) -> None:
    told: list[str] = []
    sample = manager.add(lambda: 3, name="sample", on_success=lambda: told.append(current_run().trigger))
    assert sample() == 3
    assert told == ["call"]


def test_current_run_is_known_in_bodies_of_every_kind_and_nowhere_else(
    manager: TaskManager, clock: VirtualClock
) -> None:
    seen: list[str] = []

    async def asynchronous() -> None:
        await asyncio.sleep(1)
        seen.append(current_run().task)

    manager.add(lambda: seen.append(current_run().task), every(10).seconds, name="serial")
    manager.add(lambda: seen.append(current_run().task), every(10).seconds, name="threaded", threaded=True)
    manager.add(asynchronous, every(10).seconds, name="async")
    with manager:
        clock.advance(seconds=12)
    assert sorted(seen) == ["async", "serial", "threaded"]
    with pytest.raises(NoRunError):
        current_run()


def test_a_context_variable_of_one_run_does_not_reach_the_next(manager: TaskManager, clock: VirtualClock) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    seen: list[int] = []

    def body() -> None:
        seen.append(variable.get())
        variable.set(1)

    manager.add(body, every(10).seconds, name="sample")
    with manager:
        clock.advance(seconds=30)
    assert seen == [0, 0, 0]


def test_a_coroutine_that_has_ended_leaves_nothing_to_the_garbage_collector(
    manager: TaskManager, clock: VirtualClock
) -> None:
    coroutines: list[weakref.ref[asyncio.Task[Any] | None]] = []

    async def body() -> None:
        task = asyncio.current_task()
        assert task is not None
        coroutines.append(weakref.ref(task))

    manager.add(body, every(10).seconds, name="sample")
    gc.disable()
    try:
        with manager:
            clock.advance(seconds=31)
        assert [coroutine() for coroutine in coroutines] == [None, None, None]
    finally:
        gc.enable()


def test_a_body_may_remove_its_own_task(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: manager.remove("sample"), every(10).seconds, name="sample")
    with manager:
        clock.advance(minutes=1)
        assert [str(run.state) for run in manager.runs("sample")] == ["succeeded"]


def test_a_body_may_stop_the_manager(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: manager.stop(timeout=0), every(10).seconds, name="sample")
    manager.run()
    clock.advance(minutes=1)
    assert len(manager.runs("sample")) == 1
    assert not manager.health


def test_a_body_that_triggers_itself_is_refused_while_it_runs(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: manager["sample"].trigger(), every(10).seconds, name="sample")
    with manager:
        clock.advance(seconds=10)
        assert [(str(run.state), run.reason) for run in manager.runs("sample")] == [
            ("skipped", "already running"),
            ("succeeded", None),
        ]


def test_a_body_may_add_enable_and_disable_tasks(manager: TaskManager, clock: VirtualClock) -> None:
    def body() -> None:
        if "other" not in manager:
            manager.add(lambda: None, every(5).seconds, name="other")
        manager["other"].disable()
        manager["other"].enable()

    manager.add(body, every(10).seconds, name="sample")
    with manager:
        clock.advance(seconds=20)
        assert len(manager.runs("other")) == 2


def test_a_hung_body_leaves_the_others_on_time(wait_for: Callable[[Callable[[], bool]], None]) -> None:
    clock = VirtualClock(threads=True)
    manager = TaskManager([], clock=clock, max_workers=2)
    leave = threading.Event()
    hung = manager.add(lambda: leave.wait(LIMIT), every(10).seconds, name="hung", threaded=True)
    manager.add(lambda: None, every(10).seconds, name="good", threaded=True)
    with manager:
        for number in range(1, 4):
            clock.advance(seconds=10)
            wait_for(lambda number=number: len(manager.runs("good", "succeeded")) == number)  # type: ignore[misc]
            wait_for(lambda: hung.is_running)
        assert [(str(run.state), run.count) for run in manager.runs("hung")] == [("skipped", 2), ("running", 1)]
        leave.set()
        wait_for(lambda: not hung.is_running)


def test_with_all_workers_hung_slots_are_on_record_and_health_names_the_culprits(
    wait_for: Callable[[Callable[[], bool]], None],
) -> None:
    clock = VirtualClock(threads=True)
    manager = TaskManager([], clock=clock, max_workers=4)
    leave = threading.Event()
    for number in range(4):
        manager.add(lambda: leave.wait(LIMIT), every(10).seconds, name=f"hung {number}", threaded=True)
    manager.add(lambda: None, every(15).seconds, name="good", threaded=True)
    with manager:
        clock.advance(seconds=10)
        wait_for(lambda: all(manager[f"hung {number}"].is_running for number in range(4)))
        assert manager.health
        clock.advance(seconds=90)
        health = manager.health
        assert [(str(run.state), run.count, run.reason) for run in manager.runs("good")] == [
            ("skipped", 5, "already running"),
            ("queued", 1, None),
        ]
        leave.set()
        wait_for(lambda: manager["good"].binding.pipeline.store.active("good") == [])
    assert not health
    assert "1 runs wait for threads, the oldest for 85 seconds" in health.causes[0]
    assert "'hung 0'" in health.causes[0]


def test_stop_cancels_what_is_queued_asks_what_runs_and_loses_the_rest(
    wait_for: Callable[[Callable[[], bool]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = TaskManager([], max_workers=2)
    leave, looked = threading.Event(), threading.Event()
    await_all = manager._lifecycle._await

    def patiently(asked: list[Run], timeout: float) -> None:
        """The one that listens has more time than the machine is ever held up for."""
        for run in asked:
            if run.task == "cooperative" and run.asked is not None:
                run.wait(LIMIT)
        await_all(asked, timeout)

    monkeypatch.setattr(manager._lifecycle, "_await", patiently)

    def cooperative() -> None:
        while True:
            current_run().check_cancelled()
            looked.wait(0.01)

    manager.add(cooperative, name="cooperative", threaded=True)
    manager.add(lambda: leave.wait(LIMIT), name="deaf", threaded=True)
    manager.add(lambda: None, name="waiting", threaded=True)
    manager.run()
    runs = [manager[name].trigger() for name in ("cooperative", "deaf", "waiting")]
    wait_for(lambda: runs[0].state == runs[1].state == "running")
    manager.stop(timeout=0.1)
    assert [str(run.state) for run in runs] == ["cancelled", "lost", "cancelled"]
    leave.set()


def test_stopping_cancels_async_bodies_and_runs_their_finally(
    wait_for: Callable[[Callable[[], bool]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "CANCEL_TIMEOUT", LIMIT)
    manager = TaskManager([])
    cleaned: list[int] = []

    async def body() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            cleaned.append(1)

    manager.add(body, name="sample")
    manager.run()
    run = manager["sample"].trigger()
    wait_for(lambda: run.state == "running")
    manager.stop(timeout=0.05)
    assert (run.state, cleaned) == (RunState.CANCELLED, [1])


def test_a_late_result_of_a_lost_run_is_discarded(
    wait_for: Callable[[Callable[[], bool]], None], caplog: pytest.LogCaptureFixture
) -> None:
    manager = TaskManager([])
    leave = threading.Event()
    manager.add(lambda: leave.wait(LIMIT), name="deaf", threaded=True)
    manager.run()
    run = manager["deaf"].trigger()
    wait_for(lambda: run.state == "running")
    manager.stop(timeout=0)
    leave.set()
    wait_for(lambda: "after its run was recorded as lost" in caplog.text)
    assert run.state == "lost"


def test_an_exception_is_described_in_bounded_text() -> None:
    try:
        raise RunCancelled("x" * 10_000)
    except RunCancelled as error:
        line, text = describe(error)
    assert line.startswith("RunCancelled: xxx")
    assert len(line) < 600
    assert "test_pipeline.py" in text


def test_a_traceback_begins_at_the_body_and_ends_with_the_notes(manager: TaskManager) -> None:
    def body() -> None:
        error = ValueError("no")
        error.add_note("look at the configuration")
        raise error

    with manager:
        run = manager.add(body, name="sample").trigger()
    assert run.traceback is not None
    assert run.traceback.count("File ") == 1
    assert run.traceback.endswith("ValueError: no\nlook at the configuration")


@pytest.mark.parametrize("kind", ["serial", "threaded", "async"])
def test_stopping_waits_for_the_callbacks_of_runs_that_have_ended(kind: str) -> None:
    called = []

    async def body() -> None: ...

    def call_back(run: Run) -> None:
        while manager.state == "running":
            threading.Event().wait(0.01)
        threading.Event().wait(0.2)  # a stop that does not wait is over by then
        called.append(str(run.state))

    manager = TaskManager([])
    options: Any = {"threaded": True} if kind == "threaded" else {}
    manager.add(body if kind == "async" else lambda: None, name="sample", on_complete=call_back, **options)
    with manager:
        manager.trigger("sample").result(timeout=60)

    assert called == ["succeeded"]


def test_stopping_waits_no_longer_for_a_callback_than_it_was_told() -> None:
    released = threading.Event()
    manager = TaskManager([])
    manager.add(lambda: None, name="sample", on_complete=lambda: released.wait(60))
    manager.run()
    manager.trigger("sample").result(timeout=60)

    manager.stop(timeout=0.05)

    assert not released.is_set()
    assert manager.state == "stopped"
    released.set()
