"""Chains: tasks that start when others have ended."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from task import DeclarationError, DeclarationTypeError, ParentResults, TaskManager, current_run, every
from task.testing import VirtualClock

#: So long is waited for what another thread does, on a machine that lets it wait. Seconds.
LIMIT = 60.0


def test_a_task_starts_after_another_has_succeeded_and_gets_what_it_returned(
    manager: TaskManager, clock: VirtualClock
) -> None:
    seen: list[Any] = []

    def load(results: ParentResults) -> int:
        seen.append((current_run().trigger, dict(results)))
        return len(results["extract"])

    manager.add(lambda: ["a", "b"], every(10).minutes, name="extract")
    manager.add(load, name="load", after="extract")
    manager.add(lambda results: seen.append(results), name="report", after=["load"], parameters={"results": "given"})
    with manager:
        clock.advance(minutes=11)
        (extract,), (child,), (report,) = (manager.runs(name) for name in ("extract", "load", "report"))
        assert seen == [("chain", {"extract": ["a", "b"]}), "given"]
        assert (child.parent_id, report.parent_id) == (extract.id, child.id)
        assert (child.state, child.trigger, child.slot) == ("succeeded", "chain", None)


def test_it_waits_for_all_of_them_and_starts_once(manager: TaskManager, clock: VirtualClock) -> None:
    results: list[dict[str, Any]] = []

    def join(results_of: ParentResults) -> None:
        results.append(dict(results_of))

    first = manager.add(lambda: 1, every(10).minutes, name="first")
    manager.add(lambda: 2, every(30).minutes, name="second")
    manager.add(join, name="join", after=[first, "second"])
    with manager:
        clock.advance(minutes=29)
        assert results == []
        clock.advance(minutes=31)
        assert results == [{"first": 1, "second": 2}] * 2


def test_when_failed_and_when_always(manager: TaskManager, clock: VirtualClock) -> None:
    ran: list[str] = []
    manager.add(lambda: 1 / 0, every(10).minutes, name="bad")
    manager.add(lambda: None, every(10).minutes, name="good")
    for name in ("bad", "good"):
        manager.add(lambda name=name: ran.append(f"repair {name}"), name=f"repair {name}", after=name, when="failed")
        manager.add(lambda name=name: ran.append(f"tidy {name}"), name=f"tidy {name}", after=name, when="always")
        manager.add(lambda name=name: ran.append(f"use {name}"), name=f"use {name}", after=name)
    with manager:
        clock.advance(minutes=11)
    assert sorted(ran) == ["repair bad", "tidy bad", "tidy good", "use good"]


def test_a_run_by_hand_or_by_call_is_followed_too(manager: TaskManager, clock: VirtualClock) -> None:
    ran: list[int] = []
    parent = manager.add(lambda: 1, name="parent")
    manager.add(lambda: ran.append(1), name="child", after=parent)
    with manager:
        parent.trigger()
        clock.advance(seconds=1)
        parent()
        clock.advance(seconds=1)
    assert ran == [1, 1]


def test_a_run_with_retries_is_followed_when_it_has_ended(manager: TaskManager, clock: VirtualClock) -> None:
    times: list[float] = []
    failures = [1, 1]

    def flaky() -> None:
        if failures:
            failures.pop()
            raise ValueError("no")

    parent = manager.add(flaky, name="parent", retry=3)
    manager.add(lambda: times.append(clock.monotonic()), name="child", after=parent, when="always")
    with manager:
        parent.trigger()
        clock.advance(seconds=30)
    assert times == [3.0]


def test_always_is_also_when_a_run_is_cancelled_between_its_attempts(manager: TaskManager, clock: VirtualClock) -> None:
    ran: list[int] = []
    parent = manager.add(lambda: 1 / 0, name="parent", retry=3)
    manager.add(lambda: ran.append(1), name="child", after=parent, when="always")
    with manager:
        parent.trigger().cancel()
        clock.advance(seconds=1)
    assert ran == [1]


def test_a_disabled_child_is_skipped_with_the_reason(manager: TaskManager, clock: VirtualClock) -> None:
    parent = manager.add(lambda: 1, name="parent")
    child = manager.add(lambda: None, name="child", after=parent)
    child.disable()
    with manager:
        parent.trigger()
        clock.advance(seconds=1)
        (run,) = manager.runs("child")
        assert (run.state, run.reason, run.trigger) == ("skipped", "disabled", "chain")


def test_a_child_that_is_full_follows_its_overlap(manager: TaskManager) -> None:
    real, gate = TaskManager([]), threading.Event()
    parent = real.add(lambda: 1, name="parent", threaded=True, overlap="queue")
    real.add(lambda: gate.wait(LIMIT), name="child", threaded=True, after=parent, overlap="queue")
    with real:
        for _ in range(3):
            assert parent.trigger().result(LIMIT) == 1
        states = [str(run.state) for run in reversed(real.runs("child"))]
        gate.set()
        assert states[1:] == ["queued", "skipped"]
        assert all(run.wait(LIMIT) for run in real.runs("child"))


def test_circles_are_refused_and_named(manager: TaskManager) -> None:
    manager.add(lambda: None, name="a", after="c")
    manager.add(lambda: None, name="b", after="a")
    with pytest.raises(DeclarationError, match="'c' would come after itself: 'c' after 'b' after 'a' after 'c'"):
        manager.add(lambda: None, name="c", after="b")
    with pytest.raises(DeclarationError, match="cannot come after itself"):
        manager.add(lambda: None, name="d", after="d")


def test_a_parent_that_there_is_not_is_refused_at_the_start(manager: TaskManager) -> None:
    manager.add(lambda: None, name="extract")
    manager.add(lambda: None, name="load", after="extrat")
    with pytest.raises(DeclarationError, match=r"comes after 'extrat', which there is not. Did you mean 'extract'"):
        manager.run()
    assert manager.state == "stopped"
    manager.remove("load")
    with manager, pytest.raises(DeclarationError, match="which there is not"):
        manager.add(lambda: None, name="load", after="extrat")


def test_a_removed_child_is_not_started(manager: TaskManager, clock: VirtualClock) -> None:
    ran: list[int] = []
    parent = manager.add(lambda: 1, name="parent")
    manager.add(lambda: ran.append(1), name="child", after=parent)
    with manager:
        manager.remove("child")
        parent.trigger()
        clock.advance(seconds=1)
    assert ran == []


@pytest.mark.parametrize("after", [3, [], [None], b"x"])
def test_what_is_no_task_is_refused(manager: TaskManager, after: Any) -> None:
    with pytest.raises(DeclarationTypeError, match="after is a task or its name"):
        manager.add(lambda: None, name="child", after=after)


def test_when_needs_after(manager: TaskManager) -> None:
    with pytest.raises(DeclarationError, match="needs after="):
        manager.add(lambda: None, name="child", when="failed")
