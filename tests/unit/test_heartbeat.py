"""The heartbeat: somebody outside hears of a manager as long as it does its work, and silence is the alarm."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from task import DeclarationError, DeclarationTypeError, TaskManager, every
from task.alerts import heartbeat as heartbeat_module
from task.testing import VirtualClock

WaitFor = Callable[[Callable[[], bool]], None]

#: How long what will happen may take. Seconds.
LIMIT = 60.0


class Outside:
    """A server on loopback that is pinged."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.status, self.location = 200, ""
        #: Whether an answer has no end.
        self.endless = False
        #: Answers wait for it.
        self.answers = threading.Event()
        self.answers.set()
        self.gone = threading.Event()
        self.at_once = self.most_at_once = 0
        outside = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outside.heard.append(f"{self.command} {self.path}")
                outside.at_once += 1
                outside.most_at_once = max(outside.most_at_once, outside.at_once)
                outside.answers.wait(LIMIT)
                outside.at_once -= 1
                self.send_response(outside.status)
                if outside.location:
                    self.send_header("Location", outside.location)
                if not outside.endless:
                    self.send_header("Content-Length", "0")
                self.end_headers()
                with contextlib.suppress(OSError):
                    while outside.endless and not outside.gone.wait(0.01):
                        self.wfile.write(b"more" * 1000)

            def log_message(self, *values: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/s3cret-token"

    def close(self) -> None:
        self.answers.set()
        self.gone.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(LIMIT)


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Outside]:
    """It is asked by somebody who is as patient as a busy machine takes."""
    monkeypatch.setattr(heartbeat_module, "TIMEOUT", LIMIT)
    made = Outside()
    yield made
    made.close()


def test_it_is_pinged_from_the_start_to_the_stop_and_again_after_the_next_start(clock: VirtualClock) -> None:
    heard: list[str] = []
    manager = TaskManager([], clock=clock, heartbeat=lambda: heard.append(f"{clock.now():%H:%M:%S}"))
    with manager:
        clock.advance(seconds=150)
    clock.advance(minutes=10)
    with manager:
        clock.advance(seconds=30)

    assert heard == ["12:00:00", "12:01:00", "12:02:00", "12:12:30"]


def test_a_manager_that_is_not_well_is_silent(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    manager = TaskManager([], clock=clock, heartbeat=lambda: heard.append("here"), heartbeat_every=10)
    with manager:
        monkeypatch.setattr(type(manager.store), "ailment", "the store cannot be reached")
        clock.advance(minutes=5)
        assert heard == ["here"]
        monkeypatch.undo()
        clock.advance(seconds=10)

    assert heard == ["here", "here"]


def test_an_url_is_asked_for(outside: Outside, wait_for: WaitFor) -> None:
    with TaskManager([], heartbeat=outside.url):
        wait_for(lambda: outside.heard == ["GET /s3cret-token"])


def test_an_outage_is_logged_once_and_its_end_once_without_the_path(
    clock: VirtualClock, outside: Outside, caplog: pytest.LogCaptureFixture
) -> None:
    outside.status = 500
    with TaskManager([], clock=clock, heartbeat=outside.url):
        clock.advance(minutes=3)
        outside.status = 200
        clock.advance(minutes=3)

    assert [text for text in caplog.messages if "heartbeat" in text] == [
        "The heartbeat to 127.0.0.1 fails: HTTPError: HTTP Error 500: Internal Server Error; it is tried again",
        "The heartbeat to 127.0.0.1 is heard again",
    ]


def test_a_server_that_hangs_is_asked_once_at_a_time_and_keeps_nobody(outside: Outside, wait_for: WaitFor) -> None:
    outside.answers.clear()
    ran: list[int] = []
    manager = TaskManager([], heartbeat=outside.url, heartbeat_every=1)
    manager._alerts.heartbeat.every = 0.02  # type: ignore[union-attr]  # so that there would be many by now
    manager.add(lambda: ran.append(1), every(0.05).seconds, name="other")
    with manager:
        wait_for(lambda: len(ran) > 10)
        assert len(outside.heard) == 1
        wait_for(lambda: manager.health.healthy)
        outside.answers.set()
        wait_for(lambda: len(outside.heard) > 3)

    assert outside.most_at_once == 1


def test_a_server_that_does_not_answer_in_time_has_not_heard(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat_module, "TIMEOUT", 0.1)
    outside.answers.clear()

    with pytest.raises(TimeoutError):
        heartbeat_module.ping(outside.url)


@pytest.mark.parametrize("location", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x"])
def test_a_redirect_leads_nowhere_but_to_the_web(outside: Outside, location: str) -> None:
    outside.status, outside.location = 302, location

    with pytest.raises(OSError, match=r"HTTP Error 302|unknown url type"):
        heartbeat_module.ping(outside.url)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_what_comes_with_a_redirect_is_not_read(outside: Outside, status: int) -> None:
    outside.status, outside.location, outside.endless = status, "/s3cret-token", True

    def ping() -> None:
        with contextlib.suppress(OSError):
            heartbeat_module.ping(outside.url)

    pinging = threading.Thread(target=ping)

    pinging.start()
    pinging.join(LIMIT)
    ended = not pinging.is_alive()
    outside.gone.set()
    pinging.join(LIMIT)

    assert ended


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://host/x",
        "host/x",
        "http://",
        "http://ho st/",
        "http://h:x/",
        "http://h/\n",
        "",
        "http://me:s3cret@h/",
    ],
)
def test_what_is_no_url_of_the_web_is_refused(url: str) -> None:
    with pytest.raises(DeclarationError, match="heartbeat is a URL that begins with http"):
        TaskManager([], heartbeat=url)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"heartbeat": 5}, DeclarationTypeError),
        ({"heartbeat": print, "heartbeat_every": 0.5}, DeclarationError),
        ({"heartbeat": print, "heartbeat_every": "60"}, DeclarationError),
        ({"heartbeat": print, "heartbeat_every": True}, DeclarationError),
    ],
)
def test_what_cannot_be_a_heartbeat_is_refused(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match="heartbeat"):
        TaskManager([], **options)


def test_a_function_that_raises_or_exits_is_called_again(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def beat() -> None:
        calls.append(1)
        raise SystemExit(1)

    with TaskManager([], clock=clock, heartbeat=beat):
        clock.advance(minutes=2)

    assert len(calls) == 3
    assert len([text for text in caplog.messages if "heartbeat" in text]) == 1
