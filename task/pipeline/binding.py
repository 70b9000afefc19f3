"""``Binding``: one task at one manager: its ledger, its executor, its place on the heap."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from task.executors import Executor
from task.runs import Run, peek_current_run
from task.schedules import Due, Line
from task.spec import TaskSpec, is_async
from task.stores import Declaration

if TYPE_CHECKING:
    from task.pipeline.pipeline import Pipeline
    from task.scheduler import Entry

__all__ = ["Binding"]

Moment = datetime.datetime


class Binding:
    """One task at one manager (or at none: then on a ledger of its own)."""

    __slots__ = ("body", "claimed", "coroutine", "entry", "executor", "name", "pipeline", "released", "spec")

    def __init__(self, spec: TaskSpec, body: Callable[..., Any], pipeline: Pipeline) -> None:
        self.spec = spec
        self.name = spec.name
        #: The function, bound to its instance where it is a method.
        self.body = body
        self.coroutine = is_async(body)
        self.pipeline = pipeline
        self.entry: Entry | None = None
        #: How many slots were handed over, for ``max_runs``.
        self.claimed = 0
        #: True once it was removed: nothing starts any more.
        self.released = False
        self.executor: Executor | None = None

    def work(self, run: Run) -> Any:
        """What an executor does for a run; an event loop awaits it."""
        if self.coroutine:
            return self.pipeline.execute_async(self, run)
        return self.pipeline.execute(self, run)

    def inside(self) -> bool:
        """Whether the present context is inside a run of this very task: then a call is a plain call."""
        run = peek_current_run()
        while run is not None:
            if isinstance(run.holder, Binding) and run.holder.body == self.body and not run.state.final:
                return True
            run = run.outer
        return False

    # What the scheduler tells it.

    def fire(self, due: Due) -> None:
        """A slot is due."""
        self.pipeline.fire(self, due)

    def catch_up(self) -> None:
        """Late slots are to be run one by one."""
        self.pipeline.catch_up(self)

    def set_back(self, now: Moment) -> None:
        """The clock had been wrong: begin a new epoch of the ledger from now."""
        self.pipeline.store.set_back(self.name, now)
        if self.entry is not None:
            for line in self.entry.timetable.lines:
                self.declare(line, now)

    def broke(self) -> None:
        """A schedule of it is broken: it owes nothing any more."""
        self.retire()

    def retire(self) -> None:
        """Record that its schedules owe nothing later than its mark: what was due and not taken goes with it."""
        store = self.pipeline.store
        mark = store.mark(self.name) or datetime.datetime.min.replace(tzinfo=datetime.UTC)
        for line in self.entry.timetable.lines if self.entry is not None else ():
            store.retire(self.name, line.job, mark)

    def declare(self, line: Line, since: Moment) -> None:
        """Record that a schedule owes an outcome for each slot later than *since*."""
        owed = line.job.latest is None and not self.spec.fixed_delay
        # A copy: the live line moves on.
        self.pipeline.store.declare(self.name, Declaration(copy.copy(line), since, owed=owed))
