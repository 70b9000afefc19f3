"""What is on record of a slot, as reasons: who took it, what came of it, or why nothing did."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from task.foresight.grounds import conditions_of, guarded, misfire_of, pause_at, switch_at
from task.foresight.reasons import TICK, Case, Reason
from task.overview import duration_text, started_text
from task.runs import Attempt, Run, RunState

__all__ = ["absent", "other_runs", "told_of"]

Moment = datetime.datetime

#: So many runs that came from no slot are told.
_OTHERS = 3


def told_of(case: Case, row: Run, slot: Moment) -> Iterator[Reason]:
    """The chain of what is on record: the record decides, also where a switch was turned at that very moment."""
    if row.state is RunState.MISSED:
        yield from _missed(case, row)
    elif row.state is RunState.SKIPPED:
        yield from _skipped(case, row, slot)
    else:
        yield from _ran(case, row, slot)
    yield _outcome(case, row)


def _missed(case: Case, row: Run) -> Iterator[Reason]:
    policy = misfire_of(case)
    told = "" if policy is None else f" {policy.text}"
    yield Reason("misfire", False, f"It was missed: {row.reason or 'nothing ran it in time'}.{told}")


def _skipped(case: Case, row: Run, slot: Moment) -> Iterator[Reason]:
    switch, guard = switch_at(case, slot), guarded(case, row, slot)
    if row.reason == "disabled":
        yield switch._replace(holds=False)
        return
    yield switch._replace(holds=True)
    if row.reason == "paused":
        pause = pause_at(case, slot)
        yield Reason("pause", False, "All tasks were paused." if pause is None else pause.text)
    elif guard is not None:
        yield guard
    else:
        refused = [reason for reason in conditions_of(case, slot) if reason.holds is False]
        yield from refused or [Reason("only_if", False, f"A condition refused it: {row.reason or 'without a reason'}.")]


def _ran(case: Case, row: Run, slot: Moment) -> Iterator[Reason]:
    yield switch_at(case, slot)._replace(holds=True)
    for reason in conditions_of(case, slot):
        yield reason._replace(holds=True)
    guard = guarded(case, row, slot)
    if guard is not None:
        yield guard
    late = max(0.0, (row.queued_at - slot).total_seconds())
    if row.trigger == "catch-up":
        policy = misfire_of(case)
        told = "" if policy is None else f" {policy.text}"
        yield Reason("misfire", True, f"It was {duration_text(late)} late, and caught up.{told}")
    jitter = 0.0 if case.task is None else case.task.spec.jitter
    if jitter:
        yield Reason("jitter", True, f"Its start was delayed by up to {jitter:g} s (jitter).")
    where = "it is not known where" if row.process is None else f"run by process {row.process} on {row.host}"
    yield Reason(
        "claim", True, f"It was claimed at {_time(case, row.queued_at)}, {duration_text(late)} late, and {where}."
    )
    if (delayed := started_text(row)) is not None:
        yield Reason("lateness", None, delayed)
    whole = case.manager.find_run(row.id) if case.manager.store.find(row.id) is not None else row
    for attempt in whole.attempts:
        yield _attempt(case, attempt)


def _attempt(case: Case, attempt: Attempt) -> Reason:
    began = _time(case, attempt.started_at)
    if attempt.finished_at is None:
        return Reason("attempt", None, f"Attempt {attempt.number} is under way since {began}.")
    took = "" if attempt.started_at is None else _took(attempt.started_at, attempt.finished_at)
    failed = f": {attempt.error}" if attempt.error else ""
    return Reason("attempt", not attempt.error, f"Attempt {attempt.number} started at {began}{took}{failed}.")


def _took(began: Moment, ended: Moment) -> str:
    return f" and took {duration_text((ended - began).total_seconds())}"


def _time(case: Case, moment: Moment | None) -> str:
    """To the millisecond: a claim comes soon after its slot."""
    if moment is None:
        return "a moment that is not known"
    local = moment.astimezone(case.zone)
    return f"{local:%H:%M:%S}.{local.microsecond // 1000:03} {local:%Z}"


def _outcome(case: Case, row: Run) -> Reason:
    state = str(row.state).replace("_", " ")
    why = f": {row.reason or row.error}" if row.reason or row.error else ""
    if row.state in (RunState.SKIPPED, RunState.MISSED):
        many = "more than 1000" if row.count > 1_000 else str(row.count)
        span = f" with {many} slots in a row, {case.text(row.slot)} to {case.text(row.last)}" if row.count > 1 else ""
        return Reason("outcome", False, f"It is on record as {state}{why}{span} ({row.id}).")
    took = "" if row.duration is None else f" after {duration_text(row.duration)}"
    holds = None if not row.state.final else row.state is RunState.SUCCEEDED
    return Reason("outcome", holds, f"It is on record as {state}{took}{why} ({row.id}).")


def absent(case: Case, slot: Moment) -> Reason:
    """Why a slot that has come has no outcome."""
    store = case.manager.store
    pruned, mark = store.pruned(case.name), store.mark(case.name)
    if pruned is not None and slot <= pruned:
        text = f"Its outcome was dropped to keep the history bounded, as all until {case.text(pruned)}."
        return Reason("outcome", None, text)
    if mark is None or slot > mark:
        text = "It has no outcome yet: it waits to be claimed."
        if case.manager.state != "running":
            text = "It has no outcome yet: no process has run the task since; the next one that starts decides on it."
        return Reason("outcome", None, text)
    found = [one for one in case.manager.audit(slot - TICK, slot) if one.task == case.name]
    if found:
        return Reason("outcome", False, f"An audit finds: {found[0].problem}.")
    return Reason("outcome", None, "Nothing is on record of it, and nothing is owed: it depends on what ran before.")


def other_runs(case: Case) -> Iterator[Reason]:
    """Runs that came from no slot, and began then."""
    if case.name not in case.manager.store.names():
        return
    end = case.moment + case.width
    page = case.manager.runs(case.name, since=case.moment, until=end, limit=100)
    others = [run for run in page if run.slot is None]
    for run in others[:_OTHERS]:
        began = _time(case, run.started_at or run.queued_at)
        yield Reason("runs", None, f"A run ({run.trigger}) began at {began}, and is {run.state} ({run.id}).")
    if len(others) > _OTHERS:
        yield Reason("runs", None, f"{len(others) - _OTHERS} more runs began then that came from no slot.")
