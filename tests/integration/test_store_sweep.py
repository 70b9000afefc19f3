"""Each operation of a store's database fails once, in three ways, while everything that a manager does goes on.

Here a sample of them fails, so that each kind of statement has its turn. All of them, which takes a quarter of an hour:
``SWEEP=all python -m pytest tests/integration/test_store_sweep.py``.
"""

from __future__ import annotations

import asyncio
import collections
import datetime
import itertools
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from databases import sqlite_url
from failing_operations import MODES, Faults, Mode

from task import Run, StoreUnavailableError, TaskManager, current_run, every
from task.models.process import all_managers
from task.stores.sql import database
from task.testing import VirtualClock

NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)

#: So many operations fail of those that are made on each database.
SAMPLE = {"sqlite": 20, "postgresql": 9}

ALL = os.environ.get("SWEEP") == "all"


@pytest.fixture(autouse=True)
def nobody_has_waited_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """One operation fails, and none of those after it, though the machine may have stood still before it did."""
    monkeypatch.setattr(database, "IN_VAIN", 3_600.0)


class Story:
    """A manager with tasks of every kind, steered while it runs, stopped, and started again."""

    def __init__(self, url: str, namespace: str) -> None:
        self.clock = VirtualClock(NOON)
        self.manager = TaskManager([], clock=self.clock, store=url, namespace=namespace)
        self.begun: list[tuple[str, datetime.datetime | None, str, int]] = []
        self.alive = False
        add, seconds = self.manager.add, every
        add(self._body(), seconds(3).seconds, name="plain")
        add(self._slow(3), seconds(2).seconds, name="queueing", overlap="queue")
        add(self._slow(3), seconds(2).seconds, name="newest only", overlap="cancel_previous")
        add(self._body(fails=1), seconds(5).seconds, name="retried", retry=2)
        add(self._body(), name="chained", after="plain")
        add(self._slow(1), seconds(4).seconds, name="left", mutex="door")
        add(self._slow(1), seconds(4).seconds, name="right", mutex="door", overlap="queue")
        add(self._slow(1), seconds(3).seconds, name="after its end", fixed_delay=True)
        add(self._body(), seconds(2).to(4).seconds, name="at random")
        add(self._body(fails=9), seconds(5).seconds, name="given up", disable_after=1)
        add(self._slow(2), name="by hand", overlap="queue")
        add(self._body(), name="called")

    def _begin(self) -> Run:
        run = current_run()
        self.begun.append((run.task, run.slot, run.id, run.attempt))
        run.logger.info("begun")
        run.update_progress(50, "half of it")
        run.check_cancelled()
        return run

    def _body(self, fails: int = 0) -> Callable[[], int]:
        def body() -> int:
            if self._begin().attempt <= fails:
                raise ValueError("as it should")
            return 7

        return body

    def _slow(self, seconds: float) -> Callable[[], Any]:
        async def body() -> None:
            self._begin()
            await asyncio.sleep(seconds)

        return body

    def play(self) -> None:
        manager, clock = self.manager, self.clock
        manager.run()
        clock.advance(seconds=3)
        self._insist(lambda: manager.trigger("by hand"))
        waiting = self._insist(lambda: manager.trigger("by hand"))
        clock.advance(seconds=1)
        self._insist(lambda: waiting.cancel("not wanted"))
        self._insist(lambda: manager["plain"].disable("a break"))
        clock.advance(seconds=2)
        self._insist(lambda: manager["plain"].enable())
        self._insist(lambda: manager["called"]())
        clock.advance(seconds=3)
        manager.stop()
        manager.run()
        clock.advance(seconds=2)
        self.alive = manager.scheduler.ailment() is None
        manager.stop()

    @staticmethod
    def _insist(call: Callable[[], Any]) -> Any:
        """Whoever is told that the store cannot be reached tries it once more."""
        try:
            return call()
        except StoreUnavailableError:
            return call()

    def problems(self) -> Iterator[str]:
        """What is not as it should be, once it was played and the store can be reached."""
        if not self.alive:
            yield "the loop is dead"
        yield from map(str, self.manager.audit())
        runs = {run.id: run for run in self.manager.store.runs(limit=1_000)}
        for run in runs.values():
            if not run.state.final and run.owner is not None:  # else it waits for the next process
                yield f"{run} never ends"
        begun = collections.Counter((task, slot) for task, slot, _, attempt in self.begun if slot and attempt == 1)
        yield from (f"{task} began twice for {slot}" for (task, slot), count in begun.items() if count > 1)
        attempts = collections.Counter((run, attempt) for _, _, run, attempt in self.begun)
        yield from (
            f"attempt {attempt} of {runs.get(run)} began twice" for (run, attempt), n in attempts.items() if n > 1
        )
        for task, slot, key, attempt in self.begun:
            run = runs.get(key)
            if run is None or run.attempt < attempt:
                yield f"attempt {attempt} of {task} for {slot} is not in the history: {run}"
            elif run.state in ("lost", "queued", "running"):
                yield f"{run} was begun: {run.reason}"
        if self.manager.store.mine():
            yield f"{self.manager.store.mine()} are still kept"


def fail(url: str, number: int, mode: Mode) -> tuple[Faults, list[str]]:
    """Play it while one operation fails; what came of it."""
    story = Story(url, f"{number} {mode}")
    faults = Faults(story.manager.store, number, mode)
    try:
        story.play()
        faults.at = 0
        return faults, list(story.problems())
    finally:
        faults.at = 0
        story.manager.stop()
        story.manager.store.close()
        all_managers.discard(story.manager)  # it was judged here


def sample(made: list[str], size: int) -> Iterator[tuple[int, Mode]]:
    """Which operations fail how: each kind of statement at least once, those at the ends of transactions more often."""
    if ALL:
        yield from itertools.product(range(1, len(made) + 1), MODES)
        return
    first = list({operation: number for number, operation in reversed(list(enumerate(made, 1)))}.values())
    ends = [number for number, operation in enumerate(made, 1) if operation.startswith(("do_commit", "connect"))]
    chosen = sorted(first) + ends[:: max(1, len(ends) // (size // 3))]
    chosen = chosen[:: max(1, len(chosen) // size)]
    yield from zip(chosen, itertools.cycle(MODES))


def sweep(make_url: Callable[[], str], size: int) -> None:
    faults, problems = fail(make_url(), 0, "before")
    assert problems == []
    assert len(faults.made) > 500, "the story does not do what it should"
    for number, mode in sample(faults.made, size):
        failing, problems = fail(make_url(), number, mode)
        assert problems == [], f"operation {number} failed ({mode}): {failing.failed}"


def test_any_operation_of_sqlite_may_fail_and_every_slot_has_one_outcome(tmp_path: pathlib.Path) -> None:
    numbers = itertools.count()

    def make_url() -> str:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return sqlite_url(folder)

    sweep(make_url, SAMPLE["sqlite"])


def test_any_operation_of_postgresql_may_fail_and_every_slot_has_one_outcome(postgres_url: str) -> None:
    sweep(lambda: postgres_url, SAMPLE["postgresql"])
