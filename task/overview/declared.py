"""What was declared of a task, in words: its options that differ from the defaults, and what a run of it takes."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from task.clock import in_zone
from task.models import TaskFunction
from task.overview.durations import duration_text
from task.overview.texts import moment_text
from task.schedules import shorten
from task.spec import RunPolicy, TaskSpec, is_async, place_of

__all__ = ["Option", "ParameterText", "after_of", "options_of", "parameters_of", "place_in"]

_OVERLAPS = {
    "queue": "one that comes meanwhile waits",
    "cancel_previous": "one that comes meanwhile stops those before it",
    "allow": "one that comes meanwhile runs beside them",
}
_MISFIRES = {"skip": "a late slot is recorded as missed, and not caught up", "all": "late slots are all caught up"}
#: So long is waited before each of so many more attempts.
_WAITS = {1: "1 s", 2: "1 and 2 s", 3: "1, 2 and 4 s"}
_AFTER = {"succeeded": "has succeeded", "failed": "has failed", "always": "has ended"}


class Option(NamedTuple):
    """One thing that was declared."""

    name: str
    text: str


class ParameterText(NamedTuple):
    """One parameter of a body, as people read it."""

    name: str
    #: As it is annotated; empty where it is not.
    kind: str
    #: What a run gets that is not passed another value; None where there is none, or where that is secret.
    default: str | None
    #: Whether a run by hand has to pass it.
    required: bool
    #: Whether it is masked wherever it is shown.
    secret: bool


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
    return f"{count} more {'attempt' if count == 1 else 'attempts'}, after {_WAITS.get(count, '1, 2, 4 s and so on')}"


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
        yield Option("From", moment_text(in_zone(spec.start)))
    if spec.run_at_start:
        yield Option("At the start", "it runs once when the manager starts")
    if spec.max_runs is not None:
        yield Option("Ends", f"after {spec.max_runs} scheduled runs")


def after_of(policy: RunPolicy) -> str:
    """When it starts after other tasks: ``has succeeded``."""
    return _AFTER[policy.when]


def parameters_of(task: TaskFunction[..., Any]) -> tuple[ParameterText, ...]:
    """What a run of a task takes, in the order of the signature of its body; not what is filled in.

    >>> def greet(name: str, times: int = 1): ...
    >>> [tuple(one) for one in parameters_of(TaskFunction.declare(greet))]
    [('name', 'str', None, True, False), ('times', 'int', '1', False, False)]
    """
    try:
        taken = inspect.signature(task.func).parameters.values()
    except (TypeError, ValueError):  # a builtin that does not tell
        return ()
    given = task.spec.parameters
    own = {one.name: one.default for one in taken if one.default is not one.empty}
    shown = task.binding.without_secrets({**own, **given})
    filled = task.binding.parameters.injected
    return tuple(_parameter(one, shown, {*own, *given}) for one in taken if one.name not in filled)


def _parameter(one: inspect.Parameter, shown: dict[str, Any], given: set[str]) -> ParameterText:
    star = "*" if one.kind is one.VAR_POSITIONAL else "**" if one.kind is one.VAR_KEYWORD else ""
    kind = "" if one.annotation is one.empty else inspect.formatannotation(one.annotation).strip("'")
    default = shorten(shown[one.name]) if one.name in shown else None
    required = not star and one.name not in given
    return ParameterText(star + one.name, kind, default, required, one.name in given and one.name not in shown)
