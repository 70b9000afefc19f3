"""A heap of things that are due at moments. Whoever uses it holds a lock."""

from __future__ import annotations

import datetime
import heapq
import itertools
from typing import Generic, Protocol, TypeVar

__all__ = ["Heap", "Keyed"]

Moment = datetime.datetime


class Keyed(Protocol):
    """Something on a heap: its key is when it is due, or None while it is not there."""

    key: Moment | None


T = TypeVar("T", bound=Keyed)


class Heap(Generic[T]):
    """O(log n) to put and to take, O(1) to take back: what was taken back is passed over later."""

    __slots__ = ("_items", "_order", "_stale")

    def __init__(self) -> None:
        self._items: list[tuple[Moment, int, T]] = []
        self._order = itertools.count()
        self._stale = 0

    def put(self, item: T, key: Moment) -> bool:
        """Put *item* in, or move it; whether it is now the first."""
        if item.key is not None:
            self.take_back(item)
        item.key = key
        items = self._items
        first = not items or key < items[0][0]
        heapq.heappush(items, (key, next(self._order), item))
        return first

    def take_back(self, item: T) -> None:
        """Take *item* out, if it is there, and sweep when most of the heap is stale."""
        if item.key is None:
            return
        item.key = None
        self._stale += 1
        if self._stale > 64 and self._stale > len(self._items) // 2:
            self._items = [entry for entry in self._items if entry[2].key is entry[0]]
            heapq.heapify(self._items)
            self._stale = 0

    def live(self) -> list[T]:
        """What is on it, in no order."""
        return [item for key, _, item in self._items if item.key is key]

    def first(self) -> Moment | None:
        """When the first item is due."""
        items = self._items
        while items and items[0][2].key is not items[0][0]:
            heapq.heappop(items)
            self._stale -= 1
        return items[0][0] if items else None

    def pop(self) -> T:
        """Take the item out that `first` spoke of."""
        item = heapq.heappop(self._items)[2]
        item.key = None
        return item
