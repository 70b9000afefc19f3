"""``python -m task run`` as a process: on a real terminal as people see it, and elsewhere as log lines."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from typing import IO

import pytest
from pseudo_terminal import PseudoTerminal

ROOT = pathlib.Path(__file__).resolve().parents[2]

PROGRAM = """
import logging, os, sys, threading
from task import TaskManager, current_run, every

class Patient(TaskManager):
    def stop(self, timeout=120.0):  # so that a test on a busy machine has the time for what it does meanwhile
        super().stop(timeout)

manager = Patient([], max_workers=4)
go = threading.Event()

@manager.task(every(1).hours, name="sync [red]all[/red]", threaded=True, run_at_start=True)
def sync():
    sys.stdout.write("\\x1b[2Jprinted by the body\\nand more\\n")  # in one piece, unlike print()
    os.write(2, b"written below Python\\n")
    logging.getLogger("shop").warning("logged by the body")
    current_run().update_progress(40, "page 4")
    for _ in range(6_000):
        if HOW == "hangs" or not current_run().is_cancelled():
            go.wait(0.05)
        if os.path.exists("go"):
            return

@manager.task(every(1).hours, run_at_start=True)
def fail():
    raise ConnectionError("\\x1b[31mthe other side is down")
"""

ECHO = termios.ECHO

#: How long a program may take for what it does at once. Seconds.
LIMIT = 60.0


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "jobs.py").write_text(PROGRAM.replace("HOW", "'hangs'"))
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("TASK_", "COLUMNS", "LINES"))}
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "PYTHONDONTWRITEBYTECODE": "1", **more}


def on_a_terminal(folder: pathlib.Path, *words: str, columns: int = 80, lines: int = 24) -> PseudoTerminal:
    command = [sys.executable, "-m", "task", "run", "jobs", *words]
    return PseudoTerminal(command, columns=columns, lines=lines, cwd=folder, env=environment())


@contextlib.contextmanager
def elsewhere(folder: pathlib.Path, *words: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """With pipes instead of a terminal. It ends with the block; and before it, if a test hangs of it."""
    with subprocess.Popen(
        [sys.executable, "-m", "task", "run", *words],
        cwd=folder,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        limit = threading.Timer(2 * LIMIT, process.kill)
        limit.start()
        try:
            yield process
        finally:
            limit.cancel()
            limit.join()
            process.kill()


def lines_up_to(stream: IO[str] | None, *words: str) -> list[str]:
    """What is written, until each of these words has been."""
    assert stream is not None
    lines: list[str] = []
    while not all(any(one in line for line in lines) for one in words):
        line = stream.readline()
        assert line, f"it ended, and never wrote {words!r} but {lines}"
        lines.append(line.rstrip("\n"))
    return lines


def test_a_terminal_shows_a_table_that_nothing_destroys_and_gets_its_own_back(folder: pathlib.Path) -> None:
    with on_a_terminal(folder) as terminal:
        printed = ("\\x1b[2Jprinted by the body", "and more", "written below Python")
        terminal.wait_for(
            lambda lines: (
                lines[0].startswith("jobs  running")
                and lines[1] == "2 tasks · 1 failing · 1 running · record in memory"
                and lines[2] == "! fail: Its last run failed: ConnectionError: \\x1b[31mthe other side is down"
                and lines[4].startswith("fail                 idle              in 59 min       failed ")
                and lines[5].startswith("sync [red]all[/red]  ━━━━──────  40 %  in 59 min")
                and any(line.endswith("WARNING shop: logged by the body") for line in lines)
                and all(line in lines for line in printed)
            )
        )
        assert b"\x1b[?1049h" in terminal.bytes
        assert not terminal.attributes[3] & ECHO

        terminal.resize(120, 40)
        wide = terminal.wait_for(
            lambda lines: lines[0].startswith("jobs  running") and any("page 4" in line for line in lines)
        )
        assert len(wide) == 40

        terminal.type(b"\x03")
        terminal.wait_for(
            lambda lines: (
                lines[0].startswith("jobs  stopping")
                and lines[1] == "Ctrl-C again ends it at once. It waits for sync [red]all[/red]."
            )
        )
        (folder / "go").touch()
        assert terminal.wait_for_end() == 0
        assert terminal.attributes == terminal.attributes_before
        _, _, after = terminal.bytes.partition(b"\x1b[?1049l")
        assert b"\x1b[?25h" in terminal.bytes
        assert b"sync [red]all[/red] succeeded after " in after
        assert b"\x1b" not in after


def test_a_line_that_a_body_prints_in_pieces_stays_whole_when_something_is_logged_between_them(
    folder: pathlib.Path,
) -> None:
    (folder / "jobs.py").write_text("""
import logging
from task import every, task

@task(every().hour, run_at_start=True)
def sync():
    print("this is ", end="", flush=True)
    logging.getLogger("shop").warning("logged meanwhile")
    print("one line", flush=True)
""")
    with on_a_terminal(folder) as terminal:
        terminal.wait_for(
            lambda lines: (
                "this is one line" in lines
                and any(line[len("12:34:56") :] == " WARNING shop: logged meanwhile" for line in lines)
            )
        )


def test_ctrl_c_twice_ends_it_at_once_and_gives_the_terminal_back(folder: pathlib.Path) -> None:
    with on_a_terminal(folder) as terminal:
        terminal.wait_for(lambda lines: any("40 %" in line for line in lines))
        terminal.type(b"\x03")
        terminal.wait_for(lambda lines: lines[0].startswith("jobs  stopping"))
        terminal.type(b"\x03")
        assert terminal.wait_for_end() == 130  # what runs would have two minutes more
        assert terminal.attributes == terminal.attributes_before
        assert b"\x1b[?1049l" in terminal.bytes


def test_no_other_key_stops_it_or_is_shown_and_a_closed_terminal_stops_it_cleanly(folder: pathlib.Path) -> None:
    with on_a_terminal(folder) as terminal:
        terminal.wait_for(lambda lines: any("40 %" in line for line in lines))
        sent = len(terminal.bytes)
        terminal.type(b"\x1a\x1c\x13qwertz\r")
        terminal.wait_for(lambda lines: len(terminal.bytes) > sent + 2_000)
        assert "qwertz" not in "".join(terminal.screen)
        assert terminal.process.poll() is None
        (folder / "go").touch()
        terminal.hang_up()
        assert terminal.process.wait(LIMIT) == 0


def test_elsewhere_each_event_is_a_line_and_sigterm_stops_it_cleanly(folder: pathlib.Path) -> None:
    with elsewhere(folder, "jobs.py", PYTHONUNBUFFERED="1") as process:
        told = lines_up_to(process.stdout, "fail failed", "sync [red]all[/red] started")  # in any order
        process.send_signal(signal.SIGTERM)
        told += lines_up_to(process.stdout, "Stopping")
        (folder / "go").touch()
        rest, errors = process.communicate()

    # Events come from a thread of their own: when a body prints is another matter.
    told = [line for line in [*told, *rest.splitlines()] if line not in ("\x1b[2Jprinted by the body", "and more")]
    assert process.returncode == 0
    assert told[0] == "Running jobs.py with 2 tasks; Ctrl-C stops it"
    assert "Stopping jobs.py: it waits for sync [red]all[/red]; Ctrl-C again ends it at once" in told
    [failed] = [line for line in told if " fail failed after " in line]
    assert failed[:2] == "20"
    assert failed.endswith(": ConnectionError: \\x1b[31mthe other side is down")
    assert any(" fail started: start (" in line for line in told)
    assert " sync [red]all[/red] succeeded after " in told[-1]
    assert "WARNING shop: logged by the body" in errors
    assert "ERROR task: Task 'fail' failed" in errors


def test_a_signal_whose_exception_reaches_nobody_ends_it_too(folder: pathlib.Path) -> None:
    (folder / "jobs.py").write_text(
        "import signal\nfrom task import TaskManager\n\n"
        "class Deaf(TaskManager):\n"
        "    def run(self):\n"
        "        super().run()\n"
        "        try:\n"
        "            signal.raise_signal(signal.SIGTERM)\n"
        "        except KeyboardInterrupt:\n"
        "            pass\n\n"
        "manager = Deaf([])\n"
    )
    with elsewhere(folder, "jobs.py") as process:
        told, errors = process.communicate()

    assert process.returncode == 0, errors
    assert told.splitlines()[-1] == "Stopping jobs.py: nothing runs"


def test_a_signal_while_the_first_runs_are_made_breaks_none_of_them_off(folder: pathlib.Path) -> None:
    (folder / "jobs.py").write_text(
        "import signal\nfrom task import TaskManager\n\n"
        "class Early(TaskManager):\n"
        "    def run(self):\n"
        "        super().run()\n"
        "        signal.raise_signal(signal.SIGTERM)\n"
        "        print('all are made', flush=True)\n\n"
        "manager = Early([])\n"
    )
    with elsewhere(folder, "jobs.py") as process:
        told, errors = process.communicate()

    assert process.returncode == 0, errors
    assert told.splitlines()[-1] == "Stopping jobs.py: nothing runs"
    assert "all are made" in told  # maybe in the middle of a line of ours


def test_that_it_stops_is_told_while_its_store_is_away_too(folder: pathlib.Path) -> None:
    (folder / "jobs.py").write_text(
        "from task import StoreUnavailableError, TaskManager\n\n"
        "class Away(TaskManager):\n"
        "    def runs(self, *args, **options):\n"
        "        raise StoreUnavailableError('away')\n\n"
        "manager = Away([])\n"
    )
    with elsewhere(folder, "jobs.py") as process:
        told = lines_up_to(process.stdout, "Running")
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate()

    assert (process.returncode, errors) == (0, "")
    assert [*told, *rest.splitlines()][-1] == ("Stopping jobs.py: it waits for what runs; Ctrl-C again ends it at once")


@pytest.mark.parametrize("how", [[], ["--json"]])
def test_the_last_events_are_told_however_late_the_thread_is_that_tells_them(
    folder: pathlib.Path, how: list[str]
) -> None:
    (folder / "jobs.py").write_text(
        "import time\nfrom task import TaskManager, events, manager_state_changed\n\n"
        "events.CLOSE_TIMEOUT = 0.01\nmanager = TaskManager([])\n\n"
        "@manager_state_changed.connect_via(manager)\n"
        "def slow(sender, state):\n"
        "    if state == 'stopping':\n"
        "        time.sleep(0.5)\n"
    )
    with elsewhere(folder, "jobs.py", *how, PYTHONUNBUFFERED="1") as process:
        told = lines_up_to(process.stdout, '"running"' if how else "Running")
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate()

    assert process.returncode == 0, errors
    assert ('"stopped"' if how else "Stopping") in [*told, *rest.splitlines()][-1]


def test_as_json_each_event_is_an_object_on_a_line_and_what_others_print_is_elsewhere(folder: pathlib.Path) -> None:
    (folder / "jobs.py").write_text(
        "from task import every, task\n\nprint('imported')\n\n"
        "@task(every().hour, run_at_start=True)\ndef tick():\n    print('ticked')\n"
    )
    with elsewhere(folder, "jobs.py", "--json", PYTHONUNBUFFERED="1") as process:
        lines = lines_up_to(process.stdout, "run-succeeded")
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate()

    told = [json.loads(line) for line in [*lines, *rest.splitlines()]]
    assert process.returncode == 0
    assert [one.get("state") or one["run"]["task"] for one in told] == [
        *("starting", "running", "tick", "tick", "stopping", "stopped")
    ]
    assert [one["event"] for one in told if "run" in one] == ["run-started", "run-succeeded"]
    assert "imported" in errors
    assert "ticked" in errors


def test_the_tasks_go_on_when_nobody_reads_the_lines_any_more(folder: pathlib.Path) -> None:
    (folder / "jobs.py").write_text(
        "import pathlib\nfrom task import every, task\n\n"
        "@task(every(0.3).seconds)\ndef tick():\n    print('ticked', file=open('ticks', 'a'), flush=True)\n"
    )
    ticks = folder / "ticks"
    ticks.touch()
    with elsewhere(folder, "jobs", PYTHONWARNINGS="ignore") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "Running jobs with 1 task; Ctrl-C stops it\n"
        process.stdout.close()
        told = process.stderr.readline()
        seen = ticks.stat().st_size
        deadline = time.monotonic() + LIMIT
        while ticks.stat().st_size < seen + 20:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        ended = process.wait()

    assert ended == 0
    assert " WARNING task: Events are not told any more, as stdout cannot be written: " in told
    assert rest == ""


def test_runs_that_have_to_be_left_are_told_by_the_exit_code(folder: pathlib.Path) -> None:
    program = (
        PROGRAM.replace("HOW", "'hangs'") + "\nfrom task.models import lifecycle\nlifecycle.CANCEL_TIMEOUT = 0.1\n"
    )
    (folder / "jobs.py").write_text(
        program + "stop = manager.stop\nmanager.stop = lambda timeout=120.0: stop(min(timeout, 0.1))\n"
    )
    with on_a_terminal(folder, "--plain") as terminal:
        terminal.wait_for(lambda lines: b"sync [red]all[/red] started" in terminal.bytes)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait_for_end() == 1
        assert b"sync [red]all[/red] lost" in terminal.bytes
        assert b"\x1b[?1049h" not in terminal.bytes


def test_what_cannot_be_run_is_refused_in_one_line(folder: pathlib.Path) -> None:
    (folder / "jobs.py").write_text("import json\njson.loads('')\n")
    ended = subprocess.run(
        [sys.executable, "-m", "task", "run", "jobs"], cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Error: 'jobs' cannot be imported: JSONDecodeError: ")
    assert len(ended.stderr.splitlines()) == 1
