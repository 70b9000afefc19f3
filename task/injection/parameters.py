"""``Parameters``: what the caller of a task may pass, read once from the signature of its body."""

from __future__ import annotations

import copy
import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from task.errors import DeclarationTypeError, MissingExtraError, ParameterError, did_you_mean
from task.schedules import shorten

__all__ = ["UNKNOWN", "Parameters", "name_of_type"]

#: Stands for an annotation that is not there, or that cannot be resolved.
UNKNOWN: Any = inspect.Parameter.empty

#: How much of a converter's explanation goes into a message. Characters.
_EXPLANATION_LIMIT = 300

_NO_NAMES: Mapping[str, type] = types.MappingProxyType({})


T = TypeVar("T")


class _Lazy(Generic[T]):
    """Made when it is first asked for. Not `functools.cached_property`: up to Python 3.11 that has one lock for all
    instances, which another thread may hold while this process is forked.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make

    def __get__(self, instance: Any, owner: type) -> T:
        made = instance.__dict__[self._make.__name__] = self._make(instance)
        return made


class Parameters:
    """The parameters of a body that are passed by name: their names, types and defaults.

    With msgspec installed (extra ``web``) values are converted to the annotated types and checked against them;
    without it only the names are checked.

    >>> def greet(name: str, times: int = 1): ...
    >>> Parameters("greet", greet).check({"name": "Ada", "times": "3"})
    {'name': 'Ada', 'times': 3}
    """

    def __init__(self, name: str, body: Callable[..., Any]) -> None:
        #: The name of the task, for messages.
        self.name = name
        #: The function, bound to its instance where it is a method.
        self.body = body
        #: What is filled in, and so never passed: names and their types.
        self.injected = _NO_NAMES

    def without(self, injected: Mapping[str, type]) -> Parameters:
        """The same parameters, less those that are filled in."""
        other = copy.copy(self)
        other.injected = types.MappingProxyType(dict(injected))
        return other

    def check(self, values: Mapping[str, Any], *, secret: bool = False) -> dict[str, Any]:
        """The *values*, converted to the annotated types. With *secret*, no error shows any of them.

        Raises `ParameterError` for a name that the body does not take or that is filled in, and for a value that
        does not fit; `DeclarationTypeError` for what is no mapping of names.
        """
        if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
            raise DeclarationTypeError(
                f"Task {self.name!r}: parameters is a dict of names and values, not {_shown(values, secret)}."
            )
        if not values:
            return {}
        for key in values:
            self._check_name(key)
        return {key: self._check_value(key, value, secret) for key, value in values.items()}

    def missing(self, values: Mapping[str, Any]) -> list[str]:
        """The required parameters that are neither among *values* nor filled in, in the order of the signature."""
        by_name = self._by_name
        return [
            key
            for key in self._required
            if key not in self.injected
            and not (key in values and key in by_name)  # one that is positional only cannot be passed by name
        ]

    def given(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> frozenset[str]:
        """Which parameters a direct call passes; one that the signature refuses is left to the body to refuse."""
        if self._signature is None:
            return frozenset(kwargs)
        try:
            return frozenset(self._signature.bind_partial(*args, **kwargs).arguments)
        except TypeError:
            return frozenset(kwargs)

    def values(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """All that the body gets in a direct call, by name, its defaults included.

        >>> def greet(name: str, times: int = 1): ...
        >>> Parameters("greet", greet).values(("Ada",), {})
        {'name': 'Ada', 'times': 1}
        """
        if self._signature is None:
            return dict(kwargs)
        try:
            bound = self._signature.bind_partial(*args, **kwargs)
        except TypeError:  # the body will say so
            return dict(kwargs)
        bound.apply_defaults()
        return bound.arguments

    def schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of an object that holds the parameters.

        A type that JSON cannot say is ``{}``, a default that JSON cannot say is left out. Raises
        `MissingExtraError` without msgspec.

        >>> def greet(name: str, times: int = 1): ...
        >>> Parameters("greet", greet).schema()["properties"]
        {'name': {'type': 'string'}, 'times': {'type': 'integer', 'default': 1}}
        """
        msgspec = _msgspec()
        if msgspec is None:
            raise MissingExtraError.of("web", "A JSON Schema of parameters")
        wanted = {key: value for key, value in self._by_name.items() if key not in self.injected}
        described, definitions = _schemas_of(msgspec, {key: self.hints[key] for key in wanted})
        for key, parameter in wanted.items():
            if parameter.default is not UNKNOWN:
                described[key] |= _default_of(msgspec, parameter.default)
        schema: dict[str, Any] = {
            "type": "object",
            "properties": described,
            "required": [key for key, parameter in wanted.items() if parameter.default is UNKNOWN],
            "additionalProperties": self._takes_any,
        }
        return schema | ({"$defs": definitions} if definitions else {})

    # What the signature says.

    @_Lazy
    def _signature(self) -> inspect.Signature | None:
        """None for a builtin that does not tell what it takes."""
        try:
            return inspect.signature(self.body)
        except (TypeError, ValueError):
            return None

    @property
    def _accepted(self) -> Mapping[str, inspect.Parameter]:
        return {} if self._signature is None else self._signature.parameters

    @_Lazy
    def _by_name(self) -> dict[str, inspect.Parameter]:
        """What can be passed by name."""
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        return {key: parameter for key, parameter in self._accepted.items() if parameter.kind in kinds}

    @_Lazy
    def _required(self) -> tuple[str, ...]:
        """What has no default."""
        return tuple(
            key
            for key, parameter in self._accepted.items()
            if parameter.default is UNKNOWN and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        )

    @_Lazy
    def _takes_any(self) -> bool:
        """Whether any other name is taken too."""
        kinds = [parameter.kind for parameter in self._accepted.values()]
        return self._signature is None or inspect.Parameter.VAR_KEYWORD in kinds

    @_Lazy
    def hints(self) -> dict[str, Any]:
        """The type of each parameter, `UNKNOWN` where there is none or where it cannot be resolved."""
        namespace = _namespace_of(self.body)
        return {key: _resolve(parameter.annotation, namespace) for key, parameter in self._accepted.items()}

    @property
    def fillable(self) -> dict[str, Any]:
        """The types of the parameters that could be filled in: passed by name, and without a default."""
        return {key: self.hints[key] for key, value in self._by_name.items() if value.default is UNKNOWN}

    def annotation(self, key: str) -> object:
        """What is written as the type of a parameter, resolved or not."""
        return self._accepted[key].annotation

    # One name, one value.

    def _check_name(self, key: str) -> None:
        if key in self.injected:
            raise ParameterError(
                f"Task {self.name!r}: the parameter {key!r} is filled in ({name_of_type(self.injected[key])}). "
                "Leave it out."
            )
        if key in self._by_name or self._takes_any:
            return
        known = [name for name in self._by_name if name not in self.injected]
        hint = did_you_mean(key, known, f"It takes: {', '.join(known) or 'none'}.")
        raise ParameterError(f"Task {self.name!r}: the body takes no parameter {shorten(key)}. {hint}")

    def _check_value(self, key: str, value: Any, secret: bool) -> Any:
        hint = self.hints[key] if key in self._by_name else self._hint_of_others
        if hint is UNKNOWN or hint is Any:
            return value
        fits = _is_instance(value, hint)
        if fits and not isinstance(value, bool):  # True is an int to Python, and to nobody who writes JSON
            return value
        msgspec = _msgspec()
        if msgspec is None:
            return value
        try:
            return msgspec.convert(value, hint, strict=False)
        except TypeError:  # a type that msgspec does not know
            if fits is False:
                raise self._refusal(key, hint, _shown(value, secret), "it is of another type") from None
            return value
        except Exception as error:  # its own, or of the constructor of a user's class
            if secret:
                raise self._refusal(key, hint, _shown(value, secret), "it is no such value") from None
            raise self._refusal(key, hint, _shown(value, secret), f"{error}"[:_EXPLANATION_LIMIT]) from error

    def _refusal(self, key: str, hint: Any, value: str, explanation: str) -> ParameterError:
        return ParameterError(
            f"Task {self.name!r}: the parameter {key!r} takes {name_of_type(hint)}, and {value} does not fit: "
            f"{explanation}. Pass a value that does."
        )

    @_Lazy
    def _hint_of_others(self) -> Any:
        """The type of what ``**kwargs`` takes."""
        for key, parameter in self._accepted.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                return self.hints[key]
        return UNKNOWN


def _shown(value: object, secret: bool) -> str:
    return f"what was given ({type(value).__name__})" if secret else shorten(value)


def name_of_type(hint: Any) -> str:
    """A type as a person writes it.

    >>> name_of_type(int), name_of_type(list[int])
    ('int', 'list[int]')
    """
    return hint.__qualname__ if isinstance(hint, type) else shorten(hint)


def _namespace_of(body: Any) -> dict[str, Any]:
    """The names that the annotations of a body may use."""
    for _ in range(100):  # partials, callable objects and decorated functions, in any order
        if isinstance(body, functools.partial):
            body = body.func
        elif hasattr(body, "__wrapped__"):
            body = body.__wrapped__
        elif not inspect.isroutine(body) and not isinstance(body, type):
            body = type(body).__call__
        else:
            break
    return getattr(body, "__globals__", {})


def _resolve(annotation: Any, namespace: dict[str, Any]) -> Any:
    if annotation is UNKNOWN:
        return UNKNOWN

    def holder() -> None: ...

    holder.__annotations__ = {"hint": annotation}  # one by one: a name that is missing spoils no other
    try:
        return typing.get_type_hints(holder, namespace, include_extras=True)["hint"]
    except Exception:  # the text of an annotation may be anything
        return UNKNOWN


def _is_instance(value: object, hint: Any) -> bool | None:
    """Whether a value is of a type; None where Python cannot tell."""
    try:
        return isinstance(value, hint)
    except TypeError:  # list[int], a TypeVar, a protocol
        return None


def _msgspec() -> Any:
    """The library, or None when it is not installed."""
    try:
        import msgspec
    except ImportError:
        return None
    return msgspec


def _schemas_of(msgspec: Any, hints: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of each type, and the definitions that those refer to."""
    known = {key: hint for key, hint in hints.items() if hint is not UNKNOWN and _has_schema(msgspec, hint)}
    # All in one call: two classes of one name are kept apart.
    schemas, definitions = msgspec.json.schema_components(known.values(), ref_template="#/$defs/{name}")
    return {key: {} for key in hints} | dict(zip(known, schemas, strict=True)), definitions


def _has_schema(msgspec: Any, hint: Any) -> bool:
    try:
        msgspec.json.schema(hint)
    except Exception:  # a TypeError for what JSON cannot say; a user's class may raise anything
        return False
    return True


def _default_of(msgspec: Any, value: Any) -> dict[str, Any]:
    try:
        return {"default": msgspec.json.decode(msgspec.json.encode(value))}
    except Exception:  # as above
        return {}
