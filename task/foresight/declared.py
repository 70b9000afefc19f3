"""What the code of a manager declares, as plain values: tasks, schedules and options; and the slots that these make."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import schedule

from task.models import TaskFunction, TaskManager
from task.runs import Redactor
from task.schedules import Line, first_from, identity, live_copy, shorten, walk
from task.spec import TaskSpec

__all__ = ["DeclaredTask", "declared_tasks", "slots_of"]

Moment = datetime.datetime

#: What a task declares that changes nothing of what happens when.
_ASIDE = frozenset(
    {"func", "name", "schedules", "policy", "tags", "redact", "parameters", "on_success", "on_failed", "on_complete"}
    | {"expect_within", "alert_after", "notify"}
)

#: So deep values of a user's own are looked into, and so much of one is told. Characters.
_DEEPEST, _LONGEST = 4, 2_000

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_TICK = datetime.timedelta(microseconds=1)


class DeclaredTask(NamedTuple):
    """A task as the code declares it, or a recurring entry that the code has added."""

    name: str
    #: Its function, to know it again under another name; empty where that tells nothing.
    function: str
    #: Each schedule in words, or as its ``repr`` tells one of the user's own.
    schedules: tuple[str, ...]
    #: The options that change what happens, as text.
    options: Mapping[str, str]
    #: No slot before this moment.
    start: Moment | None
    #: No slot after so many.
    max_runs: int | None
    #: The schedules themselves.
    jobs: tuple[schedule.Job, ...]


def declared_tasks(manager: TaskManager) -> list[DeclaredTask]:
    """The tasks of a manager by name, and the recurring entries that its code has added.

    Those in a store that processes share are data, not code, and such a store is not asked. One whose task is gone does
    not run, and is left out. Nothing is started.
    """
    found = {task.name: _declared(task) for task in manager.tasks}
    if not manager.store.shared:
        for entry in manager.recurring.list():
            if entry.problem is None:
                found[entry.name] = _declared(manager[entry.name])
    return [found[name] for name in sorted(found)]


def slots_of(task: DeclaredTask, since: Moment, until: Moment) -> Iterator[Moment]:
    """Its slots in ``(since, until]``, ascending: as if it were registered at *since*, and its bodies took no time.

    Raises `BrokenScheduleError` for a schedule of the user's own that fails.
    """
    start = since if task.start is None else task.start.astimezone(datetime.UTC)
    after = since if task.start is None else max(since, start - _TICK)
    jobs = [live_copy(declared, task.name, ()) for declared in task.jobs]
    lines = [Line(job, since if task.start is None else first_from(job, start), task.name) for job in jobs]
    return itertools.islice(walk(lines, after, until), task.max_runs)


def _declared(task: TaskFunction[..., Any]) -> DeclaredTask:
    spec = task.spec
    return DeclaredTask(
        task.name,
        _function_of(spec.func),
        tuple(identity(job) for job in spec.schedules),
        dict(_options(spec)),
        spec.start,
        spec.max_runs,
        spec.schedules,
    )


def _function_of(func: Any) -> str:
    name: str = getattr(func, "__qualname__", "")
    return "" if "<lambda>" in name else name


def _options(spec: TaskSpec) -> Iterator[tuple[str, str]]:
    for holder in (spec, spec.policy):
        for field in dataclasses.fields(holder):
            if field.name not in _ASIDE:
                yield field.name, _text(_plain(field.name, getattr(holder, field.name)))
    shown = Redactor(spec.policy.redact, spec.parameters).mapping(spec.parameters)
    yield "parameters", _text(dict(shown))


def _plain(option: str, value: Any) -> Any:
    """What was written for an option, where its value here is something else."""
    if option == "retry":  # a number of attempts, or a strategy of tenacity
        return getattr(value, "retries", getattr(value, "retrying", value))
    if option == "executor" and not isinstance(value, str):
        return None if value is None else type(value)
    return value


def _text(value: Any, depth: int = 0) -> str:
    """A value as one line that is the same in every process: without addresses in memory."""
    return _ADDRESS.sub("", _whole_text(value, depth))[:_LONGEST]


def _whole_text(value: Any, depth: int) -> str:
    if callable(value) and hasattr(value, "__qualname__"):
        return str(value.__qualname__)
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        return f"[{', '.join(_text(one, depth) for one in value)}]"
    text = shorten(value, _LONGEST)
    if not _ADDRESS.search(text) or depth == _DEEPEST:
        return text
    inside = getattr(value, "__dict__", {})  # its own `repr` tells nothing: what it holds does
    held = ", ".join(f"{name}={_text(one, depth + 1)}" for name, one in sorted(inside.items()))
    return f"{type(value).__name__}({held})"
