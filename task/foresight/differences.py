"""A comparison in lines: ``+`` a task that is added, ``-`` one that is removed, ``~`` one that changes."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from task.foresight.comparison import Comparison, TaskChange
from task.foresight.heat import number_text
from task.foresight.moves import Shift
from task.foresight.texts import moment_text
from task.log import printable

__all__ = ["comparison_text"]

_MARKS = {"added": "+", "removed": "-", "renamed": "~", "changed": "~"}
_RED, _GREEN, _YELLOW, _END = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"
_COLOURS = {"+": _GREEN, "-": _RED, "~": _YELLOW}

#: So much of a schedule or of an option's value is told. Characters.
_LONGEST = 100


def comparison_text(comparison: Comparison, limit: int = 50, colour: bool = False) -> Iterator[str]:
    """Its lines, of at most *limit* tasks: what is different about each, with counts and the first slots.

    >>> import datetime
    >>> from task import TaskManager, every
    >>> from task.foresight import compare, comparison_text
    >>> old, new = TaskManager([]), TaskManager([])
    >>> _ = old.add(print, every().day.at("02:00", "UTC"), name="report")
    >>> _ = new.add(print, every().day.at("03:00", "UTC"), name="report")
    >>> monday = datetime.datetime(2026, 5, 4, tzinfo=datetime.timezone.utc)
    >>> found = compare(old, new, monday + datetime.timedelta(days=7), since=monday)
    >>> for line in list(comparison_text(found))[:4]:
    ...     print(line)
    ~ report
        schedule: every day at 02:00 in UTC
             now: every day at 03:00 in UTC
        7 slots move: 02:00 -> 03:00, 7 times from Mon 4 May
    """
    for change in comparison.changes[:limit]:
        mark = _MARKS[change.kind]
        head = f"{mark} {printable(change.task)}{_kind(change)}"
        yield f"{_COLOURS[mark]}{head}{_END}" if colour else head
        yield from (f"    {line}" for line in _details(change))
    if len(comparison.changes) > limit:
        yield f"and {number_text(len(comparison.changes) - limit)} more tasks that are different"
    yield _sum(comparison)


def _kind(change: TaskChange) -> str:
    if change.kind == "changed":
        return ""
    return f": renamed, was {printable(change.was or '')}" if change.kind == "renamed" else f": {change.kind}"


def _details(change: TaskChange) -> Iterator[str]:
    was, now = ("; ".join(map(_cut, texts)) or "none" for texts in change.schedules)
    if change.kind == "added":
        yield f"schedule: {now}"
    elif change.kind == "removed":
        yield f"schedule: {was}"
    elif was != now:
        yield f"schedule: {was}"
        yield f"     now: {now}"
    for option in change.options:
        yield f"{option.option}: {_cut(option.was)} -> {_cut(option.now)}"
    moves = change.moves
    if moves.move:
        yield f"{_slots(moves.move)} move{_s(moves.move)}: {_shifts(moves.shifts)}"
    if moves.appear:
        yield f"{_slots(moves.appear)} appear{_s(moves.appear)}: {_examples(moves.appearing, moves.appear)}"
    if moves.vanish:
        verb = "vanishes" if moves.vanish == 1 else "vanish"
        yield f"{_slots(moves.vanish)} {verb}: {_examples(moves.vanishing, moves.vanish)}"


def _cut(text: str) -> str:
    told = printable(text)
    return told if len(told) <= _LONGEST else f"{told[: _LONGEST - 1]}…"


def _slots(count: int) -> str:
    return "1 slot" if count == 1 else f"{number_text(count)} slots"


def _s(count: int) -> str:
    return "s" if count == 1 else ""


def _shifts(shifts: tuple[Shift, ...]) -> str:
    return "; ".join(f"{one.was} -> {one.now}, {_times(one.times)} from {_day(one.first)}" for one in shifts)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{number_text(count)} times"


def _day(moment: datetime.datetime) -> str:
    return f"{moment:%a} {moment.day} {moment:%b}"


def _examples(slots: tuple[datetime.datetime, ...], count: int) -> str:
    told = ", ".join(f"{_day(one)} {one:%H:%M:%S}".removesuffix(":00") for one in slots)
    return f"{told}, …" if count > len(slots) else told


def _sum(comparison: Comparison) -> str:
    span = f"{moment_text(comparison.since)} to {moment_text(comparison.until)}"
    return f"{_tasks(len(comparison.changes))} different, {_tasks(comparison.unchanged)} the same: {span}"


def _tasks(count: int) -> str:
    return "1 task is" if count == 1 else f"{number_text(count)} tasks are"
