"""``RunPolicy``: how the runs of a task are guarded, repeated, limited and placed."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from task.calendars import check_conditions
from task.errors import DeclarationError, DeclarationTypeError
from task.retries import RetryPolicy, retry_policy
from task.runs import check_names
from task.schedules import shorten
from task.spec.expectation import check_notify

if TYPE_CHECKING:
    import concurrent.futures

__all__ = ["DEFAULT_POLICY", "OnLost", "Overlap", "RunPolicy", "When"]

Overlap = Literal["skip", "queue", "cancel_previous", "allow"]
When = Literal["succeeded", "failed", "always"]
OnLost = Literal["record", "rerun"]

_CHOICES = {
    "overlap": ("skip", "queue", "cancel_previous", "allow"),
    "when": ("succeeded", "failed", "always"),
    "on_lost": ("record", "rerun"),
}

#: No attempt may be limited to more. Seconds: three years.
_LONGEST = 1e8


@dataclasses.dataclass(frozen=True, slots=True)
class RunPolicy:
    """The part of a declaration that most tasks leave at its defaults; they share one."""

    #: So many runs at once; one more follows `overlap`.
    max_concurrent: int = 1
    #: Skip it, let one wait, stop those before it, or let it run beside them.
    overlap: Overlap = "skip"
    #: Of all the tasks with this mutex, one run at once.
    mutex: str | None = None
    #: The named pool of the manager on whose places it runs.
    pool: str | None = None
    #: Of the runs that wait for a place, the highest goes first.
    priority: int = 0
    #: Whether and when a failed attempt is repeated.
    retry: RetryPolicy | None = None
    #: Switch the task off after so many failures in a row.
    disable_after: int | None = None
    #: An attempt may take so many seconds.
    timeout: float | None = None
    #: Where its body runs: ``serial``, ``threads``, ``process``, a name of the manager's, or an executor.
    executor: str | concurrent.futures.Executor | None = None
    #: Parameters (and keys in them) whose values are masked wherever they would be written.
    redact: frozenset[str] = frozenset()
    #: The tasks after which it starts, when all of them have ended so (`when`) since its last run.
    after: tuple[str, ...] = ()
    when: When = "succeeded"
    #: Asked when a slot is due; a refused slot is skipped.
    only_if: tuple[Callable[..., object], ...] = ()
    #: When its process dies with its body: record that, or run it again as well (then it may run more than once).
    on_lost: OnLost = "record"
    #: Each process that shares the store has its own slots and guards, and nothing is caught up.
    everywhere: bool = False
    #: It is overdue when no run of it has succeeded for so many seconds; None: when a slot of it stays without a run.
    expect_within: float | None = None
    #: It is failing after so many failures in a row; None: 3 where its slots come more than hourly, else 1.
    alert_after: int | None = None
    #: Called with what is wrong with it, in the place of the manager's own ``notify=``.
    notify: Callable[..., object] | None = None

    @classmethod
    def declare(cls, name: str, options: Mapping[str, Any]) -> RunPolicy:
        """Validate the options of this part; without any, the shared default.

        Raises `DeclarationError` or `DeclarationTypeError`, naming the task, the value and the fix.
        """
        given = {key: value for key, value in options.items() if value is not None}
        if not given:
            return DEFAULT_POLICY
        if "retry" in given:
            given["retry"] = retry_policy(name, given["retry"])
        if "redact" in given:
            given["redact"] = check_names(name, given["redact"])
        if "only_if" in given:
            given["only_if"] = check_conditions(name, given["only_if"])
        if "after" in given:
            given["after"] = _names_of(name, given["after"])
        policy = cls(**given)
        _check(name, policy)
        return policy


DEFAULT_POLICY = RunPolicy()


def _names_of(name: str, value: Any) -> tuple[str, ...]:
    """The tasks after which *name* comes, given by name or as the tasks themselves."""
    listed = list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]
    names = [one if isinstance(one, str) else getattr(one, "name", None) for one in listed]
    if not names or not all(isinstance(one, str) and one for one in names):
        raise DeclarationTypeError(
            f"Task {name!r}: after is a task or its name, or a list of them, not {shorten(value)}."
        )
    return tuple(dict.fromkeys(str(one) for one in names))


def _check(name: str, policy: RunPolicy) -> None:
    for key, choices in _CHOICES.items():
        value = getattr(policy, key)
        if value not in choices:
            raise DeclarationError(f"Task {name!r}: {key} is one of {choices}, not {shorten(value)}.")
    for key in ("max_concurrent", "disable_after", "alert_after"):
        value = getattr(policy, key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise DeclarationError(f"Task {name!r}: {key} is a whole number from 1, not {shorten(value)}.")
    if not isinstance(policy.everywhere, bool):
        raise DeclarationTypeError(f"Task {name!r}: everywhere is True or False, not {shorten(policy.everywhere)}.")
    if isinstance(policy.priority, bool) or not isinstance(policy.priority, int):
        raise DeclarationTypeError(
            f"Task {name!r}: priority is a whole number (the highest goes first), not {shorten(policy.priority)}."
        )
    for key in ("mutex", "pool"):
        value = getattr(policy, key)
        if value is not None and not (isinstance(value, str) and value.strip() and len(value) <= 200):
            raise DeclarationTypeError(f"Task {name!r}: {key} is a name of 1 to 200 characters, not {shorten(value)}.")
        if value is not None and not value.isprintable():
            raise DeclarationError(f"Task {name!r}: {key} is a name of printable characters, not {shorten(value)}.")
    for key in ("timeout", "expect_within"):
        seconds = getattr(policy, key)
        if seconds is not None and (
            isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= _LONGEST
        ):
            raise DeclarationError(f"Task {name!r}: {key} is a number of seconds above 0, not {shorten(seconds)}.")
    executor = policy.executor
    library: Any = sys.modules.get("concurrent.futures")  # whoever made an executor has imported it
    if executor is not None and not isinstance(executor, (str, getattr(library, "Executor", ()))):
        raise DeclarationTypeError(
            f"Task {name!r}: executor is 'serial', 'threads', 'process', a name of TaskManager(executors={{...}}), "
            f"or a concurrent.futures.Executor, not {shorten(executor)}."
        )
    if policy.notify is not None:
        check_notify(f"Task {name!r}", policy.notify)
    if policy.when != "succeeded" and not policy.after:
        raise DeclarationError(f"Task {name!r}: when={policy.when!r} needs after=, the task whose end it speaks of.")
    if name in policy.after:
        raise DeclarationError(f"Task {name!r} cannot come after itself.")
