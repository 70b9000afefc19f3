"""A random walk through the interface of the store, beside a model of it that is small enough to be believed.

Several processes (store objects on one database) claim slots, run, retry, end and cancel runs, leave them to each
other, freeze until they are found dead, and come back. After each step the store says what the model says.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import itertools
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sql
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from task import ParentResults, Run, RunState, every
from task.schedules import Line, Missed
from task.stores import Declaration, Follower, Limits, Switch, Terms, open_store
from task.testing import VirtualClock

NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
TICK = datetime.timedelta(microseconds=1)

#: A process whose heart stands still for so long is dead. Seconds.
LOST_AFTER = 3

#: The tasks: what each of them admits. `after a` comes after `a`.
TASKS = {
    "a": Limits(),
    "b": Limits(2, "queue", "machine"),
    "c": Limits(1, "cancel_previous", "machine", "rerun"),
    "d": Limits(1, "allow", None, "rerun"),
    "after a": Limits(1, "queue"),
}
ON = Switch(True)
SCHEDULED = ("a", "b", "c", "d")
FINAL = ("succeeded", "failed", "cancelled", "timed_out", "lost")

_namespaces = (f"example {number}" for number in itertools.count(1))


@dataclasses.dataclass(eq=False)
class Entry:
    """One row, as the model has it."""

    task: str
    trigger: str
    state: str
    queued_at: datetime.datetime
    slot: datetime.datetime | None = None
    reason: str | None = None
    count: int = 1
    #: 1: it has a place; 2: it waits for one; 0: neither.
    place: int = 0
    attempt: int = 0
    epoch: int = 0
    #: Which process has it; None: it waits for one.
    owner: int | None = None
    #: Set once the store has told: a row of its own making has an id of its own.
    id: str | None = None
    token: int = 0
    reruns: int = 0
    aside: bool = False
    #: The object of each process that ever had it.
    objects: dict[int, Run] = dataclasses.field(default_factory=dict)

    @property
    def run(self) -> Run:
        assert self.owner is not None
        return self.objects[self.owner]

    @property
    def portable(self) -> bool:
        return self.trigger != "call"


@dataclasses.dataclass
class Sheet:
    """One task, as the model has it."""

    rows: list[Entry] = dataclasses.field(default_factory=list)
    mark: datetime.datetime | None = None
    since: datetime.datetime = NOON
    epoch: int = 0
    switch: Switch = ON
    last_skip: Entry | None = None
    runs: int = 0
    failures: int = 0
    consecutive: int = 0
    skips: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)


class Model:
    """The rules of the ledger, as its interface tells them."""

    def __init__(self, *, shared: bool) -> None:
        #: Whether several processes use the store: a run of one that died may be run again.
        self.shared = shared
        self.sheets = {name: Sheet() for name in TASKS}
        self.paused = False

    @property
    def rows(self) -> list[Entry]:
        return [row for sheet in self.sheets.values() for row in sheet.rows]

    def claim(self, entry: Entry) -> bool:
        sheet = self.sheets[entry.task]
        if entry.slot is not None:
            if sheet.mark is not None and entry.slot <= sheet.mark:
                return False
            self.miss(entry.task, entry.slot, "late: a newer slot was due", entry.queued_at)
            sheet.mark = entry.slot
        entry.epoch = sheet.epoch
        self.admit(entry)
        return True

    def miss(self, name: str, before: datetime.datetime, reason: str, now: datetime.datetime) -> None:
        sheet = self.sheets[name]
        slots = self.due(name, before)
        if slots:
            sheet.rows.append(Entry(name, "schedule", "missed", now, slots[0], reason, len(slots), epoch=sheet.epoch))
            sheet.last_skip = None

    def due(self, name: str, before: datetime.datetime) -> list[datetime.datetime]:
        """The slots of a task that have no outcome and lie before a moment."""
        sheet = self.sheets[name]
        since = sheet.since if sheet.mark is None else max(sheet.mark, sheet.since)
        first = NOON + (int((since - NOON) / MINUTE) + 1) * MINUTE
        return [first + number * MINUTE for number in range(max(0, -int((first - before) // MINUTE)))]

    def admit(self, entry: Entry) -> None:
        sheet, limits = self.sheets[entry.task], TASKS[entry.task]
        reason = self.refusal(sheet, entry)
        crowded = None if reason else self.crowding(entry.task, limits)
        waiting = self.count(entry.task, 2)
        waits = limits.overlap == "cancel_previous" or (limits.overlap in ("queue", "allow") and not waiting)
        if crowded and (not waits or entry.trigger == "call"):
            reason = crowded
        if reason:
            self.skip(sheet, entry, reason)
            return
        entry.place, entry.reason = (2, crowded) if crowded else (1, None)
        sheet.rows.append(entry)
        sheet.last_skip = None

    def refusal(self, sheet: Sheet, entry: Entry) -> str | None:
        switch = sheet.switch
        if not switch.enabled and (switch.until is None or entry.queued_at < switch.until):
            return "disabled"
        return "paused" if self.paused else None

    def crowding(self, name: str, limits: Limits, *, waiting: int | None = None) -> str | None:
        waiting = self.count(name, 2) if waiting is None else waiting
        if limits.overlap != "allow" and self.count(name, 1) >= limits.max_concurrent:
            return "already running" if limits.overlap != "queue" or not waiting else "one run waits already"
        holder = [row for row in self.rows if row.place == 1 and TASKS[row.task].mutex is not None]
        if limits.mutex is not None and holder:
            return f"{holder[0].task!r} has the mutex {limits.mutex!r}"
        return None

    def count(self, name: str, place: int) -> int:
        return sum(row.place == place for row in self.sheets[name].rows)

    def skip(self, sheet: Sheet, entry: Entry, reason: str) -> None:
        entry.state, entry.reason = "skipped", reason
        sheet.skips[reason] += 1
        last = sheet.last_skip
        if last is not None and (last.reason, last.trigger, last.epoch) == (reason, entry.trigger, entry.epoch):
            last.count += 1
            return
        sheet.rows.append(entry)
        sheet.last_skip = entry if entry.trigger != "manual" else None

    def leave(self, entry: Entry) -> list[Entry]:
        entry.place = 0
        admitted = []
        for other in sorted((row for row in self.rows if row.place == 2), key=lambda row: (row.queued_at, row.token)):
            if self.crowding(other.task, TASKS[other.task], waiting=0) is None:
                other.place, other.reason = 1, None
                admitted.append(other)
        return admitted

    def end(
        self, entry: Entry, state: str, reason: str | None, now: datetime.datetime, *, keep_place: bool = False
    ) -> list[Entry]:
        sheet = self.sheets[entry.task]
        entry.state = state
        entry.reason = reason or (None if entry.place == 2 else entry.reason)
        admitted = self.leave(entry) if entry.place and not keep_place else []
        if state == "succeeded":
            sheet.consecutive = 0
        elif state in ("failed", "timed_out"):
            sheet.failures += 1
            sheet.consecutive += 1
        elif state == "lost" and self.is_run_again(entry):
            self.rerun(Entry(entry.task, "rerun", "queued", now, reruns=entry.reruns + 1))
        return admitted

    def bury(self, owner: int, now: datetime.datetime) -> None:
        for entry in [row for row in self.rows if row.owner == owner and row.place]:
            if entry.state in ("queued", "retrying") and entry.portable:
                entry.owner = None
            elif entry.state in FINAL:
                self.leave(entry)
            else:
                self.end(entry, "lost", "dead", now)

    def is_run_again(self, entry: Entry) -> bool:
        return self.shared and TASKS[entry.task].on_lost == "rerun" and entry.portable and entry.reruns < 3

    def rerun(self, entry: Entry) -> None:
        sheet, limits = self.sheets[entry.task], TASKS[entry.task]
        reason = self.refusal(sheet, entry)
        if reason:
            self.skip(sheet, entry, reason)
            return
        crowded = self.crowding(entry.task, limits._replace(overlap="cancel_previous"))
        entry.place, entry.reason = (2, crowded) if crowded else (1, None)
        sheet.rows.append(entry)
        sheet.last_skip = None


class Process:
    """One store object, and a manager that listens to it."""

    def __init__(self, number: int, url: str | None, namespace: str, clock: VirtualClock) -> None:
        self.number = number
        self.taken: list[Run] = []
        #: What it is to plan anew.
        self.to_plan: set[str] = set(TASKS)
        self.clock, self.began_at = clock, clock.monotonic()
        self.store = open_store(url, namespace, LOST_AFTER)
        self.store.attach(self, clock)
        for name in TASKS:
            self.store.register(name, Terms())
        self.store.look()

    def plan(self) -> None:
        """Say what its code says of its tasks."""
        for name in sorted(self.to_plan):
            jobs = [every(1).minutes] if name in SCHEDULED else []
            self.store.enlist(name, jobs, self.clock.now())
            for job in jobs:
                anchor, since = self.store.declared(name, job) or (NOON, NOON)
                self.store.declare(name, Declaration(Line(job, anchor, name), since))
        self.to_plan.clear()

    def is_new(self) -> bool:
        """Whether it has not looked for as long as it takes to find the others dead."""
        return self.clock.monotonic() - self.began_at < LOST_AFTER + 10

    def vitals(self) -> str:
        return ""

    def knows(self, name: str) -> bool:
        return True

    def executes(self, run: Run) -> bool:
        return True

    def admitted(self, runs: Sequence[Run]) -> None: ...

    def take_over(self, run: Run) -> None:
        self.taken.append(run)

    def lost(self, runs: Sequence[Run]) -> None: ...

    def changed(self) -> None: ...

    def renew(self, name: str) -> None:
        self.to_plan.add(name)

    def stale(self, name: str) -> None:
        raise AssertionError(f"{name} is stale, and all have the same code")


class StoreMachine(RuleBasedStateMachine):
    """What is done to the store and to the model."""

    url: str | None = None
    most_processes = 3

    @initialize(processes=st.integers(1, 3))
    def begin(self, processes: int) -> None:
        self.namespace = next(_namespaces)
        self.clock = VirtualClock(NOON)
        self.model = Model(shared=self.url is not None)
        self.numbers = itertools.count(1)
        self.processes: list[Process] = []
        self.frozen: list[Process] = []
        self.newest = self.steps = 0
        for _ in range(min(processes, self.most_processes)):
            self.new_process()

    def new_process(self) -> None:
        process = Process(next(self.numbers), self.url, self.namespace, self.clock)
        process.plan()
        self.processes.append(process)
        self.look(process)

    def teardown(self) -> None:
        if hasattr(self, "processes"):
            self.look_closely()
        for process in [*getattr(self, "processes", ()), *getattr(self, "frozen", ())]:
            process.store.close()

    # What is chosen.

    def process(self, index: int) -> Process:
        return self.processes[index % len(self.processes)]

    def owned(self, *states: str, place: int | None = None) -> list[tuple[Process, Entry]]:
        by_number = {process.number: process for process in self.processes}
        return [
            (by_number[row.owner], row)
            for row in self.model.rows
            if row.owner in by_number and row.state in states and (place is None or row.place == place)
        ]

    def pick(self, index: int, *states: str, place: int | None = None) -> tuple[Process, Entry] | None:
        found = self.owned(*states, place=place)
        return found[index % len(found)] if found else None

    @property
    def now(self) -> datetime.datetime:
        return self.clock.now()

    @property
    def due(self) -> datetime.datetime:
        """The newest slot that is due."""
        return NOON + int((self.now - NOON) / MINUTE) * MINUTE

    # Time.

    @rule(seconds=st.sampled_from([0.001, 20, 60, 60, 200]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds=seconds)
        for process in self.processes:  # else they would be found dead
            self.look(process)

    # Slots and triggers.

    @rule(index=st.integers(0, 9), name=st.sampled_from(SCHEDULED), back=st.sampled_from([0, 0, 0, 0, 1, 2]))
    def claim(self, index: int, name: str, back: int) -> None:
        slot = self.due - back * MINUTE
        if slot <= NOON:
            return
        slots = self.model.due(name, slot)
        self.admit(index, Entry(name, "schedule", "queued", self.now, slot), self.span(slots, slot))

    def span(self, slots: Sequence[datetime.datetime], before: datetime.datetime) -> Missed | None:
        if not slots:
            return None
        line = Line(every(1).minutes, NOON, "")
        line.next = slots[0]
        return Missed(slots[0], before, [line])

    @rule(index=st.integers(0, 9), name=st.sampled_from(list(TASKS)), trigger=st.sampled_from(["manual", "call"]))
    def trigger(self, index: int, name: str, trigger: str) -> None:
        self.admit(index, Entry(name, trigger, "queued", self.now), None)

    def admit(self, index: int, entry: Entry, missed: Missed | None) -> None:
        process = self.process(index)
        run = Run(entry.task, entry.trigger, self.now, slot=entry.slot)  # type: ignore[arg-type]  # one of the triggers
        answers: list[object] = []
        process.store.claim_soon(run, TASKS[entry.task], missed, None, answers.append)
        (granted,) = answers
        if granted is None:  # it waits: who has the place may be dead, and who has just come does not know
            assert process.is_new()
            assert self.model.refusal(self.model.sheets[entry.task], entry) is None
            assert self.model.crowding(entry.task, TASKS[entry.task]) is not None
            return
        assert granted == self.model.claim(entry)
        self.keep(process, entry, run)
        if granted:
            assert (str(run.state), run.reason, run.waiting) == (entry.state, entry.reason, entry.place == 2)

    def keep(self, process: Process, entry: Entry, run: Run) -> None:
        if entry.place:
            entry.owner, entry.objects[process.number] = process.number, run
            assert run.token > self.newest, "a token that is no larger than those before"
            self.newest = entry.token = run.token
        entry.id = run.id

    @rule(index=st.integers(0, 9), name=st.sampled_from(SCHEDULED))
    def miss(self, index: int, name: str) -> None:
        slots = self.model.due(name, self.due)
        if slots:
            process, missed = self.process(index), self.span(slots, self.due)
            assert missed is not None
            process.store.miss(name, missed, "late", self.now)
            self.model.miss(name, self.due, "late", self.now)
            self.model.sheets[name].mark = self.due - TICK

    # Attempts and ends.

    @precondition(lambda self: self.owned("queued", "retrying", place=1))
    @rule(index=st.integers(0, 99))
    def start(self, index: int) -> None:
        if found := self.pick(index, "queued", "retrying", place=1):
            process, entry = found
            if entry.run.waiting:
                self.look(process)
            assert process.store.start(entry.run, self.now)
            entry.state = "running"
            entry.attempt += 1
            if entry.attempt == 1:
                self.model.sheets[entry.task].runs += 1

    @rule(index=st.integers(0, 9), name=st.sampled_from(list(TASKS)), start=st.integers(0, 99))
    def trigger_and_start(self, index: int, name: str, start: int) -> None:
        self.trigger(index, name, "manual")
        self.start(start)

    @precondition(lambda self: self.owned("running"))
    @rule(index=st.integers(0, 99), said_twice=st.booleans())
    def retry(self, index: int, said_twice: bool) -> None:
        if found := self.pick(index, "running"):
            process, entry = found
            attempt = entry.run.attempt
            assert process.store.retry(entry.run, attempt, self.now, self.now + MINUTE)
            entry.state = "retrying"
            if said_twice:
                assert not process.store.retry(entry.run, attempt, self.now, self.now + MINUTE)

    @precondition(lambda self: self.owned("running"))
    @rule(index=st.integers(0, 99), state=st.sampled_from(FINAL), keep_place=st.booleans())
    def finish(self, index: int, state: str, keep_place: bool) -> None:
        if found := self.pick(index, "running"):
            process, entry = found
            reason = "on purpose" if state in ("cancelled", "lost") else None
            child = Entry("after a", "chain", "queued", self.now)
            made: list[Run] = []

            def follow(parent: Run, results: ParentResults) -> Run:
                assert results == {"a": parent.id}
                made.append(Run("after a", "chain", self.now, parent_id=parent.id))
                return made[-1]

            follower = Follower("after a", ("a",), frozenset({RunState.SUCCEEDED}), TASKS["after a"], follow)
            entry.run.keep_value(entry.run.id)
            admitted = process.store.finish(
                entry.run,
                RunState(state),
                self.now,
                reason,
                attempt=entry.run.attempt,
                keep_place=keep_place,
                followers=[follower] if entry.task == "a" else [],
            )
            going = self.model.end(entry, state, reason, self.now, keep_place=keep_place)
            if entry.task == "a" and state == "succeeded":
                self.model.admit(child)
                self.keep(process, child, made[-1])
                if child.place != 2:
                    going.append(child)
            self.expect(process, admitted, going)
            assert process.store.finish(entry.run, RunState.SUCCEEDED, self.now) is None

    def expect(self, process: Process, admitted: Sequence[Run] | None, going: Sequence[Entry]) -> None:
        """The runs of this very process that may go are told of."""
        assert admitted is not None
        own = [entry.id for entry in going if entry.owner == process.number or entry.state == "skipped"]
        assert sorted(run.id for run in admitted) == sorted(key for key in own if key is not None)

    @precondition(lambda self: self.owned(*FINAL, place=1))
    @rule(index=st.integers(0, 99))
    def release(self, index: int) -> None:
        if found := self.pick(index, *FINAL, place=1):
            process, entry = found
            self.expect(process, process.store.release(entry.run), self.model.leave(entry))
            assert list(process.store.release(entry.run)) == []

    @precondition(lambda self: self.owned("queued", "retrying"))
    @rule(index=st.integers(0, 99))
    def cancel(self, index: int) -> None:
        if found := self.pick(index, "queued", "retrying"):
            process, entry = found
            admitted = process.store.cancel(entry.run, self.now, "enough")
            self.expect(process, admitted, self.model.end(entry, "cancelled", "enough", self.now))

    @precondition(lambda self: self.owned("running"))
    @rule(index=st.integers(0, 99))
    def cancel_too_late(self, index: int) -> None:
        if found := self.pick(index, "running", *FINAL):
            process, entry = found
            assert process.store.cancel(entry.run, self.now, "enough") is None

    # Steering.

    @rule(
        index=st.integers(0, 9),
        name=st.sampled_from(list(TASKS)),
        enabled=st.booleans(),
        seconds=st.sampled_from([None, None, 30]),
    )
    def turn(self, index: int, name: str, enabled: bool, seconds: int | None) -> None:
        until = None if enabled or seconds is None else self.now + datetime.timedelta(seconds=seconds)
        switch = Switch(enabled, "note", until, self.now, "ada")
        self.process(index).store.turn(name, switch)
        self.model.sheets[name].switch = switch
        if enabled:
            self.model.sheets[name].consecutive = 0

    @rule(index=st.integers(0, 9), paused=st.booleans())
    def pause(self, index: int, paused: bool) -> None:
        self.process(index).store.pause(paused)
        self.model.paused = paused

    @rule(index=st.integers(0, 9), name=st.sampled_from(SCHEDULED))
    def set_back(self, index: int, name: str) -> None:
        process, sheet = self.process(index), self.model.sheets[name]
        if sheet.mark is None:
            return  # it is set back when it is ahead
        ours = [one for one in process.store.declarations(name) if one.until is None]
        known = getattr(process.store, "_known", {}).get(name)
        if known is not None and known.declarations[-1].epoch != sheet.epoch:
            return  # another process has done so since: what follows is a test of its own
        assert len(ours) == 1
        process.store.set_back(name, self.now)
        process.store.declare(name, Declaration(Line(every(1).minutes, NOON, name), self.now))
        sheet.mark, sheet.since = self.now, self.now
        sheet.epoch += 1
        sheet.last_skip = None

    # Several processes.

    def several(self) -> bool:
        return self.most_processes > 1

    @precondition(several)
    @rule(index=st.integers(0, 9))
    def look_around(self, index: int) -> None:
        self.look(self.process(index))

    def look(self, process: Process) -> None:
        """A process hears what the others have done, and takes over what nobody has."""
        process.store.look()
        process.plan()
        orphans = [row for row in self.model.rows if row.place and row.owner is None]
        for run in process.taken:
            entry = self.found(run, orphans)
            orphans.remove(entry)
            entry.owner, entry.id = process.number, run.id
            entry.objects[process.number] = run
            assert run.token > self.newest
            self.newest = entry.token = run.token
            assert (str(run.state), run.waiting, run.attempt) == (entry.state, entry.place == 2, entry.attempt)
        process.taken.clear()
        assert not orphans, "what nobody has is taken over"
        for entry in self.model.rows:
            if entry.owner == process.number and entry.place == 1:
                assert not entry.run.waiting

    @staticmethod
    def found(run: Run, orphans: Sequence[Entry]) -> Entry:
        """Which of them it is: the store has given a rerun, which a burial has made, its id."""
        known = [row for row in orphans if row.id == run.id]
        reruns = [row for row in orphans if row.id is None and row.task == run.task and run.trigger == "rerun"]
        return min(known or reruns, key=lambda row: (row.place == 2) != run.waiting)

    @precondition(lambda self: self.several() and self.owned("queued", "retrying"))
    @rule(index=st.integers(0, 99))
    def put_back(self, index: int) -> None:
        if found := self.pick(index, "queued", "retrying"):
            process, entry = found
            left = process.store.put_back(entry.run)
            assert left == entry.portable
            if left:
                entry.owner = None
                assert not process.store.start(entry.objects[process.number], self.now)

    @precondition(several)
    @rule(index=st.integers(0, 99), by=st.integers(0, 9))
    def cancel_elsewhere(self, index: int, by: int) -> None:
        rows = [row for row in self.model.rows if row.id is not None and row.state != "missed"]
        if rows:
            entry, process = rows[index % len(rows)], self.process(by)
            found = next((run for run in process.store.runs(entry.task, limit=1000) if run.id == entry.id), None)
            if found is None:
                return  # a skip that was joined to another
            asked = process.store.cancel_elsewhere(found, "enough", self.now)
            assert asked == (entry.state in ("queued", "retrying", "running"))
            if asked and entry.owner is None and entry.state != "running":
                self.model.end(entry, "cancelled", "enough", self.now)

    @precondition(lambda self: len(self.processes) < self.most_processes)
    @rule()
    def another_process_comes(self) -> None:
        self.new_process()

    @precondition(several)
    @rule(index=st.integers(0, 9))
    def a_process_stops(self, index: int) -> None:
        process = self.process(index)
        busy = [row for row in self.model.rows if row.owner == process.number and row.place]
        if len(self.processes) > 1 and not busy:
            process.store.detach(process)
            process.store.close()
            self.processes.remove(process)

    @precondition(lambda self: len(self.processes) > 1 and any(row.place for row in self.model.rows))
    @rule(index=st.integers(0, 9))
    def a_process_freezes_until_it_is_found_dead(self, index: int) -> None:
        running = self.pick(index, "running")
        process = self.process(index) if running is None else running[0]
        process.store.look()  # it has beaten once
        self.settle_taken(process)
        if not any(row.owner == process.number and row.place for row in self.model.rows):
            return
        self.processes.remove(process)
        self.frozen.append(process)
        observer = self.processes[0]
        for _ in range(4 * LOST_AFTER):
            self.clock.advance(seconds=1)
            for one in self.processes:
                if one is observer and not observer.taken and self.is_dead(process):
                    break
                one.store.look()
            if self.is_dead(process):
                break
        assert self.is_dead(process)
        self.model.bury(process.number, self.now)
        for one in self.processes:
            if one.taken:
                self.look(one)
        self.look(observer)

    def settle_taken(self, process: Process) -> None:
        if process.taken:
            self.look(process)

    def is_dead(self, process: Process) -> bool:
        statement = sql.text("SELECT ended_at FROM task_processes WHERE id = :id")
        with process.store._database.read() as connection:  # type: ignore[attr-defined]  # a SqlStore
            return connection.execute(statement, {"id": process.store.process}).scalar() is not None  # type: ignore[attr-defined]

    def late(self) -> list[tuple[Process, Entry]]:
        """What a frozen process takes for its own, and runs."""
        return [
            (process, row)
            for process in self.frozen
            for row in self.model.rows
            if process.number in row.objects and row.objects[process.number].state is RunState.RUNNING
        ]

    @precondition(lambda self: self.late())
    @rule(index=st.integers(0, 99), state=st.sampled_from(FINAL))
    def a_frozen_process_comes_back_with_the_end_of_a_run(self, index: int, state: str) -> None:
        self.clock.advance(seconds=0.001)  # later than it was found dead
        late = self.late()
        process, entry = late[index % len(late)]
        run = entry.objects[process.number]
        assert process.store.finish(run, RunState(state), self.now, attempt=run.attempt) is None
        assert (str(run.state), run.done()) == ("lost", True)
        entry.aside = True

    @precondition(lambda self: self.frozen and len(self.processes) < self.most_processes)
    @rule(index=st.integers(0, 9))
    def a_frozen_process_goes_on(self, index: int) -> None:
        """It takes part again, under a new name; what it had before is not its own."""
        process = self.frozen[index % len(self.frozen)]
        for row in self.model.rows:
            run = row.objects.get(process.number)
            if run is not None and run.state in (RunState.QUEUED, RunState.RETRYING):
                assert not process.store.start(run, self.now)
                del row.objects[process.number]
        if any(one.state is RunState.RUNNING for one in process.store.mine()):
            return  # its bodies go on
        self.frozen.remove(process)
        process.number = next(self.numbers)
        self.processes.append(process)
        self.look(process)

    # What is always so.

    @invariant()
    def the_store_has_the_rows_of_the_model(self) -> None:
        if not hasattr(self, "processes"):
            return
        store = self.processes[0].store
        told = collections.Counter(map(self.told, store.runs(limit=100_000)))
        assert told == collections.Counter(map(self.modelled, self.model.rows))
        active = [run.id for run in store.active()]
        placed = [row for row in self.model.rows if row.place]
        assert {row.id for row in placed if row.id is not None} <= set(active)
        assert len(active) == len(placed)
        self.steps += 1
        if self.steps % 10 == 0:
            self.look_closely()

    def look_closely(self) -> None:
        """What takes longer to see; what is wrong stays so until the next time."""
        store = self.processes[0].store
        for name, sheet in self.model.sheets.items():
            assert store.mark(name) == sheet.mark
            summary = store.summary(name)
            assert (summary.runs, summary.failures, summary.consecutive_failures, summary.skips) == (
                sheet.runs,
                sheet.failures,
                sheet.consecutive,
                dict(sheet.skips),
            )
        pending = {name: (sheet.mark or NOON) + TICK for name, sheet in self.model.sheets.items()}
        assert [str(finding) for finding in store.audit(None, self.now, pending)] == []

    @staticmethod
    def told(run: Run) -> tuple[Any, ...]:
        reason = "dead" if run.reason is not None and run.reason.endswith("has died") else run.reason
        return run.task, str(run.state), run.trigger, run.queued_at, run.slot, run.count, run.attempt, reason, run.epoch

    @staticmethod
    def modelled(row: Entry) -> tuple[Any, ...]:
        return row.task, row.state, row.trigger, row.queued_at, row.slot, row.count, row.attempt, row.reason, row.epoch

    @invariant()
    def guards_hold(self) -> None:
        if not hasattr(self, "processes"):
            return
        placed = [run for run in self.processes[0].store.active() if not run.waiting]
        counts = collections.Counter(run.task for run in placed)
        for name, count in counts.items():
            assert TASKS[name].overlap == "allow" or count <= TASKS[name].max_concurrent
        assert sum(TASKS[run.task].mutex is not None for run in placed) <= 1
        tokens = [run.token for run in self.processes[0].store.active()]
        assert len(set(tokens)) == len(tokens)

    @invariant()
    def what_is_counted_is_there(self) -> None:
        if not hasattr(self, "processes") or self.url is None:
            return
        space = {"space": self.namespace}
        with self.processes[0].store._database.read() as connection:  # type: ignore[attr-defined]  # a SqlStore
            waiting = connection.execute(
                sql.text("SELECT waiting FROM task_namespaces WHERE namespace = :space"), space
            ).scalar()
            places = connection.execute(
                sql.text("SELECT count(*) FROM task_runs WHERE namespace = :space AND place = 2"), space
            ).scalar()
            tasks = connection.execute(
                sql.text("SELECT name, counts FROM task_tasks WHERE namespace = :space"), space
            ).all()
            states = connection.execute(
                sql.text(
                    "SELECT task, state, sum(count) FROM task_runs WHERE namespace = :space "
                    "AND state NOT IN ('queued', 'running', 'retrying') GROUP BY task, state"
                ),
                space,
            ).all()
        assert waiting == places
        by_state: dict[str, dict[str, int]] = {name: {} for name, _ in tasks}
        for name, state, count in states:
            by_state[name][state] = int(count)
        assert {name: json.loads(counts or "{}") for name, counts in tasks} == by_state

    @invariant()
    def what_came_too_late_is_aside(self) -> None:
        if hasattr(self, "processes") and self.frozen:
            kept = {run.id for run in self.processes[0].store.runs(limit=10_000) if run.aside is not None}
            assert kept == {row.id for row in self.model.rows if row.aside}


def walk(url: str | None, processes: int, examples: int, steps: int) -> None:
    machine = type("Machine", (StoreMachine,), {"url": url, "most_processes": processes})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_memory_says_what_the_model_says() -> None:
    walk(None, 1, 40, 50)


def test_sqlite_says_what_the_model_says(sqlite_file: str) -> None:
    walk(sqlite_file, 3, 10, 40)


def test_postgresql_says_what_the_model_says(postgres_url: str) -> None:
    walk(postgres_url, 3, 3, 30)


@pytest.fixture
def sqlite_file(tmp_path: pathlib.Path) -> str:
    return f"sqlite:///{tmp_path / 'tasks.db'}"
