"""The machine's wall clock is really set back and forward, while the monotonic clock goes on."""

from __future__ import annotations

import json

import pytest
from wall_clock import WallClock

PROGRAM = """
    import datetime, json, logging, sys, threading, time
    from task import TaskManager, clock_stepped, every
    from task.schedules import cron

    logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="log %(message)s")
    said = threading.Lock()

    def say(kind, **values):
        with said:
            print(kind, json.dumps(values), flush=True)

    manager = TaskManager([])
    stepped = []
    clock_stepped.connect(lambda sender, seconds: stepped.append(seconds), weak=False)
    count = 0

    @manager.task(every(0.2).seconds)
    def interval():
        global count
        count += 1
        say("interval", count=count, at=time.monotonic())

    soon = datetime.datetime.now() + datetime.timedelta(seconds=int(sys.argv[1]))

    @manager.task(every().day.at(soon.strftime("%H:%M:%S")))
    def daily():
        say("daily", at=time.monotonic())

    with manager:
        say("begun", at=time.monotonic())
        for line in sys.stdin:
            if line.strip() == "report":
                ran = [run for run in manager.runs("interval") if run.token]  # not what was missed
                admitted = sorted(ran, key=lambda run: run.token)  # as they came, whatever the clock said
                slots = [run.slot.timestamp() for run in admitted]
                say(
                    "report",
                    interval=slots,
                    daily=[str(run.state) for run in manager.runs("daily")],
                    next=manager["daily"].schedules[0].next_run.timestamp() - time.time(),
                    audit=[str(finding) for finding in manager.audit()],
                    stepped=stepped,
                    wall=time.time(),
                )
            else:
                break
"""


@pytest.fixture
def wall_clock(shim, tmp_path):
    return WallClock(shim, tmp_path / "offset")


@pytest.fixture
def start(program, wall_clock):
    """Start the program, with its daily slot so many seconds ahead; it, and the shifter of its wall clock."""

    def start(daily: int):
        child = program(PROGRAM, str(daily), **wall_clock.environment)
        child.expect("begun")
        return child, wall_clock.shift

    return start


def intervals(child, count: int) -> list[float]:
    """The monotonic times of the next *count* runs of the interval."""
    return [json.loads(child.expect("interval"))["at"] for _ in range(count)]


def expect_jump(child, seconds: float, **options) -> None:
    """It says by how much the wall clock has jumped."""
    assert abs(float(child.expect("log The wall clock jumped by", **options).split()[0]) - seconds) < 2


def report(child) -> dict:
    child.send("report")
    return json.loads(child.expect("report"))


@pytest.mark.parametrize("hours", [-1, 1])
def test_intervals_go_on_and_no_slot_is_repeated(start, hours):
    child, shift = start(daily=60)
    before = intervals(child, 5)

    shift(hours * 3600)
    expect_jump(child, hours * 3600)
    after = intervals(child, 10)

    seen = report(child)
    # Neither silent for the hour, nor a burst that makes up for it: ten slots take 1.8 seconds, none where they come
    # at once, and somewhat less where the first of them, and no other, was late.
    assert after[0] - before[-1] < 20
    assert 0.9 < after[-1] - after[0] < 20
    assert len(seen["stepped"]) == 1
    assert abs(seen["stepped"][0] - hours * 3600) < 2
    assert seen["interval"] == sorted(set(seen["interval"]))
    assert seen["audit"] == []
    child.send("end")
    assert child.end() == 0, child
    if hours < 0:
        # Elapsed time goes on: the moments never go back, they stay ahead of the wall clock.
        assert seen["interval"][-1] > seen["wall"] + 3000
        assert "daily" not in "".join(line[:5] for line in child.lines)
        assert 3600 < seen["next"] < 3661
    else:
        assert any(line.startswith("daily") for line in child.lines)
        assert seen["daily"] == ["succeeded"]


def test_there_and_back_fires_a_daily_slot_once(start):
    child, shift = start(daily=4)
    child.expect("daily")
    intervals(child, 1)

    shift(-3600)
    expect_jump(child, -3600)
    intervals(child, 3)
    shift(0)
    expect_jump(child, 3600)
    intervals(child, 3)

    seen = report(child)
    assert seen["daily"] == ["succeeded"]
    assert seen["next"] > 80_000
    assert seen["interval"] == sorted(set(seen["interval"]))
    assert seen["audit"] == []
    assert [round(seconds, -2) for seconds in seen["stepped"]] == [-3600, 3600]
    child.send("end")
    assert child.end() == 0, child


def test_a_step_while_nothing_is_due_is_seen_within_the_wait_cap(program, wall_clock):
    child = program(
        """
    import datetime, logging, sys, threading
    from task import TaskManager, every
    from task.scheduler import loop
    LONGEST = loop.LONGEST_WAIT
    loop.LONGEST_WAIT = 0.5
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="log %(message)s")
    manager = TaskManager([])
    soon = datetime.datetime.now() + datetime.timedelta(minutes=30)
    manager.add(lambda: print("fired", flush=True), every().day.at(soon.strftime("%H:%M:%S")), name="daily")
    with manager:
        print("begun", LONGEST, flush=True)
        sys.stdin.readline()
    """,
        **wall_clock.environment,
    )
    assert child.expect("begun") == "30.0"
    wall_clock.shift(3600)
    expect_jump(child, 3600, timeout=25)
    child.expect("fired", timeout=25)
    child.send("end")
    assert child.end() == 0, child
