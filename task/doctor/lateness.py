"""The check of lateness: which tasks start late, what has delayed them, and what helps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from task.clock import duration_text
from task.doctor.values import Diagnosis
from task.models import TaskManager
from task.overview import Overview, cure_of, delays_text, is_late
from task.runs import Cause
from task.stores import Standing, Statistics

__all__ = ["checks_of_lateness"]

#: So many tasks are looked at, and so many that are late are told one by one.
TASKS, TOLD = 500, 20

#: The grace of a task whose code is not here. Seconds.
GRACE = 60.0

#: What no task is to blame for.
_CURES = {
    Cause.ASLEEP: "Keep the machine awake (its power settings, systemd-inhibit); misfire= says what becomes of slots.",
    Cause.STEP: "Let the clock be slewed, not set (chrony, systemd-timesyncd).",
    Cause.ASLEEP_OR_STEP: "Keep the machine awake, and let its clock be slewed, not set (chrony, systemd-timesyncd).",
    Cause.NOT_RUNNING: "Restart faster, or let another process on the store run the tasks meanwhile.",
}


def checks_of_lateness(
    manager: TaskManager, overview: Overview, standing: Mapping[str, Standing]
) -> Iterator[Diagnosis]:
    """Those that are late, the latest first; or that none is."""
    figures = overview.figures(dict(itertools.islice(standing.items(), TASKS)))
    late = [one for name, one in figures.items() if is_late(one, _grace(manager, name))]
    late.sort(key=_usual, reverse=True)
    for one in late[:TOLD]:
        yield _diagnosis(one)
    if len(late) > TOLD:
        yield Diagnosis(
            "lateness", "warning", f"{len(late) - TOLD} more tasks start late.", "Look at the others first."
        )
    if not late:
        yield Diagnosis("lateness", "well", "Of no task one run in 20 starts 10 seconds late, or later.", "")


def _grace(manager: TaskManager, name: str) -> float:
    return manager[name].spec.misfire_grace if name in manager else GRACE


def _usual(one: Statistics) -> float:
    return one.p95_lateness or 0.0


def _diagnosis(one: Statistics) -> Diagnosis:
    found = f"Task {one.task!r} starts late, one run of 20 by {duration_text(_usual(one))} or more"
    cause = next(iter(one.delays), "")
    cure = cure_of(cause) or _CURES.get(cause) or f"See what each of its runs tells: python -m task explain {one.task}."
    told = f": of its last {one.sample} runs {delays_text(one.delays)}" if one.delays else ""
    return Diagnosis("lateness", "warning", f"{found}{told}.", cure)
