"""The form in which a recurring entry is made and changed, with the slots that its schedule means."""

from __future__ import annotations

from typing import Any, NamedTuple

import flask
from werkzeug.wrappers import Response

from task.errors import (
    DuplicateTaskError,
    ParameterError,
    ScheduleError,
    TaskError,
    UnknownTaskError,
)
from task.flask.access import requires
from task.flask.api.commands import check_listed
from task.flask.guard import actor
from task.flask.pages import forms
from task.flask.pages.frame import render, render_part
from task.flask.pages.told import go
from task.flask.state import current_state
from task.models import RecurringEntry, TaskFunction
from task.overview import Upcoming

__all__ = ["register"]

#: How many slots a preview shows.
SLOTS = 10

Answer = Response | str | tuple[str, int]


class Draft(NamedTuple):
    """What stands in the form."""

    name: str = ""
    schedule: str = ""
    max_concurrent: str = "1"
    enabled: bool = True


class Preview(NamedTuple):
    """What a schedule means: its next slots, or why it is none."""

    slots: tuple[Upcoming, ...] = ()
    error: str | None = None
    #: Nothing was typed: it is only triggered.
    empty: bool = False


@requires("operate")
def entry_page() -> Answer:
    """The form: empty, or of an entry that there is. Which task it is for is asked first."""
    entry, task = _asked()
    if task is None:
        return _choose(entry)
    draft = Draft() if entry is None else Draft(entry.name, entry.schedule or "", str(entry.max_concurrent))
    return _form(entry, task, draft, None, {}, preview=preview_of(draft.schedule, draft.name) if entry else None)


@requires("operate")
def save_entry() -> Answer:
    """Make it or change it; or show what its schedule means."""
    entry, task = _asked()
    if task is None:
        return _choose(entry), 422
    form = flask.request.form
    draft = Draft(
        form.get("name", "").strip() if entry is None else entry.name,
        form.get("schedule", "").strip(),
        form.get("max_concurrent", "").strip(),
        bool(form.get("enabled")),
    )
    typed = forms.read(task, form)
    preview = preview_of(draft.schedule, draft.name)
    if "preview" in form:
        return _form(entry, task, draft, typed, {}, preview=preview)
    wrong = _check(draft, typed, preview)
    if not wrong:
        check_listed(task.name, typed.values)
        try:
            return _save(entry, task, draft, typed.values)
        except TaskError as error:
            wrong = {_field_of(error): str(error)}
    return _form(entry, task, draft, typed, wrong, preview=preview), 422


@requires("view")
def preview_page() -> str:
    """What a schedule means, to be put into the form while somebody types."""
    words = flask.request.args.get("schedule", "").strip()
    return render_part("preview.html", preview=preview_of(words, flask.request.args.get("name", "")))


def preview_of(words: str, name: str) -> Preview:
    """The next slots of a schedule in words."""
    if not words:
        return Preview(empty=True)
    try:
        slots = current_state().overview.preview(words, count=SLOTS, name=name)
    except TaskError as error:
        return Preview(error=str(error))
    return Preview(slots, None if slots else "It is never due from now on.")


def _asked() -> tuple[RecurringEntry | None, TaskFunction[..., Any] | None]:
    """The entry that the address names, and the task that it is to be for, if there is one."""
    manager = current_state().manager
    name = flask.request.args.get("name")
    entry = manager.recurring.get(name) if name else None
    wanted = flask.request.args.get("task", "" if entry is None else entry.task)
    return entry, next((task for task in manager.tasks if task.name == wanted), None)


def _check(draft: Draft, typed: forms.Typed, preview: Preview) -> dict[str, str]:
    wrong: dict[str, str] = {}
    if not draft.name:
        wrong["name"] = "It needs a name."
    if not (draft.max_concurrent.isascii() and draft.max_concurrent.isdigit() and len(draft.max_concurrent) < 9):
        wrong["max_concurrent"] = "Give a whole number from 1."
    if preview.error is not None:
        wrong["schedule"] = preview.error
    if typed.errors:
        wrong[""] = "; ".join(f"{name}: {text}" for name, text in typed.errors.items())
    return wrong


def _save(entry: RecurringEntry | None, task: TaskFunction[..., Any], draft: Draft, values: dict[str, Any]) -> Response:
    recurring = current_state().manager.recurring
    terms: dict[str, Any] = {
        "task": task.name,
        "schedule": draft.schedule or None,
        "parameters": values,
        "max_concurrent": int(draft.max_concurrent),
    }
    if entry is None:
        recurring.add(draft.name, **terms, enabled=draft.enabled, by=actor())
        return go("tasks.recurring_page", "added")
    recurring.update(entry.name, **terms, by=actor())
    return go("tasks.recurring_page", "updated")


def _field_of(error: TaskError) -> str:
    """Which field is wrong."""
    if isinstance(error, ScheduleError):
        return "schedule"
    if isinstance(error, (ParameterError, UnknownTaskError)):
        return ""
    if isinstance(error, DuplicateTaskError):
        return "name"
    return "max_concurrent" if "max_concurrent" in str(error) else "name"


def _form(
    entry: RecurringEntry | None,
    task: TaskFunction[..., Any],
    draft: Draft,
    typed: forms.Typed | None,
    wrong: dict[str, str],
    *,
    preview: Preview | None,
) -> str:
    values = entry.parameters if entry is not None and entry.task == task.name else {}
    fields = forms.fields(task, typed, values)
    return render(
        "entry.html",
        "New recurring entry" if entry is None else entry.name,
        "tasks.recurring_page",
        entry=entry,
        task=task.name,
        draft=draft,
        fields=[field for field in fields if field.control != "password"],
        secrets=[field.name for field in fields if field.control == "password"],
        refused={"errors": wrong},
        preview=preview,
    )


def _choose(entry: RecurringEntry | None) -> str:
    names = sorted(task.name for task in current_state().manager.tasks)
    return render(
        "choose.html",
        "New recurring entry" if entry is None else entry.name,
        "tasks.recurring_page",
        entry=entry,
        names=names,
    )


def register(blueprint: flask.Blueprint) -> None:
    """Add the form."""
    blueprint.add_url_rule("/recurring/entry", "entry_page", entry_page)
    blueprint.add_url_rule("/recurring/entry", "save_entry", save_entry, methods=["POST"])
    blueprint.add_url_rule("/recurring/preview", "preview_page", preview_page)
