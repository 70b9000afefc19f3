"""The schedulers that are measured, each behind the same few words."""

from __future__ import annotations

import datetime
import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

import schedule

from benchmarks.floor import Floor

__all__ = ["NAMES", "Subject", "make"]

Body = Callable[[], object]


class Subject(Protocol):
    """A scheduler, for a measurement."""

    def add(self, body: Body, period: float, first: float) -> None:
        """Run *body* every *period* seconds from *first* (seconds since 1970) on; before `start` only."""

    def start(self) -> None:
        """Start its loop in the background."""


class Task:
    """`task`, with everything that it does by default: guards, claims, every run recorded, logs captured."""

    def __init__(self, threaded: bool) -> None:
        from task import TaskManager

        self.manager = TaskManager([])
        self._threaded = threaded
        self._count = 0

    def add(self, body: Body, period: float, first: float) -> None:
        from task import every

        self._count += 1
        self.manager.add(
            body,
            every(period).seconds,
            name=f"task {self._count}",
            threaded=self._threaded,
            start=_moment(first),
        )

    def start(self) -> None:
        self.manager.run()
        captures = type(logging.getLogRecordFactory()).__module__ == "task.runs.log"
        assert captures, "what is said inside a run must be kept with it, or this is not the default"


class PlainSchedule:
    """Plain `schedule` in the background thread of its documentation, which polls every *interval* seconds."""

    def __init__(self, interval: float) -> None:
        self.scheduler = schedule.Scheduler()
        self._interval = interval

    def add(self, body: Body, period: float, first: float) -> None:
        job = self.scheduler.every(period).seconds  # type: ignore[arg-type]  # fractions work
        job.do(body)
        job.next_run = datetime.datetime.fromtimestamp(first)

    def start(self) -> None:
        cease = threading.Event()

        def run_continuously() -> None:
            while not cease.is_set():
                self.scheduler.run_pending()
                time.sleep(self._interval)

        threading.Thread(target=run_continuously, daemon=True).start()


class APScheduler:
    """APScheduler 3's `BackgroundScheduler`, its jobs in memory; it records no run."""

    def __init__(self, pooled: bool) -> None:
        from apscheduler.executors.debug import DebugExecutor  # type: ignore[import-untyped]
        from apscheduler.schedulers.background import BackgroundScheduler  # type: ignore[import-untyped]

        options = {} if pooled else {"executors": {"default": DebugExecutor()}}
        self.scheduler = BackgroundScheduler(timezone=datetime.UTC, **options)

    def add(self, body: Body, period: float, first: float) -> None:
        self.scheduler.add_job(body, "interval", seconds=period, start_date=_moment(first))

    def start(self) -> None:
        self.scheduler.start()


class TheFloor:
    """`benchmarks.floor`."""

    def __init__(self, pooled: bool) -> None:
        self._floor = Floor(pooled)

    def add(self, body: Body, period: float, first: float) -> None:
        self._floor.add(body, period, first)

    def start(self) -> None:
        self._floor.start()


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


_MAKERS: dict[str, Callable[[], Subject]] = {
    "task serial": lambda: Task(threaded=False),
    "task threaded": lambda: Task(threaded=True),
    "schedule": lambda: PlainSchedule(1.0),
    "schedule, polled every 10 ms": lambda: PlainSchedule(0.01),
    "APScheduler inline": lambda: APScheduler(pooled=False),
    "APScheduler pooled": lambda: APScheduler(pooled=True),
    "floor inline": lambda: TheFloor(pooled=False),
    "floor handing over": lambda: TheFloor(pooled=True),
}

NAMES = tuple(_MAKERS)


def make(name: str) -> Subject:
    """The subject of that name, fresh."""
    return _MAKERS[name]()
