"""What a forecast tells, as plain values."""

from __future__ import annotations

import datetime
import types
from collections.abc import Mapping
from typing import Literal, NamedTuple

__all__ = ["Collision", "Forecast", "Hour", "Night", "PlaceForecast", "PredictedRun", "TaskForecast"]

Moment = datetime.datetime


class PredictedRun(NamedTuple):
    """One run, or one refusal, as it would be recorded."""

    task: str
    #: None of a run that no slot has begun: after another task, or at the start.
    slot: Moment | None
    started_at: Moment | None
    finished_at: Moment | None
    #: The value of a `task.RunState`.
    state: str
    #: Why it was skipped or missed.
    reason: str | None
    attempts: int
    #: For how many slots it stands.
    count: int  # type: ignore[assignment]  # a field in the place of what a tuple has


class Night(NamedTuple):
    """A slot in a night in which the clock changes."""

    at: Moment
    #: Its wall time is one that the clock skips (``gap``) or repeats (``repeated``).
    clock_change: Literal["gap", "repeated"]
    #: In the zone of its schedule, for people: ``Sun 25 Oct 2026 02:30 CEST``.
    local: str


class TaskForecast(NamedTuple):
    """What one task will do."""

    task: str
    #: Where its bodies run: the name of a `PlaceForecast`.
    place: str
    #: Slots that come due.
    slots: int
    #: Runs, skips and misses by the value of their `task.RunState`; one that is under way at the end is ``running``.
    states: Mapping[str, int]
    #: Slots that are refused, by the reason.
    skips: Mapping[str, int]
    #: Runs that have to wait for a place, a guard or another process.
    waited: int
    #: How late its runs start. Seconds; None where none starts.
    p50_lateness: float | None
    p95_lateness: float | None
    max_lateness: float | None
    #: For how long its bodies run, together. Seconds.
    busy: float
    #: That, as a share of the whole time that its places (``max_concurrent``) have: 1.0 is no gap between its runs.
    saturation: float
    #: What was assumed of a body: seconds at the median, and the share of attempts that fail.
    duration: float
    failure_rate: float
    #: From how many runs on record that comes: 0, where it was given or nothing is known.
    sample: int
    #: Slots in nights in which the clock changes.
    nights: tuple[Night, ...]
    #: Why it has no slot in this time, or never again, or why all of them are refused; None where some run.
    never: str | None
    #: What its runs were late for, in seconds over all of them, the gravest first; of very many, as a sample tells.
    delays: Mapping[str, float] = types.MappingProxyType({})


class PlaceForecast(NamedTuple):
    """What one executor will do."""

    #: ``serial worker``, ``threads``, a pool's name, ``event loop``, ``processes``.
    place: str
    #: How many bodies run there at once; None: without a bound.
    size: int | None
    #: The share of its time that it is occupied: 1.0 is always, everywhere.
    saturation: float
    #: The most runs that wait for it at once.
    most_waiting: int


class Collision(NamedTuple):
    """Slots that fall on one moment, or bodies that run at once: where it is worst."""

    at: Moment
    tasks: tuple[str, ...]
    #: How often just these tasks come due together in the time of the forecast.
    times: int


class Hour(NamedTuple):
    """One hour of the forecast."""

    at: Moment
    #: Runs that start in it.
    starts: int
    #: Seconds of bodies in it.
    busy: float
    #: Runs that start more than a second late in it.
    late: int
    #: Runs that fail or time out, and slots that are skipped, missed or lost.
    failed: int
    refused: int


class Forecast(NamedTuple):
    """The days to come, as they would be with these durations and failures."""

    since: Moment
    until: Moment
    seed: int
    tasks: tuple[TaskForecast, ...]
    places: tuple[PlaceForecast, ...]
    #: Each hour that the clock shows here, from that of *since* on, also those in which nothing runs.
    hours: tuple[Hour, ...]
    #: The most frequent first, at most 20.
    collisions: tuple[Collision, ...]
    #: The minute in which most runs start: when, and how many; None where none does.
    worst_minute: tuple[Moment, int] | None
    #: The most bodies that run at once, and since when.
    most_at_once: tuple[Moment, int] | None
    #: What was taken to be so, beside durations and failures, in a sentence each: conditions that were not asked, say.
    assumed: tuple[str, ...]
    #: Every run in the order of its start, where they were asked for (``keep_runs=True``).
    runs: tuple[PredictedRun, ...]
