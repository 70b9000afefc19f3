"""Steering: the journal, and what is said to a run in another process; one contract for every store."""

from __future__ import annotations

import asyncio
import datetime
import gc
import getpass
import logging
import pathlib
import platform
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from databases import sqlite_url

from task import (
    DeclarationError,
    DeclarationTypeError,
    ParameterError,
    Run,
    TaskManager,
    UnknownTaskError,
    current_run,
    every,
    task,
    task_disabled,
)
from task.models import process as process_module
from task.stores import JournalEntry, Limits, Terms, open_store
from task.testing import VirtualClock

Make = Callable[..., TaskManager]


@pytest.fixture
def make(any_store_url: str | None, clock: VirtualClock) -> Iterator[Make]:
    """Makes managers on one store, as processes of their own would."""
    made: list[TaskManager] = []

    def make(**options: Any) -> TaskManager:
        made.append(TaskManager([], clock=clock, store=any_store_url, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()
    for one in made:
        assert one.audit() == []
        one.store.close()
        process_module.all_managers.discard(one)  # its database is gone before the fixture of all tests looks at it


def said(manager: TaskManager, task: str | None = None) -> list[tuple[str, str, str | None, str | None]]:
    return [(entry.who, entry.what, entry.task, entry.note) for entry in manager.journal(task)]


# The journal.


def test_the_journal_has_who_switched_which_task_when_and_why(make: Make, clock: VirtualClock) -> None:
    manager = make()
    sample = manager.add(lambda: None, name="sample")

    sample.disable(note="maintenance", until=clock.now() + datetime.timedelta(hours=1), by="ada")
    clock.advance(seconds=60)
    sample.enable(by="bob")

    assert said(manager) == [
        ("bob", "enabled", "sample", None),
        ("ada", "disabled", "sample", "maintenance, until 2026-05-04T13:00:00+00:00"),
    ]
    assert [str(entry.at) for entry in manager.journal()] == ["2026-05-04 12:01:00+00:00", "2026-05-04 12:00:00+00:00"]
    assert manager.tasks_detail[0]["switch"]["by"] == "bob"


def test_who_is_not_named_is_the_user_of_the_process_and_its_host(make: Make) -> None:
    manager = make()
    manager.add(lambda: None, name="sample").enable()
    assert manager.journal()[0].who == f"{getpass.getuser()}@{platform.node()}"


def test_triggers_by_hand_are_in_the_journal_with_their_parameters_and_slots_are_not(
    make: Make, clock: VirtualClock
) -> None:
    manager = make()

    def greet(name: str = "nobody", times: int = 1) -> None: ...

    manager.add(greet, every(10).seconds, name="greet", run_at_start=True)
    with manager:
        clock.advance(seconds=25)
        manager["greet"]()
        bare = manager.trigger("greet")
        given = manager.trigger("greet", name="Ada", times=2)
        assert [(what, note) for _, what, _, note in said(manager)] == [
            ("triggered", f'run {given.id} with {{"name": "Ada", "times": 2}}'),
            ("triggered", f"run {bare.id}"),
        ]


def test_no_secret_is_in_the_journal_and_no_long_text(make: Make, clock: VirtualClock) -> None:
    manager = make()

    def log_in(password: str, note: str = "", address: str = "") -> None: ...

    manager.add(log_in, name="log in", redact=["password"], parameters={"password": "hunter22"})
    with manager:
        manager.trigger("log in", password="swordfish", address="https://ada:swordfish@example.org")
        manager.trigger("log in", note="x" * 100_000)
    notes = [entry.note or "" for entry in manager.journal()]
    assert "swordfish" not in notes[1]
    assert "***" in notes[1]
    assert "hunter22" not in "".join(notes)
    assert [len(note) <= 1_000 for note in notes] == [True, True]


def test_cancelling_by_hand_is_in_the_journal_and_what_the_manager_cancels_is_not(
    make: Make, clock: VirtualClock
) -> None:
    manager = make()

    async def slow() -> None:
        await asyncio.sleep(8)

    manager.add(slow, every(5).seconds, name="slow", overlap="cancel_previous")
    manager.add(fails, name="fails", retry=3)
    with manager:
        clock.advance(seconds=12)
        assert "a newer run takes its place" in [run.reason for run in manager.runs("slow", "cancelled")]
        waits = manager.trigger("fails")
        clock.advance(seconds=0.1)
        assert waits.state == "retrying"
        assert waits.cancel("not today", by="ada")
        assert not waits.cancel("once more", by="ada")
        manager.remove("slow")
    assert (str(waits.state), waits.reason) == ("cancelled", "not today")
    assert said(manager)[0] == ("ada", "cancelled", "fails", f"run {waits.id}: not today")
    assert [what for _, what, _, _ in said(manager)] == ["cancelled", "triggered"]


def fails() -> None:
    raise ValueError("no")


def test_a_body_that_cancels_a_run_is_in_the_journal(make: Make, clock: VirtualClock) -> None:
    manager = make()

    def body() -> None:
        current_run().cancel("enough")
        current_run().check_cancelled()

    manager.add(body, name="sample")
    with manager:
        run = manager.trigger("sample")
        clock.advance(seconds=0.1)
    assert (str(run.state), said(manager)[0][3]) == ("cancelled", f"run {run.id}: enough")


def test_pausing_and_resuming_are_in_the_journal_of_all_tasks(make: Make) -> None:
    manager = make()
    manager.add(lambda: None, name="sample").disable(by="bob")
    manager.pause(by="ada")
    manager.resume(by="ada")
    assert said(manager)[:2] == [("ada", "resumed", None, None), ("ada", "paused", None, None)]
    assert said(manager, "sample") == [("bob", "disabled", "sample", None)]


def test_a_task_that_is_switched_off_after_failures_is_in_the_journal(make: Make, clock: VirtualClock) -> None:
    manager = make()
    manager.add(fails, every(10).seconds, name="fails", disable_after=2)
    with manager:
        clock.advance(seconds=25)
    assert said(manager) == [("disable_after", "disabled", "fails", "2 failures in a row")]


def test_the_journal_gives_the_newest_and_so_many_of_them(make: Make) -> None:
    manager = make()
    sample = manager.add(lambda: None, name="sample")
    for number in range(5):
        sample.disable(note=f"number {number}")
    assert [entry.note for entry in manager.journal(limit=2)] == ["number 4", "number 3"]
    for limit in (0, -1, True, "all"):
        with pytest.raises(DeclarationError, match="limit is a whole number"):
            manager.journal(limit=limit)  # type: ignore[arg-type]
    with pytest.raises(UnknownTaskError, match="Did you mean 'sample'"):
        manager.journal("smaple")


@pytest.mark.parametrize("by", ["", "  ", 7, b"ada"])
def test_who_steers_has_a_name_and_what_has_none_changes_nothing(make: Make, by: Any) -> None:
    manager = make()
    sample = manager.add(lambda: None, name="sample")
    for steer in (sample.disable, sample.enable, manager.pause, manager.resume):
        with pytest.raises(DeclarationTypeError, match="by is the name of who does it"):
            steer(by=by)
    assert sample.is_enable
    assert manager.journal() == []


def test_a_journal_that_cannot_be_written_keeps_nobody_from_steering(
    make: Make, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make()
    sample = manager.add(lambda: None, name="sample")

    def broken(entry: JournalEntry) -> None:
        raise OSError("no room")

    monkeypatch.setattr(manager.store, "note", broken)
    with caplog.at_level(logging.ERROR, logger="task"), manager:
        sample.disable(by="ada")
        assert not sample.is_enable
        sample.enable()
        run = sample.trigger()
        clock.advance(seconds=0.1)
        assert run.state == "succeeded"
    assert "The journal does not have that ada has disabled sample: no room" in caplog.text


# From another process: `there` runs, and `here` does not. They share nothing but the database.


@pytest.fixture
def pair(store_url: str, clock: VirtualClock) -> Iterator[Make]:
    """Makes managers with a store of their own each, on one database."""
    made: list[TaskManager] = []

    def make(**options: Any) -> TaskManager:
        made.append(TaskManager([], clock=clock, store=store_url, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()
    for one in made:
        assert one.audit() == []
        one.store.close()
        process_module.all_managers.discard(one)


async def double(number: int = 1) -> int:
    run = current_run()
    run.update_progress(50, "half way")
    run.logger.info("number %d", number)
    await asyncio.sleep(10)
    run.check_cancelled()
    return 2 * number


def test_a_run_that_is_triggered_elsewhere_is_a_future_with_progress_and_log(pair: Make, clock: VirtualClock) -> None:
    here, there = pair(), pair()
    here.add(double, name="double")
    task = there.add(double, name="double")
    with there:
        run = here.trigger("double", number=21)
        assert (str(run.state), task.is_running) == ("queued", False)
        clock.advance(seconds=3)
        here.store.look()
        assert (str(run.state), run.progress, run.message) == ("running", 50, "half way")
        assert [line.message for line in run.log] == ["number 21"]
        assert here["double"].is_running
        clock.advance(seconds=10)
        here.store.look()
        assert (run.done(), run.result(0)) == (True, 42)
    assert [one.id for one in there.runs("double")] == [run.id]


def test_what_is_triggered_while_nobody_runs_is_run_by_the_next_process_that_comes(
    pair: Make, clock: VirtualClock
) -> None:
    here, later = pair(), pair()
    here.add(double, name="double")
    run = here.trigger("double", number=4)
    clock.advance(hours=1)
    assert run.state == "queued"
    later.add(double, name="double")
    with later:
        clock.advance(seconds=12)
        here.store.look()
        assert run.result(0) == 8


def test_refusals_are_answered_at_once(pair: Make, clock: VirtualClock) -> None:
    here, there = pair(), pair()
    for manager in (here, there):
        manager.add(double, name="double")
    with there:
        first = here.trigger("double")
        second = here.trigger("double")
        assert (str(first.state), str(second.state), second.reason) == ("queued", "skipped", "already running")
        there["double"].disable()
        assert here.trigger("double").reason == "disabled"
        here["double"].enable()
        here.pause()
        assert there.trigger("double").reason == "paused"
        there.resume()
        clock.advance(seconds=15)


def test_parameters_that_do_not_fit_or_are_no_json_are_refused_before_anything_is_recorded(pair: Make) -> None:
    here = pair()
    here.add(double, name="double")
    here.add(lambda password="": None, name="log in", redact=["password"])
    for parameters in ({"nmuber": 1}, {"number": object()}, {"number": {1, 2}}, {"number": float("nan")}):
        with pytest.raises(ParameterError):
            here.trigger("double", **parameters)
    with pytest.raises(ParameterError, match="cannot be triggered here for another process"):
        here.trigger("log in", password="swordfish")
    assert here.runs() == []
    assert here.journal() == []


def test_declared_parameters_need_not_be_json_where_nothing_is_put_over_them(pair: Make, clock: VirtualClock) -> None:
    here, there = pair(), pair()
    seen: list[Any] = []

    def keep(when: datetime.datetime, password: str) -> None:
        seen.append((when.year, password))

    for manager in (here, there):
        declared = {"when": clock.now(), "password": "swordfish"}
        manager.add(keep, name="keep", parameters=declared, redact=["password"])
    with there:
        run = here.trigger("keep")
        clock.advance(seconds=2)
        here.store.look()
        assert (str(run.state), seen) == ("succeeded", [(2026, "swordfish")])


@pytest.mark.parametrize("state", ["queued", "retrying", "running"])
def test_a_run_is_cancelled_from_elsewhere_within_about_a_second(pair: Make, clock: VirtualClock, state: str) -> None:
    here, there = pair(), pair()
    for manager in (here, there):
        manager.add(double, name="double", overlap="queue")
        manager.add(fails, name="fails", retry=3)
    with there:
        run = {"queued": lambda: there.trigger("double"), "running": lambda: there.trigger("double")}.get(
            state, lambda: there.trigger("fails")
        )()
        if state == "queued":
            run = there.trigger("double")
        clock.advance(seconds=0.5)
        assert str(run.state) == state
        (row,) = (one for one in here.runs() if one.id == run.id)
        assert row.cancel("not today", by="ada")
        clock.advance(seconds=1.1)
        assert (str(run.state), run.reason) == ("cancelled", "not today")
        clock.advance(seconds=30)
        assert not row.cancel()
    assert [entry.who for entry in there.journal() if entry.what == "cancelled"] == ["ada"]


def test_a_run_that_nobody_has_yet_is_cancelled_at_once(pair: Make, clock: VirtualClock) -> None:
    here, there = pair(), pair()
    here.add(double, name="double")
    run = here.trigger("double")
    assert run.cancel("not today")
    assert (str(run.state), run.reason) == ("cancelled", "not today")
    there.add(double, name="double")
    with there:
        clock.advance(seconds=5)
        assert [str(one.state) for one in there.runs()] == ["cancelled"]


def test_a_run_of_this_very_process_is_cancelled_at_once_through_its_row(pair: Make, clock: VirtualClock) -> None:
    there = pair()
    there.add(fails, name="fails", retry=3)
    with there:
        run = there.trigger("fails")
        clock.advance(seconds=0.5)
        there.runs()[0].cancel()
        assert run.state == "cancelled"


def test_a_request_to_cancel_that_comes_just_before_the_start_is_heard_after_it(
    store_url: str, clock: VirtualClock
) -> None:
    mine, other = open_store(store_url, "default", 30), open_store(store_url, "default", 30)
    mine.attach(Owner(), clock)
    mine.register("sample", Terms())
    run = Run("sample", "manual", clock.now())
    mine.claim(run, Limits())
    assert other.cancel_elsewhere(other.runs()[0], "not today", clock.now())
    mine.start(run, clock.now())
    mine.look()
    assert run.asked == "not today"
    mine.close()
    other.close()


def test_a_request_to_cancel_outlives_the_process_that_it_was_for(pair: Make, clock: VirtualClock) -> None:
    died, here, there = pair(lost_after=2), pair(lost_after=2), pair(lost_after=2)
    begun: list[str] = []
    for manager in (died, here, there):
        manager.add(lambda: begun.append("body"), name="sample", jitter=0)
    died.store.attach(Owner(), clock)
    run = Run("sample", "manual", clock.now())
    died.store.claim(run, Limits())  # and then it dies
    assert here.runs()[0].cancel("not today")
    with there:
        clock.advance(seconds=5)
        assert [(str(one.state), one.reason) for one in there.runs()] == [("cancelled", "not today")]
    assert begun == []


class Owner:
    """A manager that runs all tasks."""

    def vitals(self) -> str:
        return ""

    def knows(self, name: str) -> bool:
        return True

    def executes(self, run: Run) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def test_the_newest_trigger_from_elsewhere_takes_the_place_of_older_runs(pair: Make, clock: VirtualClock) -> None:
    here, there = pair(), pair()
    for manager in (here, there):
        manager.add(double, name="double", overlap="cancel_previous")
    with there:
        first = there.trigger("double", number=1)
        clock.advance(seconds=2)
        second, third = here.trigger("double", number=2), here.trigger("double", number=3)
        clock.advance(seconds=15)
        here.store.look()
        assert [str(run.state) for run in (first, second, third)] == ["cancelled", "cancelled", "succeeded"]
        assert third.result(0) == 6


def test_every_object_of_a_run_that_is_waited_for_hears_of_its_end(pair: Make, clock: VirtualClock) -> None:
    here, there = pair(), pair()
    for manager in (here, there):
        manager.add(double, name="double")
    with there:
        there.trigger("double")
        clock.advance(seconds=2)
        heard: list[str] = []
        rows = [here.runs()[0], here.runs()[0]]
        for row in rows:
            row.add_done_callback(lambda run: heard.append(str(run.state)))
        clock.advance(seconds=10)
        here.store.look()
    assert heard == ["succeeded", "succeeded"]
    assert [row.result(0) for row in rows] == [2, 2]


def test_a_run_that_the_store_does_not_know_any_more_is_lost_to_who_waits_for_it(
    pair: Make, clock: VirtualClock
) -> None:
    here = pair()
    here.add(double, name="double")
    run = here.trigger("double")
    with here.store._database.write() as connection:
        connection.exec_driver_sql("DELETE FROM task_runs")
    here.store.look()
    assert (str(run.state), run.reason) == ("lost", "the store does not know it any more")


def test_switches_are_one_for_all_processes_and_say_who_turned_them(pair: Make, clock: VirtualClock) -> None:
    here, there = pair(), pair()
    begun: list[str] = []
    for manager in (here, there):
        manager.add(lambda: begun.append("body"), every(10).seconds, name="sample")
    with there:
        here["sample"].disable("maintenance", clock.now() + datetime.timedelta(seconds=35), by="ada")
        clock.advance(seconds=31)
        assert (begun, there["sample"].is_enable) == ([], False)
        assert there.tasks_detail[0]["switch"]["by"] == "ada"
        clock.advance(seconds=10)
        assert (begun, there["sample"].is_enable) == (["body"], True)


# Several managers, and managers that come back.


def test_a_manager_runs_again_after_a_stop_and_owes_nothing(pair: Make, clock: VirtualClock) -> None:
    manager = pair()
    begun: list[str] = []
    manager.add(lambda: begun.append(f"{clock.now():%H:%M:%S}"), every(10).seconds, name="sample", misfire="all")
    for _ in range(2):
        with manager:
            clock.advance(seconds=15)
    assert begun == ["12:00:10", "12:00:20", "12:00:30"]


def test_two_managers_on_one_store_object_share_the_slots_and_one_goes_on_when_the_other_stops(
    store_url: str, pair: Make, clock: VirtualClock
) -> None:
    first = pair()
    second = TaskManager([], clock=clock, store=first.store)
    begun: list[str] = []
    for name, manager in (("first", first), ("second", second)):
        manager.add(lambda name=name: begun.append(name), every(10).seconds, name="sample")
    with second:
        with first:
            clock.advance(seconds=25)
            assert len(begun) == 2
            first.remove("sample")
            clock.advance(seconds=10)
        assert begun[2:] == ["second"]
        run = first.add(lambda: None, name="other")
        clock.advance(seconds=10)
        assert begun[2:] == ["second", "second"]
        assert run.is_enable
    process_module.all_managers.discard(second)


def test_what_waits_at_a_stop_is_left_to_the_other_processes_and_none_of_it_is_cancelled(
    pair: Make, clock: VirtualClock
) -> None:
    first, second = pair(), pair()
    for manager in (first, second):
        manager.add(double, name="double", overlap="queue")
        manager.add(fails, name="fails", retry=1)
    first.run()
    running, waits = first.trigger("double"), first.trigger("double", number=2)
    retries = first.trigger("fails")
    clock.advance(seconds=0.5)
    first.stop(20)
    assert [str(run.state) for run in (running, waits, retries)] == ["succeeded", "queued", "retrying"]
    with second:
        clock.advance(seconds=15)
        first.store.look()
        assert [str(run.state) for run in (running, waits, retries)] == ["succeeded", "succeeded", "failed"]
        assert waits.result(0) == 4
        assert waits.cancel() is False


# Tasks that a process leaves to others.


def test_a_process_leaves_the_tasks_alone_that_it_excludes(pair: Make, clock: VirtualClock) -> None:
    web, worker = pair(exclude=["report", "not there"]), pair()
    begun: list[str] = []
    for name, manager in (("web", web), ("worker", worker)):
        for what in ("report", "mail"):
            manager.add(lambda name=name, what=what: begun.append(f"{what} in {name}"), every(10).seconds, name=what)
    assert [found.name for found in web.tasks] == ["mail"]
    with web, worker:
        clock.advance(seconds=31)
    assert len(begun) == 6
    assert "report in web" not in begun
    with pytest.raises(UnknownTaskError, match="'report' is left to other processes: this manager has it in exclude="):
        web.trigger("report")


def test_what_is_found_on_a_module_is_excluded_too_and_what_comes_after_it_may_stay(clock: VirtualClock) -> None:
    @task(every(10).seconds)
    def first() -> None: ...

    @task(after=["first"])
    def second() -> None: ...

    manager = TaskManager({"first": first, "second": second}, clock=clock, exclude={"first"})
    with manager:
        assert [found.name for found in manager.tasks] == ["second"]
        clock.advance(seconds=30)
        assert manager.runs() == []
        assert manager.add(first) is first
        assert list(manager) == ["second"]


@pytest.mark.parametrize("exclude", ["report", b"report", [7], None, 7])
def test_exclude_is_a_list_of_names(exclude: Any) -> None:
    with pytest.raises(DeclarationTypeError, match="exclude is a list of names of tasks"):
        TaskManager([], exclude=exclude)


@pytest.mark.parametrize("stopped", [True, False], ids=["stopped", "collected"])
def test_a_manager_that_never_ran_leaves_no_thread_of_signals_behind(wait_for: Any, stopped: bool) -> None:
    threads = set(threading.enumerate())
    manager, told = TaskManager([]), threading.Event()

    def tell(sender: object, **_: object) -> None:
        told.set()

    task_disabled.connect(tell)
    manager.add(lambda: None, name="sample").disable()
    assert told.wait(60)
    if stopped:
        manager.stop()
    else:
        del manager

    def is_gone() -> bool:
        gc.collect()  # again and again: the thread itself may hold the manager for a moment still
        return not [one for one in threading.enumerate() if one not in threads]

    wait_for(is_gone)


# The thread of the ledger. These are in real time: what must not take long is limited, and nothing is slept through.


@pytest.fixture
def manager_of(tmp_path: pathlib.Path) -> Iterator[Make]:
    """Makes managers on one file, with a store and threads of their own each."""
    made: list[TaskManager] = []

    def make(**options: Any) -> TaskManager:
        made.append(TaskManager([], store=sqlite_url(tmp_path), **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()
        one.store.close()


def test_the_thread_ends_although_it_was_told_to_twice(manager_of: Make, wait_for: Any) -> None:
    ledger = manager_of().store._ledger
    ledger.start()
    held = threading.Event()
    ledger.post(held.wait)
    for _ in range(3):
        ledger.stop(timeout=0)
    held.set()
    wait_for(lambda: not ledger.running())


def test_a_stop_does_not_wait_for_runs_that_are_left_to_others(manager_of: Make) -> None:
    manager = manager_of()
    begun, done = threading.Event(), threading.Event()

    def body() -> None:
        begun.set()
        done.wait(60)

    manager.add(body, name="sample", overlap="allow")
    manager.run()
    runs = [manager.trigger("sample") for _ in range(20)]
    assert begun.wait(60)
    stopper = threading.Thread(target=manager.stop, args=(300,), daemon=True)
    stopper.start()
    done.set()
    stopper.join(120)
    assert not stopper.is_alive()
    states = {str(run.state) for run in runs}
    assert states <= {"succeeded", "queued"}, states
    other = manager_of()
    other.add(lambda: None, name="sample", overlap="allow")
    with other:
        assert [run.wait(60) for run in runs] == [True] * 20
    assert {str(run.state) for run in runs} == {"succeeded"}


def test_a_direct_call_waits_neither_for_the_journal_nor_for_a_look(manager_of: Make) -> None:
    manager = manager_of()
    sample = manager.add(lambda: 42, name="sample")
    assert sample() == 42
    assert manager.journal() == []


def test_a_run_elsewhere_can_be_awaited_by_many_threads_while_others_come(manager_of: Make) -> None:
    here, there = manager_of(), manager_of()
    here.add(plain, name="plain", overlap="allow")
    there.add(plain, name="plain", overlap="allow", threaded=True)
    results: list[int] = []

    def ask(number: int) -> None:
        results.extend(here.trigger("plain", number=10 * number + each).result(60) for each in range(4))

    with there:
        threads = [threading.Thread(target=ask, args=[number]) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
    assert len(set(results)) == 20


def plain(number: int) -> int:
    return 2 * number


def test_an_event_loop_can_await_a_run_elsewhere(manager_of: Make) -> None:
    here, there = manager_of(), manager_of()
    for manager in (here, there):
        manager.add(plain, name="plain")

    async def ask() -> int:
        result: int = await asyncio.wait_for(here.trigger("plain", number=21), 60)
        return result

    with there:
        assert asyncio.run(ask()) == 42
