"""The plots of the page of a task: drawn by a script, kept up to date, and never the only way to the numbers."""

from __future__ import annotations

from collections.abc import Callable

from browser import Person
from demo_site import Site
from playwright.sync_api import expect

Make = Callable[..., Person]

#: How long a run may take that somebody waits for. Seconds.
LIMIT = 60.0

#: How much of a picture is red, of 255, where it is drawn at all.
REDDEST = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let most = 0;
  for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 200) most = Math.max(most, data[at] - data[at + 1]);
  return most;
}"""


def test_failed_runs_are_drawn_in_red_and_new_ones_come_by_themselves(site: Site, people: Make) -> None:
    site.manager.trigger("mail.digest").wait(LIMIT)
    page = people().goes("/tasks/task?name=mail.digest")
    expect(page.get_by_role("img", name="Duration of one run")).to_be_visible()
    assert page.locator("#plots canvas").first.evaluate(REDDEST) > 100

    site.manager.trigger("mail.digest").wait(LIMIT)

    expect(page.get_by_role("img", name="Duration of the newest 2 runs")).to_be_visible()
    expect(page.locator("#plots canvas")).to_have_count(1)  # runs by hand are never late


def test_runs_that_did_not_fail_are_not_drawn_in_red(site: Site, people: Make) -> None:
    site.manager.trigger("search.publish").wait(LIMIT)
    page = people().goes("/tasks/task?name=search.publish")
    expect(page.get_by_role("img", name="Duration of one run")).to_be_visible()
    assert page.locator("#plots canvas").first.evaluate(REDDEST) < 40


def test_without_scripts_the_numbers_are_a_table(site: Site, people: Make) -> None:
    site.manager.trigger("mail.digest").wait(LIMIT)
    page = people(scripts=False).goes("/tasks/task?name=mail.digest")
    expect(page.locator("#plots")).to_be_hidden()
    page.get_by_text("The same as a table").click()
    expect(page.locator("#numbers tbody tr")).to_have_count(1)
