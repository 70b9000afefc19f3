"""`diagnose` where a real process has the fault: forked, served by several workers, reloaded, with a wrong clock."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from wall_clock import WallClock, build_shim

ROOT = pathlib.Path(__file__).parents[2]

#: How long anything may take on a busy machine. Seconds.
LIMIT = 60.0

TELL = """
import json, os, sys, threading
from task import TaskManager, every
from task.doctor import diagnose


def tell(manager):
    wrong = [one._asdict() for one in diagnose(manager) if one.state in ("warning", "problem")]
    with open("told", "a") as told:
        told.write(json.dumps({"pid": os.getpid(), "wrong": wrong}) + chr(10))
"""


@contextlib.contextmanager
def started(
    folder: pathlib.Path, program: str, *command: str, **environment: str
) -> Iterator[Callable[[int], list[Any]]]:
    """A program at work in *folder*; gives what waits for so many tellings."""
    (folder / "program.py").write_text(TELL + textwrap.dedent(program))
    (folder / "told").touch()
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("FLASK_", "WERKZEUG_"))}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *(command or ("program.py",))],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=inherited | {"PYTHONPATH": str(ROOT)} | environment,
        )

    def wait_for(count: int) -> list[Any]:
        deadline = time.monotonic() + LIMIT
        while len(told := (folder / "told").read_text().splitlines()) < count:
            assert time.monotonic() < deadline, f"waited in vain; it said:\n{(folder / 'log').read_text()}"
            threading.Event().wait(0.05)
        return [json.loads(line) for line in told]

    try:
        yield wait_for
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(LIMIT)


def found(told: Any) -> list[tuple[str, str, str]]:
    return [(one["check"], one["state"], one["found"]) for one in told["wrong"]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked on POSIX only")
def test_a_forked_child_is_told_to_start_its_manager(tmp_path: pathlib.Path) -> None:
    program = """
        manager = TaskManager([])
        manager.add(lambda: None, every(10).seconds, name="tick")
        manager.run()
        if os.fork() == 0:
            tell(manager)
            os._exit(0)
        os.wait()
    """
    with started(tmp_path, program) as wait_for:
        (child,) = wait_for(1)

    (fork,) = [one for one in child["wrong"] if one["check"] == "fork"]
    assert fork["state"] == "problem"
    assert fork["found"].startswith("Forked: the manager was started in process ")
    assert fork["cure"] == (
        "Call manager.run() in this process; with store='sqlite:///tasks.db' and restart_after_fork=True that happens "
        "by itself."
    )


def test_workers_of_gunicorn_without_a_shared_store_are_found_and_counted(tmp_path: pathlib.Path) -> None:
    program = """
        manager = TaskManager([])
        manager.run()
        threading.Timer(0.5, tell, [manager]).start()  # when the server serves

        def app(environ, start_response):
            return []
    """
    gunicorn = ("-m", "gunicorn", "--bind", "127.0.0.1:0", "--no-control-socket", "--workers", "2", "program:app")
    with started(tmp_path, program, *gunicorn) as wait_for:
        told = wait_for(2)

    assert len({one["pid"] for one in told}) == 2
    for one in told:
        assert found(one) == [
            (
                "workers",
                "problem",
                "2 worker processes of gunicorn each keep a record of their own in memory: each of them that runs its "
                "manager runs every slot.",
            )
        ]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the siblings of a process are told by /proc")
def test_workers_of_any_server_that_forks_are_found_by_their_siblings(tmp_path: pathlib.Path) -> None:
    program = """
        def work():
            manager = TaskManager([])
            with manager:
                os.read(begin, 1)  # when all three are there
                tell(manager)
                threading.Event().wait()  # the others count it

        begin, started = os.pipe()
        for _ in range(3):
            if os.fork() == 0:
                work()
        os.write(started, b"...")
        os.wait()
    """
    with started(tmp_path, program) as wait_for:
        told = wait_for(3)

    assert {found(one)[0] for one in told} == {
        (
            "workers",
            "warning",
            "3 worker processes of the server each keep a record of their own in memory: each of them that runs its "
            "manager runs every slot.",
        )
    }


def test_the_twin_of_a_reloader_is_found_where_both_run_a_manager_and_not_where_the_child_does(
    tmp_path: pathlib.Path,
) -> None:
    program = """
        import flask

        app = flask.Flask("app")
        manager = TaskManager([])
        child = os.environ.get("WERKZEUG_RUN_MAIN") == "true"
        if child or sys.argv[1] == "both":
            manager.run()
        if child:
            threading.Timer(0.3, tell, [manager]).start()
        app.run(port=0, debug=True)
    """
    for kind in ("both", "child"):
        (tmp_path / kind).mkdir()
    with (
        started(tmp_path / "both", program, "program.py", "both") as both,
        started(tmp_path / "child", program, "program.py", "child") as child,
    ):
        (twin,), (alone,) = both(1), child(1)

    ((check, state, text),) = found(twin)
    assert (check, state) == ("reloader", "problem")
    assert text.startswith("Both processes of Werkzeug's reloader run a manager, this one and its parent ")
    assert text.endswith(": every slot runs twice.")
    assert found(alone) == []


def test_a_process_whose_clock_is_wrong_is_named_by_the_others(tmp_path: pathlib.Path) -> None:
    program = """
        manager = TaskManager([], store="sqlite:///tasks.db", lost_after=5)
        with manager:
            while True:
                threading.Event().wait(0.5)
                if len(sys.argv) == 1 and manager.vitals().clocks:
                    tell(manager)
                    break
    """
    wrong = WallClock(build_shim(tmp_path), tmp_path / "offset", seconds=-40)
    with (
        started(tmp_path, program, "program.py", "wrong", **wrong.environment),
        started(tmp_path, program) as wait_for,
    ):
        (told,) = wait_for(1)

    clocks = told["wrong"]
    assert [one["check"] for one in clocks] == ["clock"], clocks
    assert clocks[0]["state"] == "warning"
    assert clocks[0]["process"] != f"{told['pid']}@{os.uname().nodename}"
    assert clocks[0]["found"].startswith("Its clock is 40")
    assert "behind that of" in clocks[0]["found"]


def test_a_shell_sees_where_the_body_hangs_in_another_process(tmp_path: pathlib.Path) -> None:
    program = """
        def hang():
            threading.Event().wait()

        manager = TaskManager([], store="sqlite:///tasks.db", lost_after=2)
        manager.add(hang, name="hang", timeout=0.2, run_at_start=True)
        manager.run()
        tell(manager)
        manager.wait()
    """
    command = [sys.executable, "-m", "task", "--store", "sqlite:///tasks.db", "doctor"]
    with started(tmp_path, program) as wait_for:
        wait_for(1)
        deadline = time.monotonic() + LIMIT
        while True:
            ended = subprocess.run(
                command,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=LIMIT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
            )
            if "stuck" in ended.stdout or time.monotonic() > deadline:
                break

    line = next(
        number for number, text in enumerate((TELL + textwrap.dedent(program)).splitlines(), 1) if "wait()" in text
    )
    assert ended.returncode == 1, ended
    assert ended.stdout.startswith("✖ problem  stuck  (process ")
    assert "The body of task 'hang' goes on past its timeout, " in ended.stdout
    assert f"{tmp_path}/program.py:{line} hang" in ended.stdout
