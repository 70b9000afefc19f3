"""The threads behind our event loop: what ``asyncio.to_thread`` in a body uses."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from task.executors.pools import ThreadPool

__all__ = ["LoopThreads"]


class LoopThreads(ThreadPoolExecutor):
    """A `ThreadPoolExecutor`, because asyncio insists on one, with daemon threads of ours.

    The standard library's refuses work as soon as the main thread has ended, while bodies still have
    their time, and then waits for what it runs: a call that hangs hangs the interpreter.
    """

    def __init__(self) -> None:
        size = min(32, (os.cpu_count() or 1) + 4)  # asyncio's own default
        super().__init__(size)
        self._pool = ThreadPool("async-threads", size)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        call: Any = future  # the pool counts what occupies its threads; here that is no run
        self._pool.submit(lambda _: _perform(future, fn, args, kwargs), call)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._pool.close(1.0 if wait else 0.0)


def _perform(future: Future[Any], fn: Callable[..., Any], args: Any, kwargs: Any) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(fn(*args, **kwargs))
    except BaseException as error:
        future.set_exception(error)
