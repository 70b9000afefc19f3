"""Signals: a receiver that raises or blocks harms nobody."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

import blinker
import pytest

import task.events
from task.events import Announcer


def test_a_receiver_gets_the_sender_and_the_payload(wait_for: Callable[[Callable[[], bool]], None]) -> None:
    signal, heard = blinker.Signal(), []
    signal.connect(lambda sender, number: heard.append((sender, number)), weak=False)
    announcer = Announcer()
    announcer.announce(signal, "sender", number=1)
    wait_for(lambda: heard == [("sender", 1)])
    announcer.close()


def test_nothing_is_started_for_a_signal_that_nobody_hears() -> None:
    before = threading.active_count()
    Announcer().announce(blinker.Signal(), "sender")
    assert threading.active_count() == before


def test_a_receiver_that_raises_is_logged_and_the_others_hear(
    wait_for: Callable[[Callable[[], bool]], None], caplog: pytest.LogCaptureFixture
) -> None:
    signal, heard = blinker.Signal(), []

    def fails(sender: object) -> None:
        raise SystemExit

    signal.connect(fails)
    signal.connect(lambda sender: heard.append(1), weak=False)
    announcer = Announcer()
    announcer.announce(signal, "sender")
    announcer.announce(signal, "sender")
    wait_for(lambda: len(heard) == 2)
    announcer.close()
    assert "raised; nothing else is affected" in caplog.text


def test_a_receiver_that_blocks_never_blocks_the_sender_and_drops_are_counted() -> None:
    signal, leave, entered = blinker.Signal(), threading.Event(), threading.Event()

    def blocks(sender: object) -> None:
        entered.set()
        leave.wait(10)

    signal.connect(blocks)
    announcer = Announcer()
    announcer.announce(signal, "sender")
    entered.wait(5)
    for _ in range(Announcer.LIMIT + 7):
        announcer.announce(signal, "sender")
    assert announcer.dropped == 7
    leave.set()
    announcer.close()


def test_an_announcer_can_be_closed_while_its_thread_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    entered, leave = threading.Event(), threading.Event()

    class SlowToStart(task.events._Sender):
        def start(self) -> None:
            entered.set()
            leave.wait(10)
            super().start()

    monkeypatch.setattr(task.events, "_Sender", SlowToStart)
    announcer, problems = Announcer(), []

    def close() -> None:
        try:
            announcer.close()
        except RuntimeError as error:
            problems.append(error)

    posting = threading.Thread(target=announcer.post, args=(lambda: None,))
    posting.start()
    entered.wait(5)
    closing = threading.Thread(target=close)
    closing.start()
    closing.join(0.1)  # it may end before the start does; then there was nothing to close, or it has failed
    leave.set()
    posting.join(5)
    closing.join(5)
    announcer.close()
    assert problems == []


@pytest.mark.parametrize("stopped", [True, False], ids=["stopped", "dropped"])
def test_a_manager_that_never_ran_leaves_no_thread_of_its_signals(
    stopped: bool, wait_for: Callable[[Callable[[], bool]], None]
) -> None:
    before, heard = set(threading.enumerate()), list[str]()

    def hear(sender: object, name: str, note: str | None) -> None:
        heard.append(name)

    task.task_disabled.connect(hear)
    manager = task.TaskManager([])
    sample = manager.add(lambda: None, name="sample")
    sample.disable()
    wait_for(lambda: heard == ["sample"])
    if stopped:
        manager.stop()
    del manager, sample
    gc.collect()

    wait_for(lambda: not [one for one in threading.enumerate() if one not in before and one.name == "task-events"])
