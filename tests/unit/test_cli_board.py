"""The picture that `run` draws of a manager: what is on it, and that it fits every terminal."""

from __future__ import annotations

import datetime
import io
import os
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from rich.text import Text

from task import TaskManager, current_run, every, once
from task.cli import foreground
from task.cli import screen as screen_module
from task.cli.board import draw, look
from task.cli.screen import Screen
from task.errors import MissingExtraError
from task.overview import Overview
from task.testing import VirtualClock

pytestmark = pytest.mark.usefixtures("utc")


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone of this process."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def drawn(manager: TaskManager, width: int, height: int, *log: str) -> list[str]:
    """The lines of the picture of a manager as it stands now."""
    lines = draw(look(Overview(manager), manager, "jobs", log), width, height)
    assert len(lines) == height
    assert all(line.cell_len <= width for line in lines)
    return [line.plain.rstrip() for line in lines]


def test_state_progress_next_run_and_last_outcome_are_side_by_side(manager: TaskManager, clock: VirtualClock) -> None:
    def fail() -> None:
        raise ConnectionError("the other side is down")

    def sync() -> None:
        current_run().update_progress(60, "page 6")
        if clock.now().minute == 11:
            clock.sleep(5)
            pictures.append(drawn(manager, 80, 12, "one", "two"))
            pictures.append(drawn(manager, 112, 10))

    pictures: list[list[str]] = []
    manager.add(fail, every(10).minutes, name="fail")
    manager.add(sync, every(11).minutes, name="sync", threaded=True)
    manager.add(lambda: None, every(1).hours, name="tidy")
    manager["tidy"].disable()
    with manager:
        clock.advance(minutes=12)

    assert pictures[0] == [
        "jobs  running                                             Mon 4 May 12:11:05 UTC",
        "3 tasks · 1 failing · 1 running · 1 disabled · record in memory",
        "! fail: Its last run failed: ConnectionError: the other side is down",
        "TASK  STATE             NEXT RUN        LAST RUN",
        "fail  idle              in 8 min        failed 1 min ago, took 0 ms: Connection…",
        "sync  ━━━━━━────  60 %  in 10 min",
        "tidy  disabled",
        "─" * 80,
        "one",
        "two",
        "",
        "",
    ]
    assert pictures[1][3:7] == [
        "TASK  STATE     PROGRESS                        NEXT RUN        LAST RUN",
        "fail  idle                                      "
        "in 8 min        failed 1 min ago, took 0 ms: ConnectionError: t…",
        "sync  running   ━━━━━━────  60 % page 6         in 10 min",
        "tidy  disabled",
    ]


def test_the_most_urgent_are_shown_where_there_is_no_room_for_all(manager: TaskManager, clock: VirtualClock) -> None:
    def fail() -> None:
        raise ValueError

    for number in range(30):
        manager.add(lambda: None, every(30 - number).minutes, name=f"a{number:02}")
    manager.add(fail, once(clock.now() + datetime.timedelta(seconds=1)), name="zealous")
    with manager:
        clock.advance(seconds=30)
        lines = drawn(manager, 60, 12, "log 1", "log 2", "log 3")
        low = drawn(manager, 60, 4)

    assert [line.split()[0] for line in lines[5:9]] == ["zealous", "a29", "a28", "and"]
    assert lines[8] == "and 28 more"
    assert "in 30 s" in lines[6]
    assert lines[-2:] == ["log 2", "log 3"]
    assert len(low) == 4


def test_what_people_have_written_is_neither_obeyed_nor_read_as_markup(
    manager: TaskManager, clock: VirtualClock
) -> None:
    def fail() -> None:
        raise ValueError("\x1b[2J[red]no[/red]\nsecond line")

    manager.add(fail, every(10).minutes, name="[bold]report[/bold]")
    with manager:
        clock.advance(minutes=10)
        lines = drawn(manager, 100, 10)

    assert lines[2] == "! [bold]report[/bold]: Its last run failed: ValueError: \\x1b[2J[red]no[/red]\\nsecond line"
    assert lines[4].startswith("[bold]report[/bold]  idle")


def test_narrow_and_low_terminals_show_what_they_have_room_for(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(10).minutes, name="report_of_everything_that_was_sold")
    manager.add(lambda: None, every(10).minutes, name="東京の報告")
    with manager:
        clock.advance(minutes=10)
        assert drawn(manager, 46, 6)[2:5] == [
            "TASK          STATE     NEXT RUN",
            "report_of_e…  idle      in 10 min",
            "東京の報告    idle      in 10 min",
        ]
        for width in range(1, 130):
            drawn(manager, width, 1 + width % 30)


def test_what_is_waited_for_is_said_while_it_stops(manager: TaskManager, clock: VirtualClock) -> None:
    async def sync() -> None:
        import asyncio

        await asyncio.sleep(1)
        pictures.append(drawn(manager, 80, 6))

    pictures: list[list[str]] = []
    manager.add(sync, every(10).minutes, name="sync")
    with manager:
        clock.advance(minutes=10)
        manager.stop()

    assert pictures[0][:2] == [
        "jobs  stopping                                            Mon 4 May 12:10:01 UTC",
        "Ctrl-C again ends it at once. It waits for sync.",
    ]


def test_of_more_tasks_than_are_looked_at_those_that_want_attention_are_shown(
    manager: TaskManager, clock: VirtualClock
) -> None:
    def fail() -> None:
        raise ValueError

    for number in range(1_010):
        manager.add(lambda: None, every(1).days, name=f"a{number:04}")
    manager.add(fail, every(10).minutes, name="zealous")
    with manager:
        clock.advance(minutes=10)
        lines = drawn(manager, 80, 12)

    assert lines[1].startswith("1011 tasks · 1 failing")
    assert lines[4].startswith("zealous")


def test_a_picture_that_cannot_be_drawn_leaves_the_lines_and_the_tasks(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(width: int, height: int) -> list[Text]:
        raise ZeroDivisionError

    screen, terminal = Screen(draw), io.StringIO()
    monkeypatch.setattr(terminal, "fileno", lambda: 1, raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((80, 24)))
    screen._draw(terminal)
    screen.say("the tasks go on")

    assert terminal.getvalue().endswith("the tasks go on\n")
    assert "\x1b[?1049l" in terminal.getvalue()


def test_a_terminal_is_given_back_though_its_picture_is_held_up(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(width: int, height: int) -> list[Text]:
        drawing.set()
        assert go_on.wait(60)
        return [Text("too late")]

    drawing, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(screen_module, "_PATIENCE", 0.01)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((80, 24)))
    with Screen(draw).shown():
        assert drawing.wait(60)
        (thread,) = [thread for thread in threading.enumerate() if thread.name == "task-screen"]
    shown = capfd.readouterr().out
    go_on.set()
    thread.join(60)

    assert shown.startswith("\x1b[?1049h")
    assert shown.endswith("\x1b[?1049l")
    assert "too late" not in capfd.readouterr().out


def test_without_rich_a_terminal_is_refused_with_the_extra_and_plain_lines_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "task.cli.screen")
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    with pytest.raises(MissingExtraError, match=r"--plain does without\) needs the extra 'cli'"):
        foreground._can_draw()
