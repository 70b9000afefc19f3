"""What a measurement gives."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

__all__ = ["Figures", "percentile", "resident"]

#: The figures of one measurement of one subject, by name.
Figures = dict[str, float]


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that *percent* of the *values* do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def resident() -> int:
    """The bytes of memory that this process occupies now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
