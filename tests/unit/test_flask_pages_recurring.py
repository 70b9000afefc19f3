"""The pages of recurring entries: looked at, made, changed, removed, run, exported and imported without JavaScript."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest
from pages_client import Pages, words

from task import TaskManager
from task.stores import MemoryStore
from task.testing import VirtualClock


@pytest.fixture(autouse=True)
def local_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone of the process, in which pages tell moments: that of UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def manager(clock: VirtualClock) -> TaskManager:
    """A manager in memory, with one task that takes parameters: an application gives one without a store a file."""
    made = TaskManager([], clock=clock, store=MemoryStore())

    @made.task(name="report")
    def report(region: str, rows: int = 3): ...

    return made


def errors(page: str) -> dict[str, str]:
    """What is wrong, by the field that says so."""
    return {key: words(text) for key, text in re.findall(r'<span class="error" id="wrong-(\w+)">(.*?)</span>', page)}


def test_without_entries_the_page_says_what_they_are(manager: TaskManager):
    read = words(Pages(manager).get("/recurring"))
    assert "There are no recurring entries. An entry runs a task of this application on a schedule" in read


def test_an_entry_is_listed_with_its_words_parameters_and_counts(manager: TaskManager, clock: VirtualClock):
    manager.recurring.add(
        "nightly <EU>", task="report", schedule="30 2 * * * in Asia/Tokyo", parameters={"region": "<EU>"}, by="ada"
    )
    with manager:
        clock.advance(hours=24)
        page = Pages(manager).get("/recurring")
    read = words(page)
    assert "nightly <EU> runs report with region=<EU>" in read
    assert (
        "every day at 02:30 30 2 * * * in Asia/Tokyo in 5 h 30 min succeeded 18 h 30 min ago 1 Run now Edit Remove"
        in read
    )
    assert "nightly &lt;EU&gt;" in page


def test_an_orphan_comes_first_with_what_to_do(manager: TaskManager):
    manager.add(lambda: None, name="old")
    manager.recurring.add("orphan", task="old", schedule="every 5 minutes")
    manager.remove("old")
    read = words(Pages(manager).get("/recurring"))
    assert "1 entry is not run orphaned orphan : its task 'old' is not known here." in read
    assert "choose another task , or remove the entry . It is kept, and runs again when its task is back." in read
    assert "Run now" not in read


def test_who_may_only_look_sees_no_control_and_can_change_nothing(manager: TaskManager):
    manager.recurring.add("nightly", task="report", parameters={"region": "EU"}, by="ada")
    before = manager.recurring.export_json()
    pages = Pages(manager, "view")
    assert "<button" not in pages.get("/recurring")
    assert [pages.get(f"/recurring/{page}") and pages.status for page in ("entry", "import", "remove")] == [403] * 3
    for action in ("entry", "import", "remove", "run", "turn/off"):
        pages.submit(f"/recurring/{action}", {"name": "nightly", "task": "report"}, text=before)
        assert pages.status == 403
    assert manager.recurring.export_json() == before
    assert json.loads(pages.get("/recurring/export"))["entries"][0]["name"] == "nightly"


# The form.


def test_which_task_it_is_for_is_asked_first(manager: TaskManager):
    page = Pages(manager).get("/recurring/entry")
    assert "Which task is it to run?" in page
    assert '<option value="report">report</option>' in page


def test_an_entry_is_made_with_a_form_of_its_task(manager: TaskManager):
    pages = Pages(manager, who="grace")
    page = pages.get("/recurring/entry", task="report")
    assert re.search(r'name="p.region"[^>]* required', page)
    assert re.search(r'name="p.rows"[^>]* type="number" value="3"', page)
    read = words(
        pages.submit(
            "/recurring/entry",
            {"task": "report"},
            **{"name": "nightly", "schedule": "every day at 02:30", "p.region": "EU", "p.rows": "7"},
            max_concurrent="2",
            enabled="1",
        )
    )
    assert "The recurring entry is made." in read
    entry = manager.recurring.get("nightly")
    assert (entry.task, entry.schedule, entry.enabled, entry.max_concurrent) == (
        "report",
        "every day at 02:30",
        True,
        2,
    )
    assert entry.parameters == {"region": "EU", "rows": 7}
    assert manager.journal("nightly")[0].who == "grace"


def test_an_entry_may_be_made_off_and_without_a_schedule(manager: TaskManager):
    form = {"name": "by hand", "schedule": "", "p.region": "EU", "p.rows": "3", "max_concurrent": "1"}
    Pages(manager).submit("/recurring/entry", {"task": "report"}, **form)
    entry = manager.recurring.get("by hand")
    assert (entry.schedule, entry.enabled) == (None, False)


@pytest.mark.parametrize(
    ("changed", "key", "told"),
    [
        ({"name": ""}, "name", "It needs a name."),
        ({"name": "report"}, "name", "There is a task 'report' already"),
        ({"name": "taken"}, "name", "There is a recurring entry 'taken' already."),
        ({"schedule": "every moonday"}, "schedule", "The schedule 'every moonday' is not understood"),
        ({"schedule": "once at 2020-01-01 00:00"}, "schedule", ""),
        ({"max_concurrent": "many"}, "max_concurrent", "Give a whole number from 1."),
        ({"max_concurrent": "0"}, "max_concurrent", "max_concurrent is a whole number from 1 to 100000, not 0."),
    ],
)
def test_what_cannot_be_is_told_at_its_field_and_what_was_typed_stays(
    manager: TaskManager, changed: dict[str, str], key: str, told: str
):
    manager.recurring.add("taken", task="report", parameters={"region": "EU"})
    form = {"name": "<new>", "schedule": "every day", "p.region": "<EU>", "p.rows": "7", "max_concurrent": "1"}
    pages = Pages(manager)
    page = pages.submit("/recurring/entry", {"task": "report"}, **(form | changed))
    assert pages.status == 422
    assert told in errors(page)[key]
    assert re.search(f'id="{key}" [^>]*aria-invalid="true"', page)
    assert 'value="&lt;EU&gt;"' in page
    assert len(manager.recurring.list()) == 1


def test_a_parameter_that_does_not_fit_is_told_at_its_field(manager: TaskManager):
    form = {"name": "new", "schedule": "", "p.region": "EU", "p.rows": "seven", "max_concurrent": "1"}
    page = Pages(manager).submit("/recurring/entry", {"task": "report"}, **form)
    assert "rows: Give a whole number." in words(page)
    assert 'value="seven"' in page
    assert manager.recurring.list() == []


def test_secrets_have_no_field_in_an_entry(manager: TaskManager):
    @manager.task(name="send", redact=["password"])
    def send(to: str, password: str = ""): ...

    page = Pages(manager).get("/recurring/entry", task="send")
    assert 'name="p.to"' in page
    assert 'name="p.password"' not in page
    assert "What is secret cannot be passed by an entry, as it is kept for all to read: password." in words(page)


def test_an_entry_is_changed_and_its_form_has_what_it_has(manager: TaskManager):
    manager.recurring.add("nightly", task="report", schedule="every day at 02:30", parameters={"region": "EU"})
    pages = Pages(manager)
    page = pages.get("/recurring/entry", name="nightly")
    assert 'value="every day at 02:30"' in page
    assert re.search(r'name="p.region"[^>]* value="EU"', page)
    assert "Which task is it to run?" in pages.get("/recurring/entry", name="nightly", task="")
    form = {"schedule": "every day at 03:00", "p.region": "US", "p.rows": "3", "max_concurrent": "1"}
    assert "The recurring entry is changed." in words(pages.submit("/recurring/entry", {"name": "nightly"}, **form))
    entry = manager.recurring.get("nightly")
    assert (entry.schedule, entry.parameters["region"]) == ("every day at 03:00", "US")


def test_the_task_of_an_orphan_is_chosen_anew(manager: TaskManager):
    manager.add(lambda: None, name="old")
    manager.recurring.add("orphan", task="old", schedule="every 5 minutes")
    manager.remove("old")
    pages = Pages(manager)
    assert "Which task is it to run?" in pages.get("/recurring/entry", name="orphan")
    form = {"schedule": "every 5 minutes", "p.region": "EU", "p.rows": "3", "max_concurrent": "1"}
    pages.submit("/recurring/entry", {"name": "orphan", "task": "report"}, **form)
    assert manager.recurring.orphans() == []


# The preview.


def test_the_preview_has_the_next_ten_slots_in_the_zone_of_the_schedule(manager: TaskManager):
    page = Pages(manager).get("/recurring/preview", schedule="every day at 10:30 in Europe/Amsterdam")
    assert page.count("<li>") == 10
    assert "Tue 5 May 2026 10:30 CEST in 20 h 30 min" in words(page)
    assert "<html" not in page


def test_the_preview_marks_the_nights_on_which_the_clocks_change(manager: TaskManager, clock: VirtualClock):
    clock.advance(days=170)
    read = words(Pages(manager).get("/recurring/preview", schedule="30 2 * * * in Europe/Amsterdam"))
    assert "Sun 25 Oct 2026 02:30 CEST in 3 d 12 h the clock shows this time twice" in read


def test_the_preview_says_why_words_are_no_schedule(manager: TaskManager):
    page = Pages(manager, "view").get("/recurring/preview", schedule="every <b>")
    assert "is not understood" in words(page)
    assert "&lt;b&gt;" in page
    assert "Without a schedule it runs only by hand." in words(Pages(manager).get("/recurring/preview"))


def test_without_javascript_a_button_shows_the_preview_and_saves_nothing(manager: TaskManager):
    form = {"name": "new", "schedule": "every day at 02:30", "p.region": "EU", "p.rows": "", "preview": "1"}
    pages = Pages(manager)
    page = pages.submit("/recurring/entry", {"task": "report"}, **form)
    assert pages.status == 200
    assert "Tue 5 May 2026 02:30" in words(page)
    assert 'value="new"' in page
    assert manager.recurring.list() == []


# What is done with entries.


def test_a_switch_is_turned_off_and_on(manager: TaskManager):
    manager.recurring.add("nightly", task="report", parameters={"region": "EU"})
    pages = Pages(manager)
    assert 'aria-checked="false" aria-label="nightly"' in pages.submit("/recurring/turn/off", {"name": "nightly"})
    assert not manager.recurring.get("nightly").enabled
    assert 'aria-checked="true" aria-label="nightly"' in pages.submit("/recurring/turn/on", {"name": "nightly"})
    assert [entry.what for entry in manager.journal("nightly")][:2] == ["enabled", "disabled"]


def test_run_now_leads_to_the_run(manager: TaskManager):
    manager.recurring.add("nightly", task="report", parameters={"region": "EU"})
    pages = Pages(manager)
    with manager:
        read = words(pages.submit("/recurring/run", {"name": "nightly"}))
        (run,) = manager.runs("nightly")
    assert pages.at == f"/tasks/run/{run.id}?told=triggered"
    assert "region EU" in read
    assert manager.journal("nightly")[0].who == "ada"


def test_an_orphan_cannot_be_run(manager: TaskManager):
    manager.add(lambda: None, name="old")
    manager.recurring.add("orphan", task="old")
    manager.remove("old")
    pages = Pages(manager)
    assert "'orphan' cannot be run here: its task 'old'" in words(pages.submit("/recurring/run", {"name": "orphan"}))
    assert pages.status == 409


def test_removing_is_asked_once_more(manager: TaskManager):
    manager.recurring.add("nightly", task="report", schedule="every day", parameters={"region": "EU"})
    pages = Pages(manager)
    assert "It runs report , every day. It ran 0 times." in words(pages.get("/recurring/remove", name="nightly"))
    assert len(manager.recurring.list()) == 1
    assert "The recurring entry is removed." in words(pages.submit("/recurring/remove", {"name": "nightly"}))
    assert manager.recurring.list() == []


@pytest.mark.parametrize("path", ["entry", "remove"])
def test_an_entry_that_is_not_there_is_not_found(manager: TaskManager, path: str):
    pages = Pages(manager)
    pages.get(f"/recurring/{path}", name="none")
    assert pages.status == 404


def test_what_was_exported_is_imported(manager: TaskManager):
    manager.recurring.add("nightly", task="report", parameters={"region": "EU"})
    pages = Pages(manager)
    text = pages.get("/recurring/export")
    manager.recurring.remove("nightly")
    assert "The recurring entries are imported." in words(pages.submit("/recurring/import", text=text))
    assert manager.recurring.get("nightly").parameters == {"region": "EU"}
    page = pages.submit("/recurring/import", text=text)
    assert pages.status == 422
    assert "There is a recurring entry 'nightly' already." in errors_of_import(page)
    pages.submit("/recurring/import", text=text, replace="1")
    assert pages.status == 200


def test_what_is_no_export_is_told_and_stays_in_its_field(manager: TaskManager):
    pages = Pages(manager)
    page = pages.submit("/recurring/import", text="</textarea><b>")
    assert pages.status == 422
    assert "This is no JSON" in errors_of_import(page)
    assert "&lt;/textarea&gt;&lt;b&gt;</textarea>" in page


def errors_of_import(page: str) -> str:
    """What is wrong with the text."""
    found = re.search(r'id="wrong-text" role="alert">(.*?)</span>', page)
    assert found is not None
    return words(found[1])


def test_a_command_that_the_application_has_not_listed_cannot_be_imported(manager: TaskManager):
    entry = {"name": "evil", "task": "shell-command", "parameters": {"command": ["rm", "-rf", "/"]}}
    text = json.dumps({"version": 1, "entries": [{"schedule": None, "max_concurrent": 1, **entry}]})
    pages = Pages(manager)
    assert "This application allows no commands" in words(pages.submit("/recurring/import", text=text))
    assert pages.status == 403
    assert manager.recurring.list() == []
