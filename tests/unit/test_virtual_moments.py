"""`run_until`: every slot up to a moment, of any manager, in order and in the caller's thread."""

from __future__ import annotations

import datetime
import threading

from task import TaskManager, every
from task.testing import virtual_time

UTC = datetime.UTC


def test_each_slot_up_to_the_moment_has_run_and_none_after_it() -> None:
    manager = TaskManager([])
    seen: list[tuple[str, str, threading.Thread]] = []

    @manager.task(every(20).minutes, threaded=True)
    def threaded() -> None:
        seen.append((f"{datetime.datetime.now(UTC):%H:%M}", "threaded", threading.current_thread()))

    @manager.task(every(15).minutes)
    async def awaited() -> None:
        seen.append((f"{datetime.datetime.now(UTC):%H:%M}", "awaited", threading.current_thread()))

    with virtual_time("2026-05-04T12:00Z") as clock:
        clock.run(manager)
        clock.run_until(datetime.datetime(2026, 5, 4, 12, 45, tzinfo=UTC))
        assert clock.now() == datetime.datetime(2026, 5, 4, 12, 45, tzinfo=UTC)

    assert [(at, name) for at, name, _ in seen] == [
        ("12:15", "awaited"),
        ("12:20", "threaded"),
        ("12:30", "awaited"),
        ("12:40", "threaded"),
        ("12:45", "awaited"),
    ]
    assert {thread for _, _, thread in seen} == {threading.main_thread()}
