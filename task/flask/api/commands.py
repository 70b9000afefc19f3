"""Commands in recurring entries: only executables that the application has listed, and never a shell."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from task.flask.problems import refusal
from task.flask.state import State, current_state
from task.shell import shell

__all__ = ["COMMAND_TASK", "add_command_task", "check_listed"]

#: The task whose body runs them.
COMMAND_TASK = "shell-command"


def run_command(command: list[str]) -> dict[str, Any]:
    """Run an executable that the application has listed in TASKS_SHELL_COMMANDS, without a shell."""
    if not _is_listed(command):  # it may have been when the entry was made, and a trigger names what it likes
        raise PermissionError(f"{command[:1]} is not in TASKS_SHELL_COMMANDS")
    return dataclasses.asdict(shell(command)())


def add_command_task(state: State) -> None:
    """Let a manager run the listed executables, by a task of its own. Where none is listed, there is no such task."""
    manager = state.manager
    if state.settings.shell_commands and not (
        COMMAND_TASK in manager and manager[COMMAND_TASK].func is run_command  # of the application before
    ):
        manager.add(run_command, name=COMMAND_TASK, threaded=True)


def check_listed(task: str | None, parameters: Mapping[str, Any]) -> None:
    """Raise the problem of an entry that would run an executable that is not listed."""
    if task != COMMAND_TASK:
        return
    listed = current_state().settings.shell_commands
    if not listed:
        raise refusal(403, "This application allows no commands: it lists none in TASKS_SHELL_COMMANDS.")
    if not _is_listed(parameters.get("command")):
        raise refusal(403, f"Only these executables are allowed (TASKS_SHELL_COMMANDS): {', '.join(listed)}.")


def _is_listed(command: Any) -> bool:
    return isinstance(command, list) and bool(command) and command[0] in current_state().settings.shell_commands
