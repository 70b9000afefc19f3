"""The recipes of docs/howto/alerts.md reach servers: each is taken from the page and sends to one on loopback."""

from __future__ import annotations

import http.server
import json
import re
import socketserver
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from task import TaskManager, every
from task.testing import VirtualClock

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "alerts.md"


@pytest.fixture
def recipes() -> dict[str, Any]:
    (code,) = [
        block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S) if "smtplib" in block
    ]
    found: dict[str, Any] = {}
    exec(code, found)
    return found


class Mailbox(socketserver.StreamRequestHandler):
    """As much of SMTP as one message takes."""

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            word = line[:4].upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = iter(self.rfile.readline, b".\r\n")
                self.server.heard.append(b"".join(lines).decode())  # type: ignore[attr-defined]
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 yes\r\n")
            if word == b"QUIT":
                return


class Webhook(http.server.BaseHTTPRequestHandler):
    """Takes what is posted."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append(json.loads(body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *values: object) -> None: ...


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Any]:
    with socketserver.TCPServer(("127.0.0.1", 0), request.param) as made:
        made.heard = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join(60)


def fail(clock: VirtualClock, notify: Any) -> None:
    """Let a task fail, of which *notify* is told."""

    def sync() -> None:
        raise ConnectionError("no route to hôst")

    with TaskManager([], clock=clock, notify=notify) as manager:
        manager.add(sync, every(1).hours, name="sync")
        clock.advance(hours=1)


@pytest.mark.parametrize("server", [Mailbox], indirect=True)
def test_a_mail_has_the_first_line_as_its_subject(clock: VirtualClock, recipes: dict[str, Any], server: Any) -> None:
    fail(clock, lambda text: recipes["mail"](text, port=server.server_address[1]))

    (mail,) = server.heard
    assert "Subject: Task 'sync' is failing: its last run failed\r\n" in mail
    assert "Since: 2026-05-04 13:00:00 UTC\r\n" in mail


@pytest.mark.parametrize("server", [Webhook], indirect=True)
def test_a_webhook_gets_the_text(clock: VirtualClock, recipes: dict[str, Any], server: Any) -> None:
    fail(clock, lambda text: recipes["slack"](text, f"http://127.0.0.1:{server.server_address[1]}/hook"))

    (said,) = server.heard
    assert said["text"].startswith("Task 'sync' is failing: its last run failed\nSince: 2026-05-04 13:00:00 UTC\n")
    assert "Error: ConnectionError: no route to hôst" in said["text"]


def test_apprise_is_given_a_title_and_a_body_and_asked_again_where_it_says_no(
    clock: VirtualClock, recipes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, str]] = []

    class Apprise:
        def add(self, url: str) -> bool:
            return url == "json://localhost"

        def notify(self, body: str, title: str = "") -> list[str]:
            sent.append((title, body.splitlines()[1]))
            return ["sent"] if len(sent) > 1 else []  # as apprise 2.2 answers: true or false, and neither of them

    monkeypatch.setitem(sys.modules, "apprise", types.SimpleNamespace(Apprise=Apprise))  # type: ignore[arg-type]
    manager = TaskManager([], clock=clock, notify=recipes["anywhere"])
    manager.add(lambda: 1 / 0, every(1).hours, name="sync")
    with manager:
        clock.advance(hours=1, minutes=30)

    assert sent == [("Task 'sync' is failing: its last run failed", "Since: 2026-05-04 13:00:00 UTC")] * 2
