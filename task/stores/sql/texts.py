"""Text that any database takes: what a body says may be anything, and must not keep its end from being written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["write_out"]


def write_out(
    connection: object, cursor: object, statement: str, parameters: Any, context: object, executemany: bool
) -> tuple[str, Any]:
    """Before a statement is executed: its texts, as all databases keep them."""
    if executemany:
        return statement, [_written(row) for row in parameters]
    return statement, _written(parameters)


def _written(row: Any) -> Any:
    for value in row.values() if row.__class__ is dict else row:  # a hundred thousand times a second: `_is_odd`
        if value.__class__ is str and (not value.isascii() or "\0" in value):
            break
    else:
        return row
    if isinstance(row, Mapping):
        return {name: _text_of(value) if _is_odd(value) else value for name, value in row.items()}
    return tuple(_text_of(value) if _is_odd(value) else value for value in row)


def _is_odd(value: object) -> bool:
    return value.__class__ is str and (not value.isascii() or "\0" in value)


def _text_of(text: str) -> str:
    """PostgreSQL has no NUL, and halves of a surrogate pair have no UTF-8: both are written as in Python's source.

    >>> _text_of("a\\ud800b")
    'a\\\\ud800b'
    """
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")
