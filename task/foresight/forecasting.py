"""``forecast``: the coming days, simulated through the real scheduler, ledger, guards, overlap, retries and pools."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from task.errors import ParameterError, TaskError
from task.foresight.copying import Subject, subjects_of
from task.foresight.habits import Durations, Habit, habits_of
from task.foresight.simulation import Simulation
from task.foresight.values import Forecast
from task.log import silent
from task.schedules import Line, shorten

if TYPE_CHECKING:
    from task.models import TaskManager

__all__ = ["forecast"]

Moment = datetime.datetime

#: A forecast looks no further ahead.
LONGEST = datetime.timedelta(days=366)

#: It simulates no more runs than about so many, and keeps no more.
MOST_RUNS = 20_000_000
MOST_KEPT = 200_000

#: What a body is taken to last of which nothing is known, in seconds; and of its interval this part at most: what is
#: not known is not to be what fills a place, or has slots skipped.
OTHERWISE, PART = 1.0, 0.1

#: From so many slots of a schedule it is estimated how many come.
SLOTS = 50

_NOTHING: Mapping[str, Any] = {}


def forecast(
    manager: TaskManager,
    until: Moment,
    seed: int = 0,
    *,
    durations: Durations = _NOTHING,
    failure_rates: Mapping[str, float] = _NOTHING,
    default_duration: float | None = None,
    conditions: bool = False,
    keep_runs: bool = False,
    progress: Callable[[float], Any] | None = None,
) -> Forecast:
    """What the tasks of *manager* will do from now (its clock) until *until* (aware, at most 366 days ahead).

    The coming days are simulated through the real scheduler, ledger, guards, overlap, retries and pools, on virtual
    time, in this thread; nothing of it happens in the world: no body, callback, service or receiver is called, and of
    the manager and its store everything is only read: schedules and where they are, switches, recurring entries, and
    the runs on record. It is one process that is simulated, with the places that *manager* has.

    A body lasts as its newest runs on record did, drawn at random, and fails as often as they did. *durations* says
    otherwise, by the name of the task: seconds, ``(p50, p95)``, or a list of durations to draw from; *failure_rates*
    gives the share of the attempts that fail, 0.0 to 1.0. *default_duration* is for tasks without runs on record, in
    seconds: unless given, 1.0, or a tenth of its interval if that is shorter. The same *seed* gives the same forecast.
    A body on a thread that is asked to stop, or past its ``timeout``, goes on to its end; coroutines, processes and
    shell commands stop at once.

    The calendars of ``task.calendars`` are asked; conditions of your own (``only_if``) only with *conditions*, else
    they are taken to accept every slot. *keep_runs* keeps every run (`Forecast.runs`). *progress* is called with how
    far it is, 0.0 to 1.0.

    Raises `ParameterError` for what cannot be: an *until* that is naive, past or too far ahead, more than about 20
    million runs (with *keep_runs* 200 000); `UnknownTaskError` for a name that is no task; and what ``run()`` would
    raise of the manager.

    >>> import datetime
    >>> from task import TaskManager, every
    >>> from task.foresight import forecast
    >>> manager = TaskManager([])
    >>> report = manager.add(lambda: None, every(10).minutes, name="report")
    >>> until = manager.clock.now() + datetime.timedelta(hours=24)
    >>> found = forecast(manager, until, durations={"report": 900.0})
    >>> found.tasks[0].states, found.tasks[0].skips
    ({'running': 1, 'skipped': 71, 'succeeded': 71}, {'already running': 71})
    """
    since = manager.clock.now()
    _check_until(until, since)
    until = until.astimezone(datetime.UTC)
    subjects = subjects_of(manager, since)
    names = {one.name: one.base for one in subjects}
    otherwise = OTHERWISE if default_duration is None else default_duration
    habits = habits_of(manager, names, seed, durations, failure_rates, otherwise)
    if default_duration is None:
        _spare(habits, subjects, since)
    _check_amount(subjects, since, until, MOST_KEPT if keep_runs else MOST_RUNS, keep_runs)
    with silent():
        simulation = Simulation(
            manager, subjects, habits, since, until, seed, conditions, MOST_KEPT if keep_runs else 1
        )
        try:
            simulation.run(progress)
            return simulation.result()
        finally:
            simulation.close()


def _spare(habits: Mapping[str, Habit], subjects: list[Subject], since: Moment) -> None:
    """Let bodies of which nothing is known end long before their next slots."""
    for one in subjects:
        periods = [line.period for line in one.lines(since) if line.period is not None]
        if habits[one.name].unknown and periods:
            habits[one.name].observe([min(OTHERWISE, PART * min(periods).total_seconds())])


def _check_until(until: Any, since: Moment) -> None:
    if not isinstance(until, datetime.datetime) or until.utcoffset() is None:
        raise ParameterError(
            f"until={shorten(until)} is not a moment with a time zone. Write "
            "manager.clock.now() + datetime.timedelta(days=7)."
        )
    if until <= since:
        raise ParameterError(f"until={until.isoformat()} is past: it is {since.isoformat()}. Give a later moment.")
    if until - since > LONGEST:
        raise ParameterError(
            f"until={until.isoformat()} is {(until - since).days} days ahead: a forecast looks {LONGEST.days} days "
            "ahead at most. Give an earlier moment."
        )


def _check_amount(subjects: list[Subject], since: Moment, until: Moment, most: int, keep_runs: bool) -> None:
    estimates = {one.name: sum(_estimate(line, since, until) for line in one.lines(since)) for one in subjects}
    total = sum(estimates.values())
    if total > most:
        name = max(estimates, key=estimates.__getitem__)
        does, fix = ("keeps", ", or leave keep_runs=True out") if keep_runs else ("simulates", "")
        raise ParameterError(
            f"About {total:,.0f} slots come until {until:%Y-%m-%d %H:%M}, {estimates[name]:,.0f} of them of task "
            f"{name!r}: a forecast {does} {most:,} at most. Give an earlier until{fix}."
        )


def _estimate(line: Line, since: Moment, until: Moment) -> float:
    """About how many slots come."""
    if line.period is not None:
        return (until - since) / line.period
    slot, count = since, 0
    try:
        while count < SLOTS and (following := line.after(slot)) is not None and following <= until:
            slot, count = following, count + 1
    except TaskError:  # a schedule of the user's own: it is found broken when it is due
        return count
    return count if count < SLOTS else count * ((until - since) / (slot - since))
