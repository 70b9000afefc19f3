"""Tables that fit the terminal; elsewhere they are as wide as their texts."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence

import click

from task.log import printable

__all__ = ["COLOURS", "show_table", "table"]

#: So much of a text is looked at for a cell. Characters.
_LONGEST = 500
#: What a column keeps when there is no room, and what it should have. Characters.
_NARROWEST, _READABLE = 4, 16
_GAP = "  "

#: The colours of states; each is also told by its word.
COLOURS: Mapping[str, str] = {
    "succeeded": "green",
    "failed": "red",
    "timed_out": "red",
    "lost": "red",
    "missed": "yellow",
    "skipped": "yellow",
    "cancelled": "yellow",
    "running": "cyan",
    "retrying": "cyan",
    "queued": "cyan",
    "off": "yellow",
}

Rows = Sequence[Sequence[str]]


def show_table(
    titles: Sequence[str], rows: Rows, *, whole: Collection[str] = (), optional: Sequence[str] = (), indent: int = 0
) -> None:
    """Write a table to stdout; one that is a terminal gets lines that fit."""
    width = shutil.get_terminal_size().columns - indent if sys.stdout.isatty() else None
    for line in table(titles, rows, width, whole=whole, optional=optional):
        click.echo(" " * indent + line)


def table(
    titles: Sequence[str],
    rows: Rows,
    width: int | None,
    *,
    whole: Collection[str] = (),
    optional: Sequence[str] = (),
) -> Iterator[str]:
    """Its lines, at most so many characters wide: what does not fit is cut, with ``…``.

    The columns *whole* are not cut, as what stands there is to be copied. Those that are *optional* are left out, in
    that order, where the others cannot be read otherwise.

    >>> lines = table(["name", "state"], [["report", "failed"], ["tidy", "\\x1b[2J"]], None)
    >>> print(*map(click.unstyle, lines), sep="\\n")
    NAME    STATE
    report  failed
    tidy    \\x1b[2J
    """
    cells = [[printable(text[:_LONGEST]) for text in row] for row in rows]
    widths = [max(map(_cells, column)) for column in zip(titles, *cells, strict=True)]
    if width is not None:
        kept = _kept(titles, widths, width, whole, optional)
        titles, widths = [titles[at] for at in kept], [widths[at] for at in kept]
        cells = [[row[at] for at in kept] for row in cells]
        fixed = [title in whole for title in titles]
        _narrow(widths, fixed, width - len(_GAP) * (len(widths) - 1))
    head = _line([_fit(title.upper(), size) for title, size in zip(titles, widths, strict=True)])
    yield click.style(head, bold=True)
    for row in cells:
        yield _line([_coloured(text, _fit(text, size)) for text, size in zip(row, widths, strict=True)])


def _line(cells: Sequence[str]) -> str:
    return _GAP.join(cells).rstrip()


def _coloured(text: str, cell: str) -> str:
    colour = COLOURS.get(text.partition(" ")[0])
    return cell if colour is None else click.style(cell.rstrip(), fg=colour) + " " * (len(cell) - len(cell.rstrip()))


def _kept(
    titles: Sequence[str], widths: Sequence[int], width: int, whole: Collection[str], optional: Sequence[str]
) -> list[int]:
    """Which columns are shown: those for which there is room, and all that are not optional."""
    least = [size if title in whole else min(size, _READABLE) for title, size in zip(titles, widths, strict=True)]
    kept = list(range(len(titles)))
    for title in optional:
        if sum(least[at] for at in kept) + len(_GAP) * (len(kept) - 1) > width:
            kept = [at for at in kept if titles[at] != title]
    return kept


def _narrow(widths: list[int], fixed: Sequence[bool], room: int) -> None:
    """Take from the widest column until all fit."""
    while sum(widths) > room:
        widest = max(range(len(widths)), key=lambda at: (not fixed[at], widths[at]))
        if fixed[widest] or widths[widest] <= _NARROWEST:
            return
        widths[widest] -= 1


def _fit(text: str, size: int) -> str:
    if _cells(text) > size:
        while _cells(text) > size - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (size - _cells(text))


def _cells(text: str) -> int:
    """How many places of a terminal it takes."""
    if text.isascii():
        return len(text)
    return sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
