"""Recurring entries: tasks on schedules that people make at run time."""

from __future__ import annotations

from typing import Annotated, Any

import flask
import msgspec

from task.flask.api import schemas
from task.flask.api.commands import COMMAND_TASK, check_listed
from task.flask.api.endpoints import Answer, Endpoint
from task.flask.api.paging import Paged, page_of
from task.flask.api.runs import started
from task.flask.api.tasks import Disable, Trigger
from task.flask.guard import actor
from task.flask.problems import refusal
from task.flask.state import current_state
from task.models import RecurringEntry

__all__ = ["RECURRING"]

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Words = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
AtOnce = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
Command = Annotated[list[Annotated[str, msgspec.Meta(max_length=4_000)]], msgspec.Meta(min_length=1, max_length=100)]

#: Not said at all.
UNSET = msgspec.UNSET


class AddEntry(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A recurring entry: a registered task, or a command whose executable the application has listed."""

    name: Name
    #: The name of the task whose body it runs.
    task: Name | None = None
    #: An executable of the list, and what it is given.
    command: Command | None = None
    #: In words, such as `every monday at 09:00 in Europe/Amsterdam` or `0 2 * * *`; null: it is only triggered.
    schedule: Words | None = None
    parameters: dict[str, Any] = {}
    max_concurrent: AtOnce = 1
    enabled: bool = True


class UpdateEntry(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to change; the rest stays."""

    task: Name | msgspec.UnsetType = UNSET
    command: Command | msgspec.UnsetType = UNSET
    schedule: Words | msgspec.UnsetType | None = UNSET
    parameters: dict[str, Any] | msgspec.UnsetType = UNSET
    max_concurrent: AtOnce | msgspec.UnsetType = UNSET


class ImportQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What becomes of those that are there already."""

    replace: bool = False


def list_recurring(query: Paged) -> Any:
    """List the recurring entries, by their names."""
    return _page(current_state().manager.recurring.list(), query)


def list_orphans(query: Paged) -> Any:
    """List the recurring entries that this process does not run, each with its `problem`."""
    return _page(current_state().manager.recurring.orphans(), query)


def add_recurring(body: AddEntry) -> Any:
    """Make a recurring entry. Its slots are counted from now on."""
    terms = {field: getattr(body, field) for field in ("task", "schedule", "parameters", "max_concurrent", "enabled")}
    if body.command is not None:
        terms = _with_command(terms, body.command)
    if terms["task"] is None:
        raise refusal(422, "Name a task, or give a command.")
    check_listed(terms["task"], terms["parameters"])
    entry = current_state().manager.recurring.add(body.name, by=actor(), **terms)
    return Answer(entry, {"Location": flask.url_for("tasks.show_recurring", name=entry.name)})


def show_recurring(name: str) -> Any:
    """Show a recurring entry."""
    return current_state().manager.recurring.get(name)


def update_recurring(name: str, body: UpdateEntry) -> Any:
    """Change a recurring entry. A new schedule or task counts from now on."""
    changes = {field: getattr(body, field) for field in body.__struct_fields__}
    changes = {field: value for field, value in changes.items() if value is not UNSET}
    if "command" in changes:
        changes = _with_command(changes, changes.pop("command"))
    recurring = current_state().manager.recurring
    if "task" in changes or "parameters" in changes:
        entry = recurring.get(name)
        check_listed(changes.get("task", entry.task), changes.get("parameters", entry.parameters))
    return recurring.update(name, by=actor(), **changes)


def remove_recurring(name: str) -> None:
    """Forget a recurring entry. Its history stays; a body under way goes on."""
    current_state().manager.recurring.remove(name, by=actor())


def enable_recurring(name: str) -> Any:
    """Turn the switch of a recurring entry on."""
    current_state().manager.recurring.enable(name, by=actor())
    return show_recurring(name)


def disable_recurring(name: str, body: Disable) -> Any:
    """Turn the switch of a recurring entry off: its slots and triggers are skipped, and recorded so."""
    current_state().manager.recurring.disable(name, body.note, body.until, by=actor())
    return show_recurring(name)


def trigger_recurring(name: str, body: Trigger) -> Any:
    """Start a run now; the parameters go over those of the entry."""
    manager = current_state().manager
    entry = manager.recurring.get(name)
    if entry.problem is not None:
        raise refusal(409, f"Recurring entry {name!r} cannot be triggered here: {entry.problem}")
    return started(manager[name].trigger_by(actor(), body.parameters))


def export_recurring() -> Any:
    """Export all recurring entries with their switches, and without their history."""
    return flask.Response(current_state().manager.recurring.export_json(), content_type="application/json")


def import_recurring(query: ImportQuery, body: schemas.Exported) -> Any:
    """Add the entries of an export, all or none."""
    for entry in body.entries:
        check_listed(entry.task, entry.parameters)
    text = msgspec.json.encode(body).decode()
    entries = current_state().manager.recurring.import_json(text, replace=query.replace, by=actor())
    return {"items": entries}


# How.


def _page(entries: list[RecurringEntry], query: Paged) -> Answer:
    items, cursor = page_of(sorted(entries, key=lambda entry: entry.name), lambda entry: entry.name, query)
    return Answer({"items": items, "next": cursor}, cursor=cursor)


def _with_command(terms: dict[str, Any], command: Any) -> dict[str, Any]:
    """The terms of an entry that runs a command."""
    if terms.get("task") is not None or terms.get("parameters"):
        raise refusal(422, "Name a task and its parameters, or give a command: one of the two.")
    return {**terms, "task": COMMAND_TASK, "parameters": {"command": command}}


_ONE = "/recurring/<task_name:name>"

RECURRING = (
    Endpoint("GET", "/recurring", list_recurring, schemas.Entries, query=Paged),
    Endpoint("POST", "/recurring", add_recurring, schemas.Entry, body=AddEntry, status=201, problems=(404, 409)),
    Endpoint("GET", _ONE, show_recurring, schemas.Entry),
    Endpoint("PATCH", _ONE, update_recurring, schemas.Entry, body=UpdateEntry, problems=(409,)),
    Endpoint("DELETE", _ONE, remove_recurring, status=204),
    Endpoint("POST", f"{_ONE}/enable", enable_recurring, schemas.Entry),
    Endpoint("POST", f"{_ONE}/disable", disable_recurring, schemas.Entry, body=Disable),
    Endpoint("POST", f"{_ONE}/trigger", trigger_recurring, schemas.Run, body=Trigger, status=202, problems=(409,)),
    Endpoint("GET", "/orphans", list_orphans, schemas.Entries, query=Paged),
    Endpoint("GET", "/export", export_recurring, schemas.Exported),
    Endpoint(
        "POST",
        "/import",
        import_recurring,
        schemas.Imported,
        query=ImportQuery,
        body=schemas.Exported,
        problems=(404, 409),
    ),
)
