"""A process for each run: it can be killed, and takes nobody with it when it dies.

It is a new interpreter, prepared as `multiprocessing` prepares a spawned one. For a body of the main module, that is
imported there under another name: such a script does its work under ``if __name__ == "__main__":``. The process is a
session of its own, so that what the body starts dies with it, and a Ctrl-C in the terminal is the parent's alone.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import multiprocessing.spawn
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

from task.errors import ProcessDiedError, RunCancelled
from task.remote.encoding import BodyReference, decode_outcome, encode_call, is_error
from task.remote.messages import apply_message
from task.runs import Run, peek_current_run

__all__ = ["ProcessBody"]

#: How long a process has to end, once it was asked to or has sent its outcome, before it is killed. Seconds.
GRACE = 5.0
#: The same for all of them together when the interpreter exits. Seconds.
EXIT_GRACE = 1.0
#: How often it is looked whether the process lives, should the end of the connection not tell. Seconds.
LOOK = 0.2

_PROGRAM = (
    "import sys; from multiprocessing.connection import {kind} as C; connection = C({handle}); "
    "sys.path[:] = connection.recv(); from task.remote.child import serve; serve(connection)"
)


class ProcessBody:
    """Called in place of a body, it runs that in a process of its own, and returns or raises what came of it.

    The run's progress, log and place come from there. Cancelling the run ends the process and all that it
    started: SIGTERM (a plain body is left by `SystemExit`, a coroutine is cancelled), and after 5 s SIGKILL.
    Raises `ProcessDiedError` when the process ends before the body, `RunCancelled` when it was stopped,
    `TransferError` for what cannot be sent.
    """

    def __init__(self, reference: BodyReference) -> None:
        self.reference = reference

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name, run = self.reference.name, peek_current_run()
        call = encode_call(self.reference, run, args, kwargs)
        child, outcome = _Child(name, call), None
        try:
            if run is not None:
                run.stopper = child.stop
                if run.is_cancelled():
                    child.stop()
            child.send()
            outcome = child.receive(run)
            child.wait()
        finally:
            child.end()
            if run is not None:
                run.stopper = None
        if child.stopped and (outcome is None or is_error(outcome)):
            raise RunCancelled(f"The process of task {name!r} was stopped: its run was cancelled.")
        if outcome is None:
            raise ProcessDiedError(_obituary(name, child.process.returncode))
        return decode_outcome(name, outcome)

    def __repr__(self) -> str:
        return f"ProcessBody({self.reference.name!r})"


class _Child:
    """One process, from its start to its end; `stop` may be called from any thread."""

    def __init__(self, name: str, call: bytes) -> None:
        self.call = call
        self.preparation = multiprocessing.spawn.get_preparation_data(f"task {name}")
        # Plain bytes may travel; the key itself goes to multiprocessing's own processes only.
        self.preparation["authkey"] = bytes(self.preparation["authkey"])
        del self.preparation["dir"]  # it starts where this process is now
        if b"__main__" not in call:  # nothing of the main module is needed: spare it being run again
            self.preparation.pop("init_main_from_path", None)
            self.preparation.pop("init_main_from_name", None)
        self.connection, there = multiprocessing.Pipe()
        self.owner = os.getpid()
        self.stopped = False
        self._killer: threading.Timer | None = None
        self._guard = threading.Lock()
        with contextlib.closing(there):
            self.process = _start(there)
        _alive.add(self)

    def send(self) -> None:
        """Give it what it is to do. A process that is dead already is found out by `receive`."""
        with contextlib.suppress(OSError):
            self.connection.send(self.preparation.pop("sys_path"))
            self.connection.send_bytes(pickle.dumps((self.preparation, self.call)))

    def receive(self, run: Run | None) -> bytes | None:
        """Its outcome, once it comes; None when the process ended without. Its other messages go to the run."""
        told = False
        while True:
            if self.stopped and not told:
                told = True
                with contextlib.suppress(OSError):  # it has ended
                    self.connection.send_bytes(pickle.dumps(["stop"]))  # its main thread may sleep through the signal
            if not self.connection.poll(LOOK):
                # A process that it has started may keep the connection open.
                if self.process.poll() is not None and not self.connection.poll():
                    return None
                continue
            try:
                message = pickle.loads(self.connection.recv_bytes())
            except (EOFError, OSError):
                return None
            if message[0] == "outcome":
                outcome: bytes = message[1]
                return outcome
            apply_message(run, message)

    def stop(self) -> None:
        """End it: asked now, killed in 5 s. Returns at once."""
        with self._guard:
            if self.stopped or self.process.returncode is not None:
                return
            self.stopped = True
            self._killer = threading.Timer(GRACE, self.kill)
            self._killer.name, self._killer.daemon = "task-process-kill", True
            try:
                self._killer.start()
            except RuntimeError:  # no thread can be started: there is nobody to wait
                self.kill()
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now, with all that it started."""
        self.signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)

    def signal(self, number: int) -> None:
        """Send a signal to the process and all that it started."""
        with contextlib.suppress(OSError):  # it has gone
            if os.name == "posix":
                os.killpg(self.process.pid, number)
            else:
                self.process.terminate()

    def wait(self) -> None:
        """Give it 5 s to end by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE)

    def end(self) -> None:
        """Nothing of it is left afterwards, nor of what it has started."""
        self.kill()
        self.process.wait()
        with self._guard:
            if self._killer is not None:
                self._killer.cancel()
        self.connection.close()
        _alive.discard(self)


#: The processes that have not ended.
_alive: set[_Child] = set()


def _start(connection: Connection[Any, Any]) -> subprocess.Popen[bytes]:
    handle = connection.fileno()
    command = multiprocessing.spawn.get_command_line()  # with the options of this interpreter
    command[command.index("-c") + 1] = _PROGRAM.format(kind=type(connection).__name__, handle=handle)
    if sys.platform != "win32":
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[handle], start_new_session=True)
    os.set_handle_inheritable(handle, True)
    information = subprocess.STARTUPINFO(lpAttributeList={"handle_list": [handle]})
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, startupinfo=information)


def _obituary(name: str, code: int | None) -> str:
    number = signal.SIGTERM if code == 128 + signal.SIGTERM else -(code or 0)  # the child turns SIGTERM into that
    if number > 0:
        known = {each.value for each in signal.Signals}
        cause = f"was killed by {signal.Signals(number).name if number in known else f'signal {number}'}"
    else:
        cause = f"ended with exit code {code}"
    return (
        f"Task {name!r}: its process {cause} before its body had ended. Look for a crash in native code, a lack of "
        "memory, or a call of os._exit."
    )


def _end_all() -> None:
    """At the exit of the interpreter: no process is left behind, and none is waited for for long."""
    mine = os.getpid()
    children = [child for child in list(_alive) if child.owner == mine]  # not those of a process it was forked from
    for child in children:
        child.signal(signal.SIGTERM)
    deadline = time.monotonic() + EXIT_GRACE
    while time.monotonic() < deadline and any(child.process.poll() is None for child in children):
        time.sleep(0.01)
    for child in children:
        child.kill()


atexit.register(_end_all)
