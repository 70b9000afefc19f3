"""Real databases for tests: a SQLite file, and a PostgreSQL cluster of our own."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LOOPBACK = "127.0.0.1"

#: What PostgreSQL is asked to stop with, by the name of the mode.
_STOPPING = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}

#: Ends the cluster in the folder $1 when its standard input does: whoever made the cluster is gone then.
_GUARD = """
cat >/dev/null
if pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null); then kill -QUIT "$pid" 2>/dev/null; fi
for attempt in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do rm -rf "$1" 2>/dev/null && break; sleep 1; done
"""


def sqlite_url(folder: Path) -> str:
    """The URL of a SQLite file in *folder*, which does not exist yet."""
    return f"sqlite:///{folder / 'tasks.db'}"


def free_port() -> int:
    """A port of loopback that nobody uses, and that stays so while its server is away.

    Not one of those that the system gives to outgoing connections: another's could take it meanwhile, and a client
    that goes on trying a port without a server may be given that very port, and so reach itself.
    """
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        first = 32768
    while True:
        port = secrets.choice(range(10_000, max(first, 20_000)))  # whoever seeds `random` gives others the same
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port


def _wait(condition: Callable[[], bool], seconds: float, otherwise: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(otherwise())
        time.sleep(0.01)


class Cluster:
    """A temporary PostgreSQL cluster on loopback, started. Its clients are trusted; its port stays the same.

    It ends with its block, and also when the process that made it is killed.

    Data is flushed to the disk as in production, so that figures are real; ``fsync=False`` leaves that out. *settings*
    are lines of its configuration: ``Cluster(deadlock_timeout="100ms")``. Skips the test where PostgreSQL is missing.
    """

    def __init__(self, *, fsync: bool = True, max_connections: int = 100, **settings: str) -> None:
        self._binaries, self._identity = _binaries(), _identity()
        self.port = free_port()
        self._names = (f"test_{number}" for number in itertools.count(1))
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="task-postgresql-"))
        self._data, self._log = self.folder / "data", self.folder / "log"
        if self._identity:
            shutil.chown(self.folder, self._identity["user"], self._identity["group"])
        # Its own session: neither Ctrl-C nor the end of a terminal reaches it before its work is done.
        guarding = ["/bin/sh", "-c", _GUARD, "guard", str(self.folder)]
        self._guard = subprocess.Popen(guarding, stdin=subprocess.PIPE, start_new_session=True)
        try:
            self._initialise(
                fsync="on" if fsync else "off",
                max_connections=str(max_connections),
                listen_addresses=LOOPBACK,
                port=str(self.port),
                unix_socket_directories="",
                dynamic_shared_memory_type="mmap",  # in the folder: nothing stays in /dev/shm after a kill
                **settings,
            )
            self.start()
        except BaseException:
            self.close()
            raise

    def _initialise(self, **settings: str) -> None:
        command = [self._binaries / "initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        with self._popen([*command, "--locale=C", "--no-sync"]) as process:
            process.wait(120)
        if process.returncode:
            raise RuntimeError(f"initdb failed\n{self.log}")
        with (self._data / "postgresql.conf").open("a") as stream:
            stream.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def _popen(self, command: list[Any]) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
                start_new_session=True,
                **self._identity,
            )

    @property
    def log(self) -> str:
        """What the server has said: the end of it."""
        return self._log.read_text(errors="replace")[-5_000:]

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def url(self, database: str = "postgres") -> str:
        """The SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://postgres@{LOOPBACK}:{self.port}/{database}"

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a statement, executed outside a transaction in the database ``postgres``."""
        psycopg = pytest.importorskip("psycopg")
        with psycopg.connect(
            host=LOOPBACK, port=self.port, user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            cursor = connection.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def create_database(self) -> str:
        """The URL of a new, empty database."""
        name = next(self._names)
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Delete a database; who is connected to it loses the connection."""
        self.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def terminate_backends(self) -> int:
        """Break all connections, as an administrator would; how many there were, but for the administrator's own."""
        clients = "backend_type = 'client backend' AND datname <> current_database()"  # one of those ends a bit later
        return len(self.execute(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {clients}"))

    def start(self, timeout: float = 60) -> None:
        """Start the server, and wait until it takes connections. Running already: no change."""
        if self.running:
            return
        process = self._process = self._popen([self._binaries / "postgres", "-D", self._data])

        def ready() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"PostgreSQL did not start\n{self.log}")
            with contextlib.suppress(FileNotFoundError):
                lines = (self._data / "postmaster.pid").read_text().splitlines()
                return lines[:1] == [str(process.pid)] and [line.strip() for line in lines[7:8]] == ["ready"]
            return False

        _wait(ready, timeout, lambda: f"PostgreSQL did not start in {timeout} s\n{self.log}")

    def stop(self, mode: str = "fast", timeout: float = 60) -> None:
        """Stop the server: ``smart`` waits for its clients, ``fast`` ends their transactions, ``immediate`` crashes."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(_STOPPING[mode])
            self._process.wait(timeout)

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def kill(self) -> None:
        """Kill the server and all its processes with SIGKILL: the next start recovers from its log."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)  # it begins no more of them
        _wait(lambda: _state_of(self._process.pid) == "T", 30, lambda: "the server does not stand still")
        backends = _children_of(self._process.pid)
        self._process.kill()
        self._process.wait()
        for backend in backends:
            with contextlib.suppress(ProcessLookupError):
                os.kill(backend, signal.SIGKILL)
        # They share memory: before the last of them has gone, a new server refuses to start.
        _wait(lambda: not any(map(is_alive, backends)), 30, lambda: f"of {backends} some are still there")

    def close(self) -> None:
        """Stop the server and delete all of it."""
        try:
            self.stop("immediate")
        finally:
            with self._guard:
                assert self._guard.stdin is not None
                self._guard.stdin.close()  # deletes the folder
                self._guard.wait(30)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _binaries() -> Path:
    """The folder of PostgreSQL's programs, of the newest version."""
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    folders = sorted(versions, key=lambda folder: float(folder.parent.name), reverse=True)
    if found := shutil.which("postgres"):
        folders.append(Path(found).parent)
    for folder in folders:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    pytest.skip("PostgreSQL is not installed: no initdb in /usr/lib/postgresql/*/bin or on PATH")


def _identity() -> dict[str, Any]:
    """As whom its programs run: they refuse to run as root."""
    if os.geteuid() != 0:
        return {}
    import pwd  # not on every system

    try:
        account = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("PostgreSQL refuses to run as root, and there is no user 'postgres' to run it as")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def is_alive(pid: int) -> bool:
    """Whether a process is there, and not a dead one that nobody has asked about. Needs /proc."""
    return _state_of(pid) not in (None, "Z")


def _state_of(pid: int) -> str | None:
    """One letter: T is stopped, Z is dead. None: it is not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def _children_of(parent: int) -> list[int]:
    """The processes that this one started and that still are its children."""
    children = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                children.append(int(stat.parent.name))
    return children
