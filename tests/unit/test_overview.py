"""Cards, pages and problems: what people see of a manager."""

from __future__ import annotations

import datetime
import threading
from typing import Any

import pytest

from task import ParameterError, Run, TaskManager, UnknownTaskError, cron, every, once
from task.overview import Cell, Overview, Problem, ScheduleText
from task.testing import VirtualClock

#: So long is waited for what another thread does, on a machine that lets it wait. Seconds.
LIMIT = 60.0

UTC = datetime.UTC
NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=UTC)


def after(**duration: float) -> datetime.datetime:
    return NOON + datetime.timedelta(**duration)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOON)


@pytest.fixture
def manager(any_store_url: str | None, clock: VirtualClock) -> TaskManager:
    return TaskManager([], clock=clock, store=any_store_url)


@pytest.fixture
def memory(clock: VirtualClock) -> TaskManager:
    return TaskManager([], clock=clock)


def kinds(overview: Overview) -> list[tuple[str, str | None]]:
    return [(problem.kind, problem.task) for problem in overview.problems()]


# Cards.


def test_a_card_tells_all_that_is_known_of_a_task(manager: TaskManager, clock: VirtualClock) -> None:
    @manager.task([every(10).seconds, cron("0 18 * * mon-fri", tz="Europe/Amsterdam")], tags=["reports"])
    def sample() -> None:
        """Adds up the day."""
        clock.sleep(2)

    overview = Overview(manager)
    with manager:
        clock.advance(seconds=25)
        card = overview.task("sample")

    first, second = card.strip
    assert card.name == "sample"
    assert card.description == "Adds up the day."
    assert card.tags == ("reports",)
    assert card.entry_of is None
    assert card.schedules == (
        ScheduleText("every 10 seconds", "every 10 seconds", None),
        ScheduleText("Monday to Friday at 18:00", "0 18 * * mon-fri", "Europe/Amsterdam"),
    )
    assert (card.doing, card.enabled, card.note, card.until) == ("idle", True, None, None)
    assert card.next_run == after(seconds=30)
    assert (card.run_id, card.progress, card.message) == (None, None, "")
    assert card.last is not None
    assert (card.last.state, card.last.at, card.last.duration) == ("succeeded", after(seconds=22), 2.0)
    assert card.last.run_id == second.run_id
    assert first == Cell(first.run_id, "succeeded", after(seconds=10), 2.0, 1)
    assert (card.p50_duration, card.p95_duration) == (2.0, 2.0)
    assert (card.p50_lateness, card.p95_lateness) == (0.0, 0.0)
    assert (card.runs, card.failures, card.consecutive_failures, card.skips) == (2, 0, 0, 0)
    assert card.problems == ()


def test_a_card_tells_of_the_run_under_way(manager: TaskManager) -> None:
    overview = Overview(manager)
    seen: list[Any] = []

    def sample(run: Run) -> None:
        run.update_progress(40, "page 4")
        seen.append((run.id, overview.task("sample")))

    manager.add(sample, name="sample")
    with manager:
        manager.trigger("sample")

    ((run_id, card),) = seen
    assert (card.doing, card.run_id) == ("running", run_id)
    assert [cell.state for cell in card.strip] == ["running"]
    if manager.store.shared:  # a store in a database hears of progress with the next beat
        return
    assert (card.progress, card.message) == (40.0, "page 4")


def test_a_card_tells_who_has_turned_the_switch_why_and_until_when(manager: TaskManager, clock: VirtualClock) -> None:
    sample = manager.add(lambda: None, every(10).minutes, name="sample")
    overview = Overview(manager)

    with manager:
        overview.tasks()
        sample.disable(note="the other side is down", until=after(seconds=5), by="ada")
        off = overview.task("sample")
        clock.advance(seconds=5)
        on = overview.task("sample")

    assert (off.doing, off.enabled, off.note, off.until, off.by) == (
        "disabled",
        False,
        "the other side is down",
        after(seconds=5),
        "ada",
    )
    assert (on.doing, on.enabled, on.until) == ("idle", True, None)


def test_a_strip_has_the_newest_60_and_one_cell_for_slots_that_were_skipped_for_one_reason(
    manager: TaskManager, clock: VirtualClock
) -> None:
    sample = manager.add(lambda: None, every(1).seconds, name="sample")
    overview = Overview(manager)

    with manager:
        clock.advance(seconds=70)
        assert len(overview.task("sample").strip) == 60
        sample.disable()
        clock.advance(seconds=30)
        strip = overview.task("sample").strip

    assert [(cell.state, cell.count, cell.at) for cell in strip[-2:]] == [
        ("succeeded", 1, after(seconds=70)),
        ("skipped", 30, after(seconds=71)),
    ]


def test_a_recurring_entry_has_a_card_that_names_its_task(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, name="report", tags=["reports"])
    overview = Overview(manager)

    with manager:
        manager.recurring.add("report at night", task="report", schedule="1 14 * * * in Europe/Amsterdam")
        card = overview.task("report at night")
        clock.advance(minutes=1)
        later = overview.task("report at night")

    assert (card.entry_of, card.tags, card.doing) == ("report", ("reports",), "idle")
    assert card.schedules == (ScheduleText("every day at 14:01", "1 14 * * *", "Europe/Amsterdam"),)
    assert card.next_run == after(minutes=1)
    assert (card.runs, later.runs) == (0, 1)


def test_an_entry_that_is_updated_or_removed_is_seen_at_once(manager: TaskManager) -> None:
    manager.add(lambda: None, name="report")
    overview = Overview(manager)

    with manager:
        manager.recurring.add("nightly", task="report", schedule="0 2 * * *")
        before = overview.task("nightly").schedules[0].source
        manager.recurring.update("nightly", schedule="0 3 * * *")
        changed = overview.task("nightly").schedules[0].source
        manager.recurring.remove("nightly")
        names = [card.name for card in overview.tasks().cards]

    assert (before, changed, names) == ("0 2 * * *", "0 3 * * *", ["report"])


def test_what_another_process_does_is_seen_with_the_next_question(store_url: str, clock: VirtualClock) -> None:
    here, there = (TaskManager([], clock=clock, store=store_url) for _ in range(2))
    for manager in (here, there):
        manager.add(lambda: None, name="sample")
    overview = Overview(here)

    with there:
        before = overview.tasks().cards[0]
        there.trigger("sample").result(LIMIT)
        there["sample"].disable(by="ada")
        card = overview.tasks().cards[0]

    assert (before.runs, before.enabled, before.strip) == (0, True, ())
    assert (card.runs, card.enabled, card.by) == (1, False, "ada")
    assert [cell.state for cell in card.strip] == ["succeeded"]


def test_a_task_that_nobody_knows_is_refused_with_the_nearest_names(memory: TaskManager) -> None:
    memory.add(lambda: None, name="sample")
    overview = Overview(memory)

    for ask in (overview.task, overview.upcoming, overview.points):
        with pytest.raises(UnknownTaskError, match="sample"):
            ask("sampel")


def test_a_task_that_is_added_or_removed_is_seen(memory: TaskManager, clock: VirtualClock) -> None:
    overview = Overview(memory)
    assert overview.tasks().cards == ()

    memory.add(lambda: None, name="sample")
    assert overview.task("sample").doing == "idle"

    memory.remove("sample")
    clock.advance(seconds=1)
    assert overview.tasks().total == 0


def test_points_are_the_newest_runs_that_started(manager: TaskManager, clock: VirtualClock) -> None:
    takes = iter([1.0, 2.0, 3.0])
    sample = manager.add(lambda: clock.sleep(next(takes)), every(10).seconds, name="sample")
    overview = Overview(manager)

    with manager:
        clock.advance(seconds=35)
        sample.disable()
        clock.advance(seconds=10)
        points = overview.points("sample")

    assert [(point.at, point.state, point.duration, point.lateness) for point in points] == [
        (after(seconds=10), "succeeded", 1.0, 0.0),
        (after(seconds=20), "succeeded", 2.0, 0.0),
        (after(seconds=30), "succeeded", 3.0, 0.0),
    ]


# Pages.


def test_a_page_has_tasks_by_name_and_says_where_the_next_begins(memory: TaskManager) -> None:
    for name in ("c", "a", "b"):
        memory.add(lambda: None, name=name)
    overview = Overview(memory)

    first = overview.tasks(limit=2)
    second = overview.tasks(limit=2, cursor=first.cursor)

    assert ([card.name for card in first.cards], first.cursor, first.total) == (["a", "b"], "b", 3)
    assert ([card.name for card in second.cards], second.cursor, second.total) == (["c"], None, 3)


def test_tasks_are_found_by_text_tag_and_what_they_do(memory: TaskManager, clock: VirtualClock) -> None:
    def described() -> None:
        """Fetches the WEATHER."""

    memory.add(described, name="fetch", tags=["feeds"])
    memory.add(lambda: None, name="weather report", tags=["reports", "feeds"])
    memory.add(lambda: 1 / 0, every(10).minutes, name="fails", tags=["reports"])
    memory.add(lambda: None, name="off", disabled=True)
    overview = Overview(memory)

    def names(**filters: Any) -> list[str]:
        return [card.name for card in overview.tasks(**filters).cards]

    with memory:
        clock.advance(minutes=10)
        assert names(text="weather") == ["fetch", "weather report"]
        assert names(tag="reports") == ["fails", "weather report"]
        assert names(text="weather", tag="reports") == ["weather report"]
        assert names(doing="disabled") == ["off"]
        assert names(doing="failing") == ["fails"]
        assert names(doing="idle") == ["fails", "fetch", "weather report"]
        page = overview.tasks(tag="reports")

    assert page.total == 2
    assert page.tags == {"feeds": 2, "reports": 2}
    assert page.doing == {"idle": 3, "disabled": 1, "failing": 1}


@pytest.mark.parametrize("asked", [{"doing": "runing"}, {"limit": 0}, {"limit": 1001}])
def test_what_cannot_be_asked_of_a_page_is_refused(memory: TaskManager, asked: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        Overview(memory).tasks(**asked)


def test_a_timeline_of_another_span_is_refused(memory: TaskManager) -> None:
    with pytest.raises(ParameterError, match="day, week"):
        Overview(memory).timeline("month")  # type: ignore[arg-type]


# Problems.


def test_a_manager_that_is_well_has_no_problems(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(10).seconds, name="sample")

    with manager:
        clock.advance(seconds=30)
        assert Overview(manager).problems() == ()


def test_a_task_that_fails_tells_how_often_in_a_row_and_shows_its_run(
    manager: TaskManager, clock: VirtualClock
) -> None:
    def sample() -> None:
        raise ValueError("no page 7")

    manager.add(sample, every(10).seconds, name="sample")
    overview = Overview(manager)

    with manager:
        clock.advance(seconds=30)
        card = overview.task("sample")
        problems = overview.problems()

    assert card.last is not None
    assert card.last.text == "ValueError: no page 7"
    assert card.problems == problems
    assert problems == (
        Problem(
            "failing",
            "sample",
            "Its last 3 runs failed: ValueError: no page 7",
            "Read the traceback and the log of its run; run it again when the cause is gone.",
            card.last.run_id,
        ),
    )


def test_a_task_that_is_well_again_has_no_problem_any_more(manager: TaskManager, clock: VirtualClock) -> None:
    ends = iter([1 / 3, None])

    def sample() -> None:
        if next(ends):
            raise ValueError("only once")

    manager.add(sample, every(10).seconds, name="sample")
    overview = Overview(manager)

    with manager:
        clock.advance(seconds=10)
        assert kinds(overview) == [("failing", "sample")]
        clock.advance(seconds=10)
        assert kinds(overview) == []


def test_a_task_that_timed_out_is_to_be_given_more_time(memory: TaskManager, clock: VirtualClock) -> None:
    import asyncio

    @memory.task(every(10).minutes, timeout=5)
    async def sample() -> None:
        await asyncio.sleep(60)

    with memory:
        clock.advance(minutes=11)
        (problem,) = Overview(memory).problems()

    assert (problem.kind, problem.text[:24]) == ("failing", "Its last run timed out: ")
    assert "timeout=" in problem.remedy


def test_a_run_far_beyond_what_is_usual_overruns(memory: TaskManager, clock: VirtualClock) -> None:
    takes = iter([10.0, 10.0, 10.0, 10.0, 10.0, 600.0])
    memory.add(lambda: clock.sleep(next(takes)), every(1).hours, name="sample")
    overview, seen = Overview(memory), []

    with memory:
        memory.scheduler.call_at(after(hours=6, minutes=1), lambda: seen.append(overview.problems()))
        memory.scheduler.call_at(after(hours=6, minutes=3), lambda: seen.append(overview.problems()))
        clock.advance(hours=6)

    early, late = seen
    assert early == ()
    assert [(one.kind, one.task, one.text) for one in late] == [
        ("overrunning", "sample", "Its run has taken 3 min; 19 of 20 take 10.0 s or less.")
    ]


def test_a_body_that_goes_on_past_its_timeout_overruns(clock: VirtualClock, memory: TaskManager) -> None:
    memory.add(lambda: clock.sleep(600), name="sample", threaded=True, timeout=60)
    overview, seen = Overview(memory), []

    with memory:
        memory.scheduler.call_at(after(minutes=5), lambda: seen.append(overview.task("sample")))
        memory.trigger("sample")

    (card,) = seen
    assert card.doing == "running"
    assert [problem.kind for problem in card.problems] == ["failing", "overrunning"]


def test_a_run_that_newer_slots_have_overtaken_is_overdue(memory: TaskManager, clock: VirtualClock) -> None:
    memory.add(lambda: clock.sleep(1500), every(10).minutes, name="sample")
    overview, seen = Overview(memory), []

    with memory:
        memory.scheduler.call_at(after(minutes=25), lambda: seen.append(overview.task("sample")))
        clock.advance(minutes=11)

    (card,) = seen
    assert [problem.kind for problem in card.problems] == ["overdue"]


def test_a_run_that_was_lost_is_a_problem_until_another_has_ended() -> None:
    manager = TaskManager([], clock=VirtualClock(NOON, threads=True))
    started, ends = threading.Event(), threading.Event()

    @manager.task(threaded=True)
    def sample() -> None:
        started.set()
        assert ends.wait(LIMIT)

    overview = Overview(manager)
    with manager:
        run = sample.trigger()
        assert started.wait(LIMIT)
        manager.stop(timeout=0)
    ends.set()

    with manager:
        (problem,) = overview.problems()
        assert (problem.kind, problem.task, problem.run_id) == ("lost", "sample", run.id)
        sample.trigger().result(LIMIT)
        assert overview.problems() == ()


def test_an_entry_whose_task_is_gone_is_an_orphan(store_url: str, clock: VirtualClock) -> None:
    before = TaskManager([], clock=clock, store=store_url)
    before.add(lambda: None, name="report")
    before.recurring.add("nightly", task="report", schedule="0 2 * * *")
    manager = TaskManager([], clock=clock, store=store_url)
    overview = Overview(manager)

    with manager:
        card = overview.task("nightly")
        (problem,) = overview.problems()

    assert (card.doing, card.entry_of, card.schedules[0].text) == ("broken", "report", "every day at 02:00")
    assert (problem.kind, problem.task) == ("orphaned", "nightly")
    assert "'report'" in problem.remedy


def test_a_schedule_that_breaks_is_a_problem(memory: TaskManager, clock: VirtualClock) -> None:
    import schedule

    class Tides(schedule.Job):
        def next_slot(self, moment: datetime.datetime) -> datetime.datetime | None:
            return after(minutes=10) if moment < after(minutes=10) else moment

    memory.add(lambda: None, Tides(1), name="sample")
    overview = Overview(memory)

    with memory:
        clock.advance(minutes=10)
        card = overview.task("sample")

    assert card.doing == "broken"
    assert [(problem.kind, problem.text[:23]) for problem in card.problems] == [("broken", "Its schedule is broken:")]


def test_schedules_that_are_over_are_told_last(memory: TaskManager, clock: VirtualClock) -> None:
    memory.add(lambda: None, once(after(hours=1)), name="a single time")
    memory.add(lambda: 1 / 0, every(10).minutes, name="sample")

    with memory:
        clock.advance(hours=2)
        assert kinds(Overview(memory)) == [("failing", "sample"), ("never", "a single time")]


def test_a_task_without_a_schedule_is_no_problem(memory: TaskManager) -> None:
    memory.add(lambda: None, name="by hand")

    with memory:
        assert Overview(memory).problems() == ()


def test_what_the_health_tells_is_a_problem_of_the_manager(
    memory: TaskManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    overview = Overview(memory)

    with memory:
        monkeypatch.setattr(memory.scheduler, "ailment", lambda: "the loop has died")
        (problem,) = overview.problems()

    assert (problem.kind, problem.task, problem.text) == ("unhealthy", None, "The loop has died.")
    assert problem.remedy


def test_a_manager_that_is_stopped_is_a_problem_and_shows_its_tasks_all_the_same(
    manager: TaskManager, clock: VirtualClock
) -> None:
    manager.add(lambda: None, every(10).seconds, name="sample")
    overview = Overview(manager)
    with manager:
        clock.advance(seconds=10)
        assert overview.problems() == ()

    card = overview.task("sample")
    assert kinds(overview) == [("stopped", None)]
    assert (card.runs, card.schedules[0].text) == (1, "every 10 seconds")
    # On a store that processes share another one may run it: then it is due when its declaration says.
    assert card.next_run == (after(seconds=20) if manager.store.shared else None)


# What is on record, without the code.


def test_what_is_on_record_is_what_was_declared_and_is_in_force(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, [every(10).minutes, cron("0 2 * * *", tz="UTC")], name="both", tags=["a"])
    with manager:
        clock.advance(minutes=1)
        found = manager.store.on_record(["both", "nobody"])

    assert len(found["both"].declarations) == 2
    assert (found["nobody"].declarations, found["nobody"].tags) == ((), ())


def test_who_has_no_code_sees_all_that_is_on_record(store_url: str, clock: VirtualClock) -> None:
    with TaskManager([], clock=clock, store=store_url) as running:
        running.add(lambda: None, every(10).minutes, name="often", tags=["a"])
        running.add(lambda: None, every(10).minutes, name="after", fixed_delay=True)
        running.add(lambda: None, every(10).minutes, name="everywhere", everywhere=True)
        running.recurring.add("nightly", task="often", schedule="0 2 * * *")
        clock.advance(minutes=1)
        overview = Overview(TaskManager([], clock=clock, store=store_url), on_record=True)
        first = overview.tasks()
        running.add(lambda: None, name="later")
        clock.advance(minutes=10)
        second = overview.tasks()
        held, slots = overview.upcoming("after"), overview.upcoming("often", limit=2)

    assert [(card.name, card.doing, len(card.schedules), card.tags) for card in first.cards] == [
        ("after", "idle", 1, ()),
        ("everywhere", "idle", 1, ()),
        ("nightly", "idle", 1, ("a",)),
        ("often", "idle", 1, ("a",)),
    ]
    assert first.cards[3].next_run == after(minutes=10)
    assert [card.name for card in second.cards] == ["after", "everywhere", "later", "nightly", "often"]
    assert (len(held), [slot.at for slot in slots]) == (1, [after(minutes=20), after(minutes=30)])
    with pytest.raises(UnknownTaskError, match=r"There is no task 'oftn' on record\. Did you mean 'often'"):
        overview.task("oftn")


def test_what_only_the_store_knows_is_switched_by_its_name(store_url: str, clock: VirtualClock) -> None:
    with TaskManager([], clock=clock, store=store_url) as running:
        running.add(lambda: None, every(10).minutes, name="often")
        clock.advance(minutes=1)
        looking = TaskManager([], clock=clock, store=store_url)
        looking.disable("often", "moving house", by="ada")
        off = running["often"].is_enable
        looking.enable("often")
        with pytest.raises(UnknownTaskError):
            looking.enable("oftn")

    assert (off, running["often"].is_enable) == (False, True)
    assert [(entry.what, entry.task) for entry in looking.journal()] == [("enabled", "often"), ("disabled", "often")]


def test_on_record_it_is_seen_that_nobody_takes_the_slots_of_a_task(store_url: str, clock: VirtualClock) -> None:
    looking = Overview(TaskManager([], clock=clock, store=store_url), on_record=True)
    with TaskManager([], clock=clock, store=store_url) as running:
        running.add(lambda: None, every(10).minutes, name="kept")
        running.add(lambda: None, every(10).minutes, name="off")
        running.add(lambda: None, every(10).minutes, name="removed")
        running.add(lambda: None, every(10).minutes, name="everywhere", everywhere=True)
        running.add(lambda: None, every(2).hours, name="seldom")
        clock.advance(minutes=11)
        running.remove("removed")
        running.disable("off")
        clock.advance(minutes=19)
        before = kinds(looking)
        clock.advance(minutes=2)
        found = looking.problems()

    assert before == []
    assert [(one.kind, one.task) for one in found] == [("overdue", "removed")]
    assert found[0].text.endswith(" have no outcome: no process that has it in its code runs.")
