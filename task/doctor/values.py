"""What an examination finds, as plain values."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["Diagnosis", "State"]

#: How it is with what was looked at; ``not known``: it could not be looked at from here.
State = Literal["well", "not known", "warning", "problem"]


class Diagnosis(NamedTuple):
    """What one check has found.

    >>> Diagnosis("loop", "well", "The loop makes its passes.", "").process is None
    True
    """

    #: Which check it is: ``loop``, ``fork``, ``workers`` …
    check: str
    state: State
    #: What was found, in one sentence; and what helps, in another: empty where nothing has to be done.
    found: str
    cure: str
    #: Of which process, as ``pid@host``; None: of all of them, of the store, or of the tasks.
    process: str | None = None
    #: More of it, line by line: where the body of a run stands, say.
    details: tuple[str, ...] = ()
