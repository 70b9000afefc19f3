"""Where the bodies in other processes of this machine report: one address for all runs of this process."""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
import uuid
import weakref
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener
from typing import Any, ClassVar

from task.log import logger
from task.remote.messages import Message

__all__ = ["END", "STOP", "Hub", "Visit"]

#: Said to a body that has come, before all else. It waits for that: one that ended sooner would not be heard.
WELCOME: Message = ["welcome"]
#: Said to a body: it is to stop.
STOP: Message = ["stop"]
#: Said by either side: nothing follows. The body's side hangs up when it hears that.
END: Message = ["end"]

#: After a failure, so that one that lasts does not turn into a busy loop. Seconds.
PAUSE = 0.05


class Visit:
    """The connection of one body, once it comes."""

    def __init__(self) -> None:
        self.name = uuid.uuid4().hex
        #: Set when the body has come, or will not come any more.
        self.news = threading.Event()
        self.connection: Connection[Any, Any] | None = None
        self._said: list[Message] = []
        self._closed = False
        self._guard = threading.Lock()

    def enter(self, connection: Connection[Any, Any]) -> None:
        """The body has come."""
        with self._guard:
            if self._closed:
                connection.close()
                return
            self.connection = connection
            self._send(WELCOME)
            for message in self._said:
                self._send(message)
        self.news.set()

    def tell(self, message: Message) -> None:
        """Say something short to the body, now or when it comes; once is enough."""
        with self._guard:
            if message in self._said:
                return
            self._said.append(message)
            self._send(message)

    def _send(self, message: Message) -> None:
        if self.connection is not None:
            with contextlib.suppress(OSError):  # it has ended
                self.connection.send_bytes(pickle.dumps(message))

    def close(self) -> None:
        """The run has ended."""
        with self._guard:
            self._closed = True
            self._send(END)  # another process that was forked meanwhile may keep the connection open
            if self.connection is not None:
                self.connection.close()


class Hub:
    """Listens at a local address that only this user's processes with its key can enter."""

    _here: ClassVar[Hub | None] = None
    _making: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        self.key = os.urandom(32)
        self.process = os.getpid()
        self.listener = Listener(backlog=64, authkey=self.key)
        self._visits: weakref.WeakValueDictionary[str, Visit] = weakref.WeakValueDictionary()
        threading.Thread(target=self._serve, name="remote-hub", daemon=True).start()

    @classmethod
    def here(cls) -> Hub:
        """That of this process; a forked child makes its own."""
        with cls._making:
            if cls._here is None or cls._here.process != os.getpid():
                cls._here = cls()
            return cls._here

    def expect(self, visit: Visit) -> tuple[Any, bytes, str]:
        """Where the body of *visit* enters: the address, the key, and who it is."""
        self._visits[visit.name] = visit
        return self.listener.address, self.key, visit.name

    def _serve(self) -> None:
        while True:
            try:
                connection = self.listener.accept()
                visit = self._visits.get(connection.recv_bytes(64).decode("ascii", "replace"))
            except (OSError, EOFError, AuthenticationError) as error:
                logger.warning("A process could not report to its run: %s", error)
                threading.Event().wait(PAUSE)
                continue
            if visit is None:
                connection.close()
            else:
                visit.enter(connection)
            del connection, visit


def _after_fork() -> None:
    Hub._making = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
