"""``flask tasks`` on a real terminal: what it shows fits, and its colours can be turned off."""

from __future__ import annotations

import fcntl
import os
import pathlib
import pty
import select
import struct
import subprocess
import sys
import termios
import time

import click

#: How long a command may take. Seconds.
LIMIT = 120.0

PROGRAM = """
from flask import Flask
from task import TaskManager, cron
from task.flask import FlaskTasks, allow_local

manager = TaskManager([])

@manager.task(cron("30 2 * * mon-fri", tz="Europe/Amsterdam"))
def report_of_everything_that_was_sold_since_yesterday(): ...

@manager.task(name="sync")
def sync():
    raise ValueError("half \\x1b[2J of it " + "and more " * 20)

def create_app():
    app = Flask("shop", instance_path=FOLDER)
    FlaskTasks(manager, auth=allow_local).init_app(app)
    return app
"""


def on_a_terminal(folder: pathlib.Path, *words: str, columns: int, **environment: str) -> tuple[int, str]:
    """The exit code of ``flask tasks``, and what reached the terminal."""
    (folder / "shop.py").write_text(PROGRAM.replace("FOLDER", repr(str(folder))))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    kept = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    root = pathlib.Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", "shop:create_app", "tasks", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env={**kept, "PYTHONPATH": f"{root}{os.pathsep}{folder}", "TERM": "xterm", **environment},
    )
    os.close(theirs)
    seen, deadline = b"", time.monotonic() + LIMIT
    with process:
        try:
            while time.monotonic() < deadline:
                ready, _, _ = select.select([ours], [], [], 1)
                try:
                    chunk = os.read(ours, 65_536) if ready else None
                except OSError:  # what Linux says at the end of a terminal
                    break
                if chunk == b"":
                    break
                seen += chunk or b""
            return process.wait(LIMIT), seen.decode().replace("\r\n", "\n")
        finally:
            process.kill()
            os.close(ours)


def test_tables_fit_the_terminal(tmp_path: pathlib.Path) -> None:
    columns = 60
    code, _ = on_a_terminal(tmp_path, "run", "sync", "--here", columns=columns)
    listed, tasks = on_a_terminal(tmp_path, "list", columns=columns)
    _, runs = on_a_terminal(tmp_path, "runs", columns=columns, NO_COLOR="1")

    assert (code, listed) == (1, 0)
    assert "\x1b[31mfai" in tasks
    assert "\x1b" not in runs
    for line in [*click.unstyle(tasks).splitlines(), *runs.splitlines()]:
        assert len(line) <= columns
    assert [line.split()[0] for line in click.unstyle(tasks).splitlines()][2] == "sync"
