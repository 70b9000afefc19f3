"""``Overview``: what the pages, the API and the command line show of one manager."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeVar, get_args

from task.errors import ParameterError, StoreError, UnknownTaskError, did_you_mean
from task.models import Health, TaskManager
from task.overview.cards import Cards
from task.overview.incidents import OpenIncidents
from task.overview.keeper import Keeper
from task.overview.plans import Plans
from task.overview.problems import problems_of, problems_of_manager, sort_problems
from task.overview.sights import Sight, Snapshot
from task.overview.slots import Ahead, clock_change, local_text, upcoming
from task.overview.strips import Strip
from task.overview.timelines import LANES, SPANS, Lanes
from task.overview.values import Doing, Point, Problem, TaskCard, TaskPage, Timeline, Upcoming
from task.overview.wellness import health_of
from task.runs import Run, RunState
from task.schedules import CronJob, Line, schedule_from_words, shorten
from task.stores import Standing, Statistics, check_limit

__all__ = ["Overview"]

Moment = datetime.datetime

T = TypeVar("T")

#: So many answers are kept with what they were made of.
KEPT = 20

#: Of so many tasks that run now it is looked whether they take longer than usual.
LOOKED_AT = 100


class Overview:
    """What people see of one manager. What was read for one question serves the next: then only changes are read.

    While the store cannot be reached, the last that was seen is shown, with a problem that says so.

    With *on_record* that is what the store has on record, whichever process has it in its code: what a process without
    the code sees.

    >>> from task import TaskManager, every
    >>> manager = TaskManager([])
    >>> sample = manager.add(lambda: None, every(30).seconds, name="sample")
    >>> [(card.name, card.schedules[0].text, card.doing) for card in Overview(manager).tasks().cards]
    [('sample', 'every 30 seconds', 'idle')]
    """

    def __init__(self, manager: TaskManager, *, on_record: bool = False) -> None:
        self._manager = manager
        self._on_record = on_record
        self._keeper = Keeper(manager, on_record=on_record)
        self._cards = Cards()
        self._incidents = OpenIncidents(manager)
        self._lanes = Lanes(manager)
        self._plans = Plans(manager)
        self._strips = self._keeper.strips
        #: What was found wrong with each task, as it stood then, and of when that is.
        self._found: tuple[dict[str, tuple[Sight, list[Problem]]], float] = ({}, -1.0)

    def tasks(
        self,
        *,
        text: str | None = None,
        tag: str | None = None,
        doing: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> TaskPage:
        """Tasks and recurring entries by name: those whose name or description has *text*, with a *tag*, that do so.

        *doing* is one of `TaskCard.doing`, or ``failing``. *cursor* is that of the page before. Raises
        `ParameterError` for a *limit* that is not 1 to 1000, and for another *doing*.
        """
        check_limit(limit)
        _check_doing(doing)
        return self._tasks(self._keeper.snapshot(), text, tag, doing, limit, cursor)

    def board(
        self,
        *,
        text: str | None = None,
        tag: str | None = None,
        doing: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[TaskPage, tuple[Problem, ...]]:
        """What `tasks` and `problems` return, of one moment. Raises as `tasks`."""
        check_limit(limit)
        _check_doing(doing)
        snapshot = self._keeper.snapshot()
        return self._tasks(snapshot, text, tag, doing, limit, cursor), self._problems_of(snapshot)

    def _tasks(
        self,
        snapshot: Snapshot,
        text: str | None,
        tag: str | None,
        doing: str | None,
        limit: int,
        cursor: str | None,
    ) -> TaskPage:
        found = list(snapshot.sights.values())
        if text or tag is not None or doing is not None:
            found = [sight for sight in found if _wanted(sight, (text or "").casefold(), tag, doing)]
        rest = found if cursor is None else [sight for sight in found if sight.name > cursor]
        page = rest[:limit]
        cards = tuple(self._cards_of(page, snapshot))
        following = page[-1].name if len(rest) > limit else None
        return TaskPage(cards, len(found), following, snapshot.tags, snapshot.doing, snapshot.paused)

    def task(self, name: str) -> TaskCard:
        """One of them, as it stands now. Raises `UnknownTaskError`."""
        snapshot = self._keeper.snapshot()
        return next(self._cards_of([self._sight(snapshot, name)], snapshot))

    @property
    def position(self) -> str | None:
        """Where `TaskManager.changes` goes on from what is told now; None while the store cannot be reached."""
        return self._keeper.snapshot().position

    def health(self) -> Health:
        """Whether its tasks are run: in this process, or, where its manager is stopped here, by others on its store."""
        return health_of(self._manager)

    def problems(self) -> tuple[Problem, ...]:
        """What wants attention, the worst first."""
        return self._problems_of(self._keeper.snapshot())

    def _problems_of(self, snapshot: Snapshot) -> tuple[Problem, ...]:
        return self._once(snapshot, "problems", lambda: self._problems(snapshot))

    def _problems(self, snapshot: Snapshot) -> tuple[Problem, ...]:
        """Of the tasks that stand as they did, what was found last, within the second; but of those that run anew."""
        before, since = self._found
        before = before if since == snapshot.members_at else {}
        running = [sight for sight in snapshot.sights.values() if sight.standing.active]
        strips, now = self._strips_of(running[:LOOKED_AT]), self._manager.clock.now()
        incidents = self._incidents.of(snapshot)
        found: dict[str, tuple[Sight, list[Problem]]] = {}
        for name, sight in snapshot.sights.items():
            kept = before.get(name)
            if kept is None or kept[0] is not sight or sight.standing.active:
                strip = strips.get(name) or self._strips.last(name)
                kept = sight, list(problems_of(sight, strip, now, incidents.get(name, ())))
            found[name] = kept
        self._found = found, snapshot.members_at
        return sort_problems(
            [*problems_of_manager(self._manager, snapshot), *(one for _, some in found.values() for one in some)]
        )

    def figures(self, standing: Mapping[str, Standing]) -> dict[str, Statistics]:
        """How long the newest 60 runs took, and how late they were, of tasks that stand so. Raises `StoreError`."""
        return {name: strip.figures for name, strip in self._strips.of(standing).items()}

    def upcoming(
        self, task: str | None = None, *, until: Moment | None = None, limit: int = 100
    ) -> tuple[Upcoming, ...]:
        """The slots that are to come, in order, at most *limit* (1 to 1000): of one task, or of all of them.

        Where all are asked for, what is paused or disabled is left out: its slots will be skipped. Raises
        `UnknownTaskError` and `ParameterError`.
        """
        check_limit(limit)
        snapshot = self._keeper.snapshot()
        sights = [self._sight(snapshot, task)] if task is not None else list(_going(snapshot))
        slots = list(itertools.islice(upcoming(self._plans.ahead(sights), until), limit))
        names = {name for _, name, _ in slots}
        strips = self._strips_of([sight for sight in sights if sight.name in names])
        return tuple(_upcoming(slot, name, line, strips[name].median) for slot, name, line in slots)

    def timeline(
        self, span: Literal["day", "week"] = "day", *, tag: str | None = None, names: Sequence[str] | None = None
    ) -> Timeline:
        """The last and the next 24 hours, or 7 days: of the tasks with a *tag*, of those that are named, or of all.

        At most 100 lanes, by their names. Raises `ParameterError`.
        """
        if span not in SPANS:
            raise ParameterError(f"span={shorten(span)} is not a span of a timeline. There are: {', '.join(SPANS)}.")
        snapshot = self._keeper.snapshot()
        chosen = None if names is None else frozenset(names)
        wanted = [sight for sight in snapshot.sights.values() if _on_timeline(sight, tag, chosen)][:LANES]
        return self._once(snapshot, (span, tag, chosen), lambda: self._timeline(snapshot, SPANS[span], wanted))

    def _timeline(self, snapshot: Snapshot, span: datetime.timedelta, sights: Sequence[Sight]) -> Timeline:
        going = {sight.name for sight in _going(snapshot)}
        ahead = self._plans.ahead([sight for sight in sights if sight.name in going])
        return self._lanes.timeline(span, sights, self._strips_of(sights), ahead)

    def points(self, task: str, limit: int = 200) -> tuple[Point, ...]:
        """Its newest runs that started, oldest first, at most *limit* (1 to 1000) of its newest rows.

        Raises `UnknownTaskError` and `ParameterError`.
        """
        check_limit(limit)
        self._sight(self._keeper.snapshot(), task)
        try:
            rows = self._manager.store.recent([task], limit).get(task, [])
        except StoreError:
            return ()
        return tuple(_point(run) for run in reversed(rows) if run.started_at is not None)

    def preview(self, schedule: str, *, count: int = 10, name: str = "") -> tuple[Upcoming, ...]:
        """The next slots of a schedule in words, from now on; *name* is that of its task. Raises `ScheduleError`."""
        check_limit(count)
        job, now = schedule_from_words(schedule), self._manager.clock.now()
        line = Line(job.hashed_by(name) if isinstance(job, CronJob) else job, now, name)
        slots = itertools.islice(upcoming([Ahead(name, line, line.after(now))]), count)
        return tuple(_upcoming(slot, name, line, None) for slot, _, line in slots)

    # What it is read from.

    def forget(self) -> None:
        """Something was done here just now: the next question reads everything, to see it at once."""
        self._keeper.forget()

    @staticmethod
    def _once(snapshot: Snapshot, key: object, make: Callable[[], T]) -> T:
        """What was made of a snapshot serves all that ask for the same while it is the newest."""
        found: T | None = snapshot.kept.get(key)
        if found is None:
            found = make()
            if len(snapshot.kept) < KEPT:
                snapshot.kept[key] = found
        return found

    def _sight(self, snapshot: Snapshot, name: str) -> Sight:
        found = snapshot.sights.get(name)
        if found is None and self._on_record:
            hint = did_you_mean(name, snapshot.sights, "`list` shows those that there are.")
            raise UnknownTaskError(f"There is no task {shorten(name)} on record. {hint}")
        if found is None:
            self._manager[name]  # raises, unless it was added just now
            self._keeper.forget()
            found = self._keeper.snapshot().sights.get(name)
        if found is None:
            raise UnknownTaskError(f"There is no task {shorten(name)} any more.")
        return found

    def _strips_of(self, sights: Iterable[Sight]) -> dict[str, Strip]:
        standing = {sight.name: sight.standing for sight in sights}
        try:
            return self._strips.of(standing)
        except StoreError:  # as they were read last: the problems say so
            return {name: self._strips.last(name) for name in standing}

    def _cards_of(self, sights: Sequence[Sight], snapshot: Snapshot) -> Iterator[TaskCard]:
        strips, now, incidents = self._strips_of(sights), self._manager.clock.now(), self._incidents.of(snapshot)
        self._plans.read(sights)
        for sight in sights:
            open_ = incidents.get(sight.name, ())
            yield self._cards.of(sight, strips[sight.name], self._next_run(sight), snapshot.members_at, now, open_)

    def _next_run(self, sight: Sight) -> Moment | None:
        """Its next slot, wherever that is run."""
        if sight.runs_here:
            return sight.slot
        return next((slot for slot, _, _ in upcoming(self._plans.ahead([sight]))), None)


def _check_doing(doing: str | None) -> None:
    there_are = (*get_args(Doing), "failing")
    if doing is not None and doing not in there_are:
        hint = did_you_mean(doing, there_are, f"There are: {', '.join(there_are)}.")
        raise ParameterError(f"doing={shorten(doing)} is nothing that a task does. {hint}")


def _wanted(sight: Sight, sought: str, tag: str | None, doing: str | None) -> bool:
    if tag is not None and tag not in sight.tags:
        return False
    if doing is not None and not (sight.failing if doing == "failing" else sight.doing == doing):
        return False
    return not sought or sought in sight.name.casefold() or sought in sight.description.casefold()


def _on_timeline(sight: Sight, tag: str | None, names: frozenset[str] | None) -> bool:
    return (tag is None or tag in sight.tags) and (names is None or sight.name in names)


def _going(snapshot: Snapshot) -> Iterator[Sight]:
    """Those whose slots will be run."""
    if not snapshot.paused:
        yield from (sight for sight in snapshot.sights.values() if sight.standing.switch.enabled)


def _upcoming(slot: Moment, name: str, line: Line, duration: float | None) -> Upcoming:
    return Upcoming(name, slot, duration, clock_change(line, slot), local_text(slot, line.job))


def _point(run: Run) -> Point:
    assert run.started_at is not None
    duration = None if run.state is RunState.LOST else run.duration
    return Point(run.id, run.started_at, str(run.state), duration, run.lateness)
