"""Slots in the nights in which a clock changes."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterable, Iterator

from task.errors import TaskError
from task.foresight.values import Night
from task.overview import clock_change, local_text
from task.schedules import CronJob, Line, Zone, follows_elapsed_time, is_random, needs_zone, resolve_zone, to_wall

__all__ = ["nights_of"]

Moment = datetime.datetime

_DAY = datetime.timedelta(days=1)

#: So many are told of one task, and so many slots looked at for each.
MOST = 100


def nights_of(lines: Iterable[Line], since: Moment, until: Moment) -> tuple[Night, ...]:
    """The slots of *lines* in ``(since, until]`` whose wall time a clock change skips or repeats, in their order.

    Schedules that follow elapsed time have none: a change of the clock is nothing to them.
    """
    found = {night.at: night for line in lines for night in _nights(line, since, until)}
    return tuple(found[at] for at in sorted(found)[:MOST])


def _nights(line: Line, since: Moment, until: Moment) -> Iterator[Night]:
    if not _names_wall_times(line):
        return
    job = line.job
    zone = job.zone if isinstance(job, CronJob) else resolve_zone(job.at_time_zone)
    for day in _days_of_change(zone, since, until):
        slots = _slots(line, max(since, day - _DAY), min(until, day + _DAY))
        for slot in itertools.islice(slots, MOST):
            change = clock_change(line, slot)
            if change is not None:
                yield Night(slot, change, local_text(slot, job))


def _names_wall_times(line: Line) -> bool:
    job = line.job
    if isinstance(job, CronJob):
        return not (job.fields or ["*"])[0].startswith("*") and not (job.fields or ["*"] * 2)[1].startswith("*")
    return not (follows_elapsed_time(job) or is_random(job)) and needs_zone(job)


def _slots(line: Line, since: Moment, until: Moment) -> Iterator[Moment]:
    try:
        slot = line.after(since)
        while slot is not None and slot <= until:
            yield slot
            slot = line.after(slot)
    except TaskError:  # a schedule of the user's own
        return


def _days_of_change(zone: Zone, since: Moment, until: Moment) -> Iterator[Moment]:
    """The moments at a day's distance before which the clock of a zone has changed."""
    day = since - _DAY
    while day < until + _DAY:
        following = day + _DAY
        if to_wall(following, zone) - to_wall(day, zone) != _DAY:
            yield following
        day = following
