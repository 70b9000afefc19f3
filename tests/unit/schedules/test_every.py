"""`every`: schedule's own English, with zones that need no pytz."""

import datetime
import re
import sys
import zoneinfo

import pytest
import schedule

from task.errors import ScheduleError
from task.schedules import Job, every


def words(job):
    return repr(job).partition(" do ")[0]


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (every(30).seconds, "Every 30 seconds"),
        (every(0.5).seconds, "Every 0.5 seconds"),
        (every().minute, "Every 1 minute"),
        (every(2).hours, "Every 2 hours"),
        (every(5).to(10).days, "Every 5 to 10 days"),
        (every().day.at("10:30"), "Every 1 day at 10:30:00"),
        (every().day.at("10:30", "Europe/Amsterdam"), "Every 1 day at 10:30:00 in Europe/Amsterdam"),
        (every().monday.at("13:15"), "Every monday at 13:15:00"),
        (every().sunday, "Every sunday"),
        (every(), "Every 1"),
    ],
)
def test_a_job_reads_as_it_was_written(job, expected):
    assert words(job) == expected


def test_it_is_a_job_of_schedule():
    assert isinstance(every(), schedule.Job)
    assert every().scheduler is schedule.default_scheduler


@pytest.mark.parametrize("zone", ["America/New_York", zoneinfo.ZoneInfo("America/New_York")])
def test_a_zone_is_a_name_or_a_zoneinfo(zone):
    assert every().day.at("10:30", zone).at_time_zone == zoneinfo.ZoneInfo("America/New_York")


def test_a_zone_needs_no_pytz(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytz", None)
    assert words(every().day.at("10:30", "Asia/Tokyo")) == "Every 1 day at 10:30:00 in Asia/Tokyo"


def test_at_keeps_the_other_words():
    job = every().monday.tag("weekly").at("10:30", "Asia/Tokyo")
    assert type(job) is Job
    assert (job.start_day, job.tags) == ("monday", {"weekly"})


def test_an_unknown_zone_is_refused():
    with pytest.raises(ScheduleError, match=re.escape("There is no time zone 'Mars/Olympus'.")):
        every().day.at("10:30", "Mars/Olympus")


@pytest.mark.parametrize(
    ("job", "time"),
    [
        (every().day, "24:00"),
        (every().day, "10:60"),
        (every().day, "1030"),
        (every().day, ""),
        (every().day, "10:30 "),
        (every().day, "-1:30"),
        (every().hour, "10:30:00"),
        (every().hour, "60:00"),
        (every().minute, "30"),
        (every().minute, ":60"),
        (every().second, ":30"),
        (every().week, "10:30"),
        (every().day, "9" * 5000),
        (every().day, "\0"),
    ],
)
def test_a_malformed_time_gets_the_error_of_schedule(job, time):
    with pytest.raises(schedule.ScheduleValueError):
        job.at(time, "Europe/Amsterdam")


def test_plain_schedule_plans_our_jobs():
    scheduler = schedule.Scheduler()
    job = every().day.at("10:30", "Asia/Tokyo")
    job.scheduler = scheduler
    job.do(print)
    planned = job.next_run.astimezone(zoneinfo.ZoneInfo("Asia/Tokyo"))
    assert scheduler.jobs == [job]
    assert planned.time() == datetime.time(10, 30)


def test_plain_schedule_cancels_our_jobs_at_their_deadline():
    scheduler, ran = schedule.Scheduler(), []
    job = every(10).seconds.until(datetime.timedelta(seconds=1))
    job.scheduler = scheduler
    job.do(ran.append, 1)
    assert job.next_run > job.cancel_after
    job.next_run = datetime.datetime.now()
    scheduler.run_pending()
    assert (ran, scheduler.jobs) == ([1], [])
