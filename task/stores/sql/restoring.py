"""What a process writes into a database that does not know it any more: it was deleted, replaced, or moved and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sql

from task.log import logger
from task.runs import Run
from task.schedules import identity
from task.stores.sql import schema
from task.stores.sql.known import Known
from task.stores.sql.page import Page, Row
from task.stores.sql.rows import micros_of, row_of, to_micros
from task.stores.values import Limits

__all__ = ["forgotten_row", "is_forgotten", "restore"]

runs, processes = schema.runs, schema.processes


def is_forgotten(page: Page, process: str) -> bool:
    """Whether the database has no row of a process that has joined it."""
    statement = sql.select(processes.c.id).where(processes.c.id == process)
    return not page.lives(process) and page.connection.execute(statement).first() is None


def restore(page: Page, space: Row | None, tasks: Mapping[str, Known], live: Iterable[tuple[Run, Limits, str]]) -> None:
    """Write what is known here: the marks, so that no slot runs again; switches, schedules, and the runs under way.

    Of the slots before the marks it is not known here what became of them, as of those that were pruned.
    """
    logger.warning("The store does not have what this process wrote there: it gets what is known here, without history")
    if space is not None:
        page.space.update({name: max(page.space[name], space[name]) for name in ("token", "paused", "changes")})
    for name, known in tasks.items():
        for scope, last in known.rows.items():
            _restore_task(page, name, scope, last)
            if known.generation is not None and not known.stale and last["declaration"] == known.declaration:
                _restore_declarations(page, name, scope, known)
    for run, limits, scope in live:
        if page.run(run.id) is None and not run.state.final:
            page.add_run(forgotten_row(page, run, limits, scope))
    page.tell()


def _restore_task(page: Page, name: str, scope: str, last: Row) -> None:
    row = page.task(name, scope)
    if row is None:
        page.add_task({**last, "last_skip": None, "pruned": last["mark"]})
        return
    if row["declaration"] is None:
        page.change(row, declaration=last["declaration"], generation=last["generation"], claimed=last["claimed"])
    mark, newest = row["mark"], last["mark"]
    if newest is not None and row["epoch"] == last["epoch"] and (mark is None or mark < newest):
        page.change(row, mark=newest, pruned=newest)


def _restore_declarations(page: Page, name: str, scope: str, known: Known) -> None:
    row = page.task(name, scope)
    there = {one["identity"] for one in page.declarations(name, scope) if one["until"] is None}
    for one in known.declarations:
        key = identity(one.line.job)
        if row is None or one.until is not None or key in there:
            continue
        page.add_declaration(
            {
                "namespace": page.namespace,
                "task": name,
                "scope": scope,
                "identity": key,
                "anchor": to_micros(one.line.anchor),
                "since": to_micros(one.since),
                "until": None,
                "epoch": row["epoch"],
                "owed": int(one.owed),
                "retired": 0,
            }
        )


def forgotten_row(page: Page, run: Run, limits: Limits, scope: str) -> Row:
    """The row of a run that had one. Its slot may have gone to another process meanwhile: it has none then."""
    row = row_of(run, limits, page.namespace, scope)
    taken = sql.select(runs.c.id).where(
        runs.c.namespace == page.namespace,
        runs.c.task == run.task,
        runs.c.scope == scope,
        runs.c.epoch == run.epoch,
        runs.c.slot == row["slot"],
    )
    if row["slot"] is not None and page.connection.execute(taken).first() is not None:
        row["slot"] = row["last_at"] = None
    place = 2 if run.waiting else 0 if run.state.final else 1
    due = run.next_at or run.queued_at
    return row | {"epoch": run.epoch, "place": place, "token": run.token, "next_at": micros_of(due)}
