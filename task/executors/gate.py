"""``Gate``: lets only so many runs at once onto an executor that would take them all."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from task.executors.pools import Backlog, Executor, Work

if TYPE_CHECKING:
    from task.runs import Run

__all__ = ["Gate"]


class Gate:
    """So many places on an event loop; the coroutines that wait for one have not begun."""

    def __init__(self, name: str, size: int, behind: Executor) -> None:
        self.name = name
        self.size = size
        self._behind = behind
        self._backlog = Backlog()
        #: The run on each place.
        self._inside: dict[object, Run] = {}
        self._changing = threading.Lock()

    def submit(self, work: Work, run: Run, priority: int = 0) -> None:
        with self._changing:
            if len(self._inside) >= self.size:
                run.held_up_by = ""
            self._backlog.put(work, run, priority)
        self._admit()

    def _admit(self) -> None:
        while True:
            with self._changing:
                item = self._backlog.pop() if len(self._inside) < self.size else None
                if item is None:
                    return
                work, run = item
                place = object()
                self._inside[place] = run
            self._behind.submit(self._counted(work, place), run)

    def _counted(self, work: Work, place: object) -> Work:
        async def counted(run: Run) -> Any:
            try:
                return await work(run)
            finally:
                self._leave(place)  # not that of the run: its next attempt may have one of its own by now

        return counted

    def _leave(self, place: object) -> None:
        with self._changing:
            self._inside.pop(place, None)
        self._admit()

    def running(self) -> list[Run]:
        with self._changing:
            return list(self._inside.values())

    def waiting(self) -> int:
        return len(self._backlog)

    def replace(self, run: Run, work: Work) -> bool:
        with self._changing:
            place = next((place for place, its_run in self._inside.items() if its_run is run), None)
        self._behind.submit(work, run)  # past the gate: what it is for has its place no more
        self._leave(place)
        return True

    def stack(self, run: Run) -> str | None:
        """Where the coroutine of *run* waits, as text."""
        return self._behind.stack(run)

    def close(self, timeout: float) -> None:
        with self._changing:
            self._backlog.clear()
