"""`TaskManager`: finding tasks, running them, and telling about them, on the virtual clock."""

from __future__ import annotations

import datetime
import json
import logging
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schedule

from task import (
    CancelJob,
    DuplicateTaskError,
    ManagerStateError,
    MemoryStore,
    RunState,
    Scheduler,
    TaskManager,
    UnknownTaskError,
    cron,
    every,
    once,
    task,
)
from task.testing import VirtualClock

UTC = datetime.UTC


def states(manager: TaskManager, name: str) -> list[str]:
    return [str(run.state) for run in manager.runs(name)]


# Finding.


@pytest.fixture
def module() -> Iterator[types.ModuleType]:
    made = types.ModuleType("made_for_this_test")
    exec("from task import task, every\n@task(every(5).seconds)\ndef sample(): ...\nother = sample", vars(made))
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


def test_tasks_are_found_on_a_module_an_import_string_a_namespace_and_a_list(module: types.ModuleType) -> None:
    for source in (module, "made_for_this_test", vars(module), [module], "made_for_this_test:sample"):
        assert [found.name for found in TaskManager(source).tasks] == ["sample"]


def test_a_re_exported_task_counts_once(module: types.ModuleType) -> None:
    namespace = {"again": module.sample}
    assert len(TaskManager([module, namespace])) == 1


def test_two_tasks_of_one_name_are_refused_naming_both_places() -> None:
    def make() -> Any:
        @task(name="twin")
        def sample() -> None: ...

        return sample

    with pytest.raises(DuplicateTaskError, match=r"test_manager\.py:\d+, one at .*test_manager\.py:\d+"):
        TaskManager([make(), make()]).run()


def test_without_an_argument_the_creating_modules_tasks_are_found_also_those_defined_later() -> None:
    namespace: dict[str, Any] = {"__name__": "some_script"}
    exec(
        "from task import TaskManager, task\n"
        "@task\ndef before(): ...\n"
        "manager = TaskManager()\n"
        "@task\ndef after(): ...",
        namespace,
    )
    assert list(namespace["manager"]) == ["before", "after"]


def test_a_subclass_may_carry_tasks_as_methods(clock: VirtualClock) -> None:
    class Mine(TaskManager):
        ran = 0

        @task(every(10).seconds)
        def tick(self) -> None:
            self.ran += 1

    mine = Mine([], clock=clock)
    with mine:
        clock.advance(seconds=60)
        assert mine.tick.schedules[0].next_run is not None
    assert mine.ran == 6


def test_a_manager_that_finds_nothing_says_where_it_looked(
    manager: TaskManager, caplog: pytest.LogCaptureFixture
) -> None:
    TaskManager({"__name__": "empty_module"}, clock=manager.clock).run()
    assert "found no task in module 'empty_module'" in caplog.text


def test_an_unknown_name_offers_the_nearest(manager: TaskManager) -> None:
    manager.add(lambda: None, name="report")
    with pytest.raises(UnknownTaskError, match="Did you mean 'report'"):
        manager["raport"]
    with pytest.raises(KeyError):
        manager["x"]


def test_it_is_a_collection_of_its_tasks(manager: TaskManager) -> None:
    sample = manager.add(lambda: None, name="sample")
    assert "sample" in manager
    assert sample in manager
    assert "other" not in manager
    assert (len(manager), list(manager), manager.tasks) == (1, ["sample"], [sample])


# Running.


def test_a_task_fires_on_every_slot_and_not_before_the_first(manager: TaskManager, clock: VirtualClock) -> None:
    times: list[str] = []
    manager.add(lambda: times.append(clock.now().strftime("%H:%M:%S")), every(20).seconds, name="sample")
    with manager:
        clock.advance(minutes=1)
    assert times == ["12:00:20", "12:00:40", "12:01:00"]


def test_serial_threaded_and_async_bodies_all_run(manager: TaskManager, clock: VirtualClock) -> None:
    import asyncio

    @manager.task(every(1).minutes)
    def serial() -> None:
        clock.sleep(5)

    @manager.task(every(1).minutes, threaded=True)
    def threaded() -> None:
        clock.sleep(5)

    @manager.task(every(1).minutes)
    async def asynchronous() -> None:
        await asyncio.sleep(5)

    with manager:
        clock.advance(minutes=2, seconds=30)
        for name in manager:
            assert [run.duration for run in manager.runs(name)] == [5.0, 5.0]


def test_two_schedules_that_fall_on_one_moment_are_one_slot(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, [every(10).seconds, every(15).seconds], name="sample")
    with manager:
        clock.advance(minutes=1)
        seconds = [run.slot.second for run in reversed(manager.runs("sample")) if run.slot]
    assert seconds == [10, 15, 20, 30, 40, 45, 50, 0]


def test_a_run_that_is_still_under_way_makes_the_next_slot_a_skip(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: clock.sleep(35), every(10).seconds, name="slow", threaded=True)
    with manager:
        clock.advance(seconds=40)
        newest = manager.runs("slow")
    assert [(str(run.state), run.count, run.reason) for run in newest] == [
        ("skipped", 3, "already running"),
        ("succeeded", 1, None),
    ]


def test_serial_tasks_delay_each_other_but_never_the_loop(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: clock.sleep(30), once(clock.now() + datetime.timedelta(seconds=1)), name="slow")
    manager.add(lambda: None, every(10).seconds, name="other")
    manager.add(lambda: None, every(10).seconds, name="free", threaded=True)
    with manager:
        clock.advance(seconds=60)
        started = [run.started_at.second for run in manager.runs("other") if run.started_at]
        free = [run.started_at.second for run in manager.runs("free") if run.started_at]
    assert started == [0, 50, 40, 31]
    assert free == [0, 50, 40, 30, 20, 10]


def test_a_serial_body_that_holds_others_up_is_reported_once(
    manager: TaskManager, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    manager.add(lambda: clock.sleep(5), every(20).seconds, name="slow")
    manager.add(lambda: None, every(7).seconds, name="waiting")
    with manager:
        clock.advance(minutes=10)
    reports = [record.getMessage() for record in caplog.records if "held up" in record.getMessage()]
    assert len(reports) == 1
    assert "'slow'" in reports[0]
    assert "threaded=True" in reports[0]


def test_run_twice_is_harmless(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(10).seconds, name="sample")
    manager.run()
    manager.run()
    clock.advance(seconds=30)
    assert len(manager.runs("sample")) == 3


def test_a_task_added_while_it_runs_is_scheduled_at_once(manager: TaskManager, clock: VirtualClock) -> None:
    with manager:
        clock.advance(seconds=5)
        manager.add(lambda: None, every(10).seconds, name="late")
        clock.advance(seconds=10)
        assert states(manager, "late") == ["succeeded"]


def test_a_removed_task_never_runs_again_and_its_history_stays(manager: TaskManager, clock: VirtualClock) -> None:
    sample = manager.add(lambda: 7, every(10).seconds, name="sample")
    with manager:
        clock.advance(seconds=20)
        manager.remove("sample")
        clock.advance(seconds=60)
        assert "sample" not in manager
        assert len(manager.runs("sample")) == 2
        assert sample() == 7  # still a function


def test_a_removed_task_can_come_back(manager: TaskManager, clock: VirtualClock) -> None:
    sample = manager.add(lambda: None, every(10).seconds, name="sample")
    with manager:
        clock.advance(seconds=20)
        manager.remove("sample")
        clock.advance(seconds=15)
        manager.add(sample)
        clock.advance(seconds=10)
        assert [run.slot.second for run in manager.runs("sample") if run.slot] == [45, 20, 10]


def test_pause_skips_everything_and_resume_catches_nothing_up(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(10).seconds, name="sample")
    with manager:
        manager.pause()
        clock.advance(seconds=30)
        manager.resume()
        clock.advance(seconds=10)
        newest = manager.runs("sample")
    assert [(str(run.state), run.count, run.reason) for run in newest] == [
        ("succeeded", 1, None),
        ("skipped", 3, "paused"),
    ]


def test_stop_and_run_again_works_and_what_came_due_meanwhile_is_on_record(
    manager: TaskManager, clock: VirtualClock
) -> None:
    manager.add(lambda: None, every(10).seconds, name="sample")
    with manager:
        clock.advance(seconds=20)
    clock.advance(hours=1)
    with manager:
        clock.advance(seconds=10)
        newest = manager.runs("sample")
    assert [str(run.state) for run in newest] == ["succeeded", "succeeded", "missed", "succeeded", "succeeded"]
    assert newest[2].as_dict()["count"] == 359


def test_a_stop_from_inside_a_run_that_comes_late_does_not_end_the_next_start(
    wait_for: Callable[[Callable[[], bool]], None],
) -> None:
    manager = TaskManager([])
    stops = manager.add(manager.stop, name="stops")
    manager.run()
    with manager._lifecycle.lock:  # what the body has asked for waits here
        assert stops.trigger().wait(60)
        manager.stop()
        manager.run()
    wait_for(lambda: not [thread for thread in threading.enumerate() if thread.name == "task-stop"])
    assert manager.state == "running"
    manager.stop()


def test_two_managers_on_one_scheduler_the_second_is_refused(clock: VirtualClock) -> None:
    scheduler = Scheduler(clock)
    first, second = TaskManager([], scheduler=scheduler), TaskManager([], scheduler=scheduler)
    with first, pytest.raises(ManagerStateError, match="scheduler of its own"):
        second.run()


def test_two_managers_with_stores_of_their_own_both_fire_and_a_warning_says_so(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[int] = []

    @task(every(10).seconds)
    def sample() -> None:
        ran.append(1)

    with TaskManager([sample], clock=clock), TaskManager([sample], clock=clock) as second:
        clock.advance(seconds=10)
        assert second["sample"] is not sample
    assert len(ran) == 2
    assert "'sample'" in caplog.text
    assert "one store" in caplog.text


def test_two_managers_with_one_store_share_the_slots(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    ran: list[int] = []

    @task(every(10).seconds)
    def sample() -> None:
        ran.append(1)

    store = MemoryStore()
    with TaskManager([sample], clock=clock, store=store), TaskManager([sample], clock=clock, store=store):
        clock.advance(seconds=30)
    assert len(ran) == 3
    assert "stores of their own" not in caplog.text


# By hand.


def test_a_trigger_is_a_run_with_the_parameters_given(manager: TaskManager, clock: VirtualClock) -> None:
    got: list[str] = []

    def report(region: str, size: int = 1) -> None:
        got.append(f"{region}{size}")

    manager.add(report, every(1).hours, parameters={"region": "EU"})
    with manager:
        run = manager["report"].trigger(region="US")
        clock.advance(hours=1)
    assert (run.state, run.trigger, run.slot) == ("succeeded", "manual", None)
    assert got == ["US1", "EU1"]


def test_a_trigger_of_a_disabled_task_is_a_recorded_skip(manager: TaskManager) -> None:
    manager.add(lambda: None, name="sample", disabled=True)
    with manager:
        run = manager["sample"].trigger()
        assert (run.state, run.reason) == (RunState.SKIPPED, "disabled")
        assert manager.runs("sample") == [run]


def test_a_direct_call_is_on_the_owners_record(manager: TaskManager) -> None:
    sample = manager.add(lambda: 5, name="sample")
    assert sample() == 5
    assert [(run.trigger, str(run.state)) for run in manager.runs("sample")] == [("call", "succeeded")]


def test_a_trigger_needs_a_running_manager(manager: TaskManager) -> None:
    manager.add(lambda: None, name="sample")
    with pytest.raises(ManagerStateError, match="call run"):
        manager["sample"].trigger()


def test_what_was_known_of_a_function_comes_along_to_its_manager(manager: TaskManager) -> None:
    @task
    def sample() -> int:
        return 3

    sample()
    sample.disable()
    manager.add(sample)
    assert not manager["sample"].is_enable
    assert [str(run.state) for run in manager.runs("sample")] == ["succeeded"]


# Options.


def test_run_at_start_runs_once_beside_the_schedule(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(10).seconds, name="sample", run_at_start=True)
    with manager:
        clock.advance(seconds=10)
        assert [run.trigger for run in manager.runs("sample")] == ["schedule", "start"]


def test_max_runs_ends_the_schedules(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(10).seconds, name="sample", max_runs=2)
    with manager:
        clock.advance(minutes=5)
        assert len(manager.runs("sample")) == 2
        assert manager["sample"].schedules == []
        assert manager.tasks_detail[0]["next_run"] is None


def test_a_body_that_returns_cancel_job_removes_that_schedule_only(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: CancelJob, [every(10).seconds, every(25).seconds], name="sample")
    with manager:
        clock.advance(minutes=5)
        assert [run.slot.second for run in manager.runs("sample") if run.slot] == [25, 10]


def test_fixed_delay_measures_from_the_end_of_the_run(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: clock.sleep(7), every(10).seconds, name="sample", fixed_delay=True)
    with manager:
        clock.advance(seconds=60)
        assert [run.slot.second for run in reversed(manager.runs("sample")) if run.slot] == [10, 27, 44]


def test_fixed_delay_goes_on_after_a_skip(manager: TaskManager, clock: VirtualClock) -> None:
    sample = manager.add(lambda: None, every(10).seconds, name="sample", fixed_delay=True, disabled=True)
    with manager:
        clock.advance(seconds=25)
        sample.enable()
        clock.advance(seconds=10)
        assert states(manager, "sample") == ["succeeded", "skipped"]


def test_start_is_the_first_slot_and_what_intervals_are_counted_from(manager: TaskManager, clock: VirtualClock) -> None:
    start = clock.now() + datetime.timedelta(minutes=5)
    manager.add(lambda: None, every(10).minutes, name="sample", start=start)
    with manager:
        clock.advance(minutes=30)
        assert [run.slot.minute for run in reversed(manager.runs("sample")) if run.slot] == [5, 15, 25]


def test_jitter_delays_the_start_and_not_the_slot(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(1).minutes, name="sample", jitter=20)
    with manager:
        clock.advance(minutes=30)
        runs = manager.runs("sample")
    delays = [(run.started_at - run.slot).total_seconds() for run in runs if run.started_at and run.slot]
    assert {run.slot.second for run in runs if run.slot} == {0}
    assert all(0 <= delay <= 20 for delay in delays)
    assert len({round(delay, 3) for delay in delays}) > 10


def test_a_once_in_the_past_is_recorded_as_missed(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, once(clock.now() - datetime.timedelta(hours=1)), name="sample")
    with manager:
        clock.advance(hours=1)
        assert states(manager, "sample") == ["missed"]


def test_one_declaration_serves_two_tasks_and_two_managers(clock: VirtualClock) -> None:
    job = every(10).seconds
    first, second = TaskManager([], clock=clock), TaskManager([], clock=clock)
    for manager in (first, second):
        manager.add(lambda: None, job, name="one")
        manager.add(lambda: None, job, name="two")
    with first, second:
        clock.advance(seconds=20)
        assert [len(manager.runs()) for manager in (first, second)] == [4, 4]
    assert job.job_func is None


def test_an_h_in_a_cron_is_hashed_by_the_name_of_the_task(manager: TaskManager) -> None:
    job = cron("H H * * *", tz="UTC")
    manager.add(lambda: None, job, name="one")
    manager.add(lambda: None, job, name="two")
    with manager:
        next_runs = {detail["next_run"] for detail in manager.tasks_detail}
    assert len(next_runs) == 2


# Telling.


def test_tasks_detail_is_json_and_right_before_while_and_after(manager: TaskManager, clock: VirtualClock) -> None:
    seen: list[dict[str, Any]] = []

    @manager.task([every(30).seconds, every().day.at("10:30"), cron("0 2 * * *", tz="Europe/Amsterdam")], tags=["a"])
    def sample() -> None:
        """Pulls the remote state."""
        seen.append(manager.tasks_detail[0])
        clock.sleep(2)

    before = manager.tasks_detail[0]
    assert [schedule["cadence"] for schedule in before["schedules"]] == [
        "Every 30 seconds",
        "Every 1 day at 10:30:00",
        "Cron 0 2 * * * in Europe/Amsterdam",
    ]
    assert (before["next_run"], before["last_run"], before["last_outcome"]) == (None, None, None)
    with manager:
        assert manager.tasks_detail[0]["next_run"] == "2026-05-04T12:00:30+00:00"
        clock.advance(seconds=32)
        after = json.loads(json.dumps(manager.tasks_detail))[0]
    assert seen[0]["running"] is True
    assert after["running"] is False
    assert after["last_run"] == "2026-05-04T12:00:30+00:00"
    assert after["next_run"] == "2026-05-04T12:01:00+00:00"
    assert after["counts"] == {"runs": 1, "failures": 0, "consecutive_failures": 0, "skips": {}}
    assert (after["last_outcome"]["state"], after["last_outcome"]["duration"]) == ("succeeded", 2.0)
    assert after["last_outcome"]["run"] == manager.runs()[0].id
    assert (after["description"], after["tags"]) == ("Pulls the remote state.", ["a"])
    stopped = manager.tasks_detail[0]
    assert (stopped["next_run"], stopped["schedules"][0]["next_run"]) == (None, None)
    assert stopped["last_run"] == "2026-05-04T12:00:30+00:00"


def test_counts_tell_failures_in_a_row_and_skips_by_reason(manager: TaskManager, clock: VirtualClock) -> None:
    def sample() -> None:
        if clock.now().second != 0:
            raise ValueError("no")

    manager.add(sample, every(20).seconds, name="sample")
    with manager:
        clock.advance(minutes=1)
        assert manager.tasks_detail[0]["counts"]["consecutive_failures"] == 0
        clock.advance(seconds=40)
        manager["sample"].disable()
        clock.advance(seconds=40)
        counts = manager.tasks_detail[0]["counts"]
    assert counts == {"runs": 5, "failures": 4, "consecutive_failures": 2, "skips": {"disabled": 2}}


def test_runs_are_newest_first_filtered_and_bounded(clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock, store=MemoryStore(keep=5))
    manager.add(lambda: None, every(1).minutes, name="one")
    manager.add(lambda: 1 / 0, every(1).minutes, name="two")
    with manager:
        clock.advance(minutes=30)
        assert len(manager.runs(limit=1000)) == 10
        assert {run.task for run in manager.runs(state="failed")} == {"two"}
        assert [run.slot.minute for run in manager.runs("one", limit=2) if run.slot] == [30, 29]
        assert manager.audit(since=clock.now() - datetime.timedelta(minutes=20))[0].problem.startswith(
            "and those before"
        )
    with pytest.raises(UnknownTaskError):
        manager.runs("three")


def test_audit_finds_a_slot_without_an_outcome_and_one_with_two(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(1).minutes, name="sample")
    with manager:
        clock.advance(minutes=5)
    rows = manager.store._records["sample"].rows  # type: ignore[attr-defined]  # the memory store's own
    lost = rows[2]
    del rows[2]
    assert [str(finding) for finding in manager.audit()] == [
        "sample: the slot of 2026-05-04T12:03:00+00:00 has no outcome"
    ]
    rows.extend([lost, lost])
    assert [finding.problem for finding in manager.audit()] == ["has two outcomes: succeeded and succeeded"]
    rows.pop()


def test_health_is_true_only_while_the_loop_runs(manager: TaskManager) -> None:
    assert (bool(manager.health), manager.health.state) == (False, "stopped")
    with manager:
        assert manager.health
        assert manager.health.as_dict()["causes"] == []
    assert manager.health.causes == ("the loop is not running",)


def test_a_skip_is_logged(manager: TaskManager, clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "task")
    manager.add(lambda: None, every(10).seconds, name="sample", disabled=True)
    with manager:
        clock.advance(seconds=10)
    assert "'sample' was skipped" in caplog.text


def test_stopping_one_of_two_managers_on_one_store_leaves_the_others_runs_alone(clock: VirtualClock) -> None:
    store, seen = MemoryStore(), []
    first, second = TaskManager([], clock=clock, store=store), TaskManager([], clock=clock, store=store)

    def body() -> None:
        second.stop(timeout=0)
        seen.append(str(store.active("sample")[0].state))

    first.add(body, name="sample")
    second.add(lambda: None, name="other")
    with first, second:
        run = first["sample"].trigger()
    assert seen == ["running"]
    assert run.state == "succeeded"


def test_start_with_a_time_of_day_counts_from_the_first_such_time(manager: TaskManager, clock: VirtualClock) -> None:
    start = datetime.datetime(2026, 5, 6, tzinfo=datetime.UTC)
    manager.add(lambda: None, every(3).days.at("10:00", "UTC"), name="sample", start=start)
    with manager:
        clock.advance(days=8)
        slots = [f"{run.slot:%d %H:%M}" for run in reversed(manager.runs("sample")) if run.slot]
    assert slots == ["06 10:00", "09 10:00", "12 10:00"]


def test_two_managers_with_one_store_count_from_one_anchor(clock: VirtualClock) -> None:
    @task(every(10).minutes)
    def sample() -> None: ...

    store = MemoryStore()
    with TaskManager([sample], clock=clock, store=store) as first:
        clock.advance(minutes=3)
        with TaskManager([sample], clock=clock, store=store):
            clock.advance(minutes=30)
            assert [run.slot.minute for run in first.runs("sample") if run.slot] == [30, 20, 10]


def test_after_max_runs_a_call_and_a_trigger_still_run(manager: TaskManager, clock: VirtualClock) -> None:
    sample = manager.add(lambda: 5, every(10).seconds, name="sample", max_runs=1)
    with manager:
        clock.advance(minutes=1)
        assert sample() == 5
        assert sample.trigger().state == "succeeded"


def test_last_run_tells_of_runs_by_hand_too(manager: TaskManager) -> None:
    manager.add(lambda: None, name="sample")
    with manager:
        manager["sample"].trigger()
        assert manager.tasks_detail[0]["last_run"] == "2026-05-04T12:00:00+00:00"


class Odd(schedule.Job):
    """A schedule of the user's own, without a unit."""

    def __init__(self) -> None:
        super().__init__(1)

    def next_slot(self, after: datetime.datetime) -> datetime.datetime:
        return after + datetime.timedelta(minutes=1)


class OddWithWords(Odd):
    def __repr__(self) -> str:
        return "Oddly do something"


@pytest.mark.parametrize(("job", "words"), [(Odd(), "Odd"), (OddWithWords(), "Oddly")])
def test_a_schedule_of_the_users_own_is_shown_in_its_own_words(
    manager: TaskManager, clock: VirtualClock, job: schedule.Job, words: str
) -> None:
    manager.add(lambda: None, job, name="sample")
    assert manager.tasks_detail[0]["schedules"][0]["cadence"] == words
    with manager:
        clock.advance(minutes=2)
        assert manager.tasks_detail[0]["schedules"][0]["cadence"] == words
        assert len(manager.runs("sample")) == 2
        assert repr(manager["sample"].schedules)


def test_a_test_that_is_async_itself_can_drive_async_bodies(manager: TaskManager, clock: VirtualClock) -> None:
    import asyncio

    async def body() -> None:
        await asyncio.sleep(5)

    manager.add(body, every(10).seconds, name="sample")

    async def test() -> None:
        with manager:
            clock.advance(seconds=20)
        await asyncio.sleep(0)

    asyncio.run(test())
    assert [str(run.state) for run in manager.runs("sample")] == ["succeeded", "succeeded"]
