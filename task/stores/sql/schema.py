"""The tables, and how a database gets from one version of them to the next.

Moments are whole microseconds since 1970 in UTC; a state, a reason or a parameter is text; nothing is pickled.
Truth values are 0 and 1: what a version of the schema has written, any later one reads, on either database.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sql

from task.errors import SchemaVersionError

__all__ = [
    "VERSION",
    "check_version",
    "declarations",
    "incidents",
    "journal",
    "logs",
    "metadata",
    "namespaces",
    "processes",
    "recurring",
    "runs",
    "tasks",
    "upgrade",
    "version",
]

#: The version that this code reads and writes.
VERSION = 1

metadata = sql.MetaData()

_moment = sql.BigInteger

#: One row: which version of the schema this is.
version = sql.Table("task_schema", metadata, sql.Column("version", sql.Integer, nullable=False))

#: One row for each application on the database. Whoever writes has it locked: one writer at a time.
namespaces = sql.Table(
    "task_namespaces",
    metadata,
    sql.Column("namespace", sql.String(200), primary_key=True),
    #: The newest fencing token that was given out.
    sql.Column("token", sql.BigInteger, nullable=False, default=0),
    #: Counts what the other processes have to hear of soon: switches, requests, places, declarations.
    sql.Column("news", sql.BigInteger, nullable=False, default=0),
    sql.Column("paused", sql.Integer, nullable=False, default=0),
    #: How many runs wait for a place: most often none, and nobody has to look for them.
    sql.Column("waiting", sql.Integer, nullable=False, default=0),
    #: Counts the changes of the recurring entries.
    sql.Column("entries", sql.BigInteger, nullable=False, default=0),
    #: Counts the changes of runs: the number of the newest one.
    sql.Column("changes", sql.BigInteger, nullable=False, default=0),
)

#: What is known of a task or recurring entry; of one that runs everywhere, one row a process beside that.
tasks = sql.Table(
    "task_tasks",
    metadata,
    sql.Column("namespace", sql.String(200), primary_key=True),
    sql.Column("name", sql.String(200), primary_key=True),
    #: Empty, or the process of a task that runs everywhere.
    sql.Column("scope", sql.String(40), primary_key=True),
    #: The newest slot with an outcome, and how often it was set back.
    sql.Column("mark", _moment),
    sql.Column("epoch", sql.Integer, nullable=False, default=0),
    sql.Column("pruned", _moment),
    #: The switch; what the code's `disabled=` was when it last counted.
    sql.Column("enabled", sql.Integer, nullable=False, default=1),
    sql.Column("note", sql.Text),
    sql.Column("until", _moment),
    sql.Column("turned_at", _moment),
    sql.Column("turned_by", sql.Text),
    sql.Column("disabled", sql.Integer, nullable=False, default=0),
    #: The declaration in force, as the identities of its schedules, and how many there were before it.
    sql.Column("declaration", sql.Text),
    sql.Column("generation", sql.Integer, nullable=False, default=0),
    sql.Column("tags", sql.Text),
    #: What is expected of its runs, as JSON: for processes that do not have its code.
    sql.Column("expectation", sql.Text),
    #: Counts.
    sql.Column("runs", sql.BigInteger, nullable=False, default=0),
    sql.Column("failures", sql.BigInteger, nullable=False, default=0),
    sql.Column("consecutive_failures", sql.BigInteger, nullable=False, default=0),
    sql.Column("claimed", sql.BigInteger, nullable=False, default=0),
    sql.Column("counts", sql.Text),
    sql.Column("skips", sql.Text),
    sql.Column("last_run", sql.String(36)),
    #: When the newest run that succeeded had ended.
    sql.Column("succeeded_at", _moment),
    #: The newest row of its history, if that is a skip that another may join.
    sql.Column("last_skip", sql.String(36)),
    #: With `fixed_delay`: the end of its last run, from which the next slot is counted.
    sql.Column("ended_at", _moment),
    #: Of a task that comes after others: which of them have ended since its last run, and in which run.
    sql.Column("arrived", sql.Text),
)

#: The schedules that were ever in force.
declarations = sql.Table(
    "task_declarations",
    metadata,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("namespace", sql.String(200), nullable=False),
    sql.Column("task", sql.String(200), nullable=False),
    sql.Column("scope", sql.String(40), nullable=False),
    sql.Column("identity", sql.Text, nullable=False),
    sql.Column("anchor", _moment, nullable=False),
    sql.Column("since", _moment, nullable=False),
    sql.Column("until", _moment),
    sql.Column("epoch", sql.Integer, nullable=False),
    sql.Column("owed", sql.Integer, nullable=False),
    #: It ended by itself (`CancelJob`, `max_runs`), and is not begun again by the same code.
    sql.Column("retired", sql.Integer, nullable=False),
    sql.Index("task_declarations_of", "namespace", "task"),
)

#: Every run, skip and miss. `id` is a UUID of version 7: its order is that of time.
runs = sql.Table(
    "task_runs",
    metadata,
    sql.Column("id", sql.String(36), primary_key=True),
    sql.Column("namespace", sql.String(200), nullable=False),
    sql.Column("task", sql.String(200), nullable=False),
    sql.Column("scope", sql.String(40), nullable=False),
    sql.Column("epoch", sql.Integer, nullable=False),
    sql.Column("slot", _moment),
    #: The newest slot of a row that stands for several, how many, and before which moment a missed span ends.
    sql.Column("last_at", _moment),
    sql.Column("count", sql.Integer, nullable=False),
    sql.Column("before", _moment),
    sql.Column("trigger", sql.String(20), nullable=False),
    sql.Column("state", sql.String(20), nullable=False),
    #: 1: it has a place of its task; 2: it waits for one; 0: neither.
    sql.Column("place", sql.Integer, nullable=False),
    sql.Column("max_concurrent", sql.Integer, nullable=False),
    sql.Column("overlap", sql.String(20), nullable=False),
    sql.Column("mutex", sql.String(200)),
    sql.Column("reason", sql.Text),
    sql.Column("queued_at", _moment, nullable=False),
    #: When it may start, or start again.
    sql.Column("next_at", _moment),
    sql.Column("started_at", _moment),
    sql.Column("finished_at", _moment),
    #: What its start was delayed by: a JSON object of causes and seconds. None, if it was on time.
    sql.Column("delays", sql.Text),
    sql.Column("attempt", sql.Integer, nullable=False),
    sql.Column("attempt_started_at", _moment),
    sql.Column("attempts", sql.Text),
    sql.Column("error", sql.Text),
    sql.Column("traceback", sql.Text),
    #: Bounded text, and whether that is the whole of it as JSON.
    sql.Column("result", sql.Text),
    sql.Column("result_is_json", sql.Integer, nullable=False),
    sql.Column("progress", sql.Float),
    sql.Column("message", sql.Text),
    #: JSON, secrets masked; and whether another process can run it with what is here and in its code.
    sql.Column("parameters", sql.Text),
    sql.Column("declared", sql.Integer, nullable=False),
    sql.Column("portable", sql.Integer, nullable=False),
    #: Whether it is run again when its process dies, and how often it was.
    sql.Column("rerun", sql.Integer, nullable=False),
    sql.Column("reruns", sql.Integer, nullable=False),
    #: Which runs the tasks that it comes after had ended in.
    sql.Column("inputs", sql.Text),
    sql.Column("parent_id", sql.String(36)),
    #: The process that runs it; none: it waits for one. The token grows with each that takes it.
    sql.Column("owner", sql.String(36)),
    sql.Column("token", sql.BigInteger, nullable=False),
    sql.Column("host", sql.Text),
    sql.Column("process", sql.Integer),
    sql.Column("thread", sql.Text),
    #: Why it is asked to stop, by whichever process.
    sql.Column("asked", sql.Text),
    sql.Column("traceparent", sql.String(100)),
    #: What its process said of it after it had been thought dead.
    sql.Column("aside", sql.Text),
    #: Which change of a run of the namespace was the last of this one.
    sql.Column("changed", sql.BigInteger, nullable=False, default=0),
    sql.UniqueConstraint("namespace", "task", "scope", "epoch", "slot", name="task_runs_slot"),
    sql.Index("task_runs_of", "namespace", "task", "id"),
    sql.Index("task_runs_changed", "namespace", "changed"),
)


def _partial(name: str, condition: sql.ColumnElement[bool], *columns: sql.Column[Any]) -> None:
    """An index over the rows of `runs` that meet a condition: small, where few do."""
    sql.Index(name, *columns, sqlite_where=condition, postgresql_where=condition)


sql.Index("task_runs_at", runs.c.namespace, runs.c.id)
_partial("task_runs_places", runs.c.place > 0, runs.c.namespace, runs.c.place, runs.c.task)
_unusual = ~runs.c.state.in_(("succeeded", "queued", "running", "retrying"))
_partial("task_runs_unusual", _unusual, runs.c.namespace, runs.c.state, runs.c.id)
_partial("task_runs_unusual_of", _unusual, runs.c.namespace, runs.c.task, runs.c.state, runs.c.id)
_partial("task_runs_children", runs.c.parent_id.is_not(None), runs.c.namespace, runs.c.parent_id, runs.c.id)

#: The log of a run, as one JSON list: bounded by `task.runs.log`.
logs = sql.Table(
    "task_logs",
    metadata,
    sql.Column("run", sql.String(36), primary_key=True),
    sql.Column("lines", sql.Text, nullable=False),
    sql.Column("dropped", sql.Integer, nullable=False),
)

#: The processes that run or ran something. One whose count stands still is dead.
processes = sql.Table(
    "task_processes",
    metadata,
    sql.Column("id", sql.String(36), primary_key=True),
    sql.Column("namespace", sql.String(200), nullable=False),
    sql.Column("host", sql.Text, nullable=False),
    sql.Column("pid", sql.Integer, nullable=False),
    sql.Column("started_at", _moment, nullable=False),
    sql.Column("beat", sql.BigInteger, nullable=False),
    #: By its own clock.
    sql.Column("beat_at", _moment, nullable=False),
    #: When it stopped, or was found dead.
    sql.Column("ended_at", _moment),
    sql.Column("ending", sql.String(20)),
    #: What it tells of itself, for people, while it lives.
    sql.Column("vitals", sql.Text),
    sql.Index("task_processes_of", "namespace", "ended_at"),
)

#: Who steered what.
journal = sql.Table(
    "task_journal",
    metadata,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("namespace", sql.String(200), nullable=False),
    sql.Column("at", _moment, nullable=False),
    sql.Column("who", sql.Text, nullable=False),
    sql.Column("what", sql.String(40), nullable=False),
    sql.Column("task", sql.String(200)),
    sql.Column("note", sql.Text),
    sql.Index("task_journal_at", "namespace", "id"),
)

#: What is or was wrong with a task. Of a task and kind one is open at most: it is told of once.
incidents = sql.Table(
    "task_incidents",
    metadata,
    sql.Column("id", sql.String(36), primary_key=True),
    sql.Column("namespace", sql.String(200), nullable=False),
    sql.Column("task", sql.String(200), nullable=False),
    sql.Column("kind", sql.String(20), nullable=False),
    sql.Column("since", _moment, nullable=False),
    sql.Column("text", sql.Text, nullable=False),
    sql.Column("run", sql.String(36)),
    #: When it was over; none: it is open.
    sql.Column("ended_at", _moment),
    sql.Index("task_incidents_over", "namespace", "ended_at"),
)
_open = incidents.c.ended_at.is_(None)
sql.Index(
    "task_incidents_open",
    *(incidents.c.namespace, incidents.c.task, incidents.c.kind),
    unique=True,
    sqlite_where=_open,
    postgresql_where=_open,
)

#: Recurring entries, made at run time. What has become of them is in `tasks`, under their names.
recurring = sql.Table(
    "task_recurring",
    metadata,
    sql.Column("namespace", sql.String(200), primary_key=True),
    sql.Column("name", sql.String(200), primary_key=True),
    sql.Column("task", sql.String(200), nullable=False),
    sql.Column("schedule", sql.Text),
    sql.Column("parameters", sql.Text, nullable=False),
    sql.Column("max_concurrent", sql.Integer, nullable=False),
    sql.Column("created_at", _moment, nullable=False),
    sql.Column("updated_at", _moment, nullable=False),
    #: When its task or schedule was last set.
    sql.Column("scheduled_at", _moment, nullable=False),
    sql.Column("version", sql.Integer, nullable=False),
)

#: The steps from each version to the next: `STEPS[0]` makes a database of version 1 one of version 2.
STEPS: Sequence[Callable[[sql.Connection], None]] = ()


def check_version(found: int) -> None:
    """Raise `SchemaVersionError` for the version of a database that newer code has written."""
    if found > VERSION:
        raise SchemaVersionError(
            f"The store has schema version {found}, written by a newer release; this one knows up to {VERSION}. "
            "Upgrade schedule-tasks in this process, or give it another store."
        )


def upgrade(connection: sql.Connection) -> None:
    """Bring the database to `VERSION`; the caller holds the write lock, and commits.

    Raises `SchemaVersionError` for a database that newer code has written.
    """
    if not sql.inspect(connection).has_table(version.name):
        metadata.create_all(connection)
        connection.execute(version.insert().values(version=VERSION))
        return
    found = connection.execute(sql.select(version.c.version)).scalar_one()
    check_version(found)
    if found < VERSION and connection.dialect.name == "postgresql":
        connection.execute(sql.text("SET LOCAL statement_timeout = 0"))  # a step may take its time on a large table
    for step in STEPS[found - 1 :]:
        step(connection)
    if found < VERSION:
        connection.execute(version.update().values(version=VERSION))
