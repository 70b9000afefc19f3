"""Wall time and moments: gaps, overlaps, and the names of zones."""

import datetime
import zoneinfo

import pytest
import pytz

from task.errors import ScheduleError
from task.schedules import resolve_zone, shorten, zone_name
from task.schedules.walltime import next_shown, to_moment, to_wall, transition

AMSTERDAM = zoneinfo.ZoneInfo("Europe/Amsterdam")
DAY = datetime.timedelta(days=1)


def moment(text):
    return datetime.datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("zone", "wall", "expected"),
    [
        ("Europe/Amsterdam", "2026-05-04T12:00:00", "2026-05-04T12:00:00+02:00"),
        ("Europe/Amsterdam", "2026-03-29T02:00:00", "2026-03-29T03:00:00+02:00"),
        ("Europe/Amsterdam", "2026-03-29T02:59:59", "2026-03-29T03:00:00+02:00"),
        ("Europe/Amsterdam", "2026-03-29T03:00:00", "2026-03-29T03:00:00+02:00"),
        ("Europe/Amsterdam", "2026-10-25T02:00:00", "2026-10-25T02:00:00+02:00"),
        ("Europe/Amsterdam", "2026-10-25T02:59:59", "2026-10-25T02:59:59+02:00"),
        ("Europe/Amsterdam", "2026-10-25T03:00:00", "2026-10-25T03:00:00+01:00"),
        ("Europe/Dublin", "2025-03-30T01:30:00", "2025-03-30T02:00:00+01:00"),
        ("Europe/Dublin", "2025-10-26T01:30:00", "2025-10-26T01:30:00+01:00"),
        ("Asia/Beirut", "2025-03-30T00:00:00", "2025-03-30T01:00:00+03:00"),
        ("America/Santiago", "2025-04-05T23:30:00", "2025-04-05T23:30:00-03:00"),
        ("Australia/Lord_Howe", "2025-10-05T02:29:00", "2025-10-05T02:30:00+11:00"),
        ("Pacific/Apia", "2011-12-30T00:00:00", "2011-12-31T00:00:00+14:00"),
        ("Pacific/Apia", "2011-12-30T23:59:59", "2011-12-31T00:00:00+14:00"),
    ],
)
def test_a_wall_time_means_one_moment(zone, wall, expected):
    assert to_moment(moment(wall), zoneinfo.ZoneInfo(zone)) == moment(expected)


def test_the_fold_of_a_wall_time_does_not_count():
    wall = datetime.datetime(2026, 10, 25, 2, 30, fold=1)
    assert to_moment(wall, AMSTERDAM).isoformat() == "2026-10-25T00:30:00+00:00"


def test_the_zone_of_the_process_may_have_no_name(local_zone):
    local_zone("CET-1CEST,M3.5.0,M10.5.0/3")
    wall = datetime.datetime(2026, 3, 29, 2, 30)
    assert to_moment(wall, None).isoformat() == "2026-03-29T01:00:00+00:00"


def test_the_two_passes_of_an_hour_have_one_wall_time():
    first, second = moment("2026-10-25T00:30:00+00:00"), moment("2026-10-25T01:30:00+00:00")
    assert to_wall(first, AMSTERDAM) == to_wall(second, AMSTERDAM) == datetime.datetime(2026, 10, 25, 2, 30)


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("Europe/Amsterdam", "2026-03-29T01:00:00+00:00"),
        ("Europe/Amsterdam", "2026-10-25T01:00:00+00:00"),
        ("Australia/Lord_Howe", "2025-10-04T15:30:00+00:00"),
        ("Pacific/Apia", "2011-12-30T10:00:00+00:00"),
    ],
)
@pytest.mark.parametrize("fraction", [0.000001, 0.3, 0.999, 1])
def test_a_change_of_offset_is_found_to_the_second(zone, change, fraction):
    before = moment(change) - fraction * DAY
    assert transition(zoneinfo.ZoneInfo(zone), before, before + DAY) == moment(change)


def test_a_change_at_the_start_of_a_span_lies_before_it():
    change = moment("2026-03-29T01:00:00+00:00")
    assert transition(AMSTERDAM, change, change + DAY) is None


def test_no_zone_changes_twice_within_a_day():
    """Which `transition` and `next_shown` rely on: between two equal offsets a day apart is no other."""
    for name in zoneinfo.available_timezones():
        zone, last = zoneinfo.ZoneInfo(name), None
        offsets = [(moment("2020-01-01T00:00:00+00:00") + n * DAY).astimezone(zone).utcoffset() for n in range(3650)]
        changed = [n for n in range(1, len(offsets)) if offsets[n] != offsets[n - 1]]
        for day in changed:
            assert last is None or day - last > 1, name
            last = day


@pytest.mark.parametrize("after", ["2026-03-28T12:00:00+00:00", "2026-03-01T12:00:00+00:00"])
def test_a_wall_time_that_is_skipped_is_never_shown(after):
    sought = [datetime.datetime(2026, 3, 29, 2, 30), datetime.datetime(2026, 3, 30, 2, 30)]
    found = next_shown(
        AMSTERDAM,
        moment(after),
        lambda wall: next((time for time in sought if time > wall), None),
    )
    assert found.isoformat() == "2026-03-30T00:30:00+00:00"


def test_a_wall_time_far_ahead_is_found_through_many_changes():
    sought = datetime.datetime(2032, 7, 1, 12)
    found = next_shown(AMSTERDAM, moment("2026-01-01T00:00:00+00:00"), lambda wall: sought)
    assert found.isoformat() == "2032-07-01T10:00:00+00:00"


def test_a_wall_time_that_is_not_found_is_no_moment():
    assert next_shown(AMSTERDAM, moment("2026-01-01T00:00:00+00:00"), lambda wall: None) is None


# Zones.


def test_a_pytz_zone_becomes_the_zoneinfo_of_its_name():
    assert resolve_zone(pytz.timezone("Asia/Tokyo")) == zoneinfo.ZoneInfo("Asia/Tokyo")


def test_no_zone_is_the_zone_of_the_process():
    assert resolve_zone(None) is None
    assert zone_name(None) == "local time"


def test_a_zone_is_named_as_in_the_zone_data():
    assert zone_name(AMSTERDAM) == "Europe/Amsterdam"
    assert zone_name(datetime.UTC) == "UTC"


@pytest.mark.parametrize(
    "zone",
    [
        "",
        " ",
        "Nowhere/City",
        "Europe",
        "europe/amsterdam/",
        "../../etc/passwd",
        "/etc/localtime",
        "Europe/Amsterdam\n",
        "\0",
        "a" * 5000,
        "Ámsterdam",
        "\ud800",
        "+01:00",
        "tzdata.zi",
        "zone.tab",
        b"UTC",
        1,
        1.5,
        True,
        [],
        ("UTC",),
        object(),
    ],
)
def test_what_is_no_zone_is_refused_in_one_short_message(zone):
    with pytest.raises(ScheduleError, match="zone") as caught:
        resolve_zone(zone)
    assert len(str(caught.value)) <= 300


# Messages.


def test_a_value_is_shortened_for_a_message():
    assert shorten("x" * 100, 10) == "'xxxxxxxx…"


def test_a_value_that_cannot_be_written_is_named_by_its_type():
    class Silent:
        def __repr__(self):
            raise RuntimeError

    assert shorten(Silent()) == "<Silent whose repr() raises>"
