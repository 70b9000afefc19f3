"""``Lateness``: why a run starts later than its slot, or after it was asked for: causes, with their seconds.

What costs time leaves a mark where it does so: the clock watch and the loop keep their latest gaps, `occupied` the
bodies that had a place for long, and a run that waits has its `Waits`. Here they are added up, at the start of a run
that is late; one that is on time costs a comparison.
"""

from __future__ import annotations

import datetime
import weakref
from collections.abc import Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, NamedTuple

from task.executors import Executor, Gate
from task.pipeline.binding import Binding
from task.runs import LATE, NO_DELAYS, Cause, Run, Waits

if TYPE_CHECKING:
    from task.pipeline.pipeline import Pipeline
    from task.scheduler import Gap

__all__ = ["EARLIEST", "LATEST", "LONG", "Lateness"]

Moment = datetime.datetime

#: A body that has its place for so long is remembered, for those who wait meanwhile.
LONG = datetime.timedelta(seconds=0.05)

#: A run that starts later than this is asked why; and one that starts earlier, after the clock was set back.
LATEST = datetime.timedelta(seconds=LATE)
EARLIEST = -LATEST

#: So many of the latest such bodies are remembered of each executor.
OCCUPANTS = 32

#: So many of those who have a pool are named.
NAMED = 3

#: What of a lateness is on no account, and is more than rounding. Seconds.
UNKNOWN = 0.5

#: Stands for the wait for an executor, until it is found out who had that.
PLACE = ""


class _Occupant(NamedTuple):
    """A body that had a place."""

    task: str
    since: Moment
    until: Moment


class Lateness:
    """Finds out why the runs of one pipeline are late."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        #: By executor. Written by whoever ends a body, as a whole: it needs no lock.
        self._occupants: MutableMapping[Executor, tuple[_Occupant, ...]] = weakref.WeakKeyDictionary()

    def occupied(self, binding: Binding, run: Run, since: Moment) -> None:
        """A body has given its place back, after long. One that overran has done so before its end."""
        executor, executors = binding.executor, self._pipeline.executors
        if executor is not None and executors is not None and executor is not executors.event_loop:
            latest = self._occupants.get(executor, ())
            for one in latest:
                if one.since is since:
                    return
            now = self._pipeline.clock.now()
            self._occupants[executor] = (*latest[1 - OCCUPANTS :], _Occupant(run.task, since, now))

    def jumped(self) -> bool:
        """Whether the clock has jumped lately: then a run notes when it was queued as elapsed time, too."""
        scheduler = self._pipeline.scheduler
        return scheduler is not None and scheduler.clock_watch.jumps != ()

    # While it waits.

    def begin(self, binding: Binding, run: Run, question: Run | None = None) -> None:
        """It waits for the ledger from now on. *question* is what had to be answered before it was made."""
        noticed = run.queued_at if question is None else question.queued_at
        waited = question is not None and question.waited
        parts = self._until(binding, run, noticed, Cause.RUN_BEFORE if waited else Cause.LOOP)
        run.waits = Waits(Cause.LEDGER, self._pipeline.clock.monotonic(), parts)
        if question is not None:
            seconds = (run.queued_at - noticed).total_seconds()
            if binding.spec.policy.only_if and question.trigger == "schedule":
                run.waits.add(Cause.ONLY_IF, seconds)
            else:
                self._add_place(binding, question, run.waits, noticed, run.queued_at, seconds)

    def turn(self, run: Run, cause: str = PLACE) -> None:
        """From now on it waits for *cause*: without, for its executor."""
        if run.waits is not None:
            run.waits.turn(cause, self._pipeline.clock.monotonic())

    def let_go(self, binding: Binding, run: Run) -> None:
        """It goes to its executor, after it had to wait for other runs maybe."""
        if run.waits is None and not run.waited:
            self.begin(binding, run)  # it was made just now
        waits = run.waits = run.waits or self._waits_of(binding, run, self._pipeline.clock.now())
        if run.held_up_by is not None:  # what the ledger said of that
            waits.cause = _crowd(run.held_up_by)
            run.held_up_by = None
        self.turn(run)

    def not_started(self, binding: Binding, run: Run, now: Moment) -> None:
        """The ledger could not note that it starts: it waits for that."""
        waits = run.waits = run.waits or self._waits_of(binding, run, now)
        self.settle(binding, run, waits, now)
        waits.cause, run.held_up_by = Cause.LEDGER, None

    def taken_over(self, run: Run) -> None:
        """It was left to this process by another one."""
        now = self._pipeline.clock.now()
        since = run.queued_at if run.slot is None else run.slot
        parts = {Cause.NO_PROCESS: max(0.0, (now - since).total_seconds())}
        run.waits = Waits(Cause.RUN_BEFORE if run.waiting else PLACE, self._pipeline.clock.monotonic(), parts)

    # When it starts.

    def explain(self, binding: Binding, run: Run, now: Moment) -> None:
        """It starts: say what it was delayed by, if it was."""
        waits = run.waits
        lateness = (now - (run.queued_at if run.slot is None else run.slot)).total_seconds()
        if waits is None:
            waits = run.waits = self._waits_of(binding, run, now)
        self.settle(binding, run, waits, now)
        rest = lateness - sum(waits.parts.values())
        if abs(rest) >= UNKNOWN:
            jumps = self._jumps()
            waits.add(jumps[-1].cause if jumps else "not known", rest)
        run.delays = waits.told(lateness)

    def settle(self, binding: Binding, run: Run, waits: Waits, now: Moment) -> None:
        """Name what it has waited for until now."""
        moment = self._pipeline.clock.monotonic()
        seconds = max(0.0, moment - waits.since)
        if waits.cause == PLACE:
            self._add_place(binding, run, waits, now - datetime.timedelta(seconds=seconds), now, seconds)
        else:
            waits.add(waits.cause, seconds)
        waits.since = moment

    def _waits_of(self, binding: Binding, run: Run, now: Moment) -> Waits:
        """Of a run that went straight to its executor. The clock had not jumped then: what has, has since."""
        parts = self._until(binding, run, run.queued_at)
        jumped = sum(gap.seconds for gap in self._jumps())
        elapsed = max(0.0, (now - run.queued_at).total_seconds() - jumped)
        return Waits(PLACE, self._pipeline.clock.monotonic() - elapsed, parts)

    def _jumps(self) -> tuple[Gap, ...]:
        scheduler = self._pipeline.scheduler
        return () if scheduler is None else scheduler.clock_watch.known_jumps()

    # From the slot until it was noticed.

    def _until(self, binding: Binding, run: Run, noticed: Moment, otherwise: str = Cause.LOOP) -> dict[str, float]:
        """What a slot was delayed by before the loop took it: *otherwise*, where nothing else is known."""
        due, scheduler, entry = run.slot, self._pipeline.scheduler, binding.entry
        if due is None or scheduler is None:
            return {}
        if noticed < due:
            return {Cause.STEP: (noticed - due).total_seconds()}  # intervals are ahead of a clock that was set back
        parts: dict[str, float] = {}

        def take(cause: str, until: Moment | None) -> None:
            nonlocal due
            if until is not None and due is not None and due < until:
                until = min(until, noticed)
                parts[cause] = parts.get(cause, 0.0) + (until - due).total_seconds()
                due = until

        if entry is not None:
            take(Cause.JITTER, due + entry.timetable.delay_of(due))
        take(Cause.NOT_RUNNING, scheduler.started_at)
        if entry is not None:
            take(Cause.ONLY_IF if binding.spec.policy.only_if else Cause.RUN_BEFORE, entry.freed_at)
        rest = (noticed - due).total_seconds()
        for gap in (*scheduler.clock_watch.jumps, *scheduler.overslept()):
            seconds = min(rest, gap.within(due, noticed))
            if seconds:
                parts[gap.cause] = parts.get(gap.cause, 0.0) + seconds
                rest -= seconds
        if rest:
            parts[otherwise] = parts.get(otherwise, 0.0) + rest
        return parts

    # For a place.

    def _add_place(
        self, binding: Binding, run: Run, waits: Waits, since: Moment, until: Moment, seconds: float
    ) -> None:
        """Name who had the places of its executor, from *since* to *until* (wall time)."""
        executor, executors = binding.executor, self._pipeline.executors
        if executor is None or executors is None:
            waits.add(Cause.PROCESSOR, seconds)
        elif executor is executors.event_loop or (isinstance(executor, Gate) and run.held_up_by != ""):
            name = run.held_up_by
            waits.add("event loop busy" if name is None else f"event loop blocked by {name!r}", seconds)
        elif run.held_up_by is None:
            waits.add(Cause.PROCESSOR, seconds)
        elif executor is executors.serial:
            self._add_serial(executor, waits, since, until, seconds)
        else:
            place = "threads full" if executor is executors.threads else f"pool {executor.name!r} full"
            names = _names(self._in_the_way(executor, run, since, until))
            waits.add(f"{place} (busy with {names})" if names else place, seconds)

    def _add_serial(self, executor: Executor, waits: Waits, since: Moment, until: Moment, seconds: float) -> None:
        """One after another: each has its own part."""
        for one in self._occupants.get(executor, ()):
            part = min(seconds, (min(one.until, until) - max(one.since, since)).total_seconds())
            if part > 0:
                waits.add(f"serial worker busy with {one.task!r}", part)
                seconds -= part
        waits.add("serial worker busy", seconds)

    def _in_the_way(self, executor: Executor, run: Run, since: Moment, until: Moment) -> Mapping[str, float]:
        """For how long the bodies of which tasks had places: those that have ended, and those that go on."""
        under_way = [
            _Occupant(one.task, one.attempt_started_at, until)
            for one in executor.running()
            if one is not run and one.attempt_started_at is not None
        ]
        found: dict[str, float] = {}
        for occupant in (*self._occupants.get(executor, ()), *under_way):
            seconds = (min(occupant.until, until) - max(occupant.since, since)).total_seconds()
            if seconds > 0:
                found[occupant.task] = found.get(occupant.task, 0.0) + seconds
        return found or NO_DELAYS


def _crowd(reason: str) -> str:
    """Why it found no room, as a cause."""
    return reason if "mutex" in reason else Cause.RUN_BEFORE


def _names(found: Mapping[str, float]) -> str:
    """The names of those who were there longest."""
    names: Iterable[str] = sorted(found, key=lambda name: (-found[name], name))[:NAMED]
    more = " and others" if len(found) > NAMED else ""
    return ", ".join(map(repr, names)) + more
