"""What a module declares, found by a process of its own, in which it meets no other module of its name."""

from __future__ import annotations

import bisect
import contextlib
import datetime
import itertools
import json
import os
import subprocess
import sys
from typing import Any

import schedule

from task.cli.group import Refusal
from task.cli.source import load_manager
from task.errors import DeclarationError, ScheduleError, TaskError
from task.foresight.declared import DeclaredTask, declared_tasks
from task.models import TaskManager
from task.schedules import Line, live_copy, schedule_from_words, walk, words

__all__ = ["declared_apart", "load_stopped", "tell_declared"]

Moment = datetime.datetime

#: A module has so long to be imported. Seconds.
PATIENCE = 300.0

#: So many slots of a schedule of the user's own are told from process to process.
MOST_SLOTS = 100_000

_PROGRAM = "from task.cli.apart import tell_declared; tell_declared()"


class _ToldJob(schedule.Job):
    """A schedule of the user's own, of which another process has told the slots."""

    def __init__(self, slots: list[Moment]) -> None:
        super().__init__(1, schedule.default_scheduler)
        self.unit = "own"
        self.slots = slots

    def next_slot(self, after: Moment) -> Moment | None:
        """The first of them that is later."""
        index = bisect.bisect_right(self.slots, after)
        return self.slots[index] if index < len(self.slots) else None


def load_stopped(target: str | None, store: str | None = None, namespace: str | None = None) -> TaskManager:
    """`load_manager`, of a module that starts nothing when it is imported; what that prints goes to stderr.

    Raises `DeclarationError` for one that does.
    """
    with contextlib.redirect_stdout(sys.stderr):
        manager = load_manager(target, store, namespace)
    if manager.state in ("starting", "running"):
        manager.stop(0)
        raise DeclarationError(
            f"{target!r} starts its manager when it is imported: its tasks would run, and not only be foreseen. Put "
            "manager.run() below: if __name__ == '__main__'."
        )
    return manager


def declared_apart(target: str, since: Moment, until: Moment) -> list[DeclaredTask]:
    """What the manager of *target* declares, which is imported by a process of its own.

    Raises `Refusal` for one that cannot be.
    """
    command = [sys.executable, "-c", _PROGRAM, target, since.isoformat(), until.isoformat()]
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise Refusal(f"{target!r} was not imported within {PATIENCE:.0f} seconds.") from None
    told = _told(ended.stdout)
    if told is None:
        last = ended.stderr.strip().rpartition("\n")[2]
        raise Refusal(f"The process that imported {target!r} ended with {ended.returncode}: {last[-500:]}")
    if "refused" in told:
        raise Refusal(str(told["refused"]))
    return [_decoded(one) for one in told["tasks"]]


def _told(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def tell_declared() -> None:
    """The other process: writes what it finds to stdout, where nothing that the module prints gets."""
    target, since, until = sys.argv[1:]
    answer = os.dup(1)
    os.dup2(2, 1)
    try:
        found = declared_tasks(load_stopped(target))
        told: dict[str, Any] = {"tasks": [_encoded(task, since, until) for task in found]}
    except TaskError as error:
        told = {"refused": str(error)}
    with os.fdopen(answer, "w", encoding="utf-8") as file:
        json.dump(told, file)


def _encoded(task: DeclaredTask, since: str, until: str) -> dict[str, Any]:
    start = None if task.start is None else task.start.isoformat()
    span = datetime.datetime.fromisoformat(since), datetime.datetime.fromisoformat(until)
    return {**task._asdict(), "start": start, "jobs": [_encoded_job(job, task.name, *span) for job in task.jobs]}


def _encoded_job(job: schedule.Job, name: str, since: Moment, until: Moment) -> str | list[str]:
    try:
        return words(job)
    except ScheduleError:
        slots = walk([Line(live_copy(job, name, ()), since, name)], since, until)
        found = [slot.isoformat() for slot in itertools.islice(slots, MOST_SLOTS + 1)]
        if len(found) > MOST_SLOTS:
            raise ScheduleError(
                f"Task {name!r}: a schedule of your own has more than {MOST_SLOTS:,} slots in that time. "
                "Compare a shorter one."
            ) from None
        return found


def _decoded(told: dict[str, Any]) -> DeclaredTask:
    start = None if told["start"] is None else datetime.datetime.fromisoformat(told["start"])
    jobs = tuple(_decoded_job(one) for one in told["jobs"])
    return DeclaredTask(**{**told, "schedules": tuple(told["schedules"]), "start": start, "jobs": jobs})


def _decoded_job(told: str | list[str]) -> schedule.Job:
    if isinstance(told, str):
        return schedule_from_words(told)
    return _ToldJob([datetime.datetime.fromisoformat(slot) for slot in told])
