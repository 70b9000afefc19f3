"""The five helpers, on one process-wide manager that drives `schedule`'s own default scheduler.

Their first use adopts ``schedule.default_scheduler`` in place: jobs made with plain `schedule` run too,
and ``schedule.get_jobs()`` lists ours.
"""

from __future__ import annotations

import functools
import sys
import threading
from typing import Any

import schedule

from task.errors import DeclarationTypeError
from task.log import logger
from task.models.discovery import describe_source, discover
from task.models.function import TaskFunction
from task.models.manager import TaskManager
from task.scheduler import Scheduler
from task.schedules import shorten

__all__ = ["disable_task", "enable_task", "run_all_tasks", "stop_all_tasks", "task_list"]

AnyTask = TaskFunction[..., Any]


_making = threading.Lock()


def default_manager() -> TaskManager:
    """The process-wide manager of the helpers, made at the first use."""
    with _making:
        return _make_default_manager()


@functools.cache
def _make_default_manager() -> TaskManager:
    return TaskManager([], scheduler=Scheduler.adopt(schedule.default_scheduler))


def _main(obj: Any) -> Any:
    return sys.modules["__main__"] if obj is None else obj


def run_all_tasks(obj: Any = None) -> None:
    """Register the tasks found on *obj* (default: ``__main__``) and run the loop on a daemon thread.

    *obj* is a module, an import string, an instance, a class, a namespace, or a list of these.

    >>> run_all_tasks({})
    >>> stop_all_tasks({})
    """
    manager = default_manager()
    source = _main(obj)
    if manager.health.state == "forked":
        manager.run()  # afresh, in this process
    for found in discover(source):
        manager.add(found)
    if not len(manager) and not manager.scheduler.jobs:
        logger.warning("No task was found in %s, and `schedule` has no job either.", describe_source(source))
    manager.run()


def stop_all_tasks(obj: Any = None) -> None:
    """Cancel the jobs of the tasks found on *obj* (default: ``__main__``), and stop the loop after the last.

    Jobs of plain `schedule` stay registered.
    """
    manager = default_manager()
    for found in discover(_main(obj)):
        if found.name in manager and manager[found.name].same_as(found):
            manager.remove(found.name)
    if not len(manager):
        manager.stop()


def task_list(obj: Any = None) -> list[AnyTask]:
    """The tasks found on *obj* (default: ``__main__``)."""
    return discover(_main(obj))


def enable_task(func: AnyTask) -> None:
    """Turn a task's switch on."""
    _checked(func).enable()


def disable_task(func: AnyTask) -> None:
    """Turn a task's switch off: its slots are skipped, and recorded so."""
    _checked(func).disable()


def _checked(func: Any) -> AnyTask:
    if not isinstance(func, TaskFunction):
        raise DeclarationTypeError(f"{shorten(func)} is not a task. Decorate it with @task first.")
    return func
