"""Every error that `task` raises.

::

    TaskError
    ├── DeclarationError (ValueError)        a task is declared with a wrong value
    │   ├── ScheduleError                    … a schedule that can never be kept
    │   └── DuplicateTaskError               … a name that another task already has
    ├── DeclarationTypeError (TypeError)     a task is declared with the wrong kind of thing
    ├── UnknownTaskError (KeyError)          no task has that name
    ├── BrokenScheduleError                  a schedule's own computation failed
    ├── ManagerStateError (RuntimeError)     the manager cannot do that in its state
    │   └── ForkedError                      … because this process was forked from its own
    ├── NoRunError (RuntimeError)            `current_run()` outside a run
    ├── TransitionError (RuntimeError)       a run was sent to a state that it cannot reach: a bug
    ├── UnfinishedBodyError (RuntimeError)   a body returned before any of its work was done
    └── RunCancelled                         raised in a body whose run was asked to stop

Each message says what happened, names the task, and says how to mend it.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "BrokenScheduleError",
    "DeclarationError",
    "DeclarationTypeError",
    "DuplicateTaskError",
    "ForkedError",
    "ManagerStateError",
    "NoRunError",
    "RunCancelled",
    "ScheduleError",
    "TaskError",
    "TransitionError",
    "UnfinishedBodyError",
    "UnknownTaskError",
]


class TaskError(Exception):
    """The base of every error of ours: ``except TaskError`` catches them all.

    >>> from task import TaskError, cron
    >>> try:
    ...     cron("0 0 31 2 *")
    ... except TaskError as error:
    ...     print(type(error).__name__)
    ScheduleError
    """


class DeclarationError(TaskError, ValueError):
    """Raised when a task is declared with a value that it cannot have."""


class ScheduleError(DeclarationError):
    """Raised when a schedule can never be kept: no such date, no such zone, no positive interval."""


class DuplicateTaskError(DeclarationError):
    """Raised when two different tasks of one manager have one name; the message names both places."""


class DeclarationTypeError(TaskError, TypeError):
    """Raised when a task is declared with the wrong kind of thing: a schedule that is not a Job, say."""


class UnknownTaskError(TaskError, KeyError):
    """Raised when a manager has no task of that name; the message offers the nearest names."""

    def __str__(self) -> str:  # KeyError would show the message in quotes
        return str(self.args[0]) if self.args else ""


class BrokenScheduleError(TaskError):
    """Raised when a schedule's ``next_slot`` raises, goes back, stands still or has no time zone.

    The manager catches it: that task is marked broken and shown so, the others go on.
    """


class ManagerStateError(TaskError, RuntimeError):
    """Raised when a manager cannot do what was asked in its present state."""


class ForkedError(ManagerStateError):
    """Raised in a forked child whose manager was started in the parent; ``run()`` starts one here."""


class NoRunError(TaskError, RuntimeError):
    """Raised when `current_run()` is called where no run is under way."""


class TransitionError(TaskError, RuntimeError):
    """Raised when a run is sent to a state that it cannot reach from its own. It is a bug of ours."""


class UnfinishedBodyError(TaskError, RuntimeError):
    """Raised when a scheduled body returned a generator or a coroutine: none of its work was done."""


class RunCancelled(TaskError):  # noqa: N818 - control flow, not a fault, as `asyncio.CancelledError`
    """Raised by `Run.check_cancelled` inside a body whose run was asked to stop."""


def did_you_mean(name: object, known: Iterable[str], otherwise: str = "") -> str:
    """The hint for a name that is not known: the nearest ones, or *otherwise*.

    >>> did_you_mean("thraeded", ["threaded", "tags"])
    "Did you mean 'threaded'?"
    """
    import difflib  # loaded for the mistake only

    near = difflib.get_close_matches(str(name), known, n=3)
    return f"Did you mean {' or '.join(map(repr, near))}?" if near else otherwise
