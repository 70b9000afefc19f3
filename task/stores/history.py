"""What can be asked of the history, and how much of it is kept."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from task.errors import DeclarationError, ParameterError, did_you_mean
from task.runs import Run, RunState
from task.schedules import shorten

if TYPE_CHECKING:
    from task.stores.values import Summary, Switch

__all__ = ["SAMPLE", "Retention", "RunPage", "Standing", "Statistics", "Wanted", "check_limit"]

Moment = datetime.datetime

#: How many runs one page may have.
LONGEST_PAGE = 1_000

#: Over so many of its newest runs the durations and latenesses of a task are told.
SAMPLE = 1_000

#: So many causes of delays are told of a task, the gravest; the others are summed up in one.
CAUSES = 20
OTHERS = "other causes"

#: How much of a cursor says which question it belongs to. Bytes.
_DIGEST = 8


class RunPage(list[Run]):
    """Some runs of the history, newest first, and where the next page begins.

    >>> RunPage().cursor is None
    True
    """

    #: What `TaskManager.runs` is given for the next page, with the same filters; None when this is the last one.
    cursor: str | None = None


class Wanted(NamedTuple):
    """Which rows of the history somebody wants."""

    task: str | None = None
    #: In one of these states.
    states: frozenset[RunState] | None = None
    #: Queued, refused or found missed from *since* on, and before *until*.
    since: Moment | None = None
    until: Moment | None = None
    #: Those that come from the run of this id.
    parent: str | None = None
    #: Those of the tasks that have this tag now.
    tag: str | None = None
    #: Older than the run of this id.
    before: str | None = None

    @classmethod
    def of(
        cls,
        task: str | None,
        state: str | Iterable[str] | None,
        since: Moment | None,
        until: Moment | None,
        parent: str | None,
        tag: str | None,
    ) -> Wanted:
        """What was asked for, checked. Raises `ParameterError`."""
        for name, text in {"task": task, "parent": parent, "tag": tag}.items():
            if text is not None and not isinstance(text, str):
                raise ParameterError(f"runs({name}=...) takes text, not {shorten(text)}.")
        _check_moment("since", since)
        _check_moment("until", until)
        return cls(task, _states_of(state), since, until, parent, tag)

    def wants(self, run: Run) -> bool:
        """Whether a row is one of them, as far as it tells by itself: *tag* is for who knows its task."""
        return not (
            (self.task is not None and run.task != self.task)
            or (self.states is not None and run.state not in self.states)
            or (self.since is not None and run.queued_at < self.since)
            or (self.until is not None and run.queued_at >= self.until)
            or (self.parent is not None and run.parent_id != self.parent)
            or (self.before is not None and run.id >= self.before)
        )

    # Where a page begins. The times are no part of it: "the last hour" is another moment for each page.

    def cursor_after(self, run: Run) -> str:
        """Where the page after that row begins."""
        return base64.urlsafe_b64encode(self._digest(run.id) + run.id.encode()).decode().rstrip("=")

    def from_cursor(self, cursor: str | None) -> Wanted:
        """The same, from there on. Raises `ParameterError` for what is no cursor of this question."""
        if cursor is None:
            return self
        try:
            told = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars="-_", validate=True)
            before = told[_DIGEST:].decode()
        except (TypeError, ValueError, AttributeError, binascii.Error):
            told, before = b"", ""
        if told[:_DIGEST] != self._digest(before) or not told:
            raise ParameterError(
                f"cursor={shorten(cursor)} does not belong to these runs: give the cursor of the page before, with "
                "the same task, state, parent and tag; or leave it out to begin with the newest."
            )
        return self._replace(before=before)

    def _digest(self, before: str) -> bytes:
        states = None if self.states is None else sorted(self.states)
        said = repr((self.task, states, self.parent, self.tag, before))
        return hashlib.sha256(said.encode(errors="backslashreplace")).digest()[:_DIGEST]


def _states_of(state: str | Iterable[str] | None) -> frozenset[RunState] | None:
    if state is None:
        return None
    try:
        given = [state] if isinstance(state, str) else list(state)
        known = frozenset(RunState(one) for one in given)
    except (TypeError, ValueError):
        hint = did_you_mean(
            state if isinstance(state, str) else "", map(str, RunState), f"There are: {', '.join(RunState)}."
        )
        raise ParameterError(f"state={shorten(state)} is not a state of a run, nor several. {hint}") from None
    if not known:
        raise ParameterError("state= names no state at all: leave it out for all of them.")
    return known


def _check_moment(name: str, moment: object) -> None:
    if moment is not None and (not isinstance(moment, datetime.datetime) or moment.utcoffset() is None):
        raise ParameterError(
            f"{name}={shorten(moment)} is not a moment with a time zone. Write "
            "datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)."
        )


def check_limit(limit: object) -> None:
    """Raise `ParameterError` for what is not the size of a page."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= LONGEST_PAGE:
        raise ParameterError(
            f"limit is a whole number from 1 to {LONGEST_PAGE}, not {shorten(limit)}. For more runs ask again with "
            "cursor=page.cursor, until that is None."
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Statistics:
    """What has become of the runs of one task.

    >>> Statistics.of("sample", {"succeeded": 3}, [(0.5, 0.0), (0.75, None), (2.0, 0.25)]).p50_duration
    0.75
    """

    task: str
    #: How many runs, skips and missed slots there were of each state, over all time; those under way included.
    counts: Mapping[str, int]
    #: Over how many runs the figures below are told: the newest that ended, a thousand at most.
    sample: int
    #: Half of them took so long or less, and 19 of 20, waits between attempts included. Seconds; None without any.
    p50_duration: float | None
    p95_duration: float | None
    #: How long after their slot their bodies started. Seconds; None without any that had a slot.
    p50_lateness: float | None
    p95_lateness: float | None
    #: What delayed their starts (`Run.delays`), the gravest cause first: seconds, over all runs of the sample.
    delays: Mapping[str, float]

    @classmethod
    def of(
        cls,
        task: str,
        counts: Mapping[str, int],
        sample: Sequence[tuple[float, float | None]],
        delays: Iterable[Mapping[str, float]] = (),
    ) -> Statistics:
        """From the duration and lateness of each run of the sample, and from the delays of those that had any."""
        durations = sorted(duration for duration, _ in sample)
        lateness = sorted(late for _, late in sample if late is not None)
        told = {str(state): counts[state] for state in RunState if counts.get(state)}
        return cls(
            task,
            told,
            len(sample),
            _percentile(durations, 0.5),
            _percentile(durations, 0.95),
            _percentile(lateness, 0.5),
            _percentile(lateness, 0.95),
            _summed(delays),
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {**dataclasses.asdict(self), "counts": dict(self.counts), "delays": dict(self.delays)}


def _summed(delays: Iterable[Mapping[str, float]]) -> Mapping[str, float]:
    """Seconds by cause, the gravest first."""
    found: dict[str, float] = {}
    for one in delays:
        for cause, seconds in one.items():
            found[cause] = found.get(cause, 0.0) + seconds
    ordered = sorted(found, key=lambda cause: (-abs(found[cause]), cause))
    told = {cause: round(found[cause], 6) for cause in ordered[:CAUSES]}
    if len(ordered) > CAUSES:
        told[OTHERS] = round(sum(found[cause] for cause in ordered[CAUSES:]), 6)
    return told


def _percentile(ascending: Sequence[float], share: float) -> float | None:
    """By nearest rank: one of the values."""
    return ascending[math.ceil(share * len(ascending)) - 1] if ascending else None


class Standing(NamedTuple):
    """How one task stands now: what people see of many at once."""

    summary: Summary
    active: list[Run]
    switch: Switch
    mark: Moment | None


class Retention(NamedTuple):
    """How much of the history is kept."""

    #: So many rows of each task; None: as many as there are.
    runs: int | None = 10_000
    #: Those of so many days; None: whatever their age.
    days: float | None = None

    @classmethod
    def of(cls, keep_runs: Any, keep_days: Any) -> Retention:
        """As a manager was given it. Raises `DeclarationError`."""
        if keep_runs is not None and (isinstance(keep_runs, bool) or not isinstance(keep_runs, int) or keep_runs < 1):
            raise DeclarationError(f"keep_runs is a whole number from 1, or None for all, not {shorten(keep_runs)}.")
        number = isinstance(keep_days, (int, float)) and not isinstance(keep_days, bool)
        if keep_days is not None and not (number and 0 < keep_days <= 1_000_000):
            raise DeclarationError(f"keep_days is a number of days above 0, or None for all, not {shorten(keep_days)}.")
        return cls(keep_runs, keep_days)
