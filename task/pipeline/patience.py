"""Serial tasks wait for each other: whoever keeps the others waiting for long is named."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from task.clock import Clock
from task.executors import Executor
from task.log import logger

if TYPE_CHECKING:
    from task.scheduler import Scheduler

__all__ = ["SerialPatience"]

#: A serial body that runs for longer, while others wait for it, is reported. Seconds.
PATIENCE = 1.0


class SerialPatience:
    """Watches the serial worker of one manager; each task is reported once."""

    def __init__(self, clock: Clock, scheduler: Scheduler) -> None:
        self._clock = clock
        self._scheduler = scheduler
        #: Whether it will look again by itself.
        self.watching = False
        self._reported: set[str] = set()

    def begin(self) -> None:
        """The worker is new: nobody watches it yet."""
        self.watching = False

    def before_submit(self, worker: Executor) -> None:
        """Another run comes: if it has to wait, look again in a second."""
        if not self.watching and (worker.waiting() or worker.running()):
            self._watch(worker)

    def _watch(self, worker: Executor) -> None:
        self.watching = True
        moment = self._clock.now() + datetime.timedelta(seconds=PATIENCE)
        self._scheduler.call_at(moment, lambda: self._look(worker))

    def _look(self, worker: Executor) -> None:
        self.watching = False
        if not worker.waiting():
            return
        for run in worker.running():
            if run.started_at is None or (self._clock.now() - run.started_at).total_seconds() < PATIENCE:
                self._watch(worker)
            elif run.task not in self._reported:
                self._reported.add(run.task)
                logger.warning(
                    "Task %r has held up the serial worker for over a second while %d other runs wait. Declare it "
                    "with threaded=True, so that it runs on a thread of its own.",
                    run.task,
                    worker.waiting(),
                )
