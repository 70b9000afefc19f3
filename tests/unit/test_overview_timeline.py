"""Timelines: lanes, what is merged on them, and where bodies overlap."""

from __future__ import annotations

import datetime
import itertools
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task import TaskManager, cron, current_run, every
from task.overview import Bar, Overview
from task.overview.bars import clip, merge_tiny, overlaps_of
from task.stores import MemoryStore
from task.testing import VirtualClock

UTC = datetime.UTC
NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=UTC)
MINUTE = datetime.timedelta(minutes=1)


def bar(start: float, end: float, state: str = "succeeded", run_id: str | None = "one") -> Bar:
    """From one minute past noon to another."""
    return Bar(run_id, state, NOON + start * MINUTE, NOON + end * MINUTE)


def test_bars_are_cut_where_the_timeline_ends_and_those_beyond_are_left_out() -> None:
    bars = [bar(50, 70), bar(-20, -10), bar(-10, 10), bar(20, 30)]

    assert clip(bars, NOON, NOON + 60 * MINUTE) == [bar(0, 10), bar(20, 30), bar(50, 60)]


def test_tiny_bars_beside_each_other_are_one_with_the_id_of_the_newest() -> None:
    bars = [bar(0, 1, run_id="first"), bar(2, 3, run_id="second"), bar(4, 5, run_id="third")]

    assert merge_tiny(bars, 5 * MINUTE) == [bar(0, 5, run_id="third")]


def test_bars_that_are_long_apart_or_ended_otherwise_stay_alone() -> None:
    bars = [bar(0, 10), bar(11, 12), bar(13, 14, "failed"), bar(30, 31, "failed")]

    assert merge_tiny(bars, 5 * MINUTE) == bars


def test_spans_in_which_more_than_one_body_goes_on_are_told_with_how_many() -> None:
    bars = [bar(0, 30), bar(10, 20), bar(15, 40)]

    told = [((one[0] - NOON) // MINUTE, (one[1] - NOON) // MINUTE, one[2]) for one in overlaps_of(bars)]

    assert told == [
        (10, 15, 2),
        (15, 20, 3),
        (20, 30, 2),
    ]


def test_bars_that_follow_each_other_do_not_overlap() -> None:
    assert overlaps_of([bar(0, 10), bar(10, 20), bar(5, 5)]) == ()


def test_of_very_many_overlaps_the_longest_are_told_in_order() -> None:
    pairs = [[bar(10 * n, 10 * n + length), bar(10 * n, 10 * n + length)] for n, length in enumerate([1, 5, 2, 4])]

    told = overlaps_of(itertools.chain.from_iterable(pairs), limit=2)

    assert [((since - NOON) // MINUTE, (until - NOON) // MINUTE) for since, until, _ in told] == [(10, 15), (30, 34)]


_spans = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=12)


@given(_spans)
def test_at_every_minute_the_overlaps_tell_how_many_bodies_go_on(spans: list[tuple[int, int]]) -> None:
    bars = [bar(start, start + length) for start, length in spans]

    told = overlaps_of(bars)

    for minute in range(81):
        moment = NOON + (minute + 0.5) * MINUTE
        going_on = sum(one.start <= moment < one.end for one in bars)
        counts = [count for since, until, count in told if since <= moment < until]
        assert counts == ([going_on] if going_on > 1 else [])
    assert all(since < until for since, until, _ in told)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(told))


@given(_spans, st.integers(1, 10))
def test_merging_covers_every_bar_and_leaves_no_two_neighbours_to_merge(
    spans: list[tuple[int, int]], size: int
) -> None:
    bars = clip([bar(start, start + length) for start, length in spans], NOON, NOON + 80 * MINUTE)

    merged = merge_tiny(bars, size * MINUTE)

    assert len(merged) <= len(bars)
    for one in bars:
        assert any(other.start <= one.start and one.end <= other.end for other in merged)
    assert merge_tiny(merged, 0 * MINUTE) == merged


def test_a_timeline_has_what_ran_what_runs_and_what_is_expected(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: clock.sleep(600), every(4).hours, name="sample")
    overview = Overview(manager)
    seen = []

    @manager.task(name="looks")
    def looks() -> None:
        clock.sleep(300)
        seen.append((overview.timeline(names=["looks"]), current_run().id))

    with manager:
        clock.advance(hours=5)
        line = overview.timeline()
        looks.trigger()

    assert (line.since, line.now, line.until) == (
        NOON - datetime.timedelta(hours=19),
        NOON + datetime.timedelta(hours=5),
        NOON + datetime.timedelta(hours=29),
    )
    looks_lane, sample = line.lanes
    assert (looks_lane.task, looks_lane.bars) == ("looks", ())
    past, *expected = sample.bars
    assert (past.state, past.start, past.end) == ("succeeded", NOON + 240 * MINUTE, NOON + 250 * MINUTE)
    assert [(one.state, one.run_id, one.start, one.end) for one in expected[:2]] == [
        ("expected", None, NOON + 480 * MINUTE, NOON + 490 * MINUTE),
        ("expected", None, NOON + 720 * MINUTE, NOON + 730 * MINUTE),
    ]
    assert len(expected) == 6
    ((running, run_id),) = seen
    assert running.lanes[0].bars == (Bar(run_id, "running", running.now - 5 * MINUTE, running.now),)


def test_a_week_goes_back_and_ahead_seven_days(manager: TaskManager, clock: VirtualClock) -> None:
    line = Overview(manager).timeline("week")

    assert (line.since, line.until) == (NOON - datetime.timedelta(days=7), NOON + datetime.timedelta(days=7))


@pytest.mark.parametrize(("overlap", "minutes"), [("skip", [60, 90]), ("allow", [60, 70, 80, 90, 100, 110])])
def test_a_slot_that_a_guard_will_skip_is_not_expected(
    manager: TaskManager, clock: VirtualClock, overlap: Literal["skip", "allow"], minutes: list[int]
) -> None:
    sample = manager.add(lambda: clock.sleep(25 * 60), cron("*/10 13 * * *", tz="UTC"), name="sample", overlap=overlap)
    with manager:
        sample.trigger()
        (lane,) = Overview(manager).timeline().lanes

    expected = [one for one in lane.bars if one.run_id is None]
    assert [(one.start - NOON) // MINUTE for one in expected] == minutes


def test_slots_that_are_expected_together_are_an_overlap(manager: TaskManager, clock: VirtualClock) -> None:
    for name in ("one", "other"):
        manager.add(lambda: clock.sleep(600), every(12).hours, name=name, threaded=True, tags=["reports"])
    manager.add(lambda: None, every(12).hours, name="third")

    with manager:
        clock.advance(hours=12, minutes=30)
        line = Overview(manager).timeline(tag="reports")

    assert [lane.task for lane in line.lanes] == ["one", "other"]
    assert (NOON + 1440 * MINUTE, NOON + 1450 * MINUTE, 2) in line.overlaps


def test_slots_that_were_skipped_are_no_bars_and_do_not_hide_that_there_is_more(clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock, store=MemoryStore(keep=5_000))
    sample = manager.add(lambda: None, every(5).seconds, name="sample")

    with manager:
        clock.advance(hours=3)
        sample.disable()
        clock.advance(hours=1)
        (lane,) = Overview(manager).timeline().lanes

    assert lane.more
    assert {one.state for one in lane.bars} == {"succeeded"}


def test_a_lane_says_that_there_is_more_than_it_shows(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(10).seconds, name="often")
    manager.add(lambda: None, every(8).hours, name="seldom")

    with manager:
        clock.advance(minutes=1)
        often, seldom = Overview(manager).timeline().lanes

    assert (often.more, seldom.more) == (True, False)
    assert len(often.bars) < 10  # what lies so close is one bar
