"""A pseudo-terminal with a program on it, and the screen that a person would see."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import pyte

__all__ = ["PseudoTerminal"]

#: How long it is waited for a program, which a busy machine may have forgotten for a while. Seconds.
LIMIT = 60.0


class PseudoTerminal:
    """Runs a program on a terminal of its own; `screen` is what that shows."""

    def __init__(self, command: Sequence[str], *, columns: int = 80, lines: int = 24, **options: Any) -> None:
        self._ours, self._theirs = pty.openpty()
        self._closed = False
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        #: All that it was sent.
        self.bytes = b""
        self._set_size(columns, lines)
        self.attributes_before = termios.tcgetattr(self._theirs)
        self.process = subprocess.Popen(
            command,
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            **options,
        )

    def __enter__(self) -> PseudoTerminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LIMIT)
        if not self._closed:
            self.hang_up()

    @property
    def screen(self) -> list[str]:
        """Its lines, as they stand now."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def attributes(self) -> list[Any]:
        """How it is set: whether it echoes what is typed, say."""
        return termios.tcgetattr(self._theirs)

    def type(self, keys: bytes) -> None:
        """Press keys: ``b"\\x03"`` is Ctrl-C."""
        os.write(self._ours, keys)

    def resize(self, columns: int, lines: int) -> None:
        """Give it another size."""
        self._screen.resize(lines, columns)
        self._set_size(columns, lines)

    def _set_size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def hang_up(self) -> None:
        """Close it, as somebody closes a window."""
        os.close(self._ours)
        os.close(self._theirs)
        self._closed = True

    def wait_for(self, condition: Callable[[list[str]], bool]) -> list[str]:
        """The screen, as soon as it is so. It may show a part of a picture: *condition* is all that is to be seen."""
        deadline = time.monotonic() + LIMIT
        while not condition(self.screen):
            shown, ended = "\n".join(self.screen), self.process.poll()
            assert time.monotonic() < deadline, f"waited {LIMIT} seconds in vain for the terminal to change:\n{shown}"
            if not self._read(0.05):
                assert ended is None, f"it ended with {ended}, and the terminal shows:\n{shown}"
        return self.screen

    def wait_for_end(self) -> int:
        """The exit code, when all that was written has been read."""
        deadline = time.monotonic() + LIMIT
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it has not ended within {LIMIT} seconds:\n" + "\n".join(self.screen)
            self._read(0.02)
        while self._read(0.05):
            pass
        return self.process.returncode

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._ours], [], [], seconds)
        if not ready:
            return False
        with contextlib.suppress(OSError):
            chunk = os.read(self._ours, 65_536)
            self.bytes += chunk
            self._stream.feed(chunk)
            return bool(chunk)
        return False
