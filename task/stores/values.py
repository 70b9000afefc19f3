"""What is said to a ledger, and what it says: plain values."""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from task.runs import ParentResults, Run, RunState
from task.schedules import Line

__all__ = [
    "Declaration",
    "Finding",
    "Follower",
    "Incident",
    "JournalEntry",
    "Limits",
    "Listener",
    "Neighbour",
    "OnRecord",
    "ProcessRow",
    "RecurringRecord",
    "RecurringRow",
    "Summary",
    "Switch",
    "Terms",
]

Moment = datetime.datetime


@dataclasses.dataclass(slots=True)
class Declaration:
    """One schedule of one task, and the span of time in which its slots are owed an outcome."""

    #: The schedule, its anchor and seed.
    line: Line
    #: Slots later than this are owed.
    since: Moment
    #: Slots later than this are not owed any more; None while it is in force.
    until: Moment | None = None
    #: Which of the spans between two set-backs of the mark it belongs to.
    epoch: int = 0
    #: False where a slot depends on what ran (``.to()``, ``fixed_delay``): only doubles are found then.
    owed: bool = True


class OnRecord(NamedTuple):
    """What was declared of a task, as far as the ledger keeps it: whichever process has it in its code."""

    #: Its schedules that are in force.
    declarations: tuple[Declaration, ...] = ()
    tags: tuple[str, ...] = ()
    #: Whether a process has it in its code, or had; else it is an entry that was removed, or was only switched so far.
    declared: bool = True


class Limits(NamedTuple):
    """What the guards of a task allow, and what becomes of its runs."""

    #: So many runs of it at once.
    max_concurrent: int = 1
    #: What becomes of one more: ``skip``, ``queue``, ``cancel_previous`` or ``allow``.
    overlap: str = "skip"
    #: Of all tasks with this name, one run at once.
    mutex: str | None = None
    #: What follows when its process dies: ``record`` that it is lost, or ``rerun`` it.
    on_lost: str = "record"


class Follower(NamedTuple):
    """A task that starts when others have ended."""

    #: Its name.
    name: str
    #: The tasks that it comes after, all of which must have ended so since its last run.
    after: tuple[str, ...]
    #: In which of their final states.
    states: frozenset[RunState]
    limits: Limits
    #: Makes its run, of the run that ended last, and what all of them returned.
    follow: Callable[[Run, ParentResults], Run]


class Switch(NamedTuple):
    """The operator switch of a task, and who turned it last, why, and until when."""

    enabled: bool
    note: str | None = None
    until: Moment | None = None
    at: Moment | None = None
    by: str | None = None


class JournalEntry(NamedTuple):
    """Something that somebody has steered."""

    #: When (aware UTC), and who.
    at: Moment
    who: str
    #: What was done: ``enabled``, ``disabled``, ``triggered``, ``cancelled``, ``paused``, ``resumed`` …
    what: str
    #: To which task or recurring entry; None for all of them.
    task: str | None
    #: Why, or with what.
    note: str | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {**self._asdict(), "at": self.at.isoformat()}


class Terms(NamedTuple):
    """What was declared of a task, as far as the ledger has to know it."""

    #: The first value of its switch.
    disabled: bool = False
    tags: tuple[str, ...] = ()
    #: Each process has its own slots.
    everywhere: bool = False
    #: Its next slot is counted from the end of a run.
    fixed_delay: bool = False
    #: After so many slots its schedules end.
    max_runs: int | None = None
    #: Its late slots run one by one: none is skipped for the one before it.
    each_late_slot: bool = False
    #: It is a recurring entry.
    entry: bool = False
    #: What is expected of its runs, for processes that do not have its code: see `Store.expectation`.
    expectation: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Incident:
    """Something that is wrong with a task, from when it was found until it is over: told of once, in whichever process.

    >>> since = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)
    >>> incident = Incident("report", "failing", since, "its last 3 runs failed")
    >>> incident.open, incident.kind
    (True, 'failing')
    """

    #: The name of the task or recurring entry.
    task: str
    #: ``overdue``, ``overrunning``, ``failing`` or ``lost``.
    kind: str
    #: Since when that is so (aware UTC).
    since: Moment
    #: What is wrong, in plain words.
    text: str
    #: The id of the run that shows it, if there is one.
    run: str | None = None
    #: When it was over (aware UTC); None while it is open.
    ended_at: Moment | None = None
    #: Tells it from the others of its kind.
    id: str = dataclasses.field(default_factory=lambda: str(uuid.uuid4()), compare=False)

    @property
    def open(self) -> bool:
        """Whether it is not over yet."""
        return self.ended_at is None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values; moments as ISO 8601 in UTC."""
        ended_at = None if self.ended_at is None else self.ended_at.isoformat()
        return {**dataclasses.asdict(self), "since": self.since.isoformat(), "ended_at": ended_at}


class RecurringRow(NamedTuple):
    """A recurring entry, as somebody has declared it at run time."""

    name: str
    #: The name of the task whose body it runs.
    task: str
    #: In words; None for one that is only triggered.
    schedule: str | None
    #: What it passes to the body: a JSON object.
    parameters: str
    max_concurrent: int
    created_at: Moment
    updated_at: Moment
    #: When its task or schedule was last set: slots later than this are owed.
    scheduled_at: Moment
    #: Counts what was declared of it, from 1.
    version: int = 1


class RecurringRecord(NamedTuple):
    """A recurring entry, and what has become of it."""

    row: RecurringRow
    switch: Switch
    runs: int = 0
    failures: int = 0
    consecutive_failures: int = 0


class ProcessRow(NamedTuple):
    """A process that runs tasks on a store, as its heartbeats tell."""

    host: str
    pid: int
    #: When it came to the store, and when its heart beat last, by its own clock (aware UTC).
    started_at: Moment
    beat_at: Moment
    #: What it tells of itself: a line of JSON for each of its managers; empty: nothing yet.
    vitals: str = ""


class Neighbour(NamedTuple):
    """Another namespace on the same database in which processes run tasks."""

    namespace: str
    #: How many processes.
    processes: int
    #: Names of tasks with schedules in force, which are so in both namespaces: the first few.
    tasks: tuple[str, ...]


class Listener(Protocol):
    """A manager, as a store that several processes share speaks to it. None of this is called on its loop."""

    def knows(self, name: str) -> bool:
        """Whether it runs the task of that name."""

    def executes(self, run: Run) -> bool:
        """Whether it made that run, to execute it."""

    def admitted(self, runs: Sequence[Run]) -> None:
        """Runs of its own that have waited may go now: another process has made room."""

    def take_over(self, run: Run) -> None:
        """A run that another process has left, or was asked for by one that runs nothing, is its own from now on."""

    def lost(self, runs: Sequence[Run]) -> None:
        """The processes of these runs have died; this manager was the first to see it."""

    def changed(self) -> None:
        """Something was steered elsewhere: declarations, recurring entries."""

    def renew(self, name: str) -> None:
        """One of the task's schedules has ended in another process: it is to be planned anew."""

    def stale(self, name: str) -> None:
        """Newer code has declared the task: its slots are not for this process any more."""

    def ailing(self, cause: str | None) -> None:
        """The store cannot be reached any more, and why; None: it can be again."""

    def pruned(self, ids: Sequence[str]) -> None:
        """Runs were dropped from the history: their files may go, too."""

    def vitals(self) -> str:
        """What other processes are to know of it: one line of JSON, of a bounded length."""


@dataclasses.dataclass(slots=True)
class Summary:
    """Counts of one task, and its last outcome."""

    runs: int = 0
    failures: int = 0
    consecutive_failures: int = 0
    skips: dict[str, int] = dataclasses.field(default_factory=dict)
    last: Run | None = None
    #: How many succeeded, and how many came to each other state that is final.
    succeeded: int = 0
    others: dict[RunState, int] = dataclasses.field(default_factory=dict)
    #: When the newest one that succeeded had ended (aware UTC); it is known when that row is not any more.
    succeeded_at: Moment | None = None

    @property
    def states(self) -> dict[RunState, int]:
        """How many came to each state that is final."""
        return ({RunState.SUCCEEDED: self.succeeded} if self.succeeded else {}) | self.others


class Finding(NamedTuple):
    """Something that `audit` found wrong: a slot with no outcome, with two, or not known any more."""

    task: str
    slot: Moment
    problem: str

    def __str__(self) -> str:
        return f"{self.task}: the slot of {self.slot.isoformat()} {self.problem}"
