"""How the doctor's findings are shown: by the command, on the page, by the API."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator

import click
import flask
import pytest
from click.testing import CliRunner, Result
from flask_apps import Client, application
from pages_client import Pages, words
from virtual_processes import VirtualProcesses

from task import TaskManager, every
from task.cli import make_group
from task.cli.examining import lines_of
from task.doctor import Diagnosis
from task.stores import MemoryStore
from task.testing import VirtualClock

HERE = f"{os.getpid()}@{platform.node()}"


def doctor(manager: TaskManager, *words: str) -> Result:
    return CliRunner().invoke(make_group(lambda _: manager, name="tasks"), ["doctor", *words])


@pytest.fixture
def manager(clock: VirtualClock) -> TaskManager:
    """One that keeps its record in memory, in an application too."""
    return TaskManager([], clock=clock, store=MemoryStore())


@pytest.fixture
def dead(manager: TaskManager, clock: VirtualClock) -> Iterator[TaskManager]:
    """A manager whose loop has ended."""
    with manager:
        clock._handles.clear()
        yield manager


@pytest.fixture
def failing(manager: TaskManager) -> TaskManager:
    """A manager with a task that fails."""

    def fail() -> None:
        raise ConnectionError("the other side is down")

    manager.add(fail, every(10).minutes, name="fetch")
    return manager


def test_the_command_tells_that_all_is_well_in_one_line(manager: TaskManager, clock: VirtualClock) -> None:
    with manager:
        clock.advance(seconds=10)
        ended = doctor(manager)

    assert ended.exit_code == 0
    assert ended.stdout == (
        "● 11 checks are well: code, events, fork, lateness, loop, reloader, store, tasks, threads, workers, zones.\n"
    )


def test_a_warning_is_told_with_its_cure_and_ends_well(failing: TaskManager, clock: VirtualClock) -> None:
    with failing:
        clock.advance(minutes=11)
        ended = doctor(failing)

    assert ended.exit_code == 0
    assert ended.stdout.splitlines()[:3] == [
        "▲ warning  failing",
        "    Task 'fetch': its last run failed: ConnectionError: the other side is down",
        "    → Read the traceback and the log of its run; run it again when the cause is gone.",
    ]


def test_a_problem_is_told_of_its_process_and_ends_with_1(dead: TaskManager) -> None:
    ended = doctor(dead)

    assert ended.exit_code == 1
    assert ended.stdout.splitlines()[:3] == [
        f"✖ problem  loop  (process {HERE})",
        "    The loop's thread is dead.",
        "    → Restart the process: what ended the thread is in its log.",
    ]


def test_of_a_record_in_memory_a_shell_cannot_see_who_runs(manager: TaskManager) -> None:
    ended = doctor(manager)

    assert ended.exit_code == 0
    assert ended.stdout.splitlines()[:2] == [
        "? not known  processes",
        "    The record is in the memory of each process: those that run cannot be seen from here.",
    ]


def test_all_tells_what_is_well_too_and_process_only_what_concerns_one(
    failing: TaskManager, clock: VirtualClock
) -> None:
    with failing:
        clock.advance(minutes=11)
        everything = doctor(failing, "--all").stdout
        of_this = doctor(failing, "--process", str(os.getpid()), "--all").stdout
        of_none = doctor(failing, "--process", "1")

    assert "● well  store\n    The record is in the memory of this process, and ends with it.\n" in everything
    assert f"● well  loop  (process {HERE})\n" in everything
    assert "failing" in everything
    assert "failing" not in of_this
    assert "● well  loop" in of_this
    assert (of_none.exit_code, of_none.stdout) == (0, "")
    assert of_none.stderr == "Nothing is known of it: no such process tells of itself.\n"


def test_as_json_it_is_for_programs(dead: TaskManager) -> None:
    ended = doctor(dead, "--json")
    told = json.loads(ended.stdout)

    assert ended.exit_code == 1
    assert told["well"] is False
    assert told["diagnoses"][0] == {
        "check": "loop",
        "state": "problem",
        "found": "The loop's thread is dead.",
        "cure": "Restart the process: what ended the thread is in its log.",
        "process": HERE,
        "details": [],
    }


def test_where_colours_are_wanted_states_have_them_and_lines_fit(dead: TaskManager) -> None:
    ended = CliRunner().invoke(make_group(lambda _: dead, name="tasks"), ["doctor"], color=True)
    long = Diagnosis("store", "warning", "What was found is long. " * 8, "So is the cure. " * 8, None, ("jobs.py:1 f",))

    lines = [click.unstyle(line) for line in lines_of(long, 50)]

    assert click.style("✖ problem", fg="red", bold=True) in ended.stdout
    assert max(map(len, lines)) <= 50
    assert lines[0] == "▲ warning  store"
    assert lines[-1] == "      jobs.py:1 f"


def test_what_others_tell_cannot_steer_the_terminal(processes: VirtualProcesses, clock: VirtualClock) -> None:
    worker, shell = processes.make(), processes.make()
    worker.run()
    clock.advance(seconds=20)
    told = json.dumps({"state": "running", "pid": 1, "causes": ["\x1b[2Jgone\u202e"]})
    with worker.store.database.write() as connection:
        connection.exec_driver_sql("UPDATE task_processes SET vitals = ?, host = ?", (told, "\x1b]0;evil\x07"))

    shown = doctor(shell.manager).stdout

    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert r"\x1b[2Jgone\u202e" in shown
    assert r"\x1b]0;evil\x07" in shown


def test_the_page_shows_the_worst_first_with_its_cure(failing: TaskManager, clock: VirtualClock) -> None:
    pages = Pages(failing, "view")
    with failing:
        clock.advance(minutes=11)
        read = words(pages.get("/doctor"))

    assert "1 finding warning Task 'fetch': its last run failed: ConnectionError: the other side is down" in read
    assert "Read the traceback and the log of its run; run it again when the cause is gone. failing" in read
    assert "10 checks are well" in read
    assert f"loop · process {HERE}" in read


def test_every_page_leads_to_the_doctor(manager: TaskManager) -> None:
    assert '<a id="health" class="pill unhealthy" href="/tasks/doctor"' in Pages(manager).get("/journal")


def test_the_api_tells_what_goes_wrong(failing: TaskManager, clock: VirtualClock) -> None:
    app: flask.Flask = application(failing)
    with failing:
        clock.advance(minutes=11)
        told = Client(app).get("/doctor")

    assert told["well"] is True
    assert told["items"][0]["check"] == "failing"
    assert told["items"][0]["cure"] == "Read the traceback and the log of its run; run it again when the cause is gone."
    assert {one["state"] for one in told["items"]} == {"warning", "well"}
