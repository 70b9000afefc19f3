"""``Plans``: the schedules of tasks with their next slots, whichever process runs them."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterable, Iterator

from task.errors import StoreError
from task.models import TaskManager
from task.overview.sights import Sight
from task.overview.slots import Ahead
from task.stores import Declaration, OnRecord

__all__ = ["Plans"]

Moment = datetime.datetime

#: Of so many tasks that other processes run the schedules are kept.
KEPT = 10_000


class Plans:
    """What is ahead of tasks, as it is planned here, or by another process that shares the store."""

    def __init__(self, manager: TaskManager) -> None:
        self._manager = manager
        #: What others have declared: read again when something of the task has changed, and with all the rest.
        self._declared: dict[str, tuple[Sight, OnRecord]] = {}

    def ahead(self, sights: Iterable[Sight]) -> list[Ahead]:
        """Their schedules, each with its next slot."""
        wanted = [sight for sight in sights if sight.broken is None]
        self.read(wanted)
        return [one for sight in wanted for one in (_here(sight) if sight.runs_here else self._elsewhere(sight))]

    def read(self, sights: Iterable[Sight]) -> None:
        """Read what others have declared of all these at once."""
        if not self._manager.store.shared:
            return  # nobody else runs them
        stale = {sight.name: sight for sight in sights if not sight.runs_here and self._declared_of(sight) is None}
        if not stale:
            return
        if len(self._declared) + len(stale) > KEPT:
            self._declared.clear()
        with contextlib.suppress(StoreError):  # the problems say so
            found = self._manager.store.on_record(list(stale))
            self._declared.update({name: (sight, found[name]) for name, sight in stale.items()})

    def _declared_of(self, sight: Sight) -> OnRecord | None:
        if sight.on_record is not None:
            return sight.on_record
        kept = self._declared.get(sight.name)
        return kept[1] if kept is not None and kept[0] is sight else None

    def _elsewhere(self, sight: Sight) -> Iterator[Ahead]:
        declared, now = self._declared_of(sight), self._manager.clock.now()
        for one in () if declared is None else declared.declarations:
            yield Ahead(sight.name, one.line, one.line.after(now), _is_held(sight, one))


def _is_held(sight: Sight, declaration: Declaration) -> bool:
    """Whether its slots are counted from the ends of runs: only the next one is known."""
    if sight.task is not None:
        return sight.task.spec.fixed_delay
    return not declaration.owed and declaration.line.job.latest is None


def _here(sight: Sight) -> Iterator[Ahead]:
    planned = sight.planned
    if planned is None or planned.held:  # that has its next slot when its run has ended: nobody knows when
        return
    held = sight.task is not None and sight.task.spec.fixed_delay
    for line in planned.timetable.lines:
        yield Ahead(sight.name, line, line.next, held)
