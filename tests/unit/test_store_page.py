"""What one transaction reads and changes: it writes what it was told, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sql
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from task.runs import Run
from task.stores.sql import schema
from task.stores.sql.page import Page
from task.stores.sql.rows import missed_row, moment_of, row_of
from task.stores.values import Limits

NAMES = ["a", "b", "c"]
TABLES = {
    "runs": (schema.runs, ("id",)),
    "tasks": (schema.tasks, ("namespace", "name", "scope")),
    "logs": (schema.logs, ("run",)),
    "namespaces": (schema.namespaces, ("namespace",)),
}
Kept = dict[str, dict[Any, dict[str, Any]]]


@pytest.fixture(scope="module")
def engine() -> Iterator[sql.Engine]:
    made = sql.create_engine("sqlite://", poolclass=sql.pool.StaticPool)
    schema.metadata.create_all(made)
    yield made
    made.dispose()


def stored(connection: sql.Connection) -> Kept:
    """All that is in the database."""
    kept: Kept = {}
    for name, (table, keys) in TABLES.items():
        rows = [dict(row) for row in connection.execute(table.select()).mappings()]
        kept[name] = {tuple(row[key] for key in keys): row for row in rows}
    return kept


def fresh(connection: sql.Connection) -> None:
    for table in reversed(schema.metadata.sorted_tables):
        connection.execute(table.delete())
    connection.execute(schema.version.insert().values(version=schema.VERSION))
    for namespace in ("here", "there"):
        connection.execute(schema.namespaces.insert().values(namespace=namespace, token=7, news=0, paused=0, waiting=0))


def new_run(name: str, number: int, place: int, namespace: str = "here") -> dict[str, Any]:
    run = Run(name, "manual", moment_of(number))
    return row_of(run, Limits(), namespace, "") | {
        "place": place,
        "token": number,
        "mutex": "m" if number % 2 else None,
    }


def new_task(name: str) -> dict[str, Any]:
    fixed = ("epoch", "disabled", "generation", "runs", "failures", "consecutive_failures", "claimed")
    return dict.fromkeys(fixed, 0) | {"name": name, "scope": "", "enabled": 1}


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add run"), st.sampled_from(NAMES), st.integers(0, 2)),
        st.tuples(st.just("change run"), st.integers(0, 9), st.sampled_from(["place", "state", "reason", "attempt"])),
        st.tuples(st.just("the same"), st.integers(0, 9), st.none()),
        st.tuples(st.just("change task"), st.sampled_from(NAMES), st.integers(0, 5)),
        st.tuples(st.just("count"), st.sampled_from(NAMES), st.sampled_from(["lost", "failed"])),
        st.tuples(st.just("token"), st.none(), st.none()),
        st.tuples(st.just("tell"), st.none(), st.none()),
        st.tuples(st.just("log"), st.integers(0, 9), st.integers(0, 3)),
        st.tuples(st.just("look"), st.sampled_from(NAMES), st.none()),
    ),
    max_size=12,
)

VALUES = {"place": [0, 1, 2], "state": ["queued", "running", "lost"], "reason": [None, "why"], "attempt": [0, 1, 2]}


class Author:
    """Does the same to a page and to a model of what it should leave."""

    def __init__(self, page: Page, kept: Kept, number: int) -> None:
        self.page, self.kept, self.number = page, kept, number
        self.space = kept["namespaces"]["here",]
        self.news = self.space["news"]
        #: The runs that are to have a new number.
        self.changed: set[tuple[str]] = set()

    def own(self) -> list[tuple[str]]:
        return sorted(key for key, row in self.kept["runs"].items() if row["namespace"] == "here")

    def chosen(self, index: int) -> tuple[dict[str, Any], dict[str, Any]] | None:
        own = self.own()
        if not own:
            return None
        key = own[index % len(own)]
        row = self.page.run(key[0])
        assert row is not None
        return row, self.kept["runs"][key]

    def task(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        row = self.page.task(name)
        if row is None:
            row = self.page.add_task(new_task(name))
            self.kept["tasks"]["here", name, ""] = dict(row)
        return row, self.kept["tasks"]["here", name, ""]

    def perform(self, what: str, one: Any, two: Any) -> None:
        self.number += 1
        if what == "add run":
            row = new_run(one, self.number, two)
            self.page.add_run(row)
            self.kept["runs"][row["id"],] = dict(row)
            self.changed.add((row["id"],))
            self.space["waiting"] += two == 2
        elif what in ("change run", "the same") and (found := self.chosen(one)):
            column = two or "reason"
            value = VALUES[column][self.number % len(VALUES[column])] if two else found[1][column]
            self.page.change(found[0], **{column: value})
            if column == "place":
                self.space["waiting"] += (value == 2) - (found[1]["place"] == 2)
            if found[1][column] != value:
                self.changed.add((found[1]["id"],))
            found[1][column] = value
        elif what == "change task":
            row, kept = self.task(one)
            self.page.change(row, mark=two, runs=row["runs"] + 1)
            kept |= {"mark": two, "runs": kept["runs"] + 1}
        elif what == "count":
            row, kept = self.task(one)
            self.page.count(row, "counts", two)
            counts = json.loads(kept["counts"] or "{}")
            kept["counts"] = json.dumps(counts | {two: counts.get(two, 0) + 1})
        elif what == "token":
            self.space["token"] += 1
            assert self.page.next_token() == self.space["token"]
        elif what == "tell":
            self.page.tell()
            self.space["news"] = self.news + 1
        elif what == "log" and (found := self.chosen(one)):
            key = found[0]["id"]
            self.page.write_log(key, f"[{self.number}]", two)
            self.changed.add((key,))
            self.kept["logs"][key,] = {"run": key, "lines": f"[{self.number}]", "dropped": two}
        elif what == "look":
            self.look(one)

    def number_changes(self, now: Kept) -> None:
        """Each run that was changed has a number of its own, above all that there were."""
        numbers = sorted(now["runs"][key]["changed"] for key in self.changed)
        first = self.space["changes"] + 1
        assert numbers == list(range(first, first + len(self.changed)))
        self.space["changes"] += len(self.changed)
        for key in self.changed:
            self.kept["runs"][key]["changed"] = now["runs"][key]["changed"]

    def look(self, name: str) -> None:
        """What it reads is what was said, also before that is written."""
        own = [self.kept["runs"][key] for key in self.own()]
        placed = [row["id"] for row in self.page.with_places(name)]
        assert sorted(placed) == sorted(row["id"] for row in own if row["task"] == name and row["place"])
        waiting = [row["id"] for row in self.page.waiting()]
        expected = sorted((row for row in own if row["place"] == 2), key=lambda row: (row["queued_at"], row["token"]))
        assert waiting == [row["id"] for row in expected]
        holder = self.page.holder("m")
        holders = {row["id"] for row in own if row["place"] == 1 and row["mutex"] == "m"}
        assert (holder["id"] in holders) if holder is not None else not holders


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(transactions=st.lists(st.tuples(st.booleans(), steps), min_size=1, max_size=4))
def test_a_page_writes_exactly_what_was_changed_on_it(
    engine: sql.Engine, transactions: list[tuple[bool, list[tuple[str, Any, Any]]]]
) -> None:
    with engine.connect() as connection:
        fresh(connection)
        connection.execute(schema.runs.insert(), [new_run("a", 1, 2, "there"), new_run("b", 2, 1, "there")])
        connection.commit()
        kept, number = stored(connection), 10
        connection.rollback()
        for commits, performed in transactions:
            before = json.loads(json.dumps([list(table.values()) for table in kept.values()]))
            author = Author(Page(connection, "here", "nobody", locks=False), kept, number)
            for step in performed:
                author.perform(*step)
            number = author.number
            if commits:
                author.page.flush()
                connection.commit()
                author.number_changes(stored(connection))
            else:
                connection.rollback()
                kept = {
                    name: {tuple(row[key] for key in keys): row for row in rows}
                    for (name, (_, keys)), rows in zip(TABLES.items(), before, strict=True)
                }
            assert stored(connection) == kept
            connection.rollback()


def test_a_page_on_which_nothing_was_changed_writes_nothing(engine: sql.Engine) -> None:
    written: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        if not statement.startswith("SELECT"):
            written.append(statement)

    with engine.connect() as connection:
        fresh(connection)
        connection.execute(schema.runs.insert(), [new_run("a", 1, 2)])
        connection.execute(schema.tasks.insert(), [dict(new_task("a"), namespace="here")])
        connection.commit()
        sql.event.listen(connection, "before_cursor_execute", note)
        page = Page(connection, "here", "nobody", locks=False)
        (row,) = page.with_places("a")
        task = page.task("a")
        assert task is not None
        page.change(row, place=2, reason=row["reason"])
        page.change(task, mark=None)
        assert (page.waiting(), page.task("b"), page.run("nothing")) == ([], None, None)
        page.flush()
        assert written == []
        connection.rollback()


def test_only_the_columns_that_were_changed_are_written(engine: sql.Engine) -> None:
    with engine.connect() as connection:
        fresh(connection)
        connection.execute(schema.runs.insert(), [new_run("a", 1, 1), new_run("a", 2, 1)])
        connection.commit()
        page = Page(connection, "here", "nobody", locks=False)
        first, second = page.with_places("a")
        page.change(first, state="running")
        page.change(second, reason="why")
        connection.execute(schema.runs.update().values(message="said behind its back"))
        page.flush()
        found = connection.execute(sql.select(schema.runs).order_by(schema.runs.c.queued_at)).mappings().all()
        assert [(row["state"], row["reason"], row["message"]) for row in found] == [
            ("running", None, "said behind its back"),
            ("queued", "why", "said behind its back"),
        ]
        connection.rollback()


def test_the_row_of_a_missed_span_comes_before_the_run_with_whose_claim_it_is_found() -> None:
    row = missed_row({"name": "a", "namespace": "here", "scope": ""}, "late", 1_000_000)
    assert row["id"] < new_run("a", 1_000_000, 1)["id"]
    assert (row["state"], row["reason"], row["queued_at"]) == ("missed", "late", 1_000_000)
