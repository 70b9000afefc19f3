"""What a process is for: read off the stack of the code that sets the application up, once."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import click
import flask
from flask.cli import ScriptInfo
from flask.helpers import get_debug_flag

__all__ = ["Role", "Situation", "in_test_client", "is_reloader_child", "look_around"]

#: What the process does with the application: it serves it; its forked children do; others do (why, is said);
#: tests use it; or nobody can tell yet.
Role = Literal["serves", "forks", "others", "tests", "unknown"]


class Situation(NamedTuple):
    """Where the application is being set up."""

    role: Role
    #: What tells so, in words.
    sign: str
    #: The call that sets the application up: it is ready when that has returned.
    loading: types.FrameType | None = None
    #: How many requests its server answers at once; None where that is not known, or has no bound.
    threads: int | None = None
    #: Whether the server leaves SIGTERM to the system, which ends the process on the spot.
    ends_at_once: bool = False


def look_around(app: flask.Flask) -> Situation:
    """The situation of whoever calls what calls this, for *app*."""
    frames = list(_callers())
    caller = next((frame for frame in frames if not _is_ours(frame)), None)
    if app.testing or "pytest" in sys.modules:
        return Situation("tests", "the application is being tested", caller)
    server = next((number for number, frame in enumerate(frames) if _package_of(frame) in _SERVERS), None)
    if server is not None:
        found = _SERVERS[_package_of(frames[server])](frames[server:])
        if found is not None:
            return found._replace(loading=frames[server - 1])
    return _embedded(caller) or Situation("unknown", "no known server", caller)


def is_reloader_child() -> bool:
    """Whether this is the process that serves, of the two of Werkzeug's reloader."""
    return os.environ.get("WERKZEUG_RUN_MAIN") == "true"


def in_test_client() -> bool:
    """Whether the present request is a test's."""
    return any(_module_of(frame) == "werkzeug.test" or _package_of(frame) == "webtest" for frame in _callers())


def _callers() -> Iterator[types.FrameType]:
    frame: types.FrameType | None = sys._getframe(2)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _module_of(frame: types.FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _package_of(frame: types.FrameType) -> str:
    module = _module_of(frame)
    return module if module == "flask.cli" else module.partition(".")[0]


def _is_ours(frame: types.FrameType) -> bool:
    return _module_of(frame).partition(".")[0] == __name__.partition(".")[0]


# The servers that import the application: what their frames tell, the innermost first.


def _gunicorn(frames: list[types.FrameType]) -> Situation:
    settings = next((found for frame in frames if (found := _settings_of(frame)) is not None), None)
    threads = _threads_of_gunicorn(settings)
    if any(_module_of(frame).startswith("gunicorn.workers.") for frame in frames):
        return Situation("serves", "a worker of gunicorn", threads=threads)
    return Situation("forks", "gunicorn's master, whose workers serve", threads=threads)


def _settings_of(frame: types.FrameType) -> Any:
    return getattr(frame.f_locals.get("self"), "cfg", None) if _package_of(frame) == "gunicorn" else None


def _threads_of_gunicorn(settings: Any) -> int | None:
    """One for each thread; None for the workers that have no such bound (gevent, uvicorn)."""
    threaded = settings is not None and settings.worker_class_str.endswith(("gthread", "ThreadWorker"))
    if threaded or (settings is not None and settings.worker_class_str in ("sync", "gunicorn.workers.sync.SyncWorker")):
        return int(settings.threads)
    return None


def _flask(frames: list[types.FrameType]) -> Situation | None:
    context = click.get_current_context(silent=True)
    if context is None or context.find_object(ScriptInfo) is None:
        return None
    while context.parent is not None and context.parent.parent is not None:
        context = context.parent
    if context.parent is None or context.command.name != "run":
        return Situation("others", f"the command {context.command_path!r} does not serve")
    reloads = context.params.get("reload")
    if (get_debug_flag() if reloads is None else reloads) and not is_reloader_child():
        return Situation("others", "the reloader's child serves")
    threads = None if context.params.get("with_threads", True) else 1
    return Situation("serves", "flask run", threads=threads, ends_at_once=True)


def _waitress(frames: list[types.FrameType]) -> Situation:
    options: dict[str, Any] = next((frame.f_locals["kw"] for frame in frames if "kw" in frame.f_locals), {})
    return Situation("serves", "waitress", threads=int(options.get("threads", 4)), ends_at_once=True)


def _uvicorn(frames: list[types.FrameType]) -> Situation:
    return Situation("serves", "uvicorn")


def _hypercorn(frames: list[types.FrameType]) -> Situation:
    if any(_module_of(frame).startswith(("hypercorn.asyncio", "hypercorn.trio")) for frame in frames):
        return Situation("serves", "hypercorn")
    return Situation("others", "hypercorn's workers serve")


_SERVERS = {
    "gunicorn": _gunicorn,
    "flask.cli": _flask,
    "waitress": _waitress,
    "uvicorn": _uvicorn,
    "hypercorn": _hypercorn,
}

# The servers that Python is a part of: no frame of theirs is on the stack.


def _embedded(caller: types.FrameType | None) -> Situation | None:
    uwsgi, mod_wsgi = sys.modules.get("uwsgi"), sys.modules.get("mod_wsgi")
    if uwsgi is not None:
        role: Role = "serves" if uwsgi.worker_id() else "forks"
        return Situation(role, "uWSGI", caller)
    if mod_wsgi is not None:
        return Situation("serves", "mod_wsgi", caller, getattr(mod_wsgi, "threads_per_process", None))
    return None
