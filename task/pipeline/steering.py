"""``Steering``: what other processes on the store have said and done, and what follows from it here."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Container, Sequence
from typing import TYPE_CHECKING

from task.errors import ArtifactError, StoreUnavailableError
from task.events import run_lost, store_failed, store_recovered
from task.log import logger
from task.pipeline.journal import name_of
from task.runs import Run, RunState, remove_artifacts
from task.schedules import is_random

if TYPE_CHECKING:
    from task.pipeline.binding import Binding
    from task.pipeline.pipeline import Pipeline

__all__ = ["Elsewhere", "Steering"]

Moment = datetime.datetime

#: How often a clock that drives everything itself lets the store look at the others. Seconds.
INTERVAL = 1.0

#: How often it is looked whether a run elsewhere has ended, whose end the next slot is counted from. Seconds.
PATIENCE = 1.0


class Elsewhere:
    """Stands for whoever executes a run in another process."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    @property
    def artifact_folder(self) -> str | None:
        """Where its files are kept, if that is a folder of both processes."""
        return self._pipeline.artifacts

    def cancel(self, run: Run, reason: str, by: str | None) -> bool:
        """Somebody wants it to end: `withdraw`, and keep that in the journal."""
        who = name_of(by)
        done = self.withdraw(run, reason)
        if done:
            self._pipeline.journal("cancelled", run.task, f"run {run.id}: {reason}", who)
        return done

    def withdraw(self, run: Run, reason: str) -> bool:
        """End it, or have its process asked to; what is this process's own, at once."""
        for own in self._pipeline.store.mine(run.task):
            if own.id == run.id and own is not run:
                return own.withdraw(reason)
        return self._pipeline.store.cancel_elsewhere(run, reason, self._pipeline.clock.now())

    def awaited(self, run: Run) -> None:
        """Its end is heard of from the store."""
        self._pipeline.store.watch(run)

    def moment(self) -> None:
        """Its log is kept there."""

    def progressed(self, run: Run) -> None:
        """Its body is not here."""

    def waits_for_this_thread(self) -> bool:
        """It does not."""
        return False


class Steering:
    """The ear of one manager: what a store that several processes share says to it."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        #: The binding of a task of the manager, by its name.
        self.find: Callable[[str], Binding | None] = lambda _: None
        #: Called, where files and locks may be waited for, when something was steered elsewhere.
        self.on_changed: Callable[[], object] = lambda: None
        #: Which of the tasks are recurring entries.
        self.entries: Container[str] = ()
        #: Called there with the name of a task whose schedules are to be planned anew.
        self.on_renewed: Callable[[str], object] = lambda _: None
        #: What this manager tells of itself: see `Listener.vitals`.
        self.tell_vitals: Callable[[], str] = str
        self._attached = False

    def reset_after_fork(self) -> None:
        """The store of a forked child has forgotten its parent's managers."""
        self._attached = False

    def begin(self) -> None:
        """The manager starts."""
        pipeline = self._pipeline
        if pipeline.store.shared and not self._attached:
            self._attached = True
            pipeline.store.attach(self, pipeline.clock)
            if pipeline.clock.inline:
                self._look()

    def end(self) -> None:
        """It has stopped."""
        if self._attached:
            self._attached = False
            self._pipeline.store.detach(self)

    def _look(self) -> None:
        """Where there are no threads the loop makes the store look."""
        scheduler = self._pipeline.scheduler
        if self._attached and scheduler is not None:
            scheduler.call_at(self._pipeline.clock.now() + datetime.timedelta(seconds=INTERVAL), self._look)
            self._pipeline.store.look()

    # What the store asks and says.

    def knows(self, name: str) -> bool:
        """Whether this manager runs that task."""
        binding = self.find(name)
        if binding is None or binding.released or self._pipeline.closed is not None:
            return False
        return binding.executor is not None

    def executes(self, run: Run) -> bool:
        """Whether a run was made here, to be executed here."""
        binding = self.find(run.task)
        return binding is not None and run.holder is binding and binding.executor is not None

    def admitted(self, runs: Sequence[Run]) -> None:
        """Runs that have waited may go."""
        self._pipeline.hand_over_all(runs)

    def take_over(self, run: Run) -> None:
        """A run is this manager's from now on: queued, or between two attempts."""
        binding, pipeline = self.find(run.task), self._pipeline
        assert binding is not None
        assert pipeline.scheduler is not None
        run.holder = binding
        if run.declared:
            run.parameters = binding.spec.parameters
        if binding.spec.policy.redact:
            run.redactor, run.masked = binding.redaction or (None, None)
        logger.info("A run of task %r that no process had is taken over (run %s)", run.task, run.id)
        late = None if run.slot is None else (pipeline.clock.now() - run.slot).total_seconds()
        if late is not None and late > pipeline.catch_up_window:
            run.withdraw("no process took it within the catch-up window")
            return
        if run.state is RunState.QUEUED:
            pipeline.lateness.taken_over(run)
        if run.waiting:
            return
        if run.state is RunState.RETRYING and run.next_at is not None:
            run.timer = pipeline.scheduler.call_at(run.next_at, lambda: pipeline.execution.again(binding, run))
        else:
            pipeline.hand_over_next(binding, run)

    def lost(self, runs: Sequence[Run]) -> None:
        """Their processes have died."""
        for run in runs:
            run.holder = Elsewhere(self._pipeline)
            logger.error("The run of task %r is lost: %s", run.task, run.reason)
            self._pipeline.tell(run_lost, run=run)
        self._pipeline.on_trouble()

    def changed(self) -> None:
        """Something was steered elsewhere: look at it where that may take its time."""
        executors = self._pipeline.executors
        if executors is not None:
            question = Run("(news)", "manual", self._pipeline.clock.now())
            executors.service.submit(lambda _: self.on_changed(), question)

    def renew(self, name: str) -> None:
        """One of its schedules has ended elsewhere: look at them where that may take its time."""
        executors = self._pipeline.executors
        if executors is not None:
            question = Run("(news)", "manual", self._pipeline.clock.now())
            executors.service.submit(lambda _: self.on_renewed(name), question)

    def stale(self, name: str) -> None:
        """Newer code has declared the task, or somebody has changed the recurring entry."""
        binding = self.find(name)
        if binding is None or binding.entry is None or self._pipeline.scheduler is None:
            return
        if name in self.entries:
            self._pipeline.scheduler.remove(binding.entry)
            self.renew(name)
            return
        binding.entry.reason = "newer code has declared it in another process; restart this one"
        self._pipeline.scheduler.remove(binding.entry)
        logger.error(
            "Task %r was declared with another schedule by a process that started later: its slots are not for this "
            "process any more. Restart it with the newer code.",
            name,
        )

    def ailing(self, cause: str | None) -> None:
        """The store cannot be reached any more, or can be again."""
        if cause is None:
            self._pipeline.tell(store_recovered)
        else:
            self._pipeline.tell(store_failed, cause=cause)

    def pruned(self, ids: Sequence[str]) -> None:
        """Runs were dropped from the history: their files go, where that may take its time."""
        executors = self._pipeline.executors
        if self._pipeline.artifacts is not None and executors is not None:
            question = Run("(pruned)", "manual", self._pipeline.clock.now())
            executors.service.submit(lambda _: self.remove_files(ids), question)

    def remove_files(self, ids: Sequence[str]) -> None:
        """The files of runs that were dropped go, if this process knows where they are."""
        if self._pipeline.artifacts is not None:
            _remove_all(self._pipeline.artifacts, ids)

    def vitals(self) -> str:
        """What the others are to know of this manager."""
        return self.tell_vitals()

    # Slots that depend on the one before.

    def follow(self, binding: Binding) -> bool:
        """A slot was another process's: count from what that has made of it. False where slots do not depend on it."""
        entry, store = binding.entry, self._pipeline.store
        if not store.shared or entry is None:
            return False
        if not binding.spec.fixed_delay and not any(is_random(line.job) for line in entry.timetable.lines):
            return False
        store.post(lambda: self._follow(binding))
        return True

    def _follow(self, binding: Binding) -> None:
        entry, pipeline = binding.entry, self._pipeline
        scheduler = pipeline.scheduler
        if entry is None or scheduler is None or pipeline.closed is not None or binding.released:
            return
        moment = None
        with contextlib.suppress(StoreUnavailableError):
            mark = pipeline.store.follow(binding.name)
            moment = pipeline.store.resume_from(binding.name) if binding.spec.fixed_delay else mark
        if moment is None:  # a run of it is under way elsewhere, or nobody knows
            scheduler.hold(entry, self)
            later = pipeline.clock.now() + datetime.timedelta(seconds=PATIENCE)
            scheduler.call_at(later, lambda: self._follow_later(binding))
        else:
            scheduler.release(entry, moment)

    def _follow_later(self, binding: Binding) -> None:
        self._pipeline.store.post(lambda: self._follow(binding))


def _remove_all(folder: str, ids: Sequence[str]) -> None:
    for key in ids:
        try:
            remove_artifacts(folder, key)
        except ArtifactError as error:
            logger.warning("%s It is not in the history any more: remove it by hand", error)
