"""The story of one run, as named steps: admit → claim → start → attempt → settle → record → tell.

``Binding`` ties a declaration to the manager that runs it: its ledger, its executors, its place on
the heap. ``Pipeline`` holds the steps. Nothing that a body, a callback or a result does leaves them.
"""

from __future__ import annotations

import collections.abc
import contextvars
import copy
import datetime
import inspect
import logging
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from task.clock import Clock
from task.errors import ManagerStateError, RunCancelled, UnfinishedBodyError
from task.executors import Executor, Executors
from task.runs import Run, RunState, Trigger, peek_current_run, set_current_run
from task.schedules import CancelJob, Due, Line, started
from task.spec import TaskSpec, accepts_run, is_async
from task.stores import Declaration, Limits, Store

if TYPE_CHECKING:
    from task.scheduler import Entry, Scheduler

__all__ = ["Binding", "Pipeline"]

logger = logging.getLogger("task")

Moment = datetime.datetime

#: How much of an exception's own text, and of its traceback, is kept. Characters.
ERROR_LIMIT = 500
TRACEBACK_LIMIT = 8_000
_FRAMES = 20

#: A serial body that runs for longer, while others wait for it, is reported. Seconds.
SERIAL_PATIENCE = 1.0


_USUAL = Limits()


class Binding:
    """One task at one manager."""

    __slots__ = ("body", "coroutine", "entry", "executor", "limits", "name", "pipeline", "released", "spec")

    def __init__(self, spec: TaskSpec, body: Callable[..., Any], pipeline: Pipeline) -> None:
        self.spec = spec
        self.name = spec.name
        #: The function, bound to its instance where it is a method.
        self.body = body
        self.coroutine = is_async(body)
        self.pipeline = pipeline
        self.limits = _USUAL if spec.max_runs is None else Limits(max_runs=spec.max_runs)
        self.entry: Entry | None = None
        #: True once it was removed: nothing starts any more.
        self.released = False
        self.executor: Executor | None = None

    def work(self, run: Run) -> Any:
        """What an executor does for a run; an event loop awaits it."""
        if self.coroutine:
            return self.pipeline.execute_async(self, run)
        return self.pipeline.execute(self, run)

    # What the scheduler tells it.

    def fire(self, due: Due) -> None:
        """A slot is due."""
        self.pipeline.fire(self, due)

    def catch_up(self) -> None:
        """Late slots are to be run one by one."""
        self.pipeline.catch_up(self)

    def set_back(self, now: Moment) -> None:
        """The clock had been wrong: begin a new epoch of the ledger from now."""
        self.pipeline.store.set_back(self.name, now)
        if self.entry is not None:
            for line in self.entry.timetable.lines:
                self.declare(line, now)

    def declare(self, line: Line, since: Moment) -> None:
        """Record that a schedule owes an outcome for each slot later than *since*."""
        owed = line.job.latest is None and not self.spec.fixed_delay
        # A copy: the live line moves on.
        self.pipeline.store.declare(self.name, Declaration(copy.copy(line), since, owed=owed))


class Pipeline:
    """The steps of a run, for all the tasks of one manager (or for one task that has none)."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        executors: Executors | None = None,
        scheduler: Scheduler | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.executors = executors
        self.scheduler = scheduler
        #: Why nothing may be admitted now, or None. Judged before the claim: a process's own reason.
        self.closed: str | None = None
        #: The error for it: a forked child's differs.
        self.refusal: type[ManagerStateError] = ManagerStateError
        self._watching = False
        self._reported: set[str] = set()

    def open(self, executors: Executors) -> None:
        """Admit runs from now on."""
        self.executors, self.closed, self._watching = executors, None, False

    def place(self, binding: Binding, executors: Executors) -> None:
        """Give the task its place among the manager's executors."""
        self.executors = executors
        if binding.coroutine:
            binding.executor = executors.event_loop
        else:
            binding.executor = executors.threads if binding.spec.threaded else executors.serial

    # Ways in.

    def fire(self, binding: Binding, due: Due) -> None:
        """A slot is due. On the loop: claim it and hand it over."""
        now = self.clock.now()
        spec = binding.spec
        if self.closed is not None:
            return  # stopping: the slot keeps no outcome here, and is found missed at the next start
        if due.slot is None:
            assert due.missed is not None
            self.store.miss(spec.name, due.missed, "late: misfire='skip'", now)
            self._release(binding, now)
            return
        trigger: Trigger = "catch-up" if due.late else "schedule"
        run = Run(spec.name, trigger, now, slot=due.slot, parameters=spec.parameters, jobs=due.jobs)
        if not self.store.claim(run, binding.limits, due.missed) or run.state is not RunState.QUEUED:
            if run.state is RunState.SKIPPED:
                logger.info("Task %r skipped its slot of %s: %s", spec.name, due.slot, run.reason)
            self._release(binding, now)
            return
        self._hand_over(binding, run)

    def catch_up(self, binding: Binding) -> None:
        """Run the late slots of a task one by one (``misfire="all"``), found on its own executor."""
        run = Run(binding.name, "catch-up", self.clock.now())  # never recorded: it stands for the search
        self._submit(binding, run, lambda _: self._catch_up_one(binding))

    def _catch_up_one(self, binding: Binding) -> None:
        assert self.scheduler is not None
        assert binding.entry is not None
        if binding.released:
            return
        due = self.scheduler.take_oldest(binding.entry)
        if due is None:
            self.scheduler.release(binding.entry)
        else:
            self.fire(binding, due)

    def trigger(self, binding: Binding, parameters: Mapping[str, Any], trigger: Trigger = "manual") -> Run:
        """A run by hand: claim it and hand it over."""
        if self.closed is not None:
            raise self.refusal(f"Task {binding.name!r} cannot be triggered: {self.closed}.")
        if binding.executor is None:
            raise ManagerStateError(f"Task {binding.name!r} has no manager: add it to a TaskManager and call run().")
        run = Run(binding.name, trigger, self.clock.now(), parameters={**binding.spec.parameters, **parameters})
        if self.store.claim(run, binding.limits) and run.state is RunState.QUEUED:
            self._hand_over(binding, run)
        else:
            logger.info("Task %r was not run (%s): %s", binding.name, trigger, run.reason)
        return run

    def call(self, binding: Binding, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """A direct call: the same story in the caller's thread. A coroutine function returns an awaitable."""
        if binding.coroutine:
            return self._call_async(binding, args, kwargs)
        if _inside(binding):
            return binding.body(*args, **kwargs)
        run = self._admit_call(binding)
        if run is None:
            return None
        token = set_current_run(run)
        try:
            result = binding.body(*args, **kwargs)
        except BaseException as error:
            self._settle(binding, run, None, error)
            raise
        else:
            self._settle(binding, run, result, None)
            return result
        finally:
            token.var.reset(token)

    async def _call_async(self, binding: Binding, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if _inside(binding):
            return await binding.body(*args, **kwargs)
        run = self._admit_call(binding)
        if run is None:
            return None
        token = set_current_run(run)
        try:
            result = await binding.body(*args, **kwargs)
        except BaseException as error:
            await self._settle_async(binding, run, None, error)
            raise
        else:
            await self._settle_async(binding, run, result, None)
            return result
        finally:
            token.var.reset(token)

    def _admit_call(self, binding: Binding) -> Run | None:
        now = self.clock.now()
        run = Run(binding.name, "call", now)
        run.outer = peek_current_run()
        if not self.store.claim(run, binding.limits) or run.state is not RunState.QUEUED:
            logger.info("A call of task %r was skipped: %s", binding.name, run.reason)
            return None
        self.store.start(run, now)
        return run

    def active(self) -> list[Run]:
        """The runs that were handed to this manager's executors and have not ended."""
        return [run for run in self.store.active() if run.holder is self]

    # Handing over.

    def _hand_over(self, binding: Binding, run: Run) -> None:
        run.holder = self
        executor = binding.executor
        self._submit(binding, run, binding.work)
        if self.closed is not None or binding.executor is not executor:  # stopped meanwhile: nobody may look there
            self.store.cancel(run, self.clock.now(), "stopped")
        maximum = binding.limits.max_runs
        if maximum is not None and run.slot is not None and self.store.claimed(binding.name) >= maximum:
            self._end_schedules(binding, run)

    def _submit(self, binding: Binding, run: Run, work: Callable[[Run], Any]) -> None:
        executor, executors = binding.executor, self.executors
        if executor is None or executors is None:
            return  # stopped meanwhile
        if executor is executors.serial and not self._watching and executor.running():
            self._watch_serial()
        executor.submit(work, run)

    def _watch_serial(self) -> None:
        """Look again in a second whether the serial worker is still held up by the same body."""
        assert self.scheduler is not None
        self._watching = True
        moment = self.clock.now() + datetime.timedelta(seconds=SERIAL_PATIENCE)
        self.scheduler.call_at(moment, self._report_serial)

    def _report_serial(self) -> None:
        self._watching = False
        serial = None if self.executors is None else self.executors.serial
        if serial is None or not serial.waiting():
            return
        for run in serial.running():
            if run.started_at is None or (self.clock.now() - run.started_at).total_seconds() < SERIAL_PATIENCE:
                self._watch_serial()
            elif run.task not in self._reported:
                self._reported.add(run.task)
                logger.warning(
                    "Task %r has held up the serial worker for over a second while %d other runs wait. Declare it "
                    "with threaded=True, so that it runs on a thread of its own.",
                    run.task,
                    serial.waiting(),
                )

    # On the executor.

    def execute(self, binding: Binding, run: Run) -> None:
        """Run a body on a thread, in a context of its own."""
        contextvars.Context().run(self._attempt, binding, run)

    def _attempt(self, binding: Binding, run: Run) -> None:
        if not self._start(binding, run):
            return
        set_current_run(run)
        result: Any = None
        failure: BaseException | None = None
        try:
            result = binding.body(**run.parameters) if run.parameters else binding.body()
            _refuse_unfinished(result)
        except BaseException as error:
            failure = error
        self._settle(binding, run, result, failure)

    async def execute_async(self, binding: Binding, run: Run) -> None:
        """Run a coroutine body on the event loop."""
        if not self._start(binding, run):
            return
        set_current_run(run)
        result: Any = None
        failure: BaseException | None = None
        try:
            result = await binding.body(**run.parameters or {})
            _refuse_unfinished(result)
        except BaseException as error:
            failure = error
        await self._settle_async(binding, run, result, failure)

    def _start(self, binding: Binding, run: Run) -> bool:
        now = self.clock.now()
        if binding.released or self.closed is not None:
            self.store.cancel(run, now, "the task was removed" if binding.released else "stopped")
            return False
        if not self.store.start(run, now):
            self._release(binding, now)
            return False
        started(run.jobs, now)
        return True

    # Afterwards.

    def _settle(self, binding: Binding, run: Run, result: Any, failure: BaseException | None) -> None:
        for callback in self._record(binding, run, result, failure):
            self._tell(binding, run, callback)
        self._released_after(binding, run)

    async def _settle_async(self, binding: Binding, run: Run, result: Any, failure: BaseException | None) -> None:
        for callback in self._record(binding, run, result, failure):
            answer = self._tell(binding, run, callback)
            if inspect.isawaitable(answer):
                try:
                    await answer
                except BaseException as error:
                    self._callback_failed(binding, callback, error)
        self._released_after(binding, run)

    def _record(
        self, binding: Binding, run: Run, result: Any, failure: BaseException | None
    ) -> list[Callable[..., object]]:
        """Write the outcome; the callbacks that it calls for."""
        spec = binding.spec
        state = RunState.SUCCEEDED
        if failure is not None:
            cancelled = run.is_cancelled() and _is_cancellation(failure)
            state = RunState.CANCELLED if cancelled else RunState.FAILED
            run.error, run.traceback = describe(failure)
        if not self.store.finish(run, state, self.clock.now()):
            logger.warning("Task %r ended (%s) after its run was recorded as %s", spec.name, state, run.state)
            return []
        if state is RunState.FAILED:
            logger.error("Task %r failed: %s\n%s", spec.name, run.error, run.traceback)
        if (result is CancelJob or isinstance(result, CancelJob)) and run.jobs:
            self._end_schedules(binding, run)
        wanted = {RunState.SUCCEEDED: spec.on_success, RunState.FAILED: spec.on_failed}.get(state)
        return [callback for callback in (wanted, spec.on_complete) if callback is not None]

    def _tell(self, binding: Binding, run: Run, callback: Callable[..., object]) -> object:
        try:
            return callback(run) if accepts_run(callback) else callback()
        except BaseException as error:
            self._callback_failed(binding, callback, error)
            return None

    def _callback_failed(self, binding: Binding, callback: object, error: BaseException) -> None:
        line, text = describe(error)
        name = getattr(callback, "__name__", repr(callback))
        logger.error(
            "The callback %s of task %r raised %s; nothing else is affected\n%s", name, binding.name, line, text
        )

    def _released_after(self, binding: Binding, run: Run) -> None:
        if run.jobs:
            self._release(binding, run.finished_at or self.clock.now())

    def _release(self, binding: Binding, moment: Moment) -> None:
        """Put an entry that waited for the end of its run back on the heap, or look for the next late slot."""
        entry = binding.entry
        if entry is None or not entry.held or self.scheduler is None or binding.released:
            return
        if entry.timetable.behind:
            if self.closed is None:
                self.catch_up(binding)
        else:
            self.scheduler.release(entry, moment if entry.hold else None)

    def _end_schedules(self, binding: Binding, run: Run) -> None:
        """Remove the schedules of a run: its body returned `CancelJob`, or ``max_runs`` is reached."""
        assert self.scheduler is not None
        assert binding.entry is not None
        every = binding.limits.max_runs is not None
        for line in list(binding.entry.timetable.lines):
            if every or any(line.job is job for job in run.jobs):
                self.scheduler.drop(line.job)
                self.store.retire(binding.name, line.job, run.slot or self.clock.now())


def _inside(binding: Binding) -> bool:
    """Whether the present context is inside a run of this very task: then a call is a plain call."""
    run = peek_current_run()
    while run is not None:
        if run.task == binding.name and not run.state.final:
            return True
        run = run.outer
    return False


def _is_cancellation(error: BaseException) -> bool:
    return isinstance(error, RunCancelled) or type(error).__name__ == "CancelledError"


def _refuse_unfinished(result: object) -> None:
    """A generator or a coroutine that nobody drives is work that was not done: say so."""
    if result is not None and isinstance(result, (collections.abc.Generator, collections.abc.Coroutine)):
        kind = "generator" if isinstance(result, collections.abc.Generator) else "coroutine"
        result.close()
        raise UnfinishedBodyError(
            f"The body returned a {kind}, so nothing of it ran. Return a finished value, or declare an async def."
        )


def describe(error: BaseException) -> tuple[str, str]:
    """An exception as one bounded line and a bounded traceback; no frame of it is kept."""
    try:
        text = "".join(str(error).splitlines(keepends=True)[:5])[:ERROR_LIMIT]
    except BaseException:
        text = "(its text raises)"
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    try:
        frames = traceback.extract_tb(error.__traceback__, limit=-_FRAMES)
        return line, ("".join(traceback.format_list(frames)) + line)[-TRACEBACK_LIMIT:]
    except BaseException:  # no memory left, say: the line is worth more than its traceback
        return line, line
