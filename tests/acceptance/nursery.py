"""Processes that are forks of one that has imported all they need: to start one then costs no second of imports.

Run as a program, this file is that one: what it gets over its socket, it hands to `ledger_program.main` in a fork.
"""

from __future__ import annotations

import array
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import IO

#: How large the arguments of a program may be.
LARGEST = 150_000


class Forked:
    """A process that somebody else has started, as `subprocess.Popen` shows one."""

    def __init__(self, pid: int, stdin: IO[str], stdout: IO[str]) -> None:
        self.pid = pid
        self.stdin: IO[str] | None = stdin
        self.stdout: IO[str] | None = stdout

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, negative for a signal; its parent leaves it for us to read."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            if fields[0] == "Z":
                return os.waitstatus_to_exitcode(int(fields[-1]))
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            time.sleep(0.01)


class Nursery:
    """Starts programs of ledger_program.py, until it is closed."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, __file__, str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], env=environment, start_new_session=True
            )

    def start(self, argument: str, errors: pathlib.Path) -> Forked:
        """A program with that argument; *errors* gets its standard error."""
        (stdin, to_stdin), (from_stdout, stdout) = os.pipe(), os.pipe()
        with errors.open("wb") as stderr:
            socket.send_fds(self._socket, [argument.encode()], [stdin, stdout, stderr.fileno()])
            pid = int(self._socket.recv(20))
        os.close(stdin)
        os.close(stdout)
        return Forked(pid, os.fdopen(to_stdin, "w"), os.fdopen(from_stdout))

    def close(self) -> None:
        """End it; its programs have been killed by then."""
        self._socket.close()
        self._process.wait(30)


def main(connection: socket.socket) -> int:
    """Start what is asked for, until nobody asks any more."""
    import ledger_program  # what all of them need, once

    import task.stores.sql  # noqa: F401

    while True:
        asked, fds = _receive(connection)
        if not asked:
            return 0
        pid = os.fork()
        if not pid:
            connection.close()
            _become(fds)
            return ledger_program.main(json.loads(asked))
        for fd in fds:
            os.close(fd)
        connection.send(str(pid).encode())


def _receive(connection: socket.socket) -> tuple[bytes, Sequence[int]]:
    fds = array.array("i")
    asked, ancillary, _, _ = connection.recvmsg(LARGEST, socket.CMSG_SPACE(3 * fds.itemsize))
    for _, _, data in ancillary:
        fds.frombytes(data)
    return asked, fds


def _become(fds: Sequence[int]) -> None:
    """A process of its own, with these as its standard input, output and error."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for target, fd in enumerate(fds):
        os.dup2(fd, target)
        os.close(fd)


if __name__ == "__main__":
    sys.exit(main(socket.socket(fileno=int(sys.argv[1]))))
