"""A copy of a manager that can be simulated: its tasks, schedules, switches and guards, and nothing of its code."""

from __future__ import annotations

import dataclasses
import datetime
import types
from collections.abc import Callable
from typing import Any, NamedTuple

from task.calendars import BusinessDays, BusinessHours
from task.events import Announcer
from task.foresight.clock import SimulatedClock
from task.foresight.strategies import without_code
from task.models import TaskFunction, TaskManager
from task.pipeline import Binding, Pipeline
from task.schedules import CronJob, Line, OnceJob, cadence, is_random, live_copy, same_schedule, shorten
from task.spec import TaskSpec
from task.stores import Declaration, Store

__all__ = ["Subject", "copied", "simulated", "subjects_of"]

Moment = datetime.datetime
AnyTask = TaskFunction[..., Any]

_CALENDARS = (BusinessDays, BusinessHours)


class Subject(NamedTuple):
    """A task of the manager, as far as it is simulated."""

    task: AnyTask
    #: Whose runs tell of it, where it has none: for a recurring entry its task.
    base: str
    #: The schedules that are planned.
    schedules: tuple[Any, ...]
    #: Each of them from where the manager is with it: its anchor and next slot. None: from the beginning.
    plans: tuple[tuple[Moment, Moment | None] | None, ...]
    #: Why none is planned.
    never: str | None

    @property
    def name(self) -> str:
        """The name of the task."""
        return self.task.name

    def lines(self, since: Moment) -> list[Line]:
        """Its schedules, counted from where they are, or would be from *since* on."""
        start = self.task.spec.start
        first = since if start is None else max(since, start)
        pairs = zip(self.schedules, self.plans, strict=True)
        return [
            Line(live_copy(job, self.name, ()), first if plan is None else plan[0], self.name) for job, plan in pairs
        ]


class Silent(Announcer):
    """Sends no signal: those who would receive them are the user's."""

    def announce(self, signal: Any, sender: object, **payload: Any) -> None:
        """Nobody hears of it."""

    def post(self, call: Callable[[], None]) -> None:
        """What is told to people alone."""


# What there is.


def subjects_of(manager: TaskManager, since: Moment) -> list[Subject]:
    """The tasks and recurring entries of a manager that it runs."""
    found = [_subject(task, task.name, manager.store, since) for task in manager.tasks]
    entries = [entry for entry in manager.recurring.list() if entry.problem is None and entry.name in manager]
    return found + [_subject(manager[entry.name], entry.task, manager.store, since) for entry in entries]


def _subject(task: AnyTask, base: str, store: Store, since: Moment) -> Subject:
    entry, spec = task.binding.entry, task.spec
    if entry is not None and entry.reason is not None:
        return Subject(task, base, (), (), f"its schedule is broken: {entry.reason}")
    schedules, plans, ended = [], [], []
    for declared in spec.schedules:
        live = live_copy(declared, task.name, spec.tags)
        lines = entry.timetable.lines if entry is not None else ()
        line = next((line for line in lines if same_schedule(line.job, live)), None)
        plan: tuple[Moment, Moment | None] | None
        if line is not None:
            plan = line.anchor, line.next
        elif entry is not None:
            ended.append("its schedule has ended")
            continue
        else:
            plan = _declared(task, live, store, since)
        why = _never(declared, live, plan, since)
        if why is not None:
            ended.append(why)
            continue
        schedules.append(declared)
        plans.append(plan)
    never = None if schedules else "; ".join(dict.fromkeys(ended)) or None
    return Subject(task, base, tuple(schedules), tuple(plans), never)


def _declared(task: AnyTask, live: Any, store: Store, since: Moment) -> tuple[Moment, Moment | None] | None:
    """From where a manager goes on with it that starts now."""
    known = store.declared(task.name, live)
    if known is None:
        return None
    anchor = known[0]
    if task.spec.fixed_delay:
        anchor = store.resume_from(task.name) or anchor
    line = Line(live, anchor, task.name)
    mark = store.mark(task.name) if is_random(live) else None
    after_mark = None if mark is None else line.after(mark)
    return anchor, after_mark if after_mark is not None and after_mark > since else line.after(since)


def _never(declared: Any, live: Any, plan: tuple[Moment, Moment | None] | None, since: Moment) -> str | None:
    """Why a schedule has no slot any more; None where it has, or where the manager finds it missed at its start."""
    if isinstance(declared, OnceJob):
        ended = plan is not None and plan[1] is None
        return f"its one moment, {declared.moment.isoformat(sep=' ')}, is past" if ended else None
    following = plan[1] if plan is not None else None
    following = following or Line(live, since if plan is None else plan[0], "").after(since)
    return None if following is not None else f"no slot of {cadence(live)!r} comes any more"


# The copy.


class Copied(NamedTuple):
    """The simulated manager and what was assumed for it."""

    manager: TaskManager
    pipeline: Pipeline | None
    assumed: tuple[str, ...]


def copied(
    manager: TaskManager, subjects: list[Subject], clock: SimulatedClock, ledger: Store, *, conditions: bool, seed: int
) -> Copied:
    """A manager with the tasks of *manager* on simulated time. It does not run yet."""
    pipelines = [one.task.binding.pipeline for one in subjects]
    placing = pipelines[0].placing if pipelines else None
    names = {one.name for one in subjects}
    elsewhere = {name for one in subjects for name in one.task.spec.policy.after} - names
    assumed: list[str] = []
    twin = TaskManager(
        [],
        store=ledger,
        clock=clock,
        max_workers=placing.max_workers if placing is not None else 1,
        pools=placing.pools if placing is not None else None,
        exclude=sorted(elsewhere),
    )
    twin.scheduler.announcer = Silent()
    now = clock.now()
    pipeline = None
    for one in subjects:
        spec, told = simulated(one, conditions=conditions, seed=seed)
        assumed += told
        added: AnyTask = twin.add(TaskFunction[..., Any](spec))
        added.binding.claimed = one.task.binding.claimed
        pipeline = added.binding.pipeline
        _declare(ledger, one, now)
        ledger.turn(one.name, manager.store.switch(one.name, now))
    ledger.pause(manager.store.paused)
    return Copied(twin, pipeline, tuple(assumed))


def _declare(ledger: Store, subject: Subject, now: Moment) -> None:
    """Let the ledger know its schedules as they are counted already."""
    for job, plan in zip(subject.schedules, subject.plans, strict=True):
        if plan is not None:
            live = live_copy(job, subject.name, ())
            owed = not (is_random(live) or subject.task.spec.fixed_delay)
            ledger.declare(subject.name, Declaration(Line(live, plan[0], subject.name), now, owed=owed))


def simulated(subject: Subject, *, conditions: bool, seed: int) -> tuple[TaskSpec, list[str]]:
    """The declaration of a task without any code of the user's, and what is assumed in its place."""
    binding = subject.task.binding
    spec, policy = binding.spec, binding.spec.policy
    name, assumed = spec.name, []
    kept = []
    for condition in policy.only_if:
        if conditions or isinstance(condition, _CALENDARS):
            kept.append(condition)
        else:
            said = getattr(condition, "__name__", None) or shorten(condition)
            assumed.append(f"{name!r}: its condition {said} is not asked; it is taken to accept every slot")
    stub = _awaited if binding.on_loop else _called
    on_thread = not binding.on_loop and binding.pipeline.placing.wants_thread(binding)
    changed = dataclasses.replace(
        policy,
        executor="threads" if on_thread else None,
        redact=frozenset(),
        only_if=tuple(kept),
        retry=without_code(name, policy.retry, seed),
        on_lost="record",
        everywhere=False,
        notify=None,
        expect_within=None,
        alert_after=None,
    )
    if policy.everywhere:
        assumed.append(f"{name!r}: it runs in every process; this is one of them")
    return (
        dataclasses.replace(
            spec,
            func=stub,
            schedules=subject.schedules,
            parameters=types.MappingProxyType({}),
            on_success=None,
            on_failed=None,
            on_complete=None,
            disabled=False,
            threaded=on_thread,
            run_at_start=False,
            policy=changed,
        ),
        assumed,
    )


def _called() -> None:
    """Stands for the body of a task: it is never called."""


async def _awaited() -> None:
    """The same for a body that is awaited."""


def can_be_stopped(binding: Binding) -> bool:
    """Whether its body ends as soon as it is asked to: a coroutine, a process, a shell command; no thread."""
    executor = binding.spec.policy.executor
    if binding.on_loop or executor not in (None, "serial", "threads"):
        return True
    return executor is None and getattr(binding.body, "executor", None) is not None


def plan_as(twin: TaskManager, subjects: list[Subject]) -> None:
    """Let the schedules of the simulated manager go on where those of the manager are."""
    known: dict[Any, _Remembering] = {}
    for one in subjects:
        entry = twin[one.name].binding.entry
        if entry is None:
            continue
        planned = [(live_copy(job, one.name, ()), plan) for job, plan in zip(one.schedules, one.plans, strict=True)]
        following = [line.next for line in entry.timetable.lines]
        twin.scheduler.remove(entry)
        for line, slot in zip(entry.timetable.lines, following, strict=True):
            plan = next((plan for live, plan in planned if same_schedule(line.job, live)), None)
            line.next = (slot if plan is None else plan[1]) or slot
            if isinstance(line.job, CronJob):
                key = tuple(line.job.fields or ()), line.job.expression, line.job.zone
                line.job.next_slot = known.setdefault(key, _Remembering(line.job.next_slot))  # type: ignore[method-assign]
        twin.scheduler.register(entry)


class _Remembering:
    """A schedule that remembers its last answer: a hundred tasks of one cron line ask the same."""

    def __init__(self, ask: Callable[[Moment], Moment | None]) -> None:
        self._ask = ask
        self._after: Moment | None = None
        self._slot: Moment | None = None

    def __call__(self, after: Moment) -> Moment | None:
        if after != self._after:
            self._slot, self._after = self._ask(after), after
        return self._slot
