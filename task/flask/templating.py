"""Templates: what turns values into pages, and sees to it that no text is more than text."""

from __future__ import annotations

import re
from typing import Any

import flask
import jinja2
from markupsafe import Markup

__all__ = ["Exact", "environment", "exact", "shown"]

#: What is not seen, turns other text around, or cannot be sent: controls but tab and line end, marks of direction,
#: halves of characters.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


class Exact(str):
    """A text as it is: what somebody typed, in the field that it was typed in."""

    __slots__ = ()


def exact(text: str) -> Exact:
    """The text as it is, for the value of a field; halves of characters cannot be sent."""
    return Exact(text.encode(errors="replace").decode())


def shown(value: Any) -> Any:
    """Every value that a page shows goes through this: what would not be seen of a text is.

    >>> shown("a\\x1b[31mb\\u202ec")
    'a⟨1B⟩[31mb⟨202E⟩c'
    """
    if not isinstance(value, str) or isinstance(value, (Markup, Exact)):
        return value
    return _UNSEEN.sub(_told, value.replace("\r\n", "\n"))


def _told(found: re.Match[str]) -> str:
    return f"⟨{ord(found[0]):02X}⟩"


#: Our own: what an application has set for its templates (delimiters, filters, no escaping) is not for ours.
environment = jinja2.Environment(
    loader=jinja2.PackageLoader("task.flask"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=shown,
)
environment.globals.update(url_for=flask.url_for)
