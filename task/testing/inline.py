"""The places of a manager on a virtual clock: bodies run in the thread that moves it."""

from __future__ import annotations

import asyncio
import contextvars
import math
import selectors
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from task.clock import LoopHandle
from task.executors import Backlog, Executor, Executors, Work, task_on
from task.runs import Run

if TYPE_CHECKING:
    from task.testing.clock import VirtualClock

__all__ = ["InlineEventLoop", "InlineExecutors", "InlinePool"]


class InlinePool:
    """Threads in the caller's thread: while there is a place, a body runs at once, inside one that lets time pass."""

    def __init__(self, name: str, size: int, clock: VirtualClock) -> None:
        self.name = name
        self._clock = clock
        self._size = size
        self._backlog = Backlog()
        self._runs: list[Run] = []
        self._replaced: list[Run] = []

    def submit(self, work: Work, run: Run, priority: float = 0) -> None:
        self._clock.expect(run)
        if len(self._runs) >= self._size:
            run.held_up_by = ""
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


class InlineEventLoop:
    """The event loop in the caller's thread, driven by the clock."""

    name = "event loop"

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._loop: _VirtualLoop | None = None
        self._handle: LoopHandle | None = None
        self._tasks: dict[asyncio.Task[Any], Run] = {}
        self.woken = False

    def submit(self, work: Work, run: Run, priority: int = 0) -> None:
        self._clock.expect(run)
        if self._loop is None:
            self._loop = _VirtualLoop(self._clock)
            self._handle = self._clock.start(self, "virtual event loop")
        if run.held_up_by is None:
            run.held_up_by = task_on(self._loop)
        task = self._loop.create_task(work(run), name=f"task {run.task}", context=contextvars.Context())
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


class InlineExecutors(Executors):
    """The places of a manager on a virtual clock."""

    def __init__(self, clock: VirtualClock, max_workers: int, pools: Mapping[str, int] | None) -> None:
        self._clock = clock
        super().__init__(max_workers, pools)

    def make_threads(self, name: str, size: int) -> Executor:
        return InlinePool(name, size, self._clock)

    def make_event_loop(self) -> Executor:
        return InlineEventLoop(self._clock)
