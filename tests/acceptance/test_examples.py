"""Each program in ``examples/`` does what it says: scripts as processes, the rest on the virtual clock."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from task import TaskManager
from task.testing import VirtualClock

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"

#: How long anything may take on a busy machine. Seconds.
LIMIT = 120.0

Start = Callable[..., subprocess.Popen[str]]


def load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{Path(path).stem}", EXAMPLES / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program; after the test it is killed if it has not ended by then.

    Its output is buffered, unless ``-u`` is given: else two threads that print share a line.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with contextlib.ExitStack() as stack:

        def make(*command: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-W", "error", *command],
                cwd=ROOT,
                env=environment,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield make


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """What it prints up to *text*; fails when that does not come in time."""
    assert process.stdout is not None
    deadline, seen = time.monotonic() + LIMIT, b""
    while text.encode() not in seen:
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(process.stdout.fileno(), 4096) if ready else b""
        assert chunk, f"{text!r} did not come; seen: {seen!r}"
        seen += chunk
    return seen.decode()


def end(process: subprocess.Popen[str]) -> tuple[str, str]:
    return process.communicate(timeout=LIMIT)


# The quick start.


def test_the_quick_start_ends_by_itself_where_there_is_no_terminal(start: Start) -> None:
    process = start("examples/quickstart.py")
    output, errors = end(process)

    assert (process.returncode, errors) == (0, "")
    assert output.startswith("syncing...\ndone\nsyncing...\ndone\nsyncing...\ndone\n")
    assert re.search('"runs": [3-9]', output)  # it looks up in between
    assert '"cadence": "Every 1 second"' in output


def test_the_quick_start_ends_when_its_standard_input_is_closed(start: Start) -> None:
    shell = ("import os, runpy; os.close(0); import sys; sys.stdin = None; "
             "runpy.run_path('examples/quickstart.py', run_name='__main__')")  # fmt: skip
    process = start("-c", shell)
    output, errors = end(process)

    assert (process.returncode, errors) == (0, "")
    assert "syncing...\ndone\n" in output


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_enter_ends_the_quick_start(start: Start) -> None:
    import pty

    with contextlib.ExitStack() as stack:
        keyboard, terminal = pty.openpty()
        stack.callback(os.close, keyboard)
        stack.callback(os.close, terminal)
        process = start("-u", "examples/quickstart.py", stdin=terminal)
        first = read_until(process, "done\n")
        os.write(keyboard, b"\n")
        rest, errors = end(process)

    assert first.startswith("Press Enter to stop\nsyncing...\n")
    assert (process.returncode, errors) == (0, "")
    assert "What manager.tasks_detail says about 'sample':" in rest


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_control_c_ends_the_quick_start(start: Start) -> None:
    process = start("-u", "examples/quickstart.py")
    read_until(process, "done\n")
    process.send_signal(signal.SIGINT)
    rest, errors = end(process)

    assert (process.returncode, errors) == (0, "")
    assert "What manager.tasks_detail says about 'sample':" in rest


# The backup.


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT)")
        connection.execute("INSERT INTO orders (what) VALUES ('tea')")
    connection.close()
    return path


@pytest.fixture
def backups(database: Path, clock: VirtualClock) -> Iterator[tuple[TaskManager, Path]]:
    folder = database.parent / "backups"
    manager = load("backup.py").make_manager(database, folder, 3, clock)
    with manager:
        yield manager, folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def orders(path: Path) -> list[Any]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT what FROM orders").fetchall()
    finally:
        connection.close()


def test_a_backup_is_made_at_the_start_and_every_minute(backups: tuple[TaskManager, Path], clock: VirtualClock) -> None:
    _, folder = backups
    clock.advance(minutes=2)

    assert names(folder) == ["app-20260504T120000Z.db", "app-20260504T120100Z.db", "app-20260504T120200Z.db"]
    assert [orders(path) for path in folder.iterdir()] == [[("tea",)]] * 3


def test_old_backups_are_removed_and_strangers_are_kept(backups: tuple[TaskManager, Path], clock: VirtualClock) -> None:
    _, folder = backups
    (folder / "app-20260101T000000Z-mine.db").touch()
    clock.advance(hours=1)

    assert names(folder) == [
        "app-20260101T000000Z-mine.db",
        "app-20260504T125800Z.db",
        "app-20260504T125900Z.db",
        "app-20260504T130000Z.db",
    ]


def test_a_backup_is_made_while_others_write(
    backups: tuple[TaskManager, Path], clock: VirtualClock, database: Path
) -> None:
    _, folder = backups
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO orders (what) VALUES ('coffee')")
        clock.advance(minutes=1)
        writer.execute("COMMIT")
        clock.advance(minutes=1)

    assert orders(folder / "app-20260504T120100Z.db") == [("tea",)]
    assert orders(folder / "app-20260504T120200Z.db") == [("tea",), ("coffee",)]


@pytest.mark.parametrize("fault", ["removed", "damaged"])
def test_a_failed_backup_is_told_and_leaves_the_good_ones(
    fault: str,
    backups: tuple[TaskManager, Path],
    clock: VirtualClock,
    database: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    manager, folder = backups
    good = database.read_bytes()
    database.unlink()
    if fault == "damaged":
        database.write_bytes(b"not a database" * 100)
    clock.advance(minutes=1)
    told = capsys.readouterr().err
    database.write_bytes(good)
    clock.advance(minutes=1)

    assert told.startswith("BACKUP FAILED at 12:01:00 UTC: ")
    assert names(folder) == ["app-20260504T120000Z.db", "app-20260504T120200Z.db"]
    assert [run.state for run in manager.runs()] == ["succeeded", "failed", "succeeded"]


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_the_backup_script_runs_until_it_is_told_to_stop(start: Start, database: Path) -> None:
    folder = database.parent / "copies"
    process = start("examples/backup.py", str(database), str(folder), "--keep", "2")
    read_until(process, "backup written")
    process.send_signal(signal.SIGTERM)
    _, errors = end(process)

    assert (process.returncode, errors) == (0, "")
    assert [orders(path) for path in folder.iterdir()] == [[("tea",)]]


# What runs can do: each ends by itself.


def test_every_example_is_listed() -> None:
    listed = (EXAMPLES / "README.md").read_text("utf-8")
    programs = [*(path.name for path in EXAMPLES.glob("*.py")), "flask_app/README.md"]

    assert [name for name in programs if f"]({name})" not in listed] == []


def test_the_async_example_awaits_two_thousand_runs_and_one_that_is_stopped(start: Start) -> None:
    process = start("examples/async_task.py")
    output, errors = end(process)
    pages, *rest = output.splitlines()

    assert process.returncode == 0, errors
    assert re.fullmatch("2000 pages on [0-9] threads; the last is 'page 1999'", pages)
    assert rest == [
        "the digest is a2758877: part 4 of 4",
        "as a plain coroutine, on the loop of this program: page 7",
        "the connection is closed",
        "The run of task 'listen' timed_out: RunTimedOut: Task 'listen' took longer than its timeout of 1 seconds.",
    ]


def test_the_chain_reports_a_good_night_and_alerts_after_a_bad_one(start: Start) -> None:
    process = start("examples/chain.py")
    output, errors = end(process)

    assert process.returncode == 0, errors
    assert output.splitlines() == [
        "monday:",
        "  2 orders loaded: {'tea': 12, 'coffee': 30}",
        "  extract (manual) succeeded, then load (chain) succeeded, then report (chain) succeeded",
        "tuesday:",
        "  loading has failed: ValueError: invalid literal for int() with base 10: 'unknown'",
        "  extract (manual) succeeded, then load (chain) failed, then alert (chain) succeeded",
    ]
    assert "Task 'load' failed: ValueError" in errors


def test_the_class_copies_by_schedule_and_by_hand_and_cleans_up_when_cancelled(start: Start) -> None:
    process = start("examples/class_based.py")
    output, errors = end(process)
    lines = [" ".join(line.split()) for line in output.splitlines()]

    assert (process.returncode, errors) == (0, "")
    assert lines[:3] == [
        "schedule succeeded 100 % page-10.txt",
        "manual succeeded 100 % page-10.txt",
        "10 files by hand; the template's target is still 'nightly'",
    ]
    assert re.fullmatch(r"manual cancelled [0-9]+ % page-[0-9]+.txt", lines[3])
    assert lines[4:] == ["cancelled; there are ['by-hand', 'data', 'nightly']"]


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell and tar")
def test_the_command_packs_a_folder_and_tells_why_it_could_not(start: Start) -> None:
    process = start("examples/shell_task.py")
    output, _ = end(process)

    assert process.returncode == 0
    assert "has ['.', './orders.txt']" in output
    assert "  stdout: ./orders.txt\n" in output
    assert "what a caller gets: The command 'sh' ended with exit code 2; its stderr ends: tar: " in output
    assert "  pack failed: CommandError: The command 'sh' ended with exit code 2" in output


def test_one_body_runs_on_a_cluster_and_in_a_process(start: Start) -> None:
    pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
    process = start("examples/cluster.py")
    output, errors = end(process)
    found = re.findall("^(cluster|process): 3.14159, computed by process ([0-9]+); this is ([0-9]+)$", output, re.M)

    assert process.returncode == 0, errors
    assert sorted(where for where, _, _ in found) == ["cluster", "process"]
    assert len({number for _, there, here in found for number in (there, here)}) == 3


# Two terminals.


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_of_two_terminals_one_goes_on_and_tells_what_the_killed_one_has_lost(start: Start, tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy", reason="the extra 'sql' is not installed")
    store = f"sqlite:///{tmp_path}/tasks.db"
    both = [start("examples/two_terminals.py", store) for _ in range(2)]
    for process in both:
        read_until(process, "start another one")

    killed, text = first_to_say(both, "has the slot")
    killed.kill()  # SIGKILL, in its body
    (survivor,) = [process for process in both if process is not killed]
    told = read_until(survivor, "is lost")
    read_until(survivor, "has the slot")
    survivor.send_signal(signal.SIGINT)
    rest, errors = end(survivor)
    end(killed)

    (slot,) = re.findall("the slot ([0-9:]{8})", text)
    assert killed.returncode == -signal.SIGKILL
    assert f"process {survivor.pid} sees that the slot {slot} is lost: its process (process {killed.pid} on " in told
    assert survivor.returncode == 0
    assert f"process {survivor.pid} has stopped; findings of the audit: []" in rest
    assert errors.startswith("The run of task 'tick' is lost: its process")
    assert len(errors.splitlines()) == 1


def first_to_say(processes: list[subprocess.Popen[str]], text: str) -> tuple[subprocess.Popen[str], str]:
    """Which of them prints *text* next, and what it prints until then."""
    by_stream = {process.stdout: process for process in processes if process.stdout is not None}
    for stream in select.select(list(by_stream), [], [], 0)[0]:
        os.read(stream.fileno(), 4096)  # of before
    ready, _, _ = select.select(list(by_stream), [], [], LIMIT)
    assert ready, f"{text!r} did not come"
    said = read_until(by_stream[ready[0]], text)
    return by_stream[ready[0]], said


# Foresight.


def test_the_example_of_foresight_tells_what_is_in_the_way_and_what_mends_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    load("foresight.py").main(days=2)

    told = capsys.readouterr().out
    assert "Up to 1 run waits for the serial worker" in told
    assert re.search(r"Slots refused as it is: [1-9]", told)
    assert "With a pool for what takes long: 0\n" in told
    assert "~ nightly_report\n    pool: None -> 'long'\n" in told


def test_the_picture_of_a_forecast_is_what_it_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one is written by ``python3 docs/make_pictures.py``."""
    with contextlib.ExitStack() as stack:
        stack.callback(time.tzset)
        stack.enter_context(monkeypatch.context()).setenv("TZ", "Europe/Amsterdam")
        time.tzset()
        drawn = load("../docs/forecast_picture.py").forecast_picture()

    assert drawn == (ROOT / "docs" / "pictures" / "forecast.svg").read_text("utf-8")


def test_the_tests_of_a_project_hold(tmp_path: Path) -> None:
    folder = EXAMPLES / "testing"
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "task_pytest", "-p", "no:cacheprovider", "-c", os.devnull, str(folder)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{folder}", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=2 * LIMIT,
    )

    assert ended.returncode == 0, ended.stdout
    assert "15 passed" in ended.stdout
    assert list(tmp_path.iterdir()) == []  # its manager has a store: production's
