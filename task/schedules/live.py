"""Live copies of the declared Jobs: what a manager works on, and what ``schedule.get_jobs()`` lists."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import schedule

from task.clock import as_local

if TYPE_CHECKING:
    from task.schedules.timetable import Line

__all__ = ["LiveJob", "cadence", "live_copy", "same_schedule", "started"]


class LiveJob(schedule.Job):
    """A Job whose ``next_run`` and ``last_run`` are read off when somebody asks: they cost nothing a run."""

    line: Line | None
    ran_at: datetime.datetime | None

    def __repr__(self) -> str:
        own: object = type(self).__mro__[2].__repr__  # of the class that this is a live copy of
        if self.unit is not None or own is not schedule.Job.__repr__:
            text: str = super().__repr__()  # type: ignore[no-untyped-call]  # schedule has no annotation there
            return text
        # A schedule of the user's own that sets no unit, which schedule's own `__repr__` wants.
        name = getattr(self.job_func, "__name__", "[None]")
        return f"{type(self).__name__} do {name}() (last run: {self.last_run}, next run: {self.next_run})"

    @property
    def next_run(self) -> datetime.datetime | None:
        """When it is due next, naive and local as `schedule` keeps it."""
        slot = None if self.line is None else self.line.next
        return None if slot is None else as_local(slot)

    @next_run.setter
    def next_run(self, value: datetime.datetime | None) -> None:
        """Its timetable plans it; what others write is not heard."""

    @property
    def last_run(self) -> datetime.datetime | None:
        """When a body last started for it, naive and local."""
        return None if self.ran_at is None else as_local(self.ran_at)

    @last_run.setter
    def last_run(self, value: datetime.datetime | None) -> None:
        """As with `next_run`."""


_live_classes: dict[type, Any] = {}


def _live_class(kind: type) -> Any:
    """The class of live copies of *kind*, with its name: ``repr`` and ``isinstance`` tell no difference."""
    made = _live_classes.get(kind)
    if made is None:
        namespace = {"__doc__": kind.__doc__, "__module__": kind.__module__}
        made = _live_classes[kind] = type(kind.__name__, (LiveJob, kind), namespace)
    return made


def live_copy(job: schedule.Job, name: str, tags: Iterable[str]) -> LiveJob:
    """A copy of a declared Job for the task *name*: the declaration itself may serve several managers."""
    hashed_by = getattr(job, "hashed_by", None)
    declared: schedule.Job = job if hashed_by is None else hashed_by(name)
    kind = _live_class(type(declared))
    if any("__slots__" in vars(base) for base in type(declared).__mro__):
        live: LiveJob = copy.copy(declared)  # type: ignore[assignment]  # its class is set on the next line
        live.__class__ = kind
    else:  # attribute by attribute, so that all live copies share their keys: a third of the memory
        live = kind.__new__(kind)
        for attribute, value in vars(declared).items():
            if attribute not in ("last_run", "next_run"):
                setattr(live, attribute, value)
    live.tags = {*job.tags, *tags} if job.tags or tags else set()
    live.line = live.ran_at = None
    return live


def cadence(job: schedule.Job) -> str:
    """What ``repr(job)`` says before `` do ``; the class of a user's own schedule that says nothing."""
    if job.unit is None and type(job).__repr__ is schedule.Job.__repr__:
        return type(job).__name__
    bare = copy.copy(job)
    bare.job_func = None  # its parameters are not to be shown, and may be long, secret, or raise
    try:
        return repr(bare).partition(" do ")[0]
    except Exception:  # a user's own
        return type(job).__name__


_OF_A_COPY = {"job_func", "last_run", "line", "next_run", "ran_at", "scheduler", "tags", "_pattern"}


def same_schedule(one: schedule.Job, other: schedule.Job) -> bool:
    """Whether two live Jobs were made from equal declarations."""
    if type(one) is not type(other):
        return False
    mine, theirs = ({key: value for key, value in vars(job).items() if key not in _OF_A_COPY} for job in (one, other))
    for zones in (mine, theirs):
        zones["at_time_zone"] = str(zones.get("at_time_zone"))
    return mine == theirs


def started(jobs: Iterable[schedule.Job], now: datetime.datetime) -> None:
    """A body starts for these jobs."""
    for job in jobs:
        if isinstance(job, LiveJob):
            job.ran_at = now
