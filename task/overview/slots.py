"""Slots that are to come: of many schedules in order, with the nights in which a clock changes marked."""

from __future__ import annotations

import copy
import datetime
import heapq
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

import schedule

from task.clock import in_zone
from task.errors import TaskError
from task.overview.texts import moment_text, zone_of
from task.schedules import UTC, CronJob, Line, OnceJob, Zone, follows_elapsed_time, is_random, needs_zone, to_wall

__all__ = ["Ahead", "clock_change", "local_text", "upcoming"]

Moment = datetime.datetime

_TICK = datetime.timedelta(microseconds=1)


class Ahead(NamedTuple):
    """A schedule of a task, and its first slot that is to come."""

    task: str
    line: Line
    first: Moment | None
    #: Whether what follows that slot depends on when its run ends: then it is not foretold.
    once: bool = False


def upcoming(schedules: Iterable[Ahead], until: Moment | None = None) -> Iterator[tuple[Moment, str, Line]]:
    """Their slots in order, up to *until*; two of a task that fall on one moment are one.

    A schedule whose own computation fails has no more slots.
    """
    ahead = [(one.first, one.task, number, one) for number, one in enumerate(schedules) if one.first is not None]
    heapq.heapify(ahead)
    last: tuple[Moment, str] | None = None
    while ahead and (until is None or ahead[0][0] <= until):
        slot, task, number, one = ahead[0]
        if (slot, task) != last:
            yield slot, task, one.line
            last = slot, task
        following = None if one.once else _after(one.line, slot)
        if following is None:
            heapq.heappop(ahead)
        else:
            heapq.heapreplace(ahead, (following, task, number, one))


def _after(line: Line, slot: Moment) -> Moment | None:
    try:
        return line.after(slot)
    except TaskError:  # a schedule of the user's own: its task is shown as broken when that slot comes
        return None


def clock_change(line: Line, slot: Moment) -> Literal["gap", "repeated"] | None:
    """Whether the wall time of a slot is one that the change of the clock skips, or shows twice."""
    if not _names_wall_times(line.job):
        return None
    zone = zone_of(line.job)
    wall, size = to_wall(slot, zone), _change(slot - _TICK, slot, zone)
    if size > datetime.timedelta(0) and _nominal(line, to_wall(slot - _TICK, zone), zone) < wall:
        return "gap"
    if wall.fold or _shown_again(slot, zone):
        return "repeated"
    return None


def _names_wall_times(job: schedule.Job) -> bool:
    if isinstance(job, CronJob):
        return True
    return not isinstance(job, OnceJob) and getattr(job, "next_slot", None) is None and needs_zone(job)


def _change(before: Moment, after: Moment, zone: Zone) -> datetime.timedelta:
    """By how much the clock is put forward between two moments."""
    return (to_wall(after, zone) - to_wall(before, zone)) - (after - before)


def _shown_again(slot: Moment, zone: Zone) -> bool:
    """Whether the clock is put back soon, past this wall time."""
    wall = to_wall(slot, zone).replace(fold=1)
    if zone is None:
        return datetime.datetime.fromtimestamp(wall.timestamp(), UTC) > slot
    return wall.replace(tzinfo=zone).astimezone(UTC) > slot


def _nominal(line: Line, wall: Moment, zone: Zone) -> Moment:
    """The wall time that the schedule names next, as if no clock ever changed."""
    job: Any = copy.copy(line.job)
    fields = job.fields if isinstance(job, CronJob) else None
    elapsed = fields[0].startswith("*") or fields[1].startswith("*") if fields else follows_elapsed_time(job)
    if elapsed or is_random(job):
        return Moment.max
    if isinstance(job, CronJob):
        job.zone = UTC
    else:
        job.at_time_zone = UTC
    job.cancel_after = None
    even = Line(job, to_wall(line.anchor, zone).replace(tzinfo=UTC, fold=0), line.seed)
    found = even.after(wall.replace(tzinfo=UTC, fold=0))
    return Moment.max if found is None else found.replace(tzinfo=None)


def local_text(slot: Moment, job: schedule.Job) -> str:
    """A slot in the zone of its schedule: ``Sun 25 Oct 2026 02:30 CEST``."""
    return moment_text(in_zone(slot, zone_of(job)))
