"""How late jobs fire, whether they drift, and whether all of them fire. Each function runs in a child process."""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable
from statistics import median

from benchmarks.figures import Figures, percentile
from benchmarks.subjects import make

__all__ = ["MEASURES"]

#: Between making the jobs and the first of them being due. Seconds.
LEAD = 0.6

#: The period of every job here. Seconds.
PERIOD = 1.0


def lateness(subject: str, seconds: int) -> Figures:
    """20 jobs, each once a second, due 50 ms apart."""
    return _fire(subject, jobs=20, apart=0.05, seconds=seconds)


def burst(subject: str, seconds: int) -> Figures:
    """1 000 jobs, all due at one instant, every second."""
    return _fire(subject, jobs=1_000, apart=0.0, seconds=seconds)


def _fire(name: str, jobs: int, apart: float, seconds: int) -> Figures:
    """Percentiles of the lateness within each second; of the seconds, the median. The first is to warm up."""
    subject = make(name)
    late: defaultdict[int, list[float]] = defaultdict(list)
    first = time.time() + LEAD
    for number in range(jobs):
        subject.add(functools.partial(_note_second, late, first + number * apart), PERIOD, first + number * apart)
    subject.start()
    time.sleep(max(0.0, first - time.time()) + PERIOD * (seconds + 1) - 0.02)
    whole = [list(late[second]) for second in range(1, seconds + 1)]
    return {f"p{percent}": median(percentile(one, percent) for one in whole) * 1e3 for percent in (50, 99)}


def _note_second(late: dict[int, list[float]], first: float) -> None:
    second, lateness = divmod(time.time() - first, PERIOD)
    late[int(second)].append(lateness)


def first_firing(subject: str, seconds: int) -> Figures:
    """How late 20 jobs, due 50 ms apart, fire for the first time: for what polls, and keeps no grid later."""
    measured = make(subject)
    late: list[float] = []
    first = time.time() + LEAD
    for number in range(20):
        due = first + number * 0.05
        measured.add(functools.partial(_note, late, due), 60.0, due)
    measured.start()
    time.sleep(max(0.0, first - time.time()) + seconds)
    return {"p50": percentile(late, 50) * 1e3}


def _note(late: list[float], due: float) -> None:
    late.append(time.time() - due)


def drift(subject: str, seconds: int) -> Figures:
    """A job every second, whose body takes 150 ms: the largest distance of a start from the grid of the first."""
    starts = _starts(subject, body_seconds=0.15, seconds=seconds)
    deviations = [abs(start - starts[0] - number) for number, start in enumerate(starts)]
    return {"deviation": max(deviations) * 1e3, "starts": len(starts)}


def steady(subject: str, seconds: int) -> Figures:
    """A job every second, whose body takes 300 ms: how often it starts."""
    return {"starts": len(_starts(subject, body_seconds=0.3, seconds=seconds)), "slots": seconds}


def _starts(name: str, body_seconds: float, seconds: int) -> list[float]:
    subject = make(name)
    starts: list[float] = []

    def body() -> None:
        starts.append(time.time())
        time.sleep(body_seconds)

    first = time.time() + 2.0  # others that are measured beside it have started by then
    subject.add(body, PERIOD, first)
    subject.start()
    time.sleep(first - time.time() + seconds - 0.5)  # half a second after the last slot: time to be late
    return [start for start in starts if start < first + seconds - 0.5]


MEASURES: dict[str, Callable[[str, int], Figures]] = {
    "lateness": lateness,
    "burst": burst,
    "first firing": first_firing,
    "drift": drift,
    "steady": steady,
}
