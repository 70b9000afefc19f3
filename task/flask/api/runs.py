"""Runs: the history, and what can be done with one of them."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Annotated, Any, BinaryIO

import flask
import msgspec

from task.errors import ParameterError, UnknownTaskError
from task.flask.again import parameters_again, without_secrets
from task.flask.api import schemas
from task.flask.api.endpoints import Answer, Endpoint
from task.flask.api.paging import Count, Moment, Paged
from task.flask.api.structs import json_ready
from task.flask.guard import actor
from task.flask.problems import refusal
from task.flask.state import current_state
from task.runs import Artifact, Run

__all__ = ["RUNS", "runs_page", "started"]

#: How much of an artifact is read at a time. Bytes.
PIECE = 100_000

Text = Annotated[str, msgspec.Meta(max_length=1_000)]


class LostQuery(Paged):
    """Which of them."""

    task: Text | None = None
    tag: Text | None = None
    parent: Text | None = None
    #: By when they were queued, refused or found missed: from this on, and before that.
    since: Moment | None = None
    until: Moment | None = None


class RunsQuery(LostQuery):
    """Which of them."""

    state: list[schemas.State] = msgspec.field(default_factory=list)


class LogQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """From which line on."""

    after: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] = 0
    limit: Count = 200


class Cancel(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)] = "cancelled"


def list_runs(query: RunsQuery) -> Any:
    """List runs, skips and missed slots, newest first."""
    return runs_page(query, query.state or None)


def list_lost_runs(query: LostQuery) -> Any:
    """List the runs whose end nobody saw: their process died, or its manager stopped."""
    return runs_page(query, ["lost"])


def runs_page(query: LostQuery, states: list[Any] | None) -> Answer:
    """One page of the history."""
    asked = {name: getattr(query, name) for name in ("since", "until", "parent", "tag", "cursor")}
    page = current_state().manager.runs(query.task, states, query.limit, **asked)
    return Answer({"items": [row_of(run) for run in page], "next": page.cursor}, cursor=page.cursor)


def show_run(id: str) -> Any:
    """Show a run: its attempts, parameters and result, secrets masked."""
    return detail_of(current_state().manager.find_run(id))


def cancel_run(id: str, body: Cancel) -> Any:
    """End a run: at once if it has not started, else its body is asked to stop. 409: it had ended already."""
    run = current_state().manager.find_run(id)
    if not run.cancel(body.reason, by=actor()):
        raise refusal(409, f"Run {run.id} has ended already: it {run.state}.")
    return detail_of(run)


def run_again(id: str) -> Any:
    """Start a new run of the same task with the same parameters. 409 where they were secret, and so are not kept."""
    manager = current_state().manager
    run = manager.find_run(id)
    parameters = parameters_again(run)
    if parameters is None:
        raise refusal(409, f"Run {run.id} had secret parameters, which are not kept. Trigger the task with its own.")
    try:
        return started(manager[run.task].trigger_by(actor(), parameters))
    except UnknownTaskError:
        raise refusal(
            409, f"Task {run.task!r} of run {run.id} is not in this process: nothing can run again."
        ) from None
    except ParameterError as error:  # the task has changed since, or the parameters are no JSON
        raise refusal(409, f"Run {run.id} cannot run again with its parameters. {error}") from None


def show_log(id: str, query: LogQuery) -> Any:
    """Show lines of the log of a run: those after the number of a line."""
    run = current_state().manager.find_run(id)
    ended, dropped, head = run.state.final, run.log_dropped, run.log_head  # before the lines: none is missed
    numbered = [(place + 1 + (dropped if place >= head else 0), line) for place, line in enumerate(run.log)]
    left = [(number, line) for number, line in numbered if number > query.after]
    items = [{"number": number, **line.as_dict()} for number, line in left[: query.limit]]
    return {"items": items, "more": len(left) > query.limit, "dropped": dropped, "ended": ended}


def list_artifacts(id: str) -> Any:
    """List the files that the body has left with its run."""
    run = current_state().manager.find_run(id)
    return {"items": [_artifact(run, one) for one in run.artifacts]}


def download_artifact(id: str, name: str) -> flask.Response:
    """Download a file of a run."""
    run = current_state().manager.find_run(id)
    found = next((one for one in run.artifacts if one.name == name), None)
    if found is None:
        raise refusal(404, f"Run {run.id} has no artifact of that name.")
    empty = flask.request.method == "HEAD"
    file = io.BytesIO() if empty else found.open()  # sent in pieces: many who download large ones need no room for them
    answer = flask.send_file(
        file,
        "application/octet-stream",
        as_attachment=True,
        download_name=found.name,
        conditional=False,
        etag=False,
        last_modified=found.saved_at,
    )
    answer.content_length = found.size if empty else os.fstat(file.fileno()).st_size
    answer.response = _pieces_of(file)
    answer.call_on_close(file.close)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _pieces_of(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE):
            yield piece


# As JSON.


def started(run: Run) -> Answer:
    """The answer to who has started a run."""
    return Answer(detail_of(run), {"Location": flask.url_for("tasks.show_run", id=run.id)})


def row_of(run: Run) -> dict[str, Any]:
    """A run as a list has it."""
    facts = run.as_dict()
    return {name: facts[name] for name in schemas.RunRow.__struct_fields__}


def detail_of(run: Run) -> dict[str, Any]:
    """A run with all that is kept of it."""
    attempts = [{**one.as_dict(), "traceback": one.traceback} for one in run.attempts]
    return {
        **row_of(run),
        "parameters": json_ready(without_secrets(run)),
        "result": run.result_text,
        "result_is_json": run.result_is_json,
        "attempts": attempts,
        "next_at": run.next_at,
        "overrunning": run.overrunning,
        "log_lines": len(run.log),
        "log_dropped": run.log_dropped,
        "aside": None if run.aside is None else dict(run.aside),
    }


def _artifact(run: Run, one: Artifact) -> dict[str, Any]:
    url = flask.url_for("tasks.download_artifact", id=run.id, name=one.name)
    return {"name": one.name, "size": one.size, "saved_at": one.saved_at, "url": url}


_ONE = "/runs/<id>"

RUNS = (
    Endpoint("GET", "/runs", list_runs, schemas.Runs, query=RunsQuery, problems=(404,)),
    Endpoint("GET", "/lost", list_lost_runs, schemas.Runs, query=LostQuery, problems=(404,)),
    Endpoint("GET", _ONE, show_run, schemas.Run),
    Endpoint("POST", f"{_ONE}/cancel", cancel_run, schemas.Run, body=Cancel, problems=(409,)),
    Endpoint("POST", f"{_ONE}/again", run_again, schemas.Run, status=202, problems=(409,)),
    Endpoint("GET", f"{_ONE}/log", show_log, schemas.Log, query=LogQuery),
    Endpoint("GET", f"{_ONE}/artifacts", list_artifacts, schemas.Artifacts),
    Endpoint(
        "GET",
        f"{_ONE}/artifacts/<task_name:name>",
        download_artifact,
        bytes,
        content_type="application/octet-stream",
    ),
)
