"""Which statement finds the rows that somebody wants: each reads one end of an index, whatever lies beside it."""

from __future__ import annotations

import datetime
import itertools
import json
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sql

from task.runs import RunState, lowest_id
from task.stores.history import Wanted
from task.stores.sql import schema
from task.stores.sql.rows import micros_of

__all__ = ["BRIEF", "HAS_PLACE", "IS_UNUSUAL", "ids_of", "newest_of", "rows_of", "sample_of", "strands_of"]

Condition = sql.ColumnElement[bool]

runs = schema.runs

#: An index is over these rows alone, and used where a statement has the very words of its condition.
HAS_PLACE: Condition = runs.c.place > sql.literal_column("0")
IS_UNUSUAL: Condition = sql.and_(sql.text("task_runs.state NOT IN ('succeeded', 'queued', 'running', 'retrying')"))

_TICK = datetime.timedelta(microseconds=1)

_ACTIVE = {RunState.QUEUED, RunState.RUNNING, RunState.RETRYING}

#: So many ends of an index are read for one page; where it would be more, all newer rows are looked through.
STRANDS = 100


#: What one end of an index gives: the rows that meet these conditions.
Strand = list[Condition]


def strands_of(wanted: Wanted, names: Sequence[str] | None) -> list[Strand]:
    """The strands of which the newest rows are those that are *wanted*; *names* are the tasks, where they are known."""
    strands = [[*task, *state] for task, state in itertools.product(_by_task(names), _by_state(wanted.states))]
    if len(strands) <= STRANDS:
        return strands
    states: Strand = [] if wanted.states is None else [runs.c.state.in_(sorted(map(str, wanted.states)))]
    return [[runs.c.task.in_(names or ()), *states]]


def rows_of(namespace: str, wanted: Wanted, strand: Strand, limit: int | None) -> sql.Select[Any]:
    """The newest rows of one strand."""
    found = runs.select().where(runs.c.namespace == namespace, *_conditions(wanted), *strand)
    return found.order_by(runs.c.id.desc()).limit(limit)


def ids_of(namespace: str, wanted: Wanted, strands: Iterable[Strand], limit: int | None) -> sql.Select[Any]:
    """The ids of the newest rows of several."""
    newest = sql.union_all(*(_ids_of(namespace, wanted, strand, limit) for strand in strands)).subquery()
    return sql.select(newest.c.id).order_by(newest.c.id.desc()).limit(limit)


def _ids_of(namespace: str, wanted: Wanted, strand: Strand, limit: int | None) -> sql.Select[Any]:
    found = sql.select(runs.c.id).where(runs.c.namespace == namespace, *_conditions(wanted), *strand)
    return sql.select(found.order_by(runs.c.id.desc()).limit(limit).subquery().c.id)


def sample_of(namespace: str, name: str, limit: int) -> sql.Select[Any]:
    """When the newest runs of a task were due, started and ended, and what delayed them; not of lost ones."""
    ended = runs.c.started_at.is_not(None), runs.c.finished_at.is_not(None), runs.c.state != str(RunState.LOST)
    found = sql.select(runs.c.slot, runs.c.started_at, runs.c.finished_at, runs.c.delays).where(
        runs.c.namespace == namespace, runs.c.task == name, *ended
    )
    return found.order_by(runs.c.id.desc()).limit(limit)


#: What is seen of a run in passing.
BRIEF = (
    *(runs.c[name] for name in ("id", "task", "trigger", "state", "reason", "error", "count", "delays")),
    *(runs.c[name] for name in ("slot", "last_at", "queued_at", "started_at", "finished_at")),
)


def _newest(dialect: str) -> sql.Select[Any]:
    """One look into the index for each task, and one for each row: the tasks are one parameter."""
    some = runs.alias("newest")
    if dialect == "postgresql":
        told = sql.func.unnest(sql.bindparam("names", type_=sql.ARRAY(sql.Text)))
        names = told.table_valued("value").render_derived("named")
    else:
        names = sql.func.json_each(sql.bindparam("names", type_=sql.Text)).table_valued("value").alias("named")
    of_task = some.c.namespace == sql.bindparam("space"), some.c.task == names.c.value
    limit = sql.bindparam("most", type_=sql.Integer)
    if dialect == "postgresql":
        newest = sql.select(some.c.id).where(*of_task).order_by(some.c.id.desc()).limit(limit).lateral("found")
        return sql.select(*BRIEF).select_from(names.join(newest, sql.true())).join(runs, runs.c.id == newest.c.id)
    rowids: sql.Select[Any] = sql.select(sql.literal_column("newest.rowid")).select_from(some).where(*of_task)
    here = sql.literal_column("task_runs.rowid").in_(rowids.order_by(some.c.id.desc()).limit(limit).correlate(names))
    return sql.select(*BRIEF).select_from(names.join(runs, here))


_NEWEST = {dialect: _newest(dialect) for dialect in ("sqlite", "postgresql")}


def newest_of(connection: sql.Connection, namespace: str, names: Sequence[str], limit: int) -> Sequence[Any]:
    """What is seen in passing of the newest rows of each task, in no order."""
    told: Any = list(names) if connection.dialect.name == "postgresql" else json.dumps(list(names))
    given = {"space": namespace, "names": told, "most": limit}
    return connection.execute(_NEWEST[connection.dialect.name], given).all()


def _conditions(wanted: Wanted) -> list[Condition]:
    """The times are found by the ids, which begin with them; a span that was missed has that of the moment before."""
    found: list[Condition] = []
    if wanted.since is not None:
        since = micros_of(wanted.since)
        found += [runs.c.id >= lowest_id(wanted.since - _TICK), runs.c.queued_at >= since]
    if wanted.until is not None:
        found += [runs.c.id < lowest_id(wanted.until), runs.c.queued_at < micros_of(wanted.until)]
    if wanted.parent is not None:
        found.append(runs.c.parent_id == wanted.parent)
    if wanted.before is not None:
        found.append(runs.c.id < wanted.before)
    return found


def _by_task(names: Sequence[str] | None) -> list[list[Condition]]:
    return [[]] if names is None else [[runs.c.task == name] for name in names]


def _by_state(states: frozenset[RunState] | None) -> list[list[Condition]]:
    """One end of an index for each of the unusual states, one for those under way, and one for the usual one."""
    if states is None:
        return [[]]
    found: list[list[Condition]] = []
    if active := states & _ACTIVE:
        found.append([HAS_PLACE, runs.c.state.in_(sorted(map(str, active)))])
    if RunState.SUCCEEDED in states:
        found.append([runs.c.state == str(RunState.SUCCEEDED)])
    unusual = sorted(map(str, states - _ACTIVE - {RunState.SUCCEEDED}))
    return found + [[IS_UNUSUAL, runs.c.state == state] for state in unusual]
