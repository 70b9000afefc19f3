"""What a measurement gives."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Figures", "percentile"]

#: The figures of one measurement of one subject, by name.
Figures = dict[str, float]


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that *percent* of the *values* do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
