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

import contextlib
import queue
import threading
from typing import Any

import blinker

from task.log import logger

__all__ = ["Announcer", "clock_stepped", "marks_set_back"]

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
        self._sender: _Sender | None = None

    def announce(self, signal: blinker.Signal, sender: object, **payload: Any) -> None:
        """Send *signal* soon; at once where the clock drives everything inline."""
        if not signal.receivers:
            return
        if self._inline:
            _send(signal, sender, payload)
            return
        if self._sender is None:
            self._sender = _Sender(self.LIMIT)
            self._sender.start()
        try:
            self._sender.queue.put_nowait((signal, sender, payload))
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """End the thread once it has sent what waits; a receiver that blocks it for longer keeps it."""
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.closing = True
            with contextlib.suppress(queue.Full):  # then it ends when it has sent all that waits
                sender.queue.put_nowait(None)
            sender.join(1)


class _Sender(threading.Thread):
    def __init__(self, limit: int) -> None:
        super().__init__(name="task-events", daemon=True)
        self.queue: queue.Queue[tuple[blinker.Signal, Any, dict[str, Any]] | None] = queue.Queue(limit)
        self.closing = False

    def run(self) -> None:
        while (item := self.queue.get()) is not None:
            _send(*item)
            if self.closing and self.queue.empty():
                return


def _send(signal: blinker.Signal, sender: object, payload: dict[str, Any]) -> None:
    for receiver in signal.receivers_for(sender):
        try:
            receiver(sender, **payload)
        except BaseException:
            logger.exception("A receiver of the signal %r raised; nothing else is affected", signal)
