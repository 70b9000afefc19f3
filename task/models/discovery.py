"""Where tasks are found: on modules, namespaces, classes and instances."""

from __future__ import annotations

import importlib
import inspect
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

from task.errors import DeclarationTypeError, DuplicateTaskError
from task.models.function import TaskFunction
from task.schedules import shorten

__all__ = ["calling_namespace", "describe_source", "discover"]

AnyTask = TaskFunction[..., Any]


def discover(source: Any) -> list[AnyTask]:
    """The tasks on a module, an import string, an instance, a class, a mapping, or a list of these.

    A task that is met twice (re-exported, say) counts once. Raises `DuplicateTaskError` when two
    different tasks have one name, `DeclarationTypeError` for a source that holds no attributes.
    """
    found: dict[str, AnyTask] = {}
    for candidate in _candidates(source):
        if candidate.recurring:  # somebody has looked it up there
            continue
        known = found.setdefault(candidate.name, candidate)
        if not known.same_as(candidate):
            raise DuplicateTaskError(duplicate_message(known, candidate))
    return list(found.values())


def duplicate_message(known: AnyTask, other: AnyTask) -> str:
    """The message for two tasks of one name."""
    return (
        f"Two tasks are called {known.name!r}: one at {known.spec.place}, one at {other.spec.place}. "
        "Give one of them another name with name=..."
    )


def _candidates(source: Any) -> Iterator[AnyTask]:
    if _is_task(source):
        yield source
    elif isinstance(source, str):
        yield from _candidates(_imported(source))
    elif isinstance(source, types.ModuleType):
        yield from _values(vars(source))
    elif isinstance(source, Mapping):
        yield from _values(source)
    elif isinstance(source, (list, tuple, set, frozenset)):
        for one in source:
            yield from _candidates(one)
    elif isinstance(source, type):
        yield from _attributes(source, source)
    elif hasattr(source, "__dict__") or hasattr(type(source), "__slots__"):
        yield from _values(getattr(source, "__dict__", {}))
        yield from _attributes(type(source), source)
    else:
        raise DeclarationTypeError(
            f"No tasks can be found on {shorten(source)}. Give a module, 'package.module', an object, or a list."
        )


def _is_task(value: object) -> bool:
    """By its type alone: asking a proxy (Flask's ``current_app``, say) for its class would wake it."""
    return issubclass(type(value), TaskFunction)


def _values(namespace: Mapping[Any, Any]) -> Iterator[AnyTask]:
    yield from (value for value in list(namespace.values()) if _is_task(value))


def _attributes(cls: type, holder: Any) -> Iterator[AnyTask]:
    """The tasks of a class, bound to *holder*; no property is evaluated."""
    for name in dict.fromkeys(name for base in cls.__mro__ for name in vars(base)):
        value = inspect.getattr_static(cls, name)
        inner = value.__func__ if isinstance(value, staticmethod) else value
        if _is_task(inner):
            yield getattr(holder, name)


def _imported(path: str) -> Any:
    module, _, attribute = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split(".") if attribute else ():
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise DeclarationTypeError(
            f"{shorten(path)} cannot be imported: {error}. Write 'package.module' or 'package.module:attribute'."
        ) from error
    return found


def describe_source(source: Any) -> str:
    """A source, for people."""
    if isinstance(source, types.ModuleType):
        return f"module {source.__name__!r}"
    if isinstance(source, Mapping) and "__name__" in source:
        return f"module {source['__name__']!r}"
    if isinstance(source, (list, tuple)):
        return ", ".join(describe_source(one) for one in source) or "an empty list"
    return shorten(source)


def calling_namespace(created: object) -> dict[str, Any]:
    """The globals of the code that creates *created*, past this package and its own constructors."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        inside = str(frame.f_globals.get("__name__", "")).partition(".")[0] == __name__.partition(".")[0]
        constructing = frame.f_code.co_name == "__init__" and frame.f_locals.get("self") is created
        if not inside and not constructing:
            break
        frame = frame.f_back
    return frame.f_globals
