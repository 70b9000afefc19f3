"""Strings that have broken programs, shown to a browser: each is text, and nothing but text."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator

import pytest
from browser import Person
from demo_site import NOON, make_app, serve
from naughty import naughty_strings
from playwright.sync_api import Browser, Page

from task import Run, TaskManager
from task.flask.templating import shown
from task.stores import MemoryStore
from task.testing import VirtualClock

Visit = Callable[[TaskManager], Person]

#: What `shown` makes of them is what the pages promise: all that would not be seen, is.
TEXTS = [text for text in naughty_strings() if text.strip()]

#: A task and an entry are refused that nobody could tell from another.
NAMES = [text for text in TEXTS if text.isprintable() and len(text) < 198]


@pytest.fixture
def manager() -> TaskManager:
    return TaskManager([], clock=VirtualClock(NOON), store=MemoryStore())


@pytest.fixture
def visit(browser_of_file: Browser, manager: TaskManager) -> Iterator[Person]:
    """Somebody who looks; in the end nothing has run, asked or gone elsewhere."""
    app = make_app(manager)
    with manager, serve(app) as url, Person(browser_of_file, url) as person:
        yield person


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What they do to the log is shown elsewhere."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def _texts(page: Page, selector: str) -> list[str]:
    found: list[str] = page.locator(selector).all_text_contents()
    return found


def _on_all_pages(person: Person, selector: str) -> list[str]:
    """The texts on this page and those that follow it."""
    page = person.page
    found = _texts(page, selector)
    following = page.locator(".pager a").filter(has_text="Next").or_(page.locator(".pager a").filter(has_text="Older"))
    following = following.or_(page.locator(".pager a").filter(has_text="More"))
    while following.count():
        person.clicks(following)
        found += _texts(page, selector)
    return found


def _in_parts(texts: list[str]) -> list[list[str]]:
    """So many together as a page shows of a value."""
    parts: list[list[str]] = [[]]
    for text in texts:
        if len(json.dumps([*parts[-1], text])) > 3_000:
            parts.append([])
        parts[-1].append(text)
    return parts


def test_names_of_tasks_and_of_entries_are_text(manager: TaskManager, visit: Person) -> None:
    entries = [f"{name} +" for name in NAMES[::4]]
    for name in NAMES:
        manager.add(lambda: None, name=name, tags=[name])
    for name in entries:
        manager.recurring.add(name, task=name.removesuffix(" +"), by=name)

    visit.goes("/tasks/")
    assert sorted(_on_all_pages(visit, "tbody .name")) == sorted([*NAMES, *entries])
    visit.goes("/tasks/recurring")
    assert sorted(_on_all_pages(visit, "tbody .name")) == sorted(entries)
    visit.goes("/tasks/journal")
    assert sorted(_on_all_pages(visit, "tbody td:nth-child(2)")) == sorted(entries)


def test_links_lead_to_tasks_of_any_name(manager: TaskManager, visit: Person) -> None:
    for name in NAMES[::60]:
        manager.add(lambda: None, name=name)

    for name in NAMES[::60]:
        page = visit.goes("/tasks/")
        visit.clicks(page.locator("tbody .name").get_by_text(name, exact=True))
        assert page.locator("h1").text_content() == name


def test_lines_of_a_log_are_text(manager: TaskManager, visit: Person) -> None:
    lines = [text for text in TEXTS if len(text) < 4_000]

    @manager.task(name="talk")
    def talk(run: Run) -> None:
        for line in lines:
            run.logger.info("%s", line)

    page = visit.goes(f"/tasks/run/{talk.trigger().id}")

    assert _texts(page, ".log .text") == [shown(line) for line in lines]


def test_errors_are_text(manager: TaskManager, visit: Person) -> None:
    texts = [text for text in TEXTS if len(text) < 400]

    def fail(text: str) -> None:
        raise ValueError(text)

    for number in range(5):  # of one task, not so many are kept
        manager.add(fail, name=f"fail {number}")
    runs = [manager.trigger(f"fail {number % 5}", text=text) for number, text in enumerate(texts)]

    visit.goes("/tasks/runs")
    assert list(reversed(_on_all_pages(visit, "tbody .why"))) == [shown(f"ValueError: {text}") for text in texts]
    for run in runs[::40]:
        page = visit.goes(f"/tasks/run/{run.id}")
        assert _texts(page, "p.error-text") == [shown(run.error)]


def test_parameters_results_and_progress_are_text(manager: TaskManager, visit: Person) -> None:
    @manager.task(name="echo")
    def echo(run: Run, texts: list[str]) -> str:
        run.update_progress(50, texts[0])
        return "".join(texts)

    for some in _in_parts([text[:300] for text in TEXTS]):
        page = visit.goes(f"/tasks/run/{echo.trigger(texts=some).id}")
        (given,) = _texts(page, "section:has(#parameters-heading) code")
        assert [shown(text) for text in json.loads(given)] == [shown(text) for text in some]
        (result,) = _texts(page, "section:has(#result-heading) pre")
        assert shown(json.loads(result)) == shown("".join(some))


def test_descriptions_and_notes_are_text(manager: TaskManager, visit: Person) -> None:
    described = "\n".join(TEXTS)

    def body() -> None: ...

    body.__doc__ = described
    task = manager.add(body, name="described")
    for text in TEXTS:
        task.disable(note=text[:300])

    page = visit.goes("/tasks/task?name=described")
    (prose,) = _texts(page, ".prose")
    assert prose == shown(described)
    visit.goes("/tasks/journal")
    assert list(reversed(_on_all_pages(visit, "tbody .why"))) == [shown(text[:300]) for text in TEXTS]


def test_what_is_typed_comes_back_as_it_was(manager: TaskManager, visit: Person) -> None:
    visit.expected.append("status of 422")
    manager.add(lambda: None, name="quiet")
    for text in [text for text in TEXTS if len(text) < 300 and text.isprintable()][::100]:
        visit.goes("/tasks/task?name=quiet")
        visit.field("Note").fill(text)
        visit.field("Off until").fill("2020-01-01T12:00")
        visit.presses("Turn off")
        assert visit.field("Note").input_value() == text.strip()
