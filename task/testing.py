"""Virtual time: a clock that drives real schedulers, deterministically, in the caller's thread.

>>> import datetime
>>> from task import TaskManager, every
>>> from task.testing import VirtualClock
>>> clock = VirtualClock(datetime.datetime(2026, 5, 4, tzinfo=datetime.timezone.utc))
>>> manager = TaskManager([], clock=clock)
>>> times = []
>>> sample = manager.add(lambda: times.append(clock.now()), every(10).minutes, name="sample")
>>> with manager:
...     clock.advance(hours=24)
>>> len(times)
144
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import datetime
import math
import selectors
import threading
from collections.abc import Mapping
from typing import Any

from task.clock import Driven
from task.executors import Backlog, Executor, Executors, Work
from task.runs import Run

__all__ = ["VirtualClock"]

Moment = datetime.datetime

_MICROSECOND = datetime.timedelta(microseconds=1)

#: So many bodies may sleep inside each other; each takes a part of Python's recursion limit.
_DEEPEST_SLEEP = 25


class _Handle:
    """A loop that the clock drives, until it is joined."""

    def __init__(self, clock: VirtualClock, driven: Driven) -> None:
        self._clock = clock
        self.driven = driven

    def is_alive(self) -> bool:
        return self in self._clock._handles

    def join(self, timeout: float | None = None) -> None:
        with contextlib.suppress(ValueError):
            self._clock._handles.remove(self)


class VirtualClock:
    """A clock that stands still until it is moved; moving it runs everything that is due on the way.

    *start* is an aware moment. Schedulers that run on it have no thread: `advance` and `run_until` make
    their passes, and run the bodies, in the thread that calls them: serial, threaded and async bodies.
    With ``threads=True`` bodies run on real threads, for tests of hung and overlapping ones; then the
    test itself waits for what it needs.
    """

    def __init__(self, start: Moment | None = None, *, threads: bool = False) -> None:
        if start is not None and start.utcoffset() is None:
            raise ValueError(f"VirtualClock starts at an aware datetime, not at {start!r}.")
        first = start or datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        self.inline = not threads
        self._wall = first.astimezone(datetime.UTC)
        self._monotonic = 0  # microseconds
        self._handles: list[_Handle] = []
        self._asleep = 0

    def now(self) -> Moment:
        return self._wall

    def monotonic(self) -> float:
        return self._monotonic / 1e6

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """Let virtual time pass instead of waiting."""
        self.sleep(seconds)

    def start(self, driven: Driven, name: str) -> _Handle:
        handle = _Handle(self, driven)
        self._handles.append(handle)
        return handle

    def executors(self, max_workers: int, pools: Mapping[str, int] | None = None) -> Executors:
        """The executors of a manager on this clock."""
        return _InlineExecutors(self, max_workers, pools) if self.inline else Executors(max_workers, pools)

    def advance(self, **duration: float) -> None:
        """Let time pass: ``advance(hours=24)``, any keywords of ``timedelta``."""
        self._pass_time(datetime.timedelta(**duration) // _MICROSECOND)

    def sleep(self, seconds: float) -> None:
        """Let *seconds* pass; for bodies, in the place of ``time.sleep``. Other slots fire meanwhile.

        Their bodies then run inside the one that sleeps. Raises `RuntimeError` when too many sleep inside each other:
        bodies that overlap for ever never come to an end in one thread.
        """
        if self._asleep >= _DEEPEST_SLEEP:
            raise RuntimeError(
                f"{self._asleep} bodies sleep inside each other on this virtual clock. Make bodies that overlap so an "
                "async def, or use VirtualClock(threads=True)."
            )
        self._asleep += 1
        try:
            self._pass_time(round(seconds * 1e6))
        finally:
            self._asleep -= 1

    def run_until(self, moment: Moment) -> None:
        """Let time pass until the wall clock shows *moment* (aware)."""
        self._pass_time((moment - self._wall) // _MICROSECOND)

    def step(self, **jump: float) -> None:
        """Set the wall clock forward or back at once, as an operator or NTP would: ``step(hours=-1)``."""
        self._wall += datetime.timedelta(**jump)

    def suspend(self, **duration: float) -> None:
        """Let the machine sleep: the wall clock goes on, the monotonic clock stands still."""
        self.step(**duration)

    def _pass_time(self, microseconds: int) -> None:
        end = self._monotonic + max(0, microseconds)
        while True:
            wait = self._make_passes(end)
            left = end - self._monotonic
            if left <= 0:
                return
            passed = left if wait == math.inf else min(left, max(1, math.ceil(round(wait * 1e6, 3))))
            self._monotonic += passed
            self._wall += passed * _MICROSECOND

    def _make_passes(self, end: int) -> float:
        """Passes of every scheduler, until nothing is due; the seconds until the first of them wants the next.

        Bodies that let time pass may make more due than they do: no passes are made beyond *end* for them.
        """
        while True:
            wait = min((handle.driven.run_due() for handle in list(self._handles)), default=math.inf)
            settled = wait > 0 and not any(handle.driven.woken for handle in self._handles)
            if settled or self._monotonic > end:
                return wait


class _InlinePool:
    """Threads in the caller's thread: while there is a place, a body runs at once, inside one that lets time pass."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self._size = size
        self._backlog = Backlog()
        self._runs: list[Run] = []
        self._replaced: list[Run] = []

    def submit(self, work: Work, run: Run, priority: float = 0) -> None:
        self._backlog.put(work, run, priority)
        while len(self._runs) < self._size and (item := self._backlog.pop()) is not None:
            next_work, next_run = item
            self._runs.append(next_run)
            try:
                next_work(next_run)
            finally:
                (self._runs if next_run in self._runs else self._replaced).remove(next_run)

    def running(self) -> list[Run]:
        return [*self._runs, *self._replaced]

    def waiting(self) -> int:
        return len(self._backlog)

    def replace(self, run: Run, work: Work) -> bool:
        if run not in self._runs:
            return False
        self._runs.remove(run)
        self._replaced.append(run)
        self.submit(work, run, math.inf)
        return True

    def stack(self, run: Run) -> str | None:
        return None

    def close(self, timeout: float) -> None:
        self._backlog.clear()


class _VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is the virtual clock's, and which never waits for it."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(selectors.SelectSelector())
        self._clock = clock

    def time(self) -> float:
        return self._clock.monotonic()

    def turn(self) -> float:
        """Run all that is ready; the seconds until the next timer."""
        if not self.is_running():  # else: inside a body that lets time pass
            outside = asyncio._get_running_loop()
            asyncio._set_running_loop(None)  # the test itself may be async: its loop waits meanwhile
            try:
                while True:
                    self.call_soon(self.stop)
                    self.run_forever()
                    if not self._ready:  # type: ignore[attr-defined]  # asyncio tells of it in no other way
                        break
            finally:
                asyncio._set_running_loop(outside)
        timers: list[Any] = self._scheduled  # type: ignore[attr-defined]  # likewise
        return min((timer.when() - self.time() for timer in timers if not timer.cancelled()), default=math.inf)


class _InlineEventLoop:
    """The event loop in the caller's thread, driven by the clock."""

    name = "event loop"

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._loop: _VirtualLoop | None = None
        self._handle: _Handle | None = None
        self._tasks: dict[asyncio.Task[Any], Run] = {}
        self.woken = False

    def submit(self, work: Work, run: Run, priority: int = 0) -> None:
        if self._loop is None:
            self._loop = _VirtualLoop(self._clock)
            self._handle = self._clock.start(self, "virtual event loop")
        task = self._loop.create_task(work(run), context=contextvars.Context())
        self._tasks[task] = run
        task.add_done_callback(self._tasks.pop)
        self.run_due()
        self.woken = True

    def loop(self) -> None:
        """Never called: the clock makes the passes."""

    def run_due(self) -> float:
        self.woken = False
        return math.inf if self._loop is None else max(0.0, self._loop.turn())

    def running(self) -> list[Run]:
        return list(self._tasks.values())

    def waiting(self) -> int:
        return 0

    def replace(self, run: Run, work: Work) -> bool:
        self.submit(work, run)
        return True

    def stack(self, run: Run) -> str | None:
        return None

    def close(self, timeout: float) -> None:
        loop, self._loop = self._loop, None
        if loop is not None and self._handle is not None:
            self._handle.join()
            for task in list(self._tasks):
                task.cancel()
            loop.turn()
            loop.close()


class _InlineExecutors(Executors):
    """The places of a manager on a virtual clock."""

    def __init__(self, clock: VirtualClock, max_workers: int, pools: Mapping[str, int] | None) -> None:
        self._clock = clock
        super().__init__(max_workers, pools)

    def make_threads(self, name: str, size: int) -> Executor:
        return _InlinePool(name, size)

    def make_event_loop(self) -> Executor:
        return _InlineEventLoop(self._clock)
