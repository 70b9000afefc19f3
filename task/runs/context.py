"""Which run is under way here: in this thread, this coroutine, this nested call."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING

from task.errors import NoRunError

if TYPE_CHECKING:
    from task.runs.run import Run

__all__ = ["current_run", "peek_current_run", "set_current_run"]

_current: contextvars.ContextVar[Run | None] = contextvars.ContextVar("task_current_run", default=None)

#: Sets the run of the present context; who executes bodies calls it.
set_current_run = _current.set
#: The run of the present context, or None.
peek_current_run = _current.get


def current_run() -> Run:
    """The run whose body is under way here. Raises `NoRunError` outside of one.

    It is known in bodies of every kind, in what they call, in ``asyncio.to_thread``, and in callbacks; not
    in threads that a body starts by itself.

    >>> current_run()
    Traceback (most recent call last):
    task.errors.NoRunError: No run is under way here: call current_run() inside the body of a task.
    """
    run = _current.get()
    if run is None:
        raise NoRunError("No run is under way here: call current_run() inside the body of a task.")
    return run
