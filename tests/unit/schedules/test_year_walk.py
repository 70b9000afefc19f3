"""A whole year, slot by slot, of every kind of schedule in eight zones, against the walk over UTC."""

import datetime
import itertools
import zoneinfo

import pytest
import walk_oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from task.schedules import next_slot

ZONES = sorted(walk_oracle.YEARS)
SECOND = datetime.timedelta(seconds=1)

NAMED = [
    "cron 30 2 * * *",
    "cron 0,15 0-3,23 * * *",
    "cron 10 1-3 * * 0,6",
    "cron 5 0 13 * 5",
    "cron 5 0 */2 * 5",
    "every day at 02:30",
    "every day at 00:10",
    "every day at 23:40",
    "every sunday at 02:15",
    "every friday at 12:00",
    "every 3 days at 00:30",
    "every 2 days",
    "every week",
    "every 2 weeks",
]
SHOWN = [
    "cron */45 0-4,23 * * *",
    "cron 20 * * * *",
    "cron */30 2 * * *",
    "cron 15 */2 * * *",
    "every hour at 45:00",
    "every hour at 15:00",
    "every 3 hours at 10:00",
]
INTERVALS = ["every 25 minutes", "every 5 hours", "every 5400 seconds"]


def the_year(zone):
    """The first and last minute of the zone's year: from its local 1 January, noon and a bit."""
    start = datetime.datetime(walk_oracle.YEARS[zone], 1, 1, 12, 20, tzinfo=zoneinfo.ZoneInfo(zone))
    return walk_oracle.minute_of(start), walk_oracle.minute_of(start) + 366 * 1440


@pytest.mark.parametrize("words", NAMED + SHOWN + INTERVALS)
@pytest.mark.parametrize("zone", ZONES)
def test_a_year_has_every_slot_once_in_order(words, zone):
    start, end = the_year(zone)
    job, anchor = walk_oracle.build(words, zone), walk_oracle.moment_of(start)
    found = [anchor]
    while (slot := next_slot(job, found[-1], anchor=anchor)) < walk_oracle.moment_of(end):
        found.append(slot)
    expected = [walk_oracle.moment_of(minute) for minute in walk_oracle.walk(words, zone, start, start, end)]
    assert all(earlier < later for earlier, later in itertools.pairwise(found))
    assert found[1:] == expected


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("words", "step"),
    [
        ("every day at 02:30", 1),
        ("every hour at 15:00", 1),
        ("every sunday at 00:30", 7),  # seven seconds come by every second of a minute
        ("every 2 days", 7),
        ("cron 30 2 * * *", 7),
        ("cron 20 * * * *", 7),
    ],
)
def test_every_second_around_a_change_has_the_answer_of_the_walk(words, step, zone):
    start, _ = the_year(zone)
    job, anchor = walk_oracle.build(words, zone), walk_oracle.moment_of(start)
    for change, _, _ in walk_oracle.changes(zone, walk_oracle.YEARS[zone]):
        expected = iter(walk_oracle.walk(words, zone, start, change - 62, change + 9 * 1440))
        moment, slot = walk_oracle.moment_of(change - 62), walk_oracle.moment_of(next(expected))
        for _ in range(124 * 60 // step):
            if moment >= slot:
                slot = walk_oracle.moment_of(next(expected))
            assert next_slot(job, moment, anchor=anchor) == slot
            moment += step * SECOND


@given(
    words=st.sampled_from(NAMED + SHOWN),
    zone=st.sampled_from(ZONES),
    second=st.integers(0, 350 * 86400),
    microsecond=st.sampled_from([0, 1, 500_000, 999_999]),
)
@settings(max_examples=100, deadline=None)
def test_any_starting_moment_has_the_answer_of_the_walk(words, zone, second, microsecond):
    start, _ = the_year(zone)
    anchor = walk_oracle.moment_of(start)
    after = anchor + datetime.timedelta(seconds=second, microseconds=microsecond)
    minute = walk_oracle.minute_of(after)
    expected = walk_oracle.walk(words, zone, start, minute, minute + 45 * 1440)[0]
    answer = next_slot(walk_oracle.build(words, zone), after, anchor=anchor)
    assert answer == walk_oracle.moment_of(expected)
