"""What `explain` tells, as plain values, and what it is told from."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from task.clock import in_zone
from task.models import TaskFunction, TaskManager
from task.overview import moment_text, zone_of
from task.runs import Run
from task.schedules import Line, Zone

__all__ = ["TICK", "Case", "Explanation", "Reason", "Span", "Step"]

Moment = datetime.datetime

TICK = datetime.timedelta(microseconds=1)

#: What a reason is about, in the order in which they are told.
Step = Literal[
    "moment",
    "schedule",
    "clock",
    "process",
    "switch",
    "pause",
    "only_if",
    "guard",
    "misfire",
    "jitter",
    "claim",
    "lateness",
    "attempt",
    "outcome",
    "runs",
]


class Reason(NamedTuple):
    """One link of the chain."""

    step: Step
    #: Whether it lets the slot run; None where that is not known, or where it only tells.
    holds: bool | None
    text: str


class Explanation(NamedTuple):
    """Why a task runs at a moment, or does not."""

    task: str
    #: What was asked for (aware UTC).
    moment: Moment
    #: What is on record, a value of `task.RunState`; or ``would run``, ``would be skipped``, ``due`` (it has no outcome
    #: as yet), ``no slot``, ``no outcome`` (it should have one: what an audit finds), ``not known`` (dropped).
    verdict: str
    reasons: tuple[Reason, ...]
    #: The slot that is meant (aware UTC), and the run that is its outcome; None where there is none.
    slot: Moment | None = None
    run_id: str | None = None


class Span(NamedTuple):
    """One schedule of a task, and when it is in force: for slots later than *since*, and no later than *until*."""

    line: Line
    since: Moment
    until: Moment | None
    #: Whether its slots follow from the schedule alone; else from what ran before.
    owed: bool

    def has(self, slot: Moment) -> bool:
        """Whether it is in force for that slot."""
        return self.since < slot and (self.until is None or slot <= self.until)

    def first_in(self, start: Moment, end: Moment) -> Moment | None:
        """Its first slot from *start* on and before *end*."""
        slot = self.line.after(max(start - TICK, self.since)) if self.owed else None
        return slot if slot is not None and slot < end and self.has(slot) else None


@dataclasses.dataclass(frozen=True)
class Case:
    """One question, and what is known of it."""

    manager: TaskManager
    name: str
    #: None of a task that is on record, but not in the code here.
    task: TaskFunction[..., Any] | None
    now: Moment
    #: What was asked for, and for how long that lasts: ``02:30`` is a minute.
    moment: Moment
    width: datetime.timedelta
    #: The schedules that were ever in force.
    spans: Sequence[Span]
    #: All that is on record of its slots.
    rows: Sequence[Run]
    #: The next slot that is planned.
    planned: Moment | None
    #: The slot that is meant; None: there is none then.
    slot: Moment | None
    #: Its outcome.
    row: Run | None

    @property
    def zone(self) -> Zone:
        """In which moments are told: that of the first schedule that has one, else that of this process."""
        zones = [zone_of(span.line.job) for span in self.spans if span.until is None]
        return next((zone for zone in zones if zone is not None), None)

    def text(self, moment: Moment | None) -> str:
        """A moment, for people."""
        if moment is None:
            return "a moment that is not known"
        return moment_text(in_zone(moment, self.zone).replace(microsecond=0))
