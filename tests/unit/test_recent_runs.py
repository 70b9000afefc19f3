"""The newest rows of many tasks, read at once; of every store."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pytest
from databases import sqlite_url
from store_rows import execute, insert_runs

from task import Run, TaskManager, every
from task.testing import VirtualClock

NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)


@pytest.fixture
def kept(any_store_url: str | None, clock: VirtualClock) -> Iterator[TaskManager]:
    """A manager on each kind of store, which runs."""
    with TaskManager([], store=any_store_url, clock=clock) as manager:
        yield manager
    if manager.store.shared:
        manager.store.close()


def facts_of(run: Run) -> tuple[Any, ...]:
    told = run.id, run.task, run.trigger, run.state, run.reason, run.error
    return *told, run.slot, run.last, run.count, run.queued_at, run.started_at, run.finished_at


def fail() -> None:
    raise ValueError("no")


def test_the_newest_rows_of_each_task_are_those_of_its_pages(kept: TaskManager, clock: VirtualClock) -> None:
    kept.add(lambda: clock.advance(milliseconds=1) and None, every(1).minutes, name="sample")
    kept.add(fail, every(2).minutes, name="failing")
    kept.add(lambda: None, every(1).minutes, name="off", disabled=True)
    clock.advance(minutes=7)
    kept["sample"].trigger()
    clock.advance(seconds=1)

    found = kept.store.recent(["sample", "failing", "off", "unknown"], 3)

    for name, rows in found.items():
        assert [facts_of(run) for run in rows] == [facts_of(run) for run in (kept.runs(name, limit=3) if rows else [])]
    assert {name: len(rows) for name, rows in found.items()} == {"sample": 3, "failing": 3, "off": 1, "unknown": 0}
    assert found["off"][0].count == 7


def test_a_row_that_nobody_of_us_has_written_is_told_of_as_in_a_page(tmp_path: Any, clock: VirtualClock) -> None:
    manager = TaskManager([], store=sqlite_url(tmp_path), clock=clock)
    manager.add(lambda: None, name="sample")
    manager.runs()
    insert_runs(manager, "sample", 3, NOON)
    execute(
        manager,
        "UPDATE task_runs SET state = 'odd', started_at = 'noon' WHERE id = (SELECT max(id) FROM task_runs)",
    )

    newest, second, _ = manager.store.recent(["sample"])["sample"]

    assert newest.state == "lost"
    assert newest.reason is not None
    assert newest.reason.startswith("its row in the store is unreadable")
    assert second.state == "succeeded"
    manager.store.close()
