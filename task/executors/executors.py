"""The places of a manager."""

from __future__ import annotations

from collections.abc import Mapping

from task.executors.event_loop import EventLoop
from task.executors.gate import Gate
from task.executors.pools import Executor, ThreadPool

__all__ = ["Executors"]

#: How many threads ask whether slots are wanted.
CONDITIONS = 4


class Executors:
    """The places of a manager: the serial worker, threads, the event loop, and named pools of the last two.

    *max_workers* bounds the threads; *pools* gives each named pool its size.
    """

    def __init__(self, max_workers: int, pools: Mapping[str, int] | None = None) -> None:
        self.serial = self.make_threads("serial", 1)
        self.threads = self.make_threads("threads", max_workers)
        self.event_loop = self.make_event_loop()
        #: For the conditions of slots, which are the user's own code and may hang.
        self.conditions = self.make_threads("conditions", CONDITIONS)
        #: For runs that end without their bodies.
        self.service = self.make_threads("service", 1)
        self._pools: dict[str, tuple[Executor, Executor]] = {
            name: (self.make_threads(name, size), self.make_gate(name, size)) for name, size in (pools or {}).items()
        }

    def make_threads(self, name: str, size: int) -> Executor:
        """A place for bodies that block."""
        return ThreadPool(name, size)

    def make_event_loop(self) -> Executor:
        """A place for coroutines."""
        return EventLoop()

    def make_gate(self, name: str, size: int) -> Executor:
        """So many places on the event loop."""
        return Gate(name, size, self.event_loop)

    def pool(self, name: str, *, coroutine: bool) -> Executor:
        """The named pool: its threads, or its places on the event loop."""
        return self._pools[name][coroutine]

    def all(self) -> list[Executor]:
        """Every place, the event loop behind what leads to it."""
        named = [executor for pair in self._pools.values() for executor in pair]
        return [self.serial, self.threads, *named, self.event_loop, self.conditions, self.service]

    def close(self, timeout: float = 1.0) -> None:
        """Close all, in *timeout* seconds each at most."""
        for executor in self.all():
            executor.close(timeout)
