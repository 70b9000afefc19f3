"""``Database``: connections, transactions, and what becomes of a database's own errors."""

from __future__ import annotations

import contextlib
import os
import pathlib
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sql
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from task.clock import SystemClock
from task.errors import StoreError, StoreUnavailableError
from task.log import logger
from task.stores.sql import silence
from task.stores.sql.address import parse, path_of, shown
from task.stores.sql.forking import Gate
from task.stores.sql.opening import alone
from task.stores.sql.pool import Pool
from task.stores.sql.schema import namespaces, upgrade
from task.stores.sql.texts import write_out
from task.stores.sql.turns import begin_to_write

__all__ = ["Database"]

_monotonic = SystemClock().monotonic

#: How long a transaction waits for another's: the lock of a SQLite file, a row of PostgreSQL. Seconds.
BUSY_TIMEOUT = 5.0

#: How much of a SQLite file each connection keeps at hand, if it reads so much. KiB.
PAGES_KEPT = 16_000

#: Who has waited so long for a database that then could not be reached spares others the waiting, for a while. Seconds.
IN_VAIN, FOR_A_WHILE = 2.0, 1.0

#: What PostgreSQL is asked for at each connection: milliseconds after which it gives up on a statement, on a lock, and
#: on a process that was frozen inside a transaction, so that the others go on.
_POSTGRESQL_OPTIONS = "-c statement_timeout=15000 -c lock_timeout=5000 -c idle_in_transaction_session_timeout=10000"
#: After how many seconds of silence a connection that was cut counts as broken.
_POSTGRESQL_KEEPALIVES = {
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

#: What PostgreSQL says when somebody has dropped the tables: they are made again.
_NO_TABLE = "42P01"
#: How long a fork waits for the end of the transactions under way. Seconds.
FORK_PATIENCE = {"sqlite": 10.0, "postgresql": 1.0}

#: What a forked child has of its parent, and leaves alone.
_inherited: list[Any] = []

#: What SQLite says of a file that is no database, or is one no longer.
_CORRUPT = ("file is not a database", "malformed", "file is encrypted")


class Database:
    """One database, as the ledger of one namespace uses it. Thread-safe; writes are made one at a time."""

    def __init__(self, url: str, namespace: str) -> None:
        self._url = parse(url)
        self.namespace = namespace
        self.dialect = self._url.get_backend_name()
        self._path = path_of(self._url)
        self._prepare()

    @property
    def place(self) -> tuple[object, str]:
        """Which ledger it is: another object with the same place is the same ledger."""
        return self._path or self._url, self.namespace

    @property
    def file(self) -> pathlib.Path | None:
        """The SQLite file, if it is one."""
        return self._path

    def _prepare(self) -> None:
        #: One transaction of this process at a time; also held while the connections are made anew.
        self._lock = threading.RLock()
        #: Whether some text in the file is none: to look at each costs time.
        self._has_odd_texts = False
        self._engine = self._make_engine()
        weakref.finalize(self, self._engine.dispose)  # a connection that is merely collected warns of it
        #: The file that is open, as the system knows it; None until the schema was looked at.
        self._file: tuple[int, int] | None = None
        self._ready = False
        #: Something of it was corrupt: all of it is looked at before it is used again.
        self._suspect = False
        #: Counts the databases that were found there: that of its name may be deleted, or another.
        self.edition = 0
        #: What was waited for in vain, when, and how it failed; and who tries it again.
        self._vain: dict[str, tuple[float, str]] = {}
        self.prober: threading.Thread | None = None
        #: When that has begun what it does now.
        self.asked_at: float | None = None
        #: Open but while this process is forked; and whether a connection to its file was open at that moment.
        self._gate = Gate()
        self._shared_with_parent = False

    def before_fork(self) -> bool:
        """Let no thread be in a transaction, and no connection to a SQLite file be open: see `forking`.

        Whether that was done.
        """
        alone = self._gate.close(FORK_PATIENCE[self.dialect])
        if self.dialect != "sqlite":
            return True
        if alone:
            self._engine.dispose()
        return alone

    def stays_open(self) -> None:
        """A connection to its file, or to another, is open while the process is forked."""
        self._shared_with_parent = self.dialect == "sqlite"

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._shared_with_parent = False
        self._gate.open()

    def reset_after_fork(self) -> None:
        """A forked child has connections of its own: the parent's stay open, and are the parent's."""
        shared = self._shared_with_parent
        _inherited.append(self._engine.pool)  # not even collected here
        self._engine.dispose(close=False)
        self._prepare()
        self._shared_with_parent = shared

    def __repr__(self) -> str:
        return f"<{shown(self._url)} namespace={self.namespace!r}>"

    def _make_engine(self) -> sql.Engine:
        engine = self._make_bare_engine()
        event.listen(engine, "before_cursor_execute", write_out, retval=True)
        return engine

    def _make_bare_engine(self) -> sql.Engine:
        if self.dialect == "sqlite":
            engine = sql.create_engine(
                self._url,
                poolclass=Pool,
                connect_args={"timeout": BUSY_TIMEOUT, "check_same_thread": False},
            )
            mine = weakref.proxy(self)  # the engine outlives what it is disposed of with
            event.listen(engine, "do_connect", lambda *asked: mine._connect_to_file(*asked))
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        engine = sql.create_engine(
            self._url,
            poolclass=Pool,
            pool_pre_ping=True,
            pool_size=5,
            max_overflow=10,
            pool_timeout=BUSY_TIMEOUT,
            connect_args={"options": _POSTGRESQL_OPTIONS, "application_name": "task", **_POSTGRESQL_KEEPALIVES},
        )
        event.listen(engine, "do_connect", silence.connect)
        return engine

    def _connect_to_file(self, dialect: sql.Dialect, record: object, arguments: Any, options: Any) -> Any:
        """Open it, and read it for the first time, while nobody moves it: see `opening`."""
        assert self._path is not None
        with alone(self._path, BUSY_TIMEOUT):
            connection = dialect.connect(*arguments, **options)
            try:
                self._set_up_sqlite(connection)
            except dialect.loaded_dbapi.Error:
                connection.close()
                raise
            return connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sql.Connection]:
        """One transaction with the write lock of the namespace held; committed at the end.

        Raises `StoreUnavailableError` when the database cannot be reached, and `StoreError` for what it refuses.
        """
        with self._gate.inside(), self._refused("write"), self._lock, self._told():
            self._open()
            with self._engine.connect().execution_options(writes=True) as connection, _committed(connection):
                yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[sql.Connection]:
        """One look at what is committed. Raises as `write`."""
        with self._gate.inside(), self._refused("read"), self._told():
            if not self._ready or self._replaced():
                with self._lock:
                    self._open()
            with self._engine.connect() as connection, connection.begin():
                yield connection

    def close(self) -> None:
        """Close the connections; the next use makes new ones."""
        with self._gate.inside(), self._lock:
            self._engine.dispose()
            self._ready = False

    # How it is opened.

    def _open(self) -> None:
        """See that the schema is there: at first, after an error, and when the file is another one. Lock held."""
        if self._ready and not self._replaced():
            return
        if self._shared_with_parent:
            raise StoreUnavailableError(
                f"The store {self!r} cannot be used in this process: it was forked while another thread was in a "
                "transaction that did not end. Fork it again, or start it as a new process."
            )
        if self._replaced():
            self._engine.dispose()
        before = self._file
        try:
            fresh = self._create()
        except DBAPIError as error:
            if not self._is_corrupt(error):
                raise
            fresh = self._begin_anew()
        self._file = self._file_now()
        if self._path is not None and self._file is None:
            raise StoreUnavailableError(f"The store {self!r} cannot be reached: its file is deleted again and again")
        if fresh or before not in (None, self._file):
            self.edition += 1
        self._ready, self._suspect = True, False

    def _create(self) -> bool:
        """Make what is not there; whether the namespace was not."""
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            if self.dialect == "postgresql":  # two processes may make the tables at once; the key is ours alone
                connection.execute(sql.text("SELECT pg_advisory_xact_lock(7241850936215)"))
            if self._suspect and (found := connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()) != "ok":
                raise sql.exc.DatabaseError("PRAGMA quick_check", None, MalformedError(f"malformed: {found}"))
            upgrade(connection)
            known = sql.select(namespaces.c.namespace).where(namespaces.c.namespace == self.namespace)
            if connection.execute(known).first() is not None:
                return False
            connection.execute(namespaces.insert().values(namespace=self.namespace))
            return True

    def _file_now(self) -> tuple[int, int] | None:
        if self._path is None:
            return None
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return (found.st_dev, found.st_ino) if found.st_size else None  # empty: somebody has cut it off

    def _replaced(self) -> bool:
        """Whether the file that is open is not the one of that name any more."""
        return self._path is not None and self._file_now() != self._file

    # What goes wrong.

    def refusal(self, kind: str) -> StoreUnavailableError | None:
        """Why nobody has to try now to ``read`` or ``write``: somebody has just waited for that in vain.

        Whoever tries it again is the `prober`, if there is one, or the first who comes after a while.
        """
        known = self._vain.get(kind)
        if known is None or threading.current_thread() is self.prober:
            return None
        probing = self.prober is not None and self.prober.is_alive()
        if not probing and _monotonic() - known[0] > FOR_A_WHILE:
            return None
        return StoreUnavailableError(known[1])

    @contextlib.contextmanager
    def _refused(self, kind: str) -> Iterator[None]:
        error = self.refusal(kind)
        if error is not None:
            raise error
        begun = _monotonic()
        if threading.current_thread() is self.prober:
            self.asked_at = begun
        try:
            yield
        except StoreUnavailableError as failed:
            now = _monotonic()
            if now - begun > IN_VAIN:
                self._vain[kind] = now, str(failed)
            raise
        finally:
            if threading.current_thread() is self.prober:
                self.asked_at = None
        if self._vain:
            self._vain.pop(kind, None)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Tell a database's errors as ours."""
        try:
            yield
        except DBAPIError as error:
            raise self._as_ours(error) from error
        except (SQLAlchemyError, OSError, self._engine.dialect.loaded_dbapi.Error) as error:
            # Its pool has no connection left, say, or a row is gone.
            self._ready = False
            raise StoreUnavailableError(f"The store {self!r} cannot be reached: {_first_line(error)}") from error

    def _set_up_sqlite(self, connection: Any) -> None:
        connection.isolation_level = None  # we say when a transaction begins
        if self._has_odd_texts:
            connection.text_factory = lambda read: read.decode(errors="replace")
        cursor = connection.cursor()
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute(f"PRAGMA cache_size=-{PAGES_KEPT}")
        finally:
            cursor.close()

    def _as_ours(self, error: DBAPIError) -> StoreError:
        text = _first_line(error.orig or error)
        if "Could not decode to UTF-8" in text and not self._has_odd_texts:
            self._has_odd_texts = True  # one row must not keep us from the others: from now on it is read all the same
            self._engine.dispose()
        self._ready = False  # look at it again before it is used
        if self._is_corrupt(error):
            self._suspect = True
            self._engine.dispose()
            return StoreUnavailableError(f"The store {self!r} is corrupt: {text}")
        if _may_pass(error):
            if "locked" not in text:  # else its connections are sound; one that was opened read-only, say, stays so
                self._engine.dispose()
            failed = StoreUnavailableError(f"The store {self!r} cannot be reached: {text}")
            failed.uncertain = getattr(error, "uncertain", False)
            return failed
        return StoreError(f"The store {self!r} refused what it was asked: {text}")

    def _is_corrupt(self, error: DBAPIError) -> bool:
        return self.dialect == "sqlite" and any(words in str(error.orig) for words in _CORRUPT)

    def _begin_anew(self) -> bool:
        """Of several processes that find the file corrupt, one moves it aside, and the others take the new one."""
        assert self._path is not None
        with alone(self._path, BUSY_TIMEOUT):
            self._engine.dispose()
            try:
                return self._create()
            except DBAPIError as error:
                if not self._is_corrupt(error):
                    raise
                self._move_aside(error)
                return self._create()

    def _move_aside(self, error: DBAPIError) -> None:
        """A corrupt file is kept beside, under a name that says so: nothing is thrown away."""
        self._engine.dispose()
        stamp = SystemClock().now().strftime("%Y%m%dT%H%M%S.%f")
        for ending in ("-wal", "-shm", ""):  # who comes between makes no new file that is then robbed of its own
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{self._path}{ending}", f"{self._path}.corrupt-{stamp}{ending}")
        logger.error(
            "The store %s is corrupt (%s). It was moved aside to %s.corrupt-%s, and a new one is begun: "
            "what had run before is not known there.",
            self._path,
            _first_line(error.orig or error),
            self._path,
            stamp,
        )


class MalformedError(Exception):
    """What SQLite itself does not say: a check has found it."""


@contextlib.contextmanager
def _committed(connection: sql.Connection) -> Iterator[None]:
    """A transaction. An error of its very end says so: who knows whether it was committed."""
    with connection.begin() as transaction:
        yield
        try:
            transaction.commit()
        except DBAPIError as error:
            error.uncertain = True  # type: ignore[attr-defined]  # told on by `Database._as_ours`
            raise


def _may_pass(error: DBAPIError) -> bool:
    """Whether it is the state of the database that has failed, not what it was asked."""
    if error.connection_invalidated or getattr(error.orig, "sqlstate", None) == _NO_TABLE:
        return True
    return isinstance(error, (sql.exc.OperationalError, sql.exc.InterfaceError, sql.exc.InternalError))


def _begin_sqlite(connection: sql.Connection) -> None:
    if connection.get_execution_options().get("writes"):
        begin_to_write(connection, BUSY_TIMEOUT)
    else:
        connection.exec_driver_sql("BEGIN")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
