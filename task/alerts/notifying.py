"""``Notifier``: calls ``notify=``, away from everything that it could hold up."""

from __future__ import annotations

import datetime
import inspect
import queue
import threading
from collections.abc import Callable
from typing import NamedTuple

from task.log import logger
from task.runs import Run
from task.scheduler import Scheduler
from task.spec import takes_run

__all__ = ["Message", "Notifier"]

Notify = Callable[..., object]

#: After a failure it is tried again after so many seconds, once for each.
AGAIN = (5.0, 60.0)

#: So many messages may wait for a slow one; what comes beyond is logged, and not sent.
LIMIT = 1_000

#: How long `Notifier.close` waits for those that wait. Seconds.
CLOSE_TIMEOUT = 2.0


class Message(NamedTuple):
    """A text for somebody."""

    notify: Notify
    text: str
    run: Run | None
    #: How often it was tried.
    tried: int = 0


class Notifier:
    """Sends messages one after another, on a thread of its own that lives as long as there are any to send."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """A forked child has neither its parent's thread nor its messages."""
        self._queue: queue.Queue[Message | None] = queue.Queue(LIMIT)
        self._changing = threading.Lock()
        self._thread: threading.Thread | None = None
        #: Those that are to be tried again, and why that is.
        self._later: dict[object, tuple[Message, str]] = {}

    def send(self, message: Message) -> None:
        """Send it soon; here and now where the clock drives everything inline."""
        if self._scheduler.clock.inline:
            self._try(message)
            return
        with self._changing:
            try:
                self._queue.put_nowait(message)
            except queue.Full:
                logger.error("%d messages wait for notify=; this one is not sent: %s", LIMIT, message.text)
                return
            if self._thread is None or not self._thread.is_alive():
                # Its queue is given to it: by the time that it runs, another may have taken the place of this one.
                self._thread = threading.Thread(target=self._run, args=(self._queue,), name="task-notify", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread once it has sent what waits; one that a call blocks for longer is left behind."""
        with self._changing:
            thread, self._thread = self._thread, None
            waiting, self._queue = self._queue, queue.Queue(LIMIT)
        if thread is not None:
            try:
                waiting.put_nowait(None)
            except queue.Full:
                logger.error("%d messages for notify= are not sent: the manager stops", waiting.qsize())
            if thread is not threading.current_thread():
                thread.join(CLOSE_TIMEOUT)
        for message, why in list(self._later.values()):
            logger.error(
                "notify= failed (%s), and the manager stops; until it runs it is not told: %s", why, message.text
            )

    def _run(self, waiting: queue.Queue[Message | None]) -> None:
        while (message := waiting.get()) is not None:
            self._try(message)
            del message  # it holds a run

    def _try(self, message: Message) -> None:
        try:
            arguments = (message.text, message.run) if takes_run(message.notify) else (message.text,)
            why = _refusal(message.notify(*arguments))
            if why is None:
                return
        except (Exception, SystemExit) as error:
            why = f"{type(error).__name__}: {_text(error)}"
        if message.tried == len(AGAIN):
            logger.error("notify= failed for the last time (%s); it was not told: %s", why, message.text)
            return
        seconds = AGAIN[message.tried]
        logger.warning("notify= failed (%s); it is tried again in %g seconds", why, seconds)
        later = self._scheduler.clock.now() + datetime.timedelta(seconds=seconds)
        again, token = message._replace(tried=message.tried + 1), object()
        self._later[token] = again, why

        def send() -> None:
            self._later.pop(token, None)
            self.send(again)

        self._scheduler.call_at(later, send)


def _refusal(answer: object) -> str | None:
    """Why that was not sent; None where it was."""
    if inspect.iscoroutine(answer):
        answer.close()
        return "it returned a coroutine, which nobody awaits: call asyncio.run() in it"
    return "it returned False" if answer is False else None  # as some libraries say


def _text(error: BaseException) -> str:
    try:
        return str(error)[:300]
    except Exception:
        return "(its text raises)"
