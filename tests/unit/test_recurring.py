"""`TaskManager.recurring`: tasks on schedules that people make at run time, on every store."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import gc
import json
import pathlib
import sqlite3
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from task import (
    DeclarationError,
    DuplicateTaskError,
    ManagerStateError,
    MemoryStore,
    Run,
    Store,
    TaskError,
    TaskManager,
    UnknownTaskError,
    current_run,
    every,
    once,
)
from task.stores import open_store
from task.testing import VirtualClock

NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)

Make = Callable[[], TaskManager]


@pytest.fixture
def store(any_store_url: str | None) -> Any:
    made = open_store(any_store_url, "default", 30)
    yield made
    made.close()


@pytest.fixture
def manager(clock: VirtualClock, store: Store) -> TaskManager:
    return TaskManager([], clock=clock, store=store)


@pytest.fixture
def ran(manager: TaskManager) -> list[str]:
    """What the bodies of the task ``greet`` were passed."""
    return add_greet(manager)


@pytest.fixture
def greeter(clock: VirtualClock) -> TaskManager:
    """A manager with the task ``greet`` and a store in memory, for what is the same on all."""
    made = TaskManager([], clock=clock)
    add_greet(made)
    return made


@pytest.fixture
def sqlite_path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "tasks.db"


class Settings:
    """A service."""

    region = "EU"


def add_greet(manager: TaskManager) -> list[str]:
    ran: list[str] = []

    def greet(name: str = "world", times: int = 1) -> str:
        ran.append(f"{current_run().task}: {name} x{times}")
        return name

    manager.add(greet, name="greet")
    return ran


def times(manager: TaskManager, name: str) -> list[str]:
    """The slots of an entry that have run, oldest first."""
    rows = [run for run in manager.runs(name) if run.slot is not None and run.state == "succeeded"]
    return [f"{run.slot:%H:%M:%S}" for run in reversed(rows)]


# Adding.


def test_an_entry_runs_the_body_of_its_task_on_its_own_schedule_with_its_own_parameters(
    manager: TaskManager, clock: VirtualClock, ran: list[str]
) -> None:
    with manager:
        manager.recurring.add("morning", task="greet", schedule="every 30 seconds", parameters={"name": "Ada"})
        clock.advance(seconds=61)
    assert ran == ["morning: Ada x1", "morning: Ada x1"]
    assert times(manager, "morning") == ["12:00:30", "12:01:00"]


def test_an_entry_tells_what_it_is(manager: TaskManager, clock: VirtualClock, ran: list[str]) -> None:
    with manager:
        manager.recurring.add("b", task="greet", schedule=every(2).minutes, parameters={"times": 2}, max_concurrent=3)
        manager.recurring.add("a", task="greet", enabled=False)
        clock.advance(minutes=2)
        first, second = manager.recurring.list()
        assert (first.name, first.schedule, first.enabled, first.next_run) == ("a", None, False, None)
        assert second.next_run == NOON + datetime.timedelta(minutes=4)
    assert second.as_dict() == {
        "name": "b",
        "task": "greet",
        "schedule": "every 2 minutes",
        "parameters": {"times": 2},
        "max_concurrent": 3,
        "enabled": True,
        "note": None,
        "until": None,
        "created_at": "2026-05-04T12:00:00+00:00",
        "updated_at": "2026-05-04T12:00:00+00:00",
        "runs": 1,
        "failures": 0,
        "consecutive_failures": 0,
        "next_run": "2026-05-04T12:04:00+00:00",
        "problem": None,
    }
    json.dumps(second.as_dict())
    assert manager.recurring.get("b").next_run is None  # it does not run any more


def test_an_entry_is_a_task_by_its_name_but_no_task_of_the_code(manager: TaskManager, ran: list[str]) -> None:
    manager.recurring.add("morning", task="greet")
    assert [found.name for found in manager.tasks] == ["greet"]
    assert list(manager) == ["greet"]
    assert "morning" in manager
    assert manager["morning"].recurring
    assert [detail["name"] for detail in manager.tasks_detail] == ["greet"]
    with pytest.raises(UnknownTaskError, match=r"use manager\.recurring\.remove\('morning'\)"):
        manager.remove("morning")


def test_failures_are_counted(manager: TaskManager, clock: VirtualClock) -> None:
    outcomes = iter([1, 0, 0])
    manager.add(lambda: 1 / next(outcomes), name="divide")
    with manager:
        manager.recurring.add("often", task="divide", schedule="every minute")
        clock.advance(minutes=3)
    entry = manager.recurring.get("often")
    assert (entry.runs, entry.failures, entry.consecutive_failures) == (3, 2, 2)


def test_what_concerns_when_is_the_entrys_own_and_what_concerns_how_its_tasks(
    manager: TaskManager, clock: VirtualClock
) -> None:
    attempts: list[str] = []

    def body(name: str, region: str) -> None:
        attempts.append(f"{current_run().task} {name} {region}")
        raise ValueError

    manager.add(
        body,
        every(10).seconds,
        name="base",
        parameters={"name": "nobody", "region": "EU"},
        disabled=True,
        fixed_delay=True,
        run_at_start=True,
        max_runs=1,
        retry=1,
    )
    with manager:
        manager.recurring.add("entry", task="base", schedule="* * * * *", parameters={"name": "Ada"})
        clock.advance(minutes=2, seconds=5)
    assert attempts == ["entry Ada EU"] * 4


def test_the_entry_of_a_method_runs_that_method(manager: TaskManager, clock: VirtualClock) -> None:
    class Greeter:
        def __init__(self) -> None:
            self.greeted: list[str] = []

        @manager.task(name="unused")
        @staticmethod
        def unused() -> None: ...

        def greet(self, name: str) -> None:
            self.greeted.append(name)

    greeter = Greeter()
    manager.add(greeter.greet, name="greet")
    with manager:
        manager.recurring.add("Ada", task="greet", schedule="every minute", parameters={"name": "Ada"})
        clock.advance(minutes=1)
    assert greeter.greeted == ["Ada"]


def test_the_guards_of_an_entry_go_by_its_own_name(manager: TaskManager, clock: VirtualClock) -> None:
    inside: list[Run] = []

    def body() -> None:
        if not inside and current_run().parent_id is None:
            inside.extend(manager.recurring.trigger(name) for name in ("one", "two", "three"))

    manager.add(body, name="base", threaded=True, mutex="ours")
    with manager:
        manager.recurring.add("one", task="base")
        manager.recurring.add("two", task="base")
        manager.recurring.add("three", task="base")
        manager.recurring.trigger("one")
    assert [run.reason for run in inside] == ["already running", *["'one' has the mutex 'ours'"] * 2]
    manager.remove("base")
    inside.clear()
    manager.add(body, name="base", threaded=True)
    with manager:
        manager.recurring.update("two", max_concurrent=2)
        manager.recurring.trigger("two")
    assert [str(run.state) for run in inside] == ["succeeded", "succeeded", "succeeded"]


# What is refused.


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": ""}, "The name '' of a recurring entry is refused: give 1 to 200 printable characters."),
        ({"name": ["x"]}, r"The name \['x'\] of a recurring entry"),
        ({"name": "greet"}, "There is a task 'greet' already, at .*test_recurring.py:.*another name"),
        ({"name": "taken"}, "There is a recurring entry 'taken' already. Update it"),
        ({"task": "greet_"}, "its task 'greet_' is not known here. Did you mean 'greet'?"),
        ({"task": "taken"}, "its task 'taken' is a recurring entry itself. There are: .*'greet'"),
        ({"task": "os.system"}, "its task 'os.system' is not known here"),
        ({"task": print}, "its task <built-in function print> is not known here"),
        (
            {"schedule": "every 30 minuts"},
            "entry 'new': The schedule 'every 30 minuts' is not .*did you mean",
        ),
        (
            {"schedule": ["every day"]},
            "entry 'new': schedule is text such as 'every 30 seconds', a Job",
        ),
        ({"schedule": 30}, "entry 'new': schedule is text"),
        (
            {"schedule": "every 3 seconds until 2020-01-01"},
            "entry 'new': 'every 3 seconds .* is never due",
        ),
        ({"parameters": {"nmae": "Ada"}}, "Task 'new': the body takes no parameter 'nmae'. Did you mean 'name'?"),
        ({"parameters": {"times": "x"}}, "Task 'new': the parameter 'times' takes int, and 'x' does not fit"),
        ({"parameters": {"name": object()}}, "entry 'new': the parameter 'name' is no JSON"),
        ({"parameters": {"name": ("tuple",)}}, "entry 'new': the parameter 'name' is no JSON"),
        ({"parameters": {"name": float("nan")}}, "entry 'new': the parameter 'name' is no JSON"),
        ({"parameters": {"name": "x" * 70_000}}, "entry 'new': its parameters are 7.... characters of JSON; 64000 are"),
        ({"parameters": ["Ada"]}, "entry 'new': parameters is a dict of names and values, not list"),
        ({"max_concurrent": 0}, "entry 'new': max_concurrent is a whole number from 1 to 100000, not 0"),
        ({"max_concurrent": True}, "entry 'new': max_concurrent is a whole number"),
        ({"enabled": 1}, "entry 'new': enabled is True or False, not 1"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_kept(
    given: dict[str, Any], message: str, greeter: TaskManager
) -> None:
    greeter.recurring.add("taken", task="greet")
    with pytest.raises(TaskError, match=message):
        greeter.recurring.add(**{"name": "new", "task": "greet", "schedule": "every minute", **given})
    assert [entry.name for entry in greeter.recurring.list()] == ["taken"]
    assert [found.name for found in greeter.tasks] == ["greet"]


def test_a_secret_parameter_is_refused_as_it_would_be_kept_in_the_store(greeter: TaskManager) -> None:
    greeter.add(lambda user, login: None, name="sync", redact=["password"])
    for secret in ({"user": "a", "login": {"password": "hunter22"}}, {"password": "hunter22"}):
        with pytest.raises(DeclarationError, match=r"is secret \(redact= of task 'sync'\).*in the store") as refused:
            greeter.recurring.add("new", task="sync", parameters=secret)
        assert "hunter22" not in str(refused.value)


def test_a_parameter_that_nobody_fills_is_refused_for_a_schedule_and_left_to_who_triggers(manager: TaskManager) -> None:
    manager.add(lambda name: name, name="greet")
    with pytest.raises(DeclarationError, match="Task 'new' could not be run by its schedule: nobody fills"):
        manager.recurring.add("new", task="greet", schedule="every minute")
    manager.recurring.add("by hand", task="greet")
    with manager:
        assert manager.recurring.trigger("by hand", name="Ada").result(0) == "Ada"


def test_parameters_are_converted_for_the_body_and_kept_as_they_were_given(
    manager: TaskManager, clock: VirtualClock
) -> None:
    got: list[object] = []

    def body(day: datetime.date) -> None:
        got.append(day)

    manager.add(body, name="body")
    with manager:
        manager.recurring.add("entry", task="body", schedule="every minute", parameters={"day": "2026-05-04"})
        clock.advance(minutes=1)
    assert got == [datetime.date(2026, 5, 4)]
    assert manager.recurring.get("entry").parameters == {"day": "2026-05-04"}


def test_who_asks_for_an_entry_that_there_is_not_is_told_the_nearest(greeter: TaskManager) -> None:
    greeter.recurring.add("morning", task="greet")
    recurring = greeter.recurring
    for ask in (
        lambda: recurring.get("mornin"),
        lambda: recurring.update("mornin", max_concurrent=2),
        lambda: recurring.enable("mornin"),
        lambda: recurring.disable("mornin"),
        lambda: recurring.remove("mornin"),
        lambda: recurring.trigger("mornin"),
    ):
        with pytest.raises(UnknownTaskError, match=r"no recurring entry 'mornin'\. Did you mean 'morning'"):
            ask()


# Steering.


def test_an_entry_is_triggered_with_parameters_over_its_own(manager: TaskManager, ran: list[str]) -> None:
    manager.recurring.add("morning", task="greet", parameters={"name": "Ada", "times": 2})
    with manager:
        run = manager.recurring.trigger("morning", name="Grace")
        assert run.result(0) == "Grace"
        assert manager.trigger("morning").result(0) == "Ada"
        assert manager["morning"].trigger().result(0) == "Ada"
    assert ran == ["morning: Grace x2", "morning: Ada x2", "morning: Ada x2"]
    assert (run.task, run.trigger) == ("morning", "manual")


def test_a_disabled_entry_skips_and_its_task_goes_on(manager: TaskManager, clock: VirtualClock, ran: list[str]) -> None:
    with manager:
        manager.recurring.add("morning", task="greet", schedule="every minute")
        until = clock.now() + datetime.timedelta(minutes=3)
        manager.recurring.disable("morning", "the other side is down", until)
        entry = manager.recurring.get("morning")
        assert (entry.enabled, entry.note, entry.until) == (False, "the other side is down", until)
        clock.advance(minutes=2)
        assert manager.trigger("greet").result(0) == "world"
        assert manager.recurring.trigger("morning").reason == "disabled"
        manager.recurring.enable("morning")
        assert manager.recurring.get("morning").enabled
        clock.advance(minutes=1)
    assert ran == ["greet: world x1", "morning: world x1"]
    with pytest.raises(DeclarationError, match="until is an aware datetime"):
        manager.recurring.disable("morning", until=datetime.datetime(2026, 5, 4))


def test_a_switch_whose_end_has_come_is_shown_as_on(manager: TaskManager, clock: VirtualClock, ran: list[str]) -> None:
    manager.recurring.add("morning", task="greet")
    manager.recurring.disable("morning", until=clock.now() + datetime.timedelta(minutes=3))
    clock.advance(minutes=3)
    assert manager.recurring.get("morning").enabled


def test_an_entry_that_is_added_disabled_waits_to_be_enabled(
    manager: TaskManager, clock: VirtualClock, ran: list[str]
) -> None:
    with manager:
        manager.recurring.add("morning", task="greet", schedule="every minute", enabled=False)
        clock.advance(minutes=1)
        assert ran == []
        manager.recurring.enable("morning")
        clock.advance(minutes=1)
    assert ran == ["morning: world x1"]


def test_new_parameters_go_to_the_next_run_and_leave_the_grid(
    manager: TaskManager, clock: VirtualClock, ran: list[str]
) -> None:
    with manager:
        manager.recurring.add("morning", task="greet", schedule="every minute", parameters={"name": "Ada"})
        clock.advance(seconds=90)
        handle = manager["morning"]
        updated = manager.recurring.update("morning", parameters={"times": 2})
        assert updated.parameters == {"times": 2}
        assert updated.updated_at == NOON + datetime.timedelta(seconds=90)
        assert updated.next_run == NOON + datetime.timedelta(minutes=2)
        clock.advance(seconds=30)
        handle.trigger()
    assert ran == ["morning: Ada x1", "morning: world x2", "morning: world x2"]


def test_an_update_within_a_body_at_the_moment_of_a_slot_loses_nothing(
    manager: TaskManager, clock: VirtualClock, ran: list[str]
) -> None:
    manager.add(lambda: manager.recurring.update("morning", parameters={"name": "Grace"}), every().minute, name="early")
    with manager:
        manager.recurring.add("morning", task="greet", schedule="every minute", parameters={"name": "Ada"})
        clock.advance(minutes=3)
    assert len(ran) == 3


def test_a_new_schedule_counts_from_now_and_what_ran_before_stays(
    manager: TaskManager, clock: VirtualClock, ran: list[str]
) -> None:
    with manager:
        manager.recurring.add("morning", task="greet", schedule="every minute")
        clock.advance(seconds=90)
        updated = manager.recurring.update("morning", schedule="every 40 seconds")
        assert (updated.schedule, updated.parameters) == ("every 40 seconds", {})
        clock.advance(seconds=90)
        manager.recurring.update("morning", schedule=None)
        clock.advance(minutes=2)
    assert times(manager, "morning") == ["12:01:00", "12:02:10", "12:02:50"]


def test_an_entry_can_be_given_another_task(manager: TaskManager, clock: VirtualClock, ran: list[str]) -> None:
    other = manager.add(lambda: ran.append("other"), name="other")
    with manager:
        manager.recurring.add("morning", task="greet", schedule="every minute", parameters={"name": "Ada"})
        clock.advance(minutes=1)
        with pytest.raises(DeclarationError, match="the body takes no parameter 'name'"):
            manager.recurring.update("morning", task=other)
        manager.recurring.update("morning", task=other, parameters=None)
        clock.advance(minutes=1)
    assert ran == ["morning: Ada x1", "other"]


def test_an_update_that_changes_nothing_is_none(manager: TaskManager, clock: VirtualClock, ran: list[str]) -> None:
    before = manager.recurring.add("morning", task="greet", schedule="0 2 * * *")
    clock.advance(hours=1)
    assert manager.recurring.update("morning", schedule="0 2 * * *", max_concurrent=1) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"enabled": False}, r"'enabled' cannot be updated. Use enable\(\) and disable\(\)"),
        ({"shedule": None}, "'shedule' cannot be updated. Did you mean 'schedule'?"),
        ({"schedule": "every 30"}, "entry 'morning': The schedule 'every 30' is not understood"),
        ({"parameters": {"nmae": 1}}, "'nmae'. Did you mean 'name'"),
        ({"max_concurrent": 0}, "max_concurrent is a whole number"),
        ({"task": "gone"}, "its task 'gone' is not known here"),
    ],
)
def test_an_update_to_what_cannot_be_changes_nothing(
    changes: dict[str, Any], message: str, greeter: TaskManager
) -> None:
    before = greeter.recurring.add("morning", task="greet", schedule="every minute")
    with pytest.raises(TaskError, match=message):
        greeter.recurring.update("morning", **changes)
    assert greeter.recurring.get("morning") == before


def test_a_removed_entry_runs_no_more_its_queued_run_is_cancelled_and_its_history_stays(
    manager: TaskManager, clock: VirtualClock, ran: list[str]
) -> None:
    def slow() -> None:
        manager.recurring.remove("queued")  # waits for the serial worker behind this one
        manager.recurring.remove("morning")

    manager.add(slow, name="slow")
    with manager:
        manager.recurring.add("morning", task="greet", schedule="every minute")
        manager.recurring.add("queued", task="greet")
        clock.advance(minutes=1)
        assert ran == ["morning: world x1"]
        handle = manager["morning"]
        manager["slow"].trigger()
        clock.advance(minutes=2)
        assert manager.recurring.list() == []
        assert "morning" not in manager
        with pytest.raises(UnknownTaskError):
            manager.trigger("morning")
        with pytest.raises(ManagerStateError, match="has no manager"):
            handle.trigger()
    assert times(manager, "morning") == ["12:01:00"]
    assert len(ran) == 1


def test_an_entry_that_is_added_again_goes_on_under_its_name_from_then_on(
    manager: TaskManager, clock: VirtualClock, ran: list[str]
) -> None:
    with manager:
        manager.recurring.add("morning", task="greet", schedule="every minute")
        clock.advance(seconds=70)
        manager.recurring.disable("morning")
        manager.recurring.remove("morning")
        clock.advance(minutes=1)
        manager.recurring.add("morning", task="greet", schedule="every minute")
        clock.advance(minutes=2)
    assert times(manager, "morning") == ["12:01:00", "12:03:10", "12:04:10"]
    assert manager.recurring.get("morning").enabled


def test_an_entry_looked_up_by_the_module_of_the_tasks_is_no_task_of_the_code(
    clock: VirtualClock, store: Store
) -> None:
    module = types.ModuleType("made_for_this_test")
    manager = TaskManager(module, clock=clock, store=store)
    ran = add_greet(manager)
    with manager:
        manager.recurring.add("morning", task="greet", schedule="every minute")
        vars(module)["kept"] = manager["morning"]
        assert [found.name for found in manager.tasks] == ["greet"]
        manager.recurring.remove("morning")
        assert [found.name for found in manager.tasks] == ["greet"]
        clock.advance(minutes=3)
    assert ran == []


# Restarts, and tasks that come and go.


def test_entries_are_restored_at_the_start_and_keep_their_grid(clock: VirtualClock, any_store_url: str | None) -> None:
    if any_store_url is None:
        store: Any = MemoryStore()
    else:
        store = any_store_url
    first = TaskManager([], clock=clock, store=store)
    ran = add_greet(first)
    with first:
        first.recurring.add("morning", task="greet", schedule="every minute", parameters={"name": "Ada"})
        first.recurring.add("off", task="greet", schedule="every minute", enabled=False)
        clock.advance(seconds=70)
    first.stop()
    clock.advance(seconds=20)
    second = TaskManager([], clock=clock, store=store)
    ran += add_greet(second)
    with second:
        assert second.recurring.get("morning").next_run == NOON + datetime.timedelta(minutes=2)
        clock.advance(seconds=100)
        assert times(second, "morning") == ["12:01:00", "12:02:00", "12:03:00"]
        assert second.recurring.get("morning").runs == 3
        assert second.recurring.get("off").runs == 0


def test_slots_that_came_due_while_nothing_ran_are_caught_up(clock: VirtualClock, store: Store) -> None:
    first = TaskManager([], clock=clock, store=store)
    add_greet(first)
    first.recurring.add("nightly", task="greet", schedule="0 2 * * * in UTC")  # no loop has run by now
    clock.advance(hours=20)
    second = TaskManager([], clock=clock, store=store)
    ran = add_greet(second)
    with second:
        clock.advance(seconds=1)
    assert ran == ["nightly: world x1"]
    assert [(run.trigger, str(run.slot)) for run in second.runs("nightly")] == [
        ("catch-up", "2026-05-05 02:00:00+00:00")
    ]


def test_a_task_that_is_registered_after_the_start_has_its_entries_run(
    clock: VirtualClock, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    first = TaskManager([], clock=clock, store=store)
    add_greet(first)
    first.recurring.add("morning", task="greet", schedule="every minute")
    manager = TaskManager([], clock=clock, store=store)
    with manager:
        clock.advance(seconds=30)
        (orphan,) = manager.recurring.orphans()
        assert orphan.problem == "its task 'greet' is not known here. There are: []."
        with pytest.raises(ManagerStateError, match="'morning' cannot be triggered here: its task 'greet'"):
            manager.recurring.trigger("morning")
        ran = add_greet(manager)
        assert manager.recurring.orphans() == []
        clock.advance(seconds=30)
    assert ran == ["morning: world x1"]
    assert caplog.text.count("The recurring entry 'morning' is not run here: its task 'greet' is not known") == 1


def test_an_entry_whose_task_was_removed_is_kept_and_not_run_until_the_task_is_back(
    manager: TaskManager, clock: VirtualClock, ran: list[str]
) -> None:
    with manager:
        manager.recurring.add("morning", task="greet", schedule="every minute", parameters={"name": "Ada"})
        clock.advance(seconds=70)
        manager.remove("greet")
        assert [entry.name for entry in manager.recurring.orphans()] == ["morning"]
        assert [entry.name for entry in manager.recurring.list()] == ["morning"]
        manager.recurring.disable("morning")
        manager.recurring.enable("morning")
        clock.advance(seconds=30)
        assert len(ran) == 1
        again = add_greet(manager)
        assert manager.recurring.orphans() == []
        clock.advance(seconds=25)
    assert ran + again == ["morning: Ada x1", "morning: Ada x1"]
    assert times(manager, "morning") == ["12:01:00", "12:02:00"]


def test_an_orphan_can_be_removed_and_be_given_another_task(manager: TaskManager, ran: list[str]) -> None:
    manager.recurring.add("one", task="greet", schedule="every minute")
    manager.recurring.add("two", task="greet", schedule="every minute")
    manager.remove("greet")
    manager.add(lambda: None, name="other")
    manager.recurring.remove("one")
    manager.recurring.update("two", task="other")
    assert [entry.task for entry in manager.recurring.list()] == ["other"]
    assert manager.recurring.orphans() == []


def test_an_entry_that_does_not_fit_the_code_any_more_is_not_run_and_keeps_nothing_else_from_running(
    clock: VirtualClock, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    first = TaskManager([], clock=clock, store=store)
    add_greet(first)
    first.recurring.add("morning", task="greet", schedule="every minute", parameters={"name": "Ada"})
    manager, ran = TaskManager([], clock=clock, store=store), list[str]()
    manager.add(lambda whom: ran.append("no"), name="greet")
    manager.add(lambda: ran.append("yes"), every().minute, name="other")
    with manager:
        clock.advance(seconds=59)
        (orphan,) = manager.recurring.orphans()
        assert orphan.problem is not None
        assert orphan.problem.startswith("Task 'morning': the body takes no parameter 'name'")
        manager.recurring.update("morning", parameters={"whom": "Ada"})
        manager.recurring.remove("morning")
        clock.advance(seconds=1)
    assert ran == ["yes"]
    assert "The recurring entry 'morning' is not run here: Task 'morning': the body takes no parameter" in caplog.text


def test_an_entry_that_lacks_a_service_when_the_manager_starts_is_not_run_and_does_not_keep_it_from_starting(
    manager: TaskManager, clock: VirtualClock
) -> None:
    ran: list[str] = []

    def report(settings: Settings) -> None:
        ran.append(settings.region)

    manager.add(report, name="report")
    manager.recurring.add("nightly", task="report", schedule="every minute")  # it may be provided yet
    with manager:
        (orphan,) = manager.recurring.orphans()
        assert "nobody fills its parameter 'settings'" in str(orphan.problem)
    manager.provide(Settings, Settings())
    clock.advance(seconds=30)
    with manager:
        assert manager.recurring.orphans() == []
        clock.advance(seconds=30)
    assert ran == ["EU"]


def test_a_task_of_the_code_that_takes_the_name_of_an_entry_wins(
    manager: TaskManager, clock: VirtualClock, ran: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with manager:
        manager.recurring.add("morning", task="greet", schedule="every minute")
        clock.advance(seconds=70)
        code = manager.add(lambda: ran.append("code"), every().minute, name="morning")
        assert manager["morning"] is code
        assert "The recurring entry 'morning' is not run here: a task of the code, at " in caplog.text
        (orphan,) = manager.recurring.orphans()
        assert "has its name. Rename that, or add the entry under another name" in str(orphan.problem)
        clock.advance(minutes=1)
        manager.recurring.remove("morning")
        clock.advance(minutes=1)
        assert manager.recurring.list() == []
        assert manager["morning"] is code
    assert ran == ["morning: world x1", "code", "code"]


def test_an_entry_is_back_when_the_task_that_had_its_name_is_gone(clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock)
    ran = add_greet(manager)
    with manager:
        manager.recurring.add("morning", task="greet", schedule="every minute")
        manager.add(lambda: ran.append("code"), name="morning")
        clock.advance(seconds=30)
        manager.remove("morning")
        assert manager.recurring.orphans() == []
        clock.advance(seconds=30)
    assert ran == ["morning: world x1"]


def test_a_run_once_entry_is_run_once_over_restarts(
    clock: VirtualClock, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []
    for _ in range(3):
        manager = TaskManager([], clock=clock, store=store)
        manager.add(lambda: ran.append(f"{clock.now():%H:%M}"), name="tick")
        with manager:
            if not manager.recurring.list():
                manager.recurring.add("later", task="tick", schedule=once(NOON + datetime.timedelta(minutes=1)))
            clock.advance(minutes=2)
        manager.stop()
    assert ran == ["12:01"]
    assert [str(run.state) for run in manager.runs("later")] == ["succeeded"]
    assert "past when it was registered" not in caplog.text


# As JSON.


names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
moments = st.datetimes(datetime.datetime(2026, 6, 1), datetime.datetime(2030, 1, 1), timezones=st.just(datetime.UTC))
entries = st.fixed_dictionaries(
    {
        "schedule": st.sampled_from([None, "0 2 * * *", "every 30 seconds", "every monday at 09:00 in Asia/Tokyo"]),
        "parameters": st.dictionaries(st.text(max_size=9), values, max_size=3),
        "max_concurrent": st.integers(1, 100_000),
    }
)
switches = st.tuples(st.booleans(), st.none() | st.text(max_size=9), st.none() | moments)


@given(st.dictionaries(names, st.tuples(entries, switches), max_size=4))
@settings(deadline=None, max_examples=60)
def test_what_was_exported_is_the_same_when_it_was_imported(
    made: dict[str, tuple[dict[str, Any], tuple[bool, str | None, datetime.datetime | None]]],
) -> None:
    clock = VirtualClock(NOON)
    one, two = (TaskManager([], clock=clock) for _ in range(2))
    for manager in (one, two):
        manager.add(lambda **anything: None, name="the task of them all, whose name none of them has")
    for name, (terms, (enabled, note, until)) in made.items():
        one.recurring.add(name, task=one.tasks[0].name, **terms)
        if not enabled:
            one.recurring.disable(name, note, until)
    text = one.recurring.export_json()
    two.recurring.import_json(text)
    assert two.recurring.export_json() == text
    assert two.recurring.list() == [
        dataclasses.replace(entry, created_at=NOON, updated_at=NOON) for entry in one.recurring.list()
    ]
    assert two.recurring.import_json(text, replace=True) == two.recurring.list()
    assert two.recurring.export_json() == text


def test_an_import_makes_all_entries_or_none(manager: TaskManager, clock: VirtualClock, ran: list[str]) -> None:
    manager.recurring.add("old", task="greet", schedule="every minute")
    manager.recurring.disable("old", "broken")
    text = manager.recurring.export_json()
    with pytest.raises(DuplicateTaskError, match="There is a recurring entry 'old' already"):
        manager.recurring.import_json(text)
    manager.recurring.remove("old")
    wrong = json.loads(text)
    wrong["entries"].append({"name": "new", "task": "greet_"})
    with pytest.raises(UnknownTaskError, match="its task 'greet_' is not known here"):
        manager.recurring.import_json(json.dumps(wrong))
    assert manager.recurring.list() == []
    with manager:
        (entry,) = manager.recurring.import_json(text)
        assert (entry.enabled, entry.note) == (False, "broken")
        manager.recurring.enable("old")
        clock.advance(minutes=1)
    assert ran == ["old: world x1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "This is no JSON: .*Give the text that export_json"),
        ("[" * 100_000, "This is no JSON"),
        ("[]", "These are no recurring entries of version 1"),
        ('{"version": 2, "entries": []}', "no recurring entries of version 1"),
        ('{"version": 1, "entries": [3]}', "The name None of a recurring entry is refused"),
        ('{"version": 1, "entries": [{"name": "x"}]}', "'x' names no task"),
        ('{"version": 1, "entries": [{"name": "x", "taks": "greet"}]}', "'x' has no 'taks'. Did you mean 'task'"),
        (
            '{"version": 1, "entries": [{"name": "x", "task": "greet"}, {"name": "x", "task": "greet"}]}',
            "'x' is in the text twice",
        ),
        ('{"version": 1, "entries": [{"name": "x", "task": "greet", "enabled": "no"}]}', "enabled is True or False"),
        ('{"version": 1, "entries": [{"name": "x", "task": "greet", "until": "soon"}]}', "until is an aware datetime"),
        ('{"version": 1, "entries": [{"name": "x", "task": ["greet"]}]}', "its task .* is not known here"),
        ('{"version": 1, "entries": [{"name": "x", "task": "greet", "schedule": 3}]}', "'x': schedule is text"),
    ],
)
def test_a_text_that_is_no_export_is_refused(text: str, message: str, greeter: TaskManager) -> None:
    with pytest.raises(TaskError, match=message):
        greeter.recurring.import_json(text)
    assert greeter.recurring.list() == []


# Who, and where.


def test_who_changed_what_is_in_the_journal(manager: TaskManager, ran: list[str]) -> None:
    manager.recurring.add("morning", task="greet", by="ada")
    manager.recurring.update("morning", max_concurrent=2, parameters={"times": 2}, by="grace")
    manager.recurring.disable("morning", "enough", by="bob")
    manager.recurring.enable("morning", by="ada")
    manager.recurring.remove("morning", by="ada")
    told = [(entry.who, entry.what, entry.task, entry.note) for entry in reversed(manager.journal())]
    assert told == [
        ("ada", "added", "morning", None),
        ("grace", "updated", "morning", "max_concurrent, parameters"),
        ("bob", "disabled", "morning", "enough"),
        ("ada", "enabled", "morning", None),
        ("ada", "removed", "morning", None),
    ]


def test_a_manager_leaves_to_others_what_it_excludes(clock: VirtualClock, store: Store) -> None:
    desk = TaskManager([], clock=clock, store=store)
    add_greet(desk)
    manager = TaskManager([], clock=clock, store=store, exclude=["morning"])
    ran = add_greet(manager)
    with manager:
        desk.recurring.add("morning", task="greet", schedule="every minute")
        desk.recurring.add("evening", task="greet", schedule="every minute")
        clock.advance(minutes=1)
        assert manager.recurring.orphans() == []
        with pytest.raises(ManagerStateError, match="this manager has it, or its task, in exclude="):
            manager.recurring.trigger("morning")
        desk.recurring.remove("morning")
    assert ran == ["evening: world x1"]


def test_entries_wait_for_a_store_that_cannot_be_reached_at_the_start(
    clock: VirtualClock, sqlite_path: pathlib.Path
) -> None:
    first = TaskManager([], clock=clock, store=f"sqlite:///{sqlite_path}")
    add_greet(first)
    first.recurring.add("morning", task="greet", schedule="every 10 seconds")
    first.store.close()
    hidden = sqlite_path.with_name("hidden")
    sqlite_path.rename(hidden)
    sqlite_path.mkdir()
    manager = TaskManager([], clock=clock, store=f"sqlite:///{sqlite_path}")
    ran = add_greet(manager)
    with manager:
        clock.advance(seconds=5)
        sqlite_path.rmdir()
        hidden.rename(sqlite_path)
        clock.advance(seconds=6)
        assert ran == ["morning: world x1"]


def test_an_entry_that_is_unreadable_in_the_store_is_told_of_and_keeps_nothing_else_from_running(
    clock: VirtualClock, sqlite_path: pathlib.Path
) -> None:
    desk = TaskManager([], clock=clock, store=f"sqlite:///{sqlite_path}")
    add_greet(desk)
    for name in ("a", "b", "c", "sound"):
        desk.recurring.add(name, task="greet", schedule="every 10 seconds", parameters={"name": name})
    desk.store.close()
    with contextlib.closing(sqlite3.connect(sqlite_path)) as connection, connection:
        connection.execute("UPDATE task_recurring SET parameters = '[' WHERE name = 'a'")
        connection.execute("UPDATE task_recurring SET schedule = 'every now and then' WHERE name = 'b'")
        connection.execute("UPDATE task_recurring SET created_at = 'once', parameters = '3' WHERE name = 'c'")
    manager = TaskManager([], clock=clock, store=f"sqlite:///{sqlite_path}")
    ran = add_greet(manager)
    with manager:
        clock.advance(seconds=10)
        assert [entry.name for entry in manager.recurring.orphans()] == ["a", "b", "c"]
        for name in ("a", "b", "c"):
            manager.recurring.update(name, schedule=None, parameters={})
        assert manager.recurring.orphans() == []
        for name in ("a", "b", "c"):
            manager.recurring.remove(name)
    assert ran == ["sound: sound x1"]


def test_a_store_whose_file_was_deleted_gets_the_entries_that_its_processes_know(
    clock: VirtualClock, sqlite_path: pathlib.Path
) -> None:
    managers = [TaskManager([], clock=clock, store=f"sqlite:///{sqlite_path}") for _ in range(2)]
    one, two = managers
    for manager in managers:
        add_greet(manager)
    with one, two:
        one.recurring.add("kept", task="greet", schedule="every 10 seconds", parameters={"name": "Ada"})
        one.recurring.add("removed", task="greet", schedule="every 10 seconds")
        one.recurring.add("made and removed", task="greet")
        one.recurring.remove("made and removed")
        clock.advance(seconds=15)
        two.recurring.remove("removed")
        clock.advance(seconds=2)
        for ending in ("", "-wal", "-shm"):
            sqlite_path.with_name(sqlite_path.name + ending).unlink(missing_ok=True)
        clock.advance(seconds=14)
        assert [(entry.name, entry.parameters, entry.problem) for entry in two.recurring.list()] == [
            ("kept", {"name": "Ada"}, None)
        ]
        assert times(one, "kept")[-2:] == ["12:00:20", "12:00:30"]
    after = TaskManager([], clock=clock, store=f"sqlite:///{sqlite_path}")
    ran = add_greet(after)
    with after:
        clock.advance(seconds=10)
    assert ran == ["kept: Ada x1"]


def test_schedules_that_wait_for_the_store_wait_for_who_changes_tasks_too(clock: VirtualClock) -> None:
    manager, ran = TaskManager([], clock=clock), list[str]()
    found = manager.add(lambda: ran.append("ran"), every(10).seconds, name="tick")
    with manager:
        registry = manager._registry
        assert found.binding.entry is not None
        manager.scheduler.remove(found.binding.entry)
        found.binding.entry = None  # as when the store could not be reached
        held, done = threading.Event(), threading.Event()

        def hold() -> None:
            with registry.lock:
                held.set()
                done.wait(60)

        thread = threading.Thread(target=hold)
        thread.start()
        assert held.wait(60)
        registry._schedule_later([found])
        done.set()
        thread.join(60)
        clock.advance(seconds=30)
    assert ran


# Several managers on one store.


def test_an_entry_made_in_one_process_runs_in_another_within_about_a_second(
    clock: VirtualClock, store_url: str
) -> None:
    """Two managers with a store each: as two processes are, on one virtual clock."""
    worker = TaskManager([], clock=clock, store=store_url)
    ran = add_greet(worker)
    desk = TaskManager([], clock=clock, store=store_url)  # runs no loop
    add_greet(desk)
    with worker:
        desk.recurring.add("morning", task="greet", schedule="every 10 seconds", parameters={"name": "Ada"})
        clock.advance(seconds=10)
        assert ran == ["morning: Ada x1"]
        desk.recurring.update("morning", parameters={"name": "Grace"})
        clock.advance(seconds=10)
        assert ran[1:] == ["morning: Grace x1"]
        desk.recurring.update("morning", schedule="every 20 seconds", parameters={"name": "Bob"})
        clock.advance(seconds=20)
        assert ran[2:] == ["morning: Bob x1"]
        desk.recurring.disable("morning")
        clock.advance(seconds=20)
        desk.recurring.enable("morning")
        run = desk.recurring.trigger("morning", times=7)
        clock.advance(seconds=2)
        assert ran[3:] == ["morning: Bob x7"]
        assert [str(one.state) for one in desk.runs("morning") if one.id == run.id] == ["succeeded"]
        desk.recurring.remove("morning")
        clock.advance(seconds=60)
        assert len(ran) == 4
        assert "morning" not in worker
    assert times(worker, "morning") == ["12:00:10", "12:00:20", "12:00:40"]
    assert desk.audit() == []


def test_no_process_claims_a_slot_of_what_was_changed_elsewhere_before_it_has_heard_of_it(
    clock: VirtualClock, store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    worker = TaskManager([], clock=clock, store=store_url)
    ran = add_greet(worker)
    desk = TaskManager([], clock=clock, store=store_url)
    add_greet(desk)
    with worker:
        desk.recurring.add("removed", task="greet", schedule="every 10 seconds")
        desk.recurring.add("moved", task="greet", schedule="every 10 seconds")
        clock.advance(seconds=9.5)  # it looks at the full seconds
        clock.advance(seconds=0.4)
        desk.recurring.remove("removed")
        desk.recurring.update("moved", schedule="every 7 seconds")
        clock.advance(seconds=0.1)
        assert ran == []
        clock.advance(seconds=8)
    assert ran == ["moved: world x1"]
    assert [run.as_dict()["slot"][11:21] for run in worker.runs("moved")] == ["12:00:16.9"]
    assert worker.runs("removed") == []
    assert "newer code" not in caplog.text


def test_two_processes_share_the_slots_of_an_entry(clock: VirtualClock, store_url: str) -> None:
    one, two = (TaskManager([], clock=clock, store=store_url) for _ in range(2))
    first, second = add_greet(one), add_greet(two)
    with one, two:
        one.recurring.add("morning", task="greet", schedule="every 5 seconds")
        clock.advance(seconds=30)
        assert len(first + second) == 6
        one.recurring.update("morning", schedule="every 10 seconds")
        two.recurring.update("morning", parameters={"name": "Ada"})
        clock.advance(seconds=30)
        assert len(first + second) == 9
        assert (first + second).count("morning: Ada x1") == 3
    assert one.audit() == []


def test_what_is_queued_in_another_process_is_cancelled_with_its_entry(clock: VirtualClock, store_url: str) -> None:
    worker = TaskManager([], clock=clock, store=store_url)
    desk = TaskManager([], clock=clock, store=store_url)
    ran: list[str] = []
    for manager in (worker, desk):
        manager.add(lambda: ran.append("ran"), name="tick", retry=1)
    desk.recurring.add("left", task="tick")
    run = desk.recurring.trigger("left")  # nobody runs it yet
    desk.recurring.remove("left")
    with worker:
        clock.advance(seconds=5)
    assert ran == []
    assert [(str(run.state), run.reason) for run in worker.runs("left")] == [
        ("cancelled", "the recurring entry was removed")
    ]
    assert run.id == worker.runs("left")[0].id


def test_a_name_that_another_process_has_in_its_code_is_refused_and_its_task_goes_on(
    clock: VirtualClock, store_url: str
) -> None:
    worker, ran = TaskManager([], clock=clock, store=store_url), list[str]()
    worker.add(lambda: ran.append("code"), every().minute, name="report")
    desk = TaskManager([], clock=clock, store=store_url)
    add_greet(desk)
    with worker:
        with pytest.raises(DuplicateTaskError, match="knows a task 'report' that a process has in its code"):
            desk.recurring.add("report", task="greet", schedule="every minute")
        clock.advance(minutes=2)
    assert ran == ["code", "code"]
    assert desk.recurring.list() == []


def test_an_entry_never_takes_the_slots_of_a_task_that_newer_code_has_by_its_name(
    clock: VirtualClock, store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    old = TaskManager([], clock=clock, store=store_url)
    greeted = add_greet(old)
    new, ran = TaskManager([], clock=clock, store=store_url), list[str]()
    add_greet(new)
    with old:
        old.recurring.add("report", task="greet", schedule="every 10 seconds")
        clock.advance(seconds=10)
        new.add(lambda: ran.append("code"), every(10).seconds, name="report")  # the same schedule
        with new:
            clock.advance(seconds=10)
            old.stop()
            old.run()
            assert [entry.name for entry in old.recurring.orphans()] == ["report"]
            clock.advance(seconds=10)
            old.recurring.remove("report")
            clock.advance(seconds=10)
    assert len(greeted) == 1
    assert ran == ["code", "code", "code"]


def test_two_managers_on_one_store_in_memory_follow_each_other(clock: VirtualClock) -> None:
    store = MemoryStore()
    one, two = (TaskManager([], clock=clock, store=store) for _ in range(2))
    add_greet(one)
    ran = add_greet(two)
    with two:
        one.recurring.add("morning", task="greet", schedule="every minute")
        clock.advance(minutes=1)
        one.recurring.update("morning", parameters={"name": "Ada"})
        clock.advance(minutes=1)
        one.recurring.remove("morning")
        clock.advance(minutes=1)
    assert ran == ["morning: world x1", "morning: Ada x1"]


def test_changes_by_many_at_once_are_all_made(store_url: str) -> None:
    managers = [TaskManager([], store=store_url) for _ in range(3)]
    for manager in managers:
        add_greet(manager)
    managers[0].recurring.add("shared", task="greet", parameters={"times": 0})
    failed: list[BaseException] = []

    def change(manager: TaskManager, number: int) -> None:
        try:
            for turn in range(5):
                manager.recurring.add(f"own {number} {turn}", task="greet")
                manager.recurring.update("shared", max_concurrent=1 + number, parameters={"times": 10 * number + turn})
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=change, args=(manager, n)) for n, manager in enumerate(managers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failed == []
    assert len(managers[1].recurring.list()) == 16
    shared = managers[2].recurring.get("shared")
    assert shared.parameters["times"] // 10 == shared.max_concurrent - 1  # an update is never half of another's
    for manager in managers:
        manager.store.close()


def test_with_real_threads_a_change_takes_effect_where_the_loop_runs(
    store_url: str, wait_for: Callable[[Callable[[], bool]], None]
) -> None:
    worker, desk = TaskManager([], store=store_url), TaskManager([], store=store_url)
    ran: list[str] = []
    for manager in (worker, desk):
        manager.add(lambda name: ran.append(name), name="greet", threaded=True)
    with worker:
        desk.recurring.add("often", task="greet", schedule="every 0.05 seconds", parameters={"name": "Ada"})
        wait_for(lambda: "Ada" in ran)
        desk.recurring.update("often", parameters={"name": "Grace"})
        wait_for(lambda: "Grace" in ran)
        desk.recurring.remove("often")
        wait_for(lambda: "often" not in worker._registry.tasks and not worker.store.active("often"))
        after = len(ran)
    assert len(ran) == after
    desk.store.close()
    worker.store.close()


def test_a_task_that_is_kept_does_not_keep_the_manager(clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock)
    kept = manager.add(lambda: None, name="kept")
    manager.recurring.add("entry", task="kept", schedule="every minute")
    entry, ended = manager["entry"], weakref.ref(manager)
    manager.run()
    manager.stop()
    del manager
    gc.collect()
    assert ended() is None
    assert (kept.name, entry.name) == ("kept", "entry")
