"""Two processes on one database, each in a thread and on a virtual clock, in an order that a seed says.

One of them runs at a time. Where it is about to begin a transaction, and where it has committed one and nobody was told
yet, the other may go on instead: so every order of such steps can come, and a seed makes the same one again. One may be
frozen at such a point, as SIGSTOP would do it, until the other has gone on for longer than a process may be silent.
"""

from __future__ import annotations

import dataclasses
import random
import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, event

from task import TaskManager
from task.models import process as process_module
from task.stores.sql import SqlStore, hooks
from task.testing import VirtualClock

#: So long a thread waits for its turn: for one that is frozen, all that the other does meanwhile. Seconds.
LIMIT = 120.0


@dataclasses.dataclass(eq=False)
class Process:
    """One process: what it has, and what it does in its thread."""

    name: str
    clock: VirtualClock
    store: SqlStore
    manager: TaskManager
    script: Callable[[Process], object]
    #: How many points it has come to, and at which it is frozen.
    points: int = 0
    freezes_at: int | None = None
    frozen: bool = False
    #: Whether it is in a transaction that writes.
    writes: bool = False
    done: bool = False
    failure: BaseException | None = None
    thread: threading.Thread | None = None


class Conductor:
    """Says whose turn it is, by *seed*."""

    def __init__(self, url: str, seed: int) -> None:
        self._url = url
        self.chance = random.Random(seed)
        self.processes: list[Process] = []
        #: What was done in which order: ``A claim:after``.
        self.steps: list[str] = []
        self._turn: Process | None = None
        self._changed = threading.Condition()

    def add(self, name: str, clock: VirtualClock, script: Callable[[Process], object], **options: Any) -> Process:
        """One more process; *script* is what it does, and is run in its thread."""
        store = SqlStore(self._url)
        made = Process(name, clock, store, TaskManager([], store=store, clock=clock, **options), script)
        store.entries()  # it is made by now: who makes it keeps the others out, and must not wait for them
        engine = store._database._engine
        event.listen(engine, "begin", lambda connection: self._begin(made, connection))
        engine.dispatch.begin.listeners.rotate(1)  # before who begins it
        for ending in ("commit", "rollback"):
            event.listen(engine, ending, lambda connection: self._end(made, connection))
        self.processes.append(made)
        return made

    def play(self) -> None:
        """Run all of them to their ends, then let go of what they have. Raises what one of them has raised."""
        hooks.reached = lambda point: self._reach(point) if point.endswith(":after") else None
        try:
            for process in self.processes:
                process.thread = threading.Thread(target=self._run, args=(process,), name=process.name, daemon=True)
                process.thread.start()
            with self._changed:
                self._choose()
            for process in self.processes:
                assert process.thread is not None
                process.thread.join(2 * LIMIT)
                assert not process.thread.is_alive(), f"{process.name} does not end; the last steps: {self.steps[-20:]}"
        finally:
            hooks.reached = None
        for process in self.processes:
            if process.failure is not None:
                raise process.failure

    def close(self) -> None:
        """Let go of the stores."""
        for process in self.processes:
            process.manager.stop(0)
            process_module.all_managers.discard(process.manager)  # the test says itself what the audit finds
            process.store.close()

    def _run(self, process: Process) -> None:
        try:
            with self._changed:
                self._await(process)
            process.script(process)
        except BaseException as error:
            process.failure = error
        finally:
            with self._changed:
                process.done = True
                self._choose()

    def _begin(self, process: Process, connection: Connection) -> None:
        self._reach("begin")
        process.writes = process.writes or _writes(connection)

    def _end(self, process: Process, connection: Connection) -> None:
        if _writes(connection):
            process.writes = False

    def _reach(self, point: str) -> None:
        """A point is reached by the thread that calls; the others' threads (a test's, say) go on as they like."""
        here = threading.current_thread()
        process = next((one for one in self.processes if one.thread is here and not one.done), None)
        if process is None or process.writes:  # who keeps the others from writing must not wait for them
            return
        with self._changed:
            self.steps.append(f"{process.name} {point}")
            process.points += 1
            process.frozen = process.points == process.freezes_at
            self._choose()
            self._await(process)

    def _choose(self) -> None:
        """Whose turn it is next. The lock is held."""
        able = [process for process in self.processes if not process.done and not process.frozen]
        if not able:  # the other has gone on for as long as it was to: who was frozen goes on
            able = [process for process in self.processes if not process.done]
            for process in able:
                process.frozen = False
        self._turn = self.chance.choice(able) if able else None
        self._changed.notify_all()

    def _await(self, process: Process) -> None:
        if not self._changed.wait_for(lambda: self._turn is process, LIMIT):
            raise TimeoutError(f"It is never the turn of {process.name}; the last steps: {self.steps[-20:]}")


def _writes(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("writes"))
