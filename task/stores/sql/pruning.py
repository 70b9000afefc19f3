"""``Pruning``: keeps the history bounded, a few rows at a time, so that nobody waits for it."""

from __future__ import annotations

import datetime
import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sql

from task.clock import Clock, SystemClock
from task.errors import StoreError, StoreUnavailableError
from task.log import logger
from task.runs import lowest_id
from task.stores.history import Retention
from task.stores.incidents import INCIDENTS_KEPT
from task.stores.sql import schema
from task.stores.sql.database import Database
from task.stores.sql.ledger import Ledger
from task.stores.sql.operations import Operation
from task.stores.sql.page import Page, Row
from task.stores.sql.reading import HAS_PLACE
from task.stores.sql.rows import micros_of
from task.stores.sql.soundness import json_of
from task.stores.values import Listener

if TYPE_CHECKING:
    from task.stores.sql.presence import SqlPresence

__all__ = ["Pruning"]

runs, tasks, logs, declarations = schema.runs, schema.tasks, schema.logs, schema.declarations
processes, journal, incidents = schema.processes, schema.journal, schema.incidents

#: So many rows are dropped in one transaction at most; fewer, where one takes longer than that: whoever wants to write
#: waits for it. Seconds.
STEP = 500
SHORT = 0.05

#: So many of these are made after one look at most, and none after they have taken so long together. Seconds.
STEPS = 10
SHARE = 0.2

#: So many tasks are looked at for rows to drop at one look; and after all of them have none, it rests. Seconds.
VISITS = 10
REST = 30.0

#: How often what is not the history of a task is bounded. Seconds.
TIDY_EVERY = 60.0

#: So many entries of the journal are kept, declarations of a task that have ended, and processes that have.
JOURNAL = 10_000
ENDED = 100
PROCESSES = 1_000

#: A process that ended so long ago is forgotten. Microseconds.
FORGET_AFTER = 7 * 24 * 3600 * 1_000_000

#: An incident that nobody has ended for so long is dropped: its task may have gone. Microseconds.
TELL_AGAIN_AFTER = 30 * 24 * 3600 * 1_000_000

_ACTIVE = ("queued", "running", "retrying")


_monotonic = SystemClock().monotonic


class Pruning:
    """Looks at the tasks in turn, and drops the oldest rows of those that have too many."""

    def __init__(self, store: SqlPresence, ledger: Ledger, database: Database, keep: Retention | None = None) -> None:
        self._store = weakref.proxy(store)
        #: Instead of what the store wants to be kept.
        self._keep = keep
        self._ledger = ledger
        self._database = database
        #: The task that was looked at last, and whether anything was dropped since the first of them.
        self._name = ""
        self._busy = False
        #: Of that the rows up to this id are gone: where they were, there may be much to skip.
        self._gone = ""
        self._size = STEP
        self._next_look = self._next_tidy = float("-inf")

    def look(self, clock: Clock, listeners: Sequence[Listener]) -> None:
        """Drop a little, if there is something to drop."""
        moment = clock.monotonic()
        if moment >= self._next_tidy:
            self._next_tidy = moment + TIDY_EVERY
            self._ledger.perform(Operation("tidy", lambda page: tidy(page, micros_of(clock.now()))))
        if moment >= self._next_look:
            self._step(clock, listeners, STEPS, SHARE)
            if not self._name and not self._busy:
                self._next_look = moment + REST

    def drop(self, now: datetime.datetime) -> Iterator[tuple[str, list[str]]]:
        """Drop all that there is to drop now, step by step: of which task each was, and the ids."""
        while True:
            found = self._find(now)
            if found:
                self._drop(found)
                yield found[0]["task"], [row["id"] for row in found]
            elif not self._name and not self._busy:
                return

    def count(self, now: datetime.datetime) -> dict[str, int]:
        """How many rows `drop` would drop of each task."""
        counts = {}
        with self._database.read() as connection:
            names = sql.select(tasks.c.name).where(*self._mine(tasks), tasks.c.scope == "").order_by(tasks.c.name)
            for name in connection.execute(names).scalars().all():
                edge = self._edge(connection, name, now)
                some = sql.select(sql.func.count()).select_from(runs)
                counts[name] = connection.execute(some.where(*self._droppable(connection, name, edge))).scalar_one()
        return {name: count for name, count in counts.items() if count}

    def _step(self, clock: Clock, listeners: Sequence[Listener], steps: int, seconds: float) -> None:
        """Drop some rows, and the next ones behind what waits for the store by then."""
        began = _monotonic()
        found = self._find(clock.now())
        if not found:
            return
        name, ids = found[0]["task"], [row["id"] for row in found]
        try:
            self._drop(found)
        except StoreUnavailableError:
            raise
        except StoreError as error:
            logger.warning("The history of task %r stays as long as it is: %s", name, error)
            self._pass(name)
            return
        for listener in listeners:
            listener.pruned(ids)
        took = _monotonic() - began
        self._size = max(STEP // 10, self._size // 2) if took > SHORT else min(STEP, self._size * 2)
        if steps > 1 and seconds > took:
            self._ledger.post(lambda: self._step_later(clock, listeners, steps - 1, seconds - took))

    def _drop(self, found: list[Row]) -> None:
        name = found[0]["task"]
        self._ledger.perform(Operation("prune", lambda page: _drop(page, found), names=[name]))
        self._gone = found[-1]["id"] if self._name != name else ""

    def _step_later(self, clock: Clock, listeners: Sequence[Listener], steps: int, seconds: float) -> None:
        try:
            self._step(clock, listeners, steps, seconds)
        except StoreError as error:
            self._ledger.failed(error)

    def _pass(self, name: str) -> None:
        """That task has been looked at."""
        self._name, self._gone = name, ""

    def _find(self, now: datetime.datetime) -> list[Row]:
        """Rows that are to go, of the next task that has any."""
        with self._database.read() as connection:
            for _ in range(VISITS):
                after = sql.select(tasks.c.name).where(
                    *self._mine(tasks), tasks.c.scope == "", tasks.c.name > self._name
                )
                name = connection.execute(after.order_by(tasks.c.name).limit(1)).scalar()
                if name is None:  # that was the last one: again from the first, unless none had anything
                    again, self._name, self._busy = self._busy, "", False
                    if again:
                        continue
                    break
                edge = self._edge(connection, name, now)
                found = self._below(connection, name, edge) if edge else []
                if len(found) < self._size:
                    self._pass(name)
                if found:
                    self._busy = True
                    return found
        return []

    def _edge(self, connection: sql.Connection, name: str, now: datetime.datetime) -> str:
        """The id of the oldest row of a task that stays; empty when all of them do."""
        keep: Retention = self._keep or self._store.retention
        return max(self._oldest_kept(connection, name, keep.runs), _oldest_of(now, keep.days))

    def _mine(self, table: sql.Table) -> list[sql.ColumnElement[bool]]:
        return [table.c.namespace == self._database.namespace]

    def _oldest_kept(self, connection: sql.Connection, name: str, keep: int | None) -> str:
        """The id of the oldest row that stays, by their number; empty when all of them do."""
        if keep is None:
            return ""
        newest = sql.select(runs.c.id).where(*self._mine(runs), runs.c.task == name).order_by(runs.c.id.desc())
        return str(connection.execute(newest.limit(1).offset(keep - 1)).scalar() or "")

    def _below(self, connection: sql.Connection, name: str, edge: str) -> list[Row]:
        """The oldest rows of a task that nothing needs any more."""
        columns = runs.c.id, runs.c.task, runs.c.scope, runs.c.slot, runs.c.last_at, runs.c.before
        statement = sql.select(*columns).where(*self._droppable(connection, name, edge), runs.c.id > self._gone)
        return [dict(row) for row in connection.execute(statement.order_by(runs.c.id).limit(self._size)).mappings()]

    def _droppable(self, connection: sql.Connection, name: str, edge: str) -> list[sql.ColumnElement[bool]]:
        needed = self._needed(connection, name)
        mine = [*self._mine(runs), runs.c.task == name, runs.c.id < edge]
        return [*mine, runs.c.place == 0, runs.c.state.not_in(_ACTIVE), runs.c.id.not_in(needed)]

    def _needed(self, connection: sql.Connection, name: str) -> list[str]:
        """The rows to which a task or a run points: its last one, and those whose results others are to get."""
        own = sql.select(tasks.c.last_run, tasks.c.last_skip).where(*self._mine(tasks), tasks.c.name == name)
        found = {key for row in connection.execute(own) for key in row}
        arrived = sql.select(tasks.c.arrived).where(*self._mine(tasks), tasks.c.arrived.is_not(None))
        inputs = sql.select(runs.c.inputs).where(*self._mine(runs), HAS_PLACE, runs.c.inputs.is_not(None))
        for text in [*connection.execute(arrived).scalars(), *connection.execute(inputs).scalars()]:
            found.update(json_of(text, {}).values())
        return [key for key in found if isinstance(key, str)]


def _oldest_of(now: datetime.datetime, days: float | None) -> str:
    """The least id of the rows that are young enough to stay; empty when all of them are."""
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    if days is None or days * 86_400 > (now - epoch).total_seconds():
        return ""
    return lowest_id(now - datetime.timedelta(days=days))


def _drop(page: Page, found: Sequence[Row]) -> None:
    """Delete rows and their logs; the audit is told up to which slot it cannot know any more."""
    ids = [row["id"] for row in found]
    page.connection.execute(logs.delete().where(logs.c.run.in_(ids)))
    page.connection.execute(runs.delete().where(runs.c.id.in_(ids)))
    for scope in {row["scope"] for row in found}:
        task = page.task(found[0]["task"], scope)
        ends = [_end_of(row) for row in found if row["scope"] == scope]
        known = [end for end in ends if end is not None]
        if task is not None and known:
            page.change(task, pruned=max([*known, task["pruned"] or 0]))


def _end_of(row: Row) -> int | None:
    """The newest slot of which a row was the outcome."""
    if type(row["slot"]) is not int:
        return None
    return max(value for value in (row["slot"], row["last_at"], row["before"]) if type(value) is int)


def tidy(page: Page, now: int) -> None:
    """Bound what is not the history of one task: a step of each."""
    connection, space = page.connection, page.namespace
    entries = sql.select(journal.c.id).where(journal.c.namespace == space).order_by(journal.c.id.desc())
    edge = connection.execute(entries.limit(1).offset(JOURNAL - 1)).scalar()
    if edge is not None:
        old = sql.select(journal.c.id).where(journal.c.namespace == space, journal.c.id < edge)
        some = old.order_by(journal.c.id).limit(STEP)
        connection.execute(journal.delete().where(journal.c.id.in_(some.scalar_subquery())))
    ended = sql.select(processes.c.id, processes.c.ended_at).where(
        processes.c.namespace == space, processes.c.ended_at.is_not(None)
    )
    edge = connection.execute(ended.order_by(processes.c.ended_at.desc()).limit(1).offset(PROCESSES - 1)).all()
    before = max([now - FORGET_AFTER, *(row.ended_at for row in edge if type(row.ended_at) is int)])
    # One that was found dead may go on, under another name, with the slots of its own that it has by this one.
    in_use = sql.exists().where(
        tasks.c.namespace == space, tasks.c.scope == processes.c.id, tasks.c.mark > now - FORGET_AFTER
    )
    _drop_incidents(page, now)
    gone = ended.where(processes.c.ended_at < before, (processes.c.ending == "stopped") | ~in_use)
    gone = gone.order_by(processes.c.ended_at).limit(STEP)
    _forget(page, [row.id for row in connection.execute(gone)])
    _drop_declarations(page)


def _drop_incidents(page: Page, now: int) -> None:
    """The oldest of those that are over go; and an open one after a month: what is still so is told of again."""
    mine = incidents.c.namespace == page.namespace
    over = sql.select(incidents.c.ended_at).where(mine, incidents.c.ended_at.is_not(None))
    newest = over.order_by(incidents.c.ended_at.desc()).limit(1).offset(INCIDENTS_KEPT - 1)
    edge = page.connection.execute(newest).scalar()
    gone = incidents.c.ended_at.is_(None) & (incidents.c.since < now - TELL_AGAIN_AFTER)
    if edge is not None:
        gone |= incidents.c.ended_at < edge
    some = sql.select(incidents.c.id).where(mine, gone).limit(STEP)
    page.connection.execute(incidents.delete().where(incidents.c.id.in_(some.scalar_subquery())))


def _drop_declarations(page: Page) -> None:
    """Of a task whose schedules are changed again and again the oldest go; not those that ended by themselves."""
    table = declarations
    mine = table.c.namespace == page.namespace, table.c.until.is_not(None), table.c.retired == 0
    many = sql.select(table.c.task, table.c.scope).where(*mine).group_by(table.c.task, table.c.scope)
    for name, scope in page.connection.execute(many.having(sql.func.count() > ENDED).limit(VISITS)).all():
        of_task = sql.select(table.c.id, table.c.until).where(*mine, table.c.task == name, table.c.scope == scope)
        old = page.connection.execute(of_task.order_by(table.c.id.desc()).limit(STEP).offset(ENDED)).all()
        page.connection.execute(table.delete().where(table.c.id.in_([row.id for row in old])))
        task = page.task(name, scope)
        if task is not None:
            page.change(task, pruned=max(task["pruned"] or 0, *(row.until for row in old)))


def _forget(page: Page, gone: Sequence[str]) -> None:
    """Forget processes; what each knew of a task that runs everywhere is added to what all know of it."""
    if not gone:
        return
    scoped = tasks.select().where(tasks.c.namespace == page.namespace, tasks.c.scope.in_(gone))
    for row in page.connection.execute(scoped).mappings().all():
        shared = page.task(row["name"])
        if shared is not None:
            _add(page, shared, dict(row))
    page.connection.execute(tasks.delete().where(tasks.c.namespace == page.namespace, tasks.c.scope.in_(gone)))
    page.connection.execute(
        declarations.delete().where(declarations.c.namespace == page.namespace, declarations.c.scope.in_(gone))
    )
    page.connection.execute(processes.delete().where(processes.c.id.in_(gone)))


def _add(page: Page, shared: Row, row: Row) -> None:
    for column in ("counts", "skips"):
        for key, count in json_of(row[column], {}).items():
            page.count(shared, column, key, count)
    last = [key for key in (shared["last_run"], row["last_run"]) if key]
    succeeded_at = max((at for at in (shared["succeeded_at"], row["succeeded_at"]) if at is not None), default=None)
    summed = {name: shared[name] + row[name] for name in ("runs", "failures")}
    page.change(shared, last_run=max(last, default=None), succeeded_at=succeeded_at, **summed)
