"""What pages and API take to answer, served as people serve them. Each function runs in a child process."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import sqlalchemy as sql

from benchmarks.bodies import noop
from benchmarks.figures import Figures, percentile
from benchmarks.web_app import STORE, STREAMS, TASKS, fill_peer, manager_of
from benchmarks.web_load import Asked, load, wait_for
from task import TaskManager

__all__ = ["MEASURES"]

#: Requests a second.
RATE = 50.0

#: Of gunicorn; and so many streams of events are open at once.
WORKERS, THREADS = 2, 40
OPEN = 64

LIST, API, HEALTH = "/tasks/", "/tasks/api/v1/tasks", "/tasks/api/v1/health"
JOBS = "/scheduler/jobs"

#: For so long the load goes on before it counts. Seconds.
WARM_UP = 2.0

#: Until a server has ended. Seconds.
PATIENCE = 20.0


def served(subject: str, seconds: int) -> Figures:
    """The list of tasks and the API, asked one after the other; then both, beside open streams. *subject*: the runs."""
    with tempfile.TemporaryDirectory(prefix="task-benchmarks-", ignore_cleanup_errors=True) as folder:
        store = f"sqlite:///{folder}/tasks.db"
        fill(store, int(subject))
        with _server("ours", store, Path(folder)) as (port, pids):
            wait_for(port, LIST)
            figures: Figures = {}
            for name, path in (("list", LIST), ("api", API)):
                load(port, {path: RATE}, WARM_UP)
                before = _spent(pids())
                found, _ = load(port, {path: RATE}, seconds)
                spent = (_spent(pids()) - before) / (seconds * RATE)
                figures |= _told(name, found[path]) | {f"{name} spent": spent * 1e3}
            found, events = load(port, {LIST: RATE / 2, API: RATE / 2, HEALTH: 10.0}, seconds, OPEN)
            for name, path in (("list beside", LIST), ("api beside", API), ("health beside", HEALTH)):
                figures |= _told(name, found[path])
            figures["events"] = events
            for name, streams, live in (("unwatched", 0, None), ("watched", OPEN, None), ("live", OPEN, LIST)):
                before = _spent(pids())
                found, _ = load(port, {HEALTH: 5.0}, seconds / 2, streams, live)
                figures |= _told(name, found[HEALTH])
                figures[f"{name} spent"] = (_spent(pids()) - before) / (seconds / 2) * 100
            return figures


def peer(subject: str, seconds: int) -> Figures:
    """The list of jobs of Flask-APScheduler."""
    with tempfile.TemporaryDirectory(prefix="task-benchmarks-", ignore_cleanup_errors=True) as folder:
        store = f"sqlite:///{folder}/jobs.db"
        fill_peer(store)
        with _server("peer", store, Path(folder)) as (port, pids):
            wait_for(port, JOBS)
            rate = 2.0  # it bears few
            before = _spent(pids())
            found, _ = load(port, {JOBS: rate}, seconds)
            return _told("jobs", found[JOBS]) | {"jobs spent": (_spent(pids()) - before) / (seconds * rate) * 1e3}


def context(subject: str, seconds: int) -> Figures:
    """Runs a second of a body that does nothing, *within* the context of an application, or without."""
    manager = TaskManager([])
    if subject == "within":
        import flask

        manager.embedding.surround(flask.Flask("surrounding").app_context)
    asked = manager.add(noop, name="asked", overlap="allow")
    runs = 0
    with manager:
        asked.trigger().result(PATIENCE)
        begin = time.perf_counter()
        while (spent := time.perf_counter() - begin) < seconds:
            batch = [asked.trigger() for _ in range(100)]
            for run in batch:
                run.wait(PATIENCE)
            runs += len(batch)
    return {"per second": runs / spent}


# The server.


@contextlib.contextmanager
def _server(factory: str, store: str, folder: Path) -> Iterator[tuple[int, Callable[[], list[int]]]]:
    """Gunicorn on loopback: its port, and what tells the ids of its workers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", f"benchmarks.web_app:{factory}()", "--bind", f"127.0.0.1:{port}"]
    command += ["--worker-class", "gthread", "--workers", str(WORKERS), "--threads", str(THREADS)]
    environment = {**os.environ, STORE: store, STREAMS: str(OPEN // WORKERS)}
    log = folder / "server.log"
    with log.open("wb") as told, subprocess.Popen(command, env=environment, stdout=told, stderr=told) as server:
        try:
            yield port, lambda: _children(server.pid)
        except Exception:
            sys.stderr.write(log.read_text(errors="replace")[-4_000:])
            raise
        finally:
            server.send_signal(signal.SIGQUIT)
            try:
                server.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                for pid in [*_children(server.pid), server.pid]:
                    os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _spent(pids: list[int]) -> float:
    """The seconds of processor time that processes have had."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _told(name: str, asked: Asked) -> Figures:
    told = {f"{name} p{percent}": percentile(asked.waits, percent) * 1e3 for percent in (50, 95, 99)}
    return told | {f"{name} failures": asked.failures, f"{name} size": asked.size}


# The database.


def fill(store: str, count: int) -> None:
    """So many runs of the tasks, the last of each some seconds ago: one in a hundred failed."""
    from task.stores.sql.schema import runs

    with manager_of(store) as manager:
        manager.stop()
    engine = sql.create_engine(store)
    moment = f"{time.time_ns() // 1_000_000} - ({count} - n) * 60"  # milliseconds
    micros = f"({moment}) * 1000"
    values: dict[str, str] = {
        "id": _key_of(moment, "n"),
        "namespace": "'default'",
        "task": f"printf('task %04d', n % {TASKS})",
        "state": "CASE WHEN n % 101 = 0 THEN 'failed' ELSE 'succeeded' END",
        "trigger": "'schedule'",
        "overlap": "'skip'",
        **dict.fromkeys(("slot", "last_at", "queued_at"), micros),
        "started_at": f"{micros} + 2000 + n % 7000",
        "finished_at": f"{micros} + 9000 + n % 70000",
        "changed": "n",
        "count": "1",
        "attempt": "1",
        "max_concurrent": "1",
    }
    for column in runs.columns:
        if not column.nullable and column.name not in values:
            values[column.name] = "''" if isinstance(column.type, sql.String) else "0"
    quoted = ", ".join(engine.dialect.identifier_preparer.quote(name) for name in values)
    numbers = f"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count}) SELECT n FROM c"
    last = "(SELECT max(id) FROM task_runs WHERE task_runs.namespace = 'default' AND task_runs.task = task_tasks.name)"
    each = count // TASKS
    with engine.begin() as connection:
        connection.execute(
            sql.text(f"INSERT INTO task_runs ({quoted}) SELECT {', '.join(values.values())} FROM ({numbers})")
        )
        connection.execute(sql.text(f"UPDATE task_namespaces SET changes = {count}"))
        counts = f'{{"succeeded": {each - each // 100}, "failed": {each // 100}}}'.replace(":", r"\:")
        connection.execute(
            sql.text(
                f"UPDATE task_tasks SET runs = {each}, failures = {each // 100}, counts = '{counts}', last_run = {last}"
            )
        )
    engine.dispose()


def _key_of(moment: str, number: str) -> str:
    """A UUID of version 7."""
    return f"printf('%08x-%04x-7000-8000-%012x', ({moment}) >> 16, ({moment}) & 65535, {number})"


MEASURES: dict[str, Callable[[str, int], Figures]] = {
    "web served": served,
    "web peer": peer,
    "web context": context,
}
