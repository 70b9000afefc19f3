"""Once: one moment as a Job."""

import datetime
import zoneinfo

import pytest
import schedule

from task.errors import ScheduleError
from task.schedules import next_slot, once

UTC = datetime.UTC
EVE = datetime.datetime(2026, 12, 24, 18, tzinfo=UTC)
TICK = datetime.timedelta(microseconds=1)


def test_the_moment_is_the_only_slot():
    assert next_slot(once(EVE), EVE - TICK, anchor=EVE) == EVE
    assert next_slot(once(EVE), EVE, anchor=EVE) is None


def test_a_moment_of_another_zone_is_answered_in_utc():
    there = datetime.datetime(2026, 12, 24, 18, tzinfo=zoneinfo.ZoneInfo("Europe/Amsterdam"))
    assert (
        next_slot(once(there), EVE - datetime.timedelta(days=1), anchor=EVE).isoformat() == "2026-12-24T17:00:00+00:00"
    )


def test_the_fold_of_a_repeated_hour_counts():
    second = datetime.datetime(2026, 10, 25, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Amsterdam"), fold=1)
    slot = next_slot(once(second), datetime.datetime(2026, 10, 25, tzinfo=UTC), anchor=EVE)
    assert slot.isoformat() == "2026-10-25T01:30:00+00:00"


def test_it_says_its_moment():
    assert repr(once(EVE)) == ("Once at 2026-12-24 18:00:00+00:00 do [None] (last run: [never], next run: [never])")


def test_plain_schedule_runs_it_once():
    scheduler, ran = schedule.Scheduler(), []
    job = once(datetime.datetime(2020, 1, 1, tzinfo=UTC))
    job.scheduler = scheduler
    job.do(ran.append, "once")
    scheduler.run_pending()
    scheduler.run_pending()
    assert ran == ["once"]
    assert scheduler.jobs == []


@pytest.mark.parametrize(
    "moment",
    [
        datetime.datetime(2026, 12, 24, 18),
        datetime.datetime.max.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=-5))),
        datetime.datetime.min.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=5))),
        datetime.date(2026, 12, 24),
        "2026-12-24 18:00",
        1_800_000_000,
        None,
    ],
)
def test_what_is_no_aware_moment_is_refused(moment):
    with pytest.raises(ScheduleError, match="once\\(") as caught:
        once(moment)
    assert len(str(caught.value)) <= 300
