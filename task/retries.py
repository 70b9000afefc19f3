"""Retries: whether a run has another attempt, and how long after the one that just ended.

A policy is a pure decision: it is told of an attempt that `Ended` and answers with a `Verdict`. Whoever asks does
the waiting; here nothing sleeps and no clock is read.

``retry=3`` means three more attempts after an exception, 1, 2 and 4 seconds after the one before: the wait doubles, up
to one hour. Only an `Exception` is retried; `SystemExit`, `KeyboardInterrupt` and their like end the run.

For anything else there are the strategies of tenacity (extra ``retry``)::

    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

    @task(
        every().hour,
        retry=Retrying(
            stop=stop_after_attempt(5),
            wait=wait_random_exponential(max=60),
            retry=retry_if_exception_type(OSError),
        ),
    )
    def pull() -> None: ...

- ``stop`` is asked with the time since the start of the first attempt, on the clock of the manager. A `Retrying`
  without one goes on for ever, until the run is cancelled.
- ``wait`` is in seconds; one longer than `LONGEST_WAIT` is cut to it.
- ``retry`` may ask for another attempt because of a result (``retry_if_result``). When no attempt is left for such a
  result, the run has failed. ``raise TryAgain`` always asks for another.
- ``after`` and ``before_sleep`` are called where tenacity calls them: when another attempt is wanted, and when one
  follows. One that raises is logged and changes nothing. The state that they get is emptied when the decision is made,
  its ``fn`` has the name of the task and cannot be called, and its ``args`` and ``kwargs`` are empty.
- ``before``, ``sleep``, ``reraise``, ``retry_error_cls``, ``retry_error_callback`` and ``statistics`` have no meaning
  here: a run that has no attempt left ends with the exception of its last one.
- A strategy that raises, or whose wait is not a finite number from 0, is logged; there is no further attempt.
"""

from __future__ import annotations

import copy
import inspect
import math
import numbers
import sys
import traceback
import types
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from task.errors import DeclarationError, DeclarationTypeError
from task.log import logger
from task.schedules import shorten

__all__ = ["LONGEST_WAIT", "MOST_RETRIES", "Ended", "RetryPolicy", "Verdict", "retry_policy"]

#: The most further attempts that a number can ask for.
MOST_RETRIES = 1000

#: The longest wait of a strategy, in seconds: 366 days. A growing wait reaches numbers that no calendar has.
LONGEST_WAIT = 366 * 86_400.0

_LONGEST_DOUBLED_WAIT = 3600.0
_TRACEBACK_LIMIT = 2000  # characters of a strategy's traceback in the log
_PARTS = ("stop", "wait", "retry", "after", "before_sleep")  # of a `Retrying`; those that are called


class Ended(NamedTuple):
    """An attempt that just ended, as a policy is told of it.

    >>> Ended(attempt=1, started=10.0, now=10.5, idle=0.0, result="done").now
    10.5
    """

    #: The number of this attempt, from 1.
    attempt: int
    #: The start of the first attempt, in monotonic seconds of the manager's clock.
    started: float
    #: The end of this attempt, on the same clock.
    now: float
    #: The seconds waited between attempts so far.
    idle: float
    #: What the body raised.
    error: BaseException | None = None
    #: What the body returned, when it raised nothing.
    result: Any = None


class Verdict(NamedTuple):
    """What a policy says of an attempt.

    >>> Verdict(wait=None, accepted=True)
    Verdict(wait=None, accepted=True)
    """

    #: Seconds until the next attempt; None when there is no further one.
    wait: float | None
    #: The result stands: the run succeeded.
    accepted: bool


class RetryPolicy(Protocol):
    """Judges each attempt of a run when it has ended. It keeps nothing of it, and may be asked by several threads."""

    def judge(self, ended: Ended) -> Verdict:
        """Whether another attempt follows, and whether this one's result stands. Never raises."""


def retry_policy(name: str, value: Any) -> RetryPolicy | None:
    """The policy that the option ``retry`` of the task called *name* asks for; None for one attempt only.

    *value* is a number of further attempts from 0 to `MOST_RETRIES`, a `tenacity.Retrying`, or None.

    Raises `DeclarationError` for a number out of that range, and `DeclarationTypeError` for anything else.

    >>> policy = retry_policy("report", 3)
    >>> policy.judge(Ended(attempt=2, started=0.0, now=1.5, idle=1.0, error=OSError()))
    Verdict(wait=2.0, accepted=False)
    """
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value <= MOST_RETRIES:
            raise DeclarationError(
                f"Task {name!r}: retry is a number of further attempts from 0 to {MOST_RETRIES}, not {shorten(value)}. "
                "Write retry=3; a tenacity Retrying without a stop goes on for ever."
            )
        return _Doubling(value) if value else None
    library: Any = sys.modules.get("tenacity")  # whoever made a strategy has imported it
    if not isinstance(value, getattr(library, "BaseRetrying", ())):
        raise DeclarationTypeError(
            f"Task {name!r}: retry is a number of further attempts or a tenacity Retrying, not {shorten(value)}. "
            f"{_hint(value)}"
        )
    _check_strategy(name, value)
    fn = types.SimpleNamespace(__name__=name, __qualname__=name, __module__="")  # tenacity's log lines tell its name
    return _Strategy(name, value, library, library.RetryCallState(value, fn, (), {}))


class _Doubling(NamedTuple):
    """So many more attempts after an `Exception`, after waits of 1, 2, 4 … seconds."""

    retries: int

    def judge(self, ended: Ended) -> Verdict:
        if not isinstance(ended.error, Exception) or ended.attempt > self.retries:
            return Verdict(None, accepted=ended.error is None)
        return Verdict(min(2.0 ** (ended.attempt - 1), _LONGEST_DOUBLED_WAIT), accepted=False)


class _Strategy(NamedTuple):
    """Asks the parts of a tenacity ``Retrying`` in tenacity's own order; see the top of this module."""

    name: str
    retrying: Any
    #: The module `tenacity`.
    library: Any
    #: A `RetryCallState` to copy: making one reads the machine's clock.
    blank: Any

    def judge(self, ended: Ended) -> Verdict:
        error, state = ended.error, self._state(ended)
        frames = error.__traceback__ if error is not None else None
        try:
            return self._verdict(state, error)
        finally:
            # Nothing of the body is kept by a strategy that kept the state, nor by one that called
            # `outcome.result()`, which raises the body's error through the frames of this module.
            state.outcome = None
            if error is not None:
                error.__traceback__ = frames

    def _state(self, ended: Ended) -> Any:
        """What tenacity's parts are asked about, with the times of the manager's clock."""
        state = copy.copy(self.blank)
        failed = ended.error is not None
        state.attempt_number = ended.attempt
        state.start_time, state.outcome_timestamp, state.idle_for = ended.started, ended.now, ended.idle
        state.outcome = self.library.Future.construct(ended.attempt, ended.error if failed else ended.result, failed)
        return state

    def _verdict(self, state: Any, error: BaseException | None) -> Verdict:
        none_left = Verdict(None, accepted=error is None)
        try:
            if not self._wants_another(state, error):
                return none_left
            none_left = Verdict(None, accepted=False)
            self._tell("after", state)
            state.upcoming_sleep = wait = self._wait(state)
            if _ask(self.retrying.stop, state):
                return none_left
        except BaseException as mistake:  # a strategy that asks for `outcome.result()` raises what the body raised
            self._log("its retry strategy failed, so there is no further attempt", mistake)
            return none_left
        state.next_action = self.library.RetryAction(wait)
        state.idle_for += wait
        self._tell("before_sleep", state)
        return Verdict(wait, accepted=False)

    def _wants_another(self, state: Any, error: BaseException | None) -> bool:
        if not getattr(self.retrying, "enabled", True):  # older versions have no such switch
            return False
        return isinstance(error, self.library.TryAgain) or bool(_ask(self.retrying.retry, state))

    def _wait(self, state: Any) -> float:
        part = self.retrying.wait
        answer = _ask(part, state) if callable(part) else 0.0  # None is no wait
        seconds = float(answer) if isinstance(answer, numbers.Real) and not isinstance(answer, bool) else math.nan
        if not 0 <= seconds < math.inf:
            raise DeclarationError(f"wait is a finite number of seconds from 0, not {shorten(answer)}.")
        return min(seconds, LONGEST_WAIT)

    def _tell(self, key: str, state: Any) -> None:
        callback = getattr(self.retrying, key)
        if callback is None:
            return
        try:
            _ask(callback, state)
        except BaseException as mistake:  # a callback changes nothing, as those of a task
            self._log(f"{key} of its retry strategy failed; nothing else is affected", mistake)

    def _log(self, what: str, mistake: BaseException) -> None:
        """Log as text: a handler that keeps its records must not keep the frames of a body."""
        trace = "".join(traceback.format_tb(mistake.__traceback__, limit=-5))[-_TRACEBACK_LIMIT:]
        logger.error("Task %r: %s: %s\n%s", self.name, what, shorten(mistake, 200), trace)


def _ask(part: Callable[[Any], Any], state: Any) -> Any:
    """What a part of a strategy answers. A coroutine would count as yes: it is refused."""
    answer = part(state)
    if inspect.iscoroutine(answer):
        answer.close()
        raise DeclarationTypeError(f"{shorten(part)} calls an async def. Make it a def.")
    return answer


def _check_strategy(name: str, retrying: Any) -> None:
    if inspect.iscoroutinefunction(type(retrying).__call__):
        raise DeclarationTypeError(
            f"Task {name!r}: retry is a Retrying, not {shorten(retrying)}. Write retry=Retrying(...) with the same "
            "arguments: it serves an async body too."
        )
    for key in _PARTS:
        part = getattr(retrying, key)
        if not callable(part) and (part or key in ("stop", "retry")):  # the others may be None
            raise DeclarationTypeError(
                f"Task {name!r}: {key} of its Retrying is a strategy of tenacity or a function, not {shorten(part)}. "
                "Write Retrying(stop=stop_after_attempt(4), wait=wait_fixed(1))."
            )
        if inspect.iscoroutinefunction(part) or inspect.iscoroutinefunction(getattr(part, "__call__", None)):  # noqa: B004 - the method is wanted, not whether there is one
            raise DeclarationTypeError(
                f"Task {name!r}: {key} of its Retrying is async: {shorten(part)}. Make it a def, or take it from "
                "tenacity itself, not from tenacity.asyncio."
            )


def _hint(value: object) -> str:
    """How to mend a ``retry`` that is neither a number nor a ``Retrying``."""
    if isinstance(value, bool):
        return "Write how many: retry=3, or retry=0 for none."
    for part in ("stop", "wait", "retry"):
        base = getattr(sys.modules.get(f"tenacity.{part}"), f"{part}_base", ())
        if isinstance(value, base):
            end = "" if part == "stop" else ", stop=stop_after_attempt(4)"
            return f"It is only the {part} of a strategy: write retry=Retrying({part}=...{end})."
    return "Write retry=3 or retry=Retrying(stop=stop_after_attempt(4))."
