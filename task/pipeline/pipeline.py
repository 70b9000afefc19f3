"""The story of one run, as named steps: admit → claim → start → attempt → settle → record → tell.

Nothing that a body, a callback or a result does leaves them.
"""

from __future__ import annotations

import contextvars
import datetime
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from task.clock import Clock
from task.errors import BrokenScheduleError, ManagerStateError
from task.executors import Executor, Executors, Work
from task.log import logger
from task.pipeline.binding import Binding
from task.pipeline.outcome import describe, is_cancellation, refuse_unfinished
from task.pipeline.patience import SerialPatience
from task.runs import Run, RunState, Trigger, peek_current_run, set_current_run
from task.schedules import CancelJob, Due, started
from task.spec import accepts_run
from task.stores import Limits, Store

if TYPE_CHECKING:
    import schedule

    from task.scheduler import Scheduler

__all__ = ["Pipeline"]

Moment = datetime.datetime

_LIMITS = Limits()

# Looking a member up on its class costs as much as a small function, and these are wanted for every run.
QUEUED, SKIPPED = RunState.QUEUED, RunState.SKIPPED
SUCCEEDED, FAILED, CANCELLED = RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED


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
        self._patience = None if scheduler is None else SerialPatience(clock, scheduler)

    def open(self, executors: Executors) -> None:
        """Admit runs from now on."""
        self.executors, self.closed = executors, None
        if self._patience is not None:
            self._patience.begin()

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
        entry = binding.entry
        if due.slot is None:
            assert due.missed is not None
            self.store.miss(spec.name, due.missed, "late: misfire='skip'", now)
            self._release(binding, None, now)
            return
        trigger: Trigger = "catch-up" if due.late else "schedule"
        run = Run(spec.name, trigger, now, slot=due.slot, parameters=spec.parameters, jobs=due.jobs)
        if entry is not None and entry.held:
            entry.holder = run
        if not self.store.claim(run, _LIMITS, due.missed) or run.state is not QUEUED:
            if run.state is SKIPPED:
                logger.info("Task %r skipped its slot of %s: %s", spec.name, due.slot, run.reason)
            self._release(binding, run, now)
            return
        self._hand_over(binding, run)
        if spec.max_runs is not None:
            binding.claimed += 1
            if binding.claimed >= spec.max_runs and entry is not None:
                self._end_schedules(binding, run, [line.job for line in entry.timetable.lines])

    def catch_up(self, binding: Binding) -> None:
        """Run the late slots of a task one by one (``misfire="all"``), found on its own executor.

        Those of a coroutine are found on a thread: the search would block the event loop.
        """
        if binding.entry is None or self.executors is None:
            return
        search = Run(binding.name, "catch-up", self.clock.now())  # never recorded: it stands for the search
        binding.entry.holder = search
        executor = self.executors.threads if binding.coroutine else binding.executor
        self._submit(executor, search, lambda _: self._catch_up_one(binding, search))

    def _catch_up_one(self, binding: Binding, search: Run) -> None:
        entry = binding.entry
        assert self.scheduler is not None
        if entry is None or entry.holder is not search or binding.released:
            return  # an older search, of before a stop
        try:
            due = self.scheduler.take_oldest(entry)
        except BrokenScheduleError as error:
            self.scheduler.break_entry(entry, error)
            return
        if due is None:
            self.scheduler.release(entry)
        else:
            self.fire(binding, due)

    def trigger(self, binding: Binding, parameters: Mapping[str, Any], trigger: Trigger = "manual") -> Run:
        """A run by hand: claim it and hand it over."""
        if self.closed is not None:
            raise self.refusal(f"Task {binding.name!r} cannot be triggered: {self.closed}.")
        if binding.executor is None:
            raise ManagerStateError(f"Task {binding.name!r} has no manager: add it to a TaskManager and call run().")
        run = Run(binding.name, trigger, self.clock.now(), parameters={**binding.spec.parameters, **parameters})
        if self.store.claim(run, _LIMITS) and run.state is QUEUED:
            self._hand_over(binding, run)
        else:
            logger.info("Task %r was not run (%s): %s", binding.name, trigger, run.reason)
        return run

    def call(self, binding: Binding, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """A direct call: the same story in the caller's thread. A coroutine function returns an awaitable."""
        if binding.coroutine:
            return self._call_async(binding, args, kwargs)
        if binding.inside():
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
        if binding.inside():
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
        run.outer, run.holder = peek_current_run(), binding
        if not self.store.claim(run, _LIMITS) or run.state is not QUEUED:
            logger.info("A call of task %r was skipped: %s", binding.name, run.reason)
            return None
        self.store.start(run, now)
        return run

    def active(self, name: str | None = None) -> list[Run]:
        """The runs (of one task) that were handed to this manager's executors and have not ended."""
        return [
            run
            for run in self.store.active(name)
            if run.trigger != "call" and isinstance(run.holder, Binding) and run.holder.pipeline is self
        ]

    # Handing over.

    def _hand_over(self, binding: Binding, run: Run) -> None:
        run.holder = binding
        executor = binding.executor
        try:
            self._submit(executor, run, binding.work)
        except RuntimeError as error:  # no thread can be started
            logger.error("Task %r could not be handed over: %s", binding.name, error)
            self.store.cancel(run, self.clock.now(), f"no thread could be started: {error}")
            self._release(binding, run, self.clock.now())
        if self.closed is not None or binding.executor is not executor:  # stopped meanwhile: nobody may look there
            self.store.cancel(run, self.clock.now(), "stopped")

    def _submit(self, executor: Executor | None, run: Run, work: Work) -> None:
        executors = self.executors
        if executor is None or executors is None:
            return  # stopped meanwhile
        if executor is executors.serial and self._patience is not None:
            self._patience.before_submit(executor)
        executor.submit(work, run)

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
            refuse_unfinished(result)
        except BaseException as error:
            failure = error
        try:
            self._settle(binding, run, result, failure)
        finally:
            failure = None  # it holds this frame, and this frame it: neither may wait for the garbage collector

    async def execute_async(self, binding: Binding, run: Run) -> None:
        """Run a coroutine body on the event loop."""
        if not self._start(binding, run):
            return
        set_current_run(run)
        result: Any = None
        failure: BaseException | None = None
        try:
            result = await binding.body(**run.parameters or {})
            refuse_unfinished(result)
        except BaseException as error:
            failure = error
        try:
            await self._settle_async(binding, run, result, failure)
        finally:
            failure = None  # as in `_attempt`

    def _start(self, binding: Binding, run: Run) -> bool:
        now = self.clock.now()
        if binding.released or self.closed is not None:
            self.store.cancel(run, now, "the task was removed" if binding.released else "stopped")
            return False
        if not self.store.start(run, now):
            self._release(binding, run, now)
            return False
        started(run.jobs, now)
        return True

    # Afterwards.

    def _settle(self, binding: Binding, run: Run, result: Any, failure: BaseException | None) -> None:
        try:
            for callback in self._record(binding, run, result, failure):
                self._tell(binding, run, callback)
        finally:
            self._release(binding, run, run.finished_at or self.clock.now())

    async def _settle_async(self, binding: Binding, run: Run, result: Any, failure: BaseException | None) -> None:
        try:
            for callback in self._record(binding, run, result, failure):
                answer = self._tell(binding, run, callback)
                if inspect.isawaitable(answer):
                    try:
                        await answer
                    except BaseException as error:
                        self._callback_failed(binding, callback, error)
        finally:
            self._release(binding, run, run.finished_at or self.clock.now())

    def _record(
        self, binding: Binding, run: Run, result: Any, failure: BaseException | None
    ) -> Sequence[Callable[..., object]]:
        """Write the outcome; the callbacks that it calls for."""
        spec = binding.spec
        state = SUCCEEDED
        if failure is not None:
            state = CANCELLED if is_cancellation(failure, run) else FAILED
            run.error, run.traceback = describe(failure)
        if not self.store.finish(run, state, self.clock.now()):
            logger.warning("Task %r ended (%s) after its run was recorded as %s", spec.name, state, run.state)
            return ()
        if state is FAILED:
            logger.error("Task %r failed: %s\n%s", spec.name, run.error, run.traceback)
        if result is not None and run.jobs and (result is CancelJob or isinstance(result, CancelJob)):
            self._end_schedules(binding, run, run.jobs)
        wanted = spec.on_success if state is SUCCEEDED else spec.on_failed if state is FAILED else None
        if wanted is None and spec.on_complete is None:
            return ()
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

    def _release(self, binding: Binding, run: Run | None, moment: Moment) -> None:
        """Put an entry that waited for the end of *run* back on the heap, or look for the next late slot."""
        entry = binding.entry
        if entry is None or not entry.held or entry.holder is not run or self.scheduler is None or binding.released:
            return
        if entry.timetable.behind:
            if self.closed is None:  # by way of the loop: a hundred of them must not nest
                self.scheduler.call_at(moment, lambda: self.catch_up(binding))
        else:
            self.scheduler.release(entry, moment if entry.hold else None)

    def _end_schedules(self, binding: Binding, run: Run, jobs: Iterable[schedule.Job]) -> None:
        """Remove schedules: the body returned `CancelJob`, or ``max_runs`` is reached."""
        assert self.scheduler is not None
        for job in jobs:
            self.scheduler.drop(job)
            self.store.retire(binding.name, job, run.slot or self.clock.now())
