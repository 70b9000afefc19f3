"""Pages that keep themselves up to date, and do not disturb who works on them; and pages without a mouse."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator

import pytest
from browser import Person
from demo_site import Site, Steps, add_tasks
from playwright.sync_api import Locator, Page, expect

from task import TaskManager

Make = Callable[..., Person]

#: How long a run may take that somebody waits for. Seconds.
LIMIT = 60.0


@pytest.fixture
def elsewhere(site: Site) -> Iterator[TaskManager]:
    """Another manager on the store, as another process has one."""
    manager = TaskManager([], store=site.store)
    add_tasks(manager, Steps())
    manager.run()
    yield manager
    manager.stop(timeout=5)


def _row(page: Page, name: str) -> Locator:
    return page.locator("tr").filter(has=page.get_by_role("link", name=name, exact=True))


def test_what_runs_in_another_process_is_seen_without_loading_the_page_again(
    people: Make, elsewhere: TaskManager
) -> None:
    person = people()
    page = person.goes("/tasks/")
    expect(page.locator(".live-text")).to_have_text("live")
    expect(_row(page, "mail.digest")).to_contain_text("never ran")
    page.evaluate("window.loadedOnce = true")

    elsewhere.trigger("mail.digest").wait(LIMIT)
    elsewhere["search.reindex"].disable(note="for a while")

    expect(_row(page, "mail.digest")).to_contain_text("failed")
    expect(page.locator(".problems")).to_contain_text("connection refused by mail.example.org")
    expect(page.get_by_role("switch", name="search.reindex")).to_have_attribute("aria-checked", "false")
    assert page.evaluate("window.loadedOnce")


def test_a_page_that_somebody_comes_back_to_is_live_again(people: Make, elsewhere: TaskManager) -> None:
    page = people().goes("/tasks/")
    expect(page.locator(".live-text")).to_have_text("live")
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    page.evaluate("document.querySelectorAll('.live-text').forEach((line) => { line.textContent = 'left' })")
    elsewhere["search.reindex"].disable(note="for a while")

    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")

    expect(page.get_by_role("switch", name="search.reindex")).to_have_attribute("aria-checked", "false")
    expect(page.locator(".live-text")).to_have_text("live")
    elsewhere.trigger("mail.digest").wait(LIMIT)
    expect(_row(page, "mail.digest")).to_contain_text("failed")


def test_the_progress_and_the_log_of_a_run_are_followed(site: Site, people: Make) -> None:
    run = site.manager.trigger("feeds.fetch")
    person = people()
    page = person.goes(f"/tasks/run/{run.id}")

    site.steps.go(40, "feed 2 of 5")

    expect(page.get_by_role("progressbar")).to_have_attribute("value", "40.0")
    person.sees("now at feed 2 of 5", ".log")
    site.steps.go(80, "feed 4 of 5")
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "80.0")
    person.sees("now at feed 4 of 5", ".log")
    site.steps.end()
    person.sees("succeeded", ".headline")
    expect(page.get_by_role("progressbar")).to_have_count(0)
    expect(page.get_by_role("button", name="Cancel the run")).to_have_count(0)


@pytest.mark.parametrize("site", [{"TASKS_EVENT_CLIENTS": 0}], indirect=True)
def test_a_page_that_gets_no_stream_of_events_looks_every_five_seconds(site: Site, people: Make) -> None:
    person = people()
    person.expected.append("status of 503 .*/tasks/")
    person.page.clock.install()
    page = person.goes("/tasks/")
    expect(page.locator(".live-text")).to_have_text("every 5 s")

    site.manager.trigger("search.publish").wait(LIMIT)
    page.clock.run_for(5_500)

    expect(_row(page, "search.publish")).to_contain_text("succeeded")


def test_countdowns_count(people: Make) -> None:
    person = people()
    person.page.clock.install(time=datetime.datetime(2020, 1, 1))  # the time of the machine does not matter
    page = person.goes("/tasks/")
    countdown = _row(page, "mail.digest").locator("[data-countdown]")
    expect(countdown).to_contain_text(re.compile(r"^in 5 h \d+ min$"))

    page.clock.fast_forward("02:00:00")  # time enough beside it for a machine that stands still

    expect(countdown).to_contain_text(re.compile(r"^in 3 h \d+ min$"))


@pytest.mark.parametrize(
    ("path", "label", "news"),
    [
        ("/tasks/", "Search", "50 %"),
        ("/tasks/task?name=feeds.fetch", "Note", "50 %"),
        ("/tasks/run/{id}", "Reason", "50 %"),
        ("/tasks/runs", "Task", "50 %"),
        ("/tasks/journal", "Task or recurring entry", "mail.digest"),
    ],
)
def test_what_somebody_types_is_not_lost_when_the_page_changes(
    site: Site, people: Make, path: str, label: str, news: str
) -> None:
    person = people()
    run = site.manager.trigger("feeds.fetch")
    page = person.goes(path.format(id=run.id))
    field = person.field(label)
    expect(page.locator(".live-text")).to_have_text("live")
    field.click()
    field.press_sequentially("half a sen")

    site.steps.go(50, "half")
    site.manager["mail.digest"].disable()
    expect(page.locator("#live")).to_contain_text(news)

    expect(field).to_be_focused()
    page.keyboard.type("tence")
    expect(field).to_have_value("half a sentence")


def test_what_somebody_has_opened_stays_open_when_the_page_changes(site: Site, people: Make) -> None:
    site.manager.trigger("mail.digest").wait(LIMIT)
    person = people()
    page = person.goes("/tasks/task?name=mail.digest")
    expect(page.locator("#plots canvas")).to_have_count(1)  # its runs by hand were not late
    page.get_by_text("The same as a table").click()

    site.manager.trigger("mail.digest").wait(LIMIT)

    expect(page.locator("#numbers tbody tr")).to_have_count(2)
    expect(page.locator("#numbers")).to_have_attribute("open", "")
    expect(page.locator("#plots canvas")).to_have_count(1)


# Without a mouse.

TWO_FRAMES = "new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))"


def test_the_first_key_leads_past_the_navigation(people: Make) -> None:
    person = people()
    page = person.goes("/tasks/")

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main:target")).to_be_visible()
    page.evaluate(TWO_FRAMES)  # a browser goes on from a part of a page when it has drawn that
    page.keyboard.press("Tab")

    expect(page.get_by_role("button", name="Pause all tasks")).to_be_focused()


def test_a_task_is_switched_and_run_and_its_run_cancelled_by_keys_alone(site: Site, people: Make) -> None:
    person = people()
    page = person.goes("/tasks/")

    for turned in ("false", "true"):
        _tab_to(page, page.get_by_role("switch", name="feeds.fetch"))
        with person.turns_the_page():  # else it is seen turned before the page has come that says so
            page.keyboard.press("Space")
        expect(page.get_by_role("switch", name="feeds.fetch")).to_have_attribute("aria-checked", turned)
    _tab_to(page, page.get_by_role("link", name="feeds.fetch", exact=True))
    with person.turns_the_page():
        page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("feeds.fetch")
    _tab_to(page, page.locator("#run").get_by_role("button", name="Run now"))
    with person.turns_the_page():
        page.keyboard.press("Enter")
    person.sees("running", ".headline")
    _tab_to(page, person.field("Reason"))
    page.keyboard.type("by keys")
    with person.turns_the_page():
        page.keyboard.press("Enter")

    person.sees("cancelled", ".headline")
    person.sees("by keys")


def _tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until it has the focus. Whatever has it on the way is seen to have it."""
    for _ in range(60):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline not in ("none", ""), page.evaluate("document.activeElement.outerHTML")[:200]
        if wanted.evaluate("it => it === document.activeElement"):
            return
    raise AssertionError(f"Tab does not lead to {wanted}")
