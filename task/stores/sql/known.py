"""``Known``: what this process has declared of a task, and what was due of it between two moments."""

from __future__ import annotations

import copy
import datetime
import json
from collections.abc import Iterable

import schedule

from task.schedules import Missed, identity
from task.stores.sql.book import Gap
from task.stores.sql.page import Row
from task.stores.sql.rows import from_micros, micros_of, moment_of
from task.stores.values import Declaration, Limits, Switch, Terms

__all__ = ["Known", "fingerprint", "gap_of", "is_of_code"]

Moment = datetime.datetime


class Known:
    """One task, as this process knows it from its code."""

    __slots__ = (
        "changed",
        "declaration",
        "declarations",
        "follows",
        "generation",
        "limits",
        "managers",
        "rows",
        "stale",
        "switch",
        "terms",
    )

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        #: So many managers of this process have it.
        self.managers = 0
        #: The schedules in force here, and those before that still owe something.
        self.declarations: list[Declaration] = []
        #: Which declaration of the task that is; None until it is to claim slots.
        self.generation: int | None = None
        #: What the code here says, as the database keeps it.
        self.declaration: str | None = None
        #: Where a slot depends on the one before: the mark from which the next one is computed here.
        self.follows: int | None = None
        #: Newer code has declared it since.
        self.stale = False
        #: Its schedules are to be planned anew: one has ended elsewhere.
        self.changed = False
        #: What the guards of its runs allow, as far as there were any.
        self.limits = Limits()
        #: What the database said of it last, by scope.
        self.rows: dict[str, Row] = {}
        #: How it was switched before it came to this store.
        self.switch: Switch | None = None

    def new_row(self, name: str, scope: str) -> Row:
        """The task as a row, when the database does not know it."""
        disabled = int(self.terms.disabled)
        return {
            "name": name,
            "scope": scope,
            "epoch": 0,
            "enabled": 1 - disabled,
            "disabled": disabled,
            "generation": 0,
            "tags": self.tags,
            "expectation": self.terms.expectation,
            "runs": 0,
            "failures": 0,
            "consecutive_failures": 0,
            "claimed": 0,
        }

    @property
    def tags(self) -> str | None:
        """Its tags as text."""
        return json.dumps(self.terms.tags) if self.terms.tags else None

    @property
    def dependent(self) -> bool:
        """Whether a slot depends on the one before it, or on the end of a run."""
        return self.terms.fixed_delay or any(
            one.line.job.latest is not None for one in self.declarations if one.until is None
        )

    def gap(self, mark: int | None, before: int, found: Missed | None = None) -> Gap | None:
        """The slots after *mark* and before that moment.

        *found* is what its own timetable saw, which is all that is known where slots depend on what ran.
        """
        since = from_micros(mark)
        if not self.declarations or any(not one.owed for one in self.declarations):
            late = found is not None and (since is None or found.first > since)
            return gap_of(found) if late and found is not None else None
        end = moment_of(before)
        lines = []
        for one in self.declarations:
            line = copy.copy(one.line)
            line.next = line.after(one.since if since is None else max(since, one.since))
            if line.next is not None and line.next < end and (one.until is None or line.next <= one.until):
                lines.append(line)
        if not lines:
            return None
        first = min(line.next for line in lines if line.next is not None)
        return gap_of(Missed(first, end, lines))


def gap_of(missed: Missed) -> Gap:
    """A span as the database keeps it. It may count a thousand slots: never on the loop."""
    return Gap(micros_of(missed.first), micros_of(missed.last), missed.count, micros_of(missed.before))


#: With what the declaration of a recurring entry begins, and no words do.
_ENTRY = "recurring entry\n"


def fingerprint(jobs: Iterable[schedule.Job], *, entry: bool = False) -> str:
    """What tells one declaration of a task from another."""
    return _ENTRY * entry + "\n".join(sorted(identity(job) for job in jobs))


def is_of_code(declaration: str | None) -> bool:
    """Whether the declaration in force is of a task that some process has in its code."""
    return declaration is not None and not declaration.startswith(_ENTRY)
