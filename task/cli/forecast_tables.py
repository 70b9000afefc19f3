"""A forecast on a terminal: heat map, tasks, places, what comes together, nights, what never fires, what to change."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence

import click

from task.cli.tables import table
from task.foresight import Forecast, TaskForecast, cures, heat_map
from task.foresight.texts import (
    NIGHTS,
    at_once_text,
    collision_text,
    failed,
    lateness_text,
    moment_text,
    ran,
    refused_text,
    share_text,
    size_text,
    summary,
    worst_first,
    worst_minute_text,
)
from task.log import printable
from task.overview import duration_text

__all__ = ["say", "show_forecast"]

#: The columns of the table of tasks; those that are empty are left out.
_TITLES = ("task", "runs", "fail", "refused", "late up to", "occupied", "takes")
#: What is not cut in a table, and what goes first where there is no room.
_WHOLE, _OPTIONAL = ("runs", "fail", "late up to", "at once", "waiting", "occupied", ""), ("takes", "")

#: Where stdout is no terminal. Characters.
_WIDTH = 100

#: What stands for what not every stdout has.
_PLAIN = str.maketrans("·░▒▓█\u202f…", ".-+*# ~")

#: So many blocks fill the bar of a place.
_BAR = 20


def say(text: str = "") -> None:
    """Write a line to stdout; where that has not such characters, with plain ones."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    click.echo(text)


def _say_wrapped(text: str) -> None:
    say(click.wrap_text(printable(text), _width(), "", "  "))


def _say_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    width = _width() if sys.stdout.isatty() else None
    for line in table(titles, rows, width, whole=_WHOLE, optional=_OPTIONAL):
        say(line)


def _width() -> int:
    """How wide the terminal is; elsewhere as wide as is easily read."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDTH


def show_forecast(forecast: Forecast, top: int) -> None:
    """Write it to stdout, of the *top* tasks that want most attention."""
    _say_wrapped(summary(forecast))
    say()
    for line in heat_map(forecast, _width(), colour=True):
        say(line)
    _show_tasks(forecast, top)
    _show_places(forecast)
    _show_together(forecast)
    _section(
        "NIGHTS IN WHICH THE CLOCK CHANGES",
        (f"{one.task}: {night.local}, {NIGHTS[night.clock_change]}" for one in forecast.tasks for night in one.nights),
        top,
    )
    _section("WITHOUT A SLOT", (f"{one.task}: {one.never}" for one in forecast.tasks if one.never), top)
    _section("ASSUMED", (f"seed {forecast.seed}", *forecast.assumed), top)
    _show_cures(forecast)


def _section(title: str, lines: Iterable[str], top: int) -> None:
    told = list(lines)
    if not told:
        return
    say(f"\n{click.style(title, bold=True)}")
    for line in told[:top]:
        _say_wrapped(line)
    if len(told) > top:
        say(f"and {len(told) - top} more")


def _show_cures(forecast: Forecast) -> None:
    found = cures(forecast)
    if found:
        say(f"\n{click.style('WHAT TO CHANGE', fg='red', bold=True)}")
    for cure in found[:_BAR]:
        _say_wrapped(cure.text)


def _show_tasks(forecast: Forecast, top: int) -> None:
    if not forecast.tasks:
        return
    say()
    worst = worst_first(forecast.tasks)
    rows = [_task_row(task) for task in worst[:top]]
    empty = [at for at, column in enumerate(zip(*rows, strict=True)) if not any(column)]
    kept = [at for at in range(len(_TITLES)) if at not in empty]
    _say_table([_TITLES[at] for at in kept], [[row[at] for at in kept] for row in rows])
    if len(worst) > top:
        say(f"and {len(worst) - top} more tasks (--top {len(worst)} tells of all)")


def _task_row(task: TaskForecast) -> list[str]:
    sample = f" ({task.sample} {'run' if task.sample == 1 else 'runs'})" if task.sample else ""
    fails = failed(task)
    return [
        task.task,
        str(ran(task)),
        str(fails) if fails else "",
        refused_text(task),
        lateness_text(task.max_lateness),
        share_text(task.saturation),
        f"{duration_text(task.duration)}{sample}",
    ]


def _show_places(forecast: Forecast) -> None:
    if not forecast.places:
        return
    say()
    rows = [
        [
            place.place,
            size_text(place.size),
            str(place.most_waiting),
            "" if place.size is None else share_text(place.saturation),
            "" if place.size is None else _bar(place.saturation),
        ]
        for place in forecast.places
    ]
    _say_table(["place", "at once", "waiting", "occupied", ""], rows)


def _bar(share: float) -> str:
    filled = min(round(share * _BAR), _BAR)
    return "█" * filled + "░" * (_BAR - filled)


def _show_together(forecast: Forecast) -> None:
    told = [text for text in (worst_minute_text(forecast), at_once_text(forecast)) if text is not None]
    told += [
        f"{one.times} times from {moment_text(one.at)} on: {collision_text(one)}" for one in forecast.collisions[:5]
    ]
    _section("TOGETHER", told, len(told))
