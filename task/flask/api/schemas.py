"""The schemas of what is answered."""

from __future__ import annotations

import datetime
from typing import Any, Literal

import msgspec

from task.doctor import Diagnosis
from task.flask.api.structs import struct_of
from task.models import RecurringEntry
from task.overview import Point, Problem, TaskCard, Timeline, Upcoming
from task.runs import RunState
from task.stores import JournalEntry, Statistics

__all__ = [
    "Artifact",
    "Diagnoses",
    "Entries",
    "Entry",
    "Exported",
    "Health",
    "Imported",
    "Journal",
    "Log",
    "ManagerState",
    "Points",
    "Problems",
    "Run",
    "RunRow",
    "Runs",
    "Slots",
    "Span",
    "Switch",
    "TaskDetail",
    "Tasks",
]

Moment = datetime.datetime

Card: Any = struct_of(TaskCard)
Entry: Any = struct_of(RecurringEntry)
Span: Any = struct_of(Timeline)
_Upcoming: Any = struct_of(Upcoming)
_Problem: Any = struct_of(Problem)
_Point: Any = struct_of(Point)
_Statistics: Any = struct_of(Statistics)
_Diagnosis: Any = struct_of(Diagnosis)
_JournalEntry: Any = struct_of(JournalEntry)

State = Literal[
    "queued", "running", "retrying", "succeeded", "failed", "cancelled", "timed_out", "lost", "skipped", "missed"
]
assert set(State.__args__) == set(map(str, RunState))  # type: ignore[attr-defined]


class Strict(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """All fields are there, and no others."""


class Tasks(Strict):
    """Some tasks by their names, and what can be asked for."""

    items: list[Card]
    #: Give it as `cursor` for the next page; null: this is the last one.
    next: str | None
    total: int
    tags: dict[str, int]
    doing: dict[str, int]


class Switch(Strict):
    """The switch of a task: whether it is on, and who turned it last, why, and until when."""

    name: str
    enabled: bool
    note: str | None
    until: str | None
    at: str | None
    by: str | None


class TaskDetail(Strict):
    """One task: as the list has it, all that is known of it, its figures, and what its runs take."""

    card: Card
    detail: dict[str, Any] | None
    statistics: _Statistics
    #: JSON Schema of what `trigger` takes.
    parameters: dict[str, Any] | None


class Slots(Strict):
    """Slots that are to come, in order."""

    items: list[_Upcoming]


class Points(Strict):
    """Runs, for a plot, oldest first."""

    items: list[_Point]


class Problems(Strict):
    """What wants attention, the worst first."""

    items: list[_Problem]


class RunRow(Strict):
    """A run, as a list has it."""

    id: str
    parent_id: str | None
    task: str
    trigger: str
    state: State
    reason: str | None
    slot: Moment | None
    last: Moment | None
    count: int
    queued_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    duration: float | None
    lateness: float | None
    #: What its start was delayed by, in seconds by cause, the gravest first; empty for one that was on time.
    delays: dict[str, float]
    attempt: int
    progress: float | None
    message: str
    error: str | None
    host: str
    process: int | None


class Runs(Strict):
    """Some runs, newest first."""

    items: list[RunRow]
    next: str | None


class Attempt(Strict):
    """One attempt of a run."""

    number: int
    started_at: Moment | None
    finished_at: Moment | None
    error: str | None
    traceback: str | None


class Artifact(Strict):
    """A file that is kept with a run."""

    name: str
    size: int
    saved_at: Moment
    url: str


class Artifacts(Strict):
    """The files of a run, by their names."""

    items: list[Artifact]


class Run(RunRow):
    """One run, secrets masked."""

    parameters: dict[str, Any]
    #: What the body returned: JSON where `result_is_json`, else a description.
    result: str | None
    result_is_json: bool
    attempts: list[Attempt]
    next_at: Moment | None
    overrunning: bool
    log_lines: int
    log_dropped: int
    aside: dict[str, Any] | None


class LogLine(Strict):
    """One line of the log of a run."""

    number: int
    at: Moment
    level: str
    logger: str
    message: str


class Log(Strict):
    """Lines of a log. Ask again with `after` as the number of the last one, as long as `ended` is false."""

    items: list[LogLine]
    #: Whether there are more lines by now.
    more: bool
    #: So many lines were dropped to keep the log bounded.
    dropped: int
    ended: bool


class Entries(Strict):
    """Some recurring entries by their names."""

    items: list[Entry]
    next: str | None


class ExportedEntry(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A recurring entry, as it is written for another store."""

    name: str
    task: str
    schedule: str | None = None
    parameters: dict[str, Any] = {}
    max_concurrent: int = 1
    enabled: bool = True
    note: str | None = None
    until: Moment | None = None


class Exported(Strict):
    """All recurring entries, without their history."""

    version: Literal[1]
    entries: list[ExportedEntry]


class Imported(Strict):
    """The entries that were added or replaced."""

    items: list[Entry]


class Diagnoses(Strict):
    """What each check of the doctor has found, the worst first, and whether there is no problem among them."""

    well: bool
    items: list[_Diagnosis]


class Journal(Strict):
    """Who has steered what, newest first."""

    items: list[_JournalEntry]
    next: str | None


class ManagerState(Strict):
    """The manager of this process."""

    state: Literal["stopped", "starting", "running", "stopping", "forked"]
    paused: bool
    tasks: int


class Health(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whether the manager does its work. A stranger is told `status`, and nothing else."""

    status: Literal["healthy", "unhealthy"]
    state: str | None = None
    pid: int | None = None
    causes: list[str] | None = None
    overdue: list[str] | None = None
    signals_dropped: int | None = None
