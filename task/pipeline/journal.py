"""Who has steered what, for the journal of the store."""

from __future__ import annotations

import functools
import getpass
import os
import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from task.errors import DeclarationTypeError
from task.log import logger
from task.pipeline.outcome import text_of
from task.runs import Run
from task.schedules import shorten
from task.stores import JournalEntry

if TYPE_CHECKING:
    from task.pipeline.pipeline import Pipeline

__all__ = ["name_of", "trigger_note", "write"]

#: How much of a name and of a note is kept. Characters.
WHO_LIMIT = 200
NOTE_LIMIT = 1_000


def write(pipeline: Pipeline, what: str, task: str | None, note: str | None, by: str | None) -> None:
    """Keep it. A store that cannot keeps nobody from steering: the log has it then."""
    entry = JournalEntry(pipeline.clock.now(), name_of(by), what, task, None if note is None else note[:NOTE_LIMIT])
    try:
        pipeline.store.note(entry)
    except Exception as error:  # a store of the user's own may raise whatever it likes
        logger.error("The journal does not have that %s has %s %s: %s", entry.who, what, task or "all tasks", error)


def name_of(by: str | None) -> str:
    """Who steers: who is named, else the user of this process and its host.

    Raises `DeclarationTypeError` for what is no name.
    """
    if by is None:
        return _user_here()
    if not isinstance(by, str) or not by.strip():
        raise DeclarationTypeError(f"by is the name of who does it, such as 'ada', not {shorten(by)}.")
    return by[:WHO_LIMIT]


@functools.cache
def _user_here() -> str:
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user without an entry, as in some containers
        name = str(os.getuid()) if hasattr(os, "getuid") else "somebody"
    return f"{name}@{platform.node()}"[:WHO_LIMIT]


def trigger_note(run: Run, values: Mapping[str, Any]) -> str:
    """Which run somebody has triggered, and with which parameters: bounded, secrets masked."""
    if not values:
        return f"run {run.id}"
    shown = (run.masked if run.redactor is not None else run.parameters) or {}
    text, _ = text_of({name: shown.get(name, "***") for name in values}, run.mask)
    return f"run {run.id} with {text}"
