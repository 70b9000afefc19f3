"""``Store``: the ledger. It remembers which slots have an outcome, every run, and the switches.

Each task has one *mark*: the newest slot with an outcome, over all its schedules. To claim a slot is
one transaction: refuse a slot at or before the mark, record what was missed before it, judge the
guards, record the run (or the skip), move the mark. Whoever does that first has the slot.
"""

from __future__ import annotations

import abc
import collections
import contextlib
import dataclasses
import datetime
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from task.errors import BrokenScheduleError
from task.runs import ParentResults, Run, RunState
from task.schedules import Line, Missed

__all__ = [
    "Declaration",
    "Finding",
    "Follower",
    "Limits",
    "Store",
    "Summary",
    "Switch",
    "compare",
    "crowding",
    "may_wait",
    "refusal",
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
    """What the guards of a task allow."""

    #: So many runs of it at once.
    max_concurrent: int = 1
    #: What becomes of one more: ``skip``, ``queue``, ``cancel_previous`` or ``allow``.
    overlap: str = "skip"
    #: Of all tasks with this name, one run at once.
    mutex: str | None = None


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


@dataclasses.dataclass(slots=True)
class Summary:
    """Counts of one task, and its last outcome."""

    runs: int = 0
    failures: int = 0
    consecutive_failures: int = 0
    skips: dict[str, int] = dataclasses.field(default_factory=dict)
    last: Run | None = None


class Finding(NamedTuple):
    """Something that `audit` found wrong: a slot with no outcome, with two, or not known any more."""

    task: str
    slot: Moment
    problem: str

    def __str__(self) -> str:
        return f"{self.task}: the slot of {self.slot.isoformat()} {self.problem}"


def refusal(enabled: bool, paused: bool) -> str | None:
    """Why a task admits nothing at all; None when it does."""
    if not enabled:
        return "disabled"
    if paused:
        return "paused"
    return None


def crowding(limits: Limits, active: int, waiting: int, holder: str | None) -> str | None:
    """Why a run has to wait, or not to be: other runs of its task, or of the task *holder* that has its mutex."""
    if active >= limits.max_concurrent and limits.overlap != "allow":
        return "already running" if limits.overlap != "queue" or not waiting else "one run waits already"
    if holder is not None:
        return f"{holder!r} has the mutex {limits.mutex!r}"
    return None


def may_wait(limits: Limits, waiting: int, trigger: str) -> bool:
    """Whether a run that finds no room waits for it. A direct call does not: its caller would be blocked."""
    if trigger == "call":
        return False
    return limits.overlap == "cancel_previous" or (limits.overlap in ("queue", "allow") and not waiting)


class Store(abc.ABC):
    """Where runs and switches are remembered. Every method is one transaction, and thread-safe."""

    @abc.abstractmethod
    def register(self, name: str, *, disabled: bool, origin: Store | None = None) -> None:
        """Make a task known; *disabled* is the first value of its switch. Known already: no change.

        *origin* is the store that kept the task until now: what it knows comes along.
        """

    @abc.abstractmethod
    def declare(self, name: str, declaration: Declaration) -> None:
        """Record that a schedule is in force."""

    @abc.abstractmethod
    def retire(self, name: str, job: Any, until: Moment) -> None:
        """Record that the schedule *job* owes no slot later than *until*."""

    @abc.abstractmethod
    def declarations(self, name: str) -> list[Declaration]:
        """The schedules that were ever in force."""

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

    @abc.abstractmethod
    def miss(self, name: str, missed: Missed, reason: str, now: Moment) -> None:
        """Record a span of slots that nothing ran, and move the mark past it."""

    @abc.abstractmethod
    def start(self, run: Run, now: Moment) -> bool:
        """Begin the first attempt, or the next; False when the run has ended meanwhile."""

    @abc.abstractmethod
    def retry(self, run: Run, attempt: int, now: Moment) -> bool:
        """Running to retrying; False when that attempt is not under way any more."""

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

    @abc.abstractmethod
    def runs(self, name: str | None = None, state: str | None = None, limit: int = 100) -> list[Run]:
        """Recorded runs and spans, newest first."""

    @abc.abstractmethod
    def summary(self, name: str) -> Summary:
        """Counts of one task."""

    @abc.abstractmethod
    def turn(self, name: str, switch: Switch) -> None:
        """Turn the operator switch."""

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
    ) -> list[Finding]:
        """Hold what is recorded against what was declared, slot by slot.

        *pending* says from which slot on a task's slots are still to be taken; of the others those are
        pending that have been due for less than *grace* and that nothing newer has overtaken. What is
        pending is no finding. Without *since*, as far back as the history reaches.
        """
        findings: list[Finding] = []
        for name in self.names():
            try:
                rows = [run for run in self.runs(name, limit=2**31) if run.slot is not None]
                mark, pruned, declarations = self.mark(name), self.pruned(name), self.declarations(name)
            except KeyError:  # removed long ago, and forgotten just now
                continue
            end = until - grace if mark is None else min(until, max(mark, until - grace))
            if pending is not None and name in pending:
                end = min(end, pending[name] - datetime.timedelta(microseconds=1))
            findings += compare(name, declarations, rows, pruned, since, end)
        return findings


def compare(
    name: str,
    declarations: Sequence[Declaration],
    rows: Iterable[Run],
    pruned: Moment | None,
    since: Moment | None,
    until: Moment,
) -> list[Finding]:
    """Every slot of one task that has not exactly one outcome, as far as its history reaches back."""
    findings: list[Finding] = []
    by_epoch: dict[int, list[Run]] = collections.defaultdict(list)
    for row in rows:
        by_epoch[row.epoch].append(row)
    for recorded in by_epoch.values():
        findings += _doubles(name, recorded)
    lost: set[Moment] = set()
    for declaration in declarations:
        end = until if declaration.until is None else min(until, declaration.until)
        start = declaration.since if since is None else max(since, declaration.since)
        if pruned is not None and start < pruned:
            if since is not None:
                findings.append(Finding(name, pruned, "and those before it are not known: pruned"))
            start = pruned
        if declaration.owed:
            spans = sorted(_span(run) for run in by_epoch[declaration.epoch])
            lost.update(_uncovered(declaration.line, start, end, spans))
    return findings + [Finding(name, slot, "has no outcome") for slot in sorted(lost)]


def _span(run: Run) -> tuple[Moment, Moment]:
    """First and last slot of which a row is the outcome."""
    assert run.slot is not None
    return run.slot, run.last or run.slot


def _doubles(name: str, rows: Sequence[Run]) -> Iterator[Finding]:
    ordered = sorted(rows, key=_span)
    for before, row in itertools.pairwise(ordered):
        assert row.slot is not None
        if row.slot <= _span(before)[1]:
            yield Finding(name, row.slot, f"has two outcomes: {before.state} and {row.state}")


def _uncovered(line: Line, start: Moment, end: Moment, spans: Sequence[tuple[Moment, Moment]]) -> Iterator[Moment]:
    """The slots in ``(start, end]`` that lie in none of the ascending *spans*, each of which is passed over whole."""
    index, cursor = 0, start
    with contextlib.suppress(BrokenScheduleError):  # its slots are known until it broke
        while (slot := line.after(cursor)) is not None and slot <= end:
            while index < len(spans) and spans[index][1] < slot:
                index += 1
            if index < len(spans) and spans[index][0] <= slot:
                cursor = spans[index][1]
            else:
                cursor = slot
                yield slot
