"""``explain``: why a task runs at a moment, or does not: what was, from the record, and what will be."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import Any

from task.errors import UnknownTaskError
from task.foresight.grounds import (
    active_of,
    clock_of,
    conditions_of,
    guard_of,
    misfire_of,
    pause_at,
    run_text,
    schedule_of,
    switch_at,
)
from task.foresight.moments import Reading, read_moment
from task.foresight.outcomes import absent, other_runs, told_of
from task.foresight.reasons import TICK, Case, Explanation, Reason, Span
from task.models import TaskFunction, TaskManager
from task.overview import Overview, zone_of
from task.runs import Run
from task.schedules import Line

__all__ = ["explain"]

Moment = datetime.datetime


def explain(manager: TaskManager, task: str, moment: Moment | str = "now") -> Explanation:
    """Whether a task, or recurring entry, runs or ran at a moment, and the chain of reasons for that.

    *moment* is a datetime, or its text: ``2026-10-25 02:30``. Without an offset it is read in the zone of the task's
    schedule; without seconds it stands for that minute. What was, is told from the record; what will be, from what is
    declared and how the switches stand. Nothing is run, and only `business_days` and `business_hours` are asked.

    Raises `UnknownTaskError`, `ParameterError` for what is no moment, and `StoreError`.

    >>> import datetime
    >>> from task import TaskManager, cron
    >>> manager = TaskManager([])
    >>> report = manager.add(lambda: None, cron("30 2 * * *", tz="Europe/Amsterdam"), name="report")
    >>> found = explain(manager, "report", "2050-10-30 02:30")
    >>> found.verdict, found.slot.isoformat()
    ('would run', '2050-10-30T00:30:00+00:00')
    >>> print(found.reasons[1].text)
    every day at 02:30 in Europe/Amsterdam (30 2 * * *) has a slot at Sun 30 Oct 2050 02:30 CEST.
    """
    now, found = manager.clock.now(), _found(manager, task)
    spans = _spans(manager, task, now)
    rows = [row for row in manager.store.outcomes(task) if row.slot is not None]
    loose = any(span.until is None and not span.owed for span in spans)
    planned = _planned(manager, task) if loose else None

    def slot_in(start: Moment, end: Moment) -> Moment | None:
        return _slot_in(spans, rows, planned, start, end)

    zones = list(dict.fromkeys(zone_of(span.line.job) for span in spans))
    reading = read_moment(moment, now, zones, lambda start, end: slot_in(start, end) is not None)
    slot = slot_in(reading.moment, reading.moment + reading.width)
    row = None if slot is None else _row_of(rows, slot)
    case = Case(manager, task, found, now, reading.moment, reading.width, spans, rows, planned, slot, row)
    reasons = tuple(_reasons(case, reading))
    return Explanation(task, reading.moment, _verdict(case, reasons), reasons, slot, None if row is None else row.id)


# What is known.


def _found(manager: TaskManager, name: str) -> TaskFunction[..., Any] | None:
    """The task; None of one that is on record only. Raises `UnknownTaskError`."""
    try:
        return manager[name]
    except UnknownTaskError:
        if name in manager.store.names():
            return None
        raise


def _spans(manager: TaskManager, name: str, now: Moment) -> list[Span]:
    """Its schedules, as they are on record; those in the code, where no process has run them yet."""
    declared = manager.store.declarations(name)
    if declared or name not in manager:
        return [Span(one.line, one.since, one.until, one.owed) for one in declared]
    fixed_delay = manager[name].spec.fixed_delay
    lines = [Line(job, now, name) for job in manager[name].schedules]
    return [Span(line, now, None, line.job.latest is None and not fixed_delay) for line in lines]


def _planned(manager: TaskManager, name: str) -> Moment | None:
    """Its next slot, where that is counted from what ran."""
    try:
        return next((one.at for one in Overview(manager).upcoming(name, limit=1)), None)
    except UnknownTaskError:  # it is on record, but nobody has it any more
        return None


def _slot_in(
    spans: Sequence[Span], rows: Sequence[Run], planned: Moment | None, start: Moment, end: Moment
) -> Moment | None:
    """The first slot from *start* on and before *end*: on record, by a schedule that is in force then, or planned."""
    found = [slot for row in rows for slot in (row.slot, row.last) if slot is not None and start <= slot < end]
    found += [slot for span in spans if (slot := span.first_in(start, end)) is not None]
    if planned is not None and start <= planned < end:
        found.append(planned)
    return min(found, default=None)


def _row_of(rows: Sequence[Run], slot: Moment) -> Run | None:
    covering = [row for row in rows if row.slot is not None and row.slot <= slot <= (row.last or row.slot)]
    return max(covering, key=lambda row: row.epoch, default=None)


# What is told.


def _reasons(case: Case, reading: Reading) -> Iterator[Reason]:
    if reading.note is not None:
        yield Reason("moment", None, reading.note)
    yield from schedule_of(case)
    yield from clock_of(case)
    if case.row is not None and case.slot is not None:
        yield from told_of(case, case.row, case.slot)
    elif case.slot is not None and case.slot <= case.now:
        yield from _wanted(case, case.slot)
        yield absent(case, case.slot)
    elif case.slot is not None:
        yield from _process(case)
        yield from _wanted(case, case.slot)
        yield from _guarded(case)
    elif abs(case.now - case.moment) < datetime.timedelta(minutes=1):  # how it stands now, all the same
        yield from _process(case)
        yield from _wanted(case, case.moment)
        yield from (Reason("guard", None, f"Now there is {run_text(case, run)}.") for run in active_of(case)[:1])
    yield from other_runs(case)


def _wanted(case: Case, slot: Moment) -> Iterator[Reason]:
    """Whether somebody wants it to run."""
    yield switch_at(case, slot)
    pause = pause_at(case, slot)
    if pause is not None:
        yield pause
    yield from conditions_of(case, slot)


def _guarded(case: Case) -> Iterator[Reason]:
    yield from (reason for reason in (guard_of(case), misfire_of(case)) if reason is not None)
    jitter = 0.0 if case.task is None else case.task.spec.jitter
    if jitter:
        yield Reason(
            "jitter", None, f"Its start is delayed by up to {jitter:g} s (jitter); its slot stays where it is."
        )


def _process(case: Case) -> Iterator[Reason]:
    """Whether anybody runs it now."""
    health = Overview(case.manager).health()
    if not health.healthy and health.state != "running":
        yield Reason("process", None, "No process runs it now: a slot that comes until one does is late, or missed.")


def _verdict(case: Case, reasons: Sequence[Reason]) -> str:
    if case.slot is None:
        return "no slot"
    if case.row is not None:
        return str(case.row.state)
    if case.slot > case.now:
        stopped = any(reason.holds is False for reason in reasons)
        return "would be skipped" if stopped else "would run"
    pruned, mark = case.manager.store.pruned(case.name), case.manager.store.mark(case.name)
    if pruned is not None and case.slot <= pruned:
        return "not known"
    if mark is None or case.slot > mark:
        return "due"
    found = case.manager.audit(case.slot - TICK, case.slot)
    return "no outcome" if any(one.task == case.name for one in found) else "not known"
