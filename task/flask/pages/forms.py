"""Forms made from the parameters of a task: a fitting control for each, and the values that were typed."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from task.errors import ParameterError, TaskError
from task.flask.pages.kinds import OTHERS, Kind, described, hint_of, kind_of, moment_of, preset_of
from task.models import TaskFunction

__all__ = ["Choice", "Field", "Typed", "fields", "read"]

#: The names of the fields of a form begin so: no parameter is taken for a field of ours.
PREFIX = "p."


class Choice(NamedTuple):
    """One of the values to choose from."""

    #: As JSON: 3 and "3" are two.
    value: str
    text: str


class Field(NamedTuple):
    """One field of a form."""

    #: Of the parameter, and of the field in the form.
    name: str
    key: str
    #: ``text``, ``password``, ``number``, ``checkbox``, ``select``, ``date``, ``time``, ``datetime-local`` or ``json``.
    control: str
    required: bool
    #: What stands in it; of a checkbox ``true`` or nothing.
    value: str
    hint: str
    choices: tuple[Choice, ...] = ()
    #: Of a number: what it may be.
    step: str = "any"
    least: float | None = None
    most: float | None = None
    #: Why what was typed does not fit.
    error: str | None = None


class Typed(NamedTuple):
    """What somebody typed into the fields of a task."""

    #: The values of the parameters that were given, as JSON; they fit.
    values: dict[str, Any]
    #: Why one does not fit, by its name.
    errors: dict[str, str]
    #: What was typed, by name, to show it again; without secrets.
    texts: dict[str, str]


def fields(
    task: TaskFunction[..., Any], typed: Typed | None = None, values: Mapping[str, Any] | None = None
) -> list[Field]:
    """The fields for the parameters of *task*: with what was *typed*, else with these *values*, or its own.

    Raises `MissingExtraError`.
    """
    schema, preset = task.parameters_schema, task.binding.without_secrets(task.spec.parameters) | dict(values or {})
    made = []
    for name, one in described(schema).items():
        kind = kind_of(task, name, one, schema)
        text = preset_of(name, kind, one, preset)
        if typed is not None and not kind.secret:
            text = typed.texts.get(name, "")
        given = name in preset or name in task.spec.parameters
        required = name in schema["required"] and not given and kind.control != "checkbox"
        error = None if typed is None else typed.errors.get(name)
        made.append(_field(name, kind, required, text, error))
    return made


def read(task: TaskFunction[..., Any], form: Mapping[str, str]) -> Typed:
    """What was typed into those fields. Raises `MissingExtraError`."""
    schema, found = task.parameters_schema, Typed({}, {}, {})
    for name, one in described(schema).items():
        kind = kind_of(task, name, one, schema)
        text = form.get(PREFIX + name, "")
        if not kind.secret and not (name == OTHERS and _names_secret(task, text)):
            found.texts[name] = text
        if PREFIX + name not in form and kind.control != "checkbox":  # which is not sent where it is off
            continue
        try:
            _take(task, name, kind, text, found)
        except TaskError as error:
            found.errors[name] = _short(error, name)
        except ValueError as error:
            found.errors[name] = "This cannot be." if kind.secret else str(error)
    for name in task.binding.parameters.missing(found.values | dict(task.spec.parameters)):
        found.errors.setdefault(name, "It needs a value.")
    return found


def _field(name: str, kind: Kind, required: bool, text: str, error: str | None) -> Field:
    one = kind.schema
    choices: tuple[Choice, ...] = ()
    if kind.control == "select":
        listed = one.get("enum", [one["const"]] if "const" in one else [True, False])
        words = {True: "yes", False: "no"} if one.get("type") == "boolean" else {}
        choices = tuple(Choice(json.dumps(each), words.get(each) or str(each)) for each in listed)
    return Field(
        name,
        PREFIX + name,
        kind.control,
        required,
        text,
        hint_of(name, kind),
        choices,
        "1" if one.get("type") == "integer" else "any",
        one.get("minimum"),
        one.get("maximum"),
        error,
    )


# From what was typed to a value.


def _take(task: TaskFunction[..., Any], name: str, kind: Kind, text: str, found: Typed) -> None:
    """Add the value of one parameter. Raises `ValueError` or `ParameterError` for what does not fit."""
    if kind.control == "checkbox":
        found.values[name] = bool(text)
        return
    if not text.strip():
        _take_nothing(task, name, kind, found)
        return
    value = _value_of(kind, text)
    if name != OTHERS:
        _keep(task, {name: value}, found, kind.secret)
        return
    if not isinstance(value, dict):
        raise ValueError('Give a JSON object, such as {"region": "EU"}.')
    _keep(task, value, found, bool(task.spec.policy.redact))


def _names_secret(task: TaskFunction[..., Any], text: str) -> bool:
    """Whether there may be a secret in the JSON of parameters that have no field of their own."""
    return any(name.casefold() in text.casefold() for name in task.spec.policy.redact)


def _keep(task: TaskFunction[..., Any], values: Mapping[str, Any], found: Typed, secret: bool) -> None:
    """They are kept as JSON has them: who gets them converts them again."""
    task.binding.parameters.check(values, secret=secret)
    found.values.update(values)


def _take_nothing(task: TaskFunction[..., Any], name: str, kind: Kind, found: Typed) -> None:
    """A field was left empty: no value; or where a text stood in it, the text of no characters, or nothing (None)."""
    if kind.secret or name == OTHERS:
        return
    one = task.parameters_schema["properties"][name]
    stood = preset_of(name, kind, one, task.binding.without_secrets(task.spec.parameters))
    if stood and kind.nullable:
        found.values[name] = None
    elif stood and kind.control == "text" and "format" not in kind.schema:
        _keep(task, {name: ""}, found, secret=False)
    elif stood:
        raise ValueError("It needs a value.")


def _value_of(kind: Kind, text: str) -> Any:
    wanted = kind.schema.get("type")
    if kind.control == "datetime-local":
        return moment_of(text).isoformat()
    if kind.control == "time" and text.count(":") == 1:  # as browsers write a time without seconds
        return f"{text}:00"
    if kind.control in ("json", "select") or (kind.secret and wanted not in ("string", "")):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError(f"This is no JSON. {'' if kind.secret else 'Texts stand in quotes.'}".strip()) from None
    return _number_of(text, wanted) if wanted in ("integer", "number") else text


def _number_of(text: str, wanted: str) -> int | float:
    with contextlib.suppress(ValueError):
        return int(text)
    if wanted == "number":
        with contextlib.suppress(ValueError):
            if math.isfinite(number := float(text)):
                return number
    raise ValueError("Give a whole number." if wanted == "integer" else "Give a number.")


def _short(error: TaskError, name: str) -> str:
    """The message, without what its place tells already."""
    text = str(error)
    if isinstance(error, ParameterError):
        text = text.partition(f"the parameter {name!r} ")[2] or text
    return text[:1].upper() + text[1:]
