"""``ManagerRecords``: what a manager tells of its record."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from task.models.records import Records
from task.runs import Run
from task.stores import Changes, Incident, JournalEntry, Retention, RunPage, Statistics, Store, Wanted

__all__ = ["ManagerRecords"]

Moment = datetime.datetime


class ManagerRecords:
    """What a `TaskManager` tells of its runs, and of all that is on record beside them."""

    #: Where the record is.
    store: Store
    _records: Records

    def runs(
        self,
        task: str | None = None,
        state: str | Iterable[str] | None = None,
        limit: int = 100,
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        parent: str | None = None,
        tag: str | None = None,
        cursor: str | None = None,
    ) -> RunPage:
        """Recorded runs, skips and misses, newest first, at most *limit* (1 to 1000): a list with a ``cursor``.

        Of one task, in one or several states, that came from the run of the id *parent*, of the tasks with a *tag*;
        from *since* on and before *until*, by when they were queued, refused or found missed (`Run.queued_at`). The
        next page is asked for in the same way and with ``cursor=page.cursor``, until that is None: no row comes twice,
        whatever is recorded meanwhile.

        Raises `UnknownTaskError` for a task that the ledger never knew, and `ParameterError`.
        """
        wanted = Wanted.of(task, state, since, until, parent, tag).from_cursor(cursor)
        return self._records.page(wanted, limit)

    def find_run(self, id: str) -> Run:
        """The run of that id, wherever it runs or ran. Raises `UnknownRunError`.

        >>> from task import TaskManager
        >>> manager = TaskManager([])
        >>> greet = manager.add(lambda name: f"Hello, {name}", name="greet")
        >>> with manager:
        ...     run = manager.trigger("greet", name="Ada")
        ...     manager.find_run(run.id).result(timeout=5)
        'Hello, Ada'
        """
        return self._records.find(id)

    def statistics(self, task: str) -> Statistics:
        """How many runs of a task came to which state, how long they take, and how late they start.

        The counts are of all time, also of what is not in the history any more; the figures of its newest runs.
        Raises `UnknownTaskError` for a task that the ledger never knew.
        """
        return self._records.statistics(task)

    def journal(self, task: str | None = None, limit: int = 100) -> list[JournalEntry]:
        """Who has steered what, newest first: of one task, or of all. An entry has `at`, `who`, `what`, `task`, `note`.

        What somebody has done is ``enabled``, ``disabled``, ``triggered``, ``cancelled``, ``paused`` or ``resumed``.
        Raises `UnknownTaskError` for a task that the ledger never knew.

        >>> from task import TaskManager
        >>> manager = TaskManager([])
        >>> sample = manager.add(lambda: None, name="sample")
        >>> sample.disable(note="the other side is down", by="ada")
        >>> [(entry.who, entry.what, entry.note) for entry in manager.journal("sample")]
        [('ada', 'disabled', 'the other side is down')]
        """
        return self._records.journal(task, limit)

    def prune(
        self,
        keep_runs: int | None = None,
        keep_days: float | None = None,
        *,
        dry_run: bool = False,
        by: str | None = None,
    ) -> dict[str, int]:
        """Drop now what the history in a database has beyond that, and tell how many rows of each task went.

        *keep_runs* rows of each task stay, and none that is older than *keep_days*; without both, it is what the
        manager was made with. Logs and artifacts go with their runs; what is under way, and the last outcome of each
        task, stay. With *dry_run* it is only counted. *by* is who does it, for the journal. It can be called while
        tasks run. Raises `ManagerStateError` for a history in memory, which bounds itself, `DeclarationError` for a
        figure that cannot be, and `StoreError`.
        """
        own = keep_runs is None and keep_days is None
        return self._records.prune(
            self.store.retention if own else Retention.of(keep_runs, keep_days), by, dry_run=dry_run
        )

    def incidents(self, task: str | None = None, limit: int = 100) -> list[Incident]:
        """What is wrong with a task, or with all: the open incidents, and then *limit* (1 to 1000) that are over.

        The newest come first. They are watched for where somebody wants to hear of them: with ``notify=``, an option
        such as ``expect_within=``, or a receiver of ``incident_opened``. Raises `UnknownTaskError` for a task that the
        ledger never knew, and `ParameterError`.

        >>> from task import TaskManager
        >>> manager = TaskManager([])
        >>> sample = manager.add(lambda: None, name="sample", expect_within=3600)
        >>> manager.incidents("sample")
        []
        """
        return self._records.incidents(task, limit)

    def changes(self, since: str | None = None, limit: int = 500) -> Changes:
        """What has changed since a position, in all processes on the store, at most *limit* (1 to 1000) of each kind.

        ``runs``: those that are new, or whose state, progress or log is not as it was: each once, as it is now, without
        its log, parameters and result. ``journal``: who has steered what. The oldest changes come first, and
        ``position`` is what to ask with the next time; without *since*, it is the present one, and nothing is told.
        What was dropped from the history is not told of. It costs next to nothing where nothing has changed.

        Raises `ParameterError` for what is no position of this store: it has been begun anew, and what was read of it
        before is to be read again.

        >>> from task import TaskManager
        >>> manager = TaskManager([])
        >>> greet = manager.add(lambda name: f"Hello, {name}", name="greet")
        >>> with manager:
        ...     before = manager.changes().position
        ...     _ = manager.trigger("greet", name="Ada").result(timeout=5)
        ...     changes = manager.changes(before)
        ...     [(run.task, str(run.state)) for run in changes.runs], [entry.what for entry in changes.journal]
        ([('greet', 'succeeded')], ['triggered'])
        """
        return self._records.changes(since, limit)
