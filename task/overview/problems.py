"""What wants somebody's attention, and what to do."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence

from task.alerts import longest_usual
from task.models import TaskManager, is_overdue
from task.overview.delays import MUCH, cure_of, delays_text, is_late
from task.overview.durations import duration_text
from task.overview.sights import Sight, Snapshot
from task.overview.strips import Strip
from task.overview.unclaimed import unclaimed
from task.overview.values import Problem
from task.runs import RunState
from task.stores import Incident

__all__ = ["KINDS", "problems_of", "problems_of_manager", "sort_problems"]

Moment = datetime.datetime

#: The worst first.
KINDS = ("stopped", "unhealthy", "broken", "orphaned", "lost", "failing", "overrunning", "overdue", "late", "never")


def problems_of_manager(manager: TaskManager, snapshot: Snapshot) -> Iterator[Problem]:
    """What is wrong with all of it."""
    health = snapshot.health
    if snapshot.trouble is not None:
        at = snapshot.at.astimezone()
        yield Problem(
            "unhealthy",
            None,
            f"What is shown is as of {at:%H:%M:%S}: {snapshot.trouble}",
            "Look whether the database is there and can be reached; everything goes on by itself when it is back.",
        )
    if health.state == "forked":
        yield Problem("stopped", None, health.causes[0], "Start it in this process: manager.run().")
    elif health.causes and health.causes[0].startswith("it could not be started"):
        cause = health.causes[0]
        yield Problem("stopped", None, f"{cause[0].upper()}{cause[1:]}.", "Mend that, and restart this process.")
    elif health.state in ("stopped", "stopping") and not health.healthy:
        elsewhere = ", nor does another process on its store" if manager.store.shared else ""
        yield Problem(
            "stopped",
            None,
            f"The manager is {health.state} in process {health.pid}: it runs no slots{elsewhere}.",
            "Start it: manager.run().",
        )
    elif not health.healthy:
        for cause in health.causes:
            yield Problem("unhealthy", None, f"{cause[0].upper()}{cause[1:]}.", _remedy_of(cause))


def _remedy_of(cause: str) -> str:
    if "wait for" in cause or "only_if" in cause:
        return "Give the tasks that hold others up a timeout or a pool of their own, or the manager more workers."
    if "event loop" in cause:
        return "A coroutine blocks it: await in its place, or declare the body as a plain function."
    return "Look into the log of this process; restart it if it does not mend itself."


def problems_of(sight: Sight, strip: Strip, now: Moment, incidents: Sequence[Incident] = ()) -> Iterator[Problem]:
    """What is wrong with one task; since when, where that is one of its open *incidents*, and those that remain."""
    since = {one.kind: one for one in incidents}
    for problem in _problems_of(sight, strip, now):
        incident = since.pop(problem.kind, None)
        yield problem if incident is None else problem._replace(since=incident.since)
    for incident in since.values():
        text = f"{incident.text[:1].upper()}{incident.text[1:]}"
        yield Problem(incident.kind, sight.name, text, _UNTIL, incident.run, incident.since)


#: What helps with an incident that can be seen in no other way: of an overdue slot, say.
_UNTIL = "Look at its last runs, and at what the doctor says of the processes; it is over when a run of it succeeds."


def _problems_of(sight: Sight, strip: Strip, now: Moment) -> Iterator[Problem]:
    yield from unclaimed(sight, now)
    if not _may_have_any(sight, strip):
        return
    if sight.broken is not None:
        yield _broken(sight)
    last = sight.standing.summary.last
    if last is not None and last.state is RunState.LOST and not sight.standing.active:
        yield Problem(
            "lost",
            sight.name,
            f"Its last run was lost: {last.reason or 'nobody saw its end'}.",
            "Look at what it left half done, and run it again; with on_lost='rerun' that happens by itself.",
            last.id,
        )
    if last is not None and sight.failing:
        yield _failing(sight)
    yield from _slow(sight, strip, now)
    yield from _late(sight, strip)
    if _is_over(sight):
        yield Problem(
            "never",
            sight.name,
            "Its schedules are over: it will not run again by itself.",
            "Give it another schedule, or remove it.",
        )


def _may_have_any(sight: Sight, strip: Strip) -> bool:
    """Told at once of most: of a thousand tasks all are looked at."""
    last = sight.standing.summary.last
    ended_badly = last is not None and last.state is not RunState.SUCCEEDED
    return bool(
        ended_badly or strip.figures.delays or sight.standing.active or sight.broken is not None or _is_over(sight)
    )


def _broken(sight: Sight) -> Problem:
    if sight.entry is not None and sight.entry.problem is not None:
        return Problem(
            "orphaned",
            sight.name,
            f"This recurring entry is not run here: {sight.entry.problem}",
            f"Bring back the task {sight.entry.task!r}, give the entry another one, or remove it.",
        )
    return Problem(
        "broken",
        sight.name,
        f"Its schedule is broken: {sight.broken}",
        "Correct its schedule in the code, and start the process again.",
    )


def _failing(sight: Sight) -> Problem:
    summary = sight.standing.summary
    last, count = summary.last, summary.consecutive_failures
    assert last is not None
    times = "Its last run" if count == 1 else f"Its last {count} runs"
    ended = "timed out" if last.state is RunState.TIMED_OUT and count == 1 else "failed"
    remedy = "Read the traceback and the log of its run; run it again when the cause is gone."
    if last.state is RunState.TIMED_OUT:
        remedy = "See in its log what takes so long; give it more time (timeout=), or less to do."
    said = last.error or last.reason
    return Problem("failing", sight.name, f"{times} {ended}{f': {said}' if said else '.'}", remedy, last.id)


def _slow(sight: Sight, strip: Strip, now: Moment) -> Iterator[Problem]:
    active = sight.standing.active
    past = next((run for run in active if run.overrunning), None)
    if past is not None:
        yield Problem(
            "overrunning",
            sight.name,
            "Its body goes on past its timeout, and cannot be stopped.",
            "Let the body look at run.check_cancelled(), or run it in a process: executor='process'.",
            past.id,
        )
        return
    usual, longest = strip.figures.p95_duration, longest_usual(strip.figures)
    for run in active:
        if run.state is not RunState.RUNNING or run.started_at is None or usual is None:
            continue
        seconds = (now - run.started_at).total_seconds()
        if longest is not None and seconds > longest:
            yield Problem(
                "overrunning",
                sight.name,
                f"Its run has taken {duration_text(seconds)}; 19 of 20 take {duration_text(usual)} or less.",
                "See in its log where it stands; cancel it if it hangs, and give the task a timeout=.",
                run.id,
            )
            return
    if sight.task is not None and is_overdue(sight.task, active, sight.standing.mark, now):
        yield Problem(
            "overdue",
            sight.name,
            "A run of it waits for too long, or newer slots have come while its body went on.",
            "Give it more workers (pool=, max_workers=), a longer interval, or a shorter body.",
            active[0].id,
        )


def _late(sight: Sight, strip: Strip) -> Iterator[Problem]:
    """Its runs start late often, and something can be done about it."""
    figures = strip.figures
    grace = 2 * MUCH if sight.task is None else sight.task.spec.misfire_grace
    if figures.p95_lateness is None or not is_late(figures, grace):
        return
    curable = {cause: seconds for cause, seconds in figures.delays.items() if cure_of(cause) is not None}
    if sum(curable.values()) < figures.p95_lateness:  # it is the machine, or was asked for
        return
    remedy = cure_of(max(curable, key=lambda cause: curable[cause]))
    yield Problem(
        "late",
        sight.name,
        f"Its runs start late, one in twenty by {duration_text(figures.p95_lateness)} or more: of its last "
        f"{figures.sample} runs {delays_text(figures.delays)}.",
        remedy or "",
    )


def _is_over(sight: Sight) -> bool:
    if sight.task is None or not sight.runs_here or sight.broken or sight.standing.active or sight.slot is not None:
        return False
    binding = sight.task.binding
    held = binding.entry is not None and binding.entry.held
    return bool(sight.task.spec.schedules) and binding.wanted_at is None and not held and sight.standing.switch.enabled


def sort_problems(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The worst first, and of a kind by the names."""
    return tuple(sorted(problems, key=lambda one: (KINDS.index(one.kind), one.task or "")))
