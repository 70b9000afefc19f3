"""The faults of docs/faults.md that no other test shows wholly; and each row of that page names tests that exist."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import datetime
import itertools
import json
import logging
import pathlib
import random
import re
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schedule
from tenacity import Retrying, stop_after_attempt, wait_random

from task import MemoryStore, Run, RunState, TaskManager, current_run, every, run_succeeded
from task.testing import VirtualClock

ROOT = pathlib.Path(__file__).parents[2]
NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)

#: What a loaded machine may need beyond a limit: less than a program would give, or a body take, by itself. Seconds.
SLACK = 8.0

#: Whatever is waited for comes within this, or the test fails. Seconds.
LIMIT = 60

WaitFor = Callable[[Callable[[], bool]], None]


@pytest.fixture
def gate():
    """What hung bodies wait for; it opens when the test is over."""
    event = threading.Event()
    yield event
    event.set()


def on_time(manager: TaskManager, name: str) -> list[float]:
    """Seconds from each slot to the start of its run, oldest first."""
    return [run.lateness or 0.0 for run in reversed(manager.runs(name, "succeeded"))]


# The page.


def rows_of_the_page() -> list[tuple[str, list[str]]]:
    text = (ROOT / "docs/faults.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "::" in line]
    return [(row, re.findall(r"`(tests/[\w/]+\.py::\w+)`", row)) for row in rows]


def test_every_fault_of_the_page_has_a_test_and_every_test_is_there():
    rows = rows_of_the_page()
    assert len(rows) == 46
    named = {name for row, names in rows for name in names}
    for row, names in rows:
        assert len(names) == row.count("::") > 0, row
    missing = []
    for name in sorted(named):
        path, _, function = name.partition("::")
        tree = ast.parse((ROOT / path).read_text("utf-8")) if (ROOT / path).exists() else ast.Module([], [])
        if function not in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}:
            missing.append(name)
    assert missing == []


# A body never returns.


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        ("skip", [("skipped", "already running", 4), ("running", None, 1)]),
        ("queue", [("skipped", "one run waits already", 3), ("queued", "already running", 1), ("running", None, 1)]),
        ("allow", [("running", None, 1)] * 5),
    ],
)
def test_a_body_that_never_returns_is_shown_as_overdue_and_its_overlap_applies(gate, overlap, expected, wait_for):
    clock = VirtualClock(NOON, threads=True)
    manager, begun = TaskManager([], clock=clock), threading.Semaphore(0)

    def hangs() -> None:
        begun.release()
        gate.wait(10 * LIMIT)

    manager.add(hangs, every(10).seconds, name="hangs", threaded=True, overlap=overlap)
    manager.add(lambda: None, every(10).seconds, name="good", threaded=True)
    with manager:
        for number in range(1, 6):
            clock.advance(seconds=10)
            wait_for(lambda number=number: len(manager.runs("good", "succeeded")) == number)
        for _ in range(sum(state == "running" for state, _, _ in expected)):
            assert begun.acquire(timeout=LIMIT)
        details = {detail["name"]: detail for detail in manager.tasks_detail}
        assert (details["hangs"]["overdue"], details["hangs"]["running"]) == (True, True)
        assert not details["good"]["overdue"]
        assert [(str(run.state), run.reason, run.count) for run in manager.runs("hangs")] == expected
        assert on_time(manager, "good") == [0.0] * 5
        gate.set()


# A schedule goes wrong.


class Wrong(schedule.Job):
    """A schedule of one's own whose third answer is wrong."""

    def __init__(self, answer: Callable[[datetime.datetime], datetime.datetime]) -> None:
        super().__init__(1)
        self.answer = answer
        self.asked = 0

    def next_slot(self, after: datetime.datetime) -> datetime.datetime:
        self.asked += 1
        if after >= NOON + datetime.timedelta(minutes=2):
            return self.answer(after)
        return after + datetime.timedelta(minutes=1)


def raises(after: datetime.datetime) -> datetime.datetime:
    raise ZeroDivisionError("no answer")


WRONG_ANSWERS = {
    "raises": raises,
    "the past": lambda after: after - datetime.timedelta(hours=1),
    "the same instant": lambda after: after,
    "a naive time": lambda after: after.replace(tzinfo=None) + datetime.timedelta(minutes=1),
    "no time": lambda after: "soon",
}


@pytest.mark.parametrize("answer", WRONG_ANSWERS)
def test_a_schedule_whose_answer_is_wrong_is_shown_broken_and_costs_no_tight_loop(answer, monkeypatch, caplog):
    clock = VirtualClock(NOON)
    manager, wrong = TaskManager([], clock=clock), Wrong(WRONG_ANSWERS[answer])
    bad = manager.add(lambda: None, wrong, name="bad")
    manager.add(lambda: None, every(10).minutes, name="good")
    passes: list[int] = []
    make_pass = manager.scheduler._make_pass
    monkeypatch.setattr(manager.scheduler, "_make_pass", lambda: (passes.append(1), make_pass()))
    with manager:
        clock.advance(hours=1)
        details = {detail["name"]: detail for detail in manager.tasks_detail}
        assert details["bad"]["broken"]
        assert details["bad"]["next_run"] is None
        assert details["good"]["broken"] is None
        assert "The schedule of task 'bad' is broken" in caplog.text
        assert [str(run.state) for run in manager.runs("bad")] in (["succeeded"], ["succeeded"] * 2)
        assert on_time(manager, "good") == [0.0] * 6
        assert manager.health
        assert bad.trigger().result() is None  # by hand it still runs
    assert len(passes) < 400  # one for each look of the alerts, every ten seconds, and a few
    assert wrong.asked < 50


# Receivers and callbacks.


def test_a_receiver_and_a_callback_that_block_keep_no_run_from_its_end(gate, wait_for):
    clock = VirtualClock(NOON, threads=True)
    manager, blocked = TaskManager([], clock=clock), threading.Semaphore(0)

    def block(*_: Any, **__: Any) -> None:
        blocked.release()
        gate.wait(10 * LIMIT)

    manager.add(lambda: 1, every(10).seconds, name="told", threaded=True, on_complete=lambda run: block())
    manager.add(lambda: 2, every(10).seconds, name="good", threaded=True)
    with manager, run_succeeded.connected_to(block):
        for number in range(1, 6):
            clock.advance(seconds=10)
            for name in ("told", "good"):
                wait_for(lambda name=name, number=number: len(manager.runs(name, "succeeded")) == number)
        for _ in range(6):  # five callbacks on threads of their own, and the one thread of the signals
            assert blocked.acquire(timeout=LIMIT)
        assert manager.health
        assert on_time(manager, "good") == [0.0] * 5
        gate.set()


# The program ends.

PROCESS_BODY = """
import atexit, json, os, signal, sys, threading, time
from task import TaskManager, current_run
from task.models import lifecycle, process as process_module

def said(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def looks():
    said("begun", os.getpid())
    try:
        while True:
            current_run().check_cancelled()
            time.sleep(0.01)
    finally:
        said("finally")

def ignores():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    said("begun", os.getpid())
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass

class Manager(TaskManager):
    def stop(self, timeout=0.6):
        super().stop(timeout)

def wait():
    def tell():
        while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            time.sleep(0.005)
        said("waiting")

    threading.Thread(target=tell, daemon=True).start()
    manager.wait()

if __name__ == "__main__":
    process_module.EXIT_TIMEOUT = 0.6
    if BODY is looks:
        lifecycle.CANCEL_TIMEOUT = 60  # it has time enough to end, on a machine that has some
    manager = Manager([])
    manager.add(BODY, name="body", executor="process")

    @atexit.register
    def report():
        said("runs", json.dumps([str(run.state) for run in manager.runs()]))

    manager.run()
    manager["body"].trigger()
    sys.stdin.readline()
    LEAVING
"""

EXITS = {
    "main returns": ("pass", None, 0),
    "sys.exit": ("sys.exit(3)", None, 3),
    "unhandled exception": ("raise LookupError('deliberate')", None, 1),
    "SIGTERM": ("wait()", signal.SIGTERM, 0),
    "SIGINT": ("wait()", signal.SIGINT, 0),
}


@pytest.mark.parametrize("leaving", EXITS)
@pytest.mark.parametrize("body", ["looks", "ignores"])
def test_no_process_of_a_body_outlives_the_program(program, leaving, body):
    statement, number, code = EXITS[leaving]
    child = program(PROCESS_BODY.replace("BODY", body).replace("LEAVING", statement))
    pid = int(child.expect("begun"))
    child.send("leave")
    if number is not None:
        child.expect("waiting")
        child.process.send_signal(number)
    begun = time.monotonic()
    assert child.end() == code, child
    assert time.monotonic() - begun < 0.6 + 1 + SLACK
    assert not alive(pid)
    (state,) = json.loads(next(line for line in child.lines if line.startswith("runs")).removeprefix("runs "))
    assert state == "cancelled" or (state == "lost" and body == "ignores"), (
        child
    )  # that is killed later than it is lost
    assert ("finally" in child.lines) == (body == "looks"), child
    assert "cannot schedule new futures" not in child.stderr
    assert child.stderr.count("Traceback") == (leaving == "unhandled exception"), child


def alive(pid: int) -> bool:
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        try:
            if pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return False
        except OSError:
            return False
        threading.Event().wait(0.01)
    return True


# A process dies.


@pytest.fixture
def dying(tmp_path, monkeypatch):
    """A module whose bodies run in processes."""
    (tmp_path / "dying_bodies.py").write_text(
        "import faulthandler, os, time\n"
        "def exits(): os._exit(3)\n"
        "def crashes(): faulthandler._sigsegv()\n"
        "def innocent(path):\n"
        "    open(path + str(os.getpid()), 'w').close()\n"
        "    while not os.path.exists(path): time.sleep(0.01)\n"
        "    return 'whole'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    import importlib

    module = importlib.import_module("dying_bodies")
    yield module
    import sys

    del sys.modules["dying_bodies"]


@pytest.mark.parametrize("way", ["exits", "crashes"])
def test_a_process_that_dies_fails_its_own_run_and_no_other(dying, way, tmp_path, wait_for):
    manager, path = TaskManager([], max_workers=3), tmp_path / "go"
    manager.add(dying.innocent, name="innocent", executor="process", overlap="allow", parameters={"path": str(path)})
    manager.add(getattr(dying, way), name="dies", executor="process")
    with manager:
        innocents = [manager["innocent"].trigger() for _ in range(2)]
        wait_for(lambda: len(list(tmp_path.glob("go?*"))) == 2)
        dead = manager["dies"].trigger()
        assert dead.wait(LIMIT)
        assert [run.state for run in innocents] == ["running"] * 2
        path.touch()
        assert [run.result(LIMIT) for run in innocents] == ["whole"] * 2
        assert [manager["innocent"].trigger().result(LIMIT) for _ in range(3)] == ["whole"] * 3
    assert (str(dead.state), dead.attempt) == ("failed", 1), dead.error
    assert "its process" in str(dead.error)


# Limits of bodies in threads.


def test_a_thread_is_asked_within_50_ms_of_its_limit(wait_for):
    manager, asked = TaskManager([]), list[float]()

    def body() -> None:
        run = current_run()
        while not run.is_cancelled():
            time.sleep(0.002)
        assert run.started_at is not None
        asked.append((manager.clock.now() - run.started_at).total_seconds())

    sample = manager.add(body, name="sample", threaded=True, timeout=0.1)
    with manager:
        for _ in range(200):  # until the machine was not busy with other things for so long
            run = sample.trigger()
            assert run.wait(LIMIT)
            wait_for(lambda: not sample.is_running)
            if min(asked) < 0.15:
                break
    assert 0.1 <= min(asked) < 0.15


@pytest.mark.parametrize("kind", ["looks", "sleeps", "is blocked in C", "catches everything"])
def test_a_thread_is_asked_at_its_limit_and_is_never_interrupted(kind, gate, wait_for, caplog):
    manager, ended = TaskManager([], max_workers=1), list[str]()
    here, there = socket.socketpair()

    def body() -> str:
        run = current_run()
        try:
            while not gate.is_set():
                if kind == "looks":
                    run.check_cancelled()
                if kind == "is blocked in C":
                    select.select([here], [], [])
                elif kind == "catches everything":
                    with contextlib.suppress(BaseException):
                        run.check_cancelled()
                time.sleep(0.005)
            return "late"
        except BaseException as error:
            ended.append(type(error).__name__)
            raise
        finally:
            ended.append("finally")

    sample = manager.add(body, name="sample", threaded=True, timeout=0.3)
    other = manager.add(lambda: "other", name="other", threaded=True)
    with here, there, manager, opened(gate, there):
        run = sample.trigger()
        wait_for(lambda: run.is_cancelled())
        assert run.wait(LIMIT)  # it does not wait for the body; how exactly is another test's
        assert other.trigger().result(LIMIT) == "other"  # the place of the pool is free before the body ends
        assert run.state == "timed_out"
        assert run.duration >= 0.3
        if kind == "looks":
            wait_for(lambda: ended == ["RunCancelled", "finally"])
        else:
            assert sample.is_running
            assert sample.trigger().reason == "already running"
            gate.set()
            there.send(b"go on")
            wait_for(lambda: ended == ["finally"])  # nothing was thrown into it
            wait_for(lambda: "what it returned is discarded" in caplog.text)
        wait_for(lambda: not sample.is_running)
        assert run.state == "timed_out"
        assert run.result_text is None


@contextlib.contextmanager
def opened(gate: threading.Event, there: socket.socket) -> Iterator[None]:
    """Whatever comes of it, the body that waits goes on at the end."""
    try:
        yield
    finally:
        gate.set()
        there.send(b"go on")


# Cancelling at the end.


class AtTheEnd(MemoryStore):
    """A ledger that cancels each run at one moment of its life."""

    def __init__(self, moment: str) -> None:
        super().__init__()
        self.moment = moment
        self.asked: list[bool] = []

    def start(self, run: Run, now: datetime.datetime) -> bool:
        self.at("before the start", run)
        begun = super().start(run, now)
        self.at("after the start", run)
        return begun

    def finish(self, run: Run, *arguments: Any, **options: Any) -> Any:
        self.at("before the end", run)
        admitted = super().finish(run, *arguments, **options)
        self.at("after the end", run)
        return admitted

    def at(self, moment: str, run: Run) -> None:
        if moment == self.moment and run.task == "sample":
            self.asked.append(run.cancel())


@pytest.mark.parametrize("kind", ["serial", "threaded"])
@pytest.mark.parametrize(
    ("moment", "asked", "state"),
    [
        ("before the start", True, "cancelled"),
        ("after the start", True, "succeeded"),
        ("before the end", True, "succeeded"),
        ("after the end", False, "succeeded"),
    ],
)
def test_cancelling_on_either_side_of_the_end_leaves_one_final_state_10_000_times(moment, asked, state, kind):
    store = AtTheEnd(moment)
    manager, told = TaskManager([], store=store, clock=VirtualClock(NOON)), list[str]()
    sample = manager.add(
        lambda: None, name="sample", threaded=kind == "threaded", on_complete=lambda run: told.append(str(run.state))
    )
    with manager:
        runs = [sample.trigger() for _ in range(2_500)]  # of four moments
        assert {str(run.state) for run in runs} == {state}
        assert store.asked == [asked] * 2_500
        assert told == [state] * (0 if moment == "before the start" else 2_500)
        assert store.active() == []
        executor = sample.binding.executor
        assert executor is not None
        assert (executor.running(), executor.waiting()) == ([], 0)


# Retries.


def test_delays_with_jitter_stay_within_their_bounds_and_attempts_are_exact():
    clock = VirtualClock(NOON)
    manager, starts = TaskManager([], clock=clock), list[float]()

    def fails() -> None:
        starts.append(clock.monotonic())
        raise ValueError("no")

    random.seed(7)
    sample = manager.add(fails, name="sample", retry=Retrying(stop=stop_after_attempt(200), wait=wait_random(1, 3)))
    with manager:
        run = sample.trigger()
        clock.advance(minutes=20)
    delays = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert (run.state, run.attempt, len(starts)) == ("failed", 200, 200)
    assert min(delays) >= 1
    assert max(delays) <= 3.001
    assert len(set(delays)) > 150


def test_no_attempt_comes_after_a_stop_nor_after_the_next_start():
    clock = VirtualClock(NOON)
    manager, bodies = TaskManager([], clock=clock), list[int]()

    def fails() -> None:
        bodies.append(1)
        raise ValueError("no")

    sample = manager.add(fails, name="sample", retry=5)
    with manager:
        run = sample.trigger()
        clock.advance(seconds=1)
    with manager:
        clock.advance(hours=1)
    assert (run.state, run.reason, run.attempt, bodies) == ("cancelled", "stopped", 2, [1, 1])


# The event loop.


def test_a_body_that_blocks_the_event_loop_is_named_and_the_lateness_of_others_is_on_record(wait_for, caplog):
    manager, begun, late = TaskManager([]), threading.Event(), threading.Event()

    @manager.task
    async def blocks():
        begun.set()
        late.wait(LIMIT)

    @manager.task(every(0.2).seconds)
    async def punctual():  # at once: it never waits for the loop in the middle
        pass

    with manager, caplog.at_level(logging.WARNING):
        wait_for(lambda: len(manager.runs("punctual", "succeeded")) > 0)
        run = blocks.trigger()
        assert begun.wait(LIMIT)
        wait_for(lambda: not manager.health)
        wait_for(lambda: any("task 'blocks' blocked" in cause for cause in manager.health.causes))
        wait_for(lambda: manager.runs("punctual", "queued") != [])
        (waiting,) = manager.runs("punctual", "queued")
        wait_for(lambda: manager.clock.now() - waiting.slot > datetime.timedelta(seconds=1.1))
        late.set()
        assert run.wait(LIMIT)
        wait_for(lambda: bool(manager.health))
        wait_for(lambda: any((one.lateness or 0) > 1 for one in manager.runs("punctual", "succeeded")))
        on_record = [one.as_dict()["lateness"] for one in manager.runs("punctual", "succeeded")]
        assert max(on_record) > 1
    (told,) = [line for line in caplog.messages if "'blocks' has blocked the event loop" in line]
    assert re.match(r"The body of task 'blocks' has blocked the event loop for [1-9]\d*\.\d seconds; ", told)
    assert "asyncio.to_thread" in told
    assert "late.wait(LIMIT)" in told


# Memory.


def test_failing_bodies_with_large_locals_leave_neither_memory_nor_frames(program):
    child = program(
        """
    import gc, logging, resource, weakref
    from task import TaskManager, every
    from task.testing import VirtualClock

    logging.getLogger("task").setLevel(logging.CRITICAL)
    clock = VirtualClock()
    manager = TaskManager([], clock=clock)
    alive = weakref.WeakSet()

    class Large:
        def __init__(self):
            self.data = b"x" * 1_000_000

    def fails():
        large = Large()
        alive.add(large)
        try:
            large.data.decode().missing
        except AttributeError as error:
            raise ValueError("no") from error

    async def fails_too():
        fails()

    manager.add(fails, every(1).seconds, name="serial")
    manager.add(fails, every(1).seconds, name="threaded", threaded=True, retry=1)
    manager.add(fails_too, every(1).seconds, name="async")

    def memory():
        return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 1e6

    gc.disable()  # no cycle may need the collector
    with manager:
        kept = manager["serial"].trigger()
        clock.advance(seconds=250)
        before, first = memory(), len(alive)
        clock.advance(seconds=700)
        print("measured", memory() - before, first, len(alive), sum(len(manager.runs(name)) for name in manager))
    """
    )
    grown, first, left, rows = child.expect("measured", timeout=300).split()
    assert child.end() == 0, child
    assert float(grown) < 10
    assert (first, left) == ("0", "0")
    assert rows == "300"


# Secrets.


@pytest.mark.parametrize("kind", ["serial", "threaded", "async"])
@pytest.mark.parametrize("ending", ["returns", "raises", "retries", "is cancelled", "times out"])
def test_a_canary_is_in_nothing_that_is_written_of_a_run(kind, ending, caplog):
    canary = "-".join(["c4n4ry", "t4il/9", "é\"'"])  # in no line of this file: those are in tracebacks
    caplog.set_level(logging.DEBUG)
    clock = VirtualClock(NOON)
    manager, told = TaskManager([], clock=clock), list[Any]()
    url = f"https://app:{canary}@db.example/x?token={canary}"

    def talk(password: str, nested: dict[str, Any]) -> None:
        run = current_run()
        run.update_progress(50, f"with {password} {url}")
        run.logger.info("argv %s", ["pg_dump", f"--password={password}"])
        run.logger.warning("nested %r", nested)

    def finish(password: str) -> dict[str, str]:
        if ending in ("raises", "retries"):
            try:
                raise KeyError(password)
            except KeyError as error:
                raise ConnectionError(f"cannot reach {url}", ["psql", password]) from error
        return {"url": url, "password": password}

    def plain(password: str, nested: dict[str, Any]) -> dict[str, str]:
        talk(password, nested)
        if ending in ("is cancelled", "times out"):
            for _ in range(10):
                clock.sleep(1)
                current_run().check_cancelled()
        return finish(password)

    async def coroutine(password: str, nested: dict[str, Any]) -> dict[str, str]:
        talk(password, nested)
        if ending in ("is cancelled", "times out"):
            await asyncio.sleep(10)
        return finish(password)

    def complete(run: Run) -> None:
        told.append(repr(run.as_dict()))
        raise RuntimeError(f"the callback has {canary}")

    sample = manager.add(
        coroutine if kind == "async" else plain,
        name="sample",
        threaded=kind == "threaded",
        parameters={"nested": {"list": [{"password": canary}], "text": url}},
        redact=["password"],
        retry=1 if ending == "retries" else None,
        timeout=5 if ending == "times out" else None,
        on_complete=complete,
    )
    with manager:
        if ending == "is cancelled":
            manager.scheduler.call_at(
                clock.now() + datetime.timedelta(seconds=3),
                lambda: [run.cancel(f"no more {canary}") for run in manager.runs("sample", "running")],
            )
        run = sample.trigger(password=canary)
        clock.advance(minutes=1)
        (row,) = manager.runs("sample")
        details = manager.tasks_detail
    states = {"returns": "succeeded", "is cancelled": "cancelled", "times out": "timed_out"}
    assert run.state == states.get(ending, "failed")
    assert run.message.startswith("with *** https://app:***@db.example")
    assert len(run.log) == (4 if ending == "retries" else 2)
    ours = [record.getMessage() for record in caplog.records if record.name == "task"]
    written: list[object] = [ours, told, details, repr(sample), repr(sample.spec)]
    for one in (run, row):
        written += [one.as_dict(), repr(one), one.parameters, one.message, one.error, one.traceback, one.reason]
        written += [one.result_text, one.attempts, [(str(line), line.as_dict()) for line in one.log]]
    for text in (
        repr(written),
        json.dumps(written, default=repr),
        json.dumps(written, default=repr, ensure_ascii=False),
    ):
        assert "c4n4ry" not in text
        assert "t4il" not in text
    assert RunState(run.state).final
