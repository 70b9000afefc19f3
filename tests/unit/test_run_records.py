"""A run as a record and as a future: progress, log, results, lineage, secrets."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import logging
import os
import platform
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from task import (
    ManagerStateError,
    NoResultError,
    ParameterError,
    Run,
    RunLost,
    TaskManager,
    UnknownTaskError,
    current_run,
    every,
    run_progress,
)
from task.testing import VirtualClock

WaitFor = Callable[[Callable[[], bool]], None]

#: How long what will happen is waited for. Seconds.
LIMIT = 60.0


# As a future.


@pytest.mark.parametrize("threaded", [False, True])
def test_result_waits_and_returns_what_the_body_returned(threaded: bool) -> None:
    manager, gate = TaskManager([]), threading.Event()
    value = object()
    sample = manager.add(lambda: gate.wait(LIMIT) and value, name="sample", threaded=threaded)
    with manager:
        run = sample.trigger()
        assert not run.done()
        with pytest.raises(TimeoutError, match="still"):
            run.result(0)
        assert not run.wait(0)
        gate.set()
        assert run.result(LIMIT) is value
        assert run.done()
        assert run.wait(0)


def test_result_raises_the_bodys_exception_with_the_text_of_its_traceback() -> None:
    manager = TaskManager([])

    def deeper() -> None:
        raise KeyError("missing")

    sample = manager.add(lambda: deeper(), name="sample")
    with manager:
        run = sample.trigger()
        for _ in range(3):
            with pytest.raises(KeyError, match="missing") as caught:
                run.result(LIMIT)
            (note,) = caught.value.__notes__
            assert "In the run of task 'sample'" in note
            assert "in deeper" in note


def test_result_says_why_there_is_none(manager: TaskManager, clock: VirtualClock) -> None:
    sample = manager.add(lambda: {1}, every(1).hours, name="sample")
    sample.disable("on holiday")
    with manager:
        with pytest.raises(NoResultError, match="skipped: disabled"):
            sample.trigger().result()
        sample.enable()
        kept = sample.trigger()
        assert kept.result() == {1}
        (row,) = manager.runs("sample", state="succeeded")
        assert (row.id, row.result_text) == (kept.id, "{1}")
        with pytest.raises(NoResultError, match="only the text of its result is kept"):
            row.result()


def test_a_lost_run_says_so() -> None:
    manager, gate, begun = TaskManager([]), threading.Event(), threading.Event()
    sample = manager.add(lambda: (begun.set(), gate.wait(LIMIT)), name="sample", threaded=True)
    manager.run()
    run = sample.trigger()
    assert begun.wait(LIMIT)
    manager.stop(timeout=0)
    gate.set()
    with pytest.raises(RunLost, match="still running 0 seconds after"):
        run.result(LIMIT)


def test_a_serial_body_that_would_wait_for_itself_is_told_so() -> None:
    manager = TaskManager([])
    manager.add(lambda: 42, name="inner")
    outer = manager.add(lambda: manager.trigger("inner").result(), name="outer")
    beside = manager.add(lambda: manager.trigger("inner").result(LIMIT), name="beside", threaded=True)
    with manager:
        with pytest.raises(ManagerStateError, match="'inner' is queued behind it, on the serial worker"):
            outer.trigger().result(LIMIT)
        assert manager.runs("inner")[0].wait(LIMIT)  # that which nobody waits for any more
        assert beside.trigger().result(LIMIT) == 42


def test_a_run_can_be_awaited_from_any_loop() -> None:
    manager = TaskManager([])

    async def fails() -> None:
        raise ValueError("no")

    good, bad = manager.add(lambda: 42, name="good"), manager.add(fails, name="bad")

    async def main() -> int:
        async with manager:
            with pytest.raises(ValueError, match="no"):
                await bad.trigger()
            answer: int = await good.trigger()
            return answer

    assert asyncio.run(main()) == 42


def test_one_task_may_await_another(manager: TaskManager, clock: VirtualClock) -> None:
    async def inner() -> str:
        await asyncio.sleep(5)
        return "inner"

    async def outer() -> str:
        return f"outer of {await manager.trigger('inner')}"

    manager.add(inner, name="inner")
    manager.add(outer, name="outer")
    with manager:
        run = manager.trigger("outer")
        clock.advance(seconds=6)
        assert run.result(0) == "outer of inner"
        assert manager.runs("inner")[0].parent_id == run.id


# What is kept.


@dataclasses.dataclass
class Large:
    data: bytes


def test_the_history_keeps_the_text_of_a_result_and_not_the_object(manager: TaskManager, clock: VirtualClock) -> None:
    made: list[weakref.ref[Large]] = []

    def body() -> Large:
        large = Large(b"x" * 10_000)
        made.append(weakref.ref(large))
        return large

    manager.add(body, every(10).seconds, name="sample")
    with manager:
        clock.advance(seconds=51)
        gc.collect()
        assert [ref() for ref in made] == [None] * 5
        (text,) = {run.result_text for run in manager.runs("sample")}
        assert text is not None
        assert text.startswith("Large(data=b'xxx")
        assert len(text) <= 4_000


def test_the_history_keeps_no_frame_of_a_failure(manager: TaskManager, clock: VirtualClock) -> None:
    kept: list[weakref.ref[Large]] = []

    def body() -> None:
        large = Large(b"x")
        kept.append(weakref.ref(large))
        try:
            raise ValueError("first")
        except ValueError as error:
            raise KeyError("second") from error

    sample = manager.add(body, every(10).seconds, name="sample")
    with manager:
        clock.advance(seconds=31)
        run = sample.trigger()
        assert [ref() for ref in kept] == [None] * 4
        with pytest.raises(KeyError):
            run.result()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (3, "3"),
        ({"pages": [1, 2], "ok": True}, '{"pages": [1, 2], "ok": true}'),
        (float("nan"), "nan"),
        ({1, 2}, "{1, 2}"),
        (list(range(100_000)), "[0, 1, 2"),
    ],
)
def test_results_are_kept_as_json_where_they_can_be(manager: TaskManager, value: object, text: str | None) -> None:
    with manager:
        run = manager.add(lambda: value, name="sample").trigger()
    assert run.result_text == text or (text is not None and (run.result_text or "").startswith(text))
    assert len(run.result_text or "") <= 4_000
    json.dumps(run.as_dict())


def test_a_run_tells_where_when_and_how_late_it_was() -> None:
    manager = TaskManager([])
    sample = manager.add(lambda: None, name="sample", threaded=True)
    with manager:
        run = sample.trigger()
        assert run.wait(LIMIT)
    assert (run.host, run.process, run.attempt) == (platform.node(), os.getpid(), 1)
    assert run.thread is not None
    assert run.thread.startswith("task-threads-")
    assert run.started_at is not None
    assert run.queued_at <= run.started_at
    assert run.lateness is None


# Progress.


def test_progress_is_seen_from_outside_and_told(manager: TaskManager, clock: VirtualClock) -> None:
    told: list[tuple[float | None, str]] = []

    def body() -> None:
        run = current_run()
        run.update_progress(10, "one")
        clock.sleep(5)
        run.update_progress(150, "x" * 1_000)
        run.update_progress(-3)

    def hear(sender: object, run: Run) -> None:
        told.append((run.progress, run.message[:5]))

    sample = manager.add(body, every(10).seconds, name="sample", threaded=True)
    with manager, run_progress.connected_to(hear):
        seen: list[Any] = []
        manager.add(lambda: seen.append(manager.tasks_detail[0]["progress"]), every(12).seconds, name="looks")
        clock.advance(seconds=20)
    assert told[:3] == [(10.0, "one"), (100.0, "xxxxx"), (0.0, "")]
    assert seen[0] == {"percent": 10.0, "message": "one"}
    assert sample.name == "sample"


@pytest.mark.parametrize("percent", ["half", None, float("nan")])
def test_what_is_no_percentage_is_refused_in_the_body(manager: TaskManager, percent: Any) -> None:
    sample = manager.add(lambda: current_run().update_progress(percent), name="sample")
    with manager:
        run = sample.trigger()
    assert run.state == "failed"
    with pytest.raises(ParameterError, match="progress is a number from 0 to 100"):
        run.result()


def test_progress_and_cancelling_may_be_awaited(manager: TaskManager, clock: VirtualClock) -> None:
    steps: list[int] = []

    async def body() -> None:
        run = current_run()
        for step in range(100):
            await run.update_progress(step)
            await run.check_cancelled()
            steps.append(step)
            if step == 3:
                run.cancel("by itself")

    sample = manager.add(body, name="sample")
    with manager:
        run = sample.trigger()
        clock.advance(seconds=1)
    assert (run.state, run.reason, steps) == ("cancelled", "by itself", [0, 1, 2, 3])


# The log.


def test_lines_are_kept_with_their_run_threads_and_coroutines_apart(caplog: pytest.LogCaptureFixture) -> None:
    manager, barrier = TaskManager([]), threading.Barrier(3)
    library = logging.getLogger("library")

    def on_thread(name: str) -> None:
        barrier.wait(LIMIT)
        for number in range(10):
            library.warning("%s %d", name, number)
            current_run().logger.info("mine %s", name)

    async def coroutine(name: str) -> None:
        for number in range(10):
            library.warning("%s %d", name, number)
            await asyncio.sleep(0)
            current_run().logger.info("mine %s", name)

    threaded = manager.add(on_thread, name="threaded", threaded=True, overlap="allow")
    awaited = manager.add(coroutine, name="awaited", overlap="allow")
    with manager:
        runs = [task.trigger(name=f"{task.name} {number}") for task in (threaded, awaited) for number in range(3)]
        assert all(run.wait(LIMIT) for run in runs)
    for run in runs:
        assert run.parameters is not None
        name = run.parameters["name"]
        assert [line.message for line in run.log] == [
            text for number in range(10) for text in (f"{name} {number}", f"mine {name}")
        ]
        assert run.log_dropped == 0


# Lineage.


def test_nested_calls_and_triggers_know_where_they_come_from(manager: TaskManager) -> None:
    def inner() -> str | None:
        return current_run().parent_id

    called = manager.add(inner, name="called")
    triggered = manager.add(inner, name="triggered", threaded=True)

    def outer() -> list[Any]:
        return [called(), triggered.trigger().result(LIMIT), current_run().id]

    with manager:
        first, second, own = manager.add(outer, name="outer").trigger().result(LIMIT)
    assert first == second == own


# By name.


def test_a_task_is_triggered_by_name_with_checked_parameters(manager: TaskManager) -> None:
    def greet(name: str, times: int = 1) -> str:
        return " ".join([f"Hello, {name}"] * times)

    manager.add(greet, name="greet")
    with manager:
        assert manager.trigger("greet", name="Ada", times="2").result(LIMIT) == "Hello, Ada Hello, Ada"
        with pytest.raises(ParameterError, match="'times'"):
            manager.trigger("greet", name="Ada", times="many")
        with pytest.raises(ParameterError, match="Did you mean 'name'"):
            manager.trigger("greet", nam="Ada")
        with pytest.raises(ParameterError, match="cannot run without its parameter 'name'"):
            manager.trigger("greet")
        with pytest.raises(UnknownTaskError, match="Did you mean 'greet'"):
            manager.trigger("gret", name="Ada")
        assert len(manager.runs("greet")) == 1
        schema = manager["greet"].parameters_schema
    assert schema["required"] == ["name"]
    assert schema["properties"]["times"]["default"] == 1


# Secrets.

CANARY = "c4n4ry-S3CRET"


def test_a_secret_is_nowhere_in_what_is_kept_or_logged(caplog: pytest.LogCaptureFixture) -> None:
    manager = TaskManager([])

    def body(password: str, options: dict[str, str]) -> str:
        assert password == options["password"] == CANARY
        run = current_run()
        assert run.parameters is not None
        assert run.parameters["password"] == CANARY  # the body itself has it
        run.update_progress(50, f"with {password}")
        run.logger.info("logged in at https://x:%s@example.org", password)
        logging.getLogger("library").warning("password=%s", password)
        if options.get("fail"):
            raise ValueError(f"refused {password}")
        return f"token {password}"

    sample = manager.add(body, name="sample", threaded=True, redact=["password"])
    caplog.set_level(logging.INFO, "task")
    with manager:
        run = sample.trigger(password=CANARY, options={"password": CANARY})
        assert run.result(LIMIT) == f"token {CANARY}"  # who triggered it gets what the body returned
        failed = sample.trigger(password=CANARY, options={"password": CANARY, "fail": "yes"})
        assert failed.wait(LIMIT)
        rows = manager.runs("sample")
        ours = [record.getMessage() for record in caplog.records if record.name in ("task", "task.run")]
        written = json.dumps(
            [
                [row.as_dict(), repr(row), str(row.parameters), row.traceback, [str(line) for line in row.log]]
                for row in rows
            ]
            + [manager.tasks_detail, ours],
            default=str,
        )
    assert CANARY not in written
    assert "refused ***" in written
    assert [line.message for line in run.log] == ["logged in at https://x:***@example.org", "password=***"]
    assert run.message == "with ***"
