"""The interface of an executor, and the one on daemon threads."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from task.log import logger

if TYPE_CHECKING:
    from task.runs import Run

__all__ = ["Executor", "ThreadPool", "Work"]

#: What an executor is given: the pipeline's step for one run. An event loop is given one that awaits.
Work = Callable[["Run"], Any]


class Executor(Protocol):
    """A place where runs are executed."""

    name: str

    def submit(self, work: Work, run: Run) -> None:
        """Execute ``work(run)`` soon; not at all once it is closed. Never blocks, never raises for the body."""

    def running(self) -> list[Run]:
        """The runs that occupy it now."""

    def waiting(self) -> int:
        """How many runs wait for a place."""

    def close(self, timeout: float) -> None:
        """End idle threads within *timeout* seconds; a busy one is a daemon and is left behind."""


class _Worker(threading.Thread):
    """A thread of a pool. `current` is the run that occupies it."""

    def __init__(self, pool: ThreadPool, number: int) -> None:
        super().__init__(name=f"task-{pool.name}-{number}", daemon=True)
        self.pool = pool
        #: How many runs it has executed.
        self.done = 0
        self.current: Run | None = None

    def run(self) -> None:
        get = self.pool.queue.get
        while (item := get()) is not None:
            work, self.current = item
            try:
                work(self.current)
            except BaseException:
                logger.exception("An executor failed on %r; it goes on", self.current)
            # Nothing may keep the run, or a frame of its body, alive until the next one comes.
            del work, item
            self.current = None
            self.done += 1


class ThreadPool:
    """Up to *size* daemon threads on one queue; a thread is made when all the others are busy."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self.queue: queue.SimpleQueue[tuple[Work, Run] | None] = queue.SimpleQueue()
        self._workers: list[_Worker] = []
        self._submitted = 0
        self._closed = False
        self._changing = threading.Lock()

    def submit(self, work: Work, run: Run) -> None:
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
            self.queue.put((work, run))

    def _grow(self) -> None:
        if self._unfinished() > len(self._workers):
            worker = _Worker(self, len(self._workers) + 1)
            worker.start()
            self._workers.append(worker)

    def _unfinished(self) -> int:
        return self._submitted - sum(worker.done for worker in self._workers)

    def running(self) -> list[Run]:
        return [run for worker in self._workers if (run := worker.current) is not None]

    def waiting(self) -> int:
        return max(0, self._unfinished() - len(self.running()))

    def close(self, timeout: float) -> None:
        with self._changing:
            self._closed = True
            for _ in self._workers:
                self.queue.put(None)
        for worker in self._workers:
            if worker.current is None and worker is not threading.current_thread():
                worker.join(timeout)
