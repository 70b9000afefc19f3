"""``SqlHistory``: what can be read of the ledger, from any process, at any time."""

from __future__ import annotations

import datetime
import logging
from typing import Any

import sqlalchemy as sql

from task.errors import ScheduleError
from task.log import logger
from task.runs import LogLine, Run, RunLog, RunState
from task.schedules import Line, schedule_from_words
from task.stores.base import Store
from task.stores.history import Wanted
from task.stores.sql import schema
from task.stores.sql.database import Database
from task.stores.sql.page import Row
from task.stores.sql.reading import HAS_PLACE, ids_of, rows_of, strands_of
from task.stores.sql.rows import from_micros, lines_from, moment_of, run_of
from task.stores.sql.soundness import flaw, json_of, mended
from task.stores.values import Declaration, JournalEntry, Switch

__all__ = ["UNREADABLE", "SqlHistory", "entry_of", "log_of"]

Moment = datetime.datetime

runs, tasks = schema.runs, schema.tasks


#: What is raised by a row that nobody of us has written.
UNREADABLE = (ValueError, KeyError, TypeError, OverflowError, RecursionError)


class SqlHistory(Store):
    """The reading half of the ledger."""

    shared = True

    def __init__(self, url: str, namespace: str) -> None:
        self._database = Database(url, namespace)
        self.namespace = namespace

    # Runs.

    def to_run(self, row: Row) -> Run:
        """A row as a run; one that is unreadable is told of by a run that says so."""
        problem = flaw(runs, row)
        try:
            if problem is None:
                return run_of(row)
        except UNREADABLE as error:
            problem = f"{type(error).__name__}: {error}"
        logger.warning("Run %s of task %r is unreadable in the store: %s", row["id"], row["task"], problem)
        return _unreadable(row, problem)

    @staticmethod
    def problem_of(row: Row) -> str | None:
        """Why a row is no run; None when it is one."""
        try:
            problem = flaw(runs, row)
            if problem is None:
                run_of(row)
        except UNREADABLE as error:
            return f"{type(error).__name__}: {error}"
        return problem

    def _rows(self, statement: sql.Select[Any], *, logs: bool = True) -> list[Run]:
        with self._database.read() as connection:
            found = [dict(row) for row in connection.execute(statement).mappings()]
            kept = self.logs_of(connection, [row["id"] for row in found]) if logs else {}
        read = [self.to_run(row) for row in found]
        for run in read:
            if run.id in kept:
                run.recall_log(log_of(run, *kept[run.id]))
        return read

    @staticmethod
    def logs_of(connection: sql.Connection, ids: list[str]) -> dict[str, tuple[str, int]]:
        """The logs of runs, as they are stored."""
        found: dict[str, tuple[str, int]] = {}
        for first in range(0, len(ids), 500):
            some = ids[first : first + 500]
            for row in connection.execute(schema.logs.select().where(schema.logs.c.run.in_(some))):
                found[row.run] = row.lines, row.dropped
        return found

    def find_runs(self, wanted: Wanted, limit: int | None) -> list[Run]:
        names = None if wanted.task is None else [wanted.task]
        if wanted.tag is not None:
            tagged = self._tagged(wanted.tag)
            names = tagged if names is None else [name for name in names if name in tagged]
            if not names:
                return []
        strands = strands_of(wanted, names)
        if len(strands) == 1:
            return self._rows(rows_of(self.namespace, wanted, strands[0], limit))
        with self._database.read() as connection:
            ids = connection.execute(ids_of(self.namespace, wanted, strands, limit)).scalars().all()
        return self._rows(runs.select().where(runs.c.id.in_(ids)).order_by(runs.c.id.desc())) if ids else []

    def _tagged(self, tag: str) -> list[str]:
        """The tasks that have a tag."""
        statement = sql.select(tasks.c.name, tasks.c.tags).where(
            tasks.c.namespace == self.namespace, tasks.c.scope == "", tasks.c.tags.is_not(None)
        )
        with self._database.read() as connection:
            found = connection.execute(statement).all()
        return [name for name, tags in found if tag in json_of(tags, [])]

    def outcomes(self, name: str) -> list[Run]:
        of_slots = runs.c.slot.is_not(None), runs.c.scope == self._scope(name)
        of_task = rows_of(self.namespace, Wanted(), [runs.c.task == name, *of_slots], None)
        return [run for run in self._rows(of_task, logs=False) if run.slot is not None]  # not the unreadable ones

    def _scope(self, name: str) -> str:
        """Empty, or the process of a task that runs everywhere."""
        return ""

    def find(self, key: str) -> Run | None:
        return next(iter(self._rows(runs.select().where(runs.c.id == key, runs.c.namespace == self.namespace))), None)

    def active(self, name: str | None = None) -> list[Run]:
        statement = runs.select().where(runs.c.namespace == self.namespace, HAS_PLACE)
        found = self._rows(statement if name is None else statement.where(runs.c.task == name))
        return sorted(found, key=lambda run: (run.waiting, run.queued_at, run.token))

    # Tasks.

    def _task(self, name: str, scope: str = "") -> Row | None:
        statement = tasks.select().where(
            tasks.c.namespace == self.namespace, tasks.c.name == name, tasks.c.scope == scope
        )
        with self._database.read() as connection:
            found = connection.execute(statement).mappings().first()
        return None if found is None else mended(tasks, dict(found))

    def names(self) -> list[str]:
        statement = sql.select(tasks.c.name).where(tasks.c.namespace == self.namespace).distinct()
        with self._database.read() as connection:
            return list(connection.execute(statement.order_by(tasks.c.name)).scalars())

    def mark(self, name: str) -> Moment | None:
        row = self._task(name)
        return None if row is None else from_micros(row["mark"])

    def pruned(self, name: str) -> Moment | None:
        row = self._task(name)
        return None if row is None else from_micros(row["pruned"])

    def switch(self, name: str, now: Moment) -> Switch:
        row = self._task(name)
        return Switch(True) if row is None else switch_of(row, now)

    @property
    def paused(self) -> bool:
        space = schema.namespaces
        with self._database.read() as connection:
            found = connection.execute(sql.select(space.c.paused).where(space.c.namespace == self.namespace)).scalar()
        return bool(found)

    def declarations(self, name: str) -> list[Declaration]:
        table = schema.declarations
        statement = table.select().where(table.c.namespace == self.namespace, table.c.task == name, table.c.scope == "")
        with self._database.read() as connection:
            found = connection.execute(statement.order_by(table.c.id)).mappings().all()
        return [one for row in found if (one := declaration_of(row, name)) is not None]

    def journal(self, task: str | None = None, limit: int = 100) -> list[JournalEntry]:
        table = schema.journal
        statement = table.select().where(table.c.namespace == self.namespace).order_by(table.c.id.desc())
        if task is not None:
            statement = statement.where(table.c.task == task)
        with self._database.read() as connection:
            found = connection.execute(statement.limit(limit)).mappings().all()
        return [entry_of(dict(row)) for row in found]


def _unreadable(row: Row, problem: str) -> Run:
    moment = row["queued_at"] if type(row["queued_at"]) is int else 0
    try:
        queued_at = moment_of(moment)
    except OverflowError:
        queued_at = moment_of(0)
    run = Run(str(row["task"]), "schedule", queued_at, state=RunState.LOST)
    run.identify("" if row["id"] is None else str(row["id"]))
    run.reason = f"its row in the store is unreadable: {problem}"[:500]
    return run


def log_of(run: Run, lines: str, dropped: int) -> RunLog:
    """The log of a run; one line that says so where it is unreadable."""
    try:
        return lines_from(lines, dropped)
    except UNREADABLE as error:
        text = f"the log of this run is unreadable in the store: {type(error).__name__}: {error}"[:500]
        return RunLog.of([LogLine(run.queued_at, logging.WARNING, "task", text)], 0)


def entry_of(row: Row) -> JournalEntry:
    """An entry of the journal as it was stored."""
    told = mended(schema.journal, row)
    return JournalEntry(moment_of(told["at"]), told["who"], told["what"], told["task"], told["note"])


def switch_of(row: Row, now: Moment) -> Switch:
    """The switch of a task; one whose end has come is on again."""
    until, at = from_micros(row["until"]), from_micros(row["turned_at"])
    if not row["enabled"] and until is not None and now >= until:
        return Switch(True, row["note"], None, until, row["turned_by"])
    return Switch(bool(row["enabled"]), row["note"], until, at, row["turned_by"])


def declaration_of(row: Any, name: str) -> Declaration | None:
    """A declaration as it was stored; None of a schedule that only its own code can tell."""
    try:
        if flaw(schema.declarations, row) is not None:
            return None
        job = schedule_from_words(row["identity"])
    except ScheduleError:
        return None
    hashed = getattr(job, "hashed_by", None)
    line = Line(job if hashed is None else hashed(name), moment_of(row["anchor"]), name)
    return Declaration(line, moment_of(row["since"]), from_micros(row["until"]), row["epoch"], bool(row["owed"]))
