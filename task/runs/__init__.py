"""One execution of a task: its states, what it keeps, and which one is under way here."""

from task.runs.context import current_run, peek_current_run, set_current_run
from task.runs.facts import OUT_OF_TIME, Attempt, Holder, ParentResults
from task.runs.log import LogLine, RunLog, capture_logs, run_logger
from task.runs.redaction import Redactor, check_names
from task.runs.run import Run
from task.runs.states import RunState, Trigger

__all__ = [
    "OUT_OF_TIME",
    "Attempt",
    "Holder",
    "LogLine",
    "ParentResults",
    "Redactor",
    "Run",
    "RunLog",
    "RunState",
    "Trigger",
    "capture_logs",
    "check_names",
    "current_run",
    "peek_current_run",
    "run_logger",
    "set_current_run",
]
