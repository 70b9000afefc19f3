"""Strips: the newest slots of a task, drawn side by side, each outcome by a colour and a shape of its own."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from markupsafe import Markup

from task.flask.pages.texts import moment, state_text
from task.overview import Cell, duration_text

__all__ = ["strip"]

#: So many cells have room, each in a box of 5 by 24, drawn 4 wide.
ROOM = 60

_DISC = "a2 2 0 1 0 4 0 2 2 0 1 0-4 0z"
_WAITS = f" 12{_DISC}"

#: By state: what follows ``M`` and how far to the right the cell is.
_SHAPES = {
    "succeeded": " 3q0-1 1-1h2q1 0 1 1v18q0 1-1 1h-2q-1 0-1-1z",
    "failed": " 0h4v15h-4zm0 17h4v7h-4z",
    "timed_out": " 0h4v6h-4zm0 9h4v6h-4zm0 9h4v6h-4z",
    "skipped": " 14h4v8h-4z",
    "missed": " 22l2-12 2 12z",
    "cancelled": " 8h4v8h-4z",
    "lost": f" 5{_DISC}m0 7{_DISC}m0 7{_DISC}",
    "running": " 2v20l4-10z",
    "queued": _WAITS,
    "retrying": _WAITS,
}


class _Same:
    """One tuple of cells, told from any other without looking at what is in it."""

    __slots__ = ("cells",)

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.cells = cells

    def __hash__(self) -> int:
        return id(self.cells)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.cells is other.cells


def strip(cells: tuple[Cell, ...], told: bool = False) -> Markup:
    """The newest at the right. With *told*, each says on hover what it is.

    The strip of a task stays the same tuple as long as nothing of it has run: it is drawn once.

    >>> import datetime
    >>> noon = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)
    >>> print(strip((Cell("1", "failed", noon, 2.0, 1),)).partition("<path ")[2])
    class="failed" d="M295 0h4v15h-4zm0 17h4v7h-4z"/></svg>
    """
    return _drawn(_Same(cells), told)


@functools.lru_cache(maxsize=2_000)
def _drawn(same: _Same, told: bool) -> Markup:
    newest = same.cells[-ROOM:]
    left = 5 * (ROOM - len(newest))
    drawn = _one_by_one(newest, left) if told else _by_state(newest, left)
    # Nothing in it comes from outside: states are ours, and what is told is made of these and of numbers.
    return Markup(
        f'<svg class="strip" viewBox="0 0 {5 * ROOM} 24" preserveAspectRatio="xMaxYMid meet" aria-hidden="true">'
        f"{drawn}</svg>"
    )


def _by_state(cells: Sequence[Cell], left: int) -> str:
    """One path for all that are alike: a page has many strips."""
    paths: dict[str, list[str]] = {}
    for number, cell in enumerate(cells):
        paths.setdefault(cell.state, []).append(f"M{left + 5 * number}{_SHAPES[cell.state]}")
    return "".join(f'<path class="{state}" d="{"".join(shapes)}"/>' for state, shapes in paths.items())


def _one_by_one(cells: Sequence[Cell], left: int) -> str:
    drawn = []
    for number, cell in enumerate(cells):
        shape = f"M{left + 5 * number}{_SHAPES[cell.state]}"
        drawn.append(f'<path class="{cell.state}" d="{shape}"><title>{_title_of(cell)}</title></path>')
    return "".join(drawn)


def _title_of(cell: Cell) -> str:
    count = f", {cell.count} slots" if cell.count > 1 else ""
    took = "" if cell.duration is None else f", {duration_text(cell.duration)}"
    return f"{state_text(cell.state)}{count}, {moment(cell.at)}{took}"
