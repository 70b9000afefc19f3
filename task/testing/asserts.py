"""What tests claim of tasks; where it is not so, the text shows what has happened instead."""

from __future__ import annotations

import collections
import datetime
from collections.abc import Iterable, Iterator
from typing import Any

from task.errors import DeclarationError, did_you_mean
from task.log import printable
from task.models import Rehearsal, TaskFunction, TaskManager
from task.pipeline import Binding
from task.runs import Run, RunState
from task.schedules import cadence, shorten

__all__ = ["assert_no_slot_lost", "assert_ran", "assert_skipped"]

AnyTask = TaskFunction[..., Any]

#: So many of the newest rows, and of the findings, are shown.
ROWS = 10

#: And so many of each state that is not among those.
OTHERS = 2


def assert_ran(
    task: AnyTask | str, times: int | None = None, *, state: str = "succeeded", manager: TaskManager | None = None
) -> None:
    """So many runs of *task* came to *state*; without *times*, one or more.

    A task is given as such, or by its name: then that of *manager*, or of all managers that a test has run. Raises
    `AssertionError`, with what has happened instead, and `DeclarationError` for a state that there is not.

    >>> from task import TaskManager, every
    >>> from task.testing import assert_ran, virtual_time
    >>> manager = TaskManager([])
    >>> sample = manager.add(lambda: None, every(10).minutes, name="sample")
    >>> with virtual_time() as clock:
    ...     clock.run(manager)
    ...     clock.advance(hours=1)
    ...     assert_ran(sample, times=6)
    """
    __tracebackhide__ = True
    if state not in list(RunState):
        states = [str(one) for one in RunState]
        raise DeclarationError(f"There is no state {state!r}. {did_you_mean(state, states, f'There are: {states}.')}")
    bindings = _bindings(task, manager)
    counts = _counts(bindings)
    wanted, found = RunState(state), counts.get(RunState(state), 0)
    if found == times or (times is None and found):
        return
    claim = "at least once" if times is None else _times(times)
    _fail(f"Task {_name(task)!r} was to come to {wanted} {claim}, and did {_times(found)}.", bindings)


def assert_skipped(
    task: AnyTask | str, *, reason: str | None = None, times: int | None = None, manager: TaskManager | None = None
) -> None:
    """Slots, calls or triggers of *task* were skipped, with a reason in which *reason* is, so many *times*.

    Without *times*, one or more. The task is given as to `assert_ran`. Raises `AssertionError`.

    >>> from task import TaskManager, every
    >>> from task.testing import assert_skipped, virtual_time
    >>> manager = TaskManager([])
    >>> sample = manager.add(lambda: None, every(10).minutes, name="sample", disabled=True)
    >>> with virtual_time() as clock:
    ...     clock.run(manager)
    ...     clock.advance(hours=1)
    ...     assert_skipped(sample, reason="disabled", times=6)
    """
    __tracebackhide__ = True
    bindings = _bindings(task, manager)
    skips: collections.Counter[str] = collections.Counter()
    for binding in bindings:
        skips.update(binding.pipeline.store.summary(binding.name).skips)
    found = sum(count for why, count in skips.items() if reason is None or reason in why)
    if found == times or (times is None and found):
        return
    claim = "at least once" if times is None else _times(times)
    why = "" if reason is None else f" because of {reason!r}"
    told = "; ".join(f"{_times(count)}: {printable(text)}" for text, count in skips.most_common(ROWS)) or "never"
    _fail(f"Task {_name(task)!r} was to be skipped {claim}{why}. It was skipped {told}.", bindings)


def assert_no_slot_lost(manager: TaskManager | None = None) -> None:
    """Each slot of *manager* that came due has exactly one outcome, and no run is lost.

    Without *manager*, of all managers that a test has run. Skipped and missed slots have an outcome: that. Raises
    `AssertionError`, with the slots that have none, or two, and `DeclarationError` where there is no manager.

    >>> from task import TaskManager, every
    >>> from task.testing import assert_no_slot_lost, virtual_time
    >>> manager = TaskManager([])
    >>> sample = manager.add(lambda: None, every(10).minutes, name="sample")
    >>> with virtual_time() as clock:
    ...     clock.run(manager)
    ...     clock.advance(hours=1)
    ...     assert_no_slot_lost(manager)
    """
    __tracebackhide__ = True
    managers = _rehearsed() if manager is None else [manager]
    if not managers:
        raise DeclarationError("No manager goes by virtual time here, so no slot came due. Run one, or give it.")
    findings = [str(finding) for one in managers for finding in one.audit()]
    lost = [run for one in managers for run in one.runs(state="lost", limit=ROWS)]
    if findings or lost:
        shown = [f"  {printable(text)}" for text in findings[:ROWS]] + _table(lost)
        more = [f"  and {len(findings) - ROWS} more"] if len(findings) > ROWS else []
        raise AssertionError("\n".join(["Slots are without their outcome:", *shown, *more]))


def _fail(text: str, bindings: Iterable[Binding]) -> None:
    __tracebackhide__ = True
    raise AssertionError("\n".join([text, *_account(list(bindings))]))


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _name(task: AnyTask | str) -> str:
    return task if isinstance(task, str) else task.name


def _rehearsed() -> list[TaskManager]:
    return [] if Rehearsal.under_way is None else Rehearsal.under_way.managers


def _bindings(task: Any, manager: TaskManager | None) -> list[Binding]:
    """What ties the task to each record that it has: each manager has its own, and so has a task without one."""
    if not isinstance(task, (str, TaskFunction)):
        raise DeclarationError(f"{shorten(task)} is no task: give one, or its name.")
    name, managers = _name(task), _rehearsed() if manager is None else [manager]
    own = [] if isinstance(task, str) or manager is not None else [task.binding]
    found = [one[name] for one in managers if name in one]
    theirs = [one.binding for one in found if isinstance(task, str) or _same(task, one)]
    if not own and not theirs:
        names = sorted({known for one in managers for known in one})
        hint = did_you_mean(name, names, f"There are: {', '.join(names[:ROWS])}." if names else "There is none.")
        raise DeclarationError(f"No manager here has a task {name!r}. {hint}")
    by_store = {id(binding.pipeline.store): binding for binding in [*theirs, *own]}  # two managers may share one record
    return list(by_store.values())


def _same(task: AnyTask, other: AnyTask) -> bool:
    return task.same_as(other) or task.spec is other.spec


def _counts(bindings: Iterable[Binding]) -> collections.Counter[RunState]:
    counts: collections.Counter[RunState] = collections.Counter()
    for binding in bindings:
        counts.update(binding.pipeline.store.summary(binding.name).states)
        counts.update(run.state for run in binding.pipeline.store.active(binding.name))
    return counts


# What has happened instead.


def _account(bindings: list[Binding]) -> Iterator[str]:
    """What became of a task, and what is to come."""
    counts = {str(state): count for state, count in _counts(bindings).items() if count}
    yield "It came to: " + (", ".join(f"{state} {count}" for state, count in counts.items()) or "nothing at all")
    yield from _table(_rows(bindings, counts))
    for binding in bindings:
        yield from _outlook(binding)


def _rows(bindings: list[Binding], states: Iterable[str]) -> list[Run]:
    """The newest of all, and of each state that is not among them."""
    found = [run for one in bindings for run in one.pipeline.store.runs(one.name, limit=ROWS)]
    rows = sorted(found, key=_came)[-ROWS:]
    for state in set(states) - {str(run.state) for run in rows}:
        rows += [run for one in bindings for run in one.pipeline.store.runs(one.name, state, limit=OTHERS)]
    return sorted(rows, key=_came)


def _came(run: Run) -> datetime.datetime:
    return run.slot or run.queued_at


def _outlook(binding: Binding) -> Iterator[str]:
    pipeline, spec = binding.pipeline, binding.spec
    yield f"Now it is {_shown(pipeline.clock.now())}."
    entry = binding.entry
    slot = None if entry is None else entry.timetable.next_slot()
    if slot is not None:
        yield f"Its next slot is {_shown(slot)}."
    if entry is not None and entry.reason is not None:
        yield f"Its schedule is broken: {printable(entry.reason)}"
    if not spec.schedules:
        yield "It has no schedule: it runs when it is triggered or called."
    else:
        yield "Its schedules: " + "; ".join(printable(cadence(job)) for job in spec.schedules)
    if pipeline.closed is not None:
        yield f"No slot of it runs: {pipeline.closed}."
    elif pipeline.executors is None and pipeline.scheduler is None:
        yield "It has no manager: none has found it, or the manager that has is not in this test."
    if not pipeline.store.switch(binding.name, pipeline.clock.now()).enabled:
        yield "It is disabled."
    if pipeline.store.paused:
        yield "All tasks are paused."


def _table(runs: Iterable[Run]) -> list[str]:
    """The rows of the record, the newest last."""
    rows = [("slot", "state", "times", "trigger", "why")]
    rows += [
        (
            _shown(_came(run)),
            str(run.state),
            str(run.count),
            run.trigger,
            printable(_first_line(run.reason or (str(run.error) if run.error else ""))),
        )
        for run in runs
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [line.rstrip() for line in lines] if len(rows) > 1 else []


def _first_line(text: str) -> str:
    """The first line of a text, eighty characters of it at most."""
    first = text.strip().partition("\n")[0]
    return first if len(first) <= 80 else first[:79] + "…"


def _shown(moment: datetime.datetime) -> str:
    return f"{moment:%a %Y-%m-%d %H:%M:%S} UTC"
