"""``/api/v1/events``: what changes, in whichever process, as a stream of server-sent events."""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any

import flask
from flask.sansio.blueprints import BlueprintSetupState

from task.clock import SystemClock
from task.flask.access import requires
from task.flask.feed import Feed, Place
from task.flask.problems import refusal
from task.flask.state import State, current_state

__all__ = ["register"]

#: Whoever is sent nothing else is sent an empty comment after so many seconds: proxies take silence for an end.
HEARTBEAT = 15.0

#: A stream ends after so many seconds. The browser opens the next one by itself, and goes on where it was.
LIFETIME = 300.0

#: How often a stream looks whether somebody is still there. Seconds.
LOOK = 1.0

#: After so many milliseconds a browser opens the next stream; after so many seconds one that found no place may.
RETRY, FULL = 2_000, 10

#: So many streams where each request has a thread of its own, and where that is not known.
MANY, FEW = 16, 4

_FEED = "tasks.feed"
_monotonic = SystemClock().monotonic


def register(blueprint: flask.Blueprint) -> None:
    """Add its routes."""
    blueprint.record(_prepare)
    blueprint.add_url_rule("/api/v1/events", "events", follow, methods=["GET"], provide_automatic_options=False)


def _prepare(setup: BlueprintSetupState) -> None:
    state: State = setup.app.extensions["tasks"]
    setup.app.extensions[_FEED] = Feed(state.manager)


@requires("view")
def follow() -> flask.Response:
    """Stream what changes, from ``Last-Event-ID`` or ``since`` on, or from now on."""
    request, feed = flask.request, flask.current_app.extensions[_FEED]
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if request.method == "HEAD":
        return flask.Response(mimetype="text/event-stream", headers=headers)
    place = feed.places.take(most_of(current_state(), request.environ))
    if place is None:
        raise refusal(503, "As many streams are open as this process bears. Ask again later.", Retry_After=str(FULL))
    stream = Stream(feed, place, request.environ)
    with contextlib.ExitStack() as undo:
        undo.callback(stream.close)
        stream.begin(request.headers.get("Last-Event-ID") or request.args.get("since") or None)
        undo.pop_all()
    return flask.Response(stream, mimetype="text/event-stream", headers=headers, direct_passthrough=True)


def most_of(state: State, environ: Mapping[str, Any]) -> int:
    """How many streams this process bears: each holds one of the threads that answer requests."""
    if state.settings.event_clients is not None:
        return state.settings.event_clients
    if not environ.get("wsgi.multithread"):
        return 0
    if state.server_threads is not None:
        return state.server_threads // 2
    return MANY if environ.get("SERVER_SOFTWARE", "").startswith(("Werkzeug", "gunicorn")) else FEW


class Stream(Iterator[bytes]):
    """The body of one answer. It has a place, which its end gives back, however it ends."""

    def __init__(self, feed: Feed, place: Place, environ: Mapping[str, Any]) -> None:
        self._feed = feed
        self._place = place
        self._environ = environ
        self._first: list[bytes] = []
        self._number = 0
        self._ends = _monotonic() + LIFETIME
        self._heartbeat = _monotonic() + HEARTBEAT

    def begin(self, since: str | None) -> None:
        """Begin where somebody was. Raises `StoreError` when the ledger cannot be read."""
        events, self._number = self._feed.join(since)
        self._first = [f"retry: {RETRY}\n\n".encode(), *events]

    def __next__(self) -> bytes:
        events, self._first = self._first, []
        while not events:
            now = _monotonic()
            if now >= self._ends or has_gone(self._environ) or is_stopping():
                self.close()
                raise StopIteration
            if now >= self._heartbeat:
                events = [b":\n\n"]
                break
            patience = min(LOOK, self._ends - now, self._heartbeat - now)
            events, self._number = self._feed.wait(self._number, patience)
        self._heartbeat = _monotonic() + HEARTBEAT
        return b"".join(events)

    def close(self) -> None:
        """Give the place back."""
        self._place.leave()

    def __del__(self) -> None:
        self.close()


def has_gone(environ: Mapping[str, Any]) -> bool:
    """Whether the client has closed the connection, where the server lets that be seen: else a write tells, later."""
    asked = environ.get("waitress.client_disconnected")
    if callable(asked):
        return bool(asked())
    connection = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    at_once = getattr(socket, "MSG_DONTWAIT", None)
    if at_once is None or not isinstance(connection, socket.socket) or isinstance(connection, ssl.SSLSocket):
        return False
    try:
        return connection.recv(1, socket.MSG_PEEK | at_once) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def is_stopping() -> bool:
    """Whether this is a worker of gunicorn that was told to end: it waits for its answers, so they must."""
    worker = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(worker, "alive", True) is False
