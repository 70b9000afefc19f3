"""Bodies on a cluster of Dask: two workers, each a process of its own."""

from __future__ import annotations

import contextlib
import contextvars
import datetime
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from task import Run, RunCancelled, RunLost, RunState, TaskManager, TransferError, current_run
from task.remote import BodyReference, body_for
from task.runs import set_current_run

distributed = pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
dask = pytest.importorskip("dask", reason="the extra 'dask' is not installed")

# Dask's own: sockets that it leaves to the garbage collector when a worker is killed, and its notes on
# what will change in its dependencies.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed"),
]

Wait = Callable[[Callable[[], bool]], None]

#: How long the cluster may take for what it will do: to start a worker again takes a busy machine long. Seconds.
LIMIT = 120.0


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of modules that the workers can import."""
    folder = tmp_path_factory.mktemp("modules")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.getcwd()]))
        yield folder


@pytest.fixture(autouse=True)
def every_slot_has_one_outcome() -> None:
    """No manager is used here, and the workers live from test to test: `client` sees to their end."""


@pytest.fixture(scope="module")
def client(modules: Path) -> Iterator[Any]:
    """A client of a cluster with two worker processes of one thread each."""
    settings = {
        "distributed.comm.timeouts.connect": "60s",
        "distributed.deploy.lost-worker-timeout": "600s",  # a worker that takes longer to start again never comes
        "distributed.logging.distributed": "critical",
    }
    with warnings.catch_warnings(), dask.config.set(settings):
        warnings.simplefilter("ignore")
        with (
            distributed.LocalCluster(
                processes=True,
                n_workers=2,
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",
                host="127.0.0.1",
                silence_logs=50,
            ) as cluster,
            distributed.Client(cluster) as made,
        ):
            yield made
    deadline = time.monotonic() + LIMIT
    while left := multiprocessing.active_children():  # one that ends is there for a moment yet
        assert time.monotonic() < deadline, f"processes left behind: {left}"
        time.sleep(0.01)


@pytest.fixture
def run() -> Run:
    """A run of the task ``sample``."""
    now = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)
    made = Run("sample", "manual", now, state=RunState.RUNNING, parent_id="the-parent")
    made.begin_attempt(now)
    return made


def on_cluster(client: Any, func: Callable[..., Any]) -> Callable[..., Any]:
    return body_for(client.get_executor(pure=False), BodyReference.of("sample", func))


class Call:
    """A body that is called inside a run, on a thread, as the pipeline does."""

    def __init__(self, run: Run, body: Callable[..., Any], **parameters: Any) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=contextvars.Context().run, args=(self._call, run, body, parameters))
        self._thread.daemon = True
        self._thread.start()

    def _call(self, run: Run, body: Callable[..., Any], parameters: dict[str, Any]) -> None:
        set_current_run(run)
        try:
            self.result = body(**parameters)
        except BaseException as error:
            self.error = error

    def end(self) -> Any:
        self._thread.join(LIMIT)
        assert not self._thread.is_alive(), "the body did not end"
        if self.error is not None:
            raise self.error
        return self.result


def test_a_function_of_a_module_runs_on_a_worker_and_tells_how_far_it_is(
    client: Any, modules: Path, run: Run, wait_for: Wait
) -> None:
    (modules / "counting.py").write_text(
        textwrap.dedent("""
        import datetime, logging, os, time
        from task import current_run, task
        from task.runs import LogLine

        @task
        def count(number, path):
            run = current_run()
            run.update_progress(50, "half")
            run.keep_line(LogLine(datetime.datetime(2026, 5, 4, tzinfo=datetime.UTC), logging.INFO, "shop", "sold"))
            while not os.path.exists(path):
                time.sleep(0.01)
            run.update_progress(100, "all")
            return run.id, run.parent_id, os.getpid(), number + 1
    """)
    )
    counting = importlib.import_module("counting")
    call = Call(run, on_cluster(client, counting.count.func), number=1, path=str(modules / "go"))
    wait_for(lambda: run.progress == 50)
    half = run.message
    (modules / "go").touch()
    known, parent, process, number = call.end()

    assert (known, parent, number) == (run.id, "the-parent", 2)
    assert process != os.getpid()
    assert run.process == process
    assert (half, run.progress, run.message) == ("half", 100, "all")
    assert [line.message for line in run.log] == ["sold"]


def test_a_lambda_runs_and_coroutines_do(client: Any) -> None:
    async def body(number: int) -> int:
        return number + 2

    assert on_cluster(client, lambda number: number + 1)(1) == 2
    assert on_cluster(client, body)(1) == 3


def test_an_exception_comes_back_with_its_traceback(client: Any) -> None:
    def body() -> None:
        raise ValueError("none left")

    with pytest.raises(ValueError, match="none left") as caught:
        on_cluster(client, body)()
    assert 'raise ValueError("none left")' in caught.value.__notes__[0]


def test_what_cannot_be_pickled_is_an_error_and_no_hang(client: Any) -> None:
    def lock() -> Any:
        return threading.Lock()

    class PickyError(Exception):
        def __init__(self, code: int, *, detail: str) -> None:
            super().__init__(f"{code}: {detail}")

    def picky() -> None:
        raise PickyError(404, detail="no tea")

    with pytest.raises(TransferError, match="'sample' returned <unlocked"):
        on_cluster(client, lock)()
    with pytest.raises(TransferError, match=r"'sample' raised PickyError: 404: no tea"):
        on_cluster(client, picky)()
    with pytest.raises(TransferError, match="its parameter 0, <unlocked"):
        on_cluster(client, len)(threading.Lock())


def test_of_too_many_lines_the_newest_come_with_a_word_on_the_others(client: Any, run: Run) -> None:
    def body() -> None:
        import datetime
        import logging

        from task import current_run
        from task.runs import LogLine

        now = datetime.datetime(2026, 5, 4, tzinfo=datetime.UTC)
        for number in range(5_000):
            current_run().keep_line(LogLine(now, logging.INFO, "shop", f"line {number}"))

    Call(run, on_cluster(client, body)).end()

    assert run.log[-1].message == "line 4999"
    # Where the lines came in parts, that word may be among the older ones, which the run itself drops and counts.
    assert run.log_dropped or any(line.message.endswith("messages before these were dropped") for line in run.log)


def test_a_body_is_asked_to_stop_and_the_worker_goes_on(client: Any, run: Run, wait_for: Wait) -> None:
    def body() -> None:
        import time

        from task import current_run

        current_run().update_progress(1)
        while True:
            current_run().check_cancelled()
            time.sleep(0.01)

    call = Call(run, on_cluster(client, body))
    wait_for(lambda: run.progress == 1)
    run.ask_to_stop()

    with pytest.raises(RunCancelled):
        call.end()
    assert on_cluster(client, len)([1, 2]) == 2


def test_a_body_that_waits_for_a_worker_is_withdrawn(client: Any, run: Run, modules: Path, wait_for: Wait) -> None:
    go = str(modules / "go on")

    def block() -> None:
        import os
        import time

        from task import current_run

        current_run().update_progress(1)
        while not os.path.exists(go):
            time.sleep(0.01)

    others = [Run("other", "manual", run.queued_at, state=RunState.RUNNING) for _ in range(2)]
    blocked = [Call(other, on_cluster(client, block)) for other in others]
    wait_for(lambda: all(other.progress == 1 for other in others))
    call = Call(run, on_cluster(client, lambda: "ran"))
    wait_for(lambda: run.stopper is not None)
    run.ask_to_stop()

    with pytest.raises(RunCancelled, match="cancelled before a worker started it"):
        call.end()
    Path(go).touch()
    for each in blocked:
        each.end()


@pytest.mark.parametrize("failures", [0, 3])
def test_a_body_whose_worker_is_killed_is_lost_and_does_not_run_again(
    client: Any, modules: Path, failures: int
) -> None:
    begun = modules / f"begun-{failures}"

    def body() -> None:
        import os
        import signal

        with open(begun, "a") as file:
            print("begun", file=file)
        os.kill(os.getpid(), signal.SIGKILL)

    def allow(dask_scheduler: Any) -> None:
        dask_scheduler.allowed_failures = failures

    client.run_on_scheduler(allow)
    with pytest.raises(RunLost, match=r"[Ww]orker .*died"):
        on_cluster(client, body)()

    assert begun.read_text() == "begun\n"
    client.wait_for_workers(2, timeout=LIMIT)


def test_a_task_of_a_manager_runs_on_the_cluster_unchanged(client: Any) -> None:
    def steps(count: int) -> tuple[int, int]:
        run = current_run()
        for step in range(1, count + 1):
            run.check_cancelled()
            run.update_progress(100 * step / count)
            run.logger.info("step %d", step)
        return count, os.getpid()

    manager = TaskManager([], executors={"cluster": client.get_executor(pure=False)})
    here, there = manager.add(steps, name="here"), manager.add(steps, name="there", executor="cluster")
    with manager:
        near, far = here.trigger(count=2), there.trigger(count=2)
        assert near.result(LIMIT) == (2, os.getpid())
        assert far.result(LIMIT) == (2, far.process)
        for run in (near, far):
            assert (run.state, run.progress) == ("succeeded", 100.0)
            assert [line.message for line in run.log] == ["step 1", "step 2"]
        assert far.process != os.getpid()


def test_a_run_whose_worker_is_killed_is_recorded_as_lost_and_not_repeated(client: Any, tmp_path: Path) -> None:
    def dies(folder: str) -> None:
        Path(folder, str(len(os.listdir(folder)))).touch()
        os.kill(os.getpid(), signal.SIGKILL)

    manager = TaskManager([])
    task = manager.add(dies, name="dies", executor=client.get_executor(pure=False), retry=3)
    with manager:
        run = task.trigger(folder=str(tmp_path))
        assert run.wait(LIMIT)
        assert (run.state, run.attempt) == ("lost", 1)
    assert os.listdir(tmp_path) == ["0"]


def test_a_run_on_the_cluster_is_cancelled_and_limited(client: Any) -> None:
    def looks() -> None:
        while True:
            current_run().check_cancelled()
            current_run().update_progress(1)

    manager = TaskManager([])
    executor = client.get_executor(pure=False)
    cancelled = manager.add(looks, name="cancelled", executor=executor)
    limited = manager.add(looks, name="limited", executor=executor, timeout=1)
    with manager:
        first, second = cancelled.trigger(), limited.trigger()
        while first.progress is None:
            assert not first.wait(0.02)
        first.cancel()
        assert first.wait(LIMIT)
        assert second.wait(LIMIT)
        assert (first.state, second.state) == ("cancelled", "timed_out")


def test_nothing_is_left_on_the_scheduler(client: Any, wait_for: Wait) -> None:
    def queues(dask_scheduler: Any) -> list[str]:
        return [name for name in dask_scheduler.extensions["queues"].queues if name.startswith("task-")]

    assert on_cluster(client, len)([1, 2]) == 2

    wait_for(lambda: client.run_on_scheduler(queues) == [])


CLUSTER = """
import sys, distributed
if __name__ == "__main__":
    cluster = distributed.LocalCluster(processes=False, n_workers=1, host="127.0.0.1", protocol="tcp",
                                       dashboard_address="127.0.0.1:0", silence_logs=50)
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""


def test_a_scheduler_that_goes_away_loses_the_run(modules: Path, run: Run, wait_for: Wait) -> None:
    def body() -> None:
        import time

        from task import current_run

        current_run().update_progress(1)
        time.sleep(600)

    with (
        subprocess.Popen([sys.executable, "-c", CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program,
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        contextlib.ExitStack() as ends,
    ):
        assert program.stdout is not None
        ends.callback(program.kill)
        client = distributed.Client(program.stdout.readline().decode().strip(), timeout=LIMIT)
        ends.callback(client.close, timeout=LIMIT)
        call = Call(run, on_cluster(client, body))
        wait_for(lambda: run.progress == 1)
        program.kill()

        with pytest.raises(RunLost, match="'sample': the connection to the Dask scheduler was lost"):
            call.end()
