"""Starting, stopping and waiting: the life of one manager, in one process."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import queue
import signal
import threading
import weakref
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from task.alerts import Alerts
from task.errors import ForkedError, ManagerStateError, StoreUnavailableError
from task.events import manager_state_changed
from task.executors import Executors
from task.log import logger
from task.models.plain import PlainJobs
from task.models.registry import Registry
from task.models.signals import is_echo, raise_again
from task.pipeline import Binding, Pipeline
from task.runs import Run, capture_logs, peek_current_run
from task.scheduler import Scheduler

if TYPE_CHECKING:
    from task.tracing import Tracing

__all__ = ["Lifecycle", "SignalReceived", "State"]

State = Literal["stopped", "starting", "running", "stopping"]

#: How long a body that was asked to stop has, before its run counts as lost. Seconds.
CANCEL_TIMEOUT = 0.5

#: What the store could not be asked at the start is asked again after so long.
AGAIN = timedelta(seconds=1)

#: How long the services on the event loop may take to close. Seconds.
CLOSE_TIMEOUT = 2.0

#: How long what runs that were withdrawn leave to do may take to be handed over. Seconds.
HAND_OVER_TIMEOUT = 5.0

#: How often a wait that signals are to end looks up: one that another thread gets, or that comes in the moment in which
#: the main thread goes to sleep, wakes it on no system; on Windows Ctrl-C never does. Seconds.
LOOK = 0.5


class Lifecycle:
    """Starts and stops what a manager wires together."""

    def __init__(
        self,
        owner: object,
        registry: Registry,
        pipeline: Pipeline,
        scheduler: Scheduler,
        alerts: Alerts,
        max_workers: int,
    ) -> None:
        self._state: State = "stopped"
        #: What the loop had looked at when it was last stopped.
        self._ended_at: datetime | None = None
        #: The process in which it was started.
        self.pid: int | None = None
        #: Whether a forked child starts it by itself, if it ran; and in such a child, that this is about to happen.
        self.restarts = self.restarting = False
        #: Why it could not be started last; None when it could, or nobody has tried.
        self.failure: str | None = None
        #: Called when it has stopped, also where that happens behind a run.
        self.on_stopped: Callable[[], object] = bool
        #: Called when it has all that it needs, and its loop is about to start.
        self.on_opened: Callable[[], object] = bool
        self._owner = owner
        self._registry = registry
        self._pipeline = pipeline
        self._scheduler = scheduler
        self._clock = scheduler.clock
        self.max_workers = max_workers
        self._alerts = alerts
        #: How often it was started: who has stopped it from inside a run means the one under way.
        self._starts = 0
        self._plain = PlainJobs(scheduler, pipeline)
        pipeline.closed = "the manager does not run yet; call run()"
        self._renew_locks()

    def _renew_locks(self) -> None:
        #: One start or stop at a time. Bodies are waited for while it is held: nothing that a body may call takes it,
        #: but `run` and `stop` themselves.
        self.lock = threading.RLock()
        self.stopped = threading.Event()
        self.stopped.set()
        #: What those who `wait` are woken by.
        self._waiting: set[queue.SimpleQueue[None]] = set()

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self._pipeline.tell(manager_state_changed, state=state)

    # Starting.

    def start(self) -> None:
        """Discover, schedule, and start the loop; running already, only discover."""
        try:
            begun = self._start()
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"
            raise
        self.failure = None
        for found in list(self._registry.tasks.values()) if begun else ():
            if found.spec.run_at_start:
                self._run_at_start(found.binding)

    def _start(self) -> bool:
        """False when it was running already."""
        with self.lock:
            if self.forked():
                self._begin_in_child()
            self._registry.discover()
            self._pipeline.tracing = _find_tracing()
            if self.state == "running":
                return False
            if self._scheduler.owner() not in (None, self._owner) and self._scheduler.is_running():
                raise ManagerStateError(
                    "This scheduler is run by another manager. Give each manager a scheduler of its own."
                )
            self._registry.warn_of_nothing()
            self._registry.warn_of_twins()
            self.state, self.restarting = "starting", False
            self._starts += 1
            self.pid = os.getpid()
            self.stopped.clear()
            try:
                self._open()
            except BaseException:
                self._close("the manager did not start")
                raise
            self.state = "running"
        return True

    def _run_at_start(self, binding: Binding) -> None:
        try:
            self._pipeline.trigger(binding, {}, "start")
        except ManagerStateError:
            if self.state == "running":  # else another thread has stopped it meanwhile
                raise
        except StoreUnavailableError:  # the health tells of it
            again = functools.partial(self._run_at_start_later, binding)
            self._scheduler.call_at(self._clock.now() + AGAIN, lambda: self._pipeline.store.post(again))

    def _run_at_start_later(self, binding: Binding) -> None:
        if self.state == "running" and not binding.released:
            self._run_at_start(binding)

    def _open(self) -> None:
        self._scheduler.owner = weakref.ref(self._owner)
        self._scheduler.run_plain = self._plain.run
        self._plain.forget()
        capture_logs()
        make_executors = getattr(self._clock, "executors", Executors)
        self._pipeline.open(make_executors(self.max_workers, self._pipeline.placing.pools))
        self._scheduler.look_at_clock()  # it may have been set while nobody looked
        self._pipeline.steering.begin()
        self._registry.schedule_all()
        self.on_opened()
        self._scheduler.start()
        self._alerts.begin()

    # Stopping.

    def stop(self, timeout: float) -> None:
        """Stop; from inside a run, behind it."""
        if peek_current_run() is not None and not self._clock.inline:
            arguments = timeout, self._starts
            threading.Thread(target=self._stop_behind, args=arguments, name="task-stop", daemon=True).start()
        else:
            self._stop(timeout)

    def _stop_behind(self, timeout: float, start: int) -> None:
        with self.lock:
            if start == self._starts:  # else it was stopped by another, and started again
                self._stop(timeout)

    def _stop(self, timeout: float) -> None:
        with self.lock:
            self._call_off_restart()
            if self.state == "stopped":
                self._scheduler.announcer.close()  # switches are turned, and signals sent, without a loop too
            if self.state != "running" or self.forked():
                if self.state == "stopped":  # it may have told of what was steered without a loop
                    self._scheduler.announcer.close()
                return
            now = self._clock.now()
            try:
                self.state = "stopping"
                self._pipeline.closed = "the manager is stopping"
                self._scheduler.stop()
                now = self._clock.now()
                # Those that wait first: the others would hand their places over to them, one inside the other.
                for run in sorted(self._pipeline.active(), key=lambda run: not run.waiting):
                    if isinstance(run.holder, Binding):
                        self._pipeline.withdrawal.leave(run.holder, run)
                self._drain(timeout)
            finally:  # Ctrl-C meanwhile
                self._ended_at = min(now, self._scheduler.looked_at or self._ended_at or now)
                self._close("the manager is stopped; call run()")

    def _close(self, reason: str) -> None:
        self._scheduler.stop()
        self._alerts.end()
        self._pipeline.closed = reason
        self._registry.withdraw()
        executors, self._pipeline.executors = self._pipeline.executors, None
        if executors is not None:
            self._close_services(executors)
            executors.close()
        self._pipeline.steering.end()
        self.pid, self.state = None, "stopped"
        self._scheduler.announcer.close()
        self.on_stopped()
        self._tell_those_who_wait()

    def _drain(self, timeout: float) -> None:
        """Give running bodies, and callbacks, their time, ask them to stop, and record the rest as lost."""
        begun, waits = self._clock.monotonic(), self._pipeline.active()
        self._await(waits, timeout)
        for run in waits:
            if not run.state.final:
                run.ask_to_stop("stopped")
        self._await(waits, CANCEL_TIMEOUT)
        for run in waits:
            self._pipeline.lose(run, f"still running {timeout:g} seconds after the manager was told to stop")
        if not self._clock.inline:
            self._pipeline.withdrawal.await_all(HAND_OVER_TIMEOUT)
            self._pipeline.settlement.await_all(timeout - (self._clock.monotonic() - begun))

    def _close_services(self, executors: Executors) -> None:
        """After the last run: those that live on the event loop are closed there."""
        services = self._pipeline.services
        if services.open_on_a_loop():
            closed = threading.Event()

            async def close(_: Run) -> None:
                try:
                    await services.aclose()
                finally:
                    closed.set()

            executors.event_loop.submit(close, Run("(services)", "manual", self._clock.now()))
            if not self._clock.inline and not closed.wait(CLOSE_TIMEOUT):
                logger.warning("Services on the event loop took more than %s seconds to close", CLOSE_TIMEOUT)
        services.close()

    def _await(self, runs: list[Run], timeout: float) -> None:
        deadline = self._clock.monotonic() + max(0.0, timeout)
        pause = threading.Condition()
        for run in runs:
            left = max(0.0, deadline - self._clock.monotonic())
            while not self._clock.inline and not run.wait(min(left, LOOK)) and left > 0:
                left -= LOOK
            while not run.state.final and self._clock.monotonic() < deadline:
                with pause:  # a clock that drives the bodies itself has to be let go on
                    self._clock.wait(pause, 0.05)

    def set_apart(self) -> Callable[[], None]:
        """Be as one that never ran; what is returned puts back what it was. It is stopped, before and then."""
        before = self._state, self._ended_at, self.failure, self.pid, self.restarting
        closed, refusal = self._pipeline.closed, self._pipeline.refusal
        put_back_alerts = self._alerts.set_apart()
        self._state, self._ended_at, self.failure, self.pid, self.restarting = "stopped", None, None, None, False
        self._pipeline.closed = "the manager does not run yet; call run()"
        self._pipeline.refusal = ManagerStateError

        def put_back() -> None:
            self._state, self._ended_at, self.failure, self.pid, self.restarting = before
            self._pipeline.closed, self._pipeline.refusal = closed, refusal
            put_back_alerts()

        return put_back

    def owed_until(self) -> datetime:
        """Up to when slots are owed an outcome: now, or what was looked at before it stopped and since."""
        now, ended = self._clock.now(), self._ended_at
        if ended is None or (self.state == "running" and self._scheduler.looked_at is not None):
            return now
        return min(ended, now)

    def wait(self) -> None:
        """Block until it is stopped. Raises `SignalReceived` for SIGINT and SIGTERM, in the main thread."""
        woken: queue.SimpleQueue[None] = queue.SimpleQueue()
        signals = _Signals(woken)
        self._waiting.add(woken)
        try:
            signals.catch()
            while not signals.received and not self.stopped.is_set():
                with contextlib.suppress(queue.Empty):
                    woken.get(timeout=LOOK)
        finally:
            signals.put_back()
            self._waiting.discard(woken)
        if signals.received:
            raise SignalReceived(signals)

    # Fork.

    def forked(self) -> bool:
        """Whether this process was forked from the one in which it runs."""
        return self.pid is not None and self.pid != os.getpid()

    def check_not_forked(self) -> None:
        """Raise `ForkedError` in a forked child."""
        if self.forked():
            raise ForkedError(
                f"This process was forked from process {self.pid}, where the manager runs. Call run() here to "
                "start it in this one."
            )

    def after_fork(self) -> None:
        """In the child: fresh locks, no threads. Whether it is forked is computed from the pid."""
        self._renew_locks()
        self._registry.renew_lock()
        self._pipeline.execution.renew_lock()
        self._pipeline.services.reset_after_fork()
        self._scheduler.reset_after_fork()
        self._pipeline.reset_after_fork()
        self._pipeline.steering.reset_after_fork()
        self._alerts.reset_after_fork()
        if self.pid is not None and self.restarts and self._state in ("starting", "running"):
            self._begin_in_child()
            self._pipeline.closed = "the manager starts anew in this forked process"
            self.restarting, self._state = True, "starting"
            self.stopped.clear()
        elif self.pid is not None:
            self._pipeline.refusal = ForkedError
            self._pipeline.closed = f"this process was forked from the one that runs the manager ({self.pid})"

    def _begin_in_child(self) -> None:
        self.pid, self._state = None, "stopped"
        self._registry.forget_plans()
        self._pipeline.refusal = ManagerStateError
        self._scheduler.rebuild()

    def restart(self) -> None:
        """In a forked child: start, unless that was done, or called off, by now."""
        with self.lock:
            if self.restarting:
                self.start()

    def _call_off_restart(self) -> None:
        if self.restarting:
            self.restarting, self._state = False, "stopped"
            self._pipeline.closed = "the manager is stopped; call run()"
            self._tell_those_who_wait()

    def _tell_those_who_wait(self) -> None:
        self.stopped.set()
        for woken in list(self._waiting):
            woken.put(None)


def _find_tracing() -> Tracing | None:
    """What draws runs as spans; None where OpenTelemetry is not installed, or not set up."""
    try:
        if not all(importlib.util.find_spec(name) for name in ("opentelemetry", "opentelemetry.trace")):
            return None
        from task.tracing import Tracing  # loaded for those who use it

        return Tracing.find()
    except Exception:
        logger.exception("OpenTelemetry is installed, but cannot be used; runs go on without spans")
        return None


class SignalReceived(BaseException):
    """Raised by `Lifecycle.wait`: it has ended for the first of these signals."""

    def __init__(self, signals: _Signals) -> None:
        super().__init__(signal.Signals(signals.received[0]).name)
        self._signals = signals

    def raise_second(self) -> None:
        """Let the second one do what it does without us, where it came before the handlers were put back."""
        for number in self._signals.received[1:2]:
            raise_again(number)

    def put_back(self) -> None:
        """What had to be done has been: no echo is listened for any more."""
        self._signals.put_back_after_echo()


class _Signals:
    """SIGINT and SIGTERM, while the main thread waits: they wake it, at once where the system lets them.

    They raise nothing: an exception may come at any instruction, also where it leaves a lock held for ever, or where a
    finalizer of the interpreter's own swallows it.
    """

    def __init__(self, woken: queue.SimpleQueue[None]) -> None:
        #: Their numbers, in the order in which they came.
        self.received: list[int] = []
        self._woken = woken
        self._before: dict[int, Any] = {}

    def catch(self) -> None:
        """Begin; in another thread than the main one there is nothing to catch."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.getsignal(number)
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: object) -> None:
        if is_echo(number):
            return
        self.received.append(number)
        self._woken.put(None)

    def put_back(self) -> None:
        """End: what comes from now on has the handlers of before, but for the echo of a SIGTERM, which has none."""
        for number, handler in self._before.items():
            listens = number == signal.SIGTERM and number in self.received
            signal.signal(number, self._ignore_echo if listens else handler if handler is not None else signal.SIG_DFL)

    def _ignore_echo(self, number: int, frame: object) -> None:
        if not is_echo(number):
            self.put_back_after_echo()
            raise_again(number)

    def put_back_after_echo(self) -> None:
        """From now on SIGTERM has the handler of before, if nobody has set another one."""
        if signal.getsignal(signal.SIGTERM) == self._ignore_echo:
            before = self._before[signal.SIGTERM]
            signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)
