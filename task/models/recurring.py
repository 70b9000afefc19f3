"""``Recurring``: tasks on schedules that people make at run time, kept in the store."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

import schedule as schedule_library

from task.errors import (
    DeclarationTypeError,
    DuplicateTaskError,
    ManagerStateError,
    StoreError,
    UnknownTaskError,
    did_you_mean,
)
from task.models.entries import Entries
from task.models.function import TaskFunction
from task.models.registry import Registry
from task.models.switches import check_switch
from task.models.terms import (
    TERMS,
    RecurringEntry,
    check_name,
    check_terms,
    entry_of,
    export_entries,
    import_entries,
)
from task.pipeline import Pipeline, name_of
from task.runs import Run
from task.schedules import shorten
from task.stores import RecurringRecord, RecurringRow, Switch

__all__ = ["Recurring"]

Moment = datetime.datetime
Found = list[RecurringEntry]  # in the class, `list` is its method

#: How often a change is tried that others have come before with theirs.
TRIES = 20


class Recurring:
    """The recurring entries of a manager: ``manager.recurring``.

    An entry runs the body of a task on a schedule and with parameters of its own, under a name of its own: its runs,
    its switch and its guards go by that. It is a row in the store: every process on the store picks it up, and a
    restart restores it. Only tasks that a process has registered can be named; what an entry says is data.

    >>> from task import TaskManager
    >>> manager = TaskManager([])
    >>> task = manager.add(lambda name: f"Hello, {name}", name="greet")
    >>> entry = manager.recurring.add("greet Ada", task="greet", schedule="0 9 * * *", parameters={"name": "Ada"})
    >>> entry.schedule, entry.enabled, entry.runs
    ('0 9 * * *', True, 0)
    >>> with manager:
    ...     manager.recurring.trigger("greet Ada").result(timeout=5)
    'Hello, Ada'
    """

    def __init__(self, registry: Registry, pipeline: Pipeline, check_process: Callable[[], None]) -> None:
        self._registry = registry
        self._pipeline = pipeline
        #: Raises in a forked child.
        self._check_process = check_process
        self._entries = Entries(registry, pipeline)
        self.look_for, self.begin_anew = self._entries.look_for, self._entries.begin_anew
        self.set_apart = self._entries.set_apart

    # To look at.

    def list(self) -> Found:
        """All entries of the store, by their names."""
        self._look()
        return [self._shown(record) for record in self._pipeline.store.entries()]

    def get(self, name: str) -> RecurringEntry:
        """The entry called *name*. Raises `UnknownTaskError` with the nearest names."""
        return self._shown(self._find(name))

    def orphans(self) -> Found:
        """The entries that this process does not run, each with its ``problem``: its task is gone from the code, say.

        They are kept, and run again when the task is back.
        """
        return [entry for entry in self.list() if entry.problem is not None]

    # To change.

    def add(
        self,
        name: str,
        *,
        task: str | TaskFunction[..., Any],
        schedule: str | schedule_library.Job | None = None,
        parameters: Mapping[str, Any] | None = None,
        max_concurrent: int = 1,
        enabled: bool = True,
        by: str | None = None,
    ) -> RecurringEntry:
        """Make an entry. Slots are counted from now on.

        *schedule* is in words (``"every monday at 09:00 in Europe/Amsterdam"``, ``"0 2 * * *"``), a Job that has words,
        or None for an entry that is only triggered. *parameters* are JSON, and go over those that the task declares.
        *by* is who does it, for the journal; else the user of this process and its host.

        Raises `DuplicateTaskError` for a name that an entry or a task has, `UnknownTaskError` for a task that is not
        registered here, `ScheduleError`, `ParameterError` and `DeclarationError` for what else cannot be.
        """
        asked = {"task": task, "schedule": schedule, "parameters": parameters, "max_concurrent": max_concurrent}
        check_switch(f"Recurring entry {check_name(name)!r}", enabled, None, None)
        self._put({name: (asked, Switch(enabled))}, replace=False, by=by)
        return self.get(name)

    def update(self, name: str, *, by: str | None = None, **changes: Any) -> RecurringEntry:
        """Change ``task``, ``schedule``, ``parameters`` (all of them) or ``max_concurrent``; the rest stays.

        A new schedule or task counts from now on; what was due and has not run is missed. New parameters go to the
        next run. Processes elsewhere follow within a second or so. Raises what `add` raises.
        """
        for key in changes:
            if key not in TERMS:
                fix = "Use enable() and disable()." if key == "enabled" else did_you_mean(key, TERMS)
                raise DeclarationTypeError(
                    f"Recurring entry {name!r}: {shorten(key)} cannot be updated. {fix} There are: {', '.join(TERMS)}."
                )
        self._check_process()
        who = name_of(by)
        for _ in range(TRIES):
            with self._registry.lock:
                before = self._find(name).row
                row = self._checked(before, changes)
                if row == before._replace(updated_at=row.updated_at):
                    break
                row = row._replace(version=before.version + 1)
                done = self._pipeline.store.put_entry(row)
                self._entries.follow_own([row])
            if done:
                self._pipeline.journal("updated", name, ", ".join(sorted(changes)), who)
                self._entries.tell_others()
                break
        else:
            raise StoreError(f"Recurring entry {name!r} is changed by others all the time. Try again.")
        return self.get(name)

    def enable(self, name: str, by: str | None = None) -> None:
        """Turn its switch on. Raises `UnknownTaskError`."""
        self._as_task(name).enable(by)

    def disable(self, name: str, note: str | None = None, until: Moment | None = None, by: str | None = None) -> None:
        """Turn its switch off, as `TaskFunction.disable` does: its slots and triggers are skipped, and recorded so."""
        self._as_task(name).disable(note, until, by)

    def remove(self, name: str, by: str | None = None) -> None:
        """Forget it: no slot of it is run any more, and what is queued is cancelled. A body under way goes on.

        Its history stays, under its name. Raises `UnknownTaskError`.
        """
        who = name_of(by)
        with self._registry.lock:
            self._find(name)
            self._pipeline.store.drop_entry(name, self._pipeline.clock.now())
            self._entries.look()
        self._pipeline.journal("removed", name, None, who)
        self._entries.tell_others()

    def trigger(self, name: str, /, **parameters: Any) -> Run:
        """A run now, as `TaskFunction.trigger`; *parameters* go over those of the entry.

        Raises `UnknownTaskError`, and `ManagerStateError` for an entry that is not run here (`orphans`).
        """
        self._look()
        found = self._entries.task(name)
        if found is None:
            self._find(name)
            raise ManagerStateError(
                f"Recurring entry {name!r} cannot be triggered here: "
                f"{self._entries.problem(name) or 'this manager has it, or its task, in exclude='}"
            )
        return found.trigger(**parameters)

    # As JSON.

    def export_json(self) -> str:
        """All entries as JSON text, with their switches and without their history: the same for the same entries."""
        self._check_process()
        return export_entries(self._pipeline.store.entries(), self._pipeline.clock.now())

    def import_json(self, text: str, *, replace: bool = False, by: str | None = None) -> Found:
        """Add the entries of such a text, all or none. With *replace*, those whose names there are already are updated.

        Raises what `add` raises, before anything is changed.
        """
        asked = import_entries(text)
        self._put(asked, replace=replace, by=by)
        return [self.get(name) for name in asked]

    # How.

    def _look(self) -> None:
        """Know the tasks of the code and the entries of the store as they are now."""
        self._check_process()
        self._registry.discover()
        self._entries.look()

    def _find(self, name: str) -> RecurringRecord:
        self._look()
        found = self._pipeline.store.entries(name) if isinstance(name, str) else []
        if not found:
            names = self._entries.names()
            hint = did_you_mean(name, names, f"There are: {sorted(names)[:10]}." if names else "")
            raise UnknownTaskError(f"There is no recurring entry {shorten(name)}. {hint}".rstrip())
        return found[0]

    def _shown(self, record: RecurringRecord) -> RecurringEntry:
        found = self._entries.task(record.row.name)
        entry = None if found is None or not self._registry.scheduling else found.binding.entry
        slot = None if entry is None or entry.reason is not None else entry.timetable.next_slot()
        return entry_of(record, self._pipeline.clock.now(), slot, self._entries.problem(record.row.name))

    def _put(self, asked: Mapping[str, tuple[Mapping[str, Any], Switch]], *, replace: bool, by: str | None) -> None:
        """Make entries, all or none."""
        self._check_process()
        who = name_of(by)
        store = self._pipeline.store
        with self._registry.lock:
            self._look()
            rows = []
            for name, (terms, switch) in asked.items():
                before = self._entries.row(name)
                if before is not None and not replace:
                    raise DuplicateTaskError(
                        f"There is a recurring entry {name!r} already. Update it, or choose another name."
                    )
                rows.append((self._row(name, terms, before), switch))
            with store.together(list(asked)):
                for row, switch in rows:
                    if not store.put_entry(row):
                        raise DuplicateTaskError(
                            f"Recurring entry {row.name!r} was made or changed by somebody else just now. Try again."
                        )
                    store.turn(row.name, switch._replace(at=row.updated_at, by=who))
            self._entries.follow_own([row for row, _ in rows])
        for row, _ in rows:
            self._pipeline.journal("added" if row.version == 1 else "updated", row.name, None, who)
        self._entries.tell_others()

    def _row(self, name: str, asked: Mapping[str, Any], before: RecurringRow | None) -> RecurringRow:
        now = self._pipeline.clock.now()
        if before is None:
            if "task" not in asked:
                raise DeclarationTypeError(f"Recurring entry {name!r} names no task.")
            if name in self._registry.tasks:
                raise DuplicateTaskError(
                    f"There is a task {name!r} already, at {self._registry.tasks[name].spec.place}: give the recurring "
                    "entry another name."
                )
            before = RecurringRow(name, "", None, "{}", 1, now, now, now, version=0)
        return self._checked(before, asked)._replace(version=before.version + 1)

    def _checked(self, before: RecurringRow, asked: Mapping[str, Any]) -> RecurringRow:
        """What the entry would be with that, after it was tried on its task."""
        now = self._pipeline.clock.now()
        task = asked.get("task", before.task)
        try:
            base = self._entries.find_task(task.name if isinstance(task, TaskFunction) else task)
        except UnknownTaskError as error:
            raise UnknownTaskError(f"Recurring entry {before.name!r}: {error}") from None
        if isinstance(task, TaskFunction) and not task.same_as(base):
            raise UnknownTaskError(f"Recurring entry {before.name!r}: {task!r} is not a task of this manager. Add it.")
        row = check_terms(before._replace(updated_at=now), base, asked)
        if (row.task, row.schedule) != (before.task, before.schedule):
            row = row._replace(scheduled_at=now)
        self._registry.check(base.entry(self._entries.spec_of(row)))
        return row

    def _as_task(self, name: str) -> TaskFunction[..., Any]:
        """What has its switch: the task that it is here, or one that stands for it where it is not run."""
        self._find(name)
        return self._entries.task(name) or TaskFunction.standing_for(name, self._pipeline)
