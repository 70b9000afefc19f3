"""Schedules as people read them: ``every day at 02:00`` for ``0 2 * * *``."""

from __future__ import annotations

import datetime
import functools
import re

import schedule

from task.errors import ScheduleError
from task.overview.values import ScheduleText
from task.schedules import (
    CronJob,
    OnceJob,
    Zone,
    cadence,
    needs_zone,
    resolve_zone,
    schedule_from_words,
    words,
    zone_name,
)

__all__ = ["moment_text", "text_of", "text_of_words", "zone_of"]

_DAYS = re.compile(r"(?:only )?(on )?([A-Z][a-z]+day.*)")


def text_of(job: schedule.Job) -> ScheduleText:
    """One schedule, for people. It never raises: what has no words is told as it is written.

    >>> from task import cron
    >>> text_of(cron("0 18 * * mon-fri", tz="Europe/Amsterdam"))
    ScheduleText(text='Monday to Friday at 18:00', source='0 18 * * mon-fri', zone='Europe/Amsterdam')
    """
    zone = zone_of(job)
    place = None if zone is None else zone_name(zone)
    if isinstance(job, CronJob):
        return ScheduleText(_cron_text(job), job.expression, place)
    if isinstance(job, OnceJob):
        return ScheduleText(f"once on {moment_text(job.moment)}", words(job), None)
    try:
        source = words(job)
    except ScheduleError:
        source = cadence(job)
    return ScheduleText(source if place is None else source.replace(f" in {place}", "", 1), source, place)


def text_of_words(source: str, name: str) -> ScheduleText:
    """The schedule that these words are, of the task or recurring entry *name*; unreadable ones as they are."""
    try:
        job = schedule_from_words(source)
        return text_of(job.hashed_by(name) if isinstance(job, CronJob) else job)
    except ScheduleError:
        return ScheduleText(source, source, None)


def moment_text(local: datetime.datetime) -> str:
    """A moment in its own zone: ``Sun 25 Oct 2026 02:30 CEST``; with seconds where there are any."""
    seconds = f":{local:%S}" if local.second else ""
    return f"{local:%a} {local.day} {local:%b %Y %H:%M}{seconds} {local:%Z}"


def zone_of(job: schedule.Job) -> Zone:
    """The zone whose wall times it names; None: that of the process, or it names none."""
    if isinstance(job, CronJob):
        return job.zone
    if isinstance(job, OnceJob) or getattr(job, "next_slot", None) is not None or not needs_zone(job):
        return None
    return resolve_zone(job.at_time_zone)


def _cron_text(job: CronJob) -> str:
    fields = job.fields
    return job.expression if fields is None else _english(tuple(fields)) or job.expression


@functools.lru_cache(maxsize=4096)
def _english(fields: tuple[str, ...]) -> str | None:
    """A sentence for the fields of a cron; None where there is none that tells the truth."""
    try:
        from cron_descriptor import Options, get_description
    except ImportError:  # of the extra `flask`: without it the pattern is told
        return None
    day, month, weekday = fields[2:5]
    if not day.startswith(("*", "?")) and not weekday.startswith(("*", "?")):
        return None  # cron means either of the two, and the library's sentence both
    options = Options(use_24hour_time_format=True, locale_code="en_US")
    try:
        told = get_description(" ".join([*fields[5:], *fields[:5]]).upper(), options)
    except Exception:  # another reader of cron than ours: it may refuse what we take, in whatever way
        return None
    return _arranged(told, daily=(day, month, weekday) == ("*", "*", "*"))


def _arranged(told: str, *, daily: bool) -> str:
    """``At 18:00, Monday through Friday`` as ``Monday to Friday at 18:00``."""
    told = told.replace(" through ", " to ")
    times, _, rest = told.partition(", ")
    days = _DAYS.fullmatch(rest)
    if re.match(r"At \d\d:\d\d", told):
        if daily and not rest:
            return f"every day at {times[3:]}"
        if days is not None and " of the month" not in rest:
            return f"{'every ' if days[1] else ''}{days[2]} at {times[3:]}"
    return told[0].lower() + told[1:]
