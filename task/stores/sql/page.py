"""``Page``: what one transaction has read of the ledger, and what it changes; written back in one go at its end."""

from __future__ import annotations

import collections
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sql

from task.errors import StoreError, StoreUnavailableError
from task.log import logger
from task.stores.sql import schema
from task.stores.sql.soundness import flaw, json_of
from task.stores.sql.statements import Row, Select, Write

__all__ = ["Page", "Row", "to_place"]

_KEYS: Mapping[str, tuple[str, ...]] = {
    "tasks": ("namespace", "name", "scope"),
    "runs": ("id",),
    "declarations": ("id",),
    "namespaces": ("namespace",),
}

runs, tasks, logs, declarations = schema.runs, schema.tasks, schema.logs, schema.declarations
namespaces, processes = schema.namespaces, schema.processes

_mine: sql.BindParameter[str] = sql.bindparam("space")
# Written out, and always there: SQLite has to see that the index over the runs with a place serves.
_placed = (runs.c.namespace == _mine) & (runs.c.place > sql.literal_column("0"))
_lives = sql.exists().where(processes.c.id == sql.bindparam("process"), processes.c.ended_at.is_(None))
_version = sql.select(schema.version.c.version).scalar_subquery()
_space = sql.select(namespaces, _lives.label("lives"), _version.label("version")).where(namespaces.c.namespace == _mine)

_SPACE = Select(_space)
_LOCKED_SPACE = Select(_space.with_for_update(of=namespaces))
_TASKS = Select(tasks.select().where(tasks.c.namespace == _mine), tasks.c.name)
_RUNS = Select(runs.select(), runs.c.id)
_PLACES = Select(runs.select().where(_placed), runs.c.task)
_WAITING = Select(runs.select().where(_placed, runs.c.place == sql.literal_column("2")))
_MUTEXES = Select(runs.select().where(_placed, runs.c.place == sql.literal_column("1"), runs.c.mutex.is_not(None)))
_DECLARATIONS = Select(
    declarations.select().where(declarations.c.namespace == _mine).order_by(declarations.c.id), declarations.c.task
)


def _insert(table: sql.Table) -> Write:
    given = [column.name for column in table.columns if column is not table.autoincrement_column]
    return Write(table.insert().inline().values({name: sql.bindparam(name) for name in given}))


_INSERTS = {table: _insert(getattr(schema, table)) for table in ("tasks", "runs", "declarations", "journal")}
_FORGET_LOG = Write(logs.delete().where(logs.c.run == sql.bindparam("key")))
_KEEP_LOG = _insert(logs)


class Page:
    """The rows that the operations of one transaction look at, each read once.

    Whoever makes one has the write lock of the namespace: what was read stays true until the end.
    """

    def __init__(self, connection: sql.Connection, namespace: str, process: str, *, locks: bool) -> None:
        self.connection = connection
        self.namespace = namespace
        statement = _LOCKED_SPACE if locks else _SPACE
        (self.space,) = statement.rows(connection, {"space": namespace, "process": process})
        self._living = {process: bool(self.space.pop("lives"))}
        #: Which version of the schema the database has by now: newer code may have come meanwhile.
        self.version: int = self.space.pop("version")
        if (problem := flaw(namespaces, self.space)) is not None:
            raise StoreUnavailableError(f"The store's row of namespace {namespace!r} is unreadable: {problem}")
        self._space_before = dict(self.space)
        self._tasks: dict[tuple[str, str], Row] = {}
        self._known_tasks: set[str] = set()
        self._runs: dict[str, Row] = {}
        #: Of which ids it is known whether there are such runs.
        self._known_runs: set[str] = set()
        #: The ids of runs, and the names of tasks, that none of us has written so.
        self.unreadable: set[str] = set()
        self._unreadable_tasks: dict[str, str] = {}
        self._places: dict[str, dict[str, Row]] = {}
        #: The runs of which an attempt was begun here.
        self.begun: set[str] = set()
        self._all_waiting = self._all_mutexes = False
        self._declarations: dict[str, list[Row]] = {}
        self._new: dict[str, list[Row]] = {table: [] for table in _INSERTS}
        self._changed: dict[str, dict[int, tuple[Row, set[str]]]] = collections.defaultdict(dict)
        self._counts: dict[tuple[int, str], tuple[Row, dict[str, int]]] = {}
        self._logs: dict[str, tuple[str, int]] = {}

    # Read.

    def preload(self, names: Iterable[str], ids: Iterable[str], *, places: Iterable[str] = ()) -> None:
        """Read what the operations are going to want, in a few statements for all of them."""
        if unknown := set(names) - self._known_tasks:
            self._read_tasks(unknown)
        if lacking := set(places) - self._places.keys():
            self._read_places(lacking)
        if absent := set(ids) - self._known_runs:
            self._read_runs(absent)

    def _query(self, statement: Select) -> list[Row]:
        return statement.rows(self.connection, {"space": self.namespace})

    def _query_of(self, statement: Select, values: Iterable[str]) -> list[Row]:
        return statement.rows_of(self.connection, {"space": self.namespace}, values)

    def _read_tasks(self, names: set[str]) -> None:
        self._known_tasks |= names
        for row in self._query_of(_TASKS, names):
            self._tasks[row["name"], row["scope"]] = row
            if (problem := flaw(tasks, row)) is not None:
                self._unreadable_tasks[row["name"]] = problem

    def _read_runs(self, ids: set[str]) -> None:
        self._known_runs |= ids
        for row in self._query_of(_RUNS, ids):
            self._keep(row)

    def _read_places(self, names: set[str]) -> None:
        for row in self._runs.values():
            if row["place"] and row["task"] in names:
                self._places.setdefault(row["task"], {})[row["id"]] = row
        for name in names:
            self._places.setdefault(name, {})
        for row in self._query_of(_PLACES, names):
            self._keep(row)

    def _keep(self, row: Row) -> Row:
        """One dict for one row, whichever way it was read; one that is unreadable is put aside."""
        problem = flaw(runs, row)
        if problem is not None:
            self._put_aside(row, problem)
            return row
        kept = self._runs.setdefault(row["id"], row)
        self._known_runs.add(row["id"])
        if kept["place"] and kept["task"] in self._places:
            self._places[kept["task"]].setdefault(kept["id"], kept)
        return kept

    def _put_aside(self, row: Row, problem: str) -> None:
        """It stays, and is shown, but has no place any more: the others go on."""
        self._known_runs.add(row["id"])
        self.unreadable.add(row["id"])
        if row["place"] == 0:
            return
        logger.error("Run %s of task %r is unreadable in the store, and put aside: %s", row["id"], row["task"], problem)
        self.connection.execute(runs.update().where(runs.c.id == row["id"]).values(place=0))
        self.space["waiting"] -= row["place"] == 2 and self.space["waiting"] > 0

    def task(self, name: str, scope: str = "") -> Row | None:
        """What is known of a task. Raises `StoreError` where that is unreadable."""
        if name not in self._known_tasks:
            self._read_tasks({name})
        if name in self._unreadable_tasks:
            raise StoreError(
                f"What the store has of task {name!r} is unreadable: {self._unreadable_tasks[name]}. None of its slots "
                "is run before somebody mends that row of task_tasks, or deletes it."
            )
        return self._tasks.get((name, scope))

    def tasks(self) -> Iterable[tuple[tuple[str, str], Row]]:
        """The tasks that were read here, or added, by name and scope."""
        return self._tasks.items()

    def run(self, key: str) -> Row | None:
        """A run by its id."""
        if key not in self._known_runs:
            self._read_runs({key})
        return self._runs.get(key)

    def with_places(self, name: str, scope: str = "") -> list[Row]:
        """The runs of a task that have a place or wait for one, oldest first."""
        if name not in self._places:
            self._read_places({name})
        found = [row for row in self._places[name].values() if row["place"] and row["scope"] == scope]
        return sorted(found, key=to_place)

    def waiting(self) -> list[Row]:
        """The runs of all tasks that wait for a place, oldest first."""
        if not self.space["waiting"]:
            return []
        if not self._all_waiting:
            self._all_waiting = True
            for row in self._query(_WAITING):
                self._keep(row)
        return sorted((row for row in self._runs.values() if row["place"] == 2), key=to_place)

    def holder(self, mutex: str) -> Row | None:
        """The run that has a mutex."""
        if not self._all_mutexes:
            self._all_mutexes = True
            for row in self._query(_MUTEXES):
                self._keep(row)
        return next((row for row in self._runs.values() if row["place"] == 1 and row["mutex"] == mutex), None)

    def lives(self, process: str) -> bool:
        """Whether this process, under that name, is one that nobody has found dead."""
        return self._living.get(process, False)

    def joined(self, process: str) -> None:
        """A process has just been added."""
        self._living[process] = True

    def left(self, process: str) -> None:
        """A process has just gone."""
        self._living[process] = False

    def declarations(self, name: str, scope: str) -> list[Row]:
        """The schedules of a task, those that ended included, oldest first."""
        if name not in self._declarations:
            self.preload_declarations([name])
        return [row for row in self._declarations[name] if row["scope"] == scope]

    def preload_declarations(self, names: Iterable[str]) -> None:
        """Read those of many tasks at once."""
        for name in (unknown := [name for name in names if name not in self._declarations]):
            self._declarations[name] = []
        for row in self._query_of(_DECLARATIONS, unknown):
            self._declarations[row["task"]].append(row)

    # Change.

    def add_task(self, row: Row) -> Row:
        """A task that was not known."""
        row = dict.fromkeys(tasks.c.keys()) | {"namespace": self.namespace} | row
        self._tasks[row["name"], row["scope"]] = row
        self._new["tasks"].append(row)
        return row

    def add_run(self, row: Row) -> None:
        """A run that was not known."""
        self._runs[row["id"]] = row
        self._known_runs.add(row["id"])
        self.space["waiting"] += row["place"] == 2
        if row["place"] and row["task"] in self._places:
            self._places[row["task"]][row["id"]] = row
        self._new["runs"].append(row)

    def add_declaration(self, row: Row) -> None:
        """A schedule that was not known."""
        self._declarations.setdefault(row["task"], []).append(row)
        self._new["declarations"].append(row)

    def add_note(self, row: Row) -> None:
        """An entry of the journal."""
        self._new["journal"].append(row)

    def change(self, row: Row, **values: Any) -> None:
        """Set columns of a run or a task that was read here, or added."""
        changed = [name for name, value in values.items() if row[name] != value]
        if not changed:
            return
        table = "runs" if "trigger" in row else "tasks" if "mark" in row else "declarations"
        if "place" in changed:
            self.space["waiting"] += (values["place"] == 2) - (row["place"] == 2)
        row.update(values)
        self._changed[table].setdefault(id(row), (row, set()))[1].update(changed)

    def count(self, task: Row, column: str, key: str, count: int = 1, *, at_most: int | None = None) -> None:
        """Add to one of the counts that a task keeps in a column; past *at_most* keys to a common one."""
        _, counts = self._counts.setdefault((id(task), column), (task, json_of(task[column], {})))
        if at_most is not None and key not in counts and len(counts) >= at_most:
            key = "for other reasons"
        counts[key] = counts.get(key, 0) + count

    def write_log(self, key: str, lines: str, dropped: int) -> None:
        """Keep the log of a run, in the place of what was kept of it before."""
        self._logs[key] = (lines, dropped)

    def next_token(self) -> int:
        """A fencing token: larger than any that was given out before."""
        self.space["token"] += 1
        token: int = self.space["token"]
        return token

    def tell(self) -> None:
        """Let the other processes look soon."""
        if self.space["news"] == self._space_before["news"]:
            self.space["news"] += 1

    def _number_changes(self) -> None:
        """Each run that is new or changed, or whose log is, gets the next number.

        There is one writer at a time: who has seen a number has seen, or is going to be told of, all below it.
        """
        found = {id(row): row for row in self._new["runs"]}
        found.update((key, row) for key, (row, _) in self._changed["runs"].items())
        found.update((id(row), row) for key in self._logs if (row := self._runs.get(key)) is not None)
        for row in found.values():
            self.space["changes"] += 1
            self.change(row, changed=self.space["changes"])

    def flush(self) -> None:
        """Write back what was changed, as few statements for all of it."""
        for (_, column), (task, counts) in self._counts.items():
            self.change(task, **{column: json.dumps(counts)})
        self._counts.clear()
        self._number_changes()
        for table, write in _INSERTS.items():
            if self._new[table]:
                write(self.connection, self._new[table])
        new = {id(row) for rows in self._new.values() for row in rows}
        for table, found in self._changed.items():
            rows = [(row, columns) for key, (row, columns) in found.items() if key not in new]
            if rows:  # all the columns that any of them has changed, of each: one statement
                _update(table, set().union(*(columns for _, columns in rows)))(
                    self.connection, [{f"key_{key}": row[key] for key in _KEYS[table]} | row for row, _ in rows]
                )
        if self.space != self._space_before:
            changed = {name for name in self.space if self.space[name] != self._space_before[name]}
            _update("namespaces", changed)(self.connection, [self.space | {"key_namespace": self.namespace}])
        if self._logs:
            _FORGET_LOG(self.connection, [{"key": key} for key in self._logs])
            _KEEP_LOG(
                self.connection,
                [{"run": key, "lines": lines, "dropped": dropped} for key, (lines, dropped) in self._logs.items()],
            )


def to_place(row: Mapping[str, Any]) -> tuple[int, int]:
    """The order in which runs wait: that in which they came, and of one moment that in which they were admitted."""
    return row["queued_at"], row["token"]


_updates: dict[tuple[str, tuple[str, ...]], Write] = {}


def _update(table: str, columns: Collection[str]) -> Write:
    names = tuple(sorted(columns))
    made = _updates.get((table, names))
    if made is None:
        target: sql.Table = getattr(schema, table)
        statement = target.update().where(*(target.c[key] == sql.bindparam(f"key_{key}") for key in _KEYS[table]))
        made = _updates[table, names] = Write(statement.values({name: sql.bindparam(name) for name in names}))
    return made
