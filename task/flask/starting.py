"""Where the manager runs: in every process that serves the application, and in no other.

It starts when the application has been set up: when the function (or the module) that the server has called for it
returns. `task.flask.servers` tells what a process is for.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import types
import weakref
from collections.abc import Callable
from dis import opname
from typing import Any

import flask
from flask.helpers import get_debug_flag

from task.flask.servers import Situation, in_test_client, is_reloader_child
from task.log import logger
from task.models import TaskManager

__all__ = ["arrange_start"]

#: How often it is looked whether the application is set up by now. Seconds.
LOOK = 0.02

#: A child that is forked only to become another program does so first. Seconds.
AFTER_FORK = 0.1

#: How the code of a call ends that has not failed.
_RETURNED = ("RETURN", "YIELD", "RESUME")


def arrange_start(app: flask.Flask, manager: TaskManager, situation: Situation, autostart: bool | None) -> None:
    """See to it that *manager* starts where and when it should."""
    if autostart is False:
        return
    _Start(app, manager, situation, at_once=bool(autostart)).arrange()
    if situation.role in ("serves", "forks") and not manager.store.shared:
        logger.warning(
            "The tasks of %r are on record in memory: of several processes that serve it, each runs every slot. Leave "
            "store= out, or give one that processes share",
            app.name,
        )


class _Start:
    """The start of one application's manager, where it is to come by itself."""

    def __init__(self, app: flask.Flask, manager: TaskManager, situation: Situation, *, at_once: bool) -> None:
        self._name = app.name
        self._manager = manager
        self._situation = situation
        self._at_once = at_once
        #: The process in which the application was set up.
        self.set_up_in = os.getpid()
        #: The process in which it has been started.
        self._started_in: int | None = None
        self._app = weakref.ref(app)

    def arrange(self) -> None:
        """Let it start when it should."""
        role, sign = self._situation.role, self._situation.sign
        if role == "serves":
            self._at_the_first_request()
            self._when_set_up()
        elif role == "forks":
            self._at_the_first_request()
            _to_start_in_children.add(self)
            _watch_forks()
        elif role == "unknown":
            self._at_the_first_request()
            self._with_app_run()
            if self._at_once:
                self._when_set_up()
            else:
                logger.info("The tasks of %r start with the first request, or by manager.run(): %s", self._name, sign)
        elif role == "tests" and self._at_once:
            self._when_set_up()
        else:
            logger.info("The tasks of %r do not run in this process: %s", self._name, sign)
        self._situation = self._situation._replace(loading=None)  # a frame keeps all that is on the stack

    def start(self) -> None:
        """Start it in this process, once; what stands against that is told by the log, and by its health."""
        if self._started_in == os.getpid():
            return
        self._started_in = os.getpid()
        try:
            self._manager.run()
        except Exception:  # the application goes on without
            logger.exception("The tasks of %r COULD NOT BE STARTED, and do not run in this process", self._name)

    # When.

    def _when_set_up(self) -> None:
        if self._situation.ends_at_once:
            _leave_at_sigterm()
        frame = self._situation.loading
        if frame is None or (frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") == "__main__"):
            self.start()  # that goes on for as long as the program
            return
        waiting = threading.Thread(
            target=_after, args=(frame, threading.get_ident(), self.start), name="task-start", daemon=True
        )
        waiting.start()

    def _at_the_first_request(self) -> None:
        app = self._app()
        assert app is not None

        @app.before_request
        def start_the_tasks() -> None:
            here = os.getpid()
            if self._started_in == here or (self._situation.role == "forks" and here == self.set_up_in):
                return
            if here != self.set_up_in and flask.request.environ.get("SERVER_SOFTWARE", "").startswith("Werkzeug"):
                return  # a child for this request alone: app.run(processes=2)
            if self._situation.role == "forks" or not in_test_client():
                self.start()

    def _with_app_run(self) -> None:
        """A script may serve by itself: known when it does."""
        app = self._app()
        assert app is not None
        serve = app.run

        def run(
            host: str | None = None,
            port: int | None = None,
            debug: bool | None = None,
            load_dotenv: bool = True,
            **options: Any,
        ) -> None:
            ignored = os.environ.get("FLASK_RUN_FROM_CLI") == "true"  # within `flask run` Flask makes nothing of it
            reloads = options.get("use_reloader", _debugs(serve, debug, load_dotenv))
            if not ignored and (is_reloader_child() or not reloads):
                _leave_at_sigterm()
                self.start()
            serve(host, port, debug, load_dotenv, **options)

        app.run = run  # type: ignore[method-assign]


def _debugs(serve: Any, debug: bool | None, load_dotenv: bool) -> bool:
    """What `flask.Flask.run` makes of its arguments."""
    if debug is not None:
        return debug
    return get_debug_flag() if load_dotenv and "FLASK_DEBUG" in os.environ else bool(serve.__self__.debug)


def _after(frame: types.FrameType, thread: int, call: Callable[[], object]) -> None:
    """Make a call when a call under way on another thread has returned; not at all when that has failed."""
    while _is_under_way(frame, thread) or _is_under_way(frame, thread):  # one look may meet a stack that changes
        time.sleep(LOOK)
    code = frame.f_code.co_code
    if not 0 <= frame.f_lasti < len(code) or opname[code[frame.f_lasti]].startswith(_RETURNED):
        call()


def _is_under_way(frame: types.FrameType, thread: int) -> bool:
    here = sys._current_frames().get(thread)
    while here is not None and here is not frame:
        here = here.f_back
    return here is frame


def _leave_at_sigterm() -> None:
    """Let SIGTERM end the process as the end of its program does: the manager stops, and runs get their time."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _leave)


def _leave(number: int, frame: object) -> None:
    sys.exit(0)


# Forks: the master of a server has set the application up, and its children serve. Theirs do not: those help a body.

_to_start_in_children: weakref.WeakSet[_Start] = weakref.WeakSet()
_watching: list[bool] = []


def _watch_forks() -> None:
    if not _watching and hasattr(os, "register_at_fork"):
        _watching.append(True)
        os.register_at_fork(after_in_child=_start_in_child)


def _start_in_child() -> None:
    parent = os.getppid()
    starts = [start for start in _to_start_in_children if start.set_up_in == parent]
    if starts:
        threading.Thread(target=_start_all, args=(starts,), name="task-start", daemon=True).start()


def _start_all(starts: list[_Start]) -> None:
    time.sleep(AFTER_FORK)
    for start in starts:
        start.start()
