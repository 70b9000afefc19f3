"""Everything that people do on the pages, with scripts and without."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable

import pytest
from browser import Person
from demo_site import Site
from playwright.sync_api import expect

Make = Callable[..., Person]

#: How long a run may take that somebody waits for. Seconds.
LIMIT = 60.0


@pytest.fixture(params=[True, False], ids=["scripts", "no scripts"])
def person(people: Make, request: pytest.FixtureRequest) -> Person:
    """Somebody who may operate."""
    return people(scripts=request.param)


# Switches.


def test_a_task_is_turned_off_with_a_note_until_a_moment_and_on_again(site: Site, person: Person) -> None:
    page = person.goes("/tasks/")
    person.follows("mail.digest")
    tomorrow = datetime.datetime.now() + datetime.timedelta(days=1)

    person.field("Note").fill("the other side is down")
    person.field("Off until").fill(f"{tomorrow:%Y-%m-%dT%H:%M}")
    person.presses("Turn off")

    person.sees("It is off: its slots are skipped")
    person.sees("by ada: the other side is down")
    assert not site.manager["mail.digest"].is_enable
    person.presses("Turn on")
    person.sees("It is on.")
    assert site.manager["mail.digest"].is_enable
    person.follows("Journal")
    rows = page.get_by_role("row").filter(has_text="mail.digest").all_inner_texts()
    assert [row.split("\t")[1:3] for row in rows] == [["ada", "enabled"], ["ada", "disabled"]]


def test_a_moment_that_is_past_is_refused_beside_its_field(site: Site, person: Person) -> None:
    person.goes("/tasks/task?name=mail.digest")
    person.expected.append("status of 422")

    person.field("Note").fill("for a while")
    person.field("Off until").fill("2020-01-01T12:00")
    person.presses("Turn off")

    person.sees("This is past.", "#switch")
    expect(person.field("Note")).to_have_value("for a while")
    expect(person.field("Off until")).to_have_attribute("aria-invalid", "true")
    assert site.manager["mail.digest"].is_enable


def test_a_switch_in_the_list_turns_a_task_off_and_on(site: Site, person: Person) -> None:
    page = person.goes("/tasks/")
    switch = page.get_by_role("switch", name="search.reindex")

    person.clicks(switch)

    expect(switch).to_have_attribute("aria-checked", "false")
    assert not site.manager["search.reindex"].is_enable
    person.clicks(switch)
    expect(switch).to_have_attribute("aria-checked", "true")
    assert site.manager["search.reindex"].is_enable


def test_all_tasks_are_paused_and_resumed(site: Site, person: Person) -> None:
    person.goes("/tasks/")

    person.presses("Pause all tasks")

    person.sees("All tasks are paused")
    assert site.manager.store.paused
    person.presses("Resume all tasks")
    person.sees("All tasks are resumed.")
    assert not site.manager.store.paused


# Runs.


def test_a_run_has_the_parameters_that_were_typed(site: Site, person: Person) -> None:
    page = person.goes("/tasks/task?name=reports.daily")

    person.field("day").fill("2026-02-28")
    person.field("region").select_option(label="US")
    person.field("length").select_option(label="long")
    person.field("pages").fill("7")
    person.field("draft").uncheck()
    person.field("recipients").fill('["ada@example.org"]')
    person.field("password").fill("hunter22")
    person.clicks(page.locator("#run").get_by_role("button", name="Run now"))

    person.sees("It is asked for: this is its run.")
    person.sees("succeeded", ".headline")
    person.sees('"recipients": [\n    "ada@example.org"\n  ]', "pre")
    person.sees("writing 7 pages of 2026-02-28", ".log")
    assert "hunter22" not in page.content()
    (run,) = site.manager.runs("reports.daily")
    assert run.result() == {"pages": 7, "length": "long", "draft": False, "recipients": ["ada@example.org"]}
    with page.expect_download() as download:
        page.get_by_role("link", name="report.csv").click()
    assert download.value.path().read_text() == "day,region,pages\n2026-02-28,US,7\n"


def test_what_does_not_fit_is_told_at_its_field_and_the_rest_is_kept(site: Site, person: Person) -> None:
    page = person.goes("/tasks/task?name=reports.daily")
    person.expected.append("status of 422")

    person.field("pages").fill("12")
    person.field("recipients").fill("ada, grace")
    person.clicks(page.locator("#run").get_by_role("button", name="Run now"))

    person.sees("This is no JSON.", ".field:has([aria-invalid=true])")
    expect(person.field("pages")).to_have_value("12")
    expect(person.field("recipients")).to_have_value("ada, grace")
    assert list(site.manager.runs("reports.daily")) == []


def test_a_run_is_cancelled_and_run_again(site: Site, person: Person) -> None:
    page = person.goes("/tasks/task?name=feeds.fetch")
    person.clicks(page.locator("#run").get_by_role("button", name="Run now"))
    person.sees("running", ".headline")

    person.field("Reason").fill("not today")
    person.presses("Cancel the run")

    person.sees("The run is asked to stop.")
    person.sees("cancelled", ".headline")
    person.sees("not today")
    person.clicks(page.get_by_role("button", name="Run again"))
    site.steps.end()
    person.sees("succeeded", ".headline")
    assert [run.state for run in site.manager.runs("feeds.fetch")] == ["succeeded", "cancelled"]


def test_a_run_that_finds_another_under_way_is_skipped_and_says_why(site: Site, person: Person) -> None:
    page = person.goes("/tasks/task?name=feeds.fetch")
    person.clicks(page.locator("#run").get_by_role("button", name="Run now"))
    person.sees("running", ".headline")

    person.clicks(page.get_by_role("button", name="Run again"))

    person.sees("skipped", ".headline")
    person.sees("already running")


def test_a_failed_run_tells_its_error_its_log_and_its_traceback(site: Site, person: Person) -> None:
    site.manager.trigger("mail.digest").wait(LIMIT)

    page = person.goes("/tasks/")
    person.sees("failing", ".problems")
    person.follows("Its last run failed: ConnectionError: connection refused by mail.example.org")

    person.sees("failed", ".headline")
    person.sees("ConnectionError: connection refused by mail.example.org", ".error-text")
    person.sees("the other side is slow", ".log .warning")
    expect(page.locator("pre.code").first).to_contain_text('raise ConnectionError("connection refused')


def test_a_run_leads_to_those_that_came_from_it_and_back(site: Site, person: Person) -> None:
    site.manager.trigger("search.reindex", index="articles").wait(LIMIT)
    page = person.goes("/tasks/runs")
    person.sees("search.publish", "tbody")

    person.follows("search.publish")

    person.sees("succeeded", ".headline")
    person.clicks(page.locator(".lineage").get_by_role("link", name="search.reindex"))
    person.sees("index", "dl")
    person.clicks(page.locator(".lineage").get_by_role("link", name="search.publish"))
    expect(page.get_by_role("heading", level=1)).to_have_text("search.publish")


# What is looked for.


def test_filters_find_what_they_say(site: Site, person: Person) -> None:
    for name in ("mail.digest", "search.publish"):
        site.manager.trigger(name).wait(LIMIT)
    page = person.goes("/tasks/")

    person.field("Search").fill("search")
    person.presses("Filter")
    assert page.locator("tbody .name").all_inner_texts() == ["search.publish", "search.reindex"]
    person.follows("All")
    person.field("Tag").select_option("mail")
    person.presses("Filter")
    assert page.locator("tbody .name").all_inner_texts() == ["mail.digest"]
    person.follows("Runs")
    person.follows("Failed")
    assert page.locator("tbody .name").all_inner_texts() == ["mail.digest"]
    person.field("Task").fill("search.publish")
    person.field("State").select_option("")
    person.presses("Filter")
    assert page.locator("tbody .name").all_inner_texts() == ["search.publish"]
    person.goes("/tasks/task?name=mail.digest")
    page.locator("#history").get_by_label("State").select_option("succeeded")
    person.clicks(page.locator("#history").get_by_role("button", name="Filter"))
    person.sees("No run is like that.", "#history")


def test_the_timeline_leads_to_runs(site: Site, person: Person) -> None:
    run = site.manager.trigger("search.publish")
    run.wait(LIMIT)
    page = person.goes("/tasks/")

    person.follows("Timeline")
    person.follows("7 days")
    person.field("Tag").select_option("search")
    person.presses("Filter")
    person.clicks(page.get_by_role("link", name="search.publish: succeeded"))

    expect(page).to_have_url(f"{site.url}/tasks/run/{run.id}")


# Recurring entries.


def test_an_entry_is_made_changed_run_turned_off_and_removed(site: Site, person: Person) -> None:
    page = person.goes("/tasks/")
    person.follows("Recurring")
    person.follows("New entry")
    person.field("Task").select_option("reports.daily")
    person.presses("Continue")
    person.field("Name").fill("morning EU")
    person.field("pages").fill("9")
    _type_schedule(person, "every day at 06:15 in Europe/Amsterdam")
    expect(page.locator("#preview li")).to_have_count(10)  # with scripts, what is typed half is looked up, too
    person.presses("Make the entry")

    person.sees("The recurring entry is made.")
    assert site.manager.recurring.get("morning EU").parameters["pages"] == 9
    person.follows("Edit morning EU")
    expect(person.field("pages")).to_have_value("9")
    _type_schedule(person, "0 7 * * mon-fri")
    person.presses("Save")
    person.sees("The recurring entry is changed.")
    assert site.manager.recurring.get("morning EU").schedule == "0 7 * * mon-fri"
    person.presses("Run now: morning EU")
    person.sees("succeeded", ".headline")
    person.follows("Recurring")
    person.clicks(page.get_by_role("switch", name="morning EU"))
    expect(page.get_by_role("switch", name="morning EU")).to_have_attribute("aria-checked", "false")
    person.follows("Remove morning EU")
    person.presses("Remove it")
    person.sees("The recurring entry is removed.")
    assert [entry.name for entry in site.manager.recurring.list()] == ["nightly US", "old report"]


def test_a_schedule_that_means_nothing_is_told_while_it_is_typed_and_when_it_is_sent(
    site: Site, person: Person
) -> None:
    person.goes("/tasks/recurring/entry?task=search.publish")
    person.expected.append("status of 422")
    person.field("Name").fill("hopeless")

    _type_schedule(person, "every blue moon", shown=".preview-error")
    person.presses("Make the entry")

    expect(person.field("Schedule")).to_have_attribute("aria-invalid", "true")
    expect(person.field("Name")).to_have_value("hopeless")
    assert "hopeless" not in site.manager


def _type_schedule(person: Person, words: str, shown: str = "#preview li") -> None:
    """With scripts the preview follows the typing; without there is a button."""
    field = person.field("Schedule")
    field.fill("")
    if person.scripts:
        expect(person.page.locator("#preview li")).to_have_count(0)
        field.press_sequentially(words)
    else:
        field.fill(words)
        person.presses("Preview")
    expect(person.page.locator(shown).first).to_be_visible()


def test_entries_are_exported_and_imported(site: Site, person: Person) -> None:
    page = person.goes("/tasks/recurring")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export", exact=True).click()
    text = download.value.path().read_text()
    assert [entry["name"] for entry in json.loads(text)["entries"]] == ["nightly US", "old report"]
    site.manager.recurring.remove("old report")  # nobody can make an entry of a task that is not there
    text = json.dumps({"version": 1, "entries": json.loads(text)["entries"][:1]})
    person.expected.append("status of 422")

    person.goes("/tasks/recurring")
    person.follows("Import")
    person.field("JSON").fill(text)
    person.presses("Import")
    expect(person.field("JSON")).to_have_attribute("aria-invalid", "true")
    person.field("Change the entries").check()
    person.presses("Import")

    person.sees("The recurring entries are imported.")
    assert [entry.name for entry in site.manager.recurring.list()] == ["nightly US"]


def test_an_entry_whose_task_is_gone_is_told_first_and_can_be_removed(site: Site, person: Person) -> None:
    page = person.goes("/tasks/recurring")
    person.sees("1 entry is not run", ".orphans")

    person.clicks(page.locator(".orphans").get_by_role("link", name="remove the entry"))
    person.presses("Remove it")

    person.sees("The recurring entry is removed.")
    expect(page.locator(".orphans")).to_have_count(0)


# Who may only look.


def test_who_may_only_look_sees_all_pages_and_no_way_to_change_anything(site: Site, people: Make) -> None:
    run = site.manager.trigger("search.publish")
    run.wait(LIMIT)
    viewer = people(viewer=True)

    for path in ("", "task?name=search.publish", f"run/{run.id}", "runs", "timeline", "recurring", "journal"):
        page = viewer.goes(f"/tasks/{path}")
        assert page.get_by_role("heading", level=1).count() == 1
        assert page.locator("form[method=post]").count() == 0, path
        assert page.get_by_role("link", name="Edit").count() == 0, path
