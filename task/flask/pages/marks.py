"""What pages draw again and again: the mark of a state, a state in words, a moment. A page has hundreds of them."""

from __future__ import annotations

import datetime
import functools
from typing import Any

import jinja2
from markupsafe import Markup, escape

from task.flask.pages.texts import moment, relative, state_text
from task.flask.templating import shown

__all__ = ["MARKS"]

#: What has no shape of its own has that of another; `tasks/macros.html` draws them.
_SHAPE_OF = {
    "disabled": "paused",
    "broken": "failed",
    "failing": "failed",
    "unhealthy": "failed",
    "stopped": "cancelled",
    "overdue": "missed",
    "late": "missed",
    "overrunning": "timed_out",
    "orphaned": "lost",
    "expected": "idle",
    "never": "cancelled",
}


@functools.lru_cache(maxsize=64)
def mark(state: str) -> Markup:
    """The shape of a state, of which there are few.

    >>> print(mark("orphaned"))
    <svg class="mark" aria-hidden="true"><use href="#m-lost"/></svg>
    """
    shape = escape(_SHAPE_OF.get(state, state))
    return Markup('<svg class="mark" aria-hidden="true"><use href="#m-') + shape + Markup('"/></svg>')


def state(of: str, text: str | None = None, href: str | None = None) -> Markup:
    """A state in its colour and shape, in these words or its own, leading to *href*.

    >>> print(state("lost", "<gone>").partition("</svg>")[2])
     &lt;gone&gt;</span>
    """
    words, kind = escape(shown(text or state_text(of))), escape(of)
    if href:
        return Markup(f'<a class="state {kind}" href="{escape(href)}">{mark(of)} {words}</a>')
    return Markup(f'<span class="state {kind}">{mark(of)} {words}</span>')


@jinja2.pass_context
def when(context: Any, at: datetime.datetime, countdown: bool = False) -> Markup:
    """A moment: told for people, exact on hover and for machines; with *countdown* a script goes on counting."""
    counted = " data-countdown" if countdown else ""
    told = relative(at, context["now"])
    return Markup(f'<time datetime="{at.isoformat()}" title="{escape(moment(at))}"{counted}>{told}</time>')


#: What templates call.
MARKS = {"mark": mark, "state": state, "when": when}
