"""What a run has waited for, from its slot to the start of its body."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["LATE", "NO_DELAYS", "Cause", "Waits"]

#: A run that starts so much after its slot is late, and its `Run.delays` say why. Seconds.
LATE = 0.1

#: Of a run that was on time, which most are: one for all of them.
NO_DELAYS: Mapping[str, float] = {}

#: What counts for so little is told with what counted most. Seconds.
_LITTLE = 0.001


class Cause:
    """What delays runs, in words. Those of places (`task.pipeline.lateness`) name who had them."""

    NOT_RUNNING = "manager not running"
    ASLEEP = "machine asleep"
    STEP = "clock step"
    #: Where the system does not tell the two apart.
    ASLEEP_OR_STEP = "machine asleep or clock step"
    #: It was asked for.
    JITTER = "jitter"
    ONLY_IF = "only_if"
    LOOP = "scheduler loop busy"
    LEDGER = "ledger"
    #: ``overlap="queue"`` and ``"cancel_previous"``; and ``misfire="all"``, whose late slots run one by one.
    RUN_BEFORE = "its run before"
    #: Its own had died or stopped before it, or it was asked for by one that runs nothing.
    NO_PROCESS = "no process could run it"
    #: A thread that was wanted got no time: another one held the interpreter, or the machine has too much to do.
    PROCESSOR = "processor busy"


class Waits:
    """Adds up what a run has waited for, in elapsed seconds, while it has not started.

    >>> waits = Waits(Cause.LEDGER, 10.0)
    >>> waits.turn("serial worker busy", 10.5)
    >>> waits.parts
    {'ledger': 0.5}
    """

    __slots__ = ("cause", "parts", "since")

    def __init__(self, cause: str, since: float, parts: Mapping[str, float] = NO_DELAYS) -> None:
        #: What it waits for now, and since when (monotonic seconds).
        self.cause = cause
        self.since = since
        self.parts = dict(parts)

    def turn(self, cause: str, now: float) -> None:
        """From now on it waits for something else."""
        self.add(self.cause, now - self.since)
        self.cause, self.since = cause, now

    def add(self, cause: str, seconds: float) -> None:
        """It has waited so long for that."""
        if seconds:
            self.parts[cause] = self.parts.get(cause, 0.0) + seconds

    def told(self, lateness: float) -> dict[str, float]:
        """The causes, the gravest first; their seconds add up to *lateness*."""
        kept = {cause: seconds for cause, seconds in self.parts.items() if abs(seconds) >= _LITTLE}
        gravest = max(kept, key=lambda cause: abs(kept[cause]), default=Cause.PROCESSOR)
        kept[gravest] = lateness - sum(seconds for cause, seconds in kept.items() if cause != gravest)
        return {cause: round(kept[cause], 6) for cause in sorted(kept, key=lambda one: -abs(kept[one]))}
