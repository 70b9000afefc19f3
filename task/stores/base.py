"""``Store``: the ledger. It remembers which slots have an outcome, every run, and the switches.

Each task has one *mark*: the newest slot with an outcome, over all its schedules. To claim a slot is
one transaction: refuse a slot at or before the mark, record what was missed before it, judge the
guards, record the run (or the skip), move the mark. Whoever does that first has the slot.
"""

from __future__ import annotations

import abc
import contextlib
import datetime
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import schedule

from task.errors import StoreError
from task.runs import Run, RunState
from task.schedules import LiveJob, Missed, same_schedule
from task.stores.auditing import compare
from task.stores.changes import Changes
from task.stores.history import Retention, Standing, Statistics, Wanted
from task.stores.values import (
    Declaration,
    Finding,
    Follower,
    Incident,
    JournalEntry,
    Limits,
    Listener,
    Neighbour,
    OnRecord,
    ProcessRow,
    RecurringRecord,
    RecurringRow,
    Summary,
    Switch,
    Terms,
)

if TYPE_CHECKING:
    import pathlib

    from task.clock import Clock

__all__ = ["Store"]

Moment = datetime.datetime


class Store(abc.ABC):
    """Where runs and switches are remembered. Every method is one transaction, and thread-safe.

    Those that a store in a database cannot do raise `StoreUnavailableError`, but for the ends of runs: they are kept,
    and written when it can be reached again.
    """

    #: Whether other processes may use it too.
    shared = False

    #: How much of the history a manager wants to be kept. A store in memory has a measure of its own.
    retention = Retention()

    def is_one_with(self, other: Store) -> bool:
        """Whether what is claimed here is claimed there: one ledger, maybe under two objects."""
        return self is other

    # Its life. A store in memory has none.

    def go_by(self, clock: Clock) -> None:  # noqa: B027 - a store in memory is told the time with each question
        """A manager uses it, which may never start."""

    def attach(self, listener: Listener, clock: Clock) -> None:  # noqa: B027 - a store in memory has nothing to do
        """A manager starts: from now on it hears of what other processes do."""

    def detach(self, listener: Listener) -> None:  # noqa: B027 - a store in memory has nothing to do
        """It has stopped."""

    def together(self, names: Iterable[str]) -> contextlib.AbstractContextManager[object]:
        """What this thread asks for inside, about the tasks *names*, is one transaction."""
        return contextlib.nullcontext()

    def post(self, call: Callable[[], object]) -> None:
        """Make a call soon, where operations of the store may be waited for: here, if they take no time."""
        call()

    def look(self) -> None:  # noqa: B027 - a store in memory has nothing to do
        """See what other processes have done. A store with a thread of its own does so every second."""

    def look_anew(self) -> None:  # noqa: B027 - a store in memory has nothing to do
        """A manager knows more tasks than before: what waits for one of these is to be found."""

    @property
    def ailment(self) -> str | None:
        """Why it cannot be reached now; None when it can."""
        return None

    def close(self) -> None:  # noqa: B027 - a store in memory has nothing to do
        """Let go of its connections; it can be used again."""

    # Tasks.

    @abc.abstractmethod
    def register(self, name: str, terms: Terms, origin: Store | None = None) -> None:
        """Make a task known, with what was declared of it. Known already: its history and switch stay.

        *origin* is the store that kept the task until now: what it knows comes along.
        """

    def enlist(self, name: str, jobs: Sequence[schedule.Job], now: Moment) -> None:  # noqa: B027 - a store in memory has nothing to do
        """This process is going to claim slots of a task with these schedules, as `declare` is about to say.

        Where the schedules are others than those in force, they are the declaration from now on, and processes that
        have another one stop.
        """

    def declared(self, name: str, job: LiveJob) -> tuple[Moment, Moment] | None:
        """The anchor of a schedule that is in force, and since when its slots are owed; None of one that is not."""
        for one in self.declarations(name):
            if one.until is None and same_schedule(one.line.job, job):
                return one.line.anchor, one.since
        return None

    def retired(self, name: str) -> set[str]:
        """The schedules, as their identities, that ended by themselves, and that the same code does not begin again."""
        return set()

    def follow(self, name: str) -> Moment | None:
        """Where a slot depends on the one before: the mark, from which the next one is computed here from now on."""
        return self.mark(name)

    def resume_from(self, name: str) -> Moment | None:
        """With ``fixed_delay``: the end of its last run, if no run of it is under way."""
        return None

    @abc.abstractmethod
    def declare(self, name: str, declaration: Declaration) -> None:
        """Record that a schedule is in force."""

    @abc.abstractmethod
    def retire(self, name: str, job: Any, until: Moment) -> None:
        """Record that the schedule *job* owes no slot later than *until*."""

    @abc.abstractmethod
    def declarations(self, name: str) -> list[Declaration]:
        """The schedules that were ever in force."""

    def on_record(self, names: Sequence[str]) -> dict[str, OnRecord]:
        """What is declared of each of these tasks: all of it read at once, where that is cheaper."""
        return {name: OnRecord(tuple(one for one in self.declarations(name) if one.until is None)) for name in names}

    @abc.abstractmethod
    def mark(self, name: str) -> Moment | None:
        """The newest slot with an outcome."""

    @abc.abstractmethod
    def set_back(self, name: str, moment: Moment) -> None:
        """Move the mark back: the clock had been wrong. What was recorded stays, in an epoch of its own.

        What was declared ends with it: declare what is in force again.
        """

    @abc.abstractmethod
    def claim(self, run: Run, limits: Limits, missed: Missed | None = None, unwanted: str | None = None) -> bool:
        """Admit *run*, or record why not: it is then queued, or skipped with its reason.

        *unwanted* is the reason of a calendar or condition against it.

        Queued and ``waiting``, it has to wait for other runs: `finish`, `cancel` or `release` of the last of them
        tells that it may go; ``waited`` goes on saying that it had to. False when its slot has an outcome already: then
        nothing is recorded, and nobody may run it.
        """

    def claim_soon(
        self,
        run: Run,
        limits: Limits,
        missed: Missed | None,
        unwanted: str | None,
        then: Callable[[bool | StoreError | None], object],
    ) -> None:
        """`claim` for a loop, which must not wait: *then* is called with the answer, or with why there is none.

        None: a late slot finds no room, maybe for a run whose process is dead. It is to be claimed again soon.

        It may be called here, or on the store's own thread: it must only hand over.
        """
        then(self.claim(run, limits, missed, unwanted))

    def admit_unrecorded(self, run: Run, limits: Limits) -> bool:
        """Admit a run that the store could not be asked about, as far as this process knows; it is recorded later."""
        return False

    def forgo(self, run: Run, reason: str, now: Moment, *, leave: bool = False) -> None:  # noqa: B027 - a store in memory always answers
        """A claim of *run* that was not answered is not made again. It may have been granted all the same.

        Then the run is cancelled for that *reason*; with *leave*, left to the other processes if they can run it.
        """

    @abc.abstractmethod
    def miss(self, name: str, missed: Missed, reason: str, now: Moment) -> None:
        """Record a span of slots that nothing ran, and move the mark past it."""

    @abc.abstractmethod
    def start(self, run: Run, now: Moment) -> bool:
        """Begin the first attempt, or the next; False when the run has ended meanwhile."""

    @abc.abstractmethod
    def retry(self, run: Run, attempt: int, now: Moment, next_at: Moment) -> bool:
        """Running to retrying, until *next_at*; False when that attempt is not under way any more."""

    def put_back(self, run: Run) -> bool:
        """Leave a run that has no body under way to the other processes; False where it cannot be left."""
        return False

    def watch(self, run: Run) -> None:  # noqa: B027 - a store in memory has no runs of others
        """Keep *run*, which stands for one of another process, as that is now, and tell of its end."""

    def cancel_elsewhere(self, run: Run, reason: str, now: Moment) -> bool:
        """End a run of another process, or ask that to; False when it has ended."""
        return False

    @abc.abstractmethod
    def cancel(self, run: Run, now: Moment, reason: str, followers: Sequence[Follower] = ()) -> Sequence[Run] | None:
        """Queued or retrying to cancelled; None when it is neither.

        What is returned by this, `finish` and `release` are the runs that may go now: they have waited.
        """

    @abc.abstractmethod
    def finish(
        self,
        run: Run,
        state: RunState,
        now: Moment,
        reason: str | None = None,
        *,
        attempt: int | None = None,
        keep_place: bool = False,
        followers: Sequence[Follower] = (),
    ) -> Sequence[Run] | None:
        """Move to a final state; None when the run has one already, or when that *attempt* is not under way any more.

        In the same transaction the tasks that come after it are started. With *keep_place* its body goes on,
        past its time, and `release` tells of its end.
        """

    @abc.abstractmethod
    def release(self, run: Run) -> Sequence[Run]:
        """The body has ended, after the run had."""

    @abc.abstractmethod
    def active(self, name: str | None = None) -> list[Run]:
        """The runs that are queued, running or retrying, and those whose body overruns.

        Of one task, in the order in which they got their places, and behind them in their order those that wait.
        """

    def mine(self, name: str | None = None) -> list[Run]:
        """Those of `active` that this process executes, or lets wait."""
        return self.active(name)

    # What is on record.

    @abc.abstractmethod
    def find_runs(self, wanted: Wanted, limit: int | None) -> list[Run]:
        """Recorded runs and spans, newest first: by their ids, whose order is that of `Run.queued_at`."""

    def runs(self, name: str | None = None, state: str | None = None, limit: int = 100) -> list[Run]:
        """Those of one task, or in one state."""
        return self.find_runs(Wanted(name, None if state is None else frozenset({RunState(state)})), limit)

    def recent(self, names: Sequence[str], limit: int = 60) -> dict[str, list[Run]]:
        """The newest rows of each of these tasks, newest first, as they are seen in passing: not the whole of them."""
        return {name: self.find_runs(Wanted(name), limit) for name in names}

    @abc.abstractmethod
    def changes(self, position: str | None, limit: int) -> Changes:
        """The runs that are new or not as they were since *position*, and the journal since; None: since now.

        At most *limit* of each, the oldest changes first, each run once. What was pruned is not told of. Raises
        `ParameterError` for a position that this store has not told.
        """

    def outcomes(self, name: str) -> list[Run]:
        """All that is on record of the slots of a task, for `audit`."""
        return [run for run in self.find_runs(Wanted(name), None) if run.slot is not None]

    @abc.abstractmethod
    def find(self, key: str) -> Run | None:
        """The run of that id."""

    @abc.abstractmethod
    def summary(self, name: str) -> Summary:
        """Counts of one task."""

    # Recurring entries.

    @abc.abstractmethod
    def entries(self, name: str | None = None) -> list[RecurringRecord]:
        """All recurring entries, by their names; or the one called so, if there is one."""

    @abc.abstractmethod
    def entries_changed(self) -> int:
        """A number that is another one when an entry was put or dropped since: cheap to ask."""

    @abc.abstractmethod
    def put_entry(self, row: RecurringRow) -> bool:
        """Keep an entry, new or in the place of the version before; False when that is not the newest one.

        Where its task or schedule was set anew, the schedule before ends, and what was due of it until then is missed.
        Raises `DuplicateTaskError` for a new one with the name of a task that a process has scheduled.
        """

    @abc.abstractmethod
    def drop_entry(self, name: str, now: Moment) -> bool:
        """Forget an entry; False when there is none. Its schedule ends, its history stays.

        Its runs that are queued, or wait for another attempt, are cancelled; but not those that this process has.
        """

    # The other processes.

    def processes(self, now: Moment | None) -> list[ProcessRow]:
        """The other processes that run tasks on it: those whose last heartbeat, by their own clocks, is not too old.

        Without *now* all that have not ended, as far as is known: nobody may be left to find that one has died.
        """
        return []

    @property
    def beats_every(self) -> float:
        """How often this process lets the others know that it lives. Seconds; 0.0 where there are no others."""
        return 0.0

    def clock_offset(self) -> float | None:
        """How far the store's own clock is ahead of the one here. Seconds; None where it has no clock of its own."""
        return None

    @property
    def clocks(self) -> Mapping[str, float]:
        """Processes whose clocks are far from the one here, by ``pid@host``: so many seconds ahead, as was seen."""
        return {}

    @property
    def file(self) -> pathlib.Path | None:
        """The file that it is kept in, if it is one."""
        return None

    def neighbours(self, now: Moment) -> list[Neighbour]:
        """The other namespaces on the same database in which processes run tasks."""
        return []

    @abc.abstractmethod
    def statistics(self, name: str) -> Statistics:
        """What has become of the runs of one task."""

    def standing(self, names: Sequence[str], now: Moment) -> dict[str, Standing]:
        """How each of these tasks stands now: all of it read at once, where that is cheaper."""
        return {
            name: Standing(self.summary(name), self.active(name), self.switch(name, now), self.mark(name))
            for name in names
        }

    @abc.abstractmethod
    def turn(self, name: str, switch: Switch) -> None:
        """Turn the operator switch."""

    @abc.abstractmethod
    def note(self, entry: JournalEntry) -> None:
        """Keep in the journal who has steered what."""

    @abc.abstractmethod
    def journal(self, task: str | None = None, limit: int = 100) -> list[JournalEntry]:
        """What was steered, newest first."""

    # Incidents: of a task and kind one is open at most.

    @abc.abstractmethod
    def open_incidents(self, found: Sequence[Incident]) -> list[Incident]:
        """Keep those that are new, and give them back: who gets one tells of it. Asked again, it gives them again."""

    @abc.abstractmethod
    def end_incidents(self, over: Sequence[Incident]) -> list[Incident]:
        """The same for the ends of those that are open, at their `Incident.ended_at`."""

    @abc.abstractmethod
    def incidents(self, task: str | None = None, limit: int | None = 100) -> list[Incident]:
        """The open ones, the newest first, and behind them so many that are over; None: the open ones alone."""

    def expectation(self, name: str) -> str | None:
        """What a process that has the task in its code expects of it, as `Terms.expectation`."""
        return None

    @abc.abstractmethod
    def switch(self, name: str, now: Moment) -> Switch:
        """The operator switch; one whose end has come is on again."""

    @property
    @abc.abstractmethod
    def paused(self) -> bool:
        """Whether all tasks are paused."""

    @abc.abstractmethod
    def abandon(self, name: str) -> None:
        """A task was removed: what is known of it stays, but may be dropped after many others were removed too."""

    @abc.abstractmethod
    def pause(self, paused: bool) -> None:
        """Pause all tasks, or resume them."""

    def prune(self, keep: Retention, now: Moment) -> Iterator[tuple[str, list[str]]]:
        """Drop all that is not to be kept, now, step by step: of which task each was, and the ids of its runs."""
        return iter(())  # a store in memory has a measure of its own

    def prunable(self, keep: Retention, now: Moment) -> dict[str, int]:
        """How many rows `prune` would drop of each task."""
        return {}

    @abc.abstractmethod
    def pruned(self, name: str) -> Moment | None:
        """The newest slot whose outcome was dropped to keep the history bounded."""

    @abc.abstractmethod
    def names(self) -> list[str]:
        """The tasks that are known."""

    def audit(
        self,
        since: Moment | None,
        until: Moment,
        pending: Mapping[str, Moment] | None = None,
        grace: datetime.timedelta = datetime.timedelta(seconds=60),
        claimed: Collection[str] | None = None,
    ) -> list[Finding]:
        """Hold what is recorded against what was declared, slot by slot.

        *pending* says from which slot on a task's slots are still to be taken; of the others those are
        pending that have been due for less than *grace* and that nothing newer has overtaken. What is
        pending is no finding. *claimed* names the tasks whose slots the asker takes: those of others are pending
        from their mark on, until a process comes that knows them. Without *since*, as far back as the history reaches.
        """
        findings: list[Finding] = []
        for name in self.names():
            try:
                rows = self.outcomes(name)
                mark, pruned, declarations = self.mark(name), self.pruned(name), self.declarations(name)
            except KeyError:  # removed long ago, and forgotten just now
                continue
            end = until - grace if mark is None else min(until, max(mark, until - grace))
            if claimed is not None and name not in claimed:
                if mark is None:
                    continue
                end = min(until, mark)
            if pending is not None and name in pending:
                end = min(end, pending[name] - datetime.timedelta(microseconds=1))
            findings += compare(name, declarations, rows, pruned, since, end)
        return findings
