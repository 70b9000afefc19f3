"""``once``: one moment as a `schedule.Job`."""

from __future__ import annotations

import datetime
from typing import Any

import schedule

from task.clock import as_local
from task.errors import ScheduleError
from task.schedules.walltime import UTC, shorten

__all__ = ["OnceJob", "once"]


class OnceJob(schedule.Job):
    """A schedule with one slot. Make one with `once`."""

    def __init__(self, moment: datetime.datetime) -> None:
        super().__init__(1, schedule.default_scheduler)
        self.unit = "once"
        self.moment = moment

    def next_slot(self, after: datetime.datetime) -> datetime.datetime | None:
        """The moment, as long as it is later than *after*; then None."""
        moment = self.moment.astimezone(UTC)
        return moment if moment > after else None

    def run(self) -> Any:
        """Run on a plain `schedule.Scheduler`, and leave it: there is no second time."""
        super().run()  # type: ignore[no-untyped-call]
        return schedule.CancelJob

    def _schedule_next_run(self) -> None:
        if self.last_run is None:  # past or not: plain `schedule` runs it at its next opportunity
            self.next_run = as_local(self.moment)

    def __repr__(self) -> str:
        stamps: str = super().__repr__().partition(" do ")[2]  # type: ignore[no-untyped-call]
        return f"{self.words} do {stamps}"

    @property
    def words(self) -> str:
        """The moment, as people write it."""
        return f"Once at {self.moment.isoformat(sep=' ')}"


def once(moment: datetime.datetime) -> OnceJob:
    """A schedule that is due at one *moment*, an aware datetime.

    A moment that is already past when its task is registered is recorded as missed. Raises
    `ScheduleError` for a naive datetime: it would mean another moment on another machine.

    >>> once(datetime.datetime(2026, 12, 24, 18, tzinfo=datetime.timezone.utc)).words
    'Once at 2026-12-24 18:00:00+00:00'
    """
    if not isinstance(moment, datetime.datetime):
        raise ScheduleError(f"once() takes an aware datetime, not {shorten(moment)}.")
    if moment.utcoffset() is None:
        raise ScheduleError(
            f"once({shorten(moment)}) has no time zone. Add one: moment.replace(tzinfo=ZoneInfo('Europe/Amsterdam'))."
        )
    try:
        moment.astimezone(UTC)
    except OverflowError:
        raise ScheduleError(f"once({shorten(moment)}) is outside the years 1 to 9999 of UTC.") from None
    return OnceJob(moment)
