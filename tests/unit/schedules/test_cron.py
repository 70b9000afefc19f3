"""Cron: the fields, the names, `H`, and Debian's rule, with `cronsim` as a second opinion."""

import copy
import datetime
import itertools
import random
import zoneinfo

import pytest
import walk_oracle
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from task.errors import ScheduleError
from task.schedules import cron, newest_slot, next_slot
from task.schedules.cron import _next_wall

UTC = datetime.UTC
START = datetime.datetime(2026, 5, 4, 12, tzinfo=UTC)  # a Monday


def slots(expression, count=3, after=START, tz="UTC", name=None):
    """The first slots of an expression, in UTC."""
    job = cron(expression, tz=tz)
    if name is not None:
        job = job.hashed_by(name)
    found = []
    for _ in range(count):
        after = next_slot(job, after, anchor=START)
        found.append(f"{after:%Y-%m-%d %H:%M:%S}")
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 2 * * *", ["2026-05-05 02:30:00", "2026-05-06 02:30:00"]),
        ("*/20 * * * *", ["2026-05-04 12:20:00", "2026-05-04 12:40:00"]),
        ("0 18 * * mon-fri", ["2026-05-04 18:00:00", "2026-05-05 18:00:00"]),
        ("0 18 * * MON-FRI", ["2026-05-04 18:00:00", "2026-05-05 18:00:00"]),
        ("0 0 1 jan,jul *", ["2026-07-01 00:00:00", "2027-01-01 00:00:00"]),
        ("0 0 * * 7", ["2026-05-10 00:00:00", "2026-05-17 00:00:00"]),
        ("0 0 * * 0", ["2026-05-10 00:00:00", "2026-05-17 00:00:00"]),
        ("5-7 9 * * *", ["2026-05-05 09:05:00", "2026-05-05 09:06:00"]),
        ("0 9-17/4 * * *", ["2026-05-04 13:00:00", "2026-05-04 17:00:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00:00", "2032-02-29 00:00:00"]),
        ("  0   6 *\t* * ", ["2026-05-05 06:00:00", "2026-05-06 06:00:00"]),
    ],
)
def test_five_fields(expression, expected):
    assert slots(expression, 2) == expected


def test_the_sixth_field_is_the_second():
    assert slots("* * * * * */20") == ["2026-05-04 12:00:20", "2026-05-04 12:00:40", "2026-05-04 12:01:00"]
    assert slots("30 2 * * * 15", 1) == ["2026-05-05 02:30:15"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("@hourly", "2026-05-04 13:00:00"),
        ("@daily", "2026-05-05 00:00:00"),
        ("@midnight", "2026-05-05 00:00:00"),
        ("@weekly", "2026-05-10 00:00:00"),
        ("@monthly", "2026-06-01 00:00:00"),
        ("@yearly", "2027-01-01 00:00:00"),
        ("@annually", "2027-01-01 00:00:00"),
        ("@Hourly", "2026-05-04 13:00:00"),
    ],
)
def test_names_stand_for_expressions(name, expected):
    assert slots(name, 1) == [expected]


def test_a_name_is_not_hashed():
    assert slots("@daily", 1, name="report") == ["2026-05-05 00:00:00"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 0 L * *", ["2026-05-31 00:00:00", "2026-06-30 00:00:00"]),
        ("0 0 * * fri#2", ["2026-05-08 00:00:00", "2026-06-12 00:00:00"]),
        ("0 0 * * 1#5", ["2026-06-29 00:00:00", "2026-08-31 00:00:00"]),
        ("0 0 * * L5", ["2026-05-29 00:00:00", "2026-06-26 00:00:00"]),
        ("0 0 15W * *", ["2026-05-15 00:00:00", "2026-06-15 00:00:00"]),
        ("0 0 1W 8 *", ["2026-08-03 00:00:00", "2027-08-02 00:00:00"]),
    ],
)
def test_last_nth_and_nearest_days(expression, expected):
    assert slots(expression, 2) == expected


def test_day_of_month_or_weekday_where_neither_starts_with_a_star():
    assert slots("0 0 13 * fri") == ["2026-05-08 00:00:00", "2026-05-13 00:00:00", "2026-05-15 00:00:00"]


def test_day_of_month_and_weekday_where_one_starts_with_a_star():
    assert slots("0 0 */2 * fri", 2) == ["2026-05-15 00:00:00", "2026-05-29 00:00:00"]


@pytest.mark.parametrize("expression", ["0 0 1-31 * fri", "0 0 1-31/1 * 5", "0 0 13 * 0-6", "0 0 13 * 0-7"])
def test_a_whole_range_is_no_star(expression):
    assert slots(expression, 2) == ["2026-05-05 00:00:00", "2026-05-06 00:00:00"]


def test_a_whole_range_of_minutes_names_times_and_does_not_follow_the_clock():
    before = datetime.datetime(2026, 10, 25, 0, 59, 30, tzinfo=UTC)  # 02:59:30 in Amsterdam, the first time
    assert slots("0-59 0-23 * * *", 1, before, tz="Europe/Amsterdam") == ["2026-10-25 02:00:00"]


def test_nothing_named_is_due_again_from_within_a_repeated_hour():
    within = datetime.datetime(2026, 10, 25, 1, 0, 1, tzinfo=UTC)  # 02:00:01 in Amsterdam, the second time
    assert slots("0-59 0-23 * * * 0-59", 1, within, tz="Europe/Amsterdam") == ["2026-10-25 02:00:00"]


def test_microseconds_of_the_question_do_not_hide_a_slot():
    after = datetime.datetime(2026, 5, 4, 12, 59, 59, 999_999, tzinfo=UTC)
    assert slots("0 * * * *", 1, after) == ["2026-05-04 13:00:00"]
    assert slots("0 * * * *", 1, after + datetime.timedelta(microseconds=2)) == ["2026-05-04 14:00:00"]


def test_without_a_zone_the_zone_of_the_process_counts(local_zone):
    local_zone("EST5EDT,M3.2.0,M11.1.0")
    assert slots("30 9 * * *", 1, tz=None) == ["2026-05-04 13:30:00"]


def test_the_zone_of_the_process_has_gaps_and_overlaps(local_zone):
    local_zone("CET-1CEST,M3.5.0,M10.5.0/3")
    spring, autumn = datetime.datetime(2026, 3, 28, 12, tzinfo=UTC), datetime.datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert slots("30 2 * * *", 2, spring, tz=None) == ["2026-03-29 01:00:00", "2026-03-30 00:30:00"]
    assert slots("30 2 * * *", 2, autumn, tz=None) == ["2026-10-25 00:30:00", "2026-10-26 01:30:00"]
    assert slots("*/30 2 * * *", 1, spring, tz=None) == ["2026-03-30 00:00:00"]


# Words.


def test_a_cron_says_what_it_is():
    assert cron("0 18 * * mon-fri", tz="Europe/Amsterdam").words == "Cron 0 18 * * mon-fri in Europe/Amsterdam"
    assert cron(" 0  18 * * * ").words == "Cron 0 18 * * *"


def test_the_repr_has_the_stamps_of_schedule():
    assert repr(cron("@daily")) == "Cron @daily do [None] (last run: [never], next run: [never])"


def test_plain_schedule_can_plan_it():
    job = cron("0 0 1 1 *", tz="UTC")
    job.do(print)
    job.scheduler.cancel_job(job)
    assert (job.next_run.month, job.next_run.minute) in {(1, 0), (12, 0)}


# `H`.


def test_a_hash_is_the_same_each_time():
    assert slots("H H * * *", name="report") == slots("H H * * *", name="report")


def test_a_hash_differs_by_task():
    assert len({slots("H H * * *", 1, name=f"task {n}")[0] for n in range(50)}) > 40


def test_a_hash_in_a_range_stays_in_it():
    hours = {slots("0 H(2-4) * * *", 1, name=f"task {n}")[0] for n in range(50)}
    assert hours == {"2026-05-05 02:00:00", "2026-05-05 03:00:00", "2026-05-05 04:00:00"}


def test_a_hash_with_a_step_keeps_the_step():
    first, second, third = (datetime.datetime.fromisoformat(s) for s in slots("H/15 * * * *", 3, name="report"))
    assert second - first == third - second == datetime.timedelta(minutes=15)


def test_a_hash_without_a_name_can_be_asked_already():
    assert slots("H 4 * * *", 1)[0].startswith("2026-05-05 04:")


def test_hashing_leaves_the_schedule_itself_alone():
    job = cron("H H * * *", tz="UTC")
    before = job.next_slot(START)
    assert job.hashed_by("report") is not job
    assert job.next_slot(START) == before


def test_what_has_no_hash_is_not_copied():
    job = cron("0 2 * * *")
    assert job.hashed_by("report") is job


def test_a_hash_can_be_made_for_another_task():
    job = cron("H H * * *", tz="UTC")
    again = job.hashed_by("first").hashed_by("second")
    assert again.next_slot(START) == job.hashed_by("second").next_slot(START)


def test_a_hash_that_never_comes_for_a_task_is_refused_for_that_task():
    job = cron("0 0 H(28-31) 2 *")
    with pytest.raises(ScheduleError, match="never comes"):
        [job.hashed_by(f"task {number}") for number in range(50)]


# Debian's cron, by cronsim.

ZONES = sorted(walk_oracle.YEARS)

#: Where cronsim 2.8 is not Debian's cron for patterns that follow the clock (12 000 random expressions:
#: 135 differ, all of them so; the walk over UTC, which looks at each minute, agrees with us on all). It
#: looks for the hour in steps of 60 minutes, which after a change by half an hour are not whole hours of
#: the clock, and it takes midnight for a time of the clock where a gap begins there.
UNLIKE_DEBIAN = {"Australia/Lord_Howe", "America/Santiago", "Asia/Beirut", "Pacific/Apia"}


def random_expression(draw):
    """Five fields that Debian's cron knows, with dates that come often enough to be seen."""

    def field(low, high, star=0.4):
        form = draw.random()
        if form < star:
            return "*"
        if form < star + 0.15:
            return f"*/{draw.randint(1, high // 2)}"
        values = sorted(draw.sample(range(low, high + 1), 2))
        if form < star + 0.25:
            return f"{values[0]}-{values[1]}"
        if form < star + 0.35:
            return f"{values[0]}-{values[1]}/{draw.randint(1, 5)}"
        return ",".join(map(str, values)) if form < star + 0.45 else str(values[0])

    months = "*" if draw.random() < 0.7 else f"{draw.randint(1, 6)}-{draw.randint(7, 12)}"
    weekdays = field(0, 6, 0.6)
    return f"{field(0, 59, 0.2)} {field(0, 23, 0.3)} {field(1, 28, 0.6)} {months} {weekdays}"


def by_cronsim(expression, zone, after, count):
    """Cronsim's moments, once each: it names a time in a gap and the first after it as two equal ones.

    It begins with the wall time of *after*, which in the second pass of an hour is behind us already.
    """
    info = zoneinfo.ZoneInfo(zone)
    moments = (moment.astimezone(UTC) for moment in CronSim(expression, after.astimezone(info)))
    fresh = (moment for moment, _ in itertools.groupby(moments) if moment > after)
    return list(itertools.islice(fresh, count))


def by_task(expression, zone, after, count):
    job, found = cron(expression, tz=zone), []
    for _ in range(count):
        after = next_slot(job, after, anchor=after)
        found.append(after)
    return found


def expression_near_a_change(zone, seed):
    """A random expression, and a minute shortly before or after a change of the zone."""
    draw = random.Random(f"{zone} {seed}")
    change, _, _ = draw.choice(walk_oracle.changes(zone, walk_oracle.YEARS[zone]))
    return random_expression(draw), change - draw.randint(-120, 1500)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("seed", range(40))
def test_cron_around_a_change_is_that_of_debian(zone, seed):
    expression, start = expression_near_a_change(zone, seed)
    follows_the_clock = any(field.startswith("*") for field in expression.split()[:2])
    if zone in UNLIKE_DEBIAN and follows_the_clock:
        return
    after = walk_oracle.moment_of(start)
    assert by_task(expression, zone, after, 8) == by_cronsim(expression, zone, after, 8), expression


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("seed", range(15))
def test_cron_around_a_change_is_that_of_the_walk(zone, seed):
    expression, start = expression_near_a_change(zone, f"walk {seed}")
    expected = walk_oracle.walk(f"cron {expression}", zone, start, start, start + 3 * 1440)[:200]
    found = by_task(expression, zone, walk_oracle.moment_of(start), len(expected))
    assert found == [walk_oracle.moment_of(minute) for minute in expected], expression


@pytest.mark.parametrize("seed", range(100))
def test_cron_in_any_year_is_that_of_debian(seed):
    draw = random.Random(seed)
    zone = draw.choice(ZONES)
    after = datetime.datetime(draw.randint(2013, 2035), 1, 1, tzinfo=UTC) + draw.random() * datetime.timedelta(days=365)
    expression = random_expression(draw)
    assert by_task(expression, zone, after, 8) == by_cronsim(expression, zone, after, 8), expression


# Properties.

EXPRESSIONS = st.integers(0, 10_000).map(lambda seed: random_expression(random.Random(seed)))
AFTERS = st.datetimes(datetime.datetime(2025, 1, 1), datetime.datetime(2026, 1, 1), timezones=st.just(UTC))


@given(EXPRESSIONS, st.sampled_from(ZONES), AFTERS, st.floats(0, 1, exclude_max=True))
@settings(deadline=None)
def test_every_moment_before_a_slot_has_the_same_answer(expression, zone, after, part):
    job = cron(expression, tz=zone)
    slot = job.next_slot(after)
    assert slot > after
    between = min(after + (slot - after) * part, slot - datetime.timedelta(microseconds=1))
    assert job.next_slot(between) == slot


@given(EXPRESSIONS, st.sampled_from(ZONES), AFTERS, st.timedeltas(datetime.timedelta(0), datetime.timedelta(90)))
@settings(deadline=None)
def test_the_newest_slot_has_none_between_it_and_the_end(expression, zone, after, span):
    job = cron(expression, tz=zone)
    first = job.next_slot(after)
    newest = newest_slot(job, first, first + span, anchor=after)
    assert first <= newest <= first + span < job.next_slot(newest)


_NUMBERS = {"minute": 59, "hour": 23, "second": 59}


@st.composite
def fields_of_time(draw, unit):
    most = _NUMBERS[unit]
    some = st.lists(st.integers(0, most), min_size=1, max_size=4).map(lambda found: ",".join(map(str, found)))
    return draw(st.one_of(st.just("*"), st.sampled_from(["*/2", "*/7", "*/15"]), some))


@given(
    minute=fields_of_time("minute"),
    hour=fields_of_time("hour"),
    second=st.none() | fields_of_time("second"),
    days=st.sampled_from(["* * *", "l * *", "1-9 * mon", "* 2 *", "* * 1#2"]),
    start=st.datetimes(datetime.datetime(2026, 1, 1), datetime.datetime(2028, 12, 1)),
    on=st.lists(st.sampled_from([0, 0, 0, 1, 59, 3_600]), min_size=20, max_size=20),
)
def test_the_later_times_of_a_day_are_those_of_croniter(minute, hour, second, days, start, on):
    expression = f"{minute} {hour} {days}" + ("" if second is None else f" {second}")
    pattern = cron(expression)._pattern
    oracle = copy.copy(pattern)

    for seconds in on:
        found = _next_wall(pattern, start)
        assert found == oracle.get_next(datetime.datetime, start_time=start)
        assert found is not None
        start = found + datetime.timedelta(seconds=seconds)
