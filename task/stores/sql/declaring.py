"""``SqlDeclarations``: which schedules are in force, and the switches of the tasks."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import Any

import schedule
import sqlalchemy as sql

from task.errors import DuplicateTaskError
from task.log import logger
from task.schedules import LiveJob, identity
from task.stores.base import Store
from task.stores.sql import book, schema
from task.stores.sql.book import Gap
from task.stores.sql.history import declaration_of
from task.stores.sql.known import Known, fingerprint, is_of_code
from task.stores.sql.operations import Operation
from task.stores.sql.page import Page, Row
from task.stores.sql.presence import SqlPresence
from task.stores.sql.rows import from_micros, micros_of, moment_of, to_micros
from task.stores.values import Declaration, JournalEntry, Switch, Terms

__all__ = ["SqlDeclarations"]

Moment = datetime.datetime

#: A mark that is further ahead was set by a clock that had been wrong. Microseconds.
_DAY = 24 * 3600 * 1_000_000


class SqlDeclarations(SqlPresence):
    """The part of the ledger that knows what the code of its processes says."""

    def register(self, name: str, terms: Terms, origin: Store | None = None) -> None:
        known = self._known.setdefault(name, Known(terms))
        known.terms = terms._replace(disabled=known.terms.disabled)
        known.managers += 1
        if origin is not None and origin is not self:
            switch = origin.switch(name, self._clock.now())
            known.switch = switch if switch.at is not None else None

    def enlist(self, name: str, jobs: Sequence[schedule.Job], now: Moment) -> None:
        known, at = self._known[name], micros_of(now)
        entry = known.terms.entry
        declared = fingerprint(jobs, entry=entry)

        def apply(page: Page) -> tuple[int, int | None]:
            schema.check_version(page.version)
            row, shared = self._row(page, name), page.task(name)
            assert shared is not None
            if entry and is_of_code(row["declaration"]):
                raise DuplicateTaskError(f"a process has a task {name!r} in its code: give the entry another name")
            self._follow_code(page, shared, known, at)
            if row["declaration"] != declared:
                if row["declaration"] is not None:
                    self._close_others(page, row, {identity(job) for job in jobs}, at)
                    page.tell()
                page.change(row, declaration=declared, generation=row["generation"] + 1, claimed=0)
                self._begin_again(page, row)
            return row["generation"], row["mark"]

        def settle(found: tuple[int, int | None]) -> None:
            known.generation, known.follows = found
            known.declaration, known.stale, known.changed, known.declarations = declared, False, False, []

        self._ledger.perform(Operation("enlist", apply, names=[name], settle=settle))

    @staticmethod
    def _follow_code(page: Page, row: Row, known: Known, now: int) -> None:
        """A `disabled=` that was changed in the code counts as a switch; so does what was said before it came here."""
        page.change(row, tags=known.tags, expectation=known.terms.expectation)
        if row["disabled"] != int(known.terms.disabled):
            page.change(row, disabled=int(known.terms.disabled))
            _turn(page, row, Switch(not known.terms.disabled, "changed in the code", None, moment_of(now), "code"))
        if known.switch is not None:
            _turn(page, row, known.switch)
            known.switch = None

    @staticmethod
    def _begin_again(page: Page, row: Row) -> None:
        """What had ended by itself may be begun again: the declaration is another one."""
        for one in page.declarations(row["name"], row["scope"]):
            page.change(one, retired=0)

    def _close_others(self, page: Page, row: Row, kept: set[str], now: int) -> None:
        """The schedules that are not in the code any more: what was due of them until now is missed."""
        in_force = self._open_declarations(page, row)
        closing = [one for one in in_force if one["identity"] not in kept]
        gap = _gap_of(closing, row, now + 1)
        if gap is not None:
            # What was due of the others until then is missed with it: the mark passes them, too.
            gap = _gap_of(in_force, row, gap.last + 1) or gap
            book.miss(page, row, gap._replace(before=gap.last + 1), "its schedule was changed before it ran", now)
        self._close(page, closing, now, retired=0)

    @staticmethod
    def _close(page: Page, declarations: Sequence[Row], until: int | None, *, retired: int) -> None:
        for one in declarations:
            page.change(one, until=until, retired=retired)

    @staticmethod
    def _open_declarations(page: Page, row: Row) -> list[Row]:
        found = page.declarations(row["name"], row["scope"])
        return [one for one in found if one["until"] is None and one["epoch"] == row["epoch"]]

    def declare(self, name: str, declaration: Declaration) -> None:
        known = self._known[name]
        kept = identity(declaration.line.job)

        def apply(page: Page) -> tuple[int, int]:
            row, since = self._row(page, name), micros_of(declaration.since)
            known_already = [one for one in self._open_declarations(page, row) if one["identity"] == kept]
            if not known_already or declaration.until is not None:
                page.add_declaration(
                    {
                        "namespace": self.namespace,
                        "task": name,
                        "scope": row["scope"],
                        "identity": kept,
                        "anchor": to_micros(declaration.line.anchor),
                        "since": since,
                        "until": to_micros(declaration.until),
                        "epoch": row["epoch"],
                        "owed": int(declaration.owed),
                        "retired": int(declaration.until is not None),
                    }
                )
            else:
                since = known_already[0]["since"]  # by another process: maybe it owes more than this one would say
            return row["epoch"], since

        def settle(found: tuple[int, int]) -> None:
            declaration.epoch, declaration.since = found[0], moment_of(found[1])
            known.declarations.append(declaration)

        self._ledger.perform(Operation("declare", apply, names=[name], settle=settle))

    def retired(self, name: str) -> set[str]:
        """The schedules, as their identities, that ended by themselves under the declaration in force."""

        def apply(page: Page) -> set[str]:
            found = page.declarations(name, self._row(page, name)["scope"])
            return {one["identity"] for one in found if one["retired"]}

        return self._ledger.perform(Operation("look", apply, names=[name]))

    def retire(self, name: str, job: Any, until: Moment) -> None:
        kept, end = identity(job), to_micros(until)
        known = self._known.get(name) or Known(Terms())

        def apply(page: Page) -> tuple[int, int]:
            row = self._row(page, name)
            before: int = row["generation"]
            if row["declaration"] == known.declaration:  # else it is of older code, and ends nothing of the newer
                ending = [one for one in self._open_declarations(page, row) if one["identity"] == kept]
                self.end_declarations(page, row, ending, end)
            return before, row["generation"]

        def settle(found: tuple[int, int] | None) -> None:
            if found is not None and known.generation == found[0]:
                known.generation = found[1]

        for one in known.declarations:
            if one.until is None and one.line.job is job:
                one.until = until
        self._ledger.perform(Operation("retire", apply, names=[name], settle=settle, instead=lambda: None))

    def end_declarations(self, page: Page, row: Row, ending: Sequence[Row] | None, until: int | None) -> None:
        """Schedules of a task, or all of them, have ended by themselves: in every process."""
        closing = self._open_declarations(page, row) if ending is None else ending
        if closing:
            self._close(page, closing, until, retired=1)
            page.change(row, generation=row["generation"] + 1)
            page.tell()

    def look_at_declarations(self) -> None:
        """See which tasks were declared by newer code, or have schedules that ended elsewhere."""
        table = schema.tasks
        statement = sql.select(table.c.name, table.c.scope, table.c.generation, table.c.declaration).where(
            table.c.namespace == self.namespace, table.c.declaration.is_not(None)
        )
        with self._database.read() as connection:
            found = connection.execute(statement).all()
        for row in found:
            known = self._known.get(row.name)
            if known is None or known.generation in (None, row.generation) or row.scope != self._scope(row.name):
                continue
            self._declared_elsewhere(row.name, known, row.declaration)

    def declared(self, name: str, job: LiveJob) -> tuple[Moment, Moment] | None:
        kept = identity(job)

        def apply(page: Page) -> tuple[Moment, Moment] | None:
            for one in self._open_declarations(page, self._row(page, name)):
                if one["identity"] == kept:
                    return moment_of(one["anchor"]), moment_of(one["since"])
            return None

        return self._ledger.perform(Operation("look", apply, names=[name]))

    def follow(self, name: str) -> Moment | None:
        def apply(page: Page) -> int | None:
            mark: int | None = self._row(page, name)["mark"]
            return mark

        mark = self._ledger.perform(Operation("look", apply, names=[name]))
        self._known[name].follows = mark
        return from_micros(mark)

    def mark(self, name: str) -> Moment | None:
        page = self._ledger.page()
        if page is not None:
            return from_micros(self._row(page, name)["mark"])
        row = self._task(name, self._scope(name))
        return None if row is None else from_micros(row["mark"])

    def resume_from(self, name: str) -> Moment | None:
        def apply(page: Page) -> int | None:
            row = self._row(page, name)
            under_way = any(one["slot"] is not None for one in page.with_places(name, row["scope"]))
            if under_way:
                return None
            begun = [to_micros(one.since) or 0 for one in self._known[name].declarations]
            return max([row["ended_at"] or 0, row["mark"] or 0, *begun]) or None

        return from_micros(self._ledger.perform(Operation("look", apply, names=[name])))

    def set_back(self, name: str, moment: Moment) -> None:
        at = micros_of(moment)
        known = self._known.get(name)
        seen = max((one.epoch for one in known.declarations), default=None) if known is not None else None

        def apply(page: Page) -> None:
            row = self._row(page, name)
            mark: int | None = row["mark"]
            if seen is not None and row["epoch"] != seen and (mark is None or mark - at <= _DAY):
                return  # another process has done so, and slots were taken since
            for one in self._open_declarations(page, row):
                page.change(one, until=mark if mark is not None else at)
            page.change(row, mark=at, epoch=row["epoch"] + 1, last_skip=None)
            page.tell()

        if known is not None:
            known.declarations = []
        self._ledger.perform(Operation("set back", apply, names=[name], instead=lambda: None))

    def abandon(self, name: str) -> None:
        known = self._known.get(name)
        if known is not None:
            known.managers -= 1
            if known.managers <= 0:  # else another manager of this process goes on with it
                del self._known[name]

    def turn(self, name: str, switch: Switch) -> None:
        def apply(page: Page) -> None:
            self._row(page, name)
            row = page.task(name)
            assert row is not None
            _turn(page, row, switch)
            page.tell()

        self._ledger.perform(Operation("turn", apply, names=[name]))

    def switch(self, name: str, now: Moment) -> Switch:
        return self._first_switch(name) if self._task(name) is None else super().switch(name, now)

    def _first_switch(self, name: str) -> Switch:
        known = self._known.get(name)
        return Switch(True) if known is None else known.switch or Switch(not known.terms.disabled)

    def pause(self, paused: bool) -> None:
        def apply(page: Page) -> None:
            page.space["paused"] = int(paused)
            page.tell()

        self._ledger.perform(Operation("pause", apply))

    def note(self, entry: JournalEntry) -> None:
        """Soon: nobody waits for it. What reads the journal here does."""
        values = entry._asdict() | {"namespace": self.namespace, "at": to_micros(entry.at)}

        def apply(page: Page) -> None:
            page.add_note(values)

        def then(answer: object) -> None:
            if isinstance(answer, BaseException):
                logger.error("The journal does not have %s: %s", entry.as_dict(), answer)

        self._ledger.submit(Operation("note", apply, then=then, instead=lambda: None, facts=entry.as_dict))

    def journal(self, task: str | None = None, limit: int = 100) -> list[JournalEntry]:
        self._ledger.finish()
        return super().journal(task, limit)

    def names(self) -> list[str]:
        return list(dict.fromkeys([*self._known, *super().names()]))


def _gap_of(stored: Iterable[Row], row: Row, before: int) -> Gap | None:
    """What was due of some declarations of a task after its mark."""
    read = [declaration_of(one, row["name"]) for one in stored]
    known = Known(Terms())
    known.declarations = [one for one in read if one is not None and one.owed]
    return known.gap(row["mark"], before)


def _turn(page: Page, row: Row, switch: Switch) -> None:
    page.change(
        row,
        enabled=int(switch.enabled),
        note=switch.note,
        until=to_micros(switch.until),
        turned_at=to_micros(switch.at),
        turned_by=switch.by,
    )
    if switch.enabled:
        page.change(row, consecutive_failures=0)  # it is given another chance
