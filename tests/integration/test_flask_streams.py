"""Many streams of events from a real server: they starve nobody, and end with it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from task.flask.events import LIFETIME

PROGRAM = """
import os
from flask import Flask
from task import TaskManager, every
from task.flask import FlaskTasks

manager = TaskManager([])
for number in range(20):
    manager.add(lambda: None, every(1).seconds, name=f"task {number}", threaded=True)


def create_app():
    app = Flask(__name__, instance_path=os.environ["INSTANCE"])
    app.config["TASKS_API_KEY"] = "key"
    if "CLIENTS" in os.environ:
        app.config["TASKS_EVENT_CLIENTS"] = int(os.environ["CLIENTS"])
    FlaskTasks(manager).init_app(app)
    return app
"""

#: How long anything here may take on a busy machine. Seconds.
LIMIT = 120.0

EVENTS, HEALTH, TASKS = "/tasks/api/v1/events", "/tasks/api/v1/health", "/tasks/api/v1/tasks"


class Gunicorn:
    """A server on loopback, in a session of its own."""

    def __init__(self, folder: pathlib.Path, *arguments: str, **environment: str) -> None:
        (folder / "served.py").write_text(PROGRAM)
        self._log = folder / "log"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("FLASK_", "GUNICORN_"))}
        patience = ["--timeout", "300"]  # for a worker that is slow to begin
        program = [sys.executable, "-m", "gunicorn", "-b", "127.0.0.1:0", "-k", "gthread", *patience, *arguments]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*program, "served:create_app()"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=inherited
                | {"PYTHONPATH": str(pathlib.Path(__file__).parents[2]), "INSTANCE": str(folder / "instance")}
                | environment,
            )
        self.sockets: list[socket.socket] = []

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def port(self) -> int:
        wait(lambda: "Listening at" in self.log or self.process.poll() is not None)
        found = re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", self.log)
        assert found is not None, self.log
        return int(found[1])

    def ask(self, path: str, *, timeout: float = LIMIT) -> socket.socket:
        """Send a request, and leave the answer unread."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        self.sockets.append(connection)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: key\r\n\r\n".encode())
        return connection

    def get(self, path: str) -> tuple[int, float]:
        """The status of an answer, and how long it took, in seconds."""
        begun = time.monotonic()
        connection = self.ask(path)
        status = status_of(connection)
        self.hang_up(connection)
        return status, time.monotonic() - begun

    def hang_up(self, connection: socket.socket) -> None:
        self.sockets.remove(connection)
        connection.close()

    def close(self) -> None:
        for connection in self.sockets:
            connection.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(LIMIT)


def status_of(connection: socket.socket) -> int:
    """That of the answer that begins here."""
    head = connection.recv(65_536)
    assert head.startswith(b"HTTP/1.1 "), head
    return int(head.split()[1])


def wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        threading.Event().wait(0.05)


def told(name: str, seconds: list[float]) -> str:
    ordered = sorted(seconds)
    p95, p99 = (1_000 * ordered[int(share * (len(ordered) - 1))] for share in (0.95, 0.99))
    return f"{name}: p95 {p95:.0f} ms, p99 {p99:.0f} ms, at most {1_000 * ordered[-1]:.0f} ms of {len(ordered)}"


@pytest.fixture
def gunicorn(tmp_path: pathlib.Path) -> Iterator[Callable[..., Gunicorn]]:
    """Starts a server, which ends with the test."""
    made: list[Gunicorn] = []

    def start(*arguments: str, **environment: str) -> Gunicorn:
        made.append(Gunicorn(tmp_path, *arguments, **environment))
        wait(lambda: made[-1].get(HEALTH)[0] == 200)
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_64_clients_on_4_threads_leave_room_for_others(gunicorn: Callable[..., Gunicorn]) -> None:
    server = gunicorn("--workers=1", "--threads=4")
    clients = [server.ask(EVENTS) for _ in range(64)]
    # Every other one never reads; of the others it is known whether they have a place.
    answers = [status_of(client) for client in clients[::2]]

    results = [server.get(HEALTH) for _ in range(200)]

    print(told("health, 64 clients on 4 threads", [seconds for _, seconds in results]))
    assert set(answers) <= {200, 503}
    assert answers.count(503) >= 30
    assert {status for status, _ in results} == {200}
    assert max(seconds for _, seconds in results) < LIFETIME / 10  # who is starved waits until a stream ends

    for client in clients:
        server.hang_up(client)
    wait(lambda: server.get(EVENTS)[0] == 200)  # who has gone has left the place


def test_64_open_streams_leave_the_list_of_tasks_as_it_is(gunicorn: Callable[..., Gunicorn]) -> None:
    server = gunicorn("--workers=2", "--threads=40", CLIENTS="32")
    without = [server.get(TASKS)[1] for _ in range(50)]
    streams: list[socket.socket] = []

    def open_more() -> bool:
        client = server.ask(EVENTS)
        if status_of(client) == 200:
            streams.append(client)
        else:  # this worker has as many as it bears, the other one has not
            server.hang_up(client)
        return len(streams) == 64

    wait(open_more)
    results = [server.get(TASKS) for _ in range(100)]
    heard = [b"event: run" in read_on(stream) for stream in streams]

    print(told("tasks, without streams", without))
    print(told("tasks, with 64 streams", [seconds for _, seconds in results]))
    assert {status for status, _ in results} == {200}
    assert max(seconds for _, seconds in results) < LIFETIME / 10  # who is starved waits until a stream ends
    assert heard == [True] * 64


def read_on(stream: socket.socket) -> bytes:
    found = b""
    deadline = time.monotonic() + LIMIT
    while b"event: run" not in found and time.monotonic() < deadline:
        found += stream.recv(65_536)
    return found


def test_a_worker_that_is_to_end_does_not_wait_for_its_streams(gunicorn: Callable[..., Gunicorn]) -> None:
    server = gunicorn("--workers=1", "--threads=4", "--graceful-timeout=1000")
    stream = server.ask(EVENTS)
    assert status_of(stream) == 200

    server.process.send_signal(signal.SIGTERM)

    server.process.wait(LIFETIME / 3)  # not as long as the stream would last
