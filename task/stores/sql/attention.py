"""``Attention``: what a process hears and lets be heard once a second: heartbeats, requests, the dead."""

from __future__ import annotations

import os
import platform
import threading
import uuid
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql

from task.clock import Clock, SystemClock
from task.errors import StoreError
from task.log import logger
from task.runs import OUT_OF_TIME, ParentResults, Run, RunState
from task.stores.sql import book, schema
from task.stores.sql.database import Database
from task.stores.sql.history import log_of
from task.stores.sql.ledger import Ledger
from task.stores.sql.operations import Operation
from task.stores.sql.page import Page, Row
from task.stores.sql.pruning import Pruning
from task.stores.sql.restoring import is_forgotten
from task.stores.sql.rows import lines_of, micros_of, moment_of, run_of
from task.stores.sql.soundness import flaw, json_of
from task.stores.values import Listener

if TYPE_CHECKING:
    from task.stores.sql.presence import SqlPresence

__all__ = ["Attention"]

runs, processes = schema.runs, schema.processes

#: A process that is alone looks round on a virtual clock so often while another would take it for alive.
QUIET = 3

#: So many heartbeats fit into the time after which a process without them counts as dead.
BEATS = 6

#: What a pause between two looks counts for at most: who was frozen has seen nothing meanwhile. Seconds.
LONGEST_LOOK = 2.0

#: Clocks of two processes that differ by more are told of. Seconds.
CLOCK_TOLERANCE = 3.0

#: How often a process looks what it has to tell of itself. Seconds; and of so many managers in it at most.
VITALS_EVERY = 10.0
MANAGERS = 4

#: So many runs elsewhere are asked about in one statement.
WATCHED = 500


class _Seen:
    """What was seen of another process."""

    __slots__ = ("ahead", "beat", "still", "warned", "who")

    def __init__(self, who: str, beat: int) -> None:
        self.who = who
        self.beat = beat
        #: For how many seconds, of those in which this process looked, its heart has stood still.
        self.still = 0.0
        self.warned = False
        #: By how many seconds its clock was ahead when its heart beat last.
        self.ahead = 0.0


class Attention:
    """The presence of one process on the store."""

    def __init__(self, store: SqlPresence, ledger: Ledger, database: Database, lost_after: float) -> None:
        self._store = weakref.proxy(store)
        self._ledger = ledger
        self._database = database
        self._pruning = Pruning(store, ledger, database)
        self.lost_after = lost_after
        self._clock: Clock = SystemClock()
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Another process: under a name of its own, and nothing seen yet.

        *scope* is its first name: what runs everywhere keeps its slots here when the process goes on under another.
        """
        self.process = self.scope = str(uuid.uuid4())
        self._joined = False
        self._news = -1
        self._looked: float | None = None
        self._next_beat = self._next_vitals = float("-inf")
        #: What this process tells of itself, and what of that is written.
        self._vitals, self._written_vitals = "", ""
        self._seen: dict[str, _Seen] = {}
        self._written: dict[str, tuple[Any, ...]] = {}
        #: Runs of other processes that somebody here waits for; any thread may add one.
        self._watched: weakref.WeakSet[Run] = weakref.WeakSet()
        self._watching = threading.Lock()
        #: Whether what was heard before is to be heard again.
        self._anew = False

    # Coming and going.

    def go_by(self, clock: Clock) -> None:
        """What it reads the time from."""
        self._clock = clock

    def join_again(self, page: Page) -> str:
        """The row of this process; under a new name when it had been found dead."""
        if self._joined:
            self.process = str(uuid.uuid4())
            logger.warning("The other processes on the store had found this one dead; it goes on as %s", self.process)
        self._join(page)
        self._joined = True
        return self.process

    def _join(self, page: Page) -> None:
        now = micros_of(self._clock.now())
        page.connection.execute(
            processes.insert().values(
                id=self.process,
                namespace=self._database.namespace,
                host=platform.node()[:200],
                pid=os.getpid(),
                started_at=now,
                beat=0,
                beat_at=now,
                vitals=self._vitals or None,
            )
        )
        page.joined(self.process)

    @property
    def joined(self) -> bool:
        """Whether the database is to know this process."""
        return self._joined

    def restore(self, page: Page) -> None:
        """The database has forgotten this process: it stays what it is."""
        self._anew = True
        if self._joined and is_forgotten(page, self.process):
            self._join(page)

    def leave(self) -> None:
        """This process has nothing under way any more."""
        if not self._joined:
            return
        now, process = micros_of(self._clock.now()), self.process

        def apply(page: Page) -> bool:
            if not self._store.is_idle():  # another thread has claimed a run meanwhile: its end is the time to leave
                return False
            page.connection.execute(
                processes.update().where(processes.c.id == process).values(ended_at=now, ending="stopped", vitals=None)
            )
            if left := self._runs_of(page, process):  # their ends could not be written
                book.bury(page, left, now, "its process has stopped, and the store does not know what came of it")
            page.left(process)
            return True

        def settle(has_left: bool) -> None:
            if has_left and self.process == process:
                self._joined = False
                self.process = self.scope = str(uuid.uuid4())

        try:
            self._ledger.perform(Operation("leave", apply, settle=settle))
        except StoreError as error:
            logger.warning("The others will find this process dead, although it has stopped: %s", error)
            settle(True)

    def watching(self) -> bool:
        """Whether somebody may wait for a run elsewhere."""
        with self._watching:
            return any(not run.state.final for run in self._watched)

    def clocks(self) -> dict[str, float]:
        """The processes whose clocks are far from the one here."""
        return {seen.who: seen.ahead for seen in list(self._seen.values()) if abs(seen.ahead) > CLOCK_TOLERANCE}

    def forget_watched(self) -> None:
        """Whoever waits for a run elsewhere is not told of its end."""
        with self._watching:
            self._watched = weakref.WeakSet()

    def forget_news(self) -> None:
        """What was heard before is to be heard again: there are new ears."""
        self._anew = True

    def watch(self, run: Run) -> None:
        """A run that another process is going to run: somebody may wait for it here."""
        with self._watching:
            self._watched.add(run)
        if not self._clock.inline:
            self._ledger.start()

    # About once a second.

    def look(self, clock: Clock, listeners: Sequence[Listener], live: Mapping[str, Run]) -> None:
        """One look; what fails is tried again at the next."""
        self._clock = clock
        moment = clock.monotonic()
        if clock.inline and not live and self._is_quiet(moment):
            self._prune(clock, listeners)
            return
        since = LONGEST_LOOK if self._looked is None else moment - self._looked
        self._looked = moment
        try:
            self._tell(moment, live, listeners)
            for run in list(live.values()):
                if run.owner != self.process:
                    self._store.mind(run)
            if self._ledger.doubtful:
                self._ledger.doubtful = False
                self._resolve(listeners, live)
            self._hear(listeners, live)
            self._search_for_dead(since, listeners)
            self._follow_watched()
        except StoreError as error:
            self._ledger.failed(error)
        else:
            self._prune(clock, listeners)
        if not listeners and not live and not self.watching():
            self._ledger.stop(timeout=0)

    def _prune(self, clock: Clock, listeners: Sequence[Listener]) -> None:
        try:
            if listeners:
                self._pruning.look(clock, listeners)
        except StoreError as error:
            self._ledger.failed(error)

    def _is_quiet(self, moment: float) -> bool:
        """Whether this look may be left out: where time is virtual an hour of them takes seconds.

        Nobody else is there to be told of this process, nothing is owed, and nobody has steered anything since.
        """
        if self._looked is None or moment - self._looked > self.lost_after / QUIET or self._seen or self._anew:
            return False
        ledger = self._ledger
        if ledger.owed or ledger.ailment is not None or ledger.doubtful or self.watching():
            return False
        try:
            return self._read_news() == self._news
        except StoreError:  # the look itself tells of it
            return False

    def _read_news(self) -> int:
        space = schema.namespaces
        with self._database.read() as connection:
            news: int = connection.execute(
                sql.select(space.c.news).where(space.c.namespace == self._database.namespace)
            ).scalar_one()
        return news

    def _tell(self, moment: float, live: Mapping[str, Run], listeners: Sequence[Listener]) -> None:
        """A heartbeat, of a process that runs tasks or may do so, and how far the runs here are."""
        told = [(run, lines) for run in list(live.values()) if (lines := self._new_of(run)) is not None]
        for key in self._written.keys() - live.keys():
            del self._written[key]
        due = moment >= self._next_beat and (bool(listeners) or self._joined or bool(live))
        if due:
            self._next_beat = moment + self.lost_after / BEATS
            self._take_vitals(moment, listeners)
        if not due and not told and not self._ledger.owed and self._ledger.ailment is None:
            return

        vitals = self._vitals

        def apply(page: Page) -> None:
            if due:
                self._beat(page, vitals)
            self._write_progress(page, told)

        self._ledger.perform(Operation("tell", apply))
        if due:
            self._written_vitals = vitals
        for run, _ in told:
            self._written[run.id] = _progress_of(run)

    def _take_vitals(self, moment: float, listeners: Sequence[Listener]) -> None:
        """Ask the managers here what the other processes are to know."""
        if moment >= self._next_vitals:
            if self._vitals:  # else it has just come: what it tells first is how it starts
                self._next_vitals = moment + VITALS_EVERY
            try:
                self._vitals = "\n".join(listener.vitals() for listener in listeners[:MANAGERS])
            except Exception:  # its heart beats all the same
                logger.exception("This process cannot tell the others of itself")

    def _beat(self, page: Page, vitals: str) -> None:
        now = micros_of(self._clock.now())
        told = {} if vitals == self._written_vitals else {"vitals": vitals or None}
        done = page.connection.execute(
            processes.update()
            .where(processes.c.id == self.process, processes.c.ended_at.is_(None))
            .values(beat=processes.c.beat + 1, beat_at=now, **told)
        )
        if not done.rowcount:
            self.join_again(page)

    def _new_of(self, run: Run) -> str | None:
        """The log of a run, if that or its progress has changed since it was written; empty for no log."""
        shown = _progress_of(run)
        if run.state is not RunState.RUNNING or shown == self._written.get(run.id, (None, "", 0, None)):
            return None
        return lines_of(run) if shown[2] else ""

    def _write_progress(self, page: Page, told: Sequence[tuple[Run, str]]) -> None:
        for run, lines in told:
            row = page.run(run.id)
            if row is None or row["state"] != "running" or row["owner"] != run.owner:
                continue
            message, thread = run.message or None, run.thread
            page.change(row, progress=run.progress, message=message, thread=thread)
            if lines:
                page.write_log(run.id, lines, run.log_dropped)

    # What others have said.

    def _hear(self, listeners: Sequence[Listener], live: Mapping[str, Run]) -> None:
        if self._anew:
            self._anew, self._news = False, -1
        news = self._read_news()
        if news == self._news:
            return
        with self._database.read() as connection:
            concerned = connection.execute(
                runs.select().where(
                    runs.c.namespace == self._database.namespace,
                    runs.c.place > 0,
                    runs.c.owner.is_(None) | runs.c.owner.in_({self.process, *_owners(live)}),
                )
            )
            rows = [dict(row) for row in concerned.mappings()]
        for row in rows:
            if flaw(runs, row) is None:
                self._hear_of(row, live)
        if any(row["owner"] is None for row in rows):
            self._adopt(listeners)
        self._store.look_at_declarations()
        for listener in listeners:
            listener.changed()
        self._news = news

    def _hear_of(self, row: Row, live: Mapping[str, Run]) -> None:
        run = live.get(row["id"])
        if run is None or row["owner"] != run.owner:
            return
        if row["asked"] is not None and run.asked in (None, OUT_OF_TIME) and not run.state.final:
            run.withdraw(row["asked"])
        if row["place"] == 1 and self._store.let_go(run, row["token"]):
            for listener in self._store.listeners_for(run.task)[:1]:
                listener.admitted([run])

    def _adopt(self, listeners: Sequence[Listener]) -> None:
        """Take the runs that have no process, and whose task is known here."""

        def apply(page: Page) -> list[tuple[Row, Run]]:
            if page.version > schema.VERSION:  # they are for newer code
                return []
            statement = runs.select().where(
                runs.c.namespace == self._database.namespace, runs.c.place > 0, runs.c.owner.is_(None)
            )
            taken = []
            for found in page.connection.execute(statement).mappings():
                row = page.run(found["id"])
                if row is None or not any(listener.knows(row["task"]) for listener in listeners):
                    continue
                problem = self._store.problem_of(row)
                if problem is not None:
                    reason = f"its row in the store is unreadable: {problem}"[:500]
                    book.end(page, row, "lost", micros_of(self._clock.now()), {"reason": reason}, keep_place=False)
                    continue
                if not page.lives(self.process):
                    self.join_again(page)
                page.change(row, owner=self.process, token=page.next_token())
                taken.append((row, run_of(row)))
            return taken

        if not listeners:
            return
        for row, run in self._ledger.perform(Operation("adopt", apply)):
            self._hand_over(row, run)

    def _hand_over(self, row: Row, run: Run) -> None:
        run.waited = run.waiting
        if row["inputs"] is not None:
            run.inputs = ParentResults(self._results(json_of(row["inputs"], {})))
        self._store.adopt(run)
        takers = self._store.listeners_for(run.task)
        if not takers:  # it stops at this very moment
            self._store.put_back(run)
            return
        takers[0].take_over(run)
        if row["asked"] is not None and not run.state.final:  # by somebody who did not know that nobody had it
            run.withdraw(row["asked"])

    def _results(self, inputs: Mapping[str, str]) -> dict[str, Any]:
        """What the runs returned that a chained one comes after, as far as the store has it."""
        parents = {name: self._store.find(key) for name, key in inputs.items()}
        return {name: None if parent is None else parent.peek_value() for name, parent in parents.items()}

    def _resolve(self, listeners: Sequence[Listener], live: Mapping[str, Run]) -> None:
        """What was committed although it was said to have failed: places that runs have, runs that were made."""
        self._news = -1
        with self._database.read() as connection:
            found = connection.execute(
                runs.select().where(
                    runs.c.namespace == self._database.namespace,
                    runs.c.place > 0,
                    runs.c.owner == self.process,
                    runs.c.trigger == "chain",
                    runs.c.state == "queued",
                )
            )
            rows = [dict(row) for row in found.mappings() if row["id"] not in live]
        for row in rows:
            if any(listener.knows(row["task"]) for listener in listeners):
                self._hand_over(row, run_of(row))

    # The dead.

    def _search_for_dead(self, since: float, listeners: Sequence[Listener]) -> None:
        with self._database.read() as connection:
            others = connection.execute(
                processes.select().where(
                    processes.c.namespace == self._database.namespace,
                    processes.c.ended_at.is_(None),
                    processes.c.id != self.process,
                )
            ).all()
        for gone in self._seen.keys() - {one.id for one in others}:
            del self._seen[gone]
        for one in others:
            seen = self._seen.get(one.id)
            if seen is None:  # whether it stands still is to be seen
                self._seen[one.id] = _Seen(f"{one.pid}@{one.host}", one.beat)
                continue
            if seen.beat != one.beat:
                if since < LONGEST_LOOK:  # else it may have beaten long ago
                    self._compare_clocks(one, seen)
                seen.beat, seen.still = one.beat, 0.0
            else:
                seen.still += min(since, LONGEST_LOOK)
            if seen.still > self.lost_after:
                self._bury(one, listeners)

    def _compare_clocks(self, one: Any, seen: _Seen) -> None:
        """Its heart has just beaten: its clock should say so."""
        if flaw(processes, one._mapping) is not None:
            return
        ahead = (moment_of(one.beat_at) - self._clock.now()).total_seconds()
        seen.ahead = ahead
        if abs(ahead) > CLOCK_TOLERANCE and not seen.warned:
            seen.warned = True
            logger.warning(
                "The clock of process %d on %s is %.0f seconds %s of the one here. No slot runs twice for that, but "
                "slots are early or late; set the clocks.",
                one.pid,
                one.host,
                abs(ahead),
                "ahead" if ahead > 0 else "behind",
            )

    def _bury(self, one: Any, listeners: Sequence[Listener]) -> None:
        reason = f"its process (process {one.pid} on {one.host}) has died"
        moment = micros_of(self._clock.now())

        def apply(page: Page) -> list[Row]:
            done = page.connection.execute(
                processes.update()
                .where(processes.c.id == one.id, processes.c.ended_at.is_(None), processes.c.beat == one.beat)
                .values(ended_at=moment, ending="died", vitals=None)
            )
            if not done.rowcount:  # another process was first, or it lives
                return []
            lost, _ = book.bury(page, self._runs_of(page, one.id), moment, reason)
            return lost

        lost = self._ledger.perform(Operation("bury", apply))
        self._seen.pop(one.id, None)
        if lost:
            for run in map(self._store.to_run, lost):
                for listener in (self._store.listeners_for(run.task) or listeners)[:1]:
                    listener.lost([run])

    def _runs_of(self, page: Page, process: str) -> list[Row]:
        """The runs that a process has under way, or lets wait."""
        theirs = page.connection.execute(
            runs.select().where(runs.c.namespace == self._database.namespace, runs.c.place > 0, runs.c.owner == process)
        )
        return [row for found in theirs.mappings() if (row := page.run(found["id"])) is not None]

    # Runs elsewhere.

    def _follow_watched(self) -> None:
        with self._watching:
            waiting = [run for run in self._watched if not run.state.final]
            self._watched = weakref.WeakSet(waiting)
        ids = list({run.id for run in waiting})
        for first in range(0, len(ids), WATCHED):
            self._follow(set(ids[first : first + WATCHED]), waiting)

    def _follow(self, ids: set[str], waiting: Sequence[Run]) -> None:
        """Bring the runs of these ids up to what the store knows now. Of one there may be several objects."""
        with self._database.read() as connection:
            found = connection.execute(runs.select().where(runs.c.id.in_(ids))).mappings()
            rows = {row["id"]: dict(row) for row in found}
            kept = self._store.logs_of(connection, list(rows))
        for run in waiting:
            if run.id in kept:
                run.recall_log(log_of(run, *kept[run.id]))
            if run.id in rows:
                self._store.refresh(run, rows[run.id])
            elif run.id in ids:
                self._store.refresh_forgotten(run)


def _progress_of(run: Run) -> tuple[Any, ...]:
    return run.progress, run.message, len(run.log) + run.log_dropped, run.thread if run.progress is not None else None


def _owners(live: Mapping[str, Run]) -> set[str]:
    return {run.owner for run in list(live.values()) if run.owner is not None}
