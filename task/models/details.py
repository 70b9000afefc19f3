"""What people see of a manager: `tasks_detail` and `Health`, read off at the moment of asking."""

from __future__ import annotations

import dataclasses
import datetime
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import schedule

from task.clock import in_zone
from task.models.function import TaskFunction
from task.pipeline import Pipeline
from task.runs import Run, RunState
from task.schedules import cadence
from task.stores import Standing, Store, Switch

__all__ = ["Health", "congestion", "is_overdue", "task_details"]

#: A run that has waited for a place for so long makes the manager unhealthy. Seconds.
QUEUE_GRACE = 60.0

Moment = datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Health:
    """Whether a manager does its work, and if not, why. It is true when healthy.

    >>> bool(Health(False, "stopped", 1, ("the loop is not running",)))
    False
    """

    #: Nothing is wrong.
    healthy: bool
    #: ``stopped``, ``starting``, ``running``, ``stopping`` or ``forked``.
    state: str
    #: The process that asked.
    pid: int
    #: What is wrong, in plain words.
    causes: tuple[str, ...]
    #: How many signals were dropped, because receivers were too slow.
    signals_dropped: int = 0

    def __bool__(self) -> bool:
        return self.healthy

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {**dataclasses.asdict(self), "causes": list(self.causes)}


def congestion(tasks: Sequence[TaskFunction[..., Any]], pipeline: Pipeline) -> Iterator[str]:
    """For each executor on which runs wait for too long: how many, how long, and what occupies it."""
    if pipeline.executors is None:
        return
    now = pipeline.clock.now()
    conditions = pipeline.executors.conditions
    hung = [one.task for one in conditions.running() if (now - one.queued_at).total_seconds() > QUEUE_GRACE]
    if hung:
        yield f"only_if of {', '.join(map(repr, hung))} has not answered; {conditions.waiting()} others wait for theirs"
    queued = [run for run in pipeline.store.mine() if run.state is RunState.QUEUED]
    old = [run for run in queued if (now - run.queued_at).total_seconds() > QUEUE_GRACE]
    for executor in pipeline.executors.all() if old else ():
        here = {task.name for task in tasks if task.binding.executor is executor}
        stuck = [run for run in old if run.task in here]
        if stuck:
            seconds = (now - min(run.queued_at for run in stuck)).total_seconds()
            busy = sorted({run.task for run in executor.running()})[:5]
            yield (
                f"{len(stuck)} runs wait for {executor.name}, the oldest for {seconds:.0f} seconds; it is occupied "
                f"by {', '.join(map(repr, busy))}"
            )


def task_details(
    tasks: Sequence[TaskFunction[..., Any]], store: Store, now: Moment, running: bool
) -> list[dict[str, Any]]:
    """Tasks as JSON-ready values; *running* is whether their manager's loop runs."""
    standing, paused = store.standing([task.name for task in tasks], now), store.paused
    return [{**_detail(task, standing[task.name], now, running), "paused": paused} for task in tasks]


def _detail(task: TaskFunction[..., Any], standing: Standing, now: Moment, running: bool) -> dict[str, Any]:
    binding = task.binding
    summary, active, switch, mark = standing
    entry = binding.entry
    slot = entry.timetable.next_slot() if running and entry is not None and entry.reason is None else None
    schedules = [_schedule_detail(job, running) for job in task.schedules]
    return {
        "name": task.name,
        "description": inspect.getdoc(task.spec.func) or "",
        "schedules": schedules,
        "last_run": _last_run(summary.last, active, task.schedules),
        "next_run": None if slot is None else in_zone(slot).isoformat(),
        "running": any(run.state is RunState.RUNNING or run.overrunning for run in active),
        "queued": any(run.state is RunState.QUEUED for run in active),
        "retrying": any(run.state is RunState.RETRYING for run in active),
        "overrunning": any(run.overrunning for run in active),
        "overdue": is_overdue(task, active, mark, now),
        "progress": _progress(active),
        "enabled": switch.enabled,
        "paused": False,
        "switch": _switch_detail(switch),
        "threaded": task.spec.threaded,
        "tags": list(task.spec.tags),
        "counts": {
            "runs": summary.runs,
            "failures": summary.failures,
            "consecutive_failures": summary.consecutive_failures,
            "skips": summary.skips,
        },
        "last_outcome": _outcome(summary.last),
        "broken": None if entry is None else entry.reason,
    }


def is_overdue(task: TaskFunction[..., Any], active: Sequence[Run], mark: Moment | None, now: Moment) -> bool:
    """Whether a run waits for too long for a place, or its body still goes on although newer slots have come."""
    grace = task.spec.misfire_grace
    return any(
        (run.state is RunState.QUEUED and not run.waiting and (now - run.queued_at).total_seconds() > grace)
        or (run.slot is not None and run.started_at is not None and mark is not None and mark > run.slot)
        for run in active
    )


def _progress(active: list[Run]) -> dict[str, Any] | None:
    told = [run for run in active if run.progress is not None]
    return {"percent": told[-1].progress, "message": told[-1].message} if told else None


def _last_run(last: Run | None, active: list[Run], jobs: list[schedule.Job]) -> str | None:
    """When a body last started, for a schedule or by hand."""
    started = [run.started_at for run in active] + [None if last is None else last.started_at]
    started += [None if job.last_run is None else job.last_run.astimezone() for job in jobs]
    newest = max((moment for moment in started if moment is not None), default=None)
    return None if newest is None else newest.astimezone().isoformat()


def _switch_detail(switch: Switch) -> dict[str, Any]:
    return {
        "note": switch.note,
        "until": None if switch.until is None else switch.until.isoformat(),
        "at": None if switch.at is None else switch.at.isoformat(),
        "by": switch.by,
    }


def _schedule_detail(job: schedule.Job, running: bool) -> dict[str, Any]:
    """The cadence is what ``repr(job)`` says before `` do ``: ``Every 1 day at 10:30:00``."""
    return {
        "cadence": cadence(job),
        "last_run": _local(job.last_run),
        "next_run": _local(job.next_run) if running else None,
        "until": _local(job.cancel_after),
    }


def _local(moment: Moment | None) -> str | None:
    """`schedule` keeps naive local times; people and programs get the offset with them."""
    return None if moment is None else in_zone(moment).isoformat()


def _outcome(run: Run | None) -> dict[str, Any] | None:
    if run is None:
        return None
    return {
        "run": run.id,
        "state": str(run.state),
        "trigger": run.trigger,
        "finished_at": None if run.finished_at is None else run.finished_at.astimezone().isoformat(),
        "duration": run.duration,
        "error": run.error,
    }
