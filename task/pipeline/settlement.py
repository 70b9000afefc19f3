"""``Settlement``: what follows an attempt: repeat it or finish the run, record, tell, let others go."""

from __future__ import annotations

import contextvars
import datetime
import functools
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from task.errors import RunLost, RunTimedOut, StoreError
from task.events import (
    run_cancelled,
    run_failed,
    run_lost,
    run_retrying,
    run_succeeded,
    run_timed_out,
    task_disabled,
)
from task.log import logger
from task.pipeline.binding import Binding
from task.pipeline.callbacks import Callback, call_back, call_back_async
from task.pipeline.outcome import describe, forget_frames, is_cancellation, text_of
from task.retries import Ended, Verdict
from task.runs import OUT_OF_TIME, Run, RunState, set_current_run
from task.schedules import CancelJob
from task.stores import Switch

if TYPE_CHECKING:
    import schedule

    from task.pipeline.pipeline import Pipeline

__all__ = ["Settlement"]

# As in the pipeline: a look-up on the class costs as much as a small function.
RUNNING, SUCCEEDED, FAILED, CANCELLED = RunState.RUNNING, RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED
TIMED_OUT, LOST = RunState.TIMED_OUT, RunState.LOST

SIGNALS = {
    SUCCEEDED: run_succeeded,
    FAILED: run_failed,
    CANCELLED: run_cancelled,
    TIMED_OUT: run_timed_out,
    LOST: run_lost,
}

#: What the store could not be asked is asked again after so long.
AGAIN = datetime.timedelta(seconds=1)

#: How often a stop looks whether the callbacks have returned: telling it would cost each run a lock. Seconds.
LOOK = 0.01

_STANDS = Verdict(None, accepted=True)


class Settlement:
    """Settles the runs of one pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """None is under way, at first and in a forked child."""
        #: One for each that is under way: its run may have its end, and its callbacks are called.
        self._under_way: set[object] = set()

    def await_all(self, timeout: float) -> None:
        """Wait until the callbacks of the runs that have ended have returned, at most *timeout* seconds."""
        pause = threading.Event()
        while self._under_way and timeout > 0:
            pause.wait(LOOK)
            timeout -= LOOK

    # A body has ended.

    def settle(self, binding: Binding, run: Run, attempt: int, result: Any, failure: BaseException | None) -> None:
        """Record how the body ended, and call the callbacks."""
        self._under_way.add(mine := object())
        try:
            for callback in self._conclude(binding, run, attempt, result, failure):
                call_back(binding, run, callback)
        finally:
            self._under_way.discard(mine)
            self._let_go(binding, run)

    async def settle_async(
        self, binding: Binding, run: Run, attempt: int, result: Any, failure: BaseException | None
    ) -> None:
        """The same on the event loop, where callbacks may be awaited."""
        self._under_way.add(mine := object())
        try:
            for callback in self._conclude(binding, run, attempt, result, failure):
                await call_back_async(binding, run, callback)
        finally:
            self._under_way.discard(mine)
            self._let_go(binding, run)

    def overran(self, binding: Binding, run: Run, attempt: int) -> None:
        """The body goes on, past its time: record the attempt without it."""
        contextvars.Context().run(self._overran, binding, run, attempt)

    def _overran(self, binding: Binding, run: Run, attempt: int) -> None:
        set_current_run(run)
        self._under_way.add(mine := object())
        try:
            for callback in self._conclude(binding, run, attempt, None, self._exceeded(binding), over=False):
                call_back(binding, run, callback)
        finally:
            self._under_way.discard(mine)
            self._let_go(binding, run)

    async def overran_async(self, binding: Binding, run: Run, attempt: int) -> None:
        """The same on the event loop."""
        set_current_run(run)
        self._under_way.add(mine := object())
        try:
            for callback in self._conclude(binding, run, attempt, None, self._exceeded(binding), over=False):
                await call_back_async(binding, run, callback)
        finally:
            self._under_way.discard(mine)
            self._let_go(binding, run)

    @staticmethod
    def _exceeded(binding: Binding) -> RunTimedOut:
        limit = binding.spec.policy.timeout
        return RunTimedOut(f"Task {binding.name!r} took longer than its timeout of {limit} seconds.")

    def _conclude(
        self,
        binding: Binding,
        run: Run,
        attempt: int,
        result: Any,
        failure: BaseException | None,
        *,
        over: bool = True,
    ) -> Sequence[Callback]:
        """Repeat or finish; the callbacks that the outcome calls for. *over*: whether the body has ended."""
        if run.timer is not None and over:
            self.take_back(run)
        if run.attempt != attempt or run.state is not RUNNING:  # what it came to must not be written over
            if over:
                self._too_late(binding, run, _state_of(run, failure))
            return ()
        if failure is None and run.asked is None and binding.spec.policy.retry is None:  # the common case
            return self._finish(binding, run, attempt, SUCCEEDED, result, None, over)
        if run.asked == OUT_OF_TIME and not _is_own(failure, RunTimedOut):
            failure = self._exceeded(binding)
        state = _state_of(run, failure)
        verdict = self._judge(binding, run, state, result, failure)
        if state is SUCCEEDED and not verdict.accepted:
            state = FAILED
            run.error = "its result asks for another attempt"
        if failure is not None:
            run.error, run.traceback = describe(failure, run.mask)
        if verdict.wait is None:
            return self._finish(binding, run, attempt, state, result, failure, over)
        if not self._repeat(binding, run, attempt, state, verdict.wait, over) and over:
            self._too_late(binding, run, state)
        return ()

    def _judge(
        self, binding: Binding, run: Run, state: RunState, result: Any, failure: BaseException | None
    ) -> Verdict:
        """Whether there is another attempt."""
        policy, pipeline = binding.spec.policy.retry, self._pipeline
        if policy is None or run.trigger == "call" or state not in (SUCCEEDED, FAILED, TIMED_OUT):
            return _STANDS
        if run.asked not in (None, OUT_OF_TIME) or pipeline.closed is not None or binding.released:
            return _STANDS
        now = pipeline.clock.now()
        elapsed = (now - (run.started_at or now)).total_seconds()
        idle = 0.0 if run.attempt == 1 else max(0.0, elapsed - _spent(run, now))
        return policy.judge(Ended(run.attempt, 0.0, elapsed, idle, failure, result))

    def _repeat(self, binding: Binding, run: Run, attempt: int, state: RunState, seconds: float, over: bool) -> bool:
        pipeline = self._pipeline
        now = pipeline.clock.now()
        assert pipeline.scheduler is not None
        next_at = now + datetime.timedelta(seconds=seconds)
        if not pipeline.store.retry(run, attempt, now, next_at):
            return False
        self._body_ended(binding, run, over)
        logger.warning(
            "Task %r %s in attempt %d; the next follows in %.3g seconds: %s",
            run.task,
            state,
            attempt,
            seconds,
            run.error,
        )
        if (trace := run.trace) is not None:
            trace.retrying(run, seconds, now)
        pipeline.tell(run_retrying, run=run, seconds=seconds)
        call = functools.partial(pipeline.execution.again, binding, run)
        timer = pipeline.scheduler.call_at(next_at, call)
        if not run.overrunning and run.attempt == attempt:  # else the reports of that are what can be taken back
            run.timer = timer
        unwanted = self._unwanted(binding, run)
        if unwanted is not None:
            pipeline.withdrawal.withdraw(binding, run, unwanted)
        if run.state is not RunState.RETRYING:
            pipeline.scheduler.call_off(timer)
        return True

    def _unwanted(self, binding: Binding, run: Run) -> str | None:
        """Why a run that was found worth another attempt is not to have it: that was said meanwhile."""
        if self._pipeline.closed is not None:
            return "stopped"
        if binding.released:
            return "the task was removed"
        return None if run.asked == OUT_OF_TIME else run.asked

    def _body_ended(self, binding: Binding, run: Run, over: bool) -> None:
        """The attempt has ended with its body; at that very moment it may have been found to overrun."""
        if over and binding.spec.policy.timeout is not None:
            self._pipeline.execution.body_ended(binding, run)

    def _finish(
        self,
        binding: Binding,
        run: Run,
        attempt: int,
        state: RunState,
        result: Any,
        failure: BaseException | None,
        over: bool,
    ) -> Sequence[Callback]:
        pipeline = self._pipeline
        if failure is None:
            run.keep_value(result)
            if result is not None:
                run.result_text, run.result_is_json = text_of(result, run.mask)
        elif run.trigger != "call":  # the caller of a direct call has the exception itself
            forget_frames(failure)
            run.keep_value(failure)
        reason = run.asked if state is CANCELLED else run.error if state is LOST else None
        admitted = pipeline.store.finish(
            run,
            state,
            pipeline.clock.now(),
            reason,
            attempt=attempt,
            keep_place=not over,
            followers=binding.followers,
        )
        if admitted is None:
            if over:
                self._too_late(binding, run, state)
            return ()
        if admitted:
            pipeline.hand_over_all(admitted)
        self._body_ended(binding, run, over)
        return self.ended(binding, run, result)

    def ended(self, binding: Binding, run: Run, result: Any) -> Sequence[Callback]:
        """A run has its final state: say so; the callbacks that it calls for."""
        spec, state = binding.spec, run.state
        if state is not SUCCEEDED:
            if state is not CANCELLED:
                logger.error("Task %r %s: %s", spec.name, state, _told(run))
                self._pipeline.on_trouble()
        elif result is not None and run.jobs and (result is CancelJob or isinstance(result, CancelJob)):
            self.end_schedules(binding, run, run.jobs)
        signal = SIGNALS[state]
        if signal.receivers:
            self._pipeline.tell(signal, run=run)
        if spec.policy.disable_after is not None and state in (FAILED, TIMED_OUT):
            self._disable_after(binding, spec.policy.disable_after)
        wanted = spec.on_success if state is SUCCEEDED else None
        if state is FAILED or state is TIMED_OUT:
            wanted = spec.on_failed
        if wanted is None and spec.on_complete is None:
            return ()
        return [callback for callback in (wanted, spec.on_complete) if callback is not None]

    def _too_late(self, binding: Binding, run: Run, state: RunState) -> None:
        """The body has ended after its run, or its attempt, was settled without it."""
        logger.warning(
            "Task %r ended (%s) after its run was recorded as %s; what it returned is discarded",
            run.task,
            state,
            run.state,
        )
        if run.state.final and (trace := run.trace) is not None:  # it was lost while this attempt began
            trace.end(run)
        self._pipeline.execution.body_ended(binding, run)

    def _disable_after(self, binding: Binding, count: int) -> None:
        try:
            self._disable_if(binding, count)
        except StoreError:  # it is looked at again when the store can be reached, or after the next failure
            scheduler, pipeline = self._pipeline.scheduler, self._pipeline
            if scheduler is not None and pipeline.closed is None and not binding.released:
                later = functools.partial(self._disable_after, binding, count)
                scheduler.call_at(pipeline.clock.now() + AGAIN, lambda: pipeline.store.post(later))

    def _disable_if(self, binding: Binding, count: int) -> None:
        store, now = self._pipeline.store, self._pipeline.clock.now()
        if store.summary(binding.name).consecutive_failures < count or not store.switch(binding.name, now).enabled:
            return
        note = f"{count} failures in a row" if count > 1 else "it failed"
        store.turn(binding.name, Switch(False, note, None, now, "disable_after"))
        self._pipeline.journal("disabled", binding.name, note, "disable_after")
        logger.error("Task %r is switched off: %s. enable() switches it on again.", binding.name, note)
        self._pipeline.tell(task_disabled, name=binding.name, note=note)

    def take_back(self, run: Run) -> None:
        """Call off what is on the heap for a run."""
        timer, run.timer = run.timer, None
        if timer is not None and self._pipeline.scheduler is not None:
            self._pipeline.scheduler.call_off(timer)

    def _let_go(self, binding: Binding, run: Run) -> None:
        if binding.entry is not None and binding.entry.held and run.state.final:
            self._pipeline.release(binding, run, run.finished_at or self._pipeline.clock.now())

    def end_schedules(self, binding: Binding, run: Run, jobs: Iterable[schedule.Job]) -> None:
        """Remove schedules: the body returned `CancelJob`, or ``max_runs`` is reached."""
        scheduler = self._pipeline.scheduler
        assert scheduler is not None
        store, until = self._pipeline.store, run.slot or self._pipeline.clock.now()
        for job in jobs:
            scheduler.drop(job)
            store.post(functools.partial(store.retire, binding.name, job, until))


def _told(run: Run) -> str:
    """The error, and where it came through, if that says more."""
    error, traceback = run.error or "", run.traceback or ""
    return error if traceback == error else f"{error}\n{traceback}"


def _spent(run: Run, now: datetime.datetime) -> float:
    """The seconds of its attempts, without the waits between them."""
    return sum((one.finished_at or now).timestamp() - (one.started_at or now).timestamp() for one in run.attempts)


def _state_of(run: Run, failure: BaseException | None) -> RunState:
    """How an attempt ended."""
    if failure is None:
        return SUCCEEDED
    if run.asked == OUT_OF_TIME or _is_own(failure, RunTimedOut):
        return TIMED_OUT
    if is_cancellation(failure, run):
        return CANCELLED
    return LOST if _is_own(failure, RunLost) else FAILED


def _is_own(failure: BaseException | None, kind: type[RunTimedOut | RunLost]) -> bool:
    """Whether that is how the run itself ended; a body may raise what the result of another run raised."""
    return isinstance(failure, kind) and failure.run_id is None
