"""The declaration of a task, validated once."""

from task.spec.policy import RunPolicy
from task.spec.spec import (
    Schedules,
    TaskOptions,
    TaskSpec,
    accepts_run,
    is_async,
    place_of,
)

__all__ = [
    "RunPolicy",
    "Schedules",
    "TaskOptions",
    "TaskSpec",
    "accepts_run",
    "is_async",
    "place_of",
]
