"""What a manager does, as lines: one for each event."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator
from typing import Any

from task.cli.texts import as_json
from task.clock import in_zone
from task.events import signals
from task.log import printable
from task.models import TaskManager
from task.overview import delays_text, duration_text
from task.runs import Run

__all__ = ["telling_events", "telling_json"]

Moment = datetime.datetime

#: A run that starts so much later than its slot is called late. Seconds.
LATE = 1.0


@contextlib.contextmanager
def telling_events(manager: TaskManager, say: Callable[[str], None], *, briefly: bool = False) -> Iterator[None]:
    """Inside of it *say* gets a line, which a terminal may show, for each thing that the manager does.

    *briefly*: with the time alone, and only how runs end.
    """
    form = "%H:%M:%S" if briefly else "%Y-%m-%d %H:%M:%S"

    def receiver_of(text_of: Callable[..., str]) -> Callable[..., None]:
        def receive(sender: TaskManager, **carried: Any) -> None:
            now = in_zone(sender.clock.now())
            say(printable(f"{now:{form}} {text_of(**carried)}"))

        return receive

    receivers = {signals[name]: receiver_of(text_of) for name, text_of in _TEXTS.items()}
    if briefly:
        del receivers[signals["run-started"]], receivers[signals["run-retrying"]]
    for signal, receiver in receivers.items():
        signal.connect(receiver, manager, weak=False)
    try:
        yield
    finally:
        for signal, receiver in receivers.items():
            signal.disconnect(receiver, manager)


@contextlib.contextmanager
def telling_json(manager: TaskManager, say: Callable[[str], None]) -> Iterator[None]:
    """Inside of it *say* gets a JSON object, on one line, for each thing that the manager does, and for its states."""

    def receiver_of(name: str) -> Callable[..., None]:
        def receive(sender: TaskManager, **carried: Any) -> None:
            told = {key: _as_told(value) for key, value in carried.items()}
            say(as_json({"event": name, "at": sender.clock.now(), **told}, indent=None))

        return receive

    receivers = {signals[name]: receiver_of(name) for name in (*_TEXTS, "manager-state-changed")}
    for signal, receiver in receivers.items():
        signal.connect(receiver, manager, weak=False)
    try:
        yield
    finally:
        for signal, receiver in receivers.items():
            signal.disconnect(receiver, manager)


def _as_told(value: Any) -> Any:
    if isinstance(value, Run):
        return value.as_dict()
    return str(value) if isinstance(value, BaseException) else value


def _started(run: Run) -> str:
    attempt = f", attempt {run.attempt}" if run.attempt > 1 else ""
    seconds = run.lateness or 0.0
    why = f" ({delays_text(run.delays)})" if run.delays else ""
    late = f", {duration_text(seconds)} late{why}" if run.attempt <= 1 and seconds >= LATE else ""
    return f"{run.task} started: {run.trigger}{late}{attempt} ({run.id})"


def _retrying(run: Run, seconds: float) -> str:
    return f"{run.task} failed in attempt {run.attempt}, the next follows in {duration_text(seconds)}{_why(run)}"


def _ended(run: Run) -> str:
    took = "" if run.duration is None else f" after {duration_text(run.duration)}"
    return f"{run.task} {str(run.state).replace('_', ' ')}{took}{_why(run)}"


def _why(run: Run) -> str:
    said = run.reason or run.error
    return f": {said}" if said else ""


def _refused(run: Run) -> str:
    return f"{run.task} skipped{_why(run)}"


def _missed(name: str, slot: Moment, reason: str) -> str:
    return f"{name} missed its slot of {in_zone(slot):%Y-%m-%d %H:%M:%S}: {reason}"


def _overrunning(run: Run) -> str:
    return f"{run.task} goes on past its time limit, and cannot be stopped ({run.id})"


def _overdue(name: str, run: Run) -> str:
    return f"{name} waits for a place for longer than its misfire_grace ({run.id})"


def _disabled(name: str, note: str | None) -> str:
    return f"{name} disabled{f': {note}' if note else ''}"


#: What is told of each signal.
_TEXTS: dict[str, Callable[..., str]] = {
    "run-started": _started,
    "run-retrying": _retrying,
    "run-succeeded": _ended,
    "run-failed": _ended,
    "run-cancelled": _ended,
    "run-timed-out": _ended,
    "run-lost": _ended,
    "run-skipped": _refused,
    "run-missed": _missed,
    "run-overrunning": _overrunning,
    "task-overdue": _overdue,
    "task-enabled": lambda name: f"{name} enabled",
    "task-disabled": _disabled,
    "clock-stepped": lambda seconds: (
        f"The clock was set {'forward' if seconds > 0 else 'back'} by {abs(seconds):.1f} s"
    ),
    "store-failed": lambda cause: f"The store cannot be reached: {cause}",
    "store-recovered": lambda: "The store can be reached again",
}
