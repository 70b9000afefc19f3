"""``Claims``: a slot is due: whether it is wanted, whether it is late, and the run that it becomes."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from task.calendars import refusal
from task.errors import BrokenScheduleError
from task.events import run_missed
from task.pipeline.binding import Binding
from task.runs import Run, Trigger
from task.schedules import Due, Missed

if TYPE_CHECKING:
    from task.pipeline.pipeline import Pipeline

__all__ = ["Claims"]

Moment = datetime.datetime


class Claims:
    """Claims the slots of one pipeline's tasks."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def fire(self, binding: Binding, due: Due) -> None:
        """A slot is due. On the loop: claim it and hand it over.

        What is asked whether the slot is wanted (``only_if``) is the user's own code: that is done on a thread,
        and until then the task's next slot waits.
        """
        if self._pipeline.closed is not None:
            return  # stopping: the slot keeps no outcome here, and is found missed at the next start
        if not binding.spec.policy.only_if or due.slot is None:
            self._claim(binding, due)
            return
        executors, entry = self._pipeline.executors, binding.entry
        if executors is not None and entry is not None and self._pipeline.scheduler is not None:
            # Never recorded: it stands for the question.
            question = Run(binding.name, "schedule", self._pipeline.clock.now())
            self._pipeline.scheduler.hold(entry, question)
            executors.conditions.submit(lambda _: self._claim_if_wanted(binding, due, question), question)

    def _claim_if_wanted(self, binding: Binding, due: Due, question: Run) -> None:
        entry = binding.entry
        if entry is None or entry.holder is not question or binding.released or self._pipeline.closed is not None:
            return  # a question of before a stop
        assert self._pipeline.scheduler is not None
        try:
            self._claim_judged(binding, due, hold=entry.hold)
        except BaseException:  # as on the loop: the next slot does not wait for this one
            self._pipeline.scheduler.release(entry, self._pipeline.clock.now() if entry.hold else None)
            raise
        if entry.holder is question:
            self._pipeline.scheduler.release(entry)

    def _claim_judged(self, binding: Binding, due: Due, hold: bool = True) -> None:
        conditions = binding.spec.policy.only_if
        unwanted = refusal(binding.name, conditions, due.slot) if conditions and due.slot is not None else None
        self._claim(binding, due, unwanted, hold)

    def _claim(self, binding: Binding, due: Due, unwanted: str | None = None, hold: bool = True) -> None:
        """Claim a slot. A held entry waits, with *hold*, for the end of its run."""
        now = self._pipeline.clock.now()
        spec = binding.spec
        entry = binding.entry
        if due.missed is not None:
            self._tell_missed(binding, due.missed, now)
        if due.slot is None:
            assert due.missed is not None
            self._pipeline.store.miss(spec.name, due.missed, "late: misfire='skip'", now)
            self._pipeline.release(binding, None, now)
            return
        trigger: Trigger = "catch-up" if due.late else "schedule"
        run = binding.new_run(trigger, now, slot=due.slot, parameters=spec.parameters, jobs=due.jobs)
        if entry is not None and entry.held and hold:
            entry.holder = run
        binding.claimed += 1  # before it is handed over: its body may be what makes the next slot due
        if not self._pipeline.admit(binding, run, due.missed, unwanted):
            binding.claimed -= 1
            self._pipeline.release(binding, run, now)
        elif spec.max_runs is not None and binding.claimed >= spec.max_runs and entry is not None:
            self._pipeline.settlement.end_schedules(binding, run, [line.job for line in entry.timetable.lines])

    def _tell_missed(self, binding: Binding, missed: Missed, now: Moment) -> None:
        if run_missed.receivers:
            self._pipeline.tell(run_missed, name=binding.name, slot=missed.first, reason="late")

    def catch_up(self, binding: Binding) -> None:
        """Run the late slots of a task one by one (``misfire="all"``), found on a thread: the search is slow."""
        if binding.entry is None or self._pipeline.executors is None:
            return
        search = Run(binding.name, "catch-up", self._pipeline.clock.now())  # never recorded: it stands for the search
        binding.entry.holder = search
        executor = self._pipeline.executors.threads if binding.on_loop else binding.executor
        self._pipeline.submit(executor, search, lambda _: self._catch_up_one(binding, search))

    def _catch_up_one(self, binding: Binding, search: Run) -> None:
        entry = binding.entry
        assert self._pipeline.scheduler is not None
        if entry is None or entry.holder is not search or binding.released:
            return  # an older search, of before a stop
        try:
            due = self._pipeline.scheduler.take_oldest(entry)
        except BrokenScheduleError as error:
            self._pipeline.scheduler.break_entry(entry, error)
            return
        if due is None:
            self._pipeline.scheduler.release(entry)
        elif self._pipeline.closed is None:
            self._claim_judged(binding, due)
