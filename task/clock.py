"""The time: what a scheduler needs of a clock, and the machine's own.

Nothing else in `task` reads the time, so that a test can put another clock in its place
(`task.testing.VirtualClock`).
"""

from __future__ import annotations

import datetime
import threading
import time
from typing import Protocol

__all__ = ["Clock", "Driven", "LoopHandle", "SystemClock", "as_local", "in_zone"]


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
    """The time, and the way to wait for it.

    ``inline`` is True for a clock that itself drives loops and bodies in the thread that moves it.
    """

    inline: bool

    def now(self) -> datetime.datetime:
        """The wall time, as an aware UTC moment."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start, never stepped: what elapsed time is measured with."""

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

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        condition.wait(seconds)

    def start(self, driven: Driven, name: str) -> LoopHandle:
        thread = threading.Thread(target=driven.loop, name=name, daemon=True)
        thread.start()
        return thread


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
