"""Who may enter: what a route asks for, and what a person may do."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

import flask

__all__ = ["Access", "Auth", "May", "allow_anyone", "allow_local", "may_of", "requires"]

#: What a route asks for: nothing (the bare health), to look, or to change something.
May = Literal["nothing", "view", "operate"]

F = TypeVar("F", bound=Callable[..., Any])

#: What a proxy adds to a request: who is behind it is not who connects to us.
_FORWARDING = re.compile(
    r"HTTP_(FORWARDED.*|X_FORWARDED.*|VIA|X_REAL_IP|X_PROXYUSER_IP|X_ORIGINAL.*|.*CLIENT_IP|CF_CONNECTING_IP.*"
    r"|X_CLUSTER.*|X_ENVOY.*|X_HOST|X_REMOTE_(IP|ADDR)|PROXY_.*|CDN_LOOP)"
)

#: What ``Host`` says of a request for this machine: whole, as what stands before an ``@`` would be another's.
_LOCAL_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.ASCII | re.IGNORECASE)


class Access(NamedTuple):
    """What a person may do, and who that is, for the journal.

    >>> Access("operate", "ada").may
    'operate'
    """

    may: May
    name: str | None = None


#: Given by the application: gets the request, returns what the person may do; None: nothing.
Auth = Callable[[flask.Request], Access | May | None]


def requires(may: May) -> Callable[[F], F]:
    """Say what a view asks of who calls it. A view of ours without this cannot be reached.

    >>> @requires("view")
    ... def show() -> str:
    ...     return "shown"
    >>> may_of(show)
    'view'
    """

    def mark(view: F) -> F:
        view.may = may  # type: ignore[attr-defined]  # a function takes attributes
        return view

    return mark


def may_of(view: Any) -> May | None:
    """What a view asks for; None where nobody has said."""
    return getattr(view, "may", None)


def allow_local(request: flask.Request) -> Access | None:
    """Let in who is on this machine: ``FlaskTasks(manager, auth=allow_local)``. They may operate.

    A request counts as local that comes from a loopback address, has been through no proxy (no forwarding header), and
    asks for ``localhost``, ``127.0.0.1`` or ``[::1]``: a web page elsewhere whose name is made to lead here is refused.
    A proxy on this machine that adds no header is not seen: do not use this behind one.

    >>> from werkzeug.test import EnvironBuilder
    >>> here = {"REMOTE_ADDR": "127.0.0.1"}
    >>> allow_local(flask.Request(EnvironBuilder(environ_base=here).get_environ()))
    Access(may='operate', name='127.0.0.1')
    >>> allow_local(flask.Request(EnvironBuilder(environ_base=here, headers={"Via": "proxy"}).get_environ())) is None
    True
    """
    address = request.environ.get("REMOTE_ADDR") or ""
    try:
        peer = ipaddress.ip_address(address)
    except ValueError:  # a socket in a file, say
        return None
    mapped = getattr(peer, "ipv4_mapped", None)
    if not (mapped or peer).is_loopback or any(map(_FORWARDING.fullmatch, request.environ)):
        return None
    return Access("operate", address) if _LOCAL_HOST.fullmatch(request.environ.get("HTTP_HOST", "")) else None


def allow_anyone(request: flask.Request) -> Access | None:
    """Let in everybody: ``FlaskTasks(manager, auth=allow_anyone)``. They may operate.

    Only where something else keeps strangers out. Set ``TRUSTED_HOSTS`` as well.

    >>> allow_anyone(None)
    Access(may='operate', name=None)
    """
    return Access("operate")
