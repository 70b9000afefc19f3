"""``Looking``: how the tasks stand, read from the store again where something has changed."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Iterable

from task.alerts.watched import SAMPLE, Watched
from task.pipeline import Binding, Pipeline

__all__ = ["Looking"]

Moment = datetime.datetime

#: So many changes are read one by one; where there are more, all tasks are read at once.
CHANGES = 500

#: In so much of the journal it is looked when all tasks were resumed last, before this process began. Entries.
JOURNAL = 1_000


class Looking:
    """The tasks that one manager watches."""

    def __init__(
        self, pipeline: Pipeline, bindings: Callable[[], Iterable[Binding]], others: Callable[[], Collection[str]]
    ) -> None:
        self._pipeline = pipeline
        self._bindings = bindings
        self._others = others
        self.begin()

    def begin(self) -> None:
        """Nothing is known yet."""
        self.tasks: dict[str, Watched] = {}
        self._position: str | None = None
        self._since = self._pipeline.clock.now()
        self.paused = False
        #: When all tasks were resumed last; None: nobody has looked.
        self._resumed_at: Moment | None = None

    def look(self, now: Moment) -> None:
        """Bring `tasks` up to what the store knows now. Raises `StoreError`."""
        store = self._pipeline.store
        self._look_whether_paused(now)
        bindings: dict[str, Binding | None] = dict.fromkeys(self._others() if store.shared else ())
        bindings.update((binding.name, binding) for binding in self._bindings())
        for name in self.tasks.keys() - bindings.keys():
            del self.tasks[name]
        changed, position = self._changed()
        new = {name for name, binding in bindings.items() if self._is_new(name, binding)}
        lapsed = [one.name for one in self.tasks.values() if one.standing.switch.until is not None]
        names = bindings.keys() if changed is None else bindings.keys() & {*changed, *new, *lapsed}
        for name, standing in store.standing(list(names), now).items() if names else ():
            if name in new:
                self.tasks[name] = Watched(name, bindings[name], store, self._since, standing)
            else:
                self.tasks[name].standing = standing
        self._position = position
        for one in self.tasks.values():
            one.expected_from = max(one.expected_from, self._resumed_at or one.expected_from)
        self._learn(now)

    def _look_whether_paused(self, now: Moment) -> None:
        """What is paused is expected of nobody, nor what would have come meanwhile."""
        store, before = self._pipeline.store, self.paused
        if self._resumed_at is None:
            resumed = [entry.at for entry in store.journal(limit=JOURNAL) if entry.what == "resumed"]
            self._resumed_at = resumed[0] if resumed else datetime.datetime.min.replace(tzinfo=datetime.UTC)
        self.paused = store.paused
        if before and not self.paused:
            self._resumed_at = now

    def _is_new(self, name: str, binding: Binding | None) -> bool:
        known = self.tasks.get(name)
        return known is None or known.binding is not binding or not known.current

    def _changed(self) -> tuple[set[str] | None, str | None]:
        """The tasks of which something was recorded since the last look, and up to where; None: maybe of any."""
        store = self._pipeline.store
        if self._position is None:
            return None, store.changes(None, 1).position
        found = store.changes(self._position, CHANGES)
        if len(found.runs) == CHANGES or len(found.journal) == CHANGES:
            return None, store.changes(None, 1).position
        names = {run.task for run in found.runs} | {entry.task for entry in found.journal if entry.task is not None}
        return names, found.position

    def _learn(self, now: Moment) -> None:
        """What else is to be known of some of them."""
        slow, refused = [], []
        for one in self.tasks.values():
            one.plan()
            if one.needs_usual(now):
                slow.append(one)
            if one.needs_outcome():
                refused.append(one)
        store = self._pipeline.store
        found = store.recent([one.name for one in slow], SAMPLE) if slow else {}
        for one in slow:
            one.learn(found.get(one.name, ()))
        found = store.recent([one.name for one in refused], 1) if refused else {}
        for one in refused:
            one.judge(found.get(one.name, ()))
