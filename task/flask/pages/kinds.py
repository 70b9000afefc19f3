"""What a parameter takes, as far as a form can ask for it: read from its schema."""

from __future__ import annotations

import contextlib
import datetime
import json
import typing
from collections.abc import Mapping
from typing import Any, NamedTuple

from task.clock import in_zone
from task.flask.state import current_state
from task.models import TaskFunction

__all__ = ["OTHERS", "Kind", "described", "hint_of", "kind_of", "local_text", "moment_of", "preset_of"]

Moment = datetime.datetime

#: The field for what a body takes beside the parameters that it names (``**others``): no parameter has that name.
OTHERS = "**"

_CONTROLS = {"integer": "number", "number": "number", "boolean": "checkbox", "string": "text"}
_TYPES: dict[type, str] = {str: "string", bool: "boolean", int: "number", float: "number"}
_FORMATS = {"date": "date", "date-time": "datetime-local", "time": "time"}
_HINTS = {
    "duration": "a span of time, such as PT5M for five minutes",
    "decimal": "a number with decimals",
    "uuid": "an id, such as 01234567-89ab-cdef-0123-456789abcdef",
}


class Kind(NamedTuple):
    """What a parameter takes, as far as a form can ask for it."""

    control: str
    schema: Mapping[str, Any]
    nullable: bool
    secret: bool


# From a schema to what a field asks for.


def described(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters by name, and the field for all others where there may be some."""
    others = {OTHERS: {"type": "object"}} if schema["additionalProperties"] else {}
    return {**schema["properties"], **others}


def kind_of(task: TaskFunction[..., Any], name: str, one: Mapping[str, Any], schema: Mapping[str, Any]) -> Kind:
    """What the parameter *name* takes, of which the *schema* of all says *one*."""
    definitions = schema.get("$defs", {})
    kinds = [_resolved(each, definitions) for each in one.get("anyOf", [one])]
    nullable = any(each.get("type") == "null" for each in kinds)
    rest = [each for each in kinds if each.get("type") != "null"]
    only = rest[0] if len(rest) == 1 else {}
    if not only.keys() - {"default"}:  # no type is written: it is that of the default
        only = {"type": _TYPES.get(type(one.get("default")), "")}
    secret = any(name.casefold() == one.casefold() for one in task.spec.policy.redact)
    if secret:
        return Kind("password", only, nullable, True)
    return Kind(_control_of(only, nullable, task.binding.parameters.hints.get(name)), only, nullable, False)


def _resolved(one: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = one.get("$ref", "")
    return definitions.get(reference.rpartition("/")[2], {}) if reference else one


def _control_of(one: Mapping[str, Any], nullable: bool, hint: Any) -> str:
    if "enum" in one or "const" in one or (nullable and one.get("type") == "boolean"):
        return "select"
    for kind, control in ((datetime.datetime, "datetime-local"), (datetime.time, "time")):
        if kind in (hint, *typing.get_args(hint)):  # the schema of these says no more than "string"
            return control
    if one.get("type") == "string":
        return _FORMATS.get(one.get("format", ""), "text")
    return _CONTROLS.get(one.get("type", ""), "json")


def hint_of(name: str, kind: Kind) -> str:
    """What to say below a field."""
    if kind.secret:
        return "secret: it is not shown, and masked on record"
    if name == OTHERS:
        return 'JSON: other parameters, such as {"region": "EU"}'
    if kind.control == "json":
        example = {"array": "[1, 2, 3]", "object": '{"key": "value"}'}.get(kind.schema.get("type", ""))
        return f"JSON, such as {example}" if example else 'JSON: a text in quotes, "EU", or a number, 3'
    if kind.control == "datetime-local":
        return f"in {current_state().manager.clock.now().astimezone():%Z}"
    if kind.schema.get("contentEncoding") == "base64":
        return "bytes, in base64"
    return _HINTS.get(kind.schema.get("format", ""), "")


def preset_of(name: str, kind: Kind, one: Mapping[str, Any], preset: Mapping[str, Any]) -> str:
    """What stands in a field before somebody types: what is declared of it, else its default."""
    if kind.secret:
        return ""
    value = _plain(preset[name]) if name in preset else one.get("default")
    if name == OTHERS or (value is None and kind.control != "json") or (name not in preset and "default" not in one):
        return ""
    if kind.control in ("json", "select"):
        return "" if value is None else json.dumps(value, ensure_ascii=False)
    if kind.control == "checkbox":
        return "true" if value is True else ""
    if kind.control == "datetime-local":
        with contextlib.suppress(ValueError):
            return local_text(datetime.datetime.fromisoformat(str(value)))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """A value of Python as JSON has it; None for what JSON cannot say."""
    import msgspec

    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except Exception:  # a user's class may raise anything
        return None


# Moments, as people type them.


def moment_of(text: str) -> Moment:
    """What the field of a moment says, in the zone of the process where it names none. Raises `ValueError`."""
    try:
        return datetime.datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise ValueError("Give a day and a time, such as 2026-05-04T12:30.") from None


def local_text(moment: Moment) -> str:
    """A moment as the field of one shows it, in the zone of the process.

    >>> local_text(datetime.datetime(2026, 5, 4, 12, 30, 15))
    '2026-05-04T12:30:15'
    """
    local = in_zone(moment).replace(tzinfo=None)
    return local.isoformat(timespec="seconds" if local.second else "minutes")
