"""Every error that `task` raises.

::

    TaskError
    ├── DeclarationError (ValueError)        a task is declared with a wrong value
    │   ├── ScheduleError                    … a schedule that can never be kept
    │   ├── DuplicateTaskError               … a name that another task already has
    │   └── ParameterError                   … or triggered with a parameter that does not fit
    ├── DeclarationTypeError (TypeError)     a task is declared with the wrong kind of thing
    ├── UnknownTaskError (KeyError)          no task has that name
    ├── UnknownRunError (KeyError)           no run of that id is on record, or not any more
    ├── BrokenScheduleError                  a schedule's own computation failed
    ├── ManagerStateError (RuntimeError)     the manager cannot do that in its state
    │   └── ForkedError                      … because this process was forked from its own
    ├── StoreError (RuntimeError)            the store cannot do what was asked of it
    │   ├── StoreUnavailableError            … now: locked, cut off, full
    │   └── SchemaVersionError               … as it was written by a newer release
    ├── NoRunError (RuntimeError)            `current_run()` outside a run
    ├── TransitionError (RuntimeError)       a run was sent to a state that it cannot reach: a bug
    ├── UnfinishedBodyError (RuntimeError)   a body returned before any of its work was done
    ├── CommandError (RuntimeError)          a shell command ended with another exit code than 0
    ├── ProcessDiedError (RuntimeError)      the process of a body died before it could report
    ├── TransferError (TypeError)            a body, result or exception cannot go from process to process
    ├── ArtifactError                        a file cannot be kept with a run, or not be read
    ├── MissingExtraError (ImportError)      an optional library is not installed
    ├── VirtualTimeError (RuntimeError)      a test asks something of virtual time that it cannot do
    ├── InjectedFailureError                 a test lets a body fail at random (`VirtualClock.vary`)
    ├── NoResultError (RuntimeError)         `Run.result` of a run that has none
    ├── RunTimedOut                          … of a run that timed out
    ├── RunLost                              … of a run whose manager stopped or whose worker died
    └── RunCancelled                         … of a run that was cancelled; raised in its body too

Each message says what happened, names the task, and says how to mend it.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "ArtifactError",
    "BrokenScheduleError",
    "CommandError",
    "DeclarationError",
    "DeclarationTypeError",
    "DuplicateTaskError",
    "ForkedError",
    "InjectedFailureError",
    "ManagerStateError",
    "MissingExtraError",
    "NoResultError",
    "NoRunError",
    "ParameterError",
    "ProcessDiedError",
    "RunCancelled",
    "RunLost",
    "RunTimedOut",
    "ScheduleError",
    "SchemaVersionError",
    "StoreError",
    "StoreUnavailableError",
    "TaskError",
    "TransferError",
    "TransitionError",
    "UnfinishedBodyError",
    "UnknownRunError",
    "UnknownTaskError",
    "VirtualTimeError",
]


class TaskError(Exception):
    """The base of every error of ours: ``except TaskError`` catches them all.

    >>> from task import TaskError, cron
    >>> try:
    ...     cron("0 0 31 2 *")
    ... except TaskError as error:
    ...     print(type(error).__name__)
    ScheduleError
    """


class DeclarationError(TaskError, ValueError):
    """Raised when a task is declared with a value that it cannot have."""


class ScheduleError(DeclarationError):
    """Raised when a schedule can never be kept: no such date, no such zone, no positive interval."""


class DuplicateTaskError(DeclarationError):
    """Raised when two different tasks of one manager have one name; the message names both places."""


class ParameterError(DeclarationError):
    """Raised when a run is asked for with a parameter that its body does not take, or of the wrong type."""


class DeclarationTypeError(TaskError, TypeError):
    """Raised when a task is declared with the wrong kind of thing: a schedule that is not a Job, say."""


class UnknownTaskError(TaskError, KeyError):
    """Raised when a manager has no task of that name; the message offers the nearest names."""

    def __str__(self) -> str:  # KeyError would show the message in quotes
        return str(self.args[0]) if self.args else ""


class UnknownRunError(TaskError, KeyError):
    """Raised when no run of that id is on record: there was none, or it was dropped to keep the history bounded."""

    def __str__(self) -> str:  # KeyError would show the message in quotes
        return str(self.args[0]) if self.args else ""


class BrokenScheduleError(TaskError):
    """Raised when a schedule's ``next_slot`` raises, goes back, stands still or has no time zone.

    The manager catches it: that task is marked broken and shown so, the others go on.
    """


class ManagerStateError(TaskError, RuntimeError):
    """Raised when a manager cannot do what was asked in its present state."""


class ForkedError(ManagerStateError):
    """Raised in a forked child whose manager was started in the parent; ``run()`` starts one here."""


class StoreError(TaskError, RuntimeError):
    """Raised when the store cannot do what was asked of it; the message says what its database said."""


class StoreUnavailableError(StoreError):
    """Raised when the store cannot be reached now: locked, cut off, read-only, its disk full. It may pass."""

    #: It failed at the very end: whether what was asked for was done is not known.
    uncertain = False


class SchemaVersionError(StoreError):
    """Raised when the store was written by a newer release than this one; the message names both versions."""


class NoRunError(TaskError, RuntimeError):
    """Raised when `current_run()` is called where no run is under way."""


class TransitionError(TaskError, RuntimeError):
    """Raised when a run is sent to a state that it cannot reach from its own. It is a bug of ours."""


class UnfinishedBodyError(TaskError, RuntimeError):
    """Raised when a scheduled body returned a generator or a coroutine: none of its work was done."""


class CommandError(TaskError, RuntimeError):
    """Raised when a shell command ended with another exit code than 0; the text has the end of its stderr."""


class ProcessDiedError(TaskError, RuntimeError):
    """Raised when the process that ran a body died before it could report: killed, crashed, or ``os._exit``."""


class TransferError(TaskError, TypeError):
    """Raised when a body, a parameter, a result or an exception cannot be carried from process to process."""


class ArtifactError(TaskError):
    """Raised when an artifact cannot be saved, listed, read or removed; the message says why, with the figure."""


class MissingExtraError(TaskError, ImportError):
    """Raised when a feature needs a library that is not installed; the message says how to install it."""

    @classmethod
    def of(cls, extra: str, feature: str) -> MissingExtraError:
        """The error for a *feature* of the extra called *extra*.

        >>> MissingExtraError.of("retry", "A tenacity strategy")
        MissingExtraError("A tenacity strategy needs the extra 'retry': pip install 'schedule-tasks[retry]'")
        """
        return cls(f"{feature} needs the extra {extra!r}: pip install 'schedule-tasks[{extra}]'")


class VirtualTimeError(TaskError, RuntimeError):
    """Raised by `task.testing` for what virtual time cannot do: a second rehearsal at once, bodies nested too deep."""


class InjectedFailureError(TaskError):
    """Raised in the place of a body, or after it, by a test that lets some fail at random (`VirtualClock.vary`)."""


class NoResultError(TaskError, RuntimeError):
    """Raised by `Run.result` for a run that never ran, or of which only the text of the result was kept."""


class RunTimedOut(TaskError):  # noqa: N818 - the outcome of a run, not a fault of ours
    """Raised by `Run.result` for a run that exceeded its ``timeout`` and had no attempt left."""

    #: The id of that run; None of the one under way.
    run_id: str | None = None


class RunLost(TaskError):  # noqa: N818 - the outcome of a run
    """Raised by `Run.result` for a run that is lost, and by an executor whose worker died with the body."""

    #: The id of that run; None of the one under way.
    run_id: str | None = None


class RunCancelled(TaskError):  # noqa: N818 - control flow, not a fault, as `asyncio.CancelledError`
    """Raised by `Run.check_cancelled` in a body whose run was asked to stop, and by `Run.result` afterwards."""


def did_you_mean(name: object, known: Iterable[str], otherwise: str = "") -> str:
    """The hint for a name that is not known: the nearest ones, or *otherwise*.

    >>> did_you_mean("thraeded", ["threaded", "tags"])
    "Did you mean 'threaded'?"
    """
    import difflib  # loaded for the mistake only

    near = difflib.get_close_matches(str(name), known, n=3)
    return f"Did you mean {' or '.join(map(repr, near))}?" if near else otherwise
