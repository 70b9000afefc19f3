"""Why runs start late, in words, and what mends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from task.clock import duration_text
from task.runs import LATE, Cause, Run
from task.stores import Statistics

__all__ = ["Delay", "cure_of", "delays_text", "is_late", "shares_of", "started_text"]

#: A task is late when one run in twenty starts so much after its slot, or after half of its `misfire_grace` if that is
#: less. Seconds.
MUCH = 10.0

#: So many runs have to tell it.
USUAL = 5

#: So many causes are named in a line.
NAMED = 4


class Delay(NamedTuple):
    """One cause of the delays of a task."""

    cause: str
    #: Over all the runs that are looked at.
    seconds: float
    #: Of all their delays together, from 0 to 1.
    share: float
    #: What mends it; empty where nothing of the task does.
    cure: str


def started_text(run: Run) -> str | None:
    """How much later than its slot a run has started, and why; None of one that was on time, or has not started.

    >>> import datetime
    >>> noon = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)
    >>> run = Run("sample", "schedule", noon, slot=noon)
    >>> run.begin_attempt(noon + datetime.timedelta(seconds=4.2))
    >>> run.delays = {"serial worker busy with 'report'": 4.0, "ledger": 0.2}
    >>> started_text(run)
    "Started 4.2 s late: 4.0 s serial worker busy with 'report', 200 ms ledger."
    """
    if run.started_at is None:
        return None
    late = run.lateness
    if late is None:  # by hand: it has waited since it was asked for
        waited = (run.started_at - run.queued_at).total_seconds()
        return f"Waited {duration_text(waited)}: {delays_text(run.delays)}." if run.delays else None
    if abs(late) <= LATE:
        return None
    when = f"{duration_text(abs(late))} {'late' if late > 0 else 'early'}"
    return f"Started {when}: {delays_text(run.delays)}." if run.delays else f"Started {when}."


def delays_text(delays: Mapping[str, float]) -> str:
    """The gravest causes, in a line.

    >>> delays_text({"clock step": 600.0, "ledger": 0.2})
    '10 min clock step, 200 ms ledger'
    """
    told = [f"{'-' if seconds < 0 else ''}{duration_text(abs(seconds))} {cause}" for cause, seconds in delays.items()]
    more = [f"{len(told) - NAMED} more"] if len(told) > NAMED else []
    return ", ".join([*told[:NAMED], *more])


def shares_of(delays: Mapping[str, float]) -> Iterator[Delay]:
    """The causes with their part in all of it, as they come.

    >>> [(delay.cause, delay.share) for delay in shares_of({"jitter": 3.0, "ledger": 1.0})]
    [('jitter', 0.75), ('ledger', 0.25)]
    """
    whole = sum(map(abs, delays.values()))
    for cause, seconds in delays.items():
        yield Delay(cause, seconds, abs(seconds) / whole if whole else 0.0, cure_of(cause) or "")


def is_late(figures: Statistics, grace: float) -> bool:
    """Whether so many runs of a task are late, by so much, that somebody should look at it."""
    late = figures.p95_lateness
    return late is not None and late > min(MUCH, grace / 2) and late > LATE and figures.sample >= USUAL


def cure_of(cause: str) -> str | None:
    """What mends a cause of delays; None for those that nothing of a task does: the machine slept, say.

    >>> cure_of("serial worker busy with 'report'")
    "Declare 'report' with threaded=True, or give it a pool of its own: on the serial worker each waits for the other."
    >>> cure_of("machine asleep") is None
    True
    """
    exact = _CURES.get(cause)
    if exact is not None:
        return exact
    if cause.startswith("serial worker busy"):
        who = cause.removeprefix("serial worker busy").removeprefix(" with ") or "those that take long"
        return (
            f"Declare {who} with threaded=True, or give it a pool of its own: on the serial worker each waits for the "
            "other."
        )
    if cause.startswith("event loop"):
        return "Await what takes long in that body, or move it to a thread with asyncio.to_thread."
    if cause.startswith("threads full"):
        return "Give the manager more max_workers, or those that take long a pool of their own."
    if cause.startswith("pool "):
        return "Make the pool larger, TaskManager(pools={...}), or give those that take long another one."
    if " has the mutex " in cause:
        return "Hold the mutex for less long, or move the schedules apart."
    return None


_CURES = {
    Cause.RUN_BEFORE: "Make its body shorter or its slots fewer; or let more of them run: max_concurrent=2.",
    Cause.ONLY_IF: "Let its conditions (only_if) answer sooner, or keep what they asked for.",
    Cause.LEDGER: "Look at the database of the store: whether it can be reached, how far it is, and what locks it.",
    Cause.LOOP: "Move apart what is due at one moment: jitter=, or other schedules.",
    Cause.PROCESSOR: "Give it more of the processor; let bodies that compute for long run in executor='process'.",
    Cause.NO_PROCESS: "Let more processes run the task, and stop those that run it in turn.",
}
