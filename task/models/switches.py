"""What an operator switch may say, of a task or a recurring entry."""

from __future__ import annotations

import datetime

from task.errors import DeclarationError, DeclarationTypeError
from task.schedules import shorten

__all__ = ["check_switch"]

#: An end outside of these cannot be told in every zone, or counted with: one page that shows it would be none.
_EARLIEST = datetime.datetime(1970, 1, 2, tzinfo=datetime.UTC)
_LATEST = datetime.datetime(9000, 1, 1, tzinfo=datetime.UTC)


def check_switch(owner: str, enabled: object, note: object, until: object) -> None:
    """Raise `DeclarationTypeError` or `DeclarationError` for what is no switch; *owner* is whose it is, in words.

    >>> check_switch("Task 'sample'", False, "too slow", datetime.datetime(9999, 1, 1, tzinfo=datetime.UTC))
    Traceback (most recent call last):
    task.errors.DeclarationError: Task 'sample': until is a moment from 1970 to 8999, not '9999-01-01T00:00:00+00:00'.
    """
    if not isinstance(enabled, bool):
        raise DeclarationTypeError(f"{owner}: enabled is True or False, not {shorten(enabled)}.")
    if note is not None and not isinstance(note, str):
        raise DeclarationTypeError(f"{owner}: note is text, not {shorten(note)}.")
    if until is None:
        return
    if not isinstance(until, datetime.datetime) or until.utcoffset() is None:
        raise DeclarationError(f"{owner}: until is an aware datetime, not {shorten(until)}.")
    if not _EARLIEST <= until <= _LATEST:
        raise DeclarationError(f"{owner}: until is a moment from 1970 to 8999, not {shorten(until.isoformat())}.")
