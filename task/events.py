"""The named signals, and the one thread that sends them.

The sender of each is the `TaskManager`. What it carries beside:

==========================  ====================================================================================
signal                      carries, and when it is sent
==========================  ====================================================================================
``task_registered``         ``name``: a manager knows the task from now on
``task_removed``            ``name``: it was taken out
``task_enabled``            ``name``: its switch was turned on
``task_disabled``           ``name``, ``note``: its switch was turned off, by a person or by ``disable_after``
``run_queued``              ``run``: admitted; it waits for a place
``run_started``             ``run``: an attempt begins
``run_progress``            ``run``: its body has called ``update_progress``
``run_retrying``            ``run``, ``seconds``: an attempt failed, the next follows in so many seconds
``run_succeeded``           ``run``
``run_failed``              ``run``: with ``run.error`` and ``run.traceback``
``run_cancelled``           ``run``: before or after it started; ``run.reason`` says why
``run_timed_out``           ``run``: no attempt is left
``run_skipped``             ``run``: a guard refused a slot, call or trigger; ``run.reason`` says which
``run_missed``              ``name``, ``slot``, ``reason``: slots passed, this one first, while nothing could run them
``run_lost``                ``run``: its manager stopped, or its process died, before it ended
``run_overrunning``         ``run``: past its time limit, and its body cannot be stopped
``task_overdue``            ``name``, ``run``: a run has waited for a place for longer than its ``misfire_grace``
``incident_opened``         ``incident``, ``run``: a task is overdue, overrunning, failing or lost; by one process, once
``incident_resolved``       ``incident``, ``run``: that is over
``manager_state_changed``   ``state``: ``starting``, ``running``, ``stopping`` or ``stopped``
``clock_stepped``           ``seconds``: by how much the wall clock jumped, signed
``marks_set_back``          ``moment``: the new mark; ``names``: the tasks that it concerns
``store_failed``            ``cause``: the store cannot be reached any more: slots wait, outcomes are kept
``store_recovered``         it can be reached again
==========================  ====================================================================================

They tell of what this process does: a run elsewhere, and a switch that was turned elsewhere, are told there. Only
``run_lost`` is told by the process that finds another one dead, once; and an incident by the one that finds it first.

``task_overdue`` and ``run_overrunning`` tell of one run in this process; an incident tells of a task, over all its
processes and their restarts. ``incident_opened`` and ``incident_resolved`` carry the `Incident`, and the run that shows
it, or None.

The signals are `blinker <https://blinker.readthedocs.io/>`_'s. They go out from one thread, in the order in
which things happened, so that a receiver may block or raise without harm. A receiver is held weakly unless it
is connected with ``weak=False``: a lambda connected without that vanishes at once.

>>> from task import run_failed
>>> @run_failed.connect
... def alert(manager, run):
...     print(run.task, run.error)
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import weakref
from collections.abc import Callable
from typing import Any

import blinker

from task.log import logger

__all__ = [
    "Announcer",
    "clock_stepped",
    "incident_opened",
    "incident_resolved",
    "manager_state_changed",
    "marks_set_back",
    "run_cancelled",
    "run_failed",
    "run_lost",
    "run_missed",
    "run_overrunning",
    "run_progress",
    "run_queued",
    "run_retrying",
    "run_skipped",
    "run_started",
    "run_succeeded",
    "run_timed_out",
    "signals",
    "store_failed",
    "store_recovered",
    "task_disabled",
    "task_enabled",
    "task_overdue",
    "task_registered",
    "task_removed",
]

#: All of them, by name: ``signals["run-failed"]``.
signals = blinker.Namespace()

# What each means and carries is in the table above.
task_registered = signals.signal("task-registered")
task_removed = signals.signal("task-removed")
task_enabled = signals.signal("task-enabled")
task_disabled = signals.signal("task-disabled")
task_overdue = signals.signal("task-overdue")
run_queued = signals.signal("run-queued")
run_started = signals.signal("run-started")
run_progress = signals.signal("run-progress")
run_retrying = signals.signal("run-retrying")
run_succeeded = signals.signal("run-succeeded")
run_failed = signals.signal("run-failed")
run_cancelled = signals.signal("run-cancelled")
run_timed_out = signals.signal("run-timed-out")
run_skipped = signals.signal("run-skipped")
run_missed = signals.signal("run-missed")
run_lost = signals.signal("run-lost")
run_overrunning = signals.signal("run-overrunning")
incident_opened = signals.signal("incident-opened")
incident_resolved = signals.signal("incident-resolved")
manager_state_changed = signals.signal("manager-state-changed")
clock_stepped = signals.signal("clock-stepped")
marks_set_back = signals.signal("marks-set-back")
store_failed = signals.signal("store-failed")
store_recovered = signals.signal("store-recovered")


#: How long `Announcer.close` waits for receivers. Seconds.
CLOSE_TIMEOUT = 1.0


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
        #: The thread of before, which may have something to send yet.
        self._closed: _Sender | None = None
        self._collected: weakref.finalize[[_Sender, int], Announcer] | None = None
        #: One start, end or use of the thread at a time; what is collected meanwhile may announce something itself.
        self._changing = threading.RLock()

    def announce(self, signal: blinker.Signal, sender: object, **payload: Any) -> None:
        """Send *signal* soon; at once where the clock drives everything inline."""
        if signal.receivers:
            self.post(lambda: _send(signal, sender, payload))

    def post(self, call: Callable[[], None]) -> None:
        """Make a *call* soon, on the thread that sends the signals."""
        if self._inline:
            _make(call)
            return
        try:
            with self._changing:  # else the thread may end between the two, and nobody would make the call
                sender = self._sender or self._begin()
                sender.queue.put_nowait(call)
        except queue.Full:
            self.dropped += 1

    def _begin(self) -> _Sender:
        """The thread, started before anybody sees it: what has not started cannot be joined."""
        sender = _Sender(self.LIMIT)
        sender.start()
        self._sender = sender
        # A manager that never runs is never stopped.
        self._collected = weakref.finalize(self, _end_here, sender, os.getpid())
        self._collected.atexit = False
        return sender

    def close(self) -> None:
        """End the thread once it has sent what waits; a receiver that blocks it for longer keeps it."""
        with self._changing:
            sender, self._sender = self._sender, None
            if self._collected is not None:
                self._collected.detach()
            if sender is not None:
                self._closed = sender
        if sender is not None:
            sender.end()
            if sender is not threading.current_thread():  # a receiver may stop its manager
                sender.join(CLOSE_TIMEOUT)

    def join(self, timeout: float) -> None:
        """Wait, once it is closed, until all has been sent that was announced before: *timeout* seconds at most."""
        if self._closed is not None:
            self._closed.join(timeout)


class _Sender(threading.Thread):
    def __init__(self, limit: int) -> None:
        super().__init__(name="task-events", daemon=True)
        self.queue: queue.Queue[Callable[[], None] | None] = queue.Queue(limit)
        self.closing = False

    def end(self) -> None:
        """End once what waits is sent."""
        self.closing = True
        with contextlib.suppress(queue.Full):  # then it ends when it has sent all that waits
            self.queue.put_nowait(None)

    def run(self) -> None:
        while (call := self.queue.get()) is not None:
            _make(call)
            del call  # it holds a run
            if self.closing and self.queue.empty():
                return


def _end_here(sender: _Sender, process: int) -> None:
    if process == os.getpid():  # a forked child has not that thread, and maybe a lock that it held
        sender.end()


def _make(call: Callable[[], None]) -> None:
    try:
        call()
    except BaseException:
        logger.exception("A call on the thread of the signals failed; it goes on")


def _send(signal: blinker.Signal, sender: object, payload: dict[str, Any]) -> None:
    for receiver in signal.receivers_for(sender):
        try:
            receiver(sender, **payload)
        except BaseException:
            logger.exception("A receiver of the signal %r raised; nothing else is affected", signal)
