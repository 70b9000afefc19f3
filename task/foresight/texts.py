"""What a forecast says, in the words that every way to show it uses."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from task.clock import in_zone
from task.foresight.heat import number_text
from task.foresight.values import Collision, Forecast, TaskForecast
from task.overview import duration_text

__all__ = [
    "LATE",
    "NIGHTS",
    "assumed_text",
    "at_once_text",
    "collision_text",
    "failed",
    "lateness_text",
    "moment_text",
    "ran",
    "refused",
    "refused_text",
    "share_text",
    "size_text",
    "summary",
    "worst_first",
    "worst_minute_text",
]

#: A run that starts so much after its slot is late. Seconds.
LATE = 1.0

#: What the clock does in the nights of `Night.clock_change`.
NIGHTS = {"gap": "the clock skips this time", "repeated": "the clock repeats this time"}

_REFUSED = ("skipped", "missed")
_FAILED = ("failed", "timed_out", "lost")

#: So many tasks of a collision are named.
_NAMED = 6


def ran(task: TaskForecast) -> int:
    """How many runs it has, however they end."""
    return sum(count for state, count in task.states.items() if state not in _REFUSED)


def failed(task: TaskForecast) -> int:
    """How many of them fail, time out or are lost."""
    return sum(task.states.get(state, 0) for state in _FAILED)


def refused(task: TaskForecast) -> int:
    """How many of its slots are skipped or missed."""
    return sum(task.states.get(state, 0) for state in _REFUSED)


def worst_first(tasks: Iterable[TaskForecast]) -> list[TaskForecast]:
    """Those first of which most goes wrong; then the most occupied, the latest, those that run most."""
    return sorted(
        tasks,
        key=lambda task: (refused(task) + failed(task), task.saturation, task.max_lateness or 0.0, ran(task)),
        reverse=True,
    )


def refused_text(task: TaskForecast) -> str:
    """How many of its slots are refused, and why: ``30 already running, 1 disabled``; empty where none is."""
    reasons = sorted(task.skips.items(), key=lambda one: -one[1])[:_NAMED]
    missed = task.states.get("missed", 0)
    other = task.states.get("skipped", 0) - sum(count for _, count in reasons)
    told = [(count, reason) for reason, count in reasons] + [(missed, "missed"), (other, "for other reasons")]
    return ", ".join(f"{number_text(count)} {reason}" for count, reason in told if count > 0)


def lateness_text(seconds: float | None) -> str:
    """How late, for people; empty where it is on time, or where nothing starts."""
    return "" if seconds is None or seconds < LATE else duration_text(seconds)


def share_text(share: float) -> str:
    """A share in percent: ``97 %``, ``0.3 %``."""
    percent = share * 100
    if 0 < percent < 0.05:
        return "< 0.1 %"
    return f"{percent:.1f} %" if 0 < percent < 9.95 else f"{percent:.0f} %"


def size_text(size: int | None) -> str:
    """How many bodies a place takes at once."""
    return "no bound" if size is None else number_text(size)


def assumed_text(task: TaskForecast) -> str:
    """What was assumed of its bodies: ``3.5 s, 5.0 % fail (48 runs)``."""
    source = "assumed" if task.sample == 0 else f"{number_text(task.sample)} {'run' if task.sample == 1 else 'runs'}"
    fail = f", {share_text(task.failure_rate)} fail" if task.failure_rate else ""
    return f"{duration_text(task.duration)}{fail} ({source})"


def moment_text(moment: datetime.datetime) -> str:
    """A moment in the zone of this process: ``Sun 25 Oct 2026 02:30``; with seconds where there are any."""
    local = in_zone(moment)
    seconds = f":{local:%S}" if local.second else ""
    return f"{local:%a} {local.day} {local:%b %Y %H:%M}{seconds}"


def summary(forecast: Forecast) -> str:
    """The whole in one line."""
    runs, fails = sum(map(ran, forecast.tasks)), sum(map(failed, forecast.tasks))
    slots = sum(map(refused, forecast.tasks))
    late = sum(hour.late for hour in forecast.hours)
    told = [f"{number_text(runs)} {'run' if runs == 1 else 'runs'} of {_tasks(len(forecast.tasks))}"]
    told += [f"{number_text(late)} late"] if late else []
    told += [f"{number_text(fails)} {'fails' if fails == 1 else 'fail'}"] if fails else []
    told += [f"{number_text(slots)} {'slot' if slots == 1 else 'slots'} refused"] if slots else []
    return f"{moment_text(forecast.since)} to {moment_text(forecast.until)}: {', '.join(told)}"


def _tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{number_text(count)} tasks"


def worst_minute_text(forecast: Forecast) -> str | None:
    """The minute in which most runs start."""
    if forecast.worst_minute is None:
        return None
    at, count = forecast.worst_minute
    return f"{moment_text(at)}: {number_text(count)} {'run starts' if count == 1 else 'runs start'} in that minute"


def at_once_text(forecast: Forecast) -> str | None:
    """The most bodies that run at once."""
    if forecast.most_at_once is None:
        return None
    at, count = forecast.most_at_once
    return f"{moment_text(at)}: {number_text(count)} {'body runs' if count == 1 else 'bodies run'} at once"


def collision_text(collision: Collision) -> str:
    """Which tasks come due together."""
    named = ", ".join(collision.tasks[:_NAMED])
    rest = len(collision.tasks) - _NAMED
    return named + (f" and {rest} more" if rest > 0 else "")
