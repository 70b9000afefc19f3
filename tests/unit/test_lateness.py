"""Why a run starts late: each cause by its name, to the second."""

from __future__ import annotations

import asyncio
import datetime
import sys
import threading
from collections.abc import Callable, Mapping

import pytest
from outages import Proxy
from virtual_processes import VirtualProcesses

from task import TaskManager, cron, every, once
from task.clock import SystemClock
from task.testing import VirtualClock

#: So long is waited for what another thread does, on a machine that lets it wait. Seconds.
LIMIT = 60.0

UTC = datetime.UTC


def delays_of(manager: TaskManager, name: str = "sample") -> Mapping[str, float]:
    return manager.runs(name)[0].delays


def test_a_run_that_is_on_time_has_no_delays(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(60).seconds, name="sample")

    with manager:
        clock.advance(seconds=60)

    (run,) = manager.runs("sample")
    assert (run.lateness, run.delays, run.as_dict()["delays"]) == (0.0, {}, {})


def test_a_tenth_of_a_second_is_on_time_and_more_is_late(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: clock.sleep(0.1), every(60).seconds, name="hold for a tenth")
    manager.add(lambda: None, every(60).seconds, name="on time")
    manager.add(lambda: clock.sleep(0.101), every(90).seconds, name="hold for more")
    manager.add(lambda: None, every(90).seconds, name="late")

    with manager:
        clock.advance(seconds=91)

    assert delays_of(manager, "on time") == {}
    assert delays_of(manager, "late") == {"serial worker busy with 'hold for more'": 0.101}


# The places of bodies.


def test_the_serial_worker_is_busy_with_tasks_by_name(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: clock.sleep(4), every(60).seconds, name="report")
    manager.add(lambda: clock.sleep(0.5), every(61).seconds, name="sync")
    manager.add(lambda: None, every(62).seconds, name="sample")

    with manager:
        clock.advance(seconds=70)

    (run,) = manager.runs("sample")
    assert run.lateness == 2.5
    assert run.delays == {"serial worker busy with 'report'": 2.0, "serial worker busy with 'sync'": 0.5}
    assert list(run.delays) == ["serial worker busy with 'report'", "serial worker busy with 'sync'"]


def test_what_is_late_for_many_short_bodies_names_none(manager: TaskManager, clock: VirtualClock) -> None:
    for number in range(20):
        manager.add(lambda: clock.sleep(0.01), every(60).seconds, name=f"short {number}")
    manager.add(lambda: None, every(60).seconds, name="sample")

    with manager:
        clock.advance(seconds=61)

    assert delays_of(manager) == {"serial worker busy": 0.2}


def test_the_real_serial_worker_is_busy_with_a_task_by_name(wait_for: Callable[[Callable[[], bool]], None]) -> None:
    manager = TaskManager([])
    begun, go_on = threading.Event(), threading.Event()
    report = manager.add(lambda: begun.set() or go_on.wait(LIMIT), name="report")
    sample = manager.add(lambda: None, name="sample")

    with manager:
        report.trigger()
        assert begun.wait(LIMIT)
        run = sample.trigger()
        begun.clear()
        begun.wait(0.2)  # so long it waits
        go_on.set()
        assert run.wait(LIMIT)

    assert run.lateness is None
    # That thread may be held up between the two bodies as well.
    assert set(run.delays) <= {"serial worker busy with 'report'", "serial worker busy"}
    assert run.delays["serial worker busy with 'report'"] > 0.19
    assert run.started_at is not None
    assert sum(run.delays.values()) == pytest.approx((run.started_at - run.queued_at).total_seconds(), abs=1e-5)


def test_threads_are_full_with_tasks_by_name(clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock, max_workers=2)
    manager.add(lambda: clock.sleep(5), every(60).seconds, name="a", threaded=True)
    manager.add(lambda: clock.sleep(3), every(61).seconds, name="b", threaded=True)
    manager.add(lambda: None, every(62).seconds, name="sample", threaded=True)

    with manager:
        clock.advance(seconds=70)

    (run,) = manager.runs("sample")
    assert run.lateness == 2.0
    assert run.delays == {"threads full (busy with 'a', 'b')": 2.0}


def test_a_pool_is_full_and_names_three_of_those_in_it(clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock, pools={"io": 4})
    for name, seconds in {"a": 4, "b": 5, "c": 6, "d": 9}.items():
        manager.add(lambda seconds=seconds: clock.sleep(seconds), every(60).seconds, name=name, pool="io")
    manager.add(lambda: None, every(62).seconds, name="sample", pool="io")

    with manager:
        clock.advance(seconds=80)

    (run,) = manager.runs("sample")
    assert list(run.delays.values()) == [run.lateness]
    assert list(run.delays) == ["pool 'io' full (busy with 'a', 'b', 'c' and others)"]


def test_a_pool_of_coroutines_is_full_with_tasks_by_name(clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock, pools={"io": 1})

    async def slow() -> None:
        await asyncio.sleep(5)

    async def quick() -> None: ...

    manager.add(slow, every(60).seconds, name="slow", pool="io")
    manager.add(quick, every(62).seconds, name="sample", pool="io")

    with manager:
        clock.advance(seconds=70)

    assert delays_of(manager) == {"pool 'io' full (busy with 'slow')": 3.0}


@pytest.mark.parametrize("pool", [None, "io"])
def test_the_event_loop_is_blocked_by_a_task_by_name(clock: VirtualClock, pool: str | None) -> None:
    manager = TaskManager([], clock=clock, pools={"io": 3})

    async def blocking() -> None:
        clock.sleep(5)

    async def quick() -> None: ...

    manager.add(blocking, every(60).seconds, name="x")
    manager.add(quick, every(62).seconds, name="sample", pool=pool)

    with manager:
        clock.advance(seconds=70)

    assert delays_of(manager) == {"event loop blocked by 'x'": 3.0}


def test_the_real_event_loop_is_blocked_by_a_task_by_name() -> None:
    manager = TaskManager([])
    begun, go_on = threading.Event(), threading.Event()

    async def blocking() -> None:
        begun.set()
        go_on.wait(LIMIT)

    async def quick() -> None: ...

    x, sample = manager.add(blocking, name="x"), manager.add(quick, name="sample")
    with manager:
        x.trigger()
        assert begun.wait(LIMIT)
        run = sample.trigger()
        begun.clear()
        begun.wait(0.2)  # so long it waits
        go_on.set()
        assert run.wait(LIMIT)

    assert set(run.delays) == {"event loop blocked by 'x'"}


# Guards.


def test_real_threads_are_full_with_a_task_by_name(wait_for: Callable[[Callable[[], bool]], None]) -> None:
    manager = TaskManager([], max_workers=1)
    begun, go_on = threading.Event(), threading.Event()
    report = manager.add(lambda: begun.set() or go_on.wait(LIMIT), name="report", threaded=True)
    sample = manager.add(lambda: None, name="sample", threaded=True)

    with manager:
        report.trigger()
        assert begun.wait(LIMIT)
        run = sample.trigger()
        begun.clear()
        begun.wait(0.2)  # so long it waits
        go_on.set()
        assert run.wait(LIMIT)
        threads = manager._pipeline.executors.threads
        wait_for(lambda: threads.running() == [])  # the run is over a moment before its thread is free
        idle = sample.trigger()
        assert idle.wait(LIMIT)

    assert set(run.delays) == {"threads full (busy with 'report')"}
    assert idle.held_up_by is None


def test_a_body_that_overruns_was_in_the_way_until_its_place_was_given_away(clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock)
    manager.add(lambda: clock.sleep(50), every(60).seconds, name="hangs", timeout=4)
    manager.add(lambda: None, every(61).seconds, name="sample")

    with manager:
        clock.advance(seconds=119)

    (run,) = manager.runs("sample")
    assert (run.lateness, run.delays) == (3.0, {"serial worker busy with 'hangs'": 3.0})


def test_a_queued_run_waits_for_its_run_before(manager: TaskManager, clock: VirtualClock) -> None:
    durations = iter([70, 0])
    manager.add(lambda: clock.sleep(next(durations)), every(60).seconds, name="sample", overlap="queue", threaded=True)

    with manager:
        clock.advance(seconds=131)

    run = manager.runs("sample")[0]
    assert (run.lateness, run.delays) == (10.0, {"its run before": 10.0})


def test_a_mutex_is_told_with_who_had_it(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: clock.sleep(5), every(60).seconds, name="vacuum", mutex="db", threaded=True)
    manager.add(lambda: None, every(61).seconds, name="sample", mutex="db", threaded=True, overlap="queue")

    with manager:
        clock.advance(seconds=70)

    assert delays_of(manager) == {"'vacuum' has the mutex 'db'": 4.0}


def test_what_waits_for_a_guard_and_then_for_a_place_is_told_of_both(manager: TaskManager, clock: VirtualClock) -> None:
    async def vacuum() -> None:
        await asyncio.sleep(5)

    manager.add(vacuum, every(60).seconds, name="vacuum", mutex="db")
    manager.add(lambda: clock.sleep(5), every(63).seconds, name="report")
    manager.add(lambda: None, every(61).seconds, name="sample", mutex="db", overlap="queue")

    with manager:
        clock.advance(seconds=75)

    (run,) = manager.runs("sample")
    assert run.lateness == 7.0
    assert run.delays == {"'vacuum' has the mutex 'db'": 4.0, "serial worker busy with 'report'": 3.0}


def test_conditions_that_take_long_are_told(manager: TaskManager, clock: VirtualClock) -> None:
    def wanted() -> bool:
        clock.sleep(2)
        return True

    manager.add(lambda: None, every(60).seconds, name="sample", only_if=wanted)

    with manager:
        clock.advance(seconds=70)

    assert delays_of(manager) == {"only_if": 2.0}


def test_late_slots_run_one_by_one_and_each_waits_for_the_one_before(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: clock.sleep(20), every(60).seconds, name="sample", misfire="all")

    with manager:
        clock.advance(seconds=1)
    clock.advance(seconds=200)
    with manager:
        clock.advance(seconds=70)

    runs = manager.runs("sample")[::-1]
    assert [run.lateness for run in runs[:3]] == [141.0, 101.0, 61.0]
    assert [run.delays for run in runs[:3]] == [
        {"manager not running": 141.0},
        {"manager not running": 81.0, "its run before": 20.0},
        {"its run before": 40.0, "manager not running": 21.0},
    ]


# The time before anybody knew.


def test_a_slot_of_a_time_without_a_manager_says_so(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, cron("0 13 * * *"), name="sample")

    with manager:
        clock.advance(seconds=1)
    clock.run_until(datetime.datetime(2026, 5, 4, 13, 20, tzinfo=UTC))
    with manager:
        clock.advance(seconds=1)

    assert delays_of(manager) == {"manager not running": 1200.0}


def test_the_sleep_of_the_machine_is_told_apart_from_a_step_of_the_clock(
    manager: TaskManager, clock: VirtualClock
) -> None:
    manager.add(lambda: None, once(datetime.datetime(2026, 5, 4, 12, 10, tzinfo=UTC)), name="sample")
    manager.add(lambda: None, once(datetime.datetime(2026, 5, 4, 13, 10, tzinfo=UTC)), name="later")

    with manager:
        clock.advance(minutes=5)
        clock.suspend(minutes=40)
        clock.advance(minutes=1)
        clock.step(hours=1)
        clock.advance(minutes=1)

    assert delays_of(manager) == {"machine asleep": 2100.0}
    assert delays_of(manager, "later") == {"clock step": 2160.0}


def test_a_step_while_a_run_waits_is_not_on_whoever_has_its_place(manager: TaskManager, clock: VirtualClock) -> None:
    def report() -> None:
        clock.sleep(2)
        clock.step(minutes=10)
        clock.sleep(2)

    manager.add(report, every(60).seconds, name="report")
    manager.add(lambda: None, once(datetime.datetime(2026, 5, 4, 12, 1, 1, tzinfo=UTC)), name="sample")

    with manager:
        clock.advance(seconds=70)

    (run,) = manager.runs("sample")
    assert run.lateness == 603.0
    assert run.delays == {"clock step": 600.0, "serial worker busy with 'report'": 3.0}


def test_a_chained_run_after_a_step_knows_nothing_of_that(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(60).seconds, name="first")
    manager.add(lambda: clock.sleep(5), every(60).seconds, name="report")
    manager.add(lambda: None, name="sample", after="first")

    with manager:
        clock.advance(seconds=30)
        clock.step(minutes=-10)
        clock.advance(seconds=40)

    (run,) = manager.runs("sample")
    assert run.delays == {"serial worker busy with 'report'": 5.0}


def test_a_clock_set_back_while_a_run_waits_is_told_with_its_sign(manager: TaskManager, clock: VirtualClock) -> None:
    def report() -> None:
        clock.sleep(20)
        clock.step(seconds=-5)
        clock.sleep(2)

    manager.add(report, every(60).seconds, name="report")
    manager.add(lambda: None, every(61).seconds, name="sample")

    with manager:
        clock.advance(seconds=100)

    (run,) = manager.runs("sample")
    assert run.lateness == 16.0
    assert sum(run.delays.values()) == 16.0
    assert run.delays["clock step"] == -5.0
    assert {cause for cause in run.delays if cause != "clock step"} == {
        "serial worker busy with 'report'",
        "serial worker busy",
    }


def test_a_step_is_forgotten_after_an_hour(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(60).seconds, name="sample")

    with manager:
        clock.advance(seconds=30)
        clock.step(minutes=10)
        clock.advance(minutes=59)
        kept = len(manager.scheduler.clock_watch.jumps)
        clock.advance(minutes=2)

    assert (kept, manager.scheduler.clock_watch.jumps) == (1, ())


def test_a_run_before_its_slot_was_so_for_a_clock_that_was_set_back(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(60).seconds, name="sample")

    with manager:
        clock.advance(seconds=30)
        clock.step(minutes=-10)
        clock.advance(seconds=30)

    (run,) = manager.runs("sample")
    assert (run.lateness, run.delays) == (-600.0, {"clock step": -600.0})


class _SilentAboutSleep(VirtualClock):
    """The clock of a system that does not tell of its sleep."""

    def slept(self) -> None:  # type: ignore[override]
        return None


def test_where_the_system_does_not_tell_it_is_one_of_the_two() -> None:
    clock = _SilentAboutSleep(datetime.datetime(2026, 5, 4, 12, tzinfo=UTC))
    manager = TaskManager([], clock=clock)
    manager.add(lambda: None, once(datetime.datetime(2026, 5, 4, 12, 10, tzinfo=UTC)), name="sample")

    with manager:
        clock.advance(minutes=5)
        clock.suspend(minutes=10)
        clock.advance(minutes=1)

    assert delays_of(manager) == {"machine asleep or clock step": 300.0}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how long it has slept")
def test_the_system_tells_how_long_it_has_slept() -> None:
    clock = SystemClock()
    begun = clock.monotonic()
    before, after = clock.slept(), clock.slept()
    took = clock.monotonic() - begun

    assert before is not None
    assert after is not None
    assert abs(after - before) < 0.1 + took  # it compares two clocks, and may be held up between the two


def test_jitter_is_nobodys_fault_and_told(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(60).seconds, name="sample", jitter=30)

    with manager:
        clock.advance(seconds=100)

    (run,) = manager.runs("sample")
    assert run.lateness is not None
    assert 0.1 < run.lateness < 30
    assert list(run.delays.items()) == [("jitter", run.lateness)]


def test_a_loop_that_is_busy_with_others_is_told(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(60).seconds, name="sample")

    with manager:
        clock.advance(seconds=55)
        manager.scheduler.call_at(clock.now() + datetime.timedelta(seconds=4), lambda: _pass(clock, 3))
        clock.advance(seconds=10)

    assert delays_of(manager) == {"scheduler loop busy": 2.0}


def test_a_loop_that_gets_no_time_is_told(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(60).seconds, name="sample")

    with manager:
        clock.advance(seconds=59)
        _pass(clock, 3)
        clock.advance(seconds=1)

    assert delays_of(manager) == {"processor busy": 2.0}


def _pass(clock: VirtualClock, seconds: int) -> None:
    """Let time pass in which nobody has a turn."""
    clock._wall += datetime.timedelta(seconds=seconds)
    clock._monotonic += seconds * 1_000_000


# The ledger.


def test_the_time_of_the_ledger_is_told_also_that_of_an_outage(proxy: Proxy, clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock, store=proxy.url)
    manager.add(lambda: None, every(60).seconds, name="sample", misfire_grace=120)

    with manager:
        clock.advance(seconds=50)
        proxy.refuse()
        clock.advance(seconds=30)
        proxy.mend()
        clock.advance(seconds=30)

    (run,) = manager.runs("sample")
    assert run.lateness is not None
    assert 20 <= run.lateness <= 22
    assert run.delays == {"ledger": run.lateness}


def test_a_run_that_another_process_has_left_waited_for_a_process(processes: VirtualProcesses) -> None:
    first = processes.make("first", pools={"io": 1})
    first.add("report", every(60).seconds, seconds=20, pool="io")
    first.add("sample", every(65).seconds, pool="io")
    second = processes.make("second", pools={"io": 1})
    second.add("sample", every(65).seconds, pool="io")
    first.run()
    second.run()

    processes.clock.advance(seconds=70)
    first.stop(0)
    processes.clock.advance(seconds=5)

    (run,) = second.manager.runs("sample")
    assert run.lateness is not None
    assert 5 <= run.lateness <= 7
    assert run.delays == {"no process could run it": run.lateness}


# On record.


def test_delays_are_kept_in_every_store(any_store_url: str | None, clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock, store=any_store_url)
    manager.add(lambda: clock.sleep(4), every(60).seconds, name="report")
    manager.add(lambda: None, every(62).seconds, name="sample")

    with manager:
        clock.advance(seconds=70)

    (found,) = manager.runs("sample")
    assert found.delays == {"serial worker busy with 'report'": 2.0}
    assert manager.find_run(found.id).as_dict()["delays"] == {"serial worker busy with 'report'": 2.0}
    assert manager.store.recent(["sample"])["sample"][0].delays == {"serial worker busy with 'report'": 2.0}


def test_statistics_sum_up_what_delayed_a_task(any_store_url: str | None, clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock, store=any_store_url)
    manager.add(lambda: clock.sleep(4), every(60).seconds, name="report")
    manager.add(lambda: clock.sleep(1), every(60).seconds, name="sync")
    manager.add(lambda: None, every(61).seconds, name="sample")

    with manager:
        clock.advance(seconds=190)

    figures = manager.statistics("sample")
    assert figures.delays == {"serial worker busy with 'report'": 6.0, "serial worker busy with 'sync'": 3.0}
    assert figures.as_dict()["delays"] == dict(figures.delays)
    assert list(figures.delays) == ["serial worker busy with 'report'", "serial worker busy with 'sync'"]
