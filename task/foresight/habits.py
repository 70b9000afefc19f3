"""What is expected of bodies: how long they take and how often they fail, as measured or as given."""

from __future__ import annotations

import datetime
import math
import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from task.errors import ParameterError, UnknownTaskError, did_you_mean
from task.runs import Run
from task.schedules import shorten

if TYPE_CHECKING:
    from task.models import TaskManager

__all__ = ["Habit", "habits_of"]

#: So many of the newest runs of each task are looked at.
SAMPLE = 200

#: What ended with a body under way, and so tells how long it takes.
TELLING = ("succeeded", "failed", "timed_out")

#: No body is taken to last longer. Seconds: a year.
LONGEST = 31_536_000.0

#: What two percentiles tell is drawn from so many durations.
QUANTILES = 201

#: The 95th percentile of the normal distribution, in standard deviations.
_P95 = 1.6448536269514722

Observed = Sequence[float]
Durations = Mapping[str, "float | tuple[float, float] | list[float]"]


class Habit:
    """How the body of one task behaves; `draw` is how it does the next time."""

    def __init__(self, name: str, seed: int) -> None:
        #: Its own generator: what is drawn for one task does not depend on the others.
        self._random = random.Random(f"{seed}|{name}")
        self._lasting: list[int] = [0]  # microseconds
        self._failing: list[int] = []
        self.rate = 0.0
        self.sample = 0
        #: Seconds at the median.
        self.median = 0.0
        #: Whether it is neither measured nor given how long a body lasts.
        self.unknown = False

    def observe(self, lasting: Iterable[float], failing: Iterable[float] = ()) -> None:
        """From now on bodies last as these did, in seconds: those that did not fail, and those that did."""
        self._failing = [_micros(seconds) for seconds in failing]
        self._lasting = [_micros(seconds) for seconds in lasting] or self._failing or [0]
        told = sorted([*self._lasting, *(self._failing if self._lasting is not self._failing else ())])
        self.median = told[(len(told) - 1) // 2] / 1e6

    def spread(self, p50: float, p95: float) -> None:
        """From now on bodies last so long: half of them at most *p50* seconds, and 19 of 20 at most *p95*."""
        bell = statistics.NormalDist(math.log(p50), math.log(p95 / p50) / _P95 or 1e-9)
        shares = [(2 * number + 1) / (2 * QUANTILES) for number in range(QUANTILES)]
        self.observe([min(LONGEST, math.exp(bell.inv_cdf(share))) for share in shares])
        self.median = p50

    def draw(self) -> tuple[int, bool]:
        """How long the next body lasts, in microseconds, and whether it fails."""
        draw = self._random.random
        fails = self.rate > 0 and draw() < self.rate
        observed = self._failing if fails and self._failing else self._lasting
        return observed[0] if len(observed) == 1 else observed[int(draw() * len(observed))], fails


def _micros(seconds: float) -> int:
    return round(seconds * 1e6)


def habits_of(
    manager: TaskManager,
    names: Mapping[str, str],
    seed: int,
    durations: Durations,
    failure_rates: Mapping[str, float],
    otherwise: float,
) -> dict[str, Habit]:
    """The habit of each task of *names*; the name behind it is whose runs tell, where it has none itself.

    Raises `UnknownTaskError` for a name that is none of them, and `ParameterError` for a value that cannot be.
    """
    for given, what in ((durations, "durations"), (failure_rates, "failure_rates")):
        _check_names(given, names, what)
    _seconds("default_duration", otherwise)
    habits, known = {}, frozenset(manager.store.names())
    for name, base in names.items():
        habit = habits[name] = Habit(name, seed)
        habit.observe([otherwise])
        rate = None
        if name not in durations or name not in failure_rates:
            measured = (_measure(habit, manager, one) for one in dict.fromkeys((name, base)) if one in known)
            rate = next((share for share in measured if share is not None), None)
        habit.rate = rate or 0.0
        habit.unknown = rate is None and name not in durations
        if name in durations:
            _give(habit, name, durations[name])
        if name in failure_rates:
            habit.rate = _share(name, failure_rates[name])
        if name in durations and name in failure_rates:
            habit.sample = 0
    return habits


def _measure(habit: Habit, manager: TaskManager, name: str) -> float | None:
    """Learn from the newest runs on record; the share of the attempts that failed, None without any."""
    lasting: list[float] = []
    failing: list[float] = []
    runs = manager.runs(name, state=TELLING, limit=SAMPLE)
    for run in runs:
        _learn(run, manager[name].spec.policy.timeout if name in manager else None, lasting, failing)
    if not lasting and not failing:
        return None
    habit.observe(lasting, failing)
    habit.sample = len(runs)
    return len(failing) / (len(lasting) + len(failing))


def _learn(run: Run, timeout: float | None, lasting: list[float], failing: list[float]) -> None:
    attempts = run.attempts
    for attempt in attempts:
        if attempt.started_at is None or attempt.finished_at is None:
            continue
        seconds = max(0.0, (attempt.finished_at - attempt.started_at) / datetime.timedelta(seconds=1))
        last = attempt is attempts[-1]
        timed_out = timeout is not None and seconds >= timeout  # it lasts for too long again: that is no failure
        failed = str(run.state) == "failed" if last else not timed_out
        (failing if failed else lasting).append(seconds)


def _check_names(given: Any, names: Iterable[str], what: str) -> None:
    if not isinstance(given, Mapping):
        raise ParameterError(f"{what} is a dict of the names of tasks and values, not {shorten(given)}.")
    known = list(names)
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known, f"There are: {sorted(known)[:10]}.")
            raise UnknownTaskError(f"{what} names {shorten(name)}, which is no task of this manager. {hint}")


def _give(habit: Habit, name: str, value: Any) -> None:
    what = f"durations[{name!r}]"
    if isinstance(value, tuple) and len(value) == 2:
        p50, p95 = _seconds(what, value[0]), _seconds(what, value[1])
        if not 0 < p50 <= p95:
            raise ParameterError(
                f"{what} is the median and the 95th percentile, both above 0 and in this order, not {shorten(value)}."
            )
        habit.spread(p50, p95)
    elif isinstance(value, list) and value:
        habit.observe([_seconds(what, one) for one in value])
    else:
        habit.observe([_seconds(what, value)])


def _seconds(what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= LONGEST:
        raise ParameterError(
            f"{what} is a number of seconds from 0 to a year, a pair (p50, p95) or a list of numbers, "
            f"not {shorten(value)}."
        )
    return float(value)


def _share(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ParameterError(f"failure_rates[{name!r}] is a share from 0.0 to 1.0, not {shorten(value)}.")
    return float(value)
