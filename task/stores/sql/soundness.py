"""What a row of the database has to be for us to understand it: something else may have written there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sql

from task.log import logger
from task.runs import RunState
from task.schedules import shorten
from task.stores.sql import schema
from task.stores.sql.statements import Row

__all__ = ["flaw", "json_of", "mended"]

#: The last microsecond of the year 9999, since the epoch: `datetime` knows no later one. Numbers stay below it, too.
_LARGEST = 253_402_300_799_999_999

_STATES = frozenset(map(str, RunState))


class _Column(NamedTuple):
    name: str
    kinds: tuple[type, ...]
    optional: bool
    #: What it is taken for where what it says is not understood.
    otherwise: Any


def _columns(table: sql.Table) -> tuple[_Column, ...]:
    found = []
    for column in table.columns:
        number = isinstance(column.type, sql.Integer)
        kinds = (int,) if number else (float, int) if isinstance(column.type, sql.Float) else (str,)
        plain = 0 if number else ""
        default = plain if column.default is None else getattr(column.default, "arg", plain)
        found.append(_Column(column.name, kinds, bool(column.nullable), None if column.nullable else default))
    return tuple(found)


_COLUMNS = {
    table.name: _columns(table)
    for table in (
        schema.runs,
        schema.tasks,
        schema.declarations,
        schema.processes,
        schema.journal,
        schema.incidents,
        schema.namespaces,
        schema.recurring,
    )
}


def json_of(text: Any, otherwise: Any) -> Any:
    """What a column of JSON says; *otherwise* for none, and for what is neither that nor of its kind."""
    try:
        told = otherwise if text is None else json.loads(text)
    except (ValueError, TypeError):
        return otherwise
    return told if isinstance(told, type(otherwise)) else otherwise


def flaw(table: sql.Table, row: Mapping[Any, Any]) -> str | None:
    """What is wrong with a row; None when nothing is."""
    for name, kinds, optional, _ in _COLUMNS[table.name]:
        value = row[name]
        if value.__class__ not in kinds and not (value is None and optional):
            return f"its column {name!r} is {shorten(value)}"
        if value.__class__ is int and not -_LARGEST <= value <= _LARGEST:
            return f"its column {name!r} is {value}"
    if table is schema.runs and (row["state"] not in _STATES or not 0 <= row["place"] <= 2):
        return f"its state is {shorten(row['state'])}, its place {row['place']}"
    return None


def mended(table: sql.Table, row: Row) -> Row:
    """A row to be shown: what is not understood of it as if it were not there."""
    problem = flaw(table, row)
    if problem is None:
        return row
    logger.warning("The row of %r in %s is unreadable in part: %s", row.get("name"), table.name, problem)
    for name, kinds, optional, otherwise in _COLUMNS[table.name]:
        value = row[name]
        sound = value.__class__ in kinds or (value is None and optional)
        if not sound or (value.__class__ is int and not -_LARGEST <= value <= _LARGEST):
            row[name] = otherwise
    return row
