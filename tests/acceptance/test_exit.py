"""The interpreter ends while bodies run: it always ends, in time, and every run has its outcome."""

from __future__ import annotations

import json
import signal
import time

import pytest

#: The grace that the programs give, and what a loaded machine may need beyond it. Seconds. It is less than the grace
#: that they would give by themselves, and than what their bodies would take.
GRACE = 0.6
SLACK = 8.0

#: What a body that does look has, to end after it was asked to: it takes no time at all, on a machine that has some.
ENOUGH = 60

HEAD = f"""
    import atexit, asyncio, json, os, signal, sys, threading, time
    from task import TaskManager, current_run
    from task.models import lifecycle, process as process_module

    process_module.EXIT_TIMEOUT = {GRACE}

    def said(*words):
        os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # in one piece, whatever other threads say

    class Manager(TaskManager):
        def stop(self, timeout={GRACE}):  # what wait() calls
            super().stop(timeout)

    manager = Manager([])

    @atexit.register  # registered first, so called last
    def report():
        said("runs", json.dumps({{run.task: str(run.state) for run in manager.runs()}}))

    def looks():
        said("begun")
        try:
            while not current_run().is_cancelled():
                time.sleep(0.01)
        finally:
            said("finally")

    def checks():
        said("begun")
        try:
            while True:
                current_run().check_cancelled()
                time.sleep(0.01)
        finally:
            said("finally")

    def ignores():
        said("begun")
        threading.Event().wait()

    async def coroutine():
        said("begun")
        try:
            await asyncio.sleep(600)
        finally:
            said("finally")

    def quick():
        said("begun")

    async def in_threads():
        said("begun")
        while True:
            await asyncio.to_thread(time.sleep, 0.01)

    async def hung_in_a_thread():
        said("begun")
        await asyncio.to_thread(threading.Event().wait)

    def wait():
        def tell():
            while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                time.sleep(0.005)
            said("waiting")

        threading.Thread(target=tell, daemon=True).start()
        manager.wait()

    def begin(body, **options):
        if body is not ignores:
            lifecycle.CANCEL_TIMEOUT = {ENOUGH}
        manager.add(body, name="body", **options)
        manager.run()
        manager["body"].trigger()
"""

BODIES = {
    "serial": ("looks", "succeeded", True),
    "threaded": ("checks, threaded=True", "cancelled", True),
    "ignores cancelling": ("ignores, threaded=True", "lost", False),
    "async": ("coroutine", "cancelled", True),
    "quick": ("quick", "succeeded", False),
}

EXITS = {
    "main returns": ("pass", None, 0),
    "sys.exit": ("sys.exit(3)", None, 3),
    "unhandled exception": ("raise LookupError('deliberate')", None, 1),
    "SIGTERM": ("wait()", signal.SIGTERM, 0),
    "SIGINT": ("wait()", signal.SIGINT, 0),
}


@pytest.mark.parametrize("exit", EXITS)
@pytest.mark.parametrize("body", BODIES)
def test_every_exit_is_clean_and_in_time(program, body, exit):
    arguments, state, cooperative = BODIES[body]
    leaving, number, code = EXITS[exit]
    child = program(
        HEAD
        + f"""
    begin({arguments})
    sys.stdin.readline()
    said("leaving")
    {leaving}
    """
    )
    child.expect("begun")
    child.send("leave")
    child.expect("leaving")
    if number is not None:
        child.expect("waiting")
        child.process.send_signal(number)
    begun = time.monotonic()
    assert child.end() == code, child
    assert time.monotonic() - begun < GRACE + 1 + SLACK
    assert f"runs {json.dumps({'body': state})}" in child.lines, child
    assert ("finally" in child.lines) == cooperative
    assert_nothing_wrong_on_stderr(child, expected="deliberate" if exit == "unhandled exception" else None)


def assert_nothing_wrong_on_stderr(child, expected: str | None = None) -> None:
    text = child.stderr
    assert "cannot schedule new futures" not in text
    assert "can't start new thread" not in text
    assert "at interpreter shutdown" not in text
    assert "Fatal Python error" not in text
    if expected is None:
        assert "Traceback" not in text, text
    else:
        assert text.count("Traceback") == 1, text
        assert f"LookupError: {expected}" in text


@pytest.mark.parametrize("leaving", ["pass", "wait()"])
def test_an_async_body_may_use_threads_to_the_last(program, leaving):
    child = program(
        HEAD
        + f"""
    begin(in_threads)
    sys.stdin.readline()
    {leaving}
    """
    )
    child.expect("begun")
    child.send("leave")
    if leaving != "pass":
        child.expect("waiting")
        child.process.send_signal(signal.SIGTERM)
    assert child.end() == 0
    assert 'runs {"body": "cancelled"}' in child.lines, child
    assert_nothing_wrong_on_stderr(child)


@pytest.mark.parametrize("leaving", ["pass", "wait()"])
def test_a_thread_that_an_async_body_left_hanging_does_not_hold_the_exit_up(program, leaving):
    child = program(
        HEAD
        + f"""
    begin(hung_in_a_thread)
    sys.stdin.readline()
    {leaving}
    """
    )
    child.expect("begun")
    child.send("leave")
    if leaving != "pass":
        child.expect("waiting")
        child.process.send_signal(signal.SIGTERM)
    assert child.end() == 0
    assert 'runs {"body": "cancelled"}' in child.lines, child
    assert_nothing_wrong_on_stderr(child)


def test_the_second_sigint_ends_the_program_at_once(program):
    child = program(
        HEAD
        + """
    process_module.EXIT_TIMEOUT = 600
    Manager.stop.__defaults__ = (600,)
    import logging
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="log %(message)s", force=True)
    begin(ignores, threaded=True)
    wait()
    """
    )
    child.expect("waiting")
    child.process.send_signal(signal.SIGINT)
    child.expect("log Received SIGINT")
    child.process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    assert child.end() == -signal.SIGINT, child
    assert time.monotonic() - begun < 1 + SLACK
    assert "KeyboardInterrupt" in child.stderr


def test_ctrl_c_while_the_exit_waits_for_runs_ends_it_with_a_line_and_no_traceback_of_ours(program):
    child = program(
        HEAD
        + """
    class Slow(Manager):
        def stop(self, timeout):
            said("stopping")
            super().stop(600)

    manager.__class__ = Slow
    begin(ignores, threaded=True)
    said("waiting")
    while True:
        time.sleep(0.1)  # one that comes just before it goes to sleep does not wake it
    """
    )
    child.expect("waiting")
    child.process.send_signal(signal.SIGINT)
    child.expect("stopping")
    child.process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    assert child.end() == -signal.SIGINT, child
    assert time.monotonic() - begun < 1 + SLACK
    assert "Interrupted again at the exit of the program" in child.stderr
    assert "Exception ignored" not in child.stderr


SIGNALS_THAT_DO_NOT_WAKE = {
    "another thread gets it": """
    def send():
        while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            time.sleep(0.005)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    threading.Thread(target=send, daemon=True).start()
    """,
    "a finalizer swallows it": """
    class Finalized:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    def finalize(number, frame):
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.setitimer(signal.ITIMER_REAL, 0.01)
        else:
            Finalized()

    signal.signal(signal.SIGALRM, finalize)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    """,
}


@pytest.mark.parametrize("how", SIGNALS_THAT_DO_NOT_WAKE)
def test_a_signal_that_does_not_wake_the_main_thread_ends_the_wait_all_the_same(program, how):
    child = program(
        HEAD + SIGNALS_THAT_DO_NOT_WAKE[how] + "\n    begin(coroutine)\n    manager.wait()\n    said('over')\n"
    )
    child.expect("over")
    assert child.end() == 0, child


def test_a_signal_at_any_instruction_of_the_wait_ends_it_and_leaves_everything_as_it_was(program):
    """The machine may hold the main thread up at each of them, with a signal to come."""
    child = program(
        HEAD
        + """
    from task.models import lifecycle
    import task.models.signals
    task.models.signals.ECHO = 0  # each of them is one of its own
    lifecycle.LOOK = 0.001  # it goes round, and so comes by all of its instructions

    class Interrupted:
        def __init__(self, number):
            self.left = number

        def __call__(self, frame, event, argument):
            frame.f_trace_opcodes = True
            if event == "opcode" and signal.getsignal(signal.SIGTERM) is not theirs:
                self.left -= 1
                if self.left == 0:
                    sys.settrace(None)
                    signal.raise_signal(signal.SIGTERM)
            return self

    def theirs(number, frame):
        said("came to another handler")

    signal.signal(signal.SIGTERM, theirs)
    for number in range(1, 250):
        manager._lifecycle.stopped.clear()
        sys.settrace(Interrupted(number))
        try:
            manager._lifecycle.wait()
        except lifecycle.SignalReceived as received:
            received.put_back()
            manager._lifecycle.stopped.set()  # what it may have left locked is wanted here
            if signal.getsignal(signal.SIGTERM) is not theirs:
                said("not as it was", number)
                break
    said("over")
    """
    )
    child.expect("over")
    assert child.lines == ["over"]
    assert child.end() == 0, child


def test_the_second_sigterm_ends_the_program_at_once(program):
    child = program(
        HEAD
        + """
    Manager.stop.__defaults__ = (600,)
    import logging
    import task.models.signals
    task.models.signals.ECHO = 0  # it is not the first one once more
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="log %(message)s", force=True)
    begin(ignores, threaded=True)
    wait()
    """
    )
    child.expect("waiting")
    child.process.send_signal(signal.SIGTERM)
    child.expect("log Received SIGTERM")
    child.process.send_signal(signal.SIGTERM)
    assert child.end() == -signal.SIGTERM, child


def test_the_loop_goes_on_as_long_as_a_thread_of_the_program_does(program):
    """The main thread may return and leave the program to another thread, a server's say."""
    child = program(
        HEAD
        + """
    from task import every
    fired = threading.Semaphore(0)
    manager.add(fired.release, every(0.05).seconds, name="sample")
    manager.run()

    def serve():
        threading.main_thread().join()
        for _ in range(3):
            assert fired.acquire(timeout=60)
        said("served")

    threading.Thread(target=serve).start()
    """
    )
    child.expect("served")
    assert child.end() == 0, child
    assert_nothing_wrong_on_stderr(child)


def test_a_program_that_only_starts_a_manager_ends(program):
    """The loop is a daemon: without `wait`, or anything else to do, the program is over."""
    child = program(
        HEAD
        + """
    from task import every
    manager.add(print, every(1).hours, name="rare")
    manager.run()
    """
    )
    assert child.end() == 0, child
    assert_nothing_wrong_on_stderr(child)


def test_wait_returns_when_another_thread_stops_the_manager(program):
    child = program(
        HEAD
        + """
    import signal
    begin(quick)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    threading.Timer(0.1, manager.stop).start()
    manager.wait()
    said("handlers", before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)))
    manager.wait()  # returns at once
    """
    )
    assert child.expect("handlers") == "True"
    assert child.end() == 0, child


def test_a_queued_run_is_cancelled_and_never_starts(program):
    child = program(
        HEAD
        + """
    manager.add(checks, name="long")
    manager.add(quick, name="waits")
    manager.run()
    manager["long"].trigger()
    manager["waits"].trigger()
    sys.stdin.readline()
    """
    )
    child.expect("begun")
    child.send("leave")
    assert child.end() == 0, child
    assert json.loads(child.lines[-1].removeprefix("runs ")) == {"waits": "cancelled", "long": "cancelled"}
    assert child.lines.count("begun") == 1
    assert_nothing_wrong_on_stderr(child)
