"""``TaskManager``: the facade that owns one loop, the executors and the ledger."""

from __future__ import annotations

import atexit
import contextlib
import datetime
import difflib
import functools
import logging
import os
import signal
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from task.clock import Clock
from task.errors import DuplicateTaskError, ForkedError, ManagerStateError, UnknownTaskError
from task.executors import Executors
from task.models.details import Health, task_detail
from task.models.discovery import calling_namespace, describe_source, discover, duplicate_message
from task.models.function import TaskFunction
from task.models.planning import plan_entry, resume_entry
from task.pipeline import Pipeline, describe
from task.runs import Run, RunState, peek_current_run
from task.scheduler import Scheduler
from task.schedules import shorten
from task.spec import check_complete
from task.stores import Finding, MemoryStore, Store

__all__ = ["TaskManager"]

logger = logging.getLogger("task")

Moment = datetime.datetime
AnyTask = TaskFunction[..., Any]

#: How long an interpreter that exits gives the bodies that run. Seconds.
EXIT_TIMEOUT = 10.0

#: How long a body that was asked to stop has, before its run counts as lost. Seconds.
CANCEL_TIMEOUT = 0.5

#: A run that has waited for a place for so long makes the manager unhealthy. Seconds.
QUEUE_GRACE = 60.0

_managers: weakref.WeakSet[TaskManager] = weakref.WeakSet()


class TaskManager:
    """Finds tasks, runs them on time, and tells about them.

    *tasks* is where they are found: a module, an import string, an object, a namespace, or a list of
    these; without it, the module that creates the manager (tasks defined later included) and, for a
    subclass, its own ``@task`` methods. *max_workers* bounds the threads for ``threaded=True`` bodies.

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
    ) -> None:
        if not isinstance(max_workers, int) or max_workers < 1:
            raise ManagerStateError(f"max_workers is a whole number from 1, not {shorten(max_workers)}.")
        self.store = store or MemoryStore()
        self.scheduler = scheduler or Scheduler(clock)
        self.clock = self.scheduler.clock
        self._sources: list[Any] = [calling_namespace(self), self] if tasks is None else [tasks, self]
        self._max_workers = max_workers
        self._tasks: dict[str, AnyTask] = {}
        self._removed: set[int] = set()
        self._plain: set[int] = set()
        self._pipeline = Pipeline(self.store, self.clock, scheduler=self.scheduler)
        self._pipeline.closed = "the manager does not run yet; call run()"
        self._state = "stopped"
        self._pid: int | None = None
        self._ended_at: Moment | None = None
        self._renew_locks()
        self.scheduler.run_plain = self._run_plain
        _managers.add(self)

    def _renew_locks(self) -> None:
        self._lifecycle = threading.RLock()
        self._stopped = threading.Event()
        self._stopped.set()

    # The loop.

    def run(self) -> None:
        """Start the loop on a daemon thread, and return at once. Running already: no change.

        Raises `DuplicateTaskError` for two tasks of one name, `DeclarationError` for a task that its
        schedule could not run, `ManagerStateError` when another manager runs on the same scheduler.
        """
        with self._lifecycle:
            if self._forked():
                self._start_afresh()
            self._discover()
            if self._state == "running":
                return
            if self.scheduler.owner not in (None, self) and self.scheduler.is_running():
                raise ManagerStateError(
                    "This scheduler is run by another manager. Give each manager a scheduler of its own."
                )
            if not self._tasks:
                looked = " and ".join(describe_source(source) for source in self._sources if source is not self)
                logger.warning("The manager found no task in %s; add some with manager.task or add().", looked)
            self._state = "starting"
            self._warn_of_twins()
            self.scheduler.owner = self
            executors = getattr(self.clock, "executors", Executors)(self._max_workers)
            self._pid, self._ended_at, self._plain = os.getpid(), None, set()
            self._pipeline.open(executors)
            self._stopped.clear()
            try:
                for task in list(self._tasks.values()):
                    self._schedule(task)
                self.scheduler.start()
            except BaseException:
                self._pipeline.closed = "the manager did not start"
                self._pid, self._state = None, "stopped"
                self._stopped.set()
                raise
            self._state = "running"
            _stop_at_exit()
        for task in list(self._tasks.values()):
            if task.spec.run_at_start:
                task.binding.pipeline.trigger(task.binding, {}, "start")

    def stop(self, timeout: float = 10.0) -> None:
        """Stop: no new runs, queued ones are cancelled, running ones get *timeout* seconds.

        Then they are asked to stop, and half a second later recorded as lost and left on their daemon
        threads. Called from inside a run it returns at once, and the rest happens behind it. `run`
        afterwards works.
        """
        if peek_current_run() is not None and not self.clock.inline:
            threading.Thread(target=self._stop, args=(timeout,), name="task-stop", daemon=True).start()
        else:
            self._stop(timeout)

    def _stop(self, timeout: float) -> None:
        with self._lifecycle:
            if self._state != "running" or self._forked():
                return
            self._state = "stopping"
            self._pipeline.closed = "the manager is stopping"
            self.scheduler.stop()
            now = self.clock.now()
            for run in self.store.active():
                if run.state is RunState.QUEUED and self.store.finish(run, RunState.CANCELLED, now, "stopped"):
                    logger.info("A queued run of task %r was cancelled: the manager stops", run.task)
            self._drain(timeout)
            executors, self._pipeline.executors = self._pipeline.executors, None
            for task in self._tasks.values():
                task.binding.executor = None
            if executors is not None:
                executors.close()
            self.scheduler.announcer.close()
            self._pid, self._ended_at = None, now
            self._pipeline.closed = "the manager is stopped; call run()"
            self._state = "stopped"
            self._stopped.set()

    def _drain(self, timeout: float) -> None:
        """Give running bodies their time, ask them to stop, and record the rest as lost."""
        waits = [run for run in self.store.active() if run.trigger != "call"]
        self._await(waits, timeout)
        for run in waits:
            if not run.state.final:
                run.ask_to_stop()
        self._await(waits, CANCEL_TIMEOUT)
        for run in waits:
            reason = f"still running {timeout:g} seconds after the manager was told to stop"
            if self.store.finish(run, RunState.LOST, self.clock.now(), reason):
                logger.error("The run of task %r is lost: %s", run.task, reason)

    def _await(self, runs: list[Run], timeout: float) -> None:
        deadline = self.clock.monotonic() + max(0.0, timeout)
        pause = threading.Condition()
        for run in runs:
            if not self.clock.inline:
                run.wait(max(0.0, deadline - self.clock.monotonic()))
            while not run.state.final and self.clock.monotonic() < deadline:
                with pause:  # a clock that drives the bodies itself has to be let go on
                    self.clock.wait(pause, 0.05)

    def wait(self) -> None:
        """Block until the manager is stopped. SIGINT and SIGTERM stop it cleanly (in the main thread).

        The second signal does what it does without us: Ctrl-C twice ends the program at once.
        """
        try:
            with _signals_interrupt():
                self._stopped.wait()
        except _SignalReceived as received:
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

    # The tasks.

    @property
    def tasks(self) -> list[AnyTask]:
        """All tasks, in the order in which they were found."""
        self._discover()
        return list(self._tasks.values())

    @property
    def tasks_detail(self) -> list[dict[str, Any]]:
        """All that is known of each task now, as JSON-ready values; docs/reference.md lists the keys."""
        now = self.clock.now()
        running = self._state == "running" and not self._forked()
        return [task_detail(task, now, running) for task in self.tasks]

    def __getitem__(self, name: str) -> AnyTask:
        """The task called *name*. Raises `UnknownTaskError` with the nearest names."""
        self._discover()
        found = self._tasks.get(name)
        if found is None:
            near = difflib.get_close_matches(str(name), self._tasks, n=3)
            names = near or sorted(self._tasks)[:10]
            hint = f"Did you mean {' or '.join(map(repr, names))}?" if near else f"There are: {names or 'none'}."
            raise UnknownTaskError(f"There is no task {shorten(name)}. {hint}")
        return found

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._tasks or any(task is name for task in self._tasks.values())

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[str]:
        """The names, as a mapping's."""
        return iter([task.name for task in self.tasks])

    def __bool__(self) -> bool:
        return True

    def task(self, schedule: Any = None, **options: Any) -> Any:
        """`task.task`, registering at once: bare ``@manager.task`` or ``@manager.task(every(5).minutes)``."""
        if callable(schedule) or isinstance(schedule, staticmethod):
            return self.add(schedule, **options)

        def decorate(func: Callable[..., Any]) -> AnyTask:
            return self.add(func, schedule, **options)

        return decorate

    def add(self, func: Any, schedule: Any = None, **options: Any) -> AnyTask:
        """Register a function (or a task) now; a running manager schedules it at once.

        Raises what `task.task` raises, and `DuplicateTaskError` for a name that is taken.
        """
        self._check_not_forked()
        found = func if isinstance(func, TaskFunction) else TaskFunction.declare(func, schedule, **options)
        with self._lifecycle:
            self._removed.discard(id(found.spec))
            return self._register(found)

    def remove(self, name: str) -> None:
        """Take a task out: when this returns, no body of it starts any more. Its history stays.

        A body under way goes on. Raises `UnknownTaskError`.
        """
        self._check_not_forked()
        with self._lifecycle:
            found = self[name]
            binding = found.binding
            binding.released = True
            now = self.clock.now()
            if binding.entry is not None:
                self.scheduler.remove(binding.entry)
                for line in binding.entry.timetable.lines:
                    self.store.retire(name, line.job, self.store.mark(name) or now)
            for run in self.store.active(name):
                if run.state is RunState.QUEUED:
                    self.store.finish(run, RunState.CANCELLED, now, "the task was removed")
            del self._tasks[name]
            self._removed.add(id(found.spec))
            found.unbind(self)

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
        return self.store.audit(since, until or self._ended_at or self.clock.now())

    @property
    def health(self) -> Health:
        """Whether the manager does its work, computed now."""
        if self._forked():
            cause = f"forked: the manager was started in process {self._pid}; call run() in this one"
            return Health(False, "forked", os.getpid(), (cause,))
        causes = []
        ailment = self.scheduler.ailment()
        if ailment is not None:
            causes.append(ailment)
        causes += self._congestion()
        return Health(not causes, self._state, os.getpid(), tuple(causes))

    def _congestion(self) -> Iterator[str]:
        executors, now = self._pipeline.executors, self.clock.now()
        if executors is None:
            return
        waiting = [run for run in self.store.active() if run.state is RunState.QUEUED]
        old = [run for run in waiting if (now - run.queued_at).total_seconds() > QUEUE_GRACE]
        for executor in executors.all():
            here = {task.name for task in self._tasks.values() if task.binding.executor is executor}
            stuck = [run for run in old if run.task in here]
            if stuck:
                busy = sorted({run.task for run in executor.running()})
                seconds = (now - min(run.queued_at for run in stuck)).total_seconds()
                yield (
                    f"{len(stuck)} runs wait for {executor.name}, the oldest for {seconds:.0f} seconds; it is occupied "
                    f"by {', '.join(map(repr, busy[:5]))}"
                )

    # How tasks come in.

    def _discover(self) -> None:
        if self._forked():
            return
        with self._lifecycle:
            for found in discover(self._sources):
                if id(found.spec) not in self._removed:
                    self._register(found)

    def _register(self, found: AnyTask) -> AnyTask:
        known = self._tasks.get(found.name)
        if known is not None:
            if known.spec is found.spec:
                return known
            raise DuplicateTaskError(duplicate_message(known, found))
        check_complete(found.spec, found.func)
        mine = found if found.owner() in (None, self) else found.twin()
        mine.bind(self, self._pipeline)
        self._tasks[found.name] = mine
        _registrations.setdefault(found.spec, weakref.WeakSet()).add(self)
        if self._state == "running":
            try:
                self._schedule(mine)
            except BaseException:
                del self._tasks[found.name]
                mine.unbind(self)
                raise
        return mine

    def _schedule(self, task: AnyTask) -> None:
        binding = task.binding
        assert self._pipeline.executors is not None
        self._pipeline.place(binding, self._pipeline.executors)
        if binding.entry is not None:
            resume_entry(binding, self.clock.now())
        else:
            binding.entry = plan_entry(task, binding, self.clock.now())
        if binding.entry is not None:
            self.scheduler.register(binding.entry)

    def _run_plain(self, job: Any) -> None:
        """Run a job of plain `schedule` on the serial worker."""
        executors = self._pipeline.executors
        if executors is not None and id(job) not in self._plain:
            self._plain.add(id(job))  # as with `schedule` itself, a job never waits for itself
            name = getattr(job.job_func, "__name__", repr(job.job_func))
            run = Run(name, "schedule", self.clock.now())
            executors.serial.submit(functools.partial(self._run_plain_now, job), run)

    def _run_plain_now(self, job: Any, run: Run) -> None:
        run.started_at = self.clock.now()
        try:
            self.scheduler.run_job(job)
        except BaseException as error:
            line, text = describe(error)
            logger.error("The job %s failed: %s\n%s", run.task, line, text)
        finally:
            self._plain.discard(id(job))

    def _warn_of_twins(self) -> None:
        others = {
            other
            for task in self._tasks.values()
            for other in _registrations.get(task.spec, ())
            if other is not self and other._state == "running" and other.store is not self.store
        }
        if others:
            names = sorted(self._tasks.keys() & set().union(*(other._tasks for other in others)))
            logger.warning(
                "%d other managers of this process run the tasks %s as well, with stores of their own: each slot "
                "will fire in each of them. Give them one store, or different tasks.",
                len(others),
                ", ".join(map(repr, names[:5])),
            )

    # Fork.

    def _forked(self) -> bool:
        return self._pid is not None and self._pid != os.getpid()

    def _check_not_forked(self) -> None:
        if self._forked():
            raise ForkedError(
                f"This process was forked from process {self._pid}, where the manager runs. Call run() here to "
                "start it in this one."
            )

    def _after_fork(self) -> None:
        """In the child: fresh locks, no threads. The state is computed from the pid."""
        self._renew_locks()
        self.scheduler.reset_after_fork()
        self._pipeline.executors = None
        if self._pid is not None:
            self._pipeline.refusal = ForkedError
            self._pipeline.closed = f"this process was forked from the one that runs the manager ({self._pid})"

    def _start_afresh(self) -> None:
        self._pid = None
        self._state = "stopped"
        self._pipeline.refusal = ManagerStateError
        self.scheduler.rebuild()


#: Which managers run a declaration: two of them with different stores both fire.
_registrations: weakref.WeakKeyDictionary[Any, weakref.WeakSet[TaskManager]] = weakref.WeakKeyDictionary()


class _SignalReceived(BaseException):
    """Raised by the handlers that `wait` sets, to leave it."""


@contextlib.contextmanager
def _signals_interrupt() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise _SignalReceived(signal.Signals(number).name)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _stop_all() -> None:
    for manager in list(_managers):
        manager.stop(EXIT_TIMEOUT)


def _stop_at_exit() -> None:
    """Registered when the first manager starts: later than what it imports, and so run before that ends."""
    atexit.unregister(_stop_all)
    atexit.register(_stop_all)


def _after_fork() -> None:
    for manager in list(_managers):
        manager._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
