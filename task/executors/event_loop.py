"""The executor of coroutine bodies: an asyncio event loop on a daemon thread."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from task.executors.pools import Work
from task.log import logger

if TYPE_CHECKING:
    import asyncio

    from task.runs import Run

__all__ = ["EventLoop"]


class EventLoop:
    """One daemon thread with an asyncio event loop; each run is a task on it."""

    name = "event loop"

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._runs: dict[Run, asyncio.Task[Any]] = {}
        self._starting = threading.Lock()
        self._closed = False
        self._closing = threading.Event()

    def submit(self, work: Work, run: Run) -> None:
        with self._starting:
            if self._closed:
                return
            if self._loop is None:
                self._start()
            loop = self._loop
        assert loop is not None
        # A context of its own: the caller's (a web request's, say) must not reach into the body.
        loop.call_soon_threadsafe(self._begin, loop, work, run, context=contextvars.Context())

    def _start(self) -> None:
        import asyncio  # a program without async bodies never loads it

        from task.executors.loop_threads import LoopThreads

        loop = asyncio.new_event_loop()
        loop.set_default_executor(LoopThreads())
        self._closing = threading.Event()
        thread = threading.Thread(target=self._serve, args=(loop, self._closing), name="task-async", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            loop.close()
            raise
        self._loop, self._thread = loop, thread

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
        if run.is_cancelled():  # it was asked before there was anything to cancel
            task.cancel()
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
            self._closed = True
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
