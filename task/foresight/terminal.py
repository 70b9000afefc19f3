"""The heat map of a forecast for a terminal: one row a day, one column an hour, in shades that need no colour."""

from __future__ import annotations

from collections.abc import Iterator

from task.clock import in_zone
from task.foresight.heat import Heat, heat_of, hour_text, in_trouble, number_text, span_text
from task.foresight.values import Forecast, Hour

__all__ = ["heat_map"]

_BLOCKS = "·░▒▓█"

_CALM, _TROUBLE, _FAINT, _END = "\x1b[36m", "\x1b[33m", "\x1b[2m", "\x1b[0m"

#: ``Mon  4 May``, the mark of a day on which the clock changes, and a space. Characters.
_NAME = 12
#: The sum at the end of a row, with the space before it. Characters.
_SUM = 10
#: A column is at most so wide. Characters.
_WIDEST = 4


def heat_map(forecast: Forecast, width: int = 80, colour: bool = False) -> Iterator[str]:
    """Its lines, at most *width* characters wide (from 40 on): a row for each day, a column for each wall hour.

    The shade of an hour is how many runs start in it, in four steps up to the fullest. The hours in which most goes
    wrong (runs are late or fail, slots are refused) are marked with ``!``, and told below. With *colour* every hour in
    which something goes wrong is yellow. Hours are those of this process's zone.

    >>> import datetime
    >>> from task import TaskManager, cron
    >>> from task.foresight import forecast
    >>> from task.testing import VirtualClock
    >>> manager = TaskManager([], clock=VirtualClock())
    >>> report = manager.add(lambda: None, cron("0 2 * * *", tz="UTC"), name="report")
    >>> found = forecast(manager, manager.clock.now() + datetime.timedelta(days=1))
    >>> len(max(heat_map(found, width=60), key=len)) <= 60
    True
    """
    heat = heat_of(forecast)
    size = min(max((width - _NAME - _SUM) // 24, 1), _WIDEST)
    summed = width >= _NAME + _SUM + 24 * size
    yield from _head(heat, size, summed)
    worst = {id(hour) for hour in heat.worst}
    for day in heat.days:
        cells = "".join(_cell(heat, hour, size, id(hour) in worst, colour) for hour in day.hours)
        total = f"{number_text(day.starts):>{_SUM}}" if summed else ""
        name = f"{day.name}*" if day.clock_changes else day.name
        yield f"{name:<{_NAME}}{cells}{total}".rstrip()
    yield ""
    yield from _fitted(_legend(heat), width)
    for hour in heat.worst:
        local = in_zone(hour.at)
        yield from _fitted([f"! {local:%a} {local.day} {local:%b %H}:00: {hour_text(hour)}"], width)


def _head(heat: Heat, size: int, summed: bool) -> Iterator[str]:
    every = {1: 6, 2: 3, 3: 2, 4: 1}[size]
    hours = "".join(f"{hour:02}".ljust(size * every) for hour in range(0, 24, every))
    yield f"{heat.zone[: _NAME - 1]:<{_NAME}}{hours}{'runs':>{_SUM}}" if summed else f"{'':<{_NAME}}{hours}".rstrip()


def _cell(heat: Heat, hour: Hour | None, size: int, worst: bool, colour: bool) -> str:
    if hour is None:
        return " " * size
    shade = heat.shade(hour)
    text = _BLOCKS[shade] * size if shade else _BLOCKS[0].ljust(size)
    if worst:
        text = f"{text[:-1]}!"
    if colour:
        return f"{_TROUBLE if in_trouble(hour) else _CALM if shade else _FAINT}{text}{_END}"
    return text


def _legend(heat: Heat) -> Iterator[str]:
    yield f"{_BLOCKS[0]} none"
    for step, low, high in heat.steps():
        yield f"{_BLOCKS[step]} {span_text(low, high)}"
    yield "runs start in that hour"
    if heat.worst:
        yield "! most goes wrong"
    if any(day.clock_changes for day in heat.days):
        yield "* the clock changes"


def _fitted(parts: Iterator[str] | list[str], width: int) -> Iterator[str]:
    """Parts beside each other with gaps, on as many lines as they take; one too long is cut."""
    line = ""
    for part in parts:
        cut = part if len(part) <= width else part[: width - 1] + "…"
        if line and len(line) + 3 + len(cut) > width:
            yield line
            line = ""
        line = f"{line}   {cut}" if line else cut
    yield line
