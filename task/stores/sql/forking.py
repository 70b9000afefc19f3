"""``Gate``: keeps the threads of a process out of a database's library while the process is forked.

What a thread has locked inside of a library stays locked in the child, where that thread is not. And SQLite knows the
locks of a file by the process: a child that inherits an open connection, even an idle one, believes that its own
connections to that file are locked as the parent's are. They are not, and what it writes can be lost. So the
connections to a file are closed before the fork; each side opens its own again.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

__all__ = ["Gate"]


class Gate:
    """Threads go in and out; `close` waits until none is inside, and keeps them out until `open`."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._inside = 0
        self._closed = False
        self._mine = threading.local()

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Go in, and out again. Who is inside already may do so while it is closed."""
        depth: int = getattr(self._mine, "depth", 0)
        if not depth:
            with self._changed:
                self._changed.wait_for(lambda: not self._closed)
                self._inside += 1
        self._mine.depth = depth + 1
        try:
            yield
        finally:
            self._mine.depth = depth
            if not depth:
                with self._changed:
                    self._inside -= 1
                    self._changed.notify_all()

    def close(self, patience: float) -> bool:
        """Keep others out; whether nobody is inside, this thread included, after that many seconds at most."""
        with self._changed:
            self._closed = True
            if getattr(self._mine, "depth", 0):
                return False
            return self._changed.wait_for(lambda: not self._inside, patience)

    def open(self) -> None:
        """Let them in again."""
        with self._changed:
            self._closed = False
            self._changed.notify_all()
