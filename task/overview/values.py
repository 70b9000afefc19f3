"""What people see of tasks, as plain values."""

from __future__ import annotations

import datetime
from typing import Literal, NamedTuple

__all__ = [
    "Bar",
    "Cell",
    "Lane",
    "Outcome",
    "Point",
    "Problem",
    "ScheduleText",
    "TaskCard",
    "TaskPage",
    "Timeline",
    "Upcoming",
]

Moment = datetime.datetime

#: What a task does now; what is worst comes first.
Doing = Literal["broken", "running", "retrying", "queued", "paused", "disabled", "idle"]


class Cell(NamedTuple):
    """One cell of a task's strip: a slot, or several that were skipped or missed for one reason, or a run by hand."""

    run_id: str
    #: The state of its run.
    state: str
    #: Its slot, or when it was queued.
    at: Moment
    #: Seconds; None of one that never started or has not ended.
    duration: float | None
    #: For how many slots it stands.
    count: int  # type: ignore[assignment]  # a field in the place of what a tuple has


class Outcome(NamedTuple):
    """How the last run of a task ended."""

    run_id: str
    state: str
    at: Moment
    #: Seconds.
    duration: float | None
    #: The error, or the reason.
    text: str | None


class Problem(NamedTuple):
    """Something that wants somebody's attention, and what to do."""

    #: ``broken``, ``orphaned``, ``lost``, ``failing``, ``overrunning``, ``overdue``, ``late`` or ``never`` (its
    #: schedules are over); or of the manager: ``stopped``, ``unhealthy``.
    kind: str
    #: None where it is the manager's.
    task: str | None
    #: What is wrong, in one sentence; what helps, in another.
    text: str
    remedy: str
    #: The run that shows it, if there is one.
    run_id: str | None = None
    #: Since when it is an open incident, of which somebody was told; None where it is none.
    since: Moment | None = None


class ScheduleText(NamedTuple):
    """One schedule of a task, as people read it, and as it is written."""

    #: ``every day at 02:00``.
    text: str
    #: ``0 2 * * *``, or what `task.words` tells.
    source: str
    #: Its time zone; None: that of the process, or none is needed.
    zone: str | None


class TaskCard(NamedTuple):
    """One task or recurring entry, as it stands now."""

    name: str
    #: From its docstring.
    description: str
    tags: tuple[str, ...]
    #: The task whose body it runs, of a recurring entry; None of a task.
    entry_of: str | None
    schedules: tuple[ScheduleText, ...]
    doing: Doing
    #: Its switch: why it is off, until when, and who turned it last.
    enabled: bool
    note: str | None
    until: Moment | None
    by: str | None
    next_run: Moment | None
    #: Of the run under way: its id, percent and what it said.
    run_id: str | None
    progress: float | None
    message: str
    last: Outcome | None
    #: The newest 60 slots and runs, oldest first.
    strip: tuple[Cell, ...]
    #: Over the runs of the strip. Seconds; None without any.
    p50_duration: float | None
    p95_duration: float | None
    p50_lateness: float | None
    p95_lateness: float | None
    #: Counts of all time.
    runs: int
    failures: int
    consecutive_failures: int
    skips: int
    problems: tuple[Problem, ...]


class TaskPage(NamedTuple):
    """Some tasks, by their names."""

    cards: tuple[TaskCard, ...]
    #: How many there are of what was asked for, on all pages.
    total: int
    #: The name after which the next page begins; None: this is the last one.
    cursor: str | None
    #: Of all tasks: how many have each tag, and how many do what (`TaskCard.doing`; ``failing`` beside that).
    tags: dict[str, int]
    doing: dict[str, int]
    #: Whether all tasks are paused.
    paused: bool


class Upcoming(NamedTuple):
    """A slot that is to come."""

    task: str
    at: Moment
    #: As its newest runs took, at the median. Seconds; None of one that never ran.
    duration: float | None
    #: Its wall time is one that the clock change skips (``gap``) or repeats (``repeated``).
    clock_change: Literal["gap", "repeated"] | None
    #: In the zone of its schedule, for people: ``Sun 25 Oct 2026 02:30 CEST``.
    local: str


class Bar(NamedTuple):
    """One run on a timeline, or a slot that is expected."""

    #: None of one that is expected.
    run_id: str | None
    #: The state of the run, or ``expected``.
    state: str
    start: Moment
    end: Moment


class Lane(NamedTuple):
    """One task on a timeline."""

    task: str
    bars: tuple[Bar, ...]
    #: Whether there is more than is shown.
    more: bool


class Timeline(NamedTuple):
    """What ran and what is to come, side by side."""

    since: Moment
    now: Moment
    until: Moment
    lanes: tuple[Lane, ...]
    #: Spans in which more than one body ran or is expected to, and how many.
    overlaps: tuple[tuple[Moment, Moment, int], ...]


class Point(NamedTuple):
    """One run, for a plot."""

    run_id: str
    at: Moment
    state: str
    #: Seconds.
    duration: float | None
    lateness: float | None
