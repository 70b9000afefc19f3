"""What the README and the pages show is executed here, as it stands.

The Python blocks of a page share one namespace, which is ``__main__`` while they run. Time is virtual: a
program that waits (``input()``, ``time.sleep()``, ``manager.wait()``) lets it pass. A page with the
comment ``<!-- in real time -->`` keeps the machine's clock; one with ``<!-- as a script -->`` is one file, run
by a process of its own, as other processes have to import it. What a block prints is what the ``text``
block after it shows, where ``...`` stands for anything; a block without one prints nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import doctest
import importlib
import io
import os
import pkgutil
import re
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schedule
from opentelemetry import trace

import task
from task import TaskManager, helpers
from task.clock import ProcessClock
from task.testing import VirtualClock

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted((ROOT / "examples").rglob("README.md")), *sorted(DOCS.rglob("*.md"))]
SCRIPTS = [page for page in PAGES if "<!-- as a script -->" in page.read_text("utf-8")]
EXECUTED = [page for page in PAGES if "```python" in page.read_text("utf-8") and page not in SCRIPTS]
MODULES = ["task", *(module.name for module in pkgutil.walk_packages(task.__path__, "task."))]

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FENCE = re.compile(r"^```(?P<kind>[^`\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)(?P<target>[^)#\s]+)(?:#[^)]*)?\)")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


# Executed pages.


@dataclasses.dataclass
class Block:
    code: str
    #: What stands before it in the page, so that a traceback names the page's own line.
    line: int
    expected: str = ""


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text("utf-8")
    block: Block | None = None
    for fence in FENCE.finditer(text):
        if fence["kind"] == "python":
            if block is not None:
                yield block
            block = Block(fence["text"], text.count("\n", 0, fence.start("text")))
        elif fence["kind"] == "text" and block is not None:
            block.expected = fence["text"]
            yield block
            block = None
    if block is not None:
        yield block


@pytest.fixture
def plain_schedule(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A default scheduler that nobody has adopted, and helpers that have not been used."""
    fresh = schedule.Scheduler()
    monkeypatch.setattr(schedule, "default_scheduler", fresh)
    monkeypatch.setattr(schedule, "jobs", fresh.jobs)
    helpers._make_default_manager.cache_clear()
    yield
    helpers._make_default_manager.cache_clear()


@pytest.fixture
def no_tracer_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that sets one sets it for itself: OpenTelemetry lets a process do that once."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", type(trace._TRACER_PROVIDER_SET_ONCE)())


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def let_time_be(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put *clock* in the place of the machine's, and let what waits for a person or a moment move it."""

    def enter(prompt: str = "") -> str:
        print(prompt, end="")
        clock.advance(seconds=3.5)
        return ""

    def wait(manager: TaskManager) -> None:
        clock.advance(hours=1)
        manager.stop()

    for name in MODULES:
        module = importlib.import_module(name)
        if "SystemClock" in vars(module) and module is not task.clock:
            monkeypatch.setattr(module, "SystemClock", lambda: clock)
    monkeypatch.setattr(ProcessClock, "instead", clock)
    # Plain `schedule` reads the machine's clock when a job is declared.
    names = {**vars(datetime), "datetime": datetime_of(clock)}
    monkeypatch.setattr(schedule, "datetime", types.SimpleNamespace(**names))
    monkeypatch.setattr("builtins.input", enter)
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setattr(TaskManager, "wait", wait)


def datetime_of(clock: VirtualClock) -> type:
    """`datetime.datetime`, with a `now` that is the clock's."""

    class Kind(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, datetime.datetime)

    class Datetime(datetime.datetime, metaclass=Kind):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            local = clock.now().astimezone(tz)
            return local if tz is not None else local.replace(tzinfo=None)

    return Datetime


@pytest.mark.usefixtures("plain_schedule", "no_tracer_provider", "utc")
@pytest.mark.parametrize("page", EXECUTED, ids=name_of)
def test_the_blocks_of_a_page_run_and_print_what_it_shows(
    page: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    if "<!-- in real time -->" not in page.read_text("utf-8"):
        let_time_be(clock, monkeypatch)
    program = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", program)
    for block in blocks(page):
        said = printed_by(block, page, vars(program))
        same = doctest.OutputChecker().check_output(block.expected, said, FLAGS) or block.expected == said
        assert same, f"{name_of(page)}:{block.line}: shown {block.expected!r}, printed {said!r}"


@pytest.mark.parametrize("page", SCRIPTS, ids=name_of)
def test_a_page_that_is_a_script_prints_what_it_shows(page: Path, tmp_path: Path) -> None:
    parts = list(blocks(page))
    script = tmp_path / "script.py"
    script.write_text("\n\n".join(block.code for block in parts), "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    ended = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=90
    )
    shown = "".join(block.expected for block in parts)

    assert ended.returncode == 0, ended.stderr
    assert doctest.OutputChecker().check_output(shown, ended.stdout, FLAGS), f"printed {ended.stdout!r}"


def printed_by(block: Block, page: Path, namespace: dict[str, Any]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile("\n" * block.line + block.code, str(page), "exec"), namespace)
    return printed.getvalue()


@pytest.mark.usefixtures("plain_schedule")
@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_hold(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)

    assert failed == 0


# The pages as a whole.


def test_the_reference_describes_every_public_name() -> None:
    text = (DOCS / "reference.md").read_text("utf-8")
    described: set[str] = set()
    for module, members in re.findall(r"automodule:: (\S+)\n +:members:(.*)", text):
        described.update(members.replace(",", " ").split() or importlib.import_module(module).__all__)

    assert set(task.__all__) - described == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_between_files_lead_somewhere(page: Path) -> None:
    targets = [link["target"] for link in LINK.finditer(page.read_text("utf-8"))]

    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_pages_are_short() -> None:
    lengths = {name_of(page): len(page.read_text("utf-8").splitlines()) for page in PAGES}

    assert {name: length for name, length in lengths.items() if "/howto/" in name and length >= 100} == {}
    assert lengths["README.md"] <= 120


def test_the_clock_of_the_pages_is_virtual(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    let_time_be(clock, monkeypatch)

    assert TaskManager([]).clock.inline
    assert clock.now() == datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)
