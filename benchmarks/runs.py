"""What one run costs beyond being fired: waiting for it, many at once, its policies, its log, its process.

Each function runs in a child process.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import datetime
import functools
import gc
import logging
import multiprocessing
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.bodies import noop
from benchmarks.figures import Figures, resident
from task import Run, TaskManager, current_run, every, shell
from task.testing import VirtualClock

__all__ = ["MEASURES"]

#: How many coroutines wait at once, and how many threads (of which each figure is per piece).
COROUTINES = 10_000
THREADS = 1_000


def round_trip(subject: str, seconds: int) -> Figures:
    """Microseconds from asking for a run to having its result, one after another, all threads on one core.

    On two cores the figure is that of the wake-up of a sleeping core, which is several times that of the rest.
    """
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    ask = _ASKING[subject]()
    for _ in range(500):
        ask()
    found = []
    for _ in range(10):
        start, asked = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - start) < seconds / 10:
            ask()
            asked += 1
        found.append(elapsed / asked * 1e6)
    return {"us": min(found)}


def _ask_task(threaded: bool) -> Callable[[], object]:
    manager = TaskManager([])
    asked = manager.add(noop, name="asked", threaded=threaded)
    manager.run()
    return lambda: asked.trigger().result(10)


def _ask_pool() -> Callable[[], object]:
    pool = concurrent.futures.ThreadPoolExecutor(1)
    return lambda: pool.submit(noop).result(10)


def _ask_apscheduler() -> Callable[[], object]:
    from apscheduler.schedulers.background import BackgroundScheduler  # type: ignore[import-untyped]

    scheduler = BackgroundScheduler(timezone=datetime.UTC)
    scheduler.start()
    results: queue.SimpleQueue[object] = queue.SimpleQueue()  # it has none of its own

    def ask() -> object:
        scheduler.add_job(results.put, args=[None], misfire_grace_time=None)
        return results.get(timeout=10)

    return ask


_ASKING: dict[str, Callable[[], Callable[[], object]]] = {
    "task serial": functools.partial(_ask_task, False),
    "task threaded": functools.partial(_ask_task, True),
    "ThreadPoolExecutor": _ask_pool,
    "APScheduler pooled": _ask_apscheduler,
}


def concurrent_bodies(subject: str, seconds: int) -> Figures:
    """What bodies that all wait at one time take: resident bytes and processor time of one, and threads of all."""
    threads = threading.active_count()
    begin = _WAITING[subject]()
    gc.collect()
    before, cpu = resident(), time.process_time()
    count, end = begin()
    figures = {"bytes": (resident() - before) / count, "threads": threading.active_count() - float(threads)}
    end()
    return {**figures, "us": (time.process_time() - cpu) / count * 1e6}


class _Crowd:
    """Coroutines that wait until all of them may go on."""

    def __init__(self) -> None:
        self.all_wait = threading.Event()
        self._inside = 0
        self._gate: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def body(self) -> None:
        if self._gate is None:
            self._gate, self._loop = asyncio.Event(), asyncio.get_running_loop()
        self._inside += 1
        if self._inside == COROUTINES:
            self.all_wait.set()
        await self._gate.wait()

    def open(self) -> None:
        assert self._gate is not None
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._gate.set)


#: Lets so many bodies wait; gives their number, and what lets them end.
_Begin = Callable[[], tuple[int, Callable[[], None]]]


def _wait_in_task() -> _Begin:
    crowd = _Crowd()
    manager = TaskManager([])
    waiting = manager.add(crowd.body, name="waiting", overlap="allow")
    manager.run()

    def begin() -> tuple[int, Callable[[], None]]:
        runs = [waiting.trigger() for _ in range(COROUTINES)]
        assert crowd.all_wait.wait(60)
        return COROUTINES, lambda: end(runs)

    def end(runs: list[Run]) -> None:
        crowd.open()
        assert all(run.wait(60) for run in runs)

    return begin


def _wait_in_asyncio() -> _Begin:
    crowd = _Crowd()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def gather() -> None:
        await asyncio.gather(*[crowd.body() for _ in range(COROUTINES)])

    def begin() -> tuple[int, Callable[[], None]]:
        all_of_them = asyncio.run_coroutine_threadsafe(gather(), loop)
        assert crowd.all_wait.wait(60)
        return COROUTINES, lambda: end(all_of_them)

    def end(all_of_them: concurrent.futures.Future[None]) -> None:
        crowd.open()
        all_of_them.result(60)

    return begin


def _wait_in_threads() -> _Begin:
    gate = threading.Event()

    def begin() -> tuple[int, Callable[[], None]]:
        threads = [threading.Thread(target=gate.wait) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        return THREADS, lambda: end(threads)

    def end(threads: list[threading.Thread]) -> None:
        gate.set()
        for thread in threads:
            thread.join(60)

    return begin


_WAITING: dict[str, Callable[[], _Begin]] = {
    "task": _wait_in_task,
    "asyncio": _wait_in_asyncio,
    "a thread each": _wait_in_threads,
}


def failing_growth(subject: str, seconds: int) -> Figures:
    """Resident memory that *subject* failing runs leave behind, each with 100 kB in its frame."""
    clock = VirtualClock()
    manager = TaskManager([], clock=clock)
    for number in range(10):
        manager.add(_fail, every(1).seconds, name=f"task {number}")
    with manager:
        clock.advance(seconds=300)  # the bounded history is full
        gc.collect()
        before = resident()
        clock.advance(seconds=int(subject) // 10)
        gc.collect()
        return {"MB": (resident() - before) / 1e6}


def _fail() -> None:
    data = bytearray(100_000)
    raise ValueError(f"{len(data)} bytes")


def policies(subject: str, seconds: int) -> Figures:
    """Processor time of a no-op run in virtual time: as it is, and with what limits and repeats it; none fails."""
    options: dict[str, dict[str, Any]] = {"plain": {}, "timeout": {"timeout": 60}, "retry": {"retry": 3}}
    options["both"] = {**options["timeout"], **options["retry"]}
    clocks = {name: _virtual(given) for name, given in options.items()}
    found: dict[str, list[float]] = {name: [] for name in clocks}
    for _ in range(10 * seconds):  # in turn: a neighbour that disturbs one disturbs all
        for name, clock in clocks.items():
            start = time.process_time()
            clock.advance(seconds=10)
            found[name].append((time.process_time() - start) / 3_000 * 1e6)
    return {name: min(values) for name, values in found.items()}


def _virtual(options: dict[str, Any]) -> VirtualClock:
    clock = VirtualClock()
    manager = TaskManager([], clock=clock)
    for number in range(300):
        manager.add(noop, every(1).seconds, name=f"task {number}", **options)
    manager.run()
    clock.advance(seconds=205)  # the bounded history is full
    return clock


def log_lines(subject: str, seconds: int) -> Figures:
    """Microseconds of one line: without us, outside of a run, inside one, and by the logger of the run."""
    logging.disable(logging.NOTSET)
    logger = logging.getLogger("application")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(logging.StreamHandler(open(os.devnull, "w", encoding="utf-8")))  # noqa: SIM115 - to the end
    figures = {"plain": _line_us(logger, seconds)}
    manager = TaskManager([])
    by_run = manager.add(lambda: _line_us(current_run().logger, seconds), name="by run", threaded=True)
    inside = manager.add(lambda: _line_us(logger, seconds), name="inside", threaded=True)
    with manager:
        figures["outside"] = _line_us(logger, seconds)
        figures["inside"] = inside.trigger().result(60)
        figures["run.logger"] = by_run.trigger().result(60)
        assert manager.runs("inside")[0].log
    return figures


def _line_us(logger: logging.Logger | logging.LoggerAdapter[logging.Logger], seconds: int) -> float:
    found = []
    for _ in range(10 * seconds):
        start = time.perf_counter()
        for number in range(2_000):
            logger.info("%d rows of %s", number, "customers")
        found.append((time.perf_counter() - start) / 2_000 * 1e6)
    return min(found)


def processes(subject: str, seconds: int) -> Figures:
    """Milliseconds of a no-op in a process of its own, one after another."""
    main: Any = sys.modules["__main__"]
    main.__spec__ = main.__file__ = None  # nobody is to import this module again in the processes
    if subject == "task":
        manager = TaskManager([])
        elsewhere = manager.add(noop, name="elsewhere", executor="process")
        manager.run()
        return {"ms": _least_ms(lambda: elsewhere.trigger().result(60), seconds)}
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
        return {"ms": _least_ms(lambda: pool.submit(noop).result(60), seconds)}


def commands(subject: str, seconds: int) -> Figures:
    """Milliseconds of a command that does nothing, its output kept, one after another."""
    if subject == "subprocess.run":
        return {"ms": _least_ms(lambda: subprocess.run(["true"], capture_output=True, check=True), seconds)}
    manager = TaskManager([])
    command = manager.add(shell(["true"]), name="true")
    manager.run()
    return {"ms": _least_ms(lambda: command.trigger().result(60), seconds)}


def _least_ms(call: Callable[[], object], seconds: int) -> float:
    """Of ten rounds the fastest: the others were disturbed."""
    call()
    found = []
    for _ in range(10):
        start, calls = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - start) < seconds / 10:
            call()
            calls += 1
        found.append(elapsed / calls * 1e3)
    return min(found)


MEASURES: dict[str, Callable[[str, int], Figures]] = {
    "round trip": round_trip,
    "concurrent": concurrent_bodies,
    "failing growth": failing_growth,
    "policies": policies,
    "log": log_lines,
    "process": processes,
    "command": commands,
}
