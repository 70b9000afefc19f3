"""One execution of a task: its states, what it keeps, and which one is under way here."""

from task.runs.artifacts import Artifact, artifact_folder, remove_artifacts
from task.runs.context import current_run, peek_current_run, set_current_run
from task.runs.facts import OUT_OF_TIME, Attempt, Holder, ParentResults, lowest_id, new_id
from task.runs.log import LogLine, RunLog, capture_logs, run_logger
from task.runs.redaction import MASK, Redactor, check_names
from task.runs.run import Run
from task.runs.states import RunState, Trigger
from task.runs.waits import LATE, NO_DELAYS, Cause, Waits

__all__ = [
    "LATE",
    "MASK",
    "NO_DELAYS",
    "OUT_OF_TIME",
    "Artifact",
    "Attempt",
    "Cause",
    "Holder",
    "LogLine",
    "ParentResults",
    "Redactor",
    "Run",
    "RunLog",
    "RunState",
    "Trigger",
    "Waits",
    "artifact_folder",
    "capture_logs",
    "check_names",
    "current_run",
    "lowest_id",
    "new_id",
    "peek_current_run",
    "remove_artifacts",
    "run_logger",
    "set_current_run",
]
