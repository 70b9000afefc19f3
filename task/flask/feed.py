"""``Feed``: what has changed on the ledger, as server-sent events, for all who follow it in one process."""

from __future__ import annotations

import collections
import datetime
import json
import math
import os
import threading
import weakref
from collections.abc import Mapping
from typing import Any

from task.clock import SystemClock
from task.errors import ParameterError, StoreError
from task.log import logger
from task.models import TaskManager
from task.runs import Run
from task.stores import Changes, JournalEntry

__all__ = ["Feed", "Place", "Places"]

#: How often it is looked for changes, as long as somebody waits for them. Seconds.
INTERVAL = 1.0

#: So many changes of each kind are read at once; who comes back to more of them is better off with a new page.
AT_ONCE = 1_000

#: So many of the newest events are kept for those who are slow to read.
KEPT = 1_000

#: After so many seconds without anybody who waits the feed begins anew, with what is then.
FORSAKEN = 5.0

_monotonic = SystemClock().monotonic


class Places:
    """How many streams are open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = 0
        #: One for each that was given back and is not yet taken off.
        self._left: collections.deque[None] = collections.deque()

    def take(self, most: int) -> Place | None:
        """One of *most* places; None when all of them are taken."""
        with self._lock:
            while self._left:
                self._left.pop()
                self._taken -= 1
            if self._taken >= most:
                return None
            self._taken += 1
            return Place(self)

    def free(self) -> None:
        """One of them is free again. No lock: garbage that is collected while one is taken may give one back."""
        self._left.append(None)

    @property
    def taken(self) -> int:
        """How many have one."""
        with self._lock:
            return self._taken - len(self._left)


class Place:
    """That of one stream."""

    def __init__(self, places: Places) -> None:
        self._places = [places]

    def leave(self) -> None:
        """Give it back. Harmless to repeat."""
        try:
            places = self._places.pop()  # of two threads, one has it
        except IndexError:
            return
        places.free()


class Feed:
    """The newest changes, as they are sent to everybody. It has no thread: of those who wait, one looks for all.

    >>> feed = Feed(TaskManager([]))
    >>> events, number = feed.join(None)
    >>> feed.wait(number, seconds=0)
    ([], 0)
    """

    def __init__(self, manager: TaskManager) -> None:
        self._manager = manager
        self.reset()
        _feeds.add(self)

    def reset(self) -> None:
        """Nobody follows it."""
        self.places = Places()
        self._condition = threading.Condition()
        #: The newest events, and how many there ever were: who follows has the number of those that he was given.
        self._events: collections.deque[bytes] = collections.deque(maxlen=KEPT)
        self._number = 0
        #: Up to where the ledger was read; None: it is not followed.
        self._position: str | None = None
        #: Whether it ever was: there may be some who wait for what comes after.
        self._followed = False
        self._looking = False
        self._next_look = float("-inf")
        self._error: StoreError | None = None

    def join(self, since: str | None) -> tuple[list[bytes], int]:
        """The events since a position, and the number from which `wait` goes on.

        What changes meanwhile may come twice, but not too late. Raises `StoreError` when the ledger cannot be read.
        """
        self._begin()
        with self._condition:
            position, number = self._position or "", self._number
        if since is None or since == position:
            return [_mark(position)], number
        try:
            changes = self._manager.changes(since, AT_ONCE)
        except ParameterError:
            return [_reset(position)], number
        if AT_ONCE in (len(changes.runs), len(changes.journal)):
            return [_reset(position)], number
        return [_mark(since), *_events_of(changes, since)], number

    def wait(self, number: int, seconds: float) -> tuple[list[bytes], int]:
        """The events after that number, as soon as there are any, or none after some *seconds*; and the next number."""
        deadline = _monotonic() + seconds
        while True:
            with self._condition:
                if self._number != number:
                    return self._after(number), self._number
                now = _monotonic()
                if now >= deadline:
                    return [], number
                if self._looking or now < self._next_look:
                    self._condition.wait(deadline - now if self._looking else min(deadline, self._next_look) - now)
                    continue
                self._looking = True
            self._look()

    def _after(self, number: int) -> list[bytes]:
        missing = self._number - number
        if missing > len(self._events):
            return [_reset(self._position or "")]
        return list(self._events)[-missing:]

    def _begin(self) -> None:
        """See that the ledger is followed, from now on if nobody has for a while."""
        while True:
            with self._condition:
                forsaken = _monotonic() > self._next_look + FORSAKEN
                if self._position is not None and not forsaken:
                    return
                if self._looking:
                    self._condition.wait(INTERVAL)
                    continue
                self._position, self._looking = None, True
            self._look()
            if self._position is None and self._error is not None:
                raise self._error

    def _look(self) -> None:
        """Look for changes. One thread at a time does, and holds nothing meanwhile that others wait for."""
        before, found = self._position, None
        events: list[bytes] = []
        try:
            found, events = self._read(before)
            self._error = None
        except StoreError as error:
            if self._error is None:
                logger.warning("Those who follow the tasks are told nothing for now: %s", error)
            self._error = error
        finally:
            with self._condition:
                self._looking = False
                more = found is not None and AT_ONCE in (len(found.runs), len(found.journal))
                self._next_look = _monotonic() + (0.0 if more else INTERVAL)
                if found is not None:
                    self._position, self._followed = found.position, True
                self._events.extend(events)
                self._number += len(events)
                self._condition.notify_all()

    def _read(self, position: str | None) -> tuple[Changes, list[bytes]]:
        if position is not None:
            try:
                found = self._manager.changes(position, AT_ONCE)
                return found, _events_of(found, position)
            except ParameterError:  # the store was begun anew
                pass
        now = self._manager.changes()
        # Forsaken it seems to be, too, when those who wait stood still with the machine: they have missed something.
        return now, [_reset(now.position)] if self._followed else []


def _events_of(changes: Changes, before: str) -> list[bytes]:
    """The last one says where they end. Who was given only some of them begins again where they all began."""
    told = [("run", _run(run)) for run in changes.runs] + [("journal", _entry(entry)) for entry in changes.journal]
    last = len(told) - 1
    return [
        _event(kind, data, changes.position if number == last else before) for number, (kind, data) in enumerate(told)
    ]


def _event(kind: str, data: Mapping[str, Any], position: str) -> bytes:
    """JSON of ASCII alone, on one line: nothing that is told can end it, or begin another field."""
    return f"id: {position}\nevent: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def _mark(position: str) -> bytes:
    """No event, but from where to go on."""
    return f"id: {position}\n\n".encode()


def _reset(position: str) -> bytes:
    """What is shown is to be read anew."""
    return _event("reset", {}, position)


def _run(run: Run) -> dict[str, Any]:
    progress = run.progress
    return {
        "id": run.id,
        "task": run.task,
        "state": str(run.state),
        "trigger": run.trigger,
        "attempt": run.attempt,
        "count": run.count,
        "progress": progress if progress is not None and math.isfinite(progress) else None,
        "message": run.message,
        "slot": _iso(run.slot),
        "queued_at": _iso(run.queued_at),
        "started_at": _iso(run.started_at),
        "finished_at": _iso(run.finished_at),
    }


def _entry(entry: JournalEntry) -> dict[str, Any]:
    return {"at": _iso(entry.at), "who": entry.who, "what": entry.what, "task": entry.task}


def _iso(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


_feeds: weakref.WeakSet[Feed] = weakref.WeakSet()


def _after_fork() -> None:
    for feed in list(_feeds):
        feed.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
