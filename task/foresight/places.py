"""Simulated executors: as many places as the real ones, occupied for as long as a body lasts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from task.executors import REPLACEMENTS, Backlog, Executor, Executors, Work
from task.foresight.clock import Bodies, Ending

if TYPE_CHECKING:
    from task.runs import Run

__all__ = ["Place", "SimulatedExecutors"]


class Place:
    """So many places for bodies, with the real backlog before them; *size* None is without a bound."""

    def __init__(self, name: str, size: int | None, bodies: Bodies, replacements: float = math.inf) -> None:
        self.name = name
        self.size = size
        self._free: float = math.inf if size is None else size
        self._bodies = bodies
        self._backlog = Backlog()
        #: Whose body is under way here, and of whom it overruns: their places are others' by now.
        self._inside: dict[Ending, Run] = {}
        self._replaced: dict[Ending, Run] = {}
        self._replacements = replacements
        #: How many places are occupied, and the microseconds of all that were, counted up to `_counted`. Without a
        #: bound, those in which any was.
        self._occupied = self._busy = self._counted = 0
        #: The most runs that have waited at once.
        self.most_waiting = 0

    def submit(self, work: Work, run: Run, priority: float = 0) -> None:
        if self._free <= 0 or len(self._backlog):
            run.held_up_by = ""
            self._backlog.put(work, run, priority)
            self.most_waiting = max(self.most_waiting, len(self._backlog))
        else:
            self._begin(work, run)
        if self._free > 0:
            self._admit()

    def _admit(self) -> None:
        while self._free > 0 and (item := self._backlog.pop()) is not None:
            self._begin(*item)

    def _begin(self, work: Work, run: Run) -> None:
        self._occupy(1)
        coroutine = work(run)
        ending = None if coroutine is None else self._bodies.begin(coroutine, self)
        if ending is None:
            self._occupy(-1)
        else:
            self._inside[ending] = run

    def left(self, ending: Ending) -> None:
        """A body has ended."""
        if self._inside.pop(ending, None) is None:
            del self._replaced[ending]
            return
        self._occupy(-1)
        if len(self._backlog):
            self._admit()

    def _occupy(self, change: int) -> None:
        micros, occupied = self._bodies.micros, self._occupied
        if occupied and micros != self._counted:
            self._busy += (micros - self._counted) * (1 if self.size is None else occupied)
        self._counted = micros
        self._occupied = occupied + change
        self._free -= change

    def saturation(self) -> float:
        """The share of the time until now that it was occupied."""
        self._occupy(0)
        whole = self._bodies.micros * (self.size or 1)
        return self._busy / whole if whole else 0.0

    def running(self) -> list[Run]:
        return [*self._inside.values(), *self._replaced.values()]

    def waiting(self) -> int:
        return len(self._backlog)

    def replace(self, run: Run, work: Work) -> bool:
        ending = next((ending for ending, its_run in self._inside.items() if its_run is run), None)
        if ending is None or len(self._replaced) >= self._replacements:
            return False
        self._occupy(-1)
        self._replaced[ending] = self._inside.pop(ending)
        self._backlog.put(work, run, math.inf)
        self._admit()
        return True

    def stack(self, run: Run) -> str | None:
        return None

    def close(self, timeout: float) -> None:
        self._backlog.clear()


class SimulatedExecutors(Executors):
    """The places of a simulated manager."""

    def __init__(self, bodies: Bodies, max_workers: int, pools: Mapping[str, int] | None) -> None:
        self._bodies = bodies
        super().__init__(max_workers, pools)

    def make_threads(self, name: str, size: int) -> Executor:
        return Place(name, size, self._bodies, REPLACEMENTS)

    def make_event_loop(self) -> Executor:
        return Place("event loop", None, self._bodies)

    def make_gate(self, name: str, size: int) -> Executor:
        return Place(name, size, self._bodies)
