"""``TaskManager``: the facade that owns one loop, the executors and the ledger."""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
import weakref
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, Unpack, overload

from task.alerts import Alerts, check_heartbeat
from task.clock import Clock
from task.errors import DeclarationTypeError, UnknownTaskError, did_you_mean
from task.log import logger
from task.models.arguments import check_patience, check_places, check_restart
from task.models.details import Health, congestion, task_details
from task.models.discovery import calling_namespace
from task.models.embedding import Embedding
from task.models.function import TaskFunction
from task.models.lifecycle import Lifecycle, SignalReceived
from task.models.on_record import ManagerRecords
from task.models.process import all_managers, keep_running, leave_at_once, restart_in_children, running_managers
from task.models.records import Records
from task.models.recurring import Recurring
from task.models.registry import Registry
from task.models.vitals import Vitals, VitalsTaker
from task.pipeline import Pipeline, Placing, name_of
from task.runs import Run, artifact_folder
from task.scheduler import Scheduler
from task.schedules import shorten
from task.spec import Schedules, TaskOptions, check_notify
from task.stores import (
    Finding,
    Retention,
    Store,
    open_store,
)

if TYPE_CHECKING:
    import concurrent.futures

__all__ = ["TaskManager"]

Moment = datetime.datetime
AnyTask = TaskFunction[..., Any]

P = ParamSpec("P")
R = TypeVar("R")


class TaskManager(ManagerRecords):
    """Finds tasks, runs them on time, and tells about them.

    *tasks* is where they are found: a module, an import string, an object, a namespace, or a list of
    these; without it, the module that creates the manager (tasks defined later included) and, for a
    subclass, its own ``@task`` methods. *max_workers* bounds the threads for ``threaded=True`` bodies;
    *pools* gives the sizes of named pools (``pool="io"`` on a task), and *executors* names executors of
    yours (``executor="cluster"`` on a task). *artifacts* is the folder for what bodies save (`Run.save_artifact`).

    *store* is where the ledger is kept: in memory, or in a database that any number of processes share (extra ``sql``),
    ``"sqlite:///tasks.db"`` or ``"postgresql+psycopg://user:password@host/database"``; or a `Store`.
    *namespace* keeps the applications on one database apart. A process whose heartbeat has stood still for *lost_after*
    seconds (2 to 86 400) counts as dead, and its runs as lost. What came due while no process lived is caught up if it
    is no older than *catch_up_window* seconds. A slot that the store cannot be asked about waits until its grace ends
    (*on_store_failure* ``"wait"``), or runs all the same, maybe in other processes too (``"run"``).

    A store in a database keeps *keep_runs* rows of the history of each task, and none that is older than *keep_days*
    (None: as many as there are, and whatever their age); what it drops, it drops little by little, with its logs and
    artifacts. *exclude* names tasks that this process leaves to the others on its store: it neither registers nor runs
    them. After a fork the manager is not running in the child, and says so; with *restart_after_fork* and a store that
    processes share, one that ran in the parent starts by itself in the child, on threads of its own.

    *notify* is called with a plain text and the run (or the text alone, if it takes no more) when an incident of a task
    begins or ends: it is overdue, overruns what is usual, fails, or a run of it is lost. *heartbeat* is a URL to GET,
    or a function, pinged every *heartbeat_every* seconds (1 to 86 400) while the manager is healthy.

    Time is that of *clock*, or of the *scheduler* that is given instead of one of its own.

    Raises `DeclarationError`, `DeclarationTypeError` or `ManagerStateError` for a value that cannot be, and
    `MissingExtraError`. A database is first looked at by `run`, or by the first question about it.

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
        store: Store | str | None = None,
        namespace: str = "default",
        lost_after: float = 30.0,
        catch_up_window: float = 86_400.0,
        on_store_failure: Literal["wait", "run"] = "wait",
        clock: Clock | None = None,
        scheduler: Scheduler | None = None,
        max_workers: int = 32,
        pools: Mapping[str, int] | None = None,
        executors: Mapping[str, concurrent.futures.Executor] | None = None,
        artifacts: str | os.PathLike[str] | None = None,
        keep_runs: int | None = 10_000,
        keep_days: float | None = None,
        exclude: Collection[str] = (),
        restart_after_fork: bool = False,
        notify: Callable[..., object] | None = None,
        heartbeat: str | Callable[[], object] | None = None,
        heartbeat_every: float = 60.0,
    ) -> None:
        if notify is not None:
            check_notify("TaskManager", notify)
        check_heartbeat(heartbeat, heartbeat_every)
        retention = Retention.of(keep_runs, keep_days)
        check_places(max_workers, pools or {}, executors or {})
        check_patience(catch_up_window, on_store_failure)
        self.store = open_store(store, namespace, lost_after)
        self.store.retention = retention
        self.scheduler = scheduler or Scheduler(clock)
        self.clock = self.scheduler.clock
        sources = [calling_namespace(self), self] if tasks is None else [tasks, self]
        self._pipeline = Pipeline(self.store, self.clock, scheduler=self.scheduler)
        self._pipeline.placing = Placing(pools, executors, max_workers)
        self._pipeline.catch_up_window, self._pipeline.on_store_failure = catch_up_window, on_store_failure
        self._pipeline.artifacts = artifact_folder(artifacts)
        owner = self._pipeline.owner = weakref.ref(self)
        kinds: set[type] = {TaskManager, type(self)}
        for own in kinds:
            self._pipeline.services.of_run(own, lambda _: owner())
        registry = self._registry = Registry(self, self._pipeline, self.scheduler, sources, exclude)
        self._records = Records(self._pipeline, self.__getitem__)
        self._alerts = Alerts(self._pipeline, self.scheduler, registry.bindings, lambda: registry.excluded)
        self._alerts.notify = notify
        if heartbeat is not None:
            self._alerts.beat(heartbeat, heartbeat_every, lambda: (mine := owner()) is not None and mine.health)
        self._lifecycle = Lifecycle(self, registry, self._pipeline, self.scheduler, self._alerts, max_workers)
        #: Entries on schedules that are made at run time.
        self.recurring = Recurring(self._registry, self._pipeline, self._lifecycle.check_not_forked)
        self._lifecycle.on_stopped = functools.partial(running_managers.discard, self)
        self._vitals = VitalsTaker(self._pipeline, self._registry.tasks, self.clock, owner)
        self._lifecycle.on_opened = self._vitals.begin
        self._pipeline.steering.tell_vitals = lambda: "" if (mine := owner()) is None else mine.vitals().as_json()
        self.restart_after_fork = restart_after_fork
        made_with = store is not None, namespace, lost_after
        #: The manager as a part of a framework.
        self.embedding = Embedding(
            self, self._registry, self._pipeline, self._lifecycle, made_with, TaskManager.__init__
        )
        all_managers.add(self)

    # The loop.

    def run(self) -> None:
        """Start the loop on a daemon thread, and return at once. Running already: no change.

        Raises `DuplicateTaskError` for two tasks of one name, `DeclarationError` for a task that its
        schedule could not run, `ManagerStateError` when another manager runs on the same scheduler.
        """
        self._lifecycle.start()
        keep_running(self)

    def stop(self, timeout: float = 10.0) -> None:
        """Stop: nothing new starts, what waits is cancelled or left to others, what runs gets *timeout* seconds.

        Then they are asked to stop, and half a second later recorded as lost and left on their daemon
        threads. Callbacks of runs that have ended get the same time. Called from inside a run it returns at
        once, and the rest happens behind it. `run` afterwards works.
        """
        self._lifecycle.stop(timeout)

    def wait(self) -> None:
        """Block until the manager is stopped. SIGINT and SIGTERM stop it cleanly (in the main thread).

        The second signal does what it does without us: Ctrl-C twice ends the program at once. SIGTERM that comes twice
        within half a second counts once: ``timeout`` sends it so.
        """
        try:
            self._lifecycle.wait()
        except SignalReceived as received:
            try:
                logger.info("Received %s: stopping", received)
                received.raise_second()
                self.stop()
            except KeyboardInterrupt:
                leave_at_once()  # no grace at the exit either
                raise
            finally:
                received.put_back()

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
        """All tasks, in the order in which they were found. Recurring entries are at `recurring`."""
        if not self._lifecycle.forked():
            self._registry.discover()
        return [found for found in list(self._registry.tasks.values()) if not found.recurring]

    @property
    def tasks_detail(self) -> list[dict[str, Any]]:
        """All that is known of each task now, as JSON-ready values; docs/reference.md lists the keys."""
        running = self._lifecycle.state == "running" and not self._lifecycle.forked()
        return task_details(self.tasks, self.store, self.clock.now(), running)

    def task_detail(self, name: str) -> dict[str, Any]:
        """What `tasks_detail` has of one task, or of a recurring entry that is run here. Raises `UnknownTaskError`."""
        running = self._lifecycle.state == "running" and not self._lifecycle.forked()
        return task_details([self[name]], self.store, self.clock.now(), running)[0]

    def __getitem__(self, name: str) -> AnyTask:
        """The task or recurring entry called *name*. Raises `UnknownTaskError` with the nearest names."""
        self._look_for(name)
        return self._registry.find(name)

    def _look_for(self, name: str) -> None:
        if not self._lifecycle.forked():
            if name not in self._registry.tasks:
                self._registry.discover()  # it may have been defined since then
            self.recurring.look_for(name)

    def __contains__(self, name: object) -> bool:
        tasks = self.tasks
        if isinstance(name, str):
            self._look_for(name)
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

    # After a fork.

    @property
    def restart_after_fork(self) -> bool:
        """Whether it starts by itself in a child that is forked while it runs; it can be set at any time.

        Raises `DeclarationError` for a store that processes do not share, and `DeclarationTypeError`.
        """
        return self._lifecycle.restarts

    @restart_after_fork.setter
    def restart_after_fork(self, restarts: bool) -> None:
        check_restart(restarts, self.store)
        if restarts:
            restart_in_children()
        self._lifecycle.restarts = restarts

    def enable(self, name: str, by: str | None = None) -> None:
        """Turn a switch on, as `TaskFunction.enable` does: of a task, an entry, or what the store alone knows.

        Raises `UnknownTaskError` for what the ledger never knew.
        """
        self._steerable(name).enable(by)

    def disable(self, name: str, note: str | None = None, until: Moment | None = None, by: str | None = None) -> None:
        """Turn a switch off, as `TaskFunction.disable` does: of a task, an entry, or what the store alone knows.

        Raises `UnknownTaskError` for what the ledger never knew, and `DeclarationError`.

        >>> manager = TaskManager([])
        >>> sample = manager.add(lambda: None, name="sample")
        >>> manager.disable("sample", "moving house", by="ada")
        >>> sample.is_enable
        False
        """
        self._steerable(name).disable(note, until, by)

    def _steerable(self, name: str) -> AnyTask:
        try:
            return self[name]
        except UnknownTaskError:
            names = self.store.names()
            if name not in names:
                if self.tasks:
                    raise
                hint = did_you_mean(name, names, "Nothing is." if not names else "")
                raise UnknownTaskError(f"There is no task {shorten(name)} on record. {hint}".rstrip()) from None
        return TaskFunction.standing_for(name, self._pipeline)

    def pause(self, by: str | None = None) -> None:
        """Pause all tasks: slots, calls and triggers are skipped, and recorded so. *by* is who does it."""
        who = name_of(by)
        self.store.pause(True)
        self._pipeline.journal("paused", by=who)

    def resume(self, by: str | None = None) -> None:
        """End `pause`. Nothing is caught up. *by* is who does it."""
        who = name_of(by)
        self.store.pause(False)
        self._pipeline.journal("resumed", by=who)

    # How it is.

    def audit(self, since: Moment | None = None, until: Moment | None = None) -> list[Finding]:
        """Every slot in ``(since, until]`` that has not exactly one outcome: empty when all is well.

        On a store that processes share, the slots of tasks that this one does not know are held up to their newest
        outcome: what came due since is for a process that knows them.
        """
        pending = {}
        for task in list(self._registry.tasks.values()):
            entry = task.binding.entry
            if entry is not None and (entry.timetable.behind or entry.timetable.jitter):
                slot = entry.timetable.next_slot()  # of these the slots are taken later than they are due
                if slot is not None:
                    pending[task.name] = slot
        known = frozenset(self._registry.tasks) if self.store.shared else None
        return self.store.audit(since, until or self._lifecycle.owed_until(), pending, claimed=known)

    @property
    def health(self) -> Health:
        """Whether the manager does its work, computed now."""
        state, pid = self._lifecycle, os.getpid()
        if state.forked():
            cause = f"forked: the manager was started in process {state.pid}; call run() in this one"
            return Health(False, "forked", pid, (cause,))
        causes = [ailment for ailment in (self.scheduler.ailment(), self.store.ailment) if ailment is not None]
        if state.failure is not None:
            causes.insert(0, f"it could not be started: {state.failure}")
        if self._pipeline.watch is not None and self._pipeline.watch.blocked is not None:
            causes.append(self._pipeline.watch.blocked)
        causes += congestion(list(self._registry.tasks.values()), self._pipeline)
        return Health(not causes, state.state, pid, tuple(causes), self.scheduler.announcer.dropped)

    def vitals(self) -> Vitals:
        """What it tells of itself and its process, for people: `task.doctor` judges it.

        Where it runs on a store that processes share, the others hear it with its heartbeat.

        >>> with TaskManager([]) as manager:
        ...     manager.vitals().state
        'running'
        """
        return self._vitals.take()
