"""The rules of the ledger, on what a transaction has read: who gets a slot, a place, an attempt, an end.

Nothing here touches a `Run`, the clock or a connection: a transaction that fails has changed nothing, and is tried
again from the start. Each rule can be tried twice: of one whose answer was lost on the way it says the same again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from task.stores.rules import crowding, may_wait, refusal
from task.stores.sql.page import Page, Row
from task.stores.sql.rows import missed_row, rerun_row
from task.stores.sql.soundness import json_of
from task.stores.values import Limits

__all__ = [
    "Chain",
    "Ended",
    "Gap",
    "Order",
    "Verdict",
    "admit",
    "bury",
    "cancel",
    "claim",
    "end",
    "is_over",
    "leave",
    "miss",
    "retry",
    "start",
]

#: So many different reasons of skips are counted for a task.
REASONS = 100

#: So often a run is run again after its process died: its body may be what kills it.
RERUNS = 3

_OPEN = ("queued", "retrying")
_FAILURES = ("failed", "timed_out")


class Gap(NamedTuple):
    """A span of slots that nothing has run."""

    #: The first and the newest of them, how many, and before which moment they end. Microseconds.
    first: int
    last: int
    slots: int
    before: int


class Order(NamedTuple):
    """What somebody wants to run."""

    row: Row
    limits: Limits
    #: The reason of a calendar or condition against it.
    unwanted: str | None = None
    #: What was due after a mark, and before the slot.
    gap: Callable[[int | None], Gap | None] | None = None
    #: Which declaration of the task its process has.
    generation: int | None = None
    #: Where a slot depends on the one before: the mark that it was computed from.
    follows: tuple[int | None] | None = None
    #: After how many slots the schedules end.
    max_runs: int | None = None
    #: It was asked before, and the answer is not known.
    again: bool = False
    #: It waits for room rather than being skipped: who has the place may be dead, or have the slot before it.
    patient: bool = False


class Verdict(NamedTuple):
    """What became of an order. *answer* ``taken``: somebody else has the slot; ``stale``: newer code has the task.

    ``busy``: there is no room for one that is patient, and nothing was recorded.
    """

    answer: Literal["admitted", "waiting", "skipped", "taken", "stale", "over", "busy"]
    reason: str | None = None
    token: int = 0
    epoch: int = 0


# Slots and places.


def claim(page: Page, task: Row, order: Order) -> Verdict:
    """Take a slot for a run, or admit a run by hand; whichever, its row is written."""
    row = order.row
    slot = row["slot"]
    if (known := page.run(row["id"])) is not None:
        return _said_before(known)
    if slot is not None:
        if order.generation is not None and task["generation"] != order.generation:
            return Verdict("stale", task["declaration"])
        mark = task["mark"]
        if mark is not None and slot <= mark:
            return _told_of_skip(page, task, row) if order.again else Verdict("taken")
        if order.follows is not None and order.follows[0] != mark:
            return Verdict("taken")
        if is_over(task, order):
            return Verdict("over")
        if order.patient and _refusal(page, row) is None and _is_busy(page, order):
            return Verdict("busy")
        gap = order.gap(mark) if order.gap is not None else None
        if gap is not None:
            _record_gap(page, task, gap, "late: a newer slot was due", row["queued_at"])
        page.change(task, mark=slot)
    row["epoch"] = task["epoch"]
    verdict = admit(page, task, order)
    if slot is not None and verdict.answer != "skipped":
        page.change(task, claimed=task["claimed"] + 1)
    return verdict


def is_over(task: Row, order: Order) -> bool:
    """Whether as many slots have run as the schedules are for."""
    return order.max_runs is not None and task["claimed"] >= order.max_runs


def _said_before(row: Row) -> Verdict:
    answer: Literal["admitted", "waiting"] = "waiting" if row["place"] == 2 else "admitted"
    if row["state"] == "skipped":
        return Verdict("skipped", row["reason"], row["token"], row["epoch"])
    return Verdict(answer, row["reason"], row["token"], row["epoch"])


def _told_of_skip(page: Page, task: Row, row: Row) -> Verdict:
    """The slot has an outcome. It may be ours: a skip that was joined to the one before it."""
    last = page.run(task["last_skip"]) if task["last_skip"] else None
    if last is not None and last["owner"] == row["owner"] and last["last_at"] == row["slot"]:
        return Verdict("skipped", last["reason"], 0, last["epoch"])
    return Verdict("taken")


def admit(page: Page, task: Row, order: Order) -> Verdict:
    """Give it a place, let it wait for one, or skip it."""
    row, limits = order.row, order.limits
    reason = _refusal(page, row) or order.unwanted
    crowded = None
    if reason is None and (limits.overlap != "allow" or limits.mutex is not None):
        places = page.with_places(row["task"], row["scope"])
        waiting = sum(one["place"] == 2 for one in places)
        crowded = _crowding(page, limits, len(places) - waiting, waiting)
        if crowded is not None and not may_wait(limits, waiting, row["trigger"]):
            reason = crowded
    if reason is not None:
        return _skip(page, task, row, reason)
    token = page.next_token()
    row.update(token=token, place=2 if crowded else 1, reason=crowded)
    page.add_run(row)
    page.change(task, last_skip=None)
    return Verdict("waiting" if crowded else "admitted", crowded, token, row["epoch"])


def _refusal(page: Page, row: Row) -> str | None:
    switch = page.task(row["task"])
    assert switch is not None
    enabled = switch["enabled"] or (switch["until"] is not None and row["queued_at"] >= switch["until"])
    return refusal(bool(enabled), bool(page.space["paused"]))


def _is_busy(page: Page, order: Order) -> bool:
    """Whether it would be skipped, or end what is under way, for a run of another process."""
    row, limits = order.row, order.limits
    places = page.with_places(row["task"], row["scope"])
    waiting = sum(one["place"] == 2 for one in places)
    if limits.overlap != "cancel_previous" and may_wait(limits, waiting, row["trigger"]):
        return False
    if _crowding(page, limits, len(places) - waiting, waiting) is None:
        return False
    holder = page.holder(limits.mutex) if limits.mutex is not None else None
    return any(one["owner"] != row["owner"] for one in (*places, holder) if one is not None)


def _crowding(page: Page, limits: Limits, active: int, waiting: int) -> str | None:
    holder = page.holder(limits.mutex) if limits.mutex is not None else None
    return crowding(limits, active, waiting, None if holder is None else holder["task"])


def _skip(page: Page, task: Row, row: Row, reason: str) -> Verdict:
    page.count(_summed_up(page, task), "skips", reason, at_most=REASONS)
    if row["slot"] is not None:
        page.change(task, ended_at=row["queued_at"])
    page.count(_summed_up(page, task), "counts", "skipped")
    last = page.run(task["last_skip"]) if task["last_skip"] else None
    if last is not None and row["trigger"] != "manual" and _joins(last, row, reason):
        at = row["slot"] if row["slot"] is not None else row["queued_at"]
        page.change(last, last_at=at, count=last["count"] + 1, owner=row["owner"])
        return Verdict("skipped", reason, 0, row["epoch"])
    row.update(state="skipped", reason=reason, place=0, finished_at=row["queued_at"])
    page.add_run(row)
    page.change(task, last_skip=row["id"] if row["trigger"] != "manual" else None)
    return Verdict("skipped", reason, 0, row["epoch"])


def _joins(last: Row, row: Row, reason: str) -> bool:
    return all(last[name] == row[name] for name in ("epoch", "trigger", "scope")) and last["reason"] == reason


def miss(page: Page, task: Row, gap: Gap, reason: str, now: int) -> None:
    """Record a span that nothing ran, and move the mark past it."""
    if task["mark"] is None or gap.before - 1 > task["mark"]:
        page.change(task, mark=gap.before - 1)
        _record_gap(page, task, gap, reason, now)


def _record_gap(page: Page, task: Row, gap: Gap, reason: str, now: int) -> None:
    row = missed_row(task, reason, now)
    row.update(slot=gap.first, last_at=gap.last, count=gap.slots, before=gap.before, epoch=task["epoch"])
    page.add_run(row)
    page.change(task, last_skip=None)
    page.count(_summed_up(page, task), "counts", "missed", gap.slots)


def _summed_up(page: Page, task: Row) -> Row:
    """Where the counts of a task are: of one that runs everywhere those of all processes are in one place."""
    return (page.task(task["name"]) or task) if task["scope"] else task


def leave(page: Page, row: Row) -> list[Row]:
    """The place of a run is free; the runs that get one by that."""
    page.change(row, place=0)
    admitted = []
    for other in page.waiting():
        limits = Limits(other["max_concurrent"], other["overlap"], other["mutex"])
        active = sum(one["place"] == 1 for one in page.with_places(other["task"], other["scope"]))
        if _crowding(page, limits, active, 0) is None:
            # In the order in which they have the place, which is not always that in which they came.
            page.change(other, place=1, reason=None, token=page.next_token())
            admitted.append(other)
    return admitted


# Attempts.


def start(page: Page, row: Row | None, owner: str | None, attempt: int, now: int, facts: Row) -> bool:
    """Begin attempt number *attempt*; False when the run is another's or nobody's, or has ended."""
    if row is None or owner is None or row["owner"] != owner:
        return False
    if row["state"] == "running" and row["attempt"] == attempt:
        return True  # said before
    if row["state"] not in _OPEN or row["place"] != 1:
        return False
    values: Row = {"state": "running", "attempt": attempt, "attempt_started_at": now, **facts}
    if attempt == 1:
        values["started_at"] = now
        task = page.task(row["task"])
        if task is not None:
            page.change(task, runs=task["runs"] + 1)
    page.change(row, **values)
    return True


def retry(page: Page, row: Row | None, owner: str | None, attempt: int, next_at: int, facts: Row) -> bool:
    """The attempt has failed, and another is due at *next_at*; False when it is not under way any more."""
    if row is None or row["owner"] != owner or row["attempt"] != attempt:
        return False
    if row["state"] == "retrying":
        return True
    if row["state"] != "running":
        return False
    page.change(row, state="retrying", next_at=next_at, **facts)
    return True


# Ends.


class Ended(NamedTuple):
    """What the end of a run has brought about."""

    #: Runs that have their place now.
    admitted: Sequence[Row] = ()
    #: The tasks that come after it and have all that they waited for: their name, and the run of each parent.
    due: Sequence[tuple[str, Mapping[str, str]]] = ()
    #: The run that takes its place, after its process died.
    rerun: Row | None = None


class Chain(NamedTuple):
    """A task that comes after others."""

    name: str
    after: tuple[str, ...]
    states: Collection[str]


def cancel(
    page: Page,
    row: Row,
    owner: str | None,
    now: int,
    reason: str,
    chains: Sequence[Chain] = (),
    *,
    keep_place: bool = False,
) -> Ended | None:
    """End a run of which no attempt is under way; None when one is, or it has ended.

    With *keep_place* the body of its last attempt goes on, past its time.
    """
    if row["state"] == "cancelled" and row["finished_at"] == now:
        return Ended()
    if row["state"] not in _OPEN or row["owner"] != owner:
        return None
    return end(page, row, "cancelled", now, {"reason": reason}, keep_place=keep_place, chains=chains)


def end(
    page: Page, row: Row, state: str, now: int, facts: Row, *, keep_place: bool, chains: Sequence[Chain] = ()
) -> Ended:
    """Give a run its final state, its place to others, and what comes after it its turn."""
    page.change(row, state=state, finished_at=now, next_at=None, **facts)
    admitted = leave(page, row) if row["place"] and not keep_place else []
    task = page.task(row["task"], row["scope"]) or page.task(row["task"])
    if task is not None:
        _sum_up(page, task, row, state, now)
    due = [(chain.name, arrived) for chain in chains if (arrived := _arrive(page, chain, row, state)) is not None]
    rerun = _rerun(page, row, now) if state == "lost" and row["rerun"] else None
    return Ended(admitted, due, rerun)


def _sum_up(page: Page, task: Row, row: Row, state: str, now: int) -> None:
    if row["slot"] is not None:
        page.change(task, ended_at=now)
    task = _summed_up(page, task)
    values: Row = {"last_run": row["id"]}
    if state == "succeeded":
        values |= {"consecutive_failures": 0, "succeeded_at": now}
    elif state in _FAILURES:
        values["failures"] = task["failures"] + 1
        values["consecutive_failures"] = task["consecutive_failures"] + 1
    page.change(task, **values)
    page.count(task, "counts", state)


def _arrive(page: Page, chain: Chain, row: Row, state: str) -> Mapping[str, str] | None:
    """One that the task comes after has ended; all of them, if that was the last one missing."""
    task = page.task(chain.name)
    if state not in chain.states or task is None:
        return None
    arrived = {**json_of(task["arrived"], {}), row["task"]: row["id"]}
    complete = all(name in arrived for name in chain.after)
    page.change(task, arrived=None if complete else json.dumps(arrived))
    return arrived if complete else None


def _rerun(page: Page, row: Row, now: int) -> Row | None:
    """The same again, for any process that knows the task: what was asked for with ``on_lost="rerun"``."""
    task = page.task(row["task"], row["scope"])
    if task is None or not row["portable"] or row["reruns"] >= RERUNS:
        return None
    again = rerun_row(row, now)
    # Others may have its place by now: then it waits for one, whatever `overlap` says of slots.
    admit(page, task, Order(again, Limits(row["max_concurrent"], "cancel_previous", row["mutex"])))
    page.tell()
    return again


def bury(page: Page, rows: Iterable[Row], now: int, reason: str) -> tuple[list[Row], bool]:
    """The process of these runs is dead: what ran is lost, what waited is for others. The lost; whether others gain."""
    lost = []
    for row in rows:
        if row["state"] in _OPEN and row["portable"]:
            page.change(row, owner=None)
        elif row["state"] in (*_OPEN, "running"):
            end(page, row, "lost", now, {"reason": reason}, keep_place=False)
            lost.append(row)
        elif row["place"]:
            leave(page, row)  # its body went on past its time
    page.tell()
    return lost, bool(lost)
