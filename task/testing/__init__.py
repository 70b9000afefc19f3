"""Virtual time, for tests: a clock that drives real schedulers, deterministically, in the caller's thread.

>>> import datetime
>>> from task import TaskManager, every
>>> from task.testing import VirtualClock
>>> clock = VirtualClock(datetime.datetime(2026, 5, 4, tzinfo=datetime.timezone.utc))
>>> manager = TaskManager([], clock=clock)
>>> times = []
>>> sample = manager.add(lambda: times.append(clock.now()), every(10).minutes, name="sample")
>>> with manager:
...     clock.advance(hours=24)
>>> len(times)
144
"""

from task.testing.asserts import assert_no_slot_lost, assert_ran, assert_skipped
from task.testing.clock import VirtualClock
from task.testing.rehearsing import TaskClock, virtual_time
from task.testing.variation import Variation, Varied

__all__ = [
    "TaskClock",
    "Variation",
    "Varied",
    "VirtualClock",
    "assert_no_slot_lost",
    "assert_ran",
    "assert_skipped",
    "virtual_time",
]
