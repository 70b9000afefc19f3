"""Simulated time: a clock that goes from event to event, and the bodies that last until one of them."""

from __future__ import annotations

import datetime
import heapq
import itertools
import math
import threading
import types
from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import Any, Protocol, TypeAlias

from task.clock import Driven, Interruption
from task.executors import Executors

__all__ = ["Bodies", "Body", "Ending", "SimulatedClock", "lasting"]

Moment = datetime.datetime

_MICROSECOND = datetime.timedelta(microseconds=1)

#: What is driven by hand.
Body: TypeAlias = "Coroutine[Ending, BaseException | None, None]"

#: How often progress is told, over the whole time.
TELLINGS = 200


class Place(Protocol):
    """Where a body runs."""

    def left(self, ending: Ending) -> None:
        """It has ended."""


class Ending:
    """When a body ends, and how: with *failure*, or by itself."""

    __slots__ = ("at", "began", "coroutine", "failure", "micros", "owner", "place")

    def __init__(self, owner: object, began: int, micros: int) -> None:
        #: Whose body it is, for whoever looks at what is under way.
        self.owner = owner
        #: In microseconds since the begin of the simulation.
        self.began = began
        self.micros = micros
        #: When it ends; -1 before it is known, and once it has.
        self.at = -1
        self.failure: BaseException | None = None
        self.coroutine: Body | None = None
        self.place: Place | None = None


@types.coroutine
def lasting(ending: Ending) -> Generator[Ending, BaseException | None, BaseException | None]:
    """Let time pass until the *ending*; why the body was stopped, or None."""
    return (yield ending)


class Bodies:
    """The bodies under way: coroutines that are driven by hand, each of them lasting once."""

    def __init__(self) -> None:
        self.micros = 0
        #: Those of bodies that were stopped before are passed over.
        self.heap: list[tuple[int, int, Ending]] = []
        self._order = itertools.count()

    def begin(self, coroutine: Body, place: Place) -> Ending | None:
        """Begin a body; *place* is told when it has ended. None: it has, without lasting at all."""
        try:
            ending = coroutine.send(None)
        except StopIteration:
            return None
        ending.coroutine, ending.place = coroutine, place
        at = ending.at = self.micros if ending.failure is not None else self.micros + ending.micros
        heapq.heappush(self.heap, (at, next(self._order), ending))
        return ending

    def stop(self, ending: Ending, failure: BaseException) -> None:
        """Let a body end now, with *failure*."""
        if ending.failure is None:
            ending.failure = failure
            if ending.at >= 0:
                ending.at = self.micros
                heapq.heappush(self.heap, (ending.at, next(self._order), ending))

    def end_first(self) -> None:
        """Let the first one end. The time is its time."""
        at, _, ending = heapq.heappop(self.heap)
        if at != ending.at:
            return
        ending.at = -1
        coroutine, place = ending.coroutine, ending.place
        assert coroutine is not None
        assert place is not None
        try:
            coroutine.send(ending.failure)
        except StopIteration:
            ending.coroutine = None
        place.left(ending)

    def under_way(self) -> list[Ending]:
        """Those that have not ended."""
        return [ending for at, _, ending in self.heap if at == ending.at]

    def close(self) -> None:
        """Forget them all."""
        for ending in self.under_way():
            if ending.coroutine is not None:
                ending.coroutine.close()
        self.heap.clear()


class _Handle:
    """The loop that the clock drives, until it is joined."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock

    def is_alive(self) -> bool:
        return self._clock.driven is not None

    def join(self, timeout: float | None = None) -> None:
        self._clock.driven = None


class SimulatedClock:
    """Goes from one event to the next: what is due of one scheduler, and the ends of bodies.

    At one moment what is due comes before the bodies that end, as with ``task.testing.VirtualClock``.
    """

    inline = False

    def __init__(self, start: Moment, make_executors: Callable[[int, Mapping[str, int] | None], Executors]) -> None:
        self._start = self._wall = start.astimezone(datetime.UTC)
        self.bodies = Bodies()
        self.driven: Driven | None = None
        #: It ends what runs until a moment.
        self.interruption = Interruption()
        #: The executors of the manager on this clock, of ``max_workers`` and the named pools.
        self.executors = make_executors

    def now(self) -> Moment:
        return self._wall

    def monotonic(self) -> float:
        return self.bodies.micros / 1e6

    def slept(self) -> float:
        return 0.0

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """Never called: nothing waits here."""

    def start(self, driven: Driven, name: str) -> _Handle:
        self.driven = driven
        driven.longest_wait = math.inf  # type: ignore[attr-defined]  # of our own loop: nothing else is started here
        return _Handle(self)

    def run_until(self, end: Moment, progress: Callable[[float], Any] | None = None) -> None:
        """Let time pass until *end*, and everything happen on the way; what is due at *end* included."""
        last = (end - self._start) // _MICROSECOND
        step = max(1, last // TELLINGS)
        told = 0
        due_at = self._make_passes()
        bodies = self.bodies
        heap = bodies.heap
        while True:
            ends_at = heap[0][0] if heap else math.inf
            coming = due_at if due_at <= ends_at else ends_at
            if coming > last:
                break
            if self.interruption.came:
                self.interruption.check()
            if coming != bodies.micros:
                self._go_to(int(coming))
                if progress is not None and bodies.micros >= told + step:
                    told = bodies.micros
                    progress(told / last)
            if due_at > ends_at:  # what is due at this moment has its turn first
                bodies.end_first()
                if not self.driven.woken:  # type: ignore[union-attr]  # it runs until it is joined
                    continue
            due_at = self._make_passes()
        self._go_to(last)
        if progress is not None:
            progress(1.0)

    def _go_to(self, micros: int) -> None:
        self.bodies.micros = micros
        self._wall = self._start + datetime.timedelta(microseconds=micros)

    def _make_passes(self) -> float:
        """Passes of the scheduler, until nothing is due; when the next one is wanted."""
        driven = self.driven
        assert driven is not None
        wait = driven.run_due()
        while wait <= 0 or driven.woken:
            wait = driven.run_due()
        if wait == math.inf:
            return math.inf
        return self.bodies.micros + max(1, math.ceil(round(wait * 1e6, 3)))
