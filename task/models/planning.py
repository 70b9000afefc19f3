"""From a declaration to its entry on the heap: live copies of the Jobs, their anchors, their first slots."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import schedule

from task.errors import BrokenScheduleError, DeclarationError, ScheduleError
from task.log import logger
from task.models.function import TaskFunction
from task.pipeline import Binding
from task.runs import Redactor
from task.scheduler import LONGEST_LEAD, Entry
from task.schedules import (
    Line,
    LiveJob,
    Missed,
    OnceJob,
    Timetable,
    first_from,
    follows_elapsed_time,
    identity,
    live_copy,
    shorten,
)
from task.stores import Declaration

__all__ = ["plan_entry", "resume_entry"]

Moment = datetime.datetime

_TICK = datetime.timedelta(microseconds=1)


def plan_entry(task: TaskFunction[..., Any], binding: Binding) -> Entry | None:
    """The entry of a task that is scheduled for the first time; None for one that is only triggered.

    Raises `ScheduleError` when none of a schedule's slots is left, or ever was to come, and
    `DeclarationError` when its slots lie closer together than the jitter.
    """
    spec, store = binding.spec, binding.pipeline.store
    jobs = [_live_copy(task, binding, declared) for declared in spec.schedules]
    store.enlist(binding.name, jobs, binding.pipeline.clock.now())
    if not jobs:
        return None
    timetable = Timetable(
        spec.name,
        misfire=spec.misfire,
        grace=datetime.timedelta(seconds=spec.misfire_grace),
        jitter=spec.jitter,
    )
    entry = Entry(binding, timetable, hold=spec.fixed_delay)
    retired = store.retired(binding.name)
    planned = [_add(entry, binding, job) for job in jobs if not retired or identity(job) not in retired]
    for line, since in filter(None, planned if entry.reason is None else ()):
        binding.declare(line, since)
    if store.shared:
        _resume(entry, binding)
    return entry


def _resume(entry: Entry, binding: Binding) -> None:
    """Go on where the last process ended: from its mark, within the window in which what came due is caught up."""
    store, now = binding.pipeline.store, binding.pipeline.clock.now()
    mark = entry.mark = store.mark(binding.name)
    if binding.spec.fixed_delay:
        moment = store.resume_from(binding.name)
        entry.held = moment is None  # a run of it is under way elsewhere
        if moment is not None:
            for line in entry.timetable.lines:
                line.anchor = moment
            entry.timetable.restart(moment)
        return
    if mark is not None and mark - now > LONGEST_LEAD:  # the clock of a process before had been wrong
        logger.warning("The mark of task %r, %s, is more than a day ahead: set back to now", binding.name, mark)
        store.set_back(binding.name, now)
        entry.mark = now
        entry.timetable.restart(now)
        for line in entry.timetable.lines:
            binding.declare(line, now)
        return
    oldest, start = entry.timetable.next_slot(), now - datetime.timedelta(seconds=binding.pipeline.catch_up_window)
    if oldest is not None and oldest < start:
        lines = [line for line in entry.timetable.lines if line.next is not None and line.next < start]
        missed = Missed(oldest, start, lines)
        for line in lines:
            line.next = line.after(start - _TICK)
        store.miss(binding.name, missed, "older than the catch-up window when a process came back", now)


class _Call:
    """The ``job_func`` of a live Job: what `schedule` would make a partial for, with less."""

    __slots__ = ("func",)
    args = ()

    def __init__(self, func: TaskFunction[..., Any]) -> None:
        self.func = func

    @property
    def keywords(self) -> Mapping[str, Any]:
        """What ``repr(job)`` shows of the parameters: no secrets."""
        spec = self.func.spec
        return Redactor(spec.policy.redact, spec.parameters).mapping(spec.parameters)

    @property
    def __name__(self) -> str:
        return self.func.__name__

    def __call__(self) -> Any:
        return self.func(**self.func.spec.parameters)


def _live_copy(task: TaskFunction[..., Any], binding: Binding, declared: schedule.Job) -> LiveJob:
    job = live_copy(declared, binding.name, binding.spec.tags)
    job.scheduler = binding.pipeline.scheduler
    job.job_func = _Call(task)  # type: ignore[assignment]  # reads like the partial it stands for
    return job


def _add(entry: Entry, binding: Binding, job: LiveJob) -> tuple[Line, Moment] | None:
    """Plan one schedule; what is to be declared of it, if anything."""
    spec, now = binding.spec, _now(binding, job)
    anchor = after = binding.wanted_at or now
    store = binding.pipeline.store
    known = store.declared(binding.name, job)
    if known is not None:
        anchor = known[0]
        if store.shared and not spec.fixed_delay:  # what came due while no process lived
            after = max(known[1], store.mark(binding.name) or known[1])
    elif spec.start is not None:
        anchor = first_from(job, spec.start.astimezone(datetime.UTC))
        after = max(now, anchor - _TICK)
    if isinstance(job, OnceJob) and job.moment <= now and (known is None or not store.shared):
        after = job.moment.astimezone(datetime.UTC) - _TICK
        if known is None and now - job.moment > entry.timetable.grace:
            _miss_past_moment(binding, job, after, now)
            return None
    try:
        line = entry.timetable.add(job, anchor, after)
        _check_jitter(binding, line)
    except BrokenScheduleError as error:
        _mark_broken(entry, binding, error)
        return None
    if line.next is None and known is not None:
        entry.timetable.remove(job)  # its last slot has its outcome
        return None
    if line.next is None:
        raise ScheduleError(
            f"Task {binding.name!r}: {shorten(job, 120)} is never due after {after.isoformat(timespec='seconds')}. "
            "Give a later end, or leave it out."
        )
    job.line = line
    if known is None:
        return line, after
    return (line, known[1]) if store.shared else None


def _now(binding: Binding, job: schedule.Job) -> Moment:
    """Now, as the schedule counts it: intervals stay ahead of a wall clock that went back."""
    scheduler = binding.pipeline.scheduler
    assert scheduler is not None
    return scheduler.elapsed_now() if follows_elapsed_time(job) else binding.pipeline.clock.now()


def _check_jitter(binding: Binding, line: Line) -> None:
    """Refuse a jitter that would carry a start past the next slot, as far as a few slots tell."""
    slot, jitter = line.next, binding.spec.jitter
    for _ in range(5 if jitter else 0):
        following = None if slot is None else line.after(slot)
        if slot is None or following is None:
            return
        if (following - slot).total_seconds() <= jitter:
            raise DeclarationError(
                f"Task {binding.name!r}: a jitter of {jitter} seconds does not fit between the slots of "
                f"{shorten(line.job, 120)}."
            )
        slot = following


def _miss_past_moment(binding: Binding, job: OnceJob, after: Moment, now: Moment) -> None:
    store = binding.pipeline.store
    line = Line(job, now, binding.name)
    store.declare(binding.name, Declaration(line, after, until=now))
    moment = after + _TICK
    store.miss(binding.name, Missed.one(moment), "past when the task was registered", now)
    logger.warning("Task %r: %s was past when it was registered; it is recorded as missed", binding.name, job.words)


def _mark_broken(entry: Entry, binding: Binding, error: Exception) -> None:
    binding.broke()
    entry.reason = f"{type(error).__name__}: {error}"[:300]
    logger.error("The schedule of task %r is broken and it will not run: %s", binding.name, entry.reason)


def resume_entry(binding: Binding) -> None:
    """Plan again after `stop`: from the mark on, so that what came due meanwhile follows the misfire policy."""
    entry, store = binding.entry, binding.pipeline.store
    assert entry is not None
    entry.held, entry.holder, entry.reason, entry.timetable.behind = False, None, None, False
    mark = store.mark(binding.name)
    declared = store.declarations(binding.name)
    for line in entry.timetable.lines:
        now = _now(binding, line.job)
        if entry.hold:
            line.anchor = now
        since = min((one.since for one in declared if one.line.job is line.job), default=now)
        try:
            line.next = line.after(now if entry.hold else since if mark is None else max(mark, since))
        except BrokenScheduleError as error:
            _mark_broken(entry, binding, error)
