"""``Withdrawal``: runs that end without the end of a body: cancelled before it, between two attempts, or lost."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from task.events import run_cancelled, run_lost
from task.log import logger
from task.pipeline.binding import Binding
from task.pipeline.callbacks import call_back_elsewhere
from task.pipeline.steering import Elsewhere
from task.runs import Run, RunState

if TYPE_CHECKING:
    from task.pipeline.pipeline import Pipeline

__all__ = ["Withdrawal"]


class Withdrawal:
    """Ends the runs of one pipeline from outside."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.renew_lock()

    def renew_lock(self) -> None:
        """A fresh lock, at first and after a fork."""
        self._changed = threading.Condition()
        #: How many withdrawals are under way: their runs have ended, and what follows is not handed over yet.
        self._withdrawing = 0

    def await_all(self, timeout: float) -> None:
        """Wait until what follows those under way is handed over: after that the executors may be closed."""
        with self._changed:
            self._changed.wait_for(lambda: not self._withdrawing, timeout)

    @contextlib.contextmanager
    def _under_way(self) -> Iterator[None]:
        with self._changed:
            self._withdrawing += 1
        try:
            yield
        finally:
            with self._changed:
                self._withdrawing -= 1
                self._changed.notify_all()

    def cancel(self, binding: Binding, run: Run, reason: str) -> bool:
        """End a run that has not started, or waits for another attempt; ask one whose body runs."""
        if self.withdraw(binding, run, reason):
            return True
        if run.state.final:
            return False
        run.ask_to_stop(reason)
        self.withdraw(binding, run, reason)  # its attempt may have ended meanwhile, with another to follow
        return True

    def withdraw(self, binding: Binding, run: Run, reason: str) -> bool:
        """Cancel a run of which no body is under way; False when one is, or the run has ended."""
        with self._under_way():
            return self._withdraw(binding, run, reason)

    def _withdraw(self, binding: Binding, run: Run, reason: str) -> bool:
        pipeline = self._pipeline
        now = pipeline.clock.now()
        followers = binding.followers if run.attempt else ()  # none comes after what never began
        admitted = pipeline.store.cancel(run, now, reason, followers)
        if admitted is None:
            return False
        if not run.overrunning:  # else its body goes on being reported
            pipeline.settlement.take_back(run)
            admitted = [*admitted, *pipeline.store.release(run)]  # its body may have ended just now
        callbacks = pipeline.settlement.ended(binding, run, None) if run.attempt else ()
        if not run.attempt:
            pipeline.tell(run_cancelled, run=run)
        pipeline.hand_over_all(admitted)
        if callbacks:
            call_back_elsewhere(binding, run, callbacks)
        pipeline.release(binding, run, now)
        return True

    def leave(self, binding: Binding, run: Run) -> None:
        """The manager stops: what is not under way is for the other processes, or cancelled where there are none."""
        pipeline = self._pipeline
        if pipeline.store.put_back(run):
            run.holder = Elsewhere(pipeline)
            pipeline.settlement.take_back(run)
            logger.info("A run of task %r that was not under way was left to the other processes", run.task)
        elif self.withdraw(binding, run, "stopped"):
            logger.info("A run of task %r that was not under way was cancelled: the manager stops", run.task)

    def lose(self, binding: Binding, run: Run, reason: str) -> bool:
        """Record that nobody will see the end of a run; False when it had one."""
        pipeline = self._pipeline
        admitted = pipeline.store.finish(run, RunState.LOST, pipeline.clock.now(), reason)
        if admitted is None:
            return False
        pipeline.settlement.take_back(run)
        logger.error("The run of task %r is lost: %s", run.task, reason)
        pipeline.tell(run_lost, run=run)
        pipeline.on_trouble()
        pipeline.hand_over_all(admitted)
        return True
