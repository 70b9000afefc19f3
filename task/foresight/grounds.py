"""What lets a slot run, or does not: its schedule, the clock, switches, conditions, guards, and how late it is."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

from task.foresight.moments import both_passes
from task.foresight.reasons import TICK, Case, Reason, Span
from task.overview import clock_change, duration_text, local_text, text_of, zone_of
from task.runs import Run, RunState
from task.schedules import newest_slot, shorten, to_wall, zone_name

__all__ = [
    "active_of",
    "clock_of",
    "conditions_of",
    "guard_of",
    "guarded",
    "misfire_of",
    "pause_at",
    "run_text",
    "schedule_of",
    "switch_at",
]

Moment = datetime.datetime

#: Reasons of skips that are a guard's, not a condition's.
GUARDS = ("already running", "one run waits already")
_MUTEX = re.compile(r"'(.*)' has the mutex .*", re.DOTALL)
_UNTIL = re.compile(r"(?:^|, )until (\S+)$")

#: What becomes of one run more than there may be.
_OVERLAPS = {
    "skip": "is skipped",
    "queue": "waits, and what comes while it waits is skipped",
    "cancel_previous": "takes the place of the one before",
    "allow": "waits for the mutex",
}

#: So far back a slot before the moment is looked for, wider and wider. Days.
_BACK = (1, 40, 800)

#: So much of the journal is read, and so many runs are looked at for who held a guard.
_JOURNAL, _RUNS = 1_000, 100


# When.


def schedule_of(case: Case) -> Iterator[Reason]:
    """Which schedules have a slot there; if none has, the nearest ones."""
    slot = case.slot
    if slot is None:
        yield Reason("schedule", False, _no_slot(case))
        return
    named = [span for span in case.spans if span.owed and span.has(slot) and span.line.after(slot - TICK) == slot]
    for span in named:
        since = "" if span.until is None else f"; it was in force until {case.text(span.until)}"
        yield Reason("schedule", True, f"{_words(span)} has a slot at {local_text(slot, span.line.job)}{since}.")
    if not named and case.row is not None:
        yield Reason("schedule", True, f"A slot at {case.text(slot)} is on record{_whence(case)}.")
    elif not named:
        yield Reason("schedule", True, f"The next slot is planned for {case.text(slot)}; it is counted from what ran.")


def _whence(case: Case) -> str:
    loose = [span for span in case.spans if not span.owed]
    return f": {_words(loose[0])}, whose slots follow from what ran" if loose else ""


def _words(span: Span) -> str:
    told = text_of(span.line.job)
    place = "" if told.zone is None else f" in {told.zone}"
    source = "" if told.source in (told.text, f"{told.text}{place}") else f" ({told.source})"
    return f"{told.text}{place}{source}"


def _no_slot(case: Case) -> str:
    if not case.spans:
        after = () if case.task is None else case.task.spec.policy.after
        follows = f" it runs after {', '.join(map(repr, after))}." if after else " it runs when somebody triggers it."
        return f"It has no schedule:{follows}"
    there = [span for span in case.spans if span.until is None or span.until >= case.moment]
    begun = min((span.since for span in there), default=case.moment)
    if case.moment < begun:
        if begun == case.now:
            return "No slot is owed there: no process has scheduled the task as yet."
        return f"No slot is owed there: its schedules are in force since {case.text(begun)} only."
    told = "; ".join(dict.fromkeys(_words(span) for span in there or case.spans))
    before, after_it = newest_before(case), _first_after(case)
    near = [f"the one before is {case.text(before)}"] if before is not None else []
    near += [f"the next is {case.text(after_it)}"] if after_it is not None else ["no other follows"]
    return f"No slot of it falls there ({told}): {', '.join(near)}."


def newest_before(case: Case) -> Moment | None:
    """The newest slot before the moment, on record or by the schedules."""
    found = [slot for run in case.rows for slot in (run.slot, run.last) if slot is not None and slot < case.moment]
    for span in case.spans:
        until = case.moment - TICK if span.until is None else min(case.moment - TICK, span.until)
        slot = _newest(span, until) if span.owed else None
        if slot is not None:
            found.append(slot)
    return max(found, default=None)


def _newest(span: Span, until: Moment) -> Moment | None:
    for days in _BACK:
        first = span.line.after(max(until - datetime.timedelta(days=days), span.since))
        if first is not None and first <= until:
            return newest_slot(span.line.job, first, until, anchor=span.line.anchor, seed=span.line.seed)
    return None


def _first_after(case: Case) -> Moment | None:
    found = [run.slot for run in case.rows if run.slot is not None and run.slot >= case.moment]
    for span in case.spans:
        if span.owed:
            slot = span.line.after(max(case.moment, span.since))
            if slot is not None and span.has(slot):
                found.append(slot)
    if case.planned is not None and case.planned >= case.moment:
        found.append(case.planned)
    return min(found, default=None)


def clock_of(case: Case) -> Iterator[Reason]:
    """What the change of the clock does to it."""
    for span in case.spans:
        if not span.owed or (case.slot is not None and span.line.after(case.slot - TICK) != case.slot):
            continue
        zone = zone_of(span.line.job)
        wall, place = to_wall(case.slot or case.moment, zone), zone_name(zone)
        change = None if case.slot is None else clock_change(span.line, case.slot)
        passes = both_passes(wall, zone)
        slots = [one for one in passes if span.first_in(one, one + case.width) is not None]
        if change == "gap" and case.slot is not None:
            becomes = local_text(case.slot, span.line.job)
            yield Reason("clock", True, f"The clock of {place} skips its time that night: it is due at {becomes}.")
        elif len(passes) == 2 and len(slots) == 2:
            yield Reason(
                "clock", True, f"The clock of {place} shows {wall:%H:%M} twice that night; it is due each time."
            )
        elif len(passes) == 2 and slots == passes[:1]:
            text = f"The clock of {place} shows {wall:%H:%M} twice that night; it is due once, the first time"
            yield Reason("clock", case.slot is not None, f"{text}: {local_text(slots[0], span.line.job)}.")
        else:
            continue
        return


# Whether.


def switch_at(case: Case, moment: Moment) -> Reason:
    """The operator switch, as it stands or stood then."""
    switch = case.manager.store.switch(case.name, case.now)
    who = "" if switch.at is None else f" since {case.text(switch.at)}{f', by {switch.by}' if switch.by else ''}"
    note = f": {switch.note}" if switch.note else ""
    if switch.at is None or switch.at <= moment:
        if switch.enabled:
            return Reason("switch", True, f"Its switch is on{who}.")
        if switch.until is not None and switch.until <= moment:
            return Reason("switch", True, f"Its switch is off{who}{note}, until {case.text(switch.until)}: on by then.")
        end = "" if switch.until is None else f", until {case.text(switch.until)}"
        return Reason("switch", False, f"Its switch is off{who}{end}{note}.")
    return _switch_before(case, moment)


def _switch_before(case: Case, moment: Moment) -> Reason:
    """It was turned since: the journal has what went before."""
    turned = [one for one in case.manager.journal(case.name, _JOURNAL) if one.what in ("enabled", "disabled")]
    last = next((one for one in turned if one.at <= moment), None)
    if last is None:
        first = True if case.task is None else not case.task.spec.disabled
        return Reason("switch", first, f"Its switch had not been turned by then: it was {'on' if first else 'off'}.")
    by = f"{case.text(last.at)}, by {last.who}{f': {last.note}' if last.note else ''}"
    if last.what == "enabled":
        return Reason("switch", True, f"Its switch was on then: turned on {by}.")
    ends = _UNTIL.search(last.note or "")
    if ends is not None and _has_come(ends[1], moment):
        return Reason("switch", True, f"Its switch was on again by then: turned off {by}.")
    return Reason("switch", False, f"Its switch was off then: turned off {by}.")


def _has_come(text: str, moment: Moment) -> bool:
    try:
        return datetime.datetime.fromisoformat(text) <= moment
    except (ValueError, TypeError):  # somebody's own note, which looks so
        return False


def pause_at(case: Case, moment: Moment) -> Reason | None:
    """Whether all tasks are, or were, paused; None where nobody ever did that."""
    told = [one for one in case.manager.journal(None, _JOURNAL) if one.what in ("paused", "resumed")]
    last = next((one for one in told if one.at <= moment), None)
    if last is None:
        return Reason("pause", False, "All tasks are paused.") if case.manager.store.paused and not told else None
    by = f"{case.text(last.at)}, by {last.who}"
    if last.what == "resumed":
        return Reason("pause", True, f"All tasks go on since {by}.")
    return Reason("pause", False, f"All tasks are paused since {by}.")


def conditions_of(case: Case, slot: Moment) -> Iterator[Reason]:
    """What its conditions say of the slot: those that are known to depend on nothing else are asked."""
    from task.calendars import BusinessDays, BusinessHours  # what they need is loaded with them

    for condition in () if case.task is None else case.task.spec.policy.only_if:
        text = shorten(condition, 120)
        if isinstance(condition, (BusinessDays, BusinessHours)):
            refused = condition.reason(slot)
            yield Reason(
                "only_if", refused is None, f"{text} {'lets it run' if refused is None else f'says {refused}'}."
            )
        else:
            yield Reason("only_if", None, f"{text} is asked when the slot is due; it may answer as it likes.")


def guard_of(case: Case) -> Reason | None:
    """What its guards allow, where nothing is on record."""
    if case.task is None:
        return None
    policy = case.task.spec.policy
    if policy.overlap == "allow" and policy.mutex is None:
        return Reason("guard", True, "It may overlap: runs of it never stop each other.")
    many = "one run" if policy.max_concurrent == 1 else f"{policy.max_concurrent} runs"
    mutex = "" if policy.mutex is None else f", and one run of all with the mutex {policy.mutex!r}"
    then = _OVERLAPS[policy.overlap]
    now = next((f" Now there is {run_text(case, run)}." for run in active_of(case)), "")
    return Reason("guard", None, f"At most {many} of it at once{mutex}; one more {then}.{now}")


def active_of(case: Case) -> list[Run]:
    """Its runs that are under way now, or wait."""
    return case.manager.store.active(case.name)


def run_text(case: Case, run: Run) -> str:
    """A run that is in the way of another."""
    place = "" if run.process is None else f" in process {run.process} on {run.host}"
    ended = "still under way" if run.finished_at is None else f"until {case.text(run.finished_at)}"
    return f"the run {run.id} of {run.task!r} since {case.text(run.started_at or run.queued_at)}, {ended}{place}"


def guarded(case: Case, row: Run, moment: Moment) -> Reason | None:
    """The guard that has refused a slot, or made it wait, and who held it; None where it was none."""
    reason = row.reason or ""
    mutex = _MUTEX.fullmatch(reason)
    if row.state is not RunState.SKIPPED or (reason not in GUARDS and mutex is None):
        waits = row.waited or row.waiting
        return Reason("guard", True, "It had to wait for the runs before it.") if waits else None
    holder = case.name if mutex is None else mutex[1]
    store = case.manager.store
    runs = case.manager.runs(holder, until=moment + TICK, limit=_RUNS) if holder in store.names() else []
    held = next((run for run in runs if _under_way(run, moment)), None)
    return Reason("guard", False, f"{reason}: {'nobody knows by which run' if held is None else run_text(case, held)}.")


def _under_way(run: Run, moment: Moment) -> bool:
    began = run.started_at or run.queued_at
    refused = run.state in (RunState.SKIPPED, RunState.MISSED)
    return not refused and began <= moment and (run.finished_at is None or run.finished_at >= moment)


def misfire_of(case: Case) -> Reason | None:
    """What becomes of it when it comes late."""
    if case.task is None:
        return None
    spec = case.task.spec
    window = duration_text(case.task.binding.pipeline.catch_up_window)
    then = {
        "latest": f"the newest late slot is run once, if it is no older than {window}",
        "skip": "late slots are not run",
        "all": f"late slots are run one by one, if they are no older than {window}",
    }[spec.misfire]
    grace = duration_text(spec.misfire_grace)
    return Reason("misfire", None, f"More than {grace} late it is missed; misfire={spec.misfire!r}: {then}.")
