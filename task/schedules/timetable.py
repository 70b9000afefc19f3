"""The timetable of one task: its schedules side by side, and what is due at a moment.

It is plain data and arithmetic: no clock, no lock, no thread.
"""

from __future__ import annotations

import collections
import copy
import datetime
import heapq
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import schedule

from task.schedules.slots import follows_elapsed_time, is_random, newest_slot, next_slot, period_of

__all__ = ["COUNT_LIMIT", "Due", "Line", "Misfire", "Missed", "Timetable", "walk"]

Moment = datetime.datetime
Misfire = Literal["latest", "skip", "all"]

#: Slots that were missed in one span are counted exactly up to here.
COUNT_LIMIT = 1_000

#: How many late slots ``misfire="all"`` runs, counted from the newest.
CATCH_UP_LIMIT = 100

_TICK = datetime.timedelta(microseconds=1)
_NONE = datetime.timedelta(0)
_GALLOP = datetime.timedelta(seconds=1)


class Line:
    """One schedule of a task: the live Job, its anchor, and the next slot that has no outcome yet."""

    __slots__ = ("anchor", "elapsed", "job", "named", "next", "period", "seed")

    def __init__(self, job: schedule.Job, anchor: Moment, seed: str) -> None:
        self.job = job
        self.anchor = anchor
        self.seed = seed
        self.elapsed = follows_elapsed_time(job)
        #: The distance from slot to slot where that is all there is to it: the common case, kept fast.
        plain = self.elapsed and job.at_time is None and job.latest is None and job.cancel_after is None
        self.period = period_of(job) if plain else None
        self.named = (job,)
        self.next: Moment | None = None

    def after(self, moment: Moment) -> Moment | None:
        """The first slot later than *moment*."""
        return next_slot(self.job, moment, anchor=self.anchor, seed=self.seed)

    def later(self, slot: Moment) -> Moment | None:
        """The slot after one that was missed. What ``.to()`` draws has none: it begins again from now."""
        return None if is_random(self.job) else self.after(slot)

    def newest(self, until: Moment) -> Moment:
        """The newest slot up to *until*, where the next slot is no later than that."""
        assert self.next is not None
        if is_random(self.job):
            return self.next
        return newest_slot(self.job, self.next, until, anchor=self.anchor, seed=self.seed)

    def beyond(self, slot: Moment, until: Moment) -> Moment | None:
        """The slot after *slot*; what ``.to()`` draws begins again at *until* where it would be earlier."""
        following = self.after(slot)
        if following is not None and following <= until and is_random(self.job):
            return self.after(until)
        return following


class Missed:
    """A span of slots that passed without a run. Count and last slot are found when somebody asks."""

    __slots__ = ("_found", "before", "first", "lines")

    def __init__(self, first: Moment, before: Moment, lines: Iterable[Line]) -> None:
        self.first = first
        self.before = before
        self.lines = [copy.copy(line) for line in lines]  # at their first slot: the live ones move on
        self._found: tuple[int, Moment] | None = None

    @classmethod
    def one(cls, slot: Moment) -> Missed:
        """The span of one slot."""
        missed = cls(slot, slot + _TICK, ())
        missed._found = 1, slot
        return missed

    @property
    def count(self) -> int:
        """How many slots: exact up to `COUNT_LIMIT`, else one more than it, for "more than 1 000"."""
        return self._find()[0]

    @property
    def last(self) -> Moment:
        """The newest slot of the span."""
        return self._find()[1]

    def _find(self) -> tuple[int, Moment]:
        if self._found is None:
            count, last = 0, self.first
            until = self.before - _TICK
            for slot in _merge(((line.next, line, until) for line in self.lines), Line.later):
                count, last = count + 1, slot
                if count > COUNT_LIMIT:
                    last = max(line.newest(until) for line in self.lines if line.next and line.next <= until)
                    break
            self._found = count, last
        return self._found


class Due:
    """What is due: the slot to run (None: nothing), the Jobs that named it, and what was missed before it."""

    __slots__ = ("jobs", "late", "missed", "slot")

    def __init__(self, slot: Moment | None, jobs: tuple[schedule.Job, ...], missed: Missed | None, late: bool) -> None:
        self.slot = slot
        self.jobs = jobs
        self.missed = missed
        self.late = late


class Timetable:
    """The schedules of one task."""

    __slots__ = ("behind", "grace", "jitter", "lines", "misfire", "seed")

    def __init__(
        self,
        seed: str = "",
        *,
        misfire: Misfire = "latest",
        grace: datetime.timedelta = datetime.timedelta(seconds=60),
        jitter: float = 0.0,
    ) -> None:
        self.seed = seed
        self.misfire = misfire
        self.grace = grace
        self.jitter = jitter
        self.lines: list[Line] = []
        #: ``misfire="all"`` has more late slots to run: the next is due when the run before has ended.
        self.behind = False

    def add(self, job: schedule.Job, anchor: Moment, after: Moment) -> Line:
        """Add a schedule whose first slot is the first later than *after*."""
        line = Line(job, anchor, self.seed)
        line.next = line.after(after)
        self.lines.append(line)
        return line

    def remove(self, job: schedule.Job) -> None:
        """Take a schedule out; nothing happens when it is not there."""
        self.lines = [line for line in self.lines if line.job is not job]

    def restart(self, moment: Moment) -> None:
        """Look for slots later than *moment* again: the clock was wrong, or the end of a run counts."""
        for line in self.lines:
            line.next = line.after(moment)

    def next_slot(self) -> Moment | None:
        """The next slot of all schedules."""
        return min((slot for line in self.lines if (slot := line.next) is not None), default=None)

    def due_at(self, lead: datetime.timedelta) -> Moment | None:
        """The wall time at which the next slot is due: *lead* earlier for those that follow elapsed time."""
        found: Moment | None = None
        for line in self.lines:
            slot = line.next
            if slot is None:
                continue
            if line.elapsed and lead:
                slot -= lead
            if self.jitter:
                slot += self.delay_of(line.next or slot)
            if found is None or slot < found:
                found = slot
        return found

    def delay_of(self, slot: Moment) -> datetime.timedelta:
        """By how much the jitter delays a slot."""
        if not self.jitter:
            return _NONE
        return datetime.timedelta(seconds=random.Random(f"{self.seed}|{slot}").uniform(0, self.jitter))

    def take(self, now: Moment, lead: datetime.timedelta) -> Due | None:
        """Everything that is due at *now*, once: the newest slot to run, and the older ones as missed."""
        if len(self.lines) == 1 and not lead and not self.jitter:  # the common case: one slot, nothing behind
            line = self.lines[0]
            slot = line.next
            if slot is None or slot > now:
                return None
            following = line.after(slot) if line.period is None else slot + line.period
            if (following is None or following > now) and now - slot <= self.grace:
                line.next = following
                return Due(slot, line.named, None, False)
        return self._take(now, lead)

    def _take(self, now: Moment, lead: datetime.timedelta) -> Due | None:
        steps: list[tuple[Line, Moment, Moment | None]] = []  # a line, its newest slot, the one after it
        for line, pending, limit in self._pending(now, lead):
            slot, following = pending, line.beyond(pending, limit)
            if following is not None and following <= limit:
                if self.misfire == "all":
                    self.behind = True
                    return None
                slot = line.newest(limit)
                following = line.after(slot)
            steps.append((line, slot, following))
        if not steps:
            return None
        newest = max(slot for _, slot, _ in steps)
        jobs = [line for line, slot, _ in steps if slot == newest]
        due = self._to_run(newest, jobs, [line for line, _, _ in steps], now, lead)
        for line, _, following in steps:
            line.next = following
        return due

    def take_oldest(self, now: Moment, lead: datetime.timedelta) -> Due | None:
        """For ``misfire="all"``: the oldest slot that is due, among the newest `CATCH_UP_LIMIT`.

        The older ones are missed. It may ask for thousands of slots: never call it on the loop.
        """
        pending = self._pending(now, lead)
        if not pending:
            self.behind = False
            return None
        kept = self._newest(pending, now)
        slot = kept[0]
        passed = [(line, limit) for line, first, limit in pending if first <= slot]
        named = [line for line, _ in passed if line.next == slot or line.later(slot - _TICK) == slot]
        due = self._to_run(slot, named, [line for line, _ in passed], now, lead)
        for line, limit in passed:
            line.next = line.beyond(slot, limit)
        self.behind = len(kept) > 1
        return due

    def _pending(self, now: Moment, lead: datetime.timedelta) -> list[tuple[Line, Moment, Moment]]:
        """The lines that are due, each with its next slot and the moment up to which its slots are due."""
        ahead = now + lead if lead else now
        return [
            (line, line.next, ahead if line.elapsed else now)
            for line in self.lines
            if line.next is not None and line.next <= (ahead if line.elapsed else now)
        ]

    def _to_run(self, slot: Moment, named: list[Line], lines: list[Line], now: Moment, lead: datetime.timedelta) -> Due:
        """*slot* to run, which the lines *named* have, and what was missed before it on *lines*."""
        first = min(line.next for line in lines if line.next is not None)
        late = (now + lead if named[0].elapsed else now) - slot > self.grace
        if late and self.jitter:
            late = now - slot - self.delay_of(slot) > self.grace
        jobs = tuple(line.job for line in named)
        if late and self.misfire == "skip":
            return Due(None, jobs, Missed(first, slot + _TICK, lines), late)
        return Due(slot, jobs, Missed(first, slot, lines) if first < slot else None, late)

    def _newest(self, pending: list[tuple[Line, Moment, Moment]], now: Moment) -> list[Moment]:
        """The newest slots that are due, `CATCH_UP_LIMIT` at most, oldest first."""
        oldest = min(first for _, first, _ in pending)
        width = _GALLOP
        while True:
            start = now - width
            starts = ((first if first > start else line.later(start), line, limit) for line, first, limit in pending)
            kept = collections.deque(_merge(starts, Line.later), maxlen=CATCH_UP_LIMIT)
            if len(kept) == CATCH_UP_LIMIT or start < oldest:
                return list(kept)
            width *= 4


def walk(lines: Iterable[Line], after: Moment, until: Moment) -> Iterator[Moment]:
    """Every slot of *lines* in ``(after, until]``, ascending, each moment once."""
    return _merge(((line.after(after), line, until) for line in lines), Line.after)


def _merge(
    starts: Iterable[tuple[Moment | None, Line, Moment]], step: Callable[[Line, Moment], Moment | None]
) -> Iterator[Moment]:
    """Every slot of lines, each from its start up to its end, ascending, each moment once."""
    ahead = [(slot, number, line, until) for number, (slot, line, until) in enumerate(starts) if slot is not None]
    heapq.heapify(ahead)
    last: Moment | None = None
    while ahead:
        slot, number, line, until = ahead[0]
        if slot <= until and slot != last:
            yield slot
            last = slot
        following = step(line, slot) if slot <= until else None
        if following is None:
            heapq.heappop(ahead)
        else:
            heapq.heapreplace(ahead, (following, number, line, until))
