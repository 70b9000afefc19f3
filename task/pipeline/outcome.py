"""What came of a body: its exception as text, and whether it was cancelled or never began."""

from __future__ import annotations

import collections.abc
import os
import reprlib
import sys
import traceback
from collections.abc import Callable
from typing import Any

from task.errors import RunCancelled, UnfinishedBodyError
from task.runs import Run

__all__ = ["describe", "forget_frames", "is_cancellation", "refuse_unfinished", "text_of"]

#: How much of an exception's own text, and of its traceback, is kept. Characters.
ERROR_LIMIT = 500
TRACEBACK_LIMIT = 8_000
_FRAMES = 20

#: Where our own code lies.
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep

#: How much of a result is kept as text. Characters.
RESULT_LIMIT = 4_000


class _Brief(reprlib.Repr):
    """A bounded ``repr`` whose parts go through *mask* before they are cut: half a secret is one, too."""

    def __init__(self, mask: Callable[[str], str]) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = RESULT_LIMIT
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = 100
        self._mask = mask

    def repr_str(self, x: str, level: int) -> str:
        return super().repr_str(self._mask(x), level)

    def repr_instance(self, x: Any, level: int) -> str:
        try:
            text = self._mask(repr(x))
        except Exception:
            return f"<{type(x).__name__}, whose repr raises>"
        half = (RESULT_LIMIT - len(self.fillvalue)) // 2
        return text if len(text) <= RESULT_LIMIT else text[:half] + self.fillvalue + text[-half:]


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
        text = mask(str(error))[:ERROR_LIMIT]  # masked before it is cut: half a secret is one, too
        text = "".join(text.splitlines(keepends=True)[:5])
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


def text_of(result: object, mask: Callable[[str], str] = str) -> tuple[str, bool]:
    """A result as bounded text, through *mask*: JSON where it is that and short enough, else a bounded ``repr``.

    And whether it is the whole of it, as JSON.
    """
    import json  # loaded for the first result that is not None

    try:
        pieces, length = [], 0
        for piece in json.JSONEncoder(allow_nan=False).iterencode(result):
            pieces.append(piece)
            length += len(piece)
            if length > RESULT_LIMIT:
                break
        else:
            text = "".join(pieces)
            shown = mask(text)
            if shown != text:
                json.loads(shown)  # a number that is a secret leaves no JSON
            return shown, True
    except BaseException:  # it is not JSON, or a container of the user's own that raises whatever it likes
        pass
    try:
        return mask(_Brief(mask).repr(result))[:RESULT_LIMIT], False
    except BaseException:
        return f"({type(result).__name__}, whose repr raises)", False


def forget_frames(error: BaseException) -> None:
    """Let an exception go from the frames that it came through, with all that lies in them."""
    left, seen = [error], {id(error)}
    while left:
        one = left.pop()
        BaseException.with_traceback(one, None)  # past what its class makes of that: a frozen dataclass refuses
        inner = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        for other in (one.__cause__, one.__context__, *inner):
            if other is not None and id(other) not in seen:
                seen.add(id(other))
                left.append(other)
