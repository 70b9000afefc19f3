"""Operations of a store's database that fail: the n-th of them once, or all of them for a while."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, Literal

import psycopg
from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError

from task import Store

Mode = Literal["before", "after", "lost"]

#: ``before``: it is not executed; ``after``: it is, but said to have failed; ``lost``: and then the connection breaks.
MODES: tuple[Mode, ...] = ("before", "after", "lost")


class Faults:
    """Counts what the store asks its database for (connections, statements, commits), and makes it fail.

    *at* is the number of the operation that fails once, in *mode*; while `down` is true all of them fail.
    """

    def __init__(self, store: Store, at: int = 0, mode: Mode = "before") -> None:
        self.count = 0
        self._lock = threading.Lock()
        self.at, self.mode = at, mode
        self.down = False
        #: What was asked, and what failed of it.
        self.made: list[str] = []
        self.failed: str | None = None
        database = store._database  # type: ignore[attr-defined]  # of an SqlStore
        # What fails here fails at once. A machine that stands still for two seconds meanwhile makes that look as if the
        # database had been waited for in vain, and then nobody asks it for one more: of time that is real.
        database.refusal = lambda kind: None
        engine = database._engine
        self._dialect = engine.dialect
        self._sqlite = engine.dialect.name == "sqlite"
        event.listen(engine, "do_connect", self._connect)
        engine.dialect.dispatch.do_connect.listeners.rotate(1)  # before who connects
        event.listen(engine, "begin", self._begin, insert=True)
        for name in ("do_execute", "do_executemany", "do_commit", "do_rollback"):
            setattr(engine.dialect, name, self._wrap(name, getattr(engine.dialect, name)))

    def _connect(self, *_: object) -> None:
        """Before a connection is made: one that broke at once is one that never was."""
        if self.down or self._count("connect"):
            raise self._error(lost=False)

    def _begin(self, connection: Connection) -> None:
        """Before a transaction: one that broke at once is one that never was."""
        if self.down or self._count("begin"):
            raise OperationalError("BEGIN", None, self._error(lost=False))

    def _count(self, made: str) -> bool:
        """Whether this is the one that fails; of the operations of several threads one is."""
        with self._lock:
            self.count += 1
            self.made.append(made)
            if self.count != self.at:
                return False
            self.failed = made
            return True

    def _wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*args: Any, **kwargs: Any) -> Any:
            if self.down and name != "do_rollback":  # there is nothing to roll back where nothing can be reached
                raise self._error(lost=False)
            if not self._count(f"{name} {args[1] if name.startswith('do_execute') else ''}"):
                return call(*args, **kwargs)
            if self.mode == "before":
                raise self._error(lost=False)
            call(*args, **kwargs)
            if self.mode == "lost":
                self._close(args[0])
            raise self._error(lost=self.mode == "lost")

        return operation

    @staticmethod
    def _close(holder: Any) -> None:
        """Break the connection of a cursor, or one that the pool has lent."""
        for name in ("dbapi_connection", "connection"):
            holder = getattr(holder, name, holder)
        with contextlib.suppress(Exception):
            holder.rollback()  # a closed connection of SQLite keeps its lock as long as somebody has a cursor of it
        holder.close()

    def _error(self, *, lost: bool) -> Exception:
        if self._sqlite:
            lost_error = sqlite3.ProgrammingError("Cannot operate on a closed database.")
            return lost_error if lost else sqlite3.OperationalError("disk I/O error")
        return psycopg.OperationalError("server closed the connection unexpectedly" if lost else "connection failed")
