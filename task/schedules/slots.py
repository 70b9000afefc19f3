"""``next_slot``: when a schedule is due next, as a pure function.

`schedule` measures a job's next run from the end of its body, goes silent for the hour that an
autumn night repeats, fires ``.at("02:30", zone)`` twice on the day after the spring change, and
loops for ever on ``every(0)``. So this module computes slots itself, from the public fields of a Job,
in aware UTC moments:

* *intervals* (seconds, minutes, hours) lie on the grid anchor + k × period, in elapsed time;
* *calendars* (days, weeks) name wall times, mapped to moments by `task.schedules.walltime`;
* ``.to()`` draws the distance from the slot before, from a generator seeded by that slot;
* a Job with a ``next_slot(after)`` method of its own (`cron`, `once`, a user's) answers for itself.
"""

from __future__ import annotations

import copy
import datetime
import random
from collections.abc import Callable

import schedule

from task.clock import SystemClock, as_local
from task.errors import BrokenScheduleError, ScheduleError
from task.schedules.walltime import UTC, next_shown, resolve_zone, shorten, to_moment, to_wall

__all__ = [
    "check_interval",
    "check_job",
    "first_from",
    "follows_elapsed_time",
    "is_random",
    "newest_slot",
    "next_slot",
    "period_of",
    "plan",
]

Moment = datetime.datetime

_TICK = datetime.timedelta(microseconds=1)
_LONGEST = datetime.timedelta(days=36525)
_UNITS = {
    "seconds": datetime.timedelta(seconds=1),
    "minutes": datetime.timedelta(minutes=1),
    "hours": datetime.timedelta(hours=1),
    "days": datetime.timedelta(days=1),
    "weeks": datetime.timedelta(weeks=1),
}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def next_slot(job: schedule.Job, after: Moment, *, anchor: Moment, seed: str = "") -> Moment | None:
    """The first slot of *job* later than *after*, or None when there is none any more.

    *after* and *anchor* are aware. The *anchor* is the moment from which intervals are counted: the
    first registration of the schedule. *seed*, the task's name, seeds what ``.to()`` draws; *after* is
    then the slot before, of which the answer depends. Raises `BrokenScheduleError` when a schedule of
    the user's own answers with something that is not a later, aware moment.

    >>> from task import every
    >>> noon = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.timezone.utc)
    >>> next_slot(every(10).minutes, noon + datetime.timedelta(minutes=25), anchor=noon).isoformat()
    '2026-05-04T12:30:00+00:00'
    """
    if after.tzinfo is not UTC:  # arithmetic on any other zone would be wall time
        after = after.astimezone(UTC)
    if anchor.tzinfo is not UTC:
        anchor = anchor.astimezone(UTC)
    slot: Moment | None
    if (own := getattr(job, "next_slot", None)) is not None:
        slot = _asked(own, after)
    elif job.latest is not None:
        slot = _drawn(job, after, seed)
    elif job.unit in ("days", "weeks"):
        slot = _calendar(job, after, anchor)
    elif job.at_time is not None:
        slot = _shown(job, after, anchor)
    else:
        period = period_of(job)
        slot = anchor + period * max((after - anchor) // period + 1, 0)
    if slot is not None and job.cancel_after is not None and slot > _end(job.cancel_after):
        return None
    return slot


def _end(deadline: datetime.datetime) -> Moment:
    """The moment that ``.until()`` names, naive local as `schedule` keeps it."""
    try:
        return deadline.astimezone(UTC)
    except (OverflowError, ValueError):  # datetime.max: for ever; which of the two, Python's versions differ
        return deadline.replace(tzinfo=UTC)


def _asked(own: Callable[[Moment], object], after: Moment) -> Moment | None:
    """What a schedule's own ``next_slot`` answers, checked."""
    try:
        slot = own(after)
    except BaseException as error:
        raise BrokenScheduleError(f"next_slot() raised {shorten(error, 200)}.") from error
    if slot is None:
        return None
    if not isinstance(slot, datetime.datetime) or slot.utcoffset() is None:
        raise BrokenScheduleError(f"next_slot() returned {shorten(slot)}: it must return an aware datetime.")
    if slot <= after:
        raise BrokenScheduleError(
            f"next_slot({after.isoformat()}) returned {slot.isoformat()}: it must return a later moment."
        )
    return slot.astimezone(UTC)


def period_of(job: schedule.Job) -> datetime.timedelta:
    """The period of an interval: 30 seconds for ``every(30).seconds``."""
    return _UNITS[str(job.unit)] * job.interval


def _first(job: schedule.Job, grid: Moment, anchor: Moment) -> int:
    """As in `schedule`, ``.at()`` with an interval over 1 is due one whole period after the anchor's own."""
    return 1 if job.at_time is not None and job.interval != 1 and grid != anchor else 0


def _shown(job: schedule.Job, after: Moment, anchor: Moment) -> Moment:
    """Every n hours at ``MM:SS``, or n minutes at ``:SS``: elapsed time, put on what the clock shows."""
    if job.interval == 1:
        return _next_face(job, after)
    into = _into(to_wall(anchor, resolve_zone(job.at_time_zone)), _UNITS[str(job.unit)])
    grid = anchor - into + _face(job)
    period = period_of(job)
    index = max((after - grid) // period, _first(job, grid, anchor))
    while (slot := _next_face(job, grid + period * index - _TICK)) <= after:
        index += 1
    return slot


def _next_face(job: schedule.Job, after: Moment) -> Moment:
    """The first moment later than *after* at which the clock shows ``MM:SS`` (hours) or ``:SS`` (minutes)."""
    face, unit = _face(job), _UNITS[str(job.unit)]
    slot = next_shown(
        resolve_zone(job.at_time_zone), after, lambda wall: wall + ((face - _into(wall, unit)) % unit or unit)
    )
    assert slot is not None
    return slot


def _face(job: schedule.Job) -> datetime.timedelta:
    assert job.at_time is not None
    return datetime.timedelta(minutes=job.at_time.minute, seconds=job.at_time.second)


def _into(wall: Moment, unit: datetime.timedelta) -> datetime.timedelta:
    """How far a wall time is into its hour or minute."""
    return (wall - Moment.min) % unit


def _calendar(job: schedule.Job, after: Moment, anchor: Moment) -> Moment:
    """Every n days or weeks, at a wall time: the one that ``.at()`` names, else the anchor's own."""
    zone = resolve_zone(job.at_time_zone)
    wall = _named(job, to_wall(anchor, zone))
    step = datetime.timedelta(days=_days(job, job.interval))
    index = max((to_wall(after, zone) - wall) // step - 1, _first(job, to_moment(wall, zone), anchor))
    while (slot := to_moment(wall + step * index, zone)) <= after:
        index += 1
    return slot


def _named(job: schedule.Job, wall: Moment) -> Moment:
    """A wall time moved to the weekday and the time of day that the Job names."""
    if job.start_day is not None:
        wall += datetime.timedelta(days=(_WEEKDAYS.index(job.start_day) - wall.weekday()) % 7)
    if job.at_time is None:
        return wall
    return wall.replace(hour=job.at_time.hour, minute=job.at_time.minute, second=job.at_time.second, microsecond=0)


def _days(job: schedule.Job, count: float) -> int:
    return round(count * (7 if job.unit == "weeks" else 1))


def _drawn(job: schedule.Job, after: Moment, seed: str) -> Moment:
    """``every(a).to(b)``: a distance drawn for this very slot, so that every process draws the same."""
    assert job.latest is not None
    draw = random.Random(f"{seed}|{after.isoformat()}")
    if isinstance(job.interval, int) and isinstance(job.latest, int):
        count: float = draw.randint(job.interval, job.latest)
    else:
        count = draw.uniform(job.interval, job.latest)
    if job.unit not in ("days", "weeks"):
        if job.at_time is not None:
            return _next_face(job, after + _UNITS[str(job.unit)] * (count - 1))
        return after + _UNITS[str(job.unit)] * count
    zone = resolve_zone(job.at_time_zone)
    wall = _named(job, to_wall(after, zone))
    if count == 1 and (soon := to_moment(wall, zone)) > after:
        return soon
    return to_moment(wall + datetime.timedelta(days=_days(job, count)), zone)


def newest_slot(job: schedule.Job, slot: Moment, until: Moment, *, anchor: Moment, seed: str = "") -> Moment:
    """The last slot at or before *until*, given that *slot* is one: what is left to run after a late wake.

    Asks for O(log n) slots, however many lie between.
    """
    low, high = slot, until

    def look(after: Moment) -> bool:
        """Whether there is a slot later than *after*; it raises `low`, else `high` comes down."""
        nonlocal low, high
        found = next_slot(job, after, anchor=anchor, seed=seed)
        if found is not None and found <= until:
            low = found
            return True
        high = after
        return False

    reach = _UNITS["minutes"]  # most schedules have a slot near the end: gallop back from it
    while until - reach > low and not look(until - reach):
        reach *= 8
    while look(low):
        look(low + (high - low) / 2)
    return low


def first_from(job: schedule.Job, start: Moment) -> Moment:
    """What slots are counted from: *start*, or where ``.at()`` names a time, the first such time from it on.

    >>> from task import every
    >>> noon = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.timezone.utc)
    >>> first_from(every(2).days.at("10:30", "UTC"), noon).isoformat()
    '2026-05-05T10:30:00+00:00'
    """
    if job.at_time is None or job.interval == 1:
        return start
    each = copy.copy(job)
    each.interval = 1
    return next_slot(each, start - _TICK, anchor=start) or start


def follows_elapsed_time(job: schedule.Job) -> bool:
    """Whether a clock that steps back leaves the schedule going on at its elapsed rate."""
    return getattr(job, "next_slot", None) is None and job.unit in ("seconds", "minutes", "hours")


def is_random(job: schedule.Job) -> bool:
    """Whether a slot depends on the one before it (``.to()``)."""
    return job.latest is not None


def plan(job: schedule.Job, now: Moment | None = None) -> None:
    """Set ``job.next_run`` of a Job that no scheduler of ours has planned, as `schedule` does itself."""
    check_job(job)
    moment = now or SystemClock().now()
    slot = next_slot(job, moment, anchor=moment, seed=str(random.random()))
    if slot is None:
        # What `schedule` itself does past `.until()`: name a moment that its deadline then cancels.
        slot = moment if job.cancel_after is None else _end(job.cancel_after) + _UNITS["seconds"]
    job.next_run = as_local(slot)


def check_interval(interval: object) -> None:
    """Refuse an interval that no schedule can keep: plain `schedule` loops for ever on ``every(0)``."""
    number = isinstance(interval, (int, float)) and not isinstance(interval, bool)
    if not number or not 1e-3 <= interval <= 1e8:  # type: ignore[operator]  # a number: checked on the line above
        raise ScheduleError(
            f"every({shorten(interval)}) can never be kept: the interval is a number from 0.001 to 100000000."
        )


def check_job(job: schedule.Job) -> None:
    """Refuse a Job that can never be due. Raises `ScheduleError` with the fix."""
    if getattr(job, "next_slot", None) is not None:
        return
    check_interval(job.interval)
    words = f"every({job.interval})"
    if job.unit not in _UNITS:
        raise ScheduleError(f"{words} has no unit. Write {words}.seconds, .minutes, .hours, .days or .weeks.")
    if job.latest is not None:
        check_interval(job.latest)
        if job.latest < job.interval:
            raise ScheduleError(f"{words}.to({job.latest}): the range must not end before it starts.")
    if job.unit in ("days", "weeks") and not float(job.interval).is_integer():
        raise ScheduleError(f"{words}.{job.unit}: days and weeks are whole. Use .hours for parts of a day.")
    if job.start_day is not None and (job.start_day not in _WEEKDAYS or job.unit != "weeks"):
        raise ScheduleError(f"{words}.{job.unit} starts on {shorten(job.start_day)}: only weeks have weekdays.")
    if job.at_time is not None and not float(job.interval).is_integer():
        raise ScheduleError(f"{words}.{job.unit} cannot have .at(): only a whole number of {job.unit} can.")
    if _UNITS[job.unit] * max(job.interval, job.latest or 0) > _LONGEST:
        raise ScheduleError(f"{words}.{job.unit} is more than a century: it would never be due.")
    resolve_zone(job.at_time_zone)
