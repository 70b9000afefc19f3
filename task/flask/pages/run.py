"""The page of one run, and what can be done with it."""

from __future__ import annotations

import flask
from werkzeug.wrappers import Response

from task.errors import ArtifactError, TaskError, UnknownRunError, UnknownTaskError
from task.flask.access import requires
from task.flask.again import parameters_again
from task.flask.guard import actor
from task.flask.pages.frame import render
from task.flask.pages.runtexts import MASK_NOTE, remaining, shown_parameters, shown_result
from task.flask.pages.told import Told, go
from task.flask.state import current_state
from task.overview import started_text
from task.runs import Artifact, Run

__all__ = ["register"]

#: How many runs above and below are drawn.
ANCESTORS = 5
CHILDREN = 30

#: How long a reason may be. Characters.
REASON_LIMIT = 500


@requires("view")
def run_page(id: str) -> str:
    """One run, as it is now."""
    return _page(current_state().manager.find_run(id))


@requires("operate")
def stop_run(id: str) -> Response:
    """Ask it to stop."""
    run = current_state().manager.find_run(id)
    reason = flask.request.form.get("reason", "").strip()[:REASON_LIMIT]
    done = run.cancel(reason or "cancelled", by=actor())
    return go("tasks.run_page", "cancelled" if done else "ended", id=run.id)


@requires("operate")
def repeat_run(id: str) -> Response | tuple[str, int]:
    """A run of the same task with the same parameters."""
    manager = current_state().manager
    run = manager.find_run(id)
    parameters = parameters_again(run)
    if parameters is None:
        return _page(run, Told(MASK_NOTE, bad=True)), 422
    try:
        made = manager[run.task].trigger_by(actor(), parameters)
    except TaskError as error:
        return _page(run, Told(str(error), bad=True)), 422
    return go("tasks.run_page", "triggered", id=made.id)


def _page(run: Run, told: Told | None = None) -> str:
    manager = current_state().manager
    now = manager.clock.now()
    known = run.task in manager
    return render(
        "run.html",
        run.task,
        "tasks.runs_page",
        told=told,
        run=run,
        parameters=shown_parameters(run),
        result=shown_result(run),
        remaining=None if run.state.final else remaining(run, now, _usual(run.task)),
        elapsed=None if run.started_at is None or run.state.final else (now - run.started_at).total_seconds(),
        started=started_text(run),
        artifacts=_artifacts(run),
        ancestors=_ancestors(run),
        children=manager.runs(parent=run.id, limit=CHILDREN),
        known=known,
        refusal=_refusal(run, known),
    )


def _refusal(run: Run, known: bool) -> str | None:
    """Why it cannot be run again, in words."""
    if not known:
        return "Its task is not in the code of this process any more."
    return MASK_NOTE if parameters_again(run) is None else None


def _usual(task: str) -> float | None:
    """How long its runs take. Seconds; None of one that is new."""
    try:
        return current_state().manager.statistics(task).p50_duration
    except UnknownTaskError:
        return None


def _artifacts(run: Run) -> list[Artifact] | None:
    """None where they cannot be listed now."""
    try:
        return run.artifacts
    except ArtifactError:
        return None


def _ancestors(run: Run) -> list[Run]:
    """Where it comes from, the first of them first."""
    found: list[Run] = []
    key = run.parent_id
    while key is not None and len(found) < ANCESTORS:
        try:
            parent = current_state().manager.find_run(key)
        except UnknownRunError:  # dropped from the history
            break
        found.insert(0, parent)
        key = parent.parent_id
    return found


def register(blueprint: flask.Blueprint) -> None:
    """Add the page and its actions."""
    blueprint.add_url_rule("/run/<id>", "run_page", run_page)
    blueprint.add_url_rule("/run/<id>/cancel", "stop_run", stop_run, methods=["POST"])
    blueprint.add_url_rule("/run/<id>/again", "repeat_run", repeat_run, methods=["POST"])
