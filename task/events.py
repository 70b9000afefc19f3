"""The named signals, and the one thread that sends them.

============================  ==============================================================
signal                        what it carries beside the sender (the manager's scheduler)
============================  ==============================================================
``clock_stepped``             ``seconds``: by how much the wall clock jumped, signed
``marks_set_back``            ``moment``: the new mark; ``names``: the tasks that it concerns
============================  ==============================================================

The signals are `blinker <https://blinker.readthedocs.io/>`_'s. A receiver is held weakly unless
it is connected with ``weak=False``: a lambda connected without that vanishes at once.
"""

from __future__ import annotations

import logging
import queue
import threading
from typing import Any

import blinker

__all__ = ["Announcer", "clock_stepped", "marks_set_back"]

logger = logging.getLogger("task")

signals = blinker.Namespace()

#: The wall clock jumped against the monotonic one, by a second or more.
clock_stepped = signals.signal("clock-stepped")

#: The marks of tasks lay more than a day ahead of the clock and were set back to now.
marks_set_back = signals.signal("marks-set-back")


class Announcer:
    """Sends signals from one daemon thread of its own, over a bounded queue.

    A receiver that raises is logged; one that blocks delays other receivers, and nobody else. When
    the queue is full, what is sent is dropped and counted.
    """

    #: How many signals may wait for slow receivers.
    LIMIT = 10_000

    def __init__(self, inline: bool = False) -> None:
        self.dropped = 0
        self._inline = inline
        self._queue: queue.Queue[tuple[blinker.Signal, Any, dict[str, Any]] | None] = queue.Queue(self.LIMIT)
        self._thread: threading.Thread | None = None

    def announce(self, signal: blinker.Signal, sender: object, **payload: Any) -> None:
        """Send *signal* soon; at once where the clock drives everything inline."""
        if not signal.receivers:
            return
        if self._inline:
            self._send(signal, sender, payload)
            return
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="task-events", daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait((signal, sender, payload))
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """End the thread once it has sent what waits."""
        thread, self._thread = self._thread, None
        if thread is not None and thread.is_alive():
            try:
                self._queue.put_nowait(None)
            except queue.Full:
                return  # a receiver blocks: the thread is a daemon and is left to it
            thread.join(1)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            self._send(*item)

    def _send(self, signal: blinker.Signal, sender: object, payload: dict[str, Any]) -> None:
        for receiver in signal.receivers_for(sender):
            try:
                receiver(sender, **payload)
            except BaseException:
                logger.exception("A receiver of the signal %r raised; nothing else is affected", signal)
