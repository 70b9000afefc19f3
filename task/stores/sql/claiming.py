"""``SqlClaims``: who gets a slot."""

from __future__ import annotations

import contextlib
import datetime
import functools
from collections.abc import Callable

from task.errors import ParameterError, StoreError
from task.log import logger
from task.runs import Run
from task.schedules import Missed
from task.stores.sql import book
from task.stores.sql.declaring import SqlDeclarations
from task.stores.sql.known import gap_of
from task.stores.sql.operations import Operation
from task.stores.sql.page import Page, Row
from task.stores.sql.rows import micros_of, row_of, to_micros
from task.stores.sql.schema import check_version
from task.stores.values import Limits

__all__ = ["SqlClaims"]

Moment = datetime.datetime


class SqlClaims(SqlDeclarations):
    """The part of the ledger that gives slots and places."""

    def claim(self, run: Run, limits: Limits, missed: Missed | None = None, unwanted: str | None = None) -> bool:
        self._claiming.add(run.id)
        try:
            return bool(_granted(self._ledger.perform(self._claim_of(run, limits, missed, unwanted))))
        except StoreError as error:
            self._doubt(run, error)
            self.forgo(run, "whoever asked for it was told that the store could not be reached", run.queued_at)
            raise
        finally:
            self._claimed(run)

    def claim_soon(
        self,
        run: Run,
        limits: Limits,
        missed: Missed | None,
        unwanted: str | None,
        then: Callable[[bool | StoreError | None], object],
    ) -> None:
        operation = self._claim_of(run, limits, missed, unwanted)
        self._claiming.add(run.id)

        def tell(answer: object) -> None:
            try:
                if isinstance(answer, book.Verdict):
                    self._uncertain.discard(run)
                    then(_granted(answer))
                else:
                    error = _as_store_error(answer)
                    self._doubt(run, error)
                    then(error)
            finally:
                self._claimed(run)

        operation.then = tell
        with contextlib.ExitStack() as unasked:
            unasked.callback(self._claimed, run)
            self._ledger.submit(operation)
            unasked.pop_all()

    def _doubt(self, run: Run, error: StoreError) -> None:
        self._unsure.add(run)
        if getattr(error, "uncertain", False):
            self._uncertain.add(run)

    def forgo(self, run: Run, reason: str, now: Moment, *, leave: bool = False) -> None:
        if run not in self._uncertain:
            return
        self._uncertain.discard(run)
        moment = micros_of(now)

        def apply(page: Page) -> None:
            row = page.run(run.id)
            if row is None or row["state"] != "queued":
                return
            if leave and row["portable"]:
                page.change(row, owner=None)
            else:
                book.end(page, row, "cancelled", moment, {"reason": reason}, keep_place=False)
            page.tell()

        self._ledger.owe(Operation("forgo", apply, names=[run.task], ids=[run.id]))

    def _claim_of(
        self, run: Run, limits: Limits, missed: Missed | None, unwanted: str | None, row: Row | None = None
    ) -> Operation[book.Verdict]:
        """The operation; *row* is the run as it was, where it may have ended by then."""
        known = self._known[run.task]
        known.limits = limits
        scope = self._scope(run.task)
        if run.trigger == "call" or self._executes(run):
            run.owner = self.process
        elif not row_of(run, limits, self.namespace, scope)["portable"]:
            raise ParameterError(
                f"Task {run.task!r} cannot be triggered here for another process: its parameters are secret, or more "
                "than JSON tells. Trigger it where its manager runs."
            )
        gap = None
        slot = to_micros(run.slot)
        if slot is not None:
            before = slot
            gap = lambda mark: known.gap(mark, before, missed)  # noqa: E731 - a function of two lines says no more
        patient = self._just_attached() or (run.trigger == "catch-up" and known.terms.each_late_slot)
        follows = (known.follows,) if slot is not None and known.dependent else None

        def apply(page: Page) -> book.Verdict:
            check_version(page.version)  # newer code has come: what runs here may end, and nothing more begins
            if run.owner is not None and not page.lives(run.owner):
                run.owner = self.process if page.lives(self.process) else self._attention.join_again(page)
            task = self._row(page, run.task)
            order = book.Order(
                row_of(run, limits, self.namespace, scope) if row is None else row | {"owner": run.owner},
                limits,
                unwanted,
                gap,
                known.generation,
                follows,
                known.terms.max_runs,
                run in self._unsure,
                patient,
            )
            verdict = book.claim(page, task, order)
            if slot is not None and verdict.answer in ("admitted", "waiting", "over") and book.is_over(task, order):
                self.end_declarations(page, task, None, task["mark"])
            if run.owner is None and verdict.answer == "admitted":
                page.tell()
            return verdict

        def settle(verdict: book.Verdict) -> None:
            self._settle_claim(run, verdict)

        places = limits.overlap != "allow"
        return Operation("claim", apply, names=[run.task], ids=[run.id], places=places, settle=settle)

    def _executes(self, run: Run) -> bool:
        return any(listener.executes(run) for listener in self._listeners)

    def _settle_claim(self, run: Run, verdict: book.Verdict) -> None:
        run.token, run.epoch = verdict.token, verdict.epoch
        known = self._known.get(run.task)  # it may have been removed meanwhile
        if known is not None and run.slot is not None and verdict.answer in ("admitted", "waiting", "skipped"):
            known.follows = to_micros(run.slot)
        if verdict.answer == "skipped":
            run.to_skipped(verdict.reason or "")
        elif verdict.answer in ("admitted", "waiting"):
            if verdict.answer == "waiting":
                run.waiting = run.waited = True
                run.reason = run.held_up_by = verdict.reason
            if run.owner is None:
                self._attention.watch(run)
            else:
                self._keep(run)
        elif verdict.answer == "stale" and known is not None:
            self._declared_elsewhere(run.task, known, verdict.reason)

    def admit_unrecorded(self, run: Run, limits: Limits) -> bool:
        others = [one for one in self.mine(run.task) if not one.state.final]
        if len(others) >= limits.max_concurrent and limits.overlap != "allow":
            return False
        run.owner = run.owner or self.process
        self._live[run.id] = run
        self._unrecorded.add(run)
        limits = Limits(overlap="allow")  # by then nothing can keep it from running
        row = row_of(run, limits, self.namespace, self._scope(run.task))
        operation = self._claim_of(run, limits, None, None, row)
        operation.settle = functools.partial(self._recorded, run)
        self._ledger.owe(operation)
        return True

    def _recorded(self, run: Run, verdict: book.Verdict) -> None:
        self._unrecorded.discard(run)
        run.token, run.epoch = verdict.token, verdict.epoch
        if verdict.answer != "admitted":
            logger.error(
                "Slot %s of task %r was run here without the store, and has another outcome there", run.slot, run.task
            )

    def miss(self, name: str, missed: Missed, reason: str, now: Moment) -> None:
        known = self._known[name]
        span, moment = gap_of(missed), micros_of(now)

        def apply(page: Page) -> None:
            row = self._row(page, name)
            mark = row["mark"]
            if mark is not None and mark >= span.before - 1:
                return
            gap = known.gap(mark, span.before, missed)
            if gap is None and (mark is None or mark < span.first):
                gap = span
            if gap is not None:
                book.miss(page, row, gap, reason, moment)

        self._ledger.perform(Operation("miss", apply, names=[name], instead=lambda: None))


def _granted(verdict: book.Verdict) -> bool | None:
    return None if verdict.answer == "busy" else verdict.answer in ("admitted", "waiting", "skipped")


def _as_store_error(error: object) -> StoreError:
    return error if isinstance(error, StoreError) else StoreError(f"the claim failed: {error!r}")
