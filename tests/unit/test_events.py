"""Signals: a receiver that raises or blocks harms nobody."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

import blinker
import pytest

import task.events
from task.events import Announcer

#: So long is waited for what another thread does, on a machine that lets it wait. Seconds.
LIMIT = 60.0


def test_a_receiver_gets_the_sender_and_the_payload(wait_for: Callable[[Callable[[], bool]], None]) -> None:
    signal, heard = blinker.Signal(), []
    signal.connect(lambda sender, number: heard.append((sender, number)), weak=False)
    announcer = Announcer()
    announcer.announce(signal, "sender", number=1)
    wait_for(lambda: heard == [("sender", 1)])
    announcer.close()


def test_nothing_is_started_for_a_signal_that_nobody_hears() -> None:
    before = set(threading.enumerate())
    Announcer().announce(blinker.Signal(), "sender")
    assert not [one for one in threading.enumerate() if one not in before and one.name == "task-events"]


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
        leave.wait(LIMIT)

    signal.connect(blocks)
    announcer = Announcer()
    announcer.announce(signal, "sender")
    assert entered.wait(LIMIT)
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
            leave.wait(LIMIT)
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
    assert entered.wait(LIMIT)
    closing = threading.Thread(target=close)
    closing.start()
    closing.join(0.1)  # it may end before the start does; then there was nothing to close, or it has failed
    leave.set()
    posting.join(LIMIT)
    closing.join(LIMIT)
    announcer.close()
    assert problems == []


def test_a_signal_is_sent_that_is_posted_as_its_announcer_is_closed(
    wait_for: Callable[[Callable[[], bool]], None],
) -> None:
    announcer, made = Announcer(), list[str]()
    announcer.post(lambda: made.append("first"))
    sender = announcer._sender
    assert sender is not None
    closing = threading.Thread(target=announcer.close)

    class ClosedMeanwhile(type(sender.queue)):  # type: ignore[misc]  # a class is a class
        def put_nowait(self, call: Callable[[], None] | None) -> None:
            if call is not None:
                closing.start()
                closing.join(0.5)  # the announcer is closed here, if it can be
            super().put_nowait(call)

    sender.queue.__class__ = ClosedMeanwhile
    announcer.post(lambda: made.append("second"))
    closing.join(LIMIT)

    wait_for(lambda: made == ["first", "second"])
    announcer.close()


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

    def none_is_left() -> bool:
        gc.collect()  # each time: the thread itself has the manager until it is back from the receiver
        return not [one for one in threading.enumerate() if one not in before and one.name == "task-events"]

    wait_for(none_is_left)
