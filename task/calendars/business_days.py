"""``business_days``: the condition that knows weekends and public holidays, through the library `holidays`."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from task.calendars.askable import WEEKDAYS, Askable, call_text, read_weekdays, wall_of, weekdays_text
from task.errors import DeclarationError, DeclarationTypeError, MissingExtraError, did_you_mean
from task.schedules import resolve_zone, shorten
from task.schedules.walltime import Zone

if TYPE_CHECKING:
    from holidays import HolidayBase

__all__ = ["BusinessDays", "business_days"]

#: How many dates one option takes.
DATES_LIMIT = 1_000

#: How many calendars are kept, each of one country (or subdivision), year and language.
CALENDARS_KEPT = 64


@dataclasses.dataclass(frozen=True, repr=False)
class BusinessDays(Askable):
    """The days on which a country works. Make one with `business_days`."""

    country: str
    subdivision: str | None
    zone: Zone
    #: The working weekdays from 0, a Monday; None for all but the country's own weekend.
    days: tuple[int, ...] | None
    also_closed: tuple[datetime.date, ...]
    also_open: tuple[datetime.date, ...]

    def reason(self, moment: datetime.datetime) -> str | None:
        """Why *moment* (aware) is not on a business day, or None. Raises `ScheduleError` for a naive one.

        >>> business_days("NL", tz="UTC").reason(datetime.datetime(2026, 4, 27, 12, tzinfo=datetime.UTC))
        "not a business day in NL: Koningsdag (King's Day)"
        """
        date = wall_of(moment, self.zone).date()
        why = None if date in self.also_open else self._why_closed(date)
        place = self.country if self.subdivision is None else f"{self.country}, {self.subdivision}"
        return None if why is None else f"not a business day in {place}: {why}"

    def _why_closed(self, date: datetime.date) -> str | None:
        if date in self.also_closed:
            return f"{date} is in also_closed"
        calendar = _calendar(self.country, self.subdivision, date.year)
        if self.days is None:
            if calendar.is_working_day(date):  # which a day at a weekend can be, by decree
                return None
            resting = calendar.is_weekend(date)
        else:
            resting = date.weekday() not in self.days
        return WEEKDAYS[date.weekday()] if resting else self._holiday(calendar, date)

    def _holiday(self, calendar: HolidayBase, date: datetime.date) -> str | None:
        """The holiday's own name, with the English one where there is another; None on any other day."""
        name: str | None = calendar.get(date)
        if name is None or "en_US" not in calendar.supported_languages or str(calendar.language).startswith("en"):
            return name
        english = _calendar(self.country, self.subdivision, date.year, "en_US").get(date)
        return name if english in (None, name) else f"{name} ({english})"

    def __repr__(self) -> str:
        options = {
            "subdivision": self.subdivision,
            "tz": getattr(self.zone, "key", self.zone),
            "days": weekdays_text(self.days),
            "also_closed": [date.isoformat() for date in self.also_closed],
            "also_open": [date.isoformat() for date in self.also_open],
        }
        return call_text("business_days", [self.country], options)


def business_days(
    country: str = "NL",
    subdivision: str | None = None,
    *,
    tz: Any = None,
    days: str | Collection[str] | None = None,
    also_closed: Collection[datetime.date | str] = (),
    also_open: Collection[datetime.date | str] = (),
) -> BusinessDays:
    """A condition: not at the weekend, and not on a public holiday, of a country. Needs the extra ``calendars``.

    *country* is its ISO 3166 code, and *subdivision* that of a state or province with holidays of its own.
    *tz* is a zone name or a ``ZoneInfo``, for the date of a moment; without it the zone of the process counts.
    *days* are the weekdays that are worked, such as ``"mon-fri"`` or ``["tue", "sat"]``; without it all but
    the country's weekend, as the library `holidays` has it. *also_closed* and *also_open* are the dates, as
    ``datetime.date`` or ``"2026-12-24"``, on which you differ from the country. A holiday that a government
    has yet to announce is not known, or estimated.

    Raises `DeclarationError` for an unknown country, subdivision, weekday or date, `DeclarationTypeError`
    for the wrong kind of value, `ScheduleError` for an unknown zone, and `MissingExtraError`.

    >>> business_days("NL", tz="Europe/Amsterdam")
    business_days('NL', tz='Europe/Amsterdam')
    >>> business_days("DE", "BY", tz="UTC")(datetime.datetime(2026, 1, 6, 12, tzinfo=datetime.UTC))  # Epiphany
    False
    """
    closed, opened = _dates("also_closed", also_closed), _dates("also_open", also_open)
    if both := sorted({*closed} & {*opened}):
        raise DeclarationError(
            f"business_days: {both[0]} is in also_closed and in also_open. Leave it out of one of them."
        )
    zone, weekdays = resolve_zone(tz), read_weekdays("business_days", days)
    return BusinessDays(*_known_place(country, subdivision), zone, weekdays, closed, opened)


def _dates(option: str, dates: Any) -> tuple[datetime.date, ...]:
    fix = "Write ['2026-12-24'] or [datetime.date(2026, 12, 24)]."
    if isinstance(dates, str) or not isinstance(dates, Collection):
        raise DeclarationTypeError(f"business_days: {option} is a list of dates, not {shorten(dates)}. {fix}")
    if len(dates) > DATES_LIMIT:
        raise DeclarationError(f"business_days: {option} has {len(dates)} dates; {DATES_LIMIT} is the most.")
    found: set[datetime.date] = set()
    for value in dates:
        if isinstance(value, datetime.datetime) or not isinstance(value, (str, datetime.date)):
            raise DeclarationTypeError(f"business_days: {shorten(value)} in {option} is not a date. {fix}")
        try:
            found.add(datetime.date.fromisoformat(value) if isinstance(value, str) else value)
        except ValueError:
            raise DeclarationError(f"business_days: {shorten(value)} in {option} is not a date. {fix}") from None
    return tuple(sorted(found))


def _known_place(country: Any, subdivision: Any) -> tuple[str, str | None]:
    """Refuse a country or a subdivision that `holidays` does not have."""
    try:
        import holidays  # an extra, and none that `business_hours` needs
    except ImportError:
        raise MissingExtraError.of("calendars", "business_days") from None
    if not isinstance(country, str):
        raise DeclarationTypeError(f"business_days: country is a code such as 'NL', not {shorten(country)}.")
    if subdivision is not None and not isinstance(subdivision, str):
        raise DeclarationTypeError(f"business_days: subdivision is a code such as 'BY', not {shorten(subdivision)}.")
    code = country.upper()
    entity: Any = getattr(holidays, code, None) if re.fullmatch("[A-Z]{2,3}", code) else None
    if getattr(entity, "country", None) is None:  # a stock exchange, or a constant: FRI
        hint = did_you_mean(code[:60], holidays.list_supported_countries(), "Use its ISO 3166 code: 'NL', 'US'.")
        raise DeclarationError(f"business_days: there is no country {shorten(country)}. {hint}")
    parent = entity.parent_entity.subdivisions if entity.parent_entity else ()
    known = (*entity.subdivisions, *entity.subdivisions_aliases, *parent)
    if subdivision is not None and subdivision not in known:
        otherwise = f"It has: {', '.join(entity.subdivisions[:20]) or 'none'}."
        hint = did_you_mean(subdivision[:60], known, otherwise)
        raise DeclarationError(f"business_days: {code} has no subdivision {shorten(subdivision)}. {hint}")
    return code, subdivision


@functools.lru_cache(maxsize=CALENDARS_KEPT)
def _calendar(country: str, subdivision: str | None, year: int, language: str | None = None) -> HolidayBase:
    """The holidays of one year, in a language or the country's own, whatever the locale of the process.

    A calendar that grew by itself would be seen half grown from another thread; this one never changes.
    """
    import holidays

    language = language or getattr(holidays, country).default_language
    return holidays.country_holidays(country, subdivision, years=year, expand=False, language=language)
