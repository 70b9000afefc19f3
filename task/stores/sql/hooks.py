"""The points at which something is about to be, or has just been, kept. For the tests of this project only.

A point ``…:before`` comes before anything is committed; ``…:after`` when it is, and nobody was told yet.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["at", "reached"]

#: What a test wants to happen at a point, which is named to it.
reached: Callable[[str], object] | None = None


def at(point: str) -> None:
    """A point is reached."""
    if reached is not None:
        reached(point)
