"""Tasks on record whose slots nobody takes any more: no process has them in its code, or none runs."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from task.clock import in_zone
from task.overview.sights import Sight
from task.overview.texts import moment_text, zone_of
from task.overview.values import Problem

__all__ = ["unclaimed"]

Moment = datetime.datetime

#: So long after its second slot without an outcome it is told. How late one may be is not on record: `jitter` may delay
#: a slot, but not past the next one.
GRACE = datetime.timedelta(seconds=60)


def unclaimed(sight: Sight, now: Moment) -> Iterator[Problem]:
    """That nobody takes its slots, of a task of which only the record is known."""
    if sight.on_record is None or sight.paused or not sight.standing.switch.enabled or sight.standing.active:
        return
    mark, runs = sight.standing.mark, sight.standing.summary.runs
    if mark is None and runs:
        return  # it runs everywhere: each process has a mark of its own
    for one in sight.on_record.declarations:
        since = one.since if mark is None else max(one.since, mark)
        first = one.line.after(since) if one.owed else None
        second = None if first is None else one.line.after(first)
        if first is not None and second is not None and second + GRACE < now:
            slot = moment_text(in_zone(first, zone_of(one.line.job)))
            yield Problem(
                "overdue",
                sight.name,
                f"Its slots since {slot} have no outcome: no process that has it in its code runs.",
                "Start one. If the task is not in the code any more, disable it here.",
            )
            return
