"""``TaskManager``: the facade that owns one loop, the executors and the ledger."""

from __future__ import annotations

import atexit
import contextlib
import datetime
import functools
import os
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, Unpack, overload

from task.clock import Clock
from task.errors import DeclarationTypeError, ManagerStateError
from task.log import logger
from task.models.details import Health, congestion, task_detail
from task.models.discovery import calling_namespace
from task.models.function import TaskFunction
from task.models.lifecycle import Lifecycle, SignalReceived
from task.models.registry import Registry
from task.pipeline import Pipeline, Placing
from task.runs import Run
from task.scheduler import Scheduler
from task.schedules import shorten
from task.spec import Schedules, TaskOptions
from task.stores import Finding, MemoryStore, Store

if TYPE_CHECKING:
    import concurrent.futures

__all__ = ["TaskManager"]

Moment = datetime.datetime
AnyTask = TaskFunction[..., Any]

P = ParamSpec("P")
R = TypeVar("R")

#: How long an interpreter that exits gives the bodies that run. Seconds.
EXIT_TIMEOUT = 10.0

_managers: weakref.WeakSet[TaskManager] = weakref.WeakSet()

#: Those that run are kept, also when their program keeps no reference.
_running: set[TaskManager] = set()


class TaskManager:
    """Finds tasks, runs them on time, and tells about them.

    *tasks* is where they are found: a module, an import string, an object, a namespace, or a list of
    these; without it, the module that creates the manager (tasks defined later included) and, for a
    subclass, its own ``@task`` methods. *max_workers* bounds the threads for ``threaded=True`` bodies;
    *pools* gives the sizes of named pools (``pool="io"`` on a task), and *executors* names executors of
    yours (``executor="cluster"`` on a task).

    >>> from task import TaskManager, every
    >>> manager = TaskManager([])
    >>> @manager.task(every(30).seconds)
    ... def sample():
    ...     print("syncing...")
    >>> manager["sample"].schedules
    [Every 30 seconds do [None] (last run: [never], next run: [never])]
    """

    def __init__(
        self,
        tasks: Any = None,
        *,
        store: Store | None = None,
        clock: Clock | None = None,
        scheduler: Scheduler | None = None,
        max_workers: int = 32,
        pools: Mapping[str, int] | None = None,
        executors: Mapping[str, concurrent.futures.Executor] | None = None,
    ) -> None:
        _check_places(max_workers, pools or {}, executors or {})
        self.store = store or MemoryStore()
        self.scheduler = scheduler or Scheduler(clock)
        self.clock = self.scheduler.clock
        sources = [calling_namespace(self), self] if tasks is None else [tasks, self]
        self._pipeline = Pipeline(self.store, self.clock, scheduler=self.scheduler)
        self._pipeline.placing = Placing(pools, executors)
        owner = self._pipeline.owner = weakref.ref(self)
        kinds: set[type] = {TaskManager, type(self)}
        for own in kinds:
            self._pipeline.services.of_run(own, lambda _: owner())
        self._registry = Registry(self, self._pipeline, self.scheduler, sources)
        self._lifecycle = Lifecycle(self, self._registry, self._pipeline, self.scheduler, max_workers)
        self._lifecycle.on_stopped = functools.partial(_running.discard, self)
        _managers.add(self)

    # The loop.

    def run(self) -> None:
        """Start the loop on a daemon thread, and return at once. Running already: no change.

        Raises `DuplicateTaskError` for two tasks of one name, `DeclarationError` for a task that its
        schedule could not run, `ManagerStateError` when another manager runs on the same scheduler.
        """
        self._lifecycle.start()
        _running.add(self)
        _stop_at_exit()

    def stop(self, timeout: float = 10.0) -> None:
        """Stop: no new runs, queued ones are cancelled, running ones get *timeout* seconds.

        Then they are asked to stop, and half a second later recorded as lost and left on their daemon
        threads. Called from inside a run it returns at once, and the rest happens behind it. `run`
        afterwards works.
        """
        self._lifecycle.stop(timeout)

    def wait(self) -> None:
        """Block until the manager is stopped. SIGINT and SIGTERM stop it cleanly (in the main thread).

        The second signal does what it does without us: Ctrl-C twice ends the program at once.
        """
        try:
            self._lifecycle.wait()
        except SignalReceived as received:
            try:
                logger.info("Received %s: stopping", received)
                self.stop()
            except KeyboardInterrupt:
                atexit.unregister(_stop_all)  # no grace at the exit either
                raise

    def __enter__(self) -> TaskManager:
        self.run()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    async def __aenter__(self) -> TaskManager:
        self.run()
        return self

    async def __aexit__(self, *exception: object) -> None:
        import asyncio

        await asyncio.get_running_loop().run_in_executor(None, self.stop)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """The lifespan of an ASGI application: ``Starlette(lifespan=manager.lifespan)``."""
        async with self:
            yield

    @property
    def state(self) -> str:
        """``stopped``, ``starting``, ``running`` or ``stopping``; ``manager_state_changed`` is sent for each change."""
        return "forked" if self._lifecycle.forked() else self._lifecycle.state

    # The tasks.

    @property
    def tasks(self) -> list[AnyTask]:
        """All tasks, in the order in which they were found."""
        if not self._lifecycle.forked():
            self._registry.discover()
        return list(self._registry.tasks.values())

    @property
    def tasks_detail(self) -> list[dict[str, Any]]:
        """All that is known of each task now, as JSON-ready values; docs/reference.md lists the keys."""
        now = self.clock.now()
        running = self._lifecycle.state == "running" and not self._lifecycle.forked()
        return [task_detail(task, now, running) for task in self.tasks]

    def __getitem__(self, name: str) -> AnyTask:
        """The task called *name*. Raises `UnknownTaskError` with the nearest names."""
        if name not in self._registry.tasks and not self._lifecycle.forked():
            self._registry.discover()  # it may have been defined since then
        return self._registry.find(name)

    def __contains__(self, name: object) -> bool:
        tasks = self.tasks
        return name in self._registry.tasks if isinstance(name, str) else any(task is name for task in tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[str]:
        """The names, as a mapping's."""
        return iter([task.name for task in self.tasks])

    def __bool__(self) -> bool:
        return True

    @overload
    def task(self, func: Callable[P, R], /) -> TaskFunction[P, R]: ...

    @overload
    def task(
        self, schedule: Schedules = None, **options: Unpack[TaskOptions]
    ) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...

    def task(self, schedule: Any = None, **options: Any) -> Any:
        """`task.task`, registering at once: bare ``@manager.task`` or ``@manager.task(every(5).minutes)``."""
        if callable(schedule) or isinstance(schedule, staticmethod):
            return self.add(schedule, **options)
        return lambda func: self.add(func, schedule, **options)

    def add(
        self, func: Callable[P, R], schedule: Schedules = None, **options: Unpack[TaskOptions]
    ) -> TaskFunction[P, R]:
        """Register a function (or a task) now; a running manager schedules it at once.

        Raises what `task.task` raises, and `DuplicateTaskError` for a name that is taken.
        """
        self._lifecycle.check_not_forked()
        if isinstance(func, TaskFunction) and (schedule is not None or options):
            raise DeclarationTypeError(
                f"Task {func.name!r} is declared already: its schedule and options are those of its decorator. "
                "Give add() the plain function (.func) to declare another."
            )
        found = func if isinstance(func, TaskFunction) else TaskFunction.declare(func, schedule, **options)
        registered: Any = self._registry.add(found)
        added: TaskFunction[P, R] = registered
        return added

    def remove(self, name: str) -> None:
        """Take a task out: when this returns, no body of it starts any more. Its history stays.

        A body under way goes on. Raises `UnknownTaskError`.
        """
        self._lifecycle.check_not_forked()
        self[name]
        self._registry.remove(name)

    def trigger(self, task: str, /, **parameters: Any) -> Run:
        """A run now of the task of that name, with parameters: checked against its body's signature first.

        Returns at once; ``run.result(timeout)`` waits for it. Raises `UnknownTaskError`, and what
        `TaskFunction.trigger` raises.

        >>> manager = TaskManager([])
        >>> greet = manager.add(lambda name: f"Hello, {name}", name="greet")
        >>> with manager:
        ...     manager.trigger("greet", name="Ada").result(timeout=5)
        'Hello, Ada'
        """
        self._lifecycle.check_not_forked()
        return self[task].trigger(**parameters)

    def provide(self, service: type[Any], value_or_factory: object, scope: Literal["run", "manager"] = "run") -> None:
        """Fill the parameters of bodies that are annotated with the type *service*. Needs the extra ``services``.

        A class or function is a factory: called with nothing, or with the `svcs.Container` of the other services.
        One that is a (async) generator or context manager is opened before the body and closed after it
        (``scope="run"``), or made once and closed when the manager has stopped (``scope="manager"``). Anything else
        is the value itself. Raises `DeclarationError` or `DeclarationTypeError` for what cannot be provided.

        >>> class Settings:
        ...     region = "EU"
        >>> manager = TaskManager([])
        >>> manager.provide(Settings, Settings())
        >>> def report(settings: Settings): return settings.region
        >>> with manager:
        ...     manager.add(report, name="report").trigger().result(timeout=5)
        'EU'
        """
        self._pipeline.services.provide(service, value_or_factory, scope)
        self._registry.plan_again()

    def pause(self) -> None:
        """Pause all tasks: slots, calls and triggers are skipped, and recorded so."""
        self.store.pause(True)

    def resume(self) -> None:
        """End `pause`. Nothing is caught up."""
        self.store.pause(False)

    # What is on record.

    def runs(self, task: str | None = None, state: str | None = None, limit: int = 100) -> list[Run]:
        """Recorded runs, skips and misses, newest first; of one task, or in one state.

        Raises `UnknownTaskError` for a task that the ledger never knew.
        """
        if task is not None and task not in self.store.names():
            self[task]
            return []
        return self.store.runs(task, state, limit)

    def audit(self, since: Moment | None = None, until: Moment | None = None) -> list[Finding]:
        """Every slot in ``(since, until]`` that has not exactly one outcome: empty when all is well."""
        pending = {}
        for task in list(self._registry.tasks.values()):
            entry = task.binding.entry
            if entry is not None and (entry.timetable.behind or entry.timetable.jitter):
                slot = entry.timetable.next_slot()  # of these the slots are taken later than they are due
                if slot is not None:
                    pending[task.name] = slot
        return self.store.audit(since, until or self._lifecycle.owed_until(), pending)

    @property
    def health(self) -> Health:
        """Whether the manager does its work, computed now."""
        state, pid = self._lifecycle, os.getpid()
        if state.forked():
            cause = f"forked: the manager was started in process {state.pid}; call run() in this one"
            return Health(False, "forked", pid, (cause,))
        ailment = self.scheduler.ailment()
        causes = [] if ailment is None else [ailment]
        if self._pipeline.watch is not None and self._pipeline.watch.blocked is not None:
            causes.append(self._pipeline.watch.blocked)
        causes += congestion(list(self._registry.tasks.values()), self._pipeline)
        return Health(not causes, state.state, pid, tuple(causes), self.scheduler.announcer.dropped)


def _check_places(
    max_workers: Any, pools: Mapping[str, Any], executors: Mapping[str, concurrent.futures.Executor]
) -> None:
    for name, size in {"max_workers": max_workers, **pools}.items():
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= 100_000:
            what = name if name == "max_workers" else f"the size of pool {shorten(name)}"
            raise ManagerStateError(f"{what} is a whole number from 1, not {shorten(size)}.")
    taken = {"serial", "threads", "process"} & executors.keys()
    if taken:
        raise ManagerStateError(f"executors names {sorted(taken)}, which are the manager's own. Use other names.")


def _stop_all() -> None:
    """Stop what runs; all of them share one time, and one that fails does not keep the others from it."""
    deadline = time.monotonic() + EXIT_TIMEOUT
    for manager in list(_running):
        try:
            manager.stop(max(0.0, deadline - time.monotonic()))
        except Exception:
            logger.exception("A manager could not be stopped at the exit of the program")


def _stop_at_exit() -> None:
    """Registered when the first manager starts: later than what it imports, and so run before that ends."""
    atexit.unregister(_stop_all)
    atexit.register(_stop_all)


def _after_fork() -> None:
    for manager in list(_managers):
        manager._lifecycle.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
