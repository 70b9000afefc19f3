"""Steering from another process, and how a process leaves the store: real processes, real time."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from databases import sqlite_url
from ledger_driver import LIMIT

from task import Run, RunState
from task.stores import Limits, Terms, open_store
from task.stores.sql import hooks

SLOW = {"name": "slow", "body_seconds": 600, "options": {"overlap": "queue", "threaded": True}}
QUICK = {"name": "quick", "options": {"threaded": True}}
FAILS = {"name": "fails", "fails": 9, "options": {"retry": 9}}


def wait_until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + LIMIT
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {LIMIT} seconds in vain"
        time.sleep(0.1)
    return found


def row_of(process: Any, run: str) -> dict[str, Any]:
    (found,) = (one for one in process.runs() if one["id"] == run)
    return found  # type: ignore[no-any-return]


def test_a_process_without_a_loop_steers_one_that_has_it(ledger, store_url):
    here, there = (ledger.start(store_url, SLOW, QUICK, FAILS) for _ in range(2))
    if store_url.startswith("sqlite"):  # one that was stopped; on the other database one that never ran
        here.run()
        here.stop()
    there.run()

    # Triggered here, with parameters, and run there.
    quick = here.trigger("quick", note="from here")
    (line,) = ledger.wait_for_lines(1, event="begin", run=quick)
    assert (line["pid"], line["note"]) == (there.pid, "from here")
    assert wait_until(lambda: row_of(here, quick)["state"] == "succeeded")
    assert row_of(here, quick)["result"] == '"from here"'

    # Its progress and its log, while it runs; and what waits behind it.
    slow, behind = here.trigger("slow"), here.trigger("slow")
    wait_until(lambda: row_of(here, slow)["progress"])
    assert wait_until(lambda: here.ask("log_lines", run=slow)) == ["begun "]
    assert row_of(here, behind)["state"] == "queued"
    retrying = here.trigger("fails")
    wait_until(lambda: row_of(here, retrying)["state"] == "retrying")

    # Cancelled here, ended there.
    for run in (behind, retrying, slow):
        assert here.ask("cancel", run=run, reason="not today") is True
        wait_until(lambda run=run: row_of(here, run)["state"] == "cancelled")
        assert row_of(there, run)["reason"] == "not today"
    (end,) = ledger.wait_for_lines(1, event="end", run=slow)
    assert end["raised"] == "RunCancelled"

    # Switched here, refused there.
    here.ask("disable", task="quick", note="maintenance")
    assert row_of(there, there.trigger("quick"))["reason"] == "disabled"
    here.ask("enable", task="quick")
    assert row_of(there, there.trigger("quick"))["state"] != "skipped"
    assert there.audit() == []


def test_what_is_triggered_while_nobody_runs_waits_for_the_next_process(ledger, store_url):
    here = ledger.start(store_url, QUICK)
    run = here.trigger("quick", note="later")
    assert here.exit() == 0
    there = ledger.start(store_url, QUICK)
    assert row_of(there, run)["state"] == "queued"
    there.run()
    ledger.wait_for_lines(1, event="end", run=run)


# How a process leaves the store.

LEAVES = """
    import logging, sys, threading, time
    from task import TaskManager, every

    logging.basicConfig()
    manager = TaskManager([], store=sys.argv[1])
    begun = threading.Event()

    @manager.task(every(0.05).seconds, threaded=True, overlap="allow")
    def busy():
        begun.set()

    @manager.task(threaded=True)
    def slow():
        begun.set()
        from task import current_run
        while True:
            current_run().check_cancelled()
            time.sleep(0.05)
"""


def endings(folder: Path) -> list[tuple[str | None, int]]:
    with sqlite3.connect(folder / "tasks.db") as connection:
        found = connection.execute("SELECT ending, count(*) FROM task_processes GROUP BY ending").fetchall()
        assert connection.execute("SELECT count(*) FROM task_runs WHERE state = 'running'").fetchone() == (0,)
    connection.close()
    return found


def states(folder: Path) -> set[str]:
    """Those of the runs of the task `slow`."""
    with sqlite3.connect(folder / "tasks.db") as connection:
        found = connection.execute("SELECT state FROM task_runs WHERE task = 'slow'").fetchall()
    connection.close()
    return {state for (state,) in found}


@pytest.mark.parametrize(
    ("ending", "code"),
    [("", 0), ("sys.exit(3)", 3), ("raise ValueError('unhandled')", 1)],
    ids=["main ends", "sys.exit", "exception"],
)
def test_an_interpreter_that_exits_leaves_the_store_in_good_order(program, tmp_path, ending, code):
    child = program(
        LEAVES
        + f"""
    manager.run()
    assert begun.wait(60)
    begun.clear()
    print("ready", flush=True)
    for _ in range(20):
        manager.trigger("busy")
    {ending}
    """,
        sqlite_url(tmp_path),
    )
    child.expect("ready", LIMIT)
    assert child.end(LIMIT) == code, child
    assert "cannot schedule new futures" not in child.stderr
    assert "Traceback" not in child.stderr or "unhandled" in child.stderr
    assert endings(tmp_path) == [("stopped", 1)]


def test_a_body_that_ends_when_it_is_asked_to_is_cancelled_at_the_exit(program, tmp_path):
    child = program(
        LEAVES
        + """
    from task.models import lifecycle, process
    process.EXIT_TIMEOUT, lifecycle.CANCEL_TIMEOUT = 0.5, 30.0
    manager.run()
    run = manager.trigger("slow")
    assert begun.wait(60)
    """,
        sqlite_url(tmp_path),
    )
    assert child.end(LIMIT) == 0, child
    assert endings(tmp_path) == [("stopped", 1)]
    assert states(tmp_path) == {"cancelled"}


def test_who_only_triggers_exits_at_once_and_leaves_no_trace_of_a_process(program, tmp_path):
    child = program(
        LEAVES
        + """
    print(manager.trigger("slow").state, flush=True)
    """,
        sqlite_url(tmp_path),
    )
    assert child.expect("", LIMIT) == "queued"
    assert child.end(LIMIT) == 0
    assert child.stderr == ""
    assert endings(tmp_path) == []


def test_who_leaves_the_store_leaves_no_run_that_another_thread_is_just_claiming(store_url, clock, monkeypatch):
    store = open_store(store_url, "default", 30)
    store.go_by(clock)
    store.register("sample", Terms())
    limits = Limits(overlap="allow")
    first, second = (Run("sample", "call", clock.now()) for _ in range(2))
    assert store.claim(first, limits)
    assert store.start(first, clock.now())

    def end_the_first(point):
        if point == "claim:after":  # the database has the second, and nobody was told yet
            store.finish(first, RunState.SUCCEEDED, clock.now())

    monkeypatch.setattr(hooks, "reached", end_the_first)
    assert store.claim(second, limits)
    monkeypatch.setattr(hooks, "reached", None)
    assert store.start(second, clock.now())
    assert store.finish(second, RunState.SUCCEEDED, clock.now()) is not None
    assert {str(run.state) for run in store.runs("sample")} == {"succeeded"}
    assert store.processes(clock.now()) == []
    store.close()


def test_a_direct_call_without_a_loop_comes_and_goes(program, tmp_path):
    child = program(
        LEAVES
        + """
    busy(), busy()
    """,
        sqlite_url(tmp_path),
    )
    assert child.end(LIMIT) == 0
    assert child.stderr == ""
    assert {ending for ending, _ in endings(tmp_path)} == {"stopped"}


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_in_wait_stops_and_leaves_what_waits_to_others(program, tmp_path, name):
    child = program(
        LEAVES
        + """
    import os, signal

    number = getattr(signal, sys.argv[2])
    before = signal.getsignal(number)

    sent = threading.Event()

    def send():
        while signal.getsignal(number) is before:
            time.sleep(0.01)
        os.kill(os.getpid(), number)
        sent.set()

    @manager.task(overlap="allow")
    def one_by_one():
        sent.wait(60)
        time.sleep(0.5)

    manager.run()
    runs = [manager.trigger("one_by_one") for _ in range(30)]
    assert begun.wait(60)
    threading.Thread(target=send).start()
    manager.wait()
    print("left", sum(str(run.state) == "queued" for run in runs), {str(run.state) for run in runs}, flush=True)
    """,
        sqlite_url(tmp_path),
        name,
    )
    count, came_to = child.expect("left", LIMIT).split(" ", 1)
    assert int(count) > 0
    assert "cancelled" not in came_to
    assert child.end(LIMIT) == 0, child
    assert endings(tmp_path) == [("stopped", 1)]
