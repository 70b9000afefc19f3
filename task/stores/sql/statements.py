"""Statements that are compiled once: to do that anew for each execution costs more than the database does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sql

__all__ = ["Row", "Select", "Write"]

#: A row, column by column.
Row = dict[str, Any]


class Select:
    """A query; with *column*, for some values of that.

    SQLAlchemy keeps what it compiled of a statement with the very object: that is why they are kept here. The values
    are one parameter: with one each, there would be as many statements as there are numbers of them.
    """

    def __init__(self, statement: sql.Select[Any], column: sql.Column[str] | None = None) -> None:
        self._columns = tuple(one.name for one in statement.selected_columns)
        self._statement = self._of_array = self._of_list = statement
        if column is not None:
            values: sql.BindParameter[Any] = sql.bindparam("values", type_=sql.ARRAY(sql.Text))
            self._of_array = statement.where(column == sql.any_(values))
            text: sql.BindParameter[str] = sql.bindparam("values", type_=sql.Text)
            self._of_list = statement.where(
                column.in_(sql.select(sql.func.json_each(text).table_valued("value").c.value))
            )

    def rows(self, connection: sql.Connection, parameters: Mapping[str, Any]) -> list[Row]:
        """What it finds."""
        return self._execute(connection, self._statement, parameters)

    def rows_of(self, connection: sql.Connection, parameters: Mapping[str, Any], values: Iterable[str]) -> list[Row]:
        """What it finds for some values of the column."""
        wanted = list(values)
        if not wanted:
            return []
        if connection.dialect.name == "postgresql":
            return self._execute(connection, self._of_array, {**parameters, "values": wanted})
        return self._execute(connection, self._of_list, {**parameters, "values": json.dumps(wanted)})

    def _execute(
        self, connection: sql.Connection, statement: sql.Select[Any], parameters: Mapping[str, Any]
    ) -> list[Row]:
        columns = self._columns
        return [dict(zip(columns, row, strict=True)) for row in connection.execute(statement, parameters).all()]


class Write:
    """An insert, an update or a delete, for many rows at once: what SQLAlchemy does for each of them is left out."""

    def __init__(self, statement: sql.Insert | sql.Update | sql.Delete) -> None:
        self._statement = statement
        #: Its text by the name of the dialect, and the order of its parameters: None where they have names.
        self._compiled: dict[str, tuple[str, Sequence[str] | None]] = {}

    def __call__(self, connection: sql.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Do it for each row: it names the parameters."""
        dialect = connection.dialect
        if dialect.name not in self._compiled:
            compiled: Any = self._statement.compile(dialect=dialect)
            self._compiled[dialect.name] = str(compiled), compiled.positiontup
        text, names = self._compiled[dialect.name]
        given: Any = rows if names is None else [tuple([row[name] for name in names]) for row in rows]
        connection.exec_driver_sql(text, list(given) if len(rows) > 1 else given[0])
