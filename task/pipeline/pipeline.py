"""The story of one run, as named steps: admit → claim → start → attempt → settle (retry or finish) → record → tell.

Here are the ways in, up to the executor; `Execution` runs the body, `Settlement` does what follows. Nothing that a
body, a callback or a result does leaves them.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from task.calendars import refusal
from task.clock import Clock
from task.errors import BrokenScheduleError, ManagerStateError
from task.events import run_missed, run_queued, run_skipped
from task.executors import Executor, Executors, Work
from task.injection import Services
from task.log import logger
from task.pipeline.binding import Binding
from task.pipeline.execution import Execution
from task.pipeline.patience import SerialPatience
from task.pipeline.placing import Placing
from task.pipeline.settlement import Settlement
from task.pipeline.watch import Watch
from task.runs import ParentResults, Run, RunState, Trigger, peek_current_run, set_current_run
from task.schedules import Due, Missed
from task.stores import Store

if TYPE_CHECKING:
    import blinker

    from task.scheduler import Scheduler
    from task.tracing import Tracing

__all__ = ["Pipeline"]

Moment = datetime.datetime

# Looking a member up on its class costs as much as a small function, and these are wanted for every run.
QUEUED, SKIPPED = RunState.QUEUED, RunState.SKIPPED


class Pipeline:
    """The steps of a run, for all the tasks of one manager (or for one task that has none)."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        executors: Executors | None = None,
        scheduler: Scheduler | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.executors = executors
        self.scheduler = scheduler
        #: Who sends the signals.
        self.owner: Callable[[], object] = lambda: scheduler
        #: Why nothing may be admitted now, or None. Judged before the claim: a process's own reason.
        self.closed: str | None = None
        #: The error for it: a forked child's differs.
        self.refusal: type[ManagerStateError] = ManagerStateError
        #: Draws runs as spans, where somebody wants that.
        self.tracing: Tracing | None = None
        self.placing = Placing()
        self.services = Services()
        self.services.of_run(ParentResults, lambda run: run.inputs or ParentResults())
        self.execution = Execution(self)
        self.settlement = Settlement(self)
        self._patience = None if scheduler is None else SerialPatience(clock, scheduler)
        self.watch = None if scheduler is None else Watch(self, scheduler)

    def open(self, executors: Executors) -> None:
        """Admit runs from now on."""
        self.executors, self.closed = executors, None
        if self._patience is not None:
            self._patience.begin()
        if self.watch is not None:
            self.watch.begin()

    def reset_after_fork(self) -> None:
        """Fresh locks, no executors: a forked child has none of the parent's threads."""
        self.executors = None
        self.execution.renew_lock()
        self.settlement.renew_lock()

    # Ways in.

    def fire(self, binding: Binding, due: Due) -> None:
        """A slot is due. On the loop: claim it and hand it over.

        What is asked whether the slot is wanted (``only_if``) is the user's own code: that is done on a thread,
        and until then the task's next slot waits.
        """
        if self.closed is not None:
            return  # stopping: the slot keeps no outcome here, and is found missed at the next start
        if not binding.spec.policy.only_if or due.slot is None:
            self._claim(binding, due)
            return
        executors, entry = self.executors, binding.entry
        if executors is not None and entry is not None and self.scheduler is not None:
            question = Run(binding.name, "schedule", self.clock.now())  # never recorded: it stands for the question
            self.scheduler.hold(entry, question)
            executors.service.submit(lambda _: self._claim_if_wanted(binding, due, question), question)

    def _claim_if_wanted(self, binding: Binding, due: Due, question: Run) -> None:
        entry = binding.entry
        if entry is None or entry.holder is not question or binding.released or self.closed is not None:
            return  # a question of before a stop
        assert self.scheduler is not None
        try:
            self._claim_judged(binding, due, hold=entry.hold)
        except BaseException:  # as on the loop: the next slot does not wait for this one
            self.scheduler.release(entry, self.clock.now() if entry.hold else None)
            raise
        if entry.holder is question:
            self.scheduler.release(entry)

    def _claim_judged(self, binding: Binding, due: Due, hold: bool = True) -> None:
        conditions = binding.spec.policy.only_if
        unwanted = refusal(binding.name, conditions, due.slot) if conditions and due.slot is not None else None
        self._claim(binding, due, unwanted, hold)

    def _claim(self, binding: Binding, due: Due, unwanted: str | None = None, hold: bool = True) -> None:
        """Claim a slot. A held entry waits, with *hold*, for the end of its run."""
        now = self.clock.now()
        spec = binding.spec
        entry = binding.entry
        if due.missed is not None:
            self._tell_missed(binding, due.missed, now)
        if due.slot is None:
            assert due.missed is not None
            self.store.miss(spec.name, due.missed, "late: misfire='skip'", now)
            self.release(binding, None, now)
            return
        trigger: Trigger = "catch-up" if due.late else "schedule"
        run = binding.new_run(trigger, now, slot=due.slot, parameters=spec.parameters, jobs=due.jobs)
        if entry is not None and entry.held and hold:
            entry.holder = run
        binding.claimed += 1  # before it is handed over: its body may be what makes the next slot due
        if not self._admit(binding, run, due.missed, unwanted):
            binding.claimed -= 1
            self.release(binding, run, now)
        elif spec.max_runs is not None and binding.claimed >= spec.max_runs and entry is not None:
            self.settlement.end_schedules(binding, run, [line.job for line in entry.timetable.lines])

    def _tell_missed(self, binding: Binding, missed: Missed, now: Moment) -> None:
        if run_missed.receivers:
            self.tell(run_missed, name=binding.name, slot=missed.first, reason="late")

    def _admit(self, binding: Binding, run: Run, missed: Missed | None = None, unwanted: str | None = None) -> bool:
        """Claim a run and hand it over, or let it wait. False when it is not to run."""
        if not self.store.claim(run, binding.limits, missed, unwanted):
            return False
        if run.state is SKIPPED:
            self.skipped(run)
            return False
        if run_queued.receivers:
            self.tell(run_queued, run=run)
        if not run.waited:  # else whoever ended what it waited for has handed it over, maybe by now
            self.hand_over(binding, run)
        elif binding.limits.overlap == "cancel_previous":
            self._cancel_before(run)
        return True

    def _cancel_before(self, run: Run) -> None:
        """End the older runs of the task; one that came after *run* ends that."""
        active = self.store.active(run.task)
        for other in active[: active.index(run)] if run in active else ():
            if not other.state.final:
                other.cancel("a newer run takes its place")

    def skipped(self, run: Run) -> None:
        """A guard has refused a run: say so."""
        run.trace = None
        logger.info("Task %r was skipped (%s, %s): %s", run.task, run.trigger, run.slot or "no slot", run.reason)
        self.tell(run_skipped, run=run)

    def catch_up(self, binding: Binding) -> None:
        """Run the late slots of a task one by one (``misfire="all"``), found on a thread: the search is slow."""
        if binding.entry is None or self.executors is None:
            return
        search = Run(binding.name, "catch-up", self.clock.now())  # never recorded: it stands for the search
        binding.entry.holder = search
        executor = self.executors.threads if binding.on_loop else binding.executor
        self._submit(executor, search, lambda _: self._catch_up_one(binding, search))

    def _catch_up_one(self, binding: Binding, search: Run) -> None:
        entry = binding.entry
        assert self.scheduler is not None
        if entry is None or entry.holder is not search or binding.released:
            return  # an older search, of before a stop
        try:
            due = self.scheduler.take_oldest(entry)
        except BrokenScheduleError as error:
            self.scheduler.break_entry(entry, error)
            return
        if due is None:
            self.scheduler.release(entry)
        elif self.closed is None:
            self._claim_judged(binding, due)

    def trigger(self, binding: Binding, parameters: Mapping[str, Any], trigger: Trigger = "manual") -> Run:
        """A run by hand: check its parameters, claim it and hand it over."""
        accepted = binding.accept(parameters)
        if self.closed is not None:
            raise self.refusal(f"Task {binding.name!r} cannot be triggered: {self.closed}.")
        if binding.executor is None:
            raise ManagerStateError(f"Task {binding.name!r} has no manager: add it to a TaskManager and call run().")
        parent = peek_current_run()
        run = binding.new_run(
            trigger,
            self.clock.now(),
            parameters=accepted,
            parent_id=None if parent is None else parent.id,
        )
        if self.tracing is not None:
            self.tracing.expect(run)
        self._admit(binding, run)
        return run

    def call(self, binding: Binding, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """A direct call: the same story in the caller's thread. A coroutine function returns an awaitable."""
        if binding.coroutine:
            return self._call_async(binding, args, kwargs)
        if binding.inside():
            return binding.body(*args, **kwargs)
        run = self._admit_call(binding, args, kwargs)
        if run is None:
            return None
        token, trace = set_current_run(run), run.trace
        leave = None if trace is None else trace.enter()
        try:
            result = self.execution.perform_call(binding, run, args, kwargs)
        except BaseException as error:
            self.settlement.settle(binding, run, 1, None, error)
            raise
        else:
            self.settlement.settle(binding, run, 1, result, None)
            return result
        finally:
            token.var.reset(token)
            if leave is not None:
                leave()

    async def _call_async(self, binding: Binding, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if binding.inside():
            return await binding.body(*args, **kwargs)
        run = self._admit_call(binding, args, kwargs)
        if run is None:
            return None
        token, trace = set_current_run(run), run.trace
        leave = None if trace is None else trace.enter()
        try:
            result = await self.execution.perform_call_async(binding, run, args, kwargs)
        except BaseException as error:
            await self.settlement.settle_async(binding, run, 1, None, error)
            raise
        else:
            await self.settlement.settle_async(binding, run, 1, result, None)
            return result
        finally:
            token.var.reset(token)
            if leave is not None:
                leave()

    def _admit_call(self, binding: Binding, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Run | None:
        now = self.clock.now()
        run = binding.new_run("call", now, parameters=kwargs or None, args=args)
        run.outer = peek_current_run()
        if self.tracing is not None:
            self.tracing.expect(run)
        if not self.store.claim(run, binding.limits) or run.state is SKIPPED:
            self.skipped(run)
            return None
        if not self.execution.start(binding, run):
            run.result(0)  # raises what it ended with
        return run

    def active(self, name: str | None = None) -> list[Run]:
        """The runs (of one task) that were handed to this manager's executors and have not ended."""
        return [
            run
            for run in self.store.active(name)
            if run.trigger != "call" and isinstance(run.holder, Binding) and run.holder.pipeline is self
        ]

    def withdraw(self, run: Run, reason: str) -> bool:
        """Cancel a run of `active` of which no body is under way."""
        assert isinstance(run.holder, Binding)
        return self.settlement.withdraw(run.holder, run, reason)

    def lose(self, run: Run, reason: str) -> bool:
        """Record that nobody will see the end of a run of `active`."""
        assert isinstance(run.holder, Binding)
        return self.settlement.lose(run.holder, run, reason)

    # Handing over.

    def hand_over(self, binding: Binding, run: Run) -> None:
        """Give a run that has its place to its executor."""
        executor = binding.executor
        try:
            self._submit(executor, run, binding.work, binding.spec.policy.priority)
        except RuntimeError as error:  # no thread can be started
            logger.error("Task %r could not be handed over: %s", binding.name, error)
            self.settlement.withdraw(binding, run, f"no thread could be started: {error}")
        if self.closed is not None or binding.executor is not executor:  # stopped meanwhile: nobody may look there
            self.settlement.withdraw(binding, run, "stopped")

    def hand_over_all(self, runs: Iterable[Run]) -> None:
        """The same for runs that have waited, of whichever manager they are."""
        for run in runs:
            if run.state is SKIPPED:
                self.skipped(run)
            elif isinstance(run.holder, Binding):
                if run.trigger == "chain" and not run.waited:
                    self.tell(run_queued, run=run)
                run.holder.pipeline.hand_over_next(run.holder, run)

    def hand_over_next(self, binding: Binding, run: Run) -> None:
        """Hand over behind the run that is being settled, also where bodies run inside whoever hands them over."""
        if self.clock.inline and self.scheduler is not None:
            self.scheduler.call_at(self.clock.now(), lambda: self.hand_over(binding, run))
        else:
            self.hand_over(binding, run)

    def _submit(self, executor: Executor | None, run: Run, work: Work, priority: int = 0) -> None:
        executors = self.executors
        if executor is None or executors is None:
            return  # stopped meanwhile
        if executor is executors.serial and self._patience is not None and not self._patience.watching:
            self._patience.before_submit(executor)
        if self.watch is not None:
            self.watch.before_submit(executor)
        executor.submit(work, run, priority)

    def release(self, binding: Binding, run: Run | None, moment: Moment) -> None:
        """Put an entry that waited for the end of *run* back on the heap, or look for the next late slot."""
        entry = binding.entry
        if entry is None or not entry.held or entry.holder is not run or self.scheduler is None or binding.released:
            return
        if entry.timetable.behind:
            if self.closed is None:  # by way of the loop: a hundred of them must not nest
                self.scheduler.call_at(moment, lambda: self.catch_up(binding))
        else:
            self.scheduler.release(entry, moment if entry.hold else None)

    def tell(self, signal: blinker.Signal, **payload: Any) -> None:
        """Send a signal soon, from its own thread."""
        if signal.receivers and self.scheduler is not None:
            self.scheduler.announcer.announce(signal, self.owner(), **payload)
