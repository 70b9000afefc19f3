"""The rules: what is wrong with a task that stands so. Plain arithmetic: nothing is read or told here."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from task.clock import duration_text
from task.runs import Run, RunState
from task.stores import Statistics

if TYPE_CHECKING:
    from task.alerts.watched import Watched

__all__ = ["IN_A_ROW", "LATENESS", "OFTEN", "Trouble", "longest_usual", "troubles_of"]

Moment = datetime.datetime

#: A run is far beyond what is usual after so many times the p95, and so many seconds more than that.
FAR, FAR_SECONDS = 3, 60.0

#: What is usual is told by so many runs.
USUAL = 5

#: A slot without a run is overdue so long after its grace: whoever finds it late runs or records it first. Seconds.
LATENESS = 30.0

#: So many failures in a row of a task whose slots lie less than so far apart. Seconds.
IN_A_ROW, OFTEN = 3, 3600.0

FAILED = (RunState.FAILED, RunState.TIMED_OUT)


class Trouble(NamedTuple):
    """Something that is wrong with a task."""

    #: As `Incident.kind`.
    kind: str
    #: Since when.
    since: Moment
    text: str
    #: What a person can do.
    remedy: str
    #: The run that shows it.
    run: Run | None = None


def longest_usual(figures: Statistics) -> float | None:
    """A run that takes longer is far beyond what is usual; None where too few runs tell. Seconds.

    >>> longest_usual(Statistics.of("sample", {}, [(20.0, None)] * 5))
    80.0
    >>> longest_usual(Statistics.of("sample", {}, [(20.0, None)] * 4)) is None
    True
    """
    usual = figures.p95_duration
    return None if usual is None or figures.sample < USUAL else max(FAR * usual, usual + FAR_SECONDS)


def troubles_of(watched: Watched, now: Moment, *, patient: bool) -> Iterator[Trouble]:
    """All that is wrong with one task; *patient*: nothing is called overdue yet."""
    last, count = watched.standing.summary.last, watched.standing.summary.consecutive_failures
    if last is not None and last.state is RunState.LOST:
        yield Trouble(
            "lost",
            last.finished_at or last.queued_at,
            f"its run was lost: {last.reason or 'nobody saw its end'}",
            "Look at what it left half done, and run it again.",
            last,
        )
    if count and last is not None and count >= watched.failures_allowed:
        times = "its last run" if count == 1 else f"its last {count} runs"
        yield Trouble(
            "failing",
            last.finished_at or last.queued_at,
            f"{times} failed",
            "Read the traceback and the log of its run; run it again when the cause is gone.",
            last if last.state in FAILED else None,
        )
    far = next((run for run in watched.standing.active if watched.takes_too_long(run, now)), None)
    if far is not None:
        yield _overrunning(watched, far, now)
    if watched.standing.switch.enabled and not patient:
        late = _unsuccessful(watched, now) if watched.expected.expect_within is not None else _without_run(watched, now)
        if late is not None:
            yield late


def _overrunning(watched: Watched, run: Run, now: Moment) -> Trouble:
    began = run.started_at or run.queued_at
    taken = duration_text((now - began).total_seconds())
    if run.overrunning:
        text = f"its body goes on past its timeout, {taken} after it has begun"
        cure = "Let the body look at run.check_cancelled(), or run it in a process: executor='process'."
    else:
        text = f"its run has taken {taken}, and by far most take less than {duration_text(watched.longest or 0)}"
        cure = "See in its log where it stands; cancel it if it hangs, and give it a timeout=."
    return Trouble("overrunning", now, text, cure, run)


def _unsuccessful(watched: Watched, now: Moment) -> Trouble | None:
    """With ``expect_within``: no run has succeeded for too long."""
    within = watched.expected.expect_within
    assert within is not None
    moments = (watched.standing.summary.succeeded_at, watched.expected_from, watched.standing.switch.at)
    began = max(moment for moment in moments if moment is not None)
    if (now - began).total_seconds() <= within:
        return None
    run = watched.standing.active[0] if watched.standing.active else watched.standing.summary.last
    return Trouble(
        "overdue",
        began + datetime.timedelta(seconds=within),
        f"no run of it has succeeded for {duration_text((now - began).total_seconds())}, "
        f"and one is expected within {duration_text(within)}",
        "Look whether a process that runs it is up, and what its last runs came to.",
        run,
    )


def _without_run(watched: Watched, now: Moment) -> Trouble | None:
    """A slot whose grace is over has no run that has started."""
    patience = datetime.timedelta(seconds=watched.expected.grace + LATENESS)
    if watched.due is not None and now - watched.due > patience:
        return _late(watched.due, "no process has taken it", "Look whether a process that runs it is up.")
    for run in watched.standing.active:
        due = run.slot or run.queued_at
        if run.state is RunState.QUEUED and now - due > patience:
            more = "Give it more workers (pool=, max_workers=), or the tasks that hold it up a timeout."
            return _late(due, f"its run still waits{': ' + run.reason if run.reason else ' for a place'}", more, run)
        mark = watched.standing.mark
        newer = run.slot is not None and mark is not None and run.slot < mark <= now - patience
        if newer and run.state is RunState.RUNNING and watched.longest is None and mark is not None:
            return _late(mark, "the run before it still goes on", "Cancel that if it hangs; give it a timeout=.", run)
    missed = watched.missed
    if missed is not None and (watched.succeeded_at is None or watched.succeeded_at < missed.queued_at):
        return _late(
            missed.slot or missed.queued_at,
            f"it was missed: {missed.reason}",
            "Run it by hand if it is still wanted.",
            missed,
        )
    return None


def _late(due: Moment, text: str, remedy: str, run: Run | None = None) -> Trouble:
    return Trouble("overdue", due, f"its slot of {due:%Y-%m-%d %H:%M:%S} UTC has not been run: {text}", remedy, run)
