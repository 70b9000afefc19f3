"""The logger ``task``, guarded: a handler of the application that raises must not stop a worker or the loop."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import traceback
from collections.abc import Iterator

__all__ = ["logger", "printable", "silent"]

_logger = logging.getLogger("task")

#: Those of other scripts, which `str.isprintable` takes for something else.
_SPACES = frozenset("\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000")


def printable(text: str) -> str:
    r"""A text of somebody's in one line that a terminal shows and does not obey: the rest as escapes.

    What is escaped is all that `str.isprintable` is not, but for spaces of any kind: control characters (ESC, BEL,
    newlines, C1), marks that turn the direction of writing, characters without width, halves of characters.

    >>> print(printable("red: \x1b[31m, evil: \u202efdp.exe, two\nlines"))
    red: \x1b[31m, evil: \u202efdp.exe, two\nlines
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in _SPACES else one.encode("unicode_escape").decode("ascii") for one in text
    )


def _indented(text: str) -> str:
    """In a record all lines but the first are indented: none can be taken for another record."""
    lines = [printable(line.expandtabs(4)) for line in text.splitlines()]
    return "\n    ".join([*lines, ""] if text.endswith("\n") else lines)


#: What holds for the present thread alone.
_here = threading.local()


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """In it, nothing is logged from this thread: what happens in a simulation is no news.

    >>> with silent():
    ...     logger.error("The task failed")
    """
    before, _here.silent = getattr(_here, "silent", False), True
    try:
        yield
    finally:
        _here.silent = before


class _GuardedLogger:
    """Logs as the logger ``task`` does; what a handler or a filter raises is printed to stderr instead.

    What people have written (names, notes, exceptions) comes as a value, never in the message, and forges no record.
    """

    def info(self, message: str, *values: object) -> None:
        """Something that a person may want to know."""
        self._say(logging.INFO, message, values)

    def warning(self, message: str, *values: object) -> None:
        """Something that a person should mend."""
        self._say(logging.WARNING, message, values)

    def error(self, message: str, *values: object) -> None:
        """Something failed."""
        self._say(logging.ERROR, message, values)

    def exception(self, message: str, *values: object) -> None:
        """Something failed, with the traceback of the exception being handled."""
        self._say(logging.ERROR, message, values, with_traceback=True)

    def _say(self, level: int, message: str, values: tuple[object, ...], with_traceback: bool = False) -> None:
        if not _logger.isEnabledFor(level) or getattr(_here, "silent", False):
            return
        try:
            told = tuple(_indented(str(one)) if isinstance(one, (str, BaseException)) else one for one in values)
            error = sys.exc_info() if with_traceback else None
            file, line, function, _ = _logger.findCaller(stacklevel=3)
            message = message.replace("\n", "\n    ")
            record = _logger.makeRecord(_logger.name, level, file, line, message, told, error, function)
            if with_traceback:  # as a formatter makes it, unless it finds that it was made
                record.exc_text = f"    {_indented(traceback.format_exc().rstrip())}"
            _logger.handle(record)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise  # Ctrl-C, which came while the line was written: it is for the program
            if sys.stderr is not None:
                traceback.print_exc()


logger = _GuardedLogger()
