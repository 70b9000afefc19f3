"""``Run``: one execution of a task, seen from inside its body and from outside."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import math
import os
import threading
from collections.abc import Awaitable, Callable, Generator
from typing import Any

from task.errors import (
    ArtifactError,
    ManagerStateError,
    NoResultError,
    ParameterError,
    RunCancelled,
    RunLost,
    RunTimedOut,
    TransitionError,
)
from task.log import logger
from task.runs.artifacts import Artifact, RunArtifacts
from task.runs.facts import NOTHING, OUT_OF_TIME, Attempt, RunFacts
from task.runs.log import LogLine, RunLog, run_logger
from task.runs.states import RunState

__all__ = ["Run"]

Moment = datetime.datetime

#: How much of a progress message is kept. Characters.
MESSAGE_LIMIT = 500


class _Told:
    """What `update_progress` and `check_cancelled` return: nothing to wait for, but it may be awaited."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        yield  # the event loop has its turn: also to deliver a cancellation


_TOLD = _Told()


class Run(RunFacts):
    """One execution of a task, or one span of slots that had none.

    From outside it is like a future: `result`, `wait`, `done`, `cancel`, and ``await run``. From inside, a
    body gets it with `current_run`: `update_progress`, `check_cancelled`, `logger`, `parameters`.
    """

    __slots__ = ()

    #: How much of a progress message is kept. Characters.
    message_limit = MESSAGE_LIMIT

    # From inside the body.

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """Logs into the run's own log from INFO on, and to the application's handlers as the logger ``task.run``."""
        return run_logger(self)

    def update_progress(self, percent: float, message: str = "") -> Awaitable[None]:
        """Tell how far the body is: 0 to 100 percent, and a short text. May be awaited.

        More than 100 counts as 100, less than 0 as 0. Raises `ParameterError` for what is no number.
        """
        try:
            told = float(percent)
        except (TypeError, ValueError):
            told = math.nan
        if math.isnan(told):
            raise ParameterError(
                f"Task {self.task!r}: progress is a number from 0 to 100, not {type(percent).__name__} "
                f"{str(percent)[:50]!r}."
            )
        self.message = self.mask(str(message))[
            : self.message_limit
        ]  # masked before it is cut: half a secret is one, too
        self.progress = min(100.0, max(0.0, told))
        if self.holder is not None:
            self.holder.progressed(self)
        return _TOLD

    def is_cancelled(self) -> bool:
        """Whether the run was asked to stop, or is past its time limit. A body in a thread may look, and return."""
        return self.asked is not None

    def check_cancelled(self) -> Awaitable[None]:
        """Raise `RunCancelled` if the run was asked to stop: the way for a body to end at once. May be awaited.

        >>> import datetime
        >>> run = Run("sample", "manual", datetime.datetime.now(datetime.timezone.utc))
        >>> _ = run.check_cancelled()
        """
        if self.asked is not None:
            raise RunCancelled(f"The run of task {self.task!r} was asked to stop.")
        return _TOLD

    def save_artifact(self, name: str, data_or_path: bytes | str | os.PathLike[Any]) -> Artifact:
        """Keep a file with the run, in the folder ``TaskManager(artifacts="folder")``.

        ``bytes`` are its content, and so is a ``str``, in UTF-8: it is *not* a path. A `pathlib.Path` is a file that is
        copied. The same name again replaces it; letter case makes no other name. It is written at once, in the calling
        thread. At most 100 MB each, and 100 of a run. Nothing is masked, neither in the name nor in the content.
        Raises `ArtifactError`, and then nothing has changed.

        >>> import tempfile
        >>> from task import Run, TaskManager
        >>> def report(run: Run): run.save_artifact("report.csv", "day,sold")
        >>> with tempfile.TemporaryDirectory() as folder, TaskManager([], artifacts=folder) as manager:
        ...     run = manager.add(report, name="report").trigger()
        ...     run.wait(timeout=5), [(artifact.name, artifact.size) for artifact in run.artifacts]
        (True, [('report.csv', 8)])
        """
        kept = self._kept_artifacts()
        if kept is None:
            raise ArtifactError(
                f"Task {self.task!r}: its run has no folder for artifacts. Give its manager one: "
                'TaskManager(artifacts="folder"). A body on another machine has none.'
            )
        return kept.save(name, data_or_path)

    # From outside.

    @property
    def artifacts(self) -> list[Artifact]:
        """What is kept with the run (`save_artifact`), by name: the folder is read. Without a folder there are none."""
        kept = self._kept_artifacts()
        return [] if kept is None else kept.listed()

    def done(self) -> bool:
        """Whether it has a final state."""
        return self.state.final

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the run is final, at most *timeout* seconds; whether it is.

        Raises `ManagerStateError` in a body on the serial worker, for a run that is queued behind that.
        """
        if self.state.final:
            return True
        if self.state is RunState.QUEUED and self.holder is not None and self.holder.waits_for_this_thread():
            raise ManagerStateError(
                f"This body would wait for ever: the run of task {self.task!r} is queued behind it, on the serial "
                "worker. Declare one of the two tasks with threaded=True."
            )
        ended = threading.Lock()  # held until then: an Event would be made of a lock, a condition and a queue
        ended.acquire()

        def tell(_: Run) -> None:
            ended.release()

        self.add_done_callback(tell)
        if ended.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            return True
        self._forget_callback(tell)
        return False

    def result(self, timeout: float | None = None) -> Any:
        """What the body returned, once it has, waiting at most *timeout* seconds; its exception is raised.

        Raises `TimeoutError` when it has not ended by then, `RunCancelled`, `RunTimedOut` or `RunLost` when that is
        how it ended, `NoResultError` when it never ran, or when this is a row of the history, of which only the
        text of a large result is kept (`result_text`).
        """
        if not self.wait(timeout):
            raise TimeoutError(f"The run of task {self.task!r} is still {self.state} after {timeout} seconds.")
        if self.state is RunState.SUCCEEDED and self._value is not NOTHING:
            return self._value
        if self.state is RunState.SUCCEEDED and self.result_is_json:
            return json.loads(self.result_text or "null")
        if self.state is RunState.FAILED and isinstance(self._value, BaseException):
            raise self._with_text(self._value)
        said = self.reason or self.error or "only the text of its result is kept"
        ending = _ENDINGS.get(self.state, NoResultError)(f"The run of task {self.task!r} {self.state}: {said}")
        if isinstance(ending, (RunTimedOut, RunLost)):
            ending.run_id = self.id  # the body of another run, in which it is raised, has just failed
        raise ending

    def cancel(self, reason: str = "cancelled", by: str | None = None) -> bool:
        """End it: at once if it has not started or waits for another attempt, else ask its body to stop.

        Coroutines, processes and shell commands are stopped; a body in a thread ends when it looks
        (`check_cancelled`, `is_cancelled`). A run in another process hears of it within about a second. False when the
        run had ended already. The journal keeps it; *by* is who does it, else the user of this process and its host.
        """
        if self.state.final:
            return False
        if self.holder is not None:
            return self.holder.cancel(self, self.mask(reason), by)
        return self.withdraw(reason)

    def add_done_callback(self, callback: Callable[[Run], object]) -> None:
        """Call *callback* with the run once it is final, in the thread that ends it; now, if it is.

        It must only hand over. One that raises is logged, and affects nothing else.
        """
        with self._lazy:
            self._waiters = [*(self._waiters or ()), callback]
        # Only now: who ends it looks for callbacks after the state has changed, so that one of the two sees the other.
        if self.state.final:
            self.ended()
        elif self.holder is not None:
            self.holder.awaited(self)

    def _forget_callback(self, callback: Callable[[Run], object]) -> None:
        """Whoever waited does not any more."""
        with self._lazy:
            if self._waiters is not None:
                self._waiters = [other for other in self._waiters if other is not callback] or None

    def __await__(self) -> Generator[Any, None, Any]:
        return self._outcome().__await__()

    async def _outcome(self) -> Any:
        import asyncio

        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def tell(_: Run) -> None:
            with contextlib.suppress(RuntimeError):  # that loop is closed: nobody waits any more
                loop.call_soon_threadsafe(lambda: None if ended.done() else ended.set_result(None))

        self.add_done_callback(tell)
        try:
            await ended
        finally:
            self._forget_callback(tell)
        return self.result(0)

    # For those who execute and record it.

    def to(self, state: RunState) -> None:
        """Move to *state*. Raises `TransitionError` where the diagram has no arrow: a bug of ours."""
        if state not in self.state.following:
            raise TransitionError(f"Run {self.id} of task {self.task!r} cannot go from {self.state} to {state}.")
        self.state = state

    def to_skipped(self, reason: str) -> None:
        """A guard refused it before it was recorded: it is born final."""
        self.state, self.reason, self.finished_at = RunState.SKIPPED, reason, self.queued_at
        self.forget_inputs()

    def also(self, moment: Moment) -> None:
        """One more skip, of the slot at *moment*, for the same reason."""
        self._count += 1
        self.last_at = moment

    def begin_attempt(self, now: Moment) -> None:
        """Another attempt starts."""
        self.attempt += 1
        self.attempt_started_at = now
        if self.attempt == 1:
            self.started_at = now
        else:
            self.error = self.traceback = None
            if self.asked == OUT_OF_TIME:
                self.asked = None

    def end_attempt(self, now: Moment) -> None:
        """The attempt has failed, and there will be another."""
        ended = Attempt(self.attempt, self.attempt_started_at, now, self.error, self.traceback)
        self._attempts = [*(self._attempts or ()), ended]

    def identify(self, key: str) -> None:
        """It is the run of that id."""
        self._id = key

    def stands_for(self, count: int) -> None:
        """It stands for so many skips or missed slots."""
        self._count = count

    def recall_attempts(self, attempts: list[Attempt]) -> None:
        """Attempts of before, in another process."""
        self._attempts = attempts or None

    def recall_log(self, log: RunLog) -> None:
        """The log as it was written elsewhere."""
        self._log = log

    def keep_value(self, value: Any) -> None:
        """Keep what the body returned, or the exception that it raised, for `result`."""
        self._value = value

    def peek_value(self, state: RunState | None = None) -> Any:
        """What the body returned, if it was kept; else None. *state* is the one that it is about to have."""
        succeeded = (state or self.state) is RunState.SUCCEEDED
        return self._value if succeeded and self._value is not NOTHING else None

    def keep_line(self, line: LogLine) -> None:
        """Keep a line of the log with the run, secrets masked, timed by the clock of its manager."""
        now = None if self.holder is None else self.holder.moment()
        if self.redactor is not None or now is not None:
            line = LogLine(now or line.at, line.level, line.logger, self.mask(line.message))
        if self._log is None:
            with self._lazy:
                if self._log is None:
                    self._log = RunLog()
        self._log.append(line)

    def mask(self, text: str) -> str:
        """*text* without secrets."""
        return text if self.redactor is None else self.redactor.text(text)

    def forget_inputs(self) -> None:
        """The run has ended: nobody needs its secret parameters, nor what its parents returned, any more."""
        self.inputs = None
        if self.redactor is not None and self.parameters is not None:
            self.parameters = self.masked

    def ended(self) -> None:
        """End what draws it, and wake those who wait for the final state."""
        if self.trace is not None:
            self.trace.end(self)
        if self._waiters is not None:
            with self._lazy:
                waiters, self._waiters = self._waiters, None
            for callback in waiters or ():
                try:
                    callback(self)
                except BaseException:  # who ends a run has more to do: others wait for its place
                    logger.exception("A callback that waited for the end of a run of task %r failed", self.task)

    def ask_to_stop(self, reason: str = "cancelled") -> None:
        """Ask the body to stop: a thread is told when it looks, what can really be stopped is."""
        self.asked = reason
        stopper = self.stopper
        if stopper is not None:
            stopper()

    def withdraw(self, reason: str) -> bool:
        """As `cancel`, for a reason that is nobody's: the journal is not told."""
        if self.state.final:
            return False
        reason = self.mask(reason)
        if self.holder is not None:
            return self.holder.withdraw(self, reason)
        self.ask_to_stop(reason)
        return True

    def for_history(self) -> Run:
        """The run as it is kept: itself, or where its value may be large, a copy without that."""
        value = self._value
        if value is NOTHING or value is None or isinstance(value, (bool, int, float)):
            return self
        row = Run.__new__(Run)
        self._id = self.id  # it is made when it is first asked for: both must have the same
        for name in _COPIED:
            setattr(row, name, getattr(self, name))
        row._value, row._waiters, row.stopper, row.timer, row.trace = NOTHING, None, None, None, None
        row.overrunning = False
        return row

    def _kept_artifacts(self) -> RunArtifacts | None:
        folder = None if self.holder is None else self.holder.artifact_folder
        return None if folder is None else RunArtifacts(folder, self.id, self.task)

    def _with_text(self, error: BaseException) -> BaseException:
        """The body's exception, with the text of its traceback as a note: its frames were not kept."""
        prefix = f"In the run of task {self.task!r}"
        notes = [note for note in getattr(error, "__notes__", ()) if isinstance(note, str)]
        others = [note for note in notes if not note.startswith(prefix)]
        # Past what its class makes of that: a frozen dataclass refuses.
        BaseException.__setattr__(error, "__notes__", [*others, f"{prefix}:\n{self.traceback}"])
        return BaseException.with_traceback(error, None)


_COPIED = tuple(name for name in RunFacts.__slots__ if name != "__weakref__")

_ENDINGS: dict[RunState, type[Exception]] = {
    RunState.CANCELLED: RunCancelled,
    RunState.TIMED_OUT: RunTimedOut,
    RunState.LOST: RunLost,
}
