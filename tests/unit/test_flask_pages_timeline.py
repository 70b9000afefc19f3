"""The timeline: where its bars are, and what its page says without being seen."""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Iterator

import pytest
from pages_client import Pages, words

from task import TaskManager, cron, every
from task.flask.pages.drawing import draw
from task.overview import Bar, Lane, Timeline
from task.stores import MemoryStore
from task.testing import VirtualClock

NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)


def at(hours: float) -> datetime.datetime:
    """So many hours from noon."""
    return NOON + datetime.timedelta(hours=hours)


def day(*lanes: Lane, overlaps: tuple[tuple[datetime.datetime, datetime.datetime, int], ...] = ()) -> Timeline:
    """A day before noon, and a day after it."""
    return Timeline(at(-24), NOON, at(24), lanes, overlaps)


@pytest.fixture(autouse=True)
def local_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone of the process, in which pages tell moments: that of UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def manager(clock: VirtualClock) -> TaskManager:
    """A manager in memory: an application gives one without a store a file."""
    return TaskManager([], clock=clock, store=MemoryStore())


def test_bars_are_as_long_as_their_runs():
    bars = (Bar("1", "succeeded", at(-12), at(-6)), Bar(None, "expected", at(12), at(18)))
    (row,) = draw(day(Lane("sample", bars, False))).rows
    assert [(rect.x, rect.width) for rect in row.rects] == [(25.0, 12.5), (75.0, 12.5)]


def test_a_short_run_is_wide_enough_to_be_seen_also_at_the_edge():
    bars = (Bar("1", "succeeded", at(0), at(0)), Bar(None, "expected", at(24), at(24)))
    (row,) = draw(day(Lane("sample", bars, False))).rows
    assert [(rect.x, rect.width) for rect in row.rects] == [(50.0, 0.4), (99.6, 0.4)]


def test_expected_bars_that_would_be_drawn_upon_each_other_are_one():
    bars = tuple(Bar(None, "expected", at(hour / 20), at(hour / 20 + 0.1)) for hour in range(10))
    (row,) = draw(day(Lane("sample", bars, False))).rows
    assert [(rect.x, rect.width) for rect in row.rects] == [(50.0, 1.146)]


def test_runs_too_short_to_be_told_apart_are_one_bar_that_leads_to_the_newest():
    states = ["succeeded"] * 5 + ["failed"] + ["succeeded"] * 2
    bars = [Bar(str(number), state, at(number / 20), at(number / 20)) for number, state in enumerate(states)]
    (row,) = draw(day(Lane("sample", tuple(bars), False))).rows
    assert [(rect.bar.state, rect.bar.run_id) for rect in row.rects] == [
        ("succeeded", "4"),
        ("failed", "5"),
        ("succeeded", "7"),
    ]


def test_runs_that_are_long_enough_stay_apart():
    bars = tuple(Bar(str(number), "succeeded", at(number), at(number + 1)) for number in range(3))
    (row,) = draw(day(Lane("sample", bars, False))).rows
    assert [rect.bar.run_id for rect in row.rects] == ["0", "1", "2"]


def test_a_lane_that_goes_on_says_from_where():
    expected = Bar(None, "expected", at(0), at(12))
    past = Bar("1", "succeeded", at(-12), at(-11))
    rows = draw(day(Lane("a", (expected,), True), Lane("b", (past,), True), Lane("c", (expected,), False))).rows
    assert [(row.before, row.after) for row in rows] == [(None, 75.0), (25.0, None), (None, None)]


def test_tasks_with_nothing_in_the_span_have_no_lane():
    drawing = draw(day(Lane("idle", (), False), Lane("busy", (Bar("1", "lost", at(-1), at(0)),), False)))
    assert [row.task for row in drawing.rows] == ["busy"]
    assert drawing.idle == ("idle",)


def test_a_band_tells_how_many_run_at_once():
    drawing = draw(day(overlaps=((at(-12), at(-6), 2), (at(-6), at(-3), 4), (at(6), at(6.001), 3))))
    assert [(band.x, band.width, band.bodies, band.share, band.told) for band in drawing.bands] == [
        (25.0, 12.5, 2, 50.0, True),
        (37.5, 6.5, 4, 100.0, True),
        (62.5, 0.5, 3, 75.0, False),
    ]


def test_the_grid_has_each_third_hour_and_midnight_its_day():
    drawing = draw(day())
    assert [(tick.x, tick.hour, tick.day) for tick in drawing.ticks][:5] == [
        (6.25, "15:00", ""),
        (12.5, "18:00", ""),
        (18.75, "21:00", ""),
        (25.0, "00:00", "Mon 4 May"),
        (31.25, "03:00", ""),
    ]
    assert drawing.now == 50.0
    assert [(shade.x, shade.width) for shade in drawing.days] == [(0.0, 25.0), (75.0, 25.0)]


def test_a_week_has_a_line_for_each_day():
    week = Timeline(at(-168), NOON, at(168), (), ())
    days = [tick.day for tick in draw(week).ticks]
    assert days[:5] == ["Tue 28 Apr", "Wed 29", "Thu 30", "Fri 1 May", "Sat 2"]
    assert len(days) == 14


def test_what_ran_is_linked_and_what_is_expected_is_drawn(manager: TaskManager, clock: VirtualClock):
    manager.add(lambda: clock.sleep(600), cron("0 * * * *"), name="hourly <b>")
    with manager:
        clock.advance(hours=2)
        page = Pages(manager).get("/timeline")
        newest = manager.runs("hourly <b>")[0]
    said = "hourly &lt;b&gt;: succeeded, 14:00:00, 10 min"
    assert f'<a href="/tasks/run/{newest.id}" class="succeeded" aria-label="{said}">' in page
    assert page.count('class="bar expected"') == 25  # of the legend one
    assert "hourly &lt;b&gt;" in page
    assert "style=" not in page


def test_a_failed_run_has_its_shape_beside_its_colour(manager: TaskManager, clock: VirtualClock):
    def fail():
        raise ValueError

    manager.add(fail, every(1).hours, name="bad")
    with manager:
        clock.advance(hours=1)
        page = Pages(manager).get("/timeline")
    assert page.count('<use class="bar-mark" href="#m-failed"') == 1


def test_the_table_says_the_same(manager: TaskManager, clock: VirtualClock):
    manager.add(lambda: clock.sleep(60), cron("0 13 * * *"), name="daily")
    with manager:
        clock.advance(hours=2)
        read = words(Pages(manager).get("/timeline"))
    assert (
        "Start Task State Length Mon 4 May 2026 13:00:00 UTC daily succeeded 1 min "
        "Tue 5 May 2026 13:00:00 UTC daily expected 1 min"
    ) in read


def test_tasks_are_chosen_by_tag_and_span(manager: TaskManager, clock: VirtualClock):
    manager.add(lambda: None, every(1).hours, name="first", tags=["io"])
    manager.add(lambda: None, every(1).hours, name="second")
    with manager:
        page = Pages(manager).get("/timeline", tag="io", span="week")
    assert re.findall(r'role="group" aria-label="(\w+)"', page) == ["first"]
    assert "The last and the next 7 days" in page
    assert '<option value="io" selected>' in page


def test_many_tasks_come_in_pages(manager: TaskManager):
    for number in range(45):
        manager.add(lambda: None, cron("0 * * * *"), name=f"task {number:02}")
    with manager:
        pages = Pages(manager)
        first = pages.get("/timeline")
        second = pages.get("/timeline", cursor="task 39")
    assert (first.count('role="group"'), second.count('role="group"')) == (40, 5)
    assert "More tasks</a>" in first


def test_empty_timelines_say_why(manager: TaskManager):
    pages = Pages(manager)
    assert "There are no tasks yet." in words(pages.get("/timeline"))
    assert "No task has this tag." in words(pages.get("/timeline", tag="none"))
    manager.add(lambda: None, name="sample")
    assert "Nothing ran, and nothing is to run, in this span." in words(Pages(manager).get("/timeline"))
