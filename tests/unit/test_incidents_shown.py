"""Open incidents where people look: the problems of pages and API, the doctor, ``show``."""

from __future__ import annotations

import datetime
import json

import pytest
from click.testing import CliRunner
from pages_client import Pages, words

from task import MemoryStore, TaskManager, every
from task.cli import make_group
from task.doctor import diagnose
from task.overview import Overview
from task.stores import Incident
from task.testing import VirtualClock

NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)


class CountingStore(MemoryStore):
    """A store that counts how often it is asked for incidents."""

    asked = 0

    def incidents(self, task: str | None = None, limit: int | None = 100) -> list[Incident]:
        self.asked += 1
        return super().incidents(task, limit)


@pytest.fixture
def failing(clock: VirtualClock) -> TaskManager:
    """A manager of whose incidents somebody hears, with a task whose first three runs fail."""
    manager = TaskManager([], clock=clock, store=CountingStore(), notify=lambda text: None)

    def fetch() -> None:
        if clock.now() < NOON + datetime.timedelta(minutes=35):
            raise ConnectionError("the other side is down")

    manager.add(fetch, every(10).minutes, name="fetch", alert_after=1)
    return manager


def test_a_problem_that_is_an_incident_says_since_when_and_no_more_when_it_is_over(
    failing: TaskManager, clock: VirtualClock
) -> None:
    overview = Overview(failing)
    with failing:
        clock.advance(minutes=31)
        (problem,) = overview.problems()
        assert (problem.kind, problem.since) == ("failing", NOON + datetime.timedelta(minutes=10))
        assert overview.task("fetch").problems == (problem,)
        clock.advance(minutes=10)

        assert overview.problems() == ()


def test_an_incident_that_shows_in_no_other_way_is_a_problem_of_its_own(
    failing: TaskManager, clock: VirtualClock
) -> None:
    with failing:
        clock.advance(minutes=41)
        failing.store.open_incidents([Incident("fetch", "overdue", NOON, "no run has succeeded for 2 h")])
        (problem,) = Overview(failing).problems()

    assert problem == (
        "overdue",
        "fetch",
        "No run has succeeded for 2 h",
        "Look at its last runs, and at what the doctor says of the processes; it is over when a run of it succeeds.",
        None,
        NOON,
    )


def test_the_incidents_of_all_tasks_are_one_question_a_second_at_most(clock: VirtualClock) -> None:
    store = CountingStore()
    manager = TaskManager([], clock=clock, store=store)
    for number in range(30):
        manager.add(lambda: None, every(10).minutes, name=f"task{number}")
    overview = Overview(manager)

    overview.board()
    overview.problems()
    overview.task("task3")

    assert store.asked == 1


def test_the_page_and_the_api_tell_since_when(failing: TaskManager, clock: VirtualClock) -> None:
    with failing:
        clock.advance(minutes=31)
        pages = Pages(failing)

        assert "Since Mon 4 May 2026 12:10:00 UTC. Read the traceback" in words(pages.get("/"))
        assert json.loads(pages.get("/api/v1/problems"))["items"][0]["since"] == "2026-05-04T12:10:00Z"


def test_the_doctor_tells_of_all_that_are_open_in_one_finding(failing: TaskManager, clock: VirtualClock) -> None:
    with failing:
        assert [one for one in diagnose(failing) if one.check == "incidents"] == []
        clock.advance(minutes=31)
        (alone,) = [one.found for one in diagnose(failing) if one.check == "incidents"]
        assert alone.startswith("1 incident is open: 'fetch' is failing since 2026-05-04 ")
        failing.store.open_incidents([Incident(f"other{number}", "lost", NOON, "") for number in range(21)])
        (found,) = [one for one in diagnose(failing) if one.check == "incidents"]

    assert found.state == "warning"
    assert found.found.startswith("22 incidents are open, the newest: 'fetch' is failing since 2026-05-04 ")
    assert found.details[1].startswith("'other20' is lost since 2026-05-04 ")
    assert (len(found.details), found.details[-1]) == (21, "and 2 more")


def test_show_has_a_line_for_each_that_is_open(failing: TaskManager, clock: VirtualClock) -> None:
    group = make_group(lambda _: failing, name="tasks")
    with failing:
        clock.advance(minutes=31)
        shown = CliRunner().invoke(group, ["show", "fetch"]).stdout
        told = json.loads(CliRunner().invoke(group, ["show", "fetch", "--json"]).stdout)

    (line,) = [line for line in shown.splitlines() if line.startswith("  Incident")]
    assert line.startswith("  Incident     failing since ")
    assert line.endswith(" (21 min ago)")
    assert [(one["kind"], one["since"]) for one in told["incidents"]] == [("failing", "2026-05-04T12:10:00+00:00")]
