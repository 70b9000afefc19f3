"""What fails around a database, for tests: the network to it, and the disk under it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import subprocess
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from databases import LOOPBACK, free_port

#: For what the proxy's own thread takes no longer, unless it hangs. Seconds.
LIMIT = 60.0


class Proxy:
    """Stands on loopback between clients and the server of *url*, and cuts them off from it. `url` is its own.

    A network that fails, not a server: what was under way is held, not lost, and goes on after `mend`.
    """

    def __init__(self, url: str) -> None:
        server = urlsplit(url)
        assert server.port is not None
        self._server = (server.hostname or LOOPBACK, server.port)
        self._port = free_port()
        self.url = url.replace(f":{server.port}/", f":{self._port}/").replace(self._server[0], LOOPBACK)
        self._listener: asyncio.Server | None = None
        self._refusing = True
        self._carrying: set[asyncio.Task[None]] = set()
        self._requests, self._answers = asyncio.Event(), asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.mend()

    @property
    def connections(self) -> int:
        """How many clients it has."""
        return len(self._carrying)

    def cut(self, *, answers_only: bool = False) -> None:
        """Let no more data through: who asks waits. ``answers_only``: requests arrive, and are executed."""
        self._do(self._flow(requests=answers_only, answers=False))

    def refuse(self) -> None:
        """Close all connections, with what they held, and refuse new ones."""
        self._do(self._stop_listening())

    def mend(self) -> None:
        """Let everything through again."""
        self._do(self._listen())

    def close(self) -> None:
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LIMIT)
        self._loop.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT)

    async def _flow(self, *, requests: bool, answers: bool) -> None:
        for flow, open_ in ((self._requests, requests), (self._answers, answers)):
            flow.set() if open_ else flow.clear()

    async def _listen(self) -> None:
        await self._flow(requests=True, answers=True)
        self._refusing = False
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accept, LOOPBACK, self._port)

    async def _stop_listening(self) -> None:
        self._refusing = True
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for task in (carrying := list(self._carrying)):
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:  # it had come before all were refused, and is only now seen
            writer.transport.abort()
            return
        task = asyncio.ensure_future(self._carry(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Both ways, until one side has closed or the connections are cut."""
        writers = [writer]
        try:
            with contextlib.suppress(OSError):
                server_reader, server_writer = await asyncio.open_connection(*self._server)
                writers.append(server_writer)
                there = asyncio.ensure_future(self._pump(reader, server_writer, self._requests))
                back = asyncio.ensure_future(self._pump(server_reader, writer, self._answers))
                try:
                    await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    there.cancel()
                    back.cancel()
                    await asyncio.gather(there, back, return_exceptions=True)
        finally:
            for one in writers:
                one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flow: asyncio.Event) -> None:
        data = b"?"
        while data:
            data = await reader.read(65_536)
            await flow.wait()  # the end of a connection is held as well
            writer.write(data)
            await writer.drain()


class SmallFilesystem:
    """A folder on a file system of its own, that can be filled up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Leave no byte free."""
        with self._ballast.open("ab", buffering=0) as stream:
            for size in (65_536, 1):
                try:
                    while True:
                        stream.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        """Give the space back."""
        self._ballast.unlink(missing_ok=True)


@contextlib.contextmanager
def small_filesystem(size: int) -> Iterator[SmallFilesystem]:
    """A file system of *size* bytes. Skips the test where this process may not mount one."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    with tempfile.TemporaryDirectory(prefix="task-small-") as folder:
        options = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0777", "tmpfs", folder]
        mounted = subprocess.run(options, capture_output=True, text=True)
        if mounted.returncode:
            pytest.skip(f"mounting a small file system is refused here: {mounted.stderr.strip()}")
        try:
            yield SmallFilesystem(Path(folder))
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
