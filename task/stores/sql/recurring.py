"""``SqlRecurring``: the recurring entries, which people make at run time, in the ledger that processes share."""

from __future__ import annotations

import datetime
import types
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sql

from task.errors import DuplicateTaskError
from task.stores.sql import book, schema
from task.stores.sql.declaring import SqlDeclarations
from task.stores.sql.known import Known, is_of_code
from task.stores.sql.operations import Operation
from task.stores.sql.page import Page, Row
from task.stores.sql.rows import from_micros, micros_of, moment_of
from task.stores.sql.soundness import mended
from task.stores.values import RecurringRecord, RecurringRow, Switch, Terms

__all__ = ["SqlRecurring"]

Moment = datetime.datetime

recurring, tasks, space = schema.recurring, schema.tasks, schema.namespaces

#: The moments among the columns.
_MOMENTS = ("created_at", "updated_at", "scheduled_at")


class SqlRecurring(SqlDeclarations):
    """The part of the ledger that keeps the recurring entries."""

    #: What this process knows of them, should the database be deleted or replaced; and as of which count of changes.
    _kept: Mapping[str, RecurringRow] = types.MappingProxyType({})
    _kept_at = 0

    def entries(self, name: str | None = None) -> list[RecurringRecord]:
        mine = [recurring.c.namespace == self.namespace]
        mine += [recurring.c.name == name] if name is not None else []
        wanted, names = recurring.select().where(*mine), sql.select(recurring.c.name).where(*mine)
        about = tasks.select().where(
            tasks.c.namespace == self.namespace, tasks.c.scope == "", tasks.c.name.in_(names.scalar_subquery())
        )
        with self._database.read() as connection:
            changed = self._count(connection)
            rows = [mended(recurring, dict(row)) for row in connection.execute(wanted).mappings()]
            known = {row["name"]: mended(tasks, dict(row)) for row in connection.execute(about).mappings()}
        stored = sorted(map(_row_of, rows), key=lambda row: row.name)
        if name is None and changed >= self._kept_at:
            self._kept, self._kept_at = {row.name: row for row in stored}, changed
        return [_record_of(row, known.get(row.name)) for row in stored]

    def entries_changed(self) -> int:
        with self._database.read() as connection:
            changed = self._count(connection)
        if changed >= self._kept_at:
            return changed
        self._ledger.perform(Operation("look", lambda page: None))  # `begin_page` writes what the database has lost
        with self._database.read() as connection:
            return self._count(connection)

    def _count(self, connection: sql.Connection) -> int:
        statement = sql.select(space.c.entries).where(space.c.namespace == self.namespace)
        changed: int = connection.execute(statement).scalar_one()
        return changed

    def begin_page(self, page: Page, another: bool) -> None:
        """See that the database knows the entries, too."""
        super().begin_page(page, another)
        if page.space["entries"] < self._kept_at:
            for row in self._kept.values():
                if self._stored(page, row.name) is None:
                    if page.task(row.name) is None:
                        page.add_task(Known(Terms()).new_row(row.name, ""))
                    self._write(page, row, True)
            page.space["entries"] = self._kept_at + 1

    def put_entry(self, row: RecurringRow) -> bool:
        def apply(page: Page) -> bool:
            known = self._stored(page, row.name)
            if row.version != (1 if known is None else known.version + 1):
                return False
            task = page.task(row.name)
            if known is None and task is not None and is_of_code(task["declaration"]):
                raise DuplicateTaskError(
                    f"The store knows a task {row.name!r} that a process has in its code: give the entry another name."
                )
            task = task or page.add_task(Known(Terms()).new_row(row.name, ""))
            if known is None:
                page.change(task, disabled=0)  # what code has said of that name counts no more
            if known is None or known.scheduled_at != row.scheduled_at:
                self._end_schedule(page, task, micros_of(row.scheduled_at))
            self._write(page, row, known is None)
            return True

        def settle(done: bool) -> None:
            if done:
                self._kept, self._kept_at = {**self._kept, row.name: row}, self._kept_at + 1

        return self._ledger.perform(Operation("put entry", apply, names=[row.name], settle=settle))

    def _stored(self, page: Page, name: str) -> RecurringRow | None:
        found = page.connection.execute(
            recurring.select().where(recurring.c.namespace == self.namespace, recurring.c.name == name)
        )
        row = found.mappings().first()
        return None if row is None else _row_of(mended(recurring, dict(row)))

    def _end_schedule(self, page: Page, task: Row, now: int) -> None:
        """No process claims a slot of it any more, before it has heard what was declared now."""
        if is_of_code(task["declaration"]):  # a task that has taken its name: that goes on
            return
        self._close_others(page, task, set(), now)
        page.change(task, declaration=None, generation=task["generation"] + 1)

    def _write(self, page: Page, row: RecurringRow, new: bool) -> None:
        values = row._asdict() | {name: micros_of(getattr(row, name)) for name in _MOMENTS}
        if new:
            page.connection.execute(recurring.insert().values(values | {"namespace": self.namespace}))
        else:
            page.connection.execute(
                recurring.update()
                .where(recurring.c.namespace == self.namespace, recurring.c.name == row.name)
                .values(values)
            )
        self._tell_of_change(page)

    @staticmethod
    def _tell_of_change(page: Page) -> None:
        page.space["entries"] += 1
        page.tell()

    def drop_entry(self, name: str, now: Moment) -> bool:
        moment = micros_of(now)

        def apply(page: Page) -> bool:
            dropped = page.connection.execute(
                recurring.delete().where(recurring.c.namespace == self.namespace, recurring.c.name == name)
            )
            task = page.task(name)
            if not dropped.rowcount or task is None:
                return bool(dropped.rowcount)
            self._end_schedule(page, task, moment)
            for run in page.with_places(name):
                if run["state"] in ("queued", "retrying") and run["owner"] != self.process:
                    reason = {"reason": "the recurring entry was removed"}
                    book.end(page, run, "cancelled", moment, reason, keep_place=False)
            self._tell_of_change(page)
            return True

        def settle(done: bool) -> None:
            if done:
                self._kept = {other: row for other, row in self._kept.items() if other != name}
                self._kept_at += 1

        return self._ledger.perform(Operation("drop entry", apply, names=[name], places=True, settle=settle))


def _row_of(row: Any) -> RecurringRow:
    values = {name: row[name] for name in RecurringRow._fields}
    return RecurringRow(**values | {name: moment_of(row[name]) for name in _MOMENTS})


def _record_of(row: RecurringRow, task: Row | None) -> RecurringRecord:
    """An entry with what the ledger knows under its name."""
    if task is None:
        return RecurringRecord(row, Switch(True))
    until, at = from_micros(task["until"]), from_micros(task["turned_at"])
    switch = Switch(bool(task["enabled"]), task["note"], until, at, task["turned_by"])
    return RecurringRecord(row, switch, task["runs"], task["failures"], task["consecutive_failures"])
