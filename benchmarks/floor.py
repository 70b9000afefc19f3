"""The floor: the least that a scheduler can do. A heap, a Condition, and a plain function that is called.

It records nothing, guards nothing and survives nothing; it is what the machine itself allows.
"""

from __future__ import annotations

import heapq
import queue
import threading
import time
from collections.abc import Callable

__all__ = ["Floor"]

Body = Callable[[], object]


class Floor:
    """Calls functions at a fixed rate: on its loop, or (*pooled*) on one daemon thread behind a queue."""

    def __init__(self, pooled: bool) -> None:
        self._heap: list[tuple[float, int, float, Body]] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._queue: queue.SimpleQueue[Body] = queue.SimpleQueue()
        self._run: Callable[[Body], object] = self._queue.put if pooled else _call

    def add(self, body: Body, period: float, first: float) -> None:
        """Call *body* every *period* seconds, from the moment *first* (seconds since 1970) on."""
        with self._changed:
            heapq.heappush(self._heap, (first, len(self._heap), period, body))
            self._changed.notify()

    def start(self) -> None:
        for work in (self._loop, self._work):
            threading.Thread(target=work, daemon=True).start()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def _loop(self) -> None:
        while not self._stopping:
            with self._changed:
                due, order, period, body = self._heap[0]
                wait = due - time.time()
                if wait > 0:
                    self._changed.wait(wait)
                    continue
                heapq.heapreplace(self._heap, (due + period, order, period, body))
            self._run(body)

    def _work(self) -> None:
        while True:
            self._queue.get()()


def _call(body: Body) -> None:
    body()
