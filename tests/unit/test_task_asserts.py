"""What tests claim of tasks, and what they are told where it is not so."""

from __future__ import annotations

import datetime
import re

import pytest

from task import TaskManager, every, task
from task.errors import DeclarationError
from task.testing import VirtualClock, assert_no_slot_lost, assert_ran, assert_skipped, virtual_time


def told(claim: object) -> list[str]:
    """What a claim that does not hold says, line by line."""
    with pytest.raises(AssertionError) as caught:
        claim()  # type: ignore[operator]
    return str(caught.value).splitlines()


def test_runs_are_counted_by_the_state_that_they_came_to(manager: TaskManager, clock: VirtualClock) -> None:
    results = iter([None, ValueError("no network"), None])

    @manager.task(every(10).minutes)
    def sample() -> None:
        if (error := next(results)) is not None:
            raise error

    with manager:
        clock.advance(minutes=30)
        assert_ran(sample)
        assert_ran(sample, times=2)
        assert_ran(sample, times=1, state="failed")
        assert_ran("sample", times=2, manager=manager)
        lines = told(lambda: assert_ran(sample, times=3))
    assert lines == [
        "Task 'sample' was to come to succeeded 3 times, and did 2 times.",
        "It came to: succeeded 2, failed 1",
        "  slot                         state      times  trigger   why",
        "  Mon 2026-05-04 12:10:00 UTC  succeeded  1      schedule",
        "  Mon 2026-05-04 12:20:00 UTC  failed     1      schedule  ValueError: no network",
        "  Mon 2026-05-04 12:30:00 UTC  succeeded  1      schedule",
        "Now it is Mon 2026-05-04 12:30:00 UTC.",
        "Its next slot is Mon 2026-05-04 12:40:00 UTC.",
        "Its schedules: Every 10 minutes",
    ]


def test_of_many_runs_more_are_counted_than_are_shown(manager: TaskManager, clock: VirtualClock) -> None:
    sample = manager.add(lambda: None, every(10).seconds, name="sample")
    with manager:
        clock.advance(hours=2)
        assert_ran(sample, times=720)
        assert len(told(lambda: assert_ran(sample, times=1))) == 16


def test_what_came_otherwise_is_shown_however_long_ago(manager: TaskManager, clock: VirtualClock) -> None:
    sample = manager.add(lambda: None, every(10).minutes, name="sample")
    with manager:
        sample.disable()
        clock.advance(minutes=10)
        sample.enable()
        clock.advance(hours=3)
        lines = told(lambda: assert_ran(sample, times=19))
    assert lines[3] == "  Mon 2026-05-04 12:10:00 UTC  skipped    1      schedule  disabled"
    assert lines[4].startswith("  Mon 2026-05-04 13:40:00 UTC  succeeded")


def test_who_has_not_run_the_manager_is_told_so(manager: TaskManager) -> None:
    sample = manager.add(lambda: None, every(10).minutes, name="sample")
    assert told(lambda: assert_ran(sample)) == [
        "Task 'sample' was to come to succeeded at least once, and did 0 times.",
        "It came to: nothing at all",
        "Now it is Mon 2026-05-04 12:00:00 UTC.",
        "Its schedules: Every 10 minutes",
        "No slot of it runs: the manager does not run yet; call run().",
    ]


def test_a_task_that_no_manager_has_is_told_so() -> None:
    @task(every().hour)
    def lonely() -> None:
        pass

    with virtual_time():
        assert told(lambda: assert_ran(lonely))[-1] == (
            "It has no manager: none has found it, or the manager that has is not in this test."
        )


def test_skips_are_counted_by_their_reason(manager: TaskManager, clock: VirtualClock) -> None:
    sample = manager.add(lambda: None, every(10).minutes, name="sample", only_if=lambda: False)
    with manager:
        clock.advance(minutes=20)
        sample.disable()
        clock.advance(minutes=30)
        assert_skipped(sample)
        assert_skipped(sample, times=5)
        assert_skipped(sample, reason="only_if", times=2)
        assert_skipped(sample, reason="disabled", times=3)
        lines = told(lambda: assert_skipped(sample, reason="overlap"))
    assert re.fullmatch(
        r"Task 'sample' was to be skipped at least once because of 'overlap'\. It was skipped 3 times: disabled; "
        r"2 times: only_if.*\.",
        lines[0],
    )
    assert lines[1] == "It came to: skipped 5"
    assert lines[-1] == "It is disabled."


def test_a_task_that_was_never_skipped_is_told_so(manager: TaskManager) -> None:
    sample = manager.add(lambda: None, name="sample")
    lines = told(lambda: assert_skipped(sample, times=2))
    assert lines[0] == "Task 'sample' was to be skipped 2 times. It was skipped never."
    assert "It has no schedule: it runs when it is triggered or called." in lines


def test_a_slot_that_has_no_outcome_is_named(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(10).minutes, name="sample")
    with manager:
        clock.advance(minutes=30)
        assert_no_slot_lost(manager)
        record = manager.store._records["sample"]  # type: ignore[attr-defined]  # of a store in memory
        lost = record.rows[1]
        del record.rows[1]
        lines = told(lambda: assert_no_slot_lost(manager))
        record.rows.insert(1, lost)
    assert lines == [
        "Slots are without their outcome:",
        "  sample: the slot of 2026-05-04T12:20:00+00:00 has no outcome",
    ]


def test_a_run_that_is_lost_is_no_outcome(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: clock.sleep(60), every(10).minutes, name="slow")
    with manager:
        clock.run_until(datetime.datetime(2026, 5, 4, 12, 9, 59, tzinfo=datetime.UTC))
        manager.scheduler.call_at(clock.now() + datetime.timedelta(seconds=5), lambda: manager.stop(timeout=1))
        clock.advance(seconds=10)
        lines = told(lambda: assert_no_slot_lost(manager))
    assert lines[0] == "Slots are without their outcome:"
    assert "lost" in lines[2]


def test_without_a_manager_the_claims_are_of_all_that_the_test_has_run() -> None:
    managers = [TaskManager([]), TaskManager([])]
    for one in managers:
        one.add(lambda: None, every().hour, name="sample")
    with virtual_time() as clock:
        clock.run(*managers)
        clock.advance(hours=2)
        assert_ran("sample", times=4)
        assert_no_slot_lost()


def test_texts_of_bodies_send_no_escapes(manager: TaskManager) -> None:
    def body() -> None:
        raise ValueError("\x1b[31mred\nsecond line")

    sample = manager.add(body, name="sample")
    with manager:
        sample.trigger()
        lines = told(lambda: assert_ran(sample))
    assert lines[3].endswith("ValueError: \\x1b[31mred")


def test_a_name_that_nobody_has_is_refused_with_the_nearest() -> None:
    manager = TaskManager([])
    manager.add(lambda: None, name="report")
    with (
        virtual_time(),
        pytest.raises(DeclarationError, match="No manager here has a task 'repotr'"),
    ):
        assert_ran("repotr")


def test_a_state_that_there_is_not_is_refused(manager: TaskManager) -> None:
    sample = manager.add(lambda: None, name="sample")
    with pytest.raises(DeclarationError, match="Did you mean 'succeeded'"):
        assert_ran(sample, state="suceeded")


def test_where_no_manager_goes_by_virtual_time_no_slot_can_be_claimed_to_be_kept() -> None:
    with pytest.raises(DeclarationError, match="No manager goes by virtual time here"):
        assert_no_slot_lost()
