"""What a process is told of itself on systems that are not Linux: less, and never an error."""

from __future__ import annotations

import types
from typing import Any

import pytest

from task import TaskManager
from task.doctor import diagnose
from task.hosting import servers, threads
from task.testing import VirtualClock


@pytest.fixture
def without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that binds the threads of a user, has no ``/proc``, and does not run us as root."""

    def fail(path: object) -> Any:
        raise FileNotFoundError(path)

    monkeypatch.setattr(
        threads, "os", types.SimpleNamespace(listdir=fail, stat=fail, geteuid=lambda: 501, getuid=lambda: 501)
    )
    monkeypatch.setattr("resource.getrlimit", lambda kind: (1_000, 1_000))
    monkeypatch.setattr(threads, "_control_groups", lambda: iter(()))
    monkeypatch.setattr(servers, "_read", lambda path: b"")


@pytest.mark.usefixtures("without_proc")
def test_without_proc_the_threads_of_the_process_itself_are_counted() -> None:
    room = threads.thread_room()

    assert room is not None
    assert (room.bound, room.limit) == ("its user (ulimit -u)", 1_000)
    assert room.used >= 1


@pytest.mark.usefixtures("without_proc")
def test_without_proc_the_doctor_examines_all_the_same(manager: TaskManager, clock: VirtualClock) -> None:
    with manager:
        clock.advance(seconds=10)
        found = {one.check: one.state for one in diagnose(manager)}

    assert (found["threads"], found["workers"], found["loop"]) == ("well", "well", "well")
