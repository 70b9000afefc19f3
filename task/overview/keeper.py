"""``Keeper``: the last snapshot of a manager, kept up with what any process does on the store."""

from __future__ import annotations

import dataclasses
import os
import threading
import weakref
from typing import Any

from task.errors import ParameterError, StoreError
from task.models import TaskManager
from task.overview.sights import Snapshot, look, look_again, look_without_store, members
from task.overview.strips import Strips
from task.overview.wellness import health_of

__all__ = ["Keeper"]

#: How often it is looked which tasks there are, and everything is read anew. Seconds.
MEMBERS, EVERYTHING = 1.0, 60.0

#: So many changes are followed one by one; with more everything is read.
FOLLOWED = 200

#: So long a question waits for another's reading, before it is answered with what was read last. Seconds.
PATIENCE = 0.2


class Keeper:
    """Keeps one snapshot: what has changed on the store is read, and not all of it for each question."""

    def __init__(self, manager: TaskManager, *, on_record: bool = False) -> None:
        self._manager = manager
        self._store = manager.store
        self._on_record = on_record
        #: Those of the tasks.
        self.strips = Strips(manager.store)
        self._last: Snapshot | None = None
        self._forgotten = False
        self.renew_lock()
        _keepers.add(self)

    def renew_lock(self) -> None:
        """A fresh lock, after a fork."""
        self._lock = threading.Lock()
        self._begun = 0
        self.strips.renew_lock()

    def snapshot(self) -> Snapshot:
        """How everything stands now. While the store does not answer, as it was seen last."""
        begun = self._begun
        if not self._lock.acquire(timeout=-1 if self._last is None else PATIENCE):
            assert self._last is not None
            return self._last
        try:
            if self._last is None or self._begun == begun:  # else it was read while this waited
                self._begun += 1
                self._last = self._read(self._last)
            return self._last
        finally:
            self._lock.release()

    def forget(self) -> None:
        """Something was done here just now: read everything with the next question."""
        self._forgotten = True

    def _read(self, last: Snapshot | None) -> Snapshot:
        manager = self._manager
        if manager.store is not self._store:  # the record is another one
            self._store, self.strips, last = manager.store, Strips(manager.store), None
        now = manager.clock.monotonic()
        if last is not None and last.trouble is not None and now - last.members_at < MEMBERS:
            return last  # an answer may take seconds: it is asked once a second
        try:
            if last is None or last.trouble is not None or now - last.whole_at >= EVERYTHING:
                return self._look()
            return self._follow(last)
        except StoreError as error:
            if last is None:
                return look_without_store(manager, str(error))
            tried = manager.clock.monotonic()
            return dataclasses.replace(last, members_at=tried, health=health_of(manager), trouble=str(error))

    def _look(self) -> Snapshot:
        return look(self._manager, on_record=self._on_record)

    def _follow(self, last: Snapshot) -> Snapshot:
        """The same one, with what has changed since."""
        manager = self._manager
        try:
            changes = manager.changes(last.position, FOLLOWED)
        except ParameterError:  # the store has been begun anew
            return self._look()
        now = manager.clock.monotonic()
        forgotten, self._forgotten = self._forgotten, False
        if forgotten:  # the journal, by which others hear of it, is written a moment later
            return self._look()
        due = now - last.members_at >= MEMBERS
        if due or changes.journal or manager.state != last.health.state:
            there_are = members(manager, on_record=self._on_record)
            if there_are != last.members or manager.store.paused != last.paused:
                return self._look()
            sights = {name: sight.now() for name, sight in last.sights.items()}
            last = dataclasses.replace(last, sights=sights, members_at=now, health=health_of(manager))
        if len(changes.runs) == FOLLOWED:
            return self._look()
        named = {run.task for run in changes.runs} | {entry.task for entry in changes.journal if entry.task}
        return look_again(manager, last, named & last.sights.keys(), changes.position)


_keepers: weakref.WeakSet[Any] = weakref.WeakSet()


def _after_fork() -> None:
    for keeper in list(_keepers):
        keeper.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
