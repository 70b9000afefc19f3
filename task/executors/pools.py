"""The interface of an executor, and the one on daemon threads."""

from __future__ import annotations

import heapq
import itertools
import math
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from task.log import logger

if TYPE_CHECKING:
    from task.runs import Run

__all__ = ["REPLACEMENTS", "Backlog", "Executor", "ThreadPool", "Work"]

#: What an executor is given: the pipeline's step for one run. An event loop is given one that awaits.
Work = Callable[["Run"], Any]

#: So many threads of one pool are replaced while their bodies overrun. Beyond, an overrunning body keeps its place.
REPLACEMENTS = 16


class Executor(Protocol):
    """A place where runs are executed."""

    name: str

    def submit(self, work: Work, run: Run, priority: int = 0) -> None:
        """Execute ``work(run)`` as soon as there is a place; not at all once it is closed.

        Of what waits, the higher *priority* goes first. Never blocks, never raises for the body.
        """

    def running(self) -> list[Run]:
        """The runs that occupy it now."""

    def waiting(self) -> int:
        """How many runs wait for a place."""

    def replace(self, run: Run, work: Work) -> bool:
        """Give the place of *run*, whose body overruns and cannot be stopped, to others: to ``work(run)`` first.

        False where that cannot be; then *work* is not done.
        """

    def stack(self, run: Run) -> str | None:
        """Where the body of *run* is at this moment, as text; None when that is not known."""

    def close(self, timeout: float) -> None:
        """End idle threads within *timeout* seconds; a busy one is a daemon and is left behind."""


class Backlog:
    """What waits for a place: the highest priority first, and of one priority the oldest. Not thread-safe."""

    __slots__ = ("_items", "_order")

    def __init__(self) -> None:
        self._items: list[tuple[float, int, Work, Run]] = []
        self._order = itertools.count()

    def put(self, work: Work, run: Run, priority: float) -> None:
        """Add one."""
        heapq.heappush(self._items, (-priority, next(self._order), work, run))

    def first(self) -> tuple[Work, Run] | None:
        """The one that `pop` would take."""
        return self._items[0][2:] if self._items else None

    def pop(self) -> tuple[Work, Run] | None:
        """Take the first, if there is one."""
        if not self._items:
            return None
        _, _, work, run = heapq.heappop(self._items)
        return work, run

    def __len__(self) -> int:
        return len(self._items)

    def clear(self) -> None:
        """Drop all."""
        self._items.clear()


class _Worker(threading.Thread):
    """A thread of a pool. `current` is the run that occupies it."""

    def __init__(self, pool: ThreadPool, number: int) -> None:
        super().__init__(name=f"task-{pool.name}-{number}", daemon=True)
        self.pool = pool
        self.current: Run | None = None
        #: Its place was given to others: it ends with the body that it runs.
        self.replaced = False

    def run(self) -> None:
        take = self.pool.take
        while (item := take(self)) is not None:
            work, run = item
            try:
                work(run)
            except BaseException:
                logger.exception("An executor failed on %r; it goes on", run)
            # Nothing may keep the run, or a frame of its body, alive until the next one comes.
            del work, run, item
            if self.pool.ended(self):
                return


class ThreadPool:
    """Up to *size* daemon threads on one queue; a thread is made when all the others are busy."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        #: One token for each item of the backlog: a worker waits here, without holding a lock.
        self._tokens: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._backlog = Backlog()
        self._workers: list[_Worker] = []
        self._replaced: list[_Worker] = []
        self._numbers = itertools.count(1)
        #: How many it was given, and how many of these its workers have executed; those of replaced ones do not count.
        self._submitted = self._done = 0
        self._closed = False
        self._changing = threading.Lock()

    def submit(self, work: Work, run: Run, priority: int = 0) -> None:
        with self._changing:
            if self._closed:
                return
            self._submitted += 1
            try:
                if len(self._workers) < self.size:
                    self._grow()
            except RuntimeError as error:
                if not self._workers:
                    self._submitted -= 1
                    raise
                logger.warning("No more threads can be started for %s: %s", self.name, error)
            if self._submitted - self._done > self.size:
                run.held_up_by = ""
            self._backlog.put(work, run, priority)
        self._tokens.put(None)

    def take(self, worker: _Worker) -> tuple[Work, Run] | None:
        """Wait for something to do; None when there is nothing more. Called by the workers."""
        self._tokens.get()
        with self._changing:
            if (item := self._backlog.first()) is not None:
                worker.current = item[1]  # before it waits no more: at each moment it is seen to do one of the two
                self._backlog.pop()
            return item

    def _grow(self) -> None:
        if self._submitted - self._done > len(self._workers):
            worker = _Worker(self, next(self._numbers))
            worker.start()
            self._workers.append(worker)

    def running(self) -> list[Run]:
        return [run for worker in [*self._workers, *self._replaced] if (run := worker.current) is not None]

    def waiting(self) -> int:
        return len(self._backlog)

    @property
    def written_off(self) -> int:
        """How many threads have bodies that go on past their time; their places were given to others."""
        return len(self._replaced)

    @property
    def replaceable(self) -> int:
        """So many there may be; the next such body keeps its place."""
        return REPLACEMENTS

    def replace(self, run: Run, work: Work) -> bool:
        with self._changing:
            worker = self._occupied_by(run, self._workers)
            if worker is None or self._closed or len(self._replaced) >= REPLACEMENTS:
                return False
            self._workers.remove(worker)
            self._replaced.append(worker)
            worker.replaced = True  # its run makes room for *work*, which nothing that waits may overtake
            self._backlog.put(work, run, math.inf)
            try:
                self._grow()
            except RuntimeError as error:
                logger.warning("No thread can be started to replace one of %s: %s", self.name, error)
        self._tokens.put(None)
        return True

    def ended(self, worker: _Worker) -> bool:
        """A worker has ended a run; whether it was replaced meanwhile, and so ends itself."""
        with self._changing:
            worker.current = None
            if worker.replaced:
                self._replaced.remove(worker)
            else:
                self._done += 1
            return worker.replaced

    def stack(self, run: Run) -> str | None:
        """Where the body of *run* is at this moment, as text; None when it does not run here."""
        worker = self._occupied_by(run, [*self._replaced, *self._workers])  # another may just record its end
        frame = None if worker is None or worker.ident is None else sys._current_frames().get(worker.ident)
        return None if frame is None else "".join(traceback.format_stack(frame)[-20:])

    @staticmethod
    def _occupied_by(run: Run, workers: list[_Worker]) -> _Worker | None:
        return next((worker for worker in workers if worker.current is run), None)

    def close(self, timeout: float) -> None:
        with self._changing:
            self._closed = True
            workers = list(self._workers)
            waiting = len(workers) + len(self._replaced)  # one that was replaced as its body ended waits here, too
        for _ in range(waiting):
            self._tokens.put(None)
        for worker in workers:
            if worker.current is None and worker is not threading.current_thread():
                worker.join(timeout)
