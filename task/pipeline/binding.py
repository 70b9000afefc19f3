"""``Binding``: one task at one manager: its ledger, its executor, its place on the heap."""

from __future__ import annotations

import copy
import datetime
import threading
import types
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from task.clock import is_machines
from task.errors import ParameterError
from task.events import run_progress
from task.executors import Executor
from task.injection import InjectionPlan, Parameters
from task.pipeline.journal import name_of
from task.runs import Redactor, Run, Trigger, peek_current_run
from task.schedules import Due, Line
from task.spec import TaskSpec, is_async
from task.stores import Declaration, Follower, Limits, Terms

if TYPE_CHECKING:
    import schedule

    from task.pipeline.pipeline import Pipeline
    from task.scheduler import Entry

__all__ = ["Binding"]

Moment = datetime.datetime
Redaction = tuple[Redactor, Mapping[str, Any]]

_LIMITS = Limits()


class Binding:
    """One task at one manager (or at none: then on a ledger of its own). It holds the runs of that task."""

    __slots__ = (
        "body",
        "call",
        "claimed",
        "coroutine",
        "entry",
        "executor",
        "followers",
        "limits",
        "name",
        "on_loop",
        "own_parameters",
        "pipeline",
        "plan",
        "recurring",
        "redaction",
        "released",
        "spec",
        "wanted_at",
    )

    def __init__(self, spec: TaskSpec, body: Callable[..., Any], pipeline: Pipeline) -> None:
        self.spec = spec
        self.name = spec.name
        #: The function, bound to its instance where it is a method.
        self.body = body
        self.coroutine = is_async(body)
        #: What an executor calls: the body itself, or what calls it in another process.
        self.call = body
        #: Whether that is awaited on the event loop.
        self.on_loop = self.coroutine
        #: Fills the parameters of the body that the manager provides, if there are any.
        self.plan: InjectionPlan | None = None
        #: The parameters of its body, read when they are first asked for.
        self.own_parameters: Parameters | None = None
        #: What masks the secrets among the declared parameters, and those parameters masked.
        self.redaction: Redaction | None = None
        #: The tasks that come after this one.
        self.followers: tuple[Follower, ...] = ()
        self.pipeline = pipeline
        self.entry: Entry | None = None
        #: Whether it is a recurring entry.
        self.recurring = False
        #: How many slots were handed over, for ``max_runs``.
        self.claimed = 0
        #: True once it was removed: nothing starts any more.
        self.released = False
        self.executor: Executor | None = None
        #: Since when it was to be scheduled, where the store could not be asked about it then.
        self.wanted_at: Moment | None = None
        self.limits = _limits_of(spec)

    def amend(self, spec: TaskSpec) -> None:
        """Declare the task anew, its name and its body left as they are; runs under way keep what they have."""
        self.spec, self.limits = spec, _limits_of(spec)

    def new_run(
        self,
        trigger: Trigger,
        now: Moment,
        *,
        slot: Moment | None = None,
        parameters: Mapping[str, Any] | None = None,
        jobs: tuple[schedule.Job, ...] = (),
        parent_id: str | None = None,
        args: tuple[Any, ...] = (),
    ) -> Run:
        """A run of this task, not admitted yet. *args* are what a direct call passes by position."""
        run = Run(self.name, trigger, now, slot=slot, parameters=parameters, jobs=jobs, parent_id=parent_id)
        run.holder, spec = self, self.spec
        run.declared = parameters is spec.parameters
        if spec.policy.redact:
            declared = self.redaction if run.declared and not args else None
            run.redactor, run.masked = declared or self._redaction(parameters or {}, args)
        return run

    @property
    def terms(self) -> Terms:
        """What the ledger has to know of its declaration."""
        spec, policy = self.spec, self.spec.policy
        return Terms(
            spec.disabled,
            spec.tags,
            policy.everywhere,
            spec.fixed_delay,
            spec.max_runs,
            spec.misfire == "all",
            self.recurring,
            spec.expectation.text,
        )

    def plan_redaction(self) -> None:
        """Read the declared parameters now: neither the loop nor the ledger's lock is the place for their code."""
        self.redaction = self._redaction(self.spec.parameters, ()) if self.spec.policy.redact else None

    def _redaction(self, parameters: Mapping[str, Any], args: tuple[Any, ...]) -> Redaction:
        """What masks the secrets of a run with these parameters, and the parameters so masked."""
        given = self.parameters.values(args, parameters)  # and what it has by default
        redactor = Redactor(self.spec.policy.redact, {**parameters, **given})
        return redactor, redactor.mapping_at_last(parameters)

    def without_secrets(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Of values that are declared of it, those in which no secret is that is declared of it, too."""
        if not self.spec.policy.redact:
            return dict(values)
        masked = (self.redaction or self._redaction(self.spec.parameters, ()))[0].mapping_at_last(values)
        return {key: value for key, value in values.items() if masked[key] is value or masked[key] == value}

    @property
    def parameters(self) -> Parameters:
        """What a caller may pass."""
        if self.plan is not None:
            return self.plan.parameters
        if self.own_parameters is None:
            self.own_parameters = Parameters(self.name, self.body)
        return self.own_parameters

    def accept(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a run by hand is passed: the declared parameters and *values* over them, converted; without, those.

        Raises `ParameterError` for a value that does not fit, and for a parameter that is missing.
        """
        secret = bool(self.spec.policy.redact)
        given = self.spec.parameters
        if values:
            given = {**given, **self.parameters.check(values, secret=secret)}
        missing = self.parameters.missing(given)
        if missing:
            raise ParameterError(f"Task {self.name!r} cannot run without its parameter {missing[0]!r}: pass it.")
        return given

    def work(self, run: Run) -> Any:
        """What an executor does for a run; an event loop awaits it."""
        if self.on_loop:
            return self.pipeline.execution.execute_async(self, run)
        return self.pipeline.execution.execute(self, run)

    def inside(self) -> bool:
        """Whether the present context is inside a run of this very task: then a call is a plain call."""
        run = peek_current_run()
        while run is not None:
            if isinstance(run.holder, Binding) and _same(run.holder.body, self.body) and not run.state.final:
                return True
            run = run.outer
        return False

    # What a run asks of it.

    @property
    def artifact_folder(self) -> str | None:
        """Where its runs keep their artifacts."""
        return self.pipeline.artifacts

    def cancel(self, run: Run, reason: str, by: str | None) -> bool:
        """Somebody wants it to end: `withdraw`, and keep that in the journal."""
        who = name_of(by)
        done = self.withdraw(run, reason)
        if done:
            self.pipeline.journal("cancelled", run.task, f"run {run.id}: {reason}", who)
        return done

    def withdraw(self, run: Run, reason: str) -> bool:
        """End a run that has not started; ask one that has."""
        return self.pipeline.withdrawal.cancel(self, run, reason)

    def awaited(self, run: Run) -> None:
        """Its end is told here anyhow."""

    def moment(self) -> Moment | None:
        """Now, by the clock of the manager where that is not the machine's."""
        clock = self.pipeline.clock
        return None if is_machines(clock) else clock.now()

    def progressed(self, run: Run) -> None:
        """The body has told how far it is."""
        self.pipeline.tell(run_progress, run=run)

    def waits_for_this_thread(self) -> bool:
        """Whether this is the serial worker, and its runs are queued for that."""
        executors, name = self.pipeline.executors, threading.current_thread().name
        if executors is None or self.executor is not executors.serial:
            return False
        return any(run.thread == name for run in executors.serial.running())

    # What the scheduler tells it.

    def fire(self, due: Due) -> None:
        """A slot is due."""
        self.pipeline.claims.fire(self, due)

    def catch_up(self) -> None:
        """Late slots are to be run one by one."""
        self.pipeline.claims.catch_up(self)

    def set_back(self, now: Moment) -> None:
        """The clock had been wrong: begin a new epoch of the ledger from now."""
        self.pipeline.store.post(lambda: self._set_back(now))

    def _set_back(self, now: Moment) -> None:
        self.pipeline.store.set_back(self.name, now)
        if self.entry is not None:
            for line in self.entry.timetable.lines:
                self.declare(line, now)

    def broke(self) -> None:
        """A schedule of it is broken: it owes nothing any more, unless other processes may go on with it."""
        if not self.pipeline.store.shared:
            self.pipeline.store.post(self.retire)

    def retire(self) -> None:
        """Record that its schedules owe nothing later than its mark: what was due and not taken goes with it."""
        store = self.pipeline.store
        mark = store.mark(self.name) or datetime.datetime.min.replace(tzinfo=datetime.UTC)
        for line in self.entry.timetable.lines if self.entry is not None else ():
            store.retire(self.name, line.job, mark)

    def declare(self, line: Line, since: Moment) -> None:
        """Record that a schedule owes an outcome for each slot later than *since*."""
        owed = line.job.latest is None and not self.spec.fixed_delay
        # A copy: the live line moves on.
        self.pipeline.store.declare(self.name, Declaration(copy.copy(line), since, owed=owed))


def _limits_of(spec: TaskSpec) -> Limits:
    """What its guards allow; most tasks share one."""
    policy = spec.policy
    limits = Limits(policy.max_concurrent, policy.overlap, policy.mutex, policy.on_lost)
    return _LIMITS if limits == _LIMITS else limits


def _same(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Whether two bodies are one: bound methods are made anew each time, other objects may just be equal."""
    return one == other if isinstance(one, types.MethodType) else one is other
