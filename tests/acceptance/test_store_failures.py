"""A store that fails: gone, full, read-only, locked, corrupt, cut off. The manager goes on, and nothing runs twice."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
import json
import logging
import os
import pathlib
import shutil
import sqlite3
import subprocess
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from databases import Cluster
from failing_operations import Faults
from outages import Proxy, small_filesystem
from sqlalchemy.exc import OperationalError

from task import Run, StoreUnavailableError, TaskManager, current_run, every, store_failed, store_recovered
from task.models.process import all_managers
from task.stores import open_store
from task.stores.sql import database as database_module
from task.stores.sql import ledger as ledger_module
from task.stores.sql import silence
from task.testing import VirtualClock

NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)

#: For what takes no longer, unless it hangs. Seconds.
LIMIT = 60.0


class Ticking:
    """A manager whose task runs each second of a virtual clock."""

    def __init__(self, url: str, clock: VirtualClock, **options: object) -> None:
        self.clock = clock
        self.manager = TaskManager([], clock=clock, store=url, **options)
        self.slots: list[datetime.datetime | None] = []
        self.manager.add(lambda: self.slots.append(current_run().slot), every(1).seconds, name="tick")

    @property
    def seconds(self) -> list[int]:
        """The slots that ran, as seconds since noon."""
        return [int((slot - NOON).total_seconds()) for slot in self.slots if slot is not None]


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "tasks.db"


def files_of(path: pathlib.Path) -> list[pathlib.Path]:
    return [path.with_name(path.name + ending) for ending in ("", "-wal", "-shm")]


def delete(path: pathlib.Path) -> None:
    for file in files_of(path):
        file.unlink(missing_ok=True)


def delete_main_file_only(path: pathlib.Path) -> None:
    path.unlink()


def empty(path: pathlib.Path) -> None:
    for file in files_of(path)[:2]:  # the third is memory of all its processes: the system kills them for that
        os.truncate(file, 0)


def fill_with_garbage(path: pathlib.Path) -> None:
    for file in files_of(path)[:2]:
        with file.open("r+b") as stream:
            stream.write(b"garbage!" * 4096)


def damage_a_page(path: pathlib.Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"garbage!" * 512 * (path.stat().st_size // 4096 - 1))


@pytest.mark.parametrize("ruin", [delete, delete_main_file_only, empty, fill_with_garbage, damage_a_page])
def test_a_file_that_is_ruined_is_begun_anew_and_no_slot_runs_twice(
    ruin: Callable[[pathlib.Path], None], path: pathlib.Path, clock: VirtualClock
) -> None:
    ticking = Ticking(f"sqlite:///{path}", clock)
    ticking.manager["tick"].disable("only for now", until=NOON + SECOND / 2)
    with ticking.manager:
        clock.advance(seconds=5)
        ruin(path)
        clock.advance(seconds=5)
        assert ticking.manager.scheduler.ailment() is None
        assert ticking.manager.health
        assert ticking.seconds == list(range(1, 11))
        assert ticking.manager.audit() == []
        assert ticking.manager["tick"].binding.pipeline.store.mark("tick") == NOON + 10 * SECOND
    after = Ticking(f"sqlite:///{path}", clock)
    with after.manager:
        clock.advance(seconds=2)
        assert after.seconds == [11, 12]
        assert after.manager.audit() == []


@pytest.mark.parametrize("ruin", [fill_with_garbage, damage_a_page])
def test_a_corrupt_file_is_moved_aside_and_said_so(
    ruin: Callable[[pathlib.Path], None], path: pathlib.Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    ticking = Ticking(f"sqlite:///{path}", clock)
    with ticking.manager:
        clock.advance(seconds=2)
    ticking.manager.store.close()
    for file in files_of(path):
        file.touch()
    ruin(path)
    ruined = path.read_bytes()
    with ticking.manager:
        clock.advance(seconds=3)
    assert ticking.seconds == [1, 2, 3, 4, 5]
    (aside,) = path.parent.glob("tasks.db.corrupt-*.[0-9]*[0-9]")
    assert aside.read_bytes() == ruined
    assert f"It was moved aside to {aside}" in caplog.text


@pytest.mark.parametrize("times", range(10))
def test_of_many_that_find_it_corrupt_at_once_one_moves_it_aside(
    times: int, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT", LIMIT)  # all of them wait for each other
    path.write_bytes(b"garbage!" * 4096)
    stores = [open_store(f"sqlite:///{path}", "default", 30) for _ in range(8)]
    together = threading.Barrier(len(stores))

    def use(store: Any) -> None:
        together.wait(LIMIT)
        store.pause(True)

    threads = [threading.Thread(target=use, args=[store]) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    paused = [store.paused for store in stores]
    for store in stores:
        store.close()
    assert paused == [True] * len(stores)
    (aside,) = path.parent.glob("tasks.db.corrupt-*.[0-9]*[0-9]")
    assert aside.read_bytes() == b"garbage!" * 4096


def test_a_file_that_is_away_for_a_while_comes_back_with_its_history_and_no_slot_runs_twice(
    path: pathlib.Path, clock: VirtualClock, tmp_path: pathlib.Path
) -> None:
    ticking = Ticking(f"sqlite:///{path}", clock)
    away = tmp_path / "away"
    away.mkdir()
    with ticking.manager:
        clock.advance(seconds=3)
        for file in files_of(path):
            shutil.move(file, away)
        clock.advance(seconds=3)
        for file in files_of(path):
            file.unlink()
            shutil.move(away / file.name, path.parent)
        clock.advance(seconds=3)
        assert ticking.seconds == list(range(1, 10))
        recorded = {run.slot for run in ticking.manager.runs("tick")}
        assert {NOON + number * SECOND for number in (1, 2, 3, 7, 8, 9)} <= recorded
        assert ticking.manager.audit() == []
        assert [str(finding) for finding in ticking.manager.audit(since=NOON)] == [
            "tick: the slot of 2026-05-04T12:00:06+00:00 and those before it are not known: pruned"
        ]
    after = Ticking(f"sqlite:///{path}", clock)
    with after.manager:
        clock.advance(seconds=1)
    assert after.seconds == [10]


def test_a_body_whose_file_is_deleted_ends_in_the_new_one(path: pathlib.Path, clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock, store=f"sqlite:///{path}")

    async def long() -> None:
        await asyncio.sleep(10)

    manager.add(long, every(1).minutes)
    short = manager.add(lambda: None, name="short", after="long")
    with manager:
        clock.advance(seconds=65)
        token = manager.runs("long")[0].token
        delete(path)
        assert [run.state for run in manager.runs("long")] == []
        clock.advance(seconds=10)
        (run,) = manager.runs("long")
        assert (run.state, run.slot, run.token) == ("succeeded", NOON + 60 * SECOND, token)
        assert [run.state for run in manager.runs("short")] == ["succeeded"]
        assert short.trigger().token > token


def test_switches_and_a_pause_outlive_the_file(path: pathlib.Path, clock: VirtualClock) -> None:
    ticking = Ticking(f"sqlite:///{path}", clock)
    with ticking.manager:
        clock.advance(seconds=2)
        ticking.manager["tick"].disable("not now")
        clock.advance(seconds=1)
        delete(path)
        clock.advance(seconds=2)
        assert not ticking.manager["tick"].is_enable
        assert ticking.seconds == [1, 2]
        ticking.manager["tick"].enable()
        ticking.manager.pause()
        delete(path)
        clock.advance(seconds=2)
        assert ticking.seconds == [1, 2]
        ticking.manager.resume()
        clock.advance(seconds=1)
    assert ticking.seconds == [1, 2, 8]


# Down: from the start, for a while, for ever.


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said that people are to see."""
    ours = [record for record in caplog.records if record.name.partition(".")[0] == "task"]
    return [record.message for record in ours if record.levelno >= logging.WARNING]


def test_down_from_the_start_nothing_runs_and_what_came_due_is_missed_when_it_is_back(
    store_url: str, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    ticking = Ticking(store_url, clock)
    begun: list[Run] = []
    ticking.manager.add(lambda: begun.append(current_run()), name="at once", run_at_start=True)
    faults = Faults(ticking.manager.store)
    faults.down = True
    with ticking.manager as manager:
        clock.advance(seconds=150)
        assert (ticking.slots, begun) == ([], [])
        assert manager.scheduler.ailment() is None
        assert "cannot be reached" in manager.health.causes[0]
        assert len(warnings(caplog)) == 1 + 3  # that the schedules wait; then one a minute
        faults.down = False
        clock.advance(seconds=10)
        assert manager.health
        assert len(begun) == 1
        assert ticking.seconds[-5:] == [156, 157, 158, 159, 160]
        (missed,) = manager.runs("tick", "missed")
        assert missed.slot == NOON + SECOND
        assert missed.count + len(ticking.slots) == 160
        assert manager.audit() == []


def test_down_for_two_minutes_slots_wait_until_their_grace_ends_and_are_missed(
    store_url: str, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    ticking = Ticking(store_url, clock)
    minutely: list[datetime.datetime | None] = []
    ticking.manager.add(lambda: minutely.append(current_run().slot), every(1).minutes, name="minutely")
    faults = Faults(ticking.manager.store)
    told: list[str] = []
    with ticking.manager as manager, hear(manager, told):
        clock.advance(seconds=10)
        faults.down = True
        clock.advance(seconds=129)
        assert (len(ticking.slots), minutely) == (10, [])
        faults.down = False
        clock.advance(seconds=11)
        assert minutely == [NOON + 120 * SECOND]
        assert [(run.slot, run.count) for run in manager.runs("minutely", "missed")] == [(NOON + 60 * SECOND, 1)]
        assert sum(run.count for run in manager.runs("tick", "missed")) + len(ticking.slots) == 150
        assert manager.audit() == []
        assert told == ["failed", "recovered"]
    said = warnings(caplog)
    assert len(said) == 3 + 1
    assert sum("cannot be reached" in line for line in said) == 3
    assert "can be reached again" in said[-1]


@contextlib.contextmanager
def hear(manager: TaskManager, told: list[str]) -> Iterator[None]:
    """Note what the signals of the store say."""

    def failed(manager: TaskManager, cause: str) -> None:
        assert cause in manager.health.causes
        told.append("failed")

    def recovered(manager: TaskManager) -> None:
        told.append("recovered")

    with store_failed.connected_to(failed, manager), store_recovered.connected_to(recovered, manager):
        yield


def test_a_store_that_comes_and_goes_is_told_of_once_a_minute(
    clock: VirtualClock, path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    ticking = Ticking(f"sqlite:///{path}", clock)
    faults = Faults(ticking.manager.store)
    with ticking.manager as manager:
        for _ in range(60):
            faults.down = not faults.down
            clock.advance(seconds=2)
        assert len(ticking.seconds) >= 60
        assert len(ticking.seconds) + sum(run.count for run in manager.runs("tick", "missed")) == 120
        assert manager.audit() == []
    assert len(warnings(caplog)) == 4


def test_what_bodies_came_to_is_written_when_the_store_is_back(store_url: str, clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock, store=store_url)

    async def work(fails: bool = False) -> dict[str, int]:
        run = current_run()
        await asyncio.sleep(5)
        run.update_progress(50, "half of it")
        run.check_cancelled()
        run.logger.info("told while it was away")
        if fails:
            raise ValueError("as it should")
        return {"pages": 7}

    manager.add(work, name="work", max_concurrent=2)
    manager.add(lambda: None, name="next", after="work")
    faults = Faults(manager.store)
    with manager:
        good, bad = manager.trigger("work"), manager.trigger("work", fails=True)
        faults.down = True
        clock.advance(seconds=300)
        assert (good.state, good.result(0), bad.state) == ("succeeded", {"pages": 7}, "failed")
        faults.down = False
        clock.advance(seconds=2)
        rows = {run.id: run for run in manager.runs("work")}
        assert rows[good.id].result(0) == {"pages": 7}
        assert rows[good.id].finished_at == NOON + 5 * SECOND
        assert [line.message for line in rows[good.id].log] == ["told while it was away"]
        assert (rows[bad.id].state, rows[bad.id].error) == ("failed", "ValueError: as it should")
        assert [run.state for run in manager.runs("next")] == ["succeeded"]


def test_of_more_outcomes_than_are_kept_each_is_one_line_of_json_in_the_log(
    path: pathlib.Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "OWED", 3)
    manager = TaskManager([], clock=clock, store=f"sqlite:///{path}")

    async def work(number: int) -> int:
        await asyncio.sleep(number)
        return number

    manager.add(work, name="work", overlap="allow")
    faults = Faults(manager.store)
    with manager:
        runs = [manager.trigger("work", number=number) for number in range(1, 6)]
        faults.down = True
        clock.advance(seconds=10)
        lines = [record.message for record in caplog.records if "does not have this" in record.message]
        told = [json.loads(line[line.index("{") :]) for line in lines]
        assert [(one["id"], one["state"], one["result"]) for one in told] == [
            (runs[3].id, "succeeded", "4"),
            (runs[4].id, "succeeded", "5"),
        ]
        assert all(one["finished_at"] for one in told)
        faults.down = False
        clock.advance(seconds=2)
        states = {run.id: run.state for run in manager.runs("work")}
        assert [states[run.id] for run in runs] == ["succeeded"] * 3 + ["running"] * 2
    assert {run.state for run in manager.runs("work")} == {"succeeded", "lost"}


def test_more_outcomes_than_fit_into_one_transaction_are_written_in_several(
    path: pathlib.Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "BATCH", 20)
    manager = TaskManager([], clock=clock, store=f"sqlite:///{path}", on_store_failure="run")
    manager.add(lambda: 7, every(1).seconds, name="tick")
    faults = Faults(manager.store)
    with manager:
        faults.down = True
        clock.advance(seconds=100)
        faults.down = False
        clock.advance(seconds=3)
        assert len(manager.runs("tick", "succeeded", limit=200)) == 103
        assert manager.audit() == []


def test_on_store_failure_run_goes_on_without_the_store_and_says_so(
    store_url: str, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    ticking = Ticking(store_url, clock, on_store_failure="run")
    faults = Faults(ticking.manager.store)
    with ticking.manager as manager:
        clock.advance(seconds=2)
        faults.down = True
        clock.advance(seconds=90)
        assert ticking.seconds == list(range(1, 93))
        assert not manager.health
        faults.down = False
        clock.advance(seconds=3)
        assert ticking.seconds == list(range(1, 96))
        assert len(manager.runs("tick", "succeeded", limit=200)) == 95
        assert manager.audit() == []
    assert sum("runs without the store" in record.message for record in caplog.records) == 90


def test_what_is_asked_while_it_is_down_is_refused_clearly_and_nothing_of_it_happens_later(
    store_url: str, clock: VirtualClock
) -> None:
    ticking = Ticking(store_url, clock)
    called: list[str] = []
    manual = ticking.manager.add(lambda: called.append("manual"), name="manual")
    faults = Faults(ticking.manager.store)
    with ticking.manager as manager:
        clock.advance(seconds=1)
        faults.down = True
        asked: list[Callable[[], Any]] = [
            manual,
            manual.trigger,
            manual.enable,
            lambda: manual.disable("no"),
            lambda: manual.is_enable,
            lambda: manual.is_running,
            lambda: manager.tasks_detail,
            lambda: manager.runs("manual"),
            lambda: manager.audit(),
            manager.pause,
        ]
        for ask in asked:
            with pytest.raises(StoreUnavailableError, match=r"The store <.*> cannot be reached"):
                ask()
        faults.down = False
        clock.advance(seconds=5)
        assert called == []
        assert manual.is_enable
        assert [run.state for run in manager.runs("manual")] == []
        manual.trigger()
        assert called == ["manual"]


def test_a_call_that_was_begun_ends_with_its_value_or_its_own_exception(store_url: str, clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock, store=store_url)
    faults = Faults(manager.store)

    def body(fails: bool) -> int:
        faults.down = True
        current_run().update_progress(50)
        if fails:
            raise ValueError("as it should")
        return 7

    task = manager.add(body, name="called")
    assert task(fails=False) == 7
    faults.down = False
    with pytest.raises(ValueError, match="as it should"):
        task(fails=True)
    faults.down = False
    assert task.trigger
    with manager:
        clock.advance(seconds=1)
        assert sorted(run.state for run in manager.runs("called")) == ["failed", "succeeded"]


def test_stop_logs_what_it_could_not_write_and_a_later_start_writes_it(
    store_url: str, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    manager = TaskManager([], clock=clock, store=store_url)

    async def work() -> int:
        await asyncio.sleep(1)
        return 7

    manager.add(work)
    faults = Faults(manager.store)
    manager.run()
    run = manager.trigger("work")
    faults.down = True
    clock.advance(seconds=2)
    before = clock.monotonic()
    manager.stop(timeout=5)
    assert clock.monotonic() - before < 6
    (line,) = [record.message for record in caplog.records if "does not have this" in record.message]
    assert json.loads(line[line.index("{") :])["id"] == run.id
    faults.down = False
    with manager:
        clock.advance(seconds=1)
        assert [(row.id, row.state) for row in manager.runs("work")] == [(run.id, "succeeded")]


def test_a_task_that_is_switched_off_after_failures_is_so_when_the_store_is_back(
    store_url: str, clock: VirtualClock
) -> None:
    manager = TaskManager([], clock=clock, store=store_url)

    async def work() -> None:
        await asyncio.sleep(1)
        raise ValueError("as it should")

    task = manager.add(work, disable_after=1)
    faults = Faults(manager.store)
    with manager:
        manager.trigger("work")
        faults.down = True
        clock.advance(seconds=10)
        faults.down = False
        clock.advance(seconds=3)
        assert not task.is_enable


# The disk.


def test_a_full_disk_stops_the_slots_and_no_more(clock: VirtualClock) -> None:
    with small_filesystem(2_000_000) as disk:
        ticking = Ticking(f"sqlite:///{disk.folder / 'tasks.db'}", clock)
        with ticking.manager as manager:
            clock.advance(seconds=5)
            disk.fill()
            clock.advance(seconds=60)
            assert manager.scheduler.ailment() is None
            assert "full" in manager.health.causes[0]
            ran = len(ticking.slots)
            assert ran < 65
            disk.free()
            clock.advance(seconds=5)
            assert manager.health
            assert ticking.seconds[-3:] == [68, 69, 70]
            assert len(set(ticking.slots)) == len(ticking.slots)
            assert manager.audit() == []
        manager.store.close()


def test_a_file_system_that_becomes_read_only_is_waited_for(clock: VirtualClock) -> None:
    with small_filesystem(2_000_000) as disk:
        ticking = Ticking(f"sqlite:///{disk.folder / 'tasks.db'}", clock)
        with ticking.manager as manager:
            clock.advance(seconds=5)
            manager.store.close()  # what is open for writing keeps a file system from becoming read-only
            subprocess.run(["mount", "-o", "remount,ro", disk.folder], check=True)
            clock.advance(seconds=20)
            assert ticking.seconds == [1, 2, 3, 4, 5]
            assert "cannot be reached" in manager.health.causes[0]
            subprocess.run(["mount", "-o", "remount,rw", disk.folder], check=True)
            clock.advance(seconds=5)
            assert manager.health
            assert ticking.seconds[-3:] == [28, 29, 30]
            assert manager.audit() == []
        manager.store.close()


def test_a_folder_that_is_not_there_is_made_and_one_that_cannot_be_is_told_of(
    tmp_path: pathlib.Path, clock: VirtualClock
) -> None:
    there = Ticking(f"sqlite:///{tmp_path / 'new' / 'folder' / 'tasks.db'}", clock)
    (tmp_path / "file").write_text("no folder")
    absent = Ticking(f"sqlite:///{tmp_path / 'file' / 'tasks.db'}", clock)
    with there.manager, absent.manager:
        clock.advance(seconds=2)
        assert (there.seconds, absent.seconds) == ([1, 2], [])
        assert "cannot be reached" in absent.manager.health.causes[0]
        (tmp_path / "file").unlink()
        clock.advance(seconds=3)
        assert absent.seconds[-2:] == [4, 5]


# Real time and real threads: what hangs.


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.02)


class Busy:
    """A manager under load on the machine's clock: slots each second, chains, retries, triggers from a thread."""

    def __init__(self, url: str, **options: Any) -> None:
        self.manager = TaskManager([], store=url, **options)
        self.begun: list[tuple[str, datetime.datetime | None, str, int]] = []
        self.ended: list[str] = []
        self.plain: list[float] = []
        self.refused = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        for number in range(5):
            self.manager.add(self._body, every(1).seconds, name=f"tick {number}", threaded=True, retry=1)
        self.manager.add(self._body, name="next", after="tick 0", threaded=True)
        self.manager.add(self._body, name="asked", threaded=True, overlap="allow")
        self.manager.add(self._slow, every(1).seconds, name="slow", overlap="queue")
        self.manager.scheduler.every(1).seconds.do(lambda: self.plain.append(time.monotonic()))

    def _body(self) -> int:
        run = current_run()
        self.begun.append((run.task, run.slot, run.id, run.attempt))
        run.update_progress(50)
        run.logger.info("begun")
        run.check_cancelled()
        if run.attempt == 1 and len(self.begun) % 7 == 0:
            raise ValueError("as it should")
        self.ended.append(run.id)
        return 7

    async def _slow(self) -> None:
        run = current_run()
        self.begun.append((run.task, run.slot, run.id, run.attempt))
        await asyncio.sleep(1.5)
        self.ended.append(run.id)

    def _ask(self) -> None:
        while not self._stop.wait(0.05):
            try:
                self.manager.trigger("asked")
            except StoreUnavailableError:
                self.refused += 1

    def __enter__(self) -> Busy:
        self.manager.run()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(LIMIT)
        self.manager.stop()

    def go_on(self, count: int = 20) -> None:
        """Wait until so many more bodies have begun for slots, and the store is well."""
        wait_until(lambda: self.manager.health, "it is healthy again")
        before = len(self.slots)
        wait_until(lambda: len(self.slots) >= before + count, "slots run again")

    @property
    def slots(self) -> list[tuple[str, datetime.datetime]]:
        return [(task, slot) for task, slot, _, attempt in self.begun if slot is not None and attempt == 1]

    def judge(self, *, stopped_unheard: bool = False) -> None:
        """Nothing ran twice, nothing is lost, all is recorded. It was stopped.

        With *stopped_unheard*, once while the database did not hear of it: what it had been given then waits for
        `lost_after`, under the name that this process had before.
        """
        assert len(self.slots) == len(set(self.slots))
        assert len({(run, attempt) for _, _, run, attempt in self.begun}) == len(self.begun)
        rows, page = {}, self.manager.runs(limit=1000)
        while True:
            rows.update({run.id: run for run in page})
            if page.cursor is None:
                break
            page = self.manager.runs(limit=1000, cursor=page.cursor)
        unfinished = [run for run in rows.values() if not run.state.final and run.owner is not None]
        if stopped_unheard:
            process = self.manager.store.process  # type: ignore[attr-defined]
            unfinished = [run for run in unfinished if run.owner == process]
        assert unfinished == []
        assert {rows[key].state for key in self.ended} == {"succeeded"}
        assert self.manager.audit() == []
        self.manager.store.close()
        all_managers.discard(self.manager)  # its proxy ends with the test


@pytest.mark.parametrize("kind", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_sqlite_file_that_another_connection_locks_delays_its_slots_and_nothing_else(
    kind: str, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT", 0.4)
    # Each waits for its own answer, and not for so long that it goes on without: what it is told is why.
    monkeypatch.setattr(ledger_module, "LITTLE_PATIENCE", LIMIT)
    monkeypatch.setattr(ledger_module, "PATIENCE", LIMIT)
    with Busy(f"sqlite:///{path}") as busy:
        busy.go_on(5)
        with contextlib.closing(sqlite3.connect(path, timeout=LIMIT, isolation_level=None)) as other:
            other.execute(f"BEGIN {kind}")
            begun = time.monotonic()
            wait_until(lambda: not busy.manager.health, "the health says so")
            asked = time.monotonic()
            with pytest.raises(StoreUnavailableError, match="locked"):
                busy.manager["asked"]()
            assert time.monotonic() - asked < 15
            wait_until(lambda: busy.refused, "whoever triggers it is refused")
            before = len(busy.plain)
            wait_until(lambda: len(busy.plain) - before >= 2, "what needs no store goes on")
            time.sleep(max(0.0, 4 - (time.monotonic() - begun)))  # what is shown is that it goes on for so long
            assert busy.manager.scheduler.ailment() is None
        busy.go_on()
    busy.judge()


def test_postgresql_may_be_restarted_killed_and_break_its_connections_under_load(
    cluster: Cluster, postgres_url: str
) -> None:
    with Busy(postgres_url) as busy:
        busy.go_on()
        for disturb in (cluster.terminate_backends, cluster.restart, lambda: cluster.restart("immediate")):
            disturb()
            busy.go_on(5)
        cluster.kill()
        wait_until(lambda: not busy.manager.health, "the health says so")
        cluster.start()
        busy.go_on()
    busy.judge()


def test_a_network_that_is_cut_is_noticed_and_nothing_runs_twice_when_it_is_mended(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "LONGEST_SILENCE", 1.0)
    with Busy(proxy.url) as busy:
        busy.go_on()
        for cut in (lambda: proxy.cut(answers_only=True), proxy.refuse):
            cut()
            wait_until(lambda: not busy.manager.health, "the health says so")
            assert busy.manager.scheduler.ailment() is None
            asked = time.monotonic()
            with pytest.raises(StoreUnavailableError):
                busy.manager.runs()
            with pytest.raises(StoreUnavailableError):
                busy.manager["asked"].disable()
            assert time.monotonic() - asked < LIMIT
            asked = time.monotonic()
            for ask in (busy.manager.runs, busy.manager["asked"].enable, lambda: busy.manager.trigger("asked")):
                with pytest.raises(StoreUnavailableError):
                    ask()  # it is known by now: nobody waits for it again, for five seconds and more each
            assert time.monotonic() - asked < 15
            proxy.mend()
            busy.go_on(5)
    busy.judge()


def test_stop_ends_within_its_time_while_the_database_hangs(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(silence, "LONGEST_SILENCE", 2.0)
    busy = Busy(proxy.url)
    with busy:
        busy.go_on()
        proxy.cut()
        wait_until(lambda: not busy.manager.health, "the health says so")
        begun = time.monotonic()
        busy.manager.stop(timeout=1)
        assert time.monotonic() - begun < 15
        proxy.mend()
    with busy.manager:
        busy.go_on(2)
    wait_until(lambda: not busy.manager.store.mine(), "what was under way has its end")
    busy.judge(stopped_unheard=True)


def test_a_connection_that_is_in_use_while_all_are_closed_is_closed_when_it_is_given_back(store_url: str) -> None:
    database: Any = open_store(store_url, "default", 30).database  # type: ignore[attr-defined]  # a SqlStore's
    with database.read() as connection:
        used = connection.connection.driver_connection
        with pytest.raises(StoreUnavailableError), database.write():  # another thread's, say
            raise OperationalError("BEGIN", None, Exception("the connection is lost"))
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    with pytest.raises(database._engine.dialect.loaded_dbapi.Error, match="closed"):
        used.execute("SELECT 1")
    database.close()


def test_a_store_that_nobody_uses_any_more_is_collected(path: pathlib.Path, clock: VirtualClock) -> None:
    ticking = Ticking(f"sqlite:///{path}", clock)
    with ticking.manager:
        clock.advance(seconds=2)
    ticking.manager.store.close()
    database = weakref.ref(ticking.manager.store.database)  # type: ignore[attr-defined]
    del ticking
    gc.collect()
    assert database() is None
