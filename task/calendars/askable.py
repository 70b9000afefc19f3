"""What the shipped conditions share: how they are asked, their weekdays, and how they are written."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable
from typing import Any

from task.errors import DeclarationError, DeclarationTypeError, ScheduleError, did_you_mean
from task.schedules import shorten
from task.schedules.walltime import Zone, to_wall

__all__ = ["WEEKDAYS", "Askable", "call_text", "read_weekdays", "wall_of", "weekdays_text"]

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Askable:
    """A condition that says why not: ``condition.reason(moment)``, or just ``condition(moment)``."""

    def reason(self, moment: datetime.datetime) -> str | None:
        """Why *moment* (aware) is outside, or None when it is inside."""
        raise NotImplementedError

    def __call__(self, moment: datetime.datetime) -> bool:
        """Whether *moment* (aware) is inside. Raises `ScheduleError` for one without a time zone."""
        return self.reason(moment) is None


def wall_of(moment: Any, zone: Zone) -> datetime.datetime:
    """The wall time of a moment that a user may have passed. Raises `ScheduleError` for a naive one."""
    if not isinstance(moment, datetime.datetime) or moment.utcoffset() is None:
        raise ScheduleError(
            f"{shorten(moment)} is not an aware datetime. Add its time zone: "
            "moment.replace(tzinfo=ZoneInfo('Europe/Amsterdam'))."
        )
    return to_wall(moment, zone)


def read_weekdays(maker: str, days: Any) -> tuple[int, ...] | None:
    """The option ``days`` of *maker*, as sorted numbers from 0 for Monday; None where it was left out.

    Raises `DeclarationError` for what is no weekday, `DeclarationTypeError` for the wrong kind of value.

    >>> read_weekdays("business_hours", "mon-wed,sat"), read_weekdays("business_hours", ["sun-mon"])
    ((0, 1, 2, 5), (0, 6))
    """
    if days is None:
        return None
    parts = days.split(",") if isinstance(days, str) else days
    if not isinstance(parts, Collection) or not all(isinstance(part, str) for part in parts):
        raise DeclarationTypeError(
            f"{maker}: days is a text such as 'mon-fri', or a list of weekdays, not {shorten(days)}."
        )
    if not parts:
        raise DeclarationError(f"{maker}: days is an empty list. Leave it out, or name a weekday.")
    found: set[int] = set()
    for part in parts:
        first, dash, last = part.partition("-")
        start = _weekday(maker, first)
        span = (_weekday(maker, last) - start) % 7 if dash else 0
        found.update((start + step) % 7 for step in range(span + 1))
    return tuple(sorted(found))


def _weekday(maker: str, text: str) -> int:
    wanted = text.strip().lower()
    for number, name in enumerate(WEEKDAYS):
        if wanted in (name.lower(), name[:3].lower()):
            return number
    hint = did_you_mean(wanted[:60], [name[:3].lower() for name in WEEKDAYS], "Write 'mon-fri' or 'tue,sat'.")
    raise DeclarationError(f"{maker}: {shorten(text)} in days is not a weekday. {hint}")


def weekdays_text(days: tuple[int, ...] | None) -> str | None:
    """What `read_weekdays` reads as *days*."""
    return None if days is None else ",".join(WEEKDAYS[day][:3].lower() for day in days)


def call_text(maker: str, values: Iterable[str], options: dict[str, Any]) -> str:
    """A call of *maker*, as in a program, without the options that are empty."""
    given = [f"{option}={value!r}" for option, value in options.items() if value]
    return f"{maker}({', '.join([*map(repr, values), *given])})"
