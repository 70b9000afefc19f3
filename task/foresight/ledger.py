"""The ledger and the bodies of a forecast: those of a manager in memory, looked at by an observer."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from task.errors import RunCancelled
from task.foresight.clock import Bodies, Ending, lasting
from task.foresight.habits import Habit
from task.foresight.tallies import Observer, Tally
from task.pipeline import Binding, Execution, Lateness, Pipeline
from task.runs import Run, RunState
from task.schedules import Missed
from task.stores import Follower, Limits, MemoryStore

__all__ = ["ObservedLedger", "SampledLateness", "SimulatedExecution", "SimulatedFailureError"]

Moment = datetime.datetime

SKIPPED = RunState.SKIPPED

#: A body that has its place for so long is remembered, if somebody waits for it. Microseconds.
LONG = 50_000


class SimulatedFailureError(Exception):
    """Raised for a body that fails in a forecast."""


class ObservedLedger(MemoryStore):
    """The ledger in memory; what is recorded is told to an observer."""

    def __init__(self, observer: Observer, keep: int) -> None:
        super().__init__(keep)
        self._kept = keep
        self._observer = observer
        #: Nothing is waited for any more.
        self.over = False

    def claim(self, run: Run, limits: Limits, missed: Missed | None = None, unwanted: str | None = None) -> bool:
        if not super().claim(run, limits, missed, unwanted):
            return False
        if missed is not None:
            self._observer.missed(run.task, missed.count)
        self._observer.due(run)
        return True

    def miss(self, name: str, missed: Missed, reason: str, now: Moment) -> None:
        super().miss(name, missed, reason, now)
        self._observer.missed(name, missed.count)

    def cancel(self, run: Run, now: Moment, reason: str, followers: Sequence[Follower] = ()) -> Sequence[Run] | None:
        return self._ended(run, super().cancel(run, now, reason, followers))

    def finish(
        self,
        run: Run,
        state: RunState,
        now: Moment,
        reason: str | None = None,
        *,
        attempt: int | None = None,
        keep_place: bool = False,
        followers: Sequence[Follower] = (),
    ) -> Sequence[Run] | None:
        admitted = super().finish(run, state, now, reason, attempt=attempt, keep_place=keep_place, followers=followers)
        return self._ended(run, admitted)

    def _ended(self, run: Run, admitted: Sequence[Run] | None) -> Sequence[Run] | None:
        if admitted is not None:
            self._observer.ended(run)
            for one in admitted:
                if one.state is SKIPPED:
                    self._observer.refused(one)
        return admitted

    def outcomes_of(self, name: str) -> list[Run]:
        """All rows of a task that are kept."""
        return self.recent([name], limit=self._kept)[name]

    def mine(self, name: str | None = None) -> list[Run]:
        return [] if self.over else super().mine(name)


class SampledLateness(Lateness):
    """Why runs are late: each of the first ones of a task is asked, and later one of so many, who stands for them."""

    #: So many, and one of how many.
    FIRST, EACH = 20, 100

    def __init__(self, pipeline: Pipeline, observer: Observer) -> None:
        super().__init__(pipeline)
        self._observer = observer

    def explain(self, binding: Binding, run: Run, now: Moment) -> None:
        tally = self._observer.tallies[binding.name]
        tally.late += 1
        if tally.late > self.FIRST and tally.late % self.EACH:
            return
        super().explain(binding, run, now)
        tally.delayed(run.delays, 1 if tally.late <= self.FIRST else self.EACH)


class _Stopper:
    """Asked to stop, it ends a body that can really be stopped."""

    __slots__ = ("_bodies", "_ending", "_task")

    def __init__(self, bodies: Bodies, ending: Ending, task: str) -> None:
        self._bodies, self._ending, self._task = bodies, ending, task

    def __call__(self) -> None:
        self._bodies.stop(self._ending, RunCancelled(f"The run of task {self._task!r} was asked to stop."))


class SimulatedExecution(Execution):
    """Runs bodies that only last, as long as their habits say; all that is around them is the real thing."""

    def __init__(
        self,
        pipeline: Pipeline,
        bodies: Bodies,
        observer: Observer,
        habits: Mapping[str, Habit],
        stoppable: frozenset[str],
    ) -> None:
        super().__init__(pipeline)
        self._bodies = bodies
        self._observer = observer
        self._habits = habits
        self._stoppable = stoppable

    def execute(self, binding: Binding, run: Run) -> Any:
        return self.execute_async(binding, run)  # whoever is given it drives it

    async def execute_async(self, binding: Binding, run: Run) -> None:
        if not self.start(binding, run):
            return
        attempt, name, observer, begun = run.attempt, binding.name, self._observer, run.attempt_started_at
        assert begun is not None
        if attempt == 1:
            observer.started(run, begun)
        micros, fails = self._habits[name].draw()
        tally: Tally = observer.tallies[name]
        ending = Ending(tally, self._bodies.micros, micros)
        if name in self._stoppable:
            run.stopper = _Stopper(self._bodies, ending, name)
            if run.is_cancelled():
                run.stopper()
        observer.body_began()
        failure = await lasting(ending)
        run.stopper = None
        observer.body_ended(tally, ending.began)
        if failure is None and fails:
            failure = SimulatedFailureError("as often as it does")
        self._pipeline.settlement.settle(binding, run, attempt, None, failure)
        executor = binding.executor
        if micros > LONG and executor is not None and executor.waiting():
            self._pipeline.lateness.occupied(binding, run, begun)
