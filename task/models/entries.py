"""``Entries``: the recurring entries of the store as tasks of this process: found, followed, and taken out again."""

from __future__ import annotations

import dataclasses
import json
import types
import weakref
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from task.errors import DeclarationError, StoreError, TaskError, UnknownTaskError, did_you_mean
from task.injection import InjectionPlan, Parameters
from task.log import logger
from task.models.function import TaskFunction
from task.models.registry import AGAIN, Registry
from task.pipeline import Pipeline
from task.schedules import schedule_from_words, shorten
from task.spec import TaskSpec
from task.stores import RecurringRow

__all__ = ["Entries"]

AnyTask = TaskFunction[..., Any]


class _Seen(NamedTuple):
    """What was made of an entry."""

    row: RecurringRow
    #: The task whose body it runs, if there is one here.
    base: AnyTask | None
    #: Why it is not run here, or None.
    problem: str | None


class Entries:
    """Keeps what a registry has of the recurring entries as the store has them. It holds the registry's lock."""

    def __init__(self, registry: Registry, pipeline: Pipeline) -> None:
        self._registry = registry
        self._pipeline = pipeline
        self._seen: dict[str, _Seen] = {}
        self._changed: int | None = None
        #: What the log has been told of those that are not run here.
        self._told: dict[str, str] = {}
        registry.keeper = self
        # Weak: a task that is kept has the pipeline, and must not keep the manager.
        hear = weakref.WeakMethod(self._hear)
        pipeline.steering.on_changed = lambda: None if (heard := hear()) is None else heard()
        _all.add(self)

    # What is known.

    def look(self) -> None:
        """See what the store has now. Raises `StoreError`."""
        with self._registry.lock:
            changed = self._pipeline.store.entries_changed()
            if changed != self._changed:
                self._follow([one.row for one in self._pipeline.store.entries()])
                self._changed = changed

    def begin_anew(self) -> None:
        """The store is another one, which has what that before had."""
        self._changed = None

    def set_apart(self) -> Callable[[], None]:
        """The store is another one for a while, and has none of them; what is returned puts back what was seen."""
        before = self._seen, self._changed, self._told
        self._seen, self._changed, self._told = {}, None, {}

        def put_back() -> None:
            self._seen, self._changed, self._told = before

        return put_back

    def follow_own(self, rows: list[RecurringRow]) -> None:
        """These were put just now, by this process: if nothing else has changed, nothing else is read."""
        changed = self._pipeline.store.entries_changed()
        if self._changed is not None and changed == self._changed + len(rows):
            for row in rows:
                self._take(row)
            self._changed = changed
        else:
            self.look()

    def look_for(self, name: str) -> None:
        """The same for who wants the task called *name*, which may be an entry. One that runs is looked at anyway."""
        registry = self._registry
        if name not in registry.tasks or (name in registry.entries and not registry.scheduling):
            self.look()

    def row(self, name: str) -> RecurringRow | None:
        """What is declared of an entry, as far as was seen."""
        seen = self._seen.get(name)
        return None if seen is None else seen.row

    def names(self) -> list[str]:
        """The names of all that were seen."""
        return list(self._seen)

    def problem(self, name: str) -> str | None:
        """Why an entry is not run here; None when it is."""
        seen = self._seen.get(name)
        return None if seen is None else seen.problem

    def task(self, name: str) -> AnyTask | None:
        """The task that it is here, if it is one."""
        return self._registry.tasks.get(name) if name in self._registry.entries else None

    def tell_others(self) -> None:
        """Other managers of this process have the same store in memory: they do not hear of changes otherwise."""
        store = self._pipeline.store
        for other in list(_all):
            if other is not self and other._pipeline.store is store and not store.shared:
                other.look()

    # What a registry asks and tells.

    def restore(self) -> None:
        """The manager starts. What the store cannot tell now it is asked again; an entry has its chance again."""
        self._changed = None
        self._seen = {name: seen for name, seen in self._seen.items() if seen.problem is None}
        self._hear()

    def _hear(self) -> None:
        """Something was steered elsewhere."""
        try:
            self.look()
        except StoreError as error:
            logger.info("The recurring entries wait for the store: %s", error)  # which says so itself, once a minute
            steering, scheduler = self._pipeline.steering, self._pipeline.scheduler
            if scheduler is not None:
                scheduler.call_at(self._pipeline.clock.now() + AGAIN, steering.changed)

    def came_or_went(self, name: str) -> None:
        """Entries run the body of that task, or have its name."""
        for entry, seen in list(self._seen.items()):
            if name in (entry, seen.row.task):
                if seen.problem is not None:
                    del self._seen[entry]
                self._take(seen.row)

    def outdated(self, names: Collection[str]) -> Collection[str]:
        """Those that were changed since they were read: what they were must not be declared again."""
        store = self._pipeline.store
        if store.entries_changed() == self._changed:
            return ()
        found = store.entries(*names) if len(names) == 1 else store.entries()  # of those that come one by one, not all
        stored = {one.row.name: one.row for one in found}
        return {name for name in names if name not in self._seen or stored.get(name) != self._seen[name].row}

    def refused(self, name: str, error: Exception) -> None:
        """Its schedule, or what its body wants, cannot be had here."""
        seen = self._seen.get(name)
        if seen is not None:
            self._seen[name] = seen._replace(problem=str(error))
            self._tell(name, str(error))

    def _tell(self, name: str, problem: str) -> None:
        if self._told.get(name) != problem:
            self._told[name] = problem
            logger.error("The recurring entry %r is not run here: %s", name, problem)

    # How they are followed.

    def _follow(self, rows: list[RecurringRow]) -> None:
        gone = self._seen.keys() - {row.name for row in rows}
        for name in gone:
            del self._seen[name]
            self._told.pop(name, None)
            if name in self._registry.entries:
                self._registry.take_out_entry(name, "the recurring entry was removed")
        for row in rows:
            self._take(row)

    def _take(self, row: RecurringRow) -> None:
        """Do what follows from what is declared of an entry."""
        if not self._registry.excluded.isdisjoint((row.name, row.task)):
            self._seen[row.name] = _Seen(row, None, None)  # left to other processes
            return
        before = self._seen.get(row.name)
        base = self._base(row)
        if before is not None and (before.row, before.base) == (row, base) and not self._displaced(row):
            return
        try:
            problem = None
            spec = self.spec_of(row)
        except (TaskError, ValueError) as error:  # also of a row that is unreadable
            problem = str(error)
            self._tell(row.name, problem)
            if row.name in self._registry.entries:
                self._registry.take_out_entry(row.name, "the recurring entry cannot be run here")
        self._seen[row.name] = _Seen(row, base, problem)
        if problem is None and base is not None:
            self._register(row, base, spec, before)

    def _base(self, row: RecurringRow) -> AnyTask | None:
        return None if row.task in self._registry.entries else self._registry.tasks.get(row.task)

    def _displaced(self, row: RecurringRow) -> bool:
        return row.name in self._registry.tasks and row.name not in self._registry.entries

    def _register(self, row: RecurringRow, base: AnyTask, spec: TaskSpec, before: _Seen | None) -> None:
        same_body = before is not None and before.base is base
        if row.name in self._registry.entries and not same_body:
            self._registry.take_out_entry(row.name, "the recurring entry runs another task now")
        try:
            if row.name not in self._registry.entries:
                self._registry.add_entry(base.entry(spec), self._since(row))
            else:
                anew = before is None or before.row.scheduled_at != row.scheduled_at
                self._registry.amend_entry(row.name, spec, row.scheduled_at if anew else None)
        except StoreError:
            raise
        except TaskError as error:  # a pool or an executor that there is not, a service, a circle
            self.refused(row.name, error)

    def _since(self, row: RecurringRow) -> Any:
        """Since when its slots are owed here, unless the store knows of an earlier declaration of them."""
        store = self._pipeline.store
        mark = None if store.shared else store.mark(row.name)
        return row.scheduled_at if mark is None else max(mark, row.scheduled_at)

    # What an entry is here.

    def spec_of(self, row: RecurringRow) -> TaskSpec:
        """The declaration of an entry: its task's, with what the entry says for itself.

        When it runs is the entry's own matter: no schedule, start, jitter or chain comes from the task, and a slot
        runs in one process. Raises `UnknownTaskError` and `DeclarationError`.
        """
        base = self.find_task(row.task)
        if self._displaced(row):
            raise DeclarationError(
                f"a task of the code, at {self._registry.tasks[row.name].spec.place}, has its name. Rename that, or "
                "add the entry under another name and remove this one."
            )
        policy = dataclasses.replace(
            base.spec.policy, max_concurrent=row.max_concurrent, after=(), when="succeeded", everywhere=False
        )
        plan = InjectionPlan.of(Parameters(row.name, base.func), self._pipeline.services)
        given = plan.parameters.check(json.loads(row.parameters), secret=bool(policy.redact))
        return dataclasses.replace(
            base.spec,
            name=row.name,
            schedules=() if row.schedule is None else (schedule_from_words(row.schedule),),
            parameters=types.MappingProxyType({**base.spec.parameters, **given}),
            disabled=False,
            fixed_delay=False,
            start=None,
            jitter=0.0,
            run_at_start=False,
            max_runs=None,
            policy=policy,
        )

    def find_task(self, name: object) -> AnyTask:
        """The task of the code with that name. Raises `UnknownTaskError`."""
        registry = self._registry
        found = registry.tasks.get(name) if isinstance(name, str) else None
        if found is None or name in registry.entries:
            known = [one for one in registry.tasks if one not in registry.entries]
            what = "is a recurring entry itself" if found is not None else "is not known here"
            hint = did_you_mean(name, known, f"There are: {sorted(known)[:10]}.")
            raise UnknownTaskError(f"its task {shorten(name)} {what}. {hint}")
        return found


#: Those of this process.
_all: weakref.WeakSet[Entries] = weakref.WeakSet()
