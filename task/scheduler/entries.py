"""What is on the heap, and the list of jobs that `schedule` makes public."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, MutableSequence
from typing import TYPE_CHECKING, Any

import schedule

from task.schedules import Due, Timetable

if TYPE_CHECKING:
    from task.scheduler.scheduler import Scheduler

__all__ = ["Entry", "JobList", "Timer"]

Moment = datetime.datetime


class Entry:
    """One task on the heap: its timetable, and whom to tell when something is due.

    ``fire(due)`` is called on the loop and must only hand over. ``catch_up()`` is called instead when
    late slots are to be run one by one; it gets them from `Scheduler.take_oldest`. ``set_back(now)``
    is told that the mark lay in a future that was wrong.
    """

    __slots__ = (
        "catch_up",
        "fire",
        "held",
        "hold",
        "key",
        "live",
        "mark",
        "name",
        "plain",
        "reason",
        "set_back",
        "timetable",
    )

    def __init__(
        self,
        name: str,
        timetable: Timetable,
        fire: Callable[[Due], None],
        *,
        catch_up: Callable[[], None] | None = None,
        set_back: Callable[[Moment], None] | None = None,
        hold: bool = False,
        plain: bool = False,
    ) -> None:
        self.name = name
        self.timetable = timetable
        self.fire = fire
        self.catch_up = catch_up
        self.set_back = set_back
        #: Off the heap from each firing until `Scheduler.release` (``fixed_delay``).
        self.hold = hold
        self.held = False
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
        return len(self._list())

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

    def remove(self, value: schedule.Job) -> None:
        if not self._scheduler.drop(value):
            raise ValueError(f"{value} is not scheduled")

    def __eq__(self, other: object) -> bool:
        return self._list() == (other._list() if isinstance(other, JobList) else other)

    __hash__ = None  # type: ignore[assignment]  # like a list

    def __repr__(self) -> str:
        return repr(self._list())
