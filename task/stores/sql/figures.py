"""``SqlFigures``: how tasks stand, and what has become of their runs, of one task or of all of them at once."""

from __future__ import annotations

import collections
import datetime
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sql

from task.runs import Run, RunState, Trigger
from task.stores.history import SAMPLE, Standing, Statistics
from task.stores.sql import schema
from task.stores.sql.history import UNREADABLE, SqlHistory, declaration_of, switch_of
from task.stores.sql.page import Row
from task.stores.sql.reading import BRIEF, HAS_PLACE, newest_of, sample_of
from task.stores.sql.rows import delays_of, from_micros
from task.stores.sql.soundness import json_of, mended
from task.stores.sql.statements import Select
from task.stores.values import Declaration, OnRecord, Summary, Switch

__all__ = ["SqlFigures", "brief_of"]

Moment = datetime.datetime

runs, tasks, declarations = schema.runs, schema.tasks, schema.declarations

_TASKS = Select(tasks.select().where(tasks.c.namespace == sql.bindparam("space")), tasks.c.name)

_IN_FORCE = Select(
    declarations.select()
    .where(declarations.c.namespace == sql.bindparam("space"), declarations.c.until.is_(None))
    .order_by(declarations.c.scope, declarations.c.id),
    declarations.c.task,
)

#: What people see of the last run of a task.
_LAST = Select(sql.select(*BRIEF), runs.c.id)


class SqlFigures(SqlHistory):
    """The part of the ledger that counts and measures."""

    def summary(self, name: str) -> Summary:
        found = self._task_rows([name])
        last = {key: run for key in _last_ids(found) if (run := self.find(key)) is not None}
        return _summary(found, last)

    def statistics(self, name: str) -> Statistics:
        counts: collections.Counter[str] = collections.Counter()
        for row in self._task_rows([name]):
            counts.update({state: count for state, count in json_of(row["counts"], {}).items() if type(count) is int})
        active = (
            sql.select(runs.c.state, sql.func.count())
            .where(runs.c.namespace == self.namespace, HAS_PLACE, runs.c.task == name)
            .group_by(runs.c.state)
        )
        with self._database.read() as connection:
            under_way = {state: count for state, count in connection.execute(active).all() if state in _UNDER_WAY}
            sample = connection.execute(sample_of(self.namespace, name, SAMPLE)).all()
        counts.update(under_way)
        told = [row for row in sample if type(row.started_at) is int and type(row.finished_at) is int]
        delays = [delays_of(row.delays) for row in told if row.delays is not None]
        return Statistics.of(name, counts, [_measured(row) for row in told], delays)

    def standing(self, names: Sequence[str], now: Moment) -> dict[str, Standing]:
        rows: dict[str, list[Row]] = collections.defaultdict(list)
        for row in self._task_rows(names):
            rows[row["name"]].append(row)
        last = self._last_runs(_last_ids(row for found in rows.values() for row in found))
        active: dict[str, list[Run]] = collections.defaultdict(list)
        for run in self.active():
            active[run.task].append(run)
        return {name: self._standing(name, rows[name], last, active[name], now) for name in names}

    def _standing(
        self, name: str, rows: Sequence[Row], last: Mapping[str, Run], active: list[Run], now: Moment
    ) -> Standing:
        by_scope = {row["scope"]: row for row in rows}
        if "" not in by_scope:  # it never came to the store
            return Standing(Summary(), active, self._first_switch(name), None)
        own = by_scope.get(self._scope(name))
        mark = None if own is None else from_micros(own["mark"])
        return Standing(_summary(rows, last), active, switch_of(by_scope[""], now), mark)

    def on_record(self, names: Sequence[str]) -> dict[str, OnRecord]:
        with self._database.read() as connection:
            rows = _IN_FORCE.rows_of(connection, {"space": self.namespace}, names)
        known = {row["name"]: row for row in self._task_rows(names) if row["scope"] == ""}
        tags = {name: _tags_of(row["tags"]) for name, row in known.items()}
        declared = {name for name, row in known.items() if row["declaration"] is not None}
        found: dict[str, dict[str, Declaration]] = {name: {} for name in names}
        for row in rows:  # of a task that runs everywhere each process has declared the same
            declaration = declaration_of(row, row["task"])
            if declaration is not None:
                found[row["task"]].setdefault(row["identity"], declaration)
        return {
            name: OnRecord(tuple(some.values()), tags.get(name, ()), bool(some) or name in declared)
            for name, some in found.items()
        }

    def _first_switch(self, name: str) -> Switch:
        """Of a task that the database does not know."""
        return Switch(True)

    def _task_rows(self, names: Iterable[str]) -> list[Row]:
        """All that is known of these tasks, also of what each process knows of one that runs everywhere."""
        with self._database.read() as connection:
            found = _TASKS.rows_of(connection, {"space": self.namespace}, names)
        return [mended(tasks, row) for row in found]

    def recent(self, names: Sequence[str], limit: int = 60) -> dict[str, list[Run]]:
        found: dict[str, list[Run]] = {name: [] for name in names}
        with self._database.read() as connection:
            rows = newest_of(connection, self.namespace, list(found), limit)
        for row in sorted(rows, key=operator.itemgetter(0), reverse=True):
            run = _seen(*row) or self.find(str(row[0]))
            if run is not None and run.task in found:
                found[run.task].append(run)
        return found

    def _last_runs(self, ids: Iterable[str]) -> dict[str, Run]:
        """Of the last runs of tasks what people see there."""
        with self._database.read() as connection:
            found = _LAST.rows_of(connection, {}, ids)
        read = {row["id"]: brief_of(row) or self.find(row["id"]) for row in found}
        return {key: run for key, run in read.items() if run is not None}


_UNDER_WAY = ("queued", "running", "retrying")

#: But for the usual one.
_ENDED = frozenset(str(state) for state in RunState if state.final and state is not RunState.SUCCEEDED)


def brief_of(row: Row) -> Run | None:
    """A run that is seen in passing; None where the row has to be looked at more closely."""
    return _seen(*[row[name] for name in _SEEN])


_STATES = {str(state): state for state in RunState}

#: Of moments up to this one a float of seconds has the microsecond: to the year 2041.
_LATEST = 2**51


def _seen(
    key: str,
    task: str,
    trigger: Trigger,
    state: str,
    reason: str | None,
    error: str | None,
    count: int,
    delays: str | None,
    *moments: Any,
) -> Run | None:
    """As `brief_of`: the order of the values is that of `newest_of`. It is quick, for very many rows."""
    slot, last_at, queued_at, started_at, finished_at = moments
    try:
        if not 0 <= queued_at < _LATEST:
            return None
        due = None if slot is None else _at(slot / 1e6, _UTC)
        run = Run(task, trigger, _at(queued_at / 1e6, _UTC), slot=due, state=_STATES[state])
        if last_at != slot:
            run.last_at = from_micros(last_at)
        if started_at is not None:
            run.started_at = _at(started_at / 1e6, _UTC)
        if finished_at is not None:
            run.finished_at = _at(finished_at / 1e6, _UTC)
        if count != 1:
            run.stands_for(int(count))
    except (OSError, *UNREADABLE):
        return None
    run.identify(key)
    run.reason, run.error = reason, error
    if delays is not None:
        run.delays = delays_of(delays)
    return run


_SEEN = tuple(column.name for column in BRIEF)

_at, _UTC = datetime.datetime.fromtimestamp, datetime.UTC


def _last_ids(rows: Iterable[Row]) -> list[str]:
    return [row["last_run"] for row in rows if row["last_run"]]


def _summary(rows: Sequence[Row], last: Mapping[str, Run]) -> Summary:
    """Of the row of a task; of one that runs everywhere, of the rows of all its processes."""
    skips, states = (_added_up(row[column] for row in rows) for column in ("skips", "counts"))
    newest = max((last[key] for key in _last_ids(rows) if key in last), key=lambda run: run.id, default=None)
    runs_, failures, in_a_row = (
        sum(row[name] for row in rows) for name in ("runs", "failures", "consecutive_failures")
    )
    others = {_STATES[state]: count for state, count in states.items() if state in _ENDED}
    succeeded_at = max((row["succeeded_at"] for row in rows if row["succeeded_at"] is not None), default=None)
    return Summary(
        runs_,
        failures,
        in_a_row,
        skips,
        newest,
        states.get(RunState.SUCCEEDED, 0),
        others,
        from_micros(succeeded_at),
    )


def _added_up(texts: Iterable[str | None]) -> dict[str, int]:
    """Counts that are kept as JSON."""
    found: dict[str, int] = {}
    for text in texts:
        for key, count in json_of(text, {}).items() if text is not None else ():
            if type(count) is int:
                found[key] = found.get(key, 0) + count
    return found


def _tags_of(text: str | None) -> tuple[str, ...]:
    return tuple(tag for tag in json_of(text, []) if isinstance(tag, str)) if text is not None else ()


def _measured(row: Any) -> tuple[float, float | None]:
    """Duration and lateness, in seconds."""
    lateness = (row.started_at - row.slot) / 1_000_000 if type(row.slot) is int else None
    return (row.finished_at - row.started_at) / 1_000_000, lateness
