"""The whole API, asked by machine what nobody would ask: as viewer, as operator and as stranger."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import flask
import hypothesis
import pytest
import schemathesis
from flask_apps import API, KEY, application
from hypothesis import strategies
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
)

from task import Run, TaskManager, every
from task.flask import Access
from task.stores import MemoryStore
from task.testing import VirtualClock

#: A page of our host, with a login by a cookie.
HEADERS = {"Origin": "http://localhost", "Content-Type": "application/json"}


def known(request: flask.Request) -> Access | None:
    return {"ada": Access("operate", "ada"), "eve": Access("view", "eve")}.get(request.cookies.get("login", ""))


@pytest.fixture
def manager(clock: VirtualClock, tmp_path: pathlib.Path) -> Iterator[TaskManager]:
    """A manager with something of each kind."""
    made = TaskManager([], clock=clock, store=MemoryStore(), artifacts=tmp_path)

    def report(run: Run, region: str = "EU", rows: int = 1) -> dict[str, int]:
        """Write the report."""
        run.save_artifact("report.csv", "day,sold")
        run.logger.info("%s rows", rows)
        return {region: rows}

    def fails() -> None:
        raise ValueError("no such page")

    made.add(report, every(10).minutes, name="report", tags=["night"])
    made.add(fails, every().hour, name="fails", retry=1)
    made.recurring.add("nightly", task="report", schedule="0 2 * * *", by="ada")
    made["fails"].disable(note="until it is mended", by="ada")
    with made:
        clock.advance(hours=1)
        made["fails"].enable(by="ada")
        clock.advance(hours=1)
        yield made


def operations(app: flask.Flask) -> list[Any]:
    """Each endpoint, as it is described; the stream of events never ends, and is tested by itself."""
    schema = schemathesis.openapi.from_wsgi(f"{API}/openapi.json", app, headers={"X-API-Key": KEY})
    found = [result.ok() for result in schema.get_all_operations()]
    return [one for one in found if one.definition.raw["operationId"] != "stream_events"]


def fuzz(
    found: list[Any], manager: TaskManager, mode: GenerationMode, examples: int, ask: Callable[[Case], None]
) -> None:
    """Ask each endpoint so many times, the same in every process; half of the paths lead to something."""
    run = manager.runs("report")[0].id
    for operation in found:
        if mode is GenerationMode.NEGATIVE and not (operation.query or operation.body):
            continue  # there is nothing that could be wrong

        @hypothesis.settings(
            max_examples=examples,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.generate],
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode), there=strategies.booleans())
        def check(case: Case, there: bool) -> None:
            named = {"id": run, "name": "nightly" if "recurring" in case.path else "report"}
            if "artifacts" in case.path:
                named["name"] = "report.csv"
            if there:
                case.path_parameters = {name: named[name] for name in case.path_parameters or {}}
            ask(case)

        check()


def state_of(manager: TaskManager) -> Any:
    runs = [(run.id, str(run.state)) for run in manager.runs(limit=1000)]
    switches = [(task.name, task.is_enable) for task in manager.tasks]
    return runs, switches, manager.recurring.export_json(), manager.journal(limit=1000), manager.store.paused


@pytest.mark.parametrize(("mode", "examples"), [(GenerationMode.POSITIVE, 8), (GenerationMode.NEGATIVE, 8)])
def test_an_operator_is_answered_as_the_document_says(manager, mode, examples):
    app = application(manager, known)

    def ask(case: Case) -> None:
        before = state_of(manager)
        answer = case.call(headers={"X-API-Key": KEY})
        # What the schemas cannot say is refused, too: words that are no schedule, a task that is not there.
        excluded = [ignored_auth, positive_data_acceptance]
        case.validate_response(answer, excluded_checks=excluded)
        assert answer.status_code < 500
        if answer.status_code >= 400:
            assert state_of(manager) == before

    fuzz(operations(app), manager, mode, examples, ask)


def test_who_may_look_is_answered_so_and_changes_nothing(manager):
    app = application(manager, known)
    before = state_of(manager)

    def ask(case: Case) -> None:
        answer = case.call(headers=HEADERS, cookies={"login": "eve"})
        case.validate_response(
            answer, excluded_checks=[ignored_auth, positive_data_acceptance, negative_data_rejection]
        )
        assert answer.status_code < 500
        if case.method.upper() != "GET":
            assert answer.status_code in (403, 404)

    fuzz(operations(app), manager, GenerationMode.POSITIVE, 5, ask)
    assert state_of(manager) == before


@pytest.mark.parametrize("opened", [True, False])
def test_a_stranger_gets_nothing_but_a_refusal_and_the_bare_health(manager, opened):
    app = application(manager, known)
    found, before = operations(app), state_of(manager)
    if not opened:
        state = app.extensions["tasks"]
        settings = state.settings._replace(api_key=None)
        app.extensions["tasks"] = dataclasses.replace(state, auth=None, settings=settings)

    def ask(case: Case) -> None:
        answer = case.call(headers=HEADERS)
        if case.path == "/health" and opened:
            assert answer.json() == {"status": "healthy"}
        else:
            assert answer.status_code == (401 if opened else 403)
            assert set(answer.json()) == {"type", "title", "status", "detail", "instance"}

    fuzz(found, manager, GenerationMode.POSITIVE, 3, ask)
    assert state_of(manager) == before
