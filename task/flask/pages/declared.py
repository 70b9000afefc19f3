"""What was declared of a task, in words: what differs from the defaults, and where its body runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from task.flask.pages.texts import moment
from task.overview import duration_text
from task.spec import RunPolicy, TaskSpec, is_async, place_of

__all__ = ["Option", "after_of", "options_of", "place_in"]

_OVERLAPS = {
    "queue": "one that comes meanwhile waits",
    "cancel_previous": "one that comes meanwhile stops those before it",
    "allow": "one that comes meanwhile runs beside them",
}
_MISFIRES = {"skip": "a late slot is recorded as missed, and not caught up", "all": "late slots are all caught up"}
_AFTER = {"succeeded": "has succeeded", "failed": "has failed", "always": "has ended"}


class Option(NamedTuple):
    """One thing that was declared."""

    name: str
    text: str


def place_in(place: str) -> str:
    """Where a body is defined, below the folder of the process where it is there: ``app/jobs.py:12``."""
    return place.removeprefix(os.getcwd() + os.sep)


def options_of(spec: TaskSpec) -> Iterator[Option]:
    """The options of a task that matter to who looks at its runs."""
    policy = spec.policy
    yield Option("Runs on", _executor_of(spec))
    if policy.timeout is not None:
        yield Option("Time limit", f"{duration_text(policy.timeout)} for each attempt")
    if policy.retry is not None:
        yield Option("Retries", _retries_of(policy))
    yield Option("At once", _overlap_of(policy))
    if policy.mutex is not None:
        yield Option("Mutex", f"of all tasks with {policy.mutex!r}, one run at once")
    if policy.priority:
        yield Option("Priority", f"{policy.priority}: of the runs that wait for a place, the highest goes first")
    if policy.disable_after is not None:
        yield Option("Switched off", f"after {policy.disable_after} failures in a row")
    yield from _conditions_of(spec)
    yield from _slots_of(spec)
    if policy.redact:
        yield Option("Secrets", ", ".join(sorted(policy.redact)))


def _executor_of(spec: TaskSpec) -> str:
    policy = spec.policy
    if policy.pool is not None:
        return f"the pool {policy.pool!r}"
    if policy.executor is not None:
        named = isinstance(policy.executor, str)
        return f"the executor {policy.executor!r}" if named else f"a {type(policy.executor).__name__}"
    if is_async(spec.func):
        return "the event loop"
    return "the pool of threads" if spec.threaded else "the serial worker, one after another"


def _retries_of(policy: RunPolicy) -> str:
    count = getattr(policy.retry, "retries", None)
    if count is None:
        return "as its strategy says"
    return f"{count} more {'attempt' if count == 1 else 'attempts'}, after 1, 2, 4 s and so on"


def _overlap_of(policy: RunPolicy) -> str:
    runs = "one run" if policy.max_concurrent == 1 else f"{policy.max_concurrent} runs"
    return f"{runs}; {_OVERLAPS.get(policy.overlap, 'one that comes meanwhile is skipped')}"


def _conditions_of(spec: TaskSpec) -> Iterator[Option]:
    policy = spec.policy
    if policy.only_if:
        told = ", ".join(getattr(one, "__name__", type(one).__name__) for one in policy.only_if)
        yield Option("Only if", f"{told}, asked when a slot is due")
    if policy.on_lost == "rerun":
        yield Option("When lost", "it is run again")
    if policy.everywhere:
        yield Option("Everywhere", "in each process that shares the store")
    for key in ("on_success", "on_failed", "on_complete"):
        callback = getattr(spec, key)
        if callback is not None:
            name = getattr(callback, "__name__", type(callback).__name__)
            yield Option(key, f"{name} at {place_in(place_of(callback))}")


def _slots_of(spec: TaskSpec) -> Iterator[Option]:
    if spec.misfire in _MISFIRES:
        yield Option("Late slots", _MISFIRES[spec.misfire])
    if spec.misfire_grace != 60 and spec.schedules:
        yield Option("Grace", f"a slot is late after {duration_text(spec.misfire_grace)}")
    if spec.jitter:
        yield Option("Jitter", f"each start is delayed by up to {duration_text(spec.jitter)}")
    if spec.fixed_delay:
        yield Option("Fixed delay", "the interval is counted from the end of a run")
    if spec.start is not None:
        yield Option("From", moment(spec.start))
    if spec.run_at_start:
        yield Option("At the start", "it runs once when the manager starts")
    if spec.max_runs is not None:
        yield Option("Ends", f"after {spec.max_runs} scheduled runs")


def after_of(policy: RunPolicy) -> str:
    """When it starts after other tasks: ``has succeeded``."""
    return _AFTER[policy.when]
