"""A random walk through everything that can happen to runs: on real threads, inline, and as a storm of threads.

Whatever is done, in whatever order: each run ends in one final state, each slot has one outcome, guards hold,
callbacks come once, and nothing is left behind.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import datetime
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tenacity import Retrying, stop_after_attempt, wait_fixed

from task import ManagerStateError, MemoryStore, Run, RunCancelled, RunState, TaskManager, current_run, every
from task.models import lifecycle
from task.runs.facts import RunFacts
from task.stores import Limits
from task.testing import VirtualClock

WORKERS = 4
POOL = 2

#: Whatever is waited for on threads comes within this, or the test fails. Seconds.
LIMIT = 120

NAMES = "abcd"
PLACES = ("serial", "threads", "async", "pool", "async pool")


@dataclasses.dataclass(frozen=True)
class Sort:
    """How a task is declared. It stays so when the task is removed and added again."""

    body: Literal["quick", "fails", "flaky", "waits", "deaf", "cancels itself", "triggers itself"]
    place: str
    overlap: Literal["skip", "queue", "cancel_previous", "allow"]
    max_concurrent: int
    mutex: str | None
    retries: int
    timeout: float | None
    seconds: int | None

    @property
    def asynchronous(self) -> bool:
        return self.place in ("async", "async pool")


SORTS = st.builds(
    Sort,
    st.sampled_from(["quick", "fails", "flaky", "waits", "waits", "deaf", "cancels itself", "triggers itself"]),
    st.sampled_from(PLACES),
    st.sampled_from(["skip", "queue", "cancel_previous", "allow"]),
    st.sampled_from([1, 1, 2]),
    st.sampled_from([None, None, "one", "other"]),
    st.sampled_from([0, 0, 1, 2]),
    st.sampled_from([None, 5, 5]),
    st.sampled_from([None, None, 7, 10]),
)


class Journal(MemoryStore):
    """A ledger that notes what was admitted and begun although it must not be, and how often bodies began."""

    def __init__(self) -> None:
        super().__init__(keep=100_000)
        #: The tasks whose `remove` has returned, and those whose `disable` has.
        self.gone: set[str] = set()
        self.off: dict[str, object] = {}
        self.wrong: list[str] = []
        self.seen: list[Run] = []

    def claim(self, run: Run, limits: Limits, *arguments: Any, **options: Any) -> bool:
        off = self.off.get(run.task)
        claimed = super().claim(run, limits, *arguments, **options)
        self.seen.append(run)
        if claimed and off is not None and off is self.off.get(run.task) and run.state is not RunState.SKIPPED:
            self.wrong.append(f"{run.task}: admitted while it was switched off")
        return claimed

    def start(self, run: Run, now: datetime.datetime) -> bool:
        gone = run.task in self.gone
        begun = super().start(run, now)
        if begun and gone and run.trigger != "call":
            self.wrong.append(f"{run.task}: begun after it was removed")
        return begun


class Observer:
    """Notes every state of every run, every body under way, and every callback."""

    def __init__(self, store: Journal) -> None:
        self.store = store
        self.lock = threading.Lock()
        self.states: dict[Run, list[RunState]] = collections.defaultdict(list)
        self.inside: dict[tuple[Run, int], Sort] = {}
        self.called: collections.Counter[tuple[Run, str]] = collections.Counter()
        self.bodies: collections.Counter[Run] = collections.Counter()
        slot: Any = RunFacts.__dict__["state"]

        def note(run: Run, state: RunState) -> None:
            slot.__set__(run, state)
            self.states[run].append(state)  # the ledger's lock is held

        self._patch = mock.patch.object(RunFacts, "state", property(slot.__get__, note))
        self._patch.start()

    def close(self) -> None:
        self._patch.stop()

    def enter(self, sort: Sort) -> tuple[Run, int]:
        run = current_run()
        key = run, run.attempt
        with self.lock:
            self.bodies[run] += 1
            if key in self.inside:
                self.store.wrong.append(f"{run.task}: two bodies of one attempt")
            self.inside[key] = sort
            # A lost run has given its place away: nobody knows when its body will end.
            here = [one for one, _ in self.inside if one.state is not RunState.LOST]
            of_task = [one for one in here if one.task == run.task]
            if sort.overlap != "allow" and len(of_task) > sort.max_concurrent:
                self.store.wrong.append(f"{run.task}: {len(of_task)} bodies at once")
            of_mutex = [one for one, other in self.inside.items() if other.mutex == sort.mutex]
            of_mutex = [one for one in of_mutex if one[0].state is not RunState.LOST]
            if sort.mutex is not None and len(of_mutex) > 1:
                self.store.wrong.append(f"{run.task}: {len(of_mutex)} bodies with the mutex {sort.mutex}")
        return key

    def leave(self, key: tuple[Run, int]) -> None:
        with self.lock:
            del self.inside[key]

    def callback(self, kind: str) -> Callable[[Run], None]:
        def call(run: Run) -> None:
            with self.lock:
                self.called[run, kind] += 1
                if not run.state.final:
                    self.store.wrong.append(f"{run.task}: {kind} was called while the run was {run.state}")

        return call

    # What must be so at the end, when nothing is under way.

    def check_runs(self, sorts: dict[str, Sort]) -> None:
        for run in self.store.seen:
            states = self.states[run]
            assert run.state.final, (run, states)
            assert sum(state.final for state in states) <= 1, (run, states)
            assert not any(state.final for state in states[:-1]), (run, states)
            assert run.finished_at is not None
            assert run.wait(0)
            if run.task in sorts:
                assert self.bodies[run] <= run.attempt, (run, states)
                allowed = 1 if run.trigger == "call" else 1 + sorts[run.task].retries
                assert run.attempt <= allowed, (run, run.attempts)
            assert states.count(RunState.RUNNING) == run.attempt == len(run.attempts)

    def check_callbacks(self, names: set[str]) -> None:
        for run in self.store.seen:
            if run.task not in names:
                continue
            ended = run.attempt > 0 and run.state is not RunState.LOST
            expected = {
                "success": run.state is RunState.SUCCEEDED,
                "failed": run.state in (RunState.FAILED, RunState.TIMED_OUT),
                "complete": ended,
            }
            for kind, wanted in expected.items():
                assert self.called[run, kind] == wanted, (run, kind, self.states[run])

    def check_counts(self) -> None:
        for name in self.store.names():
            rows, summary = self.store.runs(name, limit=100_000), self.store.summary(name)
            skips: collections.Counter[str | None] = collections.Counter()
            for row in rows:
                if row.state is RunState.SKIPPED:
                    skips[row.reason] += row.count
            assert summary.runs == sum(row.started_at is not None for row in rows), name
            assert summary.failures == sum(row.state in ("failed", "timed_out") for row in rows), name
            assert summary.skips == skips, name


class Walk(RuleBasedStateMachine):
    """What both walks have in common."""

    threads: bool

    @initialize(sorts=st.fixed_dictionaries(dict.fromkeys(NAMES, SORTS)))
    def begin(self, sorts: dict[str, Sort]) -> None:
        self.threads_of_others = threads_of_ours()
        self.sorts = {name: self.fit(sort) for name, sort in sorts.items()}
        self.clock = VirtualClock(datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC), threads=self.threads)
        self.store = Journal()
        self.observer = Observer(self.store)
        self.manager = TaskManager(
            [], clock=self.clock, store=self.store, max_workers=WORKERS, pools={"pool": POOL, "async pool": POOL}
        )
        self.model: dict[str, bool] = {}
        self.known: set[str] = set()
        self.returned: list[Run] = []
        self.callers: list[threading.Thread] = []
        self.gates = {name: threading.Event() for name in NAMES}
        self.over = threading.Event()
        self.running = self.paused = False
        self.grace = mock.patch.object(lifecycle, "CANCEL_TIMEOUT", 0.02)
        self.grace.start()
        for name in NAMES[:2]:
            self.add(name)
        self.start()

    def fit(self, sort: Sort) -> Sort:
        return sort

    # The bodies.

    def body_of(self, name: str) -> Callable[[], Any]:
        sort, observer = self.sorts[name], self.observer

        def plain() -> str:
            key = observer.enter(sort)
            try:
                self.act(name, sort)
                if sort.body in ("waits", "deaf"):
                    self.wait(name, deaf=sort.body == "deaf")
                return "done"
            finally:
                observer.leave(key)

        async def coroutine() -> str:
            key = observer.enter(sort)
            try:
                self.act(name, sort)
                if sort.body in ("waits", "deaf"):
                    await self.wait_async(name, deaf=sort.body == "deaf")
                return "done"
            finally:
                observer.leave(key)

        return coroutine if sort.asynchronous else plain

    def act(self, name: str, sort: Sort) -> None:
        run = current_run()
        if sort.body == "fails" or (sort.body == "flaky" and run.attempt == 1):
            raise ValueError(name)
        if sort.body == "cancels itself":
            run.cancel("by itself")
            run.check_cancelled()
        if sort.body == "triggers itself" and run.trigger != "manual":
            with contextlib.suppress(ManagerStateError, KeyError):  # stopped or removed meanwhile
                self.returned.append(self.manager.trigger(name))

    def wait(self, name: str, *, deaf: bool) -> None:
        raise NotImplementedError

    async def wait_async(self, name: str, *, deaf: bool) -> None:
        raise NotImplementedError

    # What can be done.

    @precondition(lambda self: not self.running)
    @rule()
    def start(self) -> None:
        self.manager.run()
        self.running = True

    @precondition(lambda self: self.running)
    @rule(timeout=st.sampled_from([0, 0, 0.05]))
    def stop(self, timeout: float) -> None:
        begun = time.monotonic()
        self.manager.stop(timeout)
        self.running = False
        assert time.monotonic() - begun < LIMIT
        # Nothing comes any more, and bodies that overrun may end at any moment: what is read later is a part of it.
        before, active = self.manager._pipeline.active(), self.store.active()
        active = [run for run in active if run.trigger != "call"]
        assert set(self.manager._pipeline.active()) <= set(active) <= set(before)
        assert all(run.state.final for run in active)

    @precondition(lambda self: len(self.model) < len(NAMES))
    @rule(name=st.sampled_from(NAMES))
    def add(self, name: str) -> None:
        if name in self.model:
            return
        sort, observer = self.sorts[name], self.observer
        self.store.gone.discard(name)
        retry = Retrying(stop=stop_after_attempt(1 + sort.retries), wait=wait_fixed(3)) if sort.retries else None
        self.manager.add(
            self.body_of(name),
            None if sort.seconds is None else every(sort.seconds).seconds,
            name=name,
            threaded=sort.place == "threads",
            pool=sort.place if "pool" in sort.place else None,
            overlap=sort.overlap,
            max_concurrent=sort.max_concurrent,
            mutex=sort.mutex,
            retry=retry,
            timeout=sort.timeout,
            on_success=observer.callback("success"),
            on_failed=observer.callback("failed"),
            on_complete=observer.callback("complete"),
        )
        self.known.add(name)
        self.model[name] = self.manager[name].is_enable

    @rule(name=st.sampled_from(NAMES))
    def remove(self, name: str) -> None:
        if name in self.model:
            self.manager.remove(name)
            self.store.gone.add(name)
            del self.model[name]

    @rule(name=st.sampled_from(NAMES), on=st.sampled_from([True, True, False]))
    def turn(self, name: str, on: bool) -> None:
        if name in self.model:
            if on:
                self.store.off.pop(name, None)
                self.manager[name].enable()
            else:
                self.manager[name].disable("by the walk")
                self.store.off[name] = object()
            self.model[name] = on

    @rule(paused=st.sampled_from([True, False, False]))
    def pause(self, paused: bool) -> None:
        self.manager.pause() if paused else self.manager.resume()
        self.paused = paused

    @rule(name=st.sampled_from(NAMES), times=st.integers(1, 4))
    def trigger(self, name: str, times: int) -> None:
        for _ in range(times if name in self.model else 0):
            if not self.running:
                with pytest.raises(ManagerStateError):
                    self.manager[name].trigger()
                continue
            run = self.manager[name].trigger()
            self.returned.append(run)
            if not self.model[name]:
                assert (run.state, run.reason) == ("skipped", "disabled")
            elif self.paused:
                assert (run.state, run.reason) == ("skipped", "paused")

    @rule(which=st.integers(0, 1_000))
    def cancel(self, which: int) -> None:
        live = [run for run in self.store.active() if not run.state.final]
        runs = live or self.returned
        if runs:
            run = runs[which % len(runs)]
            over = run.state.final
            asked = run.cancel("by the walk")
            assert not (over and asked)

    @rule(name=st.sampled_from(NAMES))
    def call(self, name: str) -> None:
        raise NotImplementedError

    @rule(seconds=st.sampled_from([0, 1, 3, 5, 10, 30]))
    def advance(self, seconds: int) -> None:
        self.clock.advance(seconds=seconds)

    # What must be so after each step.

    @invariant()
    def the_guards_hold(self) -> None:
        if hasattr(self, "store"):
            assert self.store.wrong == []

    @invariant()
    def the_model_holds(self) -> None:
        if hasattr(self, "manager"):
            assert {name: self.manager[name].is_enable for name in self.manager} == self.model
            assert {detail["name"]: detail["enabled"] for detail in self.manager.tasks_detail} == self.model

    @invariant()
    def attempts_are_bounded(self) -> None:
        for run in getattr(self, "returned", ()):
            assert run.attempt <= 1 + self.sorts[run.task].retries

    @invariant()
    def every_slot_has_one_outcome(self) -> None:
        if hasattr(self, "manager"):
            assert [str(finding) for finding in self.manager.audit()] == []

    # The end.

    def settle(self) -> None:
        """Let all that is under way come to its end."""
        deadline = time.monotonic() + LIMIT
        while self.store.active() or self.observer.inside:
            self.clock.advance(seconds=5)
            assert time.monotonic() < deadline, (self.store.active(), self.observer.inside)
            if self.threads:
                time.sleep(0.001)

    def teardown(self) -> None:
        if not hasattr(self, "manager"):
            return
        try:
            self.end()
        finally:
            self.over.set()
            self.manager.stop(0)
            self.observer.close()
            self.grace.stop()

    def end(self) -> None:
        if not self.running:
            self.start()
        self.manager.resume()
        for name in list(self.manager):
            self.manager.remove(name)
        self.over.set()
        self.settle()
        for caller in self.callers:
            caller.join(LIMIT)
            assert not caller.is_alive()
        self.capacity_is_whole()
        for name in list(self.manager):
            self.manager.remove(name)
        deadline = time.monotonic() + LIMIT
        while left := self.timers():  # nothing waits for anything: the timers that look at it end
            assert time.monotonic() < deadline, left
            self.clock.advance(seconds=200)
            time.sleep(0.001)
        assert self.store._places._held == {}
        assert self.store._places._mutexes == {}
        assert self.store._places.waiting == {}
        self.manager.stop(5)
        self.nothing_is_left()
        assert self.store.active() == []
        assert self.store.wrong == []
        self.observer.check_runs(self.sorts)
        self.observer.check_callbacks(set(self.sorts))
        self.observer.check_counts()
        assert [str(finding) for finding in self.manager.audit()] == []

    def timers(self) -> list[object]:
        """What the loop has to do, but for the look of the alerts: that comes every ten seconds."""
        return [item for item in self.manager.scheduler._heap.live() if item is not self.manager._alerts._timer]

    def capacity_is_whole(self) -> None:
        raise NotImplementedError

    def nothing_is_left(self) -> None:
        pass


class OnThreads(Walk):
    """Bodies on real threads, that wait at gates; time is virtual, so that limits and retries come when it is moved."""

    threads = True

    def wait(self, name: str, *, deaf: bool) -> None:
        gate, run = self.gates[name], current_run()
        while not gate.wait(0.002) and not self.over.is_set():
            if not deaf:
                run.check_cancelled()

    async def wait_async(self, name: str, *, deaf: bool) -> None:
        gate, left = self.gates[name], deaf
        while not gate.is_set() and not self.over.is_set():
            try:
                await asyncio.sleep(0.002)
            except asyncio.CancelledError:
                if not left:
                    raise
                left = False  # it is deaf to one cancellation; nothing ends it at all but the end of its loop

    @rule(name=st.sampled_from(NAMES))
    def open(self, name: str) -> None:
        gate, self.gates[name] = self.gates[name], threading.Event()
        gate.set()

    @rule()
    def let_threads_go_on(self) -> None:
        time.sleep(0.003)

    @rule(name=st.sampled_from(NAMES))
    def call(self, name: str) -> None:
        if name not in self.model:
            return
        task, sort = self.manager[name], self.sorts[name]
        before, ended = self.calls_seen(), threading.Event()

        def call() -> None:
            try:
                with contextlib.suppress(ValueError, RunCancelled):
                    asyncio.run(task()) if sort.asynchronous else task()
            except BaseException as error:
                self.store.wrong.append(f"a call raised {error!r}")
            finally:
                ended.set()

        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        self.callers.append(thread)
        deadline = time.monotonic() + LIMIT
        while self.calls_seen() == before and not ended.is_set():  # the tie to its manager is that of now
            assert time.monotonic() < deadline
            time.sleep(0.0005)

    def calls_seen(self) -> int:
        return sum(run.trigger == "call" for run in list(self.store.seen))

    def settle(self) -> None:
        for gate in self.gates.values():
            gate.set()
        super().settle()
        wait_until_idle(self.manager)

    def capacity_is_whole(self) -> None:
        capacity_is_whole(self.manager)

    def nothing_is_left(self) -> None:
        wait_until(lambda: threads_of_ours() <= self.threads_of_others)


class Inline(Walk):
    """Everything in one thread: bodies let virtual time pass, and other runs come and go inside them."""

    threads = False

    def fit(self, sort: Sort) -> Sort:
        """In one thread a body cannot end before those that began inside it: they must not come without end."""
        return dataclasses.replace(sort, seconds=None) if sort.overlap == "allow" else sort

    def wait(self, name: str, *, deaf: bool) -> None:
        run = current_run()
        for _ in range(4):
            if self.over.is_set():
                return
            self.clock.sleep(2)
            if not deaf:
                run.check_cancelled()

    async def wait_async(self, name: str, *, deaf: bool) -> None:
        left = deaf
        for _ in range(4):
            try:
                await asyncio.sleep(0 if self.over.is_set() else 2)
            except asyncio.CancelledError:
                if not left:
                    raise
                left = False

    @rule(name=st.sampled_from(NAMES))
    def call(self, name: str) -> None:
        if name not in self.model or self.sorts[name].asynchronous:
            return
        with contextlib.suppress(ValueError, RunCancelled):
            assert self.manager[name]() in (None, "done")

    def capacity_is_whole(self) -> None:
        for place in PLACES:

            async def coroutine() -> str:
                return "done"

            fresh = self.manager.add(
                coroutine if "async" in place else lambda: "done",
                name=f"fresh on {place}",
                threaded=place == "threads",
                pool=place if "pool" in place else None,
            )
            assert fresh.trigger().result(0) == "done"


def threads_of_ours() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if one.name.startswith("task-")}


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


def wait_until_idle(manager: TaskManager) -> None:
    """A run ends before the thread that executed it is done with it."""
    executors = manager._pipeline.executors
    assert executors is not None
    wait_until(lambda: not any(one.waiting() or one.running() for one in executors.all()))  # in which order they come


def capacity_is_whole(manager: TaskManager) -> None:
    """On each executor, as many bodies as it has places are under way at once."""
    places = {"serial": 1, "threads": WORKERS, "pool": POOL, "async pool": POOL, "async": 10}
    for place, size in places.items():
        meeting = threading.Semaphore(0)
        go = threading.Event()

        def plain(meeting: threading.Semaphore = meeting, go: threading.Event = go) -> bool:
            meeting.release()
            return go.wait(LIMIT)

        async def coroutine(meeting: threading.Semaphore = meeting, go: threading.Event = go) -> bool:
            meeting.release()
            while not go.is_set():
                await asyncio.sleep(0.001)
            return True

        fresh = manager.add(
            coroutine if "async" in place else plain,
            name=f"fresh on {place}",
            threaded=place == "threads",
            pool=place if "pool" in place else None,
            overlap="allow",
        )
        runs = [fresh.trigger() for _ in range(size)]
        for _ in runs:
            assert meeting.acquire(timeout=LIMIT), f"{place} has lost a place"
        go.set()
        assert [run.result(LIMIT) for run in runs] == [True] * size
    wait_until_idle(manager)


class Weather(threading.Thread):
    """One of the threads of the storm. Its tasks are its own; the places and the mutexes are everybody's."""

    def __init__(self, number: int, manager: TaskManager, observer: Observer, ended: threading.Event) -> None:
        super().__init__(daemon=True)
        self.number, self.manager, self.observer, self.ended = number, manager, observer, ended
        self.store = observer.store
        self.random = random.Random(f"{number} {time.time_ns()}")
        self.sorts: dict[str, Sort] = {}
        self.here: set[str] = set()
        self.runs: collections.deque[Run] = collections.deque(maxlen=50)
        self.errors: list[BaseException] = []
        self.acts = [self.trigger] * 8 + [self.cancel] * 4 + [self.turn, self.call, self.come_and_go, self.look]

    def run(self) -> None:
        try:
            for place in PLACES:
                self.declare(f"{self.number} {place}", place)
            while not self.ended.is_set():
                with contextlib.suppress(ManagerStateError):  # stopped by another thread
                    self.random.choice(self.acts)()
        except BaseException as error:
            self.errors.append(error)

    def declare(self, name: str, place: str) -> None:
        draw = self.random.choice
        overlap: Any = draw(["skip", "queue", "cancel_previous", "allow"])
        mutex = draw([None, None, None, "one"])
        self.sorts[name] = Sort(
            "flaky", place, overlap, draw([1, 2]), mutex, draw([0, 1, 2]), draw([None, 0.004]), None
        )
        self.add(name)

    def add(self, name: str) -> None:
        sort, observer = self.sorts[name], self.observer
        self.store.gone.discard(name)
        retry = Retrying(stop=stop_after_attempt(1 + sort.retries), wait=wait_fixed(self.random.choice([0, 0.002])))
        self.manager.add(
            self.body_of(sort),
            every(0.01).seconds,
            name=name,
            threaded=sort.place == "threads",
            pool=sort.place if "pool" in sort.place else None,
            overlap=sort.overlap,
            max_concurrent=sort.max_concurrent,
            mutex=sort.mutex,
            retry=retry if sort.retries else None,
            timeout=sort.timeout,
            on_success=observer.callback("success"),
            on_failed=observer.callback("failed"),
            on_complete=observer.callback("complete"),
        )
        self.here.add(name)

    def body_of(self, sort: Sort) -> Callable[[], Any]:
        observer, drawn = self.observer, random.Random(self.number)

        def plain() -> str:
            key = observer.enter(sort)
            try:
                run = current_run()
                for _ in range(drawn.randrange(4)):  # about as long as its limit
                    time.sleep(0.002)
                    if drawn.random() < 0.5:
                        run.check_cancelled()
                if drawn.random() < 0.3:
                    raise ValueError("by chance")
                return "done"
            finally:
                observer.leave(key)

        async def coroutine() -> str:
            key = observer.enter(sort)
            try:
                for _ in range(drawn.randrange(4)):
                    await asyncio.sleep(0.002)
                if drawn.random() < 0.3:
                    raise ValueError("by chance")
                return "done"
            finally:
                observer.leave(key)

        return coroutine if sort.asynchronous else plain

    def one(self) -> str | None:
        return self.random.choice(sorted(self.here)) if self.here else None

    def trigger(self) -> None:
        if name := self.one():
            run = self.manager[name].trigger()
            self.runs.append(run)
            if name in self.store.off:
                assert (run.state, run.reason) == ("skipped", "disabled"), run

    def cancel(self) -> None:
        if self.runs:
            time.sleep(self.random.choice([0, 0.001, 0.004]))
            self.random.choice(self.runs).cancel("by the storm")

    def turn(self) -> None:
        if name := self.one():
            if name in self.store.off:
                self.store.off.pop(name, None)
                self.manager[name].enable()
            else:
                self.manager[name].disable()
                self.store.off[name] = object()

    def call(self) -> None:
        name = self.one()
        if name and not self.sorts[name].asynchronous:
            with contextlib.suppress(ValueError, RunCancelled):
                assert self.manager[name]() in (None, "done")

    def come_and_go(self) -> None:
        name = self.random.choice(sorted(self.sorts))
        if name in self.here:
            self.manager.remove(name)
            self.store.gone.add(name)
            self.here.discard(name)
        else:
            self.add(name)

    def look(self) -> None:
        if self.number == 0 and self.random.random() < 0.2:
            begun = time.monotonic()
            self.manager.stop(self.random.choice([0, 0.02]))
            assert time.monotonic() - begun < LIMIT
            self.manager.run()
        names = {detail["name"] for detail in self.manager.tasks_detail}
        assert names >= self.here
        for run in list(self.runs):
            assert run.attempt <= 1 + self.sorts[run.task].retries


@pytest.fixture
def fast_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def storm(seconds: float) -> None:
    threads_of_others = threads_of_ours()
    store, ended = Journal(), threading.Event()
    observer = Observer(store)
    manager = TaskManager([], store=store, max_workers=WORKERS, pools={"pool": POOL, "async pool": POOL})
    threads = [Weather(number, manager, observer, ended) for number in range(6)]
    try:
        with mock.patch.object(lifecycle, "CANCEL_TIMEOUT", 0.02):
            manager.run()
            for thread in threads:
                thread.start()
            ended.wait(seconds)
            ended.set()
            for thread in threads:
                thread.join(LIMIT)
                assert not thread.is_alive()
            for thread in threads:
                for error in thread.errors:
                    raise error
            for name in list(manager):
                manager.remove(name)
            wait_until(lambda: store.active() == [] and observer.inside == {})
            wait_until_idle(manager)
            capacity_is_whole(manager)
            manager.stop(5)
    finally:
        ended.set()
        manager.stop(0)
        observer.close()
    wait_until(lambda: threads_of_ours() <= threads_of_others)
    assert store.wrong == []
    assert (store._places._held, store._places._mutexes, store._places.waiting) == ({}, {}, {})
    sorts = {name: sort for thread in threads for name, sort in thread.sorts.items()}
    assert len(store.seen) > 100
    observer.check_runs(sorts)
    observer.check_callbacks(set(sorts))
    observer.check_counts()
    assert [str(finding) for finding in manager.audit()] == []


def test_a_storm_of_threads_leaves_every_run_with_one_end_and_every_place_whole(fast_switching: None) -> None:
    storm(4)


QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck)}

TestOnThreads = OnThreads.TestCase
TestOnThreads.settings = settings(max_examples=40, stateful_step_count=30, **QUIET)
TestInline = Inline.TestCase
TestInline.settings = settings(max_examples=60, stateful_step_count=30, **QUIET)
