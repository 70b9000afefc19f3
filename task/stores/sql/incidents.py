"""``SqlIncidents``: what is wrong with the tasks, in the ledger that processes share: one of them tells of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sql

from task.stores.sql import schema
from task.stores.sql.operations import Operation
from task.stores.sql.page import Page
from task.stores.sql.recurring import SqlRecurring
from task.stores.sql.rows import from_micros, micros_of, moment_of, to_micros
from task.stores.sql.soundness import mended
from task.stores.values import Incident

__all__ = ["SqlIncidents"]

incidents = schema.incidents

_NEWEST_FIRST = incidents.c.since.desc(), incidents.c.id


class SqlIncidents(SqlRecurring):
    """The part of the ledger that keeps the incidents."""

    def open_incidents(self, found: Sequence[Incident]) -> list[Incident]:
        def apply(page: Page) -> list[Incident]:
            there = {(row.task, row.kind): row.id for row in page.connection.execute(self._of(found))}
            new = [one for one in found if (one.task, one.kind) not in there]
            if new:
                page.connection.execute(incidents.insert(), [self._values(one) for one in new])
            # One of its own was written by a transaction that seemed to have failed: nobody has told of that.
            return [one for one in found if there.get((one.task, one.kind), one.id) == one.id]

        return self._ledger.perform(Operation("open incidents", apply))

    def end_incidents(self, over: Sequence[Incident]) -> list[Incident]:
        def apply(page: Page) -> list[Incident]:
            ended = []
            for one in over:
                at, row = to_micros(one.ended_at), incidents.c.id == one.id
                open_or_mine = incidents.c.ended_at.is_(None) | (incidents.c.ended_at == at)
                ending = incidents.update().where(incidents.c.namespace == self.namespace, row, open_or_mine)
                if page.connection.execute(ending.values(ended_at=at)).rowcount:
                    ended.append(one)
            return ended

        return self._ledger.perform(Operation("end incidents", apply))

    def incidents(self, task: str | None = None, limit: int | None = 100) -> list[Incident]:
        mine = [incidents.c.namespace == self.namespace]
        mine += [incidents.c.task == task] if task is not None else []
        opened = incidents.select().where(*mine, incidents.c.ended_at.is_(None)).order_by(*_NEWEST_FIRST)
        over = incidents.select().where(*mine, incidents.c.ended_at.is_not(None))
        newest = over.order_by(incidents.c.ended_at.desc(), *_NEWEST_FIRST).limit(limit or 0)
        with self._database.read() as connection:
            found = [*connection.execute(opened).mappings()]
            found += connection.execute(newest).mappings() if limit else ()
        return [_incident_of(row) for row in found]

    def expectation(self, name: str) -> str | None:
        row = self._task(name)
        told: str | None = None if row is None else row["expectation"]
        return told

    def _of(self, found: Sequence[Incident]) -> sql.Select[Any]:
        """The open ones of these tasks."""
        columns = incidents.c.id, incidents.c.task, incidents.c.kind
        return sql.select(*columns).where(
            incidents.c.namespace == self.namespace,
            incidents.c.ended_at.is_(None),
            incidents.c.task.in_({one.task for one in found}),
        )

    def _values(self, one: Incident) -> dict[str, Any]:
        return {
            "id": one.id,
            "namespace": self.namespace,
            "task": one.task,
            "kind": one.kind,
            "since": micros_of(one.since),
            "text": one.text,
            "run": one.run,
            "ended_at": to_micros(one.ended_at),
        }


def _incident_of(row: Mapping[Any, Any]) -> Incident:
    told = mended(incidents, dict(row))
    ended_at = from_micros(told["ended_at"])
    return Incident(
        told["task"], told["kind"], moment_of(told["since"]), told["text"], told["run"], ended_at, told["id"]
    )
