"""`@task`: what it makes is still a function."""

from __future__ import annotations

import asyncio
import copy
import datetime
import functools
import inspect
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

from task import DeclarationError, DeclarationTypeError, ManagerStateError, TaskFunction, TaskManager, every, task
from task.testing import VirtualClock


@task
def module_level(number: int = 1) -> int:
    """Adds one."""
    return number + 1


def test_a_bare_task_calls_like_the_function() -> None:
    assert module_level(41) == 42


def test_a_task_keeps_name_docstring_module_and_signature() -> None:
    assert (module_level.__name__, module_level.__doc__, module_level.__module__) == (
        "module_level",
        "Adds one.",
        __name__,
    )
    assert str(inspect.signature(module_level)) == "(number: 'int' = 1) -> 'int'"
    assert module_level.func(1) == 2


def test_a_task_pickles_and_copies_by_name_as_a_function_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, __name__, __import__("types").SimpleNamespace(**globals()))
    assert pickle.loads(pickle.dumps(module_level)) is module_level
    assert copy.deepcopy(module_level) is module_level


def test_the_name_is_the_functions_unless_given() -> None:
    @task(name="other")
    def sample() -> None: ...

    assert sample.name == "other"


def test_schedules_are_the_declared_jobs_as_long_as_there_is_no_owner() -> None:
    job = every(30).seconds

    @task(job)
    def sample() -> None: ...

    assert sample.schedules == [job]


def test_a_call_returns_the_value_and_raises_the_exception() -> None:
    @task
    def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fails()


def test_a_disabled_task_returns_none_and_does_not_run() -> None:
    ran: list[int] = []

    @task(disabled=True)
    def sample() -> int:
        ran.append(1)
        return 1

    assert sample() is None
    assert not sample.is_enable
    sample.enable()
    assert sample.is_enable
    assert sample() == 1
    sample.disable()
    assert sample() is None
    assert ran == [1]


def test_disable_with_an_end_is_on_again_after_it(manager: TaskManager, clock: VirtualClock) -> None:
    sample = manager.add(lambda: None, every(1).hours, name="sample")
    sample.disable(note="maintenance", until=clock.now() + datetime.timedelta(minutes=90))
    with manager:
        clock.advance(hours=2)
    assert [str(run.state) for run in manager.runs("sample")] == ["succeeded", "skipped"]


def test_disable_refuses_a_naive_end() -> None:
    with pytest.raises(DeclarationError, match="aware"):
        module_level.disable(until=datetime.datetime(2030, 1, 1))


def test_a_second_call_while_one_runs_returns_none(wait_for: Callable[[Callable[[], bool]], None]) -> None:
    entered, leave = threading.Event(), threading.Event()

    @task
    def blocks() -> str:
        entered.set()
        leave.wait(60)
        return "done"

    results: list[str | None] = []
    thread = threading.Thread(target=lambda: results.append(blocks()))
    thread.start()
    assert entered.wait(60)
    assert blocks.is_running
    assert blocks() is None
    leave.set()
    thread.join(60)
    assert results == ["done"]
    assert not blocks.is_running


def test_sixteen_threads_that_call_at_once_run_the_body_one_at_a_time() -> None:
    inside, most, ran = [0], [0], [0]
    barrier = threading.Barrier(16)

    @task
    def guarded() -> bool:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        ran[0] += 1
        inside[0] -= 1
        return True

    def caller() -> None:
        barrier.wait(60)
        for _ in range(200):
            guarded()

    threads = [threading.Thread(target=caller) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert most == [1]
    assert ran[0] >= 1


def test_recursion_is_a_plain_call() -> None:
    @task
    def countdown(number: int) -> int:
        return 0 if number == 0 else 1 + (countdown(number - 1) or 0)

    assert countdown(5) == 5


def test_a_task_may_call_another_and_that_the_first_again() -> None:
    @task
    def even(number: int) -> bool:
        return True if number == 0 else odd(number - 1)

    @task
    def odd(number: int) -> bool:
        return False if number == 0 else even(number - 1)

    assert even(6) is True


def test_an_async_task_returns_an_awaitable_and_is_seen_as_one() -> None:
    @task
    async def sample() -> int:
        await asyncio.sleep(0)
        return 7

    assert asyncio.iscoroutinefunction(sample)
    assert asyncio.run(sample()) == 7  # type: ignore[arg-type]  # a coroutine, as the original's


def test_the_guard_of_an_async_task_acts_when_it_is_awaited() -> None:
    @task
    async def sample() -> int:
        await asyncio.sleep(0)
        return 7

    async def both() -> list[int | None]:
        return await asyncio.gather(sample(), sample())

    assert asyncio.run(both()) == [7, None]


def test_a_method_is_a_task_of_its_instance() -> None:
    class Box:
        def __init__(self, value: int) -> None:
            self.value = value

        @task
        def read(self) -> int:
            return self.value

    one, two = Box(1), Box(2)
    assert (one.read(), two.read()) == (1, 2)
    assert one.read is one.read
    one.read.disable()
    assert (one.read(), two.read()) == (None, 2)


@pytest.mark.parametrize("outer", [True, False])
def test_a_static_function_is_a_task_either_way_round(outer: bool) -> None:
    def plain(number: int) -> int:
        return number * 2

    made: Any = staticmethod(task(plain)) if outer else task(staticmethod(plain))  # type: ignore[arg-type]  # decorators in both orders
    holder: Any = type("Holder", (), {"double": made})
    assert holder.double(4) == 8
    assert holder().double(4) == 8


def test_trigger_without_a_manager_says_what_to_do() -> None:
    with pytest.raises(ManagerStateError, match="run\\(\\)"):
        module_level.trigger()


def test_trigger_refuses_a_parameter_that_the_body_does_not_take() -> None:
    with pytest.raises(DeclarationError, match="Did you mean 'number'"):
        module_level.trigger(nmber=3)


def test_a_partial_and_a_callable_object_can_be_tasks() -> None:
    class Adder:
        def __call__(self) -> int:
            return 5

    assert task(name="adder")(Adder())() == 5
    assert task(name="part")(functools.partial(int, "7"))() == 7


@pytest.mark.parametrize(
    ("func", "message"),
    [
        (classmethod(lambda cls: None), "classmethod"),
        (42, "not of 42"),
        (module_level, "already"),
        (dict, "class"),
    ],
)
def test_what_cannot_be_a_task_is_refused(func: Any, message: str) -> None:
    with pytest.raises(DeclarationTypeError, match=message):
        TaskFunction.declare(func)
