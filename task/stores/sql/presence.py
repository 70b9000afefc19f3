"""``SqlPresence``: this process on the store: its thread, its name, the runs that it has, what it knows of tasks."""

from __future__ import annotations

import contextlib
import datetime
import os
import pathlib
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping

import sqlalchemy as sql

from task.clock import Clock, SystemClock
from task.runs import Run, RunState
from task.stores.base import Store
from task.stores.history import Retention
from task.stores.sql.attention import BEATS, Attention
from task.stores.sql.changes import SqlChanges
from task.stores.sql.database import Database
from task.stores.sql.known import Known
from task.stores.sql.ledger import Ledger
from task.stores.sql.others import neighbours, others
from task.stores.sql.page import Page, Row
from task.stores.sql.pruning import Pruning
from task.stores.sql.restoring import is_forgotten, restore
from task.stores.sql.rows import sync
from task.stores.values import Listener, Neighbour, ProcessRow, Terms

__all__ = ["SqlPresence"]

Moment = datetime.datetime

#: How long the thread is waited for that may still be at work. Seconds.
CLOSE_TIMEOUT = 2.0

#: Who has just come knows of the dead so much later than they count as dead. Seconds.
DOUBT = 5.0


class SqlPresence(SqlChanges):
    """The ledger as one process uses it."""

    def __init__(self, url: str, namespace: str = "default", lost_after: float = 30.0) -> None:
        super().__init__(url, namespace)
        self._ledger = Ledger(self._database, self)
        self._ledger.interval = min(self._ledger.interval, lost_after / BEATS)
        self._known: dict[str, Known] = {}
        #: The runs that this process executes, or lets wait, by their ids.
        self._live: dict[str, Run] = {}
        #: The ids of those that are being claimed: the database may have them already.
        self._claiming: set[str] = set()
        #: Those of them that the store does not know of yet (``on_store_failure="run"``).
        self._unrecorded: weakref.WeakSet[Run] = weakref.WeakSet()
        #: Those whose claim had no answer: it may have been granted. Of the others it is known whether they were.
        self._unsure: weakref.WeakSet[Run] = weakref.WeakSet()
        self._uncertain: weakref.WeakSet[Run] = weakref.WeakSet()
        #: What the database said last of the namespace.
        self._space: Row | None = None
        self._listeners: list[Listener] = []
        self._clock: Clock = SystemClock()
        self._attached_at = float("-inf")
        self._letting_go = threading.Lock()
        self._attention = Attention(self, self._ledger, self._database, lost_after)
        with _forking:
            _stores.add(self)

    @property
    def database(self) -> Database:
        """Where it is kept."""
        return self._database

    def is_one_with(self, other: Store) -> bool:
        return isinstance(other, SqlPresence) and other._database.place == self._database.place

    def reset_after_fork(self) -> None:
        """A forked child: connections, locks and a name of its own; the parent's runs are not its runs."""
        self._database.reset_after_fork()
        self._ledger.reset_after_fork()
        self._live, self._listeners, self._claiming = {}, [], set()
        self._unrecorded, self._unsure = weakref.WeakSet(), weakref.WeakSet()
        self._letting_go = threading.Lock()
        self._attention.reset_after_fork()

    def __repr__(self) -> str:
        return f"SqlStore({self._database!r})"

    # Its life.

    def go_by(self, clock: Clock) -> None:
        self._clock = clock
        self._attention.go_by(clock)

    def attach(self, listener: Listener, clock: Clock) -> None:
        self._clock = clock
        self._attached_at = clock.monotonic()
        self._listeners.append(listener)
        if not clock.inline:
            self._ledger.start()

    def detach(self, listener: Listener) -> None:
        with contextlib.suppress(ValueError):
            self._listeners.remove(listener)
        if not self._listeners and not self._live:
            if self.is_idle():
                self._attention.leave()
            self._ledger.log_owed()
            if not self.is_used():
                self._ledger.stop(timeout=CLOSE_TIMEOUT)

    def _just_attached(self) -> bool:
        """Whether it is too early to know which of the other processes are dead."""
        return self._clock.monotonic() - self._attached_at < self._attention.lost_after + DOUBT

    def is_used(self) -> bool:
        """Whether a manager runs, or a body, or somebody waits for a run elsewhere, or the store lacks something."""
        return bool(self._listeners or self._live or self._ledger.owed or self._attention.watching())

    def monotonic(self) -> float:
        """What the clock of its managers says."""
        return self._clock.monotonic()

    def begin_page(self, page: Page, another: bool) -> None:
        """See that the database knows what this process has written there."""
        if another or (self._attention.joined and is_forgotten(page, self.process)):
            live = [(run, self._known_of(run).limits, self._scope(run.task)) for run in list(self._live.values())]
            restore(page, self._space, self._known, [one for one in live if one[0] not in self._unrecorded])
            self._attention.restore(page)

    def end_page(self, page: Page) -> None:
        """Remember what was read and written."""
        self._space = page.space
        for (name, scope), row in page.tasks():
            known = self._known.get(name)
            if known is not None:
                known.rows[scope] = row

    def _known_of(self, run: Run) -> Known:
        return self._known.get(run.task) or Known(Terms())

    def tell_ailment(self, cause: str | None) -> None:
        """Tell the managers."""
        for listener in list(self._listeners):
            listener.ailing(cause)

    def look_anew(self) -> None:
        self._attention.forget_news()

    def together(self, names: Iterable[str]) -> contextlib.AbstractContextManager[object]:
        return self._ledger.together(names)

    def post(self, call: Callable[[], object]) -> None:
        self._ledger.post(call)

    def look(self) -> None:
        self._attention.look(self._clock, list(self._listeners), self._live)

    @property
    def ailment(self) -> str | None:
        return self._ledger.ailment or self._ledger.silence()

    @property
    def process(self) -> str:
        """The id of this process on the store."""
        return self._attention.process

    def processes(self, now: Moment | None) -> list[ProcessRow]:
        since = None if now is None else now - self._too_old
        with self._database.read() as connection:
            return others(connection, self.namespace, self.process, since)

    @property
    def _too_old(self) -> datetime.timedelta:
        """A heartbeat of so long ago is that of a dead process."""
        return datetime.timedelta(seconds=self._attention.lost_after + DOUBT)

    def neighbours(self, now: Moment) -> list[Neighbour]:
        with self._database.read() as connection:
            return neighbours(connection, self.namespace, now - self._too_old)

    @property
    def beats_every(self) -> float:
        return self._attention.lost_after / BEATS

    def clock_offset(self) -> float | None:
        if self._database.dialect == "sqlite":  # its clock is that of this machine
            return None
        with self._database.read() as connection:
            before = self._clock.now()
            told = connection.execute(sql.select(sql.func.clock_timestamp())).scalar_one()
            after = self._clock.now()
        return float((told - (before + (after - before) / 2)).total_seconds())

    @property
    def clocks(self) -> Mapping[str, float]:
        return self._attention.clocks()

    @property
    def file(self) -> pathlib.Path | None:
        return self._database.file

    def prune(self, keep: Retention, now: Moment) -> Iterator[tuple[str, list[str]]]:
        return Pruning(self, self._ledger, self._database, keep).drop(now)

    def prunable(self, keep: Retention, now: Moment) -> dict[str, int]:
        return Pruning(self, self._ledger, self._database, keep).count(now)

    def close(self) -> None:
        self._attention.forget_watched()
        self._ledger.stop(forget=True)
        self._database.close()

    def _scope(self, name: str) -> str:
        known = self._known.get(name)
        return self._attention.scope if known is not None and known.terms.everywhere else ""

    def _row(self, page: Page, name: str) -> Row:
        """The row of a task; made, where the database does not know it."""
        scope = self._scope(name)
        known = self._known.get(name)
        shared = page.task(name)
        if known is not None and shared is not None and known.generation is None and not known.stale:
            told = {"tags": known.tags, "expectation": known.terms.expectation}
            page.change(shared, **told)  # of one with schedules its declaration tells
        known = known or Known(Terms())
        if shared is None:
            shared = page.add_task(known.new_row(name, ""))
        if not scope:
            return shared
        return page.task(name, scope) or page.add_task(known.new_row(name, scope))

    def _keep(self, run: Run) -> None:
        self._live[run.id] = run
        if not self._clock.inline:
            self._ledger.start()  # its heartbeat says that the run is alive, also of a direct call without a manager

    def _forget(self, run: Run) -> None:
        self._live.pop(run.id, None)
        self._leave_if_idle()

    def _claimed(self, run: Run) -> None:
        """The claim of a run has its answer, or none."""
        self._claiming.discard(run.id)
        self._leave_if_idle()

    def _leave_if_idle(self) -> None:
        if self.is_idle():
            self._attention.leave()
            self._ledger.stop(timeout=0)

    def is_idle(self) -> bool:
        """Whether this process has nothing under way, and no manager that runs."""
        return not (self._live or self._listeners or self._claiming)

    def _became_stale(self, name: str) -> None:
        known = self._known.get(name)
        if known is not None and not known.stale:
            known.stale = True
            for listener in list(self._listeners):
                if listener.knows(name):
                    listener.stale(name)

    def _declared_elsewhere(self, name: str, known: Known, declaration: str | None) -> None:
        """By newer code, or by the same, of which a schedule has ended or has begun again; None: by nobody any more."""
        if declaration not in (None, known.declaration):
            self._became_stale(name)
        elif not known.changed:
            self._renew(name, known)

    def _renew(self, name: str, known: Known) -> None:
        for listener in self.listeners_for(name):
            known.changed = True
            listener.renew(name)

    def look_at_declarations(self) -> None:
        """See which tasks were declared elsewhere."""
        raise NotImplementedError

    # What is asked of it.

    def mine(self, name: str | None = None) -> list[Run]:
        runs = [run for run in list(self._live.values()) if name is None or run.task == name]
        return sorted(runs, key=lambda run: (run.waiting, run.queued_at, run.token))

    def listeners_for(self, name: str) -> list[Listener]:
        """The managers of this process that run a task."""
        return [listener for listener in list(self._listeners) if listener.knows(name)]

    def watch(self, run: Run) -> None:
        self._attention.watch(run)

    def adopt(self, run: Run) -> None:
        """A run of a row is this process's own from now on."""
        self._keep(run)

    def let_go(self, run: Run, token: int) -> bool:
        """A run that has waited has its place, with a token of its own; False when somebody has said so before."""
        with self._letting_go:
            if not run.waiting:
                return False
            run.waiting, run.reason, run.token = False, None, token
            return True

    def mind(self, run: Run) -> None:
        """This process was found dead, and goes on: a run of before is another's, or lost."""
        raise NotImplementedError

    def refresh(self, run: Run, row: Row) -> None:
        """What a run of another process has come to."""
        problem = self.problem_of(row)
        if problem is not None:
            self.refresh_forgotten(run, f"its row in the store is unreadable: {problem}"[:500])
            return
        ended = not run.state.final
        sync(run, row)
        if ended and run.state.final:
            run.ended()

    def refresh_forgotten(self, run: Run, reason: str = "the store does not know it any more") -> None:
        """The database does not know a run that somebody waits for: it was deleted, or the run pruned."""
        run.reason, run.finished_at = reason, self._clock.now()
        run.state = RunState.LOST
        run.ended()


_stores: weakref.WeakSet[SqlPresence] = weakref.WeakSet()

#: Held while a store is added, and while the process is forked.
_forking = threading.Lock()


def _before_fork() -> None:
    _forking.acquire()
    databases = [store.database for store in list(_stores)]
    alone = [database.before_fork() for database in databases]
    if not all(alone):
        for database in databases:
            database.stays_open()


def _after_fork_in_parent() -> None:
    for store in list(_stores):
        store.database.after_fork_in_parent()
    _forking.release()


def _after_fork() -> None:
    _forking.release()
    for store in list(_stores):
        store.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork)
