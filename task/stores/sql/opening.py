"""Who opens a SQLite file, and who moves it aside: one after the other.

SQLite knows a file by its descriptor, and the journal beside it by its name. Who has opened a file that is then moved,
and reads it only after somebody has begun a new one in its place, finds the new one's journal, and rolls the old file
back by it: what was put aside is empty then.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import threading
import time
from collections.abc import Iterator

from task.clock import SystemClock

__all__ = ["alone"]

_monotonic = SystemClock().monotonic

#: How often it is looked whether another has opened it. Seconds.
LOOKING_AGAIN = 0.005


class _Held(threading.local):
    """The folders that a thread has for itself."""

    def __init__(self) -> None:
        self.folders: set[pathlib.Path] = set()


_held = _Held()


@contextlib.contextmanager
def alone(path: pathlib.Path, timeout: float) -> Iterator[None]:
    """One thread of all processes at a time, where the system has such locks: on the folder, so that no file is left.

    Raises `TimeoutError` after so many seconds. Inside itself it does nothing.
    """
    folder = path.parent
    if folder in _held.folders:
        yield
        return
    with _locked(folder, timeout):
        _held.folders.add(folder)
        try:
            yield
        finally:
            _held.folders.discard(folder)


@contextlib.contextmanager
def _locked(folder: pathlib.Path, timeout: float) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # Windows: renaming a file that another process has open is refused there anyway
        yield
        return
    try:
        opened = os.open(folder, os.O_RDONLY)
    except OSError:  # then there is no file either: whoever opens that tells it better
        yield
        return
    deadline = _monotonic() + timeout
    try:
        while True:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if _monotonic() > deadline:
                    raise TimeoutError(f"another process has not finished opening it in {timeout:g} seconds") from None
                time.sleep(LOOKING_AGAIN)
            except OSError:  # a file system without such locks
                break
        yield
    finally:
        os.close(opened)
