"""A run as a row of the database, and a row as a run."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from typing import Any

from task.runs import NO_DELAYS, Attempt, LogLine, Run, RunLog, RunState, new_id
from task.stores.sql.page import Row
from task.stores.values import Limits

__all__ = [
    "delays_of",
    "delays_text",
    "facts_of",
    "from_micros",
    "lines_from",
    "lines_of",
    "micros_of",
    "missed_row",
    "moment_of",
    "rerun_row",
    "row_of",
    "run_of",
    "sync",
    "to_micros",
]

Moment = datetime.datetime

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)

#: More places of a task than this are as many as this: the largest number of the column.
MOST_PLACES = 2**31 - 1

#: How much of the parameters of a run is kept. Characters; with more it cannot be run by another process.
PARAMETERS_LIMIT = 64_000


def micros_of(moment: Moment) -> int:
    """A moment that there must be, as the database keeps it."""
    return (moment - _EPOCH) // _MICROSECOND


def to_micros(moment: Moment | None) -> int | None:
    """A moment as the database keeps it."""
    return None if moment is None else micros_of(moment)


def from_micros(micros: int | None) -> Moment | None:
    """And back."""
    return None if micros is None else _EPOCH + datetime.timedelta(microseconds=micros)


def row_of(run: Run, limits: Limits, namespace: str, scope: str) -> Row:
    """The row of a run that is about to be admitted."""
    parameters, portable = _parameters_of(run)
    slot = to_micros(run.slot)
    return {
        "id": run.id,
        "namespace": namespace,
        "task": run.task,
        "scope": scope,
        "epoch": 0,
        "slot": slot,
        "last_at": slot,
        "count": 1,
        "before": None,
        "trigger": run.trigger,
        "state": str(run.state),
        "place": 0,
        "max_concurrent": min(limits.max_concurrent, MOST_PLACES),
        "overlap": limits.overlap,
        "mutex": limits.mutex,
        "reason": run.reason,
        "queued_at": to_micros(run.queued_at),
        "next_at": to_micros(run.queued_at),
        "started_at": to_micros(run.started_at),
        "finished_at": to_micros(run.finished_at),
        "delays": delays_text(run),
        "attempt": run.attempt,
        "attempt_started_at": to_micros(run.attempt_started_at),
        "attempts": None,
        "error": run.error,
        "traceback": run.traceback,
        "result": run.result_text,
        "result_is_json": int(run.result_is_json),
        "progress": run.progress,
        "message": run.message or None,
        "parameters": parameters,
        "declared": int(run.declared),
        "portable": int(portable and run.trigger != "call"),
        "rerun": int(limits.on_lost == "rerun"),
        "reruns": 0,
        "inputs": None,
        "parent_id": run.parent_id,
        "owner": run.owner,
        "token": 0,
        "host": None,
        "process": None,
        "thread": None,
        "asked": None,
        "traceparent": None,
        "aside": None,
        "changed": 0,
    }


def missed_row(task: Row, reason: str, now: int) -> Row:
    """The row of a span that nothing ran."""
    run = Run(task["name"], "schedule", moment_of(now), state=RunState.MISSED)
    run.identify(new_id(moment_of(now - 1)))  # before the run with whose claim it is found
    run.reason = reason
    return row_of(run, Limits(), task["namespace"], task["scope"])


def rerun_row(lost: Row, now: int) -> Row:
    """The row of the run that takes the place of one whose process died."""
    run = Run(lost["task"], "rerun", moment_of(now), parent_id=lost["id"])
    row = row_of(run, Limits(), lost["namespace"], lost["scope"])
    kept = ("max_concurrent", "overlap", "mutex", "parameters", "declared", "portable", "rerun", "inputs")
    return row | {name: lost[name] for name in kept} | {"reruns": lost["reruns"] + 1}


def _parameters_of(run: Run) -> tuple[str | None, bool]:
    """The parameters as text, secrets masked; whether a process with the same code can run it from there."""
    shown = run.masked if run.redactor is not None else run.parameters
    if not shown:
        return None, True
    text, whole = _as_json(dict(shown))
    return text, run.declared or (whole and run.redactor is None)


def _as_json(values: Mapping[str, Any]) -> tuple[str | None, bool]:
    """Values as JSON, and whether they come back from it as they are."""
    try:
        text = json.dumps(values, allow_nan=False)
        if len(text) <= PARAMETERS_LIMIT:
            return text, bool(json.loads(text) == values)
    except Exception:  # a value of the user's own that raises whatever it likes
        pass
    try:
        shown = {name: repr(value)[:200] for name, value in values.items()}
        return json.dumps(shown)[:PARAMETERS_LIMIT] if len(shown) <= 100 else None, False
    except Exception:
        return None, False


def facts_of(run: Run) -> Row:
    """The columns that change while a run is under way, and at its end."""
    return {
        "error": run.error,
        "traceback": run.traceback,
        "attempts": _attempts_text(run),
        "result": run.result_text,
        "result_is_json": int(run.result_is_json),
        "progress": run.progress,
        "message": run.message or None,
        "host": run.host,
        "process": run.process,
        "thread": run.thread,
    }


def _attempts_text(run: Run) -> str | None:
    ended = run.ended_attempts()
    if not ended:
        return None
    return json.dumps(
        [[one.number, to_micros(one.started_at), to_micros(one.finished_at), one.error, one.traceback] for one in ended]
    )


def delays_text(run: Run) -> str | None:
    """What a run was delayed by, as text."""
    return json.dumps(dict(run.delays)) if run.delays else None


def delays_of(text: str | None) -> Mapping[str, float]:
    """And back. What is none of ours tells nothing."""
    if text is None:
        return NO_DELAYS
    try:
        told = json.loads(text)
        return {cause: float(told[cause]) for cause in told if math.isfinite(told[cause])}
    except (ValueError, TypeError, RecursionError, OverflowError):
        return NO_DELAYS


def lines_of(run: Run) -> str:
    """The log of a run as text."""
    return json.dumps([[to_micros(line.at), line.level, line.logger, line.message] for line in run.log])


def lines_from(text: str, dropped: int) -> RunLog:
    """And back."""
    kept = [LogLine(moment_of(at), level, name, message) for at, level, name, message in json.loads(text)]
    return RunLog.of(kept, dropped)


def moment_of(micros: int) -> Moment:
    """A moment that there must be."""
    return _EPOCH + datetime.timedelta(microseconds=micros)


def run_of(row: Row) -> Run:
    """The run that a row tells of. Raises `ValueError`, `KeyError` or `TypeError` for one that is unreadable."""
    parameters = None if row["parameters"] is None else json.loads(row["parameters"])
    if not isinstance(parameters, dict | None):
        raise TypeError("its parameters have no names")
    run = Run(
        row["task"],
        row["trigger"],
        moment_of(row["queued_at"]),
        slot=from_micros(row["slot"]),
        parameters=parameters,
        state=RunState(row["state"]),
        parent_id=row["parent_id"],
    )
    run.identify(row["id"])
    sync(run, row)
    return run


def sync(run: Run, row: Row) -> None:
    """Bring a run up to what its row says."""
    state = RunState(row["state"])
    run.last_at, run.epoch = from_micros(row["last_at"]), row["epoch"]
    run.stands_for(row["count"])
    run.reason, run.error, run.traceback = row["reason"], row["error"], row["traceback"]
    run.started_at, run.finished_at = from_micros(row["started_at"]), from_micros(row["finished_at"])
    run.delays = delays_of(row["delays"])
    run.attempt, run.attempt_started_at = row["attempt"], from_micros(row["attempt_started_at"])
    run.recall_attempts([] if row["attempts"] is None else _attempts_of(row["attempts"]))
    run.progress, run.message = row["progress"], row["message"] or ""
    run.result_text, run.result_is_json = row["result"], bool(row["result_is_json"])
    run.process, run.thread = row["process"], row["thread"]
    if row["host"]:
        run.host = row["host"]
    run.owner, run.token, run.next_at = row["owner"], row["token"], from_micros(row["next_at"])
    run.waiting, run.declared = row["place"] == 2, bool(row["declared"])
    run.overrunning = state.final and row["place"] == 1
    run.aside = None if row["aside"] is None else json.loads(row["aside"])
    if state is RunState.SUCCEEDED and run.result_text is None:
        run.keep_value(None)
    elif state is RunState.SUCCEEDED and run.result_is_json:
        run.keep_value(json.loads(run.result_text or "null"))
    run.state = state  # last: who sees a final state, in another thread, sees what belongs to it


def _attempts_of(text: str) -> list[Attempt]:
    return [
        Attempt(number, from_micros(started), from_micros(finished), error, traceback)
        for number, started, finished, error, traceback in json.loads(text)
    ]
