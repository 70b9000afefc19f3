"""``Heartbeat``: tells somebody outside, again and again, that this manager does its work; silence is the alarm."""

from __future__ import annotations

import datetime
import inspect
import threading
import urllib.parse
from collections.abc import Callable
from typing import Any

from task.errors import DeclarationError, DeclarationTypeError
from task.log import logger
from task.scheduler import Scheduler
from task.schedules import shorten

__all__ = ["Heartbeat", "check_heartbeat", "ping"]

#: How long a URL may take to answer. Seconds.
TIMEOUT = 5.0


def check_heartbeat(beat: Any, every: Any) -> None:
    """Raise `DeclarationTypeError` or `DeclarationError` for what cannot be pinged."""
    if isinstance(every, bool) or not isinstance(every, (int, float)) or not 1 <= every <= 86_400:
        raise DeclarationError(f"heartbeat_every is a number of seconds from 1 to 86400, not {shorten(every)}.")
    if beat is None:
        return
    if isinstance(beat, str):
        _check_url(beat)
        return
    if not callable(beat):
        raise DeclarationTypeError(f"heartbeat is a URL or a function that takes nothing, not {shorten(beat)}.")
    if inspect.iscoroutinefunction(beat):
        raise DeclarationError("heartbeat is an async def, and is called on a plain thread. Make it a def.")


def _check_url(url: str) -> None:
    try:
        parts = urllib.parse.urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and url.isascii() and url.isprintable()
        sound = sound and " " not in url and "@" not in parts.netloc and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    if not sound:
        raise DeclarationError(
            "heartbeat is a URL that begins with http:// or https:// and names a host, without a user and a password; "
            "or a function."
        )


def ping(url: str) -> None:
    """GET a URL, and nothing but http and https, wherever it redirects to. Raises `OSError` for any other answer."""
    from urllib import request  # with all that it loads, for those who use it

    class Redirects(request.HTTPRedirectHandler):
        def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
            fp.read = bytes  # the one of `urllib` reads all that comes with it, which may have no end
            return super().http_error_302(req, fp, code, msg, headers)

        http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        Redirects,
        request.HTTPDefaultErrorHandler,
        request.HTTPErrorProcessor,
        request.UnknownHandler,
    ):
        opener.add_handler(handler())
    with opener.open(url, timeout=TIMEOUT):
        return  # what it says does not matter


class Heartbeat:
    """Pings *beat* every so many seconds, from a thread of its own, never twice at a time."""

    def __init__(
        self, scheduler: Scheduler, beat: str | Callable[[], object], every: float, healthy: Callable[[], object]
    ) -> None:
        self.beat = beat
        self.every = every
        self._scheduler = scheduler
        self._healthy = healthy
        #: Whether nobody outside is to hear of it now.
        self.muted = False
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """A forked child has not its parent's thread."""
        self._wanted = threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self._timer: Any = None
        self._running = self._busy = self._failed = False

    def begin(self) -> None:
        """The loop runs: the first ping goes out at once."""
        self._running = not self.muted
        self._tick()

    def end(self) -> None:
        """It does not any more; one ping under way may go on."""
        self._running = False
        if self._timer is not None:
            self._scheduler.call_off(self._timer)
        thread, self._thread = self._thread, None
        if thread is not None:
            self._wanted.release()
            if thread is not threading.current_thread():
                thread.join(1)

    def _tick(self) -> None:
        """On the loop: as long as that makes passes, somebody outside hears of it."""
        if not self._running:
            return
        later = self._scheduler.clock.now() + datetime.timedelta(seconds=self.every)
        self._timer = self._scheduler.call_at(later, self._tick)
        if self._scheduler.clock.inline:
            self._ping()
        elif not self._busy:
            self._busy = True
            if self._thread is None or not self._thread.is_alive():
                self._wanted = threading.Semaphore(0)
                self._thread = threading.Thread(
                    target=self._run, args=(self._wanted,), name="task-heartbeat", daemon=True
                )
                self._thread.start()
            self._wanted.release()

    def _run(self, wanted: threading.Semaphore) -> None:
        try:
            while wanted.acquire() and self._running and self._wanted is wanted:
                self._ping()
                self._busy = False
        finally:
            self._busy = False

    def _ping(self) -> None:
        if not self._healthy():
            return
        try:
            ping(self.beat) if isinstance(self.beat, str) else self.beat()
        except (Exception, SystemExit) as error:
            if not self._failed:
                logger.warning("The heartbeat %s fails: %s; it is tried again", self._name, _text(error))
            self._failed = True
            return
        if self._failed:
            logger.warning("The heartbeat %s is heard again", self._name)
        self._failed = False

    @property
    def _name(self) -> str:
        """Without what may be secret of a URL: its path."""
        if not isinstance(self.beat, str):
            return shorten(self.beat)
        return f"to {urllib.parse.urlsplit(self.beat).hostname}"


def _text(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:300]
    except Exception:
        return type(error).__name__
