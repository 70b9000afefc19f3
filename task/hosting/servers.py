"""Which server runs this process, and in how many processes like it: read off the stack of its main thread."""

from __future__ import annotations

import os
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = ["Server", "find_server"]

#: A number of workers that nobody would start is none. Processes.
_MOST = 100_000


class Server(NamedTuple):
    """What started this process, and how many processes like it serve beside each other, itself included."""

    name: str
    workers: int


def find_server() -> Server | None:
    """The server whose worker this process is; None where there is none that is known, nor a parent of its kind."""
    found = [server for frame in _frames_of_main_thread() if (server := _server_in(frame)) is not None]
    if found:
        return max(found, key=lambda server: server.workers)  # gunicorn's workers may be of uvicorn, one in each
    return _embedded() or _forked()


def _server_in(frame: types.FrameType) -> Server | None:
    package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    read = _IN_FRAMES.get(package)
    workers = None if read is None else _number(read(frame))
    return None if workers is None else Server(package, workers)


def _frames_of_main_thread() -> Iterator[types.FrameType]:
    ident = threading.main_thread().ident
    frame = None if ident is None else sys._current_frames().get(ident)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < _MOST else None


def _of_gunicorn(frame: types.FrameType) -> Any:
    """Its arbiter counts them, as somebody may have asked it for more meanwhile."""
    return getattr(frame.f_locals.get("self"), "num_workers", None)


def _of_configured(frame: types.FrameType) -> Any:
    """Those of uvicorn and hypercorn have a configuration at hand."""
    config = frame.f_locals.get("config") or getattr(frame.f_locals.get("self"), "config", None)
    return getattr(config, "workers", None)


_IN_FRAMES = {"gunicorn": _of_gunicorn, "uvicorn": _of_configured, "hypercorn": _of_configured}


def _embedded() -> Server | None:
    """The servers that Python is a part of."""
    uwsgi, mod_wsgi = sys.modules.get("uwsgi"), sys.modules.get("mod_wsgi")
    if uwsgi is not None:
        return Server("uwsgi", _number(getattr(uwsgi, "numproc", None)) or 1)
    if mod_wsgi is not None:
        return Server("mod_wsgi", _number(getattr(mod_wsgi, "maximum_processes", None)) or 1)
    return None


def _forked() -> Server | None:
    """The children of one parent, all with its command: workers that some other server has forked."""
    parent, own = os.getppid(), _command_of(os.getpid())
    if not own or _command_of(parent) != own:
        return None
    siblings = [pid for pid in _children_of(parent) if _command_of(pid) == own]
    return Server("forked", max(1, len(siblings)))


def _command_of(pid: int) -> bytes:
    """Only ever compared: there may be a password in it."""
    return _read(f"/proc/{pid}/cmdline")


def _children_of(pid: int) -> list[int]:
    return [int(child) for child in _read(f"/proc/{pid}/task/{pid}/children").split()]


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:  # it has ended, is another user's, or this is no Linux
        return b""
