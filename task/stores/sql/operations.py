"""``Operation``: something that is to be done in a transaction of the ledger."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from task.log import logger
from task.stores.sql.page import Page

__all__ = ["Operation"]

T = TypeVar("T")


class Operation(Generic[T]):
    """Something to be done in a transaction.

    *apply* reads and changes a `Page`, and nothing else: it may be called again. *settle* is called with its answer
    once that is committed, *then* after it, with the answer or the error.
    """

    __slots__ = (
        "_ended",
        "_hearers",
        "answer",
        "apply",
        "bare",
        "error",
        "facts",
        "ids",
        "instead",
        "kind",
        "late",
        "names",
        "places",
        "settle",
        "then",
        "unkept",
        "urgent",
    )

    def __init__(
        self,
        kind: str,
        apply: Callable[[Page], T],
        *,
        names: Iterable[str] = (),
        ids: Iterable[str] = (),
        places: bool = False,
        settle: Callable[[T], object] | None = None,
        then: Callable[[Any], object] | None = None,
        instead: Callable[[], T] | None = None,
        late: Callable[[Any], object] | None = None,
        facts: Callable[[], Mapping[str, Any]] | None = None,
        urgent: bool = False,
    ) -> None:
        self.kind = kind
        self.apply = apply
        #: What it is going to read: for those in one transaction that is read at once.
        self.names = tuple(names)
        self.ids = tuple(ids)
        self.places = places
        self.settle = settle
        self.then = then
        #: Of what must not be lost: its answer as long as the store cannot be reached, and who hears of the one that it
        #: gets later.
        self.instead = instead
        self.late = late
        #: What the log says of it when even that is in vain.
        self.facts = facts
        #: What is done in the place of `apply` when the database refuses that.
        self.bare: Callable[[Page], T] | None = None
        #: Whether who asked goes on without an answer that does not come soon.
        self.urgent = urgent or instead is not None
        self.answer: Any = None
        self.error: BaseException | None = None
        #: Why what must not be lost is lost all the same.
        self.unkept: str | None = None
        self._ended: threading.Lock | None = None
        #: Who takes what is in it settles: the one who waits, when that has taken too long, or the one who did it.
        self._hearers = [None]

    def later(self) -> Operation[T]:
        """The same, for when the store can be reached again: its answer is known to those who waited for it."""
        again = Operation(self.kind, self.apply, names=self.names, ids=self.ids, then=self.late, facts=self.facts)
        again.bare = self.bare
        return again

    def wait(self, seconds: float) -> bool:
        """Wait until it was done, or failed; False when that has not come yet."""
        assert self._ended is not None
        return self._ended.acquire(timeout=seconds)

    def abandon(self) -> bool:
        """Nobody waits any more, though it may still be done; False when it has just ended."""
        return self._take()

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for it any more."""
        return not self._hearers

    def _take(self) -> bool:
        try:
            self._hearers.pop()  # one of two threads: the list is the lock
        except IndexError:
            return False
        return True

    def expect(self) -> None:
        """Somebody is going to wait."""
        self._ended = threading.Lock()
        self._ended.acquire()

    def end(self) -> None:
        """It was done, or failed: tell."""
        heard, done = self._take(), self.error is None
        if heard and done and self.settle is not None:
            _make(self.settle, self.answer)
        if self.unkept is not None:
            self.log(self.unkept)
        if heard and self.then is not None:
            _make(self.then, self.answer if done else self.error)
        if not heard and done and self.late is not None:
            _make(self.late, self.answer)
        if self._ended is not None:
            self._ended.release()

    def without(self) -> T:
        """Its answer without the store, for who has abandoned it."""
        assert self.instead is not None
        answer = self.instead()
        if self.settle is not None:
            _make(self.settle, answer)
        return answer

    def log(self, why: str) -> None:
        """The log has what the store has not."""
        if self.facts is not None:
            logger.error("The store does not have this (%s): %s", why, json.dumps(self.facts(), default=str))

    def outcome(self) -> T:
        """Its answer. Raises what it failed with."""
        if self.error is not None:
            raise self.error
        answer: T = self.answer
        return answer


def _make(call: Callable[[Any], object], argument: Any) -> None:
    try:
        call(argument)
    except BaseException:  # the others wait for theirs
        logger.exception("What follows an operation of the store failed")
