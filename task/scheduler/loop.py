"""The loop: passes, and the waits between them."""

from __future__ import annotations

import datetime
import os
import threading
from collections.abc import Callable

from task.clock import Clock, LoopHandle
from task.log import logger
from task.runs import Cause
from task.scheduler.watch import KEPT, Gap

__all__ = ["LONGEST_WAIT", "Loop"]

#: The loop never waits longer without looking at the clocks. Seconds.
LONGEST_WAIT = 30.0

#: A pass that begins so much later than it was to is noted. Seconds.
OVERSLEPT = 0.05

#: A loop that is so late for its published beat counts as blocked. Seconds.
BEAT_GRACE = 5.0


class Loop:
    """Makes passes until it is stopped; a new one is made for each start.

    ``make_pass()`` does what is due, and ``first_due()`` says when something is due next. *lock* guards
    what the passes and everybody else change; `wake` and ``first_due()`` are called with it held.
    """

    def __init__(
        self,
        clock: Clock,
        lock: threading.Lock,
        make_pass: Callable[[], None],
        first_due: Callable[[], datetime.datetime | None],
    ) -> None:
        self.pid = os.getpid()
        self.stopping = False
        self._clock = clock
        self._lock = lock
        self._changed = threading.Condition(lock)
        self._make_pass = make_pass
        self._first_due = first_due
        #: Something came that is due earlier than the last pass knew.
        self.woken = False
        #: Seconds. A clock that nobody can set needs no looks at it between what is due.
        self.longest_wait = LONGEST_WAIT
        self._beat_due = clock.monotonic() + LONGEST_WAIT
        self._handle: LoopHandle | None = None
        #: The newest passes that began late, for all that the loop has done: its thread got no time.
        self.overslept: tuple[Gap, ...] = ()

    def start(self, name: str) -> None:
        """Start making passes, on a daemon thread where the clock uses threads."""
        self._handle = self._clock.start(self, name)

    def stop(self, timeout: float) -> None:
        """Make no more passes, and wait for the one under way, at most *timeout* seconds."""
        with self._lock:  # not the condition: what Ctrl-C raises in the code of that may leave it locked for ever
            self.stopping = True
            self._changed.notify_all()
        if self._handle is not None and self._handle is not threading.current_thread():
            self._handle.join(timeout)

    def wake(self) -> None:
        """Something is due earlier than the loop knows: end its wait. The lock is held."""
        self.woken = True
        self._changed.notify_all()

    def is_running(self) -> bool:
        """Whether it makes passes in this process."""
        alive = self._handle is not None and self._handle.is_alive()
        return alive and not self.stopping and self.pid == os.getpid()

    def ailment(self) -> str | None:
        """What is wrong with it, computed at this moment; None when nothing is."""
        if self.pid != os.getpid():
            return f"forked: the loop runs in process {self.pid}, not in this one ({os.getpid()})"
        if self.stopping or self._handle is None:
            return "the loop is not running"
        if not self._handle.is_alive():
            return "the loop's thread is dead"
        late = self._clock.monotonic() - self._beat_due
        if late > BEAT_GRACE:
            return f"the loop has been blocked for {late:.0f} seconds"
        return None

    def loop(self) -> None:
        """Make passes and wait between them, until `stop`."""
        while not self.stopping:
            try:
                seconds = self.run_due()
            except BaseException:
                logger.exception("A pass of the scheduler's loop failed; the loop goes on")
                seconds = 1.0
            with self._changed:
                if not self.woken and not self.stopping:
                    self._clock.wait(self._changed, seconds)

    def run_due(self) -> float:
        """Make one pass, and publish when the next is due."""
        if (late := self._clock.monotonic() - self._beat_due) >= OVERSLEPT:
            self.overslept = (*self.overslept[1 - KEPT :], Gap(self._clock.now(), late, Cause.PROCESSOR))
        self._make_pass()
        with self._changed:
            self.woken = False
            first = self._first_due()
        seconds = self.longest_wait
        if first is not None:
            seconds = min(seconds, max(0.0, (first - self._clock.now()).total_seconds()))
        self._beat_due = self._clock.monotonic() + seconds
        return seconds
