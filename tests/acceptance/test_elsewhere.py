"""Tasks whose bodies run in other processes, through a real manager."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from task import DeclarationError, RunTimedOut, TaskManager, TransferError, current_run

sys.path.insert(0, str(Path(__file__).parent))
import elsewhere_bodies  # by the name that the other process imports

#: How long anything may take on a busy machine. Seconds.
LIMIT = 60.0

WaitFor = Callable[[Callable[[], bool]], None]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
    return elsewhere_bodies


def is_alive(pid: int) -> bool:
    """Whether a process is there, and has not ended while nobody has asked about it."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # it went between the two; or this is a system without /proc
        return not Path("/proc").exists()


def test_progress_log_and_result_come_back_and_secrets_do_not() -> None:
    manager = TaskManager([elsewhere_bodies.steps])
    with manager:
        run = manager.trigger("steps", count=3, password="c4n4ry-S3CRET")
        result = run.result(LIMIT)
    assert result["steps"] == 3
    assert result["process"] == run.process != os.getpid()
    assert (run.progress, run.message) == (100.0, "step 3 ***")
    assert [line.message for line in run.log] == ["line 1 ***", "line 2 ***", "line 3 ***"]
    assert "c4n4ry" not in str(run.as_dict())


def test_a_process_past_its_limit_is_killed(tmp_path: Path, wait_for: WaitFor) -> None:
    with TaskManager([elsewhere_bodies.hangs]) as manager:
        run = manager.trigger("hangs", folder=str(tmp_path))
        with pytest.raises(RunTimedOut):
            run.result(LIMIT)
        assert run.state == "timed_out"
        assert not run.overrunning
        wait_for(lambda: not (tmp_path / "pid").exists() or not is_alive(int((tmp_path / "pid").read_text())))


@pytest.mark.parametrize("how", ["cancel", "stop"])
def test_a_process_is_killed_by_cancel_and_by_stop(tmp_path: Path, wait_for: WaitFor, how: str) -> None:
    manager = TaskManager([elsewhere_bodies.waits_for_ever])
    manager.run()
    run = manager.trigger("waits_for_ever", folder=str(tmp_path))
    wait_for(lambda: (tmp_path / "pid").exists() or run.state.final)
    assert not run.state.final
    if how == "cancel":
        assert run.cancel("by hand")
        assert run.wait(LIMIT)
    manager.stop(timeout=0)
    assert run.state in ("cancelled", "lost")
    wait_for(lambda: not is_alive(int((tmp_path / "pid").read_text())))


def test_a_process_that_dies_fails_its_attempt_alone(tmp_path: Path) -> None:
    with TaskManager([elsewhere_bodies.dies, elsewhere_bodies.steps]) as manager:
        run, innocent = manager.trigger("dies", folder=str(tmp_path)), manager.trigger("steps", count=1)
        assert innocent.result(LIMIT)["steps"] == 1
        assert run.result(LIMIT) == "second attempt"
        assert run.attempts[0].error is not None
        assert run.attempts[0].error.startswith("ProcessDiedError")


def test_a_coroutine_runs_in_a_process_too() -> None:
    with TaskManager([elsewhere_bodies.coroutine]) as manager:
        assert manager.trigger("coroutine").result(LIMIT) == 1


def test_an_executor_of_yours_has_a_name() -> None:
    context = multiprocessing.get_context("spawn")
    with (
        concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool,
        TaskManager([elsewhere_bodies.in_pool], executors={"pool": pool}) as manager,
    ):
        run = manager.trigger("in_pool", number=21)
        assert (run.result(LIMIT), run.progress) == (42, 50.0)
    with pytest.raises(DeclarationError, match="there is no executor 'pool'"):
        TaskManager([elsewhere_bodies.in_pool], executors={"polo": pool}).run()


def test_a_thread_pool_of_yours_takes_any_function() -> None:
    with concurrent.futures.ThreadPoolExecutor(1, "mine") as pool, TaskManager([]) as manager:
        sample = manager.add(lambda: (threading.current_thread().name, current_run().task), name="x", executor=pool)
        assert sample.trigger().result(LIMIT) == ("mine_0", "x")


def test_what_cannot_travel_is_refused_when_it_is_registered() -> None:
    with pytest.raises(TransferError, match="sample"):
        TaskManager([]).add(lambda: None, name="sample", executor="process")


def test_a_direct_call_runs_here() -> None:
    with TaskManager([elsewhere_bodies.steps]) as manager:
        assert manager["steps"](count=1)["process"] == os.getpid()
