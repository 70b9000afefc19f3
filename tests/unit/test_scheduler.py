"""The scheduler as a drop-in for `schedule.Scheduler`, and as a heap."""

from __future__ import annotations

import datetime
import random
import threading
from typing import Any

import pytest
import schedule

from task import ManagerStateError, ScheduleError, Scheduler, cron, every, once
from task.scheduler.heap import Heap
from task.scheduler.watch import ClockWatch
from task.testing import VirtualClock


@pytest.fixture
def scheduler(clock: VirtualClock) -> Scheduler:
    return Scheduler(clock)


def test_jobs_run_when_pending(scheduler: Scheduler, clock: VirtualClock) -> None:
    ran: list[int] = []
    scheduler.every(10).seconds.do(ran.append, 1)
    clock.advance(seconds=9)
    scheduler.run_pending()
    clock.advance(seconds=1)
    scheduler.run_pending()
    scheduler.run_pending()
    assert ran == [1]


def test_a_job_that_raises_tells_its_caller_and_keeps_its_next_slot(scheduler: Scheduler, clock: VirtualClock) -> None:
    job = scheduler.every(10).seconds.do(lambda: 1 / 0)
    clock.advance(seconds=10)
    with pytest.raises(ZeroDivisionError):
        scheduler.run_pending()
    assert job.next_run is not None
    assert job.next_run.second == 20


def test_cancel_clear_tags_and_next_run(scheduler: Scheduler) -> None:
    early = scheduler.every(1).minutes.do(print).tag("a")
    late = scheduler.every(2).minutes.do(print).tag("b")
    assert scheduler.next_run == early.next_run
    assert scheduler.get_next_run("b") == late.next_run
    scheduler.cancel_job(early)
    scheduler.cancel_job(early)
    assert scheduler.get_jobs() == [late]
    scheduler.clear("b")
    assert (scheduler.get_jobs(), scheduler.next_run, scheduler.idle_seconds) == ([], None, None)


def test_the_list_of_jobs_behaves_like_a_list(scheduler: Scheduler) -> None:
    first, second, third = (scheduler.every(1).minutes.do(print) for _ in range(3))
    assert (len(scheduler.jobs), scheduler.jobs[0], scheduler.jobs[-1]) == (3, first, third)
    scheduler.jobs.remove(second)
    with pytest.raises(ValueError, match="not scheduled"):
        scheduler.jobs.remove(second)
    assert scheduler.jobs == [first, third]
    assert second not in scheduler.jobs
    scheduler.jobs = [second]
    assert list(scheduler.jobs) == [second]
    del scheduler.jobs[:]
    assert scheduler.jobs == []
    assert repr(scheduler.jobs) == "[]"


@pytest.mark.parametrize("interval", [0, -5, float("nan")])
def test_an_interval_that_hangs_plain_schedule_is_refused(scheduler: Scheduler, interval: Any) -> None:
    with pytest.raises(ScheduleError, match="can never be kept"):
        scheduler.every(interval)


def test_cron_and_once_work_on_a_plain_scheduler_of_schedule() -> None:
    plain, ran = schedule.Scheduler(), []
    job = cron("* * * * * *")
    job.scheduler = plain
    job.do(ran.append, 1)
    single = once(datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1))
    single.scheduler = plain
    single.do(ran.append, 2)
    assert job.next_run is not None
    plain.run_pending()
    assert ran == [2]
    assert plain.get_jobs() == [job]


def test_a_once_runs_once_on_ours(scheduler: Scheduler, clock: VirtualClock) -> None:
    ran: list[int] = []
    job = once(clock.now() + datetime.timedelta(seconds=5))
    job.scheduler = scheduler
    job.do(ran.append, 1)
    clock.advance(minutes=1)
    scheduler.run_pending()
    assert ran == [1]
    assert scheduler.jobs == []


def test_adopting_keeps_jobs_their_next_run_and_the_object() -> None:
    plain = schedule.Scheduler()
    job = plain.every(10).minutes.do(print)
    planned = job.next_run
    adopted = Scheduler.adopt(plain)
    assert adopted is plain
    assert isinstance(plain, Scheduler)
    assert job.next_run == planned
    assert Scheduler.adopt(adopted) is adopted


def test_a_job_that_is_past_its_end_is_cancelled_and_not_run(scheduler: Scheduler, clock: VirtualClock) -> None:
    ran: list[int] = []
    job = scheduler.every(10).seconds.do(ran.append, 1)
    job.cancel_after = datetime.datetime(2026, 5, 4, 12, 0, 15)
    clock.advance(seconds=30)
    scheduler.run_pending()
    assert (ran, scheduler.get_jobs()) == ([], [])


def test_a_job_whose_class_runs_in_its_own_way_is_run_that_way(scheduler: Scheduler, clock: VirtualClock) -> None:
    class Loud(schedule.Job):
        def run(self) -> Any:
            ran.append("loud")
            return schedule.CancelJob

    ran: list[str] = []
    job = Loud(10, scheduler).seconds.do(print)
    clock.advance(seconds=10)
    scheduler.run_pending()
    assert ran == ["loud"]
    assert job not in scheduler.jobs


def test_run_all_waits_between_the_jobs(scheduler: Scheduler, clock: VirtualClock) -> None:
    times: list[int] = []
    for _ in range(2):
        scheduler.every(1).hours.do(lambda: times.append(clock.now().second))
    scheduler.run_all(delay_seconds=5)
    assert times == [0, 5]


def test_a_loop_can_be_started_once_at_a_time(scheduler: Scheduler) -> None:
    scheduler.start()
    with pytest.raises(ManagerStateError, match="already"):
        scheduler.start()
    scheduler.stop()
    assert scheduler.ailment() == "the loop is not running"


def test_what_fails_to_be_handed_over_keeps_nothing_else_from_it(caplog: pytest.LogCaptureFixture) -> None:
    scheduler, ran = Scheduler(), threading.Event()

    def fails() -> None:
        raise SystemExit

    scheduler.start()
    scheduler.call_at(scheduler.clock.now(), fails)
    scheduler.call_at(scheduler.clock.now() + datetime.timedelta(seconds=0.05), ran.set)
    assert ran.wait(60)
    assert scheduler.is_running()
    scheduler.stop()
    assert "could not be handed over" in caplog.text


def test_a_blocked_loop_is_told_from_a_healthy_one(scheduler: Scheduler, clock: VirtualClock) -> None:
    scheduler.start()
    clock.advance(seconds=1)
    assert scheduler.ailment() is None
    clock._monotonic += 40_000_000  # the loop was not let go on meanwhile
    assert scheduler.ailment() == "the loop has been blocked for 10 seconds"
    scheduler.stop()


def test_every_of_ours_takes_a_zone_without_pytz_on_the_default_scheduler() -> None:
    job = every().day.at("10:30", "Europe/Amsterdam").do(print)
    try:
        assert job in schedule.jobs
        assert repr(job).startswith("Every 1 day at 10:30:00 in Europe/Amsterdam do print")
    finally:
        schedule.cancel_job(job)


class Item:
    def __init__(self) -> None:
        self.key: datetime.datetime | None = None


def test_a_heap_gives_its_items_in_order_whatever_was_taken_back() -> None:
    heap: Heap[Item] = Heap()
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    draw = random.Random(1)
    items = [Item() for _ in range(1000)]
    keys = {item: start + datetime.timedelta(seconds=draw.randrange(10_000)) for item in items}
    for item in items:
        heap.put(item, keys[item])
    kept = [item for item in items if draw.random() < 0.3]
    for item in items:
        if item not in kept:
            heap.take_back(item)
            heap.take_back(item)
    popped = []
    while heap.first() is not None:
        popped.append(heap.pop())
    assert [keys[item] for item in popped] == sorted(keys[item] for item in kept)
    assert len(heap._items) == 0


def test_the_watch_sees_steps_of_a_second_and_more(clock: VirtualClock) -> None:
    watch = ClockWatch(clock)
    jumps = []
    for step in (0, 0.5, 5, -5, -3600):
        clock.advance(seconds=10)
        clock.step(seconds=step)
        jumps.append(watch.look()[1])
    assert jumps == [0, 0, 5, -5, -3600]
    assert not watch.follow(-3600)
    assert watch.lead == datetime.timedelta(hours=1)
    assert not watch.follow(1800)
    assert watch.lead == datetime.timedelta(minutes=30)
    assert watch.follow(-2 * 86_400)
    assert watch.lead == datetime.timedelta(0)


def test_adopting_keeps_what_a_random_job_had_drawn() -> None:
    plain = schedule.Scheduler()
    job = plain.every(5).to(50).minutes.do(print)
    planned = job.next_run
    Scheduler.adopt(plain)
    assert job.next_run == planned


def test_a_process_that_is_held_up_between_its_readings_of_the_clocks_sees_no_step() -> None:
    class HeldUp(VirtualClock):
        stalls = 0

        def now(self) -> datetime.datetime:
            now = super().now()
            if self.stalls:
                self.stalls -= 1
                self.advance(seconds=90)
            return now

    clock = HeldUp()
    watch = ClockWatch(clock)
    assert watch.look()[1] == 0.0
    clock.stalls = 2
    assert (watch.look()[1], watch.look()[1], watch.jumps) == (0.0, 0.0, ())
    clock.stalls = 1
    assert watch.elapsed_now() == clock.now()
    assert watch.known_jumps() == ()
