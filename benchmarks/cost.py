"""What it costs: processor time, wake-ups, memory. Each function runs in a child process."""

from __future__ import annotations

import functools
import gc
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import schedule

from benchmarks.figures import Figures, percentile, resident
from benchmarks.subjects import PlainSchedule, make
from task import Scheduler, TaskManager, every
from task.runs import RunState
from task.testing import VirtualClock

__all__ = ["MEASURES"]

FAR = 100_000.0


def _noop() -> None:
    pass


def firing(subject: str, seconds: int) -> Figures:
    """Processor time of one no-op run: 300 jobs, ten times a second each, all due together."""
    runs = 0

    def body() -> None:
        nonlocal runs
        runs += 1

    measured = make(subject)
    first = time.time() + 0.4
    for _ in range(300):
        measured.add(body, 0.1, first)
    measured.start()
    time.sleep(max(0.0, first - time.time()) + min(1.0, seconds / 2))  # to warm up
    found = []
    for _ in range(5):  # of five spans the least: the others were disturbed
        before, cpu = runs, time.process_time()
        time.sleep(seconds / 5)
        found.append((time.process_time() - cpu) / (runs - before) * 1e6)
    return {"us": min(found)}


def idle(subject: str, seconds: int) -> Figures:
    """Processor time per second of a loop with one job ten times a second, *subject* far-future jobs beside it."""
    manager = TaskManager([])
    manager.add(_noop, every(0.1).seconds, name="ticker")
    for number in range(int(subject)):
        manager.add(_noop, every(FAR).seconds, name=f"far {number}")
    manager.run()
    time.sleep(1.0)
    before = time.process_time()
    time.sleep(seconds)
    return {"ms": (time.process_time() - before) / seconds * 1e3}


def wakeups(subject: str, seconds: int) -> Figures:
    """How often the threads of a subject wake up in a second when nothing is due."""
    measured = make(subject)
    measured.add(_noop, FAR, time.time() + FAR)
    measured.start()
    time.sleep(1.0)
    before = _voluntary_switches()
    time.sleep(seconds)
    return {"per second": (_voluntary_switches() - before) / seconds}


def _voluntary_switches() -> int:
    """Of all threads but this one, as Linux counts them: a thread that waits switches once each time it wakes."""
    total = 0
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
            total += int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return total


def one_pass(subject: str, seconds: int) -> Figures:
    """One pass of the loop with *subject* idle jobs: `task`, with tasks, and plain `schedule`."""
    clock = VirtualClock()  # it makes a pass whenever it is moved, here and now
    manager, plain = TaskManager([], clock=clock), PlainSchedule(1.0)
    for number in range(int(subject)):
        manager.add(_noop, every(FAR).seconds, name=f"idle {number}")
        plain.add(_noop, FAR, time.time() + FAR)
    manager.run()
    ours = [_timed(lambda: clock.advance(seconds=0)) for _ in range(200)]
    theirs = [_timed(plain.scheduler.run_pending) for _ in range(20)]
    return {"task": percentile(ours, 50) * 1e3, "schedule": percentile(theirs, 50) * 1e3}


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def adding(subject: str, seconds: int) -> Figures:
    """Adding and cancelling one job beside *subject* others: as a task, as a plain job, and with plain `schedule`."""
    count = int(subject)
    manager = TaskManager([])
    manager.run()
    for number in range(count):
        manager.add(_noop, every(FAR).seconds, name=f"present {number}")
    names = [f"added {number}" for number in range(200)]
    tasks = [functools.partial(manager.add, _noop, every(FAR).seconds, name=name) for name in names]
    figures = {"task add": _median_us(tasks)}
    figures["task cancel"] = _median_us([functools.partial(manager.remove, name) for name in names])
    manager.stop()
    for name, scheduler in {"job": Scheduler(), "schedule": schedule.Scheduler()}.items():
        present = _add_plain(scheduler, count)
        figures[f"{name} add"] = _median_us([functools.partial(_add_plain, scheduler, 1)] * 200)
        middle = present[count // 2 : count // 2 + 100]
        figures[f"{name} cancel"] = _median_us([functools.partial(scheduler.cancel_job, job) for job in middle])
    return figures


def _median_us(calls: Sequence[Callable[[], object]]) -> float:
    return percentile([_timed(call) for call in calls], 50) * 1e6


def _add_plain(scheduler: schedule.Scheduler, count: int) -> list[schedule.Job]:
    return [scheduler.every(int(FAR)).seconds.do(_noop) for _ in range(count)]


def memory(subject: str, seconds: int) -> Figures:
    """Bytes per job, of 20 000: as tasks that a manager runs, as plain jobs, and with plain `schedule`."""
    manager = TaskManager([])

    def run_tasks() -> object:
        for number in range(20_000):
            manager.add(_noop, every(FAR).seconds, name=f"task {number}")
        manager.run()
        return manager

    figures = {"task": _bytes_taken(run_tasks) / 20_000}
    for name, scheduler in {"job": Scheduler(), "schedule": schedule.Scheduler()}.items():
        figures[name] = _bytes_taken(functools.partial(_add_plain, scheduler, 20_000)) / 20_000
    return figures


def _bytes_taken(build: Callable[[], object]) -> float:
    gc.collect()
    tracemalloc.start()
    kept = build()
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del kept
    return float(taken)


def growth(subject: str, seconds: int) -> Figures:
    """Resident memory that *subject* no-op runs of ten tasks leave behind, in virtual time, and runs per second."""
    clock = VirtualClock()
    manager = TaskManager([], clock=clock)
    for number in range(10):
        manager.add(_noop, every(1).seconds, name=f"task {number}")
    with manager:
        clock.advance(seconds=1_000)  # the bounded history is full
        gc.collect()
        before, start = resident(), time.perf_counter()
        clock.advance(seconds=int(subject) // 10)
        elapsed = time.perf_counter() - start
        gc.collect()
        return {"MB": (resident() - before) / 1e6, "per second": int(subject) / elapsed}


def throughput(subject: str, seconds: int) -> Figures:
    """Runs per second flat out: 1 000 tasks triggered round after round, on real threads and the real clock."""
    manager = TaskManager([])
    tasks = [manager.add(_noop, name=f"task {number}", threaded="threaded" in subject) for number in range(1_000)]
    runs = 0
    with manager:
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            for run in [task.trigger() for task in tasks]:
                run.wait(10)
                runs += run.state is RunState.SUCCEEDED
        return {"per second": runs / (time.perf_counter() - start)}


MEASURES: dict[str, Callable[[str, int], Figures]] = {
    "firing": firing,
    "idle": idle,
    "wakeups": wakeups,
    "one pass": one_pass,
    "adding": adding,
    "memory": memory,
    "growth": growth,
    "throughput": throughput,
}
