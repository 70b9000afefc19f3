"""Injection through a manager: what a body asks for by its types is there, and is closed behind it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from task import (
    DeclarationError,
    ParameterError,
    ParentResults,
    Run,
    TaskManager,
    current_run,
    every,
)
from task.testing import VirtualClock


class Database:
    def __init__(self, name: str = "real") -> None:
        self.name = name


class Mailer:
    """Something that nobody provides."""


@pytest.mark.parametrize("kind", ["serial", "threaded", "async"])
def test_runs_managers_and_services_are_filled_in(manager: TaskManager, clock: VirtualClock, kind: str) -> None:
    log: list[str] = []

    @contextlib.contextmanager
    def connect() -> Iterator[Database]:
        log.append("open")
        yield Database()
        log.append("close")

    def body(run: Run, owner: TaskManager, database: Database, region: str = "EU") -> None:
        assert run is current_run()
        assert owner is manager
        log.append(f"{database.name} {region}")

    async def coroutine(run: Run, owner: TaskManager, database: Database, region: str = "EU") -> None:
        await asyncio.sleep(0)
        body(run, owner, database, region)

    manager.provide(Database, connect)
    manager.add(coroutine if kind == "async" else body, every(10).seconds, name="sample", threaded=kind == "threaded")
    with manager:
        clock.advance(seconds=11)
        manager.trigger("sample", region="US")
        clock.advance(seconds=1)
    assert log == ["open", "real EU", "close", "open", "real US", "close"]


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_service_of_the_manager_is_made_once_and_closed_after_the_last_run(
    manager: TaskManager, clock: VirtualClock, kind: str
) -> None:
    log: list[str] = []

    @contextlib.contextmanager
    def connect() -> Iterator[Database]:
        log.append("open")
        yield Database()
        log.append("close")

    @contextlib.asynccontextmanager
    async def connect_async() -> AsyncIterator[Database]:
        log.append("open")
        yield Database()
        await asyncio.sleep(0)
        log.append("close")

    async def body(database: Database) -> None:
        log.append("run")

    manager.provide(Database, connect if kind == "def" else connect_async, scope="manager")
    if kind == "def":
        manager.add(lambda database: log.append("run"), every(10).seconds, name="x", parameters={"database": 1})
        manager.remove("x")

        def thread_body(database: Database) -> None:
            log.append("run")

        manager.add(thread_body, every(10).seconds, name="sample")
    else:
        manager.add(body, every(10).seconds, name="sample")
    for _ in range(2):
        with manager:
            clock.advance(seconds=21)
    assert log[:4] == ["open", "run", "run", "close"]
    assert log[4] == "open"
    assert log[-1] == "close"


def test_a_service_that_cannot_be_opened_fails_the_run(manager: TaskManager, clock: VirtualClock) -> None:
    attempts: list[int] = []

    def connect() -> Database:
        attempts.append(1)
        if len(attempts) < 3:
            raise ConnectionError("no database")
        return Database()

    def body(database: Database) -> str:
        return database.name

    manager.provide(Database, connect)
    sample = manager.add(body, name="sample", retry=3)
    with manager:
        run = sample.trigger()
        clock.advance(seconds=10)
        assert run.result() == "real"
        assert [attempt.error for attempt in run.attempts] == ["ConnectionError: no database"] * 2 + [None]


def test_what_nobody_can_fill_is_an_error_at_the_start_and_not_at_night(manager: TaskManager) -> None:
    def body(mailer: Mailer) -> None: ...

    manager.add(body, every().day.at("03:00"), name="sample")
    with pytest.raises(DeclarationError, match=r"'sample' .*'mailer' \(Mailer\).*manager.provide\(Mailer, ...\)"):
        manager.run()
    manager.provide(Mailer, Mailer)
    with manager:
        assert manager.state == "running"


def test_a_running_manager_refuses_it_at_once(manager: TaskManager) -> None:
    def body(mailer: Mailer) -> None: ...

    with manager:
        with pytest.raises(DeclarationError, match="'mailer'"):
            manager.add(body, every().day.at("03:00"), name="sample")
        assert "sample" not in manager


def test_what_is_filled_in_cannot_be_passed(manager: TaskManager) -> None:
    def body(database: Database, region: str) -> str:
        return database.name + region

    manager.provide(Database, Database())
    sample = manager.add(body, name="sample")
    with manager:
        with pytest.raises(ParameterError, match="'database'"):
            sample.trigger(database=1, region="EU")
        assert sample.trigger(region="EU").result() == "realEU"
        assert list(sample.parameters_schema["properties"]) == ["region"]


def test_a_direct_call_is_filled_in_too_and_may_pass_its_own(manager: TaskManager) -> None:
    def body(region: str, database: Database, run: Run) -> str:
        return f"{region} {database.name} {run.trigger}"

    manager.provide(Database, Database())
    sample = manager.add(body, name="sample")
    assert sample("EU") == "EU real call"  # type: ignore[call-arg]  # what is filled in is not passed
    assert sample("EU", Database("fake")) == "EU fake call"  # type: ignore[call-arg]  # likewise


def test_parent_results_are_empty_without_parents(manager: TaskManager) -> None:
    def body(results: ParentResults) -> int:
        return len(results)

    with manager:
        assert manager.add(body, name="sample").trigger().result() == 0


def test_callbacks_know_their_run_however_it_ended(manager: TaskManager, clock: VirtualClock) -> None:
    told: list[str] = []

    def tell() -> None:
        told.append(f"{current_run().task} {current_run().state}")

    def hangs() -> None:
        clock.sleep(20)

    async def swallows() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    manager.add(hangs, name="hangs", threaded=True, timeout=5, on_complete=tell)
    manager.add(swallows, name="swallows", timeout=5, on_complete=tell)
    manager.add(lambda: 1 / 0, name="retried", retry=3, on_complete=tell)
    with manager:
        retried = manager.trigger("retried")
        retried.cancel()
        manager.trigger("swallows")
        manager.trigger("hangs")
        clock.advance(seconds=30)
        assert told == ["retried cancelled", "hangs timed_out", "swallows timed_out"]
        clock.advance(seconds=60)
        assert not manager["swallows"].is_running
