"""When the clocks of a zone change."""

from __future__ import annotations

import datetime

from task.errors import DeclarationError
from task.schedules import resolve_zone

__all__ = ["next_change"]

Moment = datetime.datetime

_DAY = datetime.timedelta(days=1)
_SECOND = datetime.timedelta(seconds=1)

#: So far it is looked: every zone that changes its clocks at all does so twice within a year.
DAYS = 800


def next_change(zone: str | datetime.tzinfo, after: Moment, *, forward: bool) -> Moment:
    """The first moment later than *after* at which the clocks of *zone* are put *forward*, or else back (aware UTC).

    Raises `DeclarationError` for a zone that there is not, and for one whose clocks are not put so.

    >>> import datetime
    >>> new_year = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    >>> print(next_change("America/New_York", new_year, forward=False))
    2026-11-01 06:00:00+00:00
    """
    found = resolve_zone(zone) or datetime.UTC
    early = after.astimezone(datetime.UTC)
    for _ in range(DAYS):
        late = early + _DAY
        gained = _offset(late, found) - _offset(early, found)
        if gained and (gained > datetime.timedelta(0)) is forward:
            return _between(early, late, found)
        early = late
    way = "forward" if forward else "back"
    raise DeclarationError(
        f"The clocks of {zone} are not put {way} in the {DAYS} days after {after:%Y-%m-%d}. Name a zone whose clocks "
        "are, such as 'Europe/Amsterdam'."
    )


def _offset(moment: Moment, zone: datetime.tzinfo) -> datetime.timedelta:
    return moment.astimezone(zone).utcoffset() or datetime.timedelta(0)


def _between(early: Moment, late: Moment, zone: datetime.tzinfo) -> Moment:
    """The first moment in ``(early, late]`` with the offset of *late*, which that of *early* is not."""
    while late - early > _SECOND:
        middle = early + (late - early) // _SECOND // 2 * _SECOND
        if _offset(middle, zone) == _offset(early, zone):
            early = middle
        else:
            late = middle
    return late.replace(microsecond=0)
