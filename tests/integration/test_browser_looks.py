"""How the pages look: to people, in light and dark and on a phone, and to those who hear them.

``SCREENSHOTS=folder`` keeps a picture of each.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from browser import Person, findings, width_of
from demo_site import NOON, a_day, make_app, serve
from playwright.sync_api import Browser

from task import Run, TaskManager, every
from task.stores import MemoryStore
from task.testing import VirtualClock

PAGES = {
    "tasks": "/tasks/",
    "found": "/tasks/?text=mail&tag=mail",
    "none found": "/tasks/?text=nothing+is+called+so",
    "task": "/tasks/task?name=payments.settle",
    "task off": "/tasks/task?name=invoices.send",
    "form": "/tasks/task?name=reports.daily",
    "by hand": "/tasks/task?name=search.reindex",
    "running": "/tasks/run/<feeds.import>",
    "failed": "/tasks/run/<mail.digest>",
    "timed out": "/tasks/run/<backup.database>",
    "ended": "/tasks/run/<reports.daily>",
    "lineage": "/tasks/run/<search.publish>",
    "runs": "/tasks/runs",
    "wrong runs": "/tasks/runs?state=flying",
    "timeline": "/tasks/timeline",
    "week": "/tasks/timeline?span=week&tag=shop",
    "recurring": "/tasks/recurring",
    "entry": "/tasks/task?name=nightly+US",
    "orphan": "/tasks/task?name=old+report",
    "edited entry": "/tasks/recurring/entry?name=nightly+US",
    "choice": "/tasks/recurring/entry",
    "removal": "/tasks/recurring/remove?name=nightly+US",
    "import": "/tasks/recurring/import",
    "journal": "/tasks/journal",
    "doctor": "/tasks/doctor",
    "not there": "/tasks/task?name=nowhere",
}

LOOKS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"scheme": "dark"},
    "phone": {"width": 390},
}


class Shown(NamedTuple):
    """A site at the end of a day, and the newest run of each task."""

    url: str
    runs: dict[str, str]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    clock = VirtualClock(NOON - datetime.timedelta(days=1))
    artifacts = str(tmp_path_factory.mktemp("artifacts"))
    manager = TaskManager([], clock=clock, store=MemoryStore(), artifacts=artifacts)
    app = make_app(manager)
    logging.disable()
    try:
        a_day(clock, manager)
    finally:
        logging.disable(logging.NOTSET)
    try:
        with serve(app) as url:
            yield Shown(url, {run.task: run.id for run in reversed(manager.runs(limit=1000))})
    finally:
        manager.stop(timeout=0)
    assert manager.audit() == []


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_fits_and_can_be_read_by_all(browser_of_file: Browser, day: Shown, look: str) -> None:
    wrong: list[str] = []
    with Person(browser_of_file, day.url, **LOOKS[look]) as person:
        person.expected += [r"status of 422 .*/tasks/runs\?", r"status of 404 .*name=nowhere"]
        for name, path in PAGES.items():
            page = person.goes(re.sub("<(.*)>", lambda found: day.runs[found[1]], path))
            _keep_picture(person, f"{name}-{look}")
            if look != "phone":  # in the dark there are only other colours
                wrong += findings(page, only=None if look == "light" else "color-contrast")
            if width_of(page) > LOOKS[look].get("width", 1280):
                wrong.append(f"{name} is {width_of(page)} pixels wide")
    assert wrong == []


SECTIONS = ("", "timeline", "runs", "recurring", "journal")


def test_a_site_without_tasks_says_so_on_every_page(browser_of_file: Browser) -> None:
    said = {
        "": "There are no tasks yet.",
        "timeline": "There are no tasks yet.",
        "runs": "Nothing has run yet.",
        "recurring": "There are no recurring entries.",
        "journal": "Nobody has steered anything yet.",
    }
    with (
        TaskManager([], clock=VirtualClock(NOON), store=MemoryStore()) as manager,
        serve(make_app(manager)) as url,
        Person(browser_of_file, url) as person,
    ):
        for section in SECTIONS:
            page = person.goes(f"/tasks/{section}")
            _keep_picture(person, f"empty-{section or 'tasks'}")
            assert said[section] in page.locator(".empty").inner_text()
            assert findings(page) == []


@pytest.mark.parametrize("width", [390, 1280])
def test_what_is_far_too_long_makes_no_page_too_wide(browser_of_file: Browser, width: int) -> None:
    clock = VirtualClock(NOON)
    manager = TaskManager([], clock=clock, store=MemoryStore())
    name = "warehouse_" * 20

    @manager.task(every().hour, name=name, tags=["tag" * 60], retry=1)
    def long(run: Run, more: str = "parameter" * 100) -> None:
        for number in range(2_000):
            run.logger.info("%d %s", number, "x" * 300)
        run.update_progress(50, "message" * 70)
        raise ValueError("error" * 1_000)

    @manager.task(name="stuck_" * 33)
    async def stuck(run: Run) -> None:
        run.update_progress(50, "message" * 70)
        await asyncio.sleep(3_600)

    manager.recurring.add("entry" * 40, task=name, schedule="0 5 * * *", parameters={"more": "value" * 200})
    with manager, serve(make_app(manager)) as url:
        runs = manager[name].trigger(), stuck.trigger()
        clock.advance(minutes=1)
        manager[name].disable(note="note" * 200, by="somebody" * 20)
        paths = [f"task?name={run.task}" for run in runs] + [f"run/{run.id}" for run in runs]
        with Person(browser_of_file, url, width=width) as person:
            for path in (*SECTIONS, *paths, f"recurring/entry?name={'entry' * 40}"):
                page = person.goes(f"/tasks/{path}")
                _keep_picture(person, f"long-{path.partition('?')[0].partition('/')[0] or 'tasks'}-{width}")
                assert width_of(page) <= width, path


def _keep_picture(person: Person, name: str) -> None:
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        person.page.wait_for_load_state("networkidle")
        path = pathlib.Path(folder) / f"{name.replace(' ', '-')}.png"
        person.page.screenshot(path=path, full_page=True)
