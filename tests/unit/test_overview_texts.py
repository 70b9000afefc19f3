"""Schedules as people read them."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import schedule
from hypothesis import given
from hypothesis import strategies as st

from task import cron, every, once
from task.overview import ScheduleText, texts

UTC = datetime.UTC


@pytest.fixture(autouse=True)
def read_anew() -> Iterator[None]:
    texts._english.cache_clear()
    yield
    texts._english.cache_clear()


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("0 2 * * *", "every day at 02:00"),
        ("0 2,14 * * *", "every day at 02:00 and 14:00"),
        ("@daily", "every day at 00:00"),
        ("0 18 * * mon-fri", "Monday to Friday at 18:00"),
        ("0 0 * * 0", "every Sunday at 00:00"),
        ("0 9 * * 1,3,5", "every Monday, Wednesday, and Friday at 09:00"),
        ("* * * * *", "every minute"),
        ("*/5 * * * *", "every 5 minutes"),
        ("@hourly", "every hour"),
        ("*/15 9-17 * * 1-5", "every 15 minutes, between 09:00 and 17:59, Monday to Friday"),
        ("30 2 1 * *", "at 02:30, on day 1 of the month"),
        ("0 9 L * *", "at 09:00, on the last day of the month"),
        ("0 9 * * mon#1", "at 09:00, on the first Monday of the month"),
        ("0 0 29 2 *", "at 00:00, on day 29 of the month, only in February"),
    ],
)
def test_a_cron_is_told_in_plain_english_by_a_clock_of_24_hours(expression: str, text: str) -> None:
    assert texts.text_of(cron(expression, tz="UTC")) == ScheduleText(text, expression, "UTC")


def test_the_sixth_field_of_a_cron_is_the_second() -> None:
    assert texts.text_of(cron("30 2 * * * 15")).text == "every day at 02:30:15"


def test_a_cron_whose_sentence_would_mislead_is_told_as_it_is_written() -> None:
    either = cron("0 0 13 * fri")  # on the 13th, and on each Friday: the sentence would say both at once

    assert texts.text_of(either).text == "0 0 13 * fri"


def test_an_h_in_a_cron_is_told_as_the_value_that_the_name_of_the_task_gives() -> None:
    of_a_task, of_none = cron("H 2 * * *").hashed_by("report"), cron("H 2 * * *")

    assert texts.text_of(of_a_task) == ScheduleText("every day at 02:44", "H 2 * * *", None)
    assert texts.text_of(of_none).text == "H 2 * * *"


def test_without_the_library_a_cron_is_told_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cron_descriptor", None)

    assert texts.text_of(cron("0 2 * * *")).text == "0 2 * * *"


def test_a_cron_that_the_library_refuses_is_told_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> str:
        raise AttributeError("a bug of its own")

    monkeypatch.setattr("cron_descriptor.get_description", refuse)

    assert texts.text_of(cron("0 2 * * *")).text == "0 2 * * *"


@pytest.mark.parametrize(
    ("job", "told"),
    [
        (every(30).seconds, ("every 30 seconds", "every 30 seconds", None)),
        (every(5).to(10).minutes, ("every 5 to 10 minutes", "every 5 to 10 minutes", None)),
        (
            every().monday.at("09:00", "Europe/Amsterdam"),
            ("every monday at 09:00", "every monday at 09:00 in Europe/Amsterdam", "Europe/Amsterdam"),
        ),
        (
            once(datetime.datetime(2026, 12, 24, 18, tzinfo=UTC)),
            ("once on Thu 24 Dec 2026 18:00 UTC", "once at 2026-12-24 18:00:00+00:00", None),
        ),
    ],
    ids=["interval", "drawn", "calendar", "once"],
)
def test_other_schedules_are_told_in_their_own_words(job: schedule.Job, told: tuple[str, str, str | None]) -> None:
    assert texts.text_of(job) == told


def test_a_schedule_of_the_users_own_is_told_by_what_its_repr_says() -> None:
    class Tides(schedule.Job):
        def next_slot(self, after: datetime.datetime) -> datetime.datetime | None:
            return None

    assert texts.text_of(Tides(1)) == ScheduleText("Tides", "Tides", None)


def test_words_that_nobody_can_read_are_told_as_they_are() -> None:
    assert texts.text_of_words("every so often", "report") == ScheduleText("every so often", "every so often", None)
    assert texts.text_of_words("H 2 * * *", "report").text == "every day at 02:44"


_field = st.sampled_from(["*", "0", "5", "1,3", "1-4", "*/2", "1-5/2"])


@given(st.tuples(_field, _field, _field, _field, _field))
def test_every_cron_has_a_text(fields: tuple[str, ...]) -> None:
    expression = " ".join(["0" if field == "0" and number in (2, 3) else field for number, field in enumerate(fields)])
    expression = expression if "0" not in expression.split()[2:4] else "0 2 * * *"

    text = texts.text_of(cron(expression)).text

    assert text
    assert "%" not in text
