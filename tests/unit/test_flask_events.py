"""The stream of events: what it tells, from where on, to how many, and until when."""

from __future__ import annotations

import dataclasses
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
from databases import sqlite_url
from naughty import naughty_strings
from werkzeug.test import TestResponse

from task import TaskManager, current_run
from task.errors import StoreUnavailableError
from task.flask import FlaskTasks, allow_anyone, events, feed
from task.stores import Changes, MemoryStore

#: So long is waited for what another thread does, on a machine that lets it wait. Seconds.
LIMIT = 60.0

PATH = "/tasks/api/v1/events"

Event = dict[str, str]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked for changes more often."""
    monkeypatch.setattr(feed, "INTERVAL", 0.01)


@pytest.fixture
def streams() -> Iterator[list[TestResponse]]:
    """Whose connections are closed at the end."""
    opened: list[TestResponse] = []
    yield opened
    for one in opened:
        one.close()


@pytest.fixture
def app() -> flask.Flask:
    """An application that anybody may enter, with one task."""
    return application(MemoryStore())


def application(store: MemoryStore | str, **config: Any) -> flask.Flask:
    made = flask.Flask("app")
    made.config.update({"TASKS_AUTOSTART": False, "TASKS_STORE": store, "TASKS_EVENT_CLIENTS": 2, **config})
    manager = TaskManager([])
    manager.add(lambda: None, name="sample")
    FlaskTasks(manager, auth=allow_anyone).init_app(made)
    return made


def manager_of(app: flask.Flask) -> TaskManager:
    manager: TaskManager = app.extensions["tasks"].manager
    return manager


def places_of(app: flask.Flask) -> int:
    taken: int = app.extensions["tasks.feed"].places.taken
    return taken


class Client:
    """Reads a stream as a browser does."""

    def __init__(self, app: flask.Flask, streams: list[TestResponse], since: str = "", query: str = "") -> None:
        headers = {"Last-Event-ID": since} if since else {}
        self.answer = app.test_client().get(PATH + query, headers=headers, base_url="http://localhost")
        streams.append(self.answer)
        self.chunks: list[bytes] = []
        #: What the browser is going to ask with when it comes back.
        self.position = since
        #: The events that come, as long as the stream lasts.
        self.events = self._read()

    def _read(self) -> Iterator[Event]:
        for chunk in self.answer.iter_encoded():
            self.chunks.append(chunk)
            for block in chunk.decode("ascii").split("\n\n")[:-1]:
                fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
                self.position = fields.get("id", self.position)
                if "data" in fields:
                    yield fields

    def next(self, kind: str = "run", **wanted: str) -> dict[str, Any]:
        """The data of the next event of that kind that says so."""
        for event in self.events:
            data: dict[str, Any] = json.loads(event["data"])
            if event["event"] == kind and wanted.items() <= data.items():
                return data
        raise AssertionError("the stream has ended")


def test_a_run_is_told_of_while_it_goes_on_and_when_it_has_ended(app: flask.Flask, streams: list[TestResponse]) -> None:
    told = threading.Event()

    def body() -> None:
        current_run().update_progress(25, "page 10")
        assert told.wait(LIMIT)

    with manager_of(app) as manager:
        manager.add(body, name="report", threaded=True)
        client = Client(app, streams)
        run = manager["report"].trigger()
        going = client.next(state="running", message="page 10")
        told.set()
        ended = client.next(state="succeeded")

    assert (going["id"], going["task"], going["progress"], going["finished_at"]) == (run.id, "report", 25.0, None)
    assert ended["finished_at"] == run.finished_at.isoformat()


def test_who_waited_while_the_machine_stood_still_is_told_to_look_anew(
    app: flask.Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed = feed.Feed(manager_of(app))
    _, number = followed.join(None)
    manager_of(app)["sample"].disable()
    later = feed._monotonic() + 60
    monkeypatch.setattr(feed, "_monotonic", lambda: later)

    followed.join(None)  # somebody else, before who waits comes to look

    told, _ = followed.wait(number, seconds=0)
    assert [b"event: reset" in one for one in told] == [True]


def test_who_has_steered_is_told(app: flask.Flask, streams: list[TestResponse]) -> None:
    client = Client(app, streams)
    manager_of(app)["sample"].disable(note="a secret reason", by="ada")

    entry = client.next("journal")

    assert (entry["who"], entry["what"], entry["task"]) == ("ada", "disabled", "sample")


def test_its_headers_keep_it_out_of_caches_and_buffers(app: flask.Flask, streams: list[TestResponse]) -> None:
    answer = Client(app, streams).answer
    assert answer.mimetype == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Accel-Buffering"] == "no"


def test_a_browser_that_comes_back_to_another_process_goes_on_where_it_was(
    tmp_path: Any, streams: list[TestResponse]
) -> None:
    one, other = application(sqlite_url(tmp_path)), application(sqlite_url(tmp_path))
    client = Client(one, streams)
    with manager_of(one) as manager:
        first = manager["sample"].trigger()
        client.next(id=first.id, state="succeeded")
        client.answer.close()
        second = manager["sample"].trigger()
        assert second.wait(LIMIT)
    third = manager["sample"].trigger()

    again = Client(other, streams, since=client.position)
    found = [again.next()["id"]]
    while found[-1] != third.id:
        found.append(again.next()["id"])

    assert found[-2:] == [second.id, third.id]  # what was sent together with the last event may come again
    for app in (one, other):
        manager_of(app).store.close()


@pytest.mark.parametrize("query", ["", "?since=0.0"])
def test_without_a_position_that_is_known_all_is_to_be_read_anew(
    app: flask.Flask, streams: list[TestResponse], query: str
) -> None:
    client = Client(app, streams, "" if query else "nonsense\ufffd".encode("ascii", "replace").decode(), query)
    assert client.next("reset") == {}
    assert client.position == manager_of(app).changes(client.position).position


def test_nothing_that_is_told_can_pass_for_anything_else(app: flask.Flask, streams: list[TestResponse]) -> None:
    client = Client(app, streams)
    texts = [*naughty_strings(), "\n\nevent: reset\ndata: {}\n\n"]
    for text in texts:
        manager_of(app).pause(by=f"name {text}")
    for event in itertools.islice(client.events, len(texts)):
        assert set(event) == {"id", "event", "data"}
        assert (event["event"], json.loads(event["data"])["what"]) == ("journal", "paused")
    assert all(chunk.isascii() and b"\r" not in chunk for chunk in client.chunks)


def test_who_reads_more_slowly_than_things_change_is_told_to_read_anew(
    app: flask.Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "KEPT", 3)
    followed = feed.Feed(manager_of(app))
    _, number = followed.join(None)
    _, quick = followed.join(None)
    for name in "abcd":
        manager_of(app).pause(by=name)
        _, quick = followed.wait(quick, seconds=LIMIT)

    found, _ = followed.wait(number, seconds=0)

    assert [b"event: reset" in event for event in found] == [True]


def test_many_who_wait_ask_the_store_as_often_as_one(
    app: flask.Flask, monkeypatch: pytest.MonkeyPatch, wait_for: Callable[[Callable[[], bool]], None]
) -> None:
    monkeypatch.setattr(feed, "INTERVAL", 0.1)
    manager = manager_of(app)
    asked: list[int] = []
    changes = manager.changes

    def count(*given: Any) -> Changes:
        asked.append(threading.get_ident())
        return changes(*given)

    monkeypatch.setattr(manager, "changes", count)
    followed, begun = feed.Feed(manager), time.monotonic()
    found: list[int] = []
    joined = threading.Barrier(65)

    def follow() -> None:
        _, number = followed.join(None)
        joined.wait(LIMIT)
        told, _ = followed.wait(number, seconds=LIMIT)
        found.append(len(told))

    threads = [threading.Thread(target=follow) for _ in range(64)]
    for thread in threads:
        thread.start()
    joined.wait(LIMIT)
    wait_for(lambda: len(asked) >= 4)  # some looks in vain
    manager.pause()
    for thread in threads:
        thread.join(LIMIT)

    assert found == [1] * 64
    assert len(asked) <= 2 + (time.monotonic() - begun) / 0.1


def test_past_the_bound_there_is_no_place_until_somebody_goes(app: flask.Flask, streams: list[TestResponse]) -> None:
    first, second = Client(app, streams), Client(app, streams)
    refused = Client(app, streams).answer

    assert (first.answer.status_code, second.answer.status_code, refused.status_code) == (200, 200, 503)
    assert refused.headers["Retry-After"] == "10"
    assert refused.mimetype == "application/problem+json"
    first.answer.close()
    assert Client(app, streams).answer.status_code == 200


def test_a_place_is_given_back_by_garbage_that_is_collected_while_another_is_taken() -> None:
    places = feed.Places()
    place = places.take(1)
    assert place is not None

    with places._lock:  # as in the middle of `take`, where a stream that nobody has any more can be found
        collecting = threading.Thread(target=place.leave, daemon=True)
        collecting.start()
        collecting.join(30)
        assert not collecting.is_alive()

    assert places.taken == 0
    assert places.take(1) is not None


def test_a_stream_that_nobody_begins_to_read_gives_its_place_back(app: flask.Flask) -> None:
    with app.test_request_context(PATH, base_url="http://localhost"):
        answer = app.full_dispatch_request()
        assert places_of(app) == 1
        answer.close()
    assert places_of(app) == 0
    assert app.test_client().head(PATH, base_url="http://localhost").status_code == 200
    assert places_of(app) == 0


@pytest.mark.parametrize(
    ("environ", "threads", "bound"),
    [
        ({"wsgi.multithread": False}, None, 0),
        ({"wsgi.multithread": False}, 1, 0),
        ({"wsgi.multithread": True}, 4, 2),
        ({"wsgi.multithread": True}, 1, 0),
        ({"wsgi.multithread": True}, None, 4),
        ({"wsgi.multithread": True, "SERVER_SOFTWARE": "Werkzeug/3.1"}, None, 16),
    ],
    ids=str,
)
def test_without_a_setting_the_bound_is_what_the_server_bears(
    environ: dict[str, Any], threads: int | None, bound: int
) -> None:
    state = application(MemoryStore(), TASKS_EVENT_CLIENTS=None).extensions["tasks"]
    assert events.most_of(dataclasses.replace(state, server_threads=threads), environ) == bound


def test_silence_is_broken_by_a_heartbeat_and_the_stream_ends_by_itself(
    app: flask.Flask, streams: list[TestResponse], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = 0.0

    def tick() -> float:
        nonlocal seconds
        seconds += 7.0
        return seconds

    monkeypatch.setattr(events, "_monotonic", tick)
    monkeypatch.setattr(events, "LOOK", 0.001)

    client = Client(app, streams)
    assert list(client.events) == []

    assert client.chunks.count(b":\n\n") == len(client.chunks) - 1 > 5
    assert places_of(app) == 0


def test_an_outage_of_the_store_is_told_before_a_stream_and_survived_inside(
    app: flask.Flask, streams: list[TestResponse], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    manager, asked = manager_of(app), threading.Event()

    def fail(*_: object) -> Changes:
        asked.set()
        raise StoreUnavailableError("The store cannot be reached: on purpose.")

    with monkeypatch.context() as broken:
        broken.setattr(manager, "changes", fail)
        assert Client(app, streams).answer.status_code == 503
    assert places_of(app) == 0
    client = Client(app, streams)
    with monkeypatch.context() as broken:
        asked.clear()
        broken.setattr(manager, "changes", fail)
        reader = threading.Thread(target=lambda: client.next("journal", who="ada"))
        reader.start()
        assert asked.wait(LIMIT)
    manager.pause(by="ada")
    reader.join(LIMIT)

    assert not reader.is_alive()
    assert caplog.text.count("are told nothing for now") == 2


def test_a_store_that_is_begun_anew_is_read_anew(
    app: flask.Flask, streams: list[TestResponse], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(app, streams)
    app.extensions["tasks.feed"]._position = "7.7"

    assert client.next("reset") == {}
    manager_of(app).pause(by="ada")
    assert client.next("journal")["who"] == "ada"


def test_a_feed_that_nobody_has_followed_for_a_while_begins_with_what_is_then(app: flask.Flask) -> None:
    followed = feed.Feed(manager_of(app))
    followed.join(None)
    followed._next_look -= 60
    manager_of(app).pause(by="ada")

    (mark,), number = followed.join(None)

    assert mark.startswith(b"id: ")
    assert followed.wait(number, seconds=0.05) == ([], number)


def test_a_client_that_has_closed_its_connection_is_seen_to_be_gone() -> None:
    ours, theirs = socket.socketpair()
    assert not events.has_gone({"gunicorn.socket": ours})
    theirs.close()
    assert events.has_gone({"gunicorn.socket": ours})
    ours.close()
    assert events.has_gone({"werkzeug.socket": ours})
    assert events.has_gone({"waitress.client_disconnected": lambda: True})
    assert not events.has_gone({})
