"""The time: what a scheduler needs of a clock, and the machine's own.

Nothing else in `task` reads the time, so that a test can put another clock in its place
(`task.testing.VirtualClock`).
"""

from __future__ import annotations

import contextlib
import datetime
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, ClassVar, Protocol

__all__ = [
    "Clock",
    "Driven",
    "Interruption",
    "LoopHandle",
    "ProcessClock",
    "SystemClock",
    "as_local",
    "duration_text",
    "in_zone",
    "is_machines",
]


class Driven(Protocol):
    """What a clock drives: one scheduler loop."""

    #: Something came since the last pass that is due earlier than it knew.
    woken: bool

    def loop(self) -> None:
        """Make passes and wait between them, until told to stop."""

    def run_due(self) -> float:
        """Make one pass; the seconds to wait before the next."""


class LoopHandle(Protocol):
    """A loop that a clock has started."""

    def is_alive(self) -> bool:
        """Whether the loop still makes passes."""

    def join(self, timeout: float | None = None) -> None:
        """Wait until the loop has ended, at most *timeout* seconds."""


class Clock(Protocol):
    """The time, and the way to wait for it."""

    @property
    def inline(self) -> bool:
        """Whether it drives loops and bodies itself, in the thread that moves it."""

    def now(self) -> datetime.datetime:
        """The wall time, as an aware UTC moment."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start, never stepped: what elapsed time is measured with."""

    def slept(self) -> float | None:
        """For how many seconds, since an arbitrary start, the machine has slept; None where that is not known.

        `monotonic` does not count them.
        """

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """Wait on the held *condition* for a notification, at most *seconds*."""

    def start(self, driven: Driven, name: str) -> LoopHandle:
        """Start driving a loop, on a daemon thread called *name* where the clock uses threads."""


class SystemClock:
    """The machine's clock.

    >>> from task.clock import SystemClock
    >>> SystemClock().now().tzinfo
    datetime.timezone.utc
    """

    inline = False

    def now(self) -> datetime.datetime:
        # Looked up in the module at each call, so that tools that replace `datetime.datetime` are seen.
        return datetime.datetime.now(datetime.UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def slept(self) -> float | None:
        if sys.platform != "linux":
            return None
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        condition.wait(seconds)

    def start(self, driven: Driven, name: str) -> LoopHandle:
        thread = threading.Thread(target=driven.loop, name=name, daemon=True)
        thread.start()
        return thread


class ProcessClock:
    """The clock of managers that were given none: the machine's, but where a test has put another in its place.

    What waits for the machine itself (a database, a process) goes by `SystemClock` at all times.

    >>> from task.clock import ProcessClock
    >>> ProcessClock().inline
    False
    """

    #: What stands in the place of the machine's clock, in this process.
    instead: ClassVar[Clock | None] = None

    _machine: ClassVar[Clock] = SystemClock()

    @property
    def inline(self) -> bool:
        """That of the clock that it goes by now."""
        return (ProcessClock.instead or self._machine).inline

    def now(self) -> datetime.datetime:
        # As `SystemClock` does it, without asking that: several times for each run.
        instead = ProcessClock.instead
        return datetime.datetime.now(datetime.UTC) if instead is None else instead.now()

    def monotonic(self) -> float:
        instead = ProcessClock.instead
        return time.monotonic() if instead is None else instead.monotonic()

    def slept(self) -> float | None:
        return (ProcessClock.instead or self._machine).slept()

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        (ProcessClock.instead or self._machine).wait(condition, seconds)

    def start(self, driven: Driven, name: str) -> LoopHandle:
        return (ProcessClock.instead or self._machine).start(driven, name)

    @property
    def executors(self) -> Any:
        """What makes the executors of a manager, where the clock has an own mind about that."""
        return getattr(ProcessClock.instead or self._machine, "executors")  # noqa: B009 - or AttributeError


class Interruption:
    """Ctrl-C, while a clock drives schedulers in the main thread: guards and bodies may keep what it raises.

    So it is remembered, and raised again by `check`, which the clock calls between what it drives.

    >>> interruption = Interruption()
    >>> with interruption.watched():
    ...     interruption.came
    False
    """

    def __init__(self) -> None:
        self.came = False

    def check(self) -> None:
        """Raise `KeyboardInterrupt`, if it has come."""
        if self.came:
            raise KeyboardInterrupt

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        signal.default_int_handler(number, frame)

    @contextlib.contextmanager
    def watched(self) -> Iterator[Interruption]:
        """Look out for it, where nobody has a mind of their own about Ctrl-C."""
        here = threading.current_thread() is threading.main_thread()
        if not here or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield self
            return
        signal.signal(signal.SIGINT, self._remember)
        try:
            yield self
            self.check()
        finally:
            self.came = False
            if signal.getsignal(signal.SIGINT) == self._remember:
                signal.signal(signal.SIGINT, signal.default_int_handler)


def is_machines(clock: Clock) -> bool:
    """Whether a clock is the machine's own, by which what other processes tell is timed, too.

    >>> is_machines(SystemClock())
    True
    """
    return isinstance(clock, SystemClock) or (isinstance(clock, ProcessClock) and ProcessClock.instead is None)


def as_local(moment: datetime.datetime) -> datetime.datetime:
    """A moment as `schedule` keeps it: naive, in the zone of the process."""
    return moment.astimezone().replace(tzinfo=None)


def in_zone(moment: datetime.datetime, zone: datetime.tzinfo | None = None) -> datetime.datetime:
    """A moment in a zone, by default that of the process; as it is where that would not be in the years 1 to 9999.

    >>> last = datetime.datetime(9999, 12, 31, 23, tzinfo=datetime.UTC)
    >>> in_zone(last, datetime.timezone(datetime.timedelta(hours=14))) is last
    True
    """
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return moment


_UNITS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))


def duration_text(seconds: float) -> str:
    """So many seconds, in two units at most.

    >>> [duration_text(value) for value in (0.0004, 0.25, 0.9996, 12.34, 59.97, 75, 3_700, 200_000)]
    ['0 ms', '250 ms', '1.0 s', '12.3 s', '1 min', '1 min 15 s', '1 h 1 min', '2 d 7 h']
    """
    if seconds < 0.9995:
        return f"{seconds * 1_000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    size, name, smaller, smaller_name = next(unit for unit in _UNITS if whole >= unit[0])
    rest = whole % size // smaller
    return f"{whole // size} {name}" + (f" {rest} {smaller_name}" if rest else "")
