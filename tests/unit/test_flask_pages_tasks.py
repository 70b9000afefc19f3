"""The page of all tasks, and what is done on it, without JavaScript."""

from __future__ import annotations

import datetime
import re
from typing import Any

import flask
import pytest
from pages_client import Pages, words

from task import StoreUnavailableError, TaskManager, current_run, every
from task.flask import FlaskTasks
from task.overview import Overview
from task.stores import MemoryStore
from task.testing import VirtualClock


@pytest.fixture
def manager(clock: VirtualClock) -> TaskManager:
    """A manager in memory: an application gives one without a store a file."""
    return TaskManager([], clock=clock, store=MemoryStore())


def test_without_tasks_the_page_says_how_to_make_one(manager):
    html = Pages(manager).get("/")
    assert "There are no tasks yet. Decorate a function with @task" in words(html)


def test_a_task_is_shown_with_its_schedule_next_run_outcome_and_figures(manager: TaskManager, clock: VirtualClock):
    @manager.task(every(30).seconds, tags=["cache"])
    def refresh():
        clock.sleep(2)

    with manager:
        clock.advance(seconds=70)
        read = words(Pages(manager).get("/"))
    assert "refresh every 30 seconds cache" in read
    assert "in 20 s" in read
    assert "succeeded 2.0 s · 8 s ago" in read
    assert "0 ms 2.0 s" in read


def test_the_strip_has_a_cell_of_its_own_shape_for_each_outcome(manager: TaskManager, clock: VirtualClock):
    @manager.task(every(10).seconds)
    def sometimes():
        if clock.now().second == 20:
            raise ValueError

    with manager:
        clock.advance(seconds=30)
        html = Pages(manager).get("/")
    assert '<path class="succeeded" d="M285 3q0-1 1-1h2q1 0 1 1v18q0 1-1 1h-2q-1 0-1-1zM295 3q0' in html
    assert '<path class="failed" d="M290 0h4v15h-4zm0 17h4v7h-4z"/>' in html
    assert 'aria-label="The last slots: 2 succeeded, 1 failed"' in html


def test_what_a_running_task_has_told_is_shown_and_leads_to_its_run(manager: TaskManager, clock: VirtualClock):
    seen: list[tuple[str, str]] = []

    @manager.task(every(10).seconds)
    def long():
        current_run().update_progress(40)
        seen.append((Pages(manager).get("/"), current_run().id))

    with manager:
        clock.advance(seconds=10)
    html, key = seen[0]
    assert "40 %" in words(html)
    assert f'href="/tasks/run/{key}"' in html


def test_problems_come_first_and_say_what_to_do(manager: TaskManager, clock: VirtualClock):
    @manager.task(every(10).seconds)
    def broken():
        raise ValueError("no such host")

    with manager:
        clock.advance(seconds=30)
        read = words(Pages(manager).get("/"))
    assert "1 problem Examine failing broken : " in read
    assert read.index("1 problem") < read.index("1 task")
    assert "no such host" in read


def test_of_many_problems_the_worst_are_told_and_the_others_counted(manager: TaskManager, clock: VirtualClock):
    def broken():
        raise ValueError

    for number in range(25):
        manager.add(broken, every(10).seconds, name=f"task {number}")
    with manager:
        clock.advance(seconds=10)
        html = Pages(manager).get("/")
    assert html.count('<li class="failing">') == 20
    assert 'href="/tasks/?doing=failing">and 5 more</a>' in html


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["feeds.fetch", "feeds.prune", "mail"]),
        ({"text": "feeds"}, ["feeds.fetch", "feeds.prune"]),
        ({"text": "LETTERS"}, ["mail"]),
        ({"tag": "io"}, ["feeds.fetch"]),
        ({"doing": "disabled"}, ["mail"]),
        ({"text": "none like that"}, []),
    ],
)
def test_tasks_are_searched_and_filtered(manager: TaskManager, query, found):
    manager.add(lambda: None, name="feeds.fetch", tags=["io"])
    manager.add(lambda: None, name="feeds.prune")

    @manager.task
    def mail():
        "Write letters."

    mail.disable()
    html = Pages(manager).get("/", **query)
    shown = [name for name in ("feeds.fetch", "feeds.prune", "mail") if f"<bdi>{name}</bdi></a>" in html]
    assert shown == found
    assert ("No task is like that." in words(html)) == (not found)


def test_a_filter_keeps_what_was_typed(manager: TaskManager):
    manager.add(lambda: None, name="sample")
    html = Pages(manager).get("/", text='sam"<b>', tag="")
    assert 'value="sam&#34;&lt;b&gt;"' in html


def test_a_thousand_tasks_come_in_pages_that_lead_through_all_of_them(manager: TaskManager):
    for number in range(120):
        manager.add(lambda: None, name=f"task {number:03d}")
    pages = Pages(manager)
    first, second, third = (pages.get("/", cursor=after) for after in ("", "task 049", "task 099"))
    assert "120 tasks" in words(first)
    assert [html.count('<tr id="row-') for html in (first, second, third)] == [50, 50, 20]
    assert 'href="/tasks/?cursor=task+049">Next page' in first.replace("%20", "+")
    assert "Next page" not in third
    assert 'href="/tasks/">First page' in third


def test_a_chained_task_says_what_it_comes_after(manager: TaskManager):
    manager.add(lambda: None, name="load")
    manager.add(lambda: None, name="report", after="load")
    read = words(Pages(manager).get("/"))
    assert "report after load" in read
    assert "load only by hand" in read


def test_names_and_texts_are_escaped(manager: TaskManager):
    name = "<img src=x onerror=alert(1)>&\"'"
    manager.add(lambda: None, name=name, tags=["<i>"])
    html = Pages(manager).get("/")
    assert "<img" not in html
    assert "<i>" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;&amp;&#34;&#39;" in html


def test_no_page_has_inline_style_or_script(manager: TaskManager):
    manager.add(lambda: None, every().hour, name="sample")
    pages = Pages(manager)
    for html in (pages.get("/"), pages.get("/task", name="sample")):
        assert " style=" not in html
        assert "<style" not in html
        assert "<script>" not in html
        assert " onclick=" not in html


# What is done.


def test_the_switch_turns_a_task_off_and_on_and_the_journal_knows_who(manager: TaskManager):
    sample = manager.add(lambda: None, every().hour, name="sample")
    pages = Pages(manager, who="ada")

    html = pages.send("disable", name="sample")
    assert not sample.is_enable
    assert 'aria-checked="false" aria-label="sample"' in html
    assert "It is off" in words(html)

    html = pages.send("enable", name="sample")
    assert sample.is_enable
    assert 'aria-checked="true" aria-label="sample"' in html
    assert [(entry.who, entry.what) for entry in manager.journal("sample")] == [("ada", "enabled"), ("ada", "disabled")]


def test_a_task_that_is_off_says_when_it_is_on_again(manager: TaskManager, clock: VirtualClock):
    sample = manager.add(lambda: None, every().hour, name="sample")
    sample.disable(until=clock.now() + datetime.timedelta(hours=3))
    assert "off; on in 3 h" in words(Pages(manager).get("/"))


def test_after_the_switch_the_page_is_the_one_that_it_was_on(manager: TaskManager):
    manager.add(lambda: None, name="sample", tags=["io"])
    pages = Pages(manager)
    pages.send("disable", name="sample", tag="io", text="sam")
    assert pages.at.startswith("/tasks/?")
    assert "told=disabled" in pages.at
    assert "tag=io" in pages.at
    assert "text=sam" in pages.at


def test_all_tasks_are_paused_and_resumed(manager: TaskManager, clock: VirtualClock):
    runs: list[int] = []
    manager.add(lambda: runs.append(1), every(10).seconds, name="sample")
    pages = Pages(manager)
    with manager:
        html = pages.send("pause")
        assert "Resume all tasks" in html
        assert "every 10 seconds paused" in words(html)
        clock.advance(seconds=30)
        assert runs == []
        html = pages.send("resume")
        assert "Pause all tasks" in html
        clock.advance(seconds=30)
    assert len(runs) == 3


def test_who_may_only_look_sees_no_controls_and_can_change_nothing(manager: TaskManager):
    sample = manager.add(lambda: None, every().hour, name="sample")
    pages = Pages(manager, may="view")
    html = pages.get("/")
    assert 'method="post"' not in html
    assert 'role="switch"' not in html
    assert 'method="post"' not in pages.get("/task", name="sample")
    for action in ("pause", "resume", "enable", "disable", "run"):
        pages.send(action, name="sample")
        assert pages.status == 403
    assert sample.is_enable
    assert manager.runs() == []


def test_a_form_without_its_token_changes_nothing(manager: TaskManager):
    sample = manager.add(lambda: None, name="sample")
    pages = Pages(manager)
    pages.send("disable", name="sample", token="forged")
    assert pages.status == 403
    assert sample.is_enable


def test_no_text_of_the_address_is_told_as_ours(manager: TaskManager):
    html = Pages(manager).get("/", told="Send your password to mallory")
    assert "mallory" not in html


@pytest.mark.parametrize("action", ["enable", "disable", "run"])
def test_what_is_not_there_cannot_be_steered(manager: TaskManager, action):
    pages = Pages(manager)
    assert "There is no task 'none'" in words(pages.send(action, name="none"))
    assert pages.status == 404


def test_an_action_that_there_is_not_is_not_found(manager: TaskManager):
    pages = Pages(manager)
    pages.send("explode", name="sample")
    assert pages.status in (404, 405)


def test_a_redirection_leads_to_no_other_host(manager: TaskManager):
    manager.add(lambda: None, name="sample")
    pages = Pages(manager)
    pages.send("disable", name="sample", back="https://example.com/", text="//example.com")
    assert pages.at.startswith("/tasks/?")


def test_what_went_wrong_is_a_page_with_a_way_back(manager: TaskManager):
    pages = Pages(manager)
    html = pages.get("/task", name="<none>")
    assert pages.status == 404
    assert "There is no task" in words(html)
    assert "&lt;none&gt;" in html
    assert '<a href="/tasks/">All tasks</a>' in html


def test_a_stranger_gets_a_page_without_style_or_links(manager: TaskManager):
    pages = Pages(manager, may="nothing")
    html = pages.get("/")
    assert pages.status == 403
    assert words(html) == "Forbidden 403 Forbidden You may not enter."
    assert "href" not in html


def test_what_was_done_is_seen_at_once_on_a_store_in_a_database(store_url: str):
    with TaskManager([], store=store_url) as manager:  # on real threads: one of them writes the journal, in time
        manager.add(lambda: None, every().hour, name="sample")
        pages = Pages(manager)
        pages.get("/")
        for _ in range(3):
            assert 'aria-checked="false" aria-label="sample"' in pages.send("disable", name="sample")
            assert 'aria-checked="true" aria-label="sample"' in pages.send("enable", name="sample")


def test_a_row_has_the_token_of_who_looks_although_it_is_drawn_once_for_all(manager: TaskManager):
    manager.add(lambda: None, every(1).hours, name="sample")
    pages = Pages(manager)

    ada, ben = (pages.app.test_client() for _ in range(2))
    tokens = []
    for client in (ada, ben):
        read = client.get("/tasks/").get_data(as_text=True)
        cookie = client.get_cookie("tasks_token", path="/tasks")
        assert cookie is not None
        assert set(re.findall(r'name="token" value="([^"]*)"', read)) == {cookie.value}
        tokens.append(cookie.value)

    assert tokens[0] != tokens[1]


def test_who_may_only_look_is_given_no_switch_right_after_one_who_may_operate(manager: TaskManager):
    manager.add(lambda: None, every(1).hours, name="sample")
    may = iter(["operate", "view"])
    app = flask.Flask("app")
    app.config["TASKS_AUTOSTART"] = False
    FlaskTasks(manager, auth=lambda _: next(may)).init_app(app)

    first, second = (app.test_client().get("/tasks/").get_data(as_text=True) for _ in range(2))

    assert 'role="switch"' in first
    assert 'role="switch"' not in second


def test_while_the_store_is_cut_off_the_page_shows_what_was_seen_last(manager: TaskManager, monkeypatch):
    manager.add(lambda: None, every(1).hours, name="sample")
    pages = Pages(manager)
    pages.get("/")

    def refuse(*asked: object) -> None:
        raise StoreUnavailableError("The store cannot be reached: it is locked")

    for name in ("changes", "standing", "recent", "switch", "entries_changed"):
        monkeypatch.setattr(manager.store, name, refuse)
    monkeypatch.setattr(type(manager.store), "paused", property(refuse))
    read = words(pages.get("/"))

    assert pages.status == 200
    assert "sample every hour" in read
    assert "The store cannot be reached: it is locked" in read


def test_what_happens_between_a_page_and_its_stream_of_events_is_in_the_stream(manager: TaskManager):
    sample = manager.add(lambda: None, name="sample")
    with manager:
        html = Pages(manager).get("/")
        sample.trigger().result(timeout=5)
        (events,) = re.findall(r'data-events="/tasks/api/v1/events\?since=([^"]+)"', html)
        changes = manager.changes(events)

    assert [run.task for run in changes.runs] == ["sample"]


def test_what_happens_while_a_page_is_made_is_in_its_stream_of_events(
    manager: TaskManager, monkeypatch: pytest.MonkeyPatch
):
    sample = manager.add(lambda: None, name="sample")
    read = Overview.board

    def read_then_run(self: Overview, **wanted: Any) -> Any:
        found = read(self, **wanted)
        sample.trigger().result(timeout=5)
        return found

    monkeypatch.setattr(Overview, "board", read_then_run)
    with manager:
        html = Pages(manager).get("/")
        (position,) = re.findall(r'data-events="/tasks/api/v1/events\?since=([^"]+)"', html)
        changes = manager.changes(position)

    assert [run.task for run in changes.runs] == ["sample"]
