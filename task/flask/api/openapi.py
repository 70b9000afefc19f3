"""The OpenAPI document: written from the schemas that check the requests."""

from __future__ import annotations

import http
import inspect
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from task.flask.api.endpoints import Endpoint
from task.flask.api.paging import Paged
from task.flask.problems import ProblemDetails

__all__ = ["document_of"]

_REF = "#/components/schemas/{name}"

_TOP = """Tasks: what there are, how they stand, what became of their runs, and to steer them.

Who sends the key (`Authorization: Bearer KEY` or `X-API-Key: KEY`) may do everything. Who enters by the application's
own login changes something only from a page of the same host, and with `Content-Type: application/json`. Errors are
problem details (RFC 9457). In a path, a name is written with `~2F` for a slash and `~7E` for a tilde."""


def document_of(endpoints: Sequence[Endpoint], base: str) -> dict[str, Any]:
    """The document of these endpoints, that are below the path *base*."""
    kinds = _kinds_of(endpoints)
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    found = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, Any] = {}
    for one in endpoints:
        operation = _operation(one, found, components)
        paths.setdefault(_path_of(one), {})[one.method.lower()] = operation
    asked = {one.query.__name__ for one in endpoints if one.query is not None}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tasks", "version": "1", "description": _TOP},
        "servers": [{"url": base}],
        "security": [{"key": []}, {"bearer": []}],
        "paths": {**paths, "/events": {"get": _events()}},
        "components": {
            "schemas": {name: schema for name, schema in components.items() if name not in asked},
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _events() -> dict[str, Any]:
    """The stream of events, which is no endpoint like the others."""
    stream = {"description": "OK", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    return {
        "operationId": "stream_events",
        "tags": ["whole"],
        "summary": "Stream what changes, as server-sent events",
        "description": "With Last-Event-ID (or `since`) from where one was. 503 with Retry-After: there are as many "
        "streams as this process bears. Ask the lists instead.",
        "parameters": [
            {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}},
            {"name": "since", "in": "query", "schema": {"type": "string"}},
        ],
        "responses": {"200": stream, **_problems((401, 403, 503))},
    }


def _kinds_of(endpoints: Sequence[Endpoint]) -> list[Any]:
    kinds: list[Any] = [ProblemDetails]
    for one in endpoints:
        kinds += [kind for kind in (one.query, one.body, one.answer) if kind is not None and kind not in kinds]
    return kinds


def _path_of(one: Endpoint) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", one.path)


def _operation(one: Endpoint, found: dict[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    text = inspect.getdoc(one.function) or ""
    summary, _, more = text.partition(". ")
    made: dict[str, Any] = {
        "operationId": one.name,
        "tags": [one.function.__module__.rpartition(".")[2]],
        "summary": summary.rstrip("."),
        "parameters": [*_path_parameters(one), *_query_parameters(one, components)],
        "responses": {str(one.status): _answer(one, found), **_problems(_statuses(one))},
    }
    if more:
        made["description"] = text
    if one.body is not None:
        made["requestBody"] = {
            "required": one.body_required,
            "content": {"application/json": {"schema": found[one.body]}},
        }
    if one.open:
        made["security"] = [{"key": []}, {"bearer": []}, {}]
        made["responses"]["503"] = {**_answer(one, found), "description": "It does not"}
    return made


def _path_parameters(one: Endpoint) -> list[dict[str, Any]]:
    schema = {"type": "string", "pattern": "^[^/]+$", "maxLength": 600}
    return [
        {"name": name, "in": "path", "required": True, "schema": schema} for name in re.findall(r"(\w+)>", one.path)
    ]


def _query_parameters(one: Endpoint, components: dict[str, Any]) -> list[dict[str, Any]]:
    if one.query is None:
        return []
    schema = components[one.query.__name__]
    return [
        {"name": name, "in": "query", "required": name in schema["required"], "schema": _sayable(inner)}
        for name, inner in schema["properties"].items()
    ]


def _sayable(schema: dict[str, Any]) -> dict[str, Any]:
    """Without null: what a query does not say is left out."""
    kept = {key: value for key, value in schema.items() if not (key == "default" and value is None)}
    kinds = [kind for kind in kept.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del kept["anyOf"]
        kept |= kinds[0]
    if "enum" in kept:
        kept["enum"] = [value for value in kept["enum"] if value is not None]
    return kept


def _answer(one: Endpoint, found: dict[Any, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"description": http.HTTPStatus(one.status).phrase}
    if one.answer in (bytes, str):
        told["content"] = {one.content_type: {"schema": {} if one.answer is bytes else {"type": "string"}}}
    elif one.answer is not None:
        told["content"] = {one.content_type: {"schema": found[one.answer]}}
    if one.status in (201, 202):
        told["headers"] = {"Location": {"required": True, "schema": {"type": "string"}}}
    if one.query is not None and issubclass(one.query, Paged):
        told["headers"] = {"Link": {"description": "The next page.", "schema": {"type": "string"}}}
    return told


def _statuses(one: Endpoint) -> tuple[int, ...]:
    """Which problems an endpoint may answer with."""
    named = (404,) if "<" in one.path else ()
    changing = (400, 413, 415) if one.unsafe else ()
    return tuple(sorted({401, 403, 406, 422, 500, 503, *named, *changing, *one.problems}))


def _problems(statuses: Sequence[int]) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": _REF.format(name=ProblemDetails.__name__)}}}
    return {str(status): {"description": http.HTTPStatus(status).phrase, "content": content} for status in statuses}
