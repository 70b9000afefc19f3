"""The two processes of Werkzeug's reloader: both run the program, and only the child is to run tasks."""

from __future__ import annotations

import os
import sys

__all__ = ["mark_running", "reloader_twin"]

#: A child of the reloader inherits it: the process in which a manager runs.
_MARK = "TASK_MANAGER_RUNS_IN"


def mark_running() -> None:
    """A manager starts in this process: the reloader's child is to know, whose parent this may become.

    The environment is the one thing that the child inherits; where Werkzeug is not loaded, it is left alone.
    """
    if "werkzeug" in sys.modules:
        os.environ[_MARK] = str(os.getpid())


def reloader_twin() -> int | None:
    """The parent process of this child of the reloader, if a manager ran there when this one was started."""
    parent = str(os.getppid())
    twin = os.environ.get("WERKZEUG_RUN_MAIN") == "true" and _MARK in _inherited and _inherited[_MARK] == parent
    return int(parent) if twin else None


#: As it was when this process began: its own managers write over it.
_inherited = {name: value for name, value in os.environ.items() if name == _MARK}
