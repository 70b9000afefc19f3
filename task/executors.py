"""Where bodies run: the serial worker, a pool of threads, and the event loop.

All of it on daemon threads of our own. The standard library's pools are joined at exit, so that a
hung body hangs the interpreter, and cannot replace a hung thread.
"""

from __future__ import annotations

import contextvars
import logging
import queue
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio

    from task.runs import Run

__all__ = ["EventLoop", "Executor", "Executors", "ThreadPool", "Work"]

logger = logging.getLogger("task")

#: What an executor is given: the pipeline's step for one run. An event loop is given one that awaits.
Work = Callable[["Run"], Any]


class Executor(Protocol):
    """A place where runs are executed."""

    name: str

    def submit(self, work: Work, run: Run) -> None:
        """Execute ``work(run)`` soon. Never blocks, never raises on account of the body."""

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


class ThreadPool:
    """Up to *size* daemon threads on one queue; a thread is made when all the others are busy."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self.queue: queue.SimpleQueue[tuple[Work, Run] | None] = queue.SimpleQueue()
        self._workers: list[_Worker] = []
        self._growing = threading.Lock()

    def submit(self, work: Work, run: Run) -> None:
        self.queue.put((work, run))
        if len(self._workers) < self.size:
            self._grow()

    def _grow(self) -> None:
        with self._growing:
            idle = sum(worker.current is None for worker in self._workers)
            if self.queue.qsize() > idle and len(self._workers) < self.size:
                worker = _Worker(self, len(self._workers) + 1)
                worker.start()
                self._workers.append(worker)

    def running(self) -> list[Run]:
        return [run for worker in self._workers if (run := worker.current) is not None]

    def waiting(self) -> int:
        return self.queue.qsize()

    def close(self, timeout: float) -> None:
        for _ in self._workers:
            self.queue.put(None)
        for worker in self._workers:
            if worker.current is None and worker is not threading.current_thread():
                worker.join(timeout)


class EventLoop:
    """One daemon thread with an asyncio event loop; each run is a task on it."""

    name = "event loop"

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._runs: dict[Run, asyncio.Task[Any]] = {}
        self._starting = threading.Lock()
        self._closing = threading.Event()

    def submit(self, work: Work, run: Run) -> None:
        with self._starting:
            if self._loop is None:
                self._start()
            loop = self._loop
        assert loop is not None
        # A context of its own: the caller's (a web request's, say) must not reach into the body.
        loop.call_soon_threadsafe(self._begin, loop, work, run, context=contextvars.Context())

    def _start(self) -> None:
        import asyncio  # a program without async bodies never loads it

        self._loop = asyncio.new_event_loop()
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=self._serve, args=(self._loop, self._closing), name="task-async", daemon=True
        )
        self._thread.start()

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop, closing: threading.Event) -> None:
        import asyncio

        asyncio.set_event_loop(loop)
        while not closing.is_set():
            try:
                loop.run_forever()
            except BaseException:  # SystemExit in a task that a body made ends `run_forever`
                logger.exception("The event loop was broken out of; it goes on")
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def _begin(self, loop: asyncio.AbstractEventLoop, work: Work, run: Run) -> None:
        coroutine: Coroutine[Any, Any, None] = work(run)
        task = loop.create_task(coroutine, name=f"task {run.task}")
        self._runs[run] = task
        run.stopper = lambda: loop.call_soon_threadsafe(task.cancel)
        task.add_done_callback(lambda _: self._end(run))

    def _end(self, run: Run) -> None:
        self._runs.pop(run, None)
        run.stopper = None

    def running(self) -> list[Run]:
        return list(self._runs)

    def waiting(self) -> int:
        return 0

    def close(self, timeout: float) -> None:
        with self._starting:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return

        closing = self._closing

        async def drain() -> None:
            import asyncio

            tasks = list(self._runs.values())
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=timeout)
            closing.set()
            loop.stop()

        loop.call_soon_threadsafe(lambda: loop.create_task(drain()))
        if thread is not threading.current_thread():
            thread.join(timeout + 1)


class Executors:
    """The three places of a manager, made when first used."""

    def __init__(self, max_workers: int) -> None:
        self.serial: Executor = ThreadPool("serial", 1)
        self.threads: Executor = ThreadPool("threads", max_workers)
        self.event_loop: Executor = EventLoop()

    def all(self) -> tuple[Executor, Executor, Executor]:
        """Serial worker, threads, event loop."""
        return self.serial, self.threads, self.event_loop

    def close(self, timeout: float = 1.0) -> None:
        """Close all three, in *timeout* seconds each at most."""
        for executor in self.all():
            executor.close(timeout)
