"""What bodies and callbacks run inside of: `manager.embedding.surround`."""

from __future__ import annotations

import contextlib
import contextvars
import datetime
from collections.abc import Iterator

import pytest

from task import TaskManager, every
from task.errors import DeclarationTypeError
from task.testing import VirtualClock

inside: contextvars.ContextVar[str | None] = contextvars.ContextVar("inside", default=None)


class Surroundings:
    """A context manager, made anew each time, that tells what has happened."""

    def __init__(self, name: str = "app") -> None:
        self.name = name
        self.told: list[str] = []
        self.failing = False

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        token = inside.set(self.name)
        self.told.append("entered")
        try:
            yield
        finally:
            inside.reset(token)
            self.told.append("left")
        if self.failing:
            raise OSError("the teardown failed")


def test_each_attempt_of_a_body_is_surrounded(manager: TaskManager, clock: VirtualClock) -> None:
    around, seen = Surroundings(), []
    manager.embedding.surround(around)

    @manager.task(every(10).seconds, retry=1)
    def sample() -> None:
        seen.append(inside.get())
        raise ValueError("no")

    with manager:
        clock.advance(seconds=12)
    assert seen == ["app", "app"]
    assert around.told == ["entered", "left", "entered", "left"]


def test_an_async_body_is_surrounded_in_its_own_coroutine(manager: TaskManager, clock: VirtualClock) -> None:
    around, seen = Surroundings(), []
    manager.embedding.surround(around)

    @manager.task(every(10).seconds)
    async def sample() -> None:
        seen.append(inside.get())

    with manager:
        clock.advance(seconds=10)
    assert (seen, around.told) == (["app"], ["entered", "left"])


def test_a_direct_call_is_surrounded(manager: TaskManager) -> None:
    manager.embedding.surround(Surroundings())
    sample = manager.add(lambda: inside.get(), name="sample")
    assert sample() == "app"


async def _inside() -> str | None:
    return inside.get()


def test_a_direct_call_of_an_async_task_is_surrounded(manager: TaskManager) -> None:
    import asyncio

    manager.embedding.surround(Surroundings())
    sample = manager.add(_inside, name="sample")
    assert asyncio.run(sample()) == "app"


def test_callbacks_are_surrounded_each_by_one_of_its_own(manager: TaskManager, clock: VirtualClock) -> None:
    around, seen = Surroundings(), []
    manager.embedding.surround(around)

    @manager.task(every(10).seconds, on_success=lambda: seen.append(inside.get()))
    def sample() -> None: ...

    async def tell() -> None:
        seen.append(inside.get())

    @manager.task(every(10).seconds, on_complete=tell)
    async def other() -> None: ...

    with manager:
        clock.advance(seconds=10)
    assert seen == ["app", "app"]
    assert around.told == ["entered", "left"] * 4


def test_an_error_of_what_surrounds_a_body_fails_that_attempt_alone(manager: TaskManager, clock: VirtualClock) -> None:
    around = Surroundings()
    around.failing = True
    manager.embedding.surround(around)
    manager.add(lambda: None, every(10).seconds, name="sample")
    with manager:
        clock.advance(seconds=20)
    assert [(run.state, run.error) for run in manager.runs("sample")] == [
        ("failed", "OSError: the teardown failed"),
        ("failed", "OSError: the teardown failed"),
    ]


def test_the_conditions_of_a_slot_are_surrounded(manager: TaskManager, clock: VirtualClock) -> None:
    around, seen = Surroundings(), []
    manager.embedding.surround(around)

    def wanted(slot: datetime.datetime) -> bool:
        seen.append(inside.get())
        return False

    manager.add(lambda: None, every(10).seconds, name="sample", only_if=wanted)
    with manager:
        clock.advance(seconds=10)
    assert (seen, around.told) == (["app"], ["entered", "left"])


def test_conditions_that_cannot_be_asked_give_no_permission(manager: TaskManager, clock: VirtualClock) -> None:
    around = Surroundings()
    around.failing = True
    manager.embedding.surround(around)
    manager.add(lambda: None, every(10).seconds, name="sample", only_if=lambda slot: True)
    with manager:
        clock.advance(seconds=10)
    (skipped,) = manager.runs("sample")
    assert (skipped.state, skipped.reason) == ("skipped", "only_if cannot be asked: OSError: 'the teardown failed'")


def test_what_is_given_later_goes_around_what_was_given_before(manager: TaskManager) -> None:
    manager.embedding.surround(Surroundings("session"))
    manager.embedding.surround(Surroundings("app"))
    assert manager.add(lambda: inside.get(), name="sample")() == "session"


def test_what_cannot_be_called_surrounds_nothing(manager: TaskManager) -> None:
    with pytest.raises(DeclarationTypeError, match="is given what makes a context manager"):
        manager.embedding.surround(contextlib.nullcontext())  # type: ignore[arg-type]
