"""What is named in ``redact=`` is in nothing that is said of a run, whichever way it came to the body."""

from __future__ import annotations

from typing import Any

import pytest

from task import ParameterError, Run, TaskManager, every
from task.testing import VirtualClock

#: Not written as one word: the lines of this file are in tracebacks.
SECRET = "-".join(["hunter", "22"])


def said_of(run: Run, *others: Any) -> str:
    return repr([run.as_dict(), run, run.traceback, run.log, run.parameters, *others])


def test_a_secret_that_a_call_passes_by_position_is_masked(
    manager: TaskManager, caplog: pytest.LogCaptureFixture
) -> None:
    def body(user: str, password: str) -> None:
        raise ValueError(f"{user} {password}")

    sample = manager.add(body, name="sample", redact=["password"])
    with pytest.raises(ValueError, match=f"ada {SECRET}"):
        sample("ada", SECRET)
    assert manager.runs()[0].error == "ValueError: ada ***"
    assert SECRET not in said_of(manager.runs()[0], caplog.text)


@pytest.mark.parametrize("way", ["call", "trigger"])
def test_a_secret_that_is_a_default_is_masked(manager: TaskManager, way: str, caplog: pytest.LogCaptureFixture) -> None:
    def body(password: str = SECRET) -> str:
        return f"{password}?"

    sample = manager.add(body, name="sample", redact=["password"])
    with manager:
        _ = sample() if way == "call" else sample.trigger()
        (run,) = manager.runs()
    assert run.result_text == '"***?"'
    assert SECRET not in said_of(run, caplog.text)


def test_a_secret_in_what_a_callback_raises_is_masked(manager: TaskManager, caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> None:
        raise RuntimeError(SECRET)

    sample = manager.add(lambda password: None, name="sample", redact=["password"], on_complete=fails)
    sample(password=SECRET)
    assert "raised RuntimeError: ***; nothing else is affected" in caplog.text
    assert SECRET not in caplog.text


def test_a_secret_in_the_reason_of_a_cancellation_is_masked(manager: TaskManager, clock: VirtualClock) -> None:
    async def body(password: str) -> None:
        import asyncio

        await asyncio.sleep(60)

    sample = manager.add(body, name="sample", redact=["password"])
    with manager:
        run = sample.trigger(password=SECRET)
        run.cancel(f"{SECRET} is outdated")
        clock.advance(seconds=1)
    assert (run.state, run.reason) == ("cancelled", "*** is outdated")


def test_a_secret_that_does_not_fit_is_not_shown(manager: TaskManager) -> None:
    def body(password: int) -> None: ...

    with pytest.raises(ParameterError) as declared:
        manager.add(body, name="declared", redact=["password"], parameters={"password": SECRET})
    sample = manager.add(body, name="sample", redact=["password"])
    with manager, pytest.raises(ParameterError) as passed:
        sample.trigger(password=SECRET)
    for caught in (declared, passed):
        assert "'password' takes int, and what was given (str) does not fit" in str(caught.value)
        assert SECRET not in repr([caught.value, caught.value.__cause__])


def test_a_declared_secret_is_not_in_the_text_of_the_declaration(manager: TaskManager) -> None:
    sample = manager.add(lambda password: None, name="sample", redact=["password"], parameters={"password": SECRET})
    assert SECRET not in repr([sample, sample.spec, manager.tasks_detail])


def test_declared_parameters_are_read_once_and_not_for_each_slot(manager: TaskManager, clock: VirtualClock) -> None:
    reads: list[int] = []

    class Options(dict[str, str]):
        def items(self) -> Any:
            reads.append(1)
            return super().items()

    def body(options: Options) -> None:
        raise ValueError(options["password"])

    declared = {"options": Options(password="c4n4ry-S3CRET")}
    manager.add(body, every(10).seconds, name="sample", parameters=declared, redact=["password"])
    with manager:
        before = len(reads)
        clock.advance(seconds=31)
        assert len(reads) == before > 0
        assert [run.error for run in manager.runs("sample")] == ["ValueError: ***"] * 3
