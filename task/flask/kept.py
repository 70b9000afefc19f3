"""``Kept``: what was made of objects, so that it is not made again for each who asks."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Kept"]

T = TypeVar("T")


class Kept(Generic[T]):
    """So many things at most that were made of frozen objects, each in several variants.

    It has no lock: of two threads that ask at once both may make it.

    >>> kept, made = Kept[str](most=100), []
    >>> value = (1, 2)
    >>> [kept.of(value, "sum", lambda: made.append(sum(value)) or "3") for _ in range(3)]
    ['3', '3', '3']
    >>> made
    [3]
    """

    def __init__(self, most: int) -> None:
        self._most = most
        #: By identity; that is another object's when nobody has this one any more, and so it is kept, too.
        self._kept: dict[tuple[int, Hashable], tuple[object, T]] = {}

    def of(self, value: object, variant: Hashable, make: Callable[[], T]) -> T:
        """What *make* returns, or returned when it was asked for that *variant* of the same object."""
        key = id(value), variant
        found = self._kept.get(key)
        if found is not None:
            return found[1]
        made = make()
        if len(self._kept) >= self._most:
            self._kept.clear()  # what is still wanted is soon there again
        self._kept[key] = value, made
        return made
