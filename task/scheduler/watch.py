"""Watching the wall clock: it may be set, and the machine may sleep."""

from __future__ import annotations

import datetime

from task.clock import Clock

__all__ = ["LONGEST_LEAD", "STEP", "ClockWatch"]

Moment = datetime.datetime

#: A difference between wall and monotonic clock that counts as a step. Seconds.
STEP = 1.0

#: A wall clock that went back further had been wrong before: there is nothing to stay ahead for.
LONGEST_LEAD = datetime.timedelta(days=1)

_ZERO = datetime.timedelta(0)


class ClockWatch:
    """Compares the wall clock with the monotonic one, and keeps what intervals are ahead by.

    Moments of intervals never go back: after the wall clock went back by an hour they go on at their
    elapsed rate, an hour ahead of it. That hour is the *lead*.
    """

    __slots__ = ("_clock", "_seen", "lead")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: tuple[Moment, float] | None = None
        self.lead = _ZERO

    def elapsed_now(self) -> Moment:
        """Now, as intervals count it: the wall time and the lead, a step that nobody has seen yet included."""
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        return wall + self._after(self._jump(wall, monotonic))

    def look(self) -> tuple[Moment, float]:
        """The wall time, and by how many seconds it has jumped since the last look (0.0: it has not)."""
        # Wall first: a pause between the two readings then makes the wall look behind, never ahead.
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        jump = self._jump(wall, monotonic)
        self._seen = (wall, monotonic)
        return wall, jump

    def follow(self, jump: float) -> bool:
        """Adjust the lead to a jump; whether the clock had been wrong before, so that all begins from now."""
        wrong = self.lead - datetime.timedelta(seconds=jump) > LONGEST_LEAD
        self.lead = self._after(jump)
        return wrong

    def _jump(self, wall: Moment, monotonic: float) -> float:
        if self._seen is None:
            return 0.0
        jump = (wall - self._seen[0]).total_seconds() - (monotonic - self._seen[1])
        return jump if abs(jump) >= STEP else 0.0

    def _after(self, jump: float) -> datetime.timedelta:
        lead = max(_ZERO, self.lead - datetime.timedelta(seconds=jump))
        return _ZERO if lead > LONGEST_LEAD else lead
