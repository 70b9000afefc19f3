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
from ledger_driver import Ledger
from nursery import Forked, Nursery
from wall_clock import WallClock, build_shim

ROOT = pathlib.Path(__file__).parents[2]

#: Whatever a program is waited for comes within this, or the test fails: a bound against hanging, no claim. Seconds.
LIMIT = 90.0

# The test file of `schedule` itself is run by test_schedule_drop_in.py, in a process of its own.
collect_ignore = ["schedule_1_2_2"]


class Program:
    """A Python program under test. Every wait has a generous limit, and fails with all that was printed."""

    def __init__(self, process: subprocess.Popen[str] | Forked, errors: pathlib.Path) -> None:
        self.process = process
        self.errors = errors
        self.lines: list[str] = []
        self._arriving: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @classmethod
    def at(cls, path: pathlib.Path, arguments: list[str], environment: Mapping[str, str]) -> Program:
        """The program of a file."""
        errors = path.with_suffix(".stderr")
        with errors.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, str(path), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=_environment(environment),
                text=True,
                start_new_session=True,
            )
        return cls(process, errors)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._arriving.put(line.rstrip("\n"))
        self._arriving.put(None)

    def expect(self, start: str, timeout: float = LIMIT) -> str:
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

    def end(self, timeout: float = LIMIT) -> int:
        """Wait until it has ended by itself, and has closed its output; its exit code."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the program did not end in {timeout} s\n{self}")
        try:
            while (line := self._arriving.get(timeout=timeout)) is not None:
                self.lines.append(line)
        except queue.Empty:
            pytest.fail(f"the program has ended, and another process holds its output open\n{self}")
        return code

    @property
    def stderr(self) -> str:
        return self.errors.read_text()

    def kill(self) -> None:
        """End it, and every process that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(10)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            if stream is self.process.stdout and self._reader.is_alive():
                continue  # whoever holds it open at the other end holds up this, too
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def __repr__(self) -> str:
        return "\n".join(["-- stdout:", *self.lines, "-- stderr:", self.stderr])


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **more}


Start = Callable[..., Program]


@pytest.fixture
def program(tmp_path: pathlib.Path) -> Iterator[Start]:
    """Start a program from its source; it is killed after the test if it has not ended by then."""
    started: list[Program] = []

    def start(source: str, *arguments: str, **environment: str) -> Program:
        path = tmp_path / f"program_{len(started)}.py"
        path.write_text(textwrap.dedent(source))
        started.append(Program.at(path, list(arguments), environment))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The library that shifts the wall clock of a process; see wall_clock.py."""
    return build_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Starts the processes of `ledger`."""
    made = Nursery(_environment({}))
    yield made
    made.close()


@pytest.fixture
def ledger(
    program: Start, nursery: Nursery, tmp_path: pathlib.Path, request: pytest.FixtureRequest
) -> Iterator[Ledger]:
    """Starts processes that share a store, and reads what their bodies have written."""
    started: list[Program] = []

    def make_wall_clock(file: pathlib.Path, seconds: int) -> WallClock:
        return WallClock(request.getfixturevalue("shim"), file, seconds)

    def start(source: str, argument: str, **environment: str) -> Program:
        if environment:  # the library that shifts its clock is loaded at its very start
            return program(source, argument, **environment)
        errors = tmp_path / f"ledger_{len(started)}.stderr"
        started.append(Program(nursery.start(argument, errors), errors))
        return started[-1]

    yield Ledger(start, tmp_path, make_wall_clock)
    for one in started:
        one.kill()
