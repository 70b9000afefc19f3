"""The story of one run, and what ties a declaration to the manager that runs it."""

from task.pipeline.binding import Binding
from task.pipeline.execution import Execution
from task.pipeline.journal import name_of
from task.pipeline.lateness import Lateness
from task.pipeline.outcome import describe
from task.pipeline.pipeline import Pipeline
from task.pipeline.placing import Placing
from task.pipeline.steering import Elsewhere
from task.pipeline.surroundings import Surround

__all__ = ["Binding", "Elsewhere", "Execution", "Lateness", "Pipeline", "Placing", "Surround", "describe", "name_of"]
