"""Incidents: found by rules, told of once over all processes, and once more when they are over."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
import subprocess
import sys
import threading
import types
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from virtual_processes import VirtualProcesses

from task import (
    Changes,
    DeclarationError,
    DeclarationTypeError,
    Incident,
    MemoryStore,
    Run,
    StoreUnavailableError,
    TaskManager,
    cron,
    every,
    incident_opened,
    incident_resolved,
    once,
)
from task.alerts import alerts as alerts_module
from task.alerts import notifying as notifying_module
from task.foresight import forecast
from task.testing import VirtualClock

UTC = datetime.UTC

#: How long what will happen may take. Seconds.
LIMIT = 60.0


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop waits for those who tell as long as a busy machine may take."""
    monkeypatch.setattr(alerts_module, "LONGEST_WAIT", LIMIT)
    monkeypatch.setattr(notifying_module, "CLOSE_TIMEOUT", LIMIT)


class Told:
    """What ``notify=`` was called with: the first lines, and the texts."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.runs: list[Run | None] = []

    def __call__(self, text: str, run: Run | None) -> None:
        self.texts.append(text)
        self.runs.append(run)

    @property
    def lines(self) -> list[str]:
        """What each begins with, and nothing twice."""
        return [text.splitlines()[0] for text in self.texts]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def watched(clock: VirtualClock, told: Told) -> TaskManager:
    """A manager that tells."""
    return TaskManager([], clock=clock, notify=told)


class Body:
    """A body that fails until it is mended."""

    def __init__(self, error: str = "no route to host") -> None:
        self.error: str | None = error

    def __call__(self) -> None:
        if self.error is not None:
            raise ConnectionError(self.error)


# Failing.


def test_three_failures_in_a_row_are_told_of_once_and_the_next_success_once(
    watched: TaskManager, clock: VirtualClock, told: Told
) -> None:
    body = Body()
    watched.add(body, every(1).minutes, name="sync")
    with watched:
        clock.advance(minutes=2, seconds=30)
        assert told.lines == []
        clock.advance(minutes=20)
        assert told.lines == ["Task 'sync' is failing: its last 3 runs failed"]
        body.error = None
        clock.advance(minutes=20)

    assert told.lines[1:] == ["Resolved: task 'sync' is failing no more: a run of it has succeeded"]


def test_a_text_tells_what_since_when_which_run_its_error_and_what_to_do(
    watched: TaskManager, clock: VirtualClock, told: Told
) -> None:
    body = Body("first line\nno \x1b[31mroute")
    watched.add(body, cron("0 13 * * *", tz="UTC"), name="sync")
    with watched:
        clock.advance(hours=1)
        body.error = None
        watched.trigger("sync")
        clock.advance(minutes=1)

    (failed, succeeded) = (run.id for run in told.runs if run is not None)
    assert told.texts == [
        "Task 'sync' is failing: its last run failed\n"
        "Since: 2026-05-04 13:00:00 UTC\n"
        f"Run: {failed} (failed)\n"
        "Error: no \\x1b[31mroute\n"
        "What to do: Read the traceback and the log of its run; run it again when the cause is gone.",
        "Resolved: task 'sync' is failing no more: a run of it has succeeded\n"
        "From 2026-05-04 13:00:00 to 2026-05-04 13:00:10 UTC, 10.0 s\n"
        f"Run: {succeeded}",
    ]


def test_a_task_says_itself_how_many_failures_make_an_incident(
    watched: TaskManager, clock: VirtualClock, told: Told
) -> None:
    watched.add(Body(), every(1).minutes, name="soon", alert_after=1)
    watched.add(Body(), every(1).minutes, name="late", alert_after=5)
    with watched:
        clock.advance(minutes=1)
        assert told.lines == ["Task 'soon' is failing: its last run failed"]
        clock.advance(minutes=4)

    assert told.lines[1:] == ["Task 'late' is failing: its last 5 runs failed"]


def test_a_failure_is_told_of_at_once_and_many_do_not_make_it_look_more_than_once_a_second(
    clock: VirtualClock, told: Told
) -> None:
    manager = TaskManager([], clock=clock, notify=lambda text: told.texts.append(f"{clock.now():%H:%M:%S} {text}"))
    manager.add(Body(), every(0.1).seconds, name="sync")
    with manager:
        clock.advance(seconds=5)

    assert [text[:31] for text in told.texts] == ["12:00:01 Task 'sync' is failing"]


# Overdue.


def test_no_success_within_the_time_expected_is_overdue_until_the_next(
    watched: TaskManager, clock: VirtualClock, told: Told
) -> None:
    body = Body()
    watched.add(body, every(10).minutes, name="report", expect_within=1800, alert_after=100)
    with watched:
        clock.advance(minutes=30)
        assert told.lines == []
        clock.advance(hours=5)
        assert told.lines == [
            "Task 'report' is overdue: no run of it has succeeded for 30 min 10 s, and one is expected within 30 min"
        ]
        body.error = None
        clock.advance(hours=5)

    assert told.lines[1:] == ["Resolved: task 'report' is overdue no more: a run of it has succeeded"]


def test_a_task_that_is_only_triggered_can_be_expected_too(
    watched: TaskManager, clock: VirtualClock, told: Told
) -> None:
    watched.add(lambda: None, name="upload", expect_within=3600)
    with watched:
        clock.advance(minutes=50)
        watched.trigger("upload")
        clock.advance(minutes=59)
        assert told.lines == []
        clock.advance(minutes=2)
        assert len(told.lines) == 1
        watched.trigger("upload")
        clock.advance(minutes=1)

    assert told.lines[1].startswith("Resolved: task 'upload' is overdue no more")


def test_a_run_that_waits_for_a_place_for_too_long_is_overdue(clock: VirtualClock, told: Told) -> None:
    manager = TaskManager([], clock=clock, notify=told)

    async def hang() -> None:
        await asyncio.sleep(600)

    manager.add(hang, every(1).hours, name="hang", mutex="one")
    manager.add(lambda: None, every(1).hours, name="report", mutex="one", overlap="queue")
    with manager:
        clock.advance(hours=1, minutes=1)
        assert told.lines == []
        clock.advance(minutes=2)
        assert told.lines == [
            "Task 'report' is overdue: its slot of 2026-05-04 13:00:00 UTC has not been run: "
            "its run still waits: 'hang' has the mutex 'one'"
        ]
        clock.advance(minutes=10)


@pytest.mark.parametrize("option", [{"expect_within": 60}, {}])
def test_a_task_that_is_switched_off_or_paused_is_not_overdue(
    watched: TaskManager, clock: VirtualClock, told: Told, option: dict[str, Any]
) -> None:
    watched.add(lambda: None, every(30).seconds, name="off", **option)
    watched.add(lambda: None, every(30).seconds, name="paused", **option)
    with watched:
        watched["off"].disable()
        clock.advance(hours=1)
        watched.pause()
        clock.advance(hours=1)
        watched.resume()
        watched["off"].enable()
        clock.advance(hours=1)

    assert told.lines == []


def test_a_slot_that_no_process_takes_is_overdue_for_one_that_leaves_it_to_others(
    processes: VirtualProcesses, clock: VirtualClock, told: Told
) -> None:
    worker, page = processes.make(), processes.make(notify=told, exclude=["report"])
    worker.add("report", every(1).minutes, misfire_grace=5)
    worker.run()
    page.run()
    clock.advance(seconds=65)
    worker.crash()
    clock.advance(seconds=85)
    assert told.lines == []
    clock.advance(seconds=20)
    assert told.lines == [
        "Task 'report' is overdue: its slot of 2026-05-04 12:02:00 UTC has not been run: no process has taken it"
    ]

    again = processes.make()
    again.add("report", every(1).minutes, misfire_grace=5)
    again.run()
    clock.advance(seconds=65)

    assert told.lines[1:] == ["Resolved: task 'report' is overdue no more: a run of it has succeeded"]


def test_what_others_expect_of_a_task_is_known_without_its_code(
    processes: VirtualProcesses, clock: VirtualClock, told: Told
) -> None:
    worker, page = processes.make(), processes.make(notify=told, exclude=["upload"])
    worker.add("upload", every(1).hours, expect_within=90, alert_after=2)
    worker.run()
    page.run()
    clock.advance(seconds=95)
    clock.advance(seconds=10)

    assert told.lines == [
        "Task 'upload' is overdue: no run of it has succeeded for 1 min 40 s, and one is expected within 1 min 30 s"
    ]


def test_a_slot_that_was_missed_is_overdue_until_a_run_succeeds(
    processes: VirtualProcesses, clock: VirtualClock, told: Told
) -> None:
    first = processes.make()
    first.add("report", every(10).minutes, misfire="skip")
    first.run()
    clock.advance(seconds=1)
    first.stop()
    clock.step(minutes=12)
    second = processes.make(notify=told)
    second.add("report", every(10).minutes, misfire="skip")
    second.run()
    clock.advance(seconds=75)
    assert len(told.lines) == 1
    assert told.lines[0].startswith(
        "Task 'report' is overdue: its slot of 2026-05-04 12:10:00 UTC has not been run: it was missed: "
    )
    second.manager.trigger("report")
    clock.advance(seconds=11)

    assert told.lines[1:] == ["Resolved: task 'report' is overdue no more: a run of it has succeeded"]


def test_what_a_changed_schedule_ends_is_not_overdue(
    processes: VirtualProcesses, clock: VirtualClock, told: Told
) -> None:
    first = processes.make()
    first.add("report", every(10).minutes)
    first.run()
    clock.advance(seconds=1)
    first.stop()
    clock.step(minutes=12)
    second = processes.make(notify=told)
    second.add("report", every(20).hours)
    second.run()
    clock.advance(seconds=120)

    assert [(str(run.state), run.reason) for run in second.manager.runs("report")] == [
        ("missed", "its schedule was changed before it ran")
    ]
    assert told.lines == []


def test_a_moment_that_was_past_when_it_was_declared_is_not_overdue(
    watched: TaskManager, clock: VirtualClock, told: Told
) -> None:
    watched.add(lambda: None, once(clock.now() - datetime.timedelta(hours=1)), name="move")
    with watched:
        clock.advance(minutes=5)

    assert [(str(run.state), run.reason) for run in watched.runs("move")] == [
        ("missed", "past when the task was registered")
    ]
    assert told.lines == []


@pytest.mark.parametrize("night", ["2026-03-28", "2026-10-24"])
def test_the_nights_of_daylight_saving_make_nothing_overdue(told: Told, night: str) -> None:
    clock = VirtualClock(datetime.datetime.fromisoformat(f"{night}T20:00:00+00:00"))
    manager = TaskManager([], clock=clock, notify=told)
    for words in ("30 2 * * *", "*/20 * * * *", "0 3 * * *"):
        manager.add(lambda: None, cron(words, tz="Europe/Amsterdam"), name=words)
    manager.add(lambda: None, every().day.at("02:30", "Europe/Amsterdam"), name="daily", expect_within=90_000)
    with manager:
        clock.advance(hours=30)

    assert told.lines == []


@pytest.mark.parametrize("jump", [{"hours": 8}, {"hours": -1}, {"days": 30}, {"days": -3}])
def test_neither_a_machine_that_slept_nor_a_clock_that_was_set_makes_a_task_overdue(
    watched: TaskManager, clock: VirtualClock, told: Told, jump: dict[str, float]
) -> None:
    watched.add(lambda: None, every(10).seconds, name="often", expect_within=300)
    watched.add(lambda: None, cron("*/5 * * * *", tz="UTC"), name="at times")
    with watched:
        clock.advance(minutes=10)
        clock.step(**jump)
        clock.advance(minutes=10)

    assert told.lines == []


def test_a_switch_that_is_turned_off_ends_what_is_overdue(
    watched: TaskManager, clock: VirtualClock, told: Told
) -> None:
    watched.add(lambda: None, name="upload", expect_within=60)
    with watched:
        clock.advance(minutes=2)
        watched["upload"].disable("not this week")
        clock.advance(minutes=2)

    assert told.lines[1:] == ["Resolved: task 'upload' is overdue no more: it was switched off"]


# Overrunning.


@pytest.mark.parametrize(("samples", "line"), [(5, "overrunning"), (4, None)])
def test_a_run_that_takes_far_longer_than_usual_is_told_of_while_it_runs(
    watched: TaskManager, clock: VirtualClock, told: Told, samples: int, line: str | None
) -> None:
    async def copy(seconds: float = 20.0) -> None:
        await asyncio.sleep(seconds)

    watched.add(copy, name="copy")
    with watched:
        for _ in range(samples):
            watched.trigger("copy")
            clock.advance(seconds=30)
        watched.trigger("copy", seconds=200)
        clock.advance(seconds=75)
        assert told.lines == []
        clock.advance(seconds=125)
        clock.advance(seconds=30)

    resolved = "Resolved: task 'copy' is overrunning no more: its run has ended"
    shown = [text.split(", and")[0] for text in told.lines]
    assert shown == ([] if line is None else ["Task 'copy' is overrunning: its run has taken 1 min 30 s", resolved])


def test_of_a_task_with_a_first_run_that_hangs_the_next_slots_tell(
    watched: TaskManager, clock: VirtualClock, told: Told
) -> None:
    async def hang() -> None:
        await asyncio.sleep(100_000)

    watched.add(hang, every(10).minutes, name="hang")
    with watched:
        clock.advance(minutes=21)
        assert told.lines == []
        clock.advance(minutes=1)

    assert told.lines == [
        "Task 'hang' is overdue: its slot of 2026-05-04 12:20:00 UTC has not been run: the run before it still goes on"
    ]


# Lost.


def test_a_run_whose_process_died_is_told_of_by_another_one(
    processes: VirtualProcesses, clock: VirtualClock, told: Told
) -> None:
    dying, other = (processes.make(notify=told, lost_after=5) for _ in range(2))
    dying.add("copy", every(60).seconds, seconds=30)
    dying.run()
    clock.advance(seconds=61)
    dying.crash()
    other.add("copy", every(60).seconds, seconds=0)
    other.run()
    clock.advance(seconds=30)
    assert [line[:34] for line in told.lines] == ["Task 'copy' is lost: its run was l"]
    clock.advance(seconds=45)

    assert told.lines[1:] == ["Resolved: task 'copy' is lost no more: a run of it has succeeded"]


# Once.


@pytest.mark.parametrize("processes", ["sqlite", "postgresql"], indirect=True)
def test_of_two_processes_one_tells_and_neither_again_after_a_restart(
    processes: VirtualProcesses, clock: VirtualClock, told: Told
) -> None:
    both = [processes.make(notify=told) for _ in range(2)]
    for process in both:
        process.add("sync", every(2).seconds, fails=100)
        process.run()
    clock.advance(seconds=20)
    assert told.lines == ["Task 'sync' is failing: its last 3 runs failed"]
    for process in both:
        process.stop()
    clock.advance(seconds=2)
    again = processes.make(notify=told)
    again.add("sync", every(2).seconds, fails=100)
    again.run()
    clock.advance(seconds=20)
    assert len(told.lines) == 1
    again.stop()
    mended = processes.make(notify=told)
    mended.add("sync", every(2).seconds)
    mended.run()
    clock.advance(seconds=20)

    assert told.lines[1:] == ["Resolved: task 'sync' is failing no more: a run of it has succeeded"]


def test_what_fails_again_after_a_success_is_another_incident(
    watched: TaskManager, clock: VirtualClock, told: Told
) -> None:
    body = Body()
    watched.add(body, every(1).minutes, name="sync")
    with watched:
        for error in ("down", None, "down", None):
            body.error = error
            clock.advance(minutes=5)

    assert [line.split(":")[0] for line in told.lines] == ["Task 'sync' is failing", "Resolved"] * 2
    assert [(incident.kind, incident.open) for incident in watched.incidents("sync")] == [("failing", False)] * 2


class Uncertain(MemoryStore):
    """It does what it is asked, and says at first that it could not."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = {"open": False, "end": False}

    def open_incidents(self, found: Sequence[Incident]) -> list[Incident]:
        return self._answer("open", super().open_incidents(found))

    def end_incidents(self, over: Sequence[Incident]) -> list[Incident]:
        return self._answer("end", super().end_incidents(over))

    def _answer(self, what: str, done: list[Incident]) -> list[Incident]:
        if done and not self.answers[what]:
            self.answers[what] = True
            raise StoreUnavailableError("the connection was lost")
        return done


def test_an_answer_of_the_store_that_is_lost_loses_no_message(clock: VirtualClock, told: Told) -> None:
    manager = TaskManager([], clock=clock, notify=told, store=Uncertain())
    body = Body()
    manager.add(body, every(1).minutes, name="sync")
    with manager:
        clock.advance(minutes=5)
        assert told.lines == ["Task 'sync' is failing: its last 3 runs failed"]
        body.error = None
        clock.advance(minutes=5)

    assert told.lines[1:] == ["Resolved: task 'sync' is failing no more: a run of it has succeeded"]


def test_while_the_store_is_away_nothing_is_told_and_after_it_what_is_so(clock: VirtualClock, told: Told) -> None:
    class Away(MemoryStore):
        away = False

        def changes(self, position: str | None, limit: int) -> Changes:
            if self.away:
                raise StoreUnavailableError("away")
            return super().changes(position, limit)

    store = Away()
    manager = TaskManager([], clock=clock, notify=told, store=store)
    manager.add(Body(), every(1).minutes, name="sync")
    manager.add(lambda: None, name="upload", expect_within=120)
    with manager:
        store.away = True
        clock.advance(minutes=10)
        assert told.lines == []
        store.away = False
        clock.advance(seconds=15)
        assert told.lines == ["Task 'sync' is failing: its last 10 runs failed"]
        clock.advance(seconds=60)

    assert [line.split(":")[0] for line in told.lines[1:]] == ["Task 'upload' is overdue"]


def test_the_incident_of_a_task_that_is_removed_is_over(watched: TaskManager, clock: VirtualClock, told: Told) -> None:
    watched.add(Body(), every(1).minutes, name="sync")
    with watched:
        clock.advance(minutes=4)
        watched.remove("sync")
        clock.advance(seconds=11)

    assert told.lines[1:] == ["Resolved: task 'sync' is failing no more: the task was removed"]


# Who is told.


def test_signals_carry_the_incident_and_the_run(clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock)
    body = Body()
    manager.add(body, every(1).hours, name="sync")
    heard: list[tuple[str, str, bool, str]] = []

    def hear(sender: TaskManager, incident: Incident, run: Run) -> None:
        heard.append((incident.task, incident.kind, incident.open, str(run.state)))

    with incident_opened.connected_to(hear, manager), incident_resolved.connected_to(hear, manager), manager:
        clock.advance(hours=1)
        body.error = None
        clock.advance(hours=2)

    assert heard == [("sync", "failing", True, "failed"), ("sync", "failing", False, "succeeded")]


def test_a_task_has_somebody_of_its_own_who_is_told(watched: TaskManager, clock: VirtualClock, told: Told) -> None:
    own: list[str] = []
    watched.add(Body(), every(1).hours, name="sync", notify=own.append)
    with watched:
        clock.advance(hours=2)

    assert ([text.splitlines()[0] for text in own], told.lines) == (["Task 'sync' is failing: its last run failed"], [])


def test_nothing_is_read_where_nobody_wants_to_hear(clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock)
    manager.add(Body(), every(1).hours, name="sync")
    with manager:
        clock.advance(hours=2)

    assert manager.incidents() == []


@pytest.mark.parametrize("answer", [ValueError("no mail today"), SystemExit(), False, "coroutine"])
def test_what_cannot_be_told_is_tried_twice_more_and_then_logged(
    clock: VirtualClock, answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[str] = []

    def notify(text: str) -> object:
        tried.append(f"{clock.now():%H:%M:%S}")
        if isinstance(answer, BaseException):
            raise answer
        return _later(text) if answer == "coroutine" else answer

    manager = TaskManager([], clock=clock, notify=notify)
    manager.add(Body(), every(1).hours, name="sync")
    with manager:
        clock.advance(hours=1, minutes=30)

    assert tried == ["13:00:00", "13:00:05", "13:01:05"]
    assert "notify= failed for the last time" in caplog.text
    assert "it was not told: Task 'sync' is failing" in caplog.text


@pytest.mark.usefixtures("patient")
def test_who_is_told_and_blocks_delays_nobody(wait_for: Callable[[Callable[[], bool]], None]) -> None:
    entered, goes_on = threading.Event(), threading.Event()
    ran: list[int] = []

    def notify(text: str) -> None:
        entered.set()
        goes_on.wait(LIMIT)

    manager = TaskManager([], notify=notify)
    manager.add(Body(), name="sync")
    manager.add(lambda: ran.append(1), every(0.05).seconds, name="other")
    with manager:
        manager.trigger("sync")
        assert entered.wait(LIMIT)
        before = len(ran)
        wait_for(lambda: len(ran) > before + 3)
        wait_for(lambda: bool(manager.health))
        goes_on.set()

    assert not any(thread.name == "task-notify" for thread in threading.enumerate())


@pytest.mark.usefixtures("patient")
def test_a_failure_just_before_the_stop_is_told() -> None:
    told: list[str] = []
    manager = TaskManager([], notify=told.append)
    manager.add(Body(), name="sync")
    with manager, contextlib.suppress(ConnectionError):
        manager.trigger("sync").result(timeout=LIMIT)

    assert [text.splitlines()[0] for text in told] == ["Task 'sync' is failing: its last run failed"]


def test_what_is_told_just_before_the_stop_is_told_however_late_its_thread_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Late(threading.Thread):
        """It begins when it is waited for."""

        def run(self) -> None:
            assert awaited.wait(LIMIT)
            super().run()

        def join(self, timeout: float | None = None) -> None:
            awaited.set()
            super().join(timeout)

    awaited, told = threading.Event(), list[str]()
    instead = types.SimpleNamespace(**{**vars(threading), "Thread": Late})
    monkeypatch.setattr(notifying_module, "threading", instead)
    manager = TaskManager([], notify=told.append)
    manager.add(Body(), name="sync")
    with manager, contextlib.suppress(ConnectionError):
        manager.trigger("sync").result(timeout=LIMIT)

    assert [text.splitlines()[0] for text in told] == ["Task 'sync' is failing: its last run failed"]


async def _later(text: str) -> None: ...


@pytest.mark.parametrize(
    ("notify", "error", "said"),
    [
        ("print", DeclarationTypeError, "notify is a function that takes a text, not 'print'."),
        (_later, DeclarationError, "notify is an async def"),
        (lambda: None, DeclarationTypeError, "It takes the text, or the text and the run."),
        (lambda text, run, more: None, DeclarationTypeError, "It takes the text, or the text and the run."),
    ],
)
def test_what_cannot_be_told_anything_is_refused(notify: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match="TaskManager: ") as refused:
        TaskManager([], notify=notify)
    assert said in str(refused.value)
    with pytest.raises(error, match="Task 'sync': "):
        TaskManager([]).add(lambda: None, name="sync", notify=notify)


def test_a_secret_of_a_run_is_in_no_message(watched: TaskManager, clock: VirtualClock, told: Told) -> None:
    def sync(token: str) -> None:
        raise ConnectionError(f"refused with {token}")

    watched.add(sync, every(1).hours, name="sync", parameters={"token": "s3cret-canary"}, redact=["token"])
    with watched:
        clock.advance(hours=1)

    assert "canary" not in "".join(told.texts)
    assert "Error: ConnectionError: refused with ***" in told.texts[0]


def test_a_forecast_tells_nobody(watched: TaskManager, clock: VirtualClock, told: Told) -> None:
    watched.add(Body(), every(1).hours, name="sync", alert_after=1, expect_within=60, notify=told)

    forecast(watched, clock.now() + datetime.timedelta(days=1), failure_rates={"sync": 1.0})

    assert told.lines == []


def test_a_body_that_goes_on_past_its_timeout_is_told_of_until_it_ends(
    wait_for: Callable[[Callable[[], bool]], None],
) -> None:
    goes_on, told = threading.Event(), Told()
    manager = TaskManager([], notify=told)
    manager.add(lambda: goes_on.wait(2 * LIMIT), name="copy", timeout=0.05, threaded=True, alert_after=9)
    with manager:
        run = manager.trigger("copy")
        wait_for(lambda: len(told.lines) == 1)
        goes_on.set()
        wait_for(lambda: not run.overrunning)
        manager._alerts.nudge()
        wait_for(lambda: len(told.lines) == 2)

    assert told.lines[0].startswith("Task 'copy' is overrunning: its body goes on past its timeout")
    assert "run.check_cancelled(), or run it in a process: executor='process'." in told.texts[0]
    assert told.lines[1] == "Resolved: task 'copy' is overrunning no more: its run has ended"


def test_a_twin_tells_the_same_people(watched: TaskManager, told: Told) -> None:
    watched.add(lambda: None, name="sync")

    assert watched.embedding.twin()._alerts.options == {"notify": told}


def test_a_manager_that_has_ended_is_let_go_of(wait_for: Callable[[Callable[[], bool]], None]) -> None:
    manager = TaskManager([], notify=print, heartbeat=lambda: None)
    kept = manager.add(lambda: None, name="sync")
    with manager:
        pass
    gone = weakref.ref(manager)
    del manager

    def is_gone() -> bool:  # a thread that is about to end may have it for a moment yet
        gc.collect()
        return gone() is None

    wait_for(is_gone)
    assert kept.name == "sync"


FORKS = """
import os, sys, threading, time
from task import TaskManager
from task.alerts import alerts

alerts.INTERVAL = 600.0  # the parent does not look at what fails in the child, while that is about to tell of it
told = threading.Event()
beats, limit = [], time.monotonic() + 60

def tell(text):
    print("child" if os.getpid() != parent else "parent", text.splitlines()[0], flush=True)
    told.set()

def fail():
    raise ConnectionError("down")

parent = os.getpid()
manager = TaskManager([], store=sys.argv[1], notify=tell, heartbeat=lambda: beats.append(os.getpid()))
manager.add(fail, name="sync")
manager.restart_after_fork = True
manager.run()
assert manager.trigger("sync").wait(60)
assert told.wait(60)
told.clear()
child = os.fork()
if child == 0:
    while manager.state != "running" and time.monotonic() < limit:
        time.sleep(0.01)
    manager.add(fail, name="copy")
    assert manager.trigger("copy").wait(60)
    assert told.wait(60)
    while os.getpid() not in beats and time.monotonic() < limit:  # from a thread of its own
        time.sleep(0.01)
    assert os.getpid() in beats
    manager.stop()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
manager.stop()
while threading.active_count() > 1 and time.monotonic() < limit:  # those that a stop has not waited for
    time.sleep(0.01)
print([thread.name for thread in threading.enumerate()])
"""


def test_a_forked_child_tells_and_beats_for_itself(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FORKS, f"sqlite:///{tmp_path / 'tasks.db'}"],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=Path(__file__).parents[2],
    )

    assert ended.stdout.splitlines() == [
        "parent Task 'sync' is failing: its last run failed",
        "child Task 'copy' is failing: its last run failed",
        "['MainThread']",
    ], ended.stderr
