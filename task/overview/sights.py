"""Sights: how every task of a manager stands, read at once, for all that is asked within a second."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import functools
import inspect
import weakref
from collections.abc import Collection, Mapping
from typing import Any

from task.errors import ManagerStateError, UnknownTaskError
from task.models import Health, RecurringEntry, TaskFunction, TaskManager
from task.overview.values import Doing
from task.overview.wellness import health_of
from task.runs import Run, RunState
from task.scheduler import Entry
from task.stores import OnRecord, Standing, Summary, Switch

__all__ = ["Sight", "Snapshot", "look", "look_again", "look_without_store", "members"]

Moment = datetime.datetime
AnyTask = TaskFunction[..., Any]

FAILED = (RunState.FAILED, RunState.TIMED_OUT)


@dataclasses.dataclass(frozen=True)
class Sight:
    """One task or recurring entry, as it stands."""

    name: str
    #: As it is run here; None of one that is not.
    task: AnyTask | None
    #: None of a task of the code.
    entry: RecurringEntry | None
    standing: Standing
    #: Whether all tasks are paused.
    paused: bool
    #: Whether its manager runs in this process.
    runs_here: bool
    #: Why it cannot be run here; None where it can.
    broken: str | None = None
    #: What others have declared of it, where the code of this process is not asked.
    on_record: OnRecord | None = None

    @classmethod
    def of(
        cls,
        task: AnyTask | None,
        entry: RecurringEntry | None,
        standing: Standing,
        *,
        paused: bool,
        runs_here: bool,
    ) -> Sight:
        """One that stands so."""
        found = task if task is not None else entry
        assert found is not None
        return cls(found.name, task, entry, standing, paused, runs_here).now()

    @classmethod
    def recorded(
        cls, name: str, entry: RecurringEntry | None, standing: Standing, on_record: OnRecord, *, paused: bool
    ) -> Sight:
        """One that stands so, and that only the store knows of."""
        return cls(name, None, entry, standing, paused, runs_here=False, on_record=on_record)

    def now(self, standing: Standing | None = None) -> Sight:
        """The same one, with what is wrong with its schedule now; and as it stands now, where that is given."""
        planned = self.planned
        broken = self.entry.problem if self.entry is not None and self.on_record is None else None
        if broken is None and planned is not None:
            broken = planned.reason
        if standing is None and broken == self.broken:
            return self
        return dataclasses.replace(self, standing=standing or self.standing, broken=broken)

    @property
    def planned(self) -> Entry | None:
        """Its slots, where they are taken here."""
        return self.task.binding.entry if self.task is not None and self.runs_here else None

    @property
    def slot(self) -> Moment | None:
        """Its next slot, where its manager runs here."""
        planned = self.planned
        return None if planned is None or self.broken is not None else planned.timetable.next_slot()

    @functools.cached_property
    def failing(self) -> bool:
        """Whether its last run failed, or timed out."""
        last = self.standing.summary.last
        return last is not None and last.state in FAILED and self.standing.summary.consecutive_failures > 0

    @functools.cached_property
    def doing(self) -> Doing:
        """What it does now; what is worst comes first."""
        if self.broken is not None:
            return "broken"
        if active := self.standing.active:
            states = {run.state for run in active}
            if RunState.RUNNING in states or any(run.overrunning for run in active):
                return "running"
            return "retrying" if RunState.RETRYING in states else "queued"
        if self.paused:
            return "paused"
        return "idle" if self.standing.switch.enabled else "disabled"

    @property
    def tags(self) -> tuple[str, ...]:
        """As they are declared."""
        if self.task is not None:
            return self.task.spec.tags
        return () if self.on_record is None else self.on_record.tags

    @property
    def description(self) -> str:
        """The docstring of the body."""
        return "" if self.task is None else _docstring(self.task)

    @property
    def run(self) -> Run | None:
        """The run under way that people want to see: the newest that runs, or waits for another attempt, or waits."""
        for state in (RunState.RUNNING, RunState.RETRYING, RunState.QUEUED):
            found = [run for run in self.standing.active if run.state is state]
            if found:
                return found[-1]
        return self.standing.active[-1] if self.standing.active else None  # its body goes on past its time


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """All of them, by name, and how their manager does."""

    at: Moment
    sights: Mapping[str, Sight]
    health: Health
    paused: bool
    #: How many have each tag.
    tags: dict[str, int]
    #: Which tasks and entries there are, to see when that changes.
    members: object
    #: Up to where the changes of the store are in it.
    position: str | None
    #: When all was read, and when it was looked which tasks there are: by the monotonic clock.
    whole_at: float
    members_at: float
    #: Why it is not what stands now: the store cannot be asked.
    trouble: str | None = None

    @functools.cached_property
    def doing(self) -> dict[str, int]:
        """How many do what; ``failing`` beside that."""
        found = collections.Counter[str](sight.doing for sight in self.sights.values())
        return {**found, "failing": sum(sight.failing for sight in self.sights.values())}

    @functools.cached_property
    def lapses(self) -> Moment | None:
        """When the first of the switches that are off turns itself on."""
        ends = (sight.standing.switch.until for sight in self.sights.values())
        return min((end for end in ends if end is not None), default=None)

    @functools.cached_property
    def kept(self) -> dict[object, Any]:
        """What was made of it, to be given to the next who asks."""
        return {}


def look(manager: TaskManager, *, on_record: bool = False) -> Snapshot:
    """See all tasks of a manager. Raises `StoreError` where its store cannot be asked.

    With *on_record*, those that the store has on record, as others have declared them: the code here is not asked.
    """
    position = manager.changes().position  # before the rest: what comes later is followed
    there_are = members(manager, on_record=on_record)
    tasks, entries = _known(manager)
    names = {*manager.store.names(), *entries} if on_record else {*tasks, *entries}
    standing = manager.store.standing(sorted(names), manager.clock.now())
    if on_record:
        recorded = manager.store.on_record(sorted(names))
        there = {name: one for name, one in standing.items() if name in entries or _is_there(one, recorded[name])}
        return _snapshot(manager, {}, entries, there, there_are, position, recorded)
    return _snapshot(manager, tasks, entries, standing, there_are, position)


def _is_there(standing: Standing, on_record: OnRecord) -> bool:
    """Whether there is anything to be told of it; of an entry that was removed before it ran there is nothing."""
    return on_record.declared or bool(standing.active) or standing.summary.last is not None


def look_again(manager: TaskManager, last: Snapshot, names: Collection[str], position: str) -> Snapshot:
    """The same ones, with some of them as they stand now. Raises `StoreError`."""
    now = manager.clock.now()
    if last.lapses is not None and last.lapses <= now:
        names = {*names, *(name for name, sight in last.sights.items() if sight.standing.switch.until is not None)}
    found = manager.store.standing(list(names), now) if names else {}
    changed = {name: last.sights[name].now(standing) for name, standing in found.items()}
    if not changed and position == last.position:
        return last
    return dataclasses.replace(last, at=now, sights={**last.sights, **changed}, position=position)


def look_without_store(manager: TaskManager, trouble: str) -> Snapshot:
    """What is known of them while their store cannot be asked: the code."""
    tasks = {task.name: task for task in manager.tasks}
    unknown = {name: Standing(Summary(), [], Switch(not task.spec.disabled), None) for name, task in tasks.items()}
    return dataclasses.replace(_snapshot(manager, tasks, {}, unknown, None, None), trouble=trouble)


def members(manager: TaskManager, *, on_record: bool = False) -> object:
    """Another value when tasks or entries came or went, or the manager started or stopped. Raises `StoreError`."""
    there_are: object = manager.store.names() if on_record else manager.tasks
    return manager.state, manager.store.entries_changed(), there_are


def _known(manager: TaskManager) -> tuple[dict[str, AnyTask], dict[str, RecurringEntry]]:
    tasks = {task.name: task for task in manager.tasks}
    try:
        entries = {entry.name: entry for entry in manager.recurring.list()}
    except ManagerStateError:  # in a forked child, which cannot follow them: the health says so
        return tasks, {}
    for entry in entries.values():
        if entry.problem is None:
            with contextlib.suppress(UnknownTaskError):  # left to other processes, or removed meanwhile
                tasks[entry.name] = manager[entry.name]
    return tasks, {name: entry for name, entry in entries.items() if name not in tasks or tasks[name].recurring}


def _snapshot(
    manager: TaskManager,
    tasks: Mapping[str, AnyTask],
    entries: Mapping[str, RecurringEntry],
    standing: Mapping[str, Standing],
    there_are: object,
    position: str | None,
    on_record: Mapping[str, OnRecord] | None = None,
) -> Snapshot:
    runs_here, paused = manager.state == "running", position is not None and manager.store.paused
    sights = {}
    for name in sorted(standing):
        task, entry = tasks.get(name), entries.get(name)
        sights[name] = (
            Sight.of(task, entry, standing[name], paused=paused, runs_here=runs_here)
            if on_record is None
            else Sight.recorded(name, entry, standing[name], on_record[name], paused=paused)
        )
    tags = collections.Counter(tag for sight in sights.values() for tag in sight.tags)
    now, taken, health = manager.clock.now(), manager.clock.monotonic(), health_of(manager)
    return Snapshot(now, sights, health, paused, dict(sorted(tags.items())), there_are, position, taken, taken)


_docstrings: weakref.WeakKeyDictionary[object, str] = weakref.WeakKeyDictionary()


def _docstring(task: AnyTask) -> str:
    found = _docstrings.get(task.spec)
    if found is None:
        found = _docstrings[task.spec] = inspect.getdoc(task.spec.func) or ""
    return found
