"""Schemas of what is answered, made of the values that the rooms below show; and those values as JSON."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import operator
import types
import typing
from collections.abc import Mapping
from typing import Any

import msgspec

from task.flask.kept import Kept

__all__ = ["encode", "json_ready", "plain", "struct_of", "written"]

#: How much is shown of a value that is no JSON. Characters.
SHOWN = 200

#: What nests deeper is shown as text, too: not every reader could follow, nor we. Levels of lists and dicts.
DEPTH = 100

#: What is JSON as it is.
_PLAIN = frozenset({str, int, float, bool, type(None), datetime.datetime})


@functools.cache
def struct_of(kind: type) -> type[msgspec.Struct]:
    """The struct with the fields of a named tuple or dataclass, and of those in it: all required, and no others.

    >>> from task.overview import Cell
    >>> struct_of(Cell).__struct_fields__
    ('run_id', 'state', 'at', 'duration', 'count')
    """
    hints = typing.get_type_hints(kind)
    fields = [(field, _schema_type(hints[field])) for field in _names_of(kind)]
    made = msgspec.defstruct(kind.__name__, fields, forbid_unknown_fields=True)
    made.__doc__ = kind.__doc__
    return made


def _schema_type(hint: Any) -> Any:
    """A type with structs in the place of named tuples and dataclasses."""
    if isinstance(hint, type) and _names_of(hint):
        return struct_of(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is None or origin is typing.Literal:
        return hint
    inner = tuple(argument if argument is ... else _schema_type(argument) for argument in arguments)
    if origin in (typing.Union, types.UnionType):
        return functools.reduce(operator.or_, inner)
    made: Any = dict if isinstance(origin, type) and issubclass(origin, Mapping) else origin
    if made is tuple and inner[-1] is ...:
        made, inner = list, inner[:1]
    return made[inner]


@functools.cache
def _names_of(kind: type) -> tuple[str, ...]:
    """The fields of a named tuple or dataclass; none of any other kind."""
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    return getattr(kind, "_fields", ()) if issubclass(kind, tuple) else ()


def plain(value: Any) -> Any:
    """Named tuples and dataclasses as their structs, which are written fast; sequences as lists; the rest as it is."""
    kind: Any = type(value)
    if kind in _PLAIN:
        return value
    names = _names_of(kind)
    if names:
        return struct_of(kind)(*[plain(getattr(value, name)) for name in names])
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value


#: Of cards that are written down already.
_written: Kept[msgspec.Raw] = Kept(most=500)


def written(value: Any) -> msgspec.Raw:
    """A frozen value as JSON inside of an answer, written once for as long as it is the same object."""
    return _written.of(value, None, lambda: msgspec.Raw(encode(value)))


def encode(value: Any) -> bytes:
    """An answer as JSON. A character that UTF-8 cannot say becomes ``?``."""
    ready = plain(value)
    try:
        return msgspec.json.encode(ready)
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(ready, enc_hook=_read_again), ensure_ascii=False, allow_nan=False)
        return text.encode(errors="replace")


def _read_again(value: Any) -> Any:
    """What is `written` already, to be told with the rest."""
    return json.loads(bytes(value))


def json_ready(values: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a run, which may be anything in this process: what is no JSON is shown as bounded text."""
    return {str(name): _json_ready(value) for name, value in values.items()}


def _json_ready(value: Any) -> Any:
    try:
        ready = json.loads(json.dumps(value, allow_nan=False))
    except Exception:  # a value of the user's own raises whatever it likes
        return _shown(value)
    return _shown(value) if _nests_deeper(ready, DEPTH) else ready


def _nests_deeper(value: Any, levels: int) -> bool:
    """Whether lists and dicts are in each other on more than so many levels."""
    if not isinstance(value, (dict, list)):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_nests_deeper(one, levels - 1) for one in inner)


def _shown(value: Any) -> str:
    try:
        return repr(value)[:SHOWN]
    except Exception:
        return f"<{type(value).__name__}>"
