"""``Watched``: one task, as it is watched: how it stands, what is expected of it, and its first slot without a run."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Sequence

from task.alerts.rules import IN_A_ROW, OFTEN, longest_usual
from task.pipeline import Binding
from task.runs import Run, RunState
from task.scheduler import Entry
from task.schedules import Line, is_random
from task.spec import Expectation
from task.stores import Standing, Statistics, Store

__all__ = ["SAMPLE", "Watched"]

Moment = datetime.datetime

_TICK = datetime.timedelta(microseconds=1)

#: What is usual is learned from so many of the newest runs.
SAMPLE = 60

#: Why the ledger says that slots were missed which nobody owes: these are told of where the code is changed.
NOT_OWED = ("its schedule was changed before it ran", "past when the task was registered")


class Watched:
    """A task of this process (*binding*), or one that it leaves to others, known from the store alone."""

    __slots__ = (
        "_entry",
        "_floor",
        "_judged",
        "_planned_for",
        "_spec",
        "_usual_for",
        "binding",
        "due",
        "expected",
        "expected_from",
        "lines",
        "longest",
        "missed",
        "name",
        "standing",
    )

    def __init__(self, name: str, binding: Binding | None, store: Store, since: Moment, standing: Standing) -> None:
        self.name = name
        self.binding = binding
        self.standing = standing
        #: Of one that is left to others, the schedules that they have declared, with since when their slots are owed.
        self.lines: list[tuple[Line, Moment]] = []
        #: The first slot that has no outcome yet; None where that is not known.
        self.due: Moment | None = None
        #: A run that takes longer takes too long. Seconds; None where too few runs tell.
        self.longest: float | None = None
        #: Its newest row, if that is of slots that were missed.
        self.missed: Run | None = None
        #: From when on a success is expected of it.
        self.expected_from = since
        #: After which mark of which schedules `due` is, for which mark `missed` is, and for which run `longest` is.
        self._planned_for: object = None
        #: What its slots come from, and the first of them that was seen.
        self._entry: Entry | None = None
        self._floor: Moment | None = None
        self._judged: Moment | None = None
        self._usual_for: Run | None = None
        #: The declaration of which that is so.
        self._spec = None if binding is None else binding.spec
        #: What is expected of its runs.
        self.expected = Expectation.of(store.expectation(name)) if binding is None else binding.spec.expectation
        self._read_declarations(store)

    def _read_declarations(self, store: Store) -> None:
        """Only where they are wanted: there may be very many tasks."""
        foreign = self.binding is None
        if not foreign and (self.expected.expect_within is None or self.succeeded_at is not None):
            return
        declared = store.declarations(self.name)
        if declared:
            self.expected_from = min(self.expected_from, *(one.since for one in declared))
        if foreign:
            self.lines = [(copy.copy(one.line), one.since) for one in declared if one.until is None and one.owed]

    @property
    def succeeded_at(self) -> Moment | None:
        """When its newest run that succeeded had ended."""
        return self.standing.summary.succeeded_at

    @property
    def current(self) -> bool:
        """Whether nobody has declared it anew: a recurring entry may be."""
        return self.binding is None or self.binding.spec is self._spec

    # Its slots.

    def plan(self) -> None:
        """Find `due` anew where its mark has moved, or its schedules have changed."""
        entry = None if self.binding is None else self.binding.entry
        planned_for = self.standing.mark, entry, 0 if entry is None else len(entry.timetable.lines)
        if self.due is None or planned_for != self._planned_for:
            self._planned_for = planned_for
            if entry is not self._entry:
                self._entry, self._floor = entry, None if entry is None else entry.timetable.next_slot()
            self.due = self._first_after(self.standing.mark)

    def needs_outcome(self) -> bool:
        """Whether it is to be looked at what became of its newest slot: it was skipped, or missed."""
        mark, last = self.standing.mark, self.standing.summary.last
        if mark is None or mark == self._judged or self.standing.active:
            return False
        return last is None or last.slot is None or last.slot < mark

    def judge(self, newest: Sequence[Run]) -> None:
        """Its newest rows tell whether its newest slot was missed. What a change of its schedule ends is not."""
        self._judged = self.standing.mark
        row = newest[0] if newest else None
        missed = row is not None and row.state is RunState.MISSED and row.reason not in NOT_OWED
        self.missed = row if missed else None

    def _first_after(self, mark: Moment | None) -> Moment | None:
        if self.binding is None:
            slots = [line.after(since if mark is None else max(mark, since)) for line, since in self.lines]
            return min((slot for slot in slots if slot is not None), default=None)
        entry = self.binding.entry
        if entry is None or not entry.live or entry.reason is not None:
            return None
        lines = list(entry.timetable.lines)
        if mark is None or entry.hold or any(is_random(line.job) for line in lines):
            return None if entry.held else entry.timetable.next_slot()  # it depends on what ran
        after = mark if self._floor is None else max(mark, self._floor - _TICK)  # those before were never owed
        slots = [line.after(after) for line in lines]
        return min((slot for slot in slots if slot is not None), default=None)

    @property
    def failures_allowed(self) -> int:
        """It is failing with so many failures in a row."""
        if self.expected.alert_after is not None:
            return self.expected.alert_after
        entry = None if self.binding is None else self.binding.entry
        lines = [line for line, _ in self.lines] if entry is None else list(entry.timetable.lines)
        return IN_A_ROW if any(map(_comes_often, lines)) else 1

    # Its runs.

    def takes_too_long(self, run: Run, now: Moment) -> bool:
        """Whether a run goes on for far longer than they usually do."""
        if run.overrunning:
            return True
        if run.state is not RunState.RUNNING or run.started_at is None or self.longest is None:
            return False
        return (now - run.started_at).total_seconds() > self.longest

    def oldest_running(self) -> Run | None:
        """The run whose time counts."""
        return next((run for run in self.standing.active if run.state is RunState.RUNNING and run.started_at), None)

    def needs_usual(self, now: Moment) -> bool:
        """Whether it is to be learned how long its runs take: one of them takes a while."""
        run = self.oldest_running()
        if run is None or run.started_at is None or (now - run.started_at).total_seconds() < 60:
            return False
        return self._usual_for is None or self._usual_for.id != run.id

    def learn(self, newest: Sequence[Run]) -> None:
        """How long they take, from its newest rows."""
        ended = [run for run in newest if run.state is not RunState.LOST]
        told = [(run.duration, None) for run in ended if run.duration is not None]
        self.longest = longest_usual(Statistics.of(self.name, {}, told))
        self._usual_for = self.oldest_running()


def _comes_often(line: Line) -> bool:
    first = line.after(line.anchor)
    second = None if first is None else line.after(first)
    return first is not None and second is not None and (second - first).total_seconds() < OFTEN
