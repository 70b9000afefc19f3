"""What every test has: no manager, thread or process left behind, and a clean audit."""

from __future__ import annotations

import datetime
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from task import TaskManager
from task.models import manager as manager_module
from task.testing import VirtualClock

UTC = datetime.UTC


@pytest.fixture(autouse=True)
def every_slot_has_one_outcome() -> Iterator[None]:
    """After each test: its managers are stopped, and their audits find nothing."""
    before = set(manager_module._managers)
    threads = set(threading.enumerate())
    yield
    for manager in set(manager_module._managers) - before:
        manager.stop(timeout=5)
        assert manager.audit() == []
    deadline = time.monotonic() + 5
    while left := [thread for thread in threading.enumerate() if thread not in threads and _ours(thread)]:
        assert time.monotonic() < deadline, f"threads left behind: {left}"
        left[0].join(0.1)
    assert multiprocessing.active_children() == []


def _ours(thread: threading.Thread) -> bool:
    return thread.name.startswith("task-")


@pytest.fixture
def clock() -> VirtualClock:
    """A virtual clock that starts at noon, UTC, on Monday 4 May 2026."""
    return VirtualClock(datetime.datetime(2026, 5, 4, 12, tzinfo=UTC))


@pytest.fixture
def manager(clock: VirtualClock) -> TaskManager:
    """A manager on the virtual clock, with no tasks."""
    return TaskManager([], clock=clock)


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool]], None]:
    """Wait, five seconds at most, until something that other threads bring about is so."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 5
        event = threading.Event()
        while not condition():
            assert time.monotonic() < deadline, "waited five seconds in vain"
            event.wait(0.005)

    return wait
