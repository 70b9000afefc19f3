"""What type checkers make of the API: checked with ``mypy --strict``, never run.

Each wrong use carries its ``type: ignore``; with ``warn_unused_ignores`` one that is not needed is an error.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Coroutine
from typing import Any, assert_type
from zoneinfo import ZoneInfo

import schedule

from task import (
    Health,
    Job,
    MemoryStore,
    Run,
    RunPage,
    RunState,
    TaskFunction,
    TaskManager,
    cron,
    current_run,
    every,
    next_slot,
    once,
    task,
)
from task.helpers import disable_task, enable_task, run_all_tasks, stop_all_tasks, task_list
from task.testing import VirtualClock

NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)


# Bare: called as the original.


@task
def double(number: int, *, twice: bool = False) -> int:
    return number * (4 if twice else 2)


assert_type(double(21), int)
assert_type(double(21, twice=True), int)
assert_type(double.func(21), int)
double("21")  # type: ignore[arg-type]
double()  # type: ignore[call-arg]
double(21, thrice=True)  # type: ignore[call-arg]


# Configured: each kind of schedule, each option.


@task(every(30).seconds)
def sample() -> str:
    return "synced"


assert_type(sample(), str)
assert_type(sample, TaskFunction[[], str])


@task(schedule=[every().day.at("10:30", "Europe/Amsterdam"), cron("0 18 * * *", tz=ZoneInfo("UTC")), once(NOON)])
def several(region: str = "EU") -> None: ...


@task([every().hour, every().day])
def a_list_of_one_kind() -> None: ...


@task(schedule=schedule.every(5).minutes)  # `schedule` does not annotate `minutes`: only the keyword tells
def plain() -> int:
    return 1


assert_type(plain(), int)


@task()
def only_triggered() -> bool:
    return True


assert_type(only_triggered(), bool)


def told(run: Run) -> None: ...


@task(
    every(5).to(10).minutes,
    name="all options",
    on_success=lambda: print("done"),
    on_failed=told,
    on_complete=lambda run: print(run),
    disabled=True,
    threaded=True,
    parameters={"region": "EU"},
    tags=["reports"],
    misfire="skip",
    misfire_grace=5,
    fixed_delay=False,
    start=NOON,
    jitter=1.5,
    run_at_start=True,
    max_runs=3,
)
def options(region: str) -> list[str]:
    return [region]


assert_type(options("EU"), list[str])


task(every().hour, naem="x")  # type: ignore[call-overload]
task(every().hour, misfire="never")  # type: ignore[call-overload]
task(every().hour, max_runs="3")  # type: ignore[call-overload]
task("0 2 * * *")  # type: ignore[arg-type]
task([every().hour, 5])  # type: ignore[list-item]


# Asynchronous.


@task(every().hour)
async def fetch(url: str) -> bytes:
    return url.encode()


async def caller() -> None:
    assert_type(await fetch("https://example.org"), bytes)
    await fetch(5)  # type: ignore[arg-type]
    async with TaskManager([fetch]) as manager:
        assert_type(manager, TaskManager)
    async with manager.lifespan():
        pass


waited: Callable[[str], Coroutine[Any, Any, bytes]] = fetch


# Methods and static functions: their results are known, their parameters are not checked.


class Shop(TaskManager):
    @task(every().hour)
    def count(self, least: int = 0) -> int:
        return least

    @task
    @staticmethod
    def total(prices: list[int]) -> int:
        return sum(prices)


assert_type(Shop().total([1, 2]), int)
assert_type(Shop().count(3), int)
assert_type(Shop().count.trigger(least=1), Run)


# The manager.

manager = TaskManager([], clock=VirtualClock(NOON), store=MemoryStore(keep=10), max_workers=4)


@manager.task
def registered_bare(number: int) -> int:
    return number


@manager.task(every(5).minutes, threaded=True)
def registered(number: int = 1) -> int:
    return number


assert_type(registered_bare(1), int)
assert_type(registered(1), int)
registered("1")  # type: ignore[arg-type]
manager.task(every().hour, naem="x")  # type: ignore[call-overload]

manager.run()
manager.stop(timeout=2.5)
with manager as entered:
    assert_type(entered, TaskManager)
assert_type(manager["sample"].trigger(region="US"), Run)
assert_type(manager.runs("sample", state="failed", limit=5), RunPage)
assert_type(manager.health, Health)
assert_type(list(manager), list[str])
assert_type(manager.tasks_detail, list[dict[str, Any]])

# A task by itself.

assert_type(sample.name, str)
assert_type(sample.schedules, list[schedule.Job])
assert_type(sample.is_enable, bool)
assert_type(sample.is_running, bool)
sample.enable()
sample.disable(note="maintenance", until=NOON)
sample.disable(until="noon")  # type: ignore[arg-type]
run = sample.trigger()
assert_type(run.state, RunState)
assert_type(run.duration, float | None)
assert_type(current_run(), Run)

# Schedules.

assert_type(every(2), Job)
assert_type(next_slot(every(2).hours, NOON, anchor=NOON), datetime.datetime | None)
every("2")  # type: ignore[arg-type]
cron(5)  # type: ignore[arg-type]

# Helpers.

run_all_tasks()
stop_all_tasks(["jobs", manager])
enable_task(sample)
disable_task(fetch)
disable_task(caller)  # type: ignore[arg-type]
for found in task_list():
    assert_type(found.name, str)
