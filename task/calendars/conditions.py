"""The option ``only_if``: what it may be, and how its conditions are asked.

A condition is asked when a slot is due, and says whether it may run. It is any callable of no argument,
or of one: the slot, an aware UTC datetime. One whose class has a method ``reason(slot) -> str | None``
is asked that instead: None goes on, a text is why not.
"""

from __future__ import annotations

import collections.abc
import datetime
import inspect
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from task.calendars.askable import Askable
from task.calendars.business_days import business_days
from task.errors import DeclarationError, DeclarationTypeError
from task.log import logger
from task.schedules import shorten

__all__ = ["Condition", "check_conditions", "refusal"]

Condition = Callable[..., object]

#: The longest reason, in characters: it is kept with every refused slot.
REASON_LIMIT = 200

#: How much of an exception is logged: characters of its text, frames, and characters of those.
ERROR_LIMIT = 500
FRAMES = 20
TRACEBACK_LIMIT = 8_000


def check_conditions(name: str, value: Any) -> tuple[Condition, ...]:
    """The conditions of the task *name*, from its ``only_if``: None, one condition, or a list of them.

    Raises `DeclarationTypeError` for what cannot be asked, `DeclarationError` for an empty list.

    >>> from task.calendars import business_hours
    >>> check_conditions("report", business_hours(9, 17, tz="UTC"))
    (business_hours('09:00', '17:00', tz='UTC'),)
    """
    if value is None:
        return ()
    conditions = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if not conditions:
        raise DeclarationError(f"Task {name!r}: only_if is an empty list. Leave it out for a task that always runs.")
    for condition in conditions:
        _check_condition(name, condition)
    return conditions


def _check_condition(name: str, condition: Any) -> None:
    if not callable(condition):
        raise DeclarationTypeError(
            f"Task {name!r}: only_if is a function that answers true or false, or a list of them, not "
            f"{shorten(condition)}."
        )
    if condition is business_days:
        raise DeclarationTypeError(f"Task {name!r}: only_if has business_days itself. Write business_days('NL').")
    for function in (condition, getattr(condition, "__call__", None)):  # noqa: B004 - the method is wanted
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise DeclarationTypeError(
                f"Task {name!r}: only_if has {shorten(condition)}, an async def, which nobody awaits. Make it a def."
            )
        if inspect.isgeneratorfunction(function):
            raise DeclarationTypeError(
                f"Task {name!r}: only_if has {shorten(condition)}, a generator. Let it return its answer."
            )
    try:
        _wants_slot(condition)
    except TypeError as error:
        raise DeclarationTypeError(
            f"Task {name!r}: the condition {shorten(condition)} in only_if cannot be called: {error}. "
            "It takes nothing, or the slot."
        ) from None


def _wants_slot(condition: Condition) -> bool:
    """Whether a condition needs the slot; what has a default keeps it, as in ``lambda key=key: ...``.

    Raises TypeError for one that can be called neither way.
    """
    try:
        signature = inspect.signature(condition)
    except ValueError:  # a builtin that does not tell what it takes
        return False
    try:
        signature.bind()
    except TypeError:
        signature.bind(None)
        return True
    return False


def refusal(name: str, conditions: Iterable[Condition], slot: datetime.datetime) -> str | None:
    """Why the task *name* may not run for a slot, in 200 characters at most; None when it may.

    The conditions are asked in their order up to the first that refuses. One that raises refuses as
    well, and its traceback is logged: a condition that cannot tell is no permission.

    >>> from task.calendars import business_hours
    >>> evening = datetime.datetime(2026, 5, 4, 20, tzinfo=datetime.UTC)
    >>> refusal("report", [business_hours(9, 17, tz="Europe/Amsterdam")], evening)
    'outside 09:00 to 17:00 Europe/Amsterdam'
    """
    for condition in conditions:
        try:
            reason = _ask(condition, slot)
        except BaseException as error:  # SystemExit too: it ends no worker, and no schedule
            line, frames = _describe(error)
            logger.error(
                "Task %r: its condition %s raised, so the slot of %s is refused.\n%s%s",
                name,
                _name_of(condition),
                slot,
                frames,
                line,
            )
            reason = f"only_if raised {line}"
        if reason is not None:
            return _bounded(reason)
    return None


def _ask(condition: Any, slot: datetime.datetime) -> str | None:
    refused = f"only_if refused: {_name_of(condition)}"
    if callable(getattr(type(condition), "reason", None)):  # of its class: a mock has every attribute
        reason = _finished(condition, condition.reason(slot))
        return None if reason is None else str(reason) or refused
    answer = _finished(condition, condition(slot) if _wants_slot(condition) else condition())
    return None if answer else refused


def _finished(condition: Condition, answer: object) -> object:
    """The answer, unless it is one that is always true: what was not awaited, or a condition not yet asked."""
    if isinstance(answer, (collections.abc.Coroutine, collections.abc.Generator)):
        answer.close()
    elif not isinstance(answer, (collections.abc.Awaitable, collections.abc.AsyncGenerator, Askable)):
        return answer
    raise DeclarationTypeError(
        f"{_name_of(condition)} answered with a {type(answer).__name__}, which says neither yes nor no. "
        "Return True or False."
    )


def _name_of(condition: Condition) -> str:
    try:
        name = getattr(condition, "__name__", None)
    except Exception:  # a user's own property
        name = None
    return _bounded(name, 60) if isinstance(name, str) else shorten(condition)


def _describe(error: BaseException) -> tuple[str, str]:
    """An exception as one bounded line, and its last frames."""
    try:
        text = str(error)
    except BaseException:  # a user's own `__str__`
        text = "(its text raises)"
    frames = traceback.format_list(traceback.extract_tb(error.__traceback__, limit=-FRAMES))
    header = "Traceback (most recent call last):\n"
    return _bounded(f"{type(error).__name__}: {text}", ERROR_LIMIT), header + "".join(frames)[-TRACEBACK_LIMIT:]


def _bounded(text: str, limit: int = REASON_LIMIT) -> str:
    """A text as one line of a limited length."""
    line = " ".join(text[: 2 * limit].split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
