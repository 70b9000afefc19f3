"""One picture of a manager that fills a terminal: how it does, its tasks, what is wrong, and the last lines of its log.

Needs `rich`, of the extra ``cli``. What people have written is shown, and neither obeyed nor read as markup.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.text import Text

from task.cli.tables import COLOURS
from task.cli.texts import ago
from task.clock import in_zone
from task.log import printable
from task.models import Health, TaskManager
from task.overview import Overview, Problem, TaskCard, duration_text

__all__ = ["Board", "draw", "look"]

Moment = datetime.datetime

#: So many tasks are looked at, and so many more of each kind that wants attention.
_LOOKED_AT, _MORE = 1_000, 100

#: What goes first where there is no room for all.
_URGENCY = ("broken", "failing", "running", "retrying", "queued", "idle", "paused", "disabled")

#: So many lines of the log are shown at least, and so many problems at most.
_LOG, _PROBLEMS = 4, 3

#: How long a bar is. Characters.
_BAR = 10


class Board(NamedTuple):
    """What is drawn."""

    title: str
    now: Moment
    health: Health
    #: Where the record is kept.
    store: str
    cards: tuple[TaskCard, ...]
    total: int
    #: How many do what.
    doing: dict[str, int]
    paused: bool
    problems: tuple[Problem, ...]
    #: The newest lines of the log, the last one last.
    log: tuple[str, ...]
    #: Whose bodies it waits for, when it is stopping.
    waits: tuple[str, ...]


def look(overview: Overview, manager: TaskManager, title: str, log: Sequence[str]) -> Board:
    """A manager as it stands now."""
    page, problems = overview.board(limit=_LOOKED_AT)
    cards = {card.name: card for card in page.cards}
    if page.cursor is not None:
        for kind in ("broken", "failing", "running", "retrying", "queued"):
            if page.doing.get(kind):
                cards.update((card.name, card) for card in overview.tasks(doing=kind, limit=_MORE).cards)
    stopping = manager.state == "stopping"
    return Board(
        title=title,
        now=manager.clock.now(),
        health=overview.health(),
        store=repr(manager.store)[len("SqlStore(<") : -len(">)")] if manager.store.shared else "in memory",
        cards=tuple(cards.values()),
        total=page.total,
        doing=page.doing,
        paused=page.paused,
        problems=tuple(one for one in problems if one.kind != "stopped"),
        log=tuple(log),
        waits=tuple(card.name for card in cards.values() if card.doing == "running") if stopping else (),
    )


def draw(board: Board, width: int, height: int) -> list[Text]:
    """Its lines: as many as the terminal has, none wider than that."""
    stopping = board.health.state == "stopping"
    head = [_title(board, width), _waits(board) if stopping else _counts(board)]
    problems = [_problem(one) for one in board.problems[:_PROBLEMS]]
    if len(board.problems) > _PROBLEMS:
        problems.append(Text(f"  and {len(board.problems) - _PROBLEMS} more problems", "yellow"))
    room = height - len(head) - 2  # the titles of the columns, and the line above the log
    problems = problems[: max(0, room // 4)]
    room -= len(problems)
    rows = _rows(board, width, max(1, room - min(_LOG, room // 3)))
    lines = [*head, *problems, *rows, Text("─" * width, "dim")]
    left = max(0, height - len(lines))
    lines += [Text(printable(line), "dim") for line in (board.log[-left:] if left else ())]
    lines += [Text()] * (height - len(lines))
    for line in lines:
        line.rstrip()
        line.truncate(width, overflow="ellipsis")
    return lines[:height]


# The head.


def _title(board: Board, width: int) -> Text:
    line = Text(printable(board.title), "bold")
    state, colour = board.health.state, "green" if board.health.healthy else "red"
    if state in ("stopping", "stopped"):
        colour = "yellow"
    line.append(f"  {state}", colour)
    if state == "running" and not board.health.healthy:
        line.append(f", unhealthy: {printable(board.health.causes[0])}", colour)
    elif board.paused:
        line.append(", all tasks are paused", "yellow")
    now = in_zone(board.now)
    clock = Text(f"  {now:%a} {now.day} {now:%b %H:%M:%S %Z}" if width >= 60 else "", "not bold dim")
    line.truncate(max(0, width - clock.cell_len), overflow="ellipsis", pad=True)
    return line + clock


def _waits(board: Board) -> Text:
    if not board.waits:
        return Text("It waits for nothing more.", "yellow")
    more = f" and {len(board.waits) - 3} more" if len(board.waits) > 3 else ""
    names = ", ".join(printable(name) for name in board.waits[:3])
    return Text(f"Ctrl-C again ends it at once. It waits for {names}{more}.", "yellow")


def _counts(board: Board) -> Text:
    counted = [f"{board.total} task{'' if board.total == 1 else 's'}"]
    counted += [f"{board.doing[kind]} {kind}" for kind in _URGENCY if kind != "idle" and board.doing.get(kind)]
    return Text(f"{' · '.join(counted)} · record {printable(board.store)}", "dim")


def _problem(problem: Problem) -> Text:
    task = "" if problem.task is None else f"{problem.task}: "
    return Text(printable(f"! {task}{problem.text}"), "yellow")


# The tasks.


class _Columns(NamedTuple):
    """How wide each is; 0: not shown."""

    name: int
    state: int
    progress: int
    next_run: int
    last: int


def _columns(cards: Sequence[TaskCard], width: int) -> _Columns:
    longest = max((Text(printable(card.name)).cell_len for card in cards), default=4)
    state, progress, following = (10, 32, 16) if width >= 110 else (18, 0, 16) if width >= 60 else (10, 0, 12)
    if width < 34:
        following = 0
    rest = width - state - progress - following
    name = min(max(longest, 4) + 2, max(rest // 2, 14))
    last = rest - name + 2 if rest - name >= 12 else 0  # nothing follows: it needs no gap
    return _Columns(name, state, progress, following, last)


def _rows(board: Board, width: int, room: int) -> Iterator[Text]:
    """The titles, and as many tasks as there is room for: the most urgent ones, where that is not all."""
    cards, left = sorted(board.cards, key=lambda card: card.name), 0
    if board.total > room:
        cards = sorted(cards, key=_urgency)[: max(0, room - 1)]
        left = board.total - len(cards)
    columns = _columns(cards, width)
    yield _row([Text(one, "bold") for one in ("TASK", "STATE", "PROGRESS", "NEXT RUN", "LAST RUN")], columns)
    for card in cards:
        yield _row(
            [
                Text(printable(card.name)),
                _state(card, columns),
                _progress(card) + Text(f" {printable(card.message)}" if card.message else ""),
                Text(_countdown(card, board.now)),
                _last(card, board.now),
            ],
            columns,
        )
    if left:
        yield Text(f"and {left} more", "dim")


def _urgency(card: TaskCard) -> tuple[int, float, str]:
    kind = "failing" if card.doing == "idle" and card.consecutive_failures else card.doing
    due = float("inf") if card.next_run is None else card.next_run.timestamp()
    return _URGENCY.index(kind), due, card.name


def _row(cells: Sequence[Text], columns: _Columns) -> Text:
    line = Text()
    for cell, size in zip(cells, columns, strict=True):
        if size:
            cell.truncate(size - 2, overflow="ellipsis", pad=True)
            line += cell + Text("  ")
    return line


def _state(card: TaskCard, columns: _Columns) -> Text:
    if card.run_id is not None and card.progress is not None and not columns.progress:
        return _progress(card) if columns.state > _BAR + 7 else Text(f"{card.progress:.0f} %", "cyan")
    return Text(card.doing, COLOURS.get(card.doing, "dim" if card.doing == "idle" else "yellow"))


def _progress(card: TaskCard) -> Text:
    if card.progress is None or card.run_id is None:
        return Text()
    done = round(_BAR * min(100.0, max(0.0, card.progress)) / 100)
    return Text("━" * done, "cyan") + Text("─" * (_BAR - done), "dim") + Text(f" {card.progress:3.0f} %")


def _countdown(card: TaskCard, now: Moment) -> str:
    if card.next_run is None or not card.enabled:
        return ""
    seconds = (card.next_run - now).total_seconds()
    if seconds <= 0:
        return "now"
    return f"in {seconds:.0f} s" if seconds < 60 else ago(card.next_run, now)


def _last(card: TaskCard, now: Moment) -> Text:
    if card.last is None:
        return Text()
    last = card.last
    line = Text(last.state.replace("_", " "), COLOURS.get(last.state, ""))
    seconds = max(0.0, (now - last.at).total_seconds())
    line.append(" just now" if seconds < 1 else f" {seconds:.0f} s ago" if seconds < 60 else f" {ago(last.at, now)}")
    if last.duration is not None:
        line.append(f", took {duration_text(last.duration)}", "dim")
    if last.text:
        line.append(f": {printable(last.text)}", "dim")
    return line
