"""The three places of a manager."""

from __future__ import annotations

from task.executors.event_loop import EventLoop
from task.executors.pools import Executor, ThreadPool

__all__ = ["Executors"]


class Executors:
    """The three places of a manager, made when first used."""

    def __init__(self, max_workers: int) -> None:
        self.serial: Executor = ThreadPool("serial", 1)
        self.threads: Executor = ThreadPool("threads", max_workers)
        self.event_loop: Executor = EventLoop()

    def all(self) -> tuple[Executor, Executor, Executor]:
        """Serial worker, threads, event loop."""
        return self.serial, self.threads, self.event_loop

    def close(self, timeout: float = 1.0) -> None:
        """Close all three, in *timeout* seconds each at most."""
        for executor in self.all():
            executor.close(timeout)
