"""Whole programs in processes of their own, driven over pipes."""

from __future__ import annotations

import contextlib
import os
import pathlib
import queue
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import pytest

ROOT = pathlib.Path(__file__).parents[2]

# The test file of `schedule` itself is run by test_schedule_drop_in.py, in a process of its own.
collect_ignore = ["schedule_1_2_2"]


class Program:
    """A Python program under test. Every wait has a generous limit, and fails with all that was printed."""

    def __init__(self, path: pathlib.Path, arguments: list[str], environment: Mapping[str, str]) -> None:
        self.errors = path.with_suffix(".stderr")
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(path), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment},
                text=True,
                start_new_session=True,
            )
        self.lines: list[str] = []
        self._arriving: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._arriving.put(line.rstrip("\n"))
        self._arriving.put(None)

    def expect(self, start: str, timeout: float = 30) -> str:
        """The rest of the next line that begins with *start*."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                line = self._arriving.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"{start!r} did not come in {timeout} s\n{self}")
            if line is None:
                pytest.fail(f"the program ended before it printed {start!r}\n{self}")
            self.lines.append(line)
            if line.startswith(start):
                return line.removeprefix(start).strip()

    def send(self, line: str) -> None:
        """A line for its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self, timeout: float = 30) -> int:
        """Wait until it has ended by itself, and has closed its output; its exit code."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the program did not end in {timeout} s\n{self}")
        while (line := self._arriving.get(timeout=timeout)) is not None:
            self.lines.append(line)
        return code

    @property
    def stderr(self) -> str:
        return self.errors.read_text()

    def kill(self) -> None:
        """End it, and every process that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(5)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def __repr__(self) -> str:
        return "\n".join(["-- stdout:", *self.lines, "-- stderr:", self.stderr])


Start = Callable[..., Program]


@pytest.fixture
def program(tmp_path: pathlib.Path) -> Iterator[Start]:
    """Start a program from its source; it is killed after the test if it has not ended by then."""
    started: list[Program] = []

    def start(source: str, *arguments: str, **environment: str) -> Program:
        path = tmp_path / f"program_{len(started)}.py"
        path.write_text(textwrap.dedent(source))
        started.append(Program(path, list(arguments), environment))
        return started[-1]

    yield start
    for one in started:
        one.kill()
