"""The logger ``task``, guarded: a handler of the application that raises must not stop a worker or the loop."""

from __future__ import annotations

import logging
import sys
import threading
import traceback

__all__ = ["logger"]

_logger = logging.getLogger("task")


class _GuardedLogger:
    """Logs as the logger ``task`` does; what a handler or a filter raises is printed to stderr instead."""

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
        if not _logger.isEnabledFor(level):
            return
        try:
            _logger.log(level, message, *values, exc_info=with_traceback, stacklevel=3)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise  # Ctrl-C, which came while the line was written: it is for the program
            if sys.stderr is not None:
                traceback.print_exc()


logger = _GuardedLogger()
