"""Whether a request that changes something was made by our own pages: its origin, and the token of its form."""

from __future__ import annotations

import hmac
import re
import secrets
from typing import Any
from urllib.parse import urlsplit

import flask
from markupsafe import Markup

from task.flask.state import current_state

__all__ = ["form_fields", "form_token", "has_form_token", "host_token", "keep_form_token", "same_origin"]

#: The name of the cookie, and of the field of a form that has to say the same.
COOKIE = "tasks_token"
FIELD = "token"

_DEFAULT_PORTS = {"http": 80, "https": 443}


def same_origin(request: flask.Request) -> bool:
    """Whether the browser says that a page of this host made the request.

    ``Origin`` and ``Sec-Fetch-Site`` must both say so where they are there; without either, ``Referer`` must. A request
    that says nothing of where it comes from is refused: it is no browser's, and a program sends the key.
    """
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    if origin is None and site is None:
        return _is_here(request, request.headers.get("Referer"))
    return (origin is None or _is_here(request, origin)) and (site is None or site == "same-origin")


def _is_here(request: flask.Request, address: str | None) -> bool:
    try:
        told = urlsplit(address or "")
        here = urlsplit(f"{told.scheme}://{request.host}")
        default = _DEFAULT_PORTS[told.scheme]  # the scheme itself may change on the way through a proxy
        if not told.hostname or "@" in told.netloc:  # a browser never says who somebody is there
            return False
        return (told.hostname, told.port or default) == (here.hostname, here.port or default)
    except (KeyError, ValueError):
        return False


# Forms work without JavaScript: the field must say what the cookie says, which no other site can read or set.


def form_token() -> str:
    """What the field ``token`` of a form has to say; the answer sets the cookie."""
    token: str | None = flask.g.get("tasks_form_token")
    if token is None:
        told = flask.request.cookies.get(COOKIE, "")
        token = told if re.fullmatch(r"[\w-]{43}", told, re.ASCII) else secrets.token_urlsafe(32)
        flask.g.tasks_form_token = token
    return token


def has_form_token(request: flask.Request) -> bool:
    """Whether the form says what the cookie says."""
    told, kept = request.form.get(FIELD, ""), request.cookies.get(COOKIE, "")
    return len(kept) == 43 and hmac.compare_digest(told.encode(errors="replace"), kept.encode(errors="replace"))


def keep_form_token(answer: flask.Response) -> None:
    """Set the cookie, where a form was made."""
    token = flask.g.pop("tasks_form_token", None)
    if token is not None and token != flask.request.cookies.get(COOKIE):
        answer.set_cookie(
            COOKIE,
            token,
            path=f"{flask.request.root_path.rstrip('/')}{current_state().settings.url_prefix}",
            secure=flask.request.is_secure,
            httponly=True,
            samesite="Strict",
        )


def host_token() -> str | None:
    """The token of the application's own CSRF protection (Flask-WTF), for the header ``X-CSRFToken``; None without."""
    make: Any = flask.current_app.jinja_env.globals.get("csrf_token")
    return make() if callable(make) else None


def form_fields() -> Markup:
    """The hidden fields that every form of ours has: our token, and that of the application's own protection."""
    field = Markup('<input type="hidden" name="{}" value="{}">')
    fields = field.format(FIELD, form_token())
    theirs = host_token()
    if theirs is not None:
        fields += field.format(flask.current_app.config.get("WTF_CSRF_FIELD_NAME", "csrf_token"), theirs)
    return fields
