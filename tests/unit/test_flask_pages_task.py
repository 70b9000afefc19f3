"""The page of one task: what it shows, and what is done on it, without JavaScript."""

from __future__ import annotations

import datetime
import json
import re

import pytest
from naughty import OURS, naughty_strings
from pages_client import Pages, elements, words

from task import TaskManager, cron, every
from task.stores import MemoryStore
from task.testing import VirtualClock


@pytest.fixture
def manager(clock: VirtualClock) -> TaskManager:
    """A manager in memory: an application gives one without a store a file."""
    return TaskManager([], clock=clock, store=MemoryStore())


def test_a_task_that_never_ran_says_so_everywhere(manager: TaskManager):
    manager.add(lambda: None, name="sample")
    read = words(Pages(manager).get("/task", name="sample"))
    for told in (
        "Last run never Runs 0 Failures 0",
        "Only by hand: it has no schedule.",
        "It takes no parameters.",
        "It has no docstring.",
        "As soon as it has run, the durations of its runs are drawn here.",
        "It has not run yet.",
        "Nobody has steered it yet.",
    ):
        assert told in read


def test_an_unknown_task_is_not_found(manager: TaskManager):
    pages = Pages(manager)
    assert "There is no task 'none'" in words(pages.get("/task", name="none"))
    assert pages.status == 404


def test_a_task_tells_what_it_is_and_where(manager: TaskManager):
    @manager.task(
        every(10).minutes,
        name="feeds.fetch",
        tags=["io"],
        timeout=300,
        retry=3,
        overlap="queue",
        mutex="network",
        disable_after=5,
        threaded=True,
        jitter=2,
        redact=["token"],
    )
    def fetch(token: str = ""):
        """Fetch the feeds.

        All of them."""

    read = words(Pages(manager).get("/task", name="feeds.fetch"))
    assert "Fetch the feeds. All of them." in read
    assert re.search(r"Source tests/unit/test_flask_pages_task\.py:\d+ Tags io", read)
    assert (
        "Runs on the pool of threads Time limit 5 min for each attempt Retries 3 more attempts, after 1, 2 and 4 s "
        "At once one run; one that comes meanwhile waits Mutex of all tasks with 'network', one run at once "
        "Switched off after 5 failures in a row Jitter each start is delayed by up to 2.0 s Secrets token"
    ) in read


def test_the_next_ten_slots_mark_the_nights_on_which_the_clocks_change(manager: TaskManager, clock: VirtualClock):
    manager.add(lambda: None, cron("30 2 * * *", tz="Europe/Amsterdam"), name="nightly")
    clock.run_until(datetime.datetime(2026, 10, 20, tzinfo=datetime.UTC))
    with manager:
        read = words(Pages(manager).get("/task", name="nightly"))
    assert "every day at 02:30 in Europe/Amsterdam 30 2 * * *" in read
    assert "The next ten slots Tue 20 Oct 2026 02:30 CEST" in read
    assert "Sun 25 Oct 2026 02:30 CEST in 5 d The clocks go back that night, and show this time twice" in read
    assert read.count("The clocks go back") == 1
    assert "Thu 29 Oct 2026 02:30 CET" in read


def test_the_night_that_skips_a_slot_is_explained(manager: TaskManager, clock: VirtualClock):
    clock.run_until(datetime.datetime(2027, 3, 27, tzinfo=datetime.UTC))
    manager.add(lambda: None, cron("30 2 * * *", tz="Europe/Amsterdam"), name="nightly")
    with manager:
        read = words(Pages(manager).get("/task", name="nightly"))
    assert "Sun 28 Mar 2027 03:00 CEST in 1 d 1 h The clocks go forward that night" in read


def test_figures_plots_and_history_tell_of_its_runs(manager: TaskManager, clock: VirtualClock):
    @manager.task(every(10).seconds)
    def sometimes():
        clock.sleep(2)
        if clock.now().second == 22:
            raise ValueError("no such host")

    with manager:
        clock.advance(seconds=45)
        html = Pages(manager).get("/task", name="sometimes")
    read = words(html)
    assert "Runs 4 Failures 1 Duration p50 · p95 2.0 s · 2.0 s Lateness p50 · p95 0 ms · 0 ms" in read
    assert "3 succeeded 1 failed" in read
    told = re.search(r"data-plot='([^']*)'", html)
    assert told is not None
    assert json.loads(told[1]) == {
        "offset": 0.0,
        "at": [1777896010.0, 1777896020.0, 1777896030.0, 1777896040.0],
        "state": ["succeeded", "failed", "succeeded", "succeeded"],
        "duration": [2.0, 2.0, 2.0, 2.0],
        "lateness": [0.0, 0.0, 0.0, 0.0],
    }
    assert "Mon 4 May 2026 12:00:20 UTC failed 2.0 s 0 ms" in read  # the same in a table
    assert "failed 25 s ago its schedule 2.0 s 0 ms ValueError: no such host" in read  # the history


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, [3, 2, 1, 0]),
        ({"state": "failed"}, [1]),
        ({"since": "2026-05-04T12:00:25"}, [3, 2]),
        ({"until": "2026-05-04T12:00:25"}, [1, 0]),
        ({"since": "2026-05-04T12:00:15", "until": "2026-05-04T12:00:35"}, [2, 1]),
        ({"state": "lost"}, []),
    ],
)
def test_the_history_is_filtered(manager: TaskManager, clock: VirtualClock, query, ids):
    @manager.task(every(10).seconds)
    def sometimes():
        if clock.now().second == 20:
            raise ValueError

    with manager:
        clock.advance(seconds=40)
        runs = manager.runs("sometimes")[::-1]
        html = Pages(manager).get("/task", name="sometimes", **query)
    assert re.findall(r'<tr id="run-([^"]*)"', html) == [runs[number].id for number in ids]
    assert ("No run is like that." in words(html)) == (not ids)


def test_a_filter_that_cannot_be_says_so_at_its_field_and_keeps_what_was_typed(manager: TaskManager):
    manager.add(lambda: None, name="sample")
    html = Pages(manager).get("/task", name="sample", since="yesterday", state="odd")
    assert 'value="yesterday" aria-invalid="true" aria-describedby=" wrong-since"' in html
    assert "Give a day and a time, such as 2026-05-04T12:30." in words(html)


def test_the_history_comes_in_pages_that_lead_through_all_of_it(manager: TaskManager, clock: VirtualClock):
    manager.add(lambda: None, every(10).seconds, name="sample")
    with manager:
        clock.advance(seconds=600)
        pages = Pages(manager)
        html, seen = pages.get("/task", name="sample"), []
        while True:
            seen += re.findall(r'<tr id="run-([^"]*)"', html)
            older = re.search(r'href="[^"]*cursor=([^"&#]*)[^"]*">Older', html)
            if older is None:
                break
            html = pages.get("/task", name="sample", cursor=older[1])
        assert seen == [run.id for run in manager.runs("sample")]
    assert len(seen) == 60
    assert ">Newest</a>" in html


def test_lineage_leads_to_the_tasks_before_and_after(manager: TaskManager):
    manager.add(lambda: None, name="load")
    manager.add(lambda: None, name="report", after="load")
    pages = Pages(manager)
    assert "After load has succeeded." in words(pages.get("/task", name="report"))
    html = pages.get("/task", name="load")
    assert "When it has ended: report may follow." in words(html)
    assert 'href="/tasks/task?name=report"' in html


def test_a_recurring_entry_has_the_same_page_and_leads_to_its_task(manager: TaskManager):
    def greet(name: str, times: int = 1): ...

    manager.add(greet)
    manager.recurring.add("greet Ada", task="greet", schedule="0 9 * * *", parameters={"name": "Ada"}, by="bob")
    html = Pages(manager).get("/task", name="greet Ada")
    read = words(html)
    assert "Runs greet , as a recurring entry" in read
    assert "every day at 09:00 0 9 * * *" in read
    assert 'name="p.name" type="text" value="Ada"' in html.replace("  ", " ")
    assert "bob added it" in read


def test_an_entry_whose_task_is_gone_is_shown_and_switched_and_cannot_be_run(clock: VirtualClock, tmp_path):
    url = f"sqlite:///{tmp_path / 'tasks.db'}"
    with TaskManager([], clock=clock, store=url) as before:
        before.add(lambda: None, name="old")
        before.recurring.add("nightly", task="old", schedule="0 9 * * *")
    after = TaskManager([], clock=clock, store=url)
    pages = Pages(after)
    read = words(pages.get("/task", name="nightly"))
    assert pages.status == 200
    assert "orphaned" in read
    assert "It cannot be run here: its task is not in the code of this process." in read
    pages.send("disable", name="nightly", back="task", note="gone")
    assert not after.recurring.get("nightly").enabled


def test_what_people_and_bodies_say_is_escaped_and_seen(manager: TaskManager, clock: VirtualClock):
    @manager.task(every(10).seconds)
    def evil():
        "<script>alert(1)</script> \u202e"
        raise ValueError("<img src=x>\x1b[31m'\"&\ud800")

    with manager:
        clock.advance(seconds=10)
        evil.disable(note="<b>why</b>\u202e", by="<i>eve</i>")
        html = Pages(manager).get("/task", name="evil")
    for raw in ("<script>alert", "<img src=x", "<b>why", "<i>eve", "\x1b", "\u202e", "\ud800"):
        assert raw not in html
    assert "&lt;img src=x&gt;" in html
    assert "⟨202E⟩" in html


# The switch.


def test_it_is_turned_off_with_a_note_until_a_moment(manager: TaskManager):
    sample = manager.add(lambda: None, every().hour, name="sample")
    pages = Pages(manager, who="ada")
    read = words(pages.send("disable", name="sample", back="task", note="the other side", until="2026-05-05T08:00"))
    assert not sample.is_enable
    assert pages.at.startswith("/tasks/task?")
    assert "Off until Tue 5 May 2026 08:00:00 UTC, by ada : the other side" in read
    entry = manager.journal("sample")[0]
    assert (entry.who, entry.note) == ("ada", "the other side, until 2026-05-05T08:00:00+00:00")

    read = words(pages.send("enable", name="sample", back="task"))
    assert sample.is_enable
    assert "It is on." in read


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"until": "soon"}, "Give a day and a time, such as 2026-05-04T12:30."),
        ({"until": "2020-01-01T00:00"}, "This is past. Leave it empty for a switch that stays off."),
        ({"until": "0001-01-01T00:00+23:00"}, "Give a day and a time, such as 2026-05-04T12:30."),
        ({"note": "x" * 301}, "A note has 300 characters at most."),
    ],
)
def test_a_switch_that_cannot_be_is_refused_at_its_field_with_what_was_typed(manager: TaskManager, typed, told):
    sample = manager.add(lambda: None, name="sample")
    pages = Pages(manager)
    html = pages.send("disable", name="sample", back="task", **{"note": "keep <this>", **typed})
    assert pages.status == 422
    assert told in words(html)
    assert "keep &lt;this&gt;" in html or typed.get("note", "none") in html
    assert sample.is_enable


# A run now.


def test_a_run_is_started_with_what_was_typed_and_its_page_is_shown(manager: TaskManager):
    def greet(name: str, times: int = 1) -> str:
        return name * times

    manager.add(greet)
    with manager:
        pages = Pages(manager, who="ada")
        pages.send("run", name="greet", **{"p.name": "Ada", "p.times": "2"})
        run = manager.runs("greet")[0]
        assert run.result() == "AdaAda"
        assert manager.journal("greet")[0].who == "ada"
    assert pages.at == f"/tasks/run/{run.id}?told=triggered"


def test_what_does_not_fit_is_refused_at_its_field_with_what_was_typed(manager: TaskManager):
    def greet(name: str, times: int = 1): ...

    manager.add(greet)
    with manager:
        pages = Pages(manager)
        html = pages.send("run", name="greet", **{"p.name": "<Ada>", "p.times": "twice"})
        assert manager.runs() == []
    assert pages.status == 422
    assert "Give a whole number." in words(html)
    assert 'value="&lt;Ada&gt;"' in html
    assert 'value="twice"' in html
    assert html.count('aria-invalid="true"') == 1


def test_a_run_that_cannot_be_says_why(manager: TaskManager):
    manager.add(lambda: None, name="sample")
    pages = Pages(manager)  # the manager does not run
    read = words(pages.send("run", name="sample"))
    assert pages.status == 422
    assert "Task 'sample' cannot be triggered" in read or "has no manager" in read


def test_a_secret_is_passed_and_never_shown(manager: TaskManager, clock: VirtualClock):
    seen: list[str] = []

    def sync(password: str, times: int = 1):
        seen.append(password)

    manager.add(sync, redact=["password"])
    with manager:
        pages = Pages(manager)
        html = pages.send("run", name="sync", **{"p.password": "hunter2", "p.times": "x"})
        assert pages.status == 422
        assert "hunter2" not in html
        pages.send("run", name="sync", **{"p.password": "hunter2"})
        clock.advance(seconds=1)
        html = pages.get("/task", name="sync")
    assert seen == ["hunter2"]
    assert "hunter2" not in html
    assert 'type="password" value=""' in html


# Anything may be a text.

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


#: What somebody typed stays in its field as it is.
VALUES = re.compile(' value="[^"]*"')


def test_naughty_strings_are_shown_as_text_and_obeyed_by_nothing(manager: TaskManager):
    def body(region: str = "EU"): ...

    def pages_of(number: int, text: str) -> list[str]:
        name = f"{text} {number}"
        if not name.isprintable() or len(name) > 200:
            name = f"task {number}"
        body.__doc__ = f"{text}."
        task = manager.add(body, name=name, tags=[f"{text}."])
        task.disable(note=f"{text}.", by=f"{text}.")
        shown = [pages.get("/task", name=name), pages.get("/", tag=f"{text}.")]
        shown.append(pages.send("run", name=name, **{"p.region": text, "p.**": "no JSON"}))
        manager.remove(name)
        return shown

    pages = Pages(manager)
    made_of = [elements(page) for page in pages_of(0, "harmless")]
    for number, text in enumerate([*naughty_strings()[::10], *OURS], 1):
        shown = pages_of(number, text)
        assert [elements(page) for page in shown] == made_of, text
        assert not any(OBEYED.search(VALUES.sub("", page)) for page in shown), text
