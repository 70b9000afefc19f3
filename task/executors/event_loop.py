"""The executor of coroutine bodies: an asyncio event loop on a daemon thread."""

from __future__ import annotations

import contextvars
import sys
import threading
import traceback
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from task.executors.pools import Work
from task.log import logger

if TYPE_CHECKING:
    import asyncio

    from task.runs import Run

__all__ = ["EventLoop", "task_on"]

#: What the name of the task of an event loop begins with, before that of the run's task.
PREFIX = "task "


class EventLoop:
    """One daemon thread with an asyncio event loop; each run is a task on it."""

    name = "event loop"

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._runs: dict[asyncio.Task[Any], Run] = {}
        self._asked: float | None = None
        self._starting = threading.RLock()
        self._closed = False
        self._closing = threading.Event()

    def submit(self, work: Work, run: Run, priority: int = 0) -> None:
        with self._starting:
            if self._closed:
                return
            if self._loop is None:
                self._start()
            loop = self._loop
            assert loop is not None
            if self._runs and run.held_up_by is None:
                run.held_up_by = task_on(loop)
            # A context of its own: the caller's (a web request's, say) must not reach into the body. It is handed over
            # with the lock held: whoever closes the loop comes later, and ends this too.
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
        task = loop.create_task(coroutine, name=f"{PREFIX}{run.task}")
        self._runs[task] = run
        task.add_done_callback(self._runs.pop)

    def running(self) -> list[Run]:
        return list(self._runs.values())

    def waiting(self) -> int:
        return 0

    def replace(self, run: Run, work: Work) -> bool:
        self.submit(work, run)
        return True

    def stack(self, run: Run) -> str | None:
        task = next((task for task, its_run in list(self._runs.items()) if its_run is run), None)
        if task is None:
            return None
        return "".join("".join(traceback.format_stack(frame, limit=1)) for frame in task.get_stack(limit=20))

    def lag(self, now: float) -> float:
        """For how many seconds the loop has not answered; 0.0 when it answers.

        To be asked now and then, with the monotonic time; each time the loop is asked for an answer.
        """
        loop, asked = self._loop, self._asked
        if loop is None or not self._runs:
            self._asked = None
            return 0.0
        if asked is not None:
            return now - asked
        self._asked = now
        loop.call_soon_threadsafe(self._answer)
        return 0.0

    def _answer(self) -> None:
        self._asked = None

    def occupant(self) -> tuple[Run | None, str]:
        """The run whose body has the loop at this moment, and where it is, as text."""
        import asyncio

        loop, thread = self._loop, self._thread
        task = None if loop is None else asyncio.current_task(loop)
        run = None if task is None else self._runs.get(task)
        frame = None if thread is None or thread.ident is None else sys._current_frames().get(thread.ident)
        return run, "" if frame is None else "".join(traceback.format_stack(frame)[-8:])

    def close(self, timeout: float) -> None:
        with self._starting:
            self._closed = True
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return

        closing = self._closing

        async def drain() -> None:
            import asyncio

            tasks = list(self._runs)
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=timeout)
            closing.set()
            loop.stop()

        loop.call_soon_threadsafe(lambda: loop.create_task(drain()))
        if thread is not threading.current_thread():
            thread.join(timeout + 1)


def task_on(loop: asyncio.AbstractEventLoop) -> str | None:
    """Whose body has an event loop at this moment: the name of the task, if it is a run's."""
    import asyncio

    current = asyncio.current_task(loop)
    name = None if current is None else current.get_name()
    return name.removeprefix(PREFIX) if name is not None and name.startswith(PREFIX) else None
