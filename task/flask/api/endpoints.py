"""Endpoints as data: what checks a request and what describes it are the same."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flask
import msgspec

from task.flask.access import May, requires
from task.flask.api.paging import link_to_next
from task.flask.api.structs import encode
from task.flask.problems import refusal

__all__ = ["Answer", "Endpoint", "view_of"]

_UNSAFE = ("POST", "PUT", "PATCH", "DELETE")

#: Moments outside of these cannot be counted with in every zone.
_EARLIEST = datetime.datetime(1970, 1, 2, tzinfo=datetime.UTC)
_LATEST = datetime.datetime(9000, 1, 1, tzinfo=datetime.UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path below ``/api/v1``."""

    method: str
    #: As Flask writes it.
    path: str
    #: Gets the names in the path, and ``query`` and ``body`` where they are declared. Its docstring describes it.
    function: Callable[..., Any]
    #: The schema of the answer; None: there is no content.
    answer: Any = None
    _: dataclasses.KW_ONLY
    #: What the query may say, and the body: their fields are checked and described.
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    status: int = 200
    #: What the answer is written in.
    content_type: str = "application/json"
    #: Which problems there are, beside those that every endpoint may answer with.
    problems: tuple[int, ...] = ()
    #: Whether it is for everybody.
    open: bool = False

    @property
    def name(self) -> str:
        """Unique among the endpoints."""
        return self.function.__name__

    @property
    def may(self) -> May:
        """What it asks of who calls it."""
        return "nothing" if self.open else "operate" if self.unsafe else "view"

    @property
    def unsafe(self) -> bool:
        """Whether it changes something."""
        return self.method in _UNSAFE

    @property
    def body_required(self) -> bool:
        """Whether the body must say something."""
        return self.body is not None and any(field.required for field in msgspec.structs.fields(self.body))


class Answer(NamedTuple):
    """What an endpoint answers, where it is more than a value."""

    value: Any
    headers: Mapping[str, str] = {}
    #: Where the next page begins.
    cursor: str | None = None
    status: int | None = None


def view_of(one: Endpoint) -> Callable[..., flask.Response]:
    """The view that checks a request, calls the function and writes its answer."""

    @requires(one.may)
    def view(**named: str) -> flask.Response:
        _check_accept(one)
        given: dict[str, Any] = dict(named)
        asked = read_query(one.query)
        if asked is not None:
            given["query"] = asked
        if one.body is not None:
            given["body"] = read_body(one.body)
        answered = one.function(**given)
        return answered if isinstance(answered, flask.Response) else _response(one, answered)

    view.__name__, view.__doc__ = one.name, one.function.__doc__
    return view


def _response(one: Endpoint, answered: Any) -> flask.Response:
    answer = answered if isinstance(answered, Answer) else Answer(answered)
    headers = {**answer.headers, **link_to_next(answer.cursor)}
    if one.answer is None:
        return flask.Response(status=204, headers=headers)
    return flask.Response(encode(answer.value), answer.status or one.status, headers, content_type=one.content_type)


def _check_accept(one: Endpoint) -> None:
    accepted, kind = flask.request.accept_mimetypes, one.content_type.partition(";")[0]
    if accepted.provided and one.answer is not None and not accepted.best_match([kind]):
        raise refusal(406, f"The answer is {kind}, and Accept does not take that.")


# What is asked.


def read_query(kind: type[msgspec.Struct] | None) -> Any:
    """What the query says, checked. Raises the problem that it has."""
    given = flask.request.args
    if kind is None:
        if given:
            raise refusal(422, f"There is no parameter {next(iter(given))!r} here, nor another.")
        return None
    hints = _hints_of(kind)
    values: dict[str, Any] = {}
    for name in given:
        values[name] = _values_of(name, given.getlist(name), hints.get(name))
    return _converted(kind, lambda: msgspec.convert(values, kind))


@functools.cache
def _hints_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def _values_of(name: str, told: list[str], hint: Any) -> Any:
    kinds = _kinds_in(hint)
    if list in kinds:
        return told
    if len(told) > 1:
        raise refusal(422, f"{name!r} is given {len(told)} times.")
    (text,) = told
    if int in kinds and re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII):
        return int(text)
    if bool in kinds and text in ("true", "false"):
        return text == "true"
    return text


def _kinds_in(hint: Any) -> set[Any]:
    """The plain types in an annotation."""
    origin = typing.get_origin(hint)
    if origin is None or origin is list:
        return {origin or hint}
    return set().union(*(_kinds_in(one) for one in typing.get_args(hint)))


def read_body(kind: type[msgspec.Struct]) -> Any:
    """What the body says, checked; an empty one says nothing. Raises the problem that it has."""
    text = flask.request.get_data()
    if text and flask.request.mimetype != "application/json":
        raise refusal(415, "The body is JSON: say 'Content-Type: application/json'.")
    return _converted(kind, lambda: msgspec.json.decode(text or b"{}", type=kind))


def _converted(kind: type[msgspec.Struct], convert: Callable[[], Any]) -> Any:
    try:
        made = convert()
    except msgspec.ValidationError as error:
        known = ", ".join(kind.__struct_fields__)
        described = flask.url_for("tasks.show_openapi")
        raise refusal(422, f"{error}. There may be: {known}. What fits each is in {described}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refusal(400, f"This is no JSON: {error}.") from None
    for name in made.__struct_fields__:
        moment = getattr(made, name)
        if isinstance(moment, datetime.datetime) and not _EARLIEST <= moment <= _LATEST:
            raise refusal(422, f"{name!r} is a moment from 1970 to 8999.")
    return made
