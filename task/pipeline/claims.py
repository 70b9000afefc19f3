"""``Claims``: a slot is due: whether it is wanted, whether it is late, and the run that it becomes."""

from __future__ import annotations

import datetime
import functools
from typing import TYPE_CHECKING

from task.calendars import refusal
from task.errors import BrokenScheduleError, StoreError
from task.events import run_missed
from task.log import logger
from task.pipeline.binding import Binding
from task.pipeline.surroundings import entered
from task.runs import Cause, Run, Trigger
from task.schedules import Due, Missed, shorten

if TYPE_CHECKING:
    from task.pipeline.pipeline import Pipeline

__all__ = ["Claims"]

Moment = datetime.datetime

#: A claim that the store could not answer, or that found no room for now, is made again after so long. Seconds.
AGAIN = 1.0


class Claims:
    """Claims the slots of one pipeline's tasks."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        #: Of the tasks whose claims the store could not answer: the newest slot that is to be claimed again.
        self._unanswered_slots: dict[Binding, Moment] = {}

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
            self._claim_judged(binding, due, question, hold=entry.hold)
        except BaseException:  # as on the loop: the next slot does not wait for this one
            self._pipeline.scheduler.release(entry, self._pipeline.clock.now() if entry.hold else None)
            raise
        if entry.holder is question:
            self._pipeline.scheduler.release(entry)

    def _claim_judged(self, binding: Binding, due: Due, question: Run, hold: bool = True) -> None:
        asked = due.slot is not None and binding.spec.policy.only_if
        unwanted = self._refusal(binding, due.slot) if asked and due.slot is not None else None
        self._claim(binding, due, unwanted, question, hold)

    def _refusal(self, binding: Binding, slot: Moment) -> str | None:
        """Why the conditions of a task refuse a slot. They run inside of what its body does."""
        try:
            with entered(self._pipeline.surroundings):
                return refusal(binding.name, binding.spec.policy.only_if, slot)
        except Exception as error:  # who cannot be asked gives no permission
            logger.exception("Task %r: its conditions cannot be asked; the slot of %s is refused", binding.name, slot)
            return f"only_if cannot be asked: {type(error).__name__}: {shorten(str(error), 100)}"

    def _claim(
        self,
        binding: Binding,
        due: Due,
        unwanted: str | None = None,
        question: Run | None = None,
        hold: bool = True,
    ) -> None:
        """Claim a slot. A held entry waits, with *hold*, for the end of its run."""
        pipeline, entry = self._pipeline, binding.entry
        store, now = pipeline.store, pipeline.clock.now()
        if due.missed is not None:
            self._tell_missed(binding, due.missed, now)
        if due.slot is None:
            assert due.missed is not None
            store.post(functools.partial(store.miss, binding.name, due.missed, "late: misfire='skip'", now))
            pipeline.release(binding, None, now)
            return
        trigger: Trigger = "catch-up" if due.late else "schedule"
        run = binding.new_run(trigger, now, slot=due.slot, parameters=binding.spec.parameters, jobs=due.jobs)
        if entry is not None and entry.held and hold:
            entry.holder = run
        if question is not None or store.shared or pipeline.lateness.jumped():
            pipeline.lateness.begin(binding, run, question)
        binding.claimed += 1  # before it is handed over: its body may be what makes the next slot due
        if not store.shared:  # it answers at once
            self._claimed(binding, due, run, unwanted, store.claim(run, binding.limits, due.missed, unwanted))
            return
        answered = functools.partial(self._claimed, binding, due, run, unwanted)
        store.claim_soon(run, binding.limits, due.missed, unwanted, answered)

    def _claimed(
        self, binding: Binding, due: Due, run: Run, unwanted: str | None, answer: bool | StoreError | None
    ) -> None:
        """The store has answered: hand the run over, or let the slot be."""
        if answer is not True and (answer is None or isinstance(answer, StoreError)):
            binding.claimed -= 1
            self._pipeline.lateness.turn(run, Cause.RUN_BEFORE if answer is None else Cause.LEDGER)
            if answer is None:
                self._ask_again(binding, due, run, unwanted)
            else:
                self._unanswered(binding, due, run, unwanted, answer)
            return
        if self._unanswered_slots:
            self._unanswered_slots.pop(binding, None)
        if not answer or not self._pipeline.admitted(binding, run):
            binding.claimed -= 1
            if answer or not self._pipeline.steering.follow(binding):
                self._pipeline.release(binding, run, run.queued_at)
        elif (most := binding.spec.max_runs) is not None and binding.claimed >= most and binding.entry is not None:
            jobs = [line.job for line in binding.entry.timetable.lines]
            self._pipeline.settlement.end_schedules(binding, run, jobs)

    def _unanswered(self, binding: Binding, due: Due, run: Run, unwanted: str | None, error: StoreError) -> None:
        """Nobody knows whether the slot is taken: it does not run, and is claimed again until its grace ends."""
        pipeline, slot = self._pipeline, due.slot
        assert slot is not None
        assert pipeline.scheduler is not None
        if self._forgone(binding, run):
            return
        if pipeline.on_store_failure == "run":
            self._run_unrecorded(binding, run, error)
            return
        now = pipeline.clock.now()
        waited = (now - slot).total_seconds() if not due.late else (now - run.queued_at).total_seconds()
        if waited <= binding.spec.misfire_grace:
            self._ask_again(binding, due, run, unwanted)
        else:
            logger.info("The slot %s of task %r was not run: %s", slot.isoformat(), binding.name, error)
            self._unanswered_slots.pop(binding, None)
            reason = "the store could not be reached until its grace had ended"
            pipeline.store.forgo(run, reason, now)
            pipeline.store.post(lambda: pipeline.store.miss(binding.name, Missed.one(slot), reason, now))
            pipeline.release(binding, run, now)

    def _ask_again(self, binding: Binding, due: Due, run: Run, unwanted: str | None) -> None:
        pipeline, slot = self._pipeline, due.slot
        assert slot is not None
        assert pipeline.scheduler is not None
        if slot >= self._unanswered_slots.get(binding, slot):  # an older one is found missed with the claim of this
            self._unanswered_slots[binding] = slot
        moment = pipeline.clock.now() + datetime.timedelta(seconds=AGAIN)
        pipeline.scheduler.call_at(moment, functools.partial(self._claim_again, binding, due, run, unwanted))

    def _run_unrecorded(self, binding: Binding, run: Run, error: StoreError) -> None:
        """``on_store_failure="run"``: it runs all the same, and other processes may run it too."""
        pipeline = self._pipeline
        if pipeline.store.admit_unrecorded(run, binding.limits):
            logger.error("A slot of task %r runs without the store, maybe in other processes too: %s", run.task, error)
            binding.claimed += 1
            pipeline.admitted(binding, run)
        else:
            logger.error("A slot of task %r is skipped without the store, as it runs already: %s", run.task, error)
            pipeline.release(binding, run, pipeline.clock.now())

    def _forgone(self, binding: Binding, run: Run) -> bool:
        """Whether a slot is not claimed again: the manager stops, say, or a newer slot of the task is due."""
        pipeline, slot = self._pipeline, run.slot
        superseded = slot is not None and slot < self._unanswered_slots.get(binding, slot)
        if pipeline.closed is None and not binding.released and not superseded:
            return False
        reason = "the store could not be reached until a newer slot was due" if superseded else "the task was removed"
        pipeline.store.forgo(run, reason, pipeline.clock.now(), leave=pipeline.closed is not None)
        pipeline.release(binding, run, run.queued_at)
        return True

    def _claim_again(self, binding: Binding, due: Due, run: Run, unwanted: str | None) -> None:
        if self._forgone(binding, run):
            return
        binding.claimed += 1
        answered = functools.partial(self._claimed, binding, due, run, unwanted)
        self._pipeline.store.claim_soon(run, binding.limits, due.missed, unwanted, answered)

    def _tell_missed(self, binding: Binding, missed: Missed, now: Moment) -> None:
        if run_missed.receivers:
            self._pipeline.tell(run_missed, name=binding.name, slot=missed.first, reason="late")

    def catch_up(self, binding: Binding, *, again: bool = False) -> None:
        """Run the late slots of a task one by one (``misfire="all"``), found on a thread: the search is slow.

        *again*: one of them has just ended.
        """
        if binding.entry is None or self._pipeline.executors is None:
            return
        search = Run(binding.name, "catch-up", self._pipeline.clock.now())  # never recorded: it stands for the search
        search.waited = again
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
            self._claim_judged(binding, due, search)
