"""The tasks of one manager: how they are found, registered, scheduled and removed."""

from __future__ import annotations

import threading
import weakref
from typing import Any

from task.errors import DuplicateTaskError, UnknownTaskError, did_you_mean
from task.events import task_registered, task_removed
from task.injection import InjectionPlan, Parameters, can_be_provided
from task.log import logger
from task.models.chains import Chains
from task.models.discovery import describe_source, discover, duplicate_message
from task.models.function import TaskFunction
from task.models.planning import plan_entry, resume_entry
from task.pipeline import Pipeline
from task.scheduler import Scheduler
from task.schedules import shorten
from task.spec import TaskSpec

__all__ = ["Registry"]

AnyTask = TaskFunction[..., Any]


class Registry:
    """The tasks of *owner*, by name."""

    def __init__(self, owner: object, pipeline: Pipeline, scheduler: Scheduler, sources: list[Any]) -> None:
        self.tasks: dict[str, AnyTask] = {}
        self._chains = Chains(self.tasks)
        #: Whether what is registered is scheduled at once: the manager runs.
        self.scheduling = False
        self._owner = owner
        self._pipeline = pipeline
        self._scheduler = scheduler
        self._sources = sources
        self._removed: weakref.WeakSet[TaskSpec] = weakref.WeakSet()
        self.renew_lock()
        _registries.add(self)

    def renew_lock(self) -> None:
        """A fresh lock, after a fork. It is held while tasks come and go, never while bodies are waited for."""
        self.lock = threading.RLock()

    def discover(self) -> None:
        """Register what is found on the sources by now."""
        with self.lock:
            for found in discover(self._sources):
                if found.spec not in self._removed:
                    self._register(found)

    def add(self, found: AnyTask) -> AnyTask:
        """Register one task. Raises `DuplicateTaskError`."""
        with self.lock:
            self._removed.discard(found.spec)
            return self._register(found)

    def find(self, name: str) -> AnyTask:
        """The task called *name*. Raises `UnknownTaskError` with the nearest names."""
        found = self.tasks.get(name)
        if found is None:
            tasks = list(self.tasks)
            hint = did_you_mean(name, tasks, f"There are: {sorted(tasks)[:10]}.")
            raise UnknownTaskError(f"There is no task {shorten(name)}. {hint}")
        return found

    def remove(self, name: str) -> None:
        """Take a task out: when this returns, no body of it starts any more."""
        with self.lock:
            found = self.find(name)
            binding, store = found.binding, self._pipeline.store
            binding.released = True
            if binding.entry is not None:
                self._scheduler.remove(binding.entry)
                if not self._shared(found):
                    binding.retire()
            for run in self._pipeline.active(name):
                self._pipeline.withdraw(run, "the task was removed")
            store.abandon(name)
            del self.tasks[name]
            self._chains.removed(found)
            self._removed.add(found.spec)
            found.unbind(self._owner)
        self._pipeline.tell(task_removed, name=name)

    def _shared(self, found: AnyTask) -> bool:
        """Whether another manager on the same store goes on with it."""
        return any(
            other is not self
            and other._pipeline.store is self._pipeline.store
            and (theirs := other.tasks.get(found.name)) is not None
            and theirs.spec is found.spec
            for other in list(_registries)
        )

    def schedule_all(self) -> None:
        """Put every task on the heap, and from now on each that is registered."""
        with self.lock:
            self.scheduling = True
            try:
                for found in list(self.tasks.values()):
                    self._chains.check_parents(found)
                    self._plan(found)
            except BaseException:
                self.scheduling = False
                raise
            for found in list(self.tasks.values()):
                self._schedule(found)

    def withdraw(self) -> None:
        """The executors are gone: no task has a place any more."""
        with self.lock:
            self.scheduling = False
            for found in self.tasks.values():
                found.binding.executor = None

    def _register(self, found: AnyTask) -> AnyTask:
        known = self.tasks.get(found.name)
        if known is not None:
            if known.same_as(found):
                return known
            raise DuplicateTaskError(duplicate_message(known, found))
        self._chains.check_circle(found)
        if self.scheduling:
            self._chains.check_parents(found)
        mine = found if found.owner() in (None, self._owner) else found.twin()
        binding = mine.bind(self._owner, self._pipeline)
        self.tasks[found.name] = mine
        try:
            self._pipeline.placing.prepare(binding)
            self._plan(mine)
            if self.scheduling:
                self._schedule(mine)
        except BaseException:
            del self.tasks[found.name]
            mine.unbind(self._owner)
            raise
        self._chains.added(mine)
        self._pipeline.tell(task_registered, name=found.name)
        return mine

    def _plan(self, found: AnyTask) -> None:
        """Find what is filled in for its body, and refuse it when something of that is missing.

        As long as the manager does not run, the service for a parameter may still be provided.
        """
        binding, spec = found.binding, found.spec
        plan = InjectionPlan.of(Parameters(found.name, binding.body), self._pipeline.services)
        complete = bool(spec.schedules or spec.run_at_start or spec.policy.after)
        if complete and not self.scheduling:
            missing = plan.parameters.missing(spec.parameters)
            complete = not any(can_be_provided(plan.parameters.hints[key]) for key in missing)
        plan.check(spec.parameters, complete=complete)
        binding.plan = plan if plan else None
        binding.plan_redaction()

    def plan_again(self) -> None:
        """A service was provided: some bodies may want it."""
        with self.lock:
            for found in self.tasks.values():
                self._plan(found)

    def _schedule(self, found: AnyTask) -> None:
        binding = found.binding
        assert self._pipeline.executors is not None
        self._pipeline.placing.place(binding, self._pipeline.executors)
        if binding.entry is not None:
            resume_entry(binding)
        else:
            binding.entry = plan_entry(found, binding)
        if binding.entry is not None:
            self._scheduler.register(binding.entry)

    def warn_of_nothing(self) -> None:
        """Say where was looked, when no task was found."""
        if not self.tasks and self._sources[0] != []:
            looked = " and ".join(describe_source(source) for source in self._sources if source is not self._owner)
            logger.warning("The manager found no task in %s; add some with manager.task or add().", looked)

    def warn_of_twins(self) -> None:
        """Say which tasks other managers of this process run too, with a ledger of their own."""
        mine = {found.spec for found in list(self.tasks.values())}  # other threads may add and remove
        others = [
            other
            for other in list(_registries)
            if other is not self and other.scheduling and other._pipeline.store is not self._pipeline.store
            if any(found.spec in mine for found in list(other.tasks.values()))
        ]
        if others:
            names = sorted(set(self.tasks) & set().union(*(list(other.tasks) for other in others)))
            logger.warning(
                "%d other managers of this process run the tasks %s as well, with stores of their own: each slot "
                "will fire in each of them. Give them one store, or different tasks.",
                len(others),
                ", ".join(map(repr, names[:5])),
            )


#: The registries of this process.
_registries: weakref.WeakSet[Registry] = weakref.WeakSet()
