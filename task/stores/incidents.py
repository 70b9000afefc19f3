"""``Incidents``: those that a store in memory keeps."""

from __future__ import annotations

import collections
from collections.abc import Sequence

from task.stores.values import Incident

__all__ = ["INCIDENTS_KEPT", "Incidents"]

#: So many incidents that are over are kept.
INCIDENTS_KEPT = 1_000


class Incidents:
    """The open ones, one of a task and kind at most, and the newest of those that are over."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], Incident] = {}
        self._over: collections.deque[Incident] = collections.deque(maxlen=INCIDENTS_KEPT)

    def open(self, found: Sequence[Incident]) -> list[Incident]:
        """As `Store.open_incidents`."""
        kept = [(one, self._open.setdefault((one.task, one.kind), one)) for one in found]
        return [one for one, there in kept if there.id == one.id]

    def end(self, over: Sequence[Incident]) -> list[Incident]:
        """As `Store.end_incidents`."""
        ended = []
        for one in over:
            there = self._open.get((one.task, one.kind))
            if there is not None and there.id == one.id:
                del self._open[one.task, one.kind]
                self._over.append(one)
                ended.append(one)
            elif one in self._over:
                ended.append(one)
        return ended

    def find(self, task: str | None, limit: int | None) -> list[Incident]:
        """As `Store.incidents`."""
        opened = [one for one in reversed(self._open.values()) if task in (None, one.task)]
        opened.sort(key=lambda one: one.since, reverse=True)
        over = [one for one in reversed(self._over) if task in (None, one.task)]
        return opened + over[: limit or 0]
