"""``business_hours``: the condition that knows the hours of the day, in wall time."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Collection
from typing import Any

from task.calendars.askable import Askable, call_text, read_weekdays, wall_of, weekdays_text
from task.errors import DeclarationError, DeclarationTypeError
from task.schedules import resolve_zone, shorten, zone_name
from task.schedules.walltime import Zone

__all__ = ["BusinessHours", "business_hours"]

_DAY = datetime.timedelta(days=1)
_CLOCK = re.compile(r"([0-9]{1,2}):([0-5][0-9])(?::([0-5][0-9]))?")


@dataclasses.dataclass(frozen=True, repr=False)
class BusinessHours(Askable):
    """Hours of the day, in wall time. Make one with `business_hours`."""

    #: Since midnight; an `end` before `start` is on the next day.
    start: datetime.timedelta
    end: datetime.timedelta
    zone: Zone
    #: The weekdays, from 0 for Monday, on which `start` may be; None for all.
    days: tuple[int, ...] | None

    def reason(self, moment: datetime.datetime) -> str | None:
        """Why *moment* (aware) is outside, or None. Raises `ScheduleError` for a naive one.

        >>> business_hours(9, 17, tz="UTC").reason(datetime.datetime(2026, 5, 4, 17, tzinfo=datetime.UTC))
        'outside 09:00 to 17:00 UTC'
        """
        wall = wall_of(moment, self.zone)
        clock = wall - datetime.datetime.combine(wall.date(), datetime.time())
        day = wall.weekday()
        if self.start < self.end:
            inside = self.start <= clock < self.end
        else:
            inside = clock >= self.start or clock < self.end
            day = day if clock >= self.start else (day - 1) % 7
        if inside and (self.days is None or day in self.days):
            return None
        days = "" if self.days is None else f", {weekdays_text(self.days)}"
        return f"outside {_clock_text(self.start)} to {_clock_text(self.end)} {zone_name(self.zone)}{days}"

    def __repr__(self) -> str:
        options = {"tz": getattr(self.zone, "key", self.zone), "days": weekdays_text(self.days)}
        return call_text("business_hours", [_clock_text(self.start), _clock_text(self.end)], options)


def business_hours(
    start: float | str | datetime.time,
    end: float | str | datetime.time,
    *,
    tz: Any = None,
    days: str | Collection[str] | None = None,
) -> BusinessHours:
    """A condition: from *start*, inclusive, to *end*, exclusive, on the clock of a zone.

    Both are hours (``9``, ``17.5``), a text (``"09:30"``) or a ``datetime.time``. An *end* before *start* is
    on the next day: ``business_hours(22, 6)``. *tz* is a zone name or a ``ZoneInfo``; without it the zone of
    the process counts. *days* are weekdays such as ``"mon-fri"`` or ``["tue", "sat"]``, without it all; hours
    over midnight belong to the day on which they start.

    Raises `DeclarationError` for what is no time of day or no weekday, and for a *start* that is the *end*,
    `DeclarationTypeError` for the wrong kind of value, `ScheduleError` for an unknown zone.

    >>> business_hours(22, "06:30", tz="Europe/Amsterdam", days="mon-fri")
    business_hours('22:00', '06:30', tz='Europe/Amsterdam', days='mon,tue,wed,thu,fri')
    """
    first, last = _since_midnight("start", start), _since_midnight("end", end)
    if first == last:
        raise DeclarationError(
            f"business_hours: start and end are both {_clock_text(first)}, so nothing is inside. "
            "The whole day is business_hours(0, 24)."
        )
    weekdays = read_weekdays("business_hours", days)
    return BusinessHours(first % _DAY, last % _DAY or _DAY, resolve_zone(tz), weekdays)


def _since_midnight(option: str, value: Any) -> datetime.timedelta:
    fix = "Write 9, 17.5, '09:30' or datetime.time(9, 30)."
    if isinstance(value, bool) or not isinstance(value, (int, float, str, datetime.time)):
        raise DeclarationTypeError(f"business_hours: {option} is a time of day, not {shorten(value)}. {fix}")
    found: datetime.timedelta | None = None
    if isinstance(value, datetime.time):
        if value.tzinfo is not None:
            raise DeclarationError(f"business_hours: {option} has a zone of its own. Give it as tz=... instead.")
        found = datetime.datetime.combine(datetime.date.min, value) - datetime.datetime.min
    elif isinstance(value, str):
        if match := _CLOCK.fullmatch(value):
            hours, minutes, seconds = (int(part or 0) for part in match.groups())
            found = datetime.timedelta(hours=hours, minutes=minutes, seconds=seconds)
    elif 0 <= value <= 24:
        found = datetime.timedelta(hours=value)
    if found is None or found > _DAY:
        raise DeclarationError(f"business_hours: {option} is from 0 to 24 hours, not {shorten(value)}. {fix}")
    return found


def _clock_text(since_midnight: datetime.timedelta) -> str:
    if since_midnight == _DAY:
        return "24:00"
    return (datetime.datetime.min + since_midnight).time().isoformat().removesuffix(":00")
