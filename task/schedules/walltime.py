"""Wall time and moments: one place that knows what daylight saving does.

A *moment* is an aware UTC datetime, a *wall time* a naive datetime in some zone. The rule is that of
Debian's cron (``man 8 cron``, "Daylight Saving Time and other time changes"): a wall time that the
spring change skips means the first moment after the gap, and one that the autumn change repeats
means the first of the two.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from task.errors import ScheduleError

__all__ = ["UTC", "next_shown", "resolve_zone", "shorten", "to_moment", "to_wall", "transition", "zone_name"]

UTC = datetime.UTC

#: A zone, or None for the zone of the process (which may be a POSIX rule that no zone name has).
Zone = datetime.tzinfo | None

_DAY = datetime.timedelta(days=1)
_SECOND = datetime.timedelta(seconds=1)
_TICK = datetime.timedelta(microseconds=1)


def shorten(value: object, limit: int = 60) -> str:
    """The ``repr`` of anything, bounded, for a message."""
    try:
        text = repr(value)
    except Exception:  # a user's, or schedule's own of a Job without a unit
        text = f"<{type(value).__name__} whose repr() raises>"
    return text if len(text) <= limit else text[: limit - 1] + "…"


def resolve_zone(zone: object) -> Zone:
    """A zone from its name, a ``tzinfo``, a pytz zone (by its name), or None for the process's own.

    Raises `ScheduleError` for a name that the zone data does not have.

    >>> resolve_zone("Europe/Amsterdam")
    zoneinfo.ZoneInfo(key='Europe/Amsterdam')
    """
    if zone is None:
        return None
    name: Any = getattr(zone, "zone", None) or zone  # pytz keeps the name in `.zone`
    if isinstance(name, str):
        import zoneinfo  # a program without named zones never loads it

        try:
            return zoneinfo.ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ScheduleError(
                f"There is no time zone {shorten(name)}. Use a name such as 'Europe/Amsterdam' or 'UTC'; "
                "zoneinfo.available_timezones() lists them all."
            ) from None
    if isinstance(zone, datetime.tzinfo):
        return zone
    raise ScheduleError(
        f"A time zone is a name such as 'Europe/Amsterdam' or a zoneinfo.ZoneInfo, not {shorten(zone)}."
    )


def zone_name(zone: Zone) -> str:
    """The name of a zone, for people; the process's own is ``local time``."""
    return "local time" if zone is None else str(getattr(zone, "key", zone))


def to_wall(moment: datetime.datetime, zone: Zone) -> datetime.datetime:
    """The naive wall time of a moment; its ``fold`` tells the two passes of a repeated hour apart."""
    return moment.astimezone(zone).replace(tzinfo=None)


def offset(moment: datetime.datetime, zone: Zone) -> datetime.timedelta:
    """The offset from UTC that is in force at a moment."""
    value = moment.astimezone(zone).utcoffset()
    assert value is not None
    return value


def to_moment(wall: datetime.datetime, zone: Zone) -> datetime.datetime:
    """The one moment that a wall time means, also where it does not exist or exists twice.

    >>> from zoneinfo import ZoneInfo
    >>> to_moment(datetime.datetime(2026, 3, 29, 2, 30), ZoneInfo("Europe/Amsterdam")).isoformat()
    '2026-03-29T01:00:00+00:00'
    """
    first = _localize(wall, zone, fold=0)
    second = _localize(wall, zone, fold=1)
    if first <= second:  # equal: the plain case; less: the hour that is repeated
        return first
    return transition(zone, second, first) or first  # greater: the hour that is skipped


def _localize(wall: datetime.datetime, zone: Zone, fold: int) -> datetime.datetime:
    wall = wall.replace(fold=fold)
    if zone is None:  # not `astimezone()`, which takes the folds of a gap the other way round
        return datetime.datetime.fromtimestamp(wall.timestamp(), UTC)
    return wall.replace(tzinfo=zone).astimezone(UTC)


def transition(zone: Zone, after: datetime.datetime, until: datetime.datetime) -> datetime.datetime | None:
    """The moment in ``(after, until]``, a day at most, at which the zone's offset changes, to the second.

    No zone of today's data changes twice within a day.
    """
    before = offset(after, zone)
    if offset(until, zone) == before:
        return None
    low, high = after.replace(microsecond=0), until.replace(microsecond=0)  # zones change on whole seconds
    while high - low > _SECOND:
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if offset(middle, zone) == before:
            low = middle
        else:
            high = middle
    return high


def next_shown(
    zone: Zone, after: datetime.datetime, find: Callable[[datetime.datetime], datetime.datetime | None]
) -> datetime.datetime | None:
    """The first moment later than *after* at which the zone's clock shows a wall time that is sought.

    *find* gives the first such wall time later than another. One that is skipped is never shown, and
    one that is repeated is shown twice.
    """
    wall = to_wall(after, zone)
    while (found := find(wall)) is not None:
        moment = found.replace(tzinfo=UTC) - offset(after, zone)
        near = after + _DAY
        changed = transition(zone, after, min(moment, near))
        if changed is None and moment <= near:
            return moment
        if changed is None:  # no change for a day: none that could repeat what is behind us
            first, second = _localize(found, zone, fold=0), _localize(found, zone, fold=1)
            if first <= second:
                return first
            changed = transition(zone, second, first) or first
        # Another offset holds from `changed` on: look again from there, itself included.
        after, wall = changed, to_wall(changed, zone) - _TICK
    return None
