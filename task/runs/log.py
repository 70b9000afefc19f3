"""The log of a run: what was logged while it was under way, bounded, and the application's own logging untouched.

No handler is added anywhere: the lines are taken where `logging` makes its records, and go their way as without us.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

from task.log import logger, printable
from task.runs.context import peek_current_run

if TYPE_CHECKING:
    from task.runs.run import Run

__all__ = ["LogLine", "RunLog", "capture_logs", "release_logs", "run_logger"]

#: How much of a run's log is kept: lines, characters of all of them, characters of one.
LINES = 1_000
CHARACTERS = 64_000
LINE = 4_000
#: How much of the name of a logger is kept. Characters.
NAME = 200
#: How much of the log is for its beginning: one part in so many.
_HEAD = 5
#: How many frames of a traceback are kept: the innermost ones.
_FRAMES = 20

#: Named once, whatever the number of runs: `logging` never forgets a logger.
_run_logger = logging.getLogger("task.run")
#: Our own lines about runs, and those that `run_logger` keeps by itself.
_NOT_TAKEN = frozenset({"task", "task.run"})


@dataclasses.dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a run's log. Its text may have several lines: a traceback, say.

    As ``str`` it is one line, in which nothing steers a terminal.

    >>> moment = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)
    >>> print(LogLine(moment, logging.INFO, "app", "12 rows"))
    2026-05-04T12:00:00.000+00:00 INFO app: 12 rows
    """

    #: When it was logged (aware UTC).
    at: datetime.datetime
    #: The level as `logging` counts: 20 is INFO.
    level: int
    #: The name of the logger.
    logger: str
    #: The text, formatted.
    message: str

    def as_dict(self) -> dict[str, Any]:
        """The line as JSON-ready values; the time in ISO 8601 with offset, the level by its name."""
        return {
            "at": self.at.isoformat(),
            "level": logging.getLevelName(self.level),
            "logger": self.logger,
            "message": self.message,
        }

    def __str__(self) -> str:
        text = " ↵ ".join(printable(line.expandtabs(4)) for line in self.message.splitlines())
        moment, level = self.at.isoformat(timespec="milliseconds"), logging.getLevelName(self.level)
        return f"{moment} {level} {printable(self.logger)}: {text}"


# One lock for all logs: a run is cheap to make, and a forked child gets a lock that nobody holds. It may be taken
# again by its holder: a collected object that logs in its __del__ can come in between.
_lock = threading.RLock()


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class RunLog:
    """How a run's log began, and how it goes on: the first fifth and the newest rest of `LINES` and `CHARACTERS`.

    >>> log = RunLog()
    >>> log.append(LogLine(datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC), 20, "app", "12 rows"))
    >>> len(log.lines()), log.dropped
    (1, 0)
    """

    __slots__ = ("_dropped", "_head", "_open", "_size", "_tail")

    def __init__(self) -> None:
        self._head: list[LogLine] = []
        self._tail: collections.deque[LogLine] = collections.deque()
        self._open = True  # the head still takes lines
        self._size = 0
        self._dropped = 0

    @classmethod
    def of(cls, lines: Iterable[LogLine], dropped: int) -> RunLog:
        """The log with these lines, of which so many more were dropped."""
        log = cls()
        for line in lines:
            log.append(line)
        log._dropped += dropped
        return log

    @property
    def dropped(self) -> int:
        """How many lines were dropped to stay within the bounds: between the beginning and the newest."""
        return self._dropped

    @property
    def head(self) -> int:
        """After how many of the lines those are missing that were dropped."""
        return len(self._head)

    def append(self, line: LogLine) -> None:
        """Keep a line; one that is too long is cut in its middle, and says so."""
        if len(line.message) > LINE or len(line.logger) > NAME:
            line = dataclasses.replace(line, logger=line.logger[:NAME], message=_cut(line.message))
        size = _size_of(line)
        with _lock:
            if self._open:
                self._open = len(self._head) < LINES // _HEAD and self._size + size <= CHARACTERS // _HEAD
            (self._head if self._open else self._tail).append(line)
            self._size += size
            while self._size > CHARACTERS or len(self._head) + len(self._tail) > LINES:
                self._size -= _size_of(self._tail.popleft())
                self._dropped += 1

    def lines(self) -> list[LogLine]:
        """The lines that are kept, oldest first."""
        with _lock:
            return [*self._head, *self._tail]


def _size_of(line: LogLine) -> int:
    return len(line.message) + len(line.logger)


def _cut(text: str) -> str:
    """At most `LINE` characters of a text: its beginning and its end, where an exception says what it is."""
    if len(text) <= LINE:
        return text
    mark = f" … [{len(text) - LINE + 50} characters cut] … "
    half = (LINE - 50) // 2
    return text[:half] + mark + text[-half:]


class _Busy(threading.local):
    """Whether this thread is making a line now: what the text of an argument logs is not kept."""

    now = False


_busy = _Busy()


def _keep(run: Run, record: logging.LogRecord) -> None:
    """Keep with *run* what *record* says; nothing of it reaches the body that logs."""
    if _busy.now:
        return
    _busy.now = True
    try:
        run.keep_line(_line_of(record))
    except Exception:  # the body only wanted to log
        logger.exception("A line that task %r logged could not be kept with its run.", run.task)
    finally:
        _busy.now = False


def _line_of(record: logging.LogRecord) -> LogLine:
    """What *record* says, as text alone: no argument, exception or frame lives on in it."""
    moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    return LogLine(moment, int(record.levelno), _plain(record.name), _message_of(record))


def _message_of(record: logging.LogRecord) -> str:
    # Nothing is cut here: secrets are masked first, and half a secret would not be known.
    try:
        message = _plain(record.getMessage())
    except Exception as error:  # of the arguments' own __str__, or a format that they do not fit
        place = f"{record.pathname}:{record.lineno}"
        message = f"(the text of this line could not be made: {_text_of(error)}; it is logged at {place})"
    if not isinstance(record.exc_info, tuple) or record.exc_info[1] is None:
        return message
    try:
        return f"{message}\n{''.join(traceback.format_exception(*record.exc_info, limit=-_FRAMES)).rstrip()}"
    except Exception as error:
        return f"{message}\n({type(record.exc_info[1]).__name__}; its traceback could not be made: {_text_of(error)})"


def _plain(text: object) -> str:
    """A plain text; a subclass of ``str`` could keep anything alive."""
    return str.__str__(text) if isinstance(text, str) else str.__str__(str(text))


def _text_of(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {_plain(str(error))}"
    except Exception:
        return type(error).__name__


class _TakingFactory:
    """Makes log records as the factory before it did, and takes the text of those made inside a run."""

    def __init__(self, before: Callable[..., logging.LogRecord]) -> None:
        self.before = before
        #: Set by each record: tells whether a factory that was set after this one asks it.
        self.asked = False

    def __call__(self, *values: Any, **named: Any) -> logging.LogRecord:
        record = self.before(*values, **named)
        self.asked = True
        run = peek_current_run()
        # Without a name it is from makeLogRecord: a copy of one that was logged elsewhere.
        if run is not None and (name := getattr(record, "name", None)) is not None and name not in _NOT_TAKEN:
            _keep(run, record)
        return record


_installed: _TakingFactory | None = None


def capture_logs() -> None:
    """From now on, keep what any logger says inside a run, at its effective level, with that run.

    Harmless to repeat. A record factory that the application set before is asked as before; one that it set
    later without asking ours is built upon anew.

    >>> capture_logs()
    >>> release_logs()
    """
    global _installed
    if _installed is not None and _is_asked(_installed):
        return
    _installed = _TakingFactory(logging.getLogRecordFactory())
    logging.setLogRecordFactory(_installed)


def _is_asked(factory: _TakingFactory) -> bool:
    if logging.getLogRecordFactory() is factory:
        return True
    factory.asked = False
    try:
        logging.makeLogRecord({})
    except Exception:  # the application's factory, which raises where its own lines would
        logger.exception("The log record factory of the application raised.")
    return factory.asked


def release_logs() -> None:
    """Give `logging` back the record factory from before `capture_logs`, if ours is still the one in use."""
    global _installed
    while isinstance(factory := logging.getLogRecordFactory(), _TakingFactory):
        logging.setLogRecordFactory(factory.before)
        _installed = None


class _RunLogger(logging.LoggerAdapter[logging.Logger]):
    """The logger ``task.run``, bound to one run: from INFO on, that run keeps what it says in any case."""

    def __init__(self, run: Run) -> None:
        super().__init__(_run_logger)
        self._run = run

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        """Whether a line at *level* is kept with the run, or goes to a handler."""
        return level >= logging.INFO or self.logger.isEnabledFor(level)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """The line as it was said: the caller's ``extra`` stays."""
        return msg, kwargs

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Keep the line with the run, and say it to the handlers if ``task.run`` is enabled for *level*."""
        if not self.isEnabledFor(level):
            return
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1  # the line is the caller's, not this one's
        file, line, *rest = self.logger.findCaller(bool(kwargs.get("stack_info")), kwargs["stacklevel"])
        error = _exception_of(kwargs.get("exc_info"))
        make = logging.getLogRecordFactory()  # the application's: it may format in its own way
        record = make(self.logger.name, level, file, line, msg, args, error, *rest)
        _keep(self._run, record)
        if self._run.redactor is None:
            self.logger.log(level, msg, *args, **kwargs)
        else:  # as a whole and masked: a handler that made the text itself would write the secrets
            kwargs.pop("exc_info", None)
            self.logger.log(level, self._run.mask(_message_of(record)), **kwargs)


def _exception_of(given: Any) -> Any:
    """What ``exc_info=`` stands for, as `logging` reads it."""
    if isinstance(given, BaseException):
        return type(given), given, given.__traceback__
    return sys.exc_info() if given and not isinstance(given, tuple) else given


def run_logger(run: Run) -> logging.LoggerAdapter[logging.Logger]:
    """What ``run.logger`` is: lines from INFO on are kept with *run*, whatever the thread and the application's level.

    To the application's handlers they go as the lines of the logger ``task.run``, exactly if that is enabled
    for their level, secrets masked. Lines at DEBUG are kept if ``task.run`` is enabled for DEBUG.
    """
    return _RunLogger(run)
