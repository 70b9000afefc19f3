"""``SqlStore``: the ledger that outlives its process, and that any number of processes share."""

from __future__ import annotations

import datetime
import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from task.errors import StoreError, StoreUnavailableError
from task.log import logger
from task.runs import ParentResults, Run, RunState
from task.stores.sql import book
from task.stores.sql.claiming import SqlClaims
from task.stores.sql.incidents import SqlIncidents
from task.stores.sql.operations import Operation
from task.stores.sql.page import Page, Row
from task.stores.sql.restoring import forgotten_row
from task.stores.sql.rows import delays_text, facts_of, lines_of, micros_of, row_of
from task.stores.values import Follower, Limits

__all__ = ["SqlStore"]

Moment = datetime.datetime


class SqlStore(SqlClaims, SqlIncidents):
    """The ledger in SQLite or PostgreSQL: ``TaskManager(store="sqlite:///tasks.db")`` makes one.

    *url* is SQLAlchemy's. *namespace* keeps the applications on one database apart. A process whose heartbeat has
    stood still for *lost_after* seconds counts as dead.
    """

    # Attempts.

    def start(self, run: Run, now: Moment) -> bool:
        if self._live.get(run.id) is not run:  # it was left to others, and may have come back as another object
            self._disown(run)
            return False
        attempt, moment = run.attempt + 1, micros_of(now)
        facts: Row = {"process": os.getpid(), "host": run.host}  # what it was asked by then is still to be heard
        if run.delays:
            facts["delays"] = delays_text(run)

        def apply(page: Page) -> bool:
            page.begun.add(run.id)
            return book.start(page, page.run(run.id), run.owner, attempt, moment, facts)

        def settle(started: bool) -> None:
            if started and run.attempt < attempt:
                run.begin_attempt(now)
                run.state = RunState.RUNNING  # last: who sees it sees what belongs to it

        urgent = run.trigger != "call"  # whoever calls waits for it all the same; others try it again
        operation = Operation("start", apply, names=[run.task], ids=[run.id], settle=settle, urgent=urgent)
        try:
            if self._ledger.perform(operation):
                return True
        except StoreUnavailableError:
            if run not in self._unrecorded:
                raise
            settle(True)
            self._ledger.owe(operation.later())  # else its end would be that of a run that never started
            return True
        self._disown(run)
        return False

    def retry(self, run: Run, attempt: int, now: Moment, next_at: Moment) -> bool:
        if run.state is not RunState.RUNNING or run.attempt != attempt:
            return False
        run.end_attempt(now)
        facts, moment = facts_of(run), micros_of(next_at)

        def apply(page: Page) -> bool:
            return book.retry(page, page.run(run.id), run.owner, attempt, moment, facts)

        def settle(repeated: bool) -> None:
            if repeated:
                run.state, run.next_at = RunState.RETRYING, next_at

        operation = Operation("retry", apply, names=[run.task], ids=[run.id], settle=settle, instead=lambda: True)
        if self._ledger.perform(operation):
            return True
        self._disown(run)
        return False

    @staticmethod
    def _row_of(page: Page, run: Run) -> Row | None:
        """The row of a run of which no body is under way. It may say so: the answer to a start is lost at times."""
        row = page.run(run.id)
        begun = row is not None and row["state"] == "running" and row["owner"] == run.owner
        if row is not None and begun and run.state is not RunState.RUNNING and run.id not in page.begun:
            page.change(row, state=str(run.state), attempt=run.attempt)
        return row

    # Ends.

    def cancel(self, run: Run, now: Moment, reason: str, followers: Sequence[Follower] = ()) -> Sequence[Run] | None:
        if run.state is RunState.RUNNING or run.state.final or run.id not in self._live:
            return None
        moment, overruns = micros_of(now), run.overrunning

        def apply(page: Page) -> _Followed | None:
            row = self._row_of(page, run)
            if row is None:
                return _Followed((), ())
            chains = self._chains(page, followers)
            ended = book.cancel(page, row, run.owner, moment, reason, chains, keep_place=overruns)
            return None if ended is None else self._follow(page, run, followers, ended)

        def settle(found: _Followed | None) -> None:
            if found is not None and not run.state.final:
                self._end(run, RunState.CANCELLED, now, reason, keep_place=overruns)

        return self._finish(run, self._finishing(run, apply, settle, "cancel"))

    def finish(
        self,
        run: Run,
        state: RunState,
        now: Moment,
        reason: str | None = None,
        *,
        attempt: int | None = None,
        keep_place: bool = False,
        followers: Sequence[Follower] = (),
    ) -> Sequence[Run] | None:
        if run.state.final or (attempt is not None and (run.attempt != attempt or run.state is not RunState.RUNNING)):
            return None
        facts = facts_of(run) | {"reason": reason or run.reason, "asked": None}
        bare = {"error": f"how it ended ({state}) is more than the database takes; the log has it", "asked": None}
        end = functools.partial(self._end_of, run, state, micros_of(now), attempt, keep_place, followers)

        def settle(found: _Followed | None) -> None:
            if found is not None and not run.state.final:
                self._end(run, state, now, reason, keep_place=keep_place)

        operation = self._finishing(run, end(facts, lines_of(run) if run.log else None), settle)
        operation.bare = end(bare, None)
        return self._finish(run, operation)

    def _end_of(
        self,
        run: Run,
        state: RunState,
        moment: int,
        attempt: int | None,
        keep_place: bool,
        followers: Sequence[Follower],
        facts: Row,
        log: str | None,
    ) -> Callable[[Page], _Followed | None]:
        """What is done in the database for the end of a run."""

        def apply(page: Page) -> _Followed | None:
            row = page.run(run.id)
            if row is None and run.id in page.unreadable:
                return None
            if row is None:  # the store was begun anew meanwhile
                row = forgotten_row(page, run, Limits(), self._scope(run.task)) | {"place": 0}
                page.add_run(row)
            elif row["owner"] != run.owner or row["state"] not in ("queued", "running", "retrying"):
                if row["state"] == str(state) and row["finished_at"] == moment and row["owner"] == run.owner:
                    return _Followed((), ())  # said before
                page.change(row, aside=json.dumps(_aside(state, facts, moment)))
                return None
            elif attempt is not None and row["attempt"] != attempt:
                return None
            if log is not None:
                page.write_log(run.id, log, run.log_dropped)
            ended = book.end(
                page, row, str(state), moment, facts, keep_place=keep_place, chains=self._chains(page, followers)
            )
            return self._follow(page, run, followers, ended)

        return apply

    def _finishing(
        self,
        run: Run,
        apply: Callable[[Page], _Followed | None],
        settle: Callable[[_Followed | None], object],
        kind: str = "finish",
    ) -> Operation[_Followed | None]:
        return Operation(
            kind,
            apply,
            names=[run.task],
            ids=[run.id],
            settle=settle,
            instead=lambda: _Followed((), ()),
            late=self._admit_late,
            facts=run.as_dict,
        )

    def _finish(self, run: Run, operation: Operation[_Followed | None]) -> Sequence[Run] | None:
        found = self._ledger.perform(operation)
        if found is None:
            self._disown(run)
            return None
        return self._admitted(found)

    def _admitted(self, found: _Followed) -> list[Run]:
        """The runs of this process that may go now."""
        going = []
        for key, token in found.admitted:
            run = self._live.get(key)
            if run is not None and self.let_go(run, token):
                going.append(run)
        for child, verdict in found.children:
            self._settle_claim(child, verdict)
            if verdict.answer in ("admitted", "skipped"):
                going.append(child)
        return going

    def _admit_late(self, found: Any) -> None:
        """An end was written after all."""
        going = self._admitted(found) if isinstance(found, _Followed) else []
        for listener in self._listeners[:1]:
            listener.admitted(going)
        for run in () if self._listeners else going:
            run.cancel("stopped")

    def _chains(self, page: Page, followers: Sequence[Follower]) -> list[book.Chain]:
        for one in followers:
            self._row(page, one.name)
        return [book.Chain(one.name, one.after, {str(state) for state in one.states}) for one in followers]

    def _follow(self, page: Page, run: Run, followers: Sequence[Follower], ended: book.Ended) -> _Followed:
        """Make the runs of those that come after it."""
        children = []
        by_name = {follower.name: follower for follower in followers}
        for name, arrived in ended.due:
            follower = by_name[name]
            child = follower.follow(run, ParentResults(self._results(page, run, arrived)))
            child.owner = run.owner
            row = row_of(child, follower.limits, self.namespace, self._scope(name)) | {"inputs": json.dumps(arrived)}
            verdict = book.admit(page, self._row(page, name), book.Order(row, follower.limits))
            children.append((child, verdict))
        if any(row["owner"] != run.owner for row in ended.admitted):
            page.tell()
        return _Followed(tuple((row["id"], row["token"]) for row in ended.admitted), tuple(children))

    def _results(self, page: Page, run: Run, arrived: Mapping[str, str]) -> dict[str, Any]:
        """What the parents returned: the one that has just ended its very object, others what the store has of it."""
        results: dict[str, Any] = {}
        for name, key in arrived.items():
            row = page.run(key)
            if key == run.id and row is not None:
                results[name] = run.peek_value(RunState(row["state"]))
                continue
            known = row is not None and row["result"] is not None and row["result_is_json"]
            results[name] = self.to_run(row).peek_value() if row is not None and known else None
        return results

    def _end(self, run: Run, state: RunState, now: Moment, reason: str | None, *, keep_place: bool = False) -> None:
        run.reason = reason or (None if run.waiting else run.reason)
        if run.redactor is not None or run.inputs is not None:
            run.forget_inputs()
        run.finished_at, run.waiting, run.next_at = now, False, None
        run.state = state  # last: who sees the final state sees what belongs to it
        if not keep_place:
            self._forget(run)
        run.ended()

    def _disown(self, run: Run) -> None:
        """Another process has taken the run, or found it lost: here it ends as the store says."""
        if run.state.final:
            return
        try:
            found = self.find(run.id)
        except StoreError:  # the next operation on it will tell
            return
        if found is None or (found.owner == run.owner and not found.state.final):
            return
        if self._live.get(run.id) is run:
            del self._live[run.id]
        if not found.state.final and run.state is not RunState.RUNNING:  # it goes on elsewhere
            self._attention.watch(run)
            return
        run.reason = found.reason or "another process has taken it over"
        run.finished_at = found.finished_at or self._clock.now()
        run.state = found.state if found.state.final else RunState.LOST
        run.ended()

    def mind(self, run: Run) -> None:
        known = self._known.get(run.task)
        if run.state is not RunState.RUNNING:
            self._disown(run)
            if known is not None:  # its next slot may wait for the end of the run here
                self._renew(run.task, known)
        elif run.asked is None and (found := self.find(run.id)) is not None and found.state.final:
            logger.warning(
                "The run %s of task %r is not this process's own any more: it is asked to stop", run.id, run.task
            )
            run.ask_to_stop("its process was found dead")

    def release(self, run: Run) -> Sequence[Run]:
        def apply(page: Page) -> _Followed | None:
            row = page.run(run.id)
            if row is None or row["owner"] != run.owner or row["place"] != 1 or row["state"] in _UNDER_WAY:
                return None
            return self._follow(page, run, (), book.Ended(book.leave(page, row)))

        if run.id not in self._live:
            return ()
        found = self._ledger.perform(
            Operation(
                "release",
                apply,
                names=[run.task],
                ids=[run.id],
                instead=lambda: None,
                late=self._admit_late,
            )
        )
        self._forget(run)
        return () if found is None else self._admitted(found)

    def put_back(self, run: Run) -> bool:
        def apply(page: Page) -> bool:
            row = self._row_of(page, run)
            if row is None or row["owner"] not in (run.owner, None) or row["state"] not in ("queued", "retrying"):
                return False
            if not row["portable"]:
                return False
            page.change(row, owner=None)  # which another thread may have done just now
            page.tell()
            return True

        if run.state not in (RunState.QUEUED, RunState.RETRYING):
            return False
        left = self._ledger.perform(Operation("put back", apply, ids=[run.id], instead=lambda: False))
        if left:
            self._live.pop(run.id, None)
            run.owner = None
            self._attention.watch(run)
        return left

    def cancel_elsewhere(self, run: Run, reason: str, now: Moment) -> bool:
        moment = micros_of(now)

        def apply(page: Page) -> Row | None:
            row = page.run(run.id)
            if row is None or row["state"] not in ("queued", "retrying", "running"):
                return None
            if row["owner"] is None and row["state"] != "running":
                book.cancel(page, row, None, moment, reason)
            else:
                page.change(row, asked=reason)
            page.tell()
            return dict(row)

        found = self._ledger.perform(Operation("cancel", apply, ids=[run.id]))
        if found is not None and not run.state.final:
            self.refresh(run, found)
        return found is not None


class _Followed:
    """What the end of a run has brought about here: rows that may go, and runs that were made."""

    __slots__ = ("admitted", "children")

    def __init__(self, admitted: Sequence[tuple[str, int]], children: Sequence[tuple[Run, book.Verdict]]) -> None:
        self.admitted = admitted
        self.children = children


_UNDER_WAY = ("queued", "running", "retrying")


def _aside(state: RunState, facts: Row, now: int) -> dict[str, Any]:
    """What is kept of an end that came too late."""
    kept = {name: facts[name] for name in ("error", "result", "reason", "thread", "process") if facts.get(name)}
    return {"state": str(state), "at": now, **kept}
