"""Reading: a schedule from one line of words, as `task.schedules.words` writes it and people do."""

from __future__ import annotations

import datetime
import functools
import pkgutil
import re
from collections.abc import Iterable

import schedule

from task.errors import ScheduleError
from task.schedules.cron import cron
from task.schedules.every import every
from task.schedules.once import once
from task.schedules.slots import check_job
from task.schedules.walltime import Zone, resolve_zone, shorten, to_moment
from task.schedules.words import ZONE, as_local, needs_zone

__all__ = ["schedule_from_words"]

#: A cron expression of 256 characters with a zone and an end fits in.
LIMIT = 350

_EXAMPLES = "'every 30 seconds', 'every monday at 09:00 in Europe/Amsterdam' or '0 2 * * *'"
_CLAUSES = ("at", "on", "in", "until")


def _aliases(names: dict[str, str]) -> dict[str, str]:
    return {alias: name for name, others in names.items() for alias in (name, *others.split())}


_UNITS = _aliases(
    {
        "seconds": "second secs sec s",
        "minutes": "minute mins min m",
        "hours": "hour hrs hr h",
        "days": "day d",
        "weeks": "week wks wk w",
    }
)
_WEEKDAYS = _aliases(
    {
        "monday": "mondays mon",
        "tuesday": "tuesdays tues tue",
        "wednesday": "wednesdays wed",
        "thursday": "thursdays thurs thur thu",
        "friday": "fridays fri",
        "saturday": "saturdays sat",
        "sunday": "sundays sun",
    }
)

_NUMBER = r"(\d+(?:\.\d+)?|\.\d+)"
_OFTEN = re.compile(rf"(?:{_NUMBER}(?: ?(?:to|-) ?{_NUMBER})? ?)?([a-z]+)")
_CRON = re.compile(r"@.*|[\d*/,?()hlr-]+")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d.*)?")
_OFFSET = re.compile(r"UTC([+-]\d\d:\d\d\S*)")

_DAYTIME = (re.compile(r"(?P<hour>\d\d?)(?::(?P<minute>\d\d)(?::(?P<second>\d\d))?)?"), "'every day at 10:30'")
#: What ``at`` takes for each unit: as `schedule` has it.
_TIMES = {
    "minutes": (re.compile(r":(?P<second>\d\d)"), "'every minute at :15'"),
    "hours": (re.compile(r"(?P<minute>\d\d):(?P<second>\d\d)"), "'every hour at :30' or 'every hour at 30:15'"),
    "days": _DAYTIME,
    "weeks": _DAYTIME,
}


def schedule_from_words(text: str, tz: object = None) -> schedule.Job:
    """The schedule that *text* says: what `words` writes, and what people write who mean the same.

    It is "every" (or "each") and a number of seconds, minutes, hours, days or weeks, or a weekday; or a
    crontab line; or "once at" and a moment. Where they fit, "at" a time, "in" a zone and "until" a moment
    (local to the process) follow. Case, spaces and plurals do not matter; "30s" and "mon" will do. *tz*, a
    zone name or a ``ZoneInfo``, counts where the text names no zone.

    Raises `ScheduleError` for text that is not understood or has over 350 characters, for a schedule that
    can never be kept, and for an unknown zone.

    >>> schedule_from_words("each mon at 9", tz="Europe/Amsterdam")
    Every monday at 09:00:00 in Europe/Amsterdam do [None] (last run: [never], next run: [never])
    """
    zone = resolve_zone(tz)
    line = _Line(text)
    if "in" in line.clauses:
        zone = _read_zone(line)
    job = _read(line, zone)
    if "until" in line.clauses:
        job.cancel_after = _read_end(line)
    check_job(job)
    return job


class _Line:
    """A text cut up: what comes first, and what follows "at", "on", "in" and "until"."""

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise ScheduleError(f"A schedule in words is text such as {_EXAMPLES}, not {shorten(text)}.")
        self.text = text
        if len(text) > LIMIT:
            raise self.wrong(f"it has over {LIMIT} characters")
        for token in text.split():
            if not token.isascii():
                raise self.wrong(f"{shorten(token, 30)} is not ASCII")
        parts: dict[str, list[str]] = {"": []}
        last = parts[""]
        for token in text.split():
            word = token.lower()
            if word in parts:
                raise self.wrong(f"{word!r} comes twice")
            if word in _CLAUSES:
                last = parts[word] = []
            else:
                last.append(token)
        for word, rest in parts.items():
            if not rest:
                raise self.wrong(f"nothing follows {word!r}" if word else "it does not say how often")
        self.head = parts.pop("")
        self.clauses = {word: " ".join(rest) for word, rest in parts.items()}

    def wrong(self, what: str, examples: str = _EXAMPLES) -> ScheduleError:
        stop = "" if what.endswith("?") else "."
        return ScheduleError(f"The schedule {shorten(self.text, 50)} is not understood: {what}{stop} Write {examples}.")

    def unknown(self, word: str, *known: str) -> ScheduleError:
        return self.wrong(f"{shorten(word, 30)} is not known{_nearest(word, known)}")

    def allow(self, what: str, *clauses: str) -> None:
        for word in self.clauses:
            if word not in clauses:
                raise self.wrong(f"{what} takes no {word!r}")


def _nearest(word: str, known: Iterable[str]) -> str:
    import difflib  # loaded for the mistake only

    near = difflib.get_close_matches(word, known, n=1, cutoff=0.65) if len(word) <= 40 else ()
    return f"; did you mean {near[0]!r}?" if near else ""


def _read(line: _Line, zone: Zone) -> schedule.Job:
    first = line.head[0].lower()
    if first in ("every", "each"):
        return _read_every(line, zone)
    if first == "once":
        return _read_once(line, zone)
    head = " ".join(line.head)
    often = _OFTEN.fullmatch(head.lower())
    if often and (often[3] in _UNITS or often[3] in _WEEKDAYS):
        raise line.wrong(f"did you mean {'every ' + shorten(head, 40)[1:-1]!r}?")
    if first == "cron" or _CRON.fullmatch(first):
        line.allow("a cron line", "in", "until")
        return cron(" ".join(line.head[first == "cron" :]), tz=zone)
    raise line.unknown(first, "every", "each", "once", "@hourly", "@daily", "@weekly", "@monthly", "@yearly")


def _read_every(line: _Line, zone: Zone) -> schedule.Job:
    often = _OFTEN.fullmatch(" ".join(line.head[1:]).lower())
    if often is None:
        raise _strange(line)
    least, most, word = often.groups()
    weekday = _WEEKDAYS.get(word)
    if weekday is None and word not in _UNITS:
        raise line.unknown(word, *_UNITS, *_WEEKDAYS)
    if weekday is not None and (most is not None or least not in (None, "1") or "on" in line.clauses):
        raise line.wrong(f"one {weekday} a week is 'every {weekday}'", f"'every 2 weeks on {weekday}'")
    job = every(_number(least or "1"))
    job.unit = _UNITS.get(word, "weeks")
    job.latest = None if most is None else _number(most)  # type: ignore[assignment]  # fractions work, see slots.py
    if "on" in line.clauses:
        weekday = _WEEKDAYS.get(line.clauses["on"].lower())
        if weekday is None or job.unit != "weeks":
            raise line.wrong(
                f"on {shorten(line.clauses['on'], 30)}: only weeks have weekdays", "'every week on monday'"
            )
    job.start_day = weekday
    if "at" in line.clauses:
        job.at_time = _read_time(line, job.unit)
    if needs_zone(job):
        job.at_time_zone = zone  # type: ignore[assignment]  # schedule's annotation is a bare None
    return job


def _strange(line: _Line) -> ScheduleError:
    """What is wrong with words that are no number of units."""
    for word in line.head[1:]:
        if not re.fullmatch(_NUMBER, word) and word.lower() not in {"to", *_UNITS, *_WEEKDAYS}:
            return line.unknown(word.lower(), "to", *_CLAUSES, *_UNITS, *_WEEKDAYS)
    return line.wrong("after 'every' come a number and one unit")


def _number(text: str) -> float:
    return int(text) if text.isdigit() else float(text)


def _read_time(line: _Line, unit: str) -> datetime.time:
    text = line.clauses["at"]
    if unit not in _TIMES:
        raise line.wrong(f"{unit} take no 'at'", "'every 30 seconds' or 'every minute at :15'")
    pattern, examples = _TIMES[unit]
    match = pattern.fullmatch(f"{text[1:]}:00" if unit == "hours" and text[0] == ":" else text)
    try:
        if match:
            parts = match.groupdict("0")
            hour, minute, second = (int(parts.get(part, 0)) for part in ("hour", "minute", "second"))
            return datetime.time(hour, minute, second)
    except ValueError:
        pass
    raise line.wrong(f"at {shorten(text, 30)} is no time of one of the {unit}", examples)


def _read_once(line: _Line, zone: Zone) -> schedule.Job:
    line.allow("'once'", "at", "in", "until")
    example = "'once at 2026-12-24 18:00+01:00'"
    if "at" not in line.clauses:  # "once 2026-12-24 18:00+01:00"
        line.clauses["at"] = " ".join(line.head[1:])
    elif len(line.head) > 1:
        raise line.wrong(f"{shorten(line.head[1], 30)} is not known", example)
    moment = _read_moment(line, "at")
    if moment.tzinfo is not None:
        if "in" in line.clauses:
            raise line.wrong("it names its zone twice", example)
        return once(moment)
    if zone is None:
        raise line.wrong("its moment has no zone", f"{example}, or add 'in Europe/Amsterdam'")
    try:
        return once(to_moment(moment, zone).astimezone(zone))
    except OverflowError:
        raise line.wrong("its moment is outside the years 1 to 9999", example) from None


def _read_moment(line: _Line, clause: str) -> datetime.datetime:
    """A date, or a date and a time; with an offset from UTC it is aware."""
    text = line.clauses[clause]
    compact = re.sub(r" (?=[+-]|Z$)", "", text.upper())
    try:
        if _DATE.fullmatch(compact):
            return datetime.datetime.fromisoformat(compact)
    except ValueError:
        pass
    example = "'once at 2026-12-24 18:00+01:00'" if clause == "at" else "'every day until 2026-12-24 18:00'"
    raise line.wrong(f"{clause} {shorten(text, 30)} is no date and time", example)


def _read_end(line: _Line) -> datetime.datetime:
    end = _read_moment(line, "until")
    try:
        return end if end.tzinfo is None else as_local(end)
    except (OverflowError, ValueError, OSError):
        raise line.wrong(f"until {shorten(line.clauses['until'], 40)} is outside the years 1 to 9999") from None


def _read_zone(line: _Line) -> Zone:
    text = line.clauses["in"]
    if offset := _OFFSET.fullmatch(text.upper()):
        try:
            return datetime.datetime.fromisoformat(f"2026-01-01 00:00:00{offset[1]}").tzinfo
        except ValueError:
            raise line.wrong(f"{shorten(text, 30)} is no offset from UTC", "'in UTC+02:00'") from None
    names = _zones()
    name = names.get(text.lower(), text)
    if ZONE.fullmatch(name):
        try:
            return resolve_zone(name)
        except ScheduleError:
            pass  # said below, with the nearest one
    ending = f"/{text.lower().replace(' ', '_')}"
    city = next((name for name in names.values() if name.lower().endswith(ending)), None)
    hint = f"; did you mean {city!r}?" if city else _nearest(text, names.values())
    raise line.wrong(f"there is no time zone {shorten(text, 40)}{hint}", "one such as 'in Europe/Amsterdam'")


@functools.cache
def _zones() -> dict[str, str]:
    """The names of all zones, by themselves in lower case: a list, as zoneinfo would open every file."""
    listed = pkgutil.get_data("tzdata", "zones") or b""
    return {name.lower(): name for name in listed.decode().split()}
