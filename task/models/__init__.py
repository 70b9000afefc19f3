"""The facade: `TaskManager`, and what it hands out."""

from task.models.base_task import BaseTask
from task.models.details import Health, is_overdue
from task.models.embedding import Embedding
from task.models.function import TaskFunction
from task.models.manager import TaskManager
from task.models.recurring import Recurring
from task.models.rehearsal import Rehearsal
from task.models.signals import is_echo
from task.models.terms import RecurringEntry
from task.models.vitals import Pool, Stuck, Vitals

__all__ = [
    "BaseTask",
    "Embedding",
    "Health",
    "Pool",
    "Recurring",
    "RecurringEntry",
    "Rehearsal",
    "Stuck",
    "TaskFunction",
    "TaskManager",
    "Vitals",
    "is_echo",
    "is_overdue",
]
