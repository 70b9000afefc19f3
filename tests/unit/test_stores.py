"""The ledger: one contract, held by every store."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from task import DuplicateTaskError, MemoryStore, ParentResults, Run, RunState, Store, every
from task.schedules import Line, Missed, live_copy
from task.stores import Declaration, Follower, Limits, RecurringRow, Switch, Terms, open_store
from task.testing import VirtualClock

NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)


class Everything:
    """A manager that runs all tasks."""

    def vitals(self) -> str:
        return ""

    def knows(self, name: str) -> bool:
        return True

    def executes(self, run: Run) -> bool:
        return True

    def admitted(self, runs: Sequence[Run]) -> None: ...

    def take_over(self, run: Run) -> None: ...

    def lost(self, runs: Sequence[Run]) -> None: ...

    def changed(self) -> None: ...

    def renew(self, name: str) -> None: ...

    def stale(self, name: str) -> None: ...

    def pruned(self, ids: Sequence[str]) -> None: ...


@pytest.fixture
def store(any_store_url: str | None) -> Iterator[Store]:
    made = open_store(any_store_url, "default", 30)
    made.attach(Everything(), VirtualClock(NOON))
    made.register("sample", Terms())
    yield made
    made.close()


def due(minutes: int) -> Run:
    return Run("sample", "schedule", NOON + minutes * MINUTE, slot=NOON + minutes * MINUTE)


def missed(first: int, before: int) -> Missed:
    line = Line(every(1).minutes, NOON, "")
    line.next = NOON + first * MINUTE
    return Missed(line.next, NOON + before * MINUTE, [line])


def finish(store: Store, run: Run, state: RunState = RunState.SUCCEEDED) -> None:
    store.start(run, run.queued_at)
    store.finish(run, state, run.queued_at + MINUTE)


def test_a_claim_moves_the_mark_and_a_slot_at_or_before_it_is_refused(store: Store) -> None:
    assert store.claim(due(5), Limits(9))
    assert store.mark("sample") == NOON + 5 * MINUTE
    assert not store.claim(due(5), Limits(9))
    assert not store.claim(due(4), Limits(9))
    assert len(store.runs("sample")) == 1


def test_of_many_claims_of_one_slot_exactly_one_is_granted(store: Store) -> None:
    barrier, granted = threading.Barrier(8), []

    def claim() -> None:
        barrier.wait(60)
        granted.extend(minute for minute in range(200) if store.claim(due(minute), Limits(10_000)))

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(granted) == len(set(granted))
    assert max(granted) == 199


def test_a_claim_records_what_was_missed_before_it(store: Store) -> None:
    store.claim(due(5), Limits(), missed(1, 5))
    assert [(str(run.state), run.as_dict()["count"]) for run in store.runs("sample")] == [("queued", 1), ("missed", 4)]


def test_while_a_run_is_active_the_next_is_skipped(store: Store) -> None:
    first, second, third = due(1), due(2), due(3)
    store.claim(first, Limits())
    store.claim(second, Limits())
    assert (second.state, second.reason) == ("skipped", "already running")
    finish(store, first)
    store.claim(third, Limits())
    assert third.state == "queued"


def test_skips_in_a_row_for_one_reason_are_one_row(store: Store) -> None:
    store.turn("sample", Switch(False))
    for minute in range(1, 6):
        store.claim(due(minute), Limits())
    store.turn("sample", Switch(True))
    store.pause(True)
    store.claim(due(6), Limits())
    rows = store.runs("sample")
    assert [(run.reason, run.count, run.as_dict()["last"][11:16]) for run in rows] == [
        ("paused", 1, "12:06"),
        ("disabled", 5, "12:05"),
    ]
    assert store.summary("sample").skips == {"disabled": 5, "paused": 1}


def test_a_final_state_never_changes(store: Store) -> None:
    run = due(1)
    store.claim(run, Limits())
    store.start(run, NOON)
    assert store.finish(run, RunState.LOST, NOON, "gone") is not None
    assert store.finish(run, RunState.SUCCEEDED, NOON) is None
    assert (run.state, run.reason) == ("lost", "gone")


def test_a_cancelled_run_does_not_start(store: Store) -> None:
    run = due(1)
    store.claim(run, Limits())
    store.finish(run, RunState.CANCELLED, NOON)
    assert not store.start(run, NOON)


def test_a_switch_with_an_end_is_on_again_after_it(store: Store) -> None:
    store.turn("sample", Switch(False, "note", NOON + MINUTE, NOON))
    assert not store.switch("sample", NOON).enabled
    assert store.switch("sample", NOON + MINUTE).enabled
    early, late = due(0), due(1)
    store.claim(early, Limits())
    store.claim(late, Limits())
    assert (early.state, late.state) == ("skipped", "queued")


def test_the_first_registration_decides_the_switch(store: Store) -> None:
    store.register("off", Terms(disabled=True))
    store.register("off", Terms())
    assert not store.switch("off", NOON).enabled


def test_counts_follow_the_outcomes(store: Store) -> None:
    for minute, state in enumerate([RunState.FAILED, RunState.SUCCEEDED, RunState.FAILED, RunState.FAILED], start=1):
        run = due(minute)
        store.claim(run, Limits())
        finish(store, run, state)
    summary = store.summary("sample")
    assert (summary.runs, summary.failures, summary.consecutive_failures) == (4, 3, 2)
    assert summary.last is not None
    assert summary.last.slot == NOON + 4 * MINUTE


def test_of_many_removed_tasks_memory_remembers_only_the_newest() -> None:
    store = MemoryStore()
    store.register("sample", Terms())
    for number in range(150):
        store.register(f"task {number}", Terms())
        store.abandon(f"task {number}")
    store.register("task 149", Terms())
    assert len(store.names()) == 101
    assert "task 149" in store.names()
    assert "sample" in store.names()


def test_a_set_back_mark_begins_a_new_epoch_and_the_old_rows_stay(store: Store) -> None:
    run = due(100)
    store.claim(run, Limits())
    finish(store, run)
    store.set_back("sample", NOON)
    again = due(100)
    assert store.claim(again, Limits())
    assert len(store.runs("sample")) == 2
    assert store.audit(None, NOON + 200 * MINUTE) == []


def test_the_audit_owes_every_slot_between_declaration_and_retirement(store: Store) -> None:
    job = every(1).minutes
    line = Line(job, NOON, "")
    store.declare("sample", Declaration(line, NOON))
    store.claim(due(1), Limits(9))
    store.claim(due(2), Limits(9))
    store.retire("sample", job, NOON + 4 * MINUTE)
    findings = store.audit(None, NOON + 60 * MINUTE)
    assert [f"{finding.slot:%H:%M} {finding.problem}" for finding in findings] == [
        "12:03 has no outcome",
        "12:04 has no outcome",
    ]


def test_the_history_is_bounded_and_says_from_where_it_is_not_known() -> None:
    store = MemoryStore(keep=3)
    store.register("sample", Terms())
    for minute in range(1, 6):
        run = due(minute)
        store.claim(run, Limits())
        finish(store, run)
    assert len(store.runs("sample")) == 3
    assert store.pruned("sample") == NOON + 2 * MINUTE


def test_a_follower_is_recorded_in_the_transaction_that_ends_its_parent(store: Store) -> None:
    store.register("child", Terms())
    states = frozenset({RunState.SUCCEEDED})

    def follow(parent: Run, results: ParentResults) -> Run:
        assert results == {"sample": 42}
        return Run("child", "chain", NOON, parent_id=parent.id)

    parent = due(1)
    store.claim(parent, Limits())
    store.start(parent, NOON)
    parent.keep_value(42)
    follower = Follower("child", ("sample",), states, Limits(), follow)
    admitted = store.finish(parent, RunState.SUCCEEDED, NOON, followers=[follower])
    assert admitted is not None
    (child,) = admitted
    assert [(run.task, str(run.state), run.parent_id) for run in store.runs("child")] == [
        ("child", "queued", parent.id)
    ]
    assert [run.id for run in store.active("child")] == [child.id]


def test_who_waits_gets_the_place_of_the_run_that_ends(store: Store) -> None:
    limits = Limits(overlap="queue")
    first, second, third = due(1), due(2), due(3)
    for run in (first, second, third):
        store.claim(run, limits)
    assert (first.waiting, second.waiting, third.state) == (False, True, "skipped")
    store.start(first, NOON)
    assert store.finish(first, RunState.SUCCEEDED, NOON) == [second]
    assert not second.waiting


def test_a_place_may_be_kept_beyond_the_end_of_the_run(store: Store) -> None:
    limits = Limits(overlap="queue", mutex="database")
    first, second = due(1), due(2)
    store.claim(first, limits)
    store.claim(second, limits)
    store.start(first, NOON)
    admitted = store.finish(first, RunState.TIMED_OUT, NOON, keep_place=True)
    assert admitted is not None
    assert not admitted
    assert [run.id for run in store.active("sample")] == [first.id, second.id]
    assert store.release(first) == [second]
    assert list(store.release(first)) == []


def test_an_attempt_can_be_settled_once(store: Store) -> None:
    run = due(1)
    store.claim(run, Limits())
    store.start(run, NOON)
    assert store.retry(run, 1, NOON, NOON + MINUTE)
    assert not store.retry(run, 1, NOON, NOON + MINUTE)
    assert store.start(run, NOON)
    assert run.attempt == 2
    assert store.finish(run, RunState.FAILED, NOON, attempt=1) is None
    assert store.finish(run, RunState.SUCCEEDED, NOON, attempt=2) is not None


def test_the_audit_passes_over_a_task_that_is_forgotten_meanwhile() -> None:
    class Forgets(MemoryStore):
        def names(self) -> list[str]:
            return [*super().names(), "removed long ago"]

    store = Forgets()
    store.register("sample", Terms())
    assert store.audit(None, datetime.datetime(2026, 5, 4, tzinfo=datetime.UTC)) == []


def recurring(**terms: Any) -> RecurringRow:
    return RecurringRow("nightly", "sample", "0 2 * * *", "{}", 1, NOON, NOON, NOON)._replace(**terms)


def test_an_entry_is_kept_as_it_was_put_and_found_by_its_name(store: Store) -> None:
    before = store.entries_changed()
    assert store.put_entry(recurring())
    assert store.put_entry(recurring(name="hourly", schedule=None, parameters='{"a": "é"}', max_concurrent=3))
    assert [one.row.name for one in store.entries()] == ["hourly", "nightly"]
    (found,) = store.entries("hourly")
    assert found.row == recurring(name="hourly", schedule=None, parameters='{"a": "é"}', max_concurrent=3)
    assert (found.switch.enabled, found.runs, found.failures, found.consecutive_failures) == (True, 0, 0, 0)
    assert store.entries("nobody") == []
    assert store.entries_changed() == before + 2


def test_of_two_changes_of_one_version_of_an_entry_the_second_is_refused(store: Store) -> None:
    assert store.put_entry(recurring())
    assert not store.put_entry(recurring(max_concurrent=9))
    assert store.put_entry(recurring(max_concurrent=2, version=2))
    assert not store.put_entry(recurring(max_concurrent=3, version=2))
    assert not store.put_entry(recurring(max_concurrent=3, version=4))
    assert [one.row.max_concurrent for one in store.entries()] == [2]


def test_a_dropped_entry_is_gone_and_what_is_known_under_its_name_stays(store: Store) -> None:
    store.put_entry(recurring())
    store.turn("nightly", Switch(False, "enough"))
    assert [one.switch.note for one in store.entries()] == ["enough"]
    assert store.drop_entry("nightly", NOON)
    assert not store.drop_entry("nightly", NOON)
    assert store.entries() == []
    assert store.switch("nightly", NOON).note == "enough"
    assert store.put_entry(recurring())  # from version 1 again


def test_where_an_entry_was_scheduled_anew_it_owes_nothing_more_of_the_schedule_before(store: Store) -> None:
    store.put_entry(recurring(schedule="every minute"))
    store.register("nightly", Terms(entry=True))
    job = live_copy(every(1).minutes, "nightly", ())
    store.enlist("nightly", [job], NOON)
    store.declare("nightly", Declaration(Line(job, NOON, ""), NOON))
    anew = NOON + 5 * MINUTE
    assert store.put_entry(recurring(schedule="every hour", version=2, updated_at=anew, scheduled_at=anew))
    assert store.declared("nightly", job) is None
    assert store.audit(None, NOON + 60 * MINUTE) == []


def test_the_name_of_a_task_of_the_code_is_none_for_an_entry(store: Store) -> None:
    job = live_copy(every(1).hours, "sample", ())
    store.enlist("sample", [job], NOON)
    store.declare("sample", Declaration(Line(job, NOON, ""), NOON))
    with pytest.raises(DuplicateTaskError, match="a task 'sample'"):
        store.put_entry(recurring(name="sample"))
    assert store.entries() == []
