"""What mends a forecast in which something is full or waits: said with the names of those that are in the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from task.foresight.heat import number_text
from task.foresight.texts import share_text
from task.foresight.values import Forecast, PlaceForecast, TaskForecast
from task.overview import duration_text

__all__ = ["SATURATED", "Cure", "crowded_out", "cures"]

#: From this share on a place or a task counts as full.
SATURATED = 0.8

#: … and a task that skips slots as it runs still: from this share on its own body is why.
_OVERLAPPING = 0.5

#: A task that fills so much of a place is named.
_MOST = 0.25

#: Runs that wait for so long are told, also where a place is seldom full. Seconds.
_LONG = 60.0

#: What marks the places of a pool for coroutines.
_ON_LOOP = " (event loop)"

#: Why slots are skipped that a longer interval or more places would let run.
_FULL = ("already running", "one run waits already")
#: … and as a task with the same mutex runs: this in its reason.
_MUTEX = " has the mutex "


class Cure(NamedTuple):
    """Something that is full, or waited for too long, and what to do about it."""

    #: A place or a task: as in `PlaceForecast`, `TaskForecast`.
    what: str
    saturation: float
    text: str


def cures(forecast: Forecast) -> tuple[Cure, ...]:
    """What is full in a forecast (from 80 % on), or waited for too long, the fullest first, each with a cure.

    >>> import datetime
    >>> from task import TaskManager, every
    >>> from task.foresight import cures, forecast
    >>> manager = TaskManager([])
    >>> fetch = manager.add(print, every().minute, name="fetch")
    >>> report = manager.add(print, every().hour, name="report")
    >>> until = manager.clock.now() + datetime.timedelta(hours=12)
    >>> for cure in cures(forecast(manager, until, durations={"fetch": 1, "report": 600})):
    ...     print(cure.text)
    Up to 1 run waits for the serial worker, up to 10 min, as 'report' lasts 10 min. Give 'report' a place ...
    """
    span = (forecast.until - forecast.since).total_seconds()
    found = [*_of_places(forecast, span), *_of_tasks(forecast)]
    return tuple(sorted(found, key=lambda cure: -cure.saturation))


def crowded_out(task: TaskForecast) -> int:
    """How many of its slots come to nothing as other runs are in their way: not those that somebody wants skipped."""
    skipped = sum(count for reason, count in task.skips.items() if reason in _FULL or _MUTEX in reason)
    return skipped + task.states.get("missed", 0)


def _of_places(forecast: Forecast, span: float) -> Iterator[Cure]:
    for place in forecast.places:
        here = sorted((task for task in forecast.tasks if task.place == place.place), key=lambda task: -task.busy)
        if place.size is None or not here:
            continue
        if place.saturation >= SATURATED:
            told, first = _full(place, here[0], span), here[0]
        else:
            first = max(here, key=lambda task: task.duration)
            told = _waited_for(place, first, here)
        if told:
            yield Cure(place.place, place.saturation, f"{told} {_for_place(place, first)}")


def _full(place: PlaceForecast, first: TaskForecast, span: float) -> str:
    share = first.busy / (span * (place.size or 1))
    by = f", {share_text(share)} of its time by {first.task!r}" if share >= _MOST else ""
    waits = f"; up to {_runs(place)} for it" if place.most_waiting else ""
    name = _named(place.place)
    return f"{name[0].upper()}{name[1:]} is occupied for {share_text(place.saturation)} of the time{by}{waits}."


def _waited_for(place: PlaceForecast, longest: TaskForecast, here: Sequence[TaskForecast]) -> str:
    """Seldom full, and yet runs wait for long, or until their next slots have come, as one that lasts long is before
    them; empty where that is not so.
    """
    lateness = max(task.max_lateness or 0.0 for task in here)
    too_late = lateness >= _LONG or any(crowded_out(task) for task in here if task.max_lateness)
    if not place.most_waiting or not too_late or longest.duration < lateness / 2:
        return ""
    return (
        f"Up to {_runs(place)} for {_named(place.place)}, up to {duration_text(lateness)}, as {longest.task!r} lasts "
        f"{duration_text(longest.duration)}."
    )


def _runs(place: PlaceForecast) -> str:
    return "1 run waits" if place.most_waiting == 1 else f"{number_text(place.most_waiting)} runs wait"


def _named(place: str) -> str:
    if place == "threads":
        return "the pool of threads"
    return "the serial worker" if place == "serial worker" else f"the pool {place.removesuffix(_ON_LOOP)!r}"


def _for_place(place: PlaceForecast, first: TaskForecast) -> str:
    name = first.task
    if place.place == "serial worker":
        return (
            f"Give {name!r} a place of its own: threaded=True, or a pool: pool={name!r} and "
            f"TaskManager(pools={{{name!r}: 1}})."
        )
    if place.place == "threads":
        return f"Raise TaskManager(max_workers={place.size}), or give {name!r} a pool of its own: pool={name!r}."
    pool = place.place.removesuffix(_ON_LOOP)
    return f"Make that pool larger: TaskManager(pools={{{pool!r}: {2 * (place.size or 1)}}})."


def _of_tasks(forecast: Forecast) -> Iterator[Cure]:
    for task in forecast.tasks:
        skipped = sum(count for reason, count in task.skips.items() if reason in _FULL)
        if task.saturation < (_OVERLAPPING if skipped else SATURATED):
            continue
        told = f"{task.task!r} runs for {share_text(task.saturation)} of the time that its places have"
        told += f"; slots skipped as it runs still: {number_text(skipped)}." if skipped else "."
        yield Cure(
            task.task,
            task.saturation,
            f"{told} Give it fewer slots, a shorter body, or let more run: max_concurrent=2.",
        )
