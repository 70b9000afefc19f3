"""One secret, passed in every way that there is: it is in nothing that anybody can read afterwards."""

from __future__ import annotations

import json
import logging
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest

from task import TaskManager, current_run, every, shell
from task.flask import Access, FlaskTasks
from task.runs import MASK
from task.testing import VirtualClock

#: In pieces: this file is in the tracebacks that are looked through.
CANARY = "-".join(["c4n4ry", "t4il"])
SECRET = CANARY.encode()

HOST = "http://localhost"
TOKEN = "a" * 43

WaitFor = Callable[[Callable[[], bool]], None]


class Visitor:
    """Somebody who may operate, and reads every answer."""

    def __init__(self, app: flask.Flask) -> None:
        self._app = app
        self._client = app.test_client()
        self._client.set_cookie("tasks_token", TOKEN, path="/tasks")
        #: What was read, and of which path.
        self.read: list[tuple[str, bytes]] = []

    def look(self, path: str, **query: Any) -> None:
        self._keep(self._client.get(path, base_url=HOST, query_string=query or None))

    def ask(self, path: str, body: Any) -> Any:
        """Call the API; the answer."""
        answer = self._client.post(f"/tasks/api/v1{path}", base_url=HOST, headers={"Origin": HOST}, json=body)
        return self._keep(answer)

    def send(self, path: str, **fields: str) -> Any:
        """Send a form, and look at the page that it leads to; its answer."""
        form = {"token": TOKEN, **fields}
        answer = self._client.post(f"/tasks{path}", base_url=HOST, headers={"Origin": HOST}, data=form)
        if answer.status_code == 303:
            self.look(answer.headers["Location"])
        return self._keep(answer)

    def follow(self, since: str) -> None:
        """Read what the stream of events has told since then."""
        answer = self._client.get("/tasks/api/v1/events", base_url=HOST, query_string={"since": since})
        self.read.append(("/tasks/api/v1/events", next(iter(answer.response))))
        answer.close()

    def type(self, *args: str) -> None:
        """A command of the application."""
        result = self._app.test_cli_runner().invoke(args=["tasks", *args])
        self.read.append((f"flask tasks {args[0]}", result.output.encode() + repr(result.exception).encode()))

    def _keep(self, answer: Any) -> Any:
        headers = "\n".join(f"{name}: {value}" for name, value in answer.headers)
        self.read.append((answer.request.path, headers.encode() + answer.get_data()))
        return answer


def paths_of(app: flask.Flask, names: list[str], runs: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Every address of ours that can be looked at, for each of the tasks and runs."""
    with app.test_request_context():
        for rule in app.url_map.iter_rules():
            if not rule.endpoint.startswith("tasks.") or "GET" not in (rule.methods or ()):
                continue
            if rule.endpoint in ("tasks.events", "tasks.asset"):
                continue
            of_run, of_task = "id" in rule.arguments, "name" in rule.arguments
            for run in runs if of_run else [""]:
                for name in ["report.txt"] if of_run and of_task else names:
                    named = {"id": run} if of_run else {}
                    url = flask.url_for(rule.endpoint, **named, **({"name": name} if of_task else {}))
                    yield url, {} if of_task or "/api/" in rule.rule else {"name": name, "task": name}


def test_a_secret_is_in_nothing_that_is_written_or_answered(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, wait_for: WaitFor, request: pytest.FixtureRequest
) -> None:
    # Given tasks that tell all they know: in their progress, log, error, result, and on a command line.
    caplog.set_level(logging.DEBUG)
    clock, got = VirtualClock(), list[bool]()
    manager = TaskManager([], clock=clock, artifacts=tmp_path / "artifacts")
    request.addfinalizer(lambda: manager.store.close())  # the application gives it another one

    def login(password: str, url: str = f"https://app:{CANARY}@db.example/?token={CANARY}", **others: Any) -> Any:
        run = current_run()
        got.append(password == CANARY)
        run.update_progress(50, f"with {password}")
        run.logger.warning("argv %s", ["--password", password, url, others])
        run.save_artifact("report.txt", "nothing of it")
        if run.attempt == 1:
            raise ConnectionError(f"cannot reach {url}", ["psql", password])
        return {"url": url, password: [password]}

    def unlock(pin: int, key: str = CANARY) -> None:
        """Never called: no pin that is given is one."""

    dump = shell(
        ["/bin/sh", "-c", 'echo "$TASK_PARAMETER_PASSWORD" "$1" >&2; exit 1', "sh", CANARY], env={"SECRET": CANARY}
    )
    secret: dict[str, Any] = {"redact": ["password"], "parameters": {"password": CANARY}}
    manager.add(login, every(10).minutes, name="login", retry=1, threaded=True, **secret)
    manager.add(dump, every(10).minutes, name="dump", **secret)
    manager.add(unlock, name="unlock", redact=["pin", "key"])

    app = flask.Flask("app", instance_path=str(tmp_path))
    app.config.update(TASKS_AUTOSTART=False, TASKS_EVENT_CLIENTS=2)
    FlaskTasks(manager, auth=lambda _: Access("operate", "ada")).init_app(app)
    visitor = Visitor(app)

    def settle() -> None:
        def ended() -> bool:
            clock.advance(seconds=2)  # a retry waits for that
            return not manager.runs(state=["queued", "running", "retrying"])

        wait_for(ended)

    # When it is passed in every way, where it fits and where it does not,
    with manager:
        since = manager.changes().position
        clock.advance(minutes=10)
        settle()
        given = {"password": CANARY, "other": {"deep": [f"x{CANARY}y"]}}
        for asked in (given, {"password": {CANARY: CANARY}}, {"passwort": CANARY}):
            visitor.ask("/tasks/login/trigger", {"parameters": asked})
            settle()
        visitor.ask("/tasks/dump/trigger", {"parameters": {"password": CANARY}})
        visitor.ask("/tasks/unlock/trigger", {"parameters": {"pin": CANARY}})
        visitor.ask("/recurring", {"name": "often", "task": "login", "parameters": {"password": CANARY}})
        visitor.ask("/recurring", {"name": "often", "task": "login", "schedule": "every 5 minutes"})
        visitor.ask("/recurring/often/trigger", {"parameters": {"password": CANARY}})
        settle()
        typed = {"p.password": CANARY, "p.**": json.dumps({"others": {"password": CANARY}})}
        visitor.send("/do/run", name="login", **typed)
        visitor.send("/do/run", name="often", **typed)
        visitor.send("/do/run", name="unlock", **{"p.pin": CANARY})
        visitor.send("/recurring/entry?task=login", name="rarely", max_concurrent="1", **typed)
        settle()
        for args in (["login", f"password={CANARY}"], ["unlock", f"pin={CANARY}"], ["login", f"passwort={CANARY}"]):
            visitor.type("run", *args, "--no-wait")
            visitor.type("run", *args, "--here", "--json")
            visitor.type("run", *args, "--here")
            settle()
        clock.advance(minutes=5)
        settle()
        for run in manager.runs(limit=1_000):
            visitor.ask(f"/runs/{run.id}/again", {})
            visitor.send(f"/run/{run.id}/again")
            settle()

        # and all is read that can be,
        runs = [run.id for run in manager.runs(limit=1_000)]
        for path, query in paths_of(app, ["login", "dump", "unlock", "often"], runs):
            visitor.look(path, **query)
        visitor.look("/tasks/api/v1/runs", limit=200)
        visitor.follow(since)
        for args in (["list", "--json"], ["runs", "--json"], ["runs"], ["next"]):
            visitor.type(*args)

    # Then the bodies had it, and nobody else.
    assert len(got) >= 20
    assert all(got)
    assert len(runs) >= 12
    paths = {path for path, _ in visitor.read}
    assert {"/tasks/", "/tasks/api/v1/metrics", "/tasks/api/v1/events", "flask tasks run"} <= paths
    assert MASK.encode() in dict(visitor.read)[f"/tasks/api/v1/runs/{runs[0]}"]
    assert [path for path, answer in visitor.read if SECRET in answer] == []
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {"tasks.db", "report.txt"} <= {file.name for file in files}
    assert [file.name for file in files if SECRET in file.read_bytes()] == []
    ours = [record for record in caplog.records if record.name.partition(".")[0] == "task"]
    assert [text for record in ours if CANARY in (text := logging.Formatter().format(record))] == []
    assert repr(app.config).count(CANARY) == 0
