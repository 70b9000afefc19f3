"""What a forecast looks like: on a terminal, as SVG, as a page; and what it says mends what is full."""

from __future__ import annotations

import datetime
import html.parser
import re
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import pytest
from forecasts import a_forecast, a_task

from task.foresight import Hour, PlaceForecast, cures, heat_map, to_html, to_svg
from task.foresight.cures import crowded_out
from task.foresight.texts import share_text

UTC = datetime.UTC
SVG = "{http://www.w3.org/2000/svg}"

HOSTILE = "<script>alert(1)</script>\x1b[2J\u202e&\"' \ud800"

pytestmark = pytest.mark.usefixtures("amsterdam")


@pytest.fixture
def amsterdam(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone of this process: the clock goes back on 25 October 2026."""
    monkeypatch.setenv("TZ", "Europe/Amsterdam")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def quiet_hours(starts: dict[int, int], count: int = 48) -> tuple[Hour, ...]:
    """Hours from Saturday 24 October 2026, 00:00 in Amsterdam on, with so many starts in some."""
    first = datetime.datetime(2026, 10, 23, 22, tzinfo=UTC)
    return tuple(
        Hour(first + datetime.timedelta(hours=number), starts.get(number, 0), 0.0, 0, 0, 0) for number in range(count)
    )


# On a terminal.


def test_the_heat_map_has_a_row_a_day_and_a_column_an_hour() -> None:
    lines = list(heat_map(a_forecast(2), 80))

    assert lines == [
        "CEST        00    03    06    09    12    15    18    21          runs",
        "Mon 19 Oct      ░░▒▒▓▓▓▓░░░░░░░░░░░░░░░░· ░░░░░░░░░░░░░░░░░░     1\u202f740",
        "Tue 20 Oct  ░░░░░░▒▒█!▓▓░░░░░░░░░░░░░░░░· ░░░░░░░░░░░░░░░░░░     2\u202f052",
        "Wed 21 Oct  ░░░░                                                   120",
        "",
        "· none   ░ 1-103   ▒ 104-206   ▓ 207-309   █ 310-412   runs start in that hour",
        "! most goes wrong",
        "! Tue 20 Oct 04:00: 412 runs start, 12 late, 3 fail, 30 slots are refused",
    ]


@pytest.mark.parametrize("width", [40, 46, 60, 72, 80, 120, 200])
def test_the_heat_map_fits(width: int) -> None:
    plain = list(heat_map(a_forecast(15), width))
    coloured = list(heat_map(a_forecast(15), width, colour=True))

    assert max(map(len, plain)) <= width
    assert "\x1b" not in "".join(plain)
    assert [re.sub(r"\x1b\[\d+m", "", line) for line in coloured] == plain


def test_an_hour_that_is_repeated_is_one_and_one_that_is_skipped_is_empty() -> None:
    autumn = a_forecast()._replace(hours=quiet_hours({26: 3, 27: 2, 47: 5}, 49))
    spring = a_forecast()._replace(
        hours=tuple(one._replace(at=one.at - datetime.timedelta(days=210)) for one in quiet_hours({}, 48))
    )

    assert list(heat_map(autumn, 40))[1:3] == [
        "Sat 24 Oct  ························",
        "Sun 25 Oct* ··█···················█·",
    ]
    assert list(heat_map(spring, 40))[3] == "Sun 29 Mar* ·· ·····················"
    assert "* the clock changes" in "".join(heat_map(autumn, 80))


def test_hours_that_are_much_alike_are_told_apart_all_the_same() -> None:
    hours = quiet_hours(dict.fromkeys(range(23), 210) | {3: 228, 4: 219, 23: 12}, 24)
    alike = a_forecast()._replace(hours=hours)

    lines = list(heat_map(alike, 40))

    assert lines[1] == "Sat 24 Oct  ░░░█▒░░░░░░░░░░░░░░░░░░░"
    assert " ".join(lines[3:]).startswith("· none   ░ 1-214   ▒ 215-219   ▓ 220-223 █ 224-228")


def test_a_forecast_in_which_nothing_runs_is_drawn_too() -> None:
    still = a_forecast(tasks=())._replace(hours=quiet_hours({}, 3), places=(), collisions=(), worst_minute=None)
    still = still._replace(most_at_once=None, assumed=())

    assert list(heat_map(still, 40))[1:] == ["Sat 24 Oct  ···", "", "· none   runs start in that hour"]
    assert "0 runs of 0 tasks" in to_svg(still)
    assert "0 runs of 0 tasks" in to_html(still)


# As SVG.


def test_the_picture_is_one_file_with_its_figures_as_text() -> None:
    picture = to_svg(a_forecast(), "Forecast of shop.jobs")

    root = ElementTree.fromstring(picture)
    titles = [title.text or "" for title in root.iter(f"{SVG}title")]
    assert titles[0] == "Forecast of shop.jobs"
    assert "Tue 20 Oct 2026 04:00: 412 runs start, 12 late, 3 fail, 30 slots are refused" in titles
    described = root.findtext(f"{SVG}desc") or ""
    assert "10\u202f086 runs of 3 tasks, 13 late, 1 fails, 1 slot refused" in described
    assert "Tue 20 Oct 2\u202f052" in described
    assert root.get("role") == "img"
    assert "prefers-color-scheme: dark" in picture
    assert re.findall(r"https?://[^\"]*", picture) == ["http://www.w3.org/2000/svg"]


def test_a_hostile_title_draws_nothing() -> None:
    picture = to_svg(a_forecast(), HOSTILE)

    root = ElementTree.fromstring(picture.encode("utf-8"))
    assert not list(root.iter(f"{SVG}script"))
    assert root.findtext(f"{SVG}title") == "<script>alert(1)</script>\\x1b[2J\\u202e&\"' \\ud800"


def test_a_title_that_is_too_long_is_cut() -> None:
    root = ElementTree.fromstring(to_svg(a_forecast(), "x" * 300))

    assert root.findtext(f"{SVG}text") == "x" * 79 + "…"


def test_a_year_is_drawn_in_a_file_that_can_be_sent() -> None:
    assert len(to_svg(a_forecast(366))) < 2_000_000
    assert len(to_html(a_forecast(366))) < 2_500_000


# As a page.


class Seen(html.parser.HTMLParser):
    """The headings and the texts of a page, and what it would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [(name, value) for name, value in attributes if name in ("src", "href", "srcset", "action")]

    def handle_data(self, text: str) -> None:
        if text.strip():
            self.texts.append(text.strip())


def test_the_page_tells_everything_and_loads_nothing() -> None:
    page = to_html(a_forecast(), "Forecast of shop.jobs")

    seen = Seen(page)
    headings = re.findall(r"<h2>(.*)</h2>", page)
    assert headings == [
        "When",
        "What to change",
        "Places",
        "Tasks",
        "At once",
        "Nights in which the clock changes",
        "Without a slot",
        "What was assumed",
    ]
    assert (seen.loads, "script" in seen.tags, "link" in seen.tags, "@import" in page) == ([], False, False, False)
    for text in (
        "10\u202f080",
        "1 already running",
        "12.0 s",
        "5 min 10 s",
        "9 min",
        "96 %",
        "serial worker, 58 min, 5.0 % fail (48 runs)",
        "threads, 2.0 s (assumed)",
        "97 %",
        "Tue 20 Oct 2026 04:00: 40 runs start in that minute",
        "Tue 20 Oct 2026 04:00:30: 9 bodies run at once",
        "fetch, nightly report",
        ": Sun 25 Oct 2026 02:30 CEST, the clock repeats this time",
        "<b>migrate</b>",
        ": its one moment has passed",
        "The seed of all that is drawn is 7: the same seed draws the same.",
        "Conditions were not asked: only_if of 'fetch' was taken to hold.",
    ):
        assert text in seen.texts


def test_what_others_have_named_stays_text_on_the_page() -> None:
    hostile = a_task(HOSTILE, HOSTILE, skips={HOSTILE: 3}, states={"skipped": 3}, never=HOSTILE)
    place = PlaceForecast(HOSTILE, 1, 0.99, 1)
    page = to_html(a_forecast(tasks=(hostile,))._replace(places=(place,), assumed=(HOSTILE,)), HOSTILE)

    assert "script" not in Seen(page).tags
    assert "\x1b" not in page
    assert "\u202e" not in page
    page.encode("utf-8")


def test_ten_thousand_tasks_make_a_page_that_can_be_sent() -> None:
    page = to_html(a_forecast(tasks=tuple(a_task(f"task {number}") for number in range(10_000))))

    assert len(page) < 1_500_000
    assert "<p>and 9\u202f000 more, of which less goes wrong</p>" in page


def test_a_page_lists_the_worst_first_and_no_more_than_a_person_reads() -> None:
    tasks = [a_task(f"task {number}", never="it is off") for number in range(250)]
    tasks[7] = a_task("late one", max_lateness=5.0)
    page = to_html(a_forecast(tasks=tuple(tasks)))

    assert page.index(">late one<") < page.index(">task 0<")
    assert page.count(": it is off") == 200
    assert "<li>and 49 more</li>" in page


# What mends it.


def full(place: str, size: int | None, *, most_waiting: int = 4, saturation: float = 0.9) -> list[str]:
    """What is said of a place that the task ``report`` fills, for half of the time."""
    task = a_task("report", place, busy=302_400.0 * (size or 1), saturation=0.5, duration=30.0)
    found = a_forecast(tasks=(task, a_task("other", place)))
    return [cure.text for cure in cures(found._replace(places=(PlaceForecast(place, size, saturation, most_waiting),)))]


@pytest.mark.parametrize(
    ("place", "size", "cure"),
    [
        (
            "serial worker",
            1,
            "The serial worker is occupied for 90 % of the time, 50 % of its time by 'report'; up to 4 runs wait for "
            "it. Give 'report' a place of its own: threaded=True, or a pool: pool='report' and "
            "TaskManager(pools={'report': 1}).",
        ),
        (
            "threads",
            32,
            "The pool of threads is occupied for 90 % of the time, 50 % of its time by 'report'; up to 4 runs wait for "
            "it. Raise TaskManager(max_workers=32), or give 'report' a pool of its own: pool='report'.",
        ),
        (
            "io",
            2,
            "The pool 'io' is occupied for 90 % of the time, 50 % of its time by 'report'; up to 4 runs wait for it. "
            "Make that pool larger: TaskManager(pools={'io': 4}).",
        ),
        (
            "io (event loop)",
            2,
            "The pool 'io' is occupied for 90 % of the time, 50 % of its time by 'report'; up to 4 runs wait for it. "
            "Make that pool larger: TaskManager(pools={'io': 4}).",
        ),
    ],
)
def test_a_full_place_has_its_cure(place: str, size: int, cure: str) -> None:
    assert full(place, size) == [cure]


def test_what_has_no_bound_or_has_room_needs_no_cure() -> None:
    assert full("event loop", None) == []
    assert full("serial worker", 1, saturation=0.79) == []


def test_runs_that_wait_long_behind_one_have_a_cure_too() -> None:
    long = a_task("report", duration=3_600.0)
    behind = a_task("fetch", max_lateness=3_540.0, duration=1.0)
    place = PlaceForecast("serial worker", 1, 0.05, 1)

    (cure,) = cures(a_forecast(tasks=(long, behind))._replace(places=(place,)))

    assert cure.text == (
        "Up to 1 run waits for the serial worker, up to 59 min, as 'report' lasts 1 h. Give 'report' a place of its "
        "own: threaded=True, or a pool: pool='report' and TaskManager(pools={'report': 1})."
    )


def test_a_task_without_a_pause_has_its_cure() -> None:
    busy = a_task("report", saturation=0.97, skips={"already running": 1_200, "disabled": 5})

    (cure,) = cures(a_forecast(tasks=(busy,))._replace(places=()))

    assert (cure.what, cure.saturation) == ("report", 0.97)
    assert cure.text == (
        "'report' runs for 97 % of the time that its places have; slots skipped as it runs still: 1\u202f200. "
        "Give it fewer slots, a shorter body, or let more run: max_concurrent=2."
    )


def test_slots_that_are_skipped_behind_another_body_have_a_cure_also_where_the_wait_is_short() -> None:
    long = a_task("report", duration=8.0)
    behind = a_task("fetch", max_lateness=7.0, duration=0.1, skips={"already running": 900})
    place = PlaceForecast("serial worker", 1, 0.4, 2)

    (cure,) = cures(a_forecast(tasks=(long, behind))._replace(places=(place,)))

    assert cure.text.startswith("Up to 2 runs wait for the serial worker, up to 7.0 s, as 'report' lasts 8.0 s. Give")


def test_a_task_that_skips_every_other_slot_has_its_cure() -> None:
    overlaps = a_task("overlaps", saturation=0.75, skips={"already running": 10_800})

    (cure,) = cures(a_forecast(tasks=(overlaps,))._replace(places=()))

    assert cure.text.endswith("Give it fewer slots, a shorter body, or let more run: max_concurrent=2.")


def test_slots_that_somebody_wants_skipped_are_not_crowded_out() -> None:
    skips = {
        "already running": 3,
        "one run waits already": 2,
        "'x' has the mutex 'db'": 1,
        "disabled": 50,
        "a Sunday": 9,
    }

    assert crowded_out(a_task("report", skips=skips, states={"skipped": 65, "missed": 4})) == 10


def test_a_small_share_is_told_as_more_than_nothing() -> None:
    told = [share_text(share) for share in (0.0, 0.0001, 0.0049, 0.0994, 0.0996, 0.97, 1.2)]

    assert told == ["0 %", "< 0.1 %", "0.5 %", "9.9 %", "10 %", "97 %", "120 %"]
