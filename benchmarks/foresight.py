"""What it costs to foresee: the coming days of a hundred tasks, simulated; and their slots alone, from croniter.

The peer is what one writes today: a heap over the next slots of each line. It knows no body, no guard and no place.
"""

from __future__ import annotations

import datetime
import heapq
import time
from collections.abc import Callable

from benchmarks.figures import Figures, resident
from task import TaskManager, cron, every
from task.foresight import forecast
from task.testing import VirtualClock

__all__ = ["MEASURES", "TASKS"]

TASKS = 100

#: A Monday, with no change of a clock near.
BEGIN = datetime.datetime(2026, 5, 4, tzinfo=datetime.UTC)

LINE = "* * * * *"


def forecasting(subject: str, hours: int) -> Figures:
    """Seconds, and mebibytes at the end, for so many hours of tasks that are due each minute.

    Their bodies take 0.5 s at the median and 3 s at the 95th percentile, and 1 in 100 fails. Of ``one serial worker``
    there is more to do than it can.
    """
    begin, used = time.perf_counter(), time.process_time()
    slots = _croniter(hours) if subject == "croniter" else _forecast(subject, hours)
    seconds, used = time.perf_counter() - begin, time.process_time() - used
    return {"seconds": seconds, "each": used / slots * 1e6, "mebibytes": resident() / 2**20}


def _forecast(subject: str, hours: int) -> int:
    clock = VirtualClock(BEGIN)
    manager = TaskManager([], clock=clock)
    names = [f"task {number}" for number in range(TASKS)]
    for name in names:
        schedule = cron(LINE) if subject == "cron" else every(1).minutes
        manager.add(_nothing, schedule, name=name, threaded=subject != "one serial worker")
    found = forecast(
        manager,
        BEGIN + datetime.timedelta(hours=hours),
        durations=dict.fromkeys(names, (0.5, 3.0)),
        failure_rates=dict.fromkeys(names, 0.01),
    )
    return sum(task.slots for task in found.tasks)


def _nothing() -> None:
    """The body of each: a forecast does not call it."""


def _croniter(hours: int) -> int:
    from croniter import croniter

    end = BEGIN + datetime.timedelta(hours=hours)
    lines = [croniter(LINE, BEGIN, ret_type=datetime.datetime) for _ in range(TASKS)]
    ahead = [(line.get_next(), number) for number, line in enumerate(lines)]
    heapq.heapify(ahead)
    count = 0
    while ahead[0][0] <= end:
        _, number = ahead[0]
        count += 1
        heapq.heapreplace(ahead, (lines[number].get_next(), number))
    return count


MEASURES: dict[str, Callable[[str, int], Figures]] = {"forecast": forecasting}
