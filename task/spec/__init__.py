"""The declaration of a task, validated once."""

from task.spec.expectation import Expectation, check_notify, takes_run
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
    "Expectation",
    "RunPolicy",
    "Schedules",
    "TaskOptions",
    "TaskSpec",
    "accepts_run",
    "check_notify",
    "is_async",
    "place_of",
    "takes_run",
]
