"""What a command writes: read as it comes, kept at both ends, and told line by line. Memory stays bounded."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import subprocess

__all__ = ["Output", "Reader", "reader_of"]

#: How much of a stream is kept: its first and its last bytes.
HEAD = 16 * 1024
TAIL = 48 * 1024
#: A line is told in parts of at most so many bytes (and so of at most so many characters).
LINE = 4_000
#: So many lines of a stream are told without exception; after them, of each piece that is read, so many of the newest.
FIRST_LINES = 1_000
NEWEST_LINES = 50
#: How much is read at once. Bytes.
PIECE = 64 * 1024

#: What is done with the lines of one piece.
Tell = Callable[[list[str]], object]


class Output:
    """One stream of a command.

    >>> told = []
    >>> output = Output(told.extend)
    >>> output.feed(b"12 rows" + bytes([10]) + b"done")
    >>> output.end()
    >>> told, output.dropped
    (['12 rows', 'done'], 0)
    """

    def __init__(self, tell: Tell | None = None) -> None:
        self._tell = tell
        self._head = bytearray()
        self._tail = bytearray()
        self._line = b""
        #: How many lines were told.
        self._told = 0
        #: How many bytes are not kept.
        self.dropped = 0
        #: How many lines were not told, because too many came at once.
        self.untold = 0

    def feed(self, piece: bytes) -> None:
        """Another piece has been read."""
        rest = piece
        if len(self._head) < HEAD:
            room = HEAD - len(self._head)
            self._head += piece[:room]
            rest = piece[room:]
        self._tail += rest
        if (excess := len(self._tail) - TAIL) > 0:
            del self._tail[:excess]
            self.dropped += excess
        if self._tell is not None:
            self._tell_lines(self._line + piece)

    def end(self) -> None:
        """Nothing more comes: the last line may lack its end."""
        if self._tell is not None and self._line:
            self._tell([_decode(self._line)])
            self._line = b""

    def text(self) -> str:
        """What is kept, decoded; where something is missing, a line says how much."""
        if not self.dropped:
            return _decode(bytes(self._head + self._tail))
        cut = f"\n… {self.dropped} bytes are not kept …\n"
        return _decode(bytes(self._head)) + cut + _decode(bytes(self._tail))

    def _tell_lines(self, text: bytes) -> None:
        room = max(NEWEST_LINES, FIRST_LINES - self._told)
        ended, found, self._line = text.rpartition(b"\n")
        # Only the lines that will be told are split off: a piece may be 65 536 empty ones.
        lines = ended.rsplit(b"\n", room) if found else []
        if len(lines) > room:
            self.untold += lines[0].count(b"\n") + 1
            del lines[0]
        parts = [part for line in lines for part in _parts(line)]
        if len(self._line) >= LINE:
            *more, self._line = _parts(self._line)
            parts += more
        if len(parts) > room:
            self.untold += len(parts) - room
            del parts[:-room]
        if parts:
            self._told += len(parts)
            assert self._tell is not None
            self._tell([_decode(part).removesuffix("\r") for part in parts])


def _parts(line: bytes) -> list[bytes]:
    """A line in parts of at most `LINE` bytes, none of which ends inside a character."""
    parts = []
    while len(line) > LINE:
        end = LINE
        while end > LINE - 3 and line[end] & 0xC0 == 0x80:  # a byte that continues a character
            end -= 1
        parts.append(line[:end])
        line = line[end:]
    return [*parts, line]


def _decode(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")


class Reader(Protocol):
    """Reads the streams of one command."""

    #: How many streams are still open at the other end.
    open: int

    def read(self, seconds: float) -> bool:
        """Wait at most *seconds* for something, and feed it to its `Output`; whether anything came."""

    def close(self) -> None:
        """Read no more."""


class _SelectingReader:
    """Waits for all the streams at once, in the thread that asks."""

    def __init__(self, streams: list[tuple[IO[bytes], Output]]) -> None:
        import selectors  # a program without commands never loads it

        self.open = len(streams)
        self._streams = [stream for stream, _ in streams]
        self._selector = selectors.DefaultSelector()
        for stream, output in streams:
            self._selector.register(stream, selectors.EVENT_READ, output)

    def read(self, seconds: float) -> bool:
        ready = self._selector.select(seconds)
        for key, _ in ready:
            piece = os.read(key.fd, PIECE)
            if piece:
                key.data.feed(piece)
            else:
                self._selector.unregister(key.fileobj)
                self.open -= 1
        return bool(ready)

    def close(self) -> None:
        self._selector.close()
        for stream in self._streams:
            stream.close()


class _ThreadedReader:
    """For systems on which pipes cannot be selected: one daemon thread a stream, which never runs far ahead."""

    def __init__(self, streams: list[tuple[IO[bytes], Output]]) -> None:
        self.open = len(streams)
        self._closed = False
        self._pieces: queue.Queue[tuple[Output, bytes]] = queue.Queue(maxsize=4)
        for pair in streams:
            threading.Thread(target=self._follow, args=pair, name="task-shell-reader", daemon=True).start()

    def _follow(self, stream: IO[bytes], output: Output) -> None:
        with stream, contextlib.suppress(OSError):  # a pipe that breaks has ended
            while not self._closed and (piece := os.read(stream.fileno(), PIECE)):
                self._pieces.put((output, piece))
        self._pieces.put((output, b""))

    def read(self, seconds: float) -> bool:
        try:
            output, piece = self._pieces.get(timeout=seconds)
        except queue.Empty:
            return False
        if piece:
            output.feed(piece)
        else:
            self.open -= 1
        return True

    def close(self) -> None:
        self._closed = True
        while not self._pieces.empty():  # whoever waits for room goes on, and sees that it is over
            self._pieces.get_nowait()


def reader_of(process: subprocess.Popen[Any], stdout: Output, stderr: Output) -> Reader:
    """What reads the streams of *process* into *stdout* and *stderr*."""
    assert process.stdout is not None
    assert process.stderr is not None
    streams = [(process.stdout, stdout), (process.stderr, stderr)]
    return _ThreadedReader(streams) if os.name == "nt" else _SelectingReader(streams)
