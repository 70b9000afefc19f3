"""Calendars: days, weeks and `.at()`, wall times of a zone."""

import datetime
import itertools
import zoneinfo

import pytest
import pytz
import schedule
from hypothesis import given
from hypothesis import strategies as st

from task.schedules import UTC, every, newest_slot, next_slot

AMSTERDAM = zoneinfo.ZoneInfo("Europe/Amsterdam")
MONDAY_NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=AMSTERDAM)


def slots(job, count, anchor=MONDAY_NOON, seed=""):
    """The first slots of a Job, as Amsterdam's clock shows them."""
    found, after = [], anchor
    for _ in range(count):
        after = next_slot(job, after, anchor=anchor, seed=seed)
        found.append(f"{after.astimezone(AMSTERDAM):%a %d %b %H:%M:%S}")
    return found


def test_a_time_of_day_still_to_come_is_today():
    assert slots(every().day.at("13:15", AMSTERDAM), 2) == ["Mon 04 May 13:15:00", "Tue 05 May 13:15:00"]


def test_a_time_of_day_already_past_is_tomorrow():
    assert slots(every().day.at("10:30", AMSTERDAM), 1) == ["Tue 05 May 10:30:00"]


def test_seconds_of_a_time_of_day_count():
    assert slots(every().day.at("13:15:59", AMSTERDAM), 1) == ["Mon 04 May 13:15:59"]


def test_every_other_day_at_a_time_begins_two_days_on():
    expected = ["Wed 06 May 13:15:00", "Fri 08 May 13:15:00"]
    assert slots(every(2).days.at("13:15", AMSTERDAM), 2) == expected


@pytest.mark.parametrize(
    ("weekday", "slot"),
    [
        ("monday", "Mon 04 May 13:15:00"),
        ("tuesday", "Tue 05 May 13:15:00"),
        ("wednesday", "Wed 06 May 13:15:00"),
        ("thursday", "Thu 07 May 13:15:00"),
        ("friday", "Fri 08 May 13:15:00"),
        ("saturday", "Sat 09 May 13:15:00"),
        ("sunday", "Sun 10 May 13:15:00"),
    ],
)
def test_a_weekday_at_a_time_is_the_next_such_day(weekday, slot):
    assert slots(getattr(every(), weekday).at("13:15", AMSTERDAM), 1) == [slot]


def test_a_weekday_whose_time_is_past_today_is_next_week():
    expected = ["Mon 11 May 10:30:00", "Mon 18 May 10:30:00"]
    assert slots(every().monday.at("10:30", AMSTERDAM), 2) == expected


def test_the_zone_of_a_time_decides_the_day():
    job = every().sunday.at("20:00", "America/New_York")
    assert slots(job, 1) == ["Mon 11 May 02:00:00"]


def test_hourly_at_a_minute_is_due_each_hour():
    assert slots(every().hour.at("15:00", AMSTERDAM), 2) == ["Mon 04 May 12:15:00", "Mon 04 May 13:15:00"]


def test_hourly_at_a_minute_is_the_minute_of_its_zone():
    assert slots(every().hour.at("15:00", "Asia/Kathmandu"), 1) == ["Mon 04 May 12:30:00"]


def test_several_hours_at_a_minute_are_due_one_period_after_the_anchors_hour():
    expected = ["Mon 04 May 15:15:00", "Mon 04 May 18:15:00"]
    assert slots(every(3).hours.at("15:00", AMSTERDAM), 2) == expected


# Without a time: the anchor's own, in the zone of the process.


def test_days_without_a_time_keep_the_anchors_wall_time(local_zone):
    local_zone("CET-1CEST,M3.5.0,M10.5.0/3")
    anchor = datetime.datetime(2026, 3, 28, 12, 0, tzinfo=AMSTERDAM)
    assert slots(every(2).days, 2, anchor) == ["Mon 30 Mar 12:00:00", "Wed 01 Apr 12:00:00"]


def test_weeks_without_a_time_keep_the_anchors_wall_time(local_zone):
    local_zone("CET-1CEST,M3.5.0,M10.5.0/3")
    anchor = datetime.datetime(2026, 10, 24, 12, 0, tzinfo=AMSTERDAM)
    assert slots(every(3).weeks, 2, anchor) == ["Sat 14 Nov 12:00:00", "Sat 05 Dec 12:00:00"]


def test_a_weekday_without_a_time_keeps_the_anchors_wall_time(local_zone):
    local_zone("CET-1CEST,M3.5.0,M10.5.0/3")
    assert slots(every().thursday, 2) == ["Thu 07 May 12:00:00", "Thu 14 May 12:00:00"]


def test_a_time_without_a_zone_is_the_time_of_the_process(local_zone):
    local_zone("EST5EDT,M3.2.0,M11.1.0")
    assert slots(every().day.at("10:30"), 1) == ["Mon 04 May 16:30:00"]


def test_a_zone_of_the_process_without_a_name_has_gaps_and_overlaps(local_zone):
    local_zone("CET-1CEST,M3.5.0,M10.5.0/3")
    spring = datetime.datetime(2026, 3, 29, 0, 0, tzinfo=AMSTERDAM)
    autumn = datetime.datetime(2026, 10, 25, 0, 0, tzinfo=AMSTERDAM)
    job = every().day.at("02:30")
    assert slots(job, 2, spring) == ["Sun 29 Mar 03:00:00", "Mon 30 Mar 02:30:00"]
    assert slots(job, 2, autumn) == ["Sun 25 Oct 02:30:00", "Mon 26 Oct 02:30:00"]


# Zones.


@pytest.mark.parametrize("zone", ["Europe/Amsterdam", AMSTERDAM, pytz.timezone("Europe/Amsterdam")])
def test_a_zone_is_a_name_a_zoneinfo_or_a_pytz_zone(zone):
    assert slots(every().day.at("10:30", zone), 1) == ["Tue 05 May 10:30:00"]


def test_plain_schedule_jobs_keep_their_pytz_zone():
    job = schedule.every().day.at("10:30", "America/New_York")
    assert slots(job, 1) == ["Mon 04 May 16:30:00"]


def test_a_plain_schedule_job_fires_once_after_the_spring_change():
    job = schedule.every().day.at("02:30", "Europe/Amsterdam")
    anchor = datetime.datetime(2026, 3, 28, 12, tzinfo=AMSTERDAM)
    assert slots(job, 3, anchor) == ["Sun 29 Mar 03:00:00", "Mon 30 Mar 02:30:00", "Tue 31 Mar 02:30:00"]


def test_a_plain_schedule_job_is_not_silent_in_the_repeated_hour():
    job = schedule.every().hour.at("30:00", "Europe/Amsterdam")
    anchor = datetime.datetime(2026, 10, 25, 1, 30, tzinfo=AMSTERDAM)
    assert slots(job, 3, anchor) == ["Sun 25 Oct 02:30:00", "Sun 25 Oct 02:30:00", "Sun 25 Oct 03:30:00"]


def test_a_fixed_offset_is_a_zone():
    zone = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    assert slots(every().day.at("18:00", zone), 1) == ["Mon 04 May 14:30:00"]


def test_a_half_hour_gap_skips_the_minute_that_it_holds():
    job = every().hour.at("10:00", "Australia/Lord_Howe")
    anchor = datetime.datetime(2025, 10, 4, 14, 45, tzinfo=UTC)  # 01:15 on the island, the gap is at 02:00
    assert next_slot(job, anchor, anchor=anchor).isoformat() == "2025-10-04T16:10:00+00:00"  # 03:10 there


# Ranges.


def test_drawn_days_keep_their_time_of_day():
    job = every(2).to(4).days.at("13:15", AMSTERDAM)
    expected = {"Wed 06 May 13:15:00", "Thu 07 May 13:15:00", "Fri 08 May 13:15:00"}
    assert {slots(job, 1, seed=str(n))[0] for n in range(60)} == expected


def test_a_drawn_single_day_may_be_today():
    assert slots(every(1).to(1).days.at("13:15", AMSTERDAM), 2) == ["Mon 04 May 13:15:00", "Tue 05 May 13:15:00"]


def test_drawn_weeks_keep_their_weekday():
    job = every().thursday.at("09:00", AMSTERDAM).to(2)
    expected = {"Thu 07 May 09:00:00", "Thu 21 May 09:00:00"}
    assert {slots(job, 1, seed=str(n))[0] for n in range(60)} == expected


# Deadlines.


def test_no_day_is_later_than_until():
    job = every().day.at("13:15", AMSTERDAM)
    job.cancel_after = datetime.datetime(2026, 5, 5, 13, tzinfo=AMSTERDAM).astimezone().replace(tzinfo=None)
    first = next_slot(job, MONDAY_NOON, anchor=MONDAY_NOON)
    assert first.isoformat() == "2026-05-04T11:15:00+00:00"
    assert next_slot(job, first, anchor=MONDAY_NOON) is None


# Properties.

ZONES = st.sampled_from(["Europe/Amsterdam", "Australia/Lord_Howe", "Asia/Beirut", "America/Santiago"])
TIMES = st.times().map(lambda time: time.replace(microsecond=0).isoformat())
ANCHORS = st.datetimes(datetime.datetime(2020, 1, 1), datetime.datetime(2030, 1, 1), timezones=st.just(UTC))


@st.composite
def calendars(draw):
    zone, unit = draw(ZONES), draw(st.sampled_from(["days", "day", "sunday", "hour", "hours", "weeks"]))
    number = draw(st.integers(2, 40)) if unit in ("days", "hours", "weeks") else 1
    job = getattr(every(number), unit)
    if "hour" in unit:
        return job.at(draw(TIMES)[3:], zone)
    if unit != "weeks":
        return job.at(draw(TIMES), zone)
    job.at_time_zone = zoneinfo.ZoneInfo(zone)
    return job


@given(calendars(), ANCHORS, st.timedeltas(datetime.timedelta(0), datetime.timedelta(days=400)))
def test_slots_rise_and_never_repeat(job, anchor, span):
    after = anchor + span
    found = [after]
    for _ in range(5):
        found.append(next_slot(job, found[-1], anchor=anchor))
    assert all(earlier < later for earlier, later in itertools.pairwise(found))


@given(
    calendars(),
    ANCHORS,
    st.timedeltas(datetime.timedelta(0), datetime.timedelta(days=400)),
    st.floats(0, 1, exclude_max=True),
)
def test_every_moment_before_a_slot_has_the_same_answer(job, anchor, span, part):
    after = anchor + span
    slot = next_slot(job, after, anchor=anchor)
    between = min(after + (slot - after) * part, slot - datetime.timedelta(microseconds=1))
    assert next_slot(job, between, anchor=anchor) == slot


@given(calendars(), ANCHORS, st.timedeltas(datetime.timedelta(0), datetime.timedelta(days=400)))
def test_the_newest_slot_has_none_between_it_and_the_end(job, anchor, span):
    first = next_slot(job, anchor, anchor=anchor)
    newest = newest_slot(job, first, first + span, anchor=anchor)
    assert first <= newest <= first + span < next_slot(job, newest, anchor=anchor)
