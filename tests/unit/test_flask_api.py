"""The API: each endpoint, on the virtual clock."""

from __future__ import annotations

import datetime
import json
import logging
import pathlib
import threading
from typing import Any

import flask
import pytest
from flask_apps import API, Client, application
from naughty import naughty_strings

from task import MissingExtraError, Run, TaskManager, current_run, every
from task.testing import VirtualClock

#: So long is waited for what another thread does, on a machine that lets it wait. Seconds.
LIMIT = 60.0


@pytest.fixture
def app(manager: TaskManager) -> flask.Flask:
    return application(manager)


@pytest.fixture
def client(app: flask.Flask) -> Client:
    return Client(app)


# Tasks.


def test_tasks_are_listed_by_their_names_and_found_by_text_tag_and_what_they_do(manager, client):
    manager.add(lambda: None, every(5).minutes, name="sync", tags=["night"])
    manager.add(lambda: None, name="report", tags=["night", "mail"])
    manager.add(lambda: None, name="clean").disable()
    with manager:
        whole = client.get("/tasks")
        assert [card["name"] for card in whole["items"]] == ["clean", "report", "sync"]
        assert (whole["total"], whole["next"], whole["tags"]) == (3, None, {"night": 2, "mail": 1})
        assert whole["items"][2]["next_run"] == "2026-05-04T12:05:00Z"
        assert [card["name"] for card in client.get("/tasks?tag=mail")["items"]] == ["report"]
        assert [card["name"] for card in client.get("/tasks?text=syn")["items"]] == ["sync"]
        assert [card["name"] for card in client.get("/tasks?doing=disabled")["items"]] == ["clean"]


def test_a_list_is_paged_by_a_cursor_and_says_where_the_next_page_is(manager, client):
    for name in ("a", "b", "c", "d", "e"):
        manager.add(lambda: None, name=name)
    seen, path, pages = list[str](), "/tasks?limit=2", 0
    while path:
        answer = client.ask("GET", path)
        seen += [card["name"] for card in answer.get_json()["items"]]
        link = answer.headers.get("Link")
        path = "" if link is None else link.removeprefix(f"<{API}").removesuffix('>; rel="next"')
        pages += 1
    assert (seen, pages) == (["a", "b", "c", "d", "e"], 3)


def test_a_task_is_shown_with_its_figures_and_the_schema_of_its_parameters(manager, client, clock):
    def report(region: str, rows: int = 10) -> None:
        """Write the report."""

    manager.add(report, every().hour, name="report", parameters={"region": "EU"})
    with manager:
        clock.advance(hours=2)
        shown = client.get("/tasks/report")
    assert shown["card"]["description"] == "Write the report."
    assert shown["detail"]["counts"]["runs"] == 2
    assert shown["statistics"]["counts"] == {"succeeded": 2}
    assert shown["parameters"]["properties"]["rows"] == {"type": "integer", "default": 10}


@pytest.mark.parametrize("name", ["a/b", "..", "a~2Fb", "?x=1#y", "ü ✓", "a//b", "%2F"])
def test_any_name_is_one_segment_of_the_path(manager, app, client, name):
    manager.add(lambda: None, name=name)
    with app.test_request_context():
        path = flask.url_for("tasks.show_task", name=name).removeprefix(API)
    assert client.get(path)["card"]["name"] == name


def test_an_unknown_task_is_a_problem_that_names_the_nearest(manager, client):
    manager.add(lambda: None, name="report")
    answer = client.ask("GET", "/tasks/repotr")
    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"
    problem = answer.get_json()
    assert (problem["type"], problem["title"], problem["status"]) == ("about:blank", "Not Found", 404)
    assert problem["instance"] == "/tasks/api/v1/tasks/repotr"
    assert "Did you mean 'report'?" in problem["detail"]


def test_a_switch_is_turned_with_note_end_and_name(manager, client, clock):
    manager.add(lambda: None, every(10).seconds, name="sync")
    with manager:
        told = client.post("/tasks/sync/disable", {"note": "other side is down", "until": "2026-05-04T13:00:00+00:00"})
        assert told == {
            "name": "sync",
            "enabled": False,
            "note": "other side is down",
            "until": "2026-05-04T13:00:00+00:00",
            "at": "2026-05-04T12:00:00+00:00",
            "by": "api key",
        }
        clock.advance(seconds=30)
        assert [run.state for run in manager.runs("sync")] == ["skipped"]
        assert client.post("/tasks/sync/enable")["enabled"] is True
        clock.advance(seconds=10)
        assert manager.runs("sync")[0].state == "succeeded"


def test_a_trigger_answers_202_with_the_run_and_where_it_is(manager, client):
    manager.add(lambda region, rows=1: {region: rows}, name="report")
    with manager:
        answer = client.ask("POST", "/tasks/report/trigger", json={"parameters": {"region": "EU", "rows": 5}})
        run = answer.get_json()
        shown = client.get(answer.headers["Location"].removeprefix(API))
        journal = manager.journal("report")
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"{API}/runs/{run['id']}"
    assert (shown["state"], shown["parameters"], shown["result"]) == (
        "succeeded",
        {"region": "EU", "rows": 5},
        '{"EU": 5}',
    )
    assert [(entry.who, entry.what) for entry in journal] == [("api key", "triggered")]


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"parameters": {"unknown": 1}}, 422, "takes no parameter 'unknown'"),
        ({"parameters": {"rows": "many"}}, 422, "does not fit"),
        ({"parameters": []}, 422, "Expected `object`"),
        ({"parameter": {}}, 422, "unknown field `parameter`. There may be: parameters. What fits each is in"),
        ([], 422, "Expected `object`"),
    ],
)
def test_parameters_that_do_not_fit_are_a_problem_and_start_nothing(manager, client, body, status, told):
    def report(rows: int = 1) -> None: ...

    manager.add(report, name="report")
    with manager:
        problem = client.post("/tasks/report/trigger", body, status)
        assert manager.runs() == []
    assert told in problem["detail"]


def test_the_slots_to_come_and_the_points_of_a_task(manager, client, clock):
    manager.add(lambda: None, every(10).minutes, name="sync")
    with manager:
        clock.advance(minutes=25)
        slots = client.get("/tasks/sync/upcoming?limit=2")["items"]
        points = client.get("/tasks/sync/points")["items"]
        assert client.get("/tasks/none/upcoming", 404)
    assert [slot["at"] for slot in slots] == ["2026-05-04T12:30:00Z", "2026-05-04T12:40:00Z"]
    assert [(point["at"], point["state"]) for point in points] == [
        ("2026-05-04T12:10:00Z", "succeeded"),
        ("2026-05-04T12:20:00Z", "succeeded"),
    ]


# Runs.


def test_runs_are_listed_by_every_filter_newest_first(manager, client, clock):
    def fails() -> None:
        raise ValueError("no")

    manager.add(fails, every(10).minutes, name="fails", tags=["night"])
    manager.add(lambda: None, every(15).minutes, name="sync")
    with manager:
        clock.advance(minutes=59)
        assert [run["task"] for run in client.get("/runs?limit=3")["items"]] == ["fails", "sync", "fails"]
        assert len(client.get("/runs?state=failed&state=lost")["items"]) == 5
        assert len(client.get("/runs?task=sync")["items"]) == 3
        assert len(client.get("/runs?tag=night&since=2026-05-04T12:30:00Z")["items"]) == 3
        assert len(client.get("/runs?until=2026-05-04T12:30:00Z&task=fails")["items"]) == 2
        first = client.get("/runs?task=fails&limit=4")
        rest = client.get(f"/runs?task=fails&limit=4&cursor={first['next']}")
        assert (len(first["items"]), len(rest["items"]), rest["next"]) == (4, 1, None)
        assert client.get("/runs?cursor=nonsense", 422)["status"] == 422
        assert client.get("/runs?task=none", 404)["status"] == 404
        assert client.get("/lost")["items"] == []


def test_a_run_is_shown_with_its_attempts_and_its_error(manager, client, clock):
    def fails() -> None:
        raise ValueError("no such page")

    manager.add(fails, name="fails", retry=1)
    with manager:
        run = manager["fails"].trigger()
        clock.advance(seconds=10)
        shown = client.get(f"/runs/{run.id}")
        assert client.get("/runs/none", 404)["status"] == 404
    assert (shown["state"], shown["attempt"], shown["error"]) == ("failed", 2, "ValueError: no such page")
    assert [attempt["number"] for attempt in shown["attempts"]] == [1, 2]
    assert "no such page" in shown["attempts"][0]["traceback"]


def test_a_run_is_cancelled_with_a_reason_and_only_once(wait_for):
    manager, begun = TaskManager([]), threading.Event()
    client = Client(application(manager))

    def waits(run: Run) -> None:
        begun.set()
        wait_for(run.is_cancelled)
        run.check_cancelled()

    manager.add(waits, name="waits", threaded=True)
    with manager:
        run = manager["waits"].trigger()
        assert begun.wait(LIMIT)
        client.post(f"/runs/{run.id}/cancel", {"reason": "not today"})
        assert run.wait(LIMIT)
        again = client.post(f"/runs/{run.id}/cancel", {}, 409)
        journal = manager.journal("waits")
    assert (run.state, run.reason) == ("cancelled", "not today")
    assert "has ended already" in again["detail"]
    assert (journal[0].who, journal[0].what) == ("api key", "cancelled")


def test_a_run_runs_again_with_the_same_parameters(manager, client):
    manager.add(lambda region: region, name="report")
    with manager:
        first = manager["report"].trigger(region="EU")
        second = client.post(f"/runs/{first.id}/again", status=202)
        shown = client.get(f"/runs/{second['id']}")
        gone = manager["report"].trigger(region="EU")
        manager.remove("report")
        refused = client.post(f"/runs/{gone.id}/again", status=409)
    assert second["id"] != first.id
    assert (shown["parameters"], shown["result"]) == ({"region": "EU"}, '"EU"')
    assert "is not in this process" in refused["detail"]


def test_a_run_with_secret_parameters_does_not_run_again(manager, client):
    manager.add(lambda password: None, name="login", redact=["password"])
    with manager:
        run = manager["login"].trigger(password="c4n4ry-t4il")
        refused = client.post(f"/runs/{run.id}/again", status=409)
        assert len(manager.runs()) == 1
    assert "secret parameters" in refused["detail"]


def test_a_run_with_the_secrets_of_its_declaration_runs_again_with_those(manager, client):
    told: list[str] = []
    manager.add(
        lambda password: told.append(password), name="login", redact=["password"], parameters={"password": "c4n4ry"}
    )
    with manager:
        run = manager["login"].trigger()
        answer = client.ask("POST", f"/runs/{run.id}/again")
    assert (answer.status_code, told) == (202, ["c4n4ry", "c4n4ry"])
    assert "c4n4ry" not in answer.text


def test_a_log_is_read_on_from_the_last_line(manager, client):
    def talks() -> None:
        for number in range(5):
            current_run().logger.info("line %s", number + 1)

    manager.add(talks, name="talks")
    with manager:
        run = manager["talks"].trigger()
        first = client.get(f"/runs/{run.id}/log?limit=3")
        rest = client.get(f"/runs/{run.id}/log?after=3")
    assert [(line["number"], line["message"], line["level"]) for line in first["items"]] == [
        (1, "line 1", "INFO"),
        (2, "line 2", "INFO"),
        (3, "line 3", "INFO"),
    ]
    assert (first["more"], rest["more"], rest["ended"]) == (True, False, True)
    assert [line["number"] for line in rest["items"]] == [4, 5]


def test_lines_keep_their_numbers_where_others_were_dropped(manager, client):
    def talks() -> None:
        for number in range(1_500):
            current_run().logger.info("line %s", number + 1)

    manager.add(talks, name="talks")
    with manager:
        run = manager["talks"].trigger()
        told = client.get(f"/runs/{run.id}/log?after=199&limit=200")
        last = client.get(f"/runs/{run.id}/log?after=1498")
    assert told["dropped"] == 500
    assert [(line["number"], line["message"]) for line in told["items"][:2]] == [(200, "line 200"), (701, "line 701")]
    assert [(line["number"], line["message"]) for line in last["items"]] == [(1499, "line 1499"), (1500, "line 1500")]


def test_artifacts_are_listed_and_downloaded_as_attachments_only(clock: VirtualClock, tmp_path: pathlib.Path):
    manager = TaskManager([], clock=clock, artifacts=tmp_path)
    client = Client(application(manager))

    def report(run: Run) -> None:
        run.save_artifact("ü report.html", "<script>alert(1)</script>")

    manager.add(report, name="report")
    with manager:
        run = manager["report"].trigger()
        (artifact,) = client.get(f"/runs/{run.id}/artifacts")["items"]
        answer = client.http.get(artifact["url"], headers=client.headers)
        (tmp_path / "secret").write_text("outside")
        for name in ("none", "..", "~2E~2E", "..%2Fsecret", "~2E~2E~2Fsecret", "%2Fetc%2Fpasswd"):
            assert client.ask("GET", f"/runs/{run.id}/artifacts/{name}").status_code == 404
    assert (artifact["name"], artifact["size"]) == ("ü report.html", 25)
    assert answer.text == "<script>alert(1)</script>"
    assert answer.mimetype == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment; ")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


# Recurring entries.


def test_an_entry_is_made_read_changed_and_removed(manager, client, clock):
    told: list[str] = []
    manager.add(lambda name="": told.append(name), name="greet")
    with manager:
        answer = client.ask(
            "POST",
            "/recurring",
            json={"name": "greet Ada", "task": "greet", "schedule": "every 10 minutes", "parameters": {"name": "Ada"}},
        )
        assert answer.status_code == 201
        path = answer.headers["Location"].removeprefix(API)
        assert client.get(path)["next_run"] == "2026-05-04T12:10:00Z"
        clock.advance(minutes=10)
        changed = client.post(path, {"schedule": None, "parameters": {"name": "Grace"}}, method="PATCH")
        assert (changed["schedule"], changed["parameters"]) == (None, {"name": "Grace"})
        client.post(f"{path}/trigger", status=202)
        assert client.post(f"{path}/disable", {"note": "enough"})["note"] == "enough"
        assert client.post(f"{path}/enable")["enabled"] is True
        assert [entry["name"] for entry in client.get("/recurring")["items"]] == ["greet Ada"]
        client.post(path, status=204, method="DELETE")
        assert client.get(path, 404)["status"] == 404
        journal = [(entry.who, entry.what) for entry in manager.journal("greet Ada")]
    assert told == ["Ada", "Grace"]
    assert journal == [
        ("api key", what) for what in ("removed", "enabled", "disabled", "triggered", "updated", "added")
    ]


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"name": "x", "task": "none"}, 404, "none"),
        ({"name": "x", "task": "os.system"}, 404, "os.system"),
        ({"name": "x", "task": "greet", "schedule": "now and then"}, 422, "now and then"),
        ({"name": "x", "task": "greet", "parameters": {"what": 1}}, 422, "takes no parameter 'what'"),
        ({"name": "greet", "task": "greet"}, 409, "already"),
        ({"name": "x"}, 422, "Name a task, or give a command"),
        ({"name": "x", "task": "greet", "command": ["ls"]}, 422, "one of the two"),
        ({"name": "x", "command": ["ls"]}, 403, "allows no commands"),
        ({"name": "x", "task": "shell-command", "parameters": {"command": ["ls"]}}, 403, "allows no commands"),
        ({"name": "x\n", "task": "greet"}, 422, "printable"),
    ],
)
def test_an_entry_that_cannot_be_is_refused(manager, client, body, status, told):
    manager.add(lambda name="": None, name="greet")
    problem = client.post("/recurring", body, status)
    assert told in problem["detail"]
    assert manager.recurring.list() == []


def test_only_listed_executables_run_and_never_a_shell(manager: TaskManager):
    client = Client(application(manager, TASKS_SHELL_COMMANDS=["/bin/echo"]))
    manager.run()
    entry = client.post("/recurring", {"name": "say", "command": ["/bin/echo", "$HOME; ls"]}, 201)
    run = client.post("/recurring/say/trigger", status=202)
    assert manager.find_run(run["id"]).wait(LIMIT)
    shown = client.get(f"/runs/{run['id']}")
    assert entry["parameters"] == {"command": ["/bin/echo", "$HOME; ls"]}
    assert '"stdout": "$HOME; ls\\n"' in shown["result"]
    for refused in (["/bin/sh", "-c", "ls"], ["echo"], [""]):
        assert "/bin/echo" in client.post("/recurring", {"name": "x", "command": refused}, 403)["detail"]
        entries = [{"name": "x", "task": "shell-command", "parameters": {"command": refused}}]
        client.post("/import", {"version": 1, "entries": entries}, 403)
        client.post("/recurring/say", {"command": refused}, 403, "PATCH")
        client.post("/recurring/say", {"parameters": {"command": refused}}, 403, "PATCH")
    triggered = client.post("/tasks/shell-command/trigger", {"parameters": {"command": ["/bin/sh", "-c", "ls"]}}, 202)
    overridden = client.post("/recurring/say/trigger", {"parameters": {"command": ["/bin/sh"]}}, 202)
    for one in (triggered, overridden):
        assert manager.find_run(one["id"]).wait(LIMIT)
        assert "PermissionError" in client.get(f"/runs/{one['id']}")["error"]
    assert [entry.name for entry in manager.recurring.list()] == ["say"]


def test_entries_are_exported_and_imported_all_or_none(manager, client):
    manager.add(lambda: None, name="sync")
    client.post("/recurring", {"name": "nightly", "task": "sync", "schedule": "0 2 * * *"}, 201)
    exported = client.get("/export")
    client.post("/recurring/nightly", status=204, method="DELETE")
    assert [entry["name"] for entry in client.post("/import", exported)["items"]] == ["nightly"]
    client.post("/import", exported, 409)
    client.post("/import?replace=true", exported)
    bad = {"version": 1, "entries": [*exported["entries"], {"name": "other", "task": "none"}]}
    client.post("/import?replace=true", bad, 404)
    assert [entry.name for entry in manager.recurring.list()] == ["nightly"]


def test_an_entry_whose_task_is_gone_is_an_orphan_that_cannot_be_triggered(manager, client):
    manager.add(lambda: None, name="sync")
    with manager:
        client.post("/recurring", {"name": "nightly", "task": "sync"}, 201)
        assert client.get("/orphans")["items"] == []
        manager.remove("sync")
        (orphan,) = client.get("/orphans")["items"]
        refused = client.post("/recurring/nightly/trigger", status=409)
    assert orphan["name"] == "nightly"
    assert "sync" in orphan["problem"]
    assert orphan["problem"] in refused["detail"]


def test_words_are_previewed_as_slots(client):
    slots = client.get("/schedules/preview?words=0+2+*+*+*&count=2")["items"]
    refused = client.get("/schedules/preview?words=0+0+31+2+*", 422)
    assert len(slots) == 2
    assert refused["title"] == "Unprocessable Entity"
    assert "2" in refused["detail"]


# The whole.


def test_all_tasks_are_paused_and_resumed(manager, client, clock):
    manager.add(lambda: None, every(10).seconds, name="sync")
    with manager:
        assert client.post("/pause") == {"state": "running", "paused": True, "tasks": 1}
        clock.advance(seconds=10)
        assert client.post("/resume")["paused"] is False
        assert client.get("/manager")["paused"] is False
        assert [str(run.state) for run in manager.runs()] == ["skipped"]
        assert [(entry.who, entry.what) for entry in manager.journal()] == [
            ("api key", "resumed"),
            ("api key", "paused"),
        ]


def test_the_journal_is_paged_also_where_all_was_done_in_one_moment(manager, client):
    manager.add(lambda: None, name="sync")
    for _ in range(3):
        manager["sync"].disable(by="ada")
        manager["sync"].enable(by="grace")
    whole = client.get("/journal?task=sync")["items"]
    first = client.get("/journal?limit=4")
    manager["sync"].disable(by="ada")  # what comes meanwhile moves nothing
    rest = client.ask("GET", "/journal", query_string={"limit": "4", "cursor": first["next"]}).get_json()
    assert [entry["what"] for entry in whole] == ["enabled", "disabled"] * 3
    assert (first["items"] + rest["items"], rest["next"]) == (whole, None)
    assert client.get("/journal?cursor=nonsense", 422)["status"] == 422


def test_slots_of_all_tasks_the_timeline_and_the_problems(manager, client, clock):
    def fails() -> None:
        raise ValueError("no")

    manager.add(fails, every(4).hours, name="fails")
    manager.add(lambda: None, every(6).hours, name="sync")
    with manager:
        clock.advance(hours=5)
        upcoming = client.get("/upcoming?until=2026-05-04T20:00:00Z")["items"]
        timeline = client.get("/timeline?span=day&name=sync")
        problems = client.get("/problems")["items"]
    assert [(slot["task"], slot["at"]) for slot in upcoming][:2] == [
        ("sync", "2026-05-04T18:00:00Z"),
        ("fails", "2026-05-04T20:00:00Z"),
    ]
    assert [lane["task"] for lane in timeline["lanes"]] == ["sync"]
    assert ("failing", "fails") in [(problem["kind"], problem["task"]) for problem in problems]


def test_health_is_bare_for_strangers_and_503_when_unhealthy(manager: TaskManager):
    app = application(manager)
    with manager:
        assert app.test_client().get(f"{API}/health").get_json() == {"status": "healthy"}
        whole = Client(app).get("/health")
        assert (whole["status"], whole["state"], whole["causes"], whole["overdue"]) == ("healthy", "running", [], [])
    manager.scheduler.ailment = lambda: "the loop is dead"  # type: ignore[method-assign]
    answer = app.test_client().get(f"{API}/health")
    assert (answer.status_code, answer.get_json()) == (503, {"status": "unhealthy"})
    assert Client(app).get("/health", 503)["causes"] == ["the loop is dead"]


def test_metrics_are_written_for_prometheus(manager, client):
    manager.add(lambda: None, name="sync")
    with manager:
        manager["sync"].trigger()
        answer = client.ask("GET", "/metrics")
    assert answer.mimetype == "text/plain"
    assert 'task="sync"' in answer.text


def test_metrics_without_their_extra_say_how_to_install_it(client, monkeypatch):
    def exposition(*asked: object) -> None:
        raise MissingExtraError.of("metrics", "/metrics")

    monkeypatch.setattr("task.metrics.exposition", exposition)
    missing = client.ask("GET", "/metrics")
    assert missing.status_code == 501
    assert "schedule-tasks[metrics]" in missing.get_json()["detail"]


def test_the_document_describes_every_route_of_the_api(app, client):
    document = client.get("/openapi.json")
    described = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    routes = {
        (method, rule.rule.removeprefix(API).replace("<task_name:", "{").replace("<", "{").replace(">", "}"))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(API) and rule.methods is not None
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": API}]
    assert described == routes


# What is wrong with a request.


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/none", {}, 404),
        ("GET", "/", {}, 404),
        ("BREW", "/tasks", {}, 405),
        ("DELETE", "/tasks", {}, 405),
        ("GET", "/tasks", {"headers": {"Accept": "text/html"}}, 406),
        ("GET", "/tasks?limit=0", {}, 422),
        ("GET", "/tasks?limit=201", {}, 422),
        ("GET", "/tasks?limit=1&limit=2", {}, 422),
        ("GET", "/tasks?limits=1", {}, 422),
        ("GET", "/runs?since=2026-05-04", {}, 422),
        ("GET", "/runs?since=2026-05-04T12:00:00", {}, 422),
        ("GET", "/runs?since=0001-01-01T00:00:00Z", {}, 422),
        ("GET", "/manager?x=1", {}, 422),
        ("POST", "/recurring", {"data": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
        ("POST", "/recurring", {"data": b"{"}, 400),
        ("POST", "/recurring", {"data": b'{"name": "\xff"}'}, 400),
        ("POST", "/recurring", {"data": b'{"name": "x", "parameters": {"a": ' + b"[" * 50_000}, 400),
        ("POST", "/recurring", {"data": b" " * 100_001}, 413),
    ],
)
def test_every_error_is_told_as_problem_details(client, method, path, options, status):
    headers = {**client.headers, "Content-Type": "application/json", **options.get("headers", {})}
    options = {key: value for key, value in options.items() if key != "headers"}
    answer = client.http.open(f"{API}{path}", method=method, headers=headers, **options)
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    problem = answer.get_json()
    assert sorted(problem) == ["detail", "instance", "status", "title", "type"]
    assert problem["status"] == status
    assert (status == 405) == ("Allow" in answer.headers)


def test_options_tells_what_can_be_done(client):
    answer = client.ask("OPTIONS", "/recurring")
    assert (answer.status_code, answer.headers["Allow"]) == (204, "GET, HEAD, POST, OPTIONS")
    assert client.ask("OPTIONS", "/none").status_code == 404


def test_a_store_that_cannot_be_reached_is_503(manager, client, monkeypatch):
    from task.errors import StoreUnavailableError

    def gone(*_: object, **__: object) -> None:
        raise StoreUnavailableError("the disk is full")

    monkeypatch.setattr(type(manager.store), "find_runs", gone)
    answer = client.ask("GET", "/runs")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_a_text_that_utf_8_cannot_say_is_told_all_the_same(manager, client):
    def talks() -> None:
        current_run().update_progress(50, "half \ud800 of it")

    manager.add(talks, name="talks")
    with manager:
        run = manager["talks"].trigger()
        assert client.get(f"/runs/{run.id}")["message"] == "half ? of it"


def test_parameters_that_are_no_json_are_shown_as_bounded_text(manager, client):
    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError("no text")

    manager.add(lambda odd, moment: None, name="sync")
    moment = datetime.datetime(2026, 5, 4, tzinfo=datetime.UTC)
    with manager:
        run = manager["sync"].trigger(odd=Odd(), moment=[moment] * 100)
        shown = client.get(f"/runs/{run.id}")["parameters"]
        assert client.ask("POST", f"/runs/{run.id}/again").status_code == 202
    assert shown["odd"] == "<Odd>"
    assert len(shown["moment"]) == 200


# Hostile strings.


def test_hostile_strings_come_back_as_they_were_sent(manager: TaskManager):
    client = Client(application(manager, TASKS_MAX_BODY=1_000_000))
    manager.add(lambda text: text, name="echo")
    with manager:
        for text in naughty_strings():
            run = client.post("/tasks/echo/trigger", {"parameters": {"text": text}}, 202)
            shown = client.get(f"/runs/{run['id']}")
            assert shown["parameters"] == {"text": text}
            assert not shown["result_is_json"] or json.loads(shown["result"]) == text
            note = text[:1_000]
            assert client.post("/tasks/echo/disable", {"note": note})["note"] == note
            client.post("/tasks/echo/enable")
            assert client.ask("GET", "/tasks", query_string={"text": note, "tag": note}).status_code == 200
            for path in ("/runs", "/journal"):
                assert client.ask("GET", path, query_string={"task": text[:1_000]}).status_code == 404
            assert client.ask("GET", "/schedules/preview", query_string={"words": text[:500]}).status_code in (200, 422)


def test_hostile_names_are_refused_or_are_one_segment_of_a_path(manager, client):
    manager.add(lambda: None, name="echo")
    taken = 0
    for name in naughty_strings():
        answer = client.ask("POST", "/recurring", json={"name": name, "task": "echo"})
        if answer.status_code == 201:
            taken += 1
            path = answer.headers["Location"].removeprefix(API)
            assert client.get(path)["name"] == name
            assert client.get("/recurring?limit=1")["items"][0]["name"] == name
            client.post(path, status=204, method="DELETE")
        else:
            assert answer.status_code == 422
    assert taken > 350


# Secrets.


def test_a_canary_is_in_no_answer(manager: TaskManager, caplog: pytest.LogCaptureFixture):
    canary = "-".join(["c4n4ry", "t4il"])
    client = Client(application(manager))
    caplog.set_level(logging.DEBUG)

    def login(password: str, fail: bool = False) -> str:
        run = current_run()
        run.update_progress(50, f"with {password}")
        run.logger.info("argv %s", ["--password", password])
        if fail:
            raise ValueError(password)
        return password

    manager.add(login, name="login", redact=["password"], parameters={"password": canary})
    texts: list[Any] = []
    with manager:
        for body in ({}, {"parameters": {"password": canary, "fail": True}}):
            answer = client.ask("POST", "/tasks/login/trigger", json=body)
            run = answer.get_json()["id"]
            asked = ["", "/log", "/artifacts"]
            texts += [answer.text, *(client.ask("GET", f"/runs/{run}{path}").text for path in asked)]
            texts.append(client.ask("POST", f"/runs/{run}/again").text)
        texts.append(client.ask("POST", "/tasks/login/trigger", json={"parameters": {"password": {canary: 1}}}).text)
        texts.append(
            client.ask(
                "POST", "/recurring", json={"name": "x", "task": "login", "parameters": {"password": canary}}
            ).text
        )
        for path in ("/tasks", "/tasks/login", "/runs", "/journal", "/problems", "/timeline", "/recurring", "/export"):
            texts.append(client.ask("GET", path).text)
    assert len(texts) == 20
    assert not [text for text in texts if "c4n4ry" in text]
    assert not [record for record in caplog.records if record.name == "task" and "c4n4ry" in record.getMessage()]
