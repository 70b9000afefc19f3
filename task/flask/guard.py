"""The guard: what comes before and after every request below the prefix."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, cast

import flask
from flask.sansio.blueprints import BlueprintSetupState
from werkzeug.exceptions import HTTPException

from task.flask.access import Access, May, allow_anyone, allow_local, may_of, requires
from task.flask.names import AnythingConverter, NameConverter
from task.flask.origin import has_form_token, keep_form_token, same_origin
from task.flask.problems import answer_problem, in_api, refusal
from task.flask.settings import Settings
from task.flask.state import State, current_state
from task.flask.templating import environment
from task.log import logger

__all__ = ["actor", "announce", "guard", "may"]

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

#: What each may do; more is greater.
_RANKS: dict[May, int] = {"nothing": 0, "view": 1, "operate": 2}

#: A key of fewer characters is warned of.
SHORTEST_KEY = 20

#: How much of a name is kept. Characters.
NAME_LIMIT = 200

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def guard(blueprint: flask.Blueprint) -> None:
    """Let nobody reach a view of *blueprint* who may not. Call it before the first rule is added."""
    blueprint.record(_prepare)
    blueprint.before_request(_admit)
    blueprint.after_request(_protect)
    blueprint.register_error_handler(Exception, answer_problem)


def may(what: May) -> bool:
    """Whether who asks may do that: to show a button or not.

    Outside a request that the guard has let in, nobody may do anything.
    """
    access: Access = flask.g.get("tasks_access", Access("nothing"))
    return _RANKS[access.may] >= _RANKS[what]


environment.globals["may"] = may  # of the page of a problem, too


def actor() -> str:
    """Who asks, for the journal: the name that the application gave, else ``api key``, else the address."""
    access: Access = flask.g.tasks_access
    return access.name or flask.request.remote_addr or "somebody"


# Once, when the application gets its tasks.


def _prepare(setup: BlueprintSetupState) -> None:
    app, name = setup.app, f"{setup.name}.unknown"
    app.url_map.converters |= {"task_name": NameConverter, "task_anything": AnythingConverter}
    # Every path below the prefix is ours, whatever the method: a stranger does not learn which of them are there.
    for path in ("", "/<task_anything:anything>"):
        rule = app.url_rule_class(f"{setup.url_prefix}{path}", methods=None, endpoint=name, strict_slashes=False)
        rule.provide_automatic_options = False  # type: ignore[attr-defined]  # Flask looks for it
        app.url_map.add(rule)
    app.view_functions[name] = _unknown


def announce(state: State) -> None:
    """Tell the log who may enter, where that is nobody, or more than those whom the application names."""
    prefix = state.settings.url_prefix
    if state.auth is None and state.settings.api_key is None:
        logger.warning(
            "Nobody may enter %s: give FlaskTasks auth=, or set TASKS_API_KEY (docs/howto/who-may-enter.md)", prefix
        )
    elif state.auth is allow_anyone:
        logger.warning("ANYBODY who reaches this server may see and steer the tasks at %s: auth=allow_anyone", prefix)
    elif state.auth is allow_local:
        logger.warning("Anybody on this machine may see and steer the tasks at %s: auth=allow_local", prefix)
    if state.settings.api_key is not None and len(state.settings.api_key) < SHORTEST_KEY:
        logger.warning("TASKS_API_KEY can be guessed: give it %s random characters or more", SHORTEST_KEY)


# Before each request.


def _admit() -> None:
    state, request = current_state(), flask.request
    request.max_content_length = min(state.settings.max_body, request.max_content_length or state.settings.max_body)
    keyed = _has_key(state.settings, request)
    access = Access("operate", "api key") if keyed else _access_of(state, request)
    flask.g.tasks_access = access
    asked = may_of(flask.current_app.view_functions[request.endpoint or ""])
    if asked is None:
        logger.error("The view %r says not who may call it: nobody may", request.endpoint)
        raise refusal(403, "Nobody may do that.")
    _check_rank(state, access, asked)
    if request.method not in SAFE_METHODS and not keyed:
        _check_origin(request)


def _check_rank(state: State, access: Access, asked: May) -> None:
    opened = state.auth is not None or state.settings.api_key is not None
    if opened and _RANKS[access.may] >= _RANKS[asked]:
        return
    if access.may != "nothing":
        raise refusal(403, "You may look, and change nothing.")
    if state.settings.api_key is not None:
        raise refusal(401, "You may not enter.", WWW_Authenticate='Bearer realm="tasks"')
    detail = "You may not enter."
    if not opened and flask.current_app.debug:
        detail += " Nobody may yet: give FlaskTasks auth=, or set TASKS_API_KEY."
    raise refusal(403, detail)


def _has_key(settings: Settings, request: flask.Request) -> bool:
    key = settings.api_key
    if not key:
        return False
    kind, _, told = request.headers.get("Authorization", "").partition(" ")
    given = request.headers.get("X-API-Key", told.strip() if kind.lower() == "bearer" else "")
    return hmac.compare_digest(_digest(given), _digest(key))


def _digest(text: str) -> bytes:
    """Of one length, whatever the text: the time to compare tells nothing."""
    return hashlib.sha256(text.encode(errors="replace")).digest()


def _access_of(state: State, request: flask.Request) -> Access:
    """What the application says; what it cannot say is nothing."""
    if state.auth is None:
        return Access("nothing")
    try:
        said: Any = state.auth(request)
    except Exception:  # whatever it raises, nobody enters by it
        logger.exception("auth= of the tasks raised an error: who asked for %r was refused", request.path)
        return Access("nothing")
    access = said if isinstance(said, Access) else Access("nothing" if said is None else said)
    known = isinstance(access.may, str) and access.may in _RANKS
    if not known or not (access.name is None or isinstance(access.name, str)):
        logger.error(
            "auth= of the tasks answered with a %s that is no access: who asked for %r was refused. Return 'view', "
            "'operate', None or Access(may, name).",
            type(said).__name__,
            request.path,
        )
        return Access("nothing")
    return Access(access.may, (access.name or "").strip()[:NAME_LIMIT] or None)


def _check_origin(request: flask.Request) -> None:
    if not same_origin(request):
        raise refusal(403, "Without the key, only pages of this host may change something.")
    if in_api():
        if request.mimetype != "application/json":
            raise refusal(415, "Say 'Content-Type: application/json', also where there is no body.")
    elif not has_form_token(request):
        raise refusal(403, "This form is not of now. Go back, load its page again, and send it once more.")


# What no rule knows.


@requires("view")
def _unknown(anything: str = "") -> flask.Response:
    """Nothing is there, or not for that method."""
    adapter: Any = flask.globals.request_ctx.url_adapter
    allowed = [method for method in METHODS if _known(adapter, method)]
    if not allowed and not anything and flask.request.method in SAFE_METHODS and not flask.request.path.endswith("/"):
        return cast(flask.Response, flask.redirect(flask.url_for("tasks.tasks_page")))  # people leave the slash out
    if not allowed:
        raise refusal(404, "There is nothing here.")
    allowed.append("OPTIONS")
    if flask.request.method == "OPTIONS":
        return flask.Response(status=204, headers={"Allow": ", ".join(allowed)})
    raise refusal(405, f"{flask.request.method} cannot be done here.", Allow=", ".join(allowed))


def _known(adapter: Any, method: str) -> bool:
    try:
        rule, _ = adapter.match(method=method, return_rule=True)
    except HTTPException:
        return False
    return flask.current_app.view_functions.get(rule.endpoint) is not _unknown


# After each request.


def _protect(answer: flask.Response) -> flask.Response:
    for name, value in _HEADERS.items():
        answer.headers[name] = value
    if answer.status_code >= 400:
        answer.headers["Cache-Control"] = "no-store"
    else:
        answer.headers.setdefault("Cache-Control", "no-store")  # assets and downloads say it themselves
    keep_form_token(answer)
    return answer
