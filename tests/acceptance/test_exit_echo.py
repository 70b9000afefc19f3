"""GNU ``timeout`` sends SIGTERM twice: to its program, and to the group of that. It is one, and stops it cleanly."""

from __future__ import annotations

import pathlib
import signal
import subprocess
import sys
import textwrap

import pytest

from task.models import is_echo, signals

ROOT = pathlib.Path(__file__).resolve().parents[2]

#: As soon as it begins to stop, the signal comes once more; a busy machine may take its time between them.
AGAIN = """
import os, signal, sys, threading
import task.models.signals
from task import TaskManager

task.models.signals.ECHO = 1_000.0


class Manager(TaskManager):
    def stop(self, timeout=600):
        signal.raise_signal(signal.SIGTERM)
        super().stop(timeout)


def body():
    begun.set()
    while manager.state != "stopping":
        threading.Event().wait(0.01)


def terminate():
    begun.wait()
    while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:  # until it is waited for
        begun.wait(0.01)
    os.kill(os.getpid(), signal.SIGTERM)


begun = threading.Event()
threading.Thread(target=terminate, daemon=True).start()
manager = Manager([])
manager.add(body, name="body", threaded=True, run_at_start=True)
"""


def ended(folder: pathlib.Path, program: str, *command: str) -> subprocess.CompletedProcess[str]:
    (folder / "jobs.py").write_text(AGAIN + textwrap.dedent(program))
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_sigterm_that_comes_twice_at_once_stops_a_program_cleanly(tmp_path: pathlib.Path) -> None:
    program = """
        manager.run()
        manager.wait()
        print([str(run.state) for run in manager.runs()])
    """
    done = ended(tmp_path, program, "jobs.py")

    assert (done.returncode, done.stdout) == (0, "['succeeded']\n"), done.stderr


def test_sigterm_that_comes_twice_at_once_stops_the_foreground_cleanly(tmp_path: pathlib.Path) -> None:
    done = ended(tmp_path, "", "-m", "task", "run", "jobs.py")

    assert done.returncode == 0, done
    assert "body succeeded" in done.stdout


def test_sigterm_that_comes_again_later_ends_the_foreground_at_once(tmp_path: pathlib.Path) -> None:
    """It has been waited for as long as it takes to be another one."""
    program = """
        class Slow(Manager):
            def stop(self, timeout=600):
                task.models.signals._heard -= 2_000
                super().stop(timeout)

        manager.__class__ = Slow
    """
    done = ended(tmp_path, program, "-m", "task", "run", "jobs.py")

    assert done.returncode == 130, done


def test_the_end_at_once_waits_for_the_line_that_is_being_written(tmp_path: pathlib.Path) -> None:
    program = """
        import io

        class Slow(io.FileIO):
            def write(self, data):
                if b"Stopping" in bytes(data):
                    writing.set()
                    threading.Event().wait(2)  # the interpreter itself waits for a second, and aborts then
                return super().write(data)

        class Ending(Manager):
            def run(self):
                sys.stdout = io.TextIOWrapper(io.BufferedWriter(Slow(1, "w", closefd=False)))
                super().run()

            def stop(self, timeout=600):
                task.models.signals._heard -= 2_000
                threading.Thread(target=again, daemon=True).start()
                TaskManager.stop(self, timeout)

        def again():
            writing.wait()
            os.kill(os.getpid(), signal.SIGTERM)

        def body():
            begun.set()
            threading.Event().wait()

        writing = threading.Event()
        manager = Ending([])
        manager.add(body, name="body", threaded=True, run_at_start=True)
    """
    done = ended(tmp_path, program, "-m", "task", "run", "jobs.py")

    assert done.returncode == 130, done
    assert "Stopping jobs.py" in done.stdout


def test_two_signals_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(signals, "_monotonic", lambda: now)
    monkeypatch.setattr(signals, "_heard", 0.0)
    told = []
    for number, moment in [
        (signal.SIGINT, 100.0),
        (signal.SIGINT, 100.1),
        (signal.SIGTERM, 100.2),
        (signal.SIGTERM, 100.3),
        (signal.SIGTERM, 100.6),
        (signal.SIGTERM, 100.8),
    ]:
        now = moment
        told.append(is_echo(number))

    assert told == [False, False, False, True, True, False], "Ctrl-C twice is meant; SIGTERM twice within 0.5 s is one"
