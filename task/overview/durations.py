"""Spans of time as people read them."""

from __future__ import annotations

__all__ = ["duration_text"]

_UNITS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))


def duration_text(seconds: float) -> str:
    """So many seconds, in two units at most.

    >>> [duration_text(value) for value in (0.0004, 0.25, 0.9996, 12.34, 59.97, 75, 3_700, 200_000)]
    ['0 ms', '250 ms', '1.0 s', '12.3 s', '1 min', '1 min 15 s', '1 h 1 min', '2 d 7 h']
    """
    if seconds < 0.9995:
        return f"{seconds * 1_000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    size, name, smaller, smaller_name = next(unit for unit in _UNITS if whole >= unit[0])
    rest = whole % size // smaller
    return f"{whole // size} {name}" + (f" {rest} {smaller_name}" if rest else "")
