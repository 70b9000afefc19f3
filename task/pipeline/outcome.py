"""What came of a body: its exception as text, and whether it was cancelled or never began."""

from __future__ import annotations

import collections.abc
import json
import os
import pathlib
import reprlib
import sys
import traceback
from collections.abc import Callable

from task.errors import RunCancelled, UnfinishedBodyError
from task.runs import Run

__all__ = ["describe", "forget_frames", "is_cancellation", "refuse_unfinished", "text_of"]

#: How much of an exception's own text, and of its traceback, is kept. Characters.
ERROR_LIMIT = 500
TRACEBACK_LIMIT = 8_000
_FRAMES = 20

#: Where our own code lies.
_OURS = str(pathlib.Path(__file__).parents[1]) + os.sep

#: How much of a result is kept as text. Characters.
RESULT_LIMIT = 4_000

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = RESULT_LIMIT
_brief.maxlist = _brief.maxtuple = _brief.maxdict = _brief.maxset = 100


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


def describe(error: BaseException, mask: Callable[[str], str] = str) -> tuple[str, str]:
    """An exception as one bounded line and a bounded traceback, both through *mask*; no frame of it is kept."""
    try:
        text = mask(str(error)[: 10 * ERROR_LIMIT])  # masked before it is cut: half a secret is one, too
        text = "".join(text.splitlines(keepends=True)[:5])[:ERROR_LIMIT]
    except BaseException:
        text = "(its text raises)"
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    try:
        return line, mask(_frames_of(error) + line + _notes_of(error))[-TRACEBACK_LIMIT:]
    except BaseException:  # no memory left, say: the line is worth more than its traceback
        return line, line


def _frames_of(error: BaseException) -> str:
    """Where it came through, from the body on: what of ours lies before that tells a reader nothing."""
    frames = traceback.extract_tb(error.__traceback__, limit=-_FRAMES)
    body = next((index for index, frame in enumerate(frames) if not frame.filename.startswith(_OURS)), 0)
    return "".join(traceback.format_list(frames[body:]))


def _notes_of(error: BaseException) -> str:
    """Its notes: the traceback of another process is one."""
    notes = getattr(error, "__notes__", None)
    return "".join(f"\n{note}"[:TRACEBACK_LIMIT] for note in notes[:10]) if isinstance(notes, list) else ""


def text_of(result: object, mask: Callable[[str], str] = str) -> str:
    """A result as bounded text, through *mask*: JSON where it is that and short enough, else a bounded ``repr``."""
    try:
        pieces, length = [], 0
        for piece in json.JSONEncoder(allow_nan=False).iterencode(result):
            pieces.append(piece)
            length += len(piece)
            if length > RESULT_LIMIT:
                break
        else:
            return mask("".join(pieces))
    except (TypeError, ValueError, RecursionError):
        pass  # it is not JSON
    try:
        return mask(_brief.repr(result))[:RESULT_LIMIT]
    except BaseException:
        return f"({type(result).__name__}, whose repr raises)"


def forget_frames(error: BaseException) -> None:
    """Let an exception go from the frames that it came through, with all that lies in them."""
    left, seen = [error], {id(error)}
    while left:
        one = left.pop()
        one.__traceback__ = None
        inner = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        for other in (one.__cause__, one.__context__, *inner):
            if other is not None and id(other) not in seen:
                seen.add(id(other))
                left.append(other)
