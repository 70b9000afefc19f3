"""The facade: `TaskManager`, and what it hands out."""

from task.models.base_task import BaseTask
from task.models.details import Health, is_overdue
from task.models.embedding import Embedding
from task.models.function import TaskFunction
from task.models.manager import TaskManager
from task.models.recurring import Recurring
from task.models.terms import RecurringEntry

__all__ = [
    "BaseTask",
    "Embedding",
    "Health",
    "Recurring",
    "RecurringEntry",
    "TaskFunction",
    "TaskManager",
    "is_overdue",
]
