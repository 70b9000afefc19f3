"""Several processes on one store, in one thread and on one virtual clock: each has a manager and a store of its own."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import datetime
from collections.abc import Iterable
from typing import Any, NamedTuple

from task import TaskManager, current_run
from task.models import process as process_module
from task.stores.sql import SqlStore
from task.testing import VirtualClock

Moment = datetime.datetime

#: A slot that has been due for less may still be taken.
PENDING = datetime.timedelta(seconds=3)


class Begun(NamedTuple):
    """A body has begun."""

    process: str
    task: str
    slot: Moment | None
    at: Moment
    run: str
    parent: str | None
    attempt: int
    token: int
    parameters: dict[str, Any]


class VirtualProcess:
    """One process. `crash` and `freeze` end it and stop it as SIGKILL and SIGSTOP would, between two steps."""

    def __init__(self, name: str, world: VirtualProcesses, **options: Any) -> None:
        self.name = name
        self._world = world
        self._clock = world.clock
        self.store = SqlStore(world.url, lost_after=options.pop("lost_after", 30.0))
        self.manager = TaskManager([], store=self.store, clock=world.clock, **options)
        self._frozen: list[Any] = []

    def add(self, name: str, schedule: Any = None, *, seconds: float = 0.0, fails: int = 0, **options: Any) -> None:
        """A task whose body tells that it has begun, and takes *seconds*; so many attempts of each run fail."""

        async def body(**parameters: Any) -> str:
            run = current_run()
            self._world.begun.append(
                Begun(
                    self.name,
                    run.task,
                    run.slot,
                    self._clock.now(),
                    run.id,
                    run.parent_id,
                    run.attempt,
                    run.token,
                    parameters,
                )
            )
            if seconds:
                await asyncio.sleep(seconds)
            if run.attempt <= fails:
                raise ValueError(f"attempt {run.attempt}")
            return self.name

        self.manager.add(body, schedule, name=name, **options)

    def run(self) -> VirtualProcess:
        self.manager.run()
        return self

    def stop(self, timeout: float = 10.0) -> None:
        self.manager.stop(timeout)

    def freeze(self) -> None:
        """It does nothing any more, until `thaw`."""
        executors = self.manager._pipeline.executors
        mine = [self.manager.scheduler._loop, None if executors is None else executors.event_loop]
        self._frozen = [handle for handle in self._clock._handles if handle.driven in mine]
        self._clock._handles[:] = [handle for handle in self._clock._handles if handle not in self._frozen]

    def thaw(self) -> None:
        """It goes on, as if no time had passed."""
        self._clock._handles += self._frozen
        self._frozen = []

    def crash(self) -> None:
        """It does nothing any more, and nobody has heard of its end."""
        self.freeze()
        process_module.all_managers.discard(self.manager)
        process_module.running_managers.discard(self.manager)

    def close(self) -> None:
        """Let go of what it has, also when it was frozen or has crashed."""
        self.thaw()
        try:
            self.manager.stop(0)
        finally:
            process_module.all_managers.discard(self.manager)  # each test says itself what its audit finds
            self.store.close()


class VirtualProcesses:
    """Processes on the database *url*."""

    def __init__(self, clock: VirtualClock, url: str) -> None:
        self.clock = clock
        self.url = url
        self.begun: list[Begun] = []
        self._all: list[VirtualProcess] = []

    def make(self, name: str = "", **options: Any) -> VirtualProcess:
        """One more, whose manager does not run yet."""
        made = VirtualProcess(name or f"process {len(self._all) + 1}", self, **options)
        self._all.append(made)
        return made

    def slots(self, task: str) -> list[Moment]:
        """Those for which bodies of a task have begun, in order."""
        return [one.slot for one in self.begun if one.task == task and one.slot is not None and one.attempt == 1]

    def doubles(self) -> list[tuple[str, Moment]]:
        """Slots for which bodies have begun more than once, further attempts of one run apart."""
        begun = collections.Counter(
            (one.task, one.slot) for one in self.begun if one.slot is not None and one.attempt == 1
        )
        return [key for key, count in begun.items() if count > 1]

    def rows(self, task: str, *states: str) -> list[tuple[str, str | None, int]]:
        """State, reason and count of the rows of a task, oldest first."""
        found = reversed(self._all[-1].store.runs(task, limit=100_000))
        return [(str(run.state), run.reason, run.count) for run in found if not states or str(run.state) in states]

    def audit(self) -> list[str]:
        """What any process finds wrong by now."""
        return [str(finding) for finding in self._all[-1].store.audit(None, self.clock.now(), grace=PENDING)]

    def close(self) -> None:
        """After a test."""
        with contextlib.ExitStack() as closing:  # all of them, whatever one comes to
            for process in reversed(self._all):
                closing.callback(process.close)


def times(moments: Iterable[Moment | None]) -> list[str]:
    """Moments as the time of their day, to the second."""
    return [f"{moment:%H:%M:%S}" for moment in moments if moment is not None]
