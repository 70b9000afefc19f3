"""``Settlement``: what follows an attempt: repeat it or finish the run, record, tell, let others go."""

from __future__ import annotations

import datetime
import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from task.errors import RunLost, RunTimedOut
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
from task.pipeline.outcome import describe, forget_frames, is_cancellation, text_of
from task.retries import Ended, Verdict
from task.runs import OUT_OF_TIME, Run, RunState, set_current_run
from task.schedules import CancelJob
from task.spec import accepts_run
from task.stores import Switch

if TYPE_CHECKING:
    import schedule

    from task.pipeline.pipeline import Pipeline

__all__ = ["Settlement"]

Callback = Callable[..., object]

# As in the pipeline: a look-up on the class costs as much as a small function.
SUCCEEDED, FAILED, CANCELLED = RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED
TIMED_OUT, LOST, RUNNING = RunState.TIMED_OUT, RunState.LOST, RunState.RUNNING

SIGNALS = {
    SUCCEEDED: run_succeeded,
    FAILED: run_failed,
    CANCELLED: run_cancelled,
    TIMED_OUT: run_timed_out,
    LOST: run_lost,
}

_STANDS = Verdict(None, accepted=True)


class Settlement:
    """Settles the runs of one pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    # A body has ended.

    def settle(self, binding: Binding, run: Run, attempt: int, result: Any, failure: BaseException | None) -> None:
        """Record how the body ended, and call the callbacks."""
        try:
            for callback in self._conclude(binding, run, attempt, result, failure):
                self._call_back(binding, run, callback)
        finally:
            self._let_go(binding, run)

    async def settle_async(
        self, binding: Binding, run: Run, attempt: int, result: Any, failure: BaseException | None
    ) -> None:
        """The same on the event loop, where callbacks may be awaited."""
        try:
            for callback in self._conclude(binding, run, attempt, result, failure):
                await self._call_back_async(binding, run, callback)
        finally:
            self._let_go(binding, run)

    def overran(self, binding: Binding, run: Run, attempt: int) -> None:
        """The body goes on, past its time: record the attempt without it."""
        try:
            for callback in self._conclude(binding, run, attempt, None, self._exceeded(binding), over=False):
                self._call_back(binding, run, callback)
        finally:
            self._let_go(binding, run)

    async def overran_async(self, binding: Binding, run: Run, attempt: int) -> None:
        """The same on the event loop."""
        try:
            for callback in self._conclude(binding, run, attempt, None, self._exceeded(binding), over=False):
                await self._call_back_async(binding, run, callback)
        finally:
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
            self._take_back(run)
        if run.asked == OUT_OF_TIME and not _is_own(failure, RunTimedOut):
            failure = self._exceeded(binding)
        state = _state_of(run, failure)
        if over and (run.state is not RUNNING or run.attempt != attempt):
            self._too_late(binding, run, state)
            return ()
        verdict = self._judge(binding, run, state, result, failure)
        if state is SUCCEEDED and not verdict.accepted:
            state = FAILED
            run.error = "its result asks for another attempt"
        if failure is not None:
            run.error, run.traceback = describe(failure, run.mask)
        if verdict.wait is not None:
            callbacks = self._repeat(binding, run, attempt, state, verdict.wait)
        else:
            callbacks = self._finish(binding, run, attempt, state, result, failure, over)
        if over and callbacks is None:
            self._too_late(binding, run, state)
        elif over and run.overrunning:  # it has ended by itself just before it was settled without it
            self._pipeline.execution.body_ended(binding, run)
        return callbacks or ()

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
        attempts = run.attempts
        spent = sum((one.finished_at or now).timestamp() - (one.started_at or now).timestamp() for one in attempts)
        elapsed = (now - (run.started_at or now)).total_seconds()
        return policy.judge(Ended(run.attempt, 0.0, elapsed, max(0.0, elapsed - spent), failure, result))

    def _repeat(
        self, binding: Binding, run: Run, attempt: int, state: RunState, seconds: float
    ) -> Sequence[Callback] | None:
        """Let it wait for its next attempt; None when the run, or this attempt, was settled already."""
        pipeline = self._pipeline
        now = pipeline.clock.now()
        assert pipeline.scheduler is not None
        if not pipeline.store.retry(run, attempt, now):
            return None
        logger.warning(
            "Task %r %s in attempt %d; the next follows in %.3g seconds: %s",
            run.task,
            state,
            attempt,
            seconds,
            run.error,
        )
        pipeline.tell(run_retrying, run=run, seconds=seconds)
        call = functools.partial(pipeline.execution.again, binding, run)
        timer = pipeline.scheduler.call_at(now + datetime.timedelta(seconds=seconds), call)
        if not run.overrunning and run.attempt == attempt:  # else the reports of that are what can be taken back
            run.timer = timer
        if run.state is not RunState.RETRYING:  # cancelled meanwhile
            pipeline.scheduler.call_off(timer)
        elif run.asked not in (None, OUT_OF_TIME) or pipeline.closed is not None:  # after it was judged
            self.withdraw(binding, run, run.asked or "stopped")
        return ()

    def _finish(
        self,
        binding: Binding,
        run: Run,
        attempt: int,
        state: RunState,
        result: Any,
        failure: BaseException | None,
        over: bool,
    ) -> Sequence[Callback] | None:
        """Record how it ended; the callbacks that this calls for, None when it was settled already."""
        pipeline = self._pipeline
        if failure is None:
            run.keep_value(result)
            run.result_text = None if result is None else text_of(result, run.mask)
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
            return None
        pipeline.hand_over_all(admitted)
        return self._ended(binding, run, result)

    def _ended(self, binding: Binding, run: Run, result: Any) -> Sequence[Callback]:
        """A run has its final state: say so; the callbacks that it calls for."""
        spec, state = binding.spec, run.state
        if state is not SUCCEEDED:
            if state is not CANCELLED:
                logger.error("Task %r %s: %s\n%s", spec.name, state, run.error, run.traceback or "")
            if spec.policy.disable_after is not None and state in (FAILED, TIMED_OUT):
                self._disable_after(binding, spec.policy.disable_after)
        elif result is not None and run.jobs and (result is CancelJob or isinstance(result, CancelJob)):
            self.end_schedules(binding, run, run.jobs)
        signal = SIGNALS[state]
        if signal.receivers:
            self._pipeline.tell(signal, run=run)
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
        self._pipeline.execution.body_ended(binding, run)

    def _disable_after(self, binding: Binding, count: int) -> None:
        store, now = self._pipeline.store, self._pipeline.clock.now()
        if store.summary(binding.name).consecutive_failures < count or not store.switch(binding.name, now).enabled:
            return
        note = f"{count} failures in a row" if count > 1 else "it failed"
        store.turn(binding.name, Switch(False, note, None, now))
        logger.error("Task %r is switched off: %s. enable() switches it on again.", binding.name, note)
        self._pipeline.tell(task_disabled, name=binding.name, note=note)

    # A run ends without its body.

    def cancel(self, binding: Binding, run: Run, reason: str) -> bool:
        """End a run that has not started, or waits for another attempt; ask one whose body runs."""
        if self.withdraw(binding, run, reason):
            return True
        if run.state.final:
            return False
        run.ask_to_stop(reason)
        self.withdraw(binding, run, reason)  # its attempt may have failed before it was asked
        return True

    def withdraw(self, binding: Binding, run: Run, reason: str) -> bool:
        """Cancel a run of which no body is under way; False when one is, or the run has ended."""
        pipeline = self._pipeline
        now = pipeline.clock.now()
        admitted = pipeline.store.cancel(run, now, reason, followers=binding.followers)
        if admitted is None:
            return False
        if not run.overrunning:  # else its body goes on being reported
            self._take_back(run)
            admitted = [*admitted, *pipeline.store.release(run)]  # its body may have ended just now
        callbacks = self._ended(binding, run, None) if run.attempt else ()
        if not run.attempt:
            pipeline.tell(run_cancelled, run=run)
        pipeline.hand_over_all(admitted)
        if callbacks and binding.executor is not None:
            self._call_back_there(binding, run, callbacks)
        pipeline.release(binding, run, now)
        return True

    def lose(self, binding: Binding, run: Run, reason: str) -> bool:
        """Record that nobody will see the end of a run; False when it had one."""
        pipeline = self._pipeline
        admitted = pipeline.store.finish(run, LOST, pipeline.clock.now(), reason)
        if admitted is None:
            return False
        self._take_back(run)
        logger.error("The run of task %r is lost: %s", run.task, reason)
        pipeline.tell(run_lost, run=run)
        pipeline.hand_over_all(admitted)
        return True

    def _take_back(self, run: Run) -> None:
        timer, run.timer = run.timer, None
        if timer is not None and self._pipeline.scheduler is not None:
            self._pipeline.scheduler.call_off(timer)

    def _let_go(self, binding: Binding, run: Run) -> None:
        if run.state.final:
            self._pipeline.release(binding, run, run.finished_at or self._pipeline.clock.now())

    # Callbacks.

    def _call_back(self, binding: Binding, run: Run, callback: Callback) -> object:
        token = set_current_run(run)  # its body was elsewhere, if it was ended without that
        try:
            return callback(run) if accepts_run(callback) else callback()
        except BaseException as error:
            self._callback_failed(run, callback, error)
            return None
        finally:
            token.var.reset(token)

    async def _call_back_async(self, binding: Binding, run: Run, callback: Callback) -> None:
        answer = self._call_back(binding, run, callback)
        if inspect.isawaitable(answer):
            set_current_run(run)  # in the context of this task of the event loop
            try:
                await answer
            except BaseException as error:
                self._callback_failed(run, callback, error)

    def _call_back_there(self, binding: Binding, run: Run, callbacks: Sequence[Callback]) -> None:
        """On the executor of the task: the run was ended from elsewhere."""
        assert binding.executor is not None

        async def on_loop(_: Run) -> None:
            for callback in callbacks:
                await self._call_back_async(binding, run, callback)

        def on_thread(_: Run) -> None:
            for callback in callbacks:
                self._call_back(binding, run, callback)

        binding.executor.submit(on_loop if binding.on_loop else on_thread, run)

    def _callback_failed(self, run: Run, callback: object, error: BaseException) -> None:
        line, text = describe(error, run.mask)
        name = getattr(callback, "__name__", repr(callback))
        logger.error("The callback %s of task %r raised %s; nothing else is affected\n%s", name, run.task, line, text)

    def end_schedules(self, binding: Binding, run: Run, jobs: Iterable[schedule.Job]) -> None:
        """Remove schedules: the body returned `CancelJob`, or ``max_runs`` is reached."""
        scheduler = self._pipeline.scheduler
        assert scheduler is not None
        for job in jobs:
            scheduler.drop(job)
            self._pipeline.store.retire(binding.name, job, run.slot or self._pipeline.clock.now())


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
