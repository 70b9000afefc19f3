"""The page of one run: what it shows, and what is done on it, without JavaScript."""

from __future__ import annotations

import html as html_library
import logging
import pathlib
import re
import threading
from collections.abc import Callable
from urllib.parse import unquote

import pytest
from naughty import OURS, naughty_strings
from pages_client import Pages, elements, words

from task import Run, TaskManager
from task.stores import MemoryStore
from task.testing import VirtualClock


@pytest.fixture
def manager(clock: VirtualClock, tmp_path: pathlib.Path) -> TaskManager:
    """A manager in memory: an application gives one without a store a file."""
    return TaskManager([], clock=clock, store=MemoryStore(), artifacts=tmp_path)


def test_a_run_that_succeeded_tells_its_result_parameters_and_times(manager: TaskManager, clock: VirtualClock):
    @manager.task(name="report")
    def report(region: str, rows: int = 3):
        clock.sleep(75)
        return {"region": region, "rows": [rows, True]}

    with manager:
        run = report.trigger(region="EU")
        clock.advance(minutes=10)
        html = Pages(manager).get(f"/run/{run.id}")
    read = words(html)
    assert "succeeded after 1 min 15 s, 10 min ago" in read
    assert "{\n  &#34;region&#34;: &#34;EU&#34;,\n  &#34;rows&#34;: [\n    3,\n    true\n  ]\n}" in html
    assert "Parameters region EU" in read
    assert "Duration 1 min 15 s Started by somebody, by hand" in read
    assert "Nothing was logged." in read
    assert "It came from no other run, and none came from it." in read
    assert "Traceback" not in read
    assert "Cancel the run" not in read


def test_a_run_that_failed_shows_each_attempt_with_its_error_and_traceback(manager: TaskManager, clock: VirtualClock):
    errors = iter(["first <b>", "second", "third"])

    @manager.task(name="digest", retry=2)
    def digest():
        raise ConnectionError(next(errors))

    with manager:
        run = digest.trigger()
        clock.advance(minutes=1)
        html = Pages(manager).get(f"/run/{run.id}")
    read = words(html)
    assert re.search(
        "Attempt 3 .*ConnectionError: third Traceback .*Attempt 2 .*ConnectionError: second Traceback"
        ".*Attempt 1 .*ConnectionError: first <b> Traceback",
        read,
    )
    assert "first &lt;b&gt;" in html
    assert html.count("<details") == 3
    assert html.count("<details open") == 1


def test_a_run_that_waits_for_its_next_attempt_tells_when_that_is(manager: TaskManager, clock: VirtualClock):
    @manager.task(name="digest", retry=1)
    def digest():
        raise ConnectionError("closed")

    with manager:
        run = digest.trigger()
        read = words(Pages(manager).get(f"/run/{run.id}"))
        clock.advance(minutes=1)
    assert "retrying" in read
    assert "Attempt 2 is due in 1 s ." in read
    assert "Cancel the run" in read


def test_a_run_under_way_tells_how_far_it_is_and_how_long_it_will_take(manager: TaskManager, clock: VirtualClock):
    seen: list[str] = []

    @manager.task(name="fetch")
    def fetch(run: Run):
        clock.sleep(30)
        run.update_progress(25, "page 10 of 40 <i>")
        logging.getLogger("feeds").warning("slow <script>")
        seen.append(Pages(manager).get(f"/run/{run.id}"))

    with manager:
        fetch.trigger()
    read = words(seen[0])
    assert "running for 30.0 s 25 % page 10 of 40 <i> · about 1 min 30 s left" in read
    assert '<progress max="100" value="25.0" aria-label="Progress">' in seen[0]
    assert "WARNING slow <script> feeds" in read
    assert "slow &lt;script&gt;" in seen[0]
    assert 'hx-trigger="every 1s"' in seen[0]


def test_a_page_of_a_run_that_has_ended_does_not_ask_again_and_again(manager: TaskManager):
    task = manager.add(lambda: None, name="sample")
    with manager:
        html = Pages(manager).get(f"/run/{task.trigger().id}")
    assert "every 1s" not in html
    assert "It returned nothing." in html


def test_the_log_tells_how_many_lines_were_dropped(manager: TaskManager):
    @manager.task(name="noisy")
    def noisy(run: Run):
        for number in range(10_000):
            run.logger.info("line %d", number)

    with manager:
        html = Pages(manager).get(f"/run/{noisy.trigger().id}")
    assert "1000 lines, 9000 more were dropped between the first and the newest" in html
    assert html.count('<span class="level">INFO</span>') == 1000
    assert "line 9999" in html


def test_a_secret_is_on_no_page_also_while_the_run_goes_on(manager: TaskManager):
    seen: list[str] = []

    @manager.task(name="send", redact=["password"])
    def send(run: Run, password: str, to: str):
        run.logger.info("with %s", password)
        seen.append(Pages(manager).get(f"/run/{run.id}"))

    with manager:
        run = send.trigger(password="canary-7391", to="ada")
        pages = Pages(manager)
        seen += [pages.get(f"/run/{run.id}"), pages.get("/runs"), pages.get("/journal")]
    assert "canary-7391" not in "".join(seen)
    assert "password *** secret to ada" in words(seen[0])


def test_a_run_with_secrets_cannot_be_run_again_and_the_page_says_why(manager: TaskManager):
    @manager.task(name="send", redact=["password"])
    def send(password: str): ...

    with manager:
        run = send.trigger(password="canary-7391")
        pages = Pages(manager)
        assert "It cannot be run again from here. It had secret parameters" in words(pages.get(f"/run/{run.id}"))
        assert "It had secret parameters, which are not kept" in words(pages.submit(f"/run/{run.id}/again"))
    assert pages.status == 422
    assert len(manager.runs("send")) == 1


def test_run_again_starts_a_run_with_the_same_parameters_in_the_name_of_who_asked(manager: TaskManager):
    task = manager.add(lambda region, rows=1: region * rows, name="report")
    with manager:
        first = task.trigger(region="EU", rows=2)
        pages = Pages(manager, who="grace")
        read = words(pages.submit(f"/run/{first.id}/again"))
        again = manager.runs("report")[0]
    assert again.id != first.id
    assert pages.at == f"/tasks/run/{again.id}?told=triggered"
    assert again.parameters == {"region": "EU", "rows": 2}
    assert "It is asked for: this is its run." in read
    assert manager.journal("report")[0].who == "grace"


def test_a_run_whose_task_is_gone_says_that_it_cannot_run_again(manager: TaskManager):
    task = manager.add(lambda: None, name="old")
    with manager:
        run = task.trigger()
        manager.remove("old")
        pages = Pages(manager)
        read = words(pages.get(f"/run/{run.id}"))
        pages.submit(f"/run/{run.id}/again")
    assert "Its task is not in the code of this process any more." in read
    assert pages.status == 422


def test_a_run_is_cancelled_with_a_reason(clock: VirtualClock, wait_for: Callable[[Callable[[], bool]], None]):
    began, end = threading.Event(), threading.Event()
    manager = TaskManager([], store=MemoryStore())

    @manager.task(name="slow", threaded=True)
    def slow(run: Run):
        began.set()
        end.wait(60)
        run.check_cancelled()

    with manager:
        run = slow.trigger()
        assert began.wait(60)
        pages = Pages(manager)
        read = words(pages.submit(f"/run/{run.id}/cancel", reason="the wrong one"))
        assert "The run is asked to stop." in read
        assert "It is asked to stop. Its body ends when it looks" in read
        end.set()
        assert run.wait(60)
        assert "There was nothing to cancel: the run had ended." in words(pages.submit(f"/run/{run.id}/cancel"))
        assert "the wrong one" in words(pages.get(f"/run/{run.id}"))
    entry = manager.journal("slow")[0]
    assert (entry.who, entry.what) == ("ada", "cancelled")


def test_who_may_only_look_sees_no_control_and_can_change_nothing(manager: TaskManager):
    task = manager.add(lambda: None, name="sample")
    with manager:
        run = task.trigger()
        pages = Pages(manager, "view")
        html = pages.get(f"/run/{run.id}")
        assert "<button" not in html
        for action in ("again", "cancel"):
            pages.submit(f"/run/{run.id}/{action}")
            assert pages.status == 403
    assert len(manager.runs("sample")) == 1


def test_lineage_is_drawn_up_and_down(manager: TaskManager, clock: VirtualClock):
    manager.add(lambda: None, name="first")
    manager.add(lambda: None, name="second", after="first")
    manager.add(lambda: None, name="third", after="second")
    with manager:
        manager.trigger("first")
        clock.advance(seconds=1)
        pages = Pages(manager)
        (middle,) = manager.runs("second")
        html = pages.get(f"/run/{middle.id}")
    steps = re.findall(r'<li class="step (\w+)">.*?<bdi>(\w+)</bdi>', html, re.DOTALL)
    assert steps == [("above", "first"), ("this", "second"), ("below", "third")]


def test_artifacts_are_listed_and_can_be_downloaded(manager: TaskManager):
    @manager.task(name="report")
    def report(run: Run):
        run.save_artifact("sold & bought.csv", "day,sold\n")

    with manager:
        run = report.trigger()
        pages = Pages(manager)
        html = pages.get(f"/run/{run.id}")
        link = re.search(r'href="/tasks(/[^"]*)" download><bdi>sold &amp; bought.csv</bdi></a>', html)
        assert link is not None
        assert pages.get(html_library.unescape(unquote(link[1]))) == "day,sold\n"
    assert "9 bytes" in html


def test_a_run_that_is_not_on_record_is_not_found(manager: TaskManager):
    pages = Pages(manager)
    assert "is on record" in words(pages.get("/run/none"))
    assert pages.status == 404


def test_naughty_strings_are_shown_as_text_and_obeyed_by_nothing(manager: TaskManager):
    @manager.task(name="naughty")
    def naughty(run: Run, text: str):
        run.logger.info("%s", text)
        run.update_progress(50, text)
        raise ValueError(text)

    with manager:
        pages = Pages(manager)
        made_of = elements(pages.get(f"/run/{naughty.trigger(text='harmless').id}"))
        for text in [*naughty_strings()[::5], *OURS]:
            page = pages.get(f"/run/{naughty.trigger(text=f'{text}.').id}")
            assert elements(page) == made_of, text
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page), text


def test_a_run_with_the_secrets_of_its_declaration_runs_again_with_those(manager: TaskManager):
    seen: list[str] = []

    @manager.task(name="send", parameters={"password": "canary-7391"}, redact=["password"])
    def task(password: str):
        seen.append(password)

    with manager:
        run = task.trigger()
        run.wait(5)
        answer = Pages(manager).submit(f"/run/{run.id}/again")
        manager.runs("send")[0].wait(5)
    assert "It is asked for: this is its run." in words(answer)
    assert seen == ["canary-7391", "canary-7391"]
