"""What people are told of the options and the parameters of a task."""

from __future__ import annotations

import datetime
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from task import every
from task.models import TaskFunction
from task.overview import Option, options_of


def body() -> None: ...


async def coroutine() -> None: ...


def weekday(slot: object) -> bool:
    return True


def options(func: Any = body, schedule: Any = None, **declared: Any) -> dict[str, str]:
    return dict(options_of(TaskFunction.declare(func, schedule, name="sample", **declared).spec))


def test_what_is_as_usual_is_not_told():
    assert list(options_of(TaskFunction.declare(body).spec)) == [
        Option("Runs on", "the serial worker, one after another"),
        Option("At once", "one run; one that comes meanwhile is skipped"),
    ]


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"func": coroutine}, "the event loop"),
        ({"threaded": True}, "the pool of threads"),
        ({"pool": "io"}, "the pool 'io'"),
        ({"executor": "process"}, "the executor 'process'"),
        ({"executor": ThreadPoolExecutor(1)}, "a ThreadPoolExecutor"),
    ],
)
def test_where_its_bodies_run(declared, told):
    assert options(**declared)["Runs on"] == told


@pytest.mark.parametrize(
    ("declared", "name", "told"),
    [
        ({"retry": 1}, "Retries", "1 more attempt, after 1 s"),
        ({"max_concurrent": 3, "overlap": "allow"}, "At once", "3 runs; one that comes meanwhile runs beside them"),
        ({"overlap": "cancel_previous"}, "At once", "one run; one that comes meanwhile stops those before it"),
        ({"priority": 5}, "Priority", "5: of the runs that wait for a place, the highest goes first"),
        ({"only_if": weekday}, "Only if", "weekday, asked when a slot is due"),
        ({"on_lost": "rerun"}, "When lost", "it is run again"),
        ({"everywhere": True}, "Everywhere", "in each process that shares the store"),
        ({"misfire": "all"}, "Late slots", "late slots are all caught up"),
        ({"misfire_grace": 5}, "Grace", "a slot is late after 5.0 s"),
        ({"fixed_delay": True}, "Fixed delay", "the interval is counted from the end of a run"),
        ({"run_at_start": True}, "At the start", "it runs once when the manager starts"),
        ({"max_runs": 3}, "Ends", "after 3 scheduled runs"),
        ({"start": datetime.datetime(2026, 5, 4, tzinfo=datetime.UTC)}, "From", "Mon 4 May 2026 00:00 UTC"),
        ({"on_failed": weekday}, "on_failed", "weekday at tests/unit/test_overview_declared.py:22"),
    ],
)
def test_what_was_declared_is_told_in_words(declared, name, told):
    assert options(schedule=every(10).seconds, **declared)[name] == told


def test_a_strategy_of_another_library_is_not_put_into_words():
    tenacity = pytest.importorskip("tenacity")
    retrying = tenacity.Retrying(stop=tenacity.stop_after_attempt(3))
    assert options(retry=retrying)["Retries"] == "as its strategy says"
