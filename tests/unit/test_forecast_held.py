"""A forecast held against an actual run of the same module in virtual time: run by run, they are equal."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from task import TaskManager, cron, every
from task.calendars import business_hours
from task.foresight import PredictedRun, forecast
from task.foresight.habits import Habit
from task.stores import MemoryStore
from task.testing import VirtualClock
from tests.lasting_bodies import Stage, rows_of

UTC = datetime.UTC

#: 02:25 CEST, in the hour that Europe's clocks show twice this night.
NIGHT = datetime.datetime(2026, 10, 25, 0, 25, tzinfo=UTC)


class Lasting(NamedTuple):
    """What a task is declared with, and how its body behaves."""

    schedule: Any
    options: dict[str, Any]
    durations: Any = 1.0
    failure_rate: float = 0.0
    awaited: bool = False


def a_habit(name: str, seed: int, lasting: Lasting) -> Habit:
    habit = Habit(name, seed)
    habit.observe(lasting.durations if isinstance(lasting.durations, list) else [lasting.durations])
    habit.rate = lasting.failure_rate
    return habit


def actual(tasks: dict[str, Lasting], start: datetime.datetime, hours: float, **places: Any) -> list[PredictedRun]:
    """What comes of them on real threads and a real event loop."""
    stage = Stage(start)
    manager = TaskManager([], clock=stage, store=MemoryStore(keep=100_000), **places)
    for name, lasting in tasks.items():
        habit = a_habit(name, 7, lasting)
        body = stage.awaited(habit) if lasting.awaited else stage.body(habit)
        manager.add(body, lasting.schedule, name=name, **lasting.options)
    manager.run()
    try:
        stage.run_until(start + datetime.timedelta(hours=hours))
        return in_order(rows_of(manager))
    finally:
        stage.let_all_go()
        manager.stop(timeout=5)


def foretold(tasks: dict[str, Lasting], start: datetime.datetime, hours: float, **places: Any) -> list[PredictedRun]:
    """What a forecast says of them."""
    manager = TaskManager([], clock=Stage(start), **places)
    for name, lasting in tasks.items():
        manager.add(awaited if lasting.awaited else called, lasting.schedule, name=name, **lasting.options)
    found = forecast(
        manager,
        start + datetime.timedelta(hours=hours),
        seed=7,
        durations={name: lasting.durations for name, lasting in tasks.items()},
        failure_rates={name: lasting.failure_rate for name, lasting in tasks.items()},
        keep_runs=True,
    )
    return in_order(found.runs)


def called() -> None:
    raise AssertionError("a forecast calls no body")


async def awaited() -> None:
    raise AssertionError("a forecast calls no body")


def in_order(runs: Any) -> list[PredictedRun]:
    return sorted(runs, key=lambda run: tuple(map(str, run)))


RICH = {
    "serial, short": Lasting(every(1).minutes, {}, 7.25),
    "serial, long": Lasting(every(3).minutes, {"overlap": "queue"}, [20.5, 95.125, 170.0625]),
    "threaded, skipped": Lasting(every(2).minutes, {"threaded": True}, [30.0, 200.5], 0.2),
    "threaded, beside itself": Lasting(
        every(90).seconds, {"threaded": True, "overlap": "allow", "max_concurrent": 2}, [100.5, 250.125]
    ),
    "retried": Lasting(every(5).minutes, {"threaded": True, "retry": 2}, [3.5, 4.75], 0.5),
    "too slow": Lasting(every(7).minutes, {"threaded": True, "timeout": 60}, [30.5, 130.25]),
    "too slow, again": Lasting(every(11).minutes, {"threaded": True, "timeout": 60, "retry": 1}, [30.25, 130.75]),
    "awaited": Lasting(every(1).minutes, {"overlap": "cancel_previous"}, [30.5, 100.25], awaited=True),
    "awaited, too slow": Lasting(every(4).minutes, {"timeout": 50}, [30.125, 100.75], awaited=True),
    "threaded, replaced": Lasting(every(2).minutes, {"threaded": True, "overlap": "cancel_previous"}, [50.5, 170.75]),
    "tap": Lasting(every(5).minutes, {"threaded": True, "mutex": "water", "overlap": "queue"}, [100.5, 210.25]),
    "hose": Lasting(every(6).minutes, {"threaded": True, "mutex": "water"}, [80.125, 190.5]),
    "pool, urgent": Lasting(every(70).seconds, {"pool": "io", "threaded": True, "priority": 5}, [60.5, 90.75]),
    "pool, patient": Lasting(every(50).seconds, {"pool": "io", "threaded": True, "overlap": "queue"}, [40.25, 80.5]),
    "pool, awaited": Lasting(every(40).seconds, {"pool": "io"}, [70.5, 30.25], awaited=True),
    "after": Lasting(None, {"after": "threaded, skipped", "threaded": True}, [20.25, 10.5]),
    "after failures": Lasting(None, {"after": "retried", "when": "failed"}, 2.5),
    "after both": Lasting(None, {"after": ["after", "serial, long"], "when": "always"}, 3.125),
    "fixed delay": Lasting(every(4).minutes, {"threaded": True, "fixed_delay": True}, [10.5, 300.25]),
    "jitter": Lasting(every(3).minutes, {"threaded": True, "jitter": 30}, 5.5),
    "drawn": Lasting(every(1).to(6).minutes, {"threaded": True}, 9.75),
    "at start": Lasting(every(50).minutes, {"run_at_start": True, "threaded": True}, 12.5),
    "five times": Lasting(every(2).minutes, {"max_runs": 5}, 1.5),
    "gives up": Lasting(every(9).minutes, {"disable_after": 3}, 2.25, 0.9),
    "disabled": Lasting(every(10).minutes, {"disabled": True}),
    "in the morning": Lasting(
        cron("*/10 * * * * 7"), {"threaded": True, "only_if": business_hours("02:40", 5, tz="Europe/Amsterdam")}, 4.5
    ),
    "at night": Lasting(every().day.at("02:30", "Europe/Amsterdam"), {"threaded": True}, 600.5),
    "cron at night": Lasting(cron("15,45 2 * * *", tz="Europe/Amsterdam"), {}, 30.5),
    "hourly": Lasting(cron("*/20 * * * *", tz="Europe/Amsterdam"), {"threaded": True}, 8.125),
}


def test_a_rich_module_through_a_night_in_which_the_clock_changes() -> None:
    places = {"max_workers": 8, "pools": {"io": 2}}

    found = foretold(RICH, NIGHT, 1, **places)

    assert found == actual(RICH, NIGHT, 1, **places)
    states = {run.state for run in found}
    assert states >= {"succeeded", "failed", "timed_out", "cancelled", "skipped"}
    assert len(found) > 500


OVERLAPS = st.sampled_from(["skip", "queue", "cancel_previous", "allow"])


@st.composite
def modules(draw: st.DrawFn) -> dict[str, Lasting]:
    """Two to five tasks. No two slots or ends of their bodies fall on one moment: threads would race."""
    tasks: dict[str, Lasting] = {}
    for number in range(draw(st.integers(2, 5))):
        awaited = draw(st.booleans())
        options: dict[str, Any] = {"overlap": draw(OVERLAPS), "max_concurrent": draw(st.integers(1, 2))}
        options |= draw(st.sampled_from([{}, {"timeout": 20.0007}, {"retry": 1}, {"timeout": 15.0003, "retry": 1}]))
        options |= draw(st.sampled_from([{}, {"mutex": "one"}, {"pool": "io"}, {"pool": "io", "mutex": "one"}]))
        if not awaited and "pool" not in options:
            options["threaded"] = draw(st.booleans())
        earlier = list(tasks)
        if earlier and draw(st.booleans()):
            options |= {"after": draw(st.sampled_from(earlier)), "when": draw(st.sampled_from(["succeeded", "always"]))}
            schedule = None
        else:
            schedule = every(draw(st.integers(4, 40))).seconds
            options["fixed_delay"] = draw(st.booleans())
            options["start"] = NIGHT + datetime.timedelta(seconds=(number + 1) / 10)
        lengths = draw(st.lists(st.integers(0, 45), min_size=1, max_size=3))
        durations = [length + 0.0101 * (number + 1) for length in lengths]
        tasks[f"task {number}"] = Lasting(schedule, options, durations, draw(st.sampled_from([0.0, 0.5])), awaited)
    return tasks


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(modules())
def test_any_small_module_does_what_was_foretold(tasks: dict[str, Lasting]) -> None:
    places = {"max_workers": 2, "pools": {"io": 1}}

    assert foretold(tasks, NIGHT, 0.05, **places) == actual(tasks, NIGHT, 0.05, **places)


def test_a_manager_that_runs_already_goes_on_as_foretold() -> None:
    clock = VirtualClock(NIGHT)
    manager = TaskManager([], clock=clock)

    def sleeping(seconds: float) -> Callable[[], Any]:
        async def body() -> None:
            await asyncio.sleep(seconds)

        return body

    lengths = {"plain": 3.25, "fixed delay": 12.5, "drawn": 2.125, "jitter": 1.5, "off": 1.0, "Ada's": 3.25}
    manager.add(sleeping(3.25), every(1).minutes, name="plain")
    manager.add(sleeping(12.5), every(45).seconds, name="fixed delay", fixed_delay=True)
    manager.add(sleeping(2.125), every(20).to(70).seconds, name="drawn")
    manager.add(sleeping(1.5), every(2).minutes, name="jitter", jitter=20)
    manager.add(sleeping(1.0), every(1).minutes, name="off").disable(until=NIGHT + datetime.timedelta(minutes=20))
    manager.recurring.add("Ada's", task="plain", schedule="every 90 seconds")

    with manager:
        clock.advance(minutes=10, seconds=45)
        while any(manager.store.active(name) for name in lengths):
            clock.advance(seconds=1)
        until = clock.now() + datetime.timedelta(minutes=30)
        since = clock.now()
        found = forecast(manager, until, durations=lengths, keep_runs=True)
        clock.run_until(until)
        rows = [row for row in rows_of(manager) if row.slot is not None and row.slot > since]

    assert in_order(row for row in found.runs if row.task != "off") == in_order(
        row for row in rows if row.task != "off"
    )
    assert [task.skips for task in found.tasks if task.task == "off"] == [{"disabled": 9}]


def test_what_the_virtual_clock_runs_was_foretold() -> None:
    clock = VirtualClock(NIGHT)
    manager = TaskManager([], clock=clock, pools={"io": 2}, store=MemoryStore(keep=10_000))

    def sleeping(name: str, lasting: Lasting) -> Callable[[], Any]:
        habit = a_habit(name, 7, lasting)

        async def body() -> None:
            micros, fails = habit.draw()
            await asyncio.sleep(micros / 1e6)
            if fails:
                raise OSError

        return body

    tasks = {name: lasting for name, lasting in RICH.items() if lasting.awaited} | {
        "retried": Lasting(every(5).minutes, {"retry": 2}, [3.5, 4.75], 0.5),
        "queued": Lasting(every(2).minutes, {"overlap": "queue"}, [30.0, 200.5], 0.2),
        "after": Lasting(None, {"after": "retried", "when": "failed"}, 2.5),
        "fixed": Lasting(every(4).minutes, {"fixed_delay": True}, [10.5, 300.25]),
    }
    for name, lasting in tasks.items():
        manager.add(sleeping(name, lasting), lasting.schedule, name=name, **lasting.options)
    found = foretold(
        {name: lasting._replace(awaited=True) for name, lasting in tasks.items()}, NIGHT, 6, pools={"io": 2}
    )

    with manager:
        clock.advance(hours=6)
        rows = rows_of(manager)

    assert in_order(rows) == found
