"""A manager that gets its store later, and managers made after another one: what frameworks need."""

from __future__ import annotations

import os
import pathlib

import pytest

from task import TaskManager, every
from task.errors import DeclarationError, ManagerStateError, StoreError
from task.overview import Overview
from task.stores import MemoryStore
from task.testing import VirtualClock


def test_a_manager_keeps_its_record_in_a_store_that_it_gets_later(
    manager: TaskManager, clock: VirtualClock, store_url: str
) -> None:
    manager.add(lambda: None, every(10).seconds, name="sample")
    manager.embedding.keep_in(store_url)
    with manager:
        clock.advance(seconds=30)
    later = TaskManager([], store=store_url, clock=clock)
    assert [str(run.state) for run in later.runs("sample")] == ["succeeded"] * 3


def test_switches_recurring_entries_and_the_journal_come_along(manager: TaskManager, tmp_path: pathlib.Path) -> None:
    sample = manager.add(lambda: None, every(10).seconds, name="sample")
    sample.disable(note="not yet", by="ada")
    manager.recurring.add("nightly", task="sample", schedule="0 2 * * *", by="ada")
    manager.pause(by="ada")
    manager.embedding.keep_in(f"sqlite:///{tmp_path}/tasks.db")
    assert not sample.is_enable
    assert [entry.name for entry in manager.recurring.list()] == ["nightly"]
    assert [entry.what for entry in manager.journal()] == ["paused", "added", "disabled"]
    assert manager.store.paused
    assert manager["nightly"].binding.pipeline.store is manager.store


def test_what_the_store_knows_of_an_entry_stays(
    manager: TaskManager, clock: VirtualClock, tmp_path: pathlib.Path
) -> None:
    url = f"sqlite:///{tmp_path}/tasks.db"
    before = TaskManager([], store=url, clock=clock)
    before.add(lambda: None, name="sample")
    before.recurring.add("nightly", task="sample", schedule="0 3 * * *")
    manager.add(lambda: None, name="sample")
    manager.recurring.add("nightly", task="sample", schedule="0 2 * * *")
    manager.embedding.keep_in(url)
    assert manager.recurring.get("nightly").schedule == "0 3 * * *"


def test_the_measure_of_the_history_goes_along(clock: VirtualClock, tmp_path: pathlib.Path) -> None:
    manager = TaskManager([], keep_runs=100, clock=clock)
    manager.embedding.keep_in(f"sqlite:///{tmp_path}/tasks.db")
    assert manager.store.retention.runs == 100


def test_a_manager_that_was_given_a_store_keeps_that(tmp_path: pathlib.Path) -> None:
    manager = TaskManager([], store=MemoryStore())
    with pytest.raises(ManagerStateError, match="has a store already"):
        manager.embedding.keep_in(f"sqlite:///{tmp_path}/tasks.db")


def test_a_manager_that_runs_keeps_its_store(manager: TaskManager, tmp_path: pathlib.Path) -> None:
    with manager, pytest.raises(ManagerStateError, match="before it runs; this one is running"):
        manager.embedding.keep_in(f"sqlite:///{tmp_path}/tasks.db")


def test_whether_it_starts_in_a_forked_child_can_be_set_later(manager: TaskManager, tmp_path: pathlib.Path) -> None:
    with pytest.raises(DeclarationError, match="needs a store that processes share"):
        manager.restart_after_fork = True
    manager.embedding.keep_in(f"sqlite:///{tmp_path}/tasks.db")
    manager.restart_after_fork = True
    assert manager.restart_after_fork


def test_a_manager_that_could_not_start_is_unhealthy_and_says_why(
    manager: TaskManager, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise StoreError("the disk is gone")

    monkeypatch.setattr(manager.scheduler, "start", refuse)
    with pytest.raises(StoreError):
        manager.run()
    assert not manager.health
    assert manager.health.causes[0] == "it could not be started: StoreError: the disk is gone"
    monkeypatch.undo()
    with manager:
        assert manager.health


def test_why_it_could_not_start_is_the_first_problem(
    manager: TaskManager, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise StoreError("the disk is gone")

    monkeypatch.setattr(manager.scheduler, "start", refuse)
    with pytest.raises(StoreError):
        manager.run()
    (problem,) = Overview(manager).problems()
    assert problem.kind == "stopped"
    assert "It could not be started: StoreError: the disk is gone." in problem


# Twins.


def test_a_twin_has_the_same_tasks_and_a_life_of_its_own(manager: TaskManager, clock: VirtualClock) -> None:
    seen: list[str] = []
    sample = manager.add(lambda: seen.append("run"), every(10).seconds, name="sample")
    twin = manager.embedding.twin()
    twin["sample"].disable()
    with manager:
        clock.advance(seconds=10)
    assert seen == ["run"]
    assert (manager.state, twin.state) == ("stopped", "stopped")
    assert (sample.is_enable, twin["sample"].is_enable) == (True, False)
    assert twin.runs("sample") == []


def test_a_twin_finds_what_is_added_later_and_not_what_was_removed(manager: TaskManager) -> None:
    manager.add(lambda: None, name="gone")
    twin = manager.embedding.twin()
    manager.remove("gone")
    manager.add(lambda: None, name="sample")
    assert list(twin) == ["sample"]


class Mailer:
    """A service."""


def test_a_twin_provides_the_same_services_made_anew(manager: TaskManager) -> None:
    manager.provide(Mailer, Mailer, scope="manager")

    def send(mailer: Mailer) -> int:
        return id(mailer)

    manager.add(send, name="send")
    twin = manager.embedding.twin()
    with manager, twin:
        ours, theirs = manager["send"](), twin["send"]()
    assert ours != theirs


def test_the_twin_of_a_subclass_has_the_tasks_of_its_own_instance(clock: VirtualClock) -> None:
    from task import task

    class Reports(TaskManager):
        def __init__(self) -> None:
            self.name = "reports"
            super().__init__(clock=clock)

        @task
        def report(self) -> tuple[str, int]:
            return self.name, id(self)

    manager = Reports()
    twin = manager.embedding.twin()
    assert manager["report"]() == ("reports", id(manager))
    assert twin["report"]() == ("reports", id(twin))


def test_a_twin_shares_the_store_that_its_manager_was_made_with(store_url: str, clock: VirtualClock) -> None:
    manager = TaskManager([], store=store_url, clock=clock)
    manager.add(lambda: None, every(10).seconds, name="sample")
    twin = manager.embedding.twin()
    with manager, twin:
        clock.advance(seconds=30)
    assert len(manager.runs("sample")) == 3


def test_two_objects_for_one_ledger_are_one(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = TaskManager([], store="sqlite:///tasks.db").store
    second = TaskManager([], store=f"sqlite:///{os.getcwd()}/tasks.db").store
    other = TaskManager([], store="sqlite:///tasks.db", namespace="other").store
    assert first.is_one_with(second)
    assert not first.is_one_with(other)
    assert not first.is_one_with(MemoryStore())
