"""What has changed on the ledger since somebody last asked: how a page keeps up with what any process does."""

from __future__ import annotations

import re
from typing import NamedTuple

from task.errors import ParameterError
from task.runs import Run
from task.schedules import shorten
from task.stores.values import JournalEntry

__all__ = ["Changes", "Position", "check_amount"]

#: So many runs, and so many entries of the journal, are told of at once.
MOST_CHANGES = 1_000


class Changes(NamedTuple):
    """What has changed on the ledger since a position, and the position after that.

    >>> Changes([], [], "7.2").position
    '7.2'
    """

    #: The runs, skips and misses that are new or not as they were, each once, as it is now: the oldest change first.
    runs: list[Run]
    #: What was steered, oldest first.
    journal: list[JournalEntry]
    #: What to ask with for what comes after these.
    position: str


class Position(NamedTuple):
    """How far somebody has followed a ledger: which change of a run, and which entry of the journal was the last."""

    runs: int
    journal: int

    def __str__(self) -> str:
        return f"{self.runs}.{self.journal}"

    @classmethod
    def of(cls, text: object, newest: Position, oldest: int = 0) -> Position:
        """As `str` has told it. Raises `ParameterError` for one that this ledger, which is at *newest*, never told."""
        found = re.fullmatch(r"(\d{1,19})\.(\d{1,19})", text, re.ASCII) if isinstance(text, str) else None
        if found is not None:
            position = cls(*map(int, found.groups()))
            if all(oldest <= told <= now for told, now in zip(position, newest, strict=True)):
                return position
        raise ParameterError(
            f"since={shorten(text)} is no position of this store: it told no such one, or has been begun anew. "
            "Ask without since= for the present position, and read anew what you show."
        )

    def after(self, runs: list[int], journal: list[int], limit: int) -> Position:
        """Where those are who have been told these changes, at most *limit* of each kind, when this was the newest.

        With fewer than that, all up to here were told; those that came while they were read are beyond it.
        """
        return Position(_after(runs, self.runs, limit), _after(journal, self.journal, limit))


def _after(told: list[int], newest: int, limit: int) -> int:
    return told[-1] if len(told) >= limit else max([newest, *told[-1:]])


def check_amount(limit: object) -> None:
    """Raise `ParameterError` for what is no number of changes."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST_CHANGES:
        raise ParameterError(
            f"limit is a whole number from 1 to {MOST_CHANGES}, not {shorten(limit)}. For more changes ask again "
            "with since=changes.position, until there are none."
        )
