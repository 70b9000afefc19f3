"""What came of a body: its exception as text, and whether it was cancelled or never began."""

from __future__ import annotations

import collections.abc
import sys
import traceback

from task.errors import RunCancelled, UnfinishedBodyError
from task.runs import Run

__all__ = ["describe", "is_cancellation", "refuse_unfinished"]

#: How much of an exception's own text, and of its traceback, is kept. Characters.
ERROR_LIMIT = 500
TRACEBACK_LIMIT = 8_000
_FRAMES = 20


def is_cancellation(error: BaseException, run: Run) -> bool:
    """Whether a body ended because it was asked to: its run was, or whoever awaited the call."""
    if isinstance(error, RunCancelled):
        return run.is_cancelled()
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or not isinstance(error, asyncio.CancelledError):
        return False
    return run.is_cancelled() or run.trigger == "call"


def refuse_unfinished(result: object) -> None:
    """A generator or a coroutine that nobody drives is work that was not done: say so."""
    if result is None:
        return
    if isinstance(result, (collections.abc.Generator, collections.abc.Coroutine)):
        kind = "generator" if isinstance(result, collections.abc.Generator) else "coroutine"
        result.close()
    elif isinstance(result, collections.abc.AsyncGenerator):
        kind = "asynchronous generator"
    else:
        return
    raise UnfinishedBodyError(
        f"The body returned a {kind}, so nothing of it ran. Return a finished value, or declare an async def."
    )


def describe(error: BaseException) -> tuple[str, str]:
    """An exception as one bounded line and a bounded traceback; no frame of it is kept."""
    try:
        text = "".join(str(error).splitlines(keepends=True)[:5])[:ERROR_LIMIT]
    except BaseException:
        text = "(its text raises)"
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    try:
        frames = traceback.extract_tb(error.__traceback__, limit=-_FRAMES)
        return line, ("".join(traceback.format_list(frames)) + line)[-TRACEBACK_LIMIT:]
    except BaseException:  # no memory left, say: the line is worth more than its traceback
        return line, line
