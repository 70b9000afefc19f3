"""``Watch``: looks after runs that wait too long for a place, and after bodies that block the event loop."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from task.events import task_overdue
from task.executors import EventLoop, Executor, Gate
from task.log import logger
from task.runs import RunState

if TYPE_CHECKING:
    from task.pipeline.pipeline import Pipeline
    from task.scheduler import Scheduler

__all__ = ["Watch"]

#: How often the queues, and the event loop, are looked at while there are runs. Seconds.
QUEUES_INTERVAL = 30.0
LOOP_INTERVAL = 0.5

#: An event loop that has not answered for so long is blocked. Seconds.
LOOP_PATIENCE = 1.0


class Watch:
    """Watches over the executors of one manager, while they have something to do."""

    def __init__(self, pipeline: Pipeline, scheduler: Scheduler) -> None:
        self._pipeline = pipeline
        self._scheduler = scheduler
        self._watching: set[str] = set()
        self._overdue: set[str] = set()
        #: What blocks the event loop now, for `health`.
        self.blocked: str | None = None

    def begin(self) -> None:
        """The executors are new: nobody watches them yet."""
        self._watching, self._overdue, self.blocked = set(), set(), None

    def before_submit(self, executor: Executor) -> None:
        """Another run comes: look at it again in a while."""
        if "queues" not in self._watching:
            self._again("queues", QUEUES_INTERVAL)
        if isinstance(executor, (EventLoop, Gate)) and "loop" not in self._watching:
            self._watch_loop()

    def _watch_loop(self) -> None:
        executors = self._pipeline.executors
        if executors is not None and isinstance(executors.event_loop, EventLoop):
            self._again("loop", LOOP_INTERVAL)

    def _again(self, what: str, seconds: float) -> None:
        self._watching.add(what)
        moment = self._pipeline.clock.now() + datetime.timedelta(seconds=seconds)
        self._scheduler.call_at(moment, self._look_at_queues if what == "queues" else self._look_at_loop)

    def _look_at_queues(self) -> None:
        self._watching.discard("queues")
        executors = self._pipeline.executors
        if executors is not None and any(one.waiting() or one.running() for one in executors.all()):
            self._scheduler.announcer.post(self._tell_overdue)
            self._again("queues", QUEUES_INTERVAL)

    def _tell_overdue(self) -> None:
        now = self._pipeline.clock.now()
        overdue = set()
        for run in self._pipeline.active():
            if run.state is not RunState.QUEUED or run.waiting:
                continue
            waited = (now - run.queued_at).total_seconds()
            if waited > run.holder.spec.misfire_grace:  # type: ignore[union-attr]  # `active` gives those of bindings
                overdue.add(run.task)
                if run.task not in self._overdue:
                    logger.warning("Task %r is overdue: a run has waited %.0f seconds for a place", run.task, waited)
                    self._pipeline.tell(task_overdue, name=run.task, run=run)
        self._overdue = overdue

    def _look_at_loop(self) -> None:
        self._watching.discard("loop")
        executors = self._pipeline.executors
        loop = None if executors is None else executors.event_loop
        if not isinstance(loop, EventLoop) or not loop.running():
            self.blocked = None
            return
        self._again("loop", LOOP_INTERVAL)
        lag = loop.lag(self._pipeline.clock.monotonic())
        if lag < LOOP_PATIENCE:
            if self.blocked is not None:
                logger.warning("The event loop goes on; until now %s", self.blocked)
            self.blocked = None
        elif self.blocked is None:
            self.blocked = "a body blocks the event loop"
            self._scheduler.announcer.post(lambda: self._name_blocker(loop, lag))

    def _name_blocker(self, loop: EventLoop, lag: float) -> None:
        """Away from the loop: to make the text of a stack reads files."""
        run, stack = loop.occupant()
        name = "something outside of a task" if run is None else f"task {run.task!r}"
        others = len(loop.running()) - (run is not None)
        if self.blocked is not None:  # else it goes on already
            self.blocked = f"{name} blocked the event loop, and kept {others} other runs waiting"
        logger.warning(
            "The body of %s has blocked the event loop for %.1f seconds; %d other runs wait. Await what takes long, "
            "or move it to a thread with asyncio.to_thread. It is at\n%s",
            name,
            lag,
            others,
            stack,
        )
