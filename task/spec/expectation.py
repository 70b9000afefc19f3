"""``Expectation``: what is expected of the runs of a task, and who hears when it is not so."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from task.errors import DeclarationError, DeclarationTypeError
from task.schedules import shorten

__all__ = ["Expectation", "check_notify", "takes_run"]


class Expectation(NamedTuple):
    """When a task counts as overdue, and when as failing.

    >>> Expectation(3600).text
    '[3600, 60.0, null]'
    >>> Expectation.of(Expectation(3600).text)
    Expectation(expect_within=3600.0, grace=60.0, alert_after=None)
    """

    #: A run has to succeed within so many seconds of the last one that did; None: its slots tell.
    expect_within: float | None = None
    #: A slot may be so late. Seconds.
    grace: float = 60.0
    #: So many failures in a row; None: as its slots call for.
    alert_after: int | None = None

    @property
    def text(self) -> str | None:
        """For processes that do not have its code; None of what is expected of most."""
        return None if self == _USUAL else json.dumps(self)

    @classmethod
    def of(cls, text: str | None) -> Expectation:
        """As another process has told it; the usual one where that is not understood."""
        try:
            within, grace, after = json.loads(text) if text is not None else _USUAL
            return cls(None if within is None else float(within), float(grace), None if after is None else int(after))
        except (TypeError, ValueError, RecursionError):
            return _USUAL


_USUAL = Expectation()


def check_notify(whose: str, notify: Any) -> None:
    """Raise `DeclarationTypeError` or `DeclarationError` for what cannot be called with a text (and a run)."""
    if not callable(notify):
        raise DeclarationTypeError(f"{whose}: notify is a function that takes a text, not {shorten(notify)}.")
    if inspect.iscoroutinefunction(notify) or inspect.iscoroutinefunction(getattr(notify, "__call__", None)):  # noqa: B004 - the method is wanted
        raise DeclarationError(f"{whose}: notify is an async def, and is called on a plain thread. Make it a def.")
    try:
        inspect.signature(notify).bind(*("", None)[: 1 + takes_run(notify)])
    except TypeError as error:
        raise DeclarationTypeError(
            f"{whose}: notify cannot be called: {error}. It takes the text, or the text and the run."
        ) from None
    except ValueError:  # a builtin that does not tell what it takes
        return


def takes_run(notify: Callable[..., object]) -> bool:
    """Whether it is to be called with the run, too: whether it has two parameters without a default."""
    try:
        parameters = inspect.signature(notify).parameters.values()
    except (TypeError, ValueError):
        return False
    named = [one for one in parameters if one.kind in (0, 1)]  # positional-only, positional or keyword
    wanted = [one for one in named if one.default is one.empty or one.name == "run"]
    return len(wanted) > 1 or any(one.kind is one.VAR_POSITIONAL for one in parameters)
