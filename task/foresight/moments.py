"""Moments as people write them, read in the zone of a schedule, also in the two nights of the year."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import NamedTuple

from task.clock import in_zone
from task.errors import ParameterError
from task.overview import moment_text
from task.schedules import UTC, Zone, shorten, to_moment, to_wall, zone_name

__all__ = ["Reading", "both_passes", "read_moment"]

Moment = datetime.datetime

_MINUTE, _SECOND, _MICROSECOND = (
    datetime.timedelta(minutes=1),
    datetime.timedelta(seconds=1),
    datetime.timedelta(microseconds=1),
)


#: Between these years moments are read: beyond them some zones have none.
_FIRST, _LAST = 1902, 9000


class Reading(NamedTuple):
    """What somebody means."""

    moment: Moment
    #: For how long: whoever writes ``02:30`` means that minute.
    width: datetime.timedelta
    #: How it was read, where that has to be said.
    note: str | None


def read_moment(
    given: Moment | str, now: Moment, zones: Sequence[Zone], has_slot: Callable[[Moment, Moment], bool]
) -> Reading:
    """A moment, or its text in ISO 8601; ``now`` is one, too.

    Without an offset it is a wall time in one of these zones: the first in which there is a slot then. Raises
    `ParameterError`.
    """
    if isinstance(given, str) and given.strip().lower() == "now":
        return Reading(now, _SECOND, None)
    moment = _parsed(given)
    width = _MICROSECOND if moment.microsecond else _SECOND if moment.second else _MINUTE
    try:
        if not _FIRST < moment.year < _LAST:
            raise OverflowError
        if moment.utcoffset() is not None:
            return Reading(moment.astimezone(UTC), width, None)
        readings = [reading for zone in zones or [None] for reading in _readings(moment, zone, width)]
    except (OverflowError, ValueError, OSError):
        raise ParameterError(
            f"{shorten(given)} is no moment of this era: write one between the years 1903 and 8999."
        ) from None
    return next((one for one in readings if has_slot(one.moment, one.moment + one.width)), readings[0])


def _parsed(given: Moment | str) -> Moment:
    if isinstance(given, datetime.datetime):
        return given
    try:
        return datetime.datetime.fromisoformat(given.strip())
    except (ValueError, TypeError, AttributeError):
        raise ParameterError(
            f"{shorten(given)} is no moment. Write '2026-10-25 02:30', in the zone of the schedule; with an offset, "
            "'2026-10-25 02:30+01:00'; or 'now'."
        ) from None


def _readings(wall: Moment, zone: Zone, width: datetime.timedelta) -> list[Reading]:
    """What a wall time may mean in a zone: the first is meant where no slot says otherwise."""
    place = zone_name(zone)
    passes = both_passes(wall, zone)
    if len(passes) == 2:
        first, second = (moment_text(in_zone(one, zone)) for one in passes)
        twice = f"The clock of {place} shows {wall:%H:%M} twice that night"
        return [
            Reading(passes[0], width, f"{twice}: this is the first time, {first}."),
            Reading(passes[1], width, f"{twice}: this is the second time, {second}."),
        ]
    moment = to_moment(wall, zone)
    if to_wall(moment, zone).replace(fold=0) != wall.replace(fold=0):
        becomes = moment_text(in_zone(moment, zone))
        note = f"The clock of {place} skips {wall:%H:%M} that night: what is due then is due at {becomes}."
        return [Reading(moment, width, note)]
    return [Reading(moment, width, f"Without an offset, it is read in {place}.")]


def both_passes(wall: Moment, zone: Zone) -> list[Moment]:
    """The moments at which a clock shows a wall time: two where it is put back; one also where it skips that."""
    first = to_moment(wall.replace(fold=0), zone)
    if zone is None:
        second = datetime.datetime.fromtimestamp(wall.replace(fold=1).timestamp(), UTC)
    else:
        second = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return [first, second] if second > first else [first]
