"""A process that runs no tasks is well where others on its store do."""

from __future__ import annotations

from virtual_processes import VirtualProcesses

from task import every
from task.overview import Overview
from task.testing import VirtualClock


def test_a_stopped_manager_is_well_while_another_process_runs_the_tasks(
    processes: VirtualProcesses, clock: VirtualClock
) -> None:
    web, worker = processes.make(), processes.make()
    worker.add("tick", every(10).seconds)
    overview = Overview(web.manager)

    alone = overview.health()
    worker.run()
    clock.advance(seconds=2)
    with_a_worker = overview.health(), [problem.kind for problem in overview.problems()]
    worker.stop()
    clock.advance(seconds=2)

    assert (alone.healthy, alone.causes) == (False, ("the loop is not running",))
    assert (with_a_worker[0].healthy, with_a_worker[0].state, with_a_worker[0].causes) == (True, "stopped", ())
    assert with_a_worker[1] == []
    assert not overview.health()
    assert [problem.kind for problem in overview.problems()] == ["stopped"]
