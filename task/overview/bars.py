"""Lanes of a timeline: runs as bars, tiny ones beside each other as one, and where bodies overlap."""

from __future__ import annotations

import datetime
import heapq
from collections.abc import Iterable, Iterator, Sequence

from task.overview.values import Bar

__all__ = ["clip", "merge_tiny", "overlaps_of", "without_skipped"]

Moment = datetime.datetime

Overlap = tuple[Moment, Moment, int]


def clip(bars: Iterable[Bar], since: Moment, until: Moment) -> list[Bar]:
    """What of them lies in a span of time, in order."""
    inside = [
        bar
        if since <= bar.start and bar.end <= until
        else bar._replace(start=max(bar.start, since), end=min(bar.end, until))
        for bar in bars
        if bar.end >= since and bar.start <= until and bar.end >= bar.start  # else: the clock was set back meanwhile
    ]
    return sorted(inside, key=lambda bar: (bar.start, bar.end))


def without_skipped(bars: Iterable[Bar], at_once: int) -> list[Bar]:
    """Bars in order, without those that begin while so many before them go on: a guard will skip them.

    >>> noon = datetime.datetime(2026, 5, 4, 12)
    >>> at = lambda minute: noon + datetime.timedelta(minutes=minute)
    >>> bars = [Bar(None, "expected", at(start), at(start + 25)) for start in (0, 10, 20, 30)]
    >>> [bar.start.minute for bar in without_skipped(bars, 1)]
    [0, 30]
    """
    left: list[Bar] = []
    ends: list[Moment] = []
    for bar in bars:
        while ends and ends[0] <= bar.start:
            heapq.heappop(ends)
        if len(ends) < at_once:
            heapq.heappush(ends, bar.end)
            left.append(bar)
    return left


def merge_tiny(bars: Sequence[Bar], size: datetime.timedelta) -> list[Bar]:
    """Bars in order, those shorter than *size* that follow each other as closely, in one state, as one.

    What is merged has the id of its newest run.
    """
    merged: list[Bar] = []
    grows = False  # whether the last one is tiny, or made of such
    for bar in bars:
        tiny = bar.end - bar.start < size
        last = merged[-1] if merged and grows and tiny else None
        if last is not None and last.state == bar.state and bar.start - last.end < size:
            merged[-1] = last._replace(run_id=bar.run_id, end=max(last.end, bar.end))
        else:
            merged.append(bar)
        grows = tiny
    return merged


def overlaps_of(bars: Iterable[Bar], limit: int = 500) -> tuple[Overlap, ...]:
    """Spans in which more than one of them goes on, and how many; of very many the longest, in order.

    >>> noon = datetime.datetime(2026, 5, 4, 12)
    >>> at = lambda minute: noon + datetime.timedelta(minutes=minute)
    >>> [(start.minute, end.minute, count) for start, end, count in overlaps_of(
    ...     [Bar("1", "succeeded", at(0), at(10)), Bar("2", "succeeded", at(5), at(15))])]
    [(5, 10, 2)]
    """
    spans: list[Overlap] = []
    count, since = 0, None
    for moment, step in _steps([bar for bar in bars if bar.end > bar.start]):
        if since is not None and moment > since and count > 1:
            if spans and spans[-1][1] == since and spans[-1][2] == count:
                spans[-1] = (spans[-1][0], moment, count)
            else:
                spans.append((since, moment, count))
        count, since = count + step, moment
    if len(spans) > limit:
        spans = sorted(heapq.nlargest(limit, spans, key=lambda span: span[1] - span[0]))
    return tuple(spans)


def _steps(bars: Sequence[Bar]) -> Iterator[tuple[Moment, int]]:
    """When one more begins, or ends: at one moment the ends first. There are tens of thousands of them."""
    starts, ends = sorted([bar.start for bar in bars]), sorted([bar.end for bar in bars])
    begun, last = 0, len(starts)
    for end in ends:
        while begun < last and starts[begun] < end:
            yield starts[begun], 1
            begun += 1
        yield end, -1
