"""The page of the recurring entries, and what is done with them there."""

from __future__ import annotations

import json
from typing import Any

import flask
from werkzeug.wrappers import Response

from task.errors import TaskError, UnknownTaskError
from task.flask.access import requires
from task.flask.api.commands import check_listed
from task.flask.guard import actor
from task.flask.pages.frame import render
from task.flask.pages.told import Told, go
from task.flask.state import current_state
from task.overview import TaskCard

__all__ = ["register"]

#: How many entries one page shows.
LIMIT = 50

Answer = Response | str | tuple[str, int]


@requires("view")
def recurring_page() -> str:
    """All recurring entries, and first those that are not run."""
    return _page()


def _page(told: Told | None = None) -> str:
    entries = current_state().manager.recurring.list()
    cursor = flask.request.args.get("cursor", "")
    rest = [entry for entry in entries if entry.name > cursor]
    page = rest[:LIMIT]
    return render(
        "recurring.html",
        "Recurring",
        "tasks.recurring_page",
        told=told,
        entries=page,
        total=len(entries),
        orphans=[entry for entry in entries if entry.problem is not None][:LIMIT],
        cards={entry.name: _card(entry.name) for entry in page},
        cursor=cursor,
        following=page[-1].name if len(rest) > LIMIT else None,
    )


def _card(name: str) -> TaskCard | None:
    try:
        return current_state().overview.task(name)
    except UnknownTaskError:  # an orphan, or removed just now
        return None


@requires("operate")
def trigger_entry() -> Answer:
    """A run of one of them now."""
    name = flask.request.args.get("name", "")
    manager = current_state().manager
    entry = manager.recurring.get(name)
    if entry.problem is not None:
        return _page(Told(f"{name!r} cannot be run here: {entry.problem}", bad=True)), 409
    try:
        run = manager[name].trigger_by(actor(), {})
    except TaskError as error:
        return _page(Told(str(error), bad=True)), 422
    return go("tasks.run_page", "triggered", id=run.id)


@requires("operate")
def switch_entry(to: str) -> Answer:
    """Turn its switch."""
    name, recurring = flask.request.args.get("name", ""), current_state().manager.recurring
    if to == "on":
        recurring.enable(name, by=actor())
        return go("tasks.recurring_page", "enabled")
    recurring.disable(name, by=actor())
    return go("tasks.recurring_page", "disabled")


@requires("operate")
def removal_page() -> str:
    """Asks once more."""
    entry = current_state().manager.recurring.get(flask.request.args.get("name", ""))
    return render("removal.html", "Remove a recurring entry", "tasks.recurring_page", entry=entry)


@requires("operate")
def remove_entry() -> Response:
    """Forget it."""
    current_state().manager.recurring.remove(flask.request.args.get("name", ""), by=actor())
    return go("tasks.recurring_page", "removed")


# As JSON.


@requires("view")
def export_entries() -> Response:
    """All of them, to be saved."""
    text = current_state().manager.recurring.export_json()
    answer = flask.Response(text.encode(errors="backslashreplace"), content_type="application/json")
    answer.headers.set("Content-Disposition", "attachment", filename="recurring.json")
    return answer


@requires("operate")
def import_page() -> str:
    """Where an export is pasted."""
    return _import("", None)


@requires("operate")
def import_entries() -> Answer:
    """Add what was pasted, all or none."""
    text = flask.request.form.get("text", "")
    try:
        _check_commands(text)
        replace = bool(flask.request.form.get("replace"))
        current_state().manager.recurring.import_json(text, replace=replace, by=actor())
    except TaskError as error:
        return _import(text, str(error)), 422
    return go("tasks.recurring_page", "imported")


def _import(text: str, error: str | None) -> str:
    replace = bool(flask.request.form.get("replace"))
    values: dict[str, Any] = {"text": text, "error": error, "replace": replace}
    return render("import.html", "Import recurring entries", "tasks.recurring_page", **values)


def _check_commands(text: str) -> None:
    """Refuse executables that the application has not listed; what else is wrong with the text is told elsewhere."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return
    listed = read.get("entries") if isinstance(read, dict) else None
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and isinstance(one.get("parameters", {}), dict):
            check_listed(one.get("task"), one.get("parameters", {}))


def register(blueprint: flask.Blueprint) -> None:
    """Add the page and its actions."""
    blueprint.add_url_rule("/recurring", "recurring_page", recurring_page)
    blueprint.add_url_rule("/recurring/run", "trigger_entry", trigger_entry, methods=["POST"])
    blueprint.add_url_rule("/recurring/turn/<any(on, off):to>", "switch_entry", switch_entry, methods=["POST"])
    blueprint.add_url_rule("/recurring/remove", "removal_page", removal_page)
    blueprint.add_url_rule("/recurring/remove", "remove_entry", remove_entry, methods=["POST"])
    blueprint.add_url_rule("/recurring/export", "export_entries", export_entries)
    blueprint.add_url_rule("/recurring/import", "import_page", import_page)
    blueprint.add_url_rule("/recurring/import", "import_entries", import_entries, methods=["POST"])
