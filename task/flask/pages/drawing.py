"""Where the bars of a timeline are drawn: shares of its width, in percent."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import NamedTuple

from task.overview import Bar, Lane, Timeline

__all__ = ["Band", "Day", "Drawing", "Rect", "Tick", "draw"]

Moment = datetime.datetime

#: The least width of a bar, so that short runs are seen. Percent.
LEAST = 0.4

#: The overlaps are told for so many parts of the width, each with the most bodies at once in it.
PARTS = 200

#: So far apart are the numbers in the bands of the overlaps, and so wide is what they have room in. Percent.
ROOM, WIDTH = 2.5, 0.5


class Rect(NamedTuple):
    """One bar: where it begins, and how wide it is."""

    bar: Bar
    x: float
    width: float
    #: It is shorter than what can be seen, or made of such.
    tiny: bool


class Row(NamedTuple):
    """One lane."""

    task: str
    rects: tuple[Rect, ...]
    #: Up to where, and from where on, there is more than is shown; None where that is all.
    before: float | None
    after: float | None


class Tick(NamedTuple):
    """One line of the grid; the text of its hour, and of its day where one begins."""

    x: float
    hour: str
    day: str


class Day(NamedTuple):
    """Every other day is shaded."""

    x: float
    width: float


class Band(NamedTuple):
    """A span in which several bodies run at once."""

    x: float
    width: float
    #: How many, and their share of the most there are. Percent.
    bodies: int
    share: float
    start: Moment
    end: Moment
    #: Whether the number has room.
    told: bool


class Drawing(NamedTuple):
    """A timeline, drawn."""

    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]
    days: tuple[Day, ...]
    bands: tuple[Band, ...]
    #: Where now is.
    now: float
    #: The tasks of which nothing is in this span.
    idle: tuple[str, ...]


class _Scale:
    def __init__(self, since: Moment, until: Moment) -> None:
        self._since = since
        self._length = (until - since).total_seconds()

    def at(self, moment: Moment) -> float:
        share = 100 * (moment - self._since).total_seconds() / self._length
        return round(min(100.0, max(0.0, share)), 3)


def draw(line: Timeline) -> Drawing:
    """Everything at its place."""
    scale = _Scale(line.since, line.until)
    rows = tuple(_row(lane, line.now, scale) for lane in line.lanes if lane.bars)
    idle = tuple(lane.task for lane in line.lanes if not lane.bars)
    return Drawing(
        rows,
        tuple(_ticks(line, scale)),
        tuple(_days(line, scale)),
        _bands(line, scale),
        scale.at(line.now),
        idle,
    )


def _row(lane: Lane, now: Moment, scale: _Scale) -> Row:
    rects: list[Rect] = []
    for bar in lane.bars:
        rect = _rect(bar, scale)
        if rects and _are_one(rects[-1], rect):
            begun = rects[-1].bar
            whole = begun._replace(end=max(bar.end, begun.end), run_id=bar.run_id)
            rects[-1] = _rect(whole, scale)._replace(tiny=rect.tiny)
        else:
            rects.append(rect)
    first, last = rects[0], rects[-1]
    before = after = None
    if lane.more and last.bar.run_id is None and last.x + last.width < 100 - ROOM:
        after = last.x + last.width
    elif lane.more and first.bar.run_id is not None and first.x > ROOM:
        before = first.x
    return Row(lane.task, tuple(rects), before, after)


def _are_one(last: Rect, rect: Rect) -> bool:
    """Whether two bars of one state cannot be told apart: what is expected, and runs too short to be seen."""
    alike = last.bar.state == rect.bar.state and rect.x < last.x + last.width + LEAST / 2
    return alike and (rect.bar.run_id is None or (rect.tiny and last.tiny))


def _rect(bar: Bar, scale: _Scale) -> Rect:
    start = min(scale.at(bar.start), 100 - LEAST)
    width = round(scale.at(bar.end) - start, 3)
    return Rect(bar, start, max(LEAST, width), width <= LEAST)


def _ticks(line: Timeline, scale: _Scale) -> Iterator[Tick]:
    """Each third hour of two days, or each day of two weeks, in the zone of the process."""
    week = line.until - line.since > datetime.timedelta(days=3)
    months = 0
    hour = line.since.astimezone().replace(minute=0, second=0, microsecond=0)
    while hour < line.until:
        local = hour.astimezone()  # its clock may have changed since then
        if hour > line.since and local.hour % (24 if week else 3) == 0:
            day = "" if local.hour else f"{local:%a} {local.day}"
            if day and (local.day == 1 or not week or not months):
                day += f" {local:%b}"
                months += 1
            yield Tick(scale.at(hour), "" if week else f"{local:%H:%M}", day)
        hour += datetime.timedelta(hours=1)


def _midnights(line: Timeline) -> Iterator[tuple[Moment, Moment]]:
    """The days of the span, each from its midnight to the next, however many hours that is."""
    day = line.since.astimezone().date()
    while True:
        start, day = _midnight(day), day + datetime.timedelta(days=1)
        if start >= line.until:
            return
        yield start, _midnight(day)


def _midnight(day: datetime.date) -> Moment:
    return datetime.datetime.combine(day, datetime.time()).astimezone()


def _days(line: Timeline, scale: _Scale) -> Iterator[Day]:
    for start, end in _midnights(line):
        if start.astimezone().toordinal() % 2:
            yield Day(scale.at(start), round(scale.at(end) - scale.at(start), 3))


def _bands(line: Timeline, scale: _Scale) -> tuple[Band, ...]:
    """The most bodies at once in each part of the width; parts of one number side by side are one band."""
    counts = [0] * PARTS
    for start, end, count in line.overlaps:
        first, last = (min(PARTS - 1, int(scale.at(moment) * PARTS / 100)) for moment in (start, end))
        for part in range(first, last + 1):
            counts[part] = max(counts[part], count)
    most, begun, told = max(counts), 0, -ROOM
    bands: list[Band] = []
    for part in range(1, PARTS + 1):
        if part == PARTS or counts[part] != counts[begun]:
            if counts[begun]:
                band = _band(line, begun, part, counts[begun], most)
                has_room = band.width > WIDTH and band.x + band.width / 2 >= told + ROOM
                told = band.x + band.width / 2 if has_room else told
                bands.append(band._replace(told=has_room))
            begun = part
    return tuple(bands)


def _band(line: Timeline, begun: int, ended: int, count: int, most: int) -> Band:
    step = (line.until - line.since) / PARTS
    x, width = 100 * begun / PARTS, 100 * (ended - begun) / PARTS
    share = round(100 * count / most, 1)
    return Band(x, width, count, share, line.since + begun * step, line.since + ended * step, told=False)
