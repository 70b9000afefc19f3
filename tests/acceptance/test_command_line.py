"""``flask tasks`` beside a process that runs the application's tasks: each as a process of its own."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

#: How long anything may take on a busy machine. Seconds.
LIMIT = 120.0

PROGRAM = """
import logging
import sys
import time

from flask import Flask, current_app
from task import TaskManager, current_run
from task.flask import FlaskTasks, allow_local

manager = TaskManager([])

@manager.task(threaded=True)
def report(region, pages=1):
    for page in range(1, pages + 1):
        current_run().update_progress(100 * page / pages, f"page {page} of {region}")
    logging.getLogger("shop").warning("written")
    return f"{region} in {current_app.name}"

@manager.task(threaded=True)
def fail():
    raise ConnectionError("the other side is down")

@manager.task(threaded=True)
def linger():
    while True:
        current_run().check_cancelled()
        time.sleep(0.01)

def create_app():
    app = Flask("shop", instance_path=FOLDER)
    FlaskTasks(manager, auth=allow_local).init_app(app)
    return app

if __name__ == "__main__":
    create_app()
    with manager:
        print("running", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "shop.py").write_text(PROGRAM.replace("FOLDER", repr(str(tmp_path / "instance"))))
    return tmp_path


@pytest.fixture
def serving(folder: pathlib.Path) -> Iterator[None]:
    """A process that runs the tasks."""
    with subprocess.Popen(
        [sys.executable, "shop.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "running\n"
            yield
            process.stdin.close()
            assert process.wait(LIMIT) == 0
        finally:
            process.kill()


def flask_tasks(folder: pathlib.Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flask", "--app", "shop:create_app", "tasks", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )


@pytest.mark.usefixtures("serving")
def test_a_run_is_left_to_the_process_that_serves_and_ends_the_command_as_it_ends(folder: pathlib.Path) -> None:
    succeeded = flask_tasks(folder, "run", "report", "region=EU", "pages=4")
    failed = flask_tasks(folder, "run", "fail")
    runs = flask_tasks(folder, "runs")

    assert (succeeded.returncode, failed.returncode, runs.returncode) == (0, 1, 0)
    lines = succeeded.stdout.splitlines()
    assert any(line.endswith(" WARNING shop: written") for line in lines)
    assert "100 % page 4 of EU" in lines
    assert lines[-1].startswith("report succeeded after ")
    assert lines[-1].endswith(': "EU in shop"')
    assert failed.stdout.splitlines()[-1].endswith(": ConnectionError: the other side is down")
    assert [line.split()[1:3] for line in runs.stdout.splitlines()[1:]] == [["fail", "failed"], ["report", "succeeded"]]


@pytest.mark.usefixtures("serving")
def test_what_an_application_runs_is_seen_and_ended_by_its_store_alone(folder: pathlib.Path) -> None:
    [file] = (folder / "instance").glob("*.db")
    (folder / "apart").mkdir()

    def by_store(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "task", "--store", f"sqlite:///{file}", *words],
            cwd=folder / "apart",
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )

    asked = flask_tasks(folder, "trigger", "linger", "--no-wait", "--json")
    run = json.loads(asked.stdout)["id"]
    cancelled = by_store("cancel", run, "--reason", "enough")
    followed = by_store("log", run, "--follow")
    listed = by_store("list")

    assert (cancelled.returncode, followed.returncode, listed.returncode) == (0, 1, 0), cancelled.stderr
    assert followed.stdout.splitlines()[-1].endswith(": enough")
    assert [line.split()[:2] for line in listed.stdout.splitlines()[1:]] == [
        ["fail", "on"],
        ["linger", "on"],
        ["report", "on"],
    ]
    assert cancelled.stderr == followed.stderr == listed.stderr == ""
