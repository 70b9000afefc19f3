"""Bodies that never return: what goes on, what is recorded, and what `health` says."""

from __future__ import annotations

import datetime
import threading

import pytest

from task import TaskManager, every
from task.testing import VirtualClock

#: Whatever is waited for comes within this, or the test fails. Seconds.
LIMIT = 60


class Hung:
    """A body that blocks until the test is over."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.over = threading.Event()

    def __call__(self) -> None:
        self.begun.release()
        self.over.wait(10 * LIMIT)

    def await_begin(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.begun.acquire(timeout=LIMIT)


@pytest.fixture
def hung():
    body = Hung()
    yield body
    body.over.set()


@pytest.fixture
def threaded_clock() -> VirtualClock:
    return VirtualClock(datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC), threads=True)


def add_good(manager: TaskManager, **options) -> tuple[list[datetime.datetime], threading.Semaphore]:
    times: list[datetime.datetime] = []
    fired = threading.Semaphore(0)

    def good() -> None:
        times.append(manager.clock.now())

    # Told after the final state: the next slot finds the task at rest.
    manager.add(good, every(10).seconds, on_complete=lambda: fired.release(), **options)
    return times, fired


def test_a_hung_body_keeps_its_place_only_while_a_worker_is_free(threaded_clock, hung):
    clock, manager = threaded_clock, TaskManager([], clock=threaded_clock, max_workers=2)
    manager.add(hung, every(10).seconds, name="hung", threaded=True)
    times, fired = add_good(manager, threaded=True)
    with manager:
        begun = clock.now()
        for _ in range(12):
            clock.advance(seconds=10)
            assert fired.acquire(timeout=LIMIT)
        hung.await_begin()
        assert [(moment - begun).total_seconds() for moment in times] == [10.0 * slot for slot in range(1, 13)]
        newest, first = manager.runs("hung")
        assert (first.state, newest.state, newest.reason, newest.count) == (
            "running",
            "skipped",
            "already running",
            11,
        )
        assert manager.health  # one hung body occupies one place, and nobody waits
        hung.over.set()


def test_all_workers_hung_is_recorded_and_told(threaded_clock, hung, wait_for):
    clock, manager = threaded_clock, TaskManager([], clock=threaded_clock, max_workers=4)
    for number in range(4):
        manager.add(hung, every(10).seconds, name=f"hung {number}", threaded=True)
    times, fired = add_good(manager, threaded=True, start=clock.now() + datetime.timedelta(seconds=15))
    manager.add(lambda: None, name="serial")

    @manager.task
    async def coroutine():
        pass

    with manager:
        clock.advance(seconds=10)
        hung.await_begin(4)
        clock.advance(seconds=5)
        (waiting,) = manager.runs("good")
        assert waiting.state == "queued"

        clock.advance(seconds=30)
        newest, waiting = manager.runs("good")
        assert (waiting.state, newest.state, newest.reason, newest.count) == (
            "queued",
            "skipped",
            "already running",
            3,
        )
        assert manager.health  # it has waited for 30 seconds

        clock.advance(seconds=31)
        assert not manager.health
        (cause,) = manager.health.causes
        assert cause.startswith("1 runs wait for threads, the oldest for 61 seconds; it is occupied by ")
        assert all(f"'hung {number}'" in cause for number in range(4))
        # The serial worker and the event loop are places of their own.
        for name in ("serial", "coroutine"):
            run = manager[name].trigger()
            assert run.wait(LIMIT)
            assert run.state == "succeeded"

        hung.over.set()
        assert fired.acquire(timeout=LIMIT)
        wait_for(lambda: bool(manager.health))
        assert len(times) == 1


def test_a_hung_serial_body_is_named_with_the_cure(threaded_clock, hung, caplog):
    clock, manager = threaded_clock, TaskManager([], clock=threaded_clock)
    manager.add(hung, every(10).seconds, name="hung")
    times, fired = add_good(manager)
    threaded_times, threaded_fired = [], threading.Semaphore(0)

    @manager.task(every(10).seconds, threaded=True, on_complete=lambda: threaded_fired.release())
    def elsewhere():
        threaded_times.append(clock.now())

    with manager:
        clock.advance(seconds=10)
        hung.await_begin()
        for _ in range(9):
            assert threaded_fired.acquire(timeout=LIMIT)
            clock.advance(seconds=10)
        told = [record.getMessage() for record in caplog.records if "serial worker" in record.getMessage()]
        assert len(told) == 1
        assert told[0].startswith("Task 'hung' has held up the serial worker for over a second")
        assert "threaded=True" in told[0]
        assert not manager.health
        assert manager.health.causes[0].endswith("it is occupied by 'hung'")
        assert threaded_fired.acquire(timeout=LIMIT)
        assert len(threaded_times) == 10
        hung.over.set()
        assert fired.acquire(timeout=LIMIT)
    assert len(times) == 1


def test_stop_leaves_a_hung_body_behind_and_a_new_start_has_fresh_workers(hung, wait_for):
    manager = TaskManager([], max_workers=1)
    manager.add(hung, name="hung", threaded=True)
    good = threading.Semaphore(0)
    manager.add(good.release, every(0.02).seconds, name="good", threaded=True)
    manager.run()
    assert good.acquire(timeout=LIMIT)
    run = manager["hung"].trigger()
    hung.await_begin()
    manager.stop(timeout=0.05)
    assert (run.state, manager.health.state) == ("lost", "stopped")
    assert run.reason == "still running 0.05 seconds after the manager was told to stop"

    while good.acquire(blocking=False):
        pass
    manager.run()
    assert good.acquire(timeout=LIMIT)
    again = manager["hung"].trigger()  # the lost run does not stand in its way
    assert again.state in ("queued", "running")
    hung.over.set()
    assert again.wait(LIMIT)
    manager.stop()
    assert (run.state, again.state) == ("lost", "succeeded")  # the late end changes nothing


def test_a_late_end_of_a_lost_run_is_noted(hung, wait_for, caplog):
    manager = TaskManager([])
    manager.add(hung, name="hung", threaded=True, on_complete=lambda: caplog.records.clear())
    manager.run()
    run = manager["hung"].trigger()
    hung.await_begin()
    manager.stop(timeout=0)
    assert run.state == "lost"
    hung.over.set()
    wait_for(lambda: "ended (succeeded) after its run was recorded as lost" in caplog.text)
