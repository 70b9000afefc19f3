"""Asks a server so often a second, however long its answers take, and measures from when each was to be asked for."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from typing import NamedTuple

__all__ = ["Asked", "load", "wait_for"]

#: So many connections are kept open: more requests than that are not under way at once.
CONNECTIONS = 64

#: No answer takes longer than that. Seconds.
LIMIT = 30.0

#: How often it is tried to open a stream: that of two workers which is full refuses.
TRIES = 200


class Asked(NamedTuple):
    """What became of the requests of one path."""

    #: Seconds from the moment that a request was planned for to the last byte of its answer.
    waits: list[float]
    #: Those that had no answer of 200.
    failures: int
    #: The bytes of the last answer.
    size: int


class _Connection:
    """One, that is kept open, and opened again when the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str) -> tuple[int, int]:
        """The status and the size of an answer."""
        kept = self._streams is not None
        try:
            return await self._get(path)
        except (OSError, EOFError):
            self.close()
            if not kept:
                raise
            return await self._get(path)  # it was closed while nothing was asked of it

    async def _get(self, path: str) -> tuple[int, int]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        reader, writer = self._streams
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(size)
        if b"connection: close" in head:
            self.close()
        return int(head.split(None, 2)[1]), size

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def load(
    port: int, paths: dict[str, float], seconds: float, streams: int = 0, live: str | None = None
) -> tuple[dict[str, Asked], int]:
    """Ask for each path so many times a second, beside that many open streams; and how many events those were sent.

    With *live* each stream is that of a page in a browser, which gets this path anew when it hears of a change.
    """
    return asyncio.run(_load(port, paths, seconds, streams, live))


async def _load(
    port: int, paths: dict[str, float], seconds: float, streams: int, live: str | None
) -> tuple[dict[str, Asked], int]:
    async with _open_streams(port, streams, live) as seen:
        free: asyncio.Queue[_Connection] = asyncio.Queue()
        for _ in range(CONNECTIONS):
            free.put_nowait(_Connection(port))
        begin = time.monotonic() + 0.2
        asking = [_ask(free, path, rate, begin, seconds) for path, rate in paths.items()]
        found = await asyncio.gather(*asking)
        while not free.empty():
            free.get_nowait().close()
        return dict(zip(paths, found, strict=True)), sum(seen)


async def _ask(free: asyncio.Queue[_Connection], path: str, rate: float, begin: float, seconds: float) -> Asked:
    waits: list[float] = []
    sizes: list[int] = []

    async def ask(planned: float) -> None:
        await asyncio.sleep(planned - time.monotonic())
        connection = await free.get()
        try:
            async with asyncio.timeout(LIMIT):
                status, size = await connection.get(path)
        except (OSError, EOFError):  # a time that is over is one of the former
            connection.close()
            return
        finally:
            free.put_nowait(connection)
        if status == 200:
            waits.append(time.monotonic() - planned)
            sizes.append(size)

    count = int(seconds * rate)
    await asyncio.gather(*[ask(begin + number / rate) for number in range(count)])
    return Asked(waits, count - len(waits), sizes[-1] if sizes else 0)


@contextlib.asynccontextmanager
async def _open_streams(port: int, count: int, live: str | None) -> AsyncIterator[list[int]]:
    """So many streams of events, read from until the end; and how many events each was sent."""
    seen = [0] * count
    opened = [await _open_stream(port) for _ in range(count)]
    pages = [_Page(port, live) for _ in range(count)]

    async def follow(number: int) -> None:
        reader = opened[number][0]
        while line := await reader.readline():
            if line.startswith(b"event: "):
                seen[number] += 1
                pages[number].changed()

    following = [asyncio.create_task(follow(number)) for number in range(count)]
    yield seen
    ended = sum(one.done() for one in following)
    for one in following:
        one.cancel()
    for page in pages:
        await page.close()
    for _, writer in opened:
        writer.close()
    if ended:
        raise RuntimeError(f"{ended} of {count} streams have ended before the load did.")


class _Page:
    """One in a browser, as tasks.js keeps it up to date; without a path, none."""

    def __init__(self, port: int, path: str | None) -> None:
        self._connection = _Connection(port)
        self._path = path
        self._getting: asyncio.Task[None] | None = None

    def changed(self) -> None:
        if self._path is not None and (self._getting is None or self._getting.done()):
            self._getting = asyncio.create_task(self._get(self._path))

    async def _get(self, path: str) -> None:
        await asyncio.sleep(0.15 + 0.4 * random.random())
        async with asyncio.timeout(LIMIT):
            status, _ = await self._connection.get(path)
        if status != 200:
            raise RuntimeError(f"{path} was answered with {status}.")

    async def close(self) -> None:
        if self._getting is not None:
            await self._getting
        self._connection.close()


async def _open_stream(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for _ in range(TRIES):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /tasks/api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LIMIT)
        if head.split(None, 2)[1] == b"200":
            return reader, writer
        writer.close()
        await asyncio.sleep(0.05)
    raise RuntimeError(f"No stream was opened in {TRIES} tries.")


def wait_for(port: int, path: str) -> None:
    """Until a server answers there."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, EOFError):
            status, _ = asyncio.run(_Connection(port).get(path))
            if status == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"Nobody answers at {path}.")
