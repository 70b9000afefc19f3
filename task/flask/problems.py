"""What went wrong, as everybody below the prefix is told: problem details (RFC 9457) to programs, a page to people."""

from __future__ import annotations

import http
import uuid
from typing import Any

import flask
import msgspec
from werkzeug.exceptions import HTTPException

from task.errors import (
    ArtifactError,
    DeclarationError,
    DeclarationTypeError,
    DuplicateTaskError,
    ForkedError,
    ManagerStateError,
    MissingExtraError,
    StoreUnavailableError,
    TaskError,
    UnknownRunError,
    UnknownTaskError,
)
from task.flask.state import current_state
from task.flask.templating import environment
from task.log import logger

__all__ = ["ProblemDetails", "ProblemError", "answer_problem", "in_api", "problem_of", "refusal", "wants_json"]

#: Which status tells which of our errors; of several that fit, the first.
_STATUSES: tuple[tuple[type[TaskError], int], ...] = (
    (UnknownTaskError, 404),
    (UnknownRunError, 404),
    (ArtifactError, 404),
    (DuplicateTaskError, 409),
    (ForkedError, 503),
    (ManagerStateError, 409),
    (DeclarationError, 422),
    (DeclarationTypeError, 422),
    (StoreUnavailableError, 503),
    (MissingExtraError, 501),
)

#: After so many seconds a client may ask again, where the store could not be reached.
RETRY_AFTER = 5


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong, as RFC 9457 has it."""

    #: A problem of ours has no page of its own: its status and title say what it is.
    type: str = "about:blank"
    title: str
    status: int
    #: What happened, and what helps.
    detail: str = ""
    #: The path that was asked for; of an unexpected error ``urn:uuid:`` and the id under which it is in the log.
    instance: str = ""


class ProblemError(Exception):
    """Raised by a view or the guard to answer with a problem."""

    def __init__(self, problem: ProblemDetails, headers: dict[str, str] | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.headers = headers or {}


def refusal(status: int, detail: str, **headers: str) -> ProblemError:
    """To be raised: answers with a problem. An underscore in the name of a header is a hyphen."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ProblemError(_problem(status, detail), named)


def problem_of(error: Exception) -> ProblemError:
    """What the caller is told of an error: of one that is a bug, the id under which it is in the log."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, HTTPException):
        kept = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After", "Location")}
        return ProblemError(_problem(error.code or 500, error.description or ""), kept)
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), None)
    if status is None:
        return _unexpected(error)
    headers = {"Retry-After": str(RETRY_AFTER)} if status == 503 else {}
    return ProblemError(_problem(status, str(error)), headers)


def _unexpected(error: Exception) -> ProblemError:
    key = str(uuid.uuid4())
    logger.exception("Error %s in the answer to %s %r", key, flask.request.method, flask.request.path)
    application: Any = flask.current_app
    flask.got_request_exception.send(application._get_current_object(), _async_wrapper=None, exception=error)
    detail = "An error that nobody expected. The application's log has it under the id in `instance`."
    return ProblemError(ProblemDetails(title=_title(500), status=500, detail=detail, instance=f"urn:uuid:{key}"))


def answer_problem(error: Exception) -> flask.Response:
    """The answer to a request that failed so: whatever the application's own error handlers and debugger would do."""
    if isinstance(error, HTTPException) and error.code is not None and error.code < 400:
        return error.get_response()  # type: ignore[return-value]  # a redirection
    told = problem_of(error)
    if wants_json():
        body, kind = msgspec.json.encode(told.problem), "application/problem+json"
    else:
        page = environment.get_template("tasks/problem.html").render(problem=told.problem)
        body, kind = page.encode(errors="replace"), "text/html; charset=utf-8"
    return flask.Response(body, told.problem.status, {**told.headers, "Content-Type": kind})


def wants_json() -> bool:
    """Whether it is a program that asks: all below ``/api``, and who would rather have JSON than a page."""
    if in_api():
        return True
    kinds = flask.request.accept_mimetypes
    return kinds.best_match(["text/html", "application/json", "application/problem+json"]) != "text/html"


def in_api() -> bool:
    """Whether the request is for a path below ``/api``."""
    return f"{flask.request.path}/".startswith(f"{current_state().settings.url_prefix}/api/")


def _problem(status: int, detail: str) -> ProblemDetails:
    return ProblemDetails(title=_title(status), status=status, detail=detail, instance=flask.request.path)


def _title(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Error"
