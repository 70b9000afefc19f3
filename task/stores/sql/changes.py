"""``SqlChanges``: what has changed since somebody last asked, in whichever process that was done."""

from __future__ import annotations

import sqlalchemy as sql

from task.runs import Run
from task.stores.changes import Changes, Position
from task.stores.sql import schema
from task.stores.sql.figures import SqlFigures, brief_of
from task.stores.sql.history import entry_of
from task.stores.sql.reading import BRIEF
from task.stores.sql.rows import from_micros
from task.stores.sql.statements import Row, Select

__all__ = ["SqlChanges"]

runs, journal, space = schema.runs, schema.journal, schema.namespaces

_mine: sql.BindParameter[str] = sql.bindparam("space")
_since: sql.BindParameter[int] = sql.bindparam("since", type_=sql.BigInteger)
_most: sql.BindParameter[int] = sql.bindparam("most", type_=sql.Integer)

_last_entry = sql.select(sql.func.max(journal.c.id)).where(journal.c.namespace == _mine).scalar_subquery()
_NEWEST = Select(sql.select(space.c.changes, _last_entry.label("entry")).where(space.c.namespace == _mine))

_CHANGED = Select(
    sql.select(*BRIEF, *(runs.c[name] for name in ("attempt", "progress", "message", "place", "changed")))
    .where(runs.c.namespace == _mine, runs.c.changed > _since)
    .order_by(runs.c.changed)
    .limit(_most)
)
_NOTED = Select(
    journal.select().where(journal.c.namespace == _mine, journal.c.id > _since).order_by(journal.c.id).limit(_most)
)


class SqlChanges(SqlFigures):
    """The part of the ledger that those follow who show it."""

    def changes(self, position: str | None, limit: int) -> Changes:
        mine = {"space": self.namespace}
        with self._database.read() as connection:
            (found,) = _NEWEST.rows(connection, mine)  # first: what is read after it is all there is up to there
            newest = Position(found["changes"], found["entry"] or 0)
            since = newest if position is None else Position.of(position, newest)
            wanted = {**mine, "most": limit}
            rows = _CHANGED.rows(connection, {**wanted, "since": since.runs}) if since.runs < newest.runs else []
            noted = _NOTED.rows(connection, {**wanted, "since": since.journal}) if since != newest else []
        rows = [row for row in rows if type(row["changed"]) is int]
        told = newest.after([row["changed"] for row in rows], [row["id"] for row in noted], limit)
        changed = [run for row in rows if (run := _changed(row) or self.find(str(row["id"]))) is not None]
        return Changes(changed, [entry_of(row) for row in noted], str(told))


def _changed(row: Row) -> Run | None:
    """A run that has changed, as it is seen in passing; None where the row has to be looked at more closely."""
    sound = (
        isinstance(row["progress"], float | int | None)
        and isinstance(row["message"], str | None)
        and isinstance(row["attempt"], int)
    )
    run = brief_of(row) if sound else None
    if run is not None:
        run.last_at = from_micros(row["last_at"])
        run.attempt, run.progress, run.message = row["attempt"], row["progress"], row["message"] or ""
        run.waiting, run.overrunning = row["place"] == 2, run.state.final and row["place"] == 1
        run.changed = row["changed"]
    return run
