"""Users whose own tests freeze or move the time with `time_machine`."""

from __future__ import annotations

import datetime
import threading

import schedule
import time_machine

from task import Scheduler, TaskManager, current_run, every, task

NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)


def test_a_direct_call_in_frozen_time_runs_and_is_recorded_at_that_time():
    manager = TaskManager([])

    @manager.task(every(10).minutes)
    def stamp():
        return current_run().started_at, datetime.datetime.now(datetime.UTC)

    with time_machine.travel(NOON.timestamp(), tick=False):
        assert stamp() == (NOON, NOON)
    (run,) = manager.runs("stamp")
    assert (run.started_at, run.finished_at, run.duration) == (NOON, NOON, 0.0)


def test_a_task_without_a_manager_does_too():
    @task
    def double(number: int) -> int:
        return 2 * number

    with time_machine.travel(NOON.timestamp(), tick=False):
        assert double(21) == 42


def test_run_pending_follows_the_travelled_time_as_with_schedule():
    seen = []
    with time_machine.travel(NOON.timestamp(), tick=False) as traveller:
        scheduler = Scheduler()
        scheduler.every(10).minutes.do(lambda: seen.append(datetime.datetime.now(datetime.UTC)))
        scheduler.run_pending()
        assert seen == []
        traveller.shift(datetime.timedelta(minutes=10))
        scheduler.run_pending()
        scheduler.run_pending()
        traveller.shift(datetime.timedelta(minutes=9, seconds=59))
        scheduler.run_pending()
        traveller.shift(datetime.timedelta(seconds=1))
        scheduler.run_pending()
    assert seen == [NOON + datetime.timedelta(minutes=10), NOON + datetime.timedelta(minutes=20)]


def test_a_daily_job_is_due_once_a_travelled_day():
    seen = []
    with time_machine.travel(NOON.timestamp(), tick=False) as traveller:
        scheduler = Scheduler()
        job = scheduler.every().day.at("10:30", "UTC").do(lambda: seen.append(job.next_run))
        for _ in range(3 * 24):
            traveller.shift(datetime.timedelta(hours=1))
            scheduler.run_pending()
    assert len(seen) == 3


def test_jobs_of_plain_schedule_are_as_they_were():
    """Nothing of `schedule` itself is changed by importing us."""
    seen = []
    with time_machine.travel(NOON.timestamp(), tick=False) as traveller:
        scheduler = schedule.Scheduler()
        scheduler.every(10).minutes.do(lambda: seen.append(1))
        traveller.shift(datetime.timedelta(minutes=10))
        scheduler.run_pending()
    assert seen == [1]


def test_travel_while_a_manager_runs_is_a_step_of_the_clock_there_and_back(wait_for):
    """The loop of a real manager sees the wall clock jump, while elapsed time goes on."""
    fired = threading.Semaphore(0)
    manager = TaskManager([])
    manager.add(lambda: fired.release(), every(0.05).seconds, name="sample", misfire="skip")
    with manager:
        for _ in range(2):
            assert fired.acquire(timeout=60)
        for hours in (-1, 1):
            moved = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=hours)
            with time_machine.travel(moved.timestamp(), tick=True):
                while fired.acquire(blocking=False):
                    pass
                for _ in range(3):
                    assert fired.acquire(timeout=60), f"silent after {hours} h"
                assert manager.health
        while fired.acquire(blocking=False):
            pass
        for _ in range(3):
            assert fired.acquire(timeout=60)
        slots = [run.slot for run in manager.runs("sample", state="succeeded")]
        assert len(slots) == len(set(slots))
