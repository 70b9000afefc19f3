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

    What may run at once, and where:

    * ``max_concurrent``: so many runs at once (1).
    * ``overlap``: one more is skipped (``"skip"``), waits (``"queue"``, one), has the others stopped
      (``"cancel_previous"``), or runs beside them (``"allow"``).
    * ``mutex``: of all the tasks that name it, one run at once.
    * ``pool``: the name of a pool of ``TaskManager(pools={"io": 8})``, on whose workers it runs.
    * ``priority``: of the runs that wait for the same workers, the highest goes first (0).
    * ``executor``: where the body runs: ``"serial"``, ``"threads"``, ``"process"`` (one for each run), a name of
      ``TaskManager(executors=...)``, or a `concurrent.futures.Executor`, Dask's included (extra ``dask``).

    How an attempt ends, and what follows:

    * ``timeout``: the seconds that an attempt may take.
    * ``retry``: so many more attempts, after 1, 2, 4 … seconds, or a ``tenacity.Retrying`` (extra ``retry``).
    * ``disable_after``: switch the task off after so many failures in a row.
    * ``after``: the task, or the tasks, after which it starts, by name or as such.
    * ``when``: it starts after those have ``"succeeded"``, ``"failed"``, or ``"always"``.

    On a store that several processes share (``TaskManager(store=...)``):

    * ``on_lost``: when the process dies in which it runs, that is recorded (``"record"``), or it is run again as well
      (``"rerun"``), at most three times: then a body may run more than once.
    * ``everywhere``: each process has its own slots and guards, and nothing is caught up.

    And the rest:

    * ``only_if``: a condition, or a list of them, that must agree before a slot is run: a function of nothing or of
      the slot, `business_days` (extra ``calendars``) or `business_hours`.
    * ``redact``: the parameters, and keys in them, whose values are masked wherever they would be kept.

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
