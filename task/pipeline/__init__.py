"""The story of one run, and what ties a declaration to the manager that runs it."""

from task.pipeline.binding import Binding
from task.pipeline.outcome import describe
from task.pipeline.pipeline import Pipeline
from task.pipeline.placing import Placing

__all__ = ["Binding", "Pipeline", "Placing", "describe"]
