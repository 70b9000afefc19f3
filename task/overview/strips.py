"""Strips: the newest slots and runs of a task, and what these took."""

from __future__ import annotations

import collections
import itertools
import statistics
import threading
from collections.abc import Hashable, Iterable, Mapping
from typing import NamedTuple

from task.overview.values import Cell
from task.runs import Run, RunState
from task.stores import Standing, Statistics, Store

__all__ = ["STRIP", "Strip", "Strips"]

#: So many cells has a strip.
STRIP = 60

#: So many strips are kept, those that were asked for last.
KEPT = 1_000


class Strip(NamedTuple):
    """The newest slots and runs of one task, oldest first, and what these took."""

    cells: tuple[Cell, ...]
    figures: Statistics
    #: Seconds; None where none has ended.
    median: float | None

    @classmethod
    def of(cls, name: str, newest: Iterable[Run]) -> Strip:
        """From its newest rows, the newest first."""
        cells: list[Cell] = []
        sample: list[tuple[float, float | None]] = []
        delays = []
        for run in itertools.islice(newest, STRIP):
            cell = Cell(run.id, str(run.state), run.slot or run.queued_at, run.duration, run.count)
            cells.append(cell)
            if cell.duration is not None and run.state is not RunState.LOST:  # of which nobody saw the end
                sample.append((cell.duration, run.lateness))
                if run.delays:
                    delays.append(run.delays)
        median = statistics.median(duration for duration, _ in sample) if sample else None
        return cls(tuple(reversed(cells)), Statistics.of(name, {}, sample, delays), median)


#: Of a task that nothing is known of.
_EMPTY = Strip.of("", ())


class Strips:
    """The strips of a store's tasks, each read again when something of its task has changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: collections.OrderedDict[str, tuple[Hashable, Strip]] = collections.OrderedDict()
        self.renew_lock()

    def renew_lock(self) -> None:
        """A fresh lock, after a fork."""
        self._lock = threading.Lock()

    def of(self, standing: Mapping[str, Standing]) -> dict[str, Strip]:
        """Those of the tasks that stand so. Raises `StoreUnavailableError`."""
        signs = {name: _sign(one) for name, one in standing.items()}
        with self._lock:
            found = {name: self._kept[name][1] for name, sign in signs.items() if self._same(name, sign)}
        stale = [name for name in standing if name not in found]
        if stale:
            rows = self._store.recent(stale, STRIP)
            found.update({name: Strip.of(name, rows.get(name, ())) for name in stale})
        with self._lock:
            for name, sign in signs.items():
                self._kept[name] = sign, found[name]
                self._kept.move_to_end(name)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found

    def last(self, name: str) -> Strip:
        """As it was read last, however long ago; an empty one where it never was."""
        with self._lock:
            kept = self._kept.get(name)
        return _EMPTY if kept is None else kept[1]

    def _same(self, name: str, sign: Hashable) -> bool:
        return name in self._kept and self._kept[name][0] == sign


def _sign(standing: Standing) -> Hashable:
    """Another one where something was recorded of the task since."""
    summary = standing.summary
    active = tuple((run.id, run.state) for run in standing.active)
    last = None if summary.last is None else summary.last.id
    return summary.runs, summary.failures, sum(summary.skips.values()), last, standing.mark, active
