"""``Execution``: one attempt of a run, on its executor: start, inject, time limit, body."""

from __future__ import annotations

import contextlib
import contextvars
import datetime
import functools
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from task.errors import StoreError
from task.events import run_overrunning, run_started
from task.log import logger
from task.pipeline.binding import Binding
from task.pipeline.lateness import EARLIEST, LATEST, LONG
from task.pipeline.outcome import refuse_unfinished
from task.pipeline.surroundings import entered
from task.runs import OUT_OF_TIME, Run, RunState, set_current_run
from task.schedules import started

if TYPE_CHECKING:
    from task.pipeline.pipeline import Pipeline

__all__ = ["Execution"]

#: A body that can really be stopped has so long to end after that. Seconds.
STOP_GRACE = 10.0

#: An overrunning body is reported so often. Seconds.
REPORT_INTERVAL = 60.0

#: A start that the store could not record is tried again after so long. Seconds.
AGAIN = 1.0

RUNNING = RunState.RUNNING

#: This process: kept, since asking the system for each run costs as much as a small function.
_process = os.getpid()


class Execution:
    """Runs the bodies of one pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.renew_lock()

    def renew_lock(self) -> None:
        """A fresh lock, at first and after a fork. It is held between the end of a body and that of its attempt."""
        self._settling = threading.Lock()

    def execute(self, binding: Binding, run: Run) -> None:
        """Run a body on a thread, in a context of its own."""
        contextvars.Context().run(self._attempt, binding, run)

    def _attempt(self, binding: Binding, run: Run) -> None:
        if not self.start(binding, run):
            return
        attempt, begun = run.attempt, run.attempt_started_at
        set_current_run(run)
        if (trace := run.trace) is not None:
            trace.enter()  # the context ends with the attempt
        result: Any = None
        failure: BaseException | None = None
        try:
            result = self._perform(binding, run)
            if result is not None:
                refuse_unfinished(result)
        except BaseException as error:
            failure = error
        try:
            self._pipeline.settlement.settle(binding, run, attempt, result, failure)
        finally:
            failure = None  # it holds this frame, and this frame it: neither may wait for the garbage collector
        if begun is not None and (run.finished_at or self._pipeline.clock.now()) - begun > LONG:
            self._pipeline.lateness.occupied(binding, run, begun)

    def _perform(self, binding: Binding, run: Run) -> Any:
        surroundings = self._pipeline.surroundings
        if not surroundings:
            return self._call(binding, run)
        with entered(surroundings):
            return self._call(binding, run)

    @staticmethod
    def _call(binding: Binding, run: Run) -> Any:
        parameters = run.parameters or {}
        if binding.plan is None:
            return binding.call(**parameters)
        with binding.plan.fill(run) as filled:
            return binding.call(**parameters, **filled)

    async def execute_async(self, binding: Binding, run: Run) -> None:
        """Run a coroutine body on the event loop."""
        if not self.start(binding, run):
            return
        attempt, begun = run.attempt, run.attempt_started_at
        set_current_run(run)
        if (trace := run.trace) is not None:
            trace.enter()
        result: Any = None
        failure: BaseException | None = None
        run.stopper = _CoroutineStopper(run)
        if run.is_cancelled():
            run.stopper()
        try:
            result = await self._perform_async(binding, run)
            refuse_unfinished(result)
        except BaseException as error:
            failure = error
        run.stopper = None
        try:
            await self._pipeline.settlement.settle_async(binding, run, attempt, result, failure)
        finally:
            failure = None  # as in `_attempt`
        if begun is not None and (run.finished_at or self._pipeline.clock.now()) - begun > LONG:
            self._pipeline.lateness.occupied(binding, run, begun)

    async def _perform_async(self, binding: Binding, run: Run) -> Any:
        surroundings = self._pipeline.surroundings
        if not surroundings:
            return await self._call_async(binding, run)
        with entered(surroundings):
            return await self._call_async(binding, run)

    @staticmethod
    async def _call_async(binding: Binding, run: Run) -> Any:
        parameters = run.parameters or {}
        if binding.plan is None:
            return await binding.call(**parameters)
        async with binding.plan.fill_async(run) as filled:
            return await binding.call(**parameters, **filled)

    def perform_call(self, binding: Binding, run: Run, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The body of a direct call, with what it lacks filled in."""
        surroundings = self._pipeline.surroundings
        if not surroundings:
            return self._call_with(binding, run, args, kwargs)
        with entered(surroundings):
            return self._call_with(binding, run, args, kwargs)

    @staticmethod
    def _call_with(binding: Binding, run: Run, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if binding.plan is None:
            return binding.body(*args, **kwargs)
        with binding.plan.fill(run, binding.plan.parameters.given(args, kwargs)) as filled:
            return binding.body(*args, **kwargs, **filled)

    async def perform_call_async(
        self, binding: Binding, run: Run, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """The same, awaited."""
        surroundings = self._pipeline.surroundings
        if not surroundings:
            return await self._call_with_async(binding, run, args, kwargs)
        with entered(surroundings):
            return await self._call_with_async(binding, run, args, kwargs)

    @staticmethod
    async def _call_with_async(binding: Binding, run: Run, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if binding.plan is None:
            return await binding.body(*args, **kwargs)
        async with binding.plan.fill_async(run, binding.plan.parameters.given(args, kwargs)) as filled:
            return await binding.body(*args, **kwargs, **filled)

    def start(self, binding: Binding, run: Run) -> bool:
        """Begin an attempt; False when the run is not to run any more."""
        pipeline = self._pipeline
        now = pipeline.clock.now()
        if run.trigger != "call":
            if binding.released or pipeline.closed is not None:
                if binding.released:
                    pipeline.withdrawal.withdraw(binding, run, "the task was removed")
                else:
                    pipeline.withdrawal.leave(binding, run)
                return False
            if not run.attempt:
                late = now - (run.slot or run.queued_at)
                if late > LATEST or late < EARLIEST:
                    pipeline.lateness.explain(binding, run, now)
            try:
                begun = pipeline.store.start(run, now)
            except StoreError as error:
                self._not_started(binding, run, now, error)
                return False
            if not begun:
                pipeline.release(binding, run, now)
                return False
            run.waits = None
            started(run.jobs, now)
            if binding.spec.policy.timeout is not None and pipeline.scheduler is not None:
                self._limit(binding, run, binding.spec.policy.timeout)
        elif not self._started_call(binding, run, now):  # a newer run has taken its place already
            return False
        run.process, run.thread = _process, threading.current_thread().name
        if pipeline.tracing is not None:
            pipeline.tracing.begin(run)
        if run_started.receivers:
            pipeline.tell(run_started, run=run)
        return True

    def _not_started(self, binding: Binding, run: Run, now: datetime.datetime, error: StoreError) -> None:
        """The store could not record it: try again, or give up when its grace has ended."""
        pipeline = self._pipeline
        if (now - (run.next_at or run.queued_at)).total_seconds() > binding.spec.misfire_grace:
            pipeline.withdrawal.withdraw(binding, run, f"it could not be started: {error}")
        elif pipeline.scheduler is not None:
            if not run.attempt:
                pipeline.lateness.not_started(binding, run, now)
            later = functools.partial(pipeline.hand_over_all, (run,))
            pipeline.scheduler.call_at(now + datetime.timedelta(seconds=AGAIN), later)

    def _started_call(self, binding: Binding, run: Run, now: datetime.datetime) -> bool:
        try:
            return self._pipeline.store.start(run, now)
        except StoreError as error:
            self._pipeline.withdrawal.withdraw(binding, run, f"it could not be started: {error}")
            raise

    # The time limit of an attempt. What is on the heap is called on the loop: it only asks, and hands over.

    def _limit(self, binding: Binding, run: Run, seconds: float) -> None:
        self._later(run, seconds, functools.partial(self._time_is_up, binding, run, run.attempt))

    def _later(self, run: Run, seconds: float, call: functools.partial[None]) -> None:
        scheduler = self._pipeline.scheduler
        assert scheduler is not None
        run.timer = scheduler.call_at(self._pipeline.clock.now() + datetime.timedelta(seconds=seconds), call)

    def _time_is_up(self, binding: Binding, run: Run, attempt: int) -> None:
        if run.attempt != attempt or run.state is not RUNNING:
            return
        stoppable = run.stopper is not None
        if stoppable:  # before it is asked: its end takes this back
            self._later(run, STOP_GRACE, functools.partial(self._overrun, binding, run, attempt))
        if run.asked is None:  # else it was cancelled, and stays so: it is not repeated
            run.ask_to_stop(OUT_OF_TIME)
        if not stoppable:
            self._overrun(binding, run, attempt)

    def _overrun(self, binding: Binding, run: Run, attempt: int) -> None:
        """The body goes on past its limit and cannot be stopped: the run ends without it."""
        executor = binding.executor
        with self._settling:  # it may end at this very moment: `body_ended` comes after that
            if run.attempt != attempt or run.state is not RUNNING or executor is None:
                return
            run.overrunning = True
        self._later(run, REPORT_INTERVAL, functools.partial(self._report, binding, run, attempt))
        self._pipeline.tell(run_overrunning, run=run)
        settlement = self._pipeline.settlement
        settle = settlement.overran_async if binding.on_loop else settlement.overran

        def work(_: Run) -> Any:
            return settle(binding, run, attempt)

        executors = self._pipeline.executors
        self._pipeline.lateness.occupied(binding, run, run.attempt_started_at or run.queued_at)
        if not executor.replace(run, work) and executors is not None:
            executors.service.submit(work, run)  # too many were replaced already: it keeps its place

    def _report(self, binding: Binding, run: Run, attempt: int) -> None:
        if not run.overrunning or run.attempt != attempt:
            return
        if binding.executor is None or self._pipeline.scheduler is None:
            return
        executor, limit = binding.executor, binding.spec.policy.timeout
        self._pipeline.scheduler.announcer.post(
            lambda: logger.warning(
                "The body of task %r goes on past its limit of %s seconds (run %s, attempt %d). It is at\n%s",
                binding.name,
                limit,
                run.id,
                attempt,
                executor.stack(run) or "(not known)",
            )
        )
        self._later(run, REPORT_INTERVAL, functools.partial(self._report, binding, run, attempt))

    def again(self, binding: Binding, run: Run) -> None:
        """The next attempt is due; it waits for the body of the last one, if that overruns."""
        with self._settling:
            if run.overrunning:
                run.due_again = True
                return
        self._pipeline.hand_over(binding, run)

    def body_ended(self, binding: Binding, run: Run) -> None:
        """A body that had a time limit has ended: before its attempt, or after that had ended without it."""
        with self._settling:
            run.overrunning = False
            due_again, run.due_again = run.due_again, False
        if run.state is RunState.RETRYING and due_again:
            self._pipeline.hand_over(binding, run)
        elif run.state.final:
            self._pipeline.hand_over_all(self._pipeline.store.release(run))


class _CoroutineStopper:
    """Asked to stop, it cancels the coroutine under way here, as long as its body runs."""

    def __init__(self, run: Run) -> None:
        import asyncio

        task = asyncio.current_task()
        assert task is not None
        self._run, self._task, self._loop = run, task, asyncio.get_running_loop()

    def __call__(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._run.stopper is self:
            self._task.cancel()


def _after_fork() -> None:
    global _process
    _process = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
