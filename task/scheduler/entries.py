"""What is on the heap, and the list of jobs that `schedule` makes public."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, MutableSequence
from typing import TYPE_CHECKING, Any, Protocol

import schedule

from task.schedules import Due, Timetable

if TYPE_CHECKING:
    from task.scheduler.scheduler import Scheduler

__all__ = ["Client", "Entry", "JobList", "PlainJob", "Timer"]

Moment = datetime.datetime


class Client(Protocol):
    """Whom an entry's timetable belongs to, and who is told when something is due."""

    @property
    def name(self) -> str:
        """For messages."""

    def fire(self, due: Due) -> None:
        """Something is due. Called on the loop: it must only hand over."""

    def catch_up(self) -> None:
        """Late slots are to be run one by one; `Scheduler.take_oldest` gives them. Called on the loop."""

    def set_back(self, now: Moment) -> None:
        """The mark lay in a future that was wrong."""

    def broke(self) -> None:
        """The computation of a schedule failed: nothing of it is due any more."""


class Entry:
    """One task on the heap: its timetable and its client."""

    __slots__ = (
        "client",
        "freed_at",
        "held",
        "hold",
        "holder",
        "key",
        "live",
        "mark",
        "plain",
        "reason",
        "timetable",
    )

    def __init__(self, client: Client, timetable: Timetable, *, hold: bool = False, plain: bool = False) -> None:
        self.client = client
        self.timetable = timetable
        #: Off the heap from each firing until `Scheduler.release` (``fixed_delay``).
        self.hold = hold
        self.held = False
        #: Whose end it waits for while it is held: a run before it was stopped must not release it.
        self.holder: object = None
        #: When that last ended (wall time).
        self.freed_at: Moment | None = None
        #: A job of plain `schedule`, which has no task.
        self.plain = plain
        #: When it is due, in wall time; None while it is not on the heap.
        self.key: Moment | None = None
        #: The newest slot that was taken.
        self.mark: Moment | None = None
        #: False once it was removed.
        self.live = True
        #: Why the schedule is broken, or None.
        self.reason: str | None = None


class PlainJob:
    """The client of a job of plain `schedule`."""

    __slots__ = ("job", "scheduler")

    def __init__(self, job: schedule.Job, scheduler: Scheduler) -> None:
        self.job = job
        self.scheduler = scheduler

    @property
    def name(self) -> str:
        """What `schedule` calls the job."""
        return str(self.job)

    def fire(self, due: Due) -> None:
        """Hand the job over where a manager runs the loop; else run it here, as `schedule` does."""
        if self.scheduler.run_plain is not None and self.scheduler.is_running():
            self.scheduler.run_plain(self.job)
        else:
            self.scheduler.run_job(self.job)

    def catch_up(self) -> None:
        """Never called: a plain job runs its newest late slot."""

    def set_back(self, now: Moment) -> None:
        """It has no mark beside its entry's."""

    def broke(self) -> None:
        """It has no record."""


class Timer:
    """A call at a moment, on the loop; it must only hand over."""

    __slots__ = ("call", "key")

    def __init__(self, call: Callable[[], None]) -> None:
        self.key: Moment | None = None
        self.call = call


class JobList(MutableSequence[schedule.Job]):
    """The jobs of a scheduler as a list that may be changed while the loop runs; O(1) to append and remove."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def _list(self) -> list[schedule.Job]:
        return self._scheduler.all_jobs()

    def __len__(self) -> int:
        return self._scheduler.count()

    def __iter__(self) -> Iterator[schedule.Job]:
        return iter(self._list())

    def __contains__(self, job: object) -> bool:
        return self._scheduler.has(job)

    def __getitem__(self, index: Any) -> Any:
        return self._list()[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        jobs = self._list()
        jobs[index] = value
        keep = {id(job) for job in jobs}
        for job in self._list():
            if id(job) not in keep:
                self._scheduler.drop(job)
        for job in jobs:
            if job not in self:
                self._scheduler.add(job)

    def __delitem__(self, index: Any) -> None:
        found = self._list()[index]
        for job in found if isinstance(index, slice) else [found]:
            self._scheduler.drop(job)

    def insert(self, index: int, value: schedule.Job) -> None:
        self._scheduler.add(value)

    def append(self, value: schedule.Job) -> None:
        self._scheduler.add(value)  # the mixin's own would ask for the length first

    def remove(self, value: schedule.Job) -> None:
        if not self._scheduler.drop(value):
            raise ValueError(f"{value} is not scheduled")

    def __eq__(self, other: object) -> bool:
        return self._list() == (other._list() if isinstance(other, JobList) else other)

    __hash__ = None  # type: ignore[assignment]  # like a list

    def __repr__(self) -> str:
        return repr(self._list())
