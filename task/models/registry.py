"""The tasks of one manager: how they are found, registered, scheduled and removed."""

from __future__ import annotations

import contextlib
import datetime
import threading
import weakref
from collections.abc import Callable, Collection, Iterator
from typing import Any, Protocol

from task.errors import (
    DeclarationError,
    DeclarationTypeError,
    DuplicateTaskError,
    StoreError,
    StoreUnavailableError,
    UnknownTaskError,
    did_you_mean,
)
from task.events import task_registered, task_removed
from task.injection import InjectionPlan, Parameters, can_be_provided
from task.log import logger
from task.models.chains import Chains
from task.models.discovery import describe_source, discover, duplicate_message
from task.models.function import TaskFunction
from task.models.planning import plan_entry, resume_entry
from task.pipeline import Binding, Pipeline
from task.scheduler import Scheduler
from task.schedules import shorten
from task.spec import TaskSpec

__all__ = ["Registry"]

AnyTask = TaskFunction[..., Any]


class EntryKeeper(Protocol):
    """Who keeps the recurring entries of a manager: what a registry asks and tells of them."""

    def restore(self) -> None:
        """The manager starts: register those that the store has."""

    def came_or_went(self, name: str) -> None:
        """A task of the code was registered, or removed."""

    def outdated(self, names: Collection[str]) -> Collection[str]:
        """Those of these entries that were changed since they were read. Inside of `Store.together`."""

    def refused(self, name: str, error: Exception) -> None:
        """An entry cannot be run here; it was taken out."""


#: Schedules that the store could not be asked about are planned after so long.
AGAIN = datetime.timedelta(seconds=1)


class Registry:
    """The tasks of *owner*, by name."""

    def __init__(
        self,
        owner: object,
        pipeline: Pipeline,
        scheduler: Scheduler,
        sources: list[Any],
        exclude: Collection[str] = (),
    ) -> None:
        self.tasks: dict[str, AnyTask] = {}
        #: Those of them that were not found, but added.
        self.added: dict[str, AnyTask] = {}
        #: Where tasks are found.
        self.sources = sources
        #: Those of them that are recurring entries (`manager.recurring`), and who keeps these.
        self.entries: set[str] = set()
        self.keeper: EntryKeeper | None = None
        #: What stands against running some of them here.
        self._refused: dict[str, DeclarationError] = {}
        pipeline.steering.entries = self.entries
        #: The names that this process leaves to others.
        self.excluded = excluded_names(exclude)
        self._chains = Chains(self.tasks, self.excluded)
        tasks = self.tasks  # not this registry, which holds the manager: a task that is kept must not keep that
        pipeline.steering.find = lambda name: tasks[name].binding if name in tasks else None
        renewed = weakref.WeakMethod(self._plan_anew)
        pipeline.steering.on_renewed = lambda name: method(name) if (method := renewed()) is not None else None
        #: Whether what is registered is scheduled at once: the manager runs.
        self.scheduling = False
        self._owner = owner
        self._pipeline = pipeline
        self._scheduler = scheduler
        self._removed: weakref.WeakSet[TaskSpec] = weakref.WeakSet()
        self.renew_lock()
        _registries.add(self)

    def renew_lock(self) -> None:
        """A fresh lock, after a fork. It is held while tasks come and go, never while bodies are waited for."""
        self.lock = threading.RLock()

    def bindings(self) -> list[Binding]:
        """Those of its tasks and recurring entries."""
        return [found.binding for found in list(self.tasks.values())]

    def discover(self) -> None:
        """Register what is found on the sources by now."""
        with self.lock:
            for found in discover(self.sources):
                if found.spec not in self._removed and found.name not in self.excluded:
                    self._register(found)

    def add(self, found: AnyTask) -> AnyTask:
        """Register one task; one that is excluded is given back as it is. Raises `DuplicateTaskError`."""
        if found.name in self.excluded:
            logger.info("Task %r is left to other processes: exclude= names it", found.name)
            return found
        with self.lock:
            self._removed.discard(found.spec)
            registered = self.added[found.name] = self._register(found)
            return registered

    def find(self, name: str) -> AnyTask:
        """The task called *name*. Raises `UnknownTaskError` with the nearest names."""
        found = self.tasks.get(name)
        if found is None and name in self.excluded:
            raise UnknownTaskError(f"Task {shorten(name)} is left to other processes: this manager has it in exclude=.")
        if found is None:
            tasks = list(self.tasks)
            there_are = f"There are: {sorted(tasks)[:10]}." if tasks else ""
            hint = did_you_mean(name, tasks, there_are)
            raise UnknownTaskError(f"There is no task {shorten(name)}. {hint}".rstrip())
        return found

    def remove(self, name: str) -> None:
        """Take a task out: when this returns, no body of it starts any more."""
        with self.lock:
            found = self.find(name)
            if name in self.entries:
                raise UnknownTaskError(f"{name!r} is a recurring entry: use manager.recurring.remove({name!r}).")
            self._take_out(found, "the task was removed", retire=not self._shared(found))
            self._removed.add(found.spec)
            self.added.pop(name, None)
            found.unbind(self._owner)
            if self.keeper is not None:
                self.keeper.came_or_went(name)
        self._pipeline.tell(task_removed, name=name)

    def _take_out(self, found: AnyTask, reason: str, *, retire: bool) -> None:
        binding = found.binding
        binding.released = True
        if binding.entry is not None:
            self._scheduler.remove(binding.entry)
            if retire:
                binding.retire()
        for run in self._pipeline.active(found.name):
            self._pipeline.withdraw(run, reason)
        self._pipeline.store.abandon(found.name)
        del self.tasks[found.name]
        self.entries.discard(found.name)
        self._chains.removed(found)

    # Recurring entries.

    def add_entry(self, found: AnyTask, since: datetime.datetime) -> None:
        """Register a recurring entry, whose slots later than *since* are owed."""
        with self.lock:
            self._register(found, since)

    def amend_entry(self, name: str, spec: TaskSpec, since: datetime.datetime | None) -> None:
        """Give an entry other terms; with *since* another schedule, whose slots later than that are owed."""
        with self.lock:
            found = self.tasks[name]
            binding = found.binding
            found.amend(spec)
            self._plan(found)
            if since is not None and binding.entry is not None:
                self._scheduler.remove(binding.entry)
                binding.entry = None
            binding.wanted_at = since or binding.wanted_at
            if self.scheduling and binding.entry is None:
                self._schedule([found])

    def take_out_entry(self, name: str, reason: str, *, retire: bool = False) -> None:
        """An entry is not run here any more. With *retire* it owes nothing either."""
        with self.lock:
            found = self.tasks[name]
            self._take_out(found, reason, retire=retire)
            self._removed.add(found.spec)
            with contextlib.suppress(StoreError):  # its switch is wanted for nothing any more
                found.unbind(self._owner)
        self._pipeline.tell(task_removed, name=name)

    def check(self, found: AnyTask) -> None:
        """Raise what the registration of an entry would raise."""
        self._plan_of(found, found.func)

    @contextlib.contextmanager
    def _judging(self, found: AnyTask) -> Iterator[None]:
        """What stands against a recurring entry keeps that alone from running: people made it, not this code."""
        try:
            yield
        except DeclarationError as error:
            if found.name not in self.entries:
                raise
            self._refused[found.name] = error

    def _take_out_refused(self) -> None:
        refused, self._refused = self._refused, {}
        for name, error in refused.items():
            self.take_out_entry(name, "it cannot be run here")
            if self.keeper is not None:
                self.keeper.refused(name, error)

    def _shared(self, found: AnyTask) -> bool:
        """Whether another manager on the same store goes on with it, or another process may."""
        return self._pipeline.store.shared or any(
            other is not self
            and other._pipeline.store is self._pipeline.store
            and (theirs := other.tasks.get(found.name)) is not None
            and theirs.spec is found.spec
            for other in list(_registries)
        )

    def set_apart(self, *, born: bool) -> Callable[[], None]:
        """Register the tasks of the code anew, on the record that there is now; what is returned puts all of it back.

        Of what was added meanwhile, that stays which is in a module (a module is imported once), and all where the
        manager was just *born*. Nothing is scheduled, before and then.
        """
        with self.lock:
            ties = [(name, found, found.tie) for name, found in self.tasks.items()]
            added, entries, removed = dict(self.added), set(self.entries), set(self._removed)
            put_back_chains = self._chains.set_apart()

        def put_back() -> None:
            with self.lock:
                for found in self.tasks.values():
                    if found.owner() is self._owner:
                        found.tie = None, None
                new = {name: found for name, found in self.added.items() if name not in added}
                late = {name: found for name, found in new.items() if born or _stays(found)}
                self.sources = [*self.sources, late] if late else self.sources  # where they are found again
                self.tasks.clear()
                for name, found, tie in ties:
                    self.tasks[name], found.tie = found, tie
                self.added = {**added, **late}
                self.entries.clear()
                self.entries.update(entries)
                self._removed = weakref.WeakSet(removed)
                put_back_chains()

        with self.lock, contextlib.ExitStack() as stack:
            stack.callback(put_back)
            self.tasks.clear()
            self.entries.clear()
            for name, found, _ in ties:
                if name not in entries:
                    self._register(found)
            return stack.pop_all().close
        raise AssertionError("what is undone has no error to suppress")

    def schedule_all(self) -> None:
        """Put every task on the heap, and from now on each that is registered."""
        with self.lock:
            if self.keeper is not None:
                self.keeper.restore()
            self.scheduling = True
            try:
                for found in list(self.tasks.values()):
                    with self._judging(found):
                        self._chains.check_parents(found)
                        self._plan(found)
            except BaseException:
                self.scheduling = False
                raise
            self._take_out_refused()
            self._schedule(list(self.tasks.values()))

    def withdraw(self) -> None:
        """The executors are gone: no task has a place any more."""
        with self.lock:
            self.scheduling = False
            for found in self.tasks.values():
                binding = found.binding
                binding.executor = None
                if self._pipeline.store.shared and binding.entry is not None:
                    # Other processes go on: what is known of it here is planned anew at the next start.
                    self._scheduler.remove(binding.entry)
                    binding.entry = None

    def forget_plans(self) -> None:
        """In a forked child: the executors were its parent's, and so is what was planned on a shared store."""
        self.scheduling = False
        for found in self.tasks.values():
            found.binding.executor = None
            if self._pipeline.store.shared:
                found.binding.entry = None

    def _register(self, found: AnyTask, since: datetime.datetime | None = None) -> AnyTask:
        """Register a task; with *since* as a recurring entry."""
        known = self.tasks.get(found.name)
        if known is not None:
            if known.same_as(found):
                return known
            if found.name not in self.entries:
                raise DuplicateTaskError(duplicate_message(known, found))
            self.take_out_entry(found.name, "a task of the code has its name", retire=not self._pipeline.store.shared)
        self._chains.check_circle(found)
        if self.scheduling:
            self._chains.check_parents(found)
        mine = found if found.owner() in (None, self._owner) else found.twin()
        binding = mine.bind(self._owner, self._pipeline)
        self.tasks[found.name] = mine
        if since is not None:
            binding.wanted_at = since
            self.entries.add(found.name)
        try:
            self._pipeline.placing.prepare(binding)
            self._plan(mine)
            if self.scheduling:
                self._schedule([mine])
        except BaseException:
            self.tasks.pop(found.name, None)
            self.entries.discard(found.name)
            mine.unbind(self._owner)
            raise
        self._chains.added(mine)
        self._pipeline.tell(task_registered, name=found.name)
        if since is None and self.keeper is not None:
            self.keeper.came_or_went(found.name)
        return mine

    def _plan(self, found: AnyTask) -> None:
        """Find what is filled in for its body, and refuse it when something of that is missing.

        As long as the manager does not run, the service for a parameter may still be provided.
        """
        plan = self._plan_of(found, found.binding.body)
        found.binding.plan = plan if plan else None
        found.binding.plan_redaction()

    def _plan_of(self, found: AnyTask, body: Any) -> InjectionPlan:
        spec = found.spec
        plan = InjectionPlan.of(Parameters(found.name, body), self._pipeline.services)
        complete = bool(spec.schedules or spec.run_at_start or spec.policy.after)
        if complete and not self.scheduling:
            missing = plan.parameters.missing(spec.parameters)
            complete = not any(can_be_provided(plan.parameters.hints[key]) for key in missing)
        plan.check(spec.parameters, complete=complete)
        return plan

    def plan_again(self) -> None:
        """A service was provided: some bodies may want it."""
        with self.lock:
            for found in self.tasks.values():
                self._plan(found)

    def _schedule(self, tasks: list[AnyTask]) -> None:
        """Give tasks their places, and put them on the heap; later, where the store cannot be reached now."""
        assert self._pipeline.executors is not None
        for found in tasks:
            self._pipeline.placing.place(found.binding, self._pipeline.executors)
        try:
            with self._pipeline.store.together([found.name for found in tasks]):
                self._refused = {}
                outdated = self._outdated(tasks)
                for found in tasks:
                    if found.name not in outdated:
                        with self._judging(found):
                            self._plan_entry(found)
        except StoreUnavailableError as error:
            if any(found.binding.wanted_at is None for found in tasks):
                logger.error("The schedules of %d tasks wait for the store: %s", len(tasks), error)
            for found in tasks:
                found.binding.entry = None
                found.binding.wanted_at = found.binding.wanted_at or self._pipeline.clock.now()
            self._schedule_again(tasks)
            return
        for found in tasks:
            entry = found.binding.entry
            if entry is not None:
                self._scheduler.register(entry)
                if entry.held:
                    self._pipeline.steering.follow(found.binding)
        self._take_out_refused()
        self._pipeline.store.look_anew()

    def _schedule_again(self, tasks: list[AnyTask]) -> None:
        later = self._pipeline.clock.now() + AGAIN
        self._scheduler.call_at(later, lambda: self._pipeline.store.post(lambda: self._schedule_later(tasks)))

    def _outdated(self, tasks: list[AnyTask]) -> Collection[str]:
        """The entries among these that have changed meanwhile: they wait until that is heard."""
        entries = [found.name for found in tasks if found.name in self.entries]
        return self.keeper.outdated(entries) if entries and self.keeper is not None else ()

    def _schedule_later(self, tasks: list[AnyTask]) -> None:
        """On the thread of the store, which waits for nobody who waits for it."""
        if not self.scheduling:
            return
        if not self.lock.acquire(timeout=1):
            self._schedule_again(tasks)
            return
        try:
            waiting = [found for found in tasks if self.tasks.get(found.name) is found]
            left = [found for found in waiting if found.binding.entry is None and self.scheduling]
            if left:
                self._schedule(left)
        finally:
            self.lock.release()

    def _plan_anew(self, name: str) -> None:
        """The store knows something new of the schedules of a task."""
        with self.lock:
            found = self.tasks.get(name)
            if found is None or found.binding.entry is None or not self.scheduling:
                return
            self._scheduler.remove(found.binding.entry)
            found.binding.entry = None
            self._schedule([found])

    @staticmethod
    def _plan_entry(found: AnyTask) -> None:
        binding = found.binding
        if binding.entry is not None:
            resume_entry(binding)
        else:
            binding.entry = plan_entry(found, binding)

    def warn_of_nothing(self) -> None:
        """Say where was looked, when no task was found."""
        if not self.tasks and self.sources[0] != []:
            looked = " and ".join(describe_source(source) for source in self.sources if source is not self._owner)
            logger.warning("The manager found no task in %s; add some with manager.task or add().", looked)

    def warn_of_twins(self) -> None:
        """Say which tasks other managers of this process run too, with a ledger of their own."""
        mine = {found.spec for found in list(self.tasks.values())}  # other threads may add and remove
        others = [
            other
            for other in list(_registries)
            if other is not self and other.scheduling and not self._pipeline.store.is_one_with(other._pipeline.store)
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


def _stays(found: AnyTask) -> bool:
    """Whether it was declared by a module, and not by a function: that of a test, say."""
    return "<locals>" not in getattr(found.spec.func, "__qualname__", "<locals>")


def excluded_names(names: Any) -> frozenset[str]:
    """What ``exclude=`` gives, checked. Raises `DeclarationTypeError` for anything but a collection of names."""
    if isinstance(names, Collection) and not isinstance(names, str | bytes | bytearray):
        given = list(names)
        if all(isinstance(name, str) for name in given):
            return frozenset(given)
    raise DeclarationTypeError(f"exclude is a list of names of tasks, such as ['report'], not {shorten(names)}.")


#: The registries of this process.
_registries: weakref.WeakSet[Registry] = weakref.WeakSet()
