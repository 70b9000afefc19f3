"""``Plans``: the schedules of tasks with their next slots, whichever process runs them."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence

from task.errors import StoreError
from task.models import TaskManager
from task.overview.sights import Sight
from task.overview.slots import Ahead
from task.schedules import Line

__all__ = ["Plans"]

Moment = datetime.datetime

#: Of so many tasks that other processes run the schedules are kept.
KEPT = 10_000


class Plans:
    """What is ahead of tasks, as it is planned here, or by another process that shares the store."""

    def __init__(self, manager: TaskManager) -> None:
        self._manager = manager
        #: What others have declared: read again when something of the task has changed, and with all the rest.
        self._declared: dict[str, tuple[Sight, list[Line]]] = {}

    def ahead(self, sights: Iterable[Sight]) -> list[Ahead]:
        """Their schedules, each with its next slot."""
        found: list[Ahead] = []
        for sight in sights:
            if sight.broken is None:
                held = sight.task is not None and sight.task.spec.fixed_delay
                found += [Ahead(sight.name, line, first, held) for line, first in self._lines(sight)]
        return found

    def _lines(self, sight: Sight) -> Sequence[tuple[Line, Moment | None]]:
        if sight.runs_here:
            planned = sight.planned
            # One that is held has its next slot when its run has ended: nobody knows when.
            return [] if planned is None or planned.held else [(line, line.next) for line in planned.timetable.lines]
        if not self._manager.store.shared:
            return []  # nobody else runs them
        now = self._manager.clock.now()
        return [(line, line.after(now)) for line in self._elsewhere(sight)]

    def _elsewhere(self, sight: Sight) -> list[Line]:
        kept = self._declared.get(sight.name)
        if kept is not None and kept[0] is sight:
            return kept[1]
        try:
            declared = self._manager.store.declarations(sight.name)
        except StoreError:
            return []
        lines = [one.line for one in declared if one.until is None]
        if len(self._declared) >= KEPT:
            self._declared.clear()
        self._declared[sight.name] = sight, lines
        return lines
