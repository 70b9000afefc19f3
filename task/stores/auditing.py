"""``compare``: what is recorded against what was declared, slot by slot."""

from __future__ import annotations

import collections
import contextlib
import datetime
import itertools
from collections.abc import Iterable, Iterator, Sequence

from task.errors import BrokenScheduleError
from task.runs import Run
from task.schedules import Line
from task.stores.values import Declaration, Finding

__all__ = ["compare"]

Moment = datetime.datetime


def compare(
    name: str,
    declarations: Sequence[Declaration],
    rows: Iterable[Run],
    pruned: Moment | None,
    since: Moment | None,
    until: Moment,
) -> list[Finding]:
    """Every slot of one task that has not exactly one outcome, as far as its history reaches back."""
    findings: list[Finding] = []
    by_epoch: dict[int, list[Run]] = collections.defaultdict(list)
    for row in rows:
        by_epoch[row.epoch].append(row)
    for recorded in by_epoch.values():
        findings += _doubles(name, recorded)
    lost: set[Moment] = set()
    for declaration in declarations:
        end = until if declaration.until is None else min(until, declaration.until)
        start = declaration.since if since is None else max(since, declaration.since)
        if pruned is not None and start < pruned:
            if since is not None:
                findings.append(Finding(name, pruned, "and those before it are not known: pruned"))
            start = pruned
        if declaration.owed:
            spans = sorted(_span(run) for run in by_epoch[declaration.epoch])
            lost.update(_uncovered(declaration.line, start, end, spans))
    return findings + [Finding(name, slot, "has no outcome") for slot in sorted(lost)]


def _span(run: Run) -> tuple[Moment, Moment]:
    """First and last slot of which a row is the outcome."""
    assert run.slot is not None
    return run.slot, run.last or run.slot


def _doubles(name: str, rows: Sequence[Run]) -> Iterator[Finding]:
    ordered = sorted(rows, key=_span)
    for before, row in itertools.pairwise(ordered):
        assert row.slot is not None
        if row.slot <= _span(before)[1]:
            yield Finding(name, row.slot, f"has two outcomes: {before.state} and {row.state}")


def _uncovered(line: Line, start: Moment, end: Moment, spans: Sequence[tuple[Moment, Moment]]) -> Iterator[Moment]:
    """The slots in ``(start, end]`` that lie in none of the ascending *spans*, each of which is passed over whole."""
    index, cursor = 0, start
    with contextlib.suppress(BrokenScheduleError):  # its slots are known until it broke
        while (slot := line.after(cursor)) is not None and slot <= end:
            while index < len(spans) and spans[index][1] < slot:
                index += 1
            if index < len(spans) and spans[index][0] <= slot:
                cursor = spans[index][1]
            else:
                cursor = slot
                yield slot
