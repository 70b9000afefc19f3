"""Who has a place, and who waits for one: the part of the ledger in memory that keeps runs apart."""

from __future__ import annotations

import collections
import datetime
import itertools
from collections.abc import Mapping, Sequence

from task.runs import Run
from task.stores.rules import crowding
from task.stores.values import Declaration, Limits, Summary, Switch

__all__ = ["Places", "Record"]

Moment = datetime.datetime

_ON = Switch(True)


class Record:
    """All that is known of one task."""

    __slots__ = (
        "active",
        "arrived",
        "changed",
        "counts",
        "declarations",
        "epoch",
        "mark",
        "pruned",
        "rows",
        "switch",
        "tags",
        "waiting",
    )

    def __init__(self, disabled: bool, tags: tuple[str, ...] = ()) -> None:
        self.switch = Switch(False) if disabled else _ON
        self.tags = tags
        self.mark: Moment | None = None
        self.epoch = 0
        #: The runs that have a place: queued for an executor, running, retrying, or overrunning.
        self.active: list[Run] = []
        #: How many wait for one.
        self.waiting = 0
        #: Of a task that comes after others: which of them have ended since its last run.
        self.arrived: dict[str, Run] | None = None
        #: The history and its counts: an idle task costs neither.
        self.rows: collections.deque[Run] | None = None
        self.counts: Summary | None = None
        self.declarations: list[Declaration] = []
        self.pruned: Moment | None = None
        #: The number of the newest change of one of its runs.
        self.changed = 0

    @property
    def summary(self) -> Summary:
        """What it has come to."""
        if self.counts is None:
            self.counts = Summary()
        return self.counts


class Places:
    """The places of the runs of all tasks. Whoever uses it holds the ledger's lock."""

    def __init__(self, records: Mapping[str, Record]) -> None:
        self._records = records
        self._tokens = itertools.count(1)
        self.reset()

    def reset(self) -> None:
        """Nobody has a place, and nobody waits."""
        #: The runs that wait for others to end, oldest first.
        self.waiting: dict[Run, Limits] = {}
        #: Which run has a mutex, and which mutex a run has.
        self._mutexes: dict[str, Run] = {}
        self._held: dict[Run, str] = {}
        for record in self._records.values():
            record.active, record.waiting = [], 0

    def crowding(self, record: Record, limits: Limits) -> str | None:
        """Why there is no place for one more run of a task; None when there is one."""
        return crowding(limits, len(record.active), record.waiting, self._holder(limits))

    def _holder(self, limits: Limits) -> str | None:
        holder = None if limits.mutex is None else self._mutexes.get(limits.mutex)
        return None if holder is None else holder.task

    def take(self, record: Record, run: Run, limits: Limits) -> None:
        """Give a run its place, and a token that is larger than any before."""
        run.token = run.token or next(self._tokens)
        record.active.append(run)
        if limits.mutex is not None:
            self._mutexes[limits.mutex] = run
            self._held[run] = limits.mutex

    def leave(self, record: Record | None, run: Run) -> Sequence[Run]:
        """Its place is free; the runs that get one by that."""
        if record is not None and run in record.active:
            record.active.remove(run)
        if self._held and (mutex := self._held.pop(run, None)) is not None:
            del self._mutexes[mutex]
        return self._admit() if self.waiting else ()

    def wait(self, record: Record, run: Run, limits: Limits, reason: str) -> None:
        """Let a run wait for a place."""
        run.waiting = run.waited = True
        run.token = next(self._tokens)
        run.reason = run.held_up_by = reason
        record.waiting += 1
        self.waiting[run] = limits

    def _admit(self) -> list[Run]:
        admitted = []
        for run, limits in list(self.waiting.items()):
            record = self._records.get(run.task)
            if record is not None and crowding(limits, len(record.active), 0, self._holder(limits)) is None:
                self.stop_waiting(record, run)
                self.take(record, run, limits)
                admitted.append(run)
        return admitted

    def stop_waiting(self, record: Record, run: Run) -> None:
        """A run has its place now, or does not want it any more."""
        del self.waiting[run]
        record.waiting -= 1
        run.waiting, run.reason = False, None
