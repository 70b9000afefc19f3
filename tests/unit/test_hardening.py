"""Faults that a reviewer found by breaking things: each stays broken only once."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import datetime
import gc
import inspect
import logging
import pathlib
import pickle
import sys
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import schedule
from databases import sqlite_url

from task import (
    CancelJob,
    DeclarationError,
    DeclarationTypeError,
    DuplicateTaskError,
    MemoryStore,
    Scheduler,
    TaskManager,
    cron,
    current_run,
    every,
    once,
    task,
)
from task.executors import ThreadPool
from task.log import logger
from task.runs import Run
from task.stores.sql import book, ledger
from task.testing import VirtualClock

#: So long is waited for what another thread does, on a machine that lets it wait. Seconds.
LIMIT = 60.0

Wait = Callable[[Callable[[], bool]], None]


# Clock steps: registration, restart and fixed delays.


def test_a_fixed_delay_goes_on_after_the_clock_went_back(manager: TaskManager, clock: VirtualClock) -> None:
    elapsed: list[float] = []
    manager.add(lambda: elapsed.append(clock.monotonic()), every(10).minutes, name="sample", fixed_delay=True)
    with manager:
        clock.advance(minutes=25)
        clock.step(hours=-1)
        clock.advance(minutes=60)
    assert [round(seconds / 60) for seconds in elapsed] == [10, 20, 30, 40, 50, 60, 70, 80]


def test_what_is_registered_after_the_clock_went_back_begins_now(manager: TaskManager, clock: VirtualClock) -> None:
    with manager:
        clock.advance(minutes=1)
        clock.step(hours=-1)
        manager.add(lambda: None, every(10).minutes, name="unseen step")
        clock.advance(minutes=1)
        manager.add(lambda: None, every(10).minutes, name="seen step")
        clock.advance(minutes=15)
        for name in manager:
            assert [str(run.state) for run in manager.runs(name)] == ["succeeded"]


@pytest.mark.parametrize(("jump", "runs"), [({"hours": -1}, 3), ({"days": -30}, 3), ({"hours": 1}, 4)])
def test_a_step_while_it_was_stopped_is_followed(
    manager: TaskManager, clock: VirtualClock, jump: dict[str, float], runs: int
) -> None:
    manager.add(lambda: None, every(10).minutes, name="sample")
    with manager:
        clock.advance(minutes=15)
    clock.step(**jump)
    with manager:
        clock.advance(minutes=20)
        assert len(manager.runs("sample", state="succeeded")) == runs


# Workers and the loop.


class _Raising(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise ConnectionError("the log server is gone")


@pytest.fixture
def raising_handler() -> Any:
    handler = _Raising()
    logging.getLogger("task").addHandler(handler)
    yield handler
    logging.getLogger("task").removeHandler(handler)


def test_a_logging_handler_that_raises_stops_nothing(
    raising_handler: logging.Handler, wait_for: Wait, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[int] = []
    with TaskManager([]) as manager:
        manager.add(lambda: 1 / 0, every(0.05).seconds, name="bad")
        manager.add(lambda: ran.append(1), every(0.05).seconds, name="good")
        wait_for(lambda: len(ran) >= 3)
        assert manager.health
    assert "the log server is gone" in capsys.readouterr().err


def test_a_thread_that_cannot_be_started_costs_that_run_only(wait_for: Wait, monkeypatch: pytest.MonkeyPatch) -> None:
    start, failing = threading.Thread.start, [True]

    def refuse(thread: threading.Thread) -> None:
        if failing[0] and thread.name.startswith("task-threads"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with TaskManager([]) as manager:
        sample = manager.add(lambda: 5, name="sample", threaded=True)
        refused = sample.trigger()
        assert (refused.state, refused.reason) == ("cancelled", "no thread could be started: can't start new thread")
        failing[0] = False
        again = sample.trigger()
        wait_for(lambda: again.state == "succeeded")


def test_a_pool_does_with_the_threads_that_it_could_start(monkeypatch: pytest.MonkeyPatch, wait_for: Wait) -> None:
    pool, done, leave = ThreadPool("test", 4), [], threading.Event()
    run = Run("sample", "manual", datetime.datetime.now(datetime.UTC))
    pool.submit(lambda _: leave.wait(LIMIT), run)
    monkeypatch.setattr(threading.Thread, "start", lambda thread: (_ for _ in ()).throw(RuntimeError("no more")))
    pool.submit(lambda _: done.append(1), run)
    leave.set()
    wait_for(lambda: done == [1])
    monkeypatch.undo()
    pool.close(1)


class _FailingStore(MemoryStore):
    failing = False

    def claim(self, *arguments: Any, **options: Any) -> bool:
        if self.failing:
            raise OSError("the disk is full")
        return super().claim(*arguments, **options)


def test_a_claim_that_raises_leaves_the_loop_and_the_later_slots(clock: VirtualClock) -> None:
    store = _FailingStore()
    manager = TaskManager([], clock=clock, store=store)
    manager.add(lambda: None, every(10).seconds, name="sample")
    manager.add(lambda: None, every(10).seconds, name="delayed", fixed_delay=True)
    with manager:
        store.failing = True
        clock.advance(seconds=10)
        store.failing = False
        clock.advance(seconds=20)
        assert manager.health
        for name in manager:
            assert manager.runs(name, state="succeeded")
    for name in manager:
        store._records[name].declarations.clear()  # the lost slot is lost: no ledger could take it


class _Breaking(schedule.Job):
    def __init__(self) -> None:
        super().__init__(1)
        self.broken = False

    def next_slot(self, after: datetime.datetime) -> datetime.datetime:
        if after >= datetime.datetime(2026, 5, 4, 13, tzinfo=datetime.UTC):
            raise ValueError("no")
        return after + datetime.timedelta(minutes=1)


def test_a_schedule_that_breaks_while_late_slots_are_looked_for_is_shown_broken(
    manager: TaskManager, clock: VirtualClock
) -> None:
    manager.add(lambda: None, _Breaking(), name="sample", misfire="all")
    manager.add(lambda: None, every(10).minutes, name="good")
    with manager:
        clock.suspend(hours=3)
        clock.advance(minutes=10)
        assert "ValueError" in manager.tasks_detail[0]["broken"]
        assert manager.runs("good")


def test_a_run_of_before_a_stop_does_not_release_the_entry_of_the_next() -> None:
    manager = TaskManager([])
    leave, entered, workers = threading.Event(), threading.Event(), list[threading.Thread]()

    def body() -> None:
        mine = leave
        workers.append(threading.current_thread())
        entered.set()
        mine.wait(LIMIT)

    manager.add(body, every(0.05).seconds, name="sample", fixed_delay=True, threaded=True)
    manager.run()
    assert entered.wait(LIMIT)
    manager.stop(timeout=0)
    old_leave, leave = leave, threading.Event()
    entered.clear()
    manager.run()
    assert entered.wait(LIMIT)
    old_leave.set()
    workers[0].join(LIMIT)  # it has settled its run, and ends as its pool is closed
    assert not workers[0].is_alive()
    assert len(manager._pipeline.active()) == 1
    entry = manager["sample"].binding.entry
    assert entry is not None
    assert entry.held
    leave.set()
    manager.stop()


def test_ctrl_c_while_it_stops_leaves_it_stopped(wait_for: Wait, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = TaskManager([])
    leave = threading.Event()
    manager.add(lambda: leave.wait(LIMIT), name="sample", threaded=True)
    manager.run()
    run = manager["sample"].trigger()
    wait_for(lambda: run.state == "running")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        manager.stop()
    assert manager.health.state == "stopped"
    manager.wait()
    leave.set()


# Methods and instances.


class Worker:
    def __init__(self, number: int = 0) -> None:
        self.number = number

    @task(every(10).seconds)
    def work(self) -> int:
        return self.number


class Louder(Worker):
    @task(every(10).seconds)
    def work(self) -> int:
        return 100 + (super().work() or 0)


class Plainer(Worker):
    def work(self) -> int:  # type: ignore[override]  # a plain override, as users write
        return 200 + super().work()


def test_two_instances_of_one_class_are_two_tasks() -> None:
    with pytest.raises(DuplicateTaskError):
        TaskManager([Worker(1), Worker(2)]).run()
    manager = TaskManager([])
    manager.add(Worker(1).work)
    with pytest.raises(DuplicateTaskError):
        manager.add(Worker(2).work)


def test_a_method_may_call_its_bases_with_super() -> None:
    assert Louder(5).work() == 105
    plainer = Plainer(5)
    assert (plainer.work(), plainer.work()) == (205, 205)


def test_copies_of_an_instance_have_tasks_of_their_own() -> None:
    original = Worker(1)
    assert original.work() == 1
    for duplicate in (copy.copy(original), copy.deepcopy(original)):
        duplicate.number = 2
        assert (duplicate.work(), original.work()) == (2, 1)
        assert duplicate.work is not original.work


def test_an_instance_with_tasks_can_be_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, __name__, types.SimpleNamespace(**globals()))  # type: ignore[arg-type]  # as if imported
    original = Worker(7)
    original.work()
    assert pickle.loads(pickle.dumps(original)).work() == 7


def test_a_dataclass_may_carry_tasks() -> None:
    @dataclasses.dataclass
    class Box:
        value: int

        @task
        def read(self) -> int:
            return self.value

    assert Box(3).read() == 3


def test_the_guard_of_one_instance_is_not_passed_by_another() -> None:
    class Caller:
        other: Caller | None = None

        @task
        def work(self) -> str:
            return "inner" if self.other is None else str(self.other.work())

    outer, inner = Caller(), Caller()
    outer.other = inner
    inner.work.disable()
    assert outer.work() == "None"


def test_a_classmethod_under_a_task_says_what_to_do() -> None:
    class Holder:
        @classmethod
        @task
        def work(cls) -> None: ...

    if sys.version_info < (3, 13):  # from then on a classmethod no longer asks what it wraps
        with pytest.raises(DeclarationTypeError, match="staticmethod"):
            Holder.work()


def test_the_signature_of_a_method_has_no_self() -> None:
    assert str(inspect.signature(Worker(1).work)) == "() -> 'int'"


# Declarations.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_success": lambda a, b: None}, "cannot be called"),
        ({"on_failed": lambda *, key: None}, "cannot be called"),
    ],
)
def test_a_callback_that_cannot_be_called_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationTypeError, match=message):
        task(**options)(lambda: None)


def test_an_async_callback_of_a_plain_body_is_refused() -> None:
    async def callback() -> None: ...

    with pytest.raises(DeclarationError, match="async"):
        task(on_success=callback)(lambda: None)


def test_a_jitter_wider_than_the_slots_is_refused(manager: TaskManager) -> None:
    with manager, pytest.raises(DeclarationError, match="jitter"):
        manager.add(lambda: None, cron("* * * * *"), name="sample", jitter=600)


def test_a_declared_task_is_not_declared_again_by_add(manager: TaskManager) -> None:
    with pytest.raises(DeclarationTypeError, match="declared already"):
        manager.add(task(lambda: None), every(5).seconds, name="other")


def test_a_note_is_text(manager: TaskManager) -> None:
    note: Any = object()
    with pytest.raises(DeclarationTypeError, match="note"):
        manager.add(lambda: None, name="sample").disable(note=note)


def test_a_proxy_in_a_namespace_is_not_woken() -> None:
    class Proxy:
        @property
        def __class__(self) -> type:
            raise RuntimeError("woken outside of its context")

        @__class__.setter
        def __class__(self, value: type) -> None: ...

    assert TaskManager({"__name__": "module", "proxy": Proxy()}).tasks == []


# Outcomes.


def test_a_cancelled_await_of_a_call_is_a_cancelled_run(manager: TaskManager) -> None:
    failed: list[int] = []

    async def body() -> None:
        await asyncio.sleep(60)

    sample: Any = manager.add(body, name="sample", on_failed=lambda: failed.append(1))

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sample(), 0.01)

    asyncio.run(main())
    assert (str(manager.runs("sample")[0].state), failed) == ("cancelled", [])


def test_an_async_generator_is_not_a_finished_body(manager: TaskManager) -> None:
    async def body() -> Any:
        yield 1

    manager.add(body, name="sample")
    with manager:
        assert manager["sample"].trigger().error is not None


def test_cancel_job_with_max_runs_removes_its_own_schedule_only(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: CancelJob, [every(10).seconds, every(25).seconds], name="sample", max_runs=50)
    with manager:
        clock.advance(minutes=1)
        assert len(manager.runs("sample")) == 2


def test_a_task_that_comes_back_counts_its_runs_anew(manager: TaskManager, clock: VirtualClock) -> None:
    sample = manager.add(lambda: None, every(10).seconds, name="sample", max_runs=1)
    with manager:
        clock.advance(seconds=30)
        manager.remove("sample")
        manager.add(sample)
        clock.advance(seconds=30)
        assert [str(run.state) for run in manager.runs("sample")] == ["succeeded", "succeeded"]


def test_the_audit_waits_for_what_jitter_and_catching_up_delay(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(10).minutes, name="jittered", jitter=300)
    manager.add(lambda: clock.sleep(30), every(10).minutes, name="late", misfire="all", threaded=True)
    with manager:
        clock.suspend(hours=2)
        for _ in range(200):
            clock.advance(seconds=20)
            assert manager.audit() == []


def test_a_failed_registration_owes_nothing(manager: TaskManager, clock: VirtualClock) -> None:
    past = every().hour
    past.cancel_after = datetime.datetime(2026, 5, 4, 12, 30)
    with manager:
        with pytest.raises(ValueError, match="never due"):
            manager.add(lambda: None, [every(10).seconds, past], name="sample")
        clock.advance(hours=1)


def test_parameters_that_cannot_be_shown_are_not_shown(manager: TaskManager, clock: VirtualClock) -> None:
    class Secret:
        def __repr__(self) -> str:
            raise RuntimeError("not for showing")

    manager.add(lambda key: None, every(10).seconds, name="sample", parameters={"key": Secret()})
    with manager:
        clock.advance(seconds=10)
        assert manager.tasks_detail[0]["schedules"][0]["cadence"] == "Every 10 seconds"


def test_schedules_that_are_worded_alike_are_told_apart(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(
        lambda: None,
        [schedule.every().monday.at("10:00"), schedule.every().friday.at("10:00")],
        name="sample",
    )
    with manager:
        assert len(manager.store.declarations("sample")) == 2


def test_paused_is_shown(manager: TaskManager) -> None:
    manager.add(lambda: None, name="sample")
    manager.pause()
    assert manager.tasks_detail[0]["paused"] is True


# Lifetimes.


def test_a_manager_that_was_stopped_can_be_collected(clock: VirtualClock) -> None:
    @task(every(10).seconds)
    def sample() -> None: ...

    manager = TaskManager([sample], clock=clock)
    with manager:
        clock.advance(seconds=10)
    reference = weakref.ref(manager)
    del manager
    gc.collect()
    assert reference() is None
    again = TaskManager([sample], clock=VirtualClock(clock.now() - datetime.timedelta(hours=1)))
    with again:
        again.clock.advance(seconds=20)  # type: ignore[attr-defined]  # it is a VirtualClock
        assert len(again.runs("sample")) == 2
    assert sample.owner() is again


def test_a_running_manager_that_nobody_keeps_goes_on(wait_for: Wait) -> None:
    ran: list[int] = []

    def start() -> None:
        made = TaskManager([])
        made.add(lambda: ran.append(1), every(0.05).seconds, name="sample")
        made.run()

    start()
    gc.collect()
    wait_for(lambda: len(ran) >= 2)


def test_a_task_of_a_dead_function_does_not_keep_another_from_being_found() -> None:
    manager = TaskManager(types.SimpleNamespace())
    for number in range(300):
        holder = types.SimpleNamespace(sample=task(name=f"task {number}")(lambda: None))
        manager._registry.sources[0] = holder
        assert f"task {number}" in manager
        manager.remove(f"task {number}")
        del holder
        gc.collect(0)


def test_a_failing_body_leaves_no_cycle_for_the_collector(manager: TaskManager, clock: VirtualClock) -> None:
    class Heavy: ...

    kept: list[weakref.ref[Heavy]] = []

    def body() -> None:
        heavy = Heavy()
        kept.append(weakref.ref(heavy))
        raise ValueError(current_run().task)

    manager.add(body, every(10).seconds, name="sample")
    gc.disable()
    try:
        with manager:
            clock.advance(seconds=30)
        assert len(kept) == 3
        assert not any(reference() for reference in kept)
    finally:
        gc.enable()


def test_the_heap_does_not_grow_with_restarts(manager: TaskManager) -> None:
    for number in range(20):
        manager.add(lambda: None, every(1).hours, name=f"task {number}")
    for _ in range(50):
        with manager:
            pass
    assert len(manager.scheduler._heap._items) < 200


def test_adopting_leaves_out_what_cannot_be_kept_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    plain = schedule.Scheduler()
    half: Any = 2.5
    plain.every(half).days.do(print)
    kept = plain.every(2).days.do(print)
    Scheduler.adopt(plain)
    assert plain.get_jobs() == [kept]
    assert "left out" in caplog.text


def test_removing_a_task_leaves_another_managers_runs_alone(clock: VirtualClock) -> None:
    @task(every(10).seconds)
    def sample() -> None: ...

    store = MemoryStore()
    with TaskManager([sample], clock=clock, store=store) as first, TaskManager([], clock=clock, store=store) as second:
        second.add(sample)
        clock.advance(seconds=10)
        second.remove("sample")
        clock.advance(seconds=20)
        assert len(first.runs("sample")) == 3


def test_a_once_that_is_far_away_is_shown(manager: TaskManager) -> None:
    moment = datetime.datetime(9999, 1, 1, tzinfo=datetime.UTC)
    manager.add(lambda: None, once(moment), name="sample")
    with manager:
        assert manager.tasks_detail[0]["next_run"].startswith("9999")


def test_threads_that_call_a_new_function_at_once_meet_one_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    made = threading.Barrier(2)

    @task
    def sample() -> str:
        return "ran"

    make = type(sample)._bound_privately

    def together(self: Any) -> Any:
        binding = make(self)
        made.wait(LIMIT)  # both threads have made a ledger before either is kept
        return binding

    monkeypatch.setattr(type(sample), "_bound_privately", together)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(sample.binding)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert found[0] is found[1]


def test_coming_and_going_leaves_a_bounded_trail(manager: TaskManager, clock: VirtualClock) -> None:
    sample = manager.add(lambda: None, every(10).seconds, name="sample")
    with manager:
        for _ in range(300):
            clock.advance(seconds=11)
            manager.remove("sample")
            manager.add(sample)
        assert len(manager.store.declarations("sample")) <= 101


def test_a_ctrl_c_that_comes_while_a_line_is_logged_reaches_the_program() -> None:
    class Interrupted(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise KeyboardInterrupt

    handler, library = Interrupted(), logging.getLogger("task")
    library.addHandler(handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            logger.warning("the program is ending")
    finally:
        library.removeHandler(handler)


def test_a_direct_call_waits_for_a_ledger_that_is_slow_to_note_its_start(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = book.start

    def slowly(*given: Any) -> bool:
        threading.Event().wait(0.5)
        return begin(*given)

    monkeypatch.setattr(ledger, "LITTLE_PATIENCE", 0.05)
    monkeypatch.setattr(ledger, "PATIENCE", 60.0)
    with TaskManager([], store=sqlite_url(tmp_path)) as manager:
        sample = manager.add(lambda: 5, name="sample")
        monkeypatch.setattr(book, "start", slowly)

        assert sample() == 5
    manager.store.close()
