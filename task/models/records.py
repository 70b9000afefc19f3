"""``Records``: what a manager reads off its ledger for people."""

from __future__ import annotations

import collections
from collections.abc import Callable

from task.errors import ManagerStateError, ParameterError, UnknownRunError, UnknownTaskError, did_you_mean
from task.pipeline import Elsewhere, Pipeline, name_of
from task.runs import Run
from task.schedules import shorten
from task.stores import (
    Changes,
    Incident,
    JournalEntry,
    Retention,
    RunPage,
    Statistics,
    Wanted,
    check_amount,
    check_limit,
)

__all__ = ["Records"]

#: So many entries of the journal can be asked for at once.
LONGEST_JOURNAL = 1_000


class Records:
    """The history, as one manager shows it."""

    def __init__(self, pipeline: Pipeline, find: Callable[[str], object]) -> None:
        self._pipeline = pipeline
        #: Finds a task of the manager. Raises `UnknownTaskError`.
        self._find = find

    def page(self, wanted: Wanted, limit: int) -> RunPage:
        """One page, and where the next one begins. Raises `UnknownTaskError` or `ParameterError`."""
        check_limit(limit)
        found = self._pipeline.store.find_runs(wanted, limit + 1)
        if not found and wanted.task is not None:
            self._check_known(wanted.task)
        page = RunPage(self._at_hand(run) for run in found[:limit])
        page.cursor = wanted.cursor_after(page[-1]) if len(found) > limit else None
        return page

    def find(self, key: str) -> Run:
        """The run of that id. Raises `UnknownRunError`."""
        found = self._pipeline.store.find(key) if isinstance(key, str) else None
        if found is None:
            raise UnknownRunError(
                f"No run {shorten(key)} is on record. There was none, or it is older than what the history keeps "
                "(keep_runs= and keep_days= of the manager)."
            )
        if not found.state.final:
            self._pipeline.store.watch(found)
        return self._at_hand(found)

    def statistics(self, task: str) -> Statistics:
        """What has become of the runs of a task. Raises `UnknownTaskError`."""
        self._check_known(task)
        return self._pipeline.store.statistics(task)

    def journal(self, task: str | None, limit: int) -> list[JournalEntry]:
        """Who has steered what. Raises `UnknownTaskError` or `ParameterError`."""
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= LONGEST_JOURNAL:
            raise ParameterError(f"limit is a whole number from 1 to {LONGEST_JOURNAL}, not {shorten(limit)}.")
        if task is not None:
            self._check_known(task)
        return self._pipeline.store.journal(task, limit)

    def prune(self, keep: Retention, by: str | None, *, dry_run: bool) -> dict[str, int]:
        """Drop what is not to be kept, or only count it. Raises `ManagerStateError`."""
        store, now = self._pipeline.store, self._pipeline.clock.now()
        if not store.shared:
            raise ManagerStateError(
                "The history is in the memory of this process, which keeps it bounded: there is nothing to prune. Give "
                "the manager a store in a database to keep more."
            )
        if dry_run:
            return store.prunable(keep, now)
        who, dropped = name_of(by), collections.Counter[str]()
        for name, ids in store.prune(keep, now):
            dropped[name] += len(ids)
            self._pipeline.steering.remove_files(ids)
        if dropped:
            self._pipeline.journal("pruned", None, f"{dropped.total()} rows", who)
        return dict(dropped)

    def incidents(self, task: str | None, limit: int) -> list[Incident]:
        """What is and was wrong with tasks. Raises `UnknownTaskError` or `ParameterError`."""
        check_limit(limit)
        if task is not None:
            self._check_known(task)
        return self._pipeline.store.incidents(task, limit)

    def changes(self, since: str | None, limit: int) -> Changes:
        """What has changed since a position. Raises `ParameterError`."""
        check_amount(limit)
        found = self._pipeline.store.changes(since, limit)
        return found._replace(runs=[self._at_hand(run) for run in found.runs])

    def _check_known(self, task: str) -> None:
        names = self._pipeline.store.names()
        if task in names:
            return
        try:
            self._find(task)
        except UnknownTaskError:
            hint = did_you_mean(task, names)
            if not hint:
                raise
            raise UnknownTaskError(f"There is no task {shorten(task)} on record. {hint}") from None

    def _at_hand(self, run: Run) -> Run:
        """A row of another process, or of this one: it can be cancelled where it runs."""
        if self._pipeline.store.shared:
            run.holder = Elsewhere(self._pipeline)
        return run
