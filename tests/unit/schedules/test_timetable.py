"""The timetable of one task: what is due, once, and what was missed."""

import datetime
import itertools
import zoneinfo

import pytest
import schedule
from hypothesis import given, settings
from hypothesis import strategies as st

from task.errors import BrokenScheduleError
from task.schedules import Timetable, cron, every, next_slot, once
from task.schedules.timetable import CATCH_UP_LIMIT, walk

UTC = datetime.UTC
NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=UTC)
ZERO = datetime.timedelta(0)
TICK = datetime.timedelta(microseconds=1)
AMSTERDAM = zoneinfo.ZoneInfo("Europe/Amsterdam")


def at(time):
    return datetime.datetime.fromisoformat(f"2026-05-04T{time}+00:00")


def timetable(*jobs, anchor=NOON, **options):
    found = Timetable("task", **options)
    for job in jobs:
        found.add(job, anchor, anchor)
    return found


def times(moments):
    return [f"{moment:%H:%M:%S}" for moment in moments]


# On time.


def test_nothing_is_due_before_the_first_slot():
    table = timetable(every(10).minutes)
    assert table.take(at("12:09:59"), ZERO) is None
    assert table.next_slot() == at("12:10:00")


def test_a_slot_is_due_at_its_moment_and_once():
    table = timetable(every(10).minutes)
    due = table.take(at("12:10:00"), ZERO)
    assert (due.slot, due.missed, due.late) == (at("12:10:00"), None, False)
    assert table.take(at("12:10:00"), ZERO) is None
    assert table.next_slot() == at("12:20:00")


def test_two_schedules_on_one_moment_are_one_slot_with_both_jobs():
    tens, quarters = every(10).minutes, every(15).minutes
    table = timetable(tens, quarters)
    table.take(at("12:20:00"), ZERO)
    due = table.take(at("12:30:00"), ZERO)
    assert (due.slot, due.jobs, due.missed) == (at("12:30:00"), (tens, quarters), None)
    assert table.next_slot() == at("12:40:00")


def test_the_jobs_of_a_slot_are_those_that_name_it():
    tens, quarters = every(10).minutes, every(15).minutes
    table = timetable(tens, quarters)
    assert table.take(at("12:10:00"), ZERO).jobs == (tens,)
    assert table.take(at("12:15:00"), ZERO).jobs == (quarters,)


def test_a_schedule_that_was_added_later_is_due_from_then():
    table = timetable(every(10).minutes)
    table.add(every(1).minutes, at("12:05:30"), at("12:05:30"))
    assert table.next_slot() == at("12:06:30")


def test_a_schedule_that_was_removed_is_not_due():
    job = every(1).minutes
    table = timetable(every(10).minutes, job)
    table.remove(job)
    table.remove(job)
    assert table.next_slot() == at("12:10:00")


def test_a_schedule_that_has_ended_is_not_due():
    table = timetable(once(at("13:00:00")))
    assert table.take(at("13:00:00"), ZERO).slot == at("13:00:00")
    assert table.next_slot() is None
    assert table.take(at("14:00:00"), ZERO) is None


def test_an_empty_timetable_has_nothing_due():
    table = Timetable()
    assert (table.next_slot(), table.due_at(ZERO), table.take(NOON, ZERO)) == (None, None, None)
    assert table.take_oldest(NOON, ZERO) is None


def test_looking_again_from_a_moment_forgets_what_was_before():
    table = timetable(every(10).minutes)
    table.restart(at("15:01:00"))
    assert table.next_slot() == at("15:10:00")


# Late: the newest runs, the older ones are missed.


def test_after_a_late_wake_the_newest_slot_runs_and_the_others_are_missed():
    table = timetable(every(10).minutes)
    due = table.take(at("12:35:00"), ZERO)
    assert (due.slot, due.late) == (at("12:30:00"), True)
    assert (due.missed.first, due.missed.last, due.missed.count) == (at("12:10:00"), at("12:20:00"), 2)
    assert table.next_slot() == at("12:40:00")


def test_a_slot_within_its_grace_is_not_late():
    grace = datetime.timedelta(seconds=30)
    assert not timetable(every(10).minutes, grace=grace).take(at("12:10:30"), ZERO).late
    assert timetable(every(10).minutes, grace=grace).take(at("12:10:30.000001"), ZERO).late


def test_a_late_slot_is_missed_where_late_ones_are_skipped():
    table = timetable(every(10).minutes, misfire="skip")
    due = table.take(at("12:35:00"), ZERO)
    assert due.slot is None
    assert (due.missed.first, due.missed.last, due.missed.count) == (at("12:10:00"), at("12:30:00"), 3)


def test_a_newest_slot_within_its_grace_runs_where_late_ones_are_skipped():
    due = timetable(every(10).minutes, misfire="skip").take(at("12:30:30"), ZERO)
    assert (due.slot, due.missed.count) == (at("12:30:00"), 2)


def test_missed_slots_are_counted_over_all_schedules_and_each_moment_once():
    due = timetable(every(10).minutes, every(15).minutes).take(at("12:46:00"), ZERO)
    assert (due.slot, due.missed.count, due.missed.last) == (at("12:45:00"), 5, at("12:40:00"))


def test_a_missed_span_does_not_move_with_the_timetable():
    table = timetable(every(10).minutes)
    missed = table.take(at("12:35:00"), ZERO).missed
    table.take(at("18:00:00"), ZERO)
    assert (missed.count, missed.last) == (2, at("12:20:00"))


def test_a_missed_span_is_counted_up_to_a_thousand():
    due = timetable(every(1).seconds).take(NOON + datetime.timedelta(days=400), ZERO)
    assert due.missed.count == 1001
    assert due.missed.last == due.slot - datetime.timedelta(seconds=1)


def test_a_long_span_ends_with_its_newest_slot_of_any_schedule():
    table = timetable(every(1).seconds, once(at("23:00:00")), cron("0 2 * * *", tz="UTC"))
    due = table.take(at("23:30:00"), ZERO)
    assert (due.missed.count, due.missed.last) == (1001, at("23:29:59"))


def test_a_missed_first_slot_of_several_hours_is_counted():
    table = Timetable("task")
    table.add(every(2).hours.at("15:00", "UTC"), at("12:15:00"), at("12:15:00") - TICK)
    due = table.take(at("14:20:00"), ZERO)
    assert (due.slot, due.missed.first, due.missed.count) == (at("14:15:00"), at("12:15:00"), 1)


# What `.to()` draws begins again from now.


def test_a_drawn_slot_that_was_missed_is_itself_the_one_to_run():
    table = timetable(every(50).to(70).seconds)
    first = table.next_slot()
    due = table.take(at("15:00:00"), ZERO)
    assert (due.slot, due.missed) == (first, None)
    assert at("15:00:50") <= table.next_slot() <= at("15:01:10")


def test_two_processes_find_the_same_drawn_slot_however_late_they_wake():
    one, other = timetable(every(50).to(70).seconds), timetable(every(50).to(70).seconds)
    assert one.take(at("15:00:00"), ZERO).slot == other.take(at("15:00:07"), ZERO).slot


def test_a_drawn_slot_beside_a_newer_one_is_missed_once():
    table = timetable(every(50).to(70).seconds, every(10).minutes)
    due = table.take(at("12:30:00"), ZERO)
    assert (due.slot, due.missed.count) == (at("12:30:00"), 3)


# A clock that stepped back: intervals go on at their elapsed rate.


def test_intervals_are_due_by_elapsed_time_and_calendars_by_the_wall():
    hour = datetime.timedelta(hours=1)
    seconds, calendar = every(10).minutes, cron("10 * * * *", tz="UTC")
    table = timetable(seconds, calendar)
    assert table.due_at(hour) == at("11:10:00")
    due = table.take(at("11:10:00"), hour)
    assert (due.slot, due.jobs, due.late) == (at("12:10:00"), (seconds,), False)
    assert table.take(at("11:19:59"), hour) is None


def test_a_calendar_is_not_due_ahead_of_the_wall():
    table = timetable(cron("*/10 * * * *", tz="UTC"))
    assert table.take(at("12:15:00"), datetime.timedelta(hours=1)).slot == at("12:10:00")
    assert table.next_slot() == at("12:20:00")


def test_catching_up_is_by_elapsed_time_too():
    table = timetable(every(10).minutes, cron("5 * * * *", tz="UTC"), misfire="all")
    taken = catch_up(table, at("11:30:00"), datetime.timedelta(hours=1))
    assert times(due.slot for due in taken) == ["12:10:00", "12:20:00", "12:30:00"]


# Jitter.


def test_jitter_delays_the_start_and_never_the_slot():
    table = timetable(every(10).minutes, jitter=30.0)
    due_at = table.due_at(ZERO)
    assert at("12:10:00") <= due_at <= at("12:10:30")
    assert table.take(due_at, ZERO).slot == at("12:10:00")


def test_jitter_is_the_same_for_the_same_task_and_slot():
    assert timetable(every(10).minutes, jitter=30.0).due_at(ZERO) == timetable(every(10).minutes, jitter=30.0).due_at(
        ZERO
    )


def test_a_delayed_start_is_not_late():
    table = timetable(every(10).minutes, jitter=300.0, grace=datetime.timedelta(seconds=1))
    assert not table.take(table.due_at(ZERO), ZERO).late


# `misfire="all"`: the late ones run one by one.


def catch_up(table, now, lead=ZERO):
    assert table.take(now, lead) is None
    taken = []
    while table.behind:
        taken.append(table.take_oldest(now, lead))
    return taken


def test_late_slots_run_oldest_first():
    taken = catch_up(timetable(every(10).minutes, misfire="all"), at("12:35:00"))
    assert times(due.slot for due in taken) == ["12:10:00", "12:20:00", "12:30:00"]
    assert [due.missed for due in taken] == [None, None, None]


def test_the_newest_hundred_late_slots_run():
    taken = catch_up(timetable(every(1).minutes, misfire="all"), at("15:00:30"))
    assert len(taken) == CATCH_UP_LIMIT == 100
    assert times([taken[0].slot, taken[-1].slot]) == ["13:21:00", "15:00:00"]
    assert (taken[0].missed.count, times([taken[0].missed.last])) == (80, ["13:20:00"])


def test_two_late_schedules_are_caught_up_in_the_order_of_their_slots():
    tens, quarters = every(10).minutes, every(15).minutes
    taken = catch_up(timetable(tens, quarters, misfire="all"), at("12:31:00"))
    assert times(due.slot for due in taken) == ["12:10:00", "12:15:00", "12:20:00", "12:30:00"]
    assert [due.jobs for due in taken] == [(tens,), (quarters,), (tens,), (tens, quarters)]


def test_a_schedule_that_is_due_once_waits_for_the_one_that_is_behind():
    hourly, tens = cron("30 * * * *", tz="UTC"), every(10).minutes
    taken = catch_up(timetable(hourly, tens, misfire="all"), at("12:35:00"))
    assert [(times([due.slot]), due.jobs) for due in taken] == [
        (["12:10:00"], (tens,)),
        (["12:20:00"], (tens,)),
        (["12:30:00"], (hourly, tens)),
    ]


def test_a_single_late_slot_needs_no_catching_up():
    table = timetable(every(10).minutes, misfire="all")
    assert table.take(at("12:19:00"), ZERO).slot == at("12:10:00")
    assert not table.behind


def test_a_first_slot_on_the_anchor_is_caught_up():
    table = Timetable("task", misfire="all")
    table.add(every(2).hours.at("15:00", "UTC"), at("12:15:00"), at("12:15:00") - TICK)
    assert times(due.slot for due in catch_up(table, at("14:20:00"))) == ["12:15:00", "14:15:00"]


def test_drawn_slots_are_not_caught_up():
    table = timetable(every(50).to(70).seconds, every(10).minutes, misfire="all")
    first = table.next_slot()
    taken = catch_up(table, at("12:31:00"))
    assert [due.slot for due in taken] == [first, at("12:10:00"), at("12:20:00"), at("12:30:00")]
    assert at("12:31:50") <= table.next_slot() <= at("12:32:10")


def test_a_drawn_slot_keeps_its_place_among_those_caught_up():
    table = timetable(every(25).to(25).minutes, every(10).minutes, misfire="all")
    taken = catch_up(table, at("12:31:00"))
    assert times(due.slot for due in taken) == ["12:10:00", "12:20:00", "12:25:00", "12:30:00"]


# Schedules of a user's own.


class Own(schedule.Job):
    """A schedule whose ``next_slot`` is what the test says."""

    def __init__(self, answer):
        super().__init__(1)
        self.next_slot = answer


@pytest.mark.parametrize(
    "answer",
    [
        lambda after: 1 / 0,
        lambda after: after,
        lambda after: after - TICK,
        lambda after: datetime.datetime(2030, 1, 1),
        lambda after: "tomorrow",
        lambda after: after.date(),
        lambda after: 5,
        lambda: None,
    ],
)
def test_a_broken_schedule_is_told_apart_by_its_error(answer):
    with pytest.raises(BrokenScheduleError, match=r"next_slot\(") as caught:
        next_slot(Own(answer), NOON, anchor=NOON)
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, RecursionError, MemoryError, GeneratorExit])
def test_whatever_a_schedule_raises_is_a_broken_schedule(error):
    def answer(after):
        raise error

    with pytest.raises(BrokenScheduleError) as caught:
        next_slot(Own(answer), NOON, anchor=NOON)
    assert type(caught.value.__cause__) is error


def test_a_schedule_may_answer_in_its_own_zone():
    job = Own(lambda after: datetime.datetime(2026, 5, 5, 9, tzinfo=AMSTERDAM))
    assert next_slot(job, NOON, anchor=NOON).isoformat() == "2026-05-05T07:00:00+00:00"


def test_a_schedule_is_asked_with_a_moment_in_utc():
    asked = []
    next_slot(Own(asked.append), NOON.astimezone(AMSTERDAM), anchor=NOON)
    assert [moment.isoformat() for moment in asked] == ["2026-05-04T12:00:00+00:00"]


@pytest.mark.parametrize("period", [1, 60, 3600, 86_400, 700_000])
def test_a_jump_of_a_year_asks_a_schedule_few_times(period):
    asked = []

    def answer(after):
        asked.append(after)
        return NOON + ((after - NOON) // step + 1) * step

    step = datetime.timedelta(seconds=period)
    table = timetable(Own(answer))
    newest = table.take(NOON + datetime.timedelta(days=365), ZERO).slot
    assert newest == NOON + datetime.timedelta(days=365) // step * step
    assert len(asked) <= 25


def test_a_schedule_that_breaks_while_it_is_taken_changes_nothing():
    def answer(after):
        if after > NOON:
            raise OSError("calendar server down")
        return at("12:20:00")

    table = timetable(every(10).minutes, Own(answer))
    with pytest.raises(BrokenScheduleError, match="calendar server down"):
        table.take(at("12:20:00"), ZERO)
    assert table.next_slot() == at("12:10:00")


# Properties: nothing is lost and nothing doubled, however the loop wakes.


def kinds():
    seconds = st.integers(1, 400).map(lambda n: every(n).seconds)
    minutes = st.integers(1, 90).map(lambda n: every(n).minutes)
    others = st.sampled_from(
        [
            lambda: every(0.75).hours,
            lambda: every().hour.at("30:00", "Europe/Amsterdam"),
            lambda: every(5).hours.at("10:00", "Australia/Lord_Howe"),
            lambda: every().day.at("02:30", "Europe/Amsterdam"),
            lambda: every(2).days.at("00:30", "Asia/Beirut"),
            lambda: cron("*/20 * * * *", tz="Europe/Amsterdam"),
            lambda: cron("30 2,3 * * *", tz="Europe/Amsterdam"),
            lambda: cron("0 0 * * mon", tz="America/Santiago"),
        ]
    ).map(lambda make: make())
    return st.lists(seconds | minutes | others, min_size=1, max_size=3)


#: Two starts: an ordinary day, and the evening before the clock of Amsterdam changes.
STARTS = st.sampled_from([NOON, datetime.datetime(2026, 3, 28, 20, tzinfo=UTC)])
ADVANCES = st.lists(
    st.timedeltas(ZERO, datetime.timedelta(minutes=5)) | st.timedeltas(ZERO, datetime.timedelta(hours=9)),
    max_size=12,
)


def spans(due):
    """The slots that a `Due` accounts for: those of its missed span, and the one to run."""
    if due.missed is not None:
        found = list(walk(due.missed.lines, due.missed.first - TICK, due.missed.before - TICK))
        assert due.missed.count == min(len(found), 1001)
        assert due.missed.last == found[-1]
        yield from found
    if due.slot is not None:
        yield due.slot


@given(kinds(), STARTS, ADVANCES, st.sampled_from(["latest", "skip"]))
@settings(deadline=None, max_examples=60)
def test_every_slot_runs_or_is_missed_once(jobs, now, advances, misfire):
    table = timetable(*jobs, anchor=now, misfire=misfire)
    expected, accounted = [], []
    for advance in advances:
        expected += walk(table.lines, now, now + advance)
        now += advance
        while (due := table.take(now, ZERO)) is not None:
            accounted += spans(due)
    assert accounted == expected
    assert all(earlier < later for earlier, later in itertools.pairwise(accounted))


@given(kinds(), STARTS, ADVANCES)
@settings(deadline=None, max_examples=40)
def test_every_slot_is_caught_up_or_missed_once(jobs, now, advances):
    table = timetable(*jobs, anchor=now, misfire="all")
    expected, accounted = [], []
    for advance in advances:
        expected += walk(table.lines, now, now + advance)
        now += advance
        while (due := table.take(now, ZERO)) is not None:
            accounted += spans(due)
        if table.behind:
            accounted += itertools.chain.from_iterable(spans(due) for due in all_oldest(table, now))
    assert accounted == expected


def all_oldest(table, now):
    ran = 0
    while (due := table.take_oldest(now, ZERO)) is not None:
        ran += 1
        yield due
    assert ran <= CATCH_UP_LIMIT


@given(kinds(), STARTS, st.timedeltas(ZERO, datetime.timedelta(hours=30)))
@settings(deadline=None, max_examples=40)
def test_the_timetables_next_slot_is_the_first_of_the_walk(jobs, now, span):
    table = timetable(*jobs, anchor=now)
    table.take(now + span, ZERO)
    following = table.next_slot()
    assert list(walk(table.lines, now + span, following)) == [following]
