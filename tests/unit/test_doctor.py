"""Each check of `diagnose`, on the fault that it is for."""

from __future__ import annotations

import asyncio
import datetime
import os
import pathlib
import re
import sys
import threading
import time
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from databases import sqlite_url
from virtual_processes import VirtualProcesses

from task import TaskManager, cron, every
from task.clock import SystemClock
from task.doctor import Diagnosis, diagnose, is_well
from task.doctor import stores as stores_module
from task.doctor.processes import Subject, checks_of_process
from task.doctor.stores import network_of
from task.hosting import threads as threads_module
from task.hosting import zones as zones_module
from task.models import Pool, Stuck, Vitals
from task.testing import VirtualClock

NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)


#: How long what will happen may take, and what waits may wait. Seconds.
LIMIT = 120.0


def wrong(found: Iterable[Diagnosis]) -> list[tuple[str, str]]:
    """What is not well: check and state."""
    return [(one.check, one.state) for one in found if one.state != "well"]


def one_of(found: Iterable[Diagnosis], check: str) -> Diagnosis:
    """The only finding of a check."""
    (only,) = [one for one in found if one.check == check]
    return only


def judged(*, shared: bool = False, **vitals: Any) -> list[Diagnosis]:
    """What is found of a process that tells this of itself."""
    told = {"zones": "2026a", "zones_from": "the package tzdata", "state": "running", "pid": 7}
    return list(checks_of_process(Subject("7@host", Vitals(**{**told, **vitals}), shared, NOON)))


# A process.


def test_a_manager_that_does_its_work_is_well(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(10).seconds, name="tick")
    with manager:
        clock.advance(minutes=5)
        found = diagnose(manager)

    assert is_well(found)
    assert {one.check for one in found} >= {
        "loop", "fork", "workers", "reloader", "threads", "code", "zones", "events", "store", "tasks",
    }  # fmt: skip


def test_every_finding_that_is_not_well_has_a_cure() -> None:
    found = judged(
        causes=("the loop has been blocked for 12 seconds", "The store <x> cannot be reached: no", "something new"),
        signals_dropped=3,
        workers=4,
        twin=6,
        threads_bound="its control group (pids.max)",
        threads=99,
        threads_limit=100,
        pools=(Pool("serial", 1, 1, 3, 0, 16),),
        changed_files=("/srv/jobs.py",),
        zones="2019c",
    )

    assert len(wrong(found)) == 10
    assert [one for one in found if one.state != "well" and not one.cure] == []
    assert {one.process for one in found} == {"7@host"}


def test_a_manager_that_was_not_started_is_a_problem(manager: TaskManager) -> None:
    found = one_of(diagnose(manager), "loop")

    assert (found.state, found.found, found.cure) == (
        "problem",
        "The loop is not running.",
        "Start it: manager.run().",
    )


def test_a_dead_loop_is_found(manager: TaskManager, clock: VirtualClock) -> None:
    with manager:
        clock._handles.clear()  # as if its thread had ended
        found = one_of(diagnose(manager), "loop")

    assert (found.state, found.found) == ("problem", "The loop's thread is dead.")
    assert found.cure == "Restart the process: what ended the thread is in its log."


def test_a_body_that_blocks_the_event_loop_is_named(wait_for: Callable[[Callable[[], bool]], None]) -> None:
    manager, go_on = TaskManager([]), threading.Event()

    async def block() -> None:
        go_on.wait(LIMIT)

    manager.add(block, name="block")
    with manager:
        run = manager.trigger("block")
        wait_for(lambda: any("'block' blocked the event loop" in cause for cause in manager.health.causes))
        found = one_of(diagnose(manager), "loop")
        go_on.set()
        assert run.wait(LIMIT)

    assert found.state == "problem"
    assert found.found == "Task 'block' blocked the event loop, and kept 0 other runs waiting."
    assert found.cure.startswith("Await what takes long, move it to a thread (asyncio.to_thread)")


def test_a_full_pool_is_found_with_how_many_wait(wait_for: Callable[[Callable[[], bool]], None]) -> None:
    manager, go_on = TaskManager([], max_workers=2), threading.Event()
    wait = manager.add(lambda: go_on.wait(LIMIT), name="wait", threaded=True, overlap="allow")
    with manager:
        runs = [wait.trigger() for _ in range(5)]
        wait_for(lambda: [(pool.running, pool.waiting) for pool in manager.vitals().pools] == [(2, 3)])
        found = one_of(diagnose(manager), "threads")
        go_on.set()
        for run in runs:
            assert run.wait(LIMIT)

    assert found.state == "warning"
    assert found.found == "3 runs wait for a place on threads: all 2 are taken."
    assert found.cure == (
        "Give the manager more max_workers, or bodies that take long a pool of their own (pools=, pool=)."
    )


def test_a_body_that_hangs_is_shown_with_where_it_is_and_with_no_text_of_its_code(
    wait_for: Callable[[Callable[[], bool]], None],
) -> None:
    manager, go_on = TaskManager([]), threading.Event()

    def wait_for_the_other_side() -> None:
        secret = "hunter2"  # noqa: F841 - it must not be told
        go_on.wait(LIMIT)

    def sync() -> None:
        wait_for_the_other_side()

    def waits(stuck: Sequence[Stuck]) -> bool:
        """Whether it is where it stays."""
        return [place.rpartition(" ")[2] for one in stuck for place in one.stack][-2:] == ["wait", "wait"]

    manager.add(sync, name="sync", timeout=0.05)
    with manager:
        manager.trigger("sync")
        wait_for(lambda: waits(manager.vitals().stuck))
        wait_for(lambda: [(pool.written_off, pool.waiting) for pool in manager.vitals().pools] == [(1, 0)])
        stuck = manager.vitals().stuck[0]
        found, text = one_of(diagnose(manager), "stuck"), manager.vitals().as_json()
        threads = [one for one in diagnose(manager) if one.check == "threads"]
        go_on.set()

    assert (found.state, stuck.task, stuck.overruns) == ("problem", "sync", True)
    functions = [place.rpartition(" ")[2] for place in stuck.stack]
    assert functions[:2] == ["sync", "wait_for_the_other_side"]
    assert f"{pathlib.Path(__file__)}:" in stuck.stack[0]
    assert found.details == stuck.stack[:-1]
    assert "hunter2" not in text
    assert "go_on" not in text
    assert [(one.state, one.found) for one in threads] == [
        (
            "warning",
            "The executor serial has replaced 1 thread with bodies that hang, of at most 16; their bodies go on past "
            "their time.",
        )
    ]


def test_when_no_more_threads_can_be_replaced_it_is_a_problem() -> None:
    found = one_of(judged(pools=(Pool("threads", 32, 32, 4, 16, 16),)), "threads")

    assert found.state == "problem"
    assert found.found.endswith(
        "4 runs wait for a place on threads: all 32 are taken: the next body that hangs keeps its place."
    )


def test_a_run_far_beyond_what_is_usual_is_told_once_with_its_stack(
    processes: VirtualProcesses, clock: VirtualClock
) -> None:
    worker = processes.make()
    seconds = 1.0

    async def body() -> None:
        await asyncio.sleep(seconds)

    worker.manager.add(body, name="usual")
    worker.run()
    for _ in range(6):
        worker.manager.trigger("usual")
        clock.advance(seconds=2)
    seconds = 1_000
    worker.manager.trigger("usual")
    clock.advance(seconds=300)

    found = [one for one in diagnose(processes.make().manager) if one.check in ("stuck", "overrunning")]

    assert [(one.check, one.state) for one in found] == [("stuck", "well")]  # who looks does not know what is usual
    (here,) = [one for one in diagnose(worker.manager) if one.check in ("stuck", "overrunning")]
    assert here.state == "problem"
    assert here.found == "Task 'usual': its run has taken 5 min; 19 of 20 take 1.0 s or less."


def test_a_source_file_that_changed_after_it_was_imported_is_named(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, clock: VirtualClock
) -> None:
    (tmp_path / "shop_jobs").mkdir()
    (tmp_path / "shop_jobs" / "__init__.py").write_text("")
    (tmp_path / "shop_jobs" / "prices.py").write_text("PRICE = 1\n")
    (tmp_path / "shop_jobs" / "tasks.py").write_text("from shop_jobs import prices\ndef pull(): return prices.PRICE\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("shop_jobs", "shop_jobs.prices", "shop_jobs.tasks"):  # they go with this test
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        del sys.modules[name]
    import shop_jobs.tasks  # type: ignore[import-not-found]

    manager = TaskManager([], clock=clock)
    manager.add(shop_jobs.tasks.pull, name="pull")
    with manager:
        before = one_of(diagnose(manager), "code")
        (tmp_path / "shop_jobs" / "prices.py").write_text("PRICE = 20\n")  # a module that the task's own imports
        clock.advance(minutes=2)
        after = one_of(diagnose(manager), "code")

    assert before.state == "well"
    assert after.state == "warning"
    assert after.found == (
        f"{tmp_path / 'shop_jobs' / 'prices.py'} changed, or went, after the process had read it: it runs the older "
        "code."
    )
    assert after.cure == "Restart the process."


def test_zone_data_are_judged_by_their_year_and_the_newer_ones_are_pointed_to() -> None:
    old = one_of(judged(zones="2021a", zones_from="/usr/share/zoneinfo", zones_of_package="2026a"), "zones")
    both = one_of(judged(zones="2021a", zones_from="/usr/share/zoneinfo", zones_of_package="2021a"), "zones")
    none = one_of(judged(zones=None, zones_from=None), "zones")
    unknown = one_of(judged(zones=None, zones_from="/usr/share/zoneinfo"), "zones")

    assert one_of(judged(zones="2025b"), "zones").state == "well"
    assert (old.state, old.cure) == (
        "warning",
        "Use the package's 2026a: set PYTHONTZPATH= (empty) for the process.",
    )
    assert both.cure == "Upgrade the package tzdata, and that of the system, and restart the process."
    assert (none.state, none.found) == ("problem", "There are no zone data.")
    assert (unknown.state, unknown.found) == ("not known", "The zone data in /usr/share/zoneinfo tell no version.")


@pytest.mark.parametrize(
    ("zone", "wrong"),
    [("Europe/Amsterdm", True), ("nonsense", True), ("Europe/Amsterdam", False), ("UTC", False), ("CET-1CEST", False)],
)
def test_a_zone_of_the_process_that_does_not_exist_is_found(
    zone: str, wrong: bool, monkeypatch: pytest.MonkeyPatch, manager: TaskManager
) -> None:
    monkeypatch.setenv("TZ", zone)

    found = [one for one in diagnose(manager) if one.check == "zones" and one.state == "problem"]

    assert [one.found[:37] for one in found] == (["TZ names no zone that there is: sched"] if wrong else [])


def test_the_zone_data_that_zoneinfo_uses_are_the_ones_told_of(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Europe").mkdir()
    (tmp_path / "tzdata.zi").write_text("# version 2019c\n# rest\n")

    monkeypatch.setattr(zones_module.zoneinfo, "TZPATH", (str(tmp_path),))
    of_system = zones_module.zone_data()
    monkeypatch.setattr(zones_module.zoneinfo, "TZPATH", (str(tmp_path / "none"),))
    of_package = zones_module.zone_data()

    assert (of_system.source, of_system.used) == (str(tmp_path), "2019c")
    assert of_package.source == "the package tzdata"
    assert of_package.used == of_package.package
    assert of_package.used is not None
    assert of_package.year_of(of_package.used) is not None


def test_a_bound_on_threads_that_is_nearly_reached_is_found(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, clock: VirtualClock
) -> None:
    (tmp_path / "pids.current").write_text("970\n")
    (tmp_path / "pids.max").write_text("1000\n")
    monkeypatch.setattr(threads_module, "_control_groups", lambda: iter([tmp_path]))

    with TaskManager([], clock=clock) as manager:
        found = one_of(diagnose(manager), "threads")

    assert found.state == "problem"
    assert found.found == (
        "970 of 1,000 threads and processes are in use that its control group (pids.max) allows: beyond, none can be "
        "started."
    )


def test_a_control_group_without_a_bound_is_none(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pids.current").write_text("970\n")
    (tmp_path / "pids.max").write_text("max\n")
    monkeypatch.setattr(threads_module, "_control_groups", lambda: iter([tmp_path]))
    monkeypatch.setattr(threads_module, "_of_user", lambda: ("its user (ulimit -u)", 0, 0))

    assert threads_module.thread_room() is None


# The store.


def test_a_file_on_a_network_is_told_by_the_nearest_mount() -> None:
    mounts = "\n".join(
        [
            "/dev/sda1 / ext4 rw 0 0",
            "server:/export /data nfs4 rw 0 0",
            "/dev/sdb1 /data/local ext4 rw 0 0",
            "//nas/share /mnt/my\\040share cifs rw 0 0",
        ]
    )

    assert network_of(pathlib.Path("/data/tasks.db"), mounts) == "nfs4"
    assert network_of(pathlib.Path("/data/local/tasks.db"), mounts) is None
    assert network_of(pathlib.Path("/mnt/my share/tasks.db"), mounts) == "cifs"
    assert network_of(pathlib.Path("/srv/tasks.db"), mounts) is None
    assert network_of(pathlib.Path("/srv/tasks.db"), "") is None


def test_a_store_on_a_network_a_full_disk_and_a_log_that_grows_are_found(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = TaskManager([], store=sqlite_url(tmp_path))
    manager.runs()
    monkeypatch.setattr(stores_module, "_mounts", lambda: f"server:/export {tmp_path} nfs rw 0 0")
    monkeypatch.setattr(stores_module.shutil, "disk_usage", lambda _: _Usage(50_000_000))
    with open(f"{manager.store.file}-wal", "ab") as log:
        log.truncate(300_000_000)  # it takes no room

    found = [one for one in stores_module.checks_of_store(manager) if one.check == "store"]
    os.truncate(f"{manager.store.file}-wal", 0)
    manager.store.close()

    assert [one.state for one in found] == ["problem", "problem", "warning"]
    assert "is on nfs, whose locks SQLite cannot rely on" in found[0].found
    assert found[1].found.endswith("has 50 MB left.")
    assert "has grown to 300 MB" in found[2].found


class _Usage:
    def __init__(self, free: int) -> None:
        self.free = free


def test_a_store_that_cannot_be_reached_is_a_problem_and_the_other_checks_are_made(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "folder").write_text("a file where a folder should be")
    manager = TaskManager([], store=f"sqlite:///{tmp_path}/folder/tasks.db")

    found = diagnose(manager)
    (tmp_path / "folder").unlink()

    assert [one.check for one in found if one.state != "well"] == ["store"]
    assert one_of(found, "store").state == "problem"
    assert "cannot be reached" in one_of(found, "store").found
    assert "zones" in {one.check for one in found}


def test_the_same_tasks_in_two_namespaces_of_one_database_are_found(store_url: str, clock: VirtualClock) -> None:
    one, other = (TaskManager([], store=store_url, namespace=name, clock=clock) for name in ("web", "default"))
    for manager in (one, other):
        manager.add(lambda: None, every(10).minutes, name="tick")
    with one, other:
        clock.advance(seconds=10)
        found = one_of(diagnose(one), "namespaces")
        third = TaskManager([], store=store_url, namespace="third", clock=clock)
        alone = [one for one in diagnose(third) if one.check == "namespaces"]
        third.store.close()

    assert found.state == "warning"
    assert found.found == (
        "In the namespace 'default' of this database 1 process runs tasks of the same names: 'tick'. They run there as "
        "well as here."
    )
    assert alone == []
    one.store.close()
    other.store.close()


# The tasks.


def test_broken_failing_and_lost_tasks_are_told_with_what_helps(manager: TaskManager, clock: VirtualClock) -> None:
    def fail() -> None:
        raise ValueError("no")

    manager.add(fail, every(1).minutes, name="fail")
    manager.add(lambda: None, every(1).minutes, name="once", max_runs=1)
    with manager:
        clock.advance(minutes=3)
        found = [one for one in diagnose(manager) if one.check in ("failing", "never")]

    assert [(one.check, one.state, one.found) for one in found] == [
        ("never", "problem", "Task 'once': its schedules are over: it will not run again by itself."),
        ("failing", "warning", "Task 'fail': its last 3 runs failed: ValueError: no"),
    ]


def test_who_looks_without_the_code_sees_failing_tasks_and_slots_that_nobody_takes(
    processes: VirtualProcesses, clock: VirtualClock
) -> None:
    worker, shell = processes.make(), processes.make()
    worker.add("tick", every(2).minutes, fails=100)
    worker.run()
    clock.advance(minutes=5)
    working = wrong(diagnose(shell.manager))
    worker.stop()
    clock.advance(minutes=10)
    stopped = diagnose(shell.manager)

    assert working == [("failing", "warning")]
    assert wrong(stopped) == [("processes", "problem"), ("failing", "warning"), ("overdue", "warning")]
    assert one_of(stopped, "processes").found == "No process runs tasks on this store."
    assert one_of(stopped, "overdue").found.endswith("was due 9 min ago, and no process has taken it.")


def test_a_task_that_the_code_has_no_more_is_told_of_for_a_week_only(
    processes: VirtualProcesses, clock: VirtualClock
) -> None:
    worker, shell, with_code = processes.make(), processes.make(), processes.make()
    for process in (worker, with_code):
        process.add("gone", every(1).hours)
    worker.run()
    clock.advance(minutes=1)
    worker.stop()

    clock.advance(days=6)
    in_a_week = [one.state for one in diagnose(shell.manager) if one.check == "overdue"]
    clock.advance(days=2)
    later = [one.state for one in diagnose(shell.manager) if one.check == "overdue"]
    where_it_is_known = [one.state for one in diagnose(with_code.manager) if one.check == "overdue"]

    assert (in_a_week, later, where_it_is_known) == (["warning"], [], ["problem"])


def test_who_looks_at_a_store_alone_takes_no_entry_for_an_orphan(
    processes: VirtualProcesses, clock: VirtualClock
) -> None:
    worker, shell, other = processes.make(), processes.make(), processes.make()
    worker.add("report")
    other.add("something else")
    worker.run()
    worker.manager.recurring.add("nightly", schedule="every day at 02:00", task="report")
    clock.advance(minutes=1)

    assert [one.check for one in diagnose(shell.manager) if one.check == "orphaned"] == []
    assert [one.check for one in diagnose(other.manager) if one.check == "orphaned"] == ["orphaned"]


def test_a_task_that_is_disabled_or_paused_is_not_overdue(processes: VirtualProcesses, clock: VirtualClock) -> None:
    worker, shell = processes.make(), processes.make()
    worker.add("off", every(10).minutes)
    worker.add("on", cron("*/10 * * * *"))
    worker.run()
    clock.advance(minutes=1)
    worker.manager["off"].disable()
    worker.stop()
    clock.advance(hours=1)

    overdue = [one.found[:9] for one in diagnose(shell.manager) if one.check == "overdue"]
    shell.manager.pause()
    paused = [one for one in diagnose(shell.manager) if one.check == "overdue"]

    assert overdue == ["Task 'on'"]
    assert paused == []


# Other processes.


def test_each_process_on_the_store_is_told_of_by_whoever_looks(
    processes: VirtualProcesses, clock: VirtualClock
) -> None:
    worker, shell = processes.make(), processes.make()
    worker.add("tick", every(10).seconds)
    worker.run()
    clock.advance(seconds=30)

    found = diagnose(shell.manager)

    assert is_well(found)
    theirs = {one.check for one in found if one.process is not None and one.process.startswith(f"{os.getpid()}@")}
    assert theirs >= {"loop", "fork", "workers", "threads", "code", "zones"}
    assert one_of(found, "processes").found == "1 process runs tasks on this store."
    assert one_of(found, "loop").found == "The manager is running, and its loop makes its passes."


def test_a_process_whose_heart_stands_still_is_told_of_also_when_nobody_is_left_to_bury_it(
    processes: VirtualProcesses, clock: VirtualClock
) -> None:
    worker, shell = processes.make(), processes.make()
    worker.add("tick", every(10).seconds)
    worker.run()
    clock.advance(seconds=30)
    worker.crash()
    clock.advance(minutes=90)

    found = [one for one in diagnose(shell.manager) if one.check == "processes"]

    assert sorted(one.found for one in found) == [
        "Its heart has not beaten for 1 h 30 min: it died, hangs or is frozen, or its clock is wrong.",
        "No process runs tasks on this store.",
    ]


@pytest.mark.parametrize("processes", ["sqlite", "postgresql"], indirect=True)
def test_what_a_process_tells_comes_with_its_heartbeat_and_goes_with_its_end(
    processes: VirtualProcesses, clock: VirtualClock
) -> None:
    worker, shell = processes.make(), processes.make()
    worker.add("secretive", every(10).minutes, parameters={"password": "hunter2"})
    worker.run()
    clock.advance(seconds=15)
    (row,) = shell.store.processes(clock.now())
    worker.stop()

    told = Vitals.from_json(row.vitals)
    assert told is not None
    assert (told.state, told.pid, told.causes) == ("running", os.getpid(), ())
    assert "hunter2" not in row.vitals
    assert len(row.vitals) < 1_000
    assert shell.store.processes(None) == []


def test_what_is_the_same_is_not_written_again(processes: VirtualProcesses, clock: VirtualClock) -> None:
    worker, shell = processes.make(), processes.make()
    worker.run()
    clock.advance(seconds=30)
    with worker.store.database.write() as connection:
        connection.exec_driver_sql("UPDATE task_processes SET vitals = 'as it was'")

    clock.advance(seconds=60)
    same = [row.vitals for row in shell.store.processes(None)]
    worker.manager.scheduler.announcer.dropped = 5
    clock.advance(seconds=20)
    (changed,) = [row.vitals for row in shell.store.processes(None)]

    assert same == ["as it was"]
    assert '"signals_dropped": 5' in changed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[1]",
        '"text"',
        "null",
        '{"state": "running"}',
        '{"state": "running", "pid": 1, "pools": 3}',
        '{"state": "running", "pid": 1, "pools": [{"name": "x"}]}',
        '{"state": "running", "pid": 1, "stuck": [{"task": "x"}]}',
        '{"state": "running", "pid": 1, "workers": "many"}',
        '{"state": "running", "pid": 1, "causes": 7}',
        '{"state": "running", "pid": 1, "clocks": {"7@host": "fast"}}',
        '{"state": "running", "pid": 1, "clocks": {"7@host": Infinity}}',
        '{"state": "running", "pid": 1, "clock_offset": NaN}',
        '{"state": "running", "pid": 1, "threads": 1' + "0" * 4_000 + "}",
        '{"state": "running", "pid": 1, "causes": [' + '"because", ' * 10_000 + '""]}',
        "[" * 50_000,
    ],
)
def test_what_is_not_understood_of_another_process_is_nothing(text: str) -> None:
    assert Vitals.from_json(text) is None


def test_texts_of_another_process_can_be_written_anywhere() -> None:
    read = Vitals.from_json('{"state": "running", "pid": 1, "causes": ["\\ud800", "\\u001b[2J"], "server": "\\ud800"}')

    assert read is not None
    assert (read.causes, read.server) == (("\\ud800", "\\x1b[2J"), "\\ud800")


def test_a_process_of_which_nothing_is_understood_is_known_to_be_alive(
    processes: VirtualProcesses, clock: VirtualClock
) -> None:
    worker, shell = processes.make(), processes.make()
    worker.run()
    clock.advance(seconds=20)
    with worker.store.database.write() as connection:
        connection.exec_driver_sql("UPDATE task_processes SET vitals = 'no json'")

    found = [one for one in diagnose(shell.manager) if one.process is not None and one.check == "processes"]

    assert [(one.state, one.found) for one in found] == [
        ("not known", "It is alive, and has told nothing of itself yet.")
    ]


def test_a_manager_that_cannot_tell_of_itself_lives_all_the_same(
    processes: VirtualProcesses, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    worker, shell = processes.make(), processes.make()

    def fail() -> Vitals:
        raise OSError("no /proc here")

    monkeypatch.setattr(worker.manager, "vitals", fail)
    worker.run()
    clock.advance(seconds=60)

    assert [row.vitals for row in shell.store.processes(clock.now())] == [""]
    assert "This process cannot tell the others of itself" in caplog.text


def test_what_is_told_is_bounded() -> None:
    stuck = tuple(Stuck("task" * 50, "id", "2026-05-04", False, ("file.py:1 function" * 16,) * 12) for _ in range(8))
    causes = tuple("because " * 37 for _ in range(20))
    long = Vitals(state="running", pid=1, causes=causes, stuck=stuck, changed_files=tuple(["f" * 300] * 20))

    text = long.as_json()

    assert len(text) <= 16_000
    read = Vitals.from_json(text)
    assert read is not None
    assert read.causes[0] == causes[0]
    assert "\n" not in text


def test_a_heartbeat_of_the_future_is_that_of_a_clock_that_is_ahead(
    processes: VirtualProcesses, clock: VirtualClock
) -> None:
    worker, shell = processes.make(), processes.make()
    worker.run()
    clock.advance(seconds=20)
    beat = clock.now() + datetime.timedelta(seconds=100)
    with worker.store.database.write() as connection:
        connection.exec_driver_sql("UPDATE task_processes SET beat_at = ?", (int(beat.timestamp() * 1e6),))

    found = one_of(diagnose(shell.manager), "clock")

    assert (found.state, found.found) == ("problem", "Its clock is 1 min 40 s ahead of the one here.")


def test_the_clock_is_compared_with_that_of_the_database(postgres_url: str) -> None:
    class Behind(SystemClock):
        def now(self) -> datetime.datetime:
            return super().now() - datetime.timedelta(seconds=30)

    manager, right = TaskManager([], store=postgres_url, clock=Behind()), TaskManager([], store=postgres_url)
    right.runs()

    found, well = one_of(diagnose(manager), "clock"), one_of(diagnose(right), "clock")
    manager.store.close()
    right.store.close()

    assert found.state == "warning"
    told = re.fullmatch(r"Its clock is ([\d.]+) s behind the store's\.", found.found)
    assert told is not None
    assert 25 < float(told[1]) < 35  # what it takes to ask is halved
    assert found.cure.startswith("Set the clock, and keep it set (chrony, systemd-timesyncd).")
    assert well.state == "well"


def test_an_examination_is_quick(manager: TaskManager, clock: VirtualClock) -> None:
    for number in range(200):
        manager.add(lambda: None, every(10).seconds, name=f"task {number}")
    with manager:
        clock.advance(seconds=30)
        began = time.thread_time()
        diagnose(manager)
        took = time.thread_time() - began

    assert took < 1.0


# Lateness.


def test_tasks_that_start_late_are_told_with_what_delayed_them(manager: TaskManager, clock: VirtualClock) -> None:
    def work() -> None:
        clock.sleep(40)

    manager.add(work, every(2).minutes, name="import")
    manager.add(lambda: None, every(2).minutes, name="report")
    with manager:
        clock.advance(minutes=21)
        found = one_of(diagnose(manager), "lateness")

    assert found.state == "warning"
    assert found.found == (
        "Task 'report' starts late, one run of 20 by 40.0 s or more: of its last 10 runs 6 min 40 s serial worker busy "
        "with 'import'."
    )
    assert found.cure == (
        "Declare 'import' with threaded=True, or give it a pool of its own: on the serial worker each waits for the "
        "other."
    )


def test_tasks_that_start_on_time_are_well(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(2).minutes, name="report")
    with manager:
        clock.advance(minutes=21)
        found = one_of(diagnose(manager), "lateness")

    assert (found.state, found.found) == ("well", "Of no task one run in 20 starts 10 seconds late, or later.")


def test_a_heart_that_is_to_beat_seldom_is_not_silent(processes: VirtualProcesses, clock: VirtualClock) -> None:
    worker, shell = processes.make(lost_after=600), processes.make()
    worker.add("tick", every(10).minutes)
    worker.run()
    clock.advance(minutes=3.5)
    living = wrong(diagnose(shell.manager))
    worker.crash()
    clock.advance(minutes=7)

    assert living == []
    assert [one.check for one in diagnose(shell.manager) if one.state == "problem"] == ["processes", "processes"]


# What it is told by.


def test_a_loop_that_is_late_for_its_beat_is_found(manager: TaskManager, clock: VirtualClock) -> None:
    with manager:
        assert manager.scheduler._loop is not None
        manager.scheduler._loop._beat_due -= 42  # nothing has let it go on since then
        found = one_of(diagnose(manager), "loop")

    assert (found.state, found.found) == ("problem", "The loop has been blocked for 12 seconds.")
    assert found.cure.startswith("Look which code keeps all threads of the process waiting")


def test_every_store_tells_which_processes_there_are(any_store_url: str | None, clock: VirtualClock) -> None:
    worker, shell = (TaskManager([], store=any_store_url, clock=clock) for _ in range(2))
    with worker:
        clock.advance(seconds=11)
        told = shell.store.processes(clock.now())
        others = shell.store.neighbours(clock.now())
        clocks, file, beats = worker.store.clocks, worker.store.file, worker.store.beats_every
    gone = shell.store.processes(None)
    worker.store.close()
    shell.store.close()

    assert len(told) == (0 if any_store_url is None else 1)
    assert [Vitals.from_json(row.vitals) is not None for row in told] == [True] * len(told)
    assert (others, dict(clocks), gone) == ([], {}, [])
    assert (file is not None) == (any_store_url is not None and any_store_url.startswith("sqlite"))
    assert beats == (0.0 if any_store_url is None else 5.0)
