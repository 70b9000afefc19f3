"""Forms made from the parameters of a task, and what is read from them."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import flask
import msgspec
import pytest

from task import TaskManager
from task.flask import FlaskTasks
from task.flask.pages.forms import Choice, Field, Typed, fields, read
from task.models import TaskFunction
from task.stores import MemoryStore
from task.testing import VirtualClock

Declare = Callable[..., TaskFunction[..., Any]]


@pytest.fixture
def declare(clock: VirtualClock) -> Iterator[Declare]:
    """Adds a task to the manager of an application, in whose context the test is."""
    manager = TaskManager([], clock=clock, store=MemoryStore())
    app = flask.Flask("app")
    app.config["TASKS_AUTOSTART"] = False
    FlaskTasks(manager).init_app(app)
    with app.app_context():
        yield manager.add


class Region(enum.Enum):
    """A choice."""

    EU = "eu"
    US = "us"


def only(found: list[Field]) -> Field:
    """The one field."""
    (field,) = found
    return field


def test_each_type_has_a_control_that_fits(declare: Declare):
    def body(
        text: str,
        count: int,
        share: float,
        sure: bool,
        region: Region,
        kind: Literal["short", 3],
        day: datetime.date,
        at: datetime.datetime,
        hour: datetime.time,
        span: datetime.timedelta,
        price: decimal.Decimal,
        key: uuid.UUID,
        names: list[str],
        table: dict[str, int],
        either: int | str,
        anything,
        maybe: bool | None = None,
        later: datetime.datetime | None = None,
    ): ...

    controls = {field.name: field.control for field in fields(declare(body))}
    assert controls == {
        "text": "text",
        "count": "number",
        "share": "number",
        "sure": "checkbox",
        "region": "select",
        "kind": "select",
        "day": "date",
        "at": "datetime-local",
        "hour": "time",
        "span": "text",
        "price": "text",
        "key": "text",
        "names": "json",
        "table": "json",
        "either": "json",
        "anything": "json",
        "maybe": "select",
        "later": "datetime-local",
    }


def test_choices_are_told_as_people_read_them(declare: Declare):
    def body(kind: Literal["short", 3], sure: bool | None = None): ...

    kind, sure = fields(declare(body))
    assert kind.choices == (Choice("3", "3"), Choice('"short"', "short"))
    assert sure.choices == (Choice("true", "yes"), Choice("false", "no"))


def test_what_is_declared_stands_in_the_field_else_the_default(declare: Declare):
    def body(
        name: str,
        times: int = 2,
        sure: bool = True,
        region: Region = Region.US,
        names: list[str] = ["ä"],  # noqa: B006 - it is only shown
        at: datetime.datetime = datetime.datetime(2026, 5, 4, 12, 30, tzinfo=datetime.UTC),
        word="EU",
        none: str | None = None,
    ): ...

    found = {field.name: (field.value, field.required) for field in fields(declare(body, parameters={"name": "Ada"}))}
    assert found == {
        "name": ("Ada", False),
        "times": ("2", False),
        "sure": ("true", False),
        "region": ('"us"', False),
        "names": ('["ä"]', False),
        "at": ("2026-05-04T12:30", False),
        "word": ("EU", False),
        "none": ("", False),
    }


def test_the_limits_of_a_number_are_told(declare: Declare):
    def body(count: Annotated[int, msgspec.Meta(ge=1, le=9)]): ...

    field = only(fields(declare(body)))
    assert (field.step, field.least, field.most, field.required) == ("1", 1, 9, True)


def test_what_is_typed_comes_as_the_values_of_json(declare: Declare):
    def body(
        text: str,
        count: int,
        share: float,
        sure: bool,
        unsure: bool,
        region: Region,
        day: datetime.date,
        at: datetime.datetime,
        hour: datetime.time,
        names: list[str],
        anything,
    ): ...

    typed = read(
        declare(body),
        {
            "p.text": "a",
            "p.count": "3",
            "p.share": "0.5",
            "p.sure": "true",
            "p.region": '"eu"',
            "p.day": "2026-05-04",
            "p.at": "2026-05-04T12:30",
            "p.hour": "03:30",
            "p.names": '["b"]',
            "p.anything": "null",
            "other": "field",
        },
    )
    assert typed.errors == {}
    assert typed.values == {
        "text": "a",
        "count": 3,
        "share": 0.5,
        "sure": True,
        "unsure": False,
        "region": "eu",
        "day": "2026-05-04",
        "at": "2026-05-04T12:30:00+00:00",
        "hour": "03:30:00",
        "names": ["b"],
        "anything": None,
    }


def test_what_is_left_empty_is_left_out(declare: Declare):
    def body(name: str, note: str | None = None, since: datetime.date | None = None, how: object = object): ...

    typed = read(declare(body), {"p.name": "Ada", "p.note": "", "p.since": "", "p.how": ""})
    assert typed == Typed({"name": "Ada"}, {}, {"name": "Ada", "note": "", "since": "", "how": ""})


def test_what_was_not_sent_is_left_out(declare: Declare):
    def body(count: int, word: str = "EU"): ...

    assert read(declare(body), {}) == Typed({}, {"count": "It needs a value."}, {"count": "", "word": ""})


def test_what_stood_in_a_field_and_was_taken_out_is_empty_or_none(declare: Declare):
    def body(word: str = "EU", maybe: int | None = 3): ...

    assert read(declare(body), {"p.word": "", "p.maybe": ""}).values == {"word": "", "maybe": None}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "It needs a value."),
        ("x", "Give a whole number."),
        ("1.5", "Give a whole number."),
        ("1" * 5000, "Give a whole number."),
    ],
)
def test_what_is_no_whole_number_is_told(declare: Declare, text, told):
    def body(count: int): ...

    assert read(declare(body), {"p.count": text}).errors == {"count": told}


@pytest.mark.parametrize("text", ["nan", "inf", "1e999", "one"])
def test_what_is_no_number_is_told(declare: Declare, text):
    def body(share: float): ...

    assert read(declare(body), {"p.share": text}).errors == {"share": "Give a number."}


@pytest.mark.parametrize("text", ["EU", "[1,", "[" * 100_000])
def test_what_is_no_json_is_told(declare: Declare, text):
    def body(names: list[str]): ...

    assert read(declare(body), {"p.names": text}).errors == {"names": "This is no JSON. Texts stand in quotes."}


def test_what_is_of_another_type_is_told_as_the_task_tells_it(declare: Declare):
    def body(names: list[int]): ...

    (told,) = read(declare(body), {"p.names": '["a"]'}).errors.values()
    assert told.startswith("Takes list[int], and ['a'] does not fit: ")


def test_a_secret_is_read_and_never_shown_again(declare: Declare):
    def body(token: str, pin: int): ...

    task = declare(body, redact=["token", "pin"])
    typed = read(task, {"p.token": "hunter2", "p.pin": "hunter3"})
    assert typed.values == {"token": "hunter2"}
    assert "hunter" not in f"{typed.errors} {typed.texts} {fields(task, typed)}"
    assert [field.control for field in fields(task, typed)] == ["password", "password"]


def test_a_secret_of_no_type_is_the_text_that_was_typed(declare: Declare):
    def body(token, code: int | str): ...

    task = declare(body, redact=["token", "code"])
    assert read(task, {"p.token": "12345", "p.code": "[1"}).values == {"token": "12345", "code": "[1"}


def test_a_default_that_json_cannot_say_does_not_stand_in_its_field(declare: Declare):
    class Own:
        """Something."""

    def body(how: Any = Own(), data: bytes = b"ab", other: Any = 3): ...  # noqa: B008

    how, data, other = fields(declare(body, parameters={"other": Own()}))
    assert (how.value, how.required) == ("", False)
    assert (data.value, data.hint) == ("YWI=", "bytes, in base64")
    assert (other.value, other.required) == ("", False)


def test_a_declared_secret_does_not_stand_in_its_field_and_is_used_when_none_is_typed(declare: Declare):
    def body(token: str): ...

    task = declare(body, redact=["token"], parameters={"token": "hunter2"})
    field = only(fields(task))
    assert (field.value, field.required) == ("", False)
    assert read(task, {"p.token": ""}) == Typed({}, {}, {})


def test_a_body_that_takes_anything_has_a_field_for_it(declare: Declare):
    def body(**others: int): ...

    task = declare(body)
    assert only(fields(task)).hint == 'JSON: other parameters, such as {"region": "EU"}'
    assert read(task, {"p.**": '{"count": 3}'}).values == {"count": 3}
    assert read(task, {"p.**": "[3]"}).errors == {"**": 'Give a JSON object, such as {"region": "EU"}.'}


def test_errors_and_what_was_typed_are_at_their_fields(declare: Declare):
    def body(count: int, name: str = "Ada"): ...

    task = declare(body)
    count, name = fields(task, read(task, {"p.count": "x", "p.name": "Bob"}))
    assert (count.value, count.error) == ("x", "Give a whole number.")
    assert (name.value, name.error) == ("Bob", None)
