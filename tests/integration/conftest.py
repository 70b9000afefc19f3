"""A browser and a site, for the tests that look at the pages."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browser import Person, chromium
from databases import sqlite_url
from demo_site import Site
from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser_of_file() -> Iterator[Browser]:
    """One browser for all tests of a file; it is closed before those of the next, which may run event loops."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def site(tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """An application with tasks of every kind, on a SQLite file; a test sets more of it by ``parametrize``."""
    settings: dict[str, Any] = getattr(request, "param", {})
    made = Site(sqlite_url(tmp_path), tmp_path / "artifacts", settings)
    with made.served():
        yield made


@pytest.fixture
def people(browser_of_file: Browser, site: Site) -> Iterator[Callable[..., Person]]:
    """Makes somebody who looks at the site. When they leave, nothing has gone wrong in their browser."""
    with contextlib.ExitStack() as all_of_them:

        def person(**options: Any) -> Person:
            made = Person(browser_of_file, site.url, **options)
            all_of_them.callback(made.leave)
            return made

        yield person
