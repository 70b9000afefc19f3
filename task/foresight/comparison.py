"""``compare``: which slots appear, vanish or move between two managers, as their code declares them."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from task.clock import in_zone
from task.errors import BrokenScheduleError, ParameterError
from task.foresight.declared import DeclaredTask, declared_tasks, slots_of
from task.foresight.moves import Moves, compared
from task.models import TaskManager
from task.schedules import shorten

__all__ = ["Comparison", "OptionChange", "TaskChange", "check_span", "compare", "compare_declared"]

Moment = datetime.datetime

#: A comparison looks no further ahead, and at no more slots of all tasks together.
LONGEST = datetime.timedelta(days=366)
MOST_SLOTS = 1_000_000


class OptionChange(NamedTuple):
    """An option of a task that changes what happens."""

    option: str
    was: str
    now: str


class TaskChange(NamedTuple):
    """What is different about one task. Of one that is added, all its slots appear; of a removed one all vanish."""

    task: str
    kind: Literal["added", "removed", "renamed", "changed"]
    #: Its name before, of one that is renamed: another name for the same function.
    was: str | None
    #: Its schedules before and now, in words.
    schedules: tuple[tuple[str, ...], tuple[str, ...]]
    options: tuple[OptionChange, ...]
    #: What becomes of its slots.
    moves: Moves


class Comparison(NamedTuple):
    """What two managers would do differently from *since* to *until*: as their code declares it, bodies aside."""

    since: Moment
    until: Moment
    #: By name.
    changes: tuple[TaskChange, ...]
    #: So many tasks are the same in both.
    unchanged: int

    @property
    def slots_differ(self) -> bool:
        """Whether any slot appears, vanishes or moves."""
        return any(change.moves.any for change in self.changes)


def compare(old: TaskManager, new: TaskManager, until: Moment, *, since: Moment | None = None) -> Comparison:
    """Which slots appear, vanish or move in ``(since, until]`` when *new* takes the place of *old*.

    The slots are those of the real timetable, exact over every change of a clock, as if both were registered at *since*
    (by default now). Neither manager is started. What is compared is their code, not what stores keep: switches,
    anchors, and entries in a store that processes share. Bodies are not compared, and take no time (``fixed_delay``).

    Raises `ParameterError` for a span that is not ahead, longer than 366 days, or with more than 1 000 000 slots, and
    `BrokenScheduleError` for a schedule of your own that fails.

    >>> import datetime
    >>> from task import TaskManager, every
    >>> from task.foresight import compare
    >>> old, new = TaskManager([]), TaskManager([])
    >>> _ = old.add(print, every().day.at("02:00", "UTC"), name="report")
    >>> _ = new.add(print, every().day.at("03:00", "UTC"), name="report")
    >>> monday = datetime.datetime(2026, 5, 4, tzinfo=datetime.timezone.utc)
    >>> change, = compare(old, new, monday + datetime.timedelta(days=7), since=monday).changes
    >>> change.kind, [(shift.was, shift.now, shift.times) for shift in change.moves.shifts]
    ('changed', [('02:00', '03:00', 7)])
    """
    begin = new.clock.now() if since is None else since
    check_span(begin, until)
    return compare_declared(declared_tasks(old), declared_tasks(new), begin, until)


def check_span(since: Moment, until: Moment) -> None:
    """Refuse what cannot be looked at."""
    for moment in (since, until):
        if not isinstance(moment, datetime.datetime) or moment.utcoffset() is None:
            raise ParameterError(f"{shorten(moment)} is not an aware datetime. Add its time zone.")
    if not since < until <= since + LONGEST:
        raise ParameterError(
            f"From {in_zone(since):%Y-%m-%d %H:%M} to {in_zone(until):%Y-%m-%d %H:%M} nothing can be foreseen: the end "
            "is to come after the beginning, at most 366 days later."
        )


def compare_declared(
    old: Iterable[DeclaredTask], new: Iterable[DeclaredTask], since: Moment, until: Moment
) -> Comparison:
    """`compare`, of what two managers declare."""
    before, now = {task.name: task for task in old}, {task.name: task for task in new}
    renamed = _renamed(before, now)
    budget = Budget(MOST_SLOTS)
    changes: list[TaskChange] = []
    for name in sorted(before.keys() | now.keys()):
        if name in renamed.values() and name not in now:
            continue  # it is told under its new name
        one = before.get(renamed.get(name, name))
        change = _change(one, now.get(name), since, until, budget)
        changes += [change] if change is not None else []
    return Comparison(since, until, tuple(changes), len(now.keys() & before.keys()) - _kept(changes))


def _kept(changes: Sequence[TaskChange]) -> int:
    return sum(change.kind == "changed" for change in changes)


def _renamed(before: dict[str, DeclaredTask], now: dict[str, DeclaredTask]) -> dict[str, str]:
    """The new names of functions that had another one: where there is no doubt which."""
    gone, come = _by_function(before, now), _by_function(now, before)
    return {
        come[function][0]: gone[function][0] for function in gone.keys() & come.keys() if _one(gone, come, function)
    }


def _by_function(tasks: dict[str, DeclaredTask], others: dict[str, DeclaredTask]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, task in tasks.items():
        if name not in others and task.function:
            found.setdefault(task.function, []).append(name)
    return found


def _one(gone: dict[str, list[str]], come: dict[str, list[str]], function: str) -> bool:
    return len(gone[function]) == len(come[function]) == 1


class Budget:
    """How many more slots may be looked at."""

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self, slots: Iterator[Moment], task: str) -> Iterator[Moment]:
        """The same slots. Raises `ParameterError` when there are too many."""
        try:
            for slot in slots:
                self.left -= 1
                if self.left < 0:
                    raise ParameterError(
                        f"There are more than {MOST_SLOTS:,} slots to compare, those of task {task!r} among them. "
                        "Compare a shorter time."
                    )
                yield slot
        except BrokenScheduleError as error:
            raise BrokenScheduleError(f"Task {task!r}: {error}") from error


def _change(
    old: DeclaredTask | None, new: DeclaredTask | None, since: Moment, until: Moment, budget: Budget
) -> TaskChange | None:
    """What is different between two declarations of a task, of which one may not be there; None where nothing is."""
    told = new or old
    assert told is not None
    kind: Literal["added", "removed", "renamed", "changed"] = "changed"
    if old is None or new is None:
        kind = "added" if old is None else "removed"
    elif old.name != new.name:
        kind = "renamed"
    options = () if old is None or new is None else _options(old, new)
    moves = Moves()
    if old is None or new is None or not _same_slots(old, new):
        was, now = (() if one is None else slots_of(one, since, until) for one in (old, new))
        zoned = told.jobs[0] if told.jobs else None
        moves = compared(budget.spend(iter(was), told.name), budget.spend(iter(now), told.name), zoned)
    schedules = (() if old is None else old.schedules, () if new is None else new.schedules)
    if kind == "changed" and not options and not moves.any and schedules[0] == schedules[1]:
        return None
    was_called = old.name if kind == "renamed" and old is not None else None
    return TaskChange(told.name, kind, was_called, schedules, options, moves)


def _same_slots(old: DeclaredTask, new: DeclaredTask) -> bool:
    """Whether all that makes their slots is the same; a schedule of the user's own has to be asked."""
    made = [(one.name, one.schedules, one.start, one.max_runs) for one in (old, new)]
    own = any(text.startswith("its own: ") for text in (*old.schedules, *new.schedules))
    return made[0] == made[1] and not own


def _options(old: DeclaredTask, new: DeclaredTask) -> tuple[OptionChange, ...]:
    names = dict.fromkeys([*old.options, *new.options])
    pairs = ((name, old.options.get(name, "None"), new.options.get(name, "None")) for name in names)
    return tuple(OptionChange(*pair) for pair in pairs if pair[1] != pair[2])
