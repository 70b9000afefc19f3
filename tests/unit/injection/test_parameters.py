"""What the caller of a task may pass: names and values, checked against the signature of the body."""

import dataclasses
import datetime
import enum
import functools
import inspect
import threading
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from task.errors import DeclarationTypeError, MissingExtraError, ParameterError
from task.injection import Parameters

#: So long is waited for what another thread does, on a machine that lets it wait. Seconds.
LIMIT = 60.0

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]  # that it does not exist is the point


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Connection:
    """A class that JSON cannot say."""


def greet(name: str, times: int = 1) -> None:
    """A body for names alone."""


# Names.


def test_a_name_that_the_body_takes_is_passed() -> None:
    assert Parameters("greet", greet).check({"name": "Ada"}) == {"name": "Ada"}


def test_nothing_to_check_is_nothing() -> None:
    assert Parameters("greet", greet).check({}) == {}


def test_a_name_that_the_body_does_not_take_is_refused_with_the_nearest() -> None:
    with pytest.raises(ParameterError) as caught:
        Parameters("greet", greet).check({"nmae": "Ada"})
    assert str(caught.value) == "Task 'greet': the body takes no parameter 'nmae'. Did you mean 'name'?"


def test_a_name_that_is_near_to_none_is_refused_with_all_of_them() -> None:
    with pytest.raises(ParameterError, match=r"takes no parameter 'region'. It takes: name, times.$"):
        Parameters("greet", greet).check({"region": "EU"})


def test_a_parameter_that_is_positional_only_cannot_be_passed() -> None:
    def body(name: str, /) -> None: ...

    with pytest.raises(ParameterError, match=r"takes no parameter 'name'. It takes: none.$"):
        Parameters("body", body).check({"name": "Ada"})


def test_other_names_are_taken_and_checked_by_keyword_arguments() -> None:
    def body(**counts: int) -> None: ...

    assert Parameters("body", body).check({"apples": "3"}) == {"apples": 3}
    with pytest.raises(ParameterError, match="'pears'"):
        Parameters("body", body).check({"pears": "many"})


def test_a_name_that_is_filled_in_is_refused() -> None:
    def body(connection: Connection, name: str) -> None: ...

    parameters = Parameters("body", body).without({"connection": Connection})
    with pytest.raises(ParameterError, match=r"parameter 'connection' is filled in \(Connection\). Leave it out"):
        parameters.check({"connection": 3})


@pytest.mark.parametrize("values", [None, ["name"], {1: "x"}], ids=repr)
def test_what_is_no_mapping_of_names_is_the_wrong_kind_of_thing(values: Any) -> None:
    with pytest.raises(DeclarationTypeError, match="parameters is a dict of names and values"):
        Parameters("greet", greet).check(values)


def test_a_builtin_that_does_not_tell_what_it_takes_takes_anything() -> None:
    parameters = Parameters("vars", vars)
    assert parameters.check({"anything": 1}) == {"anything": 1}
    assert parameters.missing({}) == []
    assert parameters.schema() == {"type": "object", "properties": {}, "required": [], "additionalProperties": True}


# Values.


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        (int, "3", 3),
        (int, 3.0, 3),
        (float, 3, 3.0),
        (bool, "true", True),
        (Colour, "red", Colour.RED),
        (Point, {"x": "1"}, Point(1)),
        (list[Point], [{"x": 1}, {"x": 2}], [Point(1), Point(2)]),
        (int | None, None, None),
        (int | None, "4", 4),
        (datetime.date, "2026-05-04", datetime.date(2026, 5, 4)),
        (datetime.datetime, "2026-05-04T12:00:00Z", datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)),
        (datetime.timedelta, "PT90S", datetime.timedelta(seconds=90)),
        (Any, "3", "3"),
        (typing.Literal["a"], "a", "a"),
    ],
    ids=str,
)
def test_a_value_is_converted_to_the_type_of_its_parameter(hint: Any, value: object, expected: object) -> None:
    def body(given: hint) -> None: ...

    assert Parameters("body", body).check({"given": value}) == {"given": expected}


@pytest.mark.parametrize(
    ("hint", "value", "explanation"),
    [
        (int, "many", "Expected `int`, got `str`"),
        (int, True, "Expected `int`, got `bool`"),
        (int | None, True, "got `bool`"),
        (str, 3, "Expected `str`, got `int`"),
        (Point, {"y": 1}, "missing required field `x`"),
        (Point, {"x": "left"}, r"at `\$.x`"),
        (list[int], [1, "two"], r"at `\$\[1\]`"),
        (Connection, 3, "Expected `Connection`, got `int`"),
        (Connection | int, "three", "another type"),
        (typing.Literal["a"], "b", "Invalid enum value 'b'"),
    ],
    ids=str,
)
def test_a_value_that_does_not_fit_is_refused_by_name(hint: Any, value: object, explanation: str) -> None:
    def body(given: hint) -> None: ...

    with pytest.raises(ParameterError, match=f"^Task 'body': the parameter 'given' takes .*{explanation}"):
        Parameters("body", body).check({"given": value})


def test_an_instance_of_the_annotated_class_passes_as_it_is() -> None:
    def body(point: Point, connection: Connection, either: Connection | None) -> None: ...

    values = {"point": Point("left"), "connection": Connection(), "either": Connection()}  # type: ignore[arg-type]  # not looked into
    checked = Parameters("body", body).check(values)
    assert all(checked[key] is values[key] for key in values)


def test_a_type_that_nobody_can_check_is_not_checked() -> None:
    T = typing.TypeVar("T")

    class Speaks(typing.Protocol):
        def speak(self) -> str: ...

    def body(free: T, speaker: Speaks, work: Callable[[int], str], text: typing.LiteralString) -> T:
        return free

    values: dict[str, Any] = {"free": object(), "speaker": 3, "work": str, "text": 3}
    assert Parameters("body", body).check(values) == values


def test_what_the_constructor_of_a_class_raises_is_a_value_that_does_not_fit() -> None:
    @dataclasses.dataclass
    class Even:
        number: int

        def __post_init__(self) -> None:
            if self.number % 2:
                raise KeyError("odd" * 1000)

    def body(even: Even) -> None: ...

    with pytest.raises(ParameterError, match="oddodd") as caught:
        Parameters("body", body).check({"even": {"number": 3}})
    assert len(str(caught.value)) < 600


def test_an_annotation_that_cannot_be_resolved_is_none_and_spoils_no_other() -> None:
    def body(strange: "Unknown", broken: "1 +", count: "int") -> None: ...  # type: ignore[valid-type]  # noqa: F722 - that it is broken is the point

    assert Parameters("body", body).check({"strange": "3", "broken": "3", "count": "3"}) == {
        "strange": "3",
        "broken": "3",
        "count": 3,
    }


def test_partials_methods_callable_objects_and_decorated_functions_tell_their_types_too() -> None:
    class Greeter:
        def method(self, times: "int") -> None: ...

        def __call__(self, times: "int") -> None: ...

    @functools.wraps(greet)
    def wrapped(*args: object, **kwargs: object) -> None: ...

    for body in (Greeter().method, Greeter(), wrapped, functools.partial(greet, "Ada"), functools.partial(Greeter())):
        assert Parameters("body", body).check({"times": "3"}) == {"times": 3}


def test_an_object_that_answers_to_every_name_does_not_hang() -> None:
    class Echo:
        def __getattr__(self, name: str) -> Any:
            return self

        def __call__(self) -> None: ...

    assert Parameters("echo", Echo()).check({}) == {}
    assert Parameters("echo", Echo()).hints == {}


def test_without_msgspec_only_the_names_are_checked(without: Callable[[str], None]) -> None:
    without("msgspec")
    parameters = Parameters("greet", greet)
    assert parameters.check({"times": "3"}) == {"times": "3"}
    with pytest.raises(ParameterError, match="Did you mean 'times'"):
        parameters.check({"time": 3})


# What is missing.


def test_required_parameters_that_nobody_passes_are_missing() -> None:
    def body(first: int, /, second: int, third: int = 3, *rest: int, fourth: int, **others: int) -> None: ...

    parameters = Parameters("body", body)
    assert parameters.missing({}) == ["first", "second", "fourth"]
    assert parameters.missing({"first": 1, "second": 2, "fourth": 4}) == ["first"]


def test_what_is_filled_in_is_not_missing() -> None:
    assert Parameters("greet", greet).without({"name": str}).missing({}) == []


def test_a_direct_call_tells_which_parameters_it_passes() -> None:
    parameters = Parameters("greet", greet)
    assert parameters.given(("Ada",), {"times": 3}) == {"name", "times"}
    assert parameters.given((), {"nmae": "Ada"}) == {"nmae"}


# Schema.


def test_the_schema_has_types_defaults_and_what_is_required() -> None:
    def body(  # type: ignore[no-untyped-def]  # one without a type
        name: str, points: list[Point], colour: Colour = Colour.RED, free=None, *, when: datetime.date
    ) -> None: ...

    assert Parameters("body", body).schema() == {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "points": {"type": "array", "items": {"$ref": "#/$defs/Point"}},
            "colour": {"$ref": "#/$defs/Colour", "default": "red"},
            "free": {"default": None},
            "when": {"type": "string", "format": "date"},
        },
        "required": ["name", "points", "when"],
        "additionalProperties": False,
        "$defs": {
            "Colour": {"title": "Colour", "enum": ["red"]},
            "Point": {
                "title": "Point",
                "type": "object",
                "properties": {"x": {"type": "integer"}, "y": {"type": "integer", "default": 0}},
                "required": ["x"],
            },
        },
    }


def test_types_and_defaults_that_json_cannot_say_are_left_open() -> None:
    nothing = Connection()

    def body(connection: Connection, other: Connection = nothing, **others: int) -> None: ...

    assert Parameters("body", body).schema() == {
        "type": "object",
        "properties": {"connection": {}, "other": {}},
        "required": ["connection"],
        "additionalProperties": True,
    }


def test_what_is_filled_in_is_not_in_the_schema() -> None:
    schema = Parameters("greet", greet).without({"name": str}).schema()
    assert schema["properties"] == {"times": {"type": "integer", "default": 1}}
    assert schema["required"] == []


def test_two_classes_of_one_name_have_two_definitions() -> None:
    def other() -> Any:
        @dataclasses.dataclass
        class Point:
            angle: float

        return Point

    def body(here: Point, there: other()) -> None: ...  # type: ignore[valid-type]

    schema = Parameters("body", body).schema()
    assert schema["properties"]["here"] != schema["properties"]["there"]
    assert len(schema["$defs"]) == 2


def test_without_msgspec_a_schema_says_what_to_install(without: Callable[[str], None]) -> None:
    without("msgspec")
    with pytest.raises(MissingExtraError, match=r"pip install 'schedule-tasks\[web\]'"):
        Parameters("greet", greet).schema()


def test_the_parameters_of_one_body_are_read_while_those_of_another_are() -> None:
    """No lock is common to them: one that was held while the process forks would never be free in the child."""
    begun, go = threading.Event(), threading.Event()

    class Slow:
        def __call__(self) -> None: ...

        @property
        def __signature__(self) -> inspect.Signature:
            begun.set()
            go.wait(2 * LIMIT)  # for longer than the other is waited for
            return inspect.Signature()

    slow = threading.Thread(target=Parameters("slow", Slow()).missing, args=({},))
    slow.start()
    assert begun.wait(LIMIT)
    found: list[list[str]] = []
    quick = threading.Thread(target=lambda: found.append(Parameters("quick", lambda number: None).missing({})))
    quick.start()
    quick.join(LIMIT)
    held_up = quick.is_alive()
    go.set()
    slow.join(LIMIT)
    quick.join(LIMIT)
    assert found == [["number"]]
    assert not held_up
