"""When not: the conditions of ``only_if``, business days against printed calendars, business hours over all zones."""

from __future__ import annotations

import concurrent.futures
import datetime
import functools
import logging
import pickle
import subprocess
import sys
import threading
import time
import zoneinfo
from collections.abc import Iterator
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from task.calendars import business_days, business_hours, check_conditions, refusal
from task.calendars.business_days import _calendar
from task.errors import DeclarationError, DeclarationTypeError, MissingExtraError, ScheduleError

#: So long is waited for what another thread does, on a machine that lets it wait. Seconds.
LIMIT = 60.0

UTC = datetime.UTC
SLOT = datetime.datetime(2026, 5, 4, 12, tzinfo=UTC)  # a Monday
AMSTERDAM = "Europe/Amsterdam"


def at(text: str, zone: str = "UTC") -> datetime.datetime:
    """The moment of a wall time in a zone, in UTC, as slots are."""
    return datetime.datetime.fromisoformat(text).replace(tzinfo=zoneinfo.ZoneInfo(zone)).astimezone(UTC)


# What the option may be.


def test_without_only_if_there_are_no_conditions() -> None:
    assert check_conditions("report", None) == ()


def test_one_condition_or_a_list_of_them_is_a_tuple() -> None:
    def open_now() -> bool:
        return True

    def open_then(slot: datetime.datetime) -> bool:
        return True

    assert check_conditions("report", open_now) == (open_now,)
    assert check_conditions("report", [open_now, open_then]) == (open_now, open_then)


def test_every_kind_of_callable_is_a_condition() -> None:
    class Switch:
        def __call__(self) -> bool:
            return True

        def is_on(self, slot: datetime.datetime) -> bool:
            return True

    conditions = [Switch(), Switch().is_on, functools.partial(max, [1]), lambda *slots: slots, time.time, {}.get]

    assert len(check_conditions("report", conditions)) == 6


async def awaited() -> bool:
    return False


async def streamed():
    yield False


def generated():
    yield False


class AsyncSwitch:
    async def __call__(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        ([], DeclarationError, "Task 'report': only_if is an empty list."),
        (True, DeclarationTypeError, "Task 'report': only_if is a function that answers true or false"),
        ("mon-fri", DeclarationTypeError, "not 'mon-fri'."),
        ([print, 3], DeclarationTypeError, "not 3."),
        (business_days, DeclarationTypeError, "Write business_days('NL')."),
        (business_hours, DeclarationTypeError, "cannot be called: missing a required argument"),
        (awaited, DeclarationTypeError, "an async def, which nobody awaits. Make it a def."),
        (functools.partial(awaited), DeclarationTypeError, "an async def"),
        (AsyncSwitch(), DeclarationTypeError, "an async def"),
        (streamed, DeclarationTypeError, "an async def"),
        (generated, DeclarationTypeError, "a generator. Let it return its answer."),
        (lambda slot, other: True, DeclarationTypeError, "It takes nothing, or the slot."),
        (lambda *, key: True, DeclarationTypeError, "It takes nothing, or the slot."),
    ],
)
def test_what_cannot_be_asked_is_refused_at_declaration(value: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as raised:
        check_conditions("report", value)

    assert text in str(raised.value)
    assert str(raised.value).startswith("Task 'report': ")


# How conditions are asked.


def test_a_true_answer_goes_on_and_a_false_one_is_named() -> None:
    answers: list[object] = ["yes", False, None, 0, "", []]

    def warehouse_is_open() -> object:
        return answers.pop(0)

    assert refusal("report", [warehouse_is_open], SLOT) is None
    while answers:
        assert refusal("report", [warehouse_is_open], SLOT) == "only_if refused: warehouse_is_open"


def test_a_condition_that_needs_the_slot_gets_it() -> None:
    got = []

    def ask(slot: datetime.datetime) -> bool:
        got.append(slot)
        return True

    refusal("report", [ask], SLOT)

    assert got == [SLOT]


def test_a_default_of_a_condition_is_not_overwritten_by_the_slot() -> None:
    conditions = [lambda key=key: {"a": True, "b": False}[key] for key in ("a", "b")]

    assert refusal("report", conditions[:1], SLOT) is None
    assert refusal("report", conditions, SLOT) == "only_if refused: <lambda>"


def test_the_first_refusal_ends_the_asking() -> None:
    asked = []

    def condition(name: str, answer: bool) -> object:
        def ask() -> bool:
            asked.append(name)
            return answer

        ask.__name__ = name
        return ask

    reason = refusal("report", [condition("one", True), condition("two", False), condition("three", False)], SLOT)

    assert reason == "only_if refused: two"
    assert asked == ["one", "two"]


def test_a_condition_with_a_reason_is_asked_for_it_instead() -> None:
    class Freeze:
        def reason(self, slot: datetime.datetime) -> str | None:
            return f"frozen until {slot:%d %B}" if slot.month == 5 else None

        def __call__(self) -> bool:
            raise AssertionError("asked for less than its reason")

    assert refusal("report", [Freeze()], SLOT) == "frozen until 04 May"
    assert refusal("report", [Freeze()], SLOT.replace(month=6)) is None


def test_an_empty_reason_refuses_all_the_same() -> None:
    class Freeze:
        def reason(self, slot: datetime.datetime) -> str:
            return ""

        def __call__(self) -> bool:
            return True

        def __repr__(self) -> str:
            return "Freeze()"

    assert refusal("report", [Freeze()], SLOT) == "only_if refused: Freeze()"


def test_a_mock_is_asked_as_a_callable() -> None:
    assert refusal("report", [mock.Mock(return_value=True)], SLOT) is None
    assert refusal("report", [mock.Mock(return_value=False, __name__="switch")], SLOT) == "only_if refused: switch"


def test_a_condition_that_raises_refuses_and_is_logged_with_its_task(caplog: pytest.LogCaptureFixture) -> None:
    def ask() -> bool:
        raise ValueError("no answer\nfrom the depot")

    with caplog.at_level(logging.ERROR, "task"):
        reason = refusal("report", [ask], SLOT)

    assert reason == "only_if raised ValueError: no answer from the depot"
    [record] = caplog.records
    first, *frames, last = record.getMessage().splitlines()
    assert first == "Task 'report': its condition ask raised, so the slot of 2026-05-04 12:00:00+00:00 is refused."
    assert frames[0] == "    Traceback (most recent call last):"
    assert '        raise ValueError("no answer\\nfrom the depot")' in frames
    assert last == "    ValueError: no answer from the depot"


def test_the_log_of_a_condition_that_raises_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    def deep(left: int) -> bool:
        if left:
            return not deep(left - 1) or not left
        raise ValueError("x" * 1_000_000)

    with caplog.at_level(logging.ERROR, "task"):
        refusal("report", [lambda: deep(200)], SLOT)

    assert len(caplog.records[0].getMessage()) < 9_000


def test_an_answer_that_raises_when_it_is_judged_refuses() -> None:
    class Table:
        def __bool__(self) -> bool:
            raise ValueError("ambiguous")

    assert refusal("report", [lambda: Table()], SLOT) == "only_if raised ValueError: ambiguous"


@pytest.mark.parametrize(
    ("condition", "kind"),
    [
        (lambda: awaited(), "coroutine"),
        (lambda: generated(), "generator"),
        (lambda: streamed(), "async_generator"),
        (lambda: business_hours(9, 17), "BusinessHours"),
    ],
)
def test_an_answer_that_would_always_be_true_is_none(condition: object, kind: str) -> None:
    reason = refusal("report", [condition], SLOT)

    assert reason is not None
    assert reason.startswith(f"only_if raised DeclarationTypeError: <lambda> answered with a {kind}")


class Unprintable(Exception):  # noqa: N818 - not a fault of ours
    def __str__(self) -> str:
        raise RuntimeError("no text")


class LongWinded:
    def __init__(self, reason: str) -> None:
        self.text = reason

    def reason(self, slot: datetime.datetime) -> str:
        return self.text

    def __call__(self) -> bool:
        return False


class Unnameable:
    @property
    def __name__(self) -> str:
        raise RuntimeError("no name")

    def __call__(self) -> bool:
        return False


class Unwritable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __call__(self) -> bool:
        return False


def test_a_reason_is_one_line_of_at_most_200_characters() -> None:
    def raises(error: Exception) -> bool:
        raise error

    assert refusal("report", [LongWinded("x" * 1_000_000)], SLOT) == "x" * 199 + "…"
    assert refusal("report", [LongWinded("one\ntwo")], SLOT) == "one two"
    assert len(refusal("report", [lambda: raises(ValueError("x" * 1_000_000))], SLOT) or "") == 200
    assert refusal("report", [lambda: raises(Unprintable())], SLOT) == ("only_if raised Unprintable: (its text raises)")
    assert refusal("report", [Unwritable()], SLOT) == "only_if refused: <Unwritable whose repr() raises>"
    assert refusal("report", [Unnameable()], SLOT) == "only_if raised RuntimeError: no name"


def test_conditions_combine_in_a_list() -> None:
    conditions = check_conditions("report", [business_days("NL", tz=AMSTERDAM), business_hours(9, 17, tz=AMSTERDAM)])

    assert refusal("report", conditions, at("2026-05-04 12:00", AMSTERDAM)) is None
    assert refusal("report", conditions, at("2026-05-04 08:59", AMSTERDAM)) == "outside 09:00 to 17:00 Europe/Amsterdam"
    assert refusal("report", conditions, at("2026-05-03 12:00", AMSTERDAM)) == "not a business day in NL: Sunday"


# Business days.


@pytest.mark.parametrize(
    ("place", "date", "why"),
    [
        (("NL",), "2026-04-27", "NL: Koningsdag (King's Day)"),
        (("NL",), "2025-04-27", "NL: Sunday"),
        (("NL",), "2025-04-26", "NL: Saturday"),
        (("NL",), "2026-05-14", "NL: Hemelvaartsdag (Ascension Day)"),
        (("NL",), "2026-12-25", "NL: Eerste kerstdag (Christmas Day)"),
        (("NL",), "2026-04-28", None),
        (("DE",), "2026-10-03", "DE: Saturday"),
        (("DE",), "2025-10-03", "DE: Tag der Deutschen Einheit (German Unity Day)"),
        (("DE",), "2026-01-06", None),
        (("DE", "BY"), "2026-01-06", "DE, BY: Heilige Drei Könige (Epiphany)"),
        (("US",), "2026-11-26", "US: Thanksgiving Day"),
        (("US",), "2026-07-03", "US: Independence Day (observed)"),
        (("US",), "2021-12-31", "US: New Year's Day (observed)"),
        (("US",), "2026-07-06", None),
        (("GB", "SCT"), "2026-01-02", "GB, SCT: New Year Holiday"),
        (("GB", "ENG"), "2026-01-02", None),
        (("FR",), "2024-07-14", "FR: Sunday"),
        (("FR",), "2025-07-14", "FR: Fête nationale (National Day)"),
        (("JP",), "2026-05-06", "JP: 振替休日 (Substitute Holiday)"),
        (("IL",), "2026-05-08", "IL: Friday"),  # its weekend is Friday and Saturday
        (("IL",), "2026-05-10", None),  # and Sunday is worked
        (("AE",), "2021-05-07", "AE: Friday"),  # until 2022
        (("AE",), "2022-05-06", None),
        (("CN",), "2024-02-04", None),  # a Sunday that was worked, for the Spring Festival
        (("CN",), "2024-02-11", "CN: Sunday"),
    ],
)
def test_the_calendars_of_countries_are_known(place: tuple[str, ...], date: str, why: str | None) -> None:
    condition = business_days(*place, tz="UTC")

    assert condition.reason(at(f"{date} 12:00")) == (None if why is None else f"not a business day in {why}")
    assert condition(at(f"{date} 12:00")) is (why is None)


def test_the_date_is_that_of_the_zone() -> None:
    moment = datetime.datetime(2026, 4, 26, 22, 30, tzinfo=UTC)  # half past midnight on the 27th in Amsterdam

    assert business_days("NL", tz=AMSTERDAM).reason(moment) == "not a business day in NL: Koningsdag (King's Day)"
    assert business_days("NL", tz="UTC").reason(moment) == "not a business day in NL: Sunday"
    assert business_days("NL", tz="Asia/Tokyo")(moment.astimezone(zoneinfo.ZoneInfo("America/New_York"))) is False


@pytest.fixture
def process_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The process's own zone is Tokyo's."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield "Asia/Tokyo"
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("process_zone")
def test_without_a_zone_that_of_the_process_counts() -> None:
    friday_evening = datetime.datetime(2026, 5, 8, 16, tzinfo=UTC)  # Saturday 01:00 in Tokyo

    assert business_days("NL").reason(friday_evening) == "not a business day in NL: Saturday"
    assert business_hours(9, 17).reason(friday_evening) == "outside 09:00 to 17:00 local time"
    assert business_hours(1, 2)(friday_evening)


def test_own_weekdays_replace_the_countrys_weekend() -> None:
    condition = business_days("NL", tz="UTC", days="tue-sat")

    assert condition(at("2026-05-09 12:00"))
    assert condition.reason(at("2026-05-11 12:00")) == "not a business day in NL: Monday"
    assert (
        condition.reason(at("2026-12-26 12:00"))
        == "not a business day in NL: Tweede kerstdag (Second Day of Christmas)"
    )


def test_own_dates_differ_from_the_countrys() -> None:
    condition = business_days("NL", tz="UTC", also_closed=["2026-12-24"], also_open=[datetime.date(2026, 4, 27)])

    assert condition.reason(at("2026-12-24 12:00")) == "not a business day in NL: 2026-12-24 is in also_closed"
    assert condition(at("2026-04-27 12:00"))
    assert not condition(at("2027-04-27 12:00"))


def test_the_locale_of_the_process_does_not_change_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", "uk")
    _calendar.cache_clear()

    assert business_days("NL", tz="UTC").reason(at("2026-12-25 12:00")) == (
        "not a business day in NL: Eerste kerstdag (Christmas Day)"
    )


def test_slots_of_many_years_on_many_threads_get_one_answer() -> None:
    condition = business_days("NL", tz="UTC")
    years = [*range(1990, 2090)]
    start = threading.Barrier(4)

    def ask(_: int) -> list[bool]:
        start.wait(LIMIT)
        return [condition(at(f"{year}-12-25 12:00")) for year in years]

    _calendar.cache_clear()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))

    assert answers == [[False] * 100] * 4
    assert _calendar.cache_info().currsize <= 64


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: business_days("NX"), DeclarationError, "there is no country 'NX'. Use its ISO 3166 code"),
        (lambda: business_days("NLX"), DeclarationError, "there is no country 'NLX'. Did you mean 'NL'"),
        (lambda: business_days("Netherlands"), DeclarationError, "Use its ISO 3166 code: 'NL', 'US'."),
        (lambda: business_days("FRI"), DeclarationError, "there is no country 'FRI'"),
        (lambda: business_days("ECB"), DeclarationError, "there is no country 'ECB'"),
        (lambda: business_days(""), DeclarationError, "there is no country ''"),
        (lambda: business_days("N" * 1_000_000), DeclarationError, "there is no country 'NNNN"),
        (lambda: business_days(31), DeclarationTypeError, "country is a code such as 'NL', not 31."),
        (lambda: business_days("DE", "BX"), DeclarationError, "DE has no subdivision 'BX'. It has: BB, BE, BW"),
        (lambda: business_days("GB", "SCO"), DeclarationError, "GB has no subdivision 'SCO'. Did you mean 'SCT'?"),
        (lambda: business_days("DE", 3), DeclarationTypeError, "subdivision is a code such as 'BY', not 3."),
        (lambda: business_days("NL", tz="Europe/Amsterdm"), ScheduleError, "no time zone 'Europe/Amsterdm'"),
        (lambda: business_days("NL", tz=2), ScheduleError, "not 2."),
        (lambda: business_days("NL", days="mon-fry"), DeclarationError, "'fry' in days is not a weekday. Did you mean"),
        (lambda: business_days("NL", days="werk"), DeclarationError, "Write 'mon-fri' or 'tue,sat'."),
        (lambda: business_days("NL", days=""), DeclarationError, "'' in days is not a weekday."),
        (lambda: business_days("NL", days=[]), DeclarationError, "days is an empty list."),
        (lambda: business_days("NL", days=[0, 1]), DeclarationTypeError, "or a list of weekdays, not [0, 1]."),
        (lambda: business_days("NL", days=5), DeclarationTypeError, "days is a text such as 'mon-fri'"),
        (lambda: business_days("NL", also_open=["27-04-2026"]), DeclarationError, "'27-04-2026' in also_open is not"),
        (lambda: business_days("NL", also_closed=[SLOT]), DeclarationTypeError, "in also_closed is not a date."),
        (lambda: business_days("NL", also_closed="2026-12-24"), DeclarationTypeError, "also_closed is a list of dates"),
        (
            lambda: business_days("NL", also_closed=["2026-12-24"], also_open=["2026-12-24"]),
            DeclarationError,
            "2026-12-24 is in also_closed and in also_open. Leave it out of one of them.",
        ),
        (
            lambda: business_days("NL", also_open=[datetime.date.fromordinal(day) for day in range(1, 1002)]),
            DeclarationError,
            "also_open has 1001 dates; 1000 is the most.",
        ),
    ],
)
def test_business_days_that_cannot_be_are_refused(make: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as raised:
        make()

    assert text in str(raised.value)
    assert len(str(raised.value)) < 300


def test_a_country_may_be_written_small() -> None:
    assert business_days("nl") == business_days("NL")


def test_without_the_extra_business_days_say_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "holidays", None)

    with pytest.raises(MissingExtraError) as raised:
        business_days("NL")

    assert str(raised.value) == "business_days needs the extra 'calendars': pip install 'schedule-tasks[calendars]'"
    assert business_hours(9, 17, tz="UTC")(SLOT)


def test_the_library_is_loaded_when_a_condition_is_made_and_not_before() -> None:
    code = "import sys, task.calendars; task.calendars.business_hours(9, 17); print('holidays' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "False\n"


# Business hours.


@pytest.mark.parametrize(
    ("hours", "wall", "inside"),
    [
        ((9, 17), "09:00:00", True),
        ((9, 17), "16:59:59.999999", True),
        ((9, 17), "17:00:00", False),
        ((9, 17), "08:59:59.999999", False),
        (("09:30", "9:45"), "09:30:00", True),
        (("09:30", "9:45"), "09:45:00", False),
        ((9.5, 17.25), "17:14:59", True),
        ((9.5, 17.25), "17:15:00", False),
        ((datetime.time(9), datetime.time(17, 0, 30)), "17:00:29", True),
        ((datetime.time(9), "17:00:30"), "17:00:30", False),
        ((22, 6), "22:00:00", True),
        ((22, 6), "23:59:59", True),
        ((22, 6), "00:00:00", True),
        ((22, 6), "05:59:59", True),
        ((22, 6), "06:00:00", False),
        ((22, 6), "21:59:59", False),
        ((18, 0), "23:59:59", True),
        ((18, 24), "00:00:00", False),
        ((0, 24), "00:00:00", True),
        ((0, 24), "23:59:59.999999", True),
        ((24, 6), "00:00:00", True),
    ],
)
def test_the_start_is_inside_and_the_end_is_not(hours: tuple[float, float], wall: str, inside: bool) -> None:
    assert business_hours(*hours, tz=AMSTERDAM)(at(f"2026-05-04 {wall}", AMSTERDAM)) is inside


def test_hours_are_those_of_the_clock_on_both_nights_of_daylight_saving() -> None:
    condition = business_hours(3, 4, tz=AMSTERDAM)
    twice = business_hours(2, 3, tz=AMSTERDAM)

    spring = [at(f"2026-03-29 0{hour}:30") for hour in range(4)]  # 01:30, 03:30, 04:30 and 05:30 there
    autumn = [at(f"2026-10-25 0{hour}:30") for hour in range(4)]  # 02:30, 02:30, 03:30 and 04:30 there

    assert [condition(moment) for moment in spring] == [False, True, False, False]
    assert [twice(moment) for moment in spring] == [False, False, False, False]
    assert [condition(moment) for moment in autumn] == [False, False, True, False]
    assert [twice(moment) for moment in autumn] == [True, True, False, False]


def test_hours_over_midnight_belong_to_the_day_on_which_they_start() -> None:
    condition = business_hours(22, 6, tz="UTC", days="mon-fri")

    assert condition(at("2026-05-08 23:00"))  # Friday
    assert condition(at("2026-05-09 05:00"))  # Saturday morning, of Friday's
    assert condition.reason(at("2026-05-09 23:00")) == "outside 22:00 to 06:00 UTC, mon,tue,wed,thu,fri"
    assert not condition(at("2026-05-11 05:00"))  # Monday morning, of Sunday's
    assert condition(at("2026-05-11 22:00"))


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ("mon-fri", "mon,tue,wed,thu,fri"),
        ("Saturday, SUN", "sat,sun"),
        ("fri-mon", "mon,fri,sat,sun"),
        ("wed - wed", "wed"),
        (["tue", "sat-sun"], "tue,sat,sun"),
        ({"tuesday"}, "tue"),
    ],
)
def test_weekdays_are_read_as_people_write_them(days: str, expected: str) -> None:
    assert repr(business_hours(9, 17, days=days)) == f"business_hours('09:00', '17:00', days={expected!r})"


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: business_hours(9, 9), DeclarationError, "start and end are both 09:00"),
        (lambda: business_hours(0, 0), DeclarationError, "The whole day is business_hours(0, 24)."),
        (lambda: business_hours(-1, 9), DeclarationError, "start is from 0 to 24 hours, not -1."),
        (lambda: business_hours(9, 24.5), DeclarationError, "end is from 0 to 24 hours, not 24.5."),
        (lambda: business_hours(9, float("nan")), DeclarationError, "end is from 0 to 24 hours, not nan."),
        (lambda: business_hours(9, float("inf")), DeclarationError, "not inf."),
        (lambda: business_hours(9, "24:30"), DeclarationError, "end is from 0 to 24 hours, not '24:30'."),
        (lambda: business_hours("9:60", 17), DeclarationError, "not '9:60'. Write 9, 17.5, '09:30' or"),
        (lambda: business_hours("nine", 17), DeclarationError, "not 'nine'."),
        (lambda: business_hours("\u0669:\u0660\u0660", 17), DeclarationError, "start is from 0 to 24 hours"),
        (lambda: business_hours(datetime.time(9, tzinfo=UTC), 17), DeclarationError, "Give it as tz=... instead."),
        (lambda: business_hours(True, 17), DeclarationTypeError, "start is a time of day, not True."),
        (lambda: business_hours(9, None), DeclarationTypeError, "end is a time of day, not None."),
        (lambda: business_hours(9, 17, tz="Mars"), ScheduleError, "There is no time zone 'Mars'."),
        (lambda: business_hours(9, 17, days="mon-"), DeclarationError, "business_hours: '' in days is not a weekday."),
    ],
)
def test_business_hours_that_cannot_be_are_refused(make: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as raised:
        make()

    assert text in str(raised.value)


TIMES = st.integers(0, 1439)
ZONES = st.sampled_from(
    ["UTC", AMSTERDAM, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "Africa/Casablanca"]
)
#: Around changes of daylight saving there, and the day that Apia left out; and anywhere else.
MOMENTS = st.one_of(
    st.builds(
        lambda moment, minutes: moment + datetime.timedelta(minutes=minutes),
        st.sampled_from(
            [
                at("2026-03-29 01:00"),
                at("2026-10-25 01:00"),
                at("2026-03-08 07:00"),
                at("2026-11-01 06:00"),
                at("2026-04-04 15:00"),
                at("2026-10-03 15:30"),
                at("2011-12-30 10:00"),
            ]
        ),
        st.integers(-1500, 1500),
    ),
    st.datetimes(datetime.datetime(1971, 1, 1), datetime.datetime(2099, 1, 1), timezones=st.just(UTC)),
)


@settings(deadline=None, max_examples=300)
@given(start=TIMES, end=TIMES, zone=ZONES, moment=MOMENTS)
def test_a_moment_is_inside_some_hours_or_inside_the_rest_of_the_day(
    start: int, end: int, zone: str, moment: datetime.datetime
) -> None:
    if start == end:
        return
    first, last = datetime.time(*divmod(start, 60)), datetime.time(*divmod(end, 60))
    hours = business_hours(first, last, tz=zone)
    rest = business_hours(last, first, tz=zone)
    shown = moment.astimezone(zoneinfo.ZoneInfo(zone)).time()

    inside = first <= shown < last if first < last else not last <= shown < first
    assert hours(moment) is inside
    assert rest(moment) is not inside
    assert (hours.reason(moment) is None) is inside
    assert refusal("report", [hours], moment) == hours.reason(moment)


@settings(deadline=None, max_examples=200)
@given(start=TIMES, end=TIMES, zone=ZONES, moment=MOMENTS, day=st.integers(0, 6))
def test_a_moment_inside_belongs_to_one_weekday(
    start: int, end: int, zone: str, moment: datetime.datetime, day: int
) -> None:
    if start == end:
        return
    names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    first, last = datetime.time(*divmod(start, 60)), datetime.time(*divmod(end, 60))

    always = business_hours(first, last, tz=zone)
    by_day = [business_hours(first, last, tz=zone, days=name)(moment) for name in names]

    assert sum(by_day) == always(moment)


# Both.


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (business_days("NL", tz=AMSTERDAM), "business_days('NL', tz='Europe/Amsterdam')"),
        (business_days(), "business_days('NL')"),
        (
            business_days("DE", "BY", days="mon-sat", also_closed=["2026-12-24"]),
            "business_days('DE', subdivision='BY', days='mon,tue,wed,thu,fri,sat', also_closed=['2026-12-24'])",
        ),
        (business_hours(9, 17.5, tz=zoneinfo.ZoneInfo("UTC")), "business_hours('09:00', '17:30', tz='UTC')"),
        (business_hours("22:00:30", 24), "business_hours('22:00:30', '24:00')"),
    ],
)
def test_conditions_are_written_as_they_are_made(condition: object, text: str) -> None:
    assert repr(condition) == text
    assert eval(text, {"business_days": business_days, "business_hours": business_hours}) == condition


def test_conditions_are_values() -> None:
    days, hours = business_days("NL", tz=AMSTERDAM), business_hours(9, 17, tz=AMSTERDAM)

    assert {days, hours} == {business_days("NL", tz=AMSTERDAM), business_hours("09:00", "17:00", tz=AMSTERDAM)}
    assert days != business_days("NL", tz="UTC")
    assert pickle.loads(pickle.dumps([days, hours])) == [days, hours]
    with pytest.raises(AttributeError):
        days.country = "BE"


@pytest.mark.parametrize("condition", [business_days("NL", tz="UTC"), business_hours(9, 17, tz="UTC")], ids=repr)
@pytest.mark.parametrize("moment", [datetime.datetime(2026, 5, 4, 12), datetime.date(2026, 5, 4), "noon", None])
def test_a_moment_without_a_time_zone_is_refused(condition: object, moment: object) -> None:
    with pytest.raises(ScheduleError, match=r"is not an aware datetime\. Add its time zone"):
        condition(moment)
