"""A forecast as one page of HTML: it needs nothing but itself, no script, and asks no host for anything."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence

from task.foresight.cures import SATURATED, cures
from task.foresight.heat import heat_of, number_text
from task.foresight.page_style import PAGE_STYLE
from task.foresight.texts import (
    NIGHTS,
    assumed_text,
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
from task.foresight.values import Forecast, PlaceForecast, TaskForecast
from task.foresight.vector import escaped, heat_picture

__all__ = ["to_html"]

#: What may be done here: nothing is loaded, nothing runs.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

#: So much of one kind is listed.
_MOST = 200
#: So many tasks have a row: those of which most goes wrong.
_MOST_TASKS = 1_000


def to_html(forecast: Forecast, title: str = "Forecast") -> str:
    """A forecast as a page of HTML in one file; *title* is what it is called.

    Heat map, what is full and what mends it, places, tasks, collisions, nights in which the clock changes, tasks that
    never fire, and what was assumed. It reads in light and in dark and on a phone, and to those who hear it.

    >>> import datetime
    >>> from task import TaskManager, cron
    >>> from task.foresight import forecast
    >>> from task.testing import VirtualClock
    >>> manager = TaskManager([], clock=VirtualClock())
    >>> report = manager.add(lambda: None, cron("0 2 * * *", tz="UTC"), name="report")
    >>> found = forecast(manager, manager.clock.now() + datetime.timedelta(days=1))
    >>> to_html(found, "Tomorrow").split()[0]
    '<!doctype'
    """
    sections = [
        _section("When", _heat(forecast)),
        _section("What to change", _list(escaped(cure.text) for cure in cures(forecast)), "full"),
        _section("Places", _places(forecast.places)),
        _section("Tasks", _tasks(forecast.tasks)),
        _section("At once", _at_once(forecast)),
        _section("Nights in which the clock changes", _nights(forecast)),
        _section("Without a slot", _never(forecast)),
        _section("What was assumed", _assumed(forecast)),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>{PAGE_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<header>\n<h1>{escaped(title)}</h1>\n<p>{escaped(summary(forecast))}</p>\n</header>\n"
        f"{''.join(sections)}</main>\n</body>\n</html>\n"
    )


def _section(title: str, body: str, kind: str = "") -> str:
    if not body:
        return ""
    named = f' class="{kind}"' if kind else ""
    return f"<section{named}>\n<h2>{title}</h2>\n{body}</section>\n"


def _list(items: Iterable[str]) -> str:
    """At most `_MOST` of them, and how many there are beyond."""
    every = list(items)
    rest = [f"and {number_text(len(every) - _MOST)} more"] if len(every) > _MOST else []
    told = "".join(f"<li>{item}</li>\n" for item in [*every[:_MOST], *rest])
    return f"<ul>\n{told}</ul>\n" if told else ""


def _wide(title: str, body: str) -> str:
    """What may be wider than a phone: it scrolls by itself, also by keyboard."""
    return f'<div class="wide" role="region" aria-label="{title}" tabindex="0">\n{body}</div>\n'


def _table(titles: Sequence[tuple[str, bool]], rows: Iterable[Sequence[str]]) -> str:
    """*titles* say whether a column has numbers; a row is a name and cells. On a phone rows are cards."""
    head = "".join(f'<th scope="col"{_aligned(number)}>{title}</th>' for title, number in titles)
    told = "".join(map(functools.partial(_row, titles[1:]), rows))
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{told}</tbody>\n</table>\n"


def _row(titles: Sequence[tuple[str, bool]], row: Sequence[str]) -> str:
    cells = (
        f'<td data-label="{title}"{_aligned(number)}>{cell}</td>'
        for (title, number), cell in zip(titles, row[1:], strict=True)
    )
    return f'<tr><th scope="row">{row[0]}</th>{"".join(cells)}</tr>\n'


def _aligned(number: bool) -> str:
    return ' class="number"' if number else ""


def _heat(forecast: Forecast) -> str:
    rows = []
    for day in heat_of(forecast).days:
        hours = [hour for hour in day.hours if hour is not None]
        sums = (day.starts, *(sum(getattr(hour, field) for hour in hours) for field in ("late", "failed", "refused")))
        rows.append((day.name, *map(number_text, sums)))
    titles = [("Day", False), ("Runs", True), ("Late", True), ("Failed", True), ("Slots refused", True)]
    figures = f"<details>\n<summary>The figures of each day</summary>\n{_table(titles, rows)}</details>\n"
    return _wide("Heat map", heat_picture(forecast)) + figures


def _places(places: Iterable[PlaceForecast]) -> str:
    rows = [
        (
            escaped(place.place),
            size_text(place.size),
            "" if place.size is None else share_text(place.saturation) + _bar(place.saturation),
            number_text(place.most_waiting),
        )
        for place in places
    ]
    return _table([("Place", False), ("Bodies at once", True), ("Occupied", False), ("Most that wait", True)], rows)


def _bar(share: float) -> str:
    full = ' class="full"' if share >= SATURATED else ""
    return f'<span class="bar"><span{full} style="width: {min(share, 1) * 100:.1f}%"></span></span>'


def _tasks(tasks: Iterable[TaskForecast]) -> str:
    titles = [("Task", False), ("Slots", True), ("Runs", True), ("Fail", True), ("Refused", False)]
    titles += [("Half are late by", True), ("One in 20 by", True), ("Most by", True), ("Occupied", True)]
    worst = worst_first(tasks)
    rest = len(worst) - _MOST_TASKS
    more = f"<p>and {number_text(rest)} more, of which less goes wrong</p>\n" if rest > 0 else ""
    return _wide("Tasks", _table(titles, map(_task, worst[:_MOST_TASKS]))) + more


def _task(task: TaskForecast) -> Sequence[str]:
    wrong = failed(task)
    full = "bad" if task.saturation >= SATURATED else ""
    return (
        f'{escaped(task.task)}<span class="sub">{escaped(task.place)}, {escaped(assumed_text(task))}</span>',
        number_text(task.slots),
        number_text(ran(task)),
        _marked(number_text(wrong) if wrong else "", "bad"),
        escaped(refused_text(task)),
        *(_marked(lateness_text(seconds), "late") for seconds in _latenesses(task)),
        _marked(share_text(task.saturation), full),
    )


def _latenesses(task: TaskForecast) -> tuple[float | None, ...]:
    return task.p50_lateness, task.p95_lateness, task.max_lateness


def _marked(text: str, kind: str) -> str:
    return f'<span class="{kind}">{text}</span>' if kind and text else text


def _at_once(forecast: Forecast) -> str:
    told = [text for text in (worst_minute_text(forecast), at_once_text(forecast)) if text is not None]
    rows = [(escaped(collision_text(one)), number_text(one.times), moment_text(one.at)) for one in forecast.collisions]
    titles = [("Come due together", False), ("Times", True), ("First", False)]
    return _list(map(escaped, told)) + (_table(titles, rows) if rows else "")


def _nights(forecast: Forecast) -> str:
    return _list(
        f"<strong>{escaped(task.task)}</strong>: {escaped(night.local)}, {NIGHTS[night.clock_change]}"
        for task in forecast.tasks
        for night in task.nights
    )


def _never(forecast: Forecast) -> str:
    return _list(
        f"<strong>{escaped(task.task)}</strong>: {escaped(task.never)}" for task in forecast.tasks if task.never
    )


def _assumed(forecast: Forecast) -> str:
    return _list(_assumptions(forecast))


def _assumptions(forecast: Forecast) -> Iterator[str]:
    yield f"The seed of all that is drawn is {forecast.seed}: the same seed draws the same."
    yield "Of each task: how long its body takes, how often it fails, and from how many runs on record that comes."
    yield from map(escaped, forecast.assumed)
