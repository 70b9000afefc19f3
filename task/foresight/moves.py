"""What becomes of the slots of one task: those that appear, vanish, or move to another time of their day."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import schedule

from task.clock import in_zone
from task.overview import zone_of

__all__ = ["Moves", "Shift", "compared"]

Moment = datetime.datetime

#: So many slots, and so many kinds of moves, are kept as examples.
EXAMPLES = 5

#: So many kinds of moves are told apart; the others are counted.
_KINDS = 1_000


class Shift(NamedTuple):
    """Slots of one time of day that come at another."""

    #: The times of day, in the zone of the schedule: ``02:00``, ``03:00``.
    was: str
    now: str
    #: On how many days.
    times: int
    #: The first slot that moves, where it was.
    first: Moment


class Moves(NamedTuple):
    """How the slots of a task change: how many there were and are, and what becomes of them.

    On a day on which as many slots vanish as appear, they have moved.
    """

    were: int = 0
    are: int = 0
    appear: int = 0
    vanish: int = 0
    move: int = 0
    #: The first of those that appear and vanish, in the zone of the schedule; at most 5.
    appearing: tuple[Moment, ...] = ()
    vanishing: tuple[Moment, ...] = ()
    #: The most frequent moves; at most 5.
    shifts: tuple[Shift, ...] = ()

    @property
    def any(self) -> bool:
        """Whether any slot is not where it was."""
        return bool(self.appear or self.vanish or self.move)


def compared(old: Iterator[Moment], new: Iterator[Moment], job: schedule.Job | None) -> Moves:
    """What becomes of the slots *old* when there are the slots *new*, ascending; days are those of the job's zone."""
    zone = None if job is None else zone_of(job)
    were = are = appear = vanish = move = 0
    appearing: list[Moment] = []
    vanishing: list[Moment] = []
    shifts: dict[tuple[str, str], Shift] = {}
    different = _apart(old, new)
    for _, day in itertools.groupby(different, key=lambda one: in_zone(one[0], zone).date()):
        gone: list[Moment] = []
        come: list[Moment] = []
        for slot, before, after in day:
            were, are = were + before, are + after
            if before != after:
                (gone if before else come).append(in_zone(slot, zone))
        if len(gone) == len(come):
            move += len(gone)
            _count(shifts, gone, come)
            continue
        appear, vanish = appear + len(come), vanish + len(gone)
        appearing += come[: EXAMPLES - len(appearing)]
        vanishing += gone[: EXAMPLES - len(vanishing)]
    most = sorted(shifts.values(), key=lambda one: -one.times)[:EXAMPLES]
    return Moves(were, are, appear, vanish, move, tuple(appearing), tuple(vanishing), tuple(most))


def _apart(old: Iterator[Moment], new: Iterator[Moment]) -> Iterator[tuple[Moment, bool, bool]]:
    """Every slot of both, ascending, each with whether it was and whether it is."""
    before, after = next(old, None), next(new, None)
    while before is not None or after is not None:
        slot = min(one for one in (before, after) if one is not None)
        was, now = before == slot, after == slot
        yield slot, was, now
        before = next(old, None) if was else before
        after = next(new, None) if now else after


def _count(shifts: dict[tuple[str, str], Shift], gone: list[Moment], come: list[Moment]) -> None:
    for was, now in zip(gone, come, strict=True):
        times = _time(was), _time(now)
        known = shifts.get(times)
        if known is not None:
            shifts[times] = known._replace(times=known.times + 1)
        elif len(shifts) < _KINDS:
            shifts[times] = Shift(*times, 1, was)


def _time(local: Moment) -> str:
    if local.microsecond:
        return f"{local:%H:%M:%S.%f}"
    return f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
