"""The page of one task or recurring entry."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, NamedTuple

import flask

from task.errors import UnknownTaskError
from task.flask.access import requires
from task.flask.guard import may
from task.flask.pages import forms
from task.flask.pages.frame import render
from task.flask.pages.kinds import moment_of
from task.flask.state import State, current_state
from task.models import TaskFunction
from task.overview import Point, after_of, options_of, place_in, shares_of
from task.runs import RunState
from task.stores import RunPage

__all__ = ["Refusal", "register", "show_task"]

Moment = datetime.datetime

#: So many rows of the history on a page, entries of the journal, slots to come, and runs in a plot.
ROWS, ENTRIES, SLOTS, POINTS = 25, 10, 10, 100


class Refusal(NamedTuple):
    """What somebody asked for on the page, and why it cannot be."""

    #: Which of the forms: ``switch`` or ``run``.
    form: str
    #: By the names of its fields; under "" what is wrong with all of it.
    errors: Mapping[str, str]
    typed: Mapping[str, str] = {}
    read: forms.Typed | None = None


class History(NamedTuple):
    """Rows of the history, and what was asked for."""

    runs: RunPage
    #: As it was typed: ``state``, ``since``, ``until``, ``cursor``.
    wanted: dict[str, str]
    errors: dict[str, str]


@requires("view")
def task_page() -> str:
    """One task: what it is, when it runs, what it did, and what can be done with it."""
    return show_task(flask.request.args.get("name", ""))


def show_task(name: str, refusal: Refusal | None = None) -> str:
    """The page of the task or entry called *name*. Raises `UnknownTaskError`."""
    state = current_state()
    card = state.overview.task(name)
    task = _find(state, name)
    known = task is not None or name in state.manager.store.names()
    history = _history(state, name, known)
    statistics = state.manager.statistics(name) if known else None
    return render(
        "task.html",
        name,
        "tasks.tasks_page",
        card=card,
        task=task,
        place=None if task is None else place_in(task.spec.place),
        options=() if task is None else tuple(options_of(task.spec)),
        after=() if task is None else task.spec.policy.after,
        after_how="" if task is None else after_of(task.spec.policy),
        followers=_followers(state, name),
        slots=() if task is None else state.overview.upcoming(name, limit=SLOTS),
        points=(points := state.overview.points(name, POINTS)),
        plot=_plot_of(points, state.manager.clock.now()),
        counts={} if statistics is None else statistics.counts,
        late=() if statistics is None else tuple(shares_of(statistics.delays)),
        sample=0 if statistics is None else statistics.sample,
        history=history,
        states=[str(one) for one in RunState],
        journal=state.manager.journal(name, ENTRIES) if known else [],
        fields=_fields(task, refusal),
        refusal=refusal or Refusal("", {}),
        here=_here(name, history),
    )


def _find(state: State, name: str) -> TaskFunction[..., Any] | None:
    """None for an entry that this process does not run."""
    try:
        return state.manager[name]
    except UnknownTaskError:
        return None


def _followers(state: State, name: str) -> list[str]:
    """The tasks that start when this one has ended."""
    return [task.name for task in state.manager.tasks if name in task.spec.policy.after]


def _fields(task: TaskFunction[..., Any] | None, refusal: Refusal | None) -> list[forms.Field]:
    if task is None or not may("operate"):
        return []
    return forms.fields(task, refusal.read if refusal is not None else None)


def _here(name: str, history: History) -> str:
    """Where this page is, for what keeps it up to date: also where a refused form is shown on it."""
    wanted: dict[str, Any] = {key: text for key, text in history.wanted.items() if text}
    return flask.url_for("tasks.task_page", name=name, **wanted)


# What it did.


def _history(state: State, name: str, known: bool) -> History:
    """The rows that the address asks for; all of them where a filter cannot be, which is told at its field."""
    wanted = {key: flask.request.args.get(key, "") for key in ("state", "since", "until", "cursor")}
    errors: dict[str, str] = {}
    moments: dict[str, Moment | None] = {"since": None, "until": None}
    for key in moments:
        try:
            moments[key] = moment_of(wanted[key]) if wanted[key] else None
        except ValueError as error:
            errors[key] = str(error)
    if wanted["state"] and wanted["state"] not in list(RunState):
        wanted["state"] = ""
    if not known:
        return History(RunPage(), wanted, errors)
    since, until, cursor = moments["since"], moments["until"], wanted["cursor"] or None
    runs = state.manager.runs(name, wanted["state"] or None, ROWS, since=since, until=until, cursor=cursor)
    return History(runs, wanted, errors)


def _plot_of(points: tuple[Point, ...], now: Moment) -> dict[str, Any]:
    """What the script of the plots draws; times in the zone of the process, so many seconds ahead of UTC."""
    offset = now.astimezone().utcoffset() or datetime.timedelta(0)
    return {
        "offset": offset.total_seconds(),
        "at": [point.at.timestamp() for point in points],
        "duration": [point.duration for point in points],
        "lateness": [point.lateness for point in points],
        "state": [point.state for point in points],
    }


def register(blueprint: flask.Blueprint) -> None:
    """Add the page."""
    blueprint.add_url_rule("/task", "task_page", task_page)
