"""Processes on one store are killed, at every point at which something is kept, and at random times."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

import sqlalchemy as sql
from ledger_driver import LIMIT, Ledger, LedgerProcess, doubles

#: How many processes are killed at random, on each database. By hand: ``TASK_KILLS=200``.
KILLS = int(os.environ.get("TASK_KILLS", "10"))

POINTS = [f"{kind}:{when}" for kind in ("claim", "start", "finish", "retry") for when in ("before", "after")]

STEADY = {"name": "steady", "seconds": 0.5, "options": {"threaded": True}}
TASKS: list[Any] = [
    STEADY,
    {"name": "brief", "seconds": 0.3, "options": {"threaded": True}},
    {"name": "long", "seconds": 1, "body_seconds": 0.8, "options": {"threaded": True, "overlap": "queue"}},
    {"name": "shaky", "seconds": 0.4, "fails": 1, "options": {"threaded": True, "retry": 2, "overlap": "allow"}},
    {"name": "again", "seconds": 1, "body_seconds": 0.5, "options": {"threaded": True, "on_lost": "rerun"}},
]


def wait(condition: Callable[[], object], otherwise: object, seconds: float = LIMIT) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} seconds in vain: {otherwise!r}"
        time.sleep(0.1)


@contextlib.contextmanager
def engine_for(store_url: str) -> Iterator[sql.Engine]:
    """Its connections are closed also where the test fails: left open, they would make a later one fail, too."""
    engine = sql.create_engine(store_url)
    try:
        yield engine
    finally:
        engine.dispose()


def wait_until_buried(left: LedgerProcess, store_url: str, pids: Collection[int]) -> None:
    """Until no process counts as alive that was killed."""
    query = sql.text("SELECT pid FROM task_processes WHERE ended_at IS NULL")

    def alive() -> set[int]:
        with engine.connect() as connection:
            return set(connection.execute(query).scalars()) & set(pids)

    with engine_for(store_url) as engine:
        wait(lambda: not alive(), left)


def judge(ledger: Ledger, left: LedgerProcess, store_url: str) -> None:
    """Nothing doubled, nothing lost, nothing left under way, and a database that is whole."""
    left.stop()
    lines = ledger.lines()
    assert doubles(lines) == []
    assert left.audit() == []
    rows = left.runs()
    assert [row["id"] for row in rows if row["state"] == "running"] == []
    known = {row["id"] for row in rows}
    assert [line for line in lines if line["run"] not in known] == []
    ended = {line["run"] for line in lines if line["event"] == "end" and line["raised"] is None}
    assert {row["state"] for row in rows if row["id"] in ended} <= {"succeeded", "lost"}
    with engine_for(store_url) as engine, engine.connect() as connection:
        held = "SELECT id, state, owner FROM task_runs WHERE place > 0 AND owner IS NOT NULL"
        assert connection.execute(sql.text(held)).all() == []  # what waits now waits for any process
        living = "SELECT pid FROM task_processes WHERE ended_at IS NULL"
        assert connection.execute(sql.text(living)).all() == []
        if engine.dialect.name == "sqlite":
            assert connection.execute(sql.text("PRAGMA integrity_check")).all() == [("ok",)]


def test_killed_at_any_point_a_process_leaves_nothing_doubled_lost_or_under_way(ledger: Ledger, store_url: str) -> None:
    left = ledger.start(store_url, *TASKS, lost_after=3)
    left.run()
    doomed = {point: ledger.start(store_url, *TASKS, lost_after=3, kill_at=(point, 1)) for point in POINTS}
    for process in doomed.values():
        process.run_soon()
    assert {point: process.end() for point, process in doomed.items()} == dict.fromkeys(POINTS, -9)

    count = len([line for line in ledger.lines() if (line["task"], line["event"]) == ("steady", "begin")])
    ledger.wait_for_lines(count + 4, task="steady", event="begin")
    wait_until_buried(left, store_url, {process.pid for process in doomed.values()})
    judge(ledger, left, store_url)


def test_killed_while_it_adopts_or_buries_a_process_leaves_that_to_the_next(ledger: Ledger, store_url: str) -> None:
    queue: Any = {"name": "slow", "options": {"threaded": True, "overlap": "queue"}}
    victim = ledger.start(store_url, queue | {"body_seconds": 600}, lost_after=2)
    victim.run()
    first, second = victim.trigger("slow"), victim.trigger("slow")
    ledger.wait_for_lines(1, run=first)
    victim.kill()
    killed = {victim.pid}
    for point in ("bury:after", "adopt:after"):
        doomed = ledger.start(store_url, queue, lost_after=2, kill_at=(point, 1))
        doomed.run_soon()
        assert doomed.end() == -9
        killed.add(doomed.pid)
    left = ledger.start(store_url, queue, lost_after=2)
    left.run()

    ledger.wait_for_lines(1, run=second, event="end")
    wait(lambda: left.runs("slow", "succeeded"), left)
    states = {run["id"]: run["state"] for run in left.runs("slow")}
    assert states == {first: "lost", second: "succeeded"}
    tokens = [line["token"] for line in ledger.lines() if line["event"] == "begin"]
    assert tokens == sorted(set(tokens))
    wait_until_buried(left, store_url, killed)
    judge(ledger, left, store_url)


def test_processes_that_are_killed_at_random_leave_nothing_doubled_lost_or_under_way(
    ledger: Ledger, store_url: str
) -> None:
    chance = random.Random(KILLS)
    left = ledger.start(store_url, *TASKS, lost_after=3)
    left.run()
    pids: set[int] = set()
    others = [ledger.start(store_url, *TASKS, lost_after=3) for _ in range(2)]
    for _ in range(KILLS):
        others.append(ledger.start(store_url, *TASKS, lost_after=3))
        for process in others:
            process.run()
        time.sleep(chance.uniform(0, 0.7))
        killed = others.pop(chance.randrange(len(others)))
        killed.kill()
        pids.add(killed.pid)
    for process in others:
        process.stop()
    wait_until_buried(left, store_url, pids)
    judge(ledger, left, store_url)
    print(f"{KILLS} killed; {len(ledger.lines())} lines, {len(left.runs(state='lost'))} runs lost")


def test_the_next_slot_is_on_time_in_the_other_process(ledger: Ledger, store_url: str) -> None:
    steady: Any = {**STEADY, "options": {"threaded": True, "overlap": "allow"}}
    left, doomed = (ledger.start(store_url, steady) for _ in range(2))
    ledger.run_together([left, doomed])
    ledger.wait_for_lines(2, pid=doomed.pid, event="end")
    doomed.kill()
    count = len(ledger.wait_for_lines(1, event="begin"))
    ledger.wait_for_lines(count + 4, event="begin", timeout=20)  # other processes count as dead after 30 seconds
    left.stop()

    # A machine that stands still for longer than a period misses a slot; nothing else keeps one from running.
    late = ("missed", "late: a newer slot was due")
    under_way = ("queued", "running")  # there: it is not found dead yet
    others = [row for row in left.runs("steady") if row["state"] not in ("succeeded", *under_way)]
    assert [row for row in others if (row["state"], row["reason"]) != late] == []
    assert left.audit() == []
