"""The page of a forecast, as a file: to people, in light and dark and on a phone, and to those who hear it.

``SCREENSHOTS=folder`` keeps a picture of each.
"""

from __future__ import annotations

import os
import pathlib
from typing import Any

import pytest
from browser import PATIENCE, findings, width_of
from forecasts import a_forecast, a_task
from playwright.sync_api import Browser

from task.foresight import to_html, to_svg

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"width": 1100, "scheme": "light"},
    "dark": {"width": 1100, "scheme": "dark"},
    "phone": {"width": 390, "scheme": "light"},
}


@pytest.mark.parametrize("look", LOOKS)
def test_the_page_of_a_forecast_fits_and_can_be_read_by_all(
    browser_of_file: Browser, tmp_path: pathlib.Path, look: str
) -> None:
    width, scheme = LOOKS[look]["width"], LOOKS[look]["scheme"]
    long = a_task("a task that has a name of so many words that it does not fit on the screen of any phone at all")
    file = tmp_path / "forecast.html"
    file.write_text(to_html(a_forecast(14, tasks=(*a_forecast().tasks, long)), "Forecast of shop.jobs"), "utf-8")
    requests: list[str] = []
    # Its own policy lets no script run: those who look for faults have to get past it.
    with browser_of_file.new_context(
        viewport={"width": width, "height": 844}, color_scheme=scheme, bypass_csp=True, offline=True
    ) as context:
        context.set_default_timeout(PATIENCE)
        context.on("request", lambda request: requests.append(request.url))
        page = context.new_page()
        page.goto(file.as_uri())
        if "SCREENSHOTS" in os.environ:
            page.screenshot(path=pathlib.Path(os.environ["SCREENSHOTS"]) / f"forecast-{look}.png", full_page=True)

        assert findings(page, only="color-contrast" if look == "dark" else None) == []
        assert width_of(page) == width
        assert page.get_by_role("img", name="Heat map: a row for each day, a column for each hour").count() == 1
        assert requests == [file.as_uri()]


def test_the_picture_of_a_forecast_is_drawn_by_a_browser(browser_of_file: Browser, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "forecast.svg"
    file.write_text(to_svg(a_forecast()), "utf-8")
    with browser_of_file.new_page(color_scheme="dark") as page:
        page.set_default_timeout(PATIENCE)

        page.goto(file.as_uri())

        frame = page.locator("rect.frame")
        assert frame.evaluate("one => getComputedStyle(one).fill") == "rgb(22, 21, 19)"
        hover = page.locator("rect.trouble title").first.text_content() or ""
        assert hover.endswith(":00: 412 runs start, 12 late, 3 fail, 30 slots are refused")
