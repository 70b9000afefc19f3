"""What concerns all tasks: the manager, its health and metrics, what is to come, what was steered."""

from __future__ import annotations

import collections
from typing import Annotated, Any, Literal

import flask
import msgspec

from task.doctor import diagnose, is_well
from task.flask.api import schemas
from task.flask.api.endpoints import Answer, Endpoint
from task.flask.api.paging import Paged
from task.flask.api.tasks import UpcomingQuery
from task.flask.guard import actor, may
from task.flask.problems import refusal
from task.flask.state import current_state
from task.stores import JournalEntry

__all__ = ["WHOLE"]

Text = Annotated[str, msgspec.Meta(max_length=1_000)]

#: So much of the journal can be paged through.
JOURNAL = 1_000


class TimelineQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How long, and of which tasks."""

    span: Literal["day", "week"] = "day"
    tag: Text | None = None
    name: Annotated[list[Text], msgspec.Meta(max_length=100)] = []


class JournalQuery(Paged):
    """Of which task."""

    task: Text | None = None


class PreviewQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A schedule in words."""

    words: Annotated[str, msgspec.Meta(max_length=500)]
    count: Annotated[int, msgspec.Meta(ge=1, le=50)] = 10
    #: The name that the entry has or will have: `H` in a cron pattern goes by it.
    name: Annotated[str, msgspec.Meta(max_length=200)] = ""


def show_manager() -> Any:
    """Show the manager of the process that answers."""
    manager = current_state().manager
    return {"state": manager.state, "paused": manager.store.paused, "tasks": len(manager)}


def pause() -> Any:
    """Pause all tasks: slots and triggers are skipped, and recorded so."""
    current_state().manager.pause(by=actor())
    return show_manager()


def resume() -> Any:
    """End the pause. Nothing is caught up."""
    current_state().manager.resume(by=actor())
    return show_manager()


def list_problems() -> Any:
    """List what wants attention, the worst first, and what helps."""
    return {"items": current_state().overview.problems()}


def examine() -> Any:
    """Examine the tasks, the store and the processes on it: what goes wrong, and the cure, the worst first."""
    state = current_state()
    found = diagnose(state.manager, state.overview)
    return {"well": is_well(found), "items": found}


def list_upcoming(query: UpcomingQuery) -> Any:
    """List the slots of all tasks that are to come, in order."""
    return {"items": current_state().overview.upcoming(until=query.until, limit=query.limit)}


def show_timeline(query: TimelineQuery) -> Any:
    """Show the last and the next 24 hours, or 7 days: what ran, and what is expected."""
    return current_state().overview.timeline(query.span, tag=query.tag, names=query.name or None)


def preview_schedule(query: PreviewQuery) -> Any:
    """List the next slots of a schedule in words."""
    return {"items": current_state().overview.preview(query.words, count=query.count, name=query.name)}


def list_journal(query: JournalQuery) -> Any:
    """List who has steered what, newest first: the last thousand entries."""
    entries = current_state().manager.journal(query.task, JOURNAL)
    places = _places(entries)
    if query.cursor is not None:
        if query.cursor not in places:
            raise refusal(422, "cursor: give the `next` of the page before, or leave it out.")
        begin = places.index(query.cursor) + 1
        entries, places = entries[begin:], places[begin:]
    cursor = places[query.limit - 1] if len(entries) > query.limit else None
    return Answer({"items": entries[: query.limit], "next": cursor}, cursor=cursor)


def _places(entries: list[JournalEntry]) -> list[str]:
    """For each entry its moment, and how many of that moment there were before it: no later entry changes that."""
    before: collections.Counter[str] = collections.Counter()
    places = []
    for entry in reversed(entries):
        moment = entry.at.isoformat()
        places.append(f"{moment} {before[moment]}")
        before[moment] += 1
    return places[::-1]


def show_health() -> Any:
    """Tell whether the manager does its work: 503 where it does not. Strangers are told the `status` only."""
    state = current_state()
    health = state.overview.health()
    told: dict[str, Any] = {"status": "healthy" if health else "unhealthy"}
    if may("view"):
        overdue = [one.task for one in state.overview.problems() if one.kind == "overdue" and one.task is not None]
        told |= {
            "state": health.state,
            "pid": health.pid,
            "causes": health.causes,
            "overdue": overdue,
            "signals_dropped": health.signals_dropped,
        }
    return Answer(told, status=200 if health else 503)


def show_metrics() -> flask.Response:
    """The figures of all tasks for Prometheus. 501: the extra `metrics` is not installed."""
    from task.metrics import exposition  # an extra of its own

    state = current_state()
    text, kind = exposition(state.manager, state.overview)
    return flask.Response(text, content_type=kind)


WHOLE = (
    Endpoint("GET", "/manager", show_manager, schemas.ManagerState),
    Endpoint("POST", "/pause", pause, schemas.ManagerState),
    Endpoint("POST", "/resume", resume, schemas.ManagerState),
    Endpoint("GET", "/problems", list_problems, schemas.Problems),
    Endpoint("GET", "/doctor", examine, schemas.Diagnoses),
    Endpoint("GET", "/upcoming", list_upcoming, schemas.Slots, query=UpcomingQuery),
    Endpoint("GET", "/timeline", show_timeline, schemas.Span, query=TimelineQuery, problems=(404,)),
    Endpoint("GET", "/schedules/preview", preview_schedule, schemas.Slots, query=PreviewQuery),
    Endpoint("GET", "/journal", list_journal, schemas.Journal, query=JournalQuery, problems=(404,)),
    Endpoint("GET", "/health", show_health, schemas.Health, open=True),
    Endpoint("GET", "/metrics", show_metrics, str, content_type="text/plain", problems=(501,)),
)
