"""The pages of all runs and of the journal: what they show, and what they are asked for."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from pages_client import Pages, words

from task import TaskManager, every
from task.stores import MemoryStore
from task.testing import VirtualClock


@pytest.fixture(autouse=True)
def local_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone of the process, in which pages tell moments: that of UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def manager(clock: VirtualClock) -> TaskManager:
    """A manager in memory: an application gives one without a store a file."""
    return TaskManager([], clock=clock, store=MemoryStore())


def listed(page: str) -> list[str]:
    """The names in the rows of a table, from above."""
    return re.findall(r'<td><a class="name" href="[^"]*"><bdi>([^<]*)</bdi>', page)


def test_without_runs_the_page_says_so(manager: TaskManager):
    assert "Nothing has run yet." in words(Pages(manager).get("/runs"))


def test_runs_are_listed_newest_first_with_why(manager: TaskManager, clock: VirtualClock):
    @manager.task(every(1).minutes, name="broken")
    def broken():
        raise ValueError("no <b>")

    manager.add(lambda: clock.sleep(2), name="slow")
    with manager:
        clock.advance(minutes=1)
        manager.trigger("slow")
        page = Pages(manager).get("/runs")
    assert listed(page) == ["slow", "broken"]
    read = words(page)
    assert "slow somebody, by hand succeeded 2 s ago 12:01:00 2.0 s" in read
    assert "broken its schedule failed 2 s ago 12:01:00 0 ms 0 ms ValueError: no <b>" in read
    assert "no &lt;b&gt;" in page


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"task": "good"}, ["good"]),
        ({"state": "failed"}, ["bad"]),
        ({"state": "under way"}, []),
        ({"tag": "night"}, ["bad"]),
        ({"since": "2026-05-04T12:30"}, ["late"]),
        ({"until": "2026-05-04T12:30"}, ["bad", "good"]),
        ({"state": "skipped", "task": "good"}, []),
    ],
)
def test_runs_are_found_by_what_is_asked_for(
    manager: TaskManager, clock: VirtualClock, asked: dict[str, str], names: list[str]
):
    def fail():
        raise ValueError

    manager.add(lambda: None, name="good")
    manager.add(fail, name="bad", tags=["night"])
    manager.add(lambda: None, name="late")
    with manager:
        manager.trigger("good")
        clock.advance(seconds=1)
        manager.trigger("bad")
        clock.advance(hours=1)
        manager.trigger("late")
        pages = Pages(manager)
        page = pages.get("/runs", **asked)
    assert pages.status == 200
    assert listed(page) == names
    for value in asked.values():
        assert f'value="{value}"' in page


def test_pages_of_runs_are_turned_by_their_cursors(manager: TaskManager, clock: VirtualClock):
    manager.add(lambda: None, every(1).seconds, name="sample")
    with manager:
        clock.advance(seconds=70)
        pages = Pages(manager)
        first = pages.get("/runs", task="sample")
        older = re.search(r'cursor=([\w-]+)[^"]*">Older</a>', first)
        assert older is not None
        second = pages.get("/runs", task="sample", cursor=older[1])
    assert (len(listed(first)), len(listed(second))) == (50, 20)
    assert ">Newest</a>" in second
    assert ">Older</a>" not in second


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"task": "smaple"}, "There is no task 'smaple' on record. Did you mean 'sample'?"),
        ({"state": "sleeping"}, "state='sleeping' is not a state of a run"),
        ({"since": "yesterday"}, "2026-05-04T12:"),
        ({"cursor": "x"}, "does not belong to these runs"),
    ],
)
def test_what_cannot_be_looked_for_is_told_at_its_field(manager: TaskManager, asked: dict[str, str], told: str):
    manager.add(lambda: None, name="sample")
    pages = Pages(manager)
    page = pages.get("/runs", **asked)
    assert pages.status == 422
    (key, value) = next(iter(asked.items()))
    error = re.search(f'<span class="error" id="wrong-{key}">(.*?)</span>', page)
    assert error is not None
    assert told in words(error[1])
    if key in ("task", "since"):
        assert f'value="{value}" aria-invalid="true"' in page


def test_lost_runs_have_a_page_of_their_own(manager: TaskManager):
    assert "No run is lost. A run is lost when its process ends before its body does." in words(
        Pages(manager).get("/runs", state="lost")
    )


def test_the_children_of_a_run_are_found(manager: TaskManager, clock: VirtualClock):
    manager.add(lambda: None, name="first")
    manager.add(lambda: None, name="second", after="first")
    with manager:
        run = manager.trigger("first")
        clock.advance(seconds=1)
        page = Pages(manager).get("/runs", parent=run.id)
    assert listed(page) == ["second"]


# The journal.


def test_a_journal_without_entries_says_what_it_is_for(manager: TaskManager):
    assert "Nobody has steered anything yet." in words(Pages(manager).get("/journal"))


def test_the_journal_tells_who_did_what_and_why(manager: TaskManager):
    sample = manager.add(lambda: None, name="sample")
    sample.disable(note="the other <side>", by="ada")
    manager.pause(by="grace")
    read = words(Pages(manager).get("/journal"))
    assert "grace paused all tasks" in read
    assert "ada disabled sample the other <side>" in read


def test_the_journal_of_one_task(manager: TaskManager):
    manager.add(lambda: None, name="first").disable(by="ada")
    manager.add(lambda: None, name="second").disable(by="grace")
    pages = Pages(manager)
    read = words(pages.get("/journal", task="first"))
    assert "ada disabled" in read
    assert "grace" not in read
    assert "There is no task 'none'" in words(pages.get("/journal", task="none"))
    assert pages.status == 422


def test_pages_of_the_journal_are_turned(manager: TaskManager):
    sample = manager.add(lambda: None, name="sample")
    for number in range(60):
        sample.disable(note=f"note {number}", by="ada")
    pages = Pages(manager)
    first, second = words(pages.get("/journal")), words(pages.get("/journal", page="2"))
    assert ("note 59" in first, "note 10" in first, "note 9 " in first) == (True, True, False)
    assert ("note 9" in second, "note 0" in second, "Newer" in second) == (True, True, True)
    assert "note 59" in words(pages.get("/journal", page="-1 or so"))


def test_who_may_only_look_sees_both_pages(manager: TaskManager):
    pages = Pages(manager, "view")
    assert [pages.get(path) and pages.status for path in ("/runs", "/journal")] == [200, 200]
