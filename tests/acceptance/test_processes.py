"""Several processes on one store: who gets a slot, who is frozen, whose clock is wrong. With real processes."""

from __future__ import annotations

import datetime
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from databases import sqlite_url
from ledger_driver import LIMIT, Ledger, doubles, most_at_once, slots

#: More than these: ``TASK_PROCESSES=2,4,8``.
SHARES = [int(count) for count in os.environ.get("TASK_PROCESSES", "4").split(",")]

#: So many that a slow machine, too, has done what is due of them before more is.
TASKS = [{"name": f"task {number}", "seconds": 1, "options": {"threaded": True}} for number in range(50)]


@pytest.mark.parametrize("share", SHARES)
def test_of_500_slots_each_has_one_outcome_however_many_processes_want_it(
    ledger: Ledger, store_url: str, share: int
) -> None:
    processes = [ledger.start(store_url, *TASKS) for _ in range(share)]
    ledger.run_together(processes)
    ledger.wait_for_lines(100, event="end")
    _wait(lambda: sum(row["count"] for row in processes[0].runs()) >= 500)
    for process in processes:
        process.send("stop", timeout=LIMIT)
    for process in processes:
        process.answer(2 * LIMIT)

    rows = processes[0].runs()
    ran = Counter((row["task"], row["slot"]) for row in rows if row["state"] == "succeeded")
    begun = Counter((line["task"], _utc(line["slot"])) for line in ledger.lines() if line["event"] == "begin")
    assert sum(row["count"] for row in rows) >= 500
    assert set(begun.values()) == {1}
    assert {(task, _utc(slot)) for task, slot in ran} == set(begun)
    # On a slow machine some are late, or are put back when their process stops.
    assert {row["state"] for row in rows} <= {"succeeded", "missed", "skipped", "queued"}
    tokens = [line["token"] for line in ledger.lines() if line["event"] == "begin"]
    assert len(set(tokens)) == len(tokens)
    assert processes[-1].audit() == []


def _utc(slot: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(slot).astimezone(datetime.UTC)


@pytest.fixture
def sqlite_store(tmp_path: Path) -> str:
    return sqlite_url(tmp_path)


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"waited {LIMIT} seconds in vain"
        time.sleep(0.1)


# The frozen.

STEADY = {"name": "steady", "seconds": 0.5, "options": {"threaded": True}}


def test_one_that_is_frozen_between_claiming_and_starting_starts_nothing_that_others_have_run(
    ledger: Ledger, store_url: str
) -> None:
    steady: Any = {**STEADY, "options": {"threaded": True, "overlap": "allow"}}
    # The first claim is granted; a later one may be that of a slot whose answer came too late, asked again.
    frozen = ledger.start(store_url, steady, pause_at=("claim:after", 1), lost_after=2)
    frozen.run_soon()
    other = ledger.start(store_url, steady, lost_after=2)
    frozen.wait_until_frozen()
    (claimed,) = other.runs("steady")
    assert claimed["state"] == "queued"
    other.run()
    # It takes the run over that was claimed and did not start, and the slots after it.
    ledger.wait_for_lines(3, pid=other.pid, event="end")
    _wait(lambda: claimed["id"] in {row["id"] for row in other.runs("steady", "succeeded")})
    frozen.thaw()
    frozen.answer()
    other.stop()
    back = len(slots([line for line in ledger.lines() if line["pid"] == frozen.pid], "steady"))
    ledger.wait_for_lines(back + 3, pid=frozen.pid, event="end")
    frozen.stop()

    lines = ledger.lines()
    assert [line["pid"] for line in lines if line["run"] == claimed["id"]] == [other.pid, other.pid]
    assert doubles(lines) == []
    assert frozen.audit() == []
    assert "it goes on as" in frozen.stderr
    assert frozen.ask("health")["causes"] in ([], ["the loop is not running"])


def test_one_that_is_frozen_in_a_body_finds_that_the_run_is_not_its_own_any_more(
    ledger: Ledger, postgres_url: str
) -> None:
    slow: Any = {"name": "slow", "body_seconds": 600, "options": {"threaded": True}}
    frozen, other = (ledger.start(postgres_url, STEADY, slow, lost_after=2) for _ in range(2))
    ledger.run_together([frozen, other])
    run = frozen.trigger("slow")
    ledger.wait_for_lines(1, run=run)
    frozen.freeze()
    _wait(lambda: other.runs("slow")[0]["state"] == "lost")
    before = len(slots([line for line in ledger.lines() if line["pid"] == frozen.pid], "steady"))
    frozen.thaw()

    ledger.wait_for_lines(1, run=run, event="end", raised="RunCancelled")  # it was asked to stop
    other.kill()
    ledger.wait_for_lines(before + 2, task="steady", pid=frozen.pid, event="begin")  # and goes on
    _wait(lambda: frozen.runs("slow")[0]["aside"] is not None)
    (row,) = frozen.runs("slow")
    assert row["state"] == "lost"
    assert row["aside"]["state"] == "cancelled"
    frozen.stop()
    assert doubles(ledger.lines()) == []
    assert frozen.audit() == []


# Clocks.


def test_clocks_that_differ_and_one_that_is_set_by_an_hour_double_no_slot(ledger: Ledger, sqlite_store: str) -> None:
    right, ahead = (ledger.start(sqlite_store, STEADY, lost_after=6, shift_seconds=seconds) for seconds in (0, 5))
    ledger.run_together([right, ahead])
    ledger.wait_for_lines(4, pid=ahead.pid)
    _wait(lambda: "The clock of process" in right.stderr and "The clock of process" in ahead.stderr)
    told = re.search(rf"The clock of process {ahead.pid} on .* is (\d+) seconds ahead", right.stderr)
    assert told is not None
    assert int(told[1]) in (3, 4, 5)  # by when it is seen, a heartbeat is a second or two old

    ahead.shift(3600)
    count = len(ledger.lines())
    ledger.wait_for_lines(count + 6)
    ahead.shift(-3600)
    count = len(ledger.lines())
    ledger.wait_for_lines(count + 6)
    ahead.shift(0)
    count = len(ledger.lines())
    ledger.wait_for_lines(count + 6)
    right.stop()
    ahead.stop()

    assert doubles(ledger.lines()) == []
    assert right.runs(state="lost") == []
    assert "has died" not in right.stderr + ahead.stderr
    assert "found this one dead" not in right.stderr + ahead.stderr
    assert right.audit() == []


def test_guards_hold_across_processes(ledger: Ledger, sqlite_store: str) -> None:
    options: Any = {"threaded": True, "overlap": "queue", "mutex": "door"}
    tasks: list[Any] = [
        {"name": "first", "seconds": 0.3, "body_seconds": 0.1, "options": options},
        {"name": "second", "seconds": 0.3, "body_seconds": 0.1, "options": options},
        {"name": "wide", "seconds": 0.2, "body_seconds": 0.5, "options": {"threaded": True, "max_concurrent": 2}},
    ]
    processes = [ledger.start(sqlite_store, *tasks) for _ in range(3)]
    ledger.run_together(processes)
    ledger.wait_for_lines(5, task="first", event="end")
    ledger.wait_for_lines(5, task="second", event="end")
    ledger.wait_for_lines(5, task="wide", event="end")
    _wait(lambda: most_at_once(ledger.lines(), "wide") >= 2)
    for process in processes:
        process.stop()

    lines = ledger.lines()
    door = [{**line, "task": "door"} for line in lines if line["task"] != "wide"]
    assert most_at_once(door, "door") == 1
    assert most_at_once(lines, "wide") == 2
    assert doubles(lines) == []
    assert processes[0].audit() == []
    assert processes[0].runs(state="running") == []
