"""``Rehearsal``: for a while the managers of this process go by another clock, on records that nobody keeps.

It is what a test does with managers that its code has made: production's own, at import, or in an application's
factory. When it is over each is as it was: its store, its tasks and their switches, its schedules, its last runs.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, ClassVar

from task.clock import Clock, ProcessClock
from task.errors import VirtualTimeError
from task.models.function import set_lonely_apart
from task.stores import MemoryStore, Store

if TYPE_CHECKING:
    from task.models.embedding import Embedding
    from task.models.manager import TaskManager

__all__ = ["Kept", "Rehearsal", "all_embeddings"]

#: Each manager of this process has one.
all_embeddings: weakref.WeakSet[Embedding] = weakref.WeakSet()


#: So many rows of each task are kept meanwhile.
KEPT = 2_000


class Rehearsal:
    """All managers that were given no clock go by *clock*, those that are made meanwhile included.

    Each gets a fresh record in memory, unless *keep_stores*; managers on one store get one record. There is one at a
    time in a process.
    """

    under_way: ClassVar[Rehearsal | None] = None

    def __init__(self, clock: Clock, *, keep_stores: bool = False) -> None:
        self._clock = clock
        self._keep_stores = keep_stores
        self._all_kept: dict[Embedding, Kept] = {}
        #: Which record is there in the place of which store.
        self._records: list[tuple[Store, Store]] = []

    @property
    def managers(self) -> list[TaskManager]:
        """Those that run in it, or have."""
        return [one.manager for one in self._all_kept if one.manager.scheduler.has_run]

    def kept(self, embedding: Embedding) -> Kept | None:
        """What a manager was before; None of one that takes no part."""
        return self._all_kept.get(embedding)

    @staticmethod
    @contextlib.contextmanager
    def stopped() -> Iterator[None]:
        """Managers that run by the machine's clock are stopped meanwhile, and run again afterwards.

        Raises `VirtualTimeError` inside of a rehearsal.
        """
        if Rehearsal.under_way is not None:
            raise VirtualTimeError(
                "Virtual time is in the place of the machine's already. Use that clock, or end it first."
            )
        ran = [one.manager for one in all_embeddings if _follows(one) and one.manager.state == "running"]
        try:
            for manager in ran:
                manager.stop()
            yield
        finally:
            for manager in ran:
                manager.run()

    def __enter__(self) -> Rehearsal:
        self._before = ProcessClock.instead
        Rehearsal.under_way, ProcessClock.instead = self, self._clock
        self._put_back_lonely = set_lonely_apart()
        with contextlib.ExitStack() as stack:  # where one cannot take part, the others have not, either
            stack.callback(self.__exit__)
            for embedding in list(all_embeddings):
                self.take(embedding, born=False)
            stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.ExitStack() as stack:  # each of them, whatever becomes of the others
            stack.callback(self._end)
            for kept in self._all_kept.values():
                stack.callback(kept.end)
            for embedding in self._all_kept:
                stack.callback(embedding.manager.stop, timeout=0)

    def _end(self) -> None:
        self._put_back_lonely()
        Rehearsal.under_way, ProcessClock.instead = None, self._before

    def take(self, embedding: Embedding, *, born: bool) -> None:
        """Let a manager take part, which was there before, or has just been *born*."""
        if _follows(embedding):
            store = embedding.manager.store
            put_back = embedding.set_apart(self._record_for(store), born=born)
            self._all_kept[embedding] = Kept(embedding, store, put_back)

    def _record_for(self, store: Store) -> Store:
        if self._keep_stores:
            return store
        for original, record in self._records:
            if original.is_one_with(store):
                return record
        record = MemoryStore(keep=KEPT)
        self._records.append((store, record))
        return record


def _follows(embedding: Embedding) -> bool:
    """Whether a manager goes by the clock of its process, and not by one of its own."""
    return isinstance(embedding.manager.clock, ProcessClock)


class Kept:
    """One manager in a rehearsal: what it was before."""

    def __init__(self, embedding: Embedding, store: Store, put_back: Callable[[], None]) -> None:
        self._embedding = embedding
        #: The store that it has outside of the rehearsal.
        self.store = store
        self._put_back = put_back
        self._later: Store | None = None

    def keep_in(self, store: Store) -> None:
        """Give it this store when the rehearsal is over."""
        self._later = store

    def end(self) -> None:
        """Let it be what it was."""
        self._put_back()
        if self._later is not None:
            self._embedding.move_to(self._later)
