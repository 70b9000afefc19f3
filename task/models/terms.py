"""What somebody asks of a recurring entry, checked; and entries as JSON."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Mapping
from typing import Any

import schedule as schedule_library

from task.errors import DeclarationError, DeclarationTypeError, ParameterError, ScheduleError, did_you_mean
from task.models.function import TaskFunction
from task.models.switches import check_switch
from task.runs import Redactor
from task.schedules import Line, OnceJob, live_copy, schedule_from_words, shorten, words
from task.stores import RecurringRecord, RecurringRow, Switch, lapsed

__all__ = [
    "TERMS",
    "RecurringEntry",
    "check_name",
    "check_terms",
    "entry_of",
    "export_entries",
    "import_entries",
]

Moment = datetime.datetime

#: What is declared of an entry, beside its name.
TERMS = ("task", "schedule", "parameters", "max_concurrent")

#: How much of the parameters of an entry is kept. Characters of JSON.
PARAMETERS_LIMIT = 64_000

#: How deep they may nest. Levels of lists and dicts.
DEPTH_LIMIT = 100

#: How many runs of an entry may be allowed at once.
MOST_AT_ONCE = 100_000

#: The version of the exported text.
FORMAT = 1


@dataclasses.dataclass(frozen=True, slots=True)
class RecurringEntry:
    """A recurring entry, as it is at the moment of asking."""

    #: Its own name: that of its runs.
    name: str
    #: The name of the task whose body it runs.
    task: str
    #: In words (`task.words`); None for one that is only triggered.
    schedule: str | None
    #: What it passes to the body, over what the task declares.
    parameters: dict[str, Any]
    #: So many runs of it at once.
    max_concurrent: int
    #: Its operator switch, and why it was turned and until when it is off.
    enabled: bool
    note: str | None
    until: Moment | None
    #: When it was added and last updated (aware UTC).
    created_at: Moment
    updated_at: Moment
    #: Counts of its runs that started, of those that failed or timed out, and of such in a row.
    runs: int
    failures: int
    consecutive_failures: int
    #: Its next slot, as this process plans it; None where the manager does not run.
    next_run: Moment | None
    #: Why this process does not run it; None when it does. See `Recurring.orphans`.
    problem: str | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values; moments as ISO 8601 in UTC."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        moments = {key: value.isoformat() for key, value in values.items() if isinstance(value, datetime.datetime)}
        return {**values, **moments, "parameters": json.loads(json.dumps(self.parameters))}


def entry_of(record: RecurringRecord, now: Moment, next_run: Moment | None, problem: str | None) -> RecurringEntry:
    """What people are shown of what the store has."""
    row, switch = record.row, lapsed(record.switch, now)
    return RecurringEntry(
        row.name,
        row.task,
        row.schedule,
        parameters_of(row),
        row.max_concurrent,
        switch.enabled,
        switch.note,
        switch.until,
        row.created_at,
        row.updated_at,
        record.runs,
        record.failures,
        record.consecutive_failures,
        next_run,
        problem,
    )


def parameters_of(row: RecurringRow) -> dict[str, Any]:
    """What an entry passes; nothing where the store's text is unreadable: then it is not run, and that is told."""
    try:
        read = json.loads(row.parameters)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


# What is asked for.


def check_terms(row: RecurringRow, base: TaskFunction[..., Any], asked: Mapping[str, Any]) -> RecurringRow:
    """The *row* with what was *asked* in the place of what it had, of an entry that runs the body of *base*.

    Raises `DeclarationTypeError` and `DeclarationError`, each naming the entry, the value and the fix.
    """
    name = row.name
    checked: dict[str, Any] = {"task": base.name}
    if "schedule" in asked:
        checked["schedule"] = _check_schedule(name, asked["schedule"], row.updated_at)
    if "parameters" in asked:
        checked["parameters"] = _check_parameters(name, base, asked["parameters"])
    if "max_concurrent" in asked:
        checked["max_concurrent"] = _check_count(name, asked["max_concurrent"])
    return row._replace(**checked)


def check_name(name: Any) -> str:
    if not isinstance(name, str) or not name.strip() or len(name) > 200 or not name.isprintable():
        raise DeclarationError(
            f"The name {shorten(name)} of a recurring entry is refused: give 1 to 200 printable characters."
        )
    return name


def _check_schedule(name: str, value: Any, now: Moment) -> str | None:
    """The words of a schedule. Raises `ScheduleError` or `DeclarationTypeError`."""
    if value is None:
        return None
    if not isinstance(value, (str, schedule_library.Job)):
        raise DeclarationTypeError(
            f"Recurring entry {name!r}: schedule is text such as 'every 30 seconds', a Job such as every(30).seconds, "
            f"or None, not {shorten(value)}."
        )
    if isinstance(value, schedule_library.Job) and value.job_func is not None:
        raise DeclarationError(
            f"Recurring entry {name!r}: its schedule already runs {shorten(value.job_func)}. Leave .do(...) out."
        )
    try:
        text = words(schedule_from_words(value) if isinstance(value, str) else value)
        job = live_copy(schedule_from_words(text), name, ())
    except ScheduleError as error:
        raise ScheduleError(f"Recurring entry {name!r}: {error}") from None
    if not isinstance(job, OnceJob) and Line(job, now, name).after(now) is None:
        raise ScheduleError(f"Recurring entry {name!r}: {text!r} is never due from now on. Give a later end.")
    return text


def _check_parameters(name: str, base: TaskFunction[..., Any], value: Any) -> str:
    """The JSON of what the body is to be passed. Whether it takes that is asked when the whole entry is checked."""
    if value is None:
        return "{}"
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise DeclarationTypeError(
            f"Recurring entry {name!r}: parameters is a dict of names and values, not {type(value).__name__}."
        )
    given = dict(value)
    masked = Redactor(base.spec.policy.redact, given).mapping(given)
    for key in given:
        if masked[key] is not given[key] and masked[key] != given[key]:
            raise ParameterError(
                f"Recurring entry {name!r}: the parameter {key!r} is secret (redact= of task {base.name!r}), and what "
                "an entry passes is kept in the store for all to read. Leave it out: let the body read it elsewhere."
            )
    return _as_json(name, given)


def _as_json(name: str, given: dict[str, Any]) -> str:
    for key, value in given.items():
        try:
            whole = bool(json.loads(json.dumps(value, allow_nan=False)) == value)
        except Exception:  # a value of the user's own raises whatever it likes
            whole = False
        if not whole:
            raise ParameterError(
                f"Recurring entry {name!r}: the parameter {key!r} is no JSON, and so cannot be kept in the store: "
                f"{shorten(value)}. Give text, numbers, True, False, None, and lists and dicts of these."
            )
    if _nests_deeper(given, DEPTH_LIMIT):
        raise ParameterError(
            f"Recurring entry {name!r}: its parameters nest deeper than {DEPTH_LIMIT} levels, which not every "
            "reader of JSON can follow. Pass the name of a file, or the key of a record."
        )
    text = json.dumps(given, sort_keys=True)
    if len(text) > PARAMETERS_LIMIT:
        raise ParameterError(
            f"Recurring entry {name!r}: its parameters are {len(text)} characters of JSON; {PARAMETERS_LIMIT} are "
            "kept. Pass the name of a file, or the key of a record."
        )
    return text


def _nests_deeper(value: Any, levels: int) -> bool:
    """Whether lists and dicts are in each other on more than so many levels."""
    if not isinstance(value, (dict, list, tuple)):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_nests_deeper(one, levels - 1) for one in inner)


def _check_count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_AT_ONCE:
        raise DeclarationError(
            f"Recurring entry {name!r}: max_concurrent is a whole number from 1 to {MOST_AT_ONCE}, not "
            f"{shorten(value)}."
        )
    return value


# As JSON.


def export_entries(records: list[RecurringRecord], now: Moment) -> str:
    """Entries as text, sorted by their names: what was declared of each, and its switch."""
    listed = []
    for record in records:
        row, switch = record.row, lapsed(record.switch, now)
        listed.append(
            {
                "name": row.name,
                "task": row.task,
                "schedule": row.schedule,
                "parameters": parameters_of(row),
                "max_concurrent": row.max_concurrent,
                "enabled": switch.enabled,
                "note": switch.note,
                "until": None if switch.until is None else switch.until.isoformat(),
            }
        )
    return json.dumps({"version": FORMAT, "entries": listed}, indent=2, ensure_ascii=False)


_EXPORTED = ("name", *TERMS, "enabled", "note", "until")


def import_entries(text: str) -> dict[str, tuple[dict[str, Any], Switch]]:
    """What such a text asks for: the terms and the switch of each entry, by its name. Raises `DeclarationError`."""
    try:
        read = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise DeclarationError(f"This is no JSON: {error}. Give the text that export_json() gives.") from None
    if not isinstance(read, dict) or read.get("version") != FORMAT or not isinstance(read.get("entries"), list):
        raise DeclarationError(
            f"These are no recurring entries of version {FORMAT}: {shorten(read)}. "
            "Give the text that export_json() gives."
        )
    found: dict[str, tuple[dict[str, Any], Switch]] = {}
    for one in read["entries"]:
        name = check_name(one.get("name") if isinstance(one, dict) else None)
        if name in found:
            raise DeclarationError(f"Recurring entry {name!r} is in the text twice. Take one out.")
        for key in one:
            if key not in _EXPORTED:
                hint = did_you_mean(key, _EXPORTED, f"There are: {', '.join(_EXPORTED)}.")
                raise DeclarationError(f"Recurring entry {name!r} has no {shorten(key)}. {hint}")
        found[name] = {key: one[key] for key in TERMS if key in one}, _switch_of(name, one)
    return found


def _switch_of(name: str, one: Mapping[str, Any]) -> Switch:
    enabled, note, until = one.get("enabled", True), one.get("note"), one.get("until")
    try:
        moment = None if until is None else datetime.datetime.fromisoformat(until)
    except (TypeError, ValueError):
        moment = until
    check_switch(f"Recurring entry {name!r}", enabled, note, moment)
    return Switch(enabled, note, None if moment is None else moment.astimezone(datetime.UTC))
