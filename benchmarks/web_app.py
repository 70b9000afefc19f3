"""The applications that gunicorn serves for `benchmarks.web`: ours, and that of Flask-APScheduler."""

from __future__ import annotations

import datetime
import os

import flask

from benchmarks.bodies import noop
from task import TaskManager, every

__all__ = ["BUSY", "TASKS", "ours", "peer"]

#: The environment variable with the URL of the database, and that with how many streams a worker bears.
STORE, STREAMS = "TASK_BENCHMARKS_STORE", "TASK_BENCHMARKS_STREAMS"

#: So many tasks, and so many of them run meanwhile, each of those once in so many seconds: five a second, and all of
#: them on the page that is asked for.
TASKS, BUSY, EACH = 1_000, 50, 10


def name_of(number: int) -> str:
    """The name of a task: the busy ones come first."""
    return f"task {number:04}"


def manager_of(store: str) -> TaskManager:
    """A thousand tasks: the busy ones one after another, the others at some time of the day."""
    manager = TaskManager([], store=store)
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    for number in range(TASKS):
        busy = number < BUSY
        manager.add(
            noop,
            every(EACH).seconds if busy else every().day.at(f"{number % 24:02}:{number % 60:02}"),
            name=name_of(number),
            threaded=True,
            tags=[f"group {number % 10}"],
            start=now + datetime.timedelta(seconds=1 + number * EACH / BUSY) if busy else None,
        )
    return manager


def ours() -> flask.Flask:
    """The tasks, their pages and their API."""
    from task.flask import FlaskTasks, allow_anyone

    app = flask.Flask("served")
    app.config["TASKS_EVENT_CLIENTS"] = int(os.environ[STREAMS])
    FlaskTasks(manager_of(os.environ[STORE]), auth=allow_anyone).init_app(app)
    return app


def peer() -> flask.Flask:
    """As many jobs, and the API of Flask-APScheduler, which lists all of them at once."""
    from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore  # type: ignore[import-untyped]
    from flask_apscheduler import APScheduler  # type: ignore[import-not-found]

    app = flask.Flask("served")
    app.config["SCHEDULER_API_ENABLED"] = True
    app.config["SCHEDULER_JOBSTORES"] = {"default": SQLAlchemyJobStore(url=os.environ[STORE])}
    scheduler = APScheduler()
    scheduler.init_app(app)
    scheduler.start(paused=True)  # two processes on one store would both run its jobs
    return app


def fill_peer(store: str) -> None:
    """Give the store of the peer its jobs."""
    from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
    from apscheduler.schedulers.background import BackgroundScheduler  # type: ignore[import-untyped]

    scheduler = BackgroundScheduler(jobstores={"default": SQLAlchemyJobStore(url=store)})
    scheduler.start(paused=True)
    for number in range(TASKS):
        scheduler.add_job("benchmarks.bodies:noop", "interval", days=1, id=name_of(number))
    scheduler.shutdown()
