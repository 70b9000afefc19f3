"""What is on record: pages, a run by its id, statistics; of every store."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Iterator
from typing import Any

import pytest

from task import (
    NoResultError,
    ParameterError,
    Run,
    RunPage,
    TaskManager,
    UnknownRunError,
    UnknownTaskError,
    current_run,
    every,
)
from task.testing import VirtualClock

MINUTE = datetime.timedelta(minutes=1)


@pytest.fixture
def kept(any_store_url: str | None, clock: VirtualClock) -> Iterator[TaskManager]:
    """A manager on each kind of store, which runs."""
    with TaskManager([], store=any_store_url, clock=clock) as manager:
        yield manager
    if manager.store.shared:
        manager.store.close()


def fail() -> None:
    raise ValueError("no")


def minutes(page: list[Run]) -> list[int]:
    return [run.queued_at.minute for run in page]


def test_pages_hold_every_run_once_newest_first(kept: TaskManager, clock: VirtualClock) -> None:
    kept.add(lambda: None, every(1).minutes, name="sample")
    clock.advance(minutes=7)

    first = kept.runs(limit=3)
    second = kept.runs(limit=3, cursor=first.cursor)
    third = kept.runs(limit=3, cursor=second.cursor)

    assert [minutes(page) for page in (first, second, third)] == [[7, 6, 5], [4, 3, 2], [1]]
    assert isinstance(first, RunPage)
    assert third.cursor is None


def test_a_page_that_holds_the_last_run_says_so(kept: TaskManager, clock: VirtualClock) -> None:
    kept.add(lambda: None, every(1).minutes, name="sample")
    clock.advance(minutes=3)
    assert kept.runs(limit=3).cursor is None
    assert kept.runs("sample", limit=2).cursor is not None


def test_pages_are_stable_while_runs_come(kept: TaskManager, clock: VirtualClock) -> None:
    kept.add(lambda: None, every(1).minutes, name="sample")
    clock.advance(minutes=4)
    first = kept.runs("sample", limit=2)

    clock.advance(minutes=3)

    assert minutes(first) == [4, 3]
    assert minutes(kept.runs("sample", limit=2, cursor=first.cursor)) == [2, 1]


def test_runs_of_one_moment_are_in_the_order_in_which_they_came(kept: TaskManager) -> None:
    kept.add(lambda number: number, name="sample")
    made = [kept.trigger("sample", number=number).id for number in range(20)]

    pages = [kept.runs(limit=7)]
    while pages[-1].cursor is not None:
        pages.append(kept.runs(limit=7, cursor=pages[-1].cursor))

    assert [run.id for page in pages for run in page] == made[::-1]


def test_one_state_or_several_are_asked_for(kept: TaskManager, clock: VirtualClock) -> None:
    kept.add(lambda: None, every(2).minutes, name="well")
    kept.add(fail, every(3).minutes, name="ill")
    kept.add(lambda: None, every(4).minutes, name="off", disabled=True)
    clock.advance(minutes=8)

    def told(*states: str) -> list[str]:
        return [f"{run.task} {run.state}" for run in kept.runs(state=states)]

    assert told("failed") == ["ill failed"] * 2
    assert told("failed", "skipped") == ["ill failed", "off skipped", "ill failed"]
    assert len(told("failed", "skipped", "succeeded")) == 7
    assert told("queued", "running", "retrying", "lost", "missed") == []
    assert len(kept.runs("ill", "failed")) == 2
    assert len(kept.runs("well", "failed")) == 0


def test_what_is_under_way_is_found_by_its_state(kept: TaskManager, clock: VirtualClock) -> None:
    kept.add(fail, name="sample", retry=3)
    kept.trigger("sample")
    assert [str(run.state) for run in kept.runs(state="retrying")] == ["retrying"]
    assert [str(run.state) for run in kept.runs("sample", ["running", "retrying", "failed"])] == ["retrying"]


def test_pages_of_several_states_are_as_stable(kept: TaskManager, clock: VirtualClock) -> None:
    kept.add(lambda: None, every(2).minutes, name="well")
    kept.add(fail, every(3).minutes, name="ill")
    clock.advance(minutes=12)
    states = {"failed", "succeeded"}
    whole = [run.id for run in kept.runs(state=states)]

    first = kept.runs(state=states, limit=4)
    clock.advance(minutes=12)
    rest = kept.runs(state=["succeeded", "failed"], cursor=first.cursor)

    assert [run.id for run in [*first, *rest]] == whole


def test_times_are_those_of_queued_at_from_since_on_and_before_until(kept: TaskManager, clock: VirtualClock) -> None:
    kept.add(lambda: None, every(1).minutes, name="sample")
    noon = clock.now()
    clock.advance(minutes=6)
    assert minutes(kept.runs(since=noon + 4 * MINUTE)) == [6, 5, 4]
    assert minutes(kept.runs(until=noon + 3 * MINUTE)) == [2, 1]
    assert minutes(kept.runs("sample", "succeeded", since=noon + 2 * MINUTE, until=noon + 4 * MINUTE)) == [3, 2]
    assert minutes(kept.runs(since=noon + 7 * MINUTE)) == []


def test_the_first_row_of_a_time_may_be_a_missed_span(kept: TaskManager, clock: VirtualClock) -> None:
    kept.add(lambda: None, every(1).minutes, name="sample", misfire="skip")
    clock.suspend(minutes=60)
    clock.advance(minutes=2)
    (missed,) = kept.runs(state="missed")
    assert kept.runs(since=missed.queued_at)[-1].id == missed.id
    assert missed.id not in [run.id for run in kept.runs(until=missed.queued_at)]


def test_the_runs_that_come_from_one_are_found_by_their_parent(kept: TaskManager) -> None:
    kept.add(lambda: None, name="parent")
    kept.add(lambda: None, name="child", after="parent")
    parent, other = kept.trigger("parent"), kept.trigger("parent")
    assert [(run.task, run.parent_id) for run in kept.runs(parent=parent.id)] == [("child", parent.id)]
    assert len(kept.runs(parent=other.id)) == 1
    assert kept.runs("parent", parent=other.id) == []


def test_runs_are_found_by_a_tag_of_their_task(kept: TaskManager) -> None:
    kept.add(lambda: None, name="one", tags=["mail", "night"])
    kept.add(lambda: None, every(1).hours, name="two", tags=["mail"])
    kept.add(lambda: None, name="three", tags=['a "mail"'])
    for name in ("one", "two", "three", "one"):
        kept.trigger(name)
    assert [run.task for run in kept.runs(tag="mail")] == ["one", "two", "one"]
    assert [run.task for run in kept.runs(tag="night", limit=1)] == ["one"]
    assert [run.task for run in kept.runs("two", tag="mail", state=["succeeded", "failed"])] == ["two"]
    assert kept.runs("two", tag="night") == []
    assert kept.runs(tag="nobody's") == []


@pytest.mark.parametrize("limit", [0, 1001, -1, True, 2.0, "10", None])
def test_a_page_has_1_to_1000_runs(manager: TaskManager, limit: Any) -> None:
    with pytest.raises(ParameterError, match=r"limit is a whole number from 1 to 1000, not .*cursor=page\.cursor"):
        manager.runs(limit=limit)


def test_a_cursor_of_another_question_is_refused(kept: TaskManager, clock: VirtualClock) -> None:
    kept.add(lambda: None, every(1).minutes, name="sample")
    clock.advance(minutes=3)
    cursor = kept.runs("sample", limit=1).cursor
    for asked in ({}, {"task": "sample", "state": "failed"}, {"task": "sample", "tag": "mail"}):
        with pytest.raises(ParameterError, match=r"^cursor='.* does not belong to these runs: give the cursor of"):
            kept.runs(**asked, cursor=cursor)  # type: ignore[arg-type]
    assert len(kept.runs("sample", limit=9, cursor=cursor, since=clock.now() - 30 * MINUTE)) == 2


@pytest.mark.parametrize(
    "cursor", ["", "?", "AAAA", "x" * 5000, 7, b"", "é", base64.urlsafe_b64encode(b"\xff" * 44).decode(), "a\0b"]
)
def test_what_is_no_cursor_is_refused(manager: TaskManager, cursor: Any) -> None:
    with pytest.raises(ParameterError, match=r"^cursor=.* does not belong to these runs") as refused:
        manager.runs(cursor=cursor)
    assert len(str(refused.value)) <= 300


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"state": "faild"}, "Did you mean 'failed'"),
        ({"state": ["failed", "x"]}, "not a state of a run, nor several"),
        ({"state": []}, "names no state at all"),
        ({"state": 7}, "not a state of a run"),
        ({"since": datetime.datetime(2026, 5, 4)}, "since=.* is not a moment with a time zone"),
        ({"until": "today"}, "until='today' is not a moment"),
        ({"task": 7}, "task=...\\) takes text, not 7"),
        ({"tag": ["mail"]}, "tag=...\\) takes text"),
        ({"parent": 7}, "parent=...\\) takes text"),
    ],
)
def test_what_cannot_be_asked_for_is_said(manager: TaskManager, asked: Any, told: str) -> None:
    with pytest.raises(ParameterError, match=told):
        manager.runs(**asked)


def test_runs_of_a_task_that_nobody_knows_are_refused_and_of_one_without_runs_empty(kept: TaskManager) -> None:
    kept.add(lambda: None, name="sample")
    assert kept.runs("sample") == []
    assert kept.statistics("sample").counts == {}
    for ask in (kept.runs, kept.statistics):
        with pytest.raises(UnknownTaskError, match="Did you mean 'sample'"):
            ask("smaple")  # type: ignore[operator]


def test_a_run_is_found_by_its_id(kept: TaskManager) -> None:
    kept.add(lambda number: {"doubled": 2 * number}, name="sample")
    runs = [kept.trigger("sample", number=number) for number in range(3)]
    found = kept.find_run(runs[1].id)
    assert (found.id, found.task, found.state) == (runs[1].id, "sample", "succeeded")
    assert found.result(timeout=0) == {"doubled": 2}


@pytest.mark.parametrize("key", ["", "nobody", "x" * 1000, 7, None, "019df2dc-0a00-7000-8000-000000000000", "a\0b"])
def test_a_run_that_is_not_on_record_is_unknown(kept: TaskManager, key: Any) -> None:
    with pytest.raises(UnknownRunError, match=r"^No run .* is on record\. There was none, or it is older") as raised:
        kept.find_run(key)
    assert isinstance(raised.value, KeyError)


def test_a_result_that_is_json_comes_back_as_it_was_and_another_as_text(kept: TaskManager) -> None:
    kept.add(lambda value: [value, 1.5, None, True, "é"], name="json")
    kept.add(lambda: {1, 2}, name="set")
    kept.add(lambda: ["x" * 100_000], name="large")
    kept.add(lambda: None, name="nothing")
    for name, parameters in {"json": {"value": {"a": 1}}, "set": {}, "large": {}, "nothing": {}}.items():
        kept.trigger(name, **parameters)

    found = {run.task: kept.find_run(run.id) for run in kept.runs()}

    assert found["json"].result(0) == [{"a": 1}, 1.5, None, True, "é"]
    assert found["nothing"].result(0) is None
    assert found["set"].result_text == "{1, 2}"
    assert len(found["large"].result_text or "") <= 64_000
    for name in ("set", "large"):
        with pytest.raises(NoResultError, match="only the text of its result is kept"):
            found[name].result(0)


def test_a_masked_result_that_is_no_json_any_more_is_text(kept: TaskManager) -> None:
    kept.add(lambda pin: {"pin": pin}, name="sample", redact=["pin"])
    run = kept.trigger("sample", pin=123456)
    found = kept.find_run(run.id)
    assert found.state == "succeeded"
    assert "123456" not in str(found.as_dict())


# Statistics.


def test_statistics_count_every_state_and_measure_durations_and_lateness(
    kept: TaskManager, clock: VirtualClock
) -> None:
    def sample() -> None:
        if clock.now().minute % 5 == 0:
            raise ValueError("no")

    kept.add(sample, every(1).minutes, name="sample")
    clock.advance(minutes=10)
    kept["sample"].disable()
    clock.advance(minutes=3)

    told = kept.statistics("sample")

    assert told.counts == {"succeeded": 8, "failed": 2, "skipped": 3}
    assert (told.sample, told.p50_duration, told.p95_duration) == (10, 0.0, 0.0)
    assert (told.p50_lateness, told.p95_lateness) == (0.0, 0.0)
    assert json.loads(json.dumps(told.as_dict()))["counts"] == {"succeeded": 8, "failed": 2, "skipped": 3}


def test_the_end_of_the_newest_success_is_known_however_many_failures_came_since(
    kept: TaskManager, clock: VirtualClock
) -> None:
    def sample() -> None:
        if clock.now().minute > 2:
            raise ValueError("no")

    kept.add(sample, every(1).minutes, name="sample")
    clock.advance(minutes=10)

    standing = kept.store.standing(["sample"], clock.now())["sample"].summary
    summary = kept.store.summary("sample")

    assert [standing.states, summary.states] == [{"succeeded": 2, "failed": 8}] * 2
    noon = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)
    assert [standing.succeeded_at, summary.succeeded_at] == [noon + 2 * MINUTE] * 2


def test_percentiles_are_values_that_there_were(kept: TaskManager, clock: VirtualClock) -> None:
    kept.add(lambda: clock.sleep(clock.now().minute), every(1).minutes, name="sample", threaded=True)
    clock.advance(minutes=20, seconds=30)
    told = kept.statistics("sample")
    assert (told.sample, told.p50_duration, told.p95_duration) == (20, 10.0, 19.0)


def test_what_runs_now_is_counted(kept: TaskManager) -> None:
    kept.add(fail, name="sample", retry=3)
    kept.trigger("sample")
    assert kept.statistics("sample").counts == {"retrying": 1}
    assert kept.statistics("sample").p50_duration is None


# What no database takes as it is.

ODD = "half \ud800, zero \0"


def test_odd_characters_in_texts_stop_neither_a_run_nor_a_switch(kept: TaskManager) -> None:
    def sample(well: bool) -> str:
        current_run().update_progress(50, ODD)
        current_run().logger.info(ODD)
        if not well:
            raise ValueError(ODD)
        return ODD

    kept.add(sample, name="sample")
    kept.trigger("sample", well=True)
    kept.trigger("sample", well=False)
    kept["sample"].disable(ODD)

    failed, succeeded = kept.runs("sample")
    assert (succeeded.state, succeeded.result(0)) == ("succeeded", ODD)
    assert failed.state == "failed"
    assert str(failed.error).startswith("ValueError: half ")
    assert [line.message for line in failed.log] == [ODD]
    assert str(kept.store.switch("sample", kept.clock.now()).note).startswith("half ")


def test_a_question_with_odd_characters_finds_nothing(kept: TaskManager) -> None:
    kept.add(lambda: None, name="sample")
    kept.trigger("sample")
    assert kept.runs(parent=ODD) == []
    assert kept.runs(tag=ODD) == []
    with pytest.raises(UnknownTaskError):
        kept.runs(ODD)
    with pytest.raises(UnknownRunError):
        kept.find_run(ODD)
