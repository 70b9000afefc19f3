"""Where it is seen why runs were late: on the pages, in the API, among the problems, on the command line."""

from __future__ import annotations

import datetime
import json

import pytest
from click.testing import CliRunner
from pages_client import Pages, words

from task import TaskManager, every, once
from task.cli.tree import make_group
from task.overview import Overview, Problem, cure_of
from task.runs import Cause
from task.stores import MemoryStore
from task.testing import VirtualClock

UTC = datetime.UTC


@pytest.fixture
def late(clock: VirtualClock) -> TaskManager:
    """Of a day's first ten minutes: ``sample`` is due with ``report``, which has the serial worker for 12 seconds."""
    manager = TaskManager([], clock=clock, store=MemoryStore())
    manager.add(lambda: clock.sleep(12), every(60).seconds, name="report")
    manager.add(lambda: None, every(60).seconds, name="sample")
    with manager:
        clock.advance(minutes=10, seconds=30)
    return manager


def test_the_page_of_a_run_says_why_it_was_late(late: TaskManager) -> None:
    run = late.runs("sample")[0]

    page = words(Pages(late).get(f"/run/{run.id}"))

    assert "Started 12.0 s late: 12.0 s serial worker busy with 'report'." in page


def test_the_page_of_a_run_that_was_on_time_says_nothing_of_that(late: TaskManager) -> None:
    run = late.runs("report")[0]

    page = words(Pages(late).get(f"/run/{run.id}"))

    assert "Lateness 0 ms" in page
    assert "late:" not in page


def test_the_page_of_a_task_sums_up_why_its_runs_were_late(late: TaskManager) -> None:
    page = words(Pages(late).get("/task", name="sample"))

    assert (
        "Why its runs were late Of its last 10 runs, those that started more than a tenth of a second after their "
        "slot. Cause Together Part serial worker busy with 'report' Declare 'report' with threaded=True, or give it a "
        "pool of its own: on the serial worker each waits for the other. 2 min 100 %"
    ) in page


def test_the_page_of_a_punctual_task_has_no_such_table(late: TaskManager) -> None:
    assert "Why its runs were late" not in Pages(late).get("/task", name="report")


def test_a_cause_cannot_write_into_a_page(clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock, store=MemoryStore())
    manager.add(lambda: clock.sleep(12), every(60).seconds, name="<b>report</b>")
    manager.add(lambda: None, every(60).seconds, name="sample")
    with manager:
        clock.advance(seconds=80)

    pages = Pages(manager)

    for page in (pages.get("/task", name="sample"), pages.get(f"/run/{manager.runs('sample')[0].id}")):
        assert "busy with &#39;&lt;b&gt;report&lt;/b&gt;&#39;" in page
        assert "<b>report" not in page


def test_the_api_tells_it_of_a_run_and_of_a_task(late: TaskManager) -> None:
    pages = Pages(late)
    run = late.runs("sample")[0]

    of_run, of_task = pages.get(f"/api/v1/runs/{run.id}"), pages.get("/api/v1/tasks/sample")

    assert json.loads(of_run)["delays"] == {"serial worker busy with 'report'": 12.0}
    assert json.loads(of_task)["statistics"]["delays"] == {"serial worker busy with 'report'": 120.0}


def test_a_task_that_is_often_late_is_a_problem_with_its_cure(late: TaskManager) -> None:
    assert Overview(late).task("sample").problems == (
        Problem(
            "late",
            "sample",
            "Its runs start late, one in twenty by 12.0 s or more: of its last 10 runs 2 min serial worker busy with "
            "'report'.",
            "Declare 'report' with threaded=True, or give it a pool of its own: on the serial worker each waits for "
            "the other.",
            None,
        ),
    )
    assert Overview(late).task("report").problems == ()


def test_one_that_is_late_once_is_none(clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock, store=MemoryStore())
    manager.add(lambda: clock.sleep(12), once(clock.now() + datetime.timedelta(minutes=5)), name="report")
    manager.add(lambda: None, every(60).seconds, name="sample")

    with manager:
        clock.advance(minutes=30)

    assert max(run.lateness or 0.0 for run in manager.runs("sample")) == 12.0
    assert Overview(manager).task("sample").problems == ()


def test_one_that_is_late_for_the_machine_or_because_it_was_asked_for_is_none(clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock, store=MemoryStore())
    manager.add(lambda: None, every(60).seconds, name="sample", jitter=50)

    with manager:
        clock.advance(minutes=30)

    assert (manager.statistics("sample").p95_lateness or 0.0) > 10
    assert Overview(manager).task("sample").problems == ()


def test_one_with_a_short_grace_is_late_sooner(clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock, store=MemoryStore())
    manager.add(lambda: clock.sleep(2), every(60).seconds, name="report")
    manager.add(lambda: None, every(60).seconds, name="patient")
    manager.add(lambda: None, every(60).seconds, name="hasty", misfire_grace=3)

    with manager:
        clock.advance(minutes=10)

    overview = Overview(manager)
    assert [problem.kind for problem in overview.task("hasty").problems] == ["late"]
    assert overview.task("patient").problems == ()


@pytest.mark.parametrize(
    "cause",
    [
        "serial worker busy",
        "serial worker busy with 'a'",
        "threads full (busy with 'a', 'b')",
        "pool 'io' full",
        "event loop blocked by 'x'",
        "event loop busy",
        "'a' has the mutex 'm'",
        Cause.RUN_BEFORE,
        Cause.ONLY_IF,
        Cause.LEDGER,
        Cause.LOOP,
        Cause.PROCESSOR,
        Cause.NO_PROCESS,
    ],
)
def test_what_somebody_can_mend_has_a_cure(cause: str) -> None:
    assert (cure_of(cause) or "").endswith(".")


@pytest.mark.parametrize("cause", [Cause.ASLEEP, Cause.STEP, Cause.ASLEEP_OR_STEP, Cause.JITTER, Cause.NOT_RUNNING])
def test_what_nobody_can_mend_at_the_task_has_none(cause: str) -> None:
    assert cure_of(cause) is None


def test_show_tells_it_on_the_command_line(late: TaskManager) -> None:
    result = CliRunner().invoke(make_group(lambda _: late, name="tasks"), ["show", "sample"])

    assert "2 min serial worker busy with 'report' (of 10 runs)" in " ".join(result.output.split())
