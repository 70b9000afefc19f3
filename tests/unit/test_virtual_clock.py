"""The virtual clock itself: nights in which clocks change, bodies inside each other, and variation by a seed."""

from __future__ import annotations

import asyncio
import datetime
import pathlib
import signal
import time

import pytest
from databases import sqlite_url
from sqlalchemy import event

from task import TaskManager, cron, every
from task.errors import DeclarationError, VirtualTimeError
from task.testing import Varied, VirtualClock, assert_ran
from task.testing.nights import next_change

UTC = datetime.UTC


def slots(manager: TaskManager, name: str) -> list[str]:
    return [f"{run.slot:%d %H:%M}" for run in reversed(manager.runs(name)) if run.slot is not None]


# The nights.


def test_a_time_that_the_spring_night_skips_runs_after_the_gap(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, cron("30 2 * * *", tz="Europe/Amsterdam"), name="report")
    change = clock.spring_night("Europe/Amsterdam", manager)
    assert str(change) == "2027-03-28 01:00:00+00:00"
    assert slots(manager, "report") == ["28 01:00"]
    assert clock.now() == change + datetime.timedelta(hours=12)


def test_a_time_that_the_autumn_night_shows_twice_runs_once(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, cron("30 2 * * *", tz="Europe/Amsterdam"), name="report")
    manager.add(lambda: None, every().hour, name="hourly")
    change = clock.autumn_night("Europe/Amsterdam", manager)
    assert str(change) == "2026-10-25 01:00:00+00:00"
    assert slots(manager, "report") == ["25 00:30"]
    assert_ran("hourly", times=24, manager=manager)


def test_what_runs_already_runs_on_the_way_to_the_night(manager: TaskManager, clock: VirtualClock) -> None:
    clock.run_until(datetime.datetime(2026, 10, 20, tzinfo=UTC))
    manager.add(lambda: None, every().day, name="daily")
    with manager:
        clock.autumn_night("Europe/Amsterdam")
        assert_ran("daily", times=5, manager=manager)


@pytest.mark.parametrize(
    ("zone", "forward", "moment"),
    [
        ("Australia/Lord_Howe", True, "2026-10-03 15:30:00+00:00"),
        ("Australia/Lord_Howe", False, "2026-04-04 15:00:00+00:00"),
        ("Europe/Dublin", True, "2026-03-29 01:00:00+00:00"),
        ("America/Santiago", True, "2026-09-06 04:00:00+00:00"),
    ],
)
def test_the_change_of_a_zone_is_found_to_the_second(zone: str, forward: bool, moment: str) -> None:
    begin = datetime.datetime(2026, 1, 1, 0, 0, 0, 123, tzinfo=UTC)
    assert str(next_change(zone, begin, forward=forward)) == moment


def test_a_zone_without_summer_time_is_refused(clock: VirtualClock) -> None:
    with pytest.raises(DeclarationError, match="Asia/Tokyo are not put forward"):
        clock.spring_night("Asia/Tokyo")
    with pytest.raises(DeclarationError, match="no time zone 'Europe/Amsterdm'"):
        clock.autumn_night("Europe/Amsterdm")


# Steps and sleep.


def test_a_clock_that_is_put_back_repeats_no_slot(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(10).minutes, name="sample")
    with manager:
        clock.advance(hours=1)
        clock.step(hours=-1)
        clock.advance(hours=1)
        assert_ran("sample", times=12, manager=manager)


def test_what_was_due_while_the_machine_slept_runs_once(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(10).minutes, name="sample")
    with manager:
        clock.suspend(hours=8)
        clock.advance(seconds=30)
        assert_ran("sample", times=1, manager=manager)


# Bodies inside each other.


def test_bodies_may_sleep_inside_each_other_and_are_told_what_to_do_where_too_many_do(
    manager: TaskManager, clock: VirtualClock
) -> None:
    manager.add(lambda: clock.sleep(26), every().second, name="slow", threaded=True, overlap="allow")
    with manager:
        clock.advance(seconds=27)
        error = str(manager.runs("slow", state="failed")[0].error)
    assert error.startswith("VirtualTimeError: 25 bodies sleep inside each other on this virtual clock")
    assert "Make the body an async def with asyncio.sleep" in error


def test_bodies_that_wait_beside_each_other_have_no_such_limit(manager: TaskManager, clock: VirtualClock) -> None:
    @manager.task(every().second, overlap="allow", max_concurrent=100)
    async def slow() -> None:
        await asyncio.sleep(60)

    with manager:
        clock.advance(seconds=99)
        assert_ran(slow, times=39)
        clock.advance(seconds=60)


def test_the_error_is_one_of_ours(clock: VirtualClock) -> None:
    clock._asleep = 25
    with pytest.raises(VirtualTimeError):
        clock.sleep(1)


# Variation.


def vary(seed: int, hours: int = 12) -> tuple[list[Varied], list[tuple[str, str, float]]]:
    """What a seed makes of two tasks, and what they came to."""
    clock = VirtualClock()
    manager = TaskManager([], clock=clock)
    manager.add(lambda: None, every(10).minutes, name="sync", threaded=True)

    @manager.task(every(10).minutes, name="async")
    async def body() -> None:
        pass

    with manager:
        variation = clock.vary(seed, longest=60, failures=0.2)
        clock.advance(hours=hours)
        runs = [(run.task, str(run.state), run.duration or 0.0) for run in manager.runs(limit=1000)]
    return variation.told, runs


def test_the_same_seed_varies_in_the_same_way() -> None:
    assert vary(7) == vary(7)
    assert vary(7) != vary(8)


def test_bodies_take_longer_and_fail_as_was_varied() -> None:
    told, runs = vary(7)
    assert len(told) == len(runs) == 144
    failed = [one for one in told if one.failed]
    assert 10 <= len(failed) <= 50
    assert sum(state == "failed" for _, state, _ in runs) == len(failed)
    for name in ("sync", "async"):
        longest = max(one.seconds for one in told if one.task == name)
        assert 10 < longest <= 60
        assert max(duration for task, _, duration in runs if task == name) >= longest


def test_a_failure_says_where_it_comes_from(manager: TaskManager, clock: VirtualClock) -> None:
    sample = manager.add(lambda: 42, name="sample")
    with manager:
        clock.vary(3, longest=0, failures=1)
        run = sample.trigger()
        assert run.error == "InjectedFailureError: This body fails because the variation with the seed 3 says so."
        assert sample() == 42


def test_a_second_variation_takes_the_place_of_the_first(manager: TaskManager, clock: VirtualClock) -> None:
    sample = manager.add(lambda: 42, name="sample")
    with manager:
        clock.vary(1, failures=1)
        sample.trigger()
        clock.vary(1, longest=0, failures=0)
        assert sample.trigger().result(0) == 42


def test_more_bodies_than_can_sleep_inside_each_other_are_varied(manager: TaskManager, clock: VirtualClock) -> None:
    for number in range(60):
        manager.add(lambda: None, every().minute, name=f"task {number}", threaded=True)
    with manager:
        clock.vary(1, longest=30, failures=0)
        clock.advance(minutes=5)
        assert all(str(run.state) == "succeeded" for run in manager.runs(limit=1000) if run.done())


def test_a_variation_that_cannot_be_is_refused(clock: VirtualClock) -> None:
    with pytest.raises(DeclarationError, match="a share of failures from 0 to 1"):
        clock.vary(1, failures=2)


def test_a_process_that_is_alone_on_its_database_seldom_looks_round(
    clock: VirtualClock, tmp_path: pathlib.Path
) -> None:
    manager = TaskManager([], store=sqlite_url(tmp_path), clock=clock)
    manager.add(lambda: None, every().hour, name="sample")
    begun: list[object] = []
    with manager:
        clock.advance(seconds=30)
        event.listen(manager.store._database._engine, "begin", begun.append)  # type: ignore[attr-defined]
        clock.advance(minutes=5)
    assert len(begun) < 600


def test_a_day_of_a_task_of_each_second_takes_little_time(manager: TaskManager, clock: VirtualClock) -> None:
    sample = manager.add(lambda: None, every().second, name="sample")
    begun = time.process_time()
    with manager:
        clock.advance(hours=24)
        assert_ran(sample, times=86_400)
    assert time.process_time() - begun < 5


# Ctrl-C.


def test_an_interruption_that_a_body_keeps_ends_the_time_that_passes(manager: TaskManager, clock: VirtualClock) -> None:
    @manager.task(every(10).minutes)
    def sample() -> None:
        signal.raise_signal(signal.SIGINT)

    with manager, pytest.raises(KeyboardInterrupt):
        clock.advance(hours=24)
    assert len(manager.runs("sample")) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_time_passes_again_after_an_interruption(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: signal.raise_signal(signal.SIGINT), every(10).minutes, name="sample", max_runs=1)
    manager.add(lambda: None, every(1).hours, name="report")
    with manager:
        with pytest.raises(KeyboardInterrupt):
            clock.advance(minutes=30)
        clock.advance(hours=2)
        assert_ran("report", times=2, manager=manager)
