"""The simulation behind a forecast: a copy of the manager on simulated time, and what came of it."""

from __future__ import annotations

import contextvars
import datetime
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from task.foresight.clock import SimulatedClock
from task.foresight.copying import Copied, Subject, can_be_stopped, copied, plan_as
from task.foresight.habits import Habit
from task.foresight.ledger import ObservedLedger, SampledLateness, SimulatedExecution
from task.foresight.nights import nights_of
from task.foresight.places import Place, SimulatedExecutors
from task.foresight.tallies import Observer, Tally
from task.foresight.values import Forecast, PlaceForecast, PredictedRun, TaskForecast
from task.overview import duration_text
from task.runs import RunState
from task.schedules import LiveJob

if TYPE_CHECKING:
    from task.models import TaskManager

__all__ = ["Simulation"]

Moment = datetime.datetime

#: So many tasks of which nothing is known are named.
NAMED = 10


class Simulation:
    """One forecast in the making."""

    def __init__(
        self,
        manager: TaskManager,
        subjects: list[Subject],
        habits: Mapping[str, Habit],
        since: Moment,
        until: Moment,
        seed: int,
        conditions: bool,
        keep: int,
    ) -> None:
        self._subjects, self._habits = subjects, habits
        self._since, self._until, self._seed = since, until, seed
        #: So many runs of each task are kept; 1: none is wanted.
        self._keep = keep
        self._at_start = manager.state == "stopped"
        plain = sum(not isinstance(job, LiveJob) for job in manager.scheduler.get_jobs())
        self._left_out = (f"jobs of plain schedule are left out: {plain}",) if plain else ()
        self._clock = SimulatedClock(since, self._make_executors)
        self._observer = Observer(since, until, habits, self._clock.bodies)
        self._ledger = ObservedLedger(self._observer, keep)
        self._copied: Copied = copied(manager, subjects, self._clock, self._ledger, conditions=conditions, seed=seed)

    def _make_executors(self, max_workers: int, pools: Mapping[str, int] | None) -> SimulatedExecutors:
        return SimulatedExecutors(self._clock.bodies, max_workers, pools)

    def run(self, progress: Callable[[float], Any] | None) -> None:
        """Simulate it all. Ctrl-C ends it, in whatever guard it comes."""
        with self._clock.interruption.watched():
            self._run(progress)

    def _run(self, progress: Callable[[float], Any] | None) -> None:
        twin, pipeline = self._copied.manager, self._copied.pipeline
        if pipeline is not None:
            stoppable = frozenset(one.name for one in self._subjects if can_be_stopped(one.task.binding))
            pipeline.execution = SimulatedExecution(
                pipeline, self._clock.bodies, self._observer, self._habits, stoppable
            )
            pipeline.lateness = SampledLateness(pipeline, self._observer)
            pipeline.watch = pipeline.patience = None  # they only tell people
        twin.run()
        if pipeline is not None:
            pipeline.tracing = None
            plan_as(twin, self._subjects)
            for one in self._subjects:
                if self._at_start and one.task.spec.run_at_start:
                    pipeline.trigger(twin[one.name].binding, {}, "start")
        self._clock.run_until(self._until, progress)
        for ending in self._clock.bodies.under_way():
            if isinstance(ending.owner, Tally):
                self._observer.body_ended(ending.owner, ending.began)

    def close(self) -> None:
        """Nobody waits for what is under way."""
        self._ledger.over = True
        self._clock.bodies.close()
        # In a context of its own: who asks for a forecast inside a run does not stop its own manager.
        contextvars.Context().run(self._copied.manager.stop, 0)

    # What came of it.

    def result(self) -> Forecast:
        """All that is told."""
        observer = self._observer
        names = self._places()
        tasks = tuple(self._task(one, names) for one in self._subjects)
        return Forecast(
            self._since,
            self._until,
            self._seed,
            tasks,
            tuple(
                PlaceForecast(name, place.size, place.saturation(), place.most_waiting) for place, name in names.items()
            ),
            observer.hours(),
            observer.collisions(),
            observer.worst_minute(),
            observer.most_at_once(),
            (*self._copied.assumed, *self._unknown(), *self._left_out),
            self._runs() if self._keep > 1 else (),
        )

    def _unknown(self) -> Iterator[str]:
        unknown = {name: habit for name, habit in self._habits.items() if habit.unknown}
        for seconds in dict.fromkeys(habit.median for habit in unknown.values()):
            names = [repr(name) for name, habit in unknown.items() if habit.median == seconds]
            told = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
            yield f"no run is on record of {told}: a body is taken to last {duration_text(seconds)}"

    def _places(self) -> dict[Place, str]:
        """Where the tasks run, with names for people."""
        pipeline = self._copied.pipeline
        executors = None if pipeline is None else pipeline.executors
        if executors is None:
            return {}
        used = {self._binding(one).executor for one in self._subjects}
        found: dict[Place, str] = {}
        for place in executors.all():
            if place in used and isinstance(place, Place):
                name = {executors.serial: "serial worker"}.get(place, place.name)
                found[place] = f"{name} (event loop)" if name in found.values() else name
        return found

    def _binding(self, one: Subject) -> Any:
        return self._copied.manager[one.name].binding

    def _task(self, one: Subject, names: Mapping[Place, str]) -> TaskForecast:
        tally, habit = self._observer.tallies[one.name], self._habits[one.name]
        ends = {str(state): count for state, count in tally.ends.items()}
        for run in self._ledger.active(one.name):
            if not run.state.final:
                ends[str(run.state)] = ends.get(str(run.state), 0) + 1
        whole = (self._until - self._since).total_seconds() * one.task.spec.policy.max_concurrent
        latest = tally.latest
        return TaskForecast(
            one.name,
            names[self._binding(one).executor],
            tally.slots,
            dict(sorted(ends.items())),
            dict(sorted(tally.skips.items(), key=lambda skip: (-skip[1], skip[0]))),
            tally.waited,
            tally.lateness.percentile(0.5),
            tally.lateness.percentile(0.95),
            None if latest is None else latest / 1e6,
            tally.busy / 1e6,
            tally.busy / 1e6 / whole,
            habit.median,
            habit.rate,
            habit.sample,
            nights_of(one.lines(self._since), self._since, self._until),
            self._never(one, tally),
            dict(sorted(tally.delays.items(), key=lambda cause: (-cause[1], cause[0]))),
        )

    def _never(self, one: Subject, tally: Tally) -> str | None:
        entry, spec = self._binding(one).entry, one.task.spec
        if entry is not None and entry.reason is not None:
            return f"its schedule is broken: {entry.reason}"
        if one.never is not None or tally.starts:
            return one.never if not tally.starts else None
        if tally.slots and not tally.starts and set(tally.ends) == {RunState.SKIPPED}:
            reasons = ", ".join(tally.skips)
            return f"all of its slots are refused: {reasons}"
        if tally.slots:
            return "its one moment was past when its manager started" if RunState.MISSED in tally.ends else None
        if spec.policy.after:
            return f"it comes after {', '.join(map(repr, spec.policy.after))}, which did not end so"
        following = entry.timetable.next_slot() if entry is not None else None
        if following is not None:
            return f"its next slot is later: {following.isoformat(sep=' ')}"
        return None if spec.schedules else "it has no schedule: it runs when somebody triggers it"

    def _runs(self) -> tuple[PredictedRun, ...]:
        """The rows of the ledger, by the moments at which they started, were refused or came due."""
        found = [run for one in self._subjects for run in self._ledger.outcomes_of(one.name)]
        found.sort(key=lambda run: (run.started_at or run.queued_at, run.queued_at, run.token, run.task))
        return tuple(
            PredictedRun(
                run.task,
                run.slot,
                run.started_at,
                run.finished_at,
                str(run.state),
                run.reason,
                run.attempt,
                run.count,
            )
            for run in found
        )
