"""`virtual_time`: all managers of a process on one virtual clock, on records that nobody keeps."""

from __future__ import annotations

import asyncio
import datetime
import os
import pathlib
import signal
import sys
import threading
import time
import types

import pytest
import schedule

from task import CancelJob, TaskManager, cron, every, once, task
from task.errors import DeclarationError, DeclarationTypeError, VirtualTimeError
from task.helpers import default_manager
from task.stores import MemoryStore
from task.testing import VirtualClock, assert_ran, virtual_time

UTC = datetime.UTC
NOON = "2026-05-04T12:00Z"


class Settings:
    """A service."""

    def __init__(self, region: str) -> None:
        self.region = region


def states(manager: TaskManager, name: str) -> list[str]:
    return [str(run.state) for run in reversed(manager.runs(name))]


# Which managers.


def test_a_manager_that_was_made_before_runs_on_virtual_time() -> None:
    manager, times = TaskManager([]), []
    manager.add(lambda: times.append(manager.clock.now()), every(10).minutes, name="sample")
    with virtual_time(NOON) as clock:
        clock.run(manager)
        clock.advance(minutes=25)
    assert [f"{moment:%H:%M}" for moment in times] == ["12:10", "12:20"]


def test_a_manager_that_is_made_meanwhile_runs_on_virtual_time() -> None:
    with virtual_time() as clock:
        manager = TaskManager([])
        manager.add(lambda: None, every(10).minutes, name="sample")
        clock.run(manager)
        clock.advance(hours=24)
        assert manager.statistics("sample").counts == {"succeeded": 144}


def test_all_managers_run_in_the_order_of_their_slots() -> None:
    one, other, order = TaskManager([]), TaskManager([]), []
    one.add(lambda: order.append("one"), every(20).seconds, name="one")
    other.add(lambda: order.append("other"), every(15).seconds, name="other")
    with virtual_time() as clock:
        clock.run(one, other)
        clock.advance(seconds=50)
    assert order == ["other", "one", "other", "one", "other"]


def test_bodies_on_threads_and_coroutines_run_in_the_thread_that_moves_the_clock() -> None:
    manager, threads = TaskManager([]), []

    @manager.task(every(10).seconds, threaded=True)
    def threaded() -> None:
        threads.append(threading.current_thread())

    @manager.task(every(10).seconds)
    async def coroutine() -> None:
        await asyncio.sleep(3)
        threads.append(threading.current_thread())

    with virtual_time() as clock:
        clock.run(manager)
        clock.advance(seconds=20)
    assert threads == [threading.main_thread()] * 3


def test_a_manager_with_a_clock_of_its_own_keeps_that() -> None:
    own = VirtualClock()
    manager = TaskManager([], clock=own)
    manager.add(lambda: None, every().minute, name="sample")
    with virtual_time() as clock, manager:
        clock.advance(hours=1)
        assert states(manager, "sample") == []
        with pytest.raises(VirtualTimeError, match="made with clock="):
            clock.run(manager)


def test_the_default_manager_and_plain_jobs_run_on_virtual_time() -> None:
    manager = default_manager()
    told: list[str] = []
    job = schedule.every(10).minutes.do(told.append, "plain")
    before = job.next_run
    try:
        with virtual_time() as clock:
            clock.run(manager)
            clock.advance(hours=1)
            assert told == ["plain"] * 6
        assert (job.last_run, job.next_run) == (None, before)
    finally:
        schedule.cancel_job(job)


def test_what_is_neither_manager_nor_application_cannot_be_run() -> None:
    with virtual_time() as clock, pytest.raises(DeclarationTypeError, match="not a str"):
        clock.run("shop.jobs")


# As it was.


def test_afterwards_the_manager_is_stopped_and_knows_nothing_of_it() -> None:
    manager = TaskManager([])
    sample = manager.add(lambda: None, every(10).minutes, name="sample")
    store = manager.store
    with virtual_time() as clock:
        clock.run(manager)
        clock.advance(hours=1)
        sample.disable()
        manager.pause()
        manager.remove("sample")
    assert manager.state == "stopped"
    assert manager.store is store
    assert manager["sample"] is sample
    assert states(manager, "sample") == []
    assert (sample.is_enable, store.paused) == (True, False)


def test_what_was_known_before_is_known_afterwards_and_not_meanwhile() -> None:
    manager = TaskManager([])
    sample = manager.add(lambda: None, every(10).minutes, name="sample")
    manager.recurring.add("nightly", task="sample", schedule="0 2 * * *")
    sample.disable(note="on holiday")
    sample()
    with virtual_time():
        assert sample.is_enable
        assert states(manager, "sample") == []
        assert manager.recurring.list() == []
    assert not sample.is_enable
    assert states(manager, "sample") == ["skipped"]
    assert [entry.name for entry in manager.recurring.list()] == ["nightly"]
    assert "nightly" in manager


def test_last_and_next_run_of_a_schedule_are_put_back() -> None:
    manager = TaskManager([])
    sample = manager.add(lambda: None, cron("0 3 * * *"), name="sample")
    manager.run()
    manager.stop()
    before = [(job.last_run, job.next_run) for job in sample.schedules]
    with virtual_time(NOON) as clock:
        clock.run(manager)
        clock.advance(days=2)
    assert [(job.last_run, job.next_run) for job in sample.schedules] == before


def test_a_schedule_that_has_ended_in_one_test_is_there_in_the_next() -> None:
    manager = TaskManager([])
    moment = datetime.datetime(2026, 5, 4, 13, tzinfo=UTC)
    manager.add(lambda: None, once(moment), name="party")
    manager.add(lambda: CancelJob, every().minute, name="gone")
    manager.add(lambda: None, every().minute, name="few", max_runs=2)
    for _ in range(2):
        with virtual_time(NOON) as clock:
            clock.run(manager)
            clock.advance(hours=2)
            counts = {name: manager.statistics(name).counts["succeeded"] for name in manager}
            assert counts == {"party": 1, "gone": 1, "few": 2}


def test_chains_go_on_in_the_next_test() -> None:
    manager = TaskManager([])
    manager.add(lambda: None, every().hour, name="fetch")
    manager.add(lambda: None, name="report", after="fetch")
    for _ in range(2):
        with virtual_time() as clock:
            clock.run(manager)
            clock.advance(hours=3)
            assert_ran("report", times=3, manager=manager)


def test_a_task_without_a_manager_begins_each_test_without_runs() -> None:
    @task
    def lonely() -> int:
        return 42

    lonely.disable()
    for _ in range(2):
        with virtual_time():
            assert lonely() == 42
            assert_ran(lonely, times=1)
    assert lonely() is None


def test_a_manager_that_ran_is_stopped_meanwhile_and_runs_again_afterwards() -> None:
    manager = TaskManager([])
    manager.add(lambda: None, every().hour, name="sample")
    manager.run()
    with virtual_time() as clock:
        assert manager.state == "stopped"
        clock.run(manager)
        clock.advance(hours=2)
    assert manager.state == "running"
    assert states(manager, "sample") == []


def test_the_store_of_a_manager_is_not_touched(tmp_path: pathlib.Path) -> None:
    manager = TaskManager([], store=f"sqlite:///{tmp_path}/production.db")
    manager.add(lambda: None, every().hour, name="sample")
    with virtual_time() as clock:
        clock.run(manager)
        clock.advance(hours=2)
        assert states(manager, "sample") == ["succeeded"] * 2
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_kept_if_that_is_wanted(tmp_path: pathlib.Path) -> None:
    manager = TaskManager([], store=f"sqlite:///{tmp_path}/test.db")
    manager.add(lambda: None, every().minute, name="sample")
    with virtual_time(datetime.datetime.now(UTC), keep_stores=True) as clock:
        clock.run(manager)
        clock.advance(minutes=2)
    assert states(manager, "sample") == ["succeeded"] * 2


def test_managers_on_one_store_share_their_slots_in_a_test_too(tmp_path: pathlib.Path) -> None:
    store, url = MemoryStore(), f"sqlite:///{tmp_path}/shared.db"
    ran: list[str] = []

    @task(every().hour)
    def sample() -> None:
        ran.append("ran")

    pairs = [TaskManager([sample], store=store), TaskManager([sample], store=store)]
    others = [TaskManager([sample], store=url), TaskManager([sample], store=url)]
    with virtual_time() as clock:
        clock.run(*pairs)
        clock.advance(hours=2)
        assert len(ran) == 2
        clock.run(*others)
        clock.advance(hours=2)
        assert len(ran) == 6


def test_tasks_that_a_test_adds_are_gone_and_those_of_a_module_that_it_imports_stay() -> None:
    manager = TaskManager([])
    module = types.ModuleType("late")
    with virtual_time():
        exec("def late(): return 42", vars(module))
        manager.add(module.late, every().hour)
        manager.add(lambda: None, name="local")
        assert list(manager) == ["late", "local"]
    assert list(manager) == ["late"]
    with virtual_time() as clock:
        clock.run(manager)
        clock.advance(hours=2)
        assert_ran("late", times=2, manager=manager)


def test_a_task_that_a_manager_of_one_test_owned_is_free_in_the_next() -> None:
    @task(every().hour)
    def sample() -> None:
        pass

    kept = []
    for _ in range(2):
        with virtual_time() as clock:
            manager = TaskManager([sample])
            kept.append(manager)
            clock.run(manager)
            clock.advance(hours=2)
            assert manager["sample"] is sample
            assert_ran(sample, times=2)


def test_a_store_that_comes_meanwhile_is_that_of_the_manager_afterwards(tmp_path: pathlib.Path) -> None:
    manager = TaskManager([])
    manager.add(lambda: None, every().hour, name="sample")
    with virtual_time() as clock:
        manager.embedding.keep_in(f"sqlite:///{tmp_path}/tasks.db")
        clock.run(manager)
        clock.advance(hours=2)
        assert states(manager, "sample") == ["succeeded"] * 2
        assert list(tmp_path.iterdir()) == []
    assert manager.store.shared
    assert manager.embedding.has_store
    assert states(manager, "sample") == []


def test_all_is_put_back_when_the_test_fails() -> None:
    manager = TaskManager([])
    manager.add(lambda: None, every().hour, name="sample")
    store = manager.store

    def fail() -> None:
        with virtual_time() as clock:
            clock.run(manager)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (manager.state, manager.store) == ("stopped", store)
    assert not manager.clock.inline


def test_all_is_put_back_when_one_cannot_take_part(monkeypatch: pytest.MonkeyPatch) -> None:
    managers = [TaskManager([]), TaskManager([])]
    for one in managers:
        one.add(lambda: None, name="sample")
    broken = managers[1]
    before = [(one.store, one["sample"]) for one in managers]

    def refuse(found: object) -> None:
        raise RuntimeError("it cannot be registered again")

    monkeypatch.setattr(broken._registry, "_register", refuse)
    with pytest.raises(RuntimeError, match="cannot be registered"), virtual_time():
        pass
    monkeypatch.undo()
    assert [(one.store, one["sample"]) for one in managers] == before
    assert not managers[0].clock.inline


def test_virtual_time_is_not_put_into_virtual_time() -> None:
    with virtual_time(), pytest.raises(VirtualTimeError, match="already"), virtual_time():
        pass


def test_what_a_test_provides_is_taken_back() -> None:
    manager = TaskManager([])
    manager.provide(Settings, Settings("EU"))

    def report(settings: Settings) -> str:
        return settings.region

    task_of_it = manager.add(report)
    with virtual_time():
        assert task_of_it() == "EU"
        manager.provide(Settings, Settings("test"))
        assert task_of_it() == "test"
    assert task_of_it() == "EU"


def test_a_manager_of_a_module_that_a_test_imports_keeps_what_the_module_provides() -> None:
    with virtual_time():
        manager = TaskManager([])
        manager.provide(Settings, Settings("EU"))

        @manager.task(every().hour)
        def report(settings: Settings) -> str:
            return settings.region

    with virtual_time() as clock:
        clock.run(manager)
        clock.advance(hours=2)
        assert_ran("report", times=2, manager=manager)


def test_bodies_on_real_threads_have_virtual_time_too() -> None:
    manager, threads = TaskManager([]), []
    sample = manager.add(lambda: threads.append(threading.current_thread()), name="sample", threaded=True)
    with virtual_time(NOON, threads=True) as clock:
        clock.run(manager)
        run = sample.trigger()
        run.result(timeout=60)
        assert run.finished_at == clock.now()
    assert threads != [threading.current_thread()]


def test_alerts_begin_anew_and_nobody_outside_hears_of_a_rehearsal() -> None:
    told: list[str] = []
    beats: list[str] = []
    manager = TaskManager([], notify=told.append, heartbeat="http://192.0.2.1/never-reached")
    other = TaskManager([], heartbeat=lambda: beats.append("beat"))

    @manager.task(every().minute)
    def broken() -> None:
        raise ValueError("no network")

    manager.run()
    manager.stop()
    for _ in range(2):
        with virtual_time() as clock:
            clock.run(manager, other)
            clock.advance(minutes=10)
        assert len(told) == 1
        assert "broken" in told.pop()
        assert len(beats) >= 10
        beats.clear()


# The time of the machine.


def test_the_machine_shows_the_virtual_time_in_bodies_and_in_the_test() -> None:
    manager, times = TaskManager([]), []

    @manager.task(every(10).minutes)
    def sample() -> None:
        times.append((datetime.datetime.now(UTC), time.time()))

    real = time.time()
    with virtual_time(NOON) as clock:
        clock.run(manager)
        clock.advance(minutes=10, milliseconds=1.5)
        assert datetime.datetime.now(UTC) == clock.now()
    at = datetime.datetime(2026, 5, 4, 12, 10, tzinfo=UTC)
    assert times == [(at, at.timestamp())]
    assert time.time() - real < 60


def test_the_machine_agrees_to_the_microsecond() -> None:
    with virtual_time("2026-05-04T12:00:00.123457Z") as clock:
        for _ in range(1000):
            clock.advance(microseconds=1)
            assert datetime.datetime.now(UTC) == clock.now()


def test_the_zone_of_the_process_stays() -> None:
    zone = time.tzname
    with virtual_time(NOON):
        assert time.tzname == zone


def test_without_time_machine_the_machine_keeps_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with virtual_time(NOON) as clock:
        clock.advance(hours=1)
        assert abs(datetime.datetime.now(UTC) - clock.now()) > datetime.timedelta(days=1)


def test_a_body_that_sleeps_takes_virtual_time_and_none_of_ours() -> None:
    manager, started = TaskManager([]), []

    @manager.task(every(10).minutes, threaded=True)
    def slow() -> None:
        started.append(manager.clock.monotonic())
        time.sleep(180)

    begun = time.monotonic()
    with virtual_time() as clock:
        clock.run(manager)
        clock.advance(minutes=35)
        assert manager.statistics("slow").p50_duration == 180.0
    assert started == [600, 1200, 1800]
    assert time.monotonic() - begun < 180


def test_outside_of_bodies_sleeping_is_what_it_was() -> None:
    before = time.sleep
    with virtual_time() as clock:
        time.sleep(0.001)
        assert clock.monotonic() == 0
    assert time.sleep is before


@pytest.mark.parametrize("start", ["2026-05-04T12:00", "noon"])
def test_virtual_time_starts_at_a_moment_with_a_zone(start: str) -> None:
    with pytest.raises(DeclarationError), virtual_time(start):
        pass


# Applications.


def test_each_application_of_a_factory_runs_on_virtual_time(tmp_path: pathlib.Path) -> None:
    flask = pytest.importorskip("flask")
    from task.flask import FlaskTasks

    manager = TaskManager([])
    names: list[str] = []
    manager.add(lambda: names.append(flask.current_app.name), every().hour, name="sample")
    tasks = FlaskTasks(manager)

    def create_app(name: str) -> object:
        app = flask.Flask(name, instance_path=str(tmp_path))
        tasks.init_app(app)
        return app

    for name in ("first", "second"):
        with virtual_time() as clock:
            app = create_app(name)
            clock.run(app)
            clock.advance(hours=2)
            assert_ran(manager["sample"], times=2)
    assert names == ["first", "first", "second", "second"]
    assert list(tmp_path.iterdir()) == []


def test_importing_the_testing_package_loads_no_time_machine() -> None:
    assert "time_machine" not in vars(sys.modules["task.testing.rehearsing"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_in_a_forked_child_the_loops_of_its_parent_make_no_passes() -> None:
    with virtual_time() as clock:
        manager = TaskManager([])
        manager.add(lambda: None, every(10).minutes, name="sample")
        clock.run(manager)
        child = os.fork()
        if child == 0:
            try:
                signal.alarm(60)  # the end of a child that goes on for ever
                clock.advance(hours=1)
                os._exit(0)
            finally:
                os._exit(1)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        clock.advance(hours=1)
        told = manager.statistics("sample").counts["succeeded"]

    assert (ended, told) == (0, 6)
