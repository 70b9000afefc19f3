"""The processes of one command: they start together, and none of them is left behind.

A command gets a session of its own, so that one signal reaches all that it starts. What leaves the session
still carries the mark that the command has in its environment; on Linux it is found by that.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from task.clock import SystemClock
from task.errors import RunCancelled

if TYPE_CHECKING:
    import subprocess

__all__ = ["MARKS", "Group"]

#: The environment variable with the marks of the commands that a process belongs to: the innermost is the last.
MARKS = "TASK_SHELL_MARKS"
#: How long killed processes are waited for; and those that cannot be, another user's, which may end by themselves.
DYING = 5.0
STRANGERS = 0.5
#: How long commands have to end by themselves when the interpreter exits. Seconds.
EXIT_GRACE = 0.3
#: How long commands that are just being started are waited for then. Seconds.
STARTING = 5.0
#: How often `Group.others` looks for processes that were not there the time before.
_ROUNDS = 5

_clock = SystemClock()
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has one way to end a process


class Group:
    """A command that was started, and all that it starts."""

    def __init__(self, process: subprocess.Popen[bytes], mark: str, kill_after: float) -> None:
        self.process = process
        #: Why it was told to stop: "cancelled" or "timed out"; None as long as it was not.
        self.stopped: str | None = None
        #: When it is killed (monotonic); None as long as it was not told to stop.
        self.kill_at: float | None = None
        #: Another part of the program has taken the exit code, and with it our claim to the process's number.
        self.robbed = False
        self._mark = mark.encode()
        self._kill_after = kill_after
        self._ended = False
        #: Who was asked to end beside the command's session.
        self._asked: set[int] = set()
        self._changing = threading.RLock()

    @classmethod
    def start(
        cls,
        command: str | Sequence[Any],
        environment: Mapping[str, Any],
        kill_after: float,
        **options: Any,
    ) -> Group:
        """Start a command in a session of its own. Raises what `subprocess.Popen` does."""
        import subprocess  # a program without commands never loads it

        mark = os.urandom(16).hex()
        marks = f"{environment.get(MARKS, '')} {mark}".strip()
        with _starting():
            process = subprocess.Popen(
                command,
                env={**environment, MARKS: marks},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
                **options,
            )
            group = cls(process, mark, kill_after)
            _live.add(group)
        return group

    def stop(self, reason: str) -> None:
        """Ask all to end (SIGTERM); whoever attends to them kills them at `kill_at`. Returns at once, never raises."""
        with self._changing:
            if self.stopped is None and not self.has_ended():
                self.stopped, self.kill_at = reason, _clock.monotonic() + self._kill_after
                self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End all that is in the command's session, at once."""
        with self._changing:
            self._send(_KILL)

    def has_ended(self) -> bool:
        """Whether the command itself has ended. It keeps its number until `reap`, so that no stranger gets it."""
        with self._changing:
            if self._ended or self.robbed:
                return True
            if not hasattr(os, "waitid"):
                return self.process.poll() is not None
            try:
                return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
            except ChildProcessError:
                self.robbed = True
                return True

    def others(self) -> list[int]:
        """The numbers of the processes that belong to it and live; always empty where there is no ``/proc``."""
        session = None if self._ended or self.robbed else self.process.pid
        found: list[int] = []
        asked: set[int] = set()
        for _ in range(_ROUNDS):  # a process may start another and end, while this looks
            numbers = _processes() - asked
            if not numbers:
                break
            for number in sorted(numbers):
                belongs = _belongs(number, session, self._mark)
                if belongs is not None:
                    asked.add(number)
                if belongs:
                    found.append(number)
        return found

    def stopping(self) -> bool:
        """Whether some have still to end after `stop`; those that have left the session are asked to, once each."""
        found = self.others()
        for number in found:
            with contextlib.suppress(OSError):  # gone meanwhile, or another user's
                if number not in self._asked and os.getsid(number) != self.process.pid:
                    os.kill(number, signal.SIGTERM)
            self._asked.add(number)
        return bool(found)

    def end(self) -> tuple[list[int], list[int]]:
        """Kill what is left, inside the session and outside; who was left, and who still lives."""
        left = found = self.others()
        self.kill()
        begun = _clock.monotonic()
        while found:
            patience = STRANGERS
            for number in found:
                with contextlib.suppress(OSError):  # gone meanwhile, or another user's: it is named then
                    os.kill(number, _KILL)
                    patience = DYING
            threading.Event().wait(0.005)
            found = self.others()
            left = left + [number for number in found if number not in left]
            if _clock.monotonic() > begun + patience:
                break
        return left, found

    def reap(self) -> int | None:
        """The exit code, minus the signal's number for one that was ended by a signal; None if it is not known."""
        with self._changing:
            code = self.process.wait() if self.has_ended() else None
            self._ended = True
            _live.discard(self)
            return None if self.robbed else code

    def _send(self, number: signal.Signals) -> None:
        if self._ended or self.robbed:
            return
        with contextlib.suppress(OSError):  # all gone, or another user's (sudo): they are named at the end
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, number)
            else:
                self.process.terminate()


def _processes() -> set[int]:
    """The numbers of all processes; none where there is no ``/proc``."""
    try:
        return {int(name) for name in os.listdir("/proc") if name.isdigit()}
    except OSError:
        return set()


def _belongs(number: int, session: int | None, mark: bytes) -> bool | None:
    """Whether a process lives and is of *session*, or has *mark* in its environment; None: it has none just now."""
    try:
        with open(f"/proc/{number}/stat", "rb") as file:
            state, parent, _, its_session = file.read().rpartition(b")")[2].split()[:4]
        if state in (b"Z", b"X") or parent == b"2":  # ended; a thread of the kernel
            return False
        if int(its_session) == session:
            return True
        with open(f"/proc/{number}/environ", "rb") as file:
            environment = file.read()
        return mark in environment if environment else None  # it may be about to become another program
    except (OSError, ValueError):  # it has just ended, or is another user's
        return False


#: What has been started and not reaped in this process.
_live: set[Group] = set()
_exiting = False
#: How many are being started: they may live already, and are not among `_live` yet.
_births = 0
_changed = threading.Condition()


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """Within it, a command is started. Raises `RunCancelled` when the interpreter exits: nobody would end it."""
    global _births
    with _changed:
        if _exiting:
            raise RunCancelled("The interpreter is exiting: no command is started any more.")
        _births += 1
    try:
        yield
    finally:
        with _changed:
            _births -= 1
            _changed.notify_all()


def _end_all() -> None:
    """The interpreter exits, and the threads that attend to commands with it: nobody else would end them."""
    global _exiting
    with _changed:
        _exiting = True
        _changed.wait_for(lambda: not _births, STARTING)
    for group in list(_live):
        group.stop("cancelled")
    until = _clock.monotonic() + EXIT_GRACE
    while any(not group.has_ended() for group in list(_live)) and _clock.monotonic() < until:
        threading.Event().wait(0.01)
    for group in list(_live):
        group.end()


# Registered when this is imported, and so called after what is registered later: managers are stopped
# first, and give the bodies their time.
atexit.register(_end_all)


def _after_fork() -> None:
    global _births, _changed
    _live.clear()  # they are the parent's
    _births, _changed = 0, threading.Condition()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
