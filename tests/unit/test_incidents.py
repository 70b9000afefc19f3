"""Incidents in the ledger: one contract, held by every store."""

from __future__ import annotations

import dataclasses
import datetime
import threading
from collections.abc import Iterator

import pytest

from task import Incident, ParameterError, Store, TaskManager, UnknownTaskError
from task.spec import Expectation
from task.stores import Terms, open_store
from task.stores.sql import pruning
from task.stores.sql.operations import Operation
from task.stores.sql.rows import micros_of
from task.testing import VirtualClock

NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)


@pytest.fixture
def store(any_store_url: str | None) -> Iterator[Store]:
    made = open_store(any_store_url, "default", 30)
    made.go_by(VirtualClock(NOON))
    yield made
    made.close()


def found(task: str = "sync", kind: str = "failing", minutes: int = 0) -> Incident:
    return Incident(task, kind, NOON + minutes * MINUTE, "its last run failed", f"run {minutes}")


def ended(incident: Incident, minutes: int) -> Incident:
    return dataclasses.replace(incident, ended_at=NOON + minutes * MINUTE)


def test_of_a_task_and_kind_one_is_open(store: Store) -> None:
    first, second, other = found(), found(minutes=1), found(kind="overdue", minutes=2)

    assert store.open_incidents([first]) == [first]
    assert store.open_incidents([second, other]) == [other]
    assert store.incidents() == [other, first]


def test_who_has_opened_one_is_told_so_again(store: Store) -> None:
    first = found()

    assert [store.open_incidents([first]) for _ in range(2)] == [[first], [first]]
    assert store.incidents() == [first]


def test_of_many_who_open_it_at_once_one_does(store: Store) -> None:
    barrier, opened = threading.Barrier(4), []

    def open_it() -> None:
        barrier.wait(60)
        opened.extend(store.open_incidents([found()]))

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(opened) == 1


def test_one_ends_once_and_who_has_ended_it_is_told_so_again(store: Store) -> None:
    first = found()
    store.open_incidents([first])

    assert store.end_incidents([ended(first, 1)]) == [ended(first, 1)]
    assert store.end_incidents([ended(first, 1)]) == [ended(first, 1)]
    assert store.end_incidents([ended(first, 2)]) == []
    assert store.incidents() == [ended(first, 1)]
    assert store.end_incidents([ended(found(task="unknown"), 1)]) == []


def test_after_its_end_another_can_begin(store: Store) -> None:
    first, second = found(), found(minutes=5)
    store.open_incidents([first])
    store.end_incidents([ended(first, 1)])

    assert store.open_incidents([second]) == [second]
    assert store.incidents() == [second, ended(first, 1)]


def test_what_is_open_comes_first_and_what_is_over_is_limited(store: Store) -> None:
    for minutes in range(5):
        one = found(task=f"task {minutes % 2}", minutes=minutes)
        store.open_incidents([one])
        store.end_incidents([ended(one, minutes + 1)])
    store.open_incidents([found(task="task 0", minutes=9)])

    assert [(one.task, one.run, one.open) for one in store.incidents(limit=2)] == [
        ("task 0", "run 9", True),
        ("task 0", "run 4", False),
        ("task 1", "run 3", False),
    ]
    assert [one.run for one in store.incidents("task 1")] == ["run 3", "run 1"]
    assert [one.run for one in store.incidents(limit=None)] == ["run 9"]


def test_what_is_over_is_kept_within_bounds(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "INCIDENTS_KEPT", 3)
    store = open_store(store_url, "default", 30)
    store.go_by(VirtualClock(NOON))
    for minutes in range(5):
        one = found(minutes=minutes)
        store.open_incidents([one])
        store.end_incidents([ended(one, minutes)])
    store.open_incidents([found(task="old", minutes=-60 * 24 * 31), found(minutes=9)])
    store._ledger.perform(Operation("tidy", lambda page: pruning.tidy(page, micros_of(NOON))))  # type: ignore[attr-defined]

    assert [one.run for one in store.incidents()] == ["run 9", "run 4", "run 3", "run 2"]
    store.close()


def test_a_row_that_none_of_us_has_written_is_shown_as_far_as_it_is_understood(store_url: str) -> None:
    store = open_store(store_url, "default", 30)
    store.go_by(VirtualClock(NOON))
    store.open_incidents([found()])
    table = "UPDATE task_incidents SET since = 999999999999999999"
    with store._database.write() as connection:  # type: ignore[attr-defined]
        connection.exec_driver_sql(table)

    assert [(one.task, one.since.year) for one in store.incidents()] == [("sync", 1970)]
    store.close()


def test_what_is_expected_of_a_task_is_kept_for_processes_without_its_code(store_url: str) -> None:
    store = open_store(store_url, "default", 30)
    store.go_by(VirtualClock(NOON))
    for name, expectation in {"usual": Expectation(), "own": Expectation(3600, 5.0, 2)}.items():
        store.register(name, Terms(expectation=expectation.text))
        store.enlist(name, [], NOON)

    other = open_store(store_url, "default", 30)
    told = [Expectation.of(other.expectation(name)) for name in ("usual", "own", "unknown")]

    assert told == [Expectation(), Expectation(3600, 5.0, 2), Expectation()]
    other.close()
    store.close()


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1]", '["x", 1, 2]', "[" * 100_000, "null"])
def test_what_is_not_understood_of_it_is_the_usual(text: str) -> None:
    assert Expectation.of(text) == Expectation()


def test_a_manager_tells_of_its_own_namespace(store_url: str, clock: VirtualClock) -> None:
    managers = [TaskManager([], store=store_url, namespace=name, clock=clock) for name in ("one", "two")]
    managers[0].store.open_incidents([found()])

    assert [[one.as_dict()["since"] for one in manager.incidents()] for manager in managers] == [
        ["2026-05-04T12:00:00+00:00"],
        [],
    ]
    with pytest.raises(UnknownTaskError):
        managers[0].incidents("nobody")
    with pytest.raises(ParameterError):
        managers[0].incidents(limit=0)
