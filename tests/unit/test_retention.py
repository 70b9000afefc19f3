"""How much of the history is kept, and how the rest goes."""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from databases import sqlite_url
from store_rows import execute, insert_runs, rows_of

from task import DeclarationError, ParentResults, Run, TaskManager, every
from task.stores.sql import pruning
from task.stores.sql.pruning import JOURNAL, PROCESSES
from task.testing import VirtualClock

#: A minute, in days.
MINUTE = 1 / 1440


class Maker:
    """Makes managers on one database, which run."""

    def __init__(self, url: str, clock: VirtualClock) -> None:
        self._url, self._clock = url, clock
        self._made: list[TaskManager] = []

    def __call__(self, **options: Any) -> TaskManager:
        manager = TaskManager([], store=self._url, clock=self._clock, **options)
        self._made.append(manager)
        manager.run()
        return manager

    def close(self) -> None:
        for manager in self._made:
            manager.stop()
            manager.store.close()


@pytest.fixture
def make(tmp_path: pathlib.Path, clock: VirtualClock) -> Iterator[Maker]:
    """On SQLite."""
    made = Maker(sqlite_url(tmp_path), clock)
    yield made
    made.close()


@pytest.fixture
def make_on_each(store_url: str, clock: VirtualClock) -> Iterator[Maker]:
    """On each database."""
    made = Maker(store_url, clock)
    yield made
    made.close()


def test_a_task_keeps_its_newest_runs_and_the_audit_says_what_it_does_not_know(
    make_on_each: Maker, clock: VirtualClock
) -> None:
    begin = clock.now()
    manager = make_on_each(keep_runs=5)
    manager.add(lambda: None, every(5).seconds, name="sample")
    clock.advance(seconds=60)
    manager["sample"].disable()
    clock.advance(seconds=40)

    told = [f"{run.slot:%M:%S} {run.state}" for run in manager.runs()]
    assert told == ["01:05 skipped", *(f"{at} succeeded" for at in ("01:00", "00:55", "00:50", "00:45"))]
    assert manager.statistics("sample").counts == {"succeeded": 12, "skipped": 8}
    assert manager.tasks_detail[0]["counts"]["runs"] == 12
    assert manager.audit() == []
    assert [str(finding) for finding in manager.audit(begin)] == [
        "sample: the slot of 2026-05-04T12:00:40+00:00 and those before it are not known: pruned"
    ]


def test_each_task_keeps_as_many_and_runs_by_hand_count(make: Maker, clock: VirtualClock) -> None:
    manager = make(keep_runs=2)
    for name in ("one", "two", "three"):
        manager.add(lambda: None, name=name)
        for _ in range(7):
            manager.trigger(name)
    clock.advance(seconds=32)
    assert sorted(run.task for run in manager.runs()) == ["one", "one", "three", "three", "two", "two"]


def test_runs_go_by_their_age(make: Maker, clock: VirtualClock) -> None:
    manager = make(keep_runs=None, keep_days=MINUTE)
    manager.add(lambda: None, every(10).seconds, name="sample")
    clock.advance(seconds=123)
    assert [run.queued_at.second for run in manager.runs()][:6] == [0, 50, 40, 30, 20, 10]
    assert len(manager.runs()) <= 9


def test_the_last_run_of_a_task_stays_whatever_its_age(make: Maker, clock: VirtualClock) -> None:
    manager = make(keep_days=MINUTE)
    manager.add(lambda: None, name="sample")
    manager.trigger("sample")
    run = manager.trigger("sample")
    clock.advance(minutes=2)
    assert [kept.id for kept in manager.runs()] == [run.id]
    assert manager.tasks_detail[0]["last_outcome"]["state"] == "succeeded"


def test_a_skip_that_others_may_join_stays(make: Maker, clock: VirtualClock) -> None:
    manager = make(keep_days=MINUTE)
    manager.add(lambda: None, every(10).seconds, name="sample", disabled=True)
    begin = clock.now()
    clock.advance(minutes=2)
    assert [(run.count, run.reason) for run in manager.runs()] == [(12, "disabled")]
    assert manager.audit(begin) == []


def test_runs_under_way_stay(make: Maker, clock: VirtualClock) -> None:
    def fail() -> None:
        raise ValueError("no")

    manager = make(keep_days=MINUTE)
    manager.add(fail, name="sample", retry=60, max_concurrent=9)
    runs = [manager.trigger("sample") for _ in range(3)]
    old = [run.id for run in runs if not run.state.final]
    clock.advance(seconds=1)
    execute(manager, "UPDATE task_runs SET queued_at = 0")
    manager.store.retention = manager.store.retention._replace(days=1e-9)
    clock.advance(seconds=40)
    assert sorted(run.id for run in manager.runs() if run.id in old) == sorted(old)


def test_a_parent_whose_result_is_still_wanted_stays(make: Maker, clock: VirtualClock) -> None:
    def report(results: ParentResults) -> None:
        told.append(dict(results))

    told: list[Any] = []
    manager = make(keep_days=MINUTE)
    manager.add(lambda: 7, name="first")
    manager.add(lambda: 8, name="second")
    manager.add(report, name="report", after=["first", "second"])
    wanted = manager.trigger("first").id
    execute(manager, "UPDATE task_tasks SET last_run = NULL")

    clock.advance(minutes=2)

    assert [run.id for run in manager.runs("first")] == [wanted]
    manager.trigger("second")
    clock.advance(seconds=1)
    assert told == [{"first": 7, "second": 8}]


def test_logs_and_artifacts_go_with_their_runs(
    make_on_each: Maker, clock: VirtualClock, tmp_path: pathlib.Path
) -> None:
    def sample(run: Run) -> None:
        run.logger.info("here")
        run.save_artifact("file", b"x")

    folder = tmp_path / "artifacts"
    manager = make_on_each(keep_runs=2, artifacts=folder)
    manager.add(sample, name="sample")
    runs = [manager.trigger("sample") for _ in range(6)]
    clock.advance(seconds=32)

    kept = sorted(run.id for run in runs[-2:])
    assert sorted(run.id for run in manager.runs()) == kept
    assert sorted(path.name for path in folder.iterdir()) == kept
    assert sorted(row["run"] for row in rows_of(manager, "task_logs")) == kept
    assert [len(run.log) for run in manager.runs()] == [1, 1]


def test_what_is_dropped_goes_in_small_steps_a_few_a_second(
    make: Maker, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[float, int]] = []
    drop = pruning._drop
    monkeypatch.setattr(
        pruning, "_drop", lambda page, found: (steps.append((clock.monotonic(), len(found))), drop(page, found))
    )
    manager = make(keep_runs=100)
    manager.add(lambda: None, name="sample")
    manager.trigger("sample")
    insert_runs(manager, "sample", 6_000, clock.now() - datetime.timedelta(days=1))

    for _ in range(200):  # on a slow machine the steps are smaller
        clock.advance(seconds=1)
        if sum(size for _, size in steps) >= 5_901:
            break

    assert len(rows_of(manager, "task_runs")) == 100
    assert max(size for _, size in steps) <= 500
    assert sum(size for _, size in steps) == 5_901
    seconds = {moment for moment, _ in steps}
    assert all(sum(at == moment for at, _ in steps) <= 10 for moment in seconds)


def test_without_a_measure_everything_stays(make: Maker, clock: VirtualClock) -> None:
    manager = make(keep_runs=None)
    manager.add(lambda: None, name="sample")
    insert_runs(manager, "sample", 2_000, clock.now() - datetime.timedelta(days=1))
    clock.advance(seconds=60)
    assert len(rows_of(manager, "task_runs")) == 2_000


def test_the_journal_and_the_processes_are_bounded(make_on_each: Maker, clock: VirtualClock) -> None:
    manager = make_on_each()
    now = int(clock.now().timestamp() * 1_000_000)
    values = [{"number": number, "at": now + number} for number in range(JOURNAL + 300)]
    execute(
        manager,
        "INSERT INTO task_journal (namespace, at, who, what) VALUES ('default', :at, 'ada', 'enabled')",
        values,
    )
    execute(
        manager,
        "INSERT INTO task_processes (id, namespace, host, pid, started_at, beat, beat_at, ended_at, ending) "
        "VALUES (:key, 'default', 'here', 1, 1, 1, 1, :at, 'stopped')",
        [{"key": f"p{one['number']}", "at": one["at"] - 10**9} for one in values[: PROCESSES + 200]],
    )
    clock.advance(seconds=61)
    assert len(rows_of(manager, "task_journal")) == JOURNAL
    ended = [row for row in rows_of(manager, "task_processes") if row["ended_at"] is not None]
    assert len(ended) == PROCESSES
    assert "p0" not in {row["id"] for row in ended}


def test_what_a_forgotten_process_counted_of_a_task_everywhere_is_not_forgotten(
    make_on_each: Maker, clock: VirtualClock
) -> None:
    first = make_on_each()
    first.add(lambda: None, every(5).seconds, name="sample", everywhere=True)
    clock.advance(seconds=26)
    first.stop()
    assert len(rows_of(first, "task_tasks")) == 2
    second = make_on_each(keep_runs=3)
    second.add(lambda: None, name="other")

    execute(second, "UPDATE task_processes SET ended_at = 1 WHERE ended_at IS NOT NULL")
    clock.advance(minutes=2)

    assert [row["scope"] for row in rows_of(second, "task_tasks") if row["name"] == "sample"] == [""]
    assert second.statistics("sample").counts == {"succeeded": 5}
    assert len(second.runs("sample")) == 3


def test_a_process_that_was_found_dead_is_not_forgotten_while_it_has_slots_of_its_own(
    make: Maker, clock: VirtualClock
) -> None:
    manager = make()
    manager.add(lambda: None, every(5).seconds, name="sample", everywhere=True)
    clock.advance(seconds=6)
    execute(manager, "UPDATE task_processes SET ended_at = 1, ending = 'died'")
    clock.advance(seconds=70)
    assert len([row for row in rows_of(manager, "task_tasks") if row["scope"]]) == 1
    assert len(manager.runs("sample", "succeeded")) == 15


@pytest.mark.parametrize(
    ("name", "value"),
    [("keep_runs", value) for value in (0, True, 1.5)]
    + [("keep_days", value) for value in (0, -1, "7", True, float("nan"), float("inf"))],
)
def test_a_measure_that_is_none_is_refused(name: str, value: Any) -> None:
    with pytest.raises(DeclarationError, match=rf"^{name} is a .*, not "):
        TaskManager([], **{name: value})


def test_any_age_can_be_kept(make: Maker, clock: VirtualClock) -> None:
    manager = make(keep_days=1_000_000)
    manager.add(lambda: None, name="sample")
    manager.trigger("sample")
    clock.advance(minutes=1)
    assert len(manager.runs()) == 1


def test_a_task_whose_row_is_unreadable_keeps_its_history_and_others_are_bounded(
    make: Maker, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make(keep_runs=10)
    for name in ("odd", "well"):
        manager.add(lambda: None, name=name)
        manager.trigger(name)
        insert_runs(manager, name, 700, clock.now() - datetime.timedelta(days=1))
    execute(manager, "UPDATE task_tasks SET mark = 'none' WHERE name = 'odd'")
    clock.advance(seconds=40)
    kept = [row["task"] for row in rows_of(manager, "task_runs")]
    assert (kept.count("odd"), kept.count("well")) == (701, 10)
    assert "The history of task 'odd' stays as long as it is: What the store has of task" in caplog.text
    assert manager.health.healthy
