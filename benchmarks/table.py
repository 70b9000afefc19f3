"""The table: each figure beside what it is held against, their ratio, and the goal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Row", "absolute", "as_markdown", "as_text", "ratio"]

HEADINGS = ("what", "task", "held against", "ratio", "goal", "reached")


class Row(NamedTuple):
    """One line of the table."""

    what: str
    ours: str
    other: str
    ratio: str
    goal: str
    reached: str


def ratio(what: str, ours: float, peer: str, theirs: float, unit: str, limit: float | None = None) -> Row:
    """Ours against a peer's; *limit* is how many times theirs ours may be, None where there is no goal."""
    found = ours / theirs if theirs else float("inf")
    goal = "no goal" if limit is None else ("below it" if limit == 1 else f"within {limit:g}×")
    reached = "" if limit is None else _verdict(found <= limit)
    return Row(what, _number(ours, unit), f"{_number(theirs, unit)} ({peer})", f"{found:.2f}", goal, reached)


def absolute(what: str, ours: float, unit: str, goal: str, reached: bool, other: str = "") -> Row:
    """Ours against a fixed goal."""
    return Row(what, _number(ours, unit), other, "", goal, _verdict(reached))


def _verdict(reached: bool) -> str:
    return "yes" if reached else "no"


def _number(value: float, unit: str) -> str:
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 4
    return f"{value:,.{digits}f} {unit}".replace(",", " ").strip()


def as_text(rows: Sequence[Row]) -> str:
    """For a terminal."""
    return _aligned([HEADINGS, *rows], "  ", "", "")


def as_markdown(rows: Sequence[Row]) -> str:
    """For a page."""
    return _aligned([HEADINGS, tuple("-" * 3 for _ in HEADINGS), *rows], " | ", "| ", " |")


def _aligned(lines: Sequence[Sequence[str]], between: str, before: str, after: str) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join((before + between.join(line) + after).rstrip() for line in padded)
