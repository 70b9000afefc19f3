"""``Embedding``: a manager as a part of a framework: what `task.flask` asks of it, and others may."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from task.errors import DeclarationTypeError, ManagerStateError
from task.models.lifecycle import Lifecycle
from task.models.registry import Registry
from task.models.rehearsal import Rehearsal, all_embeddings
from task.pipeline import Binding, Pipeline, Surround
from task.schedules import shorten
from task.stores import Store, open_store

if TYPE_CHECKING:
    from task.models.manager import TaskManager
    from task.models.rehearsal import Kept

__all__ = ["Embedding"]


class Embedding:
    """What a framework asks of a manager: ``manager.embedding``. It is told before the manager runs."""

    def __init__(
        self,
        manager: TaskManager,
        registry: Registry,
        pipeline: Pipeline,
        lifecycle: Lifecycle,
        made_with: tuple[bool, str, float],
        begin: Callable[..., None],
    ) -> None:
        self._manager = manager
        #: The constructor of managers: that of a subclass may take what it likes.
        self._begin = begin
        self._registry = registry
        self._pipeline = pipeline
        self._lifecycle = lifecycle
        self._has_own_store, self._namespace, self._lost_after = made_with
        self._kept_later = False
        all_embeddings.add(self)
        if Rehearsal.under_way is not None:
            Rehearsal.under_way.take(self, born=True)

    @property
    def manager(self) -> TaskManager:
        """Whose it is."""
        return self._manager

    # What is around the bodies.

    def surround(self, make: Surround) -> None:
        """Run each attempt of a body, each callback, and the conditions of a slot inside of what *make* makes.

        That is a context manager, made anew each time. It is entered on the thread of the body, or in its coroutine,
        before its services are opened, and left after them, whatever has happened; what it raises is the failure of
        that attempt. Direct calls are surrounded, too. Of a body in another process or on a cluster it surrounds the
        waiting here. What is given later goes around what was given before. Raises `DeclarationTypeError` for what
        cannot be called.

        >>> import contextlib
        >>> from task import TaskManager
        >>> @contextlib.contextmanager
        ... def session():
        ...     yield print("opened")
        ...     print("closed")
        >>> manager = TaskManager([])
        >>> manager.embedding.surround(session)
        >>> sync = manager.add(lambda: print("the body"), name="sync")
        >>> with manager:
        ...     sync.trigger().result(timeout=5)
        opened
        the body
        closed
        """
        if not callable(make):
            raise DeclarationTypeError(f"surround() is given what makes a context manager, not {shorten(make)}.")
        self._pipeline.surroundings += (make,)

    # Where its record is.

    @property
    def has_store(self) -> bool:
        """Whether it was given a store: by ``store=`` or by `keep_in`. Without, the record is in memory."""
        return self._has_own_store or self._kept_later

    def keep_in(self, store: Store | str, namespace: str | None = None) -> None:
        """Keep the record in *store* from now on, of a manager that was made without one and does not run.

        Switches, recurring entries and the journal come along, the runs so far do not. *namespace* goes before the one
        that the manager was made with. Raises `ManagerStateError` where it has a store or runs, and what `TaskManager`
        raises.

        >>> from task import MemoryStore, TaskManager
        >>> manager = TaskManager([])
        >>> manager.embedding.keep_in(MemoryStore())
        >>> manager.embedding.has_store
        True
        """
        self._check_movable()
        opened = open_store(store, namespace or self._namespace, self._lost_after)
        self._kept_later = True
        if self._rehearsed is not None:
            self._rehearsed.keep_in(opened)  # when that is over
        else:
            self.move_to(opened)

    def _check_movable(self) -> None:
        if self.has_store:
            raise ManagerStateError("This manager has a store already: leave store= out of TaskManager, or keep that.")
        if self._manager.state != "stopped":
            raise ManagerStateError(
                f"A manager is given its store before it runs; this one is {self._manager.state}. Call stop() first."
            )
        if self._pipeline.store.active():
            raise ManagerStateError("A run is under way, on record in memory. Give the manager its store before that.")

    def move_to(self, store: Store) -> None:
        """Let the record go on in *store*, with what `keep_in` says comes along."""
        before = self._pipeline.store
        with self._registry.lock:
            store.retention = before.retention
            self._pipeline.keep_in(store)
            for name, found in self._registry.tasks.items():
                store.register(name, found.binding.terms, before)
            for record in before.entries():
                if not store.entries(record.row.name):
                    store.put_entry(record.row._replace(version=1))
            for entry in reversed(before.journal(limit=1000)):
                store.note(entry)
            if before.paused:
                store.pause(True)
        self._manager.store = store
        self._manager.recurring.begin_anew()

    @property
    def _rehearsed(self) -> Kept | None:
        rehearsal = Rehearsal.under_way
        return None if rehearsal is None else rehearsal.kept(self)

    def set_apart(self, record: Store, *, born: bool) -> Callable[[], None]:
        """Let the manager begin anew on *record*: with its tasks, and without what it knows of them.

        What is returned puts back what it was; one that was just *born* keeps what it is provided with until then. It
        is stopped, before and then.
        """
        store = self._manager.store
        record.retention = store.retention
        with contextlib.ExitStack() as stack:  # what was done is undone, too, where the rest fails
            stack.callback(self._use, store)
            self._use(record)
            for part in (self._manager.recurring, self._lifecycle, self._manager.scheduler):
                stack.callback(part.set_apart())
            stack.callback(self._registry.set_apart(born=born))
            if not born:
                stack.callback(self._pipeline.services.set_apart())
            return stack.pop_all().close
        raise AssertionError("what is undone has no error to suppress")

    def _use(self, store: Store) -> None:
        self._pipeline.keep_in(store)
        self._manager.store = store

    # Several applications.

    def twin(self, *, without: Surround | None = None) -> TaskManager:
        """Another manager over the same tasks, services and options, for a second application in this process.

        Its loop, its executors and its switches are its own, and its tasks are other objects: ``twin["report"]``. It
        shares the store if this one was made with one; otherwise its record is its own, in memory as yet. Its bodies
        are inside of the same (`surround`), but for what is given as *without*: the first application's own.

        >>> from task import TaskManager
        >>> manager = TaskManager([])
        >>> report = manager.add(lambda: 42, name="report")
        >>> manager.embedding.twin().tasks
        [<task 'report' at ...>]
        """
        manager, pipeline = self._manager, self._pipeline
        made = type(manager).__new__(type(manager))
        vars(made).update(vars(manager))  # what a subclass has made
        self._begin(
            made,
            self._sources(),
            store=self._own_store() if self._has_own_store else None,
            namespace=self._namespace,
            lost_after=self._lost_after,
            catch_up_window=pipeline.catch_up_window,
            on_store_failure=pipeline.on_store_failure,
            clock=manager.clock,
            max_workers=self._lifecycle.max_workers,
            pools=pipeline.placing.pools,
            executors=pipeline.placing.executors,
            artifacts=pipeline.artifacts,
            exclude=self._registry.excluded,
            restart_after_fork=self._has_own_store and manager.restart_after_fork,
            **manager._alerts.options,
        )
        made.store.retention = manager.store.retention
        made._pipeline.surroundings = tuple(one for one in pipeline.surroundings if one is not without)
        made._pipeline.services.provide_as(pipeline.services)
        return made

    def _own_store(self) -> Store:
        """That which it has outside of a rehearsal."""
        return self._manager.store if self._rehearsed is None else self._rehearsed.store

    def _sources(self) -> list[Any]:
        """Where a twin finds its tasks: where this one does, and those that were added to this one."""
        first = self._registry.sources[0]
        return [self._registry.added] if first == [] else [first, self._registry.added]

    def defer_to(self, choose: Callable[[], TaskManager | None]) -> None:
        """Let the manager that *choose* names, if it names one, act for those of this one's tasks that it has as well.

        It is asked whenever a task is called, triggered or switched: one task object serves several applications, each
        with a manager of its own. What is asked of the manager itself stays here.

        >>> from task import TaskManager
        >>> manager = TaskManager([])
        >>> report = manager.add(lambda: 42, name="report")
        >>> twin = manager.embedding.twin()
        >>> manager.embedding.defer_to(lambda: twin)
        >>> report(), len(manager.runs("report")), len(twin.runs("report"))
        (42, 0, 1)
        """
        own, tasks = weakref.ref(self._manager), self._registry.tasks

        def find(name: str) -> Binding | None:
            other, mine = choose(), tasks.get(name)
            if other is None or mine is None or other is own() or name not in other:
                return None
            theirs = other[name]
            return theirs.binding if theirs.spec is mine.spec else None

        self._pipeline.acting = find
