"""The ledger in memory: exact, fast, bounded, and gone with the process."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import heapq
import itertools
import operator
import os
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from task.errors import DuplicateTaskError
from task.runs import ParentResults, Run, RunState
from task.schedules import Missed
from task.stores.base import Store
from task.stores.changes import Changes, Position
from task.stores.history import SAMPLE, Statistics, Wanted
from task.stores.incidents import Incidents
from task.stores.places import Places, Record
from task.stores.rules import lapsed, may_wait, refusal
from task.stores.values import (
    Declaration,
    Follower,
    Incident,
    JournalEntry,
    Limits,
    RecurringRecord,
    RecurringRow,
    Summary,
    Switch,
    Terms,
)

__all__ = ["MemoryStore"]

Moment = datetime.datetime

# As in the pipeline: a look-up on the class costs as much as a small function.
QUEUED, RUNNING, SKIPPED, MISSED = RunState.QUEUED, RunState.RUNNING, RunState.SKIPPED, RunState.MISSED
SUCCEEDED, FAILED, CANCELLED = RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED
TIMED_OUT = RunState.TIMED_OUT

#: So many declarations of one task are kept, beyond those in force.
ENDED = 100

#: So much of the journal is kept. Entries.
JOURNAL = 1_000


def _numbers_after(newest: int) -> Iterator[int]:
    """Larger than any that somebody may have been told before, by this process or another."""
    return itertools.count(newest + 1 + int.from_bytes(os.urandom(5)))


#: Each change of a run has one, over all stores: a record can move from one to another.
_numbers = _numbers_after(0)
_first_number = next(_numbers)

#: Of so many removed tasks the history is kept.
ABANDONED = 100


class MemoryStore(Store):
    """Keeps the last *keep* rows of each task.

    >>> store = MemoryStore(keep=10)
    >>> store.register("sample", Terms())
    >>> store.runs("sample")
    []
    """

    #: One lock for all: a record can move from one store to another while a run of it is under way.
    _lock = threading.Lock()

    def __init__(self, keep: int = 200) -> None:
        self._keep = max(1, keep)
        self._records: dict[str, Record] = {}
        self._paused = False
        self._abandoned: dict[str, None] = {}
        self._entries: dict[str, RecurringRow] = {}
        #: Which names are theirs, and not of a task of the code.
        self._of_entries: set[str] = set()
        self._entries_changed = 0
        self._places = Places(self._records)
        self._journal: collections.deque[tuple[int, JournalEntry]] = collections.deque(maxlen=JOURNAL)
        self._incidents = Incidents()
        #: What the bodies under way had told when somebody last asked for changes.
        self._told: dict[Run, tuple[Any, ...]] = {}
        _stores.add(self)

    def reset_after_fork(self) -> None:
        """The parent's runs are not the child's."""
        self._places.reset()

    def register(self, name: str, terms: Terms, origin: Store | None = None) -> None:
        with self._lock:
            self._abandoned.pop(name, None)
            (self._of_entries.add if terms.entry else self._of_entries.discard)(name)
            known = self._records.get(name)
            if known is None and isinstance(origin, MemoryStore):
                known = origin._records.get(name)
            known = self._records[name] = known or Record(terms.disabled)
            known.tags = terms.tags

    def declare(self, name: str, declaration: Declaration) -> None:
        with self._lock:
            record = self._records[name]
            declaration.epoch = record.epoch
            record.declarations.append(declaration)
            if len(record.declarations) > ENDED:
                self._forget_oldest(record)

    @staticmethod
    def _forget_oldest(record: Record) -> None:
        """Drop the oldest declaration that has ended: what lies before its end is not known any more."""
        for declaration in record.declarations:
            if declaration.until is not None:
                record.declarations.remove(declaration)
                record.pruned = max(declaration.until, record.pruned or declaration.until)
                return

    def retire(self, name: str, job: Any, until: Moment) -> None:
        with self._lock:
            for declaration in self._records[name].declarations:
                if declaration.line.job is job and declaration.until is None:
                    declaration.until = until

    def declarations(self, name: str) -> list[Declaration]:
        with self._lock:
            return list(self._records[name].declarations) if name in self._records else []

    def mark(self, name: str) -> Moment | None:
        record = self._records.get(name)
        return None if record is None else record.mark

    def set_back(self, name: str, moment: Moment) -> None:
        with self._lock:
            record = self._records[name]
            for declaration in record.declarations:
                if declaration.until is None:
                    declaration.until = record.mark or moment
            record.mark = moment
            record.epoch += 1

    def claim(self, run: Run, limits: Limits, missed: Missed | None = None, unwanted: str | None = None) -> bool:
        with self._lock:
            record = self._records[run.task]
            slot = run.slot
            if slot is not None:
                mark = record.mark
                if mark is not None and slot <= mark:
                    return False
                record.mark = slot
            run.epoch = record.epoch
            if missed is not None:
                self._miss(record, run.task, missed, "late: a newer slot was due", run.queued_at).comes_before(run)
            self._admit(record, run, limits, unwanted)
            return True

    @staticmethod
    def _changed(record: Record, run: Run) -> None:
        run.changed = record.changed = next(_numbers)

    def _admit(self, record: Record, run: Run, limits: Limits, unwanted: str | None = None) -> None:
        """Queue it, let it wait, or skip it."""
        if unwanted or record.active or record.waiting or self._paused or not record.switch.enabled or limits.mutex:
            reason = self._refusal(record, run) or unwanted
            crowded = None if reason else self._places.crowding(record, limits)
            if crowded and may_wait(limits, record.waiting, run.trigger):
                self._places.wait(record, run, limits, crowded)
                self._append(record, run)
                return
            if reason or crowded:
                self._skip(record, run, reason or crowded or "")
                return
        self._places.take(record, run, limits)
        self._append(record, run)

    def _refusal(self, record: Record, run: Run) -> str | None:
        switch = record.switch
        enabled = switch.enabled or (switch.until is not None and run.queued_at >= switch.until)
        return refusal(enabled, self._paused)

    def _skip(self, record: Record, run: Run, reason: str) -> None:
        run.to_skipped(reason)
        skips = record.summary.skips
        skips[reason] = skips.get(reason, 0) + 1
        _count(record.summary, SKIPPED)
        rows = record.rows
        if rows and run.trigger != "manual":
            last = rows[-1]
            same = last.state is SKIPPED and last.reason == reason and last.epoch == run.epoch
            if same and last.trigger == run.trigger:
                last.also(run.slot or run.queued_at)
                self._changed(record, last)
                return
        self._append(record, run)

    def _append(self, record: Record, run: Run) -> None:
        rows = record.rows
        if rows is None:
            rows = record.rows = collections.deque(maxlen=self._keep)
        if len(rows) == self._keep:
            oldest = rows[0]
            if oldest.missed is not None:  # to count its slots would take time here
                _count(record.summary, MISSED)
            if oldest.slot is not None:
                last = oldest.missed.before if oldest.missed is not None else oldest.last_at
                record.pruned = max(last or oldest.slot, record.pruned or oldest.slot)
        rows.append(run)
        run.changed = record.changed = next(_numbers)

    def _miss(self, record: Record, name: str, missed: Missed, reason: str, now: Moment) -> Run:
        row = Run(name, "schedule", now, slot=missed.first, state=MISSED)
        row.missed, row.reason, row.epoch = missed, reason, record.epoch
        self._append(record, row)
        return row

    def miss(self, name: str, missed: Missed, reason: str, now: Moment) -> None:
        with self._lock:
            record = self._records[name]
            newest = missed.before - datetime.timedelta(microseconds=1)
            if record.mark is None or newest > record.mark:
                record.mark = newest
                self._miss(record, name, missed, reason, now)

    def start(self, run: Run, now: Moment) -> bool:
        with self._lock:
            if RUNNING not in run.state.following:
                return False
            run.begin_attempt(now)  # first: who sees the state, without the lock, sees what belongs to it
            run.state = RUNNING
            record = self._records.get(run.task)
            if record is not None:
                run.changed = record.changed = next(_numbers)
                if run.attempt == 1:
                    record.summary.runs += 1
            return True

    def retry(self, run: Run, attempt: int, now: Moment, next_at: Moment) -> bool:
        with self._lock:
            if run.state is not RUNNING or run.attempt != attempt:
                return False
            run.to(RunState.RETRYING)
            run.end_attempt(now)
            run.next_at = next_at
            self._have_changed((run,))
            return True

    def cancel(self, run: Run, now: Moment, reason: str, followers: Sequence[Follower] = ()) -> Sequence[Run] | None:
        with self._lock:
            if run.state is RUNNING or run.state.final:
                return None
            admitted = self._finish(run, CANCELLED, now, reason, run.overrunning, followers)
        run.ended()
        return admitted

    def finish(
        self,
        run: Run,
        state: RunState,
        now: Moment,
        reason: str | None = None,
        *,
        attempt: int | None = None,
        keep_place: bool = False,
        followers: Sequence[Follower] = (),
    ) -> Sequence[Run] | None:
        with self._lock:
            if run.state.final or (attempt is not None and (run.attempt != attempt or run.state is not RUNNING)):
                return None
            admitted = self._finish(run, state, now, reason, keep_place, followers)
        run.ended()
        return admitted

    def release(self, run: Run) -> Sequence[Run]:
        with self._lock:
            record = self._records.get(run.task)
            admitted = self._places.leave(record, run)
            rows = () if record is None or record.rows is None or run in record.rows else record.rows
            kept = [row for row in rows if row.queued_at == run.queued_at and row.id == run.id]  # instead of it
            self._have_changed((run, *kept, *admitted))
            return admitted

    def _finish(
        self,
        run: Run,
        state: RunState,
        now: Moment,
        reason: str | None,
        keep_place: bool,
        followers: Sequence[Follower],
    ) -> Sequence[Run]:
        waited = run.waiting
        record = self._records.get(run.task)
        if waited and record is not None:
            self._places.stop_waiting(record, run)
        if reason:
            run.reason = reason
        if run.redactor is not None or run.inputs is not None:
            run.forget_inputs()
        run.finished_at = now
        run.to(state)  # last: who sees the final state, without the lock, sees what belongs to it
        admitted = () if keep_place or waited else self._places.leave(record, run)
        if record is not None:
            run.changed = record.changed = next(_numbers)
            self._sum_up(record, run, state)
        if admitted:
            self._have_changed(admitted)
        for follower in followers:
            if state in follower.states:
                admitted = [*admitted, *self._follow(run, follower)]
        return admitted

    @staticmethod
    def _sum_up(record: Record, run: Run, state: RunState) -> None:
        summary = record.summary
        kept = run.for_history()
        if kept is not run and record.rows is not None and run in record.rows:
            record.rows[record.rows.index(run)] = kept
        summary.last = kept
        if state is SUCCEEDED:
            summary.consecutive_failures = 0
            summary.succeeded += 1
            summary.succeeded_at = run.finished_at
            return
        _count(summary, state)
        if state is FAILED or state is TIMED_OUT:
            summary.failures += 1
            summary.consecutive_failures += 1

    def _follow(self, parent: Run, follower: Follower) -> Sequence[Run]:
        """One that it comes after has ended; its run, if that was the last one missing."""
        record = self._records.get(follower.name)
        if record is None:
            return ()
        record.arrived = {**(record.arrived or {}), parent.task: parent}
        if not all(name in record.arrived for name in follower.after):
            return ()
        results = ParentResults({name: record.arrived[name].peek_value() for name in follower.after})
        record.arrived = None
        child = follower.follow(parent, results)
        self._admit(record, child, follower.limits)
        return () if child.waiting else (child,)

    def active(self, name: str | None = None) -> list[Run]:
        with self._lock:
            if name is not None:
                active = list(self._records[name].active) if name in self._records else []
                return active + [run for run in self._places.waiting if run.task == name]
            return [run for record in self._records.values() for run in record.active] + list(self._places.waiting)

    def find_runs(self, wanted: Wanted, limit: int | None) -> list[Run]:
        with self._lock:
            rows = [
                list(record.rows)
                for name, record in self._records.items()
                if record.rows and wanted.task in (None, name) and (wanted.tag is None or wanted.tag in record.tags)
            ]
        found = [run for some in rows for run in some if wanted.wants(run)]
        if limit is not None and len(found) > limit:  # ids are made when they are asked for: not for all of them
            oldest = heapq.nlargest(limit, [run.queued_at for run in found])[-1]
            found = [run for run in found if run.queued_at >= oldest]
        return sorted(found, key=lambda run: run.id, reverse=True)[:limit]

    def recent(self, names: Sequence[str], limit: int = 60) -> dict[str, list[Run]]:
        """By the times of the rows alone: ids are made when they are asked for, and here nobody does."""
        with self._lock:
            records = {name: self._records.get(name) for name in names}
            rows = {name: [*reversed(record.rows or ())] if record else [] for name, record in records.items()}
        return {name: sorted(some, key=_queued_at, reverse=True)[:limit] for name, some in rows.items()}

    def find(self, key: str) -> Run | None:
        with self._lock:
            rows = [list(record.rows) for record in self._records.values() if record.rows]
        return next((run for some in rows for run in some if run.id == key), None)

    def _have_changed(self, runs: Iterable[Run]) -> None:
        for run in runs:
            if (record := self._records.get(run.task)) is not None:
                run.changed = record.changed = next(_numbers)

    def changes(self, position: str | None, limit: int) -> Changes:
        with self._lock:
            self._look_at_bodies()
            newest = Position(*[next(_numbers)] * 2)
            since = newest if position is None else Position.of(position, newest, _first_number)
            # With its number as it is now: it may change again before this is told, and others between.
            runs = [(run.changed, run) for run in self._of_records(since.runs) if run.changed > since.runs]
            noted = [entry for entry in self._journal if entry[0] > since.journal][:limit]
        if not runs and not noted:
            return Changes([], [], str(since))
        by_id: dict[str, tuple[int, Run]] = {}
        for number, run in sorted(runs, key=operator.itemgetter(0)):
            by_id.pop(run.id, None)  # one whose body goes on past its end is there twice: the later change counts
            by_id[run.id] = number, run
        told = list(by_id.values())[:limit]
        reached = newest.after([number for number, _ in told], [number for number, _ in noted], limit)
        return Changes([run for _, run in told], [entry for _, entry in noted], str(reached))

    def _of_records(self, since: int) -> Iterator[Run]:
        for record in self._records.values():
            if record.changed > since:
                yield from record.active
                yield from record.rows or ()
        yield from self._places.waiting

    def _look_at_bodies(self) -> None:
        """How far they are, and what they log, they tell their runs alone: that costs them nothing."""
        told = {}
        for record in self._records.values():
            for run in record.active:
                shown = told[run] = run.progress, run.message, len(run.log) + run.log_dropped
                if shown != self._told.get(run, (None, "", 0)):
                    self._changed(record, run)
        self._told = told

    def summary(self, name: str) -> Summary:
        with self._lock:
            kept = self._records[name].counts or Summary()
            return dataclasses.replace(kept, skips=dict(kept.skips), others=dict(kept.others))

    def entries(self, name: str | None = None) -> list[RecurringRecord]:
        with self._lock:
            names = sorted(self._entries) if name is None else {name} & self._entries.keys()
            return [self._record_of(self._entries[one]) for one in names]

    def _record_of(self, row: RecurringRow) -> RecurringRecord:
        record = self._records[row.name]
        counts = record.counts or Summary()
        return RecurringRecord(row, record.switch, counts.runs, counts.failures, counts.consecutive_failures)

    def entries_changed(self) -> int:
        return self._entries_changed

    def put_entry(self, row: RecurringRow) -> bool:
        with self._lock:
            known = self._entries.get(row.name)
            if row.version != (1 if known is None else known.version + 1):
                return False
            record = self._records.setdefault(row.name, Record(False))
            if known is None and any(declaration.until is None for declaration in record.declarations):
                raise DuplicateTaskError(f"There is a task {row.name!r} already: give the entry another name.")
            if known is not None and known.scheduled_at != row.scheduled_at:
                self._end_schedule(row.name)
            self._entries[row.name] = row
            self._entries_changed += 1
            return True

    def _end_schedule(self, name: str) -> None:
        record = self._records[name]
        for declaration in record.declarations if name in self._of_entries else ():
            if declaration.until is None:
                declaration.until = record.mark or declaration.since

    def drop_entry(self, name: str, now: Moment) -> bool:
        with self._lock:
            if name not in self._entries:
                return False
            self._end_schedule(name)
            del self._entries[name]
            self._entries_changed += 1
            return True

    def statistics(self, name: str) -> Statistics:
        with self._lock:
            record = self._records.get(name)
            rows = list(record.rows or ()) if record is not None else []
            counts: collections.Counter[str] = collections.Counter()
            if record is not None and record.counts is not None:
                counts.update(record.counts.others, succeeded=record.counts.succeeded)
        for run in rows:
            if run.missed is not None:
                counts[MISSED] += run.count
            elif not run.state.final:
                counts[run.state] += 1
        told = [run for run in reversed(rows) if run.duration is not None and run.state is not RunState.LOST]
        sample = told[:SAMPLE]
        measured = [(run.duration or 0.0, run.lateness) for run in sample]
        return Statistics.of(name, counts, measured, [run.delays for run in sample if run.delays])

    def note(self, entry: JournalEntry) -> None:
        with self._lock:
            self._journal.append((next(_numbers), entry))

    def journal(self, task: str | None = None, limit: int = 100) -> list[JournalEntry]:
        entries = [entry for _, entry in reversed(list(self._journal)) if task is None or entry.task == task]
        return entries[:limit]

    def open_incidents(self, found: Sequence[Incident]) -> list[Incident]:
        with self._lock:
            return self._incidents.open(found)

    def end_incidents(self, over: Sequence[Incident]) -> list[Incident]:
        with self._lock:
            return self._incidents.end(over)

    def incidents(self, task: str | None = None, limit: int | None = 100) -> list[Incident]:
        with self._lock:
            return self._incidents.find(task, limit)

    def turn(self, name: str, switch: Switch) -> None:
        with self._lock:
            record = self._records[name]
            record.switch = switch
            if switch.enabled:
                record.summary.consecutive_failures = 0  # it is given another chance

    def switch(self, name: str, now: Moment) -> Switch:
        return lapsed(self._records[name].switch, now)

    @property
    def paused(self) -> bool:
        return self._paused

    def abandon(self, name: str) -> None:
        with self._lock:
            self._abandoned.pop(name, None)
            if name in self._entries:  # its task has gone, and may come back
                return
            self._abandoned[name] = None
            if len(self._abandoned) > ABANDONED:
                oldest = next(iter(self._abandoned))
                del self._abandoned[oldest]
                self._records.pop(oldest, None)

    def pause(self, paused: bool) -> None:
        with self._lock:
            self._paused = paused

    def pruned(self, name: str) -> Moment | None:
        record = self._records.get(name)
        return None if record is None else record.pruned

    def names(self) -> list[str]:
        with self._lock:
            return list(self._records)


_queued_at = operator.attrgetter("queued_at")


def _count(summary: Summary, state: RunState) -> None:
    summary.others[state] = summary.others.get(state, 0) + 1


_stores: weakref.WeakSet[MemoryStore] = weakref.WeakSet()


def _after_fork() -> None:
    global _numbers, _first_number
    _numbers = _numbers_after(next(_numbers))
    _first_number = next(_numbers)  # what the parent has told is not what comes here
    MemoryStore._lock = threading.Lock()
    for store in list(_stores):
        store.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
