"""The other processes on a database, and the other namespaces."""

from __future__ import annotations

import datetime
from typing import Any

import sqlalchemy as sql

from task.stores.sql import schema
from task.stores.sql.rows import micros_of, moment_of
from task.stores.sql.soundness import flaw
from task.stores.values import Neighbour, ProcessRow

__all__ = ["neighbours", "others"]

Moment = datetime.datetime

processes, declarations = schema.processes, schema.declarations

#: So many namespaces are told of, of each so many tasks, and so many processes.
NAMESPACES, TASKS, PROCESSES = 20, 5, 200


def others(connection: sql.Connection, namespace: str, process: str, since: Moment | None) -> list[ProcessRow]:
    """Those that have not ended, but for *process*; with *since*, whose hearts have beaten since then."""
    statement = processes.select().where(
        processes.c.namespace == namespace, processes.c.ended_at.is_(None), processes.c.id != process
    )
    if since is not None:
        statement = statement.where(processes.c.beat_at > micros_of(since))
    found = connection.execute(statement.order_by(processes.c.started_at).limit(PROCESSES)).mappings().all()
    return [
        ProcessRow(
            row["host"], row["pid"], moment_of(row["started_at"]), moment_of(row["beat_at"]), row["vitals"] or ""
        )
        for row in found
        if flaw(processes, row) is None
    ]


def neighbours(connection: sql.Connection, namespace: str, since: Moment) -> list[Neighbour]:
    """The namespaces but this one in which hearts have beaten since then."""
    counted = (
        sql.select(processes.c.namespace, sql.func.count().label("living"))
        .where(
            processes.c.namespace != namespace, processes.c.ended_at.is_(None), processes.c.beat_at > micros_of(since)
        )
        .group_by(processes.c.namespace)
        .order_by(processes.c.namespace)
        .limit(NAMESPACES)
    )
    found = connection.execute(counted).all()
    return [Neighbour(row.namespace, row.living, _in_both(connection, namespace, row.namespace)) for row in found]


def _in_both(connection: sql.Connection, namespace: str, other: str) -> tuple[str, ...]:
    """The names of tasks with a schedule in force here and there."""

    def in_force(where: str) -> sql.Select[Any]:
        return sql.select(declarations.c.task).where(declarations.c.namespace == where, declarations.c.until.is_(None))

    both = in_force(other).where(declarations.c.task.in_(in_force(namespace))).distinct()
    return tuple(connection.execute(both.order_by(declarations.c.task).limit(TASKS)).scalars().all())
