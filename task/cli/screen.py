"""``Screen``: a terminal that shows one picture for as long as a program runs, and is given back as it was.

What the program and its children write to the terminal meanwhile is kept off it: as the last lines of a log. Needs
`rich`, of the extra ``cli``.
"""

from __future__ import annotations

import collections
import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from task.log import logger, printable

__all__ = ["Screen", "is_in_front"]

#: How often it is looked whether the terminal has another size, or the picture is wanted anew. Seconds.
TICK = 0.2

#: So many lines are kept, and so much of each. Characters.
_LINES, _LONGEST = 200, 1_000

_ENDS = re.compile(rb"[\r\n]+")

#: How long it is waited for those who draw and listen. Seconds.
_PATIENCE = 2.0

#: Gives a terminal back: the cursor, and what it showed before.
_GIVE_BACK = "\x1b[?25h\x1b[?1049l"


def is_in_front() -> bool:
    """Whether stdout is a terminal that can be drawn on, and this is the program that it shows."""
    stdout = sys.__stdout__
    if stdout is None or not sys.stdout.isatty() or os.environ.get("TERM", "") in ("", "dumb"):
        return False
    if not hasattr(os, "tcgetpgrp"):
        return True
    with contextlib.suppress(OSError, ValueError):
        return os.tcgetpgrp(stdout.fileno()) == os.getpgrp()
    return False


class Screen:
    """Draws what *picture* makes of a width and a height, every *period* seconds and when *hurry* says so."""

    def __init__(self, picture: Callable[[int, int], Sequence[Text]], period: float = 1.0) -> None:
        self._picture = picture
        self._period = period
        self._ended = threading.Event()
        #: The newest lines that were written meanwhile.
        self.lines: collections.deque[str] = collections.deque(maxlen=_LINES)
        self._wanted = False
        #: Where lines go as they come, when there is no picture any more.
        self._through: TextIO | None = None

    def say(self, line: str) -> None:
        """Another line, to be shown with the next picture."""
        text = printable(line.expandtabs(4)[:_LONGEST])
        self.lines.append(text)
        if self._through is not None:
            with contextlib.suppress(OSError, ValueError):
                print(text, file=self._through, flush=True)

    def hurry(self) -> None:
        """Something has changed that should be seen at once."""
        self._wanted = True

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Inside of it, the terminal is the screen's."""
        with _quiet_keys(), _caught_output(self._take) as terminal:
            drawing = threading.Thread(target=self._draw, args=(terminal,), name="task-screen", daemon=True)
            drawing.start()
            try:
                yield
            finally:
                self._ended.set()
                drawing.join(_PATIENCE)
                if drawing.is_alive():  # its picture is held up by the store, say
                    with contextlib.suppress(OSError):
                        os.write(terminal.fileno(), _GIVE_BACK.encode())

    def _take(self, line: bytes) -> None:
        self.say(line.decode(errors="replace"))

    def _draw(self, terminal: TextIO) -> None:
        try:
            with contextlib.suppress(OSError):  # the terminal has been closed: its program goes on, unseen
                self._draw_until_the_end(terminal)
        except Exception:
            if self._ended.is_set():  # it was not waited for: the terminal is another's by now
                return
            self._through = terminal
            logger.exception("The live table cannot be drawn any more; the tasks go on")

    def _draw_until_the_end(self, terminal: TextIO) -> None:
        console = Console(file=terminal, force_terminal=True, highlight=False, markup=False, emoji=False)
        size, waited = os.get_terminal_size(terminal.fileno()), self._period
        console.size = size
        with Live(
            console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        ) as live:
            while True:
                now = os.get_terminal_size(terminal.fileno())
                if now != size or waited >= self._period or self._wanted:
                    console.size, size, waited, self._wanted = now, now, 0.0, False
                    picture = Group(*self._picture(size.columns, size.lines))
                    if self._ended.is_set():
                        return
                    live.update(picture, refresh=True)
                if self._ended.wait(TICK):
                    return
                waited += TICK


@contextlib.contextmanager
def _quiet_keys() -> Iterator[None]:
    """What is typed is not echoed into the picture."""
    try:
        import termios
    except ImportError:  # Windows echoes nothing that is not read
        yield
        return
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        yield
        return
    try:
        before = termios.tcgetattr(terminal)
        termios.tcsetattr(terminal, termios.TCSADRAIN, _quiet(before, os.fpathconf(terminal, "PC_VDISABLE")))
        try:
            yield
        finally:
            with contextlib.suppress(termios.error):  # it has been closed meanwhile
                termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
    finally:
        os.close(terminal)


def _quiet(attributes: list[Any], nothing: int) -> list[Any]:
    """Ctrl-C is all that a key does: Ctrl-S, Ctrl-Z and Ctrl-\\ would leave the picture on the terminal."""
    import termios

    incoming, outgoing, control, local, in_speed, out_speed, keys = attributes
    keys = [*keys]
    for key in (termios.VSUSP, termios.VQUIT):
        keys[key] = bytes([nothing])
    return [incoming & ~termios.IXON, outgoing, control, local & ~termios.ECHO, in_speed, out_speed, keys]


@contextlib.contextmanager
def _caught_output(take: Callable[[bytes], None]) -> Iterator[TextIO]:
    """Give *take* each line that anybody in this process, or a child of it, writes to the terminal; the terminal.

    It is caught below Python: handlers of `logging` keep the stream that they were made with, and C writes, too. Each
    stream has a pipe of its own: what one thread logs never runs into a line that another has half printed.
    """
    _flush()
    kept = {number: os.dup(number) for number in (1, 2) if os.isatty(number)}
    encoding = sys.stdout.encoding or "utf-8"
    terminal = open(os.dup(kept.get(1, 1)), "w", encoding=encoding, errors="replace", newline="")  # noqa: SIM115
    listening = [_listening_to(number, take) for number in kept]
    try:
        yield terminal
    finally:
        _flush()
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)
        deadline = time.monotonic() + _PATIENCE  # a child that lives on may keep its end open
        for thread in listening:
            thread.join(max(0.0, deadline - time.monotonic()))
        with contextlib.suppress(OSError):
            terminal.close()


def _listening_to(number: int, take: Callable[[bytes], None]) -> threading.Thread:
    """What is written there goes to *take* from now on."""
    listened, written = os.pipe()
    os.dup2(written, number)
    os.close(written)
    thread = threading.Thread(target=_listen, args=(listened, take), name="task-output", daemon=True)
    thread.start()
    return thread


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def _listen(listened: int, take: Callable[[bytes], None]) -> None:
    rest = b""
    with open(listened, "rb", buffering=0) as pipe:
        while chunk := pipe.read(65_536):
            *lines, rest = _ENDS.split(rest + chunk)
            for line in lines:
                take(line)
            if len(rest) > 4 * _LONGEST:
                take(rest)
                rest = b""
    if rest:
        take(rest)
