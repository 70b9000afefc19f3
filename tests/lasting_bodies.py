"""Real executors in virtual time: bodies on real threads and a real event loop, which last until an alarm rings.

What is due comes before the bodies that end at the same moment, and after each step all threads come to rest. So a run
of it has one outcome only, which a forecast can be held against.
"""

from __future__ import annotations

import asyncio
import datetime
import functools
import heapq
import itertools
import math
import threading
import time
from collections.abc import Callable
from typing import Any

from task import TaskManager
from task.executors import EventLoop, Executors, ThreadPool
from task.foresight import PredictedRun
from task.foresight.habits import Habit

__all__ = ["LIMIT", "Stage", "rows_of"]

Moment = datetime.datetime

MICROSECOND = datetime.timedelta(microseconds=1)

#: So long the threads may take to come to rest, and so long a body may wait for its alarm. Seconds.
LIMIT = 60.0
LONGEST = 900.0


class BodyError(Exception):
    """Raised by a body that is to fail."""


class _Handle:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def is_alive(self) -> bool:
        return self._stage.driven is not None

    def join(self, timeout: float | None = None) -> None:
        self._stage.driven = None


class Stage:
    """A clock that stands still while threads work, and goes from what is due to the end of a body and on."""

    inline = False

    def __init__(self, start: Moment) -> None:
        self.start_at, self.micros = start, 0
        self.driven: Any = None
        self._executors: Executors | None = None
        self._changing = threading.Lock()
        self._alarms: list[tuple[int, int, Callable[[], object]]] = []
        self._order = itertools.count()
        #: The threads whose bodies last, and how many coroutines do.
        self._parked: set[threading.Thread] = set()
        self._parked_on_loop = 0
        #: Bodies last no longer.
        self.over = False

    # A clock.

    def now(self) -> Moment:
        return self.start_at + self.micros * MICROSECOND

    def monotonic(self) -> float:
        return self.micros / 1e6

    def slept(self) -> float:
        return 0.0

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        raise AssertionError("nothing waits on this clock")

    def start(self, driven: Any, name: str) -> _Handle:
        self.driven = driven
        return _Handle(self)

    def executors(self, max_workers: int, pools: Any = None) -> Executors:
        self._executors = Executors(max_workers, pools)
        return self._executors

    # Bodies.

    def body(self, habit: Habit) -> Callable[[], None]:
        """A body that lasts and fails as *habit* draws."""

        def body() -> None:
            micros, fails = habit.draw()
            self._last(micros)
            if fails:
                raise BodyError("as it was drawn")

        return body

    def awaited(self, habit: Habit) -> Callable[[], Any]:
        """The same, as a coroutine function."""

        async def body() -> None:
            micros, fails = habit.draw()
            await self._last_on_loop(micros)
            if fails:
                raise BodyError("as it was drawn")

        return body

    def _last(self, micros: int) -> None:
        if self.over:
            return
        over, thread = threading.Event(), threading.current_thread()

        def ring() -> None:
            with self._changing:
                self._parked.discard(thread)  # before it goes on: it rests no more
            over.set()

        with self._changing:
            heapq.heappush(self._alarms, (self.micros + micros, next(self._order), ring))
            self._parked.add(thread)
        if not over.wait(LONGEST):
            raise AssertionError("no alarm rang")

    async def _last_on_loop(self, micros: int) -> None:
        if self.over:
            return
        over, loop = asyncio.Event(), asyncio.get_running_loop()
        with self._changing:
            ring = functools.partial(loop.call_soon_threadsafe, over.set)
            alarm = self.micros + micros, next(self._order), ring
            heapq.heappush(self._alarms, alarm)
            self._parked_on_loop += 1
        try:
            await over.wait()
        finally:
            with self._changing:
                self._parked_on_loop -= 1
                if alarm in self._alarms:  # it was cancelled
                    self._alarms.remove(alarm)
                    heapq.heapify(self._alarms)

    # Time passes.

    def run_until(self, moment: Moment) -> None:
        """Let everything happen up to *moment*."""
        end = (moment - self.start_at) // MICROSECOND
        while True:
            due = self._make_passes()
            at = self._alarms[0][0] if self._alarms else math.inf
            if min(due, at) > end:
                self.micros = end
                return
            if due <= at:
                self.micros = int(due)
                continue
            self.micros = int(at)
            self._ring()

    def let_all_go(self) -> None:
        """Every body ends, now and from now on: the manager is to stop."""
        self.over = True
        while self._alarms:
            self._ring()

    def _make_passes(self) -> float:
        while True:
            self._settle()
            wait = self.driven.run_due()
            self._settle()
            if wait > 0 and not self.driven.woken:
                return self.micros + max(1, math.ceil(round(wait * 1e6, 3)))

    def _ring(self) -> None:
        with self._changing:
            _, _, ring = heapq.heappop(self._alarms)
        ring()

    def _settle(self) -> None:
        deadline = time.monotonic() + LIMIT
        pause = threading.Event()
        while not self._rests():
            assert time.monotonic() < deadline, "the threads do not come to rest"
            pause.wait(0.0001)

    def _rests(self) -> bool:
        executors = self._executors
        assert executors is not None
        places = [place for place in executors.all() if isinstance(place, ThreadPool)]
        before = [place._submitted for place in places]
        if not all(map(self._pool_rests, places)) or not self._loop_rests(executors.event_loop):
            return False
        return [place._submitted for place in places] == before  # else a coroutine gave a pool something to do

    def _pool_rests(self, pool: ThreadPool) -> bool:
        with pool._changing, self._changing:
            parked = sum(worker in self._parked for worker in pool._workers)
            replaced = all(worker in self._parked for worker in pool._replaced)
            return replaced and parked == min(pool.size, pool._submitted - pool._done)

    def _loop_rests(self, place: Any) -> bool:
        assert isinstance(place, EventLoop)
        loop = place._loop
        if loop is None:
            return True
        turned = threading.Event()

        def turn(left: int) -> None:  # what was called soon, and what follows from it
            loop.call_soon(turn, left - 1) if left else turned.set()

        loop.call_soon_threadsafe(turn, 3)
        assert turned.wait(LIMIT)
        return len(place._runs) == self._parked_on_loop


def rows_of(manager: TaskManager) -> list[PredictedRun]:
    """What is on record, in the words of a forecast."""
    rows = [run for name in manager.store.names() for run in manager.store.recent([name], 100_000)[name]]
    return [
        PredictedRun(
            run.task,
            run.slot,
            run.started_at,
            run.finished_at,
            str(run.state),
            run.reason,
            run.attempt,
            run.count,
        )
        for run in rows
    ]
