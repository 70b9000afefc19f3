"""``cron``: a crontab line as a `schedule.Job`, kept by Debian's rules."""

from __future__ import annotations

import calendar
import copy
import datetime
import functools
import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import schedule

from task.errors import ScheduleError
from task.schedules.slots import plan
from task.schedules.walltime import (
    UTC,
    Zone,
    next_shown,
    resolve_zone,
    shorten,
    to_moment,
    to_wall,
    transition,
    zone_name,
)

if TYPE_CHECKING:
    from croniter import croniter

__all__ = ["CronJob", "cron"]

#: croniter takes 4.6 s over a million commas, and fails outside its own errors on 5 000 digits.
LIMIT = 256

#: How far croniter looks for a match: a 29 February on a given weekday can be 40 years away.
YEARS = 40

#: Any other date falls on each weekday, in a year without a 29 February, from 2026 to 2034.
YEARS_TO_JUDGE = 8

_TICK = datetime.timedelta(microseconds=1)
_HASHED = re.compile(r"h(\(|/|$)")
_RANDOM = re.compile(r"r(\(|/|$)")


class CronJob(schedule.Job):
    """A cron schedule. Make one with `cron`."""

    def __init__(self, expression: str, zone: Zone, pattern: croniter | None) -> None:
        super().__init__(1, schedule.default_scheduler)
        self.unit = "cron"
        self.expression = expression
        self.zone = zone
        self._pattern = pattern  # None: an `H` that waits for the name of its task
        self._seed: str | None = None

    def next_slot(self, after: datetime.datetime) -> datetime.datetime | None:
        """The first moment later than *after* (aware) that the expression means; None when there is none.

        An expression whose minute or hour field starts with ``*`` follows elapsed time through both
        changes of daylight saving; any other names wall times, each of which is due once a day.

        >>> cron("30 2 * * *", tz="Europe/Amsterdam").next_slot(
        ...     datetime.datetime(2026, 3, 29, tzinfo=datetime.timezone.utc)).isoformat()
        '2026-03-29T01:00:00+00:00'
        """
        pattern = self._pattern or _compile(self.expression, "")
        if self._follows_elapsed_time(pattern):
            return next_shown(self.zone, after.astimezone(UTC), functools.partial(_next_wall, pattern))
        return self._next_named(pattern, after.astimezone(UTC))

    def hashed_by(self, name: str) -> CronJob:
        """This schedule for the task *name*, on which each ``H`` depends; itself where there is no ``H``."""
        if self._pattern is not None and self._seed is None:
            return self
        clone = copy.copy(self)
        clone._pattern, clone._seed = _compile(self.expression, name), name
        _check_comes(clone._pattern, self.expression, name)
        return clone

    @staticmethod
    def _follows_elapsed_time(pattern: croniter) -> bool:
        minute, hour = pattern.expressions[:2]
        return str(minute).startswith("*") or str(hour).startswith("*")

    def _next_named(self, pattern: croniter, after: datetime.datetime) -> datetime.datetime | None:
        reached = to_wall(after, self.zone)
        first = to_moment(reached, self.zone)
        if first < after:  # in an hour that is repeated: all that it names was due the first time
            changed = transition(self.zone, first, after) or after
            reached = to_wall(changed - _TICK, self.zone)
        wall = _next_wall(pattern, reached)
        return None if wall is None else to_moment(wall, self.zone)

    def _schedule_next_run(self) -> None:
        plan(self)

    def __repr__(self) -> str:
        stamps: str = super().__repr__().partition(" do ")[2]  # type: ignore[no-untyped-call]
        return f"{self.words} do {stamps}"

    @property
    def fields(self) -> list[str] | None:
        """Its five or six fields, names such as ``@hourly`` resolved; None while an ``H`` waits for its task's name.

        >>> cron("@daily").fields
        ['0', '0', '*', '*', '*']
        """
        if self._pattern is None:
            return None
        pairs = zip(self._pattern.expressions, self._pattern.expanded, strict=True)
        return [",".join(map(str, found)) if text.startswith("h") else text for text, found in pairs]

    @property
    def words(self) -> str:
        """The expression and its zone, as people write them."""
        place = "" if self.zone is None else f" in {zone_name(self.zone)}"
        return f"Cron {self.expression}{place}"


def _next_wall(pattern: croniter, wall: datetime.datetime | None) -> datetime.datetime | None:
    """The next wall time that a pattern names."""
    found = None if wall is None else _later_that_day(pattern, wall)
    if found is None:
        found = _next_of_croniter(pattern, wall)
        pattern.matching_day = None if found is None else (found.date(), *_times_of(pattern))
    return found


def _times_of(pattern: croniter) -> Iterator[list[int]]:
    """Its hours, minutes and seconds."""
    fields = [*pattern.expanded, [0]]  # the sixth is the second, if there is one
    for field, size in ((fields[1], 24), (fields[0], 60), (fields[5], 60)):
        yield list(range(size)) if "*" in field else sorted(field)


def _later_that_day(pattern: croniter, wall: datetime.datetime) -> datetime.datetime | None:
    """A later time of a day that croniter has just found to match: which times there are does not depend on the day.

    That takes a tenth of the time, and most slots of a busy schedule are on the day of the one before.
    """
    day, hours, minutes, seconds = getattr(pattern, "matching_day", None) or (None, [], [], [])
    if day != wall.date():
        return None
    start = wall.replace(second=0, microsecond=0, fold=0)
    if wall.hour in hours:
        if wall.minute in minutes and (second := _first(seconds, wall.second + 1)) is not None:
            return start.replace(second=second)
        if (minute := _first(minutes, wall.minute + 1)) is not None:
            return start.replace(minute=minute, second=seconds[0])
    hour = _first(hours, wall.hour + 1)
    return None if hour is None else start.replace(hour=hour, minute=minutes[0], second=seconds[0])


def _first(numbers: list[int], least: int) -> int | None:
    place = bisect_left(numbers, least)
    return numbers[place] if place < len(numbers) else None


def _next_of_croniter(pattern: croniter, wall: datetime.datetime | None) -> datetime.datetime | None:
    from croniter import CroniterBadDateError

    walker = copy.copy(pattern)  # croniter walks by changing itself; a copy keeps this function pure
    try:
        found: datetime.datetime = walker.get_next(datetime.datetime, start_time=wall)
    except (CroniterBadDateError, OverflowError, ValueError):
        return None
    return found.replace(fold=0)


def cron(expression: str, tz: Any = None) -> CronJob:
    """A schedule written as in a crontab; usable wherever a `schedule.Job` is.

    *expression* has five fields (minute, hour, day of month, month, day of week) or six (the sixth is
    the second, as in croniter), or is a name such as ``@hourly``. ``L`` (last day), ``#`` (the n-th
    weekday), ``W`` (nearest weekday) and ``H`` (a value hashed from the task's name) are understood.
    *tz* is a zone name or a ``ZoneInfo``; without it the zone of the process counts.

    Raises `ScheduleError` for text that is not cron, that is over 256 characters or not ASCII, for a
    date that never comes, for ``R`` and ``@reboot``, and for an unknown zone.

    >>> cron("0 18 * * mon-fri", tz="Europe/Amsterdam").words
    'Cron 0 18 * * mon-fri in Europe/Amsterdam'
    """
    if not isinstance(expression, str):
        raise ScheduleError(f"A cron expression is text such as '0 2 * * *', not {shorten(expression)}.")
    if len(expression) > LIMIT or not expression.isascii():
        raise ScheduleError(f"The cron expression {shorten(expression)} is refused: at most {LIMIT} ASCII characters.")
    zone = resolve_zone(tz)
    text = " ".join(expression.split())
    if text.lower() == "@reboot":
        raise ScheduleError("'@reboot' is not a time. Use run_at_start=True on the task.")
    fields = text.lower().split()
    if not text.startswith("@") and len(fields) not in (5, 6):
        raise ScheduleError(
            f"The cron expression {shorten(expression)} has {len(fields)} fields; cron has five (minute hour "
            "day month weekday), or six with the second last."
        )
    if any(_RANDOM.match(field) for field in fields):
        raise ScheduleError(
            f"The cron expression {shorten(expression)} has an R: a random moment would differ from process "
            "to process. Use H, which is hashed from the task's name."
        )
    hashed = not text.startswith("@") and any(_HASHED.match(field) for field in fields)
    pattern = _compile(text, "" if hashed else None)
    _check_comes(pattern, text, "" if hashed else None)
    return CronJob(text, zone, None if hashed else pattern)


def _check_comes(pattern: croniter, expression: str, seed: str | None) -> None:
    """Refuse a date that never comes, in a few milliseconds: croniter looks at every month on its way."""
    day, _, weekday = pattern.expressions[2:5]
    months = range(1, 13) if "*" in pattern.expanded[3] else pattern.expanded[3]
    lengths = {calendar.monthrange(2026, month)[1]: month for month in months}  # one of each is enough
    dates = f"0 0 {day} {','.join(map(str, lengths.values()))} {weekday}"
    years = YEARS if set(lengths) == {28} else YEARS_TO_JUDGE
    if _next_wall(_compile(dates, seed, years), datetime.datetime(2026, 1, 1)) is None:
        raise ScheduleError(
            f"The cron expression {shorten(expression)} names a date that never comes: check day and month."
        )


def _compile(expression: str, seed: str | None, years: int = YEARS) -> croniter:
    """The parsed pattern. A *seed* is only given where there is an ``H``: croniter hashes ``@daily`` too."""
    from croniter import croniter

    try:
        return croniter(
            expression,
            datetime.datetime(2026, 1, 1),
            ret_type=datetime.datetime,
            max_years_between_matches=years,
            hash_id=seed,
            # Debian's cron joins a day-of-month and a day-of-week that starts with `*` by AND.
            implement_cron_bug=True,
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise ScheduleError(
            f"The cron expression {shorten(expression)} is not valid: {shorten(str(error), 120)}. "
            "It has five fields: minute hour day month weekday, as in '30 2 * * mon-fri'."
        ) from None
