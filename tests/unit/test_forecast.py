"""What a forecast tells, and that it touches nothing."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import logging
import random
import signal
import threading

import pytest
import tenacity

from task import TaskManager, cron, every, incident_opened, once, run_failed, run_skipped
from task.errors import ParameterError, UnknownTaskError
from task.foresight import Collision, Forecast, TaskForecast, forecast
from task.foresight.tallies import Figures
from task.testing import VirtualClock

UTC = datetime.UTC
MONDAY = datetime.datetime(2026, 5, 4, tzinfo=UTC)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(MONDAY)


@pytest.fixture
def manager(clock: VirtualClock) -> TaskManager:
    return TaskManager([], clock=clock, max_workers=2)


def ahead(**duration: float) -> datetime.datetime:
    return MONDAY + datetime.timedelta(**duration)


def of(found: Forecast, name: str) -> TaskForecast:
    return next(task for task in found.tasks if task.task == name)


def nothing() -> None:
    raise AssertionError("a forecast runs no body")


def test_a_day_of_a_task_that_outlasts_its_interval(manager: TaskManager) -> None:
    manager.add(nothing, every(10).minutes, name="report")

    found = forecast(manager, ahead(hours=24), durations={"report": 900.0})

    report = of(found, "report")
    assert report.slots == 144
    assert report.states == {"running": 1, "skipped": 72, "succeeded": 71}
    assert report.skips == {"already running": 72}
    assert report.busy == 71 * 900.0 + 600.0
    assert [hour.starts for hour in found.hours] == [3] * 24


def test_serial_bodies_wait_for_each_other(manager: TaskManager) -> None:
    manager.add(nothing, every(60).seconds, name="first")
    manager.add(nothing, every(60).seconds, name="second")

    found = forecast(manager, ahead(seconds=90), durations={"first": 10.0, "second": 5.0})

    assert of(found, "first").max_lateness == 0.0
    assert of(found, "second").max_lateness == 10.0
    assert of(found, "second").waited == 1
    assert of(found, "second").delays == {"serial worker busy with 'first'": 10.0}
    assert found.places[0].place == "serial worker"
    assert found.places[0].most_waiting == 1
    assert found.places[0].saturation == 15.0 / 90.0


def test_nothing_of_the_users_code_is_called(manager: TaskManager, caplog: pytest.LogCaptureFixture) -> None:
    def called(*_: object, **__: object) -> None:
        raise AssertionError("a forecast calls nobody")

    manager.add(
        nothing,
        every(1).minutes,
        name="report",
        on_complete=called,
        on_failed=called,
        only_if=lambda: called(),
        notify=called,
        alert_after=2,
        expect_within=120,
    )

    signals = run_failed.connected_to(called), run_skipped.connected_to(called), incident_opened.connected_to(called)
    with caplog.at_level(logging.DEBUG), signals[0], signals[1], signals[2]:
        found = forecast(manager, ahead(hours=1), durations={"report": 90.0}, failure_rates={"report": 1.0})

    assert of(found, "report").states == {"failed": 29, "running": 1, "skipped": 30}
    assert found.assumed == ("'report': its condition <lambda> is not asked; it is taken to accept every slot",)
    assert caplog.records == []


def test_the_manager_is_left_as_it_is(manager: TaskManager) -> None:
    report = manager.add(nothing, every(1).minutes, name="report")

    forecast(manager, ahead(hours=1))

    assert manager.state == "stopped"
    assert manager.runs() == []
    assert manager.store.mark("report") is None
    assert report.owner() is manager


def test_what_is_measured_is_what_comes(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: clock.sleep(20), every(1).minutes, name="report")
    with manager:
        clock.advance(hours=1)

    found = forecast(manager, clock.now() + datetime.timedelta(hours=1))

    report = of(found, "report")
    assert (report.duration, report.failure_rate, report.sample) == (20.0, 0.0, 60)
    assert report.busy == 60 * 20.0


def test_the_same_seed_gives_the_same_forecast_and_another_one_another(manager: TaskManager) -> None:
    manager.add(nothing, every(1).minutes, name="report", retry=2)
    given = {"durations": {"report": (20.0, 90.0)}, "failure_rates": {"report": 0.3}}

    first, second, third = (forecast(manager, ahead(hours=6), seed, **given) for seed in (1, 1, 2))

    assert first == second
    assert first.tasks != third.tasks


def test_a_disabled_task_and_one_that_is_only_triggered_never_run(manager: TaskManager) -> None:
    manager.add(nothing, every(1).hours, name="disabled", disabled=True)
    manager.add(nothing, name="by hand")
    manager.add(nothing, cron("0 0 1 1 *", tz="UTC"), name="yearly")
    manager.add(nothing, once(MONDAY - datetime.timedelta(days=1)), name="past")

    found = forecast(manager, ahead(days=1))

    assert {task.task: task.never for task in found.tasks} == {
        "disabled": "all of its slots are refused: disabled",
        "by hand": "it has no schedule: it runs when somebody triggers it",
        "yearly": "its next slot is later: 2027-01-01 00:00:00+00:00",
        "past": "its one moment was past when its manager started",
    }


def test_a_schedule_whose_end_has_passed_never_fires_again() -> None:
    clock = VirtualClock(datetime.datetime(2100, 5, 4, tzinfo=UTC))  # schedule refuses an end that is past by now
    manager = TaskManager([], clock=clock)
    end = (clock.now() + datetime.timedelta(seconds=90)).astimezone().replace(tzinfo=None)
    manager.add(lambda: None, every(1).minutes.until(end), name="until then")
    manager.add(lambda: None, every(1).minutes, name="twice", max_runs=2)
    with manager:
        clock.advance(minutes=3)
        found = forecast(manager, clock.now() + datetime.timedelta(hours=1))

    assert of(found, "until then").never == "no slot of 'Every 1 minute' comes any more"
    assert of(found, "twice").never == "its schedule has ended"


OCTOBER, MARCH = datetime.datetime(2026, 10, 20, tzinfo=UTC), datetime.datetime(2026, 3, 25, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "start", "nights"),
    [
        (every().day.at("02:30", "Europe/Amsterdam"), OCTOBER, [("repeated", "Sun 25 Oct 2026 02:30 CEST")]),
        (cron("30 2 * * *", tz="Europe/Amsterdam"), OCTOBER, [("repeated", "Sun 25 Oct 2026 02:30 CEST")]),
        (every().day.at("02:30", "Europe/Amsterdam"), MARCH, [("gap", "Sun 29 Mar 2026 03:00 CEST")]),
        (cron("30 2 * * *", tz="Europe/Amsterdam"), MARCH, [("gap", "Sun 29 Mar 2026 03:00 CEST")]),
        (every().day.at("03:00", "Europe/Amsterdam"), MARCH, []),
        (every().day.at("01:30", "Europe/Amsterdam"), OCTOBER, []),
        (cron("30 * * * *", tz="Europe/Amsterdam"), OCTOBER, []),
        (every(1).hours, OCTOBER, []),
    ],
)
def test_the_nights_in_which_the_clock_changes_are_marked(
    schedule: object, start: datetime.datetime, nights: list[tuple[str, str]]
) -> None:
    clock = VirtualClock(start)
    manager = TaskManager([], clock=clock)
    manager.add(nothing, schedule, name="report")  # type: ignore[arg-type]  # of one kind or another

    found = forecast(manager, clock.now() + datetime.timedelta(days=10))

    assert [(night.clock_change, night.local) for night in of(found, "report").nights] == nights


@pytest.mark.parametrize(
    ("until", "said"),
    [
        (MONDAY, "is past"),
        (datetime.datetime(2026, 5, 5), "is not a moment with a time zone"),
        (MONDAY + datetime.timedelta(days=367), "366 days ahead at most"),
    ],
)
def test_an_end_that_cannot_be_is_refused(manager: TaskManager, until: datetime.datetime, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        forecast(manager, until)


def test_a_forecast_that_would_take_hours_is_refused(manager: TaskManager) -> None:
    manager.add(nothing, every(0.01).seconds, name="sample")

    with pytest.raises(ParameterError, match="About 60,480,000 slots"):
        forecast(manager, ahead(days=7))


def test_a_duration_of_no_task_is_refused(manager: TaskManager) -> None:
    manager.add(nothing, every(1).minutes, name="report")

    with pytest.raises(UnknownTaskError, match="Did you mean 'report'"):
        forecast(manager, ahead(hours=1), durations={"reprot": 1.0})


def test_a_strategy_of_tenacity_waits_as_it_does_and_calls_nobody(manager: TaskManager) -> None:
    def called(_: object) -> None:
        raise AssertionError("a forecast calls nobody")

    strategy = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(3),
        wait=tenacity.wait_fixed(7),
        retry=tenacity.retry_if_exception_type(ConnectionError),
        before_sleep=called,
        after=called,
    )
    manager.add(nothing, every(1).minutes, name="report", retry=strategy)

    found = forecast(
        manager, ahead(minutes=2), durations={"report": 2.0}, failure_rates={"report": 1.0}, keep_runs=True
    )

    (run, _) = found.runs
    assert (run.state, run.attempts) == ("failed", 3)
    assert run.finished_at == ahead(minutes=1, seconds=2 + 7 + 2 + 7 + 2)


def test_what_a_strategy_draws_is_drawn_by_the_seed_and_leaves_the_programs_generator_alone(
    manager: TaskManager,
) -> None:
    strategy = tenacity.Retrying(stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_random(0, 10))
    manager.add(nothing, every(1).minutes, name="report", retry=strategy)
    random.seed(5)
    before = random.getstate()

    found = [
        forecast(manager, ahead(hours=1), failure_rates={"report": 0.5}, keep_runs=True).runs,
        forecast(manager, ahead(hours=1), failure_rates={"report": 0.5}, keep_runs=True).runs,
    ]

    assert found[0] == found[1]
    assert random.getstate() == before


def test_failures_and_time_limits_are_measured_by_attempt(manager: TaskManager, clock: VirtualClock) -> None:
    attempts = itertools.count()

    async def body() -> None:
        await asyncio.sleep(5)
        if next(attempts) % 2 == 0:
            raise OSError

    manager.add(body, every(1).minutes, name="report", retry=1)
    with manager:
        clock.advance(minutes=10, seconds=30)

    found = forecast(manager, clock.now() + datetime.timedelta(hours=1))

    report = of(found, "report")
    assert (report.duration, report.failure_rate, report.sample) == (5.0, 0.5, 10)


def test_a_recurring_entry_without_runs_lasts_as_its_task_does(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: clock.sleep(20), every(1).minutes, name="report")
    with manager:
        clock.advance(minutes=10)
    manager.recurring.add("Ada's report", task="report", schedule="every 2 hours")

    found = forecast(manager, clock.now() + datetime.timedelta(hours=5))

    ada = of(found, "Ada's report")
    assert (ada.slots, ada.duration, ada.sample) == (2, 20.0, 10)


def test_runs_on_record_in_a_database_tell_as_well(any_store_url: str) -> None:
    clock = VirtualClock(MONDAY)
    manager = TaskManager([], clock=clock, store=any_store_url)
    manager.add(lambda: clock.sleep(20), every(1).minutes, name="report")
    manager.recurring.add("Ada's report", task="report", schedule="every 2 minutes")
    with manager:
        clock.advance(minutes=5, seconds=30)
    before = [run.id for run in manager.runs()]

    found = forecast(manager, clock.now() + datetime.timedelta(hours=1))

    assert (of(found, "report").duration, of(found, "report").sample) == (20.0, 5)
    assert of(found, "Ada's report").slots == 30
    assert [run.id for run in manager.runs()] == before


def test_conditions_are_asked_where_that_is_wanted(manager: TaskManager) -> None:
    manager.add(nothing, every(1).hours, name="report", only_if=lambda slot: slot.hour < 6)

    found = forecast(manager, ahead(hours=24), conditions=True)

    assert of(found, "report").skips == {"only_if refused: <lambda>": 18}
    assert found.assumed == ("no run is on record of 'report': a body is taken to last 1.0 s",)


def test_a_body_of_which_nothing_is_known_does_not_fill_its_own_interval(
    manager: TaskManager, clock: VirtualClock
) -> None:
    manager.add(lambda: None, every(1).seconds, name="sample")
    until = clock.now() + datetime.timedelta(minutes=1)

    found = forecast(manager, until)
    given = forecast(manager, until, default_duration=2.0)

    assert found.tasks[0].skips == {}
    assert found.assumed == ("no run is on record of 'sample': a body is taken to last 100 ms",)
    assert given.assumed == ("no run is on record of 'sample': a body is taken to last 2.0 s",)


def test_progress_is_told_up_to_the_end(manager: TaskManager) -> None:
    manager.add(nothing, every(1).minutes, name="report")
    told: list[float] = []

    forecast(manager, ahead(days=1), progress=told.append)

    assert told == sorted(told)
    assert told[-1] == 1.0
    assert 150 <= len(told) <= 201


def test_keeping_too_many_runs_is_refused(manager: TaskManager) -> None:
    manager.add(nothing, every(1).seconds, name="sample")

    with pytest.raises(ParameterError, match="or leave keep_runs=True out"):
        forecast(manager, ahead(days=7), keep_runs=True)


def test_what_comes_due_together_is_counted_and_where_most_starts(manager: TaskManager) -> None:
    manager.add(nothing, every(10).minutes, name="ten", threaded=True)
    manager.add(nothing, every(15).minutes, name="fifteen", threaded=True)

    found = forecast(manager, ahead(hours=3), durations={"ten": 90.0, "fifteen": 60.0})

    assert found.collisions == (Collision(ahead(minutes=30), ("fifteen", "ten"), 6),)
    assert found.worst_minute == (ahead(minutes=30), 2)
    assert found.most_at_once == (ahead(minutes=30), 2)


def test_an_empty_manager_has_a_forecast(manager: TaskManager) -> None:
    found = forecast(manager, ahead(hours=2))

    assert (found.tasks, found.places, found.worst_minute, found.most_at_once) == ((), (), None, None)
    assert len(found.hours) == 2


@pytest.mark.parametrize("value", [-1.0, "long", (3.0, 1.0), (0.0, 1.0), [], [1.0, -2.0], True, float("nan")])
def test_a_duration_that_cannot_be_is_refused(manager: TaskManager, value: object) -> None:
    manager.add(nothing, every(1).minutes, name="report")

    with pytest.raises(ParameterError, match=r"durations\['report'\] is "):
        forecast(manager, ahead(hours=1), durations={"report": value})  # type: ignore[dict-item]  # that is tested


def test_a_process_that_is_stopped_ends_and_a_thread_goes_on(manager: TaskManager) -> None:
    manager.add(nothing, every(1).hours, name="thread", threaded=True, timeout=60)
    manager.add(nothing, every(1).hours, name="process", executor="process", timeout=60)

    found = forecast(manager, ahead(minutes=90), durations={"thread": 600.0, "process": 600.0})

    assert of(found, "thread").states == of(found, "process").states == {"timed_out": 1}
    assert (of(found, "thread").busy, of(found, "process").busy) == (600.0, 60.0)


def test_jobs_of_plain_schedule_are_left_out_and_that_is_said(manager: TaskManager) -> None:
    manager.scheduler.every(10).minutes.do(nothing)
    manager.add(nothing, every(1).hours, name="report")

    found = forecast(manager, ahead(hours=3), durations={"report": 1.0})

    assert [task.task for task in found.tasks] == ["report"]
    assert found.assumed == ("jobs of plain schedule are left out: 1",)


def test_the_same_task_is_not_run_twice_for_a_forecast_beside_it(manager: TaskManager, clock: VirtualClock) -> None:
    ran: list[datetime.datetime] = []
    report = manager.add(lambda: ran.append(clock.now()), every(1).hours, name="report")

    with manager:
        clock.advance(minutes=90)
        forecast(manager, ahead(days=1))
        clock.advance(minutes=60)

    assert ran == [ahead(hours=1), ahead(hours=2)]
    assert report.owner() is manager


def test_a_paused_manager_has_its_slots_refused(manager: TaskManager) -> None:
    manager.add(nothing, every(1).hours, name="report")
    manager.pause()

    found = forecast(manager, ahead(hours=3))

    assert of(found, "report").never == "all of its slots are refused: paused"
    assert manager.store.paused


def test_a_switch_that_turns_on_again_is_followed(manager: TaskManager) -> None:
    manager.add(nothing, every(1).hours, name="report").disable("for a while", until=ahead(hours=2, minutes=30))

    found = forecast(manager, ahead(hours=6), durations={"report": 1.0})

    assert of(found, "report").states == {"running": 1, "skipped": 2, "succeeded": 3}


def test_very_many_different_latenesses_are_told_to_a_thousandth() -> None:
    figures = Figures()

    for microseconds in range(0, 10_000_000, 1_000):
        figures.add(microseconds)

    assert figures.percentile(0.5) == pytest.approx(4.999, rel=1 / 1_000)
    assert figures.percentile(1.0) == pytest.approx(9.999, rel=1 / 1_000)
    assert len(figures.counts) < 6_000


def test_an_interruption_ends_it_also_in_a_guard_that_keeps_failures(manager: TaskManager) -> None:
    asked = []

    def interrupts(slot: datetime.datetime) -> bool:
        asked.append(slot)
        signal.raise_signal(signal.SIGINT)
        return True

    manager.add(nothing, every(10).minutes, name="report", only_if=interrupts)

    with pytest.raises(KeyboardInterrupt):
        forecast(manager, ahead(hours=24), conditions=True)

    assert len(asked) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_body_may_ask_for_a_forecast_which_is_over_when_it_is_told(
    manager: TaskManager, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    begin = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        started.append(thread.name)
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", start)

    def planning() -> int:
        return of(forecast(manager, clock.now() + datetime.timedelta(hours=5)), "planning").slots

    with manager:
        run = manager.add(planning, every(1).hours, name="planning").trigger()

    assert run.result(timeout=5) == 5
    assert started == []
