"""``every``: `schedule`'s own English, with zones that need no pytz."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import schedule

from task.schedules.slots import check_interval, plan
from task.schedules.walltime import resolve_zone, zone_name

if TYPE_CHECKING:
    import datetime
    from collections.abc import Hashable

__all__ = ["Job", "every"]


class Job(schedule.Job):
    """A `schedule.Job` whose ``.at()`` takes a zone name or a ``ZoneInfo``, and that names its weekday."""

    if TYPE_CHECKING:
        # `schedule` annotates none of these: without them `@task(every(30).seconds)` makes a function untyped.
        second: Job
        seconds: Job
        minute: Job
        minutes: Job
        hour: Job
        hours: Job
        day: Job
        days: Job
        week: Job
        weeks: Job
        monday: Job
        tuesday: Job
        wednesday: Job
        thursday: Job
        friday: Job
        saturday: Job
        sunday: Job

        def to(self, latest: float) -> Job: ...
        def tag(self, *tags: Hashable) -> Job: ...
        def until(self, until_time: datetime.datetime | datetime.timedelta | datetime.time | str) -> Job: ...

    def at(self, time_str: str, tz: Any = None) -> Job:
        """Set the time of day (or ``MM:SS``, ``:SS``) at which the job is due.

        *tz* is a zone name, a ``zoneinfo.ZoneInfo`` or a pytz zone. Raises `ScheduleError` for a
        zone that does not exist, and `schedule.ScheduleValueError` for a malformed time.

        >>> every().day.at("10:30", "Europe/Amsterdam")
        Every 1 day at 10:30:00 in Europe/Amsterdam do [None] (last run: [never], next run: [never])
        """
        zone = resolve_zone(tz)
        super().at(time_str)
        self.at_time_zone = zone  # type: ignore[assignment]  # schedule's annotation is a bare None
        return self

    def _schedule_next_run(self) -> None:
        # Runs on a plain `schedule.Scheduler` too, whose own computation would want a pytz zone.
        plan(self)

    def __repr__(self) -> str:
        if self.unit is None:  # where schedule's own raises
            return f"Every {self.interval}"
        text: str = super().__repr__()  # type: ignore[no-untyped-call]
        head, do, tail = text.partition(" do ")
        if self.start_day is not None:
            head = head.replace("Every 1 week", f"Every {self.start_day}", 1)
        if self.at_time_zone is not None:
            head += f" in {zone_name(resolve_zone(self.at_time_zone))}"
        return head + do + tail


def every(interval: float = 1) -> Job:
    """`schedule.every`, whose Job takes a zone without pytz: ``every().day.at("10:30", "Europe/Amsterdam")``.

    *interval* is a positive number of units. Raises `ScheduleError` for any other.

    >>> every(30).seconds
    Every 30 seconds do [None] (last run: [never], next run: [never])
    """
    check_interval(interval)
    return Job(interval, schedule.default_scheduler)  # type: ignore[arg-type]  # fractions work, see slots.py
