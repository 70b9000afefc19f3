"""Many threads change one manager at once; and a random walk through everything that can be done to one."""

from __future__ import annotations

import collections
import datetime
import random
import sys
import threading
import time

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from task import ManagerStateError, MemoryStore, Run, RunState, TaskManager, every
from task.scheduler import loop
from task.testing import VirtualClock

#: Whatever is waited for comes within this, or the test fails. Seconds.
LIMIT = 120


@pytest.fixture
def fast_switching():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class WatchedStore(MemoryStore):
    """A ledger that sees each start of a body, and knows which tasks are gone."""

    def __init__(self) -> None:
        super().__init__()
        self.gone: set[str] = set()
        self.late: list[str] = []

    def start(self, run: Run, now: datetime.datetime) -> bool:
        was_gone = run.task in self.gone
        begun = super().start(run, now)
        if begun and was_gone:
            self.late.append(run.task)
        return begun


class Worker(threading.Thread):
    """One of the threads: it owns some tasks, and remembers how they should be."""

    def __init__(self, number: int, manager: TaskManager, store: WatchedStore, ended: threading.Event) -> None:
        super().__init__()
        self.number = number
        self.manager = manager
        self.store = store
        self.ended = ended
        self.random = random.Random(number)
        self.model: dict[str, bool] = {}
        self.done: collections.Counter[str] = collections.Counter()
        self.errors: list[BaseException] = []
        self.serial = 0

    def run(self) -> None:
        acts = [self.add, self.add, self.remove, self.turn, self.trigger, self.pause, self.look, self.call]
        try:
            while not self.ended.is_set():
                act = self.random.choice(acts)
                act()
                self.done[act.__name__] += 1
        except BaseException as error:
            self.errors.append(error)

    def one(self) -> str | None:
        return self.random.choice(list(self.model)) if self.model else None

    def add(self) -> None:
        if len(self.model) < 12:
            self.serial += 1
            name = f"{self.number}-{self.serial}"
            schedules = [every(0.01).seconds, every(0.015).seconds][: self.random.choice([0, 1, 1, 2])]
            self.manager.add(
                body, schedules or None, name=name, threaded=self.random.random() < 0.5, on_complete=lambda: None
            )
            self.model[name] = True

    def remove(self) -> None:
        if name := self.one():
            self.manager.remove(name)
            self.store.gone.add(name)
            del self.model[name]

    def turn(self) -> None:
        if name := self.one():
            self.model[name] = on = self.random.random() < 0.5
            task = self.manager[name]
            task.enable() if on else task.disable()

    def trigger(self) -> None:
        if name := self.one():
            run = self.manager[name].trigger()
            assert run.state in RunState
            assert run.id

    def call(self) -> None:
        if name := self.one():
            assert self.manager[name]() in (None, "done")

    def pause(self) -> None:
        if self.random.random() < 0.1:
            self.manager.pause()
            self.manager.resume()

    def look(self) -> None:
        choice = self.random.randrange(5)
        if choice == 0:
            names = {one["name"] for one in self.manager.tasks_detail}
            assert names >= set(self.model)
        elif choice == 1:
            assert len(self.manager.runs(limit=20)) <= 20
        elif choice == 2:
            assert self.manager.health
        elif choice == 3 and (name := self.one()):
            detail = self.manager[name]
            assert detail.is_enable is self.model[name]
            assert name in self.manager
        else:
            assert len(self.manager.scheduler.get_jobs()) >= 0
            self.manager.scheduler.next_run  # noqa: B018 - it is the reading that is tried


def body() -> str:
    return "done"


def test_16_threads_change_one_manager_and_nothing_is_lost(fast_switching, monkeypatch):
    monkeypatch.setattr(loop, "BEAT_GRACE", 10 * LIMIT)  # 20 threads share two cores here
    store, ended = WatchedStore(), threading.Event()
    manager = TaskManager([], store=store, max_workers=4)
    manager.run()
    workers = [Worker(number, manager, store, ended) for number in range(16)]
    for worker in workers:
        worker.start()
    ended.wait(5)
    ended.set()
    for worker in workers:
        worker.join(LIMIT)
        assert not worker.is_alive()
    assert [error for worker in workers for error in worker.errors] == []
    assert store.late == []

    model = {name: on for worker in workers for name, on in worker.model.items()}
    assert {name: manager[name].is_enable for name in manager} == model
    jobs = [job for name in manager for job in manager[name].schedules if manager[name].binding.entry is not None]
    assert {id(job) for job in manager.scheduler.get_jobs()} == {id(job) for job in jobs}
    assert min(sum((worker.done for worker in workers), collections.Counter()).values()) > 0
    assert manager.health

    done = threading.Semaphore(0)
    manager.add(lambda: done.release(), every(0.01).seconds, name="afterwards")
    assert done.acquire(timeout=LIMIT)
    manager.stop()
    assert manager.audit() == []
    assert store.active() == []


def test_threads_that_start_and_stop_one_manager_leave_nothing_behind(fast_switching):
    before = threading.active_count()
    manager = TaskManager([])
    fired = threading.Semaphore(0)
    manager.add(lambda: fired.release(), every(0.005).seconds, name="serial")
    manager.add(lambda: fired.release(), every(0.005).seconds, name="threaded", threaded=True)

    @manager.task(every(0.005).seconds)
    async def coroutine():
        fired.release()

    errors: list[BaseException] = []
    longest = [0.0]

    def churn(number: int) -> None:
        try:
            for turn in range(50):
                if (turn + number) % 2:
                    manager.run()
                    try:
                        coroutine.trigger()
                        manager["threaded"].trigger()
                    except ManagerStateError:
                        pass  # stopped by another thread meanwhile
                else:
                    begun = time.monotonic()
                    manager.stop()
                    longest[0] = max(longest[0], time.monotonic() - begun)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=churn, args=(number,), daemon=True) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive(), "a start or a stop is stuck"
    assert errors == []
    assert longest[0] < LIMIT
    assert manager.runs(state="lost") == []  # nor has one waited in vain for all of its ten seconds

    while fired.acquire(blocking=False):
        pass
    manager.run()
    for name in ("serial", "threaded", "coroutine"):  # no run of the churn stands in the way of a new one
        deadline = time.monotonic() + LIMIT
        while (run := manager[name].trigger()).state == "skipped":
            assert time.monotonic() < deadline, (name, manager.store.active(name))
            time.sleep(0.001)
        assert run.wait(LIMIT)
    manager.stop()
    assert manager.store.active() == []
    deadline = time.monotonic() + LIMIT
    while threading.active_count() > before:
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.01)


class Life(RuleBasedStateMachine):
    """Everything that can be done to a manager, on the virtual clock; the invariants hold after each step."""

    names = st.sampled_from("abcdef")
    kinds = st.sampled_from(["serial", "threaded", "async"])

    @initialize(start=st.datetimes(datetime.datetime(2026, 1, 1), datetime.datetime(2026, 12, 31)))
    def begin(self, start: datetime.datetime) -> None:
        self.clock = VirtualClock(start.replace(tzinfo=datetime.UTC, microsecond=0))
        self.manager = TaskManager([], clock=self.clock)
        self.model: dict[str, bool] = {}
        self.inside: collections.Counter[str] = collections.Counter()
        self.most: collections.Counter[str] = collections.Counter()
        self.bodies: collections.Counter[str] = collections.Counter()
        self.running = False
        self.paused = False

    def enter(self, name: str) -> None:
        self.bodies[name] += 1
        self.inside[name] += 1
        self.most[name] = max(self.most[name], self.inside[name])

    @precondition(lambda self: len(self.model) < 6)
    @rule(
        name=names,
        kind=kinds,
        seconds=st.lists(st.sampled_from([7, 10, 60, 3600]), max_size=2, unique=True),
        takes=st.sampled_from([0, 0, 3, 25]),
        fails=st.booleans(),
        disabled=st.booleans(),
        misfire=st.sampled_from(["latest", "skip", "all"]),
        fixed_delay=st.booleans(),
    )
    def add(self, name, kind, seconds, takes, fails, disabled, misfire, fixed_delay) -> None:
        if name in self.model:
            return

        def plain() -> None:
            self.enter(name)
            try:
                if takes:
                    self.clock.sleep(takes)
                if fails:
                    raise ValueError(name)
            finally:
                self.inside[name] -= 1

        async def coroutine() -> None:
            import asyncio

            self.enter(name)
            try:
                await asyncio.sleep(takes)
                if fails:
                    raise ValueError(name)
            finally:
                self.inside[name] -= 1

        self.manager.add(
            coroutine if kind == "async" else plain,
            [every(interval).seconds for interval in seconds] or None,
            name=name,
            threaded=kind == "threaded",
            disabled=disabled,
            misfire=misfire,
            fixed_delay=fixed_delay and len(seconds) == 1,
        )
        if name in self.bodies:  # known before: its switch is the operator's
            self.model[name] = self.manager[name].is_enable
        else:
            self.model[name] = not disabled

    @rule(name=names)
    def remove(self, name: str) -> None:
        if name in self.model:
            self.manager.remove(name)
            self.bodies.setdefault(name, 0)
            del self.model[name]

    @rule(name=names, on=st.booleans())
    def turn(self, name: str, on: bool) -> None:
        if name in self.model:
            task = self.manager[name]
            task.enable() if on else task.disable("by the walk")
            self.model[name] = on

    @rule(name=names)
    def trigger(self, name: str) -> None:
        if name not in self.model:
            return
        if not self.running:
            with pytest.raises(ManagerStateError):
                self.manager[name].trigger()
            return
        run = self.manager[name].trigger()
        if not self.model[name]:
            assert (run.state, run.reason) == ("skipped", "disabled")
        elif self.paused:
            assert (run.state, run.reason) == ("skipped", "paused")

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self.manager.pause() if paused else self.manager.resume()
        self.paused = paused

    @rule(seconds=st.integers(0, 400))
    def advance(self, seconds: int) -> None:
        self.clock.advance(seconds=seconds)

    @rule(seconds=st.sampled_from([-90_000, -3600, -30, -2, 2, 30, 3600, 90_000]))
    def step(self, seconds: int) -> None:
        self.clock.step(seconds=seconds)
        self.clock.advance(seconds=0)

    @rule()
    def run(self) -> None:
        self.manager.run()
        self.running = True

    @rule()
    def stop(self) -> None:
        self.manager.stop()
        self.running = False

    @invariant()
    def the_model_holds(self) -> None:
        if not hasattr(self, "manager"):
            return
        assert {name: self.manager[name].is_enable for name in self.manager} == self.model
        assert bool(self.manager.health) is self.running, self.manager.health
        assert all(count <= 1 for count in self.most.values()), self.most

    @invariant()
    def counts_are_equal(self) -> None:
        if hasattr(self, "manager"):
            for detail in self.manager.tasks_detail:
                assert detail["counts"]["runs"] == self.bodies[detail["name"]], detail

    @invariant()
    def every_slot_has_one_outcome(self) -> None:
        if hasattr(self, "manager"):
            assert [str(finding) for finding in self.manager.audit()] == []

    def teardown(self) -> None:
        if hasattr(self, "manager"):
            self.manager.stop()
            assert [str(finding) for finding in self.manager.audit()] == []
            assert self.manager.store.active() == []


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
