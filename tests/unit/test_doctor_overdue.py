"""The doctor, on a task of the process itself whose slots come due and are not run."""

from __future__ import annotations

import datetime

from task import TaskManager, every
from task.doctor import Diagnosis, diagnose
from task.testing import VirtualClock


def test_a_run_that_newer_slots_have_overtaken_is_found_and_is_over_when_it_ends(
    manager: TaskManager, clock: VirtualClock
) -> None:
    def linger() -> None:
        if clock.now().minute == 10:
            clock.sleep(1_500)

    def overdue() -> list[Diagnosis]:
        return [one for one in diagnose(manager) if one.check == "overdue"]

    seen: list[list[Diagnosis]] = []
    manager.add(linger, every(10).minutes, name="linger")
    with manager:
        manager.scheduler.call_at(clock.now() + datetime.timedelta(minutes=5), lambda: seen.append(overdue()))
        manager.scheduler.call_at(clock.now() + datetime.timedelta(minutes=25), lambda: seen.append(overdue()))
        clock.advance(minutes=51)
        seen.append(overdue())

    assert [[(one.state, one.found[:15]) for one in found] for found in seen] == [
        [],
        [("problem", "Task 'linger': ")],
        [],
    ]
    assert seen[1][0].cure
