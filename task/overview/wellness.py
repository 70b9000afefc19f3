"""Whether the tasks of a manager are run, here or elsewhere."""

from __future__ import annotations

import dataclasses

from task.errors import StoreError
from task.models import Health, TaskManager

__all__ = ["health_of"]


def health_of(manager: TaskManager) -> Health:
    """`TaskManager.health`; but a manager that is stopped here is well where other processes on its store run.

    So it is in the web processes of an application whose tasks run in a process of their own.
    """
    health = manager.health
    stopped_only = health.state == "stopped" and len(health.causes) == 1  # not that it could not be started, too
    if not stopped_only or not manager.store.shared:
        return health
    try:
        others = manager.store.processes(manager.clock.now())
    except StoreError:
        return health
    return dataclasses.replace(health, healthy=True, causes=()) if others else health
