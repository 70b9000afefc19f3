"""A small application with tasks of every kind, served on loopback: what people look at with a browser."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import enum
import logging
import pathlib
import queue
import socket
import threading
import unittest.mock
from collections.abc import Callable, Iterator
from typing import Any, Literal

import flask
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from task import Run, TaskManager, cron, every
from task.flask import Access, FlaskTasks, events
from task.testing import VirtualClock

UTC = datetime.UTC

#: Friday noon: the office reports have run, the night is behind, and Monday is far.
NOON = datetime.datetime(2026, 5, 8, 12, tzinfo=UTC)


class Region(enum.Enum):
    EU = "EU"
    US = "US"


class Steps:
    """Lets the body of ``feeds.fetch`` go on, one step at a time."""

    def __init__(self) -> None:
        self._steps: queue.Queue[tuple[float, str] | None] = queue.Queue()

    def go(self, percent: float, message: str) -> None:
        """The body tells this of its progress, and logs it."""
        self._steps.put((percent, message))

    def end(self) -> None:
        """The body ends."""
        self._steps.put(None)

    def follow(self, run: Run) -> int:
        """The body: what it is told, until it is told to end."""
        done = 0
        while True:
            run.check_cancelled()
            with contextlib.suppress(queue.Empty):
                step = self._steps.get(timeout=0.02)
                if step is None:
                    return done
                run.update_progress(*step)
                run.logger.info("now at %s", step[1])
                done += 1


def add_tasks(manager: TaskManager, steps: Steps) -> None:
    """Tasks whose slots are far away: what happens is what somebody does."""

    @manager.task(every(12).hours, name="feeds.fetch", tags=["feeds"], threaded=True, overlap="skip")
    def fetch(run: Run) -> dict[str, int]:
        """Fetch all feeds, one after another."""
        return {"steps": steps.follow(run)}

    @manager.task(
        cron("0 6 * * mon-fri", tz="Europe/Amsterdam"),
        name="reports.daily",
        tags=["reports"],
        threaded=True,
        redact=["password"],
    )
    def report(
        run: Run,
        day: datetime.date = datetime.date(2026, 5, 8),
        region: Region = Region.EU,
        length: Literal["short", "long"] = "short",
        pages: int = 3,
        draft: bool = True,
        recipients: list[str] | None = None,
        password: str = "",
    ) -> dict[str, Any]:
        """Write the report of one day.

        It is a table of what was sold, in the order of the regions.
        """
        run.logger.info("writing %d pages of %s", pages, day)
        run.save_artifact("report.csv", f"day,region,pages\n{day},{region.value},{pages}\n")
        return {"pages": pages, "length": length, "draft": draft, "recipients": recipients}

    @manager.task(every(6).hours, name="mail.digest", tags=["mail"], threaded=True)
    def digest(run: Run) -> None:
        """Send the digest."""
        run.logger.warning("the other side is slow")
        raise ConnectionError("connection refused by mail.example.org")

    @manager.task(name="search.reindex", tags=["search"], threaded=True)
    def reindex(index: str) -> str:
        """Read everything again."""
        return f"indexed {index}"

    @manager.task(name="search.publish", tags=["search"], after="search.reindex", threaded=True)
    def publish() -> None:
        """Let visitors search in the new index."""


def add_entries(manager: TaskManager) -> None:
    """What people have made: an entry, and one whose task is gone from the code."""
    manager.recurring.add(
        "nightly US",
        task="reports.daily",
        schedule="every monday at 09:00 in Europe/Amsterdam",
        parameters={"day": "2026-05-04", "region": "US"},
        by="grace",
    )
    manager.add(lambda: None, name="reports.old")
    manager.recurring.add("old report", task="reports.old", schedule="0 5 * * *", by="grace")
    manager.remove("reports.old")


def add_busy_tasks(manager: TaskManager, clock: VirtualClock) -> None:
    """Tasks that, left alone for a day, have seen every outcome."""
    count = iter(range(1_000_000))

    def pretend(slow: Callable[[int], float]) -> int:
        number = next(count)
        clock.sleep(slow(number))
        return number

    @manager.task(every(20).minutes, name="cache.refresh", tags=["cache"], threaded=True)
    def refresh() -> dict[str, int]:
        """Compute what the front page shows."""
        return {"keys": 128 + pretend(lambda n: 1.2 + n * 37 % 11 / 10)}

    @manager.task(every(30).minutes, name="thumbnails.make", tags=["images"], threaded=True, overlap="skip")
    def thumbnails() -> None:
        """Make the small pictures of new photographs."""
        pretend(lambda n: 2000 if n % 7 == 3 else 340 + n * 53 % 200)

    @manager.task(every().hour.at(":10"), name="mail.send", tags=["mail"], threaded=True, retry=2)
    def send() -> str:
        """Send what waits in the outbox."""
        if pretend(lambda n: 3.5 + n % 5) % 3 == 0:
            raise ConnectionError("connection refused by mail.example.org")
        return "sent"

    @manager.task(every(2).hours, name="payments.settle", tags=["shop"], threaded=True)
    def settle(run: Run) -> None:
        """Match what was paid with what was ordered."""
        number = pretend(lambda n: 40 + n % 20)
        if clock.now() > NOON - datetime.timedelta(hours=5):
            run.logger.error("the bank has answered with 503")
            raise TimeoutError(f"no answer from bank.example.org for batch {number}")

    @manager.task(cron("30 2 * * *", tz="Europe/Amsterdam"), name="backup.database", tags=["backup"], timeout=1800)
    async def backup() -> None:
        """Copy the database to another building."""
        await asyncio.sleep(2000)

    @manager.task(every(3).hours, name="feeds.import", tags=["feeds"])
    async def load(run: Run) -> dict[str, int]:
        """Import what the feeds of our suppliers have told.

        Those that have not changed are left alone.
        """
        for number in range(1, 41):
            run.check_cancelled()
            await asyncio.sleep(45)
            run.logger.info("%d articles of supplier %d", number * 17 % 90, number)
            if number % 9 == 4:
                run.logger.warning("supplier %d was slow: 31 s", number)
            run.update_progress(number / 0.4, f"supplier {number} of 40")
        return {"articles": 1711}

    @manager.task(every().day.at("06:00", "Europe/Amsterdam"), name="invoices.send", tags=["shop"], threaded=True)
    def invoices() -> None:
        """Send yesterday's invoices."""


class Site:
    """The application with the tasks of `add_tasks`, on the clock of the wall."""

    def __init__(self, store: str, artifacts: pathlib.Path, settings: dict[str, Any]) -> None:
        self.store = store
        self.steps = Steps()
        self.manager = TaskManager([], store=store, artifacts=artifacts)
        self.app = make_app(self.manager, **settings)
        add_tasks(self.manager, self.steps)
        add_entries(self.manager)
        self.url = ""

    @contextlib.contextmanager
    def served(self) -> Iterator[None]:
        """While it can be reached."""
        self.manager.run()
        try:
            with serve(self.app) as self.url:
                yield
        finally:
            self.steps.end()


@contextlib.contextmanager
def serve(app: flask.Flask) -> Iterator[str]:
    """Serve it on loopback; yields its address. In the end nothing is answered any more, streams of events included."""
    with unittest.mock.patch.object(events, "LOOK", 0.1):  # who turns the pages quickly needs the places soon
        server = _Server("127.0.0.1", 0, app, _Silent)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="demo-server")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.hang_up()
            server.server_close()


class _Server(ThreadedWSGIServer):
    """It waits in the end for the threads that answer: they would look into the store that a later test has."""

    daemon_threads = False

    def __init__(self, *values: Any) -> None:
        self._connections: set[Any] = set()
        super().__init__(*values)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Whoever is still there hears no more."""
        for connection in list(self._connections):
            with contextlib.suppress(OSError):  # it has gone by itself
                connection.shutdown(socket.SHUT_RDWR)


class _Silent(WSGIRequestHandler):
    """Says nothing of each request."""

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


def make_app(manager: TaskManager, **settings: Any) -> flask.Flask:
    """The application; who comes with ``viewer`` in the name of their browser may only look."""
    app = flask.Flask("demo")
    app.config.update({"TASKS_AUTOSTART": False, "TASKS_TITLE": "Night desk", **settings})
    FlaskTasks(manager, auth=_who).init_app(app)
    return app


def _who(request: flask.Request) -> Access:
    viewer = "viewer" in request.headers.get("User-Agent", "")
    return Access("view", "grace") if viewer else Access("operate", "ada")


@contextlib.contextmanager
def log_on(clock: VirtualClock) -> Iterator[None]:
    """What is logged meanwhile has the time of *clock*. Enter it before the first manager is made."""
    before = logging.getLogRecordFactory()

    def make(*values: Any, **named: Any) -> logging.LogRecord:
        record = before(*values, **named)
        record.created = clock.now().timestamp()
        return record

    logging.setLogRecordFactory(make)
    try:
        yield
    finally:
        logging.setLogRecordFactory(before)


def a_day(clock: VirtualClock, manager: TaskManager) -> None:
    """Let a day pass that ends at the time of *clock* plus one day, and people have steered a little in it."""
    add_busy_tasks(manager, clock)
    steps = Steps()
    add_tasks(manager, steps)
    add_entries(manager)
    manager.run()
    for _ in range(3):
        steps.end()
    clock.advance(hours=20)
    manager["invoices.send"].disable(note="until the new address is known", by="grace")
    manager.trigger("reports.daily", day="2026-05-08", password="hunter22")
    manager.trigger("search.reindex", index="articles")
    clock.advance(hours=4)
