"""Words: every schedule as one line, and back."""

import datetime
import os
import subprocess
import sys
import time
import zoneinfo

import pytest
import pytz
import schedule
from hypothesis import given, settings
from hypothesis import strategies as st

from task.errors import ScheduleError
from task.schedules import (
    OnceJob,
    cron,
    every,
    live_copy,
    next_slot,
    once,
    same_schedule,
    schedule_from_words,
    words,
)
from task.schedules.words import identity

UTC = datetime.UTC
AMSTERDAM = zoneinfo.ZoneInfo("Europe/Amsterdam")
EVE = datetime.datetime(2026, 12, 24, 18)
FIXED = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
RENAMED = datetime.timezone(datetime.timedelta(hours=5, minutes=30), "Asia/Tokyo")
AMSTERDAM_RULE = "CET-1CEST,M3.5.0,M10.5.0/3"


def until(job, end):
    """What `.until()` sets; it refuses an end that is past."""
    job.cancel_after = end
    return job


# Jobs in words.


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (every(30).seconds, "every 30 seconds"),
        (every().second, "every second"),
        (every(0.5).seconds, "every 0.5 seconds"),
        (every(2.0).hours, "every 2 hours"),
        (every().minute, "every minute"),
        (every().hour, "every hour"),
        (every().day, "every day"),
        (every(3).weeks, "every 3 weeks"),
        (every(5).to(10).minutes, "every 5 to 10 minutes"),
        (every().to(3).hours, "every 1 to 3 hours"),
        (every(5.0).to(10).minutes, "every 5.0 to 10 minutes"),
        (every(5).to(10).minutes.at(":15"), "every 5 to 10 minutes at :15"),
        (every().minute.at(":15"), "every minute at :15"),
        (every().hour.at(":30"), "every hour at :30"),
        (every().hour.at("30:15"), "every hour at 30:15"),
        (every(2).hours.at(":00", "Asia/Kolkata"), "every 2 hours at :00 in Asia/Kolkata"),
        (every().day.at("10:30"), "every day at 10:30"),
        (every(2).days.at("10:30:15", "Europe/Amsterdam"), "every 2 days at 10:30:15 in Europe/Amsterdam"),
        (every().day.at("00:00", UTC), "every day at 00:00 in UTC"),
        (every().day.at("00:00", RENAMED), "every day at 00:00 in UTC+05:30"),
        (every().sunday, "every sunday"),
        (every().monday.at("09:00", "Europe/Amsterdam"), "every monday at 09:00 in Europe/Amsterdam"),
        (every().to(3).monday.at("09:00"), "every 1 to 3 weeks on monday at 09:00"),
        (schedule.every(30).seconds, "every 30 seconds"),
        (schedule.every().monday.at("09:00", pytz.timezone("Asia/Tokyo")), "every monday at 09:00 in Asia/Tokyo"),
        (schedule.every().day.at("09:00", "UTC"), "every day at 09:00 in UTC"),
        (until(every().day, EVE), "every day until 2026-12-24 18:00:00"),
        (until(every().day, EVE.replace(microsecond=5)), "every day until 2026-12-24 18:00:00.000005"),
        (until(every().day, datetime.datetime.max), "every day until 9999-12-31 23:59:59.999999"),
        (cron("0 2 * * *"), "0 2 * * *"),
        (cron("0  2 * *  *", tz="Europe/Amsterdam"), "0 2 * * * in Europe/Amsterdam"),
        (
            until(cron("H H(0-7) * * mon-fri", tz=RENAMED), EVE),
            "H H(0-7) * * mon-fri in UTC+05:30 until 2026-12-24 18:00:00",
        ),
        (cron("0 2 L * * 30"), "0 2 L * * 30"),
        (cron("@daily", tz=UTC), "@daily in UTC"),
        (once(EVE.replace(tzinfo=UTC)), "once at 2026-12-24 18:00:00+00:00"),
        (once(EVE.replace(tzinfo=AMSTERDAM, microsecond=1)), "once at 2026-12-24 18:00:00.000001+01:00"),
    ],
)
def test_a_job_has_words_that_are_read_back(job, expected):
    assert words(job) == expected
    assert words(schedule_from_words(expected)) == expected


def test_a_weekday_of_every_second_week_has_words():
    job = every(2).weeks
    job.start_day = "monday"
    assert words(job) == "every 2 weeks on monday"


def test_a_zone_on_which_no_slot_depends_is_not_named():
    job = every(30).seconds
    job.at_time_zone = AMSTERDAM
    assert words(job) == "every 30 seconds"


def test_a_live_copy_has_the_words_of_its_declaration():
    assert words(live_copy(cron("H 2 * * *"), "report", ["nightly"])) == "H 2 * * *"
    assert words(live_copy(every().day.at("10:30"), "report", [])) == "every day at 10:30"


def test_an_end_in_an_hour_that_is_repeated_keeps_its_pass(local_zone):
    local_zone(AMSTERDAM_RULE)
    repeated = datetime.datetime(2026, 10, 25, 2, 30)

    assert words(until(every().day, repeated)) == "every day until 2026-10-25 02:30:00"
    assert words(until(every().day, repeated.replace(fold=1))) == "every day until 2026-10-25 02:30:00+01:00"
    read = schedule_from_words("every day until 2026-10-25 02:30:00+01:00")
    assert (read.cancel_after, read.cancel_after.fold) == (repeated, 1)


def test_an_end_that_names_its_offset_is_kept_as_local_time(local_zone):
    local_zone(AMSTERDAM_RULE)
    assert schedule_from_words("every day until 2026-12-24 17:00Z").cancel_after == EVE
    assert words(until(every().day, EVE.replace(tzinfo=UTC))) == "every day until 2026-12-24 19:00:00"


def test_an_end_beyond_all_time_zones_has_words(local_zone):
    local_zone(AMSTERDAM_RULE)
    assert words(until(every().day, datetime.datetime.max.replace(tzinfo=UTC))).endswith("9999-12-31 23:59:59.999999")


class Tides(schedule.Job):
    """A schedule of the user's own."""

    def __init__(self, harbour):
        super().__init__(1)
        self.harbour = harbour

    def next_slot(self, after):
        return after + datetime.timedelta(hours=12, minutes=25)


class NamedTides(Tides):
    def __repr__(self):
        return f"Tides at {self.harbour} by {object()!r} do [None] (next run: {self.next_run})"


class LateCron(type(cron("@daily"))):
    def next_slot(self, after):
        return super().next_slot(after)


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (Tides("Delfzijl"), "'Tides' is a schedule of your own, which has no words."),
        (LateCron("@daily", None, None), "'LateCron' is a schedule of your own"),
        (every(), "every(1) has no unit."),
        (every().hour.at("30:15").minutes, "every(1).minutes at 00:30:15 has no words"),
        (every().day.at("10:30").hours, "every(1).hours at 10:30:00 has no words"),
        (every().day.at("10:30", dateless := type("Zone", (datetime.tzinfo,), {})()), "has no name. Use one that has"),
        (cron("@daily", tz=dateless), "has no name. Use one that has"),
    ],
)
def test_what_has_no_words_is_told_why(job, said):
    with pytest.raises(ScheduleError) as caught:
        words(job)
    assert said in str(caught.value)
    assert len(str(caught.value)) <= 300


# Words that people write.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  EVERY\t30   Seconds\n", "every 30 seconds"),
        ("each 30 second", "every 30 seconds"),
        ("every 30s", "every 30 seconds"),
        ("every 30 m", "every 30 minutes"),
        ("every 1 hours", "every hour"),
        ("every .5 secs", "every 0.5 seconds"),
        ("every 5-10 mins", "every 5 to 10 minutes"),
        ("Every 5 To 10 Minutes", "every 5 to 10 minutes"),
        ("every Mon", "every monday"),
        ("every tues at 9", "every tuesday at 09:00"),
        ("every fridays at 9:05", "every friday at 09:05"),
        ("every 2 weeks on Thu", "every 2 weeks on thursday"),
        ("every week on thursday", "every thursday"),
        ("every week at 10:30", "every week at 10:30"),
        ("every day in europe/amsterdam at 9", "every day at 09:00 in Europe/Amsterdam"),
        ("every day until 2026-12-24", "every day until 2026-12-24 00:00:00"),
        ("every day until 2026-12-24T18:00 at 9", "every day at 09:00 until 2026-12-24 18:00:00"),
        ("every 30 seconds in Asia/Tokyo", "every 30 seconds"),
        ("Every 1 day at 10:30:00 in Asia/Tokyo", "every day at 10:30 in Asia/Tokyo"),
        ("every day in utc-03:30", "every day in UTC-03:30"),
        ("Cron 0 2 * * * in Asia/Tokyo", "0 2 * * * in Asia/Tokyo"),
        ("*/5 8-17 * * MON-FRI", "*/5 8-17 * * MON-FRI"),
        ("@Hourly", "@Hourly"),
        ("Once at 2026-12-24 18:00 +01:00", "once at 2026-12-24 18:00:00+01:00"),
        ("once 2026-12-24t18:00z", "once at 2026-12-24 18:00:00+00:00"),
        ("once at 2026-12-24 18:00 in europe/amsterdam", "once at 2026-12-24 18:00:00+01:00"),
        ("once at 2026-03-29 02:30 in Europe/Amsterdam", "once at 2026-03-29 03:00:00+02:00"),
        ("once at 2026-10-25 02:30 in Europe/Amsterdam", "once at 2026-10-25 02:30:00+02:00"),
    ],
)
def test_words_of_the_same_meaning_are_read(text, expected):
    assert words(schedule_from_words(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("every day at 9", "every day at 09:00 in Asia/Tokyo"),
        ("every day", "every day in Asia/Tokyo"),
        ("every hour at :30", "every hour at :30 in Asia/Tokyo"),
        ("every 30 seconds", "every 30 seconds"),
        ("0 2 * * *", "0 2 * * * in Asia/Tokyo"),
        ("once at 2026-12-24 18:00", "once at 2026-12-24 18:00:00+09:00"),
        ("once at 2026-12-24 18:00+01:00", "once at 2026-12-24 18:00:00+01:00"),
        ("every day at 9 in UTC", "every day at 09:00 in UTC"),
        ("every day until 2026-12-24 18:00", "every day in Asia/Tokyo until 2026-12-24 18:00:00"),
    ],
)
@pytest.mark.parametrize("tz", ["Asia/Tokyo", zoneinfo.ZoneInfo("Asia/Tokyo")])
def test_a_zone_given_beside_the_text_counts_where_the_text_names_none(text, tz, expected):
    assert words(schedule_from_words(text, tz)) == expected


def test_what_is_read_is_a_job_that_a_task_takes():
    job = schedule_from_words("every 30 seconds")
    assert repr(job) == "Every 30 seconds do [None] (last run: [never], next run: [never])"
    assert job.scheduler is schedule.default_scheduler


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it does not say how often"),
        (" \n", "it does not say how often"),
        ("in UTC", "it does not say how often"),
        ("every", "after 'every' come a number and one unit"),
        ("every 5 to minutes", "after 'every' come a number and one unit"),
        ("every ten minutes", "'ten' is not known"),
        ("every -5 minutes", "'-5' is not known"),
        ("evry 30 seconds", "'evry' is not known; did you mean 'every'?"),
        ("every 30 minuts", "'minuts' is not known; did you mean 'minutes'?"),
        ("every dya", "did you mean 'day'?"),
        ("every mondy at 9", "did you mean 'monday'?"),
        ("every day utnil 2026-12-24", "did you mean 'until'?"),
        ("30 seconds", "did you mean 'every 30 seconds'?"),
        ("hourly", "did you mean '@hourly'?"),
        ("every day at 9 in Europe/Amsterdm", "did you mean 'Europe/Amsterdam'?"),
        ("every day at 9 in New York", "did you mean 'America/New_York'?"),
        ("every day at 9 in Mars/Olympus", "there is no time zone 'Mars/Olympus'"),
        ("every day at 9 in ../../etc/passwd", "there is no time zone '../../etc/passwd'"),
        ("every day at 9 in UTC+99:00", "'UTC+99:00' is no offset from UTC. Write 'in UTC+02:00'"),
        ("every day at", "nothing follows 'at'"),
        ("every day at 9 at 10", "'at' comes twice"),
        ("every day at 25:00", "at '25:00' is no time of one of the days. Write 'every day at 10:30'"),
        ("every day at 9am", "at '9am' is no time"),
        ("every hour at 30", "Write 'every hour at :30'"),
        ("every minute at 10:30", "Write 'every minute at :15'"),
        ("every second at :30", "seconds take no 'at'"),
        ("every day on monday", "only weeks have weekdays"),
        ("every week on mars", "on 'mars'"),
        ("every 2 mondays", "Write 'every 2 weeks on monday'"),
        ("every day until tomorrow", "until 'tomorrow' is no date and time. Write 'every day until 2026-12-24 18:00'"),
        ("every day until 2026-02-30", "is no date and time"),
        ("every day until 0001-01-01 00:00+14:00", "is outside the years 1 to 9999"),
        ("once", "at '' is no date and time. Write 'once at 2026-12-24 18:00+01:00'"),
        ("once more at 2026-12-24", "'more' is not known"),
        ("once at 2026-12-24 18:00", "its moment has no zone"),
        ("once at 2026-12-24 18:00+01:00 in UTC", "it names its zone twice"),
        ("once at 0001-01-01 00:00 in Asia/Tokyo", "is outside the years 1 to 9999"),
        ("once at 2026-12-24 on monday", "'once' takes no 'on'"),
        ("0 2 * * * at 9", "a cron line takes no 'at'"),
        ("0 2 * *", "has 4 fields"),
        ("0 99 * * *", "is not valid"),
        ("0 0 31 2 *", "names a date that never comes"),
        ("every 0 seconds", "every(0) can never be kept"),
        ("every 1.5 days", "days and weeks are whole"),
        ("every 10 to 5 minutes", "the range must not end before it starts"),
        ("every 500000 days", "is more than a century"),
        ("every day at \uff19", "is not ASCII"),
        ("every day\0", "'day\\x00' is not known"),
        ("x" * 351, "it has over 350 characters"),
        (None, "A schedule in words is text such as 'every 30 seconds'"),
        (b"every day", "A schedule in words is text such as 'every 30 seconds'"),
    ],
)
def test_what_is_not_understood_is_named_with_an_example(text, said):
    with pytest.raises(ScheduleError) as caught:
        schedule_from_words(text)
    assert said in str(caught.value)
    assert len(str(caught.value)) <= 300


def test_an_unknown_zone_beside_the_text_is_refused():
    with pytest.raises(ScheduleError, match="There is no time zone 'Mars/Olympus'"):
        schedule_from_words("every day", tz="Mars/Olympus")


def test_the_longest_cron_with_a_zone_and_an_end_is_read():
    expression = "0 0 1,1,1,1,1" + ",1" * 119 + " * *"
    text = f"{expression} in America/Argentina/ComodRivadavia until 2026-12-24 18:00:00.000001+00:00"
    assert len(expression) == 255
    assert schedule_from_words(text).expression == expression


# Properties.

ZONES = st.sampled_from([None, "Europe/Amsterdam", "Asia/Tokyo", "Asia/Kolkata", "Australia/Lord_Howe", "UTC", FIXED])
NAMED = ZONES.filter(lambda zone: zone is None or isinstance(zone, str))
UNITS = ("seconds", "minutes", "hours", "days", "weeks")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MOMENTS = st.datetimes(
    datetime.datetime(2025, 1, 1), datetime.datetime(2032, 1, 1), timezones=st.just(UTC), allow_imaginary=False
)
ENDS = (
    st.none()
    | st.datetimes(datetime.datetime(2026, 1, 1), datetime.datetime(2031, 1, 1))
    | st.just(datetime.datetime.max)
)
EXPRESSIONS = st.sampled_from(
    [
        *("0 2 * * *", "*/7 * * * *", "H H * * *", "h/15 9-17 * * mon-fri", "0 0 L * *", "0 0 * * mon#1", "@weekly"),
        *("@Daily", "30 2 29 2 *", "0 12 1W * *", "15 10 * jan,JUL sun", "* * * * * 30", "0 9 1-7 * */2"),
    ]
)


@st.composite
def intervals(draw):
    make = draw(st.sampled_from([every, schedule.every]))
    unit = draw(st.sampled_from(UNITS))
    whole = st.integers(1, 400)
    parts = whole | st.floats(0.001, 400) | st.sampled_from([1.0, 2.0])
    job = getattr(make(draw(whole if unit in UNITS[3:] else parts)), unit)
    return job.to(job.interval + draw(parts)) if draw(st.booleans()) else job


@st.composite
def calendars(draw):
    make = draw(st.sampled_from([every, schedule.every]))
    unit = draw(st.sampled_from(["minutes", "hours", "days", *WEEKDAYS]))
    job = getattr(make(1 if unit in WEEKDAYS else draw(st.integers(1, 50))), unit)
    if draw(st.booleans()):
        job.to(job.interval + draw(st.integers(0, 5)))
    hour, minute, second = draw(st.tuples(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59)))
    text = {"minutes": f":{second:02}", "hours": f"{minute:02}:{second:02}"}.get(
        unit, f"{hour:02}:{minute:02}:{second:02}"
    )
    return job.at(text, draw(ZONES if make is every else NAMED))


JOBS = st.builds(
    until,
    intervals()
    | calendars()
    | st.builds(cron, EXPRESSIONS, ZONES)
    | st.builds(once, st.datetimes(datetime.datetime(2026, 1, 1), timezones=st.timezones() | st.just(FIXED))),
    ENDS,
)


def slots(job, moments):
    """What a live copy of a Job answers."""
    live = live_copy(job, "report", [])
    anchor, *afters = moments
    found = []
    for after in afters:
        for _ in range(3):
            after = after and next_slot(live, after, anchor=anchor, seed="report")
            found.append(after)
    return found


@settings(deadline=None, max_examples=300)
@given(JOBS, st.lists(MOMENTS, min_size=3, max_size=3))
def test_what_was_read_back_is_the_same_schedule(job, moments):
    text = words(job)
    read = schedule_from_words(text)

    assert words(read) == identity(read) == identity(live_copy(job, "report", [])) == text
    assert slots(read, moments) == slots(job, moments)
    if type(job) is not schedule.Job and not isinstance(job, OnceJob):  # of once, the zone's name is lost
        assert same_schedule(live_copy(job, "report", []), live_copy(read, "report", []))
    if isinstance(job, OnceJob):
        assert read.moment.astimezone(UTC) == job.moment.astimezone(UTC)


def judged(text, tz=None):
    """The Job that was read, or the message of the refusal."""
    try:
        return schedule_from_words(text, tz)
    except ScheduleError as error:
        return str(error)


PIECES = st.sampled_from(
    [
        *(
            "every",
            "each",
            "once",
            "at",
            "on",
            "in",
            "until",
            "to",
            "-",
            "5",
            "0",
            ".5",
            "1e3",
            "30s",
            "9",
            "9:05",
            ":30",
        ),
        *("25:61", "99999999999", "day", "days", "mondays", "mon", "week", "hours", "second", "UTC", "utc+02:00"),
        *("UTC+24:00", "Europe/Amsterdam", "europe", "/etc", "tokyo", "2026-12-24", "2026-12-24T18:00Z", "18:00"),
        *("0001-01-01", "9999-12-31", "23:59:59.999999", "+14:00", "-23:59", "0000-00-00", "*", "*/5", "H", "R", "L"),
        *("1W", "mon#2", "1,2", "@daily", "@reboot", "cron", "?", "\xe9vry", "\0", "\u0663"),
    ]
)
TEXTS = (
    st.text(max_size=400) | st.lists(PIECES, max_size=9).map(" ".join) | st.text("0123456789*/,-#?@hrlw ", max_size=40)
)


@settings(deadline=None, max_examples=800)
@given(TEXTS, st.none() | st.just("Asia/Tokyo"))
def test_no_text_raises_another_error_and_what_is_read_has_stable_words(text, tz):
    job = judged(text, tz)
    if isinstance(job, str):
        assert len(job) <= 300
    else:
        assert words(schedule_from_words(words(job))) == words(job)


NAUGHTY = [
    *(
        "undefined",
        "null",
        "NaN",
        "-1e+100",
        "0x0",
        "1/0",
        "__proto__",
        "true",
        "\\",
        "'\"`;--",
        "%s%n%x",
        "{0}",
        "$HOME",
    ),
    *(
        "<script>alert(1)</script>",
        "'; DROP TABLE runs; --",
        "../../../etc/passwd\0",
        "\ud800",
        "\ufeffevery day",
        "Ω≈ç√∫",
    ),
    *(
        "社會科學院語學研究所",
        "👩‍👩‍👧‍👦",
        "١٢٣",
        "ﷺ",
        "\u202eevery day",
        "every\u200bday",
        "every ² days",
        "every \u0661 days",
        "Z̡̖̜a͎l",
    ),
    *(
        "(" * 350,
        "a" * 350,
        "9" * 350,
        "every " * 58,
        "every " + "9" * 340 + "s",
        "every " + "9" * 330 + ".9 s",
        "* " * 175,
    ),
    *(
        "every day in " + "A/" * 160,
        "every day in " + "x" * 330,
        "every day until " + "9" * 330,
        ",".join("1" * 120) + " * * * *",
    ),
    *(
        "every day at " + "1:" * 160,
        "*/" + "9" * 200 + " * * * *",
        "h(" * 60 + " * * * *",
        "0 0 1-31,L,1W * mon#1,tue#5",
    ),
    *(
        "once at 2026-12-24 18:00:00.000000000000000000001Z",
        "every day in Etc",
        "every day in posix",
        "every day in con",
    ),
    *(
        "every day in UTC+00:00:00.0000001",
        "every day until 2026-W52-4",
        "every \x1b[31mday\x07",
        "@" * 300,
        "every 5 to to 6 s",
    ),
]


@pytest.mark.parametrize("text", NAUGHTY, ids=range(len(NAUGHTY)))
def test_naughty_text_is_refused_soon(text):
    begun = time.thread_time()  # what others take of the machine does not count
    answer = judged(text)
    assert not isinstance(answer, str) or len(answer) <= 300
    assert time.thread_time() - begun < 1  # a hang limit: it takes under 5 ms


# Identity.


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (every(30).seconds, "every 30 seconds"),
        (cron("H 2 * * *", tz="Asia/Tokyo"), "H 2 * * * in Asia/Tokyo"),
        (Tides("Delfzijl"), f"its own: {__name__}.Tides"),
        (NamedTides("Delfzijl"), f"its own: {__name__}.NamedTides Tides at Delfzijl by <object object>"),
        (until(Tides("Delfzijl"), EVE), f"its own: {__name__}.Tides until 2026-12-24 18:00:00"),
        (every().hour.at("30:15").minutes, "its own: task.schedules.every.Job Every 1 minute at 00:30:15"),
    ],
)
def test_a_declaration_and_its_live_copies_have_one_identity(job, expected):
    assert identity(job) == expected
    assert identity(live_copy(job, "report", ["nightly"])) == identity(live_copy(job, "other", [])) == expected


def test_a_class_within_another_keeps_its_identity():
    class Moon(Tides):
        def __repr__(self):
            return f"{type(self).__qualname__}({self.harbour!r})"

    job = Moon("Delfzijl")
    assert identity(live_copy(job, "report", [])) == identity(job)
    assert identity(job).endswith(".Moon Moon('Delfzijl')")


def test_a_long_or_broken_repr_has_an_identity():
    class Broken(Tides):
        def __repr__(self):
            raise RuntimeError("no repr")

    assert len(identity(NamedTides("x" * 1000))) == 300
    assert identity(Broken("Delfzijl")).endswith("Broken")


def test_another_process_gives_the_same_identity():
    program = (
        "from task import cron; from task.schedules.words import identity; print(identity(cron('H 2 * * *', tz='UTC')))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert said.stdout.strip() == identity(cron("H 2 * * *", tz="UTC"))
