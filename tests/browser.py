"""A person with a browser: what they see, and everything that went wrong meanwhile."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Error,
    Locator,
    Page,
    Request,
    expect,
    sync_playwright,
)

__all__ = ["Person", "chromium", "findings", "width_of"]

CHROMIUM = pathlib.Path("/usr/bin/chromium")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

#: Accessibility rules as a script, by others (axe-LICENSE.txt).
AXE = pathlib.Path(__file__).parent / "vendor" / "axe-4.14.1.min.js"

#: How long anything may take to appear, on a machine that is busy with other tests. Milliseconds.
PATIENCE = 60_000


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The browser of one test file: where it is open, its library has an event loop in this thread."""
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: install Debian's package chromium")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS, timeout=2 * PATIENCE)
        try:
            yield browser
        finally:
            browser.close()


class Person:
    """Somebody who looks at one site. `leave` says what went wrong."""

    def __init__(
        self,
        browser: Browser,
        site: str,
        *,
        width: int = 1280,
        scheme: Any = "light",
        scripts: bool = True,
        viewer: bool = False,
    ) -> None:
        self.site = site
        self.scripts = scripts
        #: Errors and warnings of the console, dialogs, requests to elsewhere.
        self.wrong: list[str] = []
        #: What of that was to be, as patterns.
        self.expected: list[str] = []
        self.context: BrowserContext = browser.new_context(
            base_url=site,
            viewport={"width": width, "height": 844 if width < 500 else 900},
            color_scheme=scheme,
            java_script_enabled=scripts,
            reduced_motion="reduce",
            accept_downloads=True,
            user_agent="viewer" if viewer else None,
        )
        self.context.set_default_timeout(PATIENCE)
        self.context.add_init_script(
            "document.addEventListener('securitypolicyviolation', e => console.error('policy: ' + e.violatedDirective))"
        )
        self.context.on("console", self._hear)
        self.context.on("weberror", lambda error: self.wrong.append(f"error: {error.error}"))
        self.context.on("request", self._see)
        self.context.on("dialog", self._refuse)
        self.page: Page = self.context.new_page()

    def goes(self, path: str) -> Page:
        """Open the page at that path."""
        self.page.goto(path)
        self._looks_up()
        return self.page

    def sees(self, text: str, within: str = "main") -> None:
        """Wait until that text is to be read in that part of the page; without scripts: load it again and again."""
        found = self.page.locator(within).filter(has_text=text)
        if self.scripts:
            expect(found.first).to_be_visible()
            return
        end = time.monotonic() + PATIENCE / 1000
        while not found.count():
            assert time.monotonic() < end, f"{text!r} is not in {self.page.locator(within).all_inner_texts()}"
            self.page.reload()

    def field(self, label: str) -> Locator:
        """The field with a label of that text."""
        return self.page.locator("input, select, textarea").and_(self.page.get_by_label(label))

    def presses(self, button: str) -> None:
        """Press the button of that name, and wait for the page that it leads to."""
        self.clicks(self.page.get_by_role("button", name=button, exact=True))

    def follows(self, link: str) -> None:
        """Follow the first link of that name."""
        self.clicks(self.page.get_by_role("link", name=link, exact=True).first)

    def clicks(self, way: Locator) -> None:
        """Click on what leads to a page, and wait for that."""
        with self.turns_the_page():
            way.click()

    @contextlib.contextmanager
    def turns_the_page(self) -> Iterator[None]:
        """What is done meanwhile leads to another page, which is there in the end: what is looked at next is on that.

        A click alone may be over before its form is sent; and what is looked for then is found on the page before.
        """
        with self.page.expect_navigation(wait_until="domcontentloaded"):
            yield
        self._looks_up()

    def _looks_up(self) -> None:
        """With scripts, a page is live a moment after it was loaded: only then it hears of what is typed."""
        if self.scripts:
            expect(self.page.locator("[hx-get]:not([data-htmx-powered])")).to_have_count(0)

    def __enter__(self) -> Person:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        if failed is None:
            self.leave()
        else:
            self.context.close()

    def leave(self) -> None:
        """Close the browser's window. Raises `AssertionError` for what went wrong."""
        self.context.close()
        left = [text for text in self.wrong if not any(re.search(pattern, text) for pattern in self.expected)]
        assert left == [], "\n".join(left)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"{message.type}: {message.text} at {message.page and message.page.url}")

    def _see(self, request: Request) -> None:
        if not request.url.startswith((f"{self.site}/", "data:")):
            self.wrong.append(f"request: {request.url}")

    def _refuse(self, dialog: Dialog) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        with contextlib.suppress(Error):  # the page may be gone
            dialog.dismiss()


def findings(page: Page, *, only: str | None = None) -> list[str]:
    """What the accessibility rules (or the one called *only*) find in a page, in one line each; minor matters aside."""
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if only is not None:
        options["runOnly"] = [only]
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("options => axe.run(document, options)", options)["violations"]
    return [_told(page, one) for one in found if one["impact"] != "minor"]


def _told(page: Page, found: dict[str, Any]) -> str:
    where = [node["html"] for node in found["nodes"]]
    return f"{page.url}: {found['impact']} {found['id']}: {found['help']}: {json.dumps(where)}"


def width_of(page: Page) -> int:
    """How wide the content of a page is, in pixels."""
    width: int = page.evaluate("document.documentElement.scrollWidth")
    return width
