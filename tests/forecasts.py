"""A forecast that was made by hand: with all that one may tell, and as many days as are wanted."""

from __future__ import annotations

import datetime

from task.foresight import Collision, Forecast, Hour, Night, PlaceForecast, TaskForecast

__all__ = ["a_forecast", "a_task"]

UTC = datetime.UTC

#: The Monday before the night in which Europe's clocks go back.
SINCE = datetime.datetime(2026, 10, 19, tzinfo=UTC)


def a_task(name: str, place: str = "serial worker", **other: object) -> TaskForecast:
    """A task of which nothing much is to be told, but for *other*."""
    quiet = TaskForecast(
        task=name,
        place=place,
        slots=168,
        states={"succeeded": 168},
        skips={},
        waited=0,
        p50_lateness=0.0,
        p95_lateness=0.0,
        max_lateness=0.0,
        busy=336.0,
        saturation=336 / 604_800,
        duration=2.0,
        failure_rate=0.0,
        sample=0,
        nights=(),
        never=None,
    )
    return quiet._replace(**other)  # type: ignore[arg-type]  # what a field is, the test knows


def a_forecast(days: int = 7, *, tasks: tuple[TaskForecast, ...] | None = None) -> Forecast:
    """Nights in which much runs, a bad one on the second day, and quiet days."""
    hours = tuple(
        _hour(SINCE + datetime.timedelta(hours=number), number // 24, number % 24) for number in range(24 * days)
    )
    night = Night(datetime.datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "repeated", "Sun 25 Oct 2026 02:30 CEST")
    made = (
        a_task(
            "nightly report",
            slots=7,
            states={"succeeded": 5, "failed": 1, "skipped": 1},
            skips={"already running": 1},
            p50_lateness=12.0,
            p95_lateness=310.0,
            max_lateness=540.0,
            busy=580_000.0,
            saturation=0.959,
            duration=3_480.0,
            failure_rate=0.05,
            sample=48,
            nights=(night,),
        ),
        a_task("fetch", "threads", slots=10_080, states={"succeeded": 10_080}, busy=12_096.0, saturation=0.02),
        a_task("<b>migrate</b>", slots=0, states={}, busy=0.0, saturation=0.0, never="its one moment has passed"),
    )
    return Forecast(
        since=SINCE,
        until=SINCE + datetime.timedelta(days=days),
        seed=7,
        tasks=made if tasks is None else tasks,
        places=(PlaceForecast("serial worker", 1, 0.97, 14), PlaceForecast("threads", 32, 0.04, 0)),
        hours=hours,
        collisions=(Collision(SINCE + datetime.timedelta(hours=2), ("fetch", "nightly report"), 7),),
        worst_minute=(SINCE + datetime.timedelta(hours=26), 40),
        most_at_once=(SINCE + datetime.timedelta(hours=26, seconds=30), 9),
        assumed=("Conditions were not asked: only_if of 'fetch' was taken to hold.",),
        runs=(),
    )


def _hour(at: datetime.datetime, day: int, hour: int) -> Hour:
    if (day, hour) == (1, 2):
        return Hour(at, 412, 3_500.0, 12, 3, 30)
    if hour in (1, 2, 3):
        return Hour(at, 100 + 60 * hour, 900.0, 0, 0, 0)
    if hour == 12:
        return Hour(at, 0, 0.0, 0, 0, 0)
    return Hour(at, 60, 120.0, 1 if (day, hour) == (3, 17) else 0, 0, 0)
