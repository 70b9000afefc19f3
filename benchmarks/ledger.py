"""What the ledger costs on a database. Each function runs in a child process; its subject names the database."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sql

from benchmarks.bodies import noop
from benchmarks.figures import Figures, percentile
from task import TaskManager, every, once

__all__ = ["MEASURES", "POSTGRESQL"]

#: The environment variable with the URL of a PostgreSQL server: its databases are made there.
POSTGRESQL = "TASK_BENCHMARKS_POSTGRESQL"

#: So many threads ask for runs.
ASKING = 8

#: The processes that share a file.
PROCESSES = 4

#: What no run takes longer than. Seconds.
LIMIT = 60


@contextlib.contextmanager
def _database(subject: str) -> Iterator[str]:
    """The URL of an empty database."""
    if subject == "PostgreSQL":
        server = sql.make_url(os.environ[POSTGRESQL])
        name = f"benchmark_{uuid.uuid4().hex[:12]}"
        engine = sql.create_engine(server, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        engine.dispose()
        yield server.set(database=name).render_as_string(hide_password=False)
        return
    with tempfile.TemporaryDirectory(prefix="task-benchmarks-", ignore_cleanup_errors=True) as folder:
        yield f"sqlite:///{folder}/tasks.db"


def throughput(subject: str, seconds: int) -> Figures:
    """Runs that are claimed, started and finished, asked for by eight threads; how long a claim takes."""
    with _database(subject) as url:
        return _ask(url, ASKING, time.time() + 2, seconds)


def _ask(url: str, threads: int, at: float, seconds: int) -> Figures:
    """From the moment *at* on each thread has one run after another claimed, 100 ahead of what has ended at most."""
    manager = TaskManager([], store=url)
    asked = manager.add(noop, name="asked", threaded=True, overlap="allow")
    ended: list[int] = []
    waits: list[float] = []

    def ask() -> None:
        runs = []
        while (before := time.time()) < at + seconds:
            runs.append(asked.trigger())
            waits.append(time.time() - before)
            if len(runs) == 100:
                runs.pop(0).wait(LIMIT)
        ended.append(sum(run.wait(LIMIT) for run in runs))

    with manager:
        asked.trigger().result(LIMIT)
        time.sleep(max(0.0, at - time.time()))
        asking = [threading.Thread(target=ask) for _ in range(threads)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        elapsed = time.time() - at
    return {
        "per second": len(waits) / elapsed,
        "p50": percentile(waits, 50) * 1e3,
        "p99": percentile(waits, 99) * 1e3,
        "max": max(waits) * 1e3,
    }


def worker(subject: str, seconds: int) -> Figures:
    """One of `processes`: its subject holds the URL, and the moment of the start."""
    told = json.loads(subject)
    return _ask(told["url"], 2, told["at"], seconds)


def processes(subject: str, seconds: int) -> Figures:
    """Four processes on one database, two threads asking in each: all their runs, and how evenly they are spread."""
    with _database(subject) as url:
        told = json.dumps({"url": url, "at": time.time() + 10})
        command = [sys.executable, "-m", "benchmarks.child", "ledger worker", told, str(seconds)]
        working = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
        found: list[Figures] = [json.loads(process.communicate()[0]) for process in working]
    each = [figures["per second"] for figures in found]
    return {
        "per second": sum(each),
        "least": min(each) / max(each),
        "p99": max(figures["p99"] for figures in found),
        "max": max(figures["max"] for figures in found),
    }


def burst(subject: str, seconds: int) -> Figures:
    """1 000 tasks, all due at one instant; and how long the start of their manager takes."""
    late: list[float] = []
    with _database(subject) as url:
        due = time.time() + (20 if subject.startswith("APScheduler") else 5)  # adding its jobs takes so long
        start = time.perf_counter()
        _plan_burst(subject, url, due, lambda: late.append(time.time() - due))
        figures = {"start": (time.perf_counter() - start) * 1e3}
        deadline = time.monotonic() + LIMIT
        while len(late) < 1_000 and time.monotonic() < deadline:
            time.sleep(0.05)
        return figures | {"p50": percentile(late, 50) * 1e3, "p99": percentile(late, 99) * 1e3, "runs": len(late)}


def _plan_burst(subject: str, url: str, due: float, body: Callable[[], object]) -> None:
    moment = datetime.datetime.fromtimestamp(due, datetime.UTC)
    if subject.startswith("APScheduler"):
        _plan_with_apscheduler(url, moment, body)
        return
    manager = TaskManager([], store=url)
    for number in range(1_000):
        manager.add(lambda: body() and None, once(moment), name=f"task {number}", threaded=True)
    manager.run()


#: What a job of a persistent job store calls: it must be found by its name.
_called: list[Callable[[], object]] = []


def call() -> None:
    """The body of APScheduler's jobs."""
    _called[0]()


def _plan_with_apscheduler(url: str, moment: datetime.datetime, body: Callable[[], object]) -> None:
    from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore  # type: ignore[import-untyped]
    from apscheduler.schedulers.background import BackgroundScheduler  # type: ignore[import-untyped]

    _called.append(body)
    scheduler = BackgroundScheduler(timezone=datetime.UTC, jobstores={"default": SQLAlchemyJobStore(url=url)})
    for number in range(1_000):
        scheduler.add_job(
            "benchmarks.ledger:call", "date", run_date=moment, id=f"job {number}", misfire_grace_time=LIMIT
        )
    scheduler.start()


def steady(subject: str, seconds: int) -> Figures:
    """100 tasks a second, 10 ms apart: how late they are."""
    late: list[float] = []
    with _database(subject) as url:
        manager = TaskManager([], store=url)
        first = time.time() + 3
        for number in range(100):
            begin = first + number * 0.01
            manager.add(
                lambda begin=begin: late.append((time.time() - begin) % 1.0),
                every(1).seconds,
                name=f"task {number}",
                threaded=True,
                start=datetime.datetime.fromtimestamp(begin, datetime.UTC),
            )
        with manager:
            time.sleep(first - time.time() + 1.5)  # the first second is to warm up
            late.clear()
            time.sleep(seconds)
            found = list(late)
    return {"p50": percentile(found, 50) * 1e3, "p99": percentile(found, 99) * 1e3, "max": max(found) * 1e3}


def page(subject: str, seconds: int) -> Figures:
    """A page of 100 runs out of *seconds* thousand: the newest, those of one task, and those that failed."""
    with _database(subject) as url:
        manager = TaskManager([], store=url)
        for number in range(10):
            manager.add(noop, every(1_000_000).seconds, name=f"task {number}")
        with manager:
            manager.stop()
        _fill(url, seconds * 1_000)
        asked: list[dict[str, Any]] = [{}, {"task": "task 3"}, {"state": "failed"}]
        found = [percentile([_timed(manager, **one) for _ in range(20)], 50) for one in asked]
        return {"ms": max(found) * 1e3}


def _timed(manager: TaskManager, **asked: Any) -> float:
    start = time.perf_counter()
    assert len(manager.runs(**asked, limit=100)) == 100
    return time.perf_counter() - start


def _fill(url: str, count: int) -> None:
    """Runs of ten tasks, a second apart, one in a hundred failed."""
    from task.stores.sql.schema import runs

    engine = sql.create_engine(url)
    if engine.dialect.name == "postgresql":
        numbers = f"SELECT generate_series(1, {count}) AS n"
        key = "'018f' || lpad(to_hex(n >> 16), 4, '0') || '-' || lpad(to_hex(n & 65535), 4, '0')"
    else:
        numbers = f"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count}) SELECT n FROM c"
        key = "printf('018f%04x-%04x', n >> 16, n & 65535)"
    moment = "1770000000000000 + n * CAST(1000000 AS BIGINT)"
    values: dict[str, str] = {
        "id": f"{key} || '-7000-8000-000000000000'",
        "namespace": "'default'",
        "task": "'task ' || (n % 10)",
        "state": "CASE WHEN n % 100 = 0 THEN 'failed' ELSE 'succeeded' END",
        "trigger": "'schedule'",
        "overlap": "'skip'",
        **dict.fromkeys(("slot", "last_at", "queued_at", "started_at", "finished_at"), moment),
    }
    for column in runs.columns:
        if not column.nullable and column.name not in values:
            values[column.name] = "''" if isinstance(column.type, sql.String) else "0"
    quoted = ", ".join(engine.dialect.identifier_preparer.quote(name) for name in values)
    with engine.begin() as connection:
        filling = f"INSERT INTO task_runs ({quoted}) SELECT {', '.join(values.values())} FROM ({numbers}) AS numbers"
        connection.execute(sql.text(filling))
    if engine.dialect.name == "postgresql":  # what it does by itself within a minute
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE task_runs")
    engine.dispose()


MEASURES: dict[str, Callable[[str, int], Figures]] = {
    "ledger throughput": throughput,
    "ledger processes": processes,
    "ledger worker": worker,
    "ledger burst": burst,
    "ledger steady": steady,
    "ledger page": page,
}
