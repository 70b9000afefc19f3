"""The facade: `TaskManager`, and what it hands out."""

from task.models.base_task import BaseTask
from task.models.details import Health
from task.models.function import TaskFunction
from task.models.manager import TaskManager

__all__ = ["BaseTask", "Health", "TaskFunction", "TaskManager"]
