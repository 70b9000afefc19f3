"""What people do with tasks on the pages: plain forms, answered with the page to look at next."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import flask
from werkzeug.wrappers import Response

from task.errors import TaskError
from task.flask.access import requires
from task.flask.guard import actor
from task.flask.pages import forms
from task.flask.pages.kinds import moment_of
from task.flask.pages.task import Refusal, show_task
from task.flask.pages.texts import row_id
from task.flask.pages.told import go
from task.flask.state import current_state

__all__ = ["register"]

Moment = datetime.datetime

#: How much a note may say. Characters.
NOTE_LIMIT = 300

Answer = Response | tuple[str, int]


@requires("operate")
def steer(action: str) -> Answer:
    """Do what a form asks for."""
    return _ACTIONS[action]()


def _pause() -> Answer:
    current_state().manager.pause(by=actor())
    return _back("paused")


def _resume() -> Answer:
    current_state().manager.resume(by=actor())
    return _back("resumed")


def _enable() -> Answer:
    name = flask.request.form.get("name", "")
    _switched(name).enable(name, by=actor())
    return _back("enabled", name)


def _disable() -> Answer:
    form = flask.request.form
    name, note = form.get("name", ""), form.get("note", "").strip()
    errors = {}
    until = None
    if len(note) > NOTE_LIMIT:
        errors["note"] = f"A note has {NOTE_LIMIT} characters at most."
    if form.get("until"):
        try:
            until = _end_of(form["until"])
        except ValueError as error:
            errors["until"] = str(error)
    if errors:
        return show_task(name, Refusal("switch", errors, typed={"note": note, "until": form.get("until", "")})), 422
    _switched(name).disable(name, note or None, until, by=actor())
    return _back("disabled", name)


def _run_now() -> Answer:
    name = flask.request.form.get("name", "")
    task = current_state().manager[name]
    read = forms.read(task, flask.request.form)
    if read.errors:
        return show_task(name, Refusal("run", {}, read=read)), 422
    try:
        run = task.trigger_by(actor(), read.values)
    except TaskError as error:  # it is not run here, say
        return show_task(name, Refusal("run", {"": str(error)}, read=read)), 422
    current_state().overview.forget()
    return go("tasks.run_page", "triggered", id=run.id)


class _Tasks:
    """The switches of tasks: as those of recurring entries are turned."""

    def enable(self, name: str, by: str | None = None) -> None:
        """Turn it on."""
        current_state().manager[name].enable(by)

    def disable(self, name: str, note: str | None, until: Moment | None, by: str | None = None) -> None:
        """Turn it off."""
        current_state().manager[name].disable(note, until, by)


def _switched(name: str) -> Any:
    """What turns the switch of that name, of a task or a recurring entry. Raises `UnknownTaskError`."""
    state = current_state()
    return _Tasks() if state.overview.task(name).entry_of is None else state.manager.recurring


def _end_of(text: str) -> Moment:
    moment = moment_of(text)
    if moment <= current_state().manager.clock.now():
        raise ValueError("This is past. Leave it empty for a switch that stays off.")
    return moment


def _back(told: str, name: str = "") -> Response:
    """To the page that the form was on: one that we know, and what it was looking for."""
    current_state().overview.forget()
    form = flask.request.form
    if form.get("back") == "task":
        return go("tasks.task_page", told, name=name)
    kept: dict[str, Any] = {key: form[key] for key in ("text", "tag", "doing", "cursor") if form.get(key)}
    if name:
        kept["_anchor"] = f"row-{row_id(name)}"
    return go("tasks.tasks_page", told, **kept)


_ACTIONS: dict[str, Callable[[], Answer]] = {
    "pause": _pause,
    "resume": _resume,
    "enable": _enable,
    "disable": _disable,
    "run": _run_now,
}


def register(blueprint: flask.Blueprint) -> None:
    """Add what the forms of the pages of tasks are sent to."""
    blueprint.add_url_rule(f"/do/<any({', '.join(_ACTIONS)}):action>", "steer", steer, methods=["POST"])
