"""The first code of a process that is made for one run. Its parent is `task.remote.process`."""

from __future__ import annotations

import contextlib
import multiprocessing.process
import multiprocessing.spawn
import os
import pickle
import signal
import threading
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

from task.errors import TransferError
from task.remote.encoding import encode_error, is_error, one_line
from task.remote.entry import run_call
from task.remote.messages import Message, StandIn

__all__ = ["serve"]

#: How often a child looks whether its parent still lives, should the end of the connection not tell. Seconds.
LOOK = 1.0
#: How often it is interrupted, once it was told to stop, until it has heard of it. Seconds.
AGAIN = 0.1
#: The exit code after SIGTERM, as shells have it.
TERMINATED = 128 + signal.SIGTERM


class _Child:
    """This process: its connection to the parent, and the run that it was made for."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self.connection = connection
        self.process = os.getpid()
        self.parent = os.getppid()
        self.run: StandIn | None = None
        #: Whether it was told to end; then what the body raises is no outcome of its own.
        self.asked = False
        self._open = True
        self._sending = threading.Lock()

    def send(self, message: Message) -> None:
        """Take a message to the parent; nothing goes after the outcome."""
        content = pickle.dumps(message)
        with self._sending, contextlib.suppress(OSError):  # the parent has gone: the watch ends this process
            if self._open and os.getpid() == self.process:
                self.connection.send_bytes(content)

    def finish(self, outcome: bytes) -> None:
        """Send the outcome."""
        self.send(["outcome", outcome])
        self._open = False

    def began(self, run: StandIn) -> None:
        """The body starts: a signal asks it to stop from now on."""
        self.run = run

    def watch(self) -> None:
        """End this process, and all that it started, when its parent has died; and see that it is told to stop."""
        told = False
        with contextlib.suppress(OSError, EOFError):
            while os.getppid() == self.parent:
                if self.connection.poll(AGAIN if told and not self.asked else LOOK):
                    self.connection.recv_bytes()  # the one thing that is said to it: stop
                    told = True
                if told:
                    self._interrupt()
        if os.name == "posix":
            os.killpg(os.getpgrp(), signal.SIGKILL)  # the parent made it a session of its own
        os._exit(1)

    def _interrupt(self) -> None:
        """Send the signal again, if nobody has heard the parent's.

        One that comes in the moment in which the main thread goes to sleep, or that another thread gets, does not wake
        it.
        """
        main = threading.main_thread().ident
        if not self.asked and main is not None and signal.getsignal(signal.SIGTERM) == self.terminated:
            signal.pthread_kill(main, signal.SIGTERM)

    def terminated(self, number: int, _: FrameType | None) -> None:
        """SIGTERM: the run is to stop. A coroutine is cancelled; a plain body is left by `SystemExit`."""
        if os.getpid() != self.process:  # a process that the body has forked: it ends as it would have
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if self.asked:
            return
        self.asked = True
        if self.run is not None:
            self.run.ask_to_stop()
        if self.run is None or self.run.stopper is None:
            raise SystemExit(TERMINATED)


def serve(connection: Connection[Any, Any]) -> None:
    """Prepare this process as `multiprocessing` does, run the body, send its outcome."""
    child = _Child(connection)
    if os.name == "posix":
        signal.signal(signal.SIGTERM, child.terminated)
    try:
        preparation, call = pickle.loads(connection.recv_bytes())
    except (EOFError, OSError):
        os._exit(1)
    threading.Thread(target=child.watch, name="task-parent-watch", daemon=True).start()
    try:
        _prepare(preparation)
    except Exception as error:
        child.finish(_unprepared(call, error))
        return
    outcome = run_call(call, child.send, begun=child.began)
    if os.getpid() != child.process:
        os._exit(0)  # the body has forked, and this is its child: the outcome is the other's
    if child.asked and is_error(outcome):
        raise SystemExit(TERMINATED)
    child.finish(outcome)


def _prepare(preparation: dict[str, Any]) -> None:
    """As `multiprocessing` does it, which refuses to start processes while the main module is imported."""
    current: Any = multiprocessing.process.current_process()
    current._inheriting = True
    try:
        multiprocessing.spawn.prepare(preparation)
    finally:
        del current._inheriting


def _unprepared(call: bytes, error: Exception) -> bytes:
    name = pickle.loads(call)[0]["task"]
    problem = TransferError(
        f"Task {name!r}: the main module of the program cannot be imported in another process "
        f"({one_line(error)}). Put what the program does under "
        "'if __name__ == \"__main__\":'."
    )
    return encode_error(name, problem.with_traceback(error.__traceback__), pickle.dumps)
