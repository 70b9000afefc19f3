"""Intervals: fixed rate in elapsed time, counted from the anchor."""

import datetime
import zoneinfo

import pytest
import schedule
from hypothesis import given
from hypothesis import strategies as st

from task.schedules import every, newest_slot, next_slot

UTC = datetime.UTC
NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=UTC)


def at(time):
    """A moment of 4 May 2026, in UTC."""
    return datetime.datetime.fromisoformat(f"2026-05-04T{time}+00:00")


def seconds(count):
    return datetime.timedelta(seconds=count)


def test_the_first_slot_is_one_period_after_the_anchor():
    assert next_slot(every(30).seconds, NOON, anchor=NOON) == at("12:00:30")


def test_a_slot_is_later_than_the_moment_asked_about():
    assert next_slot(every(10).minutes, at("12:10:00"), anchor=NOON) == at("12:20:00")


def test_the_rate_does_not_depend_on_when_one_asks():
    assert next_slot(every(10).minutes, at("12:25:17"), anchor=NOON) == at("12:30:00")


def test_hours_are_counted_from_the_anchor():
    assert next_slot(every(5).hours, at("12:00:01"), anchor=NOON) == at("17:00:00")


@pytest.mark.parametrize(
    ("job", "slot"),
    [
        (every().second, "12:00:01"),
        (every().minute, "12:01:00"),
        (every().hour, "13:00:00"),
        (every(90).seconds, "12:01:30"),
    ],
)
def test_singular_units_are_intervals_of_one(job, slot):
    assert next_slot(job, NOON, anchor=NOON) == at(slot)


def test_half_a_second_is_an_interval():
    assert next_slot(every(0.5).seconds, NOON, anchor=NOON) == at("12:00:00.500000")


def test_a_fraction_does_not_drift_over_a_million_slots():
    after = NOON + seconds(0.1) * 1_000_000
    assert next_slot(every(0.1).seconds, after, anchor=NOON) == NOON + seconds(100_000.1)


def test_an_hour_and_a_half_is_an_interval():
    assert next_slot(every(1.5).hours, NOON, anchor=NOON) == at("13:30:00")


def test_a_moment_before_the_anchor_is_answered_with_the_anchor():
    assert next_slot(every(10).minutes, at("09:00:00"), anchor=NOON) == NOON


def test_the_microseconds_of_the_anchor_are_kept():
    anchor = NOON + datetime.timedelta(microseconds=250)
    assert next_slot(every(1).minutes, anchor, anchor=anchor) == at("12:01:00.000250")


def test_moments_of_any_zone_mean_the_same():
    amsterdam = zoneinfo.ZoneInfo("Europe/Amsterdam")
    anchor = datetime.datetime(2026, 3, 29, 0, 30, tzinfo=amsterdam)
    slot = next_slot(every(3).hours, anchor, anchor=anchor)
    assert slot.isoformat() == "2026-03-29T02:30:00+00:00"
    assert slot.astimezone(amsterdam).isoformat() == "2026-03-29T04:30:00+02:00"


def test_plain_schedule_jobs_have_slots():
    assert next_slot(schedule.every(10).seconds, NOON, anchor=NOON) == at("12:00:10")


# Minutes with `:SS`.


def test_a_minute_at_a_second_is_due_at_the_next_one():
    job = every().minute.at(":30")
    assert next_slot(job, at("12:00:10"), anchor=at("12:00:10")) == at("12:00:30")
    assert next_slot(job, at("12:00:30"), anchor=at("12:00:10")) == at("12:01:30")


def test_more_minutes_at_a_second_are_due_one_period_after_the_anchors_minute():
    job = every(5).minutes.at(":30")
    assert next_slot(job, at("12:00:10"), anchor=at("12:00:10")) == at("12:05:30")
    assert next_slot(job, at("12:05:30"), anchor=at("12:00:10")) == at("12:10:30")


def test_an_anchor_on_the_grid_is_itself_the_slot_before_the_first_period():
    before = at("12:00:30") - datetime.timedelta(microseconds=1)
    assert next_slot(every(5).minutes.at(":30"), before, anchor=at("12:00:30")) == at("12:00:30")


# Ranges.


def test_a_drawn_distance_lies_within_its_bounds():
    slots = {next_slot(every(3).to(5).seconds, NOON, anchor=NOON, seed=str(n)) for n in range(100)}
    assert slots == {at("12:00:03"), at("12:00:04"), at("12:00:05")}


def test_a_drawn_distance_is_the_same_for_the_same_task_and_slot():
    job, twin = every(1).to(1000).seconds, every(1).to(1000).seconds
    assert next_slot(job, NOON, anchor=NOON, seed="a") == next_slot(twin, NOON, anchor=at("09:00:00"), seed="a")


def test_a_drawn_distance_differs_between_tasks_and_between_slots():
    job = every(1).to(1_000_000).seconds
    first = next_slot(job, NOON, anchor=NOON, seed="a")
    assert first != next_slot(job, NOON, anchor=NOON, seed="b")
    assert first - NOON != next_slot(job, first, anchor=NOON, seed="a") - first


def test_a_drawn_distance_is_the_same_in_every_zone_of_the_question():
    there = NOON.astimezone(zoneinfo.ZoneInfo("Asia/Tokyo"))
    job = every(1).to(1_000_000).seconds
    assert next_slot(job, there, anchor=NOON, seed="a") == next_slot(job, NOON, anchor=NOON, seed="a")


def test_fractions_are_drawn_as_fractions():
    slot = next_slot(every(0.5).to(0.75).seconds, NOON, anchor=NOON, seed="a")
    assert seconds(0.5) <= slot - NOON <= seconds(0.75)


def test_drawn_minutes_keep_their_second():
    slot = next_slot(every(2).to(4).minutes.at(":20"), at("12:00:20"), anchor=NOON, seed="a")
    assert slot in {at("12:02:20"), at("12:03:20"), at("12:04:20")}


def test_drawn_hours_keep_their_minute():
    slot = next_slot(every(2).to(3).hours.at("30:00", "UTC"), at("12:30:00"), anchor=NOON, seed="a")
    assert slot in {at("14:30:00"), at("15:30:00")}


# Deadlines.


def test_no_slot_is_later_than_until():
    job = every(10).minutes
    job.cancel_after = at("12:25:00").astimezone().replace(tzinfo=None)
    assert next_slot(job, at("12:10:00"), anchor=NOON) == at("12:20:00")
    assert next_slot(job, at("12:20:00"), anchor=NOON) is None


def test_a_slot_at_the_deadline_itself_counts():
    job = every(10).minutes
    job.cancel_after = at("12:20:00").astimezone().replace(tzinfo=None)
    assert next_slot(job, at("12:10:00"), anchor=NOON) == at("12:20:00")


def test_until_the_end_of_time_is_no_deadline(local_zone):
    local_zone("EST5EDT,M3.2.0,M11.1.0")
    job = every(10).minutes.until(datetime.datetime.max)
    assert next_slot(job, NOON, anchor=NOON) == at("12:10:00")


# Properties.

AMOUNTS = st.integers(1, 5000) | st.floats(0.001, 5000)
UNITS = st.sampled_from(["seconds", "minutes", "hours"])
SPANS = st.timedeltas(datetime.timedelta(0), datetime.timedelta(days=900))


@given(AMOUNTS, UNITS, SPANS)
def test_a_slot_is_later_and_at_most_one_period_away(amount, unit, span):
    after = NOON + span
    slot = next_slot(getattr(every(amount), unit), after, anchor=NOON)
    assert after < slot <= after + datetime.timedelta(**{unit: amount}) + datetime.timedelta(microseconds=1)


@given(AMOUNTS, UNITS, SPANS, st.floats(0, 1, exclude_max=True))
def test_every_moment_before_a_slot_has_the_same_answer(amount, unit, span, part):
    after, job = NOON + span, getattr(every(amount), unit)
    slot = next_slot(job, after, anchor=NOON)
    between = min(after + (slot - after) * part, slot - datetime.timedelta(microseconds=1))
    assert next_slot(job, between, anchor=NOON) == slot


@given(AMOUNTS, UNITS, SPANS)
def test_the_newest_slot_has_none_between_it_and_the_end(amount, unit, span):
    job = getattr(every(amount), unit)
    first = next_slot(job, NOON, anchor=NOON)
    newest = newest_slot(job, first, first + span, anchor=NOON)
    assert first <= newest <= first + span < next_slot(job, newest, anchor=NOON)
