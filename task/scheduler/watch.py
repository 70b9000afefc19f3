"""Watching the wall clock: it may be set, and the machine may sleep."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from task.clock import Clock
from task.runs import Cause

__all__ = ["KEPT", "LONGEST_LEAD", "STEP", "ClockWatch", "Gap"]

Moment = datetime.datetime

#: A difference between wall and monotonic clock that counts as a step. Seconds.
STEP = 1.0

#: Readings of the two clocks that lie no further apart count as one. Seconds.
AT_ONCE = STEP / 10

#: A wall clock that went back further had been wrong before: there is nothing to stay ahead for.
LONGEST_LEAD = datetime.timedelta(days=1)

#: So many of the latest gaps are kept, and jumps for so long: as long as there are any, runs note when they come.
KEPT = 16
KEPT_FOR = datetime.timedelta(hours=1)

_ZERO = datetime.timedelta(0)


class Gap(NamedTuple):
    """A span of wall time in which the loop could do nothing."""

    #: When it was seen (wall time): its end, as far as that can be told.
    until: Moment
    #: Its length; less than none where the clock was set back.
    seconds: float
    #: What it was (`Cause`).
    cause: str

    def within(self, start: Moment, end: Moment) -> float:
        """How much of the time from *start* to *end* it takes. Seconds."""
        began = self.until - datetime.timedelta(seconds=max(0.0, self.seconds))
        return max(0.0, (min(end, self.until) - max(start, began)).total_seconds())


class ClockWatch:
    """Compares the wall clock with the monotonic one, and keeps what intervals are ahead by.

    Moments of intervals never go back: after the wall clock went back by an hour they go on at their
    elapsed rate, an hour ahead of it. That hour is the *lead*.
    """

    __slots__ = ("_clock", "_seen", "_slept", "jumps", "lead")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: tuple[Moment, float] | None = None
        self._slept: float | None = None
        self.lead = _ZERO
        #: The latest jumps that were seen.
        self.jumps: tuple[Gap, ...] = ()

    def elapsed_now(self) -> Moment:
        """Now, as intervals count it: the wall time and the lead, a step that nobody has seen yet included."""
        wall, monotonic = self._read()
        return wall + self._after(self._jump(wall, monotonic))

    def look(self) -> tuple[Moment, float]:
        """The wall time, and by how many seconds it has jumped since the last look (0.0: it has not)."""
        wall, monotonic = self._read()
        jump = self._jump(wall, monotonic)
        if jump:
            self.jumps = (*self.jumps[1 - KEPT :], Gap(wall, jump, self._cause_of(jump)))
        if jump or self._seen is None:
            self._slept = self._clock.slept()
        if self.jumps and wall - self.jumps[0].until > KEPT_FOR:
            self.jumps = self.jumps[1:]
        self._seen = (wall, monotonic)
        return wall, jump

    def known_jumps(self) -> tuple[Gap, ...]:
        """The latest jumps, one that nobody has seen yet included."""
        wall, monotonic = self._read()
        jump = self._jump(wall, monotonic)
        return (*self.jumps, Gap(wall, jump, self._cause_of(jump))) if jump else self.jumps

    def _cause_of(self, jump: float) -> str:
        slept = self._clock.slept()
        if jump < 0:
            return Cause.STEP
        if slept is None or self._slept is None:
            return Cause.ASLEEP_OR_STEP
        return Cause.ASLEEP if slept - self._slept > jump / 2 else Cause.STEP

    def follow(self, jump: float) -> bool:
        """Adjust the lead to a jump; whether the clock had been wrong before, so that all begins from now."""
        wrong = self.lead - datetime.timedelta(seconds=jump) > LONGEST_LEAD
        self.lead = self._after(jump)
        return wrong

    def _read(self) -> tuple[Moment, float]:
        """Both clocks at one moment: a process that was stopped between the two would see a step."""
        before = self._clock.monotonic()
        while True:
            wall, monotonic = self._clock.now(), self._clock.monotonic()
            if monotonic - before < AT_ONCE:
                return wall, monotonic
            before = monotonic

    def _jump(self, wall: Moment, monotonic: float) -> float:
        if self._seen is None:
            return 0.0
        jump = (wall - self._seen[0]).total_seconds() - (monotonic - self._seen[1])
        return jump if abs(jump) >= STEP else 0.0

    def _after(self, jump: float) -> datetime.timedelta:
        lead = max(_ZERO, self.lead - datetime.timedelta(seconds=jump))
        return _ZERO if lead > LONGEST_LEAD else lead
