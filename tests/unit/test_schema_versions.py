"""FAULTS.md row 20: a database of an older release is upgraded, once; one of a newer release is refused."""

from __future__ import annotations

import datetime
import multiprocessing
import pathlib
from typing import Any

import golden_schemas as golden
import pytest
import sqlalchemy as sql
from databases import sqlite_url

from task import Run, RunState, Store, TaskManager, every
from task.errors import SchemaVersionError, StoreError
from task.stores import Limits, Terms, open_store
from task.stores.sql import schema
from task.testing import VirtualClock

NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)

#: What to do when these fail.
ADVICE = (
    "The tables have changed. If a release has them, add a step to STEPS and raise VERSION in "
    "task/stores/sql/schema.py; then, or if none has, write the files anew: python tests/golden_schemas.py"
)


def opened(url: str) -> Store:
    return open_store(url, "default", 30)


def version_of(url: str) -> int:
    return _ask(url, "SELECT version FROM task_schema")


def _ask(url: str, statement: str) -> Any:
    engine = sql.create_engine(url)
    with engine.begin() as connection:
        found = connection.exec_driver_sql(statement)
        answer = found.scalar() if found.returns_rows else None
    engine.dispose()
    return answer


def add_column(connection: sql.Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE task_tasks ADD COLUMN colour TEXT")


# What a release has left behind.


def test_the_tables_of_this_version_are_those_that_were_kept_for_it(tmp_path: pathlib.Path) -> None:
    url = sqlite_url(tmp_path)
    opened(url).pause(False)
    golden.load(schema.VERSION, tmp_path / "golden.db")
    assert golden.definitions(tmp_path / "tasks.db") == golden.definitions(tmp_path / "golden.db"), ADVICE
    kept = golden.postgresql_file(schema.VERSION).read_text(encoding="utf-8").splitlines()
    assert golden.postgresql_definitions() == kept, ADVICE


def test_each_version_has_its_files_and_a_step_leads_from_each_to_the_next() -> None:
    versions = range(1, schema.VERSION + 1)
    assert len(schema.STEPS) == schema.VERSION - 1
    assert sorted(path.name for path in golden.FOLDER.iterdir()) == sorted(
        file(version).name for version in versions for file in (golden.sqlite_file, golden.postgresql_file)
    )


@pytest.mark.parametrize("version", range(1, schema.VERSION + 1))
def test_what_an_older_release_has_left_is_read_and_goes_on(tmp_path: pathlib.Path, version: int) -> None:
    golden.load(version, tmp_path / "tasks.db")
    clock = VirtualClock(datetime.datetime(2026, 5, 4, 14, 31, 2, tzinfo=datetime.UTC))
    manager = golden.manager_on(sqlite_url(tmp_path), clock)
    assert [str(run.state) for run in manager.runs("after")] == ["queued", "succeeded", "missed", "succeeded"]
    assert [(str(run.state), run.count, run.reason) for run in manager.runs("off")][-1] == ("skipped", 4, "disabled")
    assert [(str(run.state), run.attempt) for run in manager.runs("fail")][-2:] == [("failed", 2), ("failed", 2)]
    by_hand = next(run for run in manager.runs("report") if run.trigger == "manual")
    assert (by_hand.result_text, by_hand.parameters) == ('{"region": "US"}', {"region": "US"})
    assert [line.message for line in by_hand.log] == ["a line"]
    assert manager.store.switch("off", NOON).note == "not now"
    with manager:
        clock.advance(minutes=30)
    assert [str(run.state) for run in manager.runs("after")][:3] == ["succeeded", "succeeded", "succeeded"]
    assert manager.audit() == []
    assert version_of(sqlite_url(tmp_path)) == schema.VERSION


def test_a_new_database_has_the_present_version(store_url: str) -> None:
    opened(store_url).pause(False)
    assert version_of(store_url) == schema.VERSION


# From one version to the next.


def test_a_database_of_an_older_version_is_upgraded_when_it_is_opened(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(store_url).pause(True)
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, add_column))
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    store = opened(store_url)
    assert store.paused
    assert version_of(store_url) == schema.VERSION
    assert _ask(store_url, "SELECT count(colour) FROM task_tasks") == 0
    store.close()


def test_steps_are_made_in_their_order_from_the_version_that_is_found(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def step(number: int) -> Any:
        return lambda _: made.append(number)

    opened(store_url).pause(True)
    monkeypatch.setattr(schema, "VERSION", 2)
    monkeypatch.setattr(schema, "STEPS", (step(1),))
    opened(store_url).pause(True)
    monkeypatch.setattr(schema, "VERSION", 4)
    monkeypatch.setattr(schema, "STEPS", (step(1), step(2), step(3)))
    opened(store_url).pause(True)
    opened(store_url).pause(True)
    assert made == [1, 2, 3]


def test_a_step_that_fails_leaves_the_database_as_it_was(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(connection: sql.Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE task_half (number INTEGER)")
        connection.exec_driver_sql("UPDATE task_namespaces SET paused = 0")
        connection.exec_driver_sql("ALTER TABLE there_is_no_such_table ADD COLUMN colour TEXT")

    before = schema.VERSION
    opened(store_url).pause(True)
    with monkeypatch.context() as newer:
        newer.setattr(schema, "STEPS", (*schema.STEPS, add_column, fails))
        newer.setattr(schema, "VERSION", before + 2)
        store = opened(store_url)
        for _ in range(2):
            with pytest.raises(StoreError, match="there_is_no_such_table"):
                store.pause(False)
    assert version_of(store_url) == before
    assert opened(store_url).paused
    engine = sql.create_engine(store_url)
    assert not sql.inspect(engine).has_table("task_half")
    assert "colour" not in {column["name"] for column in sql.inspect(engine).get_columns("task_tasks")}
    engine.dispose()


def _open_as_newer(url: str, log: str, barrier: Any) -> None:
    def step(connection: sql.Connection) -> None:
        with open(log, "a") as file:
            file.write("made\n")
        add_column(connection)

    schema.STEPS, schema.VERSION = (*schema.STEPS, step), schema.VERSION + 1
    store = opened(url)
    barrier.wait(60)
    assert store.paused
    store.close()


def test_of_several_processes_that_come_at_once_one_makes_the_step(store_url: str, tmp_path: pathlib.Path) -> None:
    opened(store_url).pause(True)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    arguments = (store_url, str(tmp_path / "log"), barrier)
    processes = [context.Process(target=_open_as_newer, args=arguments) for _ in range(3)]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
        assert [process.exitcode for process in processes] == [0, 0, 0]
    finally:
        for process in multiprocessing.active_children():
            process.kill()
            process.join()
    assert (tmp_path / "log").read_text() == "made\n"
    assert version_of(store_url) == schema.VERSION + 1


# Of a newer release.


def test_a_database_of_a_newer_release_is_refused_with_both_versions(store_url: str) -> None:
    opened(store_url).pause(False)
    _ask(store_url, f"UPDATE task_schema SET version = {schema.VERSION + 6}")
    manager = TaskManager([], store=store_url)
    manager.add(lambda: None, every(1).hours, name="sample")
    told = rf"schema version {schema.VERSION + 6}, .*newer release.* up to {schema.VERSION}\. Upgrade"
    with pytest.raises(SchemaVersionError, match=told):
        manager.run()
    assert manager.state == "stopped"
    for read in (lambda: manager.runs(), lambda: manager.audit(), lambda: manager.tasks_detail):
        with pytest.raises(SchemaVersionError, match=told):
            read()
    for write in (lambda: manager["sample"].disable(), lambda: manager.trigger("sample"), lambda: manager.pause()):
        with pytest.raises(SchemaVersionError, match=told):
            write()
    assert _ask(store_url, "SELECT count(*) FROM task_tasks") == 0
    _ask(store_url, f"UPDATE task_schema SET version = {schema.VERSION}")
    with manager:
        assert manager.trigger("sample").wait(60)


def test_a_process_that_runs_while_newer_code_upgrades_begins_nothing_more_and_ends_what_it_has(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(store_url)
    store.register("sample", Terms())
    under_way = Run("sample", "call", NOON)
    store.claim(under_way, Limits())
    store.start(under_way, NOON)
    with monkeypatch.context() as newer:
        newer.setattr(schema, "STEPS", (*schema.STEPS, add_column))
        newer.setattr(schema, "VERSION", schema.VERSION + 1)
        opened(store_url).pause(False)
    with pytest.raises(SchemaVersionError, match=f"schema version {schema.VERSION + 1}"):
        store.claim(Run("sample", "call", NOON), Limits(9))
    assert store.finish(under_way, RunState.SUCCEEDED, NOON) is not None
    assert [str(run.state) for run in store.runs("sample")] == ["succeeded"]
    store.close()
