"""The story of one run, as named steps: admit → claim → start → attempt → settle (retry or finish) → record → tell.

`Claims` takes a due slot; here are the other ways in, up to the executor. `Execution` runs the body, `Settlement` does
what follows, and `Withdrawal` ends what has no body under way. Nothing that a body, a callback or a result does
leaves them.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from task.clock import Clock
from task.errors import ManagerStateError, StoreError
from task.events import run_queued, run_skipped
from task.executors import Executor, Executors, Work
from task.injection import Services
from task.log import logger
from task.pipeline.binding import Binding
from task.pipeline.claims import Claims
from task.pipeline.execution import Execution
from task.pipeline.journal import name_of, trigger_note, write
from task.pipeline.lateness import Lateness
from task.pipeline.patience import SerialPatience
from task.pipeline.placing import Placing
from task.pipeline.settlement import Settlement
from task.pipeline.steering import Elsewhere, Steering
from task.pipeline.surroundings import Surround
from task.pipeline.watch import Watch
from task.pipeline.withdrawal import Withdrawal
from task.runs import ParentResults, Run, RunState, Trigger, peek_current_run, set_current_run
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
        self.clock = clock
        self.keep_in(store)
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
        #: The folder in which runs keep their artifacts (an absolute path).
        self.artifacts: str | None = None
        #: The binding of another manager that acts for this one's here and now, by the name of the task.
        self.acting: Callable[[str], Binding | None] | None = None
        #: Called when a run has failed, timed out or is lost: somebody may want to hear of it.
        self.on_trouble: Callable[[], object] = bool
        #: What bodies and callbacks run inside of.
        self.surroundings: tuple[Surround, ...] = ()
        self.services = Services()
        self.services.of_run(ParentResults, lambda run: run.inputs or ParentResults())
        #: What becomes of a slot that the store cannot be asked about: it waits, or runs all the same.
        self.on_store_failure: Literal["wait", "run"] = "wait"
        #: Slots that came due while no process lived are run only if they are no older. Seconds.
        self.catch_up_window = 86_400.0
        self.lateness = Lateness(self)
        self.steering = Steering(self)
        self.claims = Claims(self)
        self.execution = Execution(self)
        self.settlement = Settlement(self)
        self.withdrawal = Withdrawal(self)
        self.patience = None if scheduler is None else SerialPatience(clock, scheduler)
        self.watch = None if scheduler is None else Watch(self, scheduler)

    def keep_in(self, store: Store) -> None:
        """Let *store* be the ledger."""
        store.go_by(self.clock)
        self.store = store

    def open(self, executors: Executors) -> None:
        """Admit runs from now on."""
        self.executors, self.closed = executors, None
        if self.patience is not None:
            self.patience.begin()
        if self.watch is not None:
            self.watch.begin()

    def reset_after_fork(self) -> None:
        """Fresh locks, no executors: a forked child has none of the parent's threads."""
        self.executors = None
        self.execution.renew_lock()
        self.withdrawal.renew_lock()
        self.settlement.reset_after_fork()

    # Ways in.

    def admitted(self, binding: Binding, run: Run) -> bool:
        """A run was claimed: hand it over, or let it wait. False when it was skipped."""
        if run.state is SKIPPED:
            self.skipped(run)
            return False
        if run_queued.receivers:
            self.tell(run_queued, run=run)
        if run.waits is not None and not run.waited:
            self.lateness.turn(run)
        if not run.waited:  # else whoever ended what it waited for has handed it over, maybe by now
            self.hand_over(binding, run)
        elif binding.limits.overlap == "cancel_previous":
            self._cancel_before(run)
        return True

    def _cancel_before(self, run: Run) -> None:
        """End the older runs of the task; one that came after *run* ends that."""
        active = self.store.mine(run.task)
        for other in active[: active.index(run)] if run in active else active:
            if not other.state.final:
                other.withdraw("a newer run takes its place")
        if self.store.shared:
            self.store.post(lambda: self._cancel_elsewhere(run, {run.id, *(other.id for other in active)}))

    def _cancel_elsewhere(self, run: Run, mine: set[str]) -> None:
        try:
            for other in self.store.active(run.task):
                if other.id not in mine and other.token < run.token and not other.state.final:
                    self.store.cancel_elsewhere(other, "a newer run takes its place", self.clock.now())
        except StoreError as error:  # it waits until they have ended by themselves
            logger.warning("The older runs of task %r go on: %s", run.task, error)

    def skipped(self, run: Run) -> None:
        """A guard has refused a run: say so."""
        run.trace = run.waits = None
        logger.info("Task %r was skipped (%s, %s): %s", run.task, run.trigger, run.slot or "no slot", run.reason)
        self.tell(run_skipped, run=run)

    def trigger(
        self, binding: Binding, parameters: Mapping[str, Any], trigger: Trigger = "manual", by: str | None = None
    ) -> Run:
        """A run by hand: check its parameters, claim it and hand it over. The journal has that *by* did it."""
        by = None if by is None else name_of(by)  # before anything is done
        accepted = binding.accept(parameters)
        # Each once, and in this order: another thread may stop the manager, or start it, at any moment.
        executor, closed, refusal = binding.executor, self.closed, self.refusal
        elsewhere = closed is not None and self.store.shared and refusal is ManagerStateError
        if closed is not None and not elsewhere:
            raise refusal(f"Task {binding.name!r} cannot be triggered: {closed}.")
        if executor is None and binding.executor is None and not elsewhere:
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
        if elsewhere:
            run.holder = Elsewhere(self)  # before it is claimed: nobody executes it here
        if self.store.shared or self.lateness.jumped():
            self.lateness.begin(binding, run)
        self.store.claim(run, binding.limits)
        if trigger == "manual" and run.state is not SKIPPED:
            self.journal("triggered", run.task, trigger_note(run, parameters), by)
        if elsewhere:
            self._left_to_others(binding, run)
        else:
            self.admitted(binding, run)
        return run

    def _left_to_others(self, binding: Binding, run: Run) -> None:
        """A run was claimed for whichever process takes it."""
        if run.state is SKIPPED:
            self.skipped(run)
        elif run.waited and binding.limits.overlap == "cancel_previous":
            self._cancel_before(run)

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
            for run in self.store.mine(name)
            if run.trigger != "call" and isinstance(run.holder, Binding) and run.holder.pipeline is self
        ]

    def withdraw(self, run: Run, reason: str) -> bool:
        """Cancel a run of `active` of which no body is under way; False also when it was left to others meanwhile."""
        holder = run.holder
        return isinstance(holder, Binding) and self.withdrawal.withdraw(holder, run, reason)

    def lose(self, run: Run, reason: str) -> bool:
        """Record that nobody will see the end of a run of `active`; False also when it was left to others meanwhile."""
        holder = run.holder
        return isinstance(holder, Binding) and self.withdrawal.lose(holder, run, reason)

    # Handing over.

    def hand_over(self, binding: Binding, run: Run) -> None:
        """Give a run that has its place to its executor."""
        executor = binding.executor
        try:
            self.submit(executor, run, binding.work, binding.spec.policy.priority)
        except RuntimeError as error:  # no thread can be started
            logger.error("Task %r could not be handed over: %s", binding.name, error)
            self.withdrawal.withdraw(binding, run, f"no thread could be started: {error}")
        if self.closed is not None or binding.executor is not executor:  # stopped meanwhile: nobody may look there
            self.withdrawal.leave(binding, run)

    def hand_over_all(self, runs: Iterable[Run]) -> None:
        """The same for runs that have waited, of whichever manager they are."""
        for run in runs:
            if run.state is SKIPPED:
                self.skipped(run)
            elif isinstance(run.holder, Binding):
                if run.trigger == "chain" and not run.waited:
                    self.tell(run_queued, run=run)
                lateness = run.holder.pipeline.lateness
                if run.waits is not None or run.waited or lateness.jumped():
                    lateness.let_go(run.holder, run)
                run.holder.pipeline.hand_over_next(run.holder, run)

    def hand_over_next(self, binding: Binding, run: Run) -> None:
        """Hand over behind the run that is being settled, also where bodies run inside whoever hands them over."""
        if self.clock.inline and self.scheduler is not None:
            self.scheduler.call_at(self.clock.now(), lambda: self.hand_over(binding, run))
        else:
            self.hand_over(binding, run)

    def submit(self, executor: Executor | None, run: Run, work: Work, priority: int = 0) -> None:
        """Let an executor do something for a run."""
        executors = self.executors
        if executor is None or executors is None:
            return  # stopped meanwhile
        if executor is executors.serial and self.patience is not None and not self.patience.watching:
            self.patience.before_submit(executor)
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
                self.scheduler.call_at(moment, lambda: self.claims.catch_up(binding, again=True))
        else:
            self.scheduler.release(entry, moment if entry.hold else None)

    def journal(self, what: str, task: str | None = None, note: str | None = None, by: str | None = None) -> None:
        """Keep that somebody has steered something: who, what, which task (None for all), and why or with what.

        *by* is who did it, checked with `name_of` before it was done. Never raises for the store's sake.
        """
        write(self, what, task, note, by)

    def tell(self, signal: blinker.Signal, **payload: Any) -> None:
        """Send a signal soon, from its own thread."""
        if signal.receivers and self.scheduler is not None:
            self.scheduler.announcer.announce(signal, self.owner(), **payload)
