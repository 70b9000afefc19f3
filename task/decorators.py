"""``@task``: turns a function into a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, Unpack, overload

import schedule as schedule_library

from task.models.function import TaskFunction
from task.spec import Schedules, TaskOptions

__all__ = ["task"]

P = ParamSpec("P")
R = TypeVar("R")


@overload
def task(func: Callable[P, R], /) -> TaskFunction[P, R]: ...


@overload
def task(
    schedule: Schedules = None, **options: Unpack[TaskOptions]
) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...


def task(schedule: Any = None, **options: Any) -> Any:
    """Turn a function into a task: bare, or with a schedule and options.

    *schedule* is a Job (``every(30).seconds``, ``cron("0 2 * * *")``, ``once(moment)``), a list of
    them, or nothing for a task that is only triggered. The options:

    * ``name``: unique within a manager; the function's own by default.
    * ``on_success``, ``on_failed``, ``on_complete``: called after a run, with the `Run` if they accept
      an argument.
    * ``disabled``: the first value of its switch.
    * ``threaded``: on a pool of threads; otherwise serial tasks run one after another.
    * ``parameters``: what scheduled runs pass to the body, by name.
    * ``tags``: texts by which to find it.
    * ``misfire``: what becomes of slots found more than ``misfire_grace`` seconds late (60): run the
      newest (``"latest"``), none (``"skip"``), or up to 100 one by one (``"all"``).
    * ``fixed_delay``: measure the interval from the end of the run.
    * ``start``: no slot before this aware moment; intervals are counted from it, itself included.
    * ``jitter``: delay each start by up to so many seconds.
    * ``run_at_start``: run once when the manager starts.
    * ``max_runs``: remove the schedules after so many scheduled runs.

    Raises `DeclarationError`, `DeclarationTypeError` or `ScheduleError`, each naming task, value and fix.

    >>> from task import every, task
    >>> @task(every(30).seconds, name="sample")
    ... def pull_remote_state():
    ...     return "synced"
    >>> pull_remote_state()
    'synced'
    """
    if not isinstance(schedule, schedule_library.Job) and (callable(schedule) or isinstance(schedule, staticmethod)):
        return TaskFunction.declare(schedule, None, **options)
    return lambda func: TaskFunction.declare(func, schedule, **options)
