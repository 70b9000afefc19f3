"""Tasks: what there are, how they stand, and to steer them. A recurring entry counts as one."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any, Literal

import msgspec

from task.errors import UnknownTaskError
from task.flask.api import schemas
from task.flask.api.endpoints import Answer, Endpoint
from task.flask.api.paging import Count, Moment, Paged
from task.flask.api.runs import started
from task.flask.api.structs import written
from task.flask.guard import actor
from task.flask.state import current_state

__all__ = ["TASKS"]

Text = Annotated[str, msgspec.Meta(max_length=1_000)]


class TasksQuery(Paged):
    """Which tasks."""

    text: Text | None = None
    tag: Text | None = None
    doing: Literal["broken", "running", "retrying", "queued", "paused", "disabled", "idle", "failing"] | None = None


class UpcomingQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Until when, and how many."""

    until: Moment | None = None
    limit: Count = 50


class PointsQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How many."""

    limit: Count = 200


class Disable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why, and until when."""

    note: Text | None = None
    until: Moment | None = None


class Trigger(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """With which parameters."""

    parameters: dict[str, Any] = {}


def list_tasks(query: TasksQuery) -> Any:
    """List tasks and recurring entries, by their names, with their strips and problems."""
    asked = {name: getattr(query, name) for name in ("text", "tag", "doing", "limit", "cursor")}
    page = current_state().overview.tasks(**asked)
    value = {
        "items": [written(card) for card in page.cards],
        "next": page.cursor,
        "total": page.total,
        "tags": page.tags,
        "doing": page.doing,
    }
    return Answer(value, cursor=page.cursor)


def show_task(name: str) -> Any:
    """Show all that is known of a task, and the JSON Schema of its parameters."""
    state = current_state()
    card = state.overview.task(name)
    detail: dict[str, Any] | None = None
    parameters: dict[str, Any] | None = None
    with contextlib.suppress(UnknownTaskError):  # an entry that this process does not run
        detail = state.manager.task_detail(name)
        parameters = state.manager[name].parameters_schema
    return {
        "card": card,
        "detail": detail,
        "statistics": state.manager.statistics(name),
        "parameters": parameters,
    }


def enable_task(name: str) -> Any:
    """Turn the switch of a task on. Slots that came due meanwhile stay skipped."""
    current_state().manager[name].enable(by=actor())
    return switch_of(name)


def disable_task(name: str, body: Disable) -> Any:
    """Turn the switch of a task off: slots and triggers are skipped, and recorded so. A run under way goes on."""
    current_state().manager[name].disable(body.note, body.until, by=actor())
    return switch_of(name)


def trigger_task(name: str, body: Trigger) -> Any:
    """Start a run now. A guard's refusal is a run in the state `skipped`."""
    return started(current_state().manager[name].trigger_by(actor(), body.parameters))


def list_upcoming_of_task(name: str, query: UpcomingQuery) -> Any:
    """List the slots of a task that are to come."""
    overview = current_state().overview
    overview.task(name)
    return {"items": overview.upcoming(name, until=query.until, limit=query.limit)}


def list_points_of_task(name: str, query: PointsQuery) -> Any:
    """List how long the newest runs of a task took, and how late they were."""
    return {"items": current_state().overview.points(name, query.limit)}


def switch_of(name: str) -> dict[str, Any]:
    """How the switch of a task stands."""
    detail = current_state().manager.task_detail(name)
    return {"name": name, "enabled": detail["enabled"], **detail["switch"]}


_ONE = "/tasks/<task_name:name>"

TASKS = (
    Endpoint("GET", "/tasks", list_tasks, schemas.Tasks, query=TasksQuery),
    Endpoint("GET", _ONE, show_task, schemas.TaskDetail),
    Endpoint("POST", f"{_ONE}/enable", enable_task, schemas.Switch),
    Endpoint("POST", f"{_ONE}/disable", disable_task, schemas.Switch, body=Disable),
    Endpoint("POST", f"{_ONE}/trigger", trigger_task, schemas.Run, body=Trigger, status=202, problems=(409,)),
    Endpoint("GET", f"{_ONE}/upcoming", list_upcoming_of_task, schemas.Slots, query=UpcomingQuery),
    Endpoint("GET", f"{_ONE}/points", list_points_of_task, schemas.Points, query=PointsQuery),
)
