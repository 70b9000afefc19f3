"""``OpenIncidents``: what somebody was told of and is not over, of all tasks at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from task.errors import StoreError
from task.models import TaskManager
from task.overview.sights import Snapshot
from task.stores import Incident

__all__ = ["OpenIncidents"]


class OpenIncidents:
    """The open incidents of one manager, read as often as it is looked which tasks there are: once a second at most."""

    def __init__(self, manager: TaskManager) -> None:
        self._manager = manager
        #: Those of each task, and of when that is.
        self._read: tuple[Mapping[str, Sequence[Incident]], float] = ({}, -1.0)

    def of(self, snapshot: Snapshot) -> Mapping[str, Sequence[Incident]]:
        """Those of each task; while the store cannot be reached, as they were read last."""
        found, read_at = self._read
        if read_at == snapshot.members_at or snapshot.trouble is not None:
            return found
        try:
            newest = self._manager.incidents(limit=1)
        except StoreError:  # the next snapshot tells of that
            return found
        by_task: dict[str, list[Incident]] = {}
        for one in newest:
            if one.open:
                by_task.setdefault(one.task, []).append(one)
        self._read = by_task, snapshot.members_at
        return by_task
