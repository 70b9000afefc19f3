"""FAULTS.md row 19: what somebody else has written into the database is kept and shown, and stops nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from databases import sqlite_url
from store_rows import execute, rows_of

from task import ParentResults, RunState, StoreError, TaskManager, every
from task.stores.sql import schema
from task.testing import VirtualClock

#: Of each kind of value one that no column of that kind should have.
GARBAGE = {"INTEGER": "'none'", "BIGINT": "'none'", "FLOAT": "'much'", "TEXT": "x'ff00'", "VARCHAR": "x'ff00'"}


@pytest.fixture
def manager(tmp_path: Any, clock: VirtualClock) -> Iterator[TaskManager]:
    """A manager on SQLite, where each column takes any value."""
    with TaskManager([], store=sqlite_url(tmp_path), clock=clock) as made:
        yield made
    made.store.close()


def garbage_of(column: Any) -> str:
    return GARBAGE[str(column.type).partition("(")[0]]


#: Of a run that has lost its place there is nothing more to say.
COLUMNS = [column for column in schema.runs.c if column.name not in ("id", "namespace", "task", "place")]


def test_a_run_with_garbage_in_any_column_is_shown_and_the_others_go_on(
    manager: TaskManager, clock: VirtualClock
) -> None:
    manager.add(lambda: 7, name="sample")
    spoiled = {column: manager.trigger("sample").id for column in COLUMNS}
    for column, run in spoiled.items():
        execute(manager, f"UPDATE task_runs SET \"{column.name}\" = {garbage_of(column)} WHERE id = '{run}'")

    clock.advance(seconds=3)
    another = manager.trigger("sample")

    assert manager.runs(limit=1)[0].id == another.id
    for column, run in spoiled.items():
        shown = manager.find_run(run)
        assert (shown.id, shown.task, shown.state) == (run, "sample", "lost")
        assert f"its row in the store is unreadable: its column '{column.name}' is" in str(shown.reason)
    assert {run.id for run in manager.runs()} == {another.id, *spoiled.values()}
    assert len(rows_of(manager, "task_runs")) == len(COLUMNS) + 1
    assert manager.health.healthy


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("state", "'odd'"),
        ("slot", 10**18),
        ("started_at", -(10**18)),
        ("place", 7),
        ("attempts", "'[1]'"),
        ("attempts", "'{'"),
        ("parameters", "'nonsense'"),
        ("aside", "'['"),
        ("result", "'{'"),
        ("result", "'" + "[" * 100_000 + "'"),
        ("error", "CAST(x'ff' AS TEXT)"),
    ],
)
def test_values_of_the_right_kind_may_be_unreadable_too(manager: TaskManager, column: str, value: Any) -> None:
    manager.add(lambda: [7], name="sample")
    spoiled, other = manager.trigger("sample"), manager.trigger("sample")
    execute(manager, f"UPDATE task_runs SET {column} = {value} WHERE id = '{spoiled.id}'")
    try:
        rows = manager.runs()
    except StoreError:  # text that is none is met with once
        rows = manager.runs()
    assert (rows[0].id, str(rows[0].state)) == (other.id, "succeeded")
    assert rows[1].id == spoiled.id
    if column != "error":
        assert "unreadable" in str(rows[1].reason)


@pytest.mark.parametrize("state", ["queued", "retrying", "running", "odd"])
def test_a_garbage_run_with_a_place_does_not_keep_others_from_theirs(
    manager: TaskManager, clock: VirtualClock, state: str
) -> None:
    manager.add(lambda: 7, every(1).seconds, name="sample")
    clock.advance(seconds=1)
    (first,) = manager.runs()
    for place in (1, 2):
        values = f"place = {place}, state = '{state}', owner = NULL, queued_at = 'once'"
        execute(manager, f"UPDATE task_runs SET {values} WHERE id = '{first.id}'")
        execute(manager, "UPDATE task_namespaces SET news = news + 1, waiting = waiting + 1")
        clock.advance(seconds=3)
    succeeded = manager.runs(state="succeeded")
    assert len(succeeded) == 6
    assert [row["place"] for row in rows_of(manager, "task_runs") if row["id"] == first.id] == [0]
    assert [row["waiting"] for row in rows_of(manager, "task_namespaces")] == [1]  # that of the first time was no row
    execute(manager, f"DELETE FROM task_runs WHERE id = '{first.id}'")
    manager.store.pruned = lambda name: clock.now()  # type: ignore[method-assign]


@pytest.mark.parametrize("parameters", ["'nonsense'", "'[1]'", "'{'"])
def test_a_run_that_nobody_can_adopt_is_lost_once_and_the_look_goes_on(
    manager: TaskManager, clock: VirtualClock, caplog: pytest.LogCaptureFixture, parameters: str
) -> None:
    def fail() -> None:
        raise ValueError("no")

    manager.add(fail, name="sample", retry=5)
    run = manager.trigger("sample")
    manager.stop()
    execute(manager, f"UPDATE task_runs SET parameters = {parameters} WHERE id = '{run.id}'")
    caplog.set_level(logging.WARNING, "task")

    manager.run()
    clock.advance(seconds=5)

    (row,) = rows_of(manager, "task_runs")
    assert row["place"] == 0
    assert manager.trigger("sample").state in (RunState.RETRYING, RunState.QUEUED)
    assert "A step of the ledger failed" not in caplog.text


def test_a_run_that_becomes_garbage_while_it_runs_is_lost_and_the_next_one_runs(
    manager: TaskManager, clock: VirtualClock
) -> None:
    def sample() -> int:
        if not spoiled:
            (run,) = manager.runs(state="running")
            spoiled.append(run.id)
            execute(manager, f"UPDATE task_runs SET attempt = 'first' WHERE id = '{run.id}'")
        return 7

    spoiled: list[str] = []
    manager.add(sample, name="sample")
    first = manager.trigger("sample")
    second = manager.trigger("sample")
    assert (first.state, second.state) == ("lost", "succeeded")
    assert "unreadable" in str(first.reason)


TASK_COLUMNS = [column for column in schema.tasks.c if column.name not in ("namespace", "name", "scope")]


def test_a_task_with_garbage_in_any_column_is_shown_and_the_others_run(
    manager: TaskManager, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    names = [column.name for column in TASK_COLUMNS]
    for name in [*names, "well"]:
        manager.add(lambda: 7, every(1).seconds, name=name)
    clock.advance(seconds=1)

    for column in TASK_COLUMNS:
        statement = f"UPDATE task_tasks SET \"{column.name}\" = {garbage_of(column)} WHERE name = '{column.name}'"
        execute(manager, statement)
    clock.advance(seconds=4)

    assert [detail["name"] for detail in manager.tasks_detail] == [*names, "well"]
    assert len(manager.runs("well", "succeeded")) == 5
    assert manager.statistics("well").counts == {"succeeded": 5}
    for name in names:
        assert manager.statistics(name).counts.get("succeeded", 1) == 1
        assert len(manager.runs(name)) == 1
        with pytest.raises(StoreError, match=f"the store has of task '{name}' is unreadable: its column '{name}' is"):
            manager.trigger(name)
    assert manager.health.healthy
    manager.stop()
    execute(manager, "DELETE FROM task_tasks WHERE name <> 'well'")
    execute(manager, "DELETE FROM task_declarations WHERE task <> 'well'")


@pytest.mark.parametrize("column", ["counts", "skips", "arrived", "tags"])
def test_json_of_a_task_that_is_none_is_begun_anew(manager: TaskManager, clock: VirtualClock, column: str) -> None:
    def join(results: ParentResults) -> None: ...

    manager.add(lambda: 7, every(1).seconds, name="sample", tags=["mail"])
    manager.add(join, name="join", after="sample")
    clock.advance(seconds=2)
    for text in ("{", "7", "[7]", '{"a": "b"}'):
        execute(manager, f"UPDATE task_tasks SET {column} = '{text}'")
        clock.advance(seconds=2)
    assert len(manager.runs("sample", "succeeded")) == 10
    assert len(manager.runs("join", "succeeded")) >= 8
    assert manager.statistics("sample").counts["succeeded"] >= 2
    manager.runs(tag="mail")
    assert manager.tasks_detail


@pytest.mark.parametrize(
    "lines", ["'{'", "'[1]'", "'[[1, 2, 3]]'", '\'[["x", 20, "a", "b"]]\'', "7", "x'ff'", "'[[1e30, 1, 1, 1]]'"]
)
def test_an_unreadable_log_is_one_line_that_says_so(manager: TaskManager, lines: str) -> None:
    def sample() -> None:
        logging.getLogger("app").warning("here")

    manager.add(sample, name="sample")
    run, other = manager.trigger("sample"), manager.trigger("sample")
    execute(manager, f"UPDATE task_logs SET lines = {lines} WHERE run = '{run.id}'")
    (line,) = manager.find_run(run.id).log
    assert line.message.startswith("the log of this run is unreadable in the store: ")
    assert [line.message for line in manager.find_run(other.id).log] == ["here"]
    assert manager.runs()[1].state == "succeeded"


@pytest.mark.parametrize("column", ["host", "pid", "started_at", "beat", "beat_at"])
def test_a_garbage_process_does_not_stop_the_look(
    manager: TaskManager, clock: VirtualClock, column: str, caplog: pytest.LogCaptureFixture
) -> None:
    manager.add(lambda: 7, every(1).seconds, name="sample")
    clock.advance(seconds=1)
    values = {"host": "'here'", "pid": "1", "started_at": "1", "beat": "1", "beat_at": "1", column: "x'ff'"}
    names = ", ".join(values)
    told = ", ".join(values.values())
    execute(manager, f"INSERT INTO task_processes (id, namespace, {names}) VALUES ('odd', 'default', {told})")
    clock.advance(seconds=5)
    assert len(manager.runs(state="succeeded")) == 6
    assert "A step of the ledger failed" not in caplog.text


@pytest.mark.parametrize("column", ["identity", "anchor", "since", "until", "epoch", "owed", "retired"])
def test_a_garbage_declaration_is_left_out(manager: TaskManager, clock: VirtualClock, column: str) -> None:
    manager.add(lambda: 7, every(1).seconds, name="sample")
    clock.advance(seconds=2)
    execute(manager, f"UPDATE task_declarations SET {column} = x'ff'")
    assert manager.audit() == []
    clock.advance(seconds=2)
    assert len(manager.runs(state="succeeded")) == 4


def test_a_garbage_entry_of_the_journal_is_shown_as_far_as_it_can_be(manager: TaskManager) -> None:
    manager.add(lambda: 7, name="sample")
    manager["sample"].disable("why not")
    manager["sample"].enable()
    execute(manager, "UPDATE task_journal SET at = 'then', note = x'ff' WHERE what = 'disabled'")
    assert [entry.what for entry in manager.store.journal()] == ["enabled", "disabled"]


def test_a_garbage_namespace_makes_the_store_unavailable_and_says_so(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: 7, every(1).seconds, name="sample")
    clock.advance(seconds=2)
    execute(manager, "UPDATE task_namespaces SET token = 'none'")
    clock.advance(seconds=3)
    assert "row of namespace 'default' is unreadable: its column 'token' is 'none'" in str(manager.health.causes)
    execute(manager, "UPDATE task_namespaces SET token = 1000")
    clock.advance(seconds=5)
    assert manager.health.healthy
    assert len(manager.runs("sample", "succeeded")) >= 5
