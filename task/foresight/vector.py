"""The heat map of a forecast as SVG: in light and dark, without a request to anywhere, and with its figures as text."""

from __future__ import annotations

import html
from collections.abc import Iterator

from task.foresight.heat import Day, Heat, heat_of, hour_text, in_trouble, number_text, span_text
from task.foresight.texts import moment_text, summary
from task.foresight.values import Forecast, Hour
from task.log import printable

__all__ = ["STYLE", "escaped", "heat_picture", "to_svg"]

#: A cell with the gap after it, the names of days before the first, the sums behind the last. Pixels.
_WIDE, _HIGH, _GAP = 26, 20, 2
_LEFT, _RIGHT = 100, 76
_WIDTH = _LEFT + 24 * _WIDE + _RIGHT
#: The names of hours above the cells, and the legend below. Pixels.
_HEAD, _LEGEND = 22, 52
#: A whole picture has a frame, and a title. Pixels.
_MARGIN, _TITLE = 24, 58

#: So much of a title fits. Characters.
_LONGEST = 80

#: What the heat map looks like, here and on a page.
STYLE = """
.heat text {
  font: 12px ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  fill: #57524a; font-variant-numeric: tabular-nums; }
.heat .sum, .heat .hour { text-anchor: end; }
.heat .hour { text-anchor: middle; }
.heat .worst { text-anchor: middle; font-weight: 700; fill: #1d1b18; }
.heat .frame { fill: #fbfaf8; stroke: #e3dfd8; }
.heat .heading { font-size: 17px; font-weight: 650; fill: #1d1b18; }
.heat .s0 { fill: #f0ede7; } .heat .s1 { fill: #c8e2df; } .heat .s2 { fill: #8cc2bd; }
.heat .s3 { fill: #46908c; } .heat .s4 { fill: #175c5a; }
.heat .trouble { stroke: #b3261e; stroke-width: 2; }
.heat .on-dark { fill: #ffffff; }
@media (prefers-color-scheme: dark) {
  .heat text { fill: #bdb7ac; }
  .heat .worst { fill: #efece6; }
  .heat .frame { fill: #161513; stroke: #35322d; }
  .heat .heading { fill: #efece6; }
  .heat .s0 { fill: #262421; } .heat .s1 { fill: #1f4442; } .heat .s2 { fill: #2c6a67; }
  .heat .s3 { fill: #459994; } .heat .s4 { fill: #8fdcd5; }
  .heat .trouble { stroke: #ff8a80; }
  .heat .on-dark { fill: #0c2322; }
}
"""


def to_svg(forecast: Forecast, title: str = "Forecast") -> str:
    """The heat map of a forecast as a file of its own; *title* is what it is called.

    It reads in light and in dark (as ``prefers-color-scheme`` says), asks no other host for anything, and has its
    figures as a description, and for each hour where the pointer is.

    >>> import datetime
    >>> from task import TaskManager, cron
    >>> from task.foresight import forecast
    >>> from task.testing import VirtualClock
    >>> manager = TaskManager([], clock=VirtualClock())
    >>> report = manager.add(lambda: None, cron("0 2 * * *", tz="UTC"), name="report")
    >>> found = forecast(manager, manager.clock.now() + datetime.timedelta(days=1))
    >>> to_svg(found, "Tomorrow").partition(" ")[0]
    '<svg'
    """
    heat = heat_of(forecast)
    high = _TITLE + _heat_height(heat) + 2 * _MARGIN
    wide = _WIDTH + 2 * _MARGIN
    shown = title if len(title) <= _LONGEST else f"{title[: _LONGEST - 1]}…"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="heat" role="img" aria-labelledby="title desc" '
        f'viewBox="0 0 {wide} {high}" width="{wide}" height="{high}">\n'
        f'<title id="title">{escaped(title)}</title>\n<desc id="desc">{escaped(_described(forecast, heat))}</desc>\n'
        f"<style>{STYLE}</style>\n"
        f'<rect class="frame" x="0.5" y="0.5" width="{wide - 1}" height="{high - 1}" rx="10"/>\n'
        f'<text class="heading" x="{_MARGIN}" y="{_MARGIN + 15}">{escaped(shown)}</text>\n'
        f'<text x="{_MARGIN}" y="{_MARGIN + 36}">{escaped(summary(forecast))}</text>\n'
        f'<g transform="translate({_MARGIN} {_MARGIN + _TITLE})">\n{"".join(_drawn(heat))}</g>\n</svg>\n'
    )


def heat_picture(forecast: Forecast) -> str:
    """The heat map alone, for a page that has `STYLE`."""
    heat = heat_of(forecast)
    high = _heat_height(heat)
    return (
        f'<svg class="heat" role="img" aria-labelledby="heat-title heat-desc" viewBox="0 0 {_WIDTH} {high}">\n'
        f'<title id="heat-title">Heat map: a row for each day, a column for each hour</title>\n'
        f'<desc id="heat-desc">{escaped(_described(forecast, heat))}</desc>\n{"".join(_drawn(heat))}</svg>\n'
    )


def escaped(text: str) -> str:
    """A text of somebody's in HTML or XML: what is not printable is told as an escape."""
    return html.escape(printable(text))


def _described(forecast: Forecast, heat: Heat) -> str:
    told = [f"{summary(forecast)}.", "Runs that start on each day:"]
    told.append(", ".join(f"{day.name.replace('  ', ' ')} {number_text(day.starts)}" for day in heat.days) + ".")
    if heat.worst:
        told.append(
            "Most goes wrong: " + "; ".join(f"{moment_text(one.at)}: {hour_text(one)}" for one in heat.worst) + "."
        )
    return " ".join(told)


def _heat_height(heat: Heat) -> int:
    return _HEAD + len(heat.days) * _HIGH + _LEGEND


def _drawn(heat: Heat) -> Iterator[str]:
    for hour in range(0, 24, 3):
        yield f'<text class="hour" x="{_LEFT + hour * _WIDE + (_WIDE - _GAP) / 2:g}" y="12">{hour:02}</text>\n'
    yield f'<text class="sum" x="{_WIDTH}" y="12">runs</text>\n'
    worst = {id(hour) for hour in heat.worst}
    for row, day in enumerate(heat.days):
        yield from _row(heat, day, _HEAD + row * _HIGH, worst)
    yield from _legend(heat, _HEAD + len(heat.days) * _HIGH + 12)


def _row(heat: Heat, day: Day, top: int, worst: set[int]) -> Iterator[str]:
    star = "*" if day.clock_changes else ""
    yield f'<text x="0" y="{top + 13}">{day.name}{star}</text>\n'
    for number, hour in enumerate(day.hours):
        if hour is not None:
            yield _cell(heat, hour, _LEFT + number * _WIDE, top, id(hour) in worst)
    yield f'<text class="sum" x="{_WIDTH}" y="{top + 13}">{number_text(day.starts)}</text>\n'


def _cell(heat: Heat, hour: Hour, left: int, top: int, worst: bool) -> str:
    shade, trouble = heat.shade(hour), " trouble" if in_trouble(hour) else ""
    inset = 1 if trouble else 0  # the line around it lies inside its place
    wide, high = _WIDE - _GAP - 2 * inset, _HIGH - _GAP - 2 * inset
    told = f"<title>{moment_text(hour.at)}: {hour_text(hour)}</title>"
    cell = (
        f'<rect class="s{shade}{trouble}" x="{left + inset}" y="{top + inset}" width="{wide}" height="{high}" rx="3">'
    )
    mark = ""
    if worst:
        dark = " on-dark" if shade >= 3 else ""
        mark = f'<text class="worst{dark}" x="{left + (_WIDE - _GAP) / 2:g}" y="{top + 13}">!{told}</text>\n'
    return f"{cell}{told}</rect>\n{mark}"


def _legend(heat: Heat, top: int) -> Iterator[str]:
    yield f'<text x="0" y="{top + 11}">runs an hour</text>\n'
    left = _LEFT
    for shade, text in [(0, "none"), *((step, span_text(low, high)) for step, low, high in heat.steps())]:
        yield f'<rect class="s{shade}" x="{left}" y="{top}" width="14" height="14" rx="3"/>\n'
        yield f'<text x="{left + 20}" y="{top + 11}">{text}</text>\n'
        left += 40 + 7 * len(text)
    if heat.worst:
        yield f'<rect class="s0 trouble" x="{_LEFT + 1}" y="{top + 23}" width="12" height="12" rx="3"/>\n'
        yield f'<text x="{_LEFT + 20}" y="{top + 33}">late, failed or refused; ! where it is worst</text>\n'
    if any(day.clock_changes for day in heat.days):
        yield f'<text class="sum" x="{_WIDTH}" y="{top + 33}">* the clock changes</text>\n'
