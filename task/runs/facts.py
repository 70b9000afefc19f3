"""What is known of a run: the facts that the history keeps."""

from __future__ import annotations

import datetime
import functools
import itertools
import os
import random
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from task.runs.log import LogLine, RunLog
from task.runs.redaction import Redactor
from task.runs.states import RunState, Trigger
from task.runs.waits import NO_DELAYS, Waits

if TYPE_CHECKING:
    import schedule

    from task.runs.run import Run
    from task.schedules import Missed
    from task.tracing import RunTrace

__all__ = ["NOTHING", "OUT_OF_TIME", "Attempt", "Holder", "ParentResults", "RunFacts", "lowest_id", "new_id"]

Moment = datetime.datetime

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)

#: Of its own: a program that seeds the common one, for results that can be had again, has other ids all the same.
_random = random.Random()

#: Stands for "no value is kept": None is one.
NOTHING: Any = object()

#: Why a body was asked to stop when its time was up. Nobody else asks so: it is no reason for people.
OUT_OF_TIME = "(past its time limit)"


class Holder(Protocol):
    """Who executes a run, and so can end it: the task's tie to its manager, or another process's stand-in."""

    @property
    def artifact_folder(self) -> str | None:
        """Where its runs keep their artifacts; None without such a folder."""

    def cancel(self, run: Run, reason: str, by: str | None) -> bool:
        """Somebody cancels it, who is named or not: `withdraw`, and keep that in the journal."""

    def withdraw(self, run: Run, reason: str) -> bool:
        """End a run that has not started; ask one that has. False when it had ended."""

    def awaited(self, run: Run) -> None:
        """Somebody waits for its end here."""

    def moment(self) -> Moment | None:
        """Now, where its runs go by another clock than the machine's."""

    def progressed(self, run: Run) -> None:
        """The body has told how far it is."""

    def waits_for_this_thread(self) -> bool:
        """Whether what is queued of it cannot start before the body ends that this thread is in."""


class Attempt(NamedTuple):
    """One attempt of a run."""

    #: The first is 1.
    number: int
    #: When it started and ended (aware UTC).
    started_at: Moment | None
    finished_at: Moment | None
    #: Its exception as one bounded line, and the traceback as bounded text.
    error: str | None
    traceback: str | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "number": self.number,
            "started_at": _iso(self.started_at),
            "finished_at": _iso(self.finished_at),
            "error": self.error,
        }


class ParentResults(dict[str, Any]):
    """What the tasks returned that a chained run comes after, by their names.

    A parameter of a body that is annotated with it is filled in.
    """


class RunFacts:
    """The facts of one run; `Run` adds what can be done with it."""

    #: Guards what is made when it is first asked for. Its holder may take it again: a collected object that logs in its
    #: ``__del__`` can come in between.
    _lazy = threading.RLock()

    __slots__ = (
        "__weakref__",
        "_attempts",
        "_count",
        "_host",
        "_id",
        "_log",
        "_made",
        "_parent_id",
        "_value",
        "_waiters",
        "aside",
        "asked",
        "attempt",
        "attempt_started_at",
        "changed",
        "declared",
        "delays",
        "due_again",
        "epoch",
        "error",
        "finished_at",
        "held_up_by",
        "holder",
        "inputs",
        "jobs",
        "last_at",
        "masked",
        "message",
        "missed",
        "next_at",
        "outer",
        "overrunning",
        "owner",
        "parameters",
        "process",
        "progress",
        "queued_at",
        "reason",
        "redactor",
        "result_is_json",
        "result_text",
        "slot",
        "started_at",
        "state",
        "stopper",
        "task",
        "thread",
        "timer",
        "token",
        "trace",
        "traceback",
        "trigger",
        "waited",
        "waiting",
        "waits",
    )

    def __init__(
        self,
        task: str,
        trigger: Trigger,
        queued_at: Moment,
        *,
        slot: Moment | None = None,
        parameters: Mapping[str, Any] | None = None,
        jobs: tuple[schedule.Job, ...] = (),
        state: RunState = RunState.QUEUED,
        parent_id: str | None = None,
    ) -> None:
        #: The name of the task.
        self.task = task
        #: What started it.
        self.trigger = trigger
        #: When it was admitted, refused or found missed (aware UTC).
        self.queued_at = queued_at
        #: The slot that it is the outcome of (aware UTC); None for a run by hand.
        self.slot = slot
        #: What is passed to the body by name. Secret ones are masked as soon as the run has ended.
        self.parameters = parameters
        #: The schedules that named the slot.
        self.jobs = jobs
        self.state = state
        #: When the first attempt started, and the last one ended (aware UTC).
        self.started_at: Moment | None = None
        self.finished_at: Moment | None = None
        #: What its start was delayed by, the gravest first, in seconds: they add up to `lateness`, or where it has no
        #: slot to its wait since `queued_at`. Empty before the start, and for a run that was on time (0.1 s or less).
        self.delays: Mapping[str, float] = NO_DELAYS
        #: Which attempt is under way, or was the last; 0 before the first.
        self.attempt = 0
        #: When that attempt started (aware UTC).
        self.attempt_started_at: Moment | None = None
        #: Why it was skipped, missed, cancelled or lost, or what it waits for.
        self.reason: str | None = None
        #: The exception of the last attempt as one bounded line, and its traceback as bounded text.
        self.error: str | None = None
        self.traceback: str | None = None
        #: What the body returned, as bounded text: JSON where it can be, else its ``repr``. None for None.
        self.result_text: str | None = None
        #: Whether that is the whole result, as JSON.
        self.result_is_json = False
        #: How far the body is, in percent, and what it said of that.
        self.progress: float | None = None
        self.message = ""
        #: Where it runs: the process, and the thread by name.
        self.process: int | None = None
        self.thread: str | None = None
        self._count = 1
        #: The newest moment of the skips that this row stands for.
        self.last_at: Moment | None = slot
        #: The span that was missed.
        self.missed: Missed | None = None
        #: The process that runs it, of those that share the store.
        self.owner: str | None = None
        #: Grows with each run that is admitted, and with each process that takes one over. What a body writes to can
        #: refuse a smaller one than it has seen: that of a process which was thought dead, and comes back.
        self.token = 0
        #: When its next attempt is due, while it waits for that.
        self.next_at: Moment | None = None
        #: Whether its parameters are those of the declaration.
        self.declared = False
        #: What its process said of it after it had been thought dead: state, error and result.
        self.aside: Mapping[str, Any] | None = None
        #: How often the mark of the task had been set back when this was recorded.
        self.epoch = 0
        #: True while it waits for other runs to end (``overlap="queue"``, ``mutex``), and whether it ever did.
        self.waiting = self.waited = False
        #: What it waits for, as far as that was noted; None where it goes straight to its executor.
        self.waits: Waits | None = None
        #: Who had its place when it came to its executor: a task, or "" where that is not known. None: it was free.
        self.held_up_by: str | None = None
        #: The run inside which this one was called, in the same thread or coroutine.
        self.outer: Run | None = None
        #: Who executes it: of several managers on one store, each ends its own.
        self.holder: Holder | None = None
        #: Really stops the body (its process, its coroutine); set by who executes it, while that is possible.
        self.stopper: Callable[[], object] | None = None
        #: Why the body was asked to stop (`OUT_OF_TIME`, or a reason for people); None as long as it was not.
        self.asked: str | None = None
        #: True while its body goes on past its time, and cannot be stopped.
        self.overrunning = False
        #: True when its next attempt waits for that.
        self.due_again = False
        #: What is on the scheduler's heap for it: its time limit, or its next attempt.
        self.timer: Any = None
        #: Draws it as spans while it is under way, where somebody wants that.
        self.trace: RunTrace | None = None
        #: What the tasks returned that it comes after.
        self.inputs: ParentResults | None = None
        #: Masks secrets, where there are any; and the parameters without them, for when the run has ended.
        self.redactor: Redactor | None = None
        self.masked: Mapping[str, Any] | None = None
        #: Grows with each change on the ledger, over all runs: who follows them asks for larger ones.
        self.changed = 0
        self._parent_id = parent_id
        self._host: str | None = None
        self._id: str | None = None
        self._made = next(_made)
        self._log: RunLog | None = None
        self._attempts: list[Attempt] | None = None
        self._waiters: list[Callable[[Run], object]] | None = None
        self._value: Any = NOTHING

    # What it is.

    @property
    def id(self) -> str:
        """A UUID version 7 (RFC 9562): unique, and sortable by the time of the run."""
        if self._id is None:
            with self._lazy:
                if self._id is None:
                    self._id = new_id(self.queued_at, self._made)
        return self._id

    def comes_before(self, other: RunFacts) -> None:
        """It was made later, at the same moment, but is to sort before it: as long as nobody has asked for the ids."""
        self._made, other._made = other._made, self._made

    @property
    def parent_id(self) -> str | None:
        """The run that it comes from: which called or triggered it, or which it was chained to."""
        return self._parent_id if self.outer is None else self.outer.id

    @property
    def host(self) -> str:
        """The machine that it runs on, by its network name."""
        return self._host or _this_host()

    @host.setter
    def host(self, name: str) -> None:
        self._host = name

    @property
    def count(self) -> int:
        """How many skips or missed slots this row stands for; of missed ones 1 001 means "more than 1 000"."""
        return self._count if self.missed is None else self.missed.count

    @property
    def last(self) -> Moment | None:
        """The newest slot that this row is the outcome of."""
        return self.last_at if self.missed is None else self.missed.last

    @property
    def duration(self) -> float | None:
        """Seconds from start to end, waits between attempts included; None until both are known."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def lateness(self) -> float | None:
        """Seconds from the slot to the start of the body; None for a run by hand, and before the start."""
        if self.started_at is None or self.slot is None:
            return None
        return (self.started_at - self.slot).total_seconds()

    @property
    def attempts(self) -> list[Attempt]:
        """The attempts so far, the one under way included."""
        ended = list(self._attempts or ())
        if self.attempt > len(ended):
            last = Attempt(self.attempt, self.attempt_started_at, self.finished_at, self.error, self.traceback)
            ended.append(last)
        return ended

    def ended_attempts(self) -> list[Attempt]:
        """The attempts that another followed, or is to follow."""
        return list(self._attempts or ())

    @property
    def log(self) -> list[LogLine]:
        """The lines that were logged inside it, oldest first; of very many, the first and the newest."""
        return [] if self._log is None else self._log.lines()

    @property
    def log_dropped(self) -> int:
        """How many lines were dropped to keep the log bounded."""
        return 0 if self._log is None else self._log.dropped

    @property
    def log_head(self) -> int:
        """After how many lines of `log` those are missing that were dropped."""
        return 0 if self._log is None else self._log.head

    def as_dict(self) -> dict[str, Any]:
        """The run as JSON-ready values, secrets masked; times in ISO 8601 with offset."""
        return {
            "id": self.id,
            "parent_id": self.parent_id,
            "task": self.task,
            "trigger": self.trigger,
            "state": str(self.state),
            "reason": self.reason,
            "slot": _iso(self.slot),
            "last": _iso(self.last),
            "count": self.count,
            "queued_at": _iso(self.queued_at),
            "started_at": _iso(self.started_at),
            "finished_at": _iso(self.finished_at),
            "duration": self.duration,
            "lateness": self.lateness,
            "delays": dict(self.delays),
            "attempt": self.attempt,
            "token": self.token,
            "attempts": [attempt.as_dict() for attempt in self.attempts],
            "progress": self.progress,
            "message": self.message,
            "result": self.result_text,
            "error": self.error,
            "host": self.host,
            "process": self.process,
            "thread": self.thread,
            "aside": None if self.aside is None else dict(self.aside),
        }

    def __repr__(self) -> str:
        return f"<Run of {self.task!r} {self.state} slot={_iso(self.slot)} trigger={self.trigger}>"


def _iso(moment: Moment | None) -> str | None:
    return None if moment is None else moment.isoformat()


@functools.cache
def _this_host() -> str:
    import platform  # loaded when somebody asks

    return platform.node()


#: Grows with each run: those of one microsecond, in one process, have ids in the order in which they were made.
_made = itertools.count(_random.getrandbits(25))


def new_id(moment: Moment, made: int | None = None) -> str:
    """A UUID version 7 of a moment: RFC 9562, its methods 3 and 1: ids sort by their microsecond, then by *made*."""
    made = next(_made) if made is None else made
    return _id_of((moment - _EPOCH) // _MICROSECOND, (made & (1 << 26) - 1) << 36 | _random.getrandbits(36))


def lowest_id(moment: Moment) -> str:
    """Below the ids of that moment and later, above those of any moment before.

    >>> moment = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)
    >>> lowest_id(moment)
    '019df2dc-0a00-7000-8000-000000000000'
    """
    return _id_of((moment - _EPOCH) // _MICROSECOND, 0)


def _id_of(micros: int, low: int) -> str:
    value = (micros // 1000 & (1 << 48) - 1) << 80 | 0x7 << 76 | (micros % 1000 * 4096 // 1000) << 64
    text = f"{value | 0b10 << 62 | low:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _after_fork() -> None:
    RunFacts._lazy = threading.RLock()
    _random.seed()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
