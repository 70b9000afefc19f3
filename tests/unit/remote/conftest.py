"""Bodies that other processes can import, runs to call them in, and a check that no process is left behind."""

from __future__ import annotations

import contextlib
import contextvars
import datetime
import importlib
import itertools
import os
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from task.remote import process
from task.runs import Run, RunState, set_current_run

_numbers = itertools.count()

#: How long what will happen is waited for. Seconds; a machine may be held up for many.
LIMIT = 60.0

Load = Callable[[str], Any]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Make a module of some source text; other processes can import it too."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", True)

    def make(source: str) -> Any:
        name = f"bodies_{os.getpid()}_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        importlib.invalidate_caches()
        return importlib.import_module(name)

    return make


@pytest.fixture
def run() -> Run:
    """A run of the task ``sample`` by hand."""
    now = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)
    made = Run("sample", "manual", now, state=RunState.RUNNING, parameters={"number": 1}, parent_id="the-parent")
    made.begin_attempt(now)
    return made


class Call:
    """A body that is called inside a run, on a thread, as the pipeline does."""

    def __init__(self, run: Run, body: Callable[..., Any], parameters: dict[str, Any]) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=contextvars.Context().run, args=(self._call, run, body, parameters))
        self._thread.daemon = True
        self._thread.start()

    def _call(self, run: Run, body: Callable[..., Any], parameters: dict[str, Any]) -> None:
        set_current_run(run)
        try:
            self.result = body(**parameters)
        except BaseException as error:
            self.error = error

    def end(self, limit: float = LIMIT) -> Any:
        """Its result, or its exception; fails when that takes too long."""
        self._thread.join(limit)
        assert not self._thread.is_alive(), "the body did not end"
        if self.error is not None:
            raise self.error
        return self.result


def _alive(number: int) -> bool:
    """Whether a process lives; one that waits to be reaped does not."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _gone(number: int, limit: float = LIMIT) -> bool:
    """Whether a process has ended, after waiting for that at most *limit* seconds."""
    deadline = time.monotonic() + limit
    while _alive(number) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    return not _alive(number)


@pytest.fixture
def inside() -> type[Call]:
    """Call a body inside a run, on another thread."""
    return Call


@pytest.fixture
def alive() -> Callable[[int], bool]:
    """Whether a process lives."""
    return _alive


@pytest.fixture
def gone() -> Callable[[int], bool]:
    """Whether a process ends, after waiting for that."""
    return _gone


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """After each test; those of one that has failed are ended, and harm no other."""
    before = set(process._alive)
    yield
    left = process._alive - before
    for child in left:
        child.kill()
    assert left == set()
