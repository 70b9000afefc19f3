"""Any executor of the standard library's kind: threads here, processes elsewhere on this machine."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from task import DeclarationTypeError, Run, RunCancelled, RunLost, TransferError
from task.remote import BodyReference, body_for

Load = Callable[[str], Any]
Wait = Callable[[Callable[[], bool]], None]
Inside = Callable[..., Any]

#: How long what will happen is waited for. Seconds.
LIMIT = 60.0


@pytest.fixture
def pool() -> Iterator[concurrent.futures.Executor]:
    """One process, which is spawned: forking where threads live is a risk of its own."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as made:
        yield made


@pytest.fixture
def threads() -> Iterator[concurrent.futures.Executor]:
    """One thread."""
    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="theirs") as made:
        yield made


class Courier(concurrent.futures.Executor):
    """An executor of another make: it pickles what it gets and what comes back, and runs it on a thread."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        content = pickle.dumps((fn, args, kwargs))

        def work() -> None:
            call, positional, named = pickle.loads(content)
            future.set_result(pickle.loads(pickle.dumps(call(*positional, **named))))

        threading.Thread(target=work).start()
        return future


def body_in(executor: Any, func: Callable[..., Any]) -> Callable[..., Any]:
    return body_for(executor, BodyReference.of("sample", func))


def test_what_is_no_executor_is_refused() -> None:
    with pytest.raises(DeclarationTypeError, match=r"'sample': executor is 'process' or a .*, not 'proces'"):
        body_in("proces", len)


# Threads: the body has the run itself.


def test_a_thread_pool_runs_any_body_with_the_run_itself(
    threads: concurrent.futures.Executor, run: Run, inside: Inside
) -> None:
    from task import current_run

    seen = inside(run, body_in(threads, lambda number: (current_run(), number)), {"number": 3}).end()

    assert seen == (run, 3)
    assert run.thread == "theirs_0"
    assert run.stopper is None


def test_an_exception_in_a_thread_pool_is_the_very_one(threads: concurrent.futures.Executor) -> None:
    error = ValueError("none left")

    def body() -> None:
        raise error

    with pytest.raises(ValueError, match="none left") as caught:
        body_in(threads, body)()
    assert caught.value is error


def test_a_body_that_waits_for_a_thread_is_withdrawn(
    threads: concurrent.futures.Executor, run: Run, inside: Inside, wait_for: Wait
) -> None:
    release = threading.Event()
    threads.submit(release.wait, LIMIT)
    try:
        call = inside(run, body_in(threads, lambda: "ran"), {})
        wait_for(lambda: run.stopper is not None)
        run.ask_to_stop()
        with pytest.raises(RunCancelled, match="cancelled before its executor started it"):
            call.end()
    finally:
        release.set()


def test_a_coroutine_in_a_thread_pool_is_cancelled(
    threads: concurrent.futures.Executor, run: Run, inside: Inside
) -> None:
    import asyncio

    begun = threading.Event()

    async def body() -> None:
        begun.set()
        await asyncio.sleep(60)

    call = inside(run, body_in(threads, body), {})
    assert begun.wait(LIMIT)
    run.ask_to_stop()

    with pytest.raises(asyncio.CancelledError):
        call.end()


def test_an_executor_that_is_shut_down_loses_the_run(threads: concurrent.futures.Executor) -> None:
    threads.shutdown()

    with pytest.raises(RunLost, match="'sample': its executor takes no bodies any more"):
        body_in(threads, len)([])


# Processes: the body has a stand-in.


def test_a_process_pool_tells_progress_lines_and_place(
    pool: concurrent.futures.Executor, load: Load, run: Run, inside: Inside
) -> None:
    module = load("""
        import datetime, logging, os
        from task import current_run
        from task.runs import LogLine

        def body(number):
            run = current_run()
            run.update_progress(25, "a quarter")
            run.keep_line(LogLine(datetime.datetime(2026, 5, 4, tzinfo=datetime.UTC), logging.INFO, "shop", "sold"))
            return run.id, os.getpid(), number
    """)
    known, process, number = inside(run, body_in(pool, module.body), {"number": 3}).end()

    assert (known, number) == (run.id, 3)
    assert process != os.getpid()
    assert run.process == process
    assert (run.progress, run.message) == (25.0, "a quarter")
    assert [line.message for line in run.log] == ["sold"]


def test_a_body_in_a_process_pool_is_asked_to_stop(
    pool: concurrent.futures.Executor, load: Load, run: Run, inside: Inside, wait_for: Wait
) -> None:
    module = load("""
        import time
        from task import current_run

        def body():
            current_run().update_progress(1)
            for _ in range(12_000):  # else the pool of a test that fails would never be shut down
                current_run().check_cancelled()
                time.sleep(0.01)
    """)
    call = inside(run, body_in(pool, module.body), {})
    wait_for(lambda: run.progress == 1)
    run.ask_to_stop()

    with pytest.raises(RunCancelled):
        call.end()
    assert body_in(pool, len)([1, 2]) == 2


def test_what_cannot_be_pickled_is_an_error_and_the_pool_is_whole(
    pool: concurrent.futures.Executor, load: Load
) -> None:
    module = load("""
        import threading

        class Picky(Exception):
            def __init__(self, code, *, detail):
                super().__init__(f"{code}: {detail}")

        def lock():
            return threading.Lock()

        def picky():
            raise Picky(404, detail="no tea")
    """)
    with pytest.raises(TransferError, match="returned <unlocked"):
        body_in(pool, module.lock)()
    with pytest.raises(TransferError, match="raised Picky: 404: no tea"):
        body_in(pool, module.picky)()
    with pytest.raises(TransferError, match="its parameter 0, <unlocked"):
        body_in(pool, len)(threading.Lock())
    with pytest.raises(TransferError, match="its body is a lambda"):
        body_in(pool, lambda: None)
    assert body_in(pool, len)([1, 2]) == 2


def test_a_pool_whose_process_dies_loses_the_run(pool: concurrent.futures.Executor, run: Run, inside: Inside) -> None:
    with pytest.raises(RunLost, match=r"'sample': its executor is broken .* declare executor='process'"):
        inside(run, body_in(pool, os._exit), {"status": 1}).end()
    with pytest.raises(RunLost, match="'sample': its executor is broken"):
        body_in(pool, len)([])


def test_system_exit_in_a_pool_is_the_bodys_own(pool: concurrent.futures.Executor, load: Load) -> None:
    module = load("""
        def body():
            raise SystemExit(3)
    """)
    with pytest.raises(SystemExit) as caught:
        body_in(pool, module.body)()

    assert caught.value.code == 3
    assert body_in(pool, len)([1, 2]) == 2


def test_an_executor_of_another_make_carries_bodies_too(load: Load, run: Run, inside: Inside) -> None:
    module = load("""
        from task import current_run

        def body(number):
            current_run().update_progress(25)
            return number + 1
    """)
    assert inside(run, body_in(Courier(), module.body), {"number": 1}).end() == 2
    assert run.progress == 25


def test_a_body_that_no_connection_can_reach_runs_all_the_same(
    load: Load, run: Run, inside: Inside, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = load("""
        from task import current_run

        def body(number):
            current_run().update_progress(25)
            return number + 1
    """)
    far_away = (str(tmp_path / "nothing here"), b"key", "visit")
    monkeypatch.setattr("task.remote.hub.Hub.expect", lambda *_: far_away)

    assert inside(run, body_in(Courier(), module.body), {"number": 1}).end() == 2
    assert run.progress is None


def test_a_body_that_is_let_in_late_is_heard_however_short_it_is(
    pool: concurrent.futures.Executor, load: Load, run: Run, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    from task.remote.hub import Visit

    enter = Visit.enter

    def enter_late(visit: Visit, connection: Any) -> None:
        threading.Event().wait(0.3)
        enter(visit, connection)

    module = load("""
        from task import current_run

        def body():
            current_run().update_progress(25)
    """)
    monkeypatch.setattr(Visit, "enter", enter_late)
    inside(run, body_in(pool, module.body), {}).end()
    assert run.progress == 25


def test_the_connection_of_a_body_is_not_closed_under_who_reads_from_it(
    pool: concurrent.futures.Executor, load: Load, run: Run, inside: Inside
) -> None:
    """However late that is: its number could be that of the next connection by then."""
    module = load("""
        import os, threading, time
        from multiprocessing.connection import Connection

        receive = Connection._recv
        same, known = [], threading.Event()

        def node(handle):
            try:
                return os.fstat(handle).st_ino
            except OSError:
                return None

        def read_late(handle, size):
            if threading.current_thread().name == "task-stop-watch" and not known.is_set():
                before = node(handle)
                time.sleep(0.5)
                same.append(before is not None and node(handle) == before)
                known.set()
            return os.read(handle, size)

        def hold_up():
            Connection._recv = lambda connection, size: receive(connection, size, read_late)

        def short():
            pass

        def look():
            known.wait(60)
            return same[0]
    """)
    for body in (module.hold_up, module.short):
        inside(run, body_in(pool, body), {}).end()

    assert inside(run, body_in(pool, module.look), {}).end() is True


def test_a_stranger_at_the_door_harms_nobody(
    pool: concurrent.futures.Executor, load: Load, run: Run, inside: Inside, caplog: pytest.LogCaptureFixture
) -> None:
    from multiprocessing import AuthenticationError
    from multiprocessing.connection import Client

    from task.remote.hub import Hub

    module = load("""
        from task import current_run

        def body():
            current_run().update_progress(25)
    """)
    with pytest.raises(AuthenticationError):
        Client(Hub.here().listener.address, authkey=b"guess")
    inside(run, body_in(pool, module.body), {}).end()

    assert run.progress == 25
    assert "could not report to its run" in caplog.text
