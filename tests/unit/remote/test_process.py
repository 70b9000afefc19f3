"""A process for each run: what reaches across, and what happens when either side dies."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from task import ProcessDiedError, Run, RunCancelled, TransferError
from task.remote import BodyReference, body_for, process

Load = Callable[[str], Any]
Wait = Callable[[Callable[[], bool]], None]
Inside = Callable[..., Any]
Look = Callable[[int], bool]
Start = Callable[..., "subprocess.Popen[str]"]

#: How long what will happen is waited for. Seconds.
LIMIT = 60.0

pytestmark = pytest.mark.skipif(os.name != "posix", reason="looks at processes as POSIX has them")


def in_process(func: Callable[..., Any]) -> Callable[..., Any]:
    return body_for("process", BodyReference.of("sample", func))


def number_in(path: Path, wait_for: Wait) -> int:
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


# What reaches across.


def test_a_body_runs_in_another_process_and_its_result_comes_back(load: Load, run: Run, inside: Inside) -> None:
    module = load("""
        import os

        def body(number):
            return number + 1, os.getpid()
    """)
    result, number = inside(run, in_process(module.body), {"number": 41}).end()

    assert result == 42
    assert number != os.getpid()
    assert run.process == number
    assert run.thread == "MainThread"
    assert run.stopper is None


def test_the_other_side_knows_its_run(load: Load, run: Run, inside: Inside) -> None:
    module = load("""
        from task import current_run

        def body(number):
            run = current_run()
            return run.id, run.task, run.trigger, run.attempt, run.parent_id, str(run.state), run.parameters
    """)
    known = inside(run, in_process(module.body), {"number": 1}).end()

    assert known == (run.id, "sample", "manual", 1, "the-parent", "running", {"number": 1})


def test_progress_and_lines_reach_the_run(load: Load, run: Run, inside: Inside) -> None:
    module = load("""
        import datetime, logging
        from task import current_run
        from task.runs import LogLine

        def body(number):
            run = current_run()
            run.update_progress(25, "a quarter")
            run.keep_line(LogLine(datetime.datetime(2026, 5, 4, tzinfo=datetime.UTC), logging.INFO, "shop", "sold"))
    """)
    inside(run, in_process(module.body), {"number": 1}).end()

    assert (run.progress, run.message) == (25.0, "a quarter")
    (line,) = run.log
    assert (line.at.isoformat(), line.level, line.logger, line.message) == (
        "2026-05-04T00:00:00+00:00",
        20,
        "shop",
        "sold",
    )


def test_the_exception_of_the_body_comes_back_with_its_traceback(load: Load, run: Run, inside: Inside) -> None:
    module = load("""
        class OutOfTea(Exception):
            pass

        def body(number):
            raise OutOfTea("none left", number)
    """)
    with pytest.raises(module.OutOfTea) as caught:
        inside(run, in_process(module.body), {"number": 1}).end()

    assert caught.value.args == ("none left", 1)
    (note,) = caught.value.__notes__
    assert 'raise OutOfTea("none left", number)' in note
    assert "task/remote" not in note


@pytest.mark.parametrize("statement", ["raise SystemExit(3)", "raise KeyboardInterrupt", "raise GeneratorExit"])
def test_what_is_no_exception_comes_back_as_itself(load: Load, statement: str) -> None:
    module = load(f"""
        def body():
            {statement}
    """)
    with pytest.raises((SystemExit, KeyboardInterrupt, GeneratorExit)) as caught:
        in_process(module.body)()

    assert statement.split()[1].partition("(")[0] == type(caught.value).__name__


def test_an_asynchronous_body_runs_on_a_loop_of_its_own(load: Load, run: Run, inside: Inside) -> None:
    module = load("""
        import asyncio
        from task import current_run

        async def body(number):
            await asyncio.sleep(0)
            return current_run().task, number
    """)
    assert inside(run, in_process(module.body), {"number": 2}).end() == ("sample", 2)


def test_a_body_outside_of_a_run_just_runs(load: Load) -> None:
    module = load("""
        from task import current_run

        def body(number):
            current_run().update_progress(50)
            return number
    """)
    assert in_process(module.body)(7) == 7


def test_a_parameter_that_is_the_run_is_its_stand_in_there(load: Load, run: Run, inside: Inside) -> None:
    module = load("""
        from task import current_run

        def body(me):
            me.update_progress(10)
            return me is current_run()
    """)
    assert inside(run, in_process(module.body), {"me": run}).end() is True
    assert run.progress == 10


def test_partials_methods_and_instances_travel_with_what_they_hold(load: Load) -> None:
    module = load("""
        class Adder:
            def __init__(self, more):
                self.more = more

            def __call__(self, number):
                return number + self.more

            def twice(self, number):
                return number + 2 * self.more

        def add(number, more):
            return number + more
    """)
    assert in_process(functools.partial(module.add, more=1))(number=1) == 2
    assert in_process(module.Adder(5))(number=1) == 6
    assert in_process(module.Adder(5).twice)(number=1) == 11


def test_a_decorated_body_is_unwrapped_on_the_other_side(load: Load) -> None:
    module = load("""
        from task import task

        @task
        def body(number):
            return number + 1

        class Holder:
            base = 10

            @task
            def method(self, number):
                return self.base + number
    """)
    assert in_process(module.body.func)(number=1) == 2
    assert in_process(module.Holder().method.func)(number=1) == 11


# What cannot travel.


def test_a_lambda_and_a_local_function_are_refused_at_declaration() -> None:
    def local() -> None: ...

    with pytest.raises(TransferError, match=r"'sample': its body is a lambda.*top of a module"):
        in_process(lambda: None)
    with pytest.raises(TransferError, match=r"'sample': its body is defined inside another function"):
        in_process(local)
    with pytest.raises(TransferError, match=r"'sample': its body functools.partial"):
        in_process(functools.partial(lambda: None))


def test_a_parameter_that_cannot_travel_is_named(load: Load) -> None:
    module = load("""
        def body(number, stream):
            return number
    """)
    with pytest.raises(TransferError, match=r"'sample': its parameter 'stream', .*cannot be sent"):
        in_process(module.body)(number=1, stream=sys.stderr)


def test_a_result_that_cannot_travel_is_an_error_with_its_type(load: Load) -> None:
    module = load("""
        import threading

        def body():
            return [threading.Lock()]
    """)
    with pytest.raises(TransferError, match=r"'sample' returned \[<unlocked _thread.lock .*of type 'list'"):
        in_process(module.body)()


def test_a_result_that_cannot_be_read_here_is_an_error(load: Load) -> None:
    module = load("""
        def explode():
            import os
            raise ValueError("not here")

        class Trap:
            def __reduce__(self):
                return explode, ()

            def __repr__(self):
                return "a trap"

        def body():
            return Trap()
    """)
    with pytest.raises(TransferError, match=r"returned a trap, which cannot be read here: ValueError: not here"):
        in_process(module.body)()


def test_an_exception_that_does_not_survive_is_told_in_words(load: Load) -> None:
    module = load("""
        class Picky(Exception):
            def __init__(self, code, *, detail):
                super().__init__(f"{code}: {detail}")

        def body():
            raise Picky(404, detail="no tea")
    """)
    with pytest.raises(TransferError, match=r"(?s)raised Picky: 404: no tea.*cannot be sent back") as caught:
        in_process(module.body)()

    assert 'raise Picky(404, detail="no tea")' in caught.value.__notes__[0]


def test_an_exception_whose_text_raises_is_told_all_the_same(load: Load) -> None:
    module = load("""
        class Mute(Exception):
            def __str__(self):
                raise ValueError("no text")

        def body():
            raise Mute
    """)
    with pytest.raises(module.Mute):
        in_process(module.body)()


# A process that dies.


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("os._exit(7)", "ended with exit code 7"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "was killed by SIGTERM"),
        ("os.kill(os.getpid(), signal.SIGRTMIN + 3)", "was killed by signal "),
        ("faulthandler._sigsegv()", "was killed by SIGSEGV"),
    ],
)
def test_a_process_that_dies_is_an_error_at_once_and_the_next_one_is_whole(
    load: Load, run: Run, inside: Inside, statement: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It is noticed by its end itself, and not because somebody looks now and then.
    monkeypatch.setattr("task.remote.process.LOOK", 10 * LIMIT)
    monkeypatch.setattr("task.remote.process.GRACE", 10 * LIMIT)

    module = load(f"""
        import faulthandler, os, signal

        def body(die):
            if die:
                {statement}
            return "whole"
    """)
    with pytest.raises(ProcessDiedError, match=f"'sample': its process {said}"):
        inside(run, in_process(module.body), {"die": True}).end()

    assert in_process(module.body)(die=False) == "whole"


def test_a_process_that_dies_is_noticed_though_its_child_lives_on(
    load: Load, tmp_path: Path, wait_for: Wait, gone: Look
) -> None:
    module = load("""
        import os, time

        def body(path):
            child = os.fork()
            if not child:
                time.sleep(60)
            with open(path, "w") as file:
                print(child, file=file)
            os._exit(1)
    """)
    with pytest.raises(ProcessDiedError):
        in_process(module.body)(path=str(tmp_path / "child"))

    assert gone(number_in(tmp_path / "child", wait_for))


def test_what_a_body_leaves_behind_ends_with_it(load: Load, tmp_path: Path, wait_for: Wait, gone: Look) -> None:
    module = load("""
        import subprocess

        def body(path):
            child = subprocess.Popen(["sleep", "60"])
            with open(path, "w") as file:
                print(child.pid, file=file)
            return "done"
    """)
    assert in_process(module.body)(path=str(tmp_path / "child")) == "done"
    assert gone(number_in(tmp_path / "child", wait_for))


def test_a_thread_that_does_not_end_is_given_five_seconds(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("task.remote.process.GRACE", 0.3)
    module = load("""
        import threading

        def body():
            threading.Thread(target=threading.Event().wait).start()
            return "done"
    """)
    assert in_process(module.body)() == "done"


def test_a_body_that_forks_and_returns_twice_has_one_outcome(load: Load) -> None:
    module = load("""
        import os

        def body():
            return "child" if os.fork() == 0 else "parent"
    """)
    assert in_process(module.body)() == "parent"


def test_a_body_may_use_multiprocessing_itself(load: Load) -> None:
    module = load("""
        import multiprocessing

        def square(number):
            return number * number

        def body():
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                return pool.map(square, [1, 2, 3])
    """)
    assert in_process(module.body)() == [1, 4, 9]


# Stopping.


def test_a_stopped_body_leaves_by_its_finally_blocks(
    load: Load, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_for: Wait, inside: Inside, gone: Look
) -> None:
    monkeypatch.setattr("task.remote.process.GRACE", LIMIT)
    module = load("""
        import pathlib, time
        from task import current_run

        def body(path):
            try:
                current_run().update_progress(1)
                time.sleep(60)
            finally:
                pathlib.Path(path).write_text(f"cancelled: {current_run().is_cancelled()}")
    """)
    call = inside(run, in_process(module.body), {"path": str(tmp_path / "end")})
    wait_for(lambda: run.progress == 1)
    run.ask_to_stop()

    with pytest.raises(RunCancelled, match="'sample' was stopped"):
        call.end()
    assert (tmp_path / "end").read_text() == "cancelled: True"
    assert gone(run.process or 0)


def test_a_stopped_coroutine_is_cancelled(
    load: Load, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_for: Wait, inside: Inside
) -> None:
    monkeypatch.setattr("task.remote.process.GRACE", LIMIT)
    module = load("""
        import asyncio, pathlib
        from task import current_run

        async def body(path):
            current_run().update_progress(1)
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pathlib.Path(path).write_text("cancelled")
                raise
    """)
    call = inside(run, in_process(module.body), {"path": str(tmp_path / "end")})
    wait_for(lambda: run.progress == 1)
    run.ask_to_stop()
    run.ask_to_stop()

    with pytest.raises(RunCancelled):
        call.end()
    assert (tmp_path / "end").read_text() == "cancelled"


def test_a_body_whose_main_thread_sleeps_through_the_signal_is_stopped_all_the_same(
    load: Load, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_for: Wait, inside: Inside
) -> None:
    """As it does when that comes in the moment in which it goes to sleep, or when another thread gets it."""
    from task.remote.process import _Child

    monkeypatch.setattr("task.remote.process.GRACE", 10 * LIMIT)
    send = _Child.signal
    monkeypatch.setattr(_Child, "signal", lambda child, number: number == signal.SIGTERM or send(child, number))
    module = load("""
        import pathlib, time
        from task import current_run

        def body(path):
            try:
                current_run().update_progress(1)
                time.sleep(600)
            finally:
                pathlib.Path(path).write_text(f"cancelled: {current_run().is_cancelled()}")
    """)
    call = inside(run, in_process(module.body), {"path": str(tmp_path / "end")})
    wait_for(lambda: run.progress == 1)
    run.ask_to_stop()

    with pytest.raises(RunCancelled, match="'sample' was stopped"):
        call.end()
    assert (tmp_path / "end").read_text() == "cancelled: True"


def test_a_body_that_ignores_everything_is_killed_with_its_children(
    load: Load, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_for: Wait, inside: Inside, gone: Look
) -> None:
    monkeypatch.setattr("task.remote.process.GRACE", 0.5)
    module = load("""
        import signal, subprocess, time
        from task import current_run

        def body(path):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            child = subprocess.Popen(["sleep", "60"])
            with open(path, "w") as file:
                print(child.pid, file=file)
            current_run().update_progress(1)
            while True:
                time.sleep(60)
    """)
    call = inside(run, in_process(module.body), {"path": str(tmp_path / "child")})
    wait_for(lambda: run.progress == 1)
    run.ask_to_stop()

    with pytest.raises(RunCancelled):
        call.end()
    assert gone(number_in(tmp_path / "child", wait_for))
    assert gone(run.process or 0)


def test_a_run_that_is_cancelled_before_its_process_starts_does_not_begin(
    load: Load, run: Run, tmp_path: Path, inside: Inside
) -> None:
    module = load("""
        import pathlib

        def body(path):
            pathlib.Path(path).touch()
    """)
    run.ask_to_stop()

    with pytest.raises(RunCancelled):
        inside(run, in_process(module.body), {"path": str(tmp_path / "begun")}).end()
    assert not (tmp_path / "begun").exists()


def test_a_body_may_cancel_its_own_run(load: Load, run: Run, inside: Inside) -> None:
    module = load("""
        import time
        from task import current_run

        def body():
            current_run().cancel("enough")
            time.sleep(60)
    """)
    with pytest.raises(RunCancelled):
        inside(run, in_process(module.body), {}).end()
    assert run.is_cancelled()


# The parent's end, and its main module.

PROGRAM = """
import contextlib, os, signal, sys, threading, time
from task import current_run
from task.remote import BodyReference, body_for

def stubborn(path):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open(path + ".new", "w") as file:
        print(os.getpid(), file=file)
    os.rename(path + ".new", path)
    while True:
        time.sleep(60)

def short(number):
    return number + 1

if __name__ == "__main__":
    if sys.argv[1] == "short":
        print(body_for("process", BodyReference.of("short", short))(1))
        sys.exit()
    body = body_for("process", BodyReference.of("stubborn", stubborn))

    def call():
        with contextlib.suppress(Exception):  # a daemon that writes a traceback at the exit may break that
            body(sys.argv[2])

    threading.Thread(target=call, daemon=True).start()
    while not os.path.exists(sys.argv[2]):
        time.sleep(0.01)
    if sys.argv[1] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def start_program(tmp_path: Path) -> Iterator[Start]:
    """Start a program with some source text; it ends with the test."""
    with contextlib.ExitStack() as stack:

        def start(source: str, *arguments: str) -> subprocess.Popen[str]:
            (tmp_path / "program.py").write_text(source)
            command = [sys.executable, "-W", "error", str(tmp_path / "program.py"), *arguments]
            environment = {**os.environ, "PYTHONPATH": os.getcwd()}
            pipe = subprocess.PIPE
            program = stack.enter_context(
                subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)
            )
            stack.callback(program.kill)
            return program

        yield start


def test_a_function_of_the_main_module_runs(start_program: Start) -> None:
    program = start_program(PROGRAM, "short")

    assert program.communicate(timeout=LIMIT) == ("2\n", "")


@pytest.mark.parametrize(("way", "code"), [("return", 0), ("kill", -signal.SIGKILL)])
def test_a_body_that_ignores_sigterm_does_not_survive_its_parent(
    way: str, code: int, start_program: Start, tmp_path: Path, wait_for: Wait, gone: Look
) -> None:
    program = start_program(PROGRAM, way, str(tmp_path / "number"))
    begun = number_in(tmp_path / "number", wait_for)
    program.wait(LIMIT)

    assert program.returncode == code
    assert gone(begun)
    program.communicate(timeout=LIMIT)


def test_a_main_module_without_its_guard_says_what_to_write(start_program: Start) -> None:
    program = start_program(
        """
from task import TransferError
from task.remote import BodyReference, body_for

def short():
    return 1

try:
    print(body_for("process", BodyReference.of("short", short))())
except TransferError as error:
    print(error)
""",
    )
    output, _ = program.communicate(timeout=LIMIT)

    assert output.startswith("Task 'short': the main module of the program cannot be imported in another process")
    assert "if __name__ ==" in output


def test_a_main_module_that_has_no_part_in_the_body_is_not_run_again(start_program: Start) -> None:
    program = start_program(
        """
import operator
from task.remote import BodyReference, body_for

print(body_for("process", BodyReference.of("difference", operator.sub))(3, 2))
""",
    )
    assert program.communicate(timeout=LIMIT) == ("1\n", "")


def test_the_process_is_alive_only_as_long_as_its_body(
    load: Load, run: Run, wait_for: Wait, tmp_path: Path, inside: Inside, alive: Look
) -> None:
    module = load("""
        import os, time
        from task import current_run

        def body(path):
            current_run().update_progress(1)
            while not os.path.exists(path):
                time.sleep(0.01)
    """)
    call = inside(run, in_process(module.body), {"path": str(tmp_path / "go")})
    wait_for(lambda: run.progress == 1)
    number = run.process or 0
    before = alive(number)
    (tmp_path / "go").touch()
    call.end()

    assert (before, alive(number)) == (True, False)


def test_a_process_that_ends_at_the_exit_keeps_no_other_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    class Ending:
        @property
        def owner(self) -> int:
            alive.discard(self)
            looked.append(1)
            return 0

    alive = {Ending(), Ending()}
    monkeypatch.setattr(process, "_alive", alive)
    process._end_all()
    assert len(looked) == 2
