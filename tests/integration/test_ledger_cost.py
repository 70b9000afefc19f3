"""What the ledger asks of its database: as few statements for many operations as for two, and an index for each."""

from __future__ import annotations

import itertools
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sql
from databases import sqlite_url
from sqlalchemy import event

from task import TaskManager, every
from task.errors import StoreUnavailableError
from task.runs import Run
from task.stores.sql import SqlStore, database, page, turns
from task.stores.values import Limits, Terms
from task.testing import VirtualClock


@contextmanager
def statements_of(store: SqlStore) -> Iterator[list[str]]:
    """The statements that are executed inside."""
    executed: list[str] = []

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        executed.append(statement)

    engine = store._database._engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield executed
    finally:
        event.remove(engine, "before_cursor_execute", note)


def claim_together(store: SqlStore, clock: VirtualClock, count: int) -> list[str]:
    """The statements with which so many slots of as many tasks are claimed in one transaction."""
    names = [f"task {number} of {count}" for number in range(count)]
    for name in names:
        store.register(name, Terms())
    runs = [Run(name, "call", clock.now()) for name in names]
    operations = [store._claim_of(run, Limits(), None, None) for run in runs]
    with statements_of(store) as executed:
        store._ledger._do(operations)
    assert [operation.outcome().answer for operation in operations] == ["admitted"] * count
    for run in runs:
        store.cancel(run, clock.now(), "enough")
    return executed


def test_a_hundred_claims_take_as_many_statements_as_two(store_url: str, clock: VirtualClock) -> None:
    store = SqlStore(store_url)
    store._clock = clock
    claim_together(store, clock, 1)

    two, hundred = claim_together(store, clock, 2), claim_together(store, clock, 100)

    assert len(two) == len(hundred)
    assert len(hundred) <= 10
    store.close()


def test_a_manager_with_fifty_tasks_starts_with_as_many_statements_as_one_with_five(tmp_path: Path) -> None:
    counts = []
    for number in (5, 50):
        manager = TaskManager([], store=f"sqlite:///{tmp_path / f'{number}.db'}", clock=VirtualClock())
        for each in range(number):
            manager.add(lambda: None, every(60).seconds, name=f"task {each}")
        assert isinstance(manager.store, SqlStore)
        with statements_of(manager.store) as executed, manager:
            counts.append(len(executed))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("query", ["_WAITING", "_MUTEXES", "_PLACES"])
def test_runs_with_a_place_are_found_without_a_look_at_the_history(tmp_path: Path, query: str) -> None:
    store = SqlStore(sqlite_url(tmp_path))
    select = getattr(page, query)
    with store._database.read() as connection:
        plans: list[str] = []

        def explain(connection: object, cursor: object, statement: str, parameters: object, *_: object) -> None:
            if statement.startswith("SELECT"):
                driver = store_connection.driver_connection
                assert driver is not None
                plans.extend(row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

        store_connection = connection.connection
        event.listen(store._database._engine, "before_cursor_execute", explain)
        select.rows_of(connection, {"space": "default"}, ["sample"]) if query == "_PLACES" else select.rows(
            connection, {"space": "default"}
        )
    assert "USING INDEX task_runs_places (namespace=? AND place>?)" in plans[0]
    store.close()


def test_a_process_writes_when_the_one_before_it_has_ended_its_transaction(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    store = SqlStore(url)
    with store._database.write():
        pass
    other = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.2, other.rollback).start()
    with store._database.write() as connection:
        assert connection.execute(sql.text("SELECT 1")).scalar() == 1
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 5000
    other.close()
    store.close()


def test_a_process_gives_up_on_a_file_that_another_one_keeps_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 60.0)
    monkeypatch.setattr(turns, "_monotonic", itertools.count(step=40.0).__next__)  # what is waited passes in no time
    store = SqlStore(sqlite_url(tmp_path))
    with store._database.write():
        pass
    other = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="database is locked"), store._database.write():
        pass
    assert time.monotonic() - begun < 50  # once, not twice: SQLite's own waiting does not come on top
    other.close()
    store.close()
