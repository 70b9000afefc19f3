"""What the two sides of a run tell each other, and the run's stand-in where its body is.

A message is a list of plain values, which any transport can carry: ``["place", host, process, thread]``,
``["progress", percent, text]``, ``["line", seconds since 1970, level, logger, text]``, ``["cancel", reason]``.
"""

from __future__ import annotations

import datetime
import os
import platform
import threading
from collections.abc import Callable, Mapping
from typing import Any

from task.clock import SystemClock
from task.runs import LogLine, Run, RunState

__all__ = ["Message", "Send", "StandIn", "apply_message"]

#: How much of one line of the log, or of a progress message, travels. Characters. Far more than is kept: secrets are
#: masked where it arrives, and half a secret is one, too.
LINE_LIMIT = 200_000

Message = list[Any]
#: Takes a message to the other side. It never raises, and may drop what cannot be sent any more.
Send = Callable[[Message], None]


class _Ties:
    """The holder of a stand-in: what happens to it happens to the run itself."""

    def __init__(self, send: Send, artifacts: tuple[str, str] | None = None) -> None:
        self.send = send
        self.artifacts = artifacts

    @property
    def artifact_folder(self) -> str | None:
        """That of the run; None on another machine, where the path would mean another folder."""
        host, folder = self.artifacts or (None, None)
        return folder if host == platform.node() else None

    def cancel(self, run: Run, reason: str, by: str | None) -> bool:
        """Ask the body here, and tell the run."""
        self.send(["cancel", reason] if by is None else ["cancel", reason, by])
        run.ask_to_stop()
        return True

    def withdraw(self, run: Run, reason: str) -> bool:
        """The same: nobody else can ask it here."""
        return self.cancel(run, reason, None)

    def awaited(self, run: Run) -> None:
        """It ends with its process."""

    def moment(self) -> None:
        """The run itself knows its clock."""

    def waits_for_this_thread(self) -> bool:
        """The queues are in the other process."""
        return False

    def progressed(self, run: Run) -> None:
        """Tell the run how far its body is."""
        self.send(["progress", run.progress, run.message])


class StandIn(Run):
    """The run, as its body sees it in another process: what it is told goes to the run itself."""

    __slots__ = ("_send",)

    message_limit = LINE_LIMIT

    def __init__(self, facts: Mapping[str, Any], send: Send) -> None:
        super().__init__(
            facts["task"],
            facts.get("trigger", "call"),
            facts.get("queued_at") or SystemClock().now(),
            slot=facts.get("slot"),
            state=RunState.RUNNING,
            parent_id=facts.get("parent_id"),
        )
        self._id = facts.get("id")
        self.attempt = facts.get("attempt", 1)
        self.started_at = self.attempt_started_at = facts.get("started_at") or self.queued_at
        self.process, self.thread = os.getpid(), threading.current_thread().name
        self.holder = _Ties(send, facts.get("artifacts"))
        self._send = send

    def keep_line(self, line: LogLine) -> None:
        """The run itself keeps it, secrets masked."""
        self._send(["line", line.at.timestamp(), line.level, line.logger, line.message[:LINE_LIMIT]])

    def tell_place(self) -> None:
        """Tell where the body runs."""
        self._send(["place", platform.node(), self.process, self.thread])


def apply_message(run: Run | None, message: Message) -> None:
    """Do to the run what its stand-in was told."""
    if run is None:
        return
    match message:
        case ["progress", percent, text]:
            run.update_progress(percent, text)
        case ["line", seconds, level, name, text]:
            run.keep_line(LogLine(datetime.datetime.fromtimestamp(seconds, datetime.UTC), level, name, text))
        case ["place", host, process, thread]:
            run.host, run.process, run.thread = host, process, thread
        case ["cancel", reason, *by]:
            run.cancel(reason, *by)
