"""The checks of the tasks: those that do not run as they should."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping

from task.doctor.lateness import checks_of_lateness
from task.doctor.processes import CURE_OF_STUCK
from task.doctor.values import Diagnosis, State
from task.errors import StoreError, TaskError
from task.models import Stuck, TaskManager
from task.overview import Overview, Problem, duration_text
from task.runs import RunState
from task.stores import Standing

__all__ = ["checks_of_tasks"]

Moment = datetime.datetime

#: Which of the problems that the overview tells are told here, and how bad they are. The manager's own have checks.
_STATES: dict[str, State] = {
    "broken": "problem",
    "orphaned": "problem",
    "lost": "warning",
    "failing": "warning",
    "overrunning": "warning",
    "overdue": "problem",
    "late": "warning",
    "never": "problem",
}

#: So many open incidents are told one by one.
INCIDENTS = 20

#: A slot is overdue when no process has taken it so long after the grace of its task. Seconds.
PATIENCE = 60.0

#: The grace of a task whose code is not here; and it was taken out of the code, where nobody takes it for so long.
GRACE, FORGOTTEN = 60.0, 7 * 86_400.0


def checks_of_tasks(
    manager: TaskManager, overview: Overview, bodies: Mapping[str, tuple[str, Stuck]], told: set[str]
) -> Iterator[Diagnosis]:
    """What is wrong with any of them; one that says that nothing is.

    *bodies* says where those stand that have gone on for long, by their runs; those that are told of are put in *told*.
    """
    problems = [one for one in overview.problems() if one.task is not None and one.kind in _STATES]
    if not manager.tasks:  # who looks at a store alone knows no task of any entry
        problems = [one for one in problems if one.kind != "orphaned"]
    names = manager.store.names()
    standing = manager.store.standing(names, manager.clock.now())
    gone = manager.clock.now() - datetime.timedelta(seconds=FORGOTTEN)
    unknown = {name: standing[name] for name in names if name not in manager and _is_recent(standing[name], gone)}
    found = [
        *(_diagnosis(one, bodies, told) for one in problems),
        *_elsewhere(unknown),
        *_not_taken(manager, standing),
    ]
    yield from checks_of_lateness(manager, overview, standing)
    yield from _incidents(manager)
    yield from found or [Diagnosis("tasks", "well", "No task is broken, overdue or over, and none fails.", "")]


def _incidents(manager: TaskManager) -> Iterator[Diagnosis]:
    """Those that are open, in one: what is wrong is told of each task, too, and this says since when."""
    found = [one for one in manager.incidents(limit=1) if one.open]
    if not found:
        return
    told = [f"{one.task!r} is {one.kind} since {one.since.astimezone():%Y-%m-%d %H:%M:%S %Z}" for one in found]
    cure = "Somebody was told of it. It is over, and that is told too, when a run of its task succeeds."
    if len(found) == 1:
        yield Diagnosis("incidents", "warning", f"1 incident is open: {told[0]}.", cure)
        return
    more = [f"and {len(found) - INCIDENTS} more"] if len(found) > INCIDENTS else []
    said = f"{len(found)} incidents are open, the newest: {told[0]}."
    yield Diagnosis("incidents", "warning", said, cure.replace("It is", "Each is"), None, (*told[:INCIDENTS], *more))


def _diagnosis(one: Problem, bodies: Mapping[str, tuple[str, Stuck]], told: set[str]) -> Diagnosis:
    found = f"Task {one.task!r}: {one.text[:1].lower()}{one.text[1:]}"
    if one.kind != "overrunning" or one.run_id is None or one.run_id not in bodies:
        return Diagnosis(one.kind, _STATES[one.kind], found, one.remedy)
    who, body = bodies[one.run_id]
    told.add(body.run)
    where = f" It is at {body.stack[-1]}." if body.stack else ""
    return Diagnosis("stuck", "problem", f"{found}{where}", CURE_OF_STUCK, who, body.stack[:-1])


def _is_recent(stands: Standing, gone: Moment) -> bool:
    """Whether it has run since then."""
    ended = None if stands.summary.last is None else stands.summary.last.finished_at
    return ended is not None and ended > gone


def _elsewhere(standing: Mapping[str, Standing]) -> Iterator[Diagnosis]:
    """Of tasks whose code is not here: how the newest run ended."""
    for name, stands in standing.items():
        last, failures = stands.summary.last, stands.summary.consecutive_failures
        if last is not None and last.state is RunState.LOST and not stands.active:
            found = f"Task {name!r}: its last run was lost: {last.reason or 'nobody saw its end'}."
            yield Diagnosis("lost", _STATES["lost"], found, "Look at what it left half done, and run it again.")
        elif failures:
            times = "its last run" if failures == 1 else f"its last {failures} runs"
            said = "" if last is None else f": {last.error or last.reason or last.state}"
            found = f"Task {name!r}: {times} failed{said}"
            yield Diagnosis("failing", _STATES["failing"], found, "Read the traceback and the log of its run.")


def _not_taken(manager: TaskManager, standing: Mapping[str, Standing]) -> Iterator[Diagnosis]:
    """Tasks with a slot that was due long ago, and that no process has taken: nobody has their code, say."""
    store, now = manager.store, manager.clock.now()
    if not store.shared or store.paused:
        return
    running = manager.state == "running"
    for name, stands in standing.items():
        if not stands.switch.enabled or stands.active or (running and name in manager):
            continue  # its own loop takes the slots of its tasks, or the checks of that say why not
        if stands.mark is not None and (now - stands.mark).total_seconds() < PATIENCE:
            continue
        known = name in manager
        grace = manager[name].spec.misfire_grace if known else GRACE
        due = min(_due(manager, name, stands.mark), default=None)
        late = 0.0 if due is None else (now - due).total_seconds()
        if due is None or late <= grace + PATIENCE or (late > FORGOTTEN and not known):
            continue
        when = f"{due.astimezone():%Y-%m-%d %H:%M:%S %Z}"
        found = f"Task {name!r}: its slot of {when} was due {duration_text(late)} ago, and no process has taken it."
        cure = "Start a process that has its code. Where that is gone for good, this is told for a week."
        if known:
            yield Diagnosis("overdue", "problem", found, "Start a process that runs it.")
        else:
            yield Diagnosis("overdue", "warning", found, cure)


def _due(manager: TaskManager, name: str, mark: Moment | None) -> Iterator[Moment]:
    """Of each schedule in force the first slot after those that have an outcome."""
    try:
        declared = manager.store.declarations(name)
    except StoreError:
        return
    for one in declared:
        if one.until is None and one.owed:
            try:
                slot = one.line.after(one.since if mark is None else max(one.since, mark))
            except TaskError:  # a schedule of the user's own; where it runs it is told as broken
                continue
            if slot is not None:
                yield slot
