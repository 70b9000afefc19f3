"""`explain`: the chain of reasons agrees with the record for what was, and says what will be."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import json
import logging
import os
import pathlib
import zoneinfo

import pytest
from click.testing import CliRunner
from databases import sqlite_url
from naughty import OBEYED, naughty_strings
from store_rows import execute

from task import TaskManager, cron, every
from task.calendars import business_days
from task.cli import make_group
from task.cli.board import draw, look
from task.errors import ParameterError, UnknownTaskError
from task.foresight import Explanation, explain
from task.overview import Overview
from task.testing import VirtualClock

UTC = datetime.UTC
AMSTERDAM = "Europe/Amsterdam"

Moment = datetime.datetime


def at(day: int, hour: int, minute: int = 0, month: int = 10) -> Moment:
    return datetime.datetime(2026, month, day, hour, minute, tzinfo=UTC)


@pytest.fixture
def clock() -> VirtualClock:
    """It starts before the night in which the clock of Amsterdam is put back: 25 October 2026."""
    return VirtualClock(at(22, 10))


@pytest.fixture
def manager(clock: VirtualClock) -> TaskManager:
    """One on memory: on a database, virtual days are dear."""
    return TaskManager([], clock=clock)


def nothing() -> None:
    pass


def told(found: Explanation) -> list[tuple[str, bool | None]]:
    return [(reason.step, reason.holds) for reason in found.reasons]


def text_of(found: Explanation, step: str) -> str:
    return next(reason.text for reason in found.reasons if reason.step == step)


def test_a_week_with_everything_in_it_is_explained_as_it_is_on_record(
    manager: TaskManager, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    def flaky() -> None:
        if clock.now().day % 2:
            raise ValueError("no disk")

    async def slow() -> None:
        await asyncio.sleep(45 * 60)

    caplog.set_level(logging.CRITICAL, "task")
    holidays = business_days("AT", tz="Europe/Vienna")
    manager.add(flaky, cron("30 2 * * *", tz=AMSTERDAM), name="nightly", retry=1)
    manager.add(nothing, cron("0,30 * * * *", tz=AMSTERDAM), name="half-hourly", misfire="skip")
    manager.add(nothing, cron("*/45 1-4 * * *", tz=AMSTERDAM), name="night watch")
    manager.add(slow, every(30).minutes, name="slow")
    manager.add(slow, every(40).minutes, name="queued", overlap="queue", mutex="disk")
    manager.add(nothing, cron("0 9 * * *", tz="Europe/Vienna"), name="office", only_if=holidays)
    manager.add(nothing, every(3).hours, name="picky", only_if=lambda slot: slot.hour > 12)
    manager.add(nothing, [every(7).hours, cron("15 12 * * *", tz="UTC")], name="two schedules")
    manager.recurring.add("entry", task="half-hourly", schedule="every 5 hours")
    names = [*manager, "entry"]
    with manager:
        clock.run_until(at(24, 6))
        manager["half-hourly"].disable("the other side is down", at(24, 16))
        manager["nightly"].disable(by="ada")
        clock.run_until(at(25, 5))
        manager["nightly"].enable(by="ada")
        manager.pause()
        clock.advance(hours=2)
        manager.resume()
        clock.suspend(hours=5)
        clock.run_until(at(27, 3))
    clock.advance(hours=9)
    with manager:
        clock.run_until(at(28, 10))
        states = set()
        for name in names:
            rows = [row for row in manager.store.outcomes(name) if row.slot is not None]
            slots = {slot for row in rows for slot in (row.slot, row.last) if slot is not None}
            for row in rows:
                for slot in {row.slot, row.last} - {None}:
                    found = explain(manager, name, slot)  # type: ignore[arg-type]  # None is taken out
                    assert (found.verdict, found.run_id, found.slot) == (str(row.state), row.id, slot)
                    refused = [reason.text for reason in found.reasons if reason.holds is False]
                    if found.verdict == "succeeded":
                        assert [text for text in refused if "failed" in text or "no disk" not in text] == []
                    if found.verdict == "skipped":
                        assert len(refused) == 2, (refused, row.reason)
                        assert row.reason
                        assert row.reason in refused[-1]
                    states.add((found.verdict, row.reason))
            for slot in sorted(slots)[::5]:
                between = explain(manager, name, slot + datetime.timedelta(seconds=1, microseconds=1))
                assert (between.verdict, between.run_id, between.slot) == ("no slot", None, None)
                assert between.reasons[0][:2] == ("schedule", False)
    assert {verdict for verdict, _ in states} >= {"succeeded", "failed", "skipped", "missed", "running"}
    assert {reason for verdict, reason in states if verdict == "skipped"} >= {
        "disabled",
        "paused",
        "already running",
        "not a business day in AT: Sunday",
        "not a business day in AT: Nationalfeiertag (National Day)",
    }


def test_what_will_be_is_told_from_the_schedule_the_switch_and_the_conditions(manager: TaskManager) -> None:
    manager.add(nothing, cron("0 9 * * *", tz=AMSTERDAM), name="office", only_if=[business_days("NL"), lambda: True])
    with manager:
        monday, saturday = (
            explain(manager, "office", "2026-10-26 09:00"),
            explain(manager, "office", "2026-10-24 09:00"),
        )
        manager["office"].disable("the other side is down", at(26, 12), by="ada")
        off, on_again = explain(manager, "office", "2026-10-26 09:00"), explain(manager, "office", "2026-10-27 09:00")

    assert (monday.verdict, monday.slot) == ("would run", at(26, 8))
    assert told(monday) == [
        ("moment", None),
        ("schedule", True),
        ("switch", True),
        ("only_if", True),
        ("only_if", None),
        ("guard", None),
        ("misfire", None),
    ]
    assert text_of(monday, "schedule").endswith("(0 9 * * *) has a slot at Mon 26 Oct 2026 09:00 CET.")
    assert text_of(monday, "moment") == "Without an offset, it is read in Europe/Amsterdam."
    assert saturday.verdict == "would be skipped"
    assert text_of(saturday, "only_if") == "business_days('NL') says not a business day in NL: Saturday."
    assert off.verdict == "would be skipped"
    assert text_of(off, "switch") == (
        "Its switch is off since Thu 22 Oct 2026 12:00 CEST, by ada, until Mon 26 Oct 2026 13:00 CET: "
        "the other side is down."
    )
    assert on_again.verdict == "would run"
    assert text_of(on_again, "switch").endswith("until Mon 26 Oct 2026 13:00 CET: on by then.")


def test_the_nights_in_which_the_clock_changes_are_explained(manager: TaskManager) -> None:
    manager.add(nothing, cron("30 2 * * *", tz=AMSTERDAM), name="nightly")
    manager.add(nothing, cron("*/30 * * * *", tz=AMSTERDAM), name="half-hourly")
    with manager:
        first, second = explain(manager, "nightly", "2026-10-25 02:30"), explain(manager, "nightly", at(25, 1, 30))
        gap = explain(manager, "nightly", datetime.datetime(2027, 3, 28, 2, 30))
        both = explain(manager, "half-hourly", at(25, 1, 30))

    assert (first.verdict, first.slot) == ("would run", at(25, 0, 30))
    assert text_of(first, "moment") == (
        "The clock of Europe/Amsterdam shows 02:30 twice that night: this is the first time, "
        "Sun 25 Oct 2026 02:30 CEST."
    )
    assert text_of(first, "clock") == (
        "The clock of Europe/Amsterdam shows 02:30 twice that night; it is due once, the first time: "
        "Sun 25 Oct 2026 02:30 CEST."
    )
    assert (second.verdict, told(second)) == ("no slot", [("schedule", False), ("clock", False)])
    assert (gap.verdict, gap.slot) == ("would run", datetime.datetime(2027, 3, 28, 1, tzinfo=UTC))
    assert text_of(gap, "moment") == (
        "The clock of Europe/Amsterdam skips 02:30 that night: what is due then is due at Sun 28 Mar 2027 03:00 CEST."
    )
    assert (both.verdict, text_of(both, "clock")) == (
        "would run",
        "The clock of Europe/Amsterdam shows 02:30 twice that night; it is due each time.",
    )


def test_what_ran_is_told_with_its_process_and_each_attempt(manager: TaskManager, clock: VirtualClock) -> None:
    def flaky() -> None:
        if clock.now().second == 0:
            raise ConnectionError("the other side is down")

    manager.add(flaky, cron("0 12 * * *", tz="UTC"), name="sync", retry=3, jitter=0.0)
    with manager:
        clock.advance(hours=3)
        found = explain(manager, "sync", "2026-10-22 12:00")

    assert found.verdict == "succeeded"
    assert [reason.text for reason in found.reasons if reason.step in ("claim", "attempt")] == [
        f"It was claimed at 12:00:00.000 UTC, 0 ms late, and run by process {os.getpid()} on {os.uname().nodename}.",
        "Attempt 1 started at 12:00:00.000 UTC and took 0 ms: ConnectionError: the other side is down.",
        "Attempt 2 started at 12:00:01.000 UTC and took 0 ms.",
    ]
    assert text_of(found, "outcome") == f"It is on record as succeeded after 1.0 s ({found.run_id})."


def test_what_a_start_was_delayed_by_is_told(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: clock.sleep(240), cron("0 12 * * *", tz="UTC"), name="slow")
    manager.add(nothing, cron("1 12 * * *", tz="UTC"), name="behind")
    with manager:
        clock.run_until(at(22, 13))
        found = explain(manager, "behind", at(22, 12, 1))

    assert text_of(found, "lateness") == "Started 3 min late: 3 min serial worker busy with 'slow'."


def test_a_guard_names_the_run_that_held_it(manager: TaskManager, clock: VirtualClock) -> None:
    async def slow() -> None:
        await asyncio.sleep(900)

    manager.add(slow, cron("0,10 11 * * *", tz="UTC"), name="slow")
    manager.add(slow, cron("0 12 * * *", tz="UTC"), name="first", mutex="disk")
    manager.add(nothing, cron("5 12 * * *", tz="UTC"), name="second", mutex="disk")
    with manager:
        clock.run_until(at(22, 13))
        again, other = explain(manager, "slow", at(22, 11, 10)), explain(manager, "second", at(22, 12, 5))
        held, first = explain(manager, "slow", at(22, 11)), explain(manager, "first", at(22, 12))

    assert text_of(again, "guard").startswith(
        f"already running: the run {held.run_id} of 'slow' since Thu 22 Oct 2026 11:00 UTC, until Thu 22 Oct"
    )
    assert text_of(other, "guard").startswith(
        f"'first' has the mutex 'disk': the run {first.run_id} of 'first' since Thu 22 Oct 2026 12:00 UTC"
    )


def test_the_switch_is_told_as_it_stood_then(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(nothing, cron("0 * * * *", tz="UTC"), name="hourly")
    with manager:
        clock.run_until(at(22, 11, 30))
        manager["hourly"].disable("the other side is down", at(22, 12, 30), by="ada")
        clock.run_until(at(22, 13, 30))
        manager["hourly"].disable(by="bob")
        clock.run_until(at(22, 14, 30))
        manager["hourly"].enable(by="bob")
        clock.run_until(at(22, 15, 30))
        switches = [explain(manager, "hourly", at(22, hour)).reasons[1] for hour in (11, 12, 13, 14, 15)]

    assert [(reason.step, reason.holds) for reason in switches] == [
        ("switch", holds) for holds in (True, False, True, False, True)
    ]
    assert [reason.text for reason in switches[:2]] == [
        "Its switch had not been turned by then: it was on.",
        "Its switch was off then: turned off Thu 22 Oct 2026 11:30 UTC, by ada: the other side is down, until "
        "2026-10-22T12:30:00+00:00.",
    ]
    assert switches[2].text.startswith("Its switch was on again by then: ")
    assert switches[4].text == "Its switch is on since Thu 22 Oct 2026 14:30 UTC, by bob."


def test_late_slots_are_missed_or_caught_up_and_say_so(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(nothing, every(1).hours, name="hourly")
    with manager:
        clock.advance(hours=1)
    clock.advance(hours=3, minutes=30)
    waiting = explain(manager, "hourly", at(22, 12))
    with manager:
        clock.advance(minutes=1)
        missed, late = explain(manager, "hourly", at(22, 12)), explain(manager, "hourly", at(22, 14))

    assert (waiting.verdict, told(waiting)[-1]) == ("due", ("outcome", None))
    assert (missed.verdict, told(missed)) == ("missed", [("schedule", True), ("misfire", False), ("outcome", False)])
    assert late.verdict == "succeeded"
    assert text_of(late, "misfire") == (
        "It was 30 min late, and caught up. More than 1 min late it is missed; misfire='latest': the newest late slot "
        "is run once, if it is no older than 1 d."
    )


def test_slots_that_follow_from_what_ran_are_known_from_the_record_and_the_next_one(
    manager: TaskManager, clock: VirtualClock
) -> None:
    manager.add(nothing, every(10).to(20).minutes, name="drawn")
    manager.add(nothing, every(10).minutes, name="delayed", fixed_delay=True)
    with manager:
        clock.advance(hours=2, seconds=2)
        for name in ("drawn", "delayed"):
            row = manager.runs(name, limit=1)[0]
            planned = datetime.datetime.fromisoformat(manager.task_detail(name)["next_run"])
            assert row.slot is not None
            assert explain(manager, name, row.slot).verdict == "succeeded"
            assert explain(manager, name, planned).verdict == "would run"
            now = explain(manager, name)
            assert now.verdict == "no slot"
            assert ", the next is Thu 22 Oct 2026 12:" in text_of(now, "schedule")


def test_a_moment_without_a_slot_has_the_nearest_ones_and_the_runs_by_hand(
    manager: TaskManager, clock: VirtualClock
) -> None:
    manager.add(nothing, cron("0 * * * *", tz="UTC"), name="hourly")
    manager.add(nothing, name="by hand")
    with manager:
        clock.run_until(at(22, 12, 20))
        run = manager.trigger("hourly")
        clock.run_until(at(22, 12, 40))
        found, before = explain(manager, "hourly", at(22, 12, 20)), explain(manager, "hourly", at(21, 12))
        bare = explain(manager, "by hand", "2026-10-22 12:00")

    assert (found.verdict, told(found)) == ("no slot", [("schedule", False), ("runs", None)])
    assert text_of(found, "schedule").endswith(
        ": the one before is Thu 22 Oct 2026 12:00 UTC, the next is Thu 22 Oct 2026 13:00 UTC."
    )
    assert text_of(found, "runs") == f"A run (manual) began at 12:20:00.000 UTC, and is succeeded ({run.id})."
    assert text_of(before, "schedule").startswith("No slot is owed there: its schedules are in force since Thu 22")
    assert text_of(bare, "schedule") == "It has no schedule: it runs when somebody triggers it."


def test_what_was_dropped_is_not_known_any_more(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(nothing, every(1).minutes, name="sample")
    with manager:
        clock.advance(hours=20)
        dropped = explain(manager, "sample", at(22, 10, 30))

    assert dropped.verdict == "not known"
    assert text_of(dropped, "outcome").startswith("Its outcome was dropped to keep the history bounded, as all until")


def test_other_processes_on_a_database_explain_from_its_record(clock: VirtualClock, tmp_path: pathlib.Path) -> None:
    async def slow() -> None:
        await asyncio.sleep(15)

    def fail() -> None:
        raise ValueError("no disk")

    worker = TaskManager([], clock=clock, store=sqlite_url(tmp_path))
    worker.add(slow, every(10).seconds, name="slow")
    worker.add(fail, every(10).seconds, name="fail", retry=1)
    looker = TaskManager([], clock=clock, store=sqlite_url(tmp_path))
    with worker:
        clock.advance(seconds=44)
        rows = [row for name in ("slow", "fail") for row in looker.store.outcomes(name)]
        found = [explain(looker, row.task, row.slot) for row in rows if row.slot is not None]
        future = explain(looker, "slow", clock.now() + datetime.timedelta(seconds=6))
        lost = _without_an_outcome(looker, "fail")
    looker.store.close()

    assert [one.verdict for one in found] == [str(row.state) for row in rows]
    assert {one.verdict for one in found} == {"succeeded", "skipped", "failed", "running"}
    [refused, *_] = [one for one in found if one.verdict == "skipped"]
    assert text_of(refused, "guard").startswith("already running: the run ")
    [failed, *_] = [one for one in found if one.verdict == "failed"]
    assert [reason.text[:9] for reason in failed.reasons if reason.step == "attempt"] == ["Attempt 1", "Attempt 2"]
    assert f"run by process {os.getpid()} on " in text_of(failed, "claim")
    assert future.verdict == "would run"
    assert (lost.verdict, told(lost)[-1]) == ("no outcome", ("outcome", False))
    assert text_of(lost, "outcome") == "An audit finds: has no outcome."


def _without_an_outcome(manager: TaskManager, name: str) -> Explanation:
    """What is told of a slot whose row has gone: it is put back."""
    oldest = manager.runs(name)[-1]
    assert oldest.slot is not None
    shift = f"UPDATE task_runs SET slot = slot {{0}} 1, last_at = last_at {{0}} 1 WHERE id = '{oldest.id}'"
    assert execute(manager, shift.format("+")) == 1
    found = explain(manager, name, oldest.slot)
    assert execute(manager, shift.format("-")) == 1
    return found


def test_what_is_asked_wrongly_is_refused(manager: TaskManager) -> None:
    manager.add(nothing, every(1).hours, name="sample")
    with pytest.raises(UnknownTaskError, match="Did you mean 'sample'"):
        explain(manager, "smaple")
    for wrong in ("yesterday", "", "2026-13-01", 5):
        with pytest.raises(ParameterError, match="is no moment"):
            explain(manager, "sample", wrong)  # type: ignore[arg-type]
    for edge in (datetime.datetime.max, datetime.datetime.min):
        for moment in (edge, edge.replace(tzinfo=UTC)):
            with pytest.raises(ParameterError, match="of this era"):
                explain(manager, "sample", moment)


def test_the_command_tells_the_chain_and_its_json(manager: TaskManager, clock: VirtualClock) -> None:
    def fail() -> None:
        raise ValueError("\x1b[2J no disk")

    manager.add(fail, cron("0 12 * * *", tz="UTC"), name="sync")
    group = make_group(lambda _: manager, name="tasks")
    with manager:
        clock.advance(hours=3)
        ended = CliRunner().invoke(group, ["explain", "sync", "2026-10-22 12:00"])
        in_json = json.loads(CliRunner().invoke(group, ["explain", "sync", "2026-10-22 12:00", "--json"]).stdout)
        unquoted = CliRunner().invoke(group, ["explain", "sync", "2026-10-22", "12:00"])
        wrong = CliRunner().invoke(group, ["explain", "sync", "yesterday"])

    lines = ended.stdout.splitlines()
    assert (ended.exit_code, lines[0]) == (0, "sync: failed")
    assert unquoted.stdout == ended.stdout
    assert lines[2] == "yes  schedule  every day at 12:00 in UTC (0 12 * * *) has a slot at Thu 22 Oct 2026 12:00 UTC."
    assert lines[5].startswith("NO   attempt   Attempt 1 started at 12:00:00.000 UTC and took ")
    assert lines[5].endswith(": ValueError: \\x1b[2J no disk.")
    assert list(in_json) == ["task", "moment", "verdict", "reasons", "slot", "run_id"]
    assert (in_json["verdict"], in_json["slot"]) == ("failed", "2026-10-22T12:00:00+00:00")
    assert in_json["reasons"][1]["step"] == "schedule"
    assert (wrong.exit_code, wrong.stderr[:26]) == (2, "Error: 'yesterday' is no m")


def test_the_steps_come_in_the_order_of_the_decision(manager: TaskManager, clock: VirtualClock) -> None:
    order = ["moment", "schedule", "clock", "process", "switch", "pause", "only_if", "guard", "misfire", "jitter"]
    order += ["claim", "lateness", "attempt", "outcome", "runs"]
    manager.add(nothing, cron("30 2 * * *", tz=AMSTERDAM), name="nightly", jitter=5, only_if=business_days("NL"))
    with manager:
        clock.run_until(at(26, 10))
        manager.pause()
        for moment in ("2026-10-24 02:30", "2026-10-26 02:30", "2027-03-28 02:30", "now"):
            steps = [order.index(reason.step) for reason in explain(manager, "nightly", moment).reasons]
            assert all(one <= two for one, two in itertools.pairwise(steps))


def test_texts_of_people_and_of_runs_are_shown_and_not_obeyed(manager: TaskManager, clock: VirtualClock) -> None:
    def fail() -> None:
        raise ValueError(texts[clock.now().minute])

    texts = naughty_strings()[:500:8]
    manager.add(fail, cron("* * * * *", tz="UTC"), name="sync")
    group = make_group(lambda _: manager, name="tasks")
    with manager:
        for text in texts[:59]:
            clock.advance(minutes=1)
            manager["sync"].disable(text or None, by="ada")
            lines = CliRunner().invoke(group, ["explain", "sync", clock.now().isoformat()]).stdout
            now = CliRunner().invoke(group, ["explain", "sync"]).stdout
            wrong = CliRunner().invoke(group, ["explain", "sync", "--", text])
            manager["sync"].enable()
            assert not OBEYED.search(lines + now + wrong.output)
            assert lines.count("\n") == 6
            assert wrong.output.count("\n") == 1
            picture = draw(look(Overview(manager), manager, "jobs", [text]), 80, 24)
            assert not any(OBEYED.search(line.plain) for line in picture)


@pytest.mark.parametrize("zone", [AMSTERDAM, "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("pattern", ["30 2 * * *", "*/20 1,23 * * *"])
def test_each_slot_of_a_year_is_found_by_its_wall_time(manager: TaskManager, zone: str, pattern: str) -> None:
    manager.add(nothing, cron(pattern, tz=zone), name="nightly")
    with manager:
        declared = manager.store.declarations("nightly")[0].line
        place, slot = zoneinfo.ZoneInfo(zone), at(22, 10)
        for _ in range(200):
            following = declared.after(slot)
            assert following is not None
            slot = following
            wall = slot.astimezone(place).replace(tzinfo=None)
            found = explain(manager, "nightly", wall.replace(fold=0))
            assert found.slot == slot or wall.fold == 1
            assert explain(manager, "nightly", slot).verdict == "would run"
