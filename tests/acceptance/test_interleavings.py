"""Two processes on one store, in every order of their steps at the database that some seeds make."""

from __future__ import annotations

import asyncio
import collections
import datetime
import pathlib

import pytest
from databases import sqlite_url
from interleavings import Conductor, Process

from task import current_run, every
from task.testing import VirtualClock

UTC = datetime.UTC
NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=UTC)

#: A slot that has been due for less may still be taken.
PENDING = datetime.timedelta(seconds=3)

#: A process whose heart has not beaten for 30 seconds counts as dead.
FROZEN_FOR = 70


class Shop:
    """What two processes of one application do, and what has come of it."""

    def __init__(self, url: str, seed: int, seconds: int) -> None:
        self.conductor = Conductor(url, seed)
        self.begun: list[tuple[str, str, datetime.datetime | None, str]] = []
        self.inside = self.most = 0
        self._seconds = seconds
        for name in ("A", "B"):
            self._open(self.conductor.add(name, VirtualClock(NOON), self._work))

    def _open(self, process: Process) -> None:
        """The tasks that each of them has."""

        async def body() -> None:
            run = current_run()
            self.begun.append((process.name, run.task, run.slot, run.id))

        async def alone() -> None:
            await body()
            self.inside += 1
            self.most = max(self.most, self.inside)
            await asyncio.sleep(2.5)
            self.inside -= 1

        process.manager.add(body, every(2).seconds, name="plain")
        process.manager.add(alone, every(3).seconds, name="alone", overlap="queue")

    def _work(self, process: Process) -> None:
        process.manager.run()
        for second in range(self._seconds):
            process.clock.advance(seconds=1)
            if second == 5:
                process.manager.trigger("plain")
        if process.freezes_at is None and any(other.frozen for other in self.conductor.processes):
            process.clock.advance(seconds=FROZEN_FOR)

    def play(self) -> None:
        self.conductor.play()

    def doubles(self) -> list[tuple[str, datetime.datetime]]:
        """Slots for which a body has begun more than once."""
        counts = collections.Counter((task, slot) for _, task, slot, _ in self.begun if slot is not None)
        return [key for key, count in counts.items() if count > 1]

    def findings(self) -> list[str]:
        """What the audit finds, up to the moment that both have come to."""
        until = min(process.clock.now() for process in self.conductor.processes)
        store = self.conductor.processes[0].store
        return [str(finding) for finding in store.audit(None, until, grace=PENDING)]


@pytest.mark.parametrize("seed", range(5))
def test_in_any_order_of_their_steps_each_slot_has_one_outcome_and_guards_hold(
    seed: int, tmp_path: pathlib.Path
) -> None:
    shop = Shop(sqlite_url(tmp_path), seed, seconds=12)
    try:
        shop.play()
        assert shop.doubles() == []
        assert shop.findings() == []
        assert shop.most == 1
        assert {name for name, *_ in shop.begun} == {"A", "B"}
    finally:
        shop.conductor.close()


@pytest.mark.parametrize("seed", range(5))
def test_one_that_is_frozen_at_any_step_and_comes_back_runs_no_slot_again(seed: int, tmp_path: pathlib.Path) -> None:
    shop = Shop(sqlite_url(tmp_path), seed, seconds=8)
    frozen = shop.conductor.processes[seed % 2]
    frozen.freezes_at = shop.conductor.chance.randint(20, 80)
    try:
        shop.play()
        assert shop.doubles() == []
        assert shop.findings() == []
    finally:
        shop.conductor.close()


def test_a_seed_makes_the_same_order_again(tmp_path: pathlib.Path) -> None:
    def steps(name: str, seed: int) -> list[str]:
        (tmp_path / name).mkdir()
        shop = Shop(sqlite_url(tmp_path / name), seed, seconds=3)
        try:
            shop.play()
        finally:
            shop.conductor.close()
        return shop.conductor.steps

    first = steps("first", 1)
    assert first == steps("again", 1)
    assert first != steps("other", 2)
    assert len(first) > 30
