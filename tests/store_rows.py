"""The rows of a store as its database has them, past everything that we make of them."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sql

from task import TaskManager
from task.runs import new_id
from task.stores.sql import schema


def execute(manager: TaskManager, statement: str, values: Sequence[dict[str, Any]] = ()) -> int:
    """Execute a statement of plain SQL on the database of a manager; how many rows it has changed."""
    with manager.store._database.write() as connection:  # type: ignore[attr-defined]
        return connection.execute(sql.text(statement), list(values) or None).rowcount


def rows_of(manager: TaskManager, table: str) -> list[dict[str, Any]]:
    """All rows of a table."""
    with manager.store._database.read() as connection:  # type: ignore[attr-defined]
        return [dict(row) for row in connection.execute(sql.text(f"SELECT * FROM {table}")).mappings()]


def insert_runs(
    manager: TaskManager, task: str, count: int, since: datetime.datetime, *, states: Sequence[str] = ("succeeded",)
) -> None:
    """Insert so many ended runs, one a second from a moment on, their states in turn."""
    blank = dict.fromkeys(schema.runs.c.keys())
    common = {"namespace": "default", "task": task, "scope": "", "epoch": 0, "count": 1, "trigger": "manual"}
    common |= {"place": 0, "max_concurrent": 1, "overlap": "skip", "attempt": 1, "result_is_json": 0}
    common |= {"declared": 1, "portable": 1, "rerun": 0, "reruns": 0, "token": 1, "changed": 0}
    rows = []
    for number in range(count):
        at = since + datetime.timedelta(seconds=number)
        micros = int(at.timestamp()) * 1_000_000
        moments = dict.fromkeys(("queued_at", "started_at", "finished_at"), micros)
        rows.append(blank | common | moments | {"id": new_id(at), "state": states[number % len(states)]})
    with manager.store._database.write() as connection:  # type: ignore[attr-defined]
        connection.execute(schema.runs.insert(), rows)
