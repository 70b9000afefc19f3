"""Scheduled tasks from plain functions: on time, never twice, never silently lost.

>>> from task import TaskManager, every, task
"""

from task.decorators import task
from task.errors import (
    BrokenScheduleError,
    CommandError,
    DeclarationError,
    DeclarationTypeError,
    DuplicateTaskError,
    ForkedError,
    ManagerStateError,
    MissingExtraError,
    NoResultError,
    NoRunError,
    ParameterError,
    ProcessDiedError,
    RunCancelled,
    RunLost,
    RunTimedOut,
    ScheduleError,
    TaskError,
    TransferError,
    TransitionError,
    UnfinishedBodyError,
    UnknownTaskError,
)
from task.events import clock_stepped, marks_set_back
from task.models import Health, TaskFunction, TaskManager
from task.runs import Run, RunState, current_run
from task.scheduler import Scheduler
from task.schedules import CancelJob, Job, cron, every, next_slot, once
from task.stores import MemoryStore, Store

__all__ = [
    # declare
    "task",
    "every",
    "cron",
    "once",
    "Job",
    "CancelJob",
    "TaskFunction",
    # run
    "TaskManager",
    "Health",
    "Scheduler",
    "next_slot",
    # look
    "Run",
    "RunState",
    "current_run",
    "Store",
    "MemoryStore",
    # hear
    "clock_stepped",
    "marks_set_back",
    # errors
    "TaskError",
    "DeclarationError",
    "ScheduleError",
    "DuplicateTaskError",
    "DeclarationTypeError",
    "UnknownTaskError",
    "BrokenScheduleError",
    "ManagerStateError",
    "ForkedError",
    "NoRunError",
    "TransitionError",
    "UnfinishedBodyError",
    "ParameterError",
    "CommandError",
    "ProcessDiedError",
    "TransferError",
    "MissingExtraError",
    "NoResultError",
    "RunCancelled",
    "RunTimedOut",
    "RunLost",
]
