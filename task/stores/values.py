"""What is said to a ledger, and what it says: plain values."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from task.runs import ParentResults, Run, RunState
from task.schedules import Line

__all__ = [
    "Declaration",
    "Finding",
    "Follower",
    "JournalEntry",
    "Limits",
    "Listener",
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
