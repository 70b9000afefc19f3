"""Cards: one task or recurring entry, as people see it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import NamedTuple

from task.overview.problems import problems_of, sort_problems
from task.overview.sights import Sight
from task.overview.strips import Strip
from task.overview.texts import text_of, text_of_words
from task.overview.values import Outcome, Problem, ScheduleText, TaskCard
from task.runs import Run
from task.stores import Incident

__all__ = ["Cards", "card_of"]

Moment = datetime.datetime

#: So many cards are kept.
KEPT = 1_000


class _Made(NamedTuple):
    """A card, and what it was made of."""

    sight: Sight
    strip: Strip
    next_run: Moment | None
    #: Of when that is: what is wrong with a task is looked for again each second.
    since: float
    card: TaskCard

    def serves(self, sight: Sight, strip: Strip, next_run: Moment | None, since: float) -> bool:
        """Whether that is all the same. Of a run under way it is not: what is wrong with it comes with the time."""
        same = self.sight is sight and self.strip is strip and self.next_run == next_run and self.since == since
        return same and not sight.standing.active


class Cards:
    """The cards as they were made last: each is the same object for as long as it says the same.

    Who has drawn one, or written it down, sees by that whether it has to be done again.
    """

    def __init__(self) -> None:
        self._made: dict[str, _Made] = {}

    def of(
        self,
        sight: Sight,
        strip: Strip,
        next_run: Moment | None,
        since: float,
        now: Moment,
        incidents: Sequence[Incident] = (),
    ) -> TaskCard:
        """That of a task which stands so; *since* is another one each second, and so may be its open *incidents*."""
        made = self._made.get(sight.name)
        if made is not None and made.serves(sight, strip, next_run, since):
            return made.card
        card = card_of(sight, strip, sort_problems(problems_of(sight, strip, now, incidents)), next_run)
        if made is not None and made.card == card:
            card = made.card
        if len(self._made) >= KEPT and sight.name not in self._made:
            self._made.clear()
        self._made[sight.name] = _Made(sight, strip, next_run, since, card)
        return card


def card_of(sight: Sight, strip: Strip, problems: tuple[Problem, ...], next_run: Moment | None) -> TaskCard:
    """All that its card tells."""
    summary, _, switch, _ = sight.standing
    run, figures = sight.run, strip.figures
    return TaskCard(
        name=sight.name,
        description=sight.description,
        tags=sight.tags,
        entry_of=None if sight.entry is None else sight.entry.task,
        schedules=_schedules(sight),
        doing=sight.doing,
        enabled=switch.enabled,
        note=switch.note,
        until=switch.until,
        by=switch.by,
        next_run=next_run,
        run_id=None if run is None else run.id,
        progress=None if run is None else run.progress,
        message="" if run is None else run.message,
        last=None if summary.last is None else _outcome(summary.last),
        strip=strip.cells,
        p50_duration=figures.p50_duration,
        p95_duration=figures.p95_duration,
        p50_lateness=figures.p50_lateness,
        p95_lateness=figures.p95_lateness,
        runs=summary.runs,
        failures=summary.failures,
        consecutive_failures=summary.consecutive_failures,
        skips=sum(summary.skips.values()),
        problems=problems,
    )


def _schedules(sight: Sight) -> tuple[ScheduleText, ...]:
    if sight.entry is not None:
        return () if sight.entry.schedule is None else (text_of_words(sight.entry.schedule, sight.name),)
    if sight.on_record is not None:
        return tuple(text_of(one.line.job) for one in sight.on_record.declarations)
    return () if sight.task is None else tuple(text_of(job) for job in sight.task.schedules)


def _outcome(run: Run) -> Outcome:
    return Outcome(run.id, str(run.state), run.finished_at or run.queued_at, run.duration, run.error or run.reason)
