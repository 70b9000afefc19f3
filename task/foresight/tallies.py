"""What is counted while a forecast is made: bounded, however many runs there are."""

from __future__ import annotations

import collections
import datetime
import math
from collections.abc import Iterable, Mapping

from task.clock import in_zone
from task.foresight.clock import Bodies
from task.foresight.values import Collision, Hour
from task.runs import Run, RunState

__all__ = ["Figures", "Observer", "Tally"]

Moment = datetime.datetime

HOUR = 3_600_000_000
MINUTE = 60_000_000
SECOND = 1_000_000

#: So many different values of one figure are kept as they are; of more, a thousandth of each is rounded away.
DISTINCT = 4_096

#: So many moments, and so many groups of tasks, are kept while collisions are counted.
MOMENTS = 256
GROUPS = 20_000

#: So many collisions are told of.
COLLISIONS = 20

#: So many causes of lateness are told apart.
CAUSES = 50

SKIPPED, RUNNING = RunState.SKIPPED, RunState.RUNNING
_FAILED = (RunState.FAILED, RunState.TIMED_OUT)

_MICROSECOND = datetime.timedelta(microseconds=1)


class Figures:
    """Many values of one figure: how often there was which."""

    __slots__ = ("counts", "rounds")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        #: There are too many different ones.
        self.rounds = False

    def add(self, value: int) -> None:
        """One more; microseconds."""
        if self.rounds:
            value = _rounded(value)
        counts = self.counts
        counts[value] = counts.get(value, 0) + 1
        if len(counts) > DISTINCT and not self.rounds:
            self.rounds = True
            self.counts = {}
            for one, count in counts.items():
                self.counts[_rounded(one)] = self.counts.get(_rounded(one), 0) + count

    def percentile(self, share: float) -> float | None:
        """By nearest rank, in seconds; None without values."""
        left = math.ceil(share * sum(self.counts.values()))
        for value in sorted(self.counts):
            left -= self.counts[value]
            if left <= 0:
                return value / 1e6
        return None


def _rounded(value: int) -> int:
    """To a thousandth, downwards."""
    shift = value.bit_length() - 11
    return value if shift <= 0 else value >> shift << shift


class Tally:
    """What one task has come to."""

    __slots__ = ("busy", "delays", "ends", "late", "lateness", "latest", "skips", "slots", "starts", "waited")

    def __init__(self) -> None:
        self.slots = self.waited = self.starts = self.busy = self.late = 0
        self.delays: dict[str, float] = {}
        self.latest: int | None = None
        self.lateness = Figures()
        self.ends: collections.Counter[RunState] = collections.Counter()
        self.skips: collections.Counter[str] = collections.Counter()

    def delayed(self, causes: Mapping[str, float], runs: int) -> None:
        """So many runs were late for these causes, so many seconds each."""
        for cause, seconds in causes.items():
            kept = cause if cause in self.delays or len(self.delays) < CAUSES else "other causes"
            self.delays[kept] = self.delays.get(kept, 0.0) + seconds * runs


class Observer:
    """Looks on while a forecast is made."""

    def __init__(self, since: Moment, until: Moment, names: Iterable[str], bodies: Bodies) -> None:
        self.since = since
        #: They have the time.
        self._bodies = bodies
        span = (until - since) // _MICROSECOND
        local = in_zone(since)
        #: How far *since* is into the hour that the clock shows here: an hour is told as people see it.
        self._hour_into = local.minute * MINUTE + local.second * SECOND + local.microsecond
        hours = max(1, -(-(span + self._hour_into) // HOUR))
        self.tallies = {name: Tally() for name in names}
        self._starts, self._busy, self._late = [0] * hours, [0] * hours, [0] * hours
        self._failed, self._refused = [0] * hours, [0] * hours
        self._last = hours - 1
        #: How far *since* is into its minute, and the minute that is being counted.
        self._into = since.second * SECOND + since.microsecond
        self._minute, self._in_minute = 0, 0
        self._worst: tuple[int, int] | None = None
        self._at_once = 0
        self._most: tuple[int, int] | None = None
        self._together: dict[Moment, list[str]] = {}
        self._groups: dict[tuple[str, ...], tuple[Moment, int]] = {}

    # What happens.

    def due(self, run: Run) -> None:
        """A slot was claimed, or refused."""
        slot = run.slot
        if slot is not None:
            self.tallies[run.task].slots += 1
            together = self._together.get(slot)
            if together is None:
                if len(self._together) >= MOMENTS:
                    self._count_oldest()
                self._together[slot] = [run.task]
            else:
                together.append(run.task)
        if run.state is SKIPPED:
            self.refused(run)

    def refused(self, run: Run) -> None:
        """A guard has refused it."""
        tally = self.tallies[run.task]
        tally.skips[run.reason or ""] += 1
        tally.ends[SKIPPED] += 1
        self._refused[self._hour()] += 1

    def missed(self, task: str, count: int) -> None:
        """Slots have passed."""
        self.tallies[task].slots += count
        self.tallies[task].ends[RunState.MISSED] += count
        self._refused[self._hour()] += count

    def _hour(self) -> int:
        return min((self._bodies.micros + self._hour_into) // HOUR, self._last)

    def started(self, run: Run, now: Moment) -> None:
        """A run begins with its first attempt."""
        tally, hour = self.tallies[run.task], self._hour()
        tally.starts += 1
        self._starts[hour] += 1
        if run.waited or run.queued_at != now:
            tally.waited += 1
        slot = run.slot
        if slot is not None:
            late = 0 if now == slot else (now - slot) // _MICROSECOND
            tally.lateness.add(late)
            if tally.latest is None or late > tally.latest:
                tally.latest = late
            if late > SECOND:
                self._late[hour] += 1
        minute = (self._bodies.micros + self._into) // MINUTE
        if minute != self._minute:
            self._close_minute()
            self._minute, self._in_minute = minute, 0
        self._in_minute += 1

    def _close_minute(self) -> None:
        if self._in_minute and (self._worst is None or self._in_minute > self._worst[1]):
            self._worst = self._minute, self._in_minute

    def ended(self, run: Run) -> None:
        """A run has its final state."""
        state = run.state
        self.tallies[run.task].ends[state] += 1
        if state in _FAILED:
            self._failed[self._hour()] += 1

    def body_began(self) -> None:
        """One more body runs."""
        self._at_once += 1
        if self._most is None or self._at_once > self._most[1]:
            self._most = self._bodies.micros, self._at_once

    def body_ended(self, tally: Tally, began: int) -> None:
        """One has ended, or the forecast has."""
        self._at_once -= 1
        ended = self._bodies.micros
        tally.busy += ended - began
        began, ended = began + self._hour_into, ended + self._hour_into
        hour, last = min(began // HOUR, self._last), self._hour()
        while hour < last:
            end = (hour + 1) * HOUR
            self._busy[hour] += end - began
            hour, began = hour + 1, end
        self._busy[hour] += ended - began

    def _count_oldest(self) -> None:
        slot = min(self._together)
        tasks = self._together.pop(slot)
        if len(tasks) < 2:
            return
        group = tuple(sorted(tasks))
        known = self._groups.get(group)
        if known is not None or len(self._groups) < GROUPS:
            self._groups[group] = (slot, 1) if known is None else (known[0], known[1] + 1)

    # What is told of it.

    def hours(self) -> tuple[Hour, ...]:
        """Each hour."""
        hour, first = datetime.timedelta(hours=1), self.since - self._hour_into * _MICROSECOND
        figures = zip(self._starts, self._busy, self._late, self._failed, self._refused, strict=True)
        return tuple(
            Hour(first + index * hour, starts, busy / 1e6, late, failed, refused)
            for index, (starts, busy, late, failed, refused) in enumerate(figures)
        )

    def collisions(self) -> tuple[Collision, ...]:
        """The groups of tasks that come due together most often."""
        while self._together:
            self._count_oldest()
        found = sorted(self._groups.items(), key=lambda one: (-one[1][1], -len(one[0]), one[1][0], one[0]))
        return tuple(Collision(at, tasks, times) for tasks, (at, times) in found[:COLLISIONS])

    def worst_minute(self) -> tuple[Moment, int] | None:
        """The minute in which most runs start."""
        self._close_minute()
        if self._worst is None:
            return None
        minute, count = self._worst
        return self.since + datetime.timedelta(microseconds=minute * MINUTE - self._into), count

    def most_at_once(self) -> tuple[Moment, int] | None:
        """The most bodies at once."""
        return None if self._most is None else (self.since + self._most[0] * _MICROSECOND, self._most[1])
