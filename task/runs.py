"""``Run``: one execution of a task, and the outcome of each slot.

States and the ways between them::

    queued ──▶ running ──▶ succeeded | failed | cancelled | lost
       └─────▶ cancelled | lost

    skipped, missed: outcomes of slots that never ran; they are born final.

A final state never changes.
"""

from __future__ import annotations

import contextvars
import datetime
import enum
import os
import random
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from task.errors import NoRunError, RunCancelled, TransitionError

if TYPE_CHECKING:
    import schedule

    from task.schedules import Missed

__all__ = ["Run", "RunState", "Trigger", "current_run", "set_current_run"]

Moment = datetime.datetime

#: What started a run: its schedule, its schedule late, somebody by hand, a direct call, or the start.
Trigger = Literal["schedule", "catch-up", "manual", "call", "start"]


class RunState(enum.StrEnum):
    """The state of a run. It compares equal to its own text: ``run.state == "failed"``."""

    #: Admitted; waits for its executor.
    QUEUED = "queued"
    #: The body runs.
    RUNNING = "running"
    #: The body returned.
    SUCCEEDED = "succeeded"
    #: The body raised.
    FAILED = "failed"
    #: It was stopped, before or after it started.
    CANCELLED = "cancelled"
    #: The manager stopped, or its process died, before the body ended.
    LOST = "lost"
    #: A guard refused the slot, call or trigger; the reason says which.
    SKIPPED = "skipped"
    #: The slot passed while nothing could run it; the reason says why.
    MISSED = "missed"

    #: The states that can follow; none: it is final.
    following: tuple[RunState, ...]
    final: bool


_ENDS = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.LOST)
for _state in RunState:  # plain attributes: a property and a dictionary would cost a microsecond a run
    _state.following = ()
RunState.QUEUED.following = (RunState.RUNNING, RunState.CANCELLED, RunState.LOST)
RunState.RUNNING.following = _ENDS
for _state in RunState:
    _state.final = not _state.following

_lazy = threading.Lock()


def _after_fork() -> None:
    global _lazy
    _lazy = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Run:
    """One execution of a task, or one span of slots that had none.

    Read it; only the pipeline and the store write it.
    """

    __slots__ = (
        "_cancelled",
        "_count",
        "_ended",
        "_id",
        "epoch",
        "error",
        "finished_at",
        "holder",
        "jobs",
        "last_at",
        "missed",
        "outer",
        "parameters",
        "queued_at",
        "reason",
        "slot",
        "started_at",
        "state",
        "stopper",
        "task",
        "traceback",
        "trigger",
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
    ) -> None:
        #: The name of the task.
        self.task = task
        #: What started it.
        self.trigger = trigger
        #: When it was admitted, refused or found missed (aware UTC).
        self.queued_at = queued_at
        #: The slot that it is the outcome of (aware UTC); None for a run by hand.
        self.slot = slot
        #: What was passed to the body by name.
        self.parameters = parameters
        #: The schedules that named the slot.
        self.jobs = jobs
        self.state = state
        #: When the body started and ended (aware UTC).
        self.started_at: Moment | None = None
        self.finished_at: Moment | None = None
        #: Why it was skipped, missed, cancelled or lost.
        self.reason: str | None = None
        #: The exception of the body as one bounded line, and its traceback as bounded text.
        self.error: str | None = None
        self.traceback: str | None = None
        self._count = 1
        #: The newest moment of the skips that this row stands for.
        self.last_at: Moment | None = slot
        #: The span that was missed.
        self.missed: Missed | None = None
        #: How often the mark of the task had been set back when this was recorded.
        self.epoch = 0
        #: The run inside which this one was called, in the same thread or coroutine.
        self.outer: Run | None = None
        #: The pipeline that executes it: of several managers on one store, each ends its own.
        self.holder: object = None
        #: Stops an async body; set while it runs.
        self.stopper: Any = None
        self._id: str | None = None
        self._ended: threading.Event | None = None
        self._cancelled = False

    @property
    def id(self) -> str:
        """A UUID version 7 (RFC 9562): unique, and sortable by the time of the run."""
        if self._id is None:
            with _lazy:
                if self._id is None:
                    self._id = _uuid7(self.queued_at)
        return self._id

    @property
    def count(self) -> int:
        """How many skips or missed slots this row stands for; of missed ones 1 001 means "more than 1 000"."""
        return self._count if self.missed is None else self.missed.count

    @property
    def last(self) -> Moment | None:
        """The newest slot that this row is the outcome of."""
        return self.last_at if self.missed is None else self.missed.last

    def also(self, moment: Moment) -> None:
        """One more skip, of the slot at *moment*, for the same reason."""
        self._count += 1
        self.last_at = moment

    @property
    def duration(self) -> float | None:
        """Seconds from start to end; None until both are known."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()

    def is_cancelled(self) -> bool:
        """Whether the run was asked to stop. A body in a thread may look, and return early."""
        return self._cancelled

    def check_cancelled(self) -> None:
        """Raise `RunCancelled` if the run was asked to stop: the way for a body to end at once.

        >>> import datetime
        >>> Run("sample", "manual", datetime.datetime.now(datetime.timezone.utc)).check_cancelled()
        """
        if self._cancelled:
            raise RunCancelled(f"The run of task {self.task!r} was asked to stop.")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the run is final, at most *timeout* seconds; whether it is."""
        if self.state.final:
            return True
        with _lazy:
            if self._ended is None:
                self._ended = threading.Event()
        if self.state.final:
            return True
        return self._ended.wait(timeout)

    def to(self, state: RunState) -> None:
        """Move to *state*. Raises `TransitionError` where the diagram above has no arrow: a bug of ours."""
        if state not in self.state.following:
            raise TransitionError(f"Run {self.id} of task {self.task!r} cannot go from {self.state} to {state}.")
        self.state = state

    def to_skipped(self, reason: str) -> None:
        """A guard refused it before it was recorded: it is born final."""
        self.state, self.reason, self.finished_at = RunState.SKIPPED, reason, self.queued_at

    def ended(self) -> None:
        """Wake those who wait for the final state."""
        if self._ended is not None:
            self._ended.set()

    def ask_to_stop(self) -> None:
        """Ask the body to stop: a thread is told when it looks, a coroutine is cancelled."""
        self._cancelled = True
        if self.stopper is not None:
            self.stopper()

    def as_dict(self) -> dict[str, Any]:
        """The run as JSON-ready values; times in ISO 8601 with offset."""
        return {
            "id": self.id,
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
            "error": self.error,
        }

    def __repr__(self) -> str:
        return f"<Run of {self.task!r} {self.state} slot={_iso(self.slot)} trigger={self.trigger}>"


def _iso(moment: Moment | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _uuid7(moment: Moment) -> str:
    value = int(moment.timestamp() * 1000) & (1 << 48) - 1
    value = value << 80 | 0x7 << 76 | random.getrandbits(12) << 64 | 0b10 << 62 | random.getrandbits(62)
    text = f"{value:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


_current: contextvars.ContextVar[Run | None] = contextvars.ContextVar("task_current_run", default=None)

#: Sets the run of the present context; the pipeline alone calls it.
set_current_run = _current.set
peek_current_run = _current.get


def current_run() -> Run:
    """The run whose body is under way here. Raises `NoRunError` outside of one.

    >>> current_run()
    Traceback (most recent call last):
    task.errors.NoRunError: No run is under way here: call current_run() inside the body of a task.
    """
    run = _current.get()
    if run is None:
        raise NoRunError("No run is under way here: call current_run() inside the body of a task.")
    return run
