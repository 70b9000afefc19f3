"""Timelines: what ran and what is expected to run, in lanes."""

from __future__ import annotations

import collections
import datetime
import itertools
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from task.errors import StoreError
from task.models import TaskManager
from task.overview.bars import clip, merge_tiny, overlaps_of, without_skipped
from task.overview.sights import Sight
from task.overview.slots import Ahead, upcoming
from task.overview.strips import Strip
from task.overview.values import Bar, Lane, Timeline
from task.runs import Run

__all__ = ["LANES", "SPANS", "Lanes"]

#: So far a timeline goes back, and ahead.
SPANS = {"day": datetime.timedelta(days=1), "week": datetime.timedelta(days=7)}

#: So many lanes has a timeline.
LANES = 100

#: So many runs are drawn, and so many slots: all of them share these, but each lane has from 100 to 1 500.
BUDGET, LEAST, MOST = 10_000, 100, 1_500

#: So many bars are the width of a screen: what is shorter than one part of that is tiny.
PARTS = 1_500

#: A slot whose task never ran is drawn as a run of this length.
UNKNOWN = datetime.timedelta(seconds=1)


#: So many bars are kept for the next who asks.
KEPT = 50_000

#: A lane of which nothing has changed is drawn anew when it has moved by this share of its past.
MOVED = 1 / 4_320


class _Drawn(NamedTuple):
    """A lane, and what it was made of."""

    sight: Sight
    strip: Strip
    ahead: list[Ahead]
    limit: int
    #: Of when that is, in steps so small that nobody sees one.
    step: int
    bars: list[Bar]
    lane: Lane


class Lanes:
    """The lanes of a manager's timelines, each made again when something of its task has changed."""

    def __init__(self, manager: TaskManager) -> None:
        self._manager = manager
        self._drawn: dict[tuple[str, datetime.timedelta], _Drawn] = {}
        self._bars = 0

    def timeline(
        self,
        span: datetime.timedelta,
        sights: Sequence[Sight],
        strips: Mapping[str, Strip],
        ahead: Sequence[Ahead],
    ) -> Timeline:
        """That of these tasks, whose schedules are *ahead*: what ran within *span*, and what is to come."""
        builder = _Builder(self._manager, span)
        limit = max(LEAST, min(MOST, BUDGET // max(1, len(sights))))
        schedules: dict[str, list[Ahead]] = collections.defaultdict(list)
        for one in ahead:
            schedules[one.task].append(one)
        wanted = {
            sight.name: (sight, strips[sight.name], schedules[sight.name], limit, builder.step_of(sight.name))
            for sight in sights
        }
        found = {name: drawn for name in wanted if (drawn := self._drawn.get((name, span))) is not None}
        found = {name: drawn for name, drawn in found.items() if _serves(drawn, *wanted[name])}
        missing = [name for name in wanted if name not in found]
        rows, seen = builder.rows_of(missing, limit)
        for name in missing:
            sight, strip, schedule, _, step = wanted[name]
            bars, lane = builder.lane(sight, strip, schedule, rows[name], limit)
            found[name] = _Drawn(sight, strip, schedule, limit, step, bars, lane)
            if seen:
                self._keep((name, span), found[name])
        lanes = tuple(found[name].lane for name in wanted)
        return builder.timeline(lanes, [bar for name in wanted for bar in found[name].bars])

    def _keep(self, key: tuple[str, datetime.timedelta], drawn: _Drawn) -> None:
        before = self._drawn.get(key)
        self._bars += len(drawn.bars) - (0 if before is None else len(before.bars))
        self._drawn[key] = drawn
        if self._bars > KEPT:
            self._drawn.clear()
            self._bars = 0


def _serves(drawn: _Drawn, sight: Sight, strip: Strip, ahead: list[Ahead], limit: int, step: int) -> bool:
    """Whether it is as it would be drawn now. A run under way grows."""
    same = drawn.sight is sight and drawn.strip is strip and not sight.standing.active
    return same and (drawn.limit, drawn.step) == (limit, step) and drawn.ahead == ahead


class _Builder:
    """Makes one timeline of a manager."""

    def __init__(self, manager: TaskManager, span: datetime.timedelta) -> None:
        self._manager = manager
        self._now = manager.clock.now()
        self._since, self._until = self._now - span, self._now + span
        self._tiny = 2 * span / PARTS

    def step_of(self, name: str) -> int:
        """Another one whenever a lane has moved: not all lanes do at once."""
        size = (self._now - self._since).total_seconds() * MOVED
        return int(self._now.timestamp() / size + zlib.crc32(name.encode(errors="replace")) % 997 / 997)

    def rows_of(self, names: Sequence[str], limit: int) -> tuple[dict[str, list[Run]], bool]:
        """Their newest runs, and whether the store could be asked: else the problems say so."""
        rows: dict[str, list[Run]] = {name: [] for name in names}
        try:
            rows.update(self._manager.store.recent(names, limit) if names else {})
        except StoreError:
            return rows, False
        return rows, True

    def lane(
        self, sight: Sight, strip: Strip, ahead: Sequence[Ahead], rows: Sequence[Run], limit: int
    ) -> tuple[list[Bar], Lane]:
        """Its bars one by one, and as they are shown."""
        past = self._past(sight, rows)
        coming, cut = self._coming(sight, strip, ahead, limit)
        bars = merge_tiny(past, self._tiny) + merge_tiny(coming, self._tiny)
        return [*past, *coming], Lane(sight.name, tuple(bars), cut or self._goes_on(rows, limit))

    def timeline(self, lanes: tuple[Lane, ...], bars: Sequence[Bar]) -> Timeline:
        """Of these lanes, which have those bars."""
        return Timeline(self._since, self._now, self._until, lanes, overlaps_of(bars))

    def _past(self, sight: Sight, rows: Sequence[Run]) -> list[Bar]:
        """Its newest runs, and those under way until now."""
        started = {run.id: run for run in [*rows, *sight.standing.active] if run.started_at is not None}
        return clip((self._bar(run) for run in started.values()), self._since, self._now)

    def _goes_on(self, rows: Sequence[Run], limit: int) -> bool:
        """Whether there are older ones than these, the newest, that would be on the timeline."""
        return len(rows) == limit and rows[-1].queued_at >= self._since

    def _bar(self, run: Run) -> Bar:
        assert run.started_at is not None
        return Bar(run.id, str(run.state), run.started_at, run.finished_at or self._now)

    def _coming(self, sight: Sight, strip: Strip, ahead: Sequence[Ahead], limit: int) -> tuple[list[Bar], bool]:
        """Its slots that are to come, each as long as its runs are at the median; and whether there are more."""
        length = UNKNOWN if strip.median is None else datetime.timedelta(seconds=strip.median)
        slots = list(itertools.islice(upcoming(ahead, self._until), limit))
        bars = [Bar(None, "expected", slot, slot + length) for slot, _, _ in slots]
        policy = None if sight.task is None else sight.task.spec.policy
        if policy is not None and policy.overlap == "skip":
            bars = without_skipped(bars, policy.max_concurrent)
        return clip(bars, self._now, self._until), len(slots) == limit
