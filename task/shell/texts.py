"""What is said of a command that failed: its program and its stderr, never its arguments."""

from __future__ import annotations

import signal
from typing import Any

from task.schedules import shorten

__all__ = ["text_of_failure", "text_of_numbers", "why_not_started"]

#: How long a message with the end of stderr may be (characters), and how many lines of it it has.
MESSAGE = 500
LAST_LINES = 4
#: How many numbers of processes are named.
NUMBERS = 20


def text_of_failure(who: str, code: int | None, stderr: str) -> str:
    """How a command ended that did not end well, with the end of what it said of that.

    >>> text_of_failure("The command 'ls'", 2, "ls: no such file")
    "The command 'ls' ended with exit code 2; its stderr ends:\\nls: no such file"
    """
    if code is None:
        return (
            f"{who} has ended, but how is not known: another part of the program took its exit code. "
            "Leave SIGCHLD at its default, and wait for no child that is not yours."
        )
    ending = f"ended with exit code {code}" if code > 0 else f"was ended by {_signal_name(-code)}"
    lines = [line for line in stderr.splitlines() if line.strip()]
    if not lines:
        return f"{who} {ending}. It wrote nothing to stderr."
    message = f"{who} {ending}; its stderr ends:\n"
    return message + "\n".join(lines[-LAST_LINES:])[-(MESSAGE - len(message)) :]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def why_not_started(error: OSError, cwd: Any) -> str:
    """Why a command could not be started, and what to do about it."""
    if cwd is not None and error.filename == cwd:
        return f"cwd={shorten(cwd, 200)} is no folder that it may enter ({error.strerror}). Make it, or give another."
    if isinstance(error, FileNotFoundError):
        return "there is no such program, or its first line names none. Install it, or give its full path."
    if isinstance(error, PermissionError):
        return "this user may not execute it. Make it executable (chmod +x), or name its interpreter first."
    reason = error.strerror or type(error).__name__
    if error.filename is None:
        return f"{reason}."
    return f"{reason}. Is it a program, are its arguments and parameters short enough?"


def text_of_numbers(numbers: list[int]) -> str:
    """The numbers of processes, of very many the first.

    >>> text_of_numbers([12, 13])
    '12, 13'
    """
    more = f" and {len(numbers) - NUMBERS} more" if len(numbers) > NUMBERS else ""
    return ", ".join(map(str, numbers[:NUMBERS])) + more
