"""``VirtualClock``: stands still until it is moved, and moving it runs everything that is due on the way."""

from __future__ import annotations

import contextlib
import datetime
import math
import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from task.clock import Driven, Interruption
from task.errors import DeclarationError, VirtualTimeError
from task.executors import Executors
from task.runs import Run
from task.testing.inline import InlineExecutors
from task.testing.nights import next_change
from task.testing.variation import Variation

if TYPE_CHECKING:
    from task.models import TaskManager

__all__ = ["VirtualClock"]

Moment = datetime.datetime

_MICROSECOND = datetime.timedelta(microseconds=1)

#: So many bodies may sleep inside each other; each takes a part of Python's recursion limit.
DEEPEST_SLEEP = 25

#: A night in which the clocks change is watched from so long before the change until so long after it.
AROUND = datetime.timedelta(hours=12)


class _Handle:
    """A loop that the clock drives, until it is joined."""

    def __init__(self, clock: VirtualClock, driven: Driven) -> None:
        self._clock = clock
        self.driven = driven
        self._pid = os.getpid()

    def is_alive(self) -> bool:
        """A forked child has not its parent's loops, as it would not have their threads."""
        return self in self._clock._handles and self._pid == os.getpid()

    def join(self, timeout: float | None = None) -> None:
        with contextlib.suppress(ValueError):
            self._clock._handles.remove(self)


class VirtualClock:
    """A clock that stands still until it is moved; moving it runs everything that is due on the way.

    *start* is an aware moment. Schedulers that run on it have no thread: `advance` and `run_until` make
    their passes, and run the bodies, in the thread that calls them: serial, threaded and async bodies.
    With ``threads=True`` bodies run on real threads, for tests of hung and overlapping ones; then the
    test itself waits for what it needs.
    """

    def __init__(self, start: Moment | None = None, *, threads: bool = False) -> None:
        if start is not None and start.utcoffset() is None:
            raise DeclarationError(
                f"A virtual clock starts at an aware datetime, not at {start!r}. Give it a zone: "
                "datetime(2026, 5, 4, tzinfo=datetime.timezone.utc)."
            )
        first = start or datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        self.inline = not threads
        self._wall = first.astimezone(datetime.UTC)
        self._monotonic = 0  # microseconds
        self._handles: list[_Handle] = []
        self._interruption = Interruption()
        self._asleep = 0
        self._slept = 0.0
        #: How bodies are varied, if they are (`vary`).
        self.variation: Variation | None = None
        #: Told each time that the wall clock shows something else.
        self.on_moved: Callable[[Moment], object] | None = None

    def now(self) -> Moment:
        return self._wall

    def monotonic(self) -> float:
        return self._monotonic / 1e6

    def slept(self) -> float:
        return self._slept

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """Let virtual time pass instead of waiting."""
        self.sleep(seconds)

    def start(self, driven: Driven, name: str) -> _Handle:
        handle = _Handle(self, driven)
        self._handles.append(handle)
        return handle

    def executors(self, max_workers: int, pools: Mapping[str, int] | None = None) -> Executors:
        """The executors of a manager on this clock."""
        return InlineExecutors(self, max_workers, pools) if self.inline else Executors(max_workers, pools)

    def vary(self, seed: int, *, longest: float = 30.0, failures: float = 0.1) -> Variation:
        """Let scheduled and triggered bodies take longer, up to *longest* seconds, and so many of them fail (0 to 1).

        The same *seed* makes the same durations and failures. Returns what has become of which run. Raises
        `DeclarationError`.

        >>> from task import TaskManager, every
        >>> clock = VirtualClock()
        >>> manager = TaskManager([], clock=clock)
        >>> sample = manager.add(lambda: None, every(10).minutes, name="sample")
        >>> with manager:
        ...     varied = clock.vary(seed=7, failures=0.5)
        ...     clock.advance(hours=1)
        >>> [str(run.state) for run in manager.runs("sample")].count("failed"), len(varied.told)
        (2, 6)
        """
        self.variation = Variation(self, seed, longest, failures)
        return self.variation

    def expect(self, run: Run) -> None:
        """A run is about to be executed in the thread that moves the clock."""
        if self.variation is not None:
            self.variation.apply(run)

    def advance(self, **duration: float) -> None:
        """Let time pass: ``advance(hours=24)``, any keywords of ``timedelta``."""
        self._pass_time(datetime.timedelta(**duration) // _MICROSECOND)

    def sleep(self, seconds: float) -> None:
        """Let *seconds* pass; for bodies, in the place of ``time.sleep``. Other slots fire meanwhile.

        Their bodies then run inside the one that sleeps. Raises `VirtualTimeError` when too many sleep inside each
        other: bodies that overlap for ever never come to an end in one thread.
        """
        if self._asleep >= DEEPEST_SLEEP:
            raise VirtualTimeError(
                f"{self._asleep} bodies sleep inside each other on this virtual clock, which has one thread: a body "
                "that starts while another sleeps runs inside of that one, and has to end before it. Are they to "
                "overlap for so long? Make the body an async def with asyncio.sleep, which waits beside the others; "
                "let it sleep for less than its interval; bound it with max_concurrent=; or have bodies run on real "
                "threads, with threads=True."
            )
        self._asleep += 1
        try:
            self._pass_time(round(seconds * 1e6))
        finally:
            self._asleep -= 1

    @property
    def crowded(self) -> bool:
        """Whether almost as many bodies sleep inside each other as can."""
        return self._asleep > DEEPEST_SLEEP - 5

    def run_until(self, moment: Moment) -> None:
        """Let time pass until the wall clock shows *moment* (aware)."""
        self._pass_time((moment - self._wall) // _MICROSECOND)

    def step(self, **jump: float) -> None:
        """Set the wall clock forward or back at once, as an operator or NTP would: ``step(hours=-1)``."""
        self._show(self._wall + datetime.timedelta(**jump))

    def suspend(self, **duration: float) -> None:
        """Let the machine sleep: the wall clock goes on, the monotonic clock stands still."""
        self._slept += datetime.timedelta(**duration).total_seconds()
        self.step(**duration)

    def spring_night(self, zone: str | datetime.tzinfo, *managers: TaskManager) -> Moment:
        """Let the next change of the clocks of *zone* to summer time pass, and return its moment (aware UTC).

        Time goes on to 12 hours before it, and what runs by then runs on the way; *managers* are started there; then
        24 hours pass. Raises `DeclarationError` for a zone that there is not, or whose clocks do not change.

        >>> from task import TaskManager, every
        >>> clock = VirtualClock()
        >>> manager = TaskManager([], clock=clock)
        >>> report = manager.add(lambda: None, every().day.at("02:30", "Europe/Amsterdam"), name="report")
        >>> print(clock.spring_night("Europe/Amsterdam", manager))
        2026-03-29 01:00:00+00:00
        >>> [str(run.slot) for run in manager.runs("report")]
        ['2026-03-29 01:00:00+00:00']
        >>> manager.stop()
        """
        return self._night(zone, managers, forward=True)

    def autumn_night(self, zone: str | datetime.tzinfo, *managers: TaskManager) -> Moment:
        """The same for the next change back to standard time, which shows an hour twice."""
        return self._night(zone, managers, forward=False)

    def _night(self, zone: str | datetime.tzinfo, managers: tuple[TaskManager, ...], *, forward: bool) -> Moment:
        change = next_change(zone, self._wall, forward=forward)
        self.run_until(change - AROUND)
        for manager in managers:
            manager.run()
        self.run_until(change + AROUND)
        return change

    def _show(self, moment: Moment) -> None:
        self._wall = moment
        if self.on_moved is not None:
            self.on_moved(moment)

    def _pass_time(self, microseconds: int) -> None:
        with self._interruption.watched():
            self._go_to(self._monotonic + max(0, microseconds))

    def _go_to(self, end: int) -> None:
        while True:
            if self._interruption.came:
                self._interruption.check()
            wait = self._make_passes(end)
            left = end - self._monotonic
            if left <= 0:
                return
            passed = left if wait == math.inf else min(left, max(1, math.ceil(round(wait * 1e6, 3))))
            self._monotonic += passed
            self._show(self._wall + passed * _MICROSECOND)

    def _make_passes(self, end: int) -> float:
        """Passes of every scheduler, until nothing is due; the seconds until the first of them wants the next.

        Bodies that let time pass may make more due than they do: no passes are made beyond *end* for them.
        """
        while True:
            alive = [handle for handle in self._handles if handle.is_alive()]
            wait = min((handle.driven.run_due() for handle in alive), default=math.inf)
            settled = wait > 0 and not any(handle.driven.woken for handle in self._handles if handle.is_alive())
            if settled or self._monotonic > end:
                return wait
