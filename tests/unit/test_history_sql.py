"""How the history is read from a database: by its indexes, in few statements, from any process."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sql
from databases import sqlite_url
from sqlalchemy import event
from store_rows import insert_runs

from task import RunState, TaskManager, current_run, every
from task.stores.history import Wanted
from task.stores.sql.changes import _CHANGED
from task.stores.sql.reading import _NEWEST, ids_of, rows_of, sample_of, strands_of
from task.testing import VirtualClock

NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)


def states(*names: str) -> frozenset[RunState]:
    return frozenset(map(RunState, names))


@pytest.fixture
def file(tmp_path: Any, clock: VirtualClock) -> Iterator[TaskManager]:
    """A manager on SQLite, with 3 000 runs of a task."""
    manager = TaskManager([], store=sqlite_url(tmp_path), clock=clock)
    manager.add(lambda: None, name="sample")
    manager.add(lambda: None, name="other")
    manager.runs()
    insert_runs(manager, "sample", 3_000, NOON, states=["succeeded"] * 99 + ["failed"])
    yield manager
    manager.store.close()


def plan_of(manager: TaskManager, statement: sql.Select[Any]) -> list[str]:
    """How SQLite is going to find the rows."""
    with manager.store._database.read() as connection:  # type: ignore[attr-defined]
        compiled = statement.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
        values = tuple(compiled.params[name] for name in compiled.positiontup or ())
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values)]


@pytest.mark.parametrize("analyzed", [False, True], ids=["new", "analyzed"])
@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (Wanted(), "task_runs_at"),
        (Wanted(before="019df2dc-0a00-7000-8000-000000000000"), "task_runs_at"),
        (Wanted(since=NOON, until=NOON + datetime.timedelta(hours=1)), "task_runs_at"),
        (Wanted("sample"), "task_runs_of"),
        (Wanted("sample", states=states("succeeded")), "task_runs_of"),
        (Wanted("sample", since=NOON, before="019df2dc-0a00-7000-8000-000000000000"), "task_runs_of"),
        (Wanted(states=states("failed")), "task_runs_unusual"),
        (Wanted("sample", states=states("failed")), "task_runs_unusual_of"),
        (Wanted(parent="019df2dc-0a00-7000-8000-000000000000"), "task_runs_children"),
    ],
    ids=str,
)
def test_a_page_reads_one_end_of_an_index_and_sorts_nothing(
    file: TaskManager, wanted: Wanted, index: str, analyzed: bool
) -> None:
    if analyzed:
        with file.store._database.write() as connection:  # type: ignore[attr-defined]
            connection.exec_driver_sql("ANALYZE")
    (strand,) = strands_of(wanted, None if wanted.task is None else [wanted.task])
    (step,) = plan_of(file, rows_of("default", wanted, strand, 101))
    assert step.startswith(f"SEARCH task_runs USING INDEX {index} (namespace=?")


def test_what_is_under_way_is_found_among_the_few_that_have_a_place(file: TaskManager) -> None:
    (strand,) = strands_of(Wanted(states=states("running", "queued")), None)
    plan = plan_of(file, rows_of("default", Wanted(), strand, 101))
    assert plan[0].startswith("SEARCH task_runs USING INDEX task_runs_places")


def test_of_several_states_or_tasks_the_end_of_each_is_read(file: TaskManager) -> None:
    strands = strands_of(Wanted(states=states("failed", "lost", "succeeded")), ["sample", "other"])
    assert len(strands) == 6
    plan = plan_of(file, ids_of("default", Wanted(), strands, 101))
    found = [step for step in plan if "task_runs" in step]
    assert len(found) == 6
    assert all("INDEX task_runs_of" in step or "INDEX task_runs_unusual_of" in step for step in found)


def test_of_very_many_tasks_the_runs_are_looked_through(file: TaskManager) -> None:
    names = [f"task {number}" for number in range(101)]
    (strand,) = strands_of(Wanted(), names)
    (step,) = plan_of(file, rows_of("default", Wanted(), strand, 101))[:1]
    assert "INDEX task_runs_" in step
    assert [run.task for run in file.store.find_runs(Wanted("sample"), 3)] == ["sample"] * 3


def test_the_sample_of_the_statistics_sorts_nothing(file: TaskManager) -> None:
    (step,) = plan_of(file, sample_of("default", "sample", 1_000))
    assert step.startswith("SEARCH task_runs USING INDEX task_runs_of (namespace=? AND task=?)")
    told = file.statistics("sample")
    assert (told.sample, told.p95_duration) == (1_000, 0.0)


@pytest.mark.parametrize("analyzed", [False, True], ids=["new", "analyzed"])
def test_what_has_changed_is_found_by_its_number_and_the_newest_of_each_task_by_its_end(
    file: TaskManager, analyzed: bool
) -> None:
    if analyzed:
        with file.store._database.write() as connection:  # type: ignore[attr-defined]
            connection.exec_driver_sql("ANALYZE")

    (changed,) = plan_of(file, _CHANGED._statement.params(space="default", since=1, most=10))
    newest = plan_of(file, _NEWEST["sqlite"].params(space="default", names='["sample"]', most=60))

    assert changed.startswith("SEARCH task_runs USING INDEX task_runs_changed (namespace=? AND changed>?")
    assert [step for step in newest if "task_runs" in step or "newest" in step] == [
        "SEARCH task_runs USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH newest USING COVERING INDEX task_runs_of (namespace=? AND task=?)",
    ]


def test_the_details_of_many_tasks_take_a_few_statements(store_url: str, clock: VirtualClock) -> None:
    def count(*_: Any) -> None:
        statements.append(1)

    statements: list[int] = []
    with TaskManager([], store=store_url, clock=clock) as manager:
        for number in range(120):
            manager.add(lambda: None, every(10).seconds, name=f"task {number}")
        clock.advance(seconds=10)
        engine = manager.store._database._engine  # type: ignore[attr-defined]
        event.listen(engine, "before_cursor_execute", count)
        details = manager.tasks_detail
        event.remove(engine, "before_cursor_execute", count)
    manager.store.close()
    assert [detail["counts"]["runs"] for detail in details] == [1] * 120
    assert {detail["last_outcome"]["state"] for detail in details} == {"succeeded"}
    assert len(statements) <= 12  # each with its BEGIN, on SQLite


def test_the_details_and_the_statistics_of_a_task_everywhere_are_those_of_all_processes(
    store_url: str, clock: VirtualClock
) -> None:
    managers = [TaskManager([], store=store_url, clock=clock) for _ in range(2)]
    for manager in managers:
        manager.add(lambda: None, every(1).seconds, name="sample", everywhere=True)
        manager.run()
    clock.advance(seconds=3)
    for manager in managers:
        assert manager.tasks_detail[0]["counts"]["runs"] == 6
        assert manager.statistics("sample").counts == {"succeeded": 6}
        assert manager.audit() == []
    for manager in managers:
        manager.stop()
        manager.store.close()


READER = """
import json, sys
from task import TaskManager
manager = TaskManager([], store=sys.argv[1])
run = manager.find_run(sys.argv[2])
print(json.dumps([run.result(0), str(run.state), run.task, [line.message for line in run.log]]))
manager.store.close()
"""


def test_another_process_has_the_value_of_a_result_that_is_json(store_url: str, clock: VirtualClock) -> None:
    def sample() -> object:
        current_run().logger.info("counted")
        return {"rows": [1, 2.5, None, "é"]}

    with TaskManager([], store=store_url, clock=clock) as manager:
        manager.add(sample, name="sample")
        run = manager.trigger("sample")
    done = subprocess.run(
        [sys.executable, "-c", READER, store_url, run.id], capture_output=True, text=True, timeout=60, check=False
    )
    manager.store.close()
    assert done.stderr == ""
    assert json.loads(done.stdout) == [{"rows": [1, 2.5, None, "é"]}, "succeeded", "sample", ["counted"]]
