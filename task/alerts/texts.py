"""What people are told of an incident: plain text, bounded, safe for a terminal and for the subject of a mail."""

from __future__ import annotations

from task.clock import duration_text
from task.log import printable
from task.runs import Run
from task.stores import Incident

__all__ = ["LONGEST_LINE", "opened_text", "resolved_text"]

#: How much of a line is told. Characters.
LONGEST_LINE = 300


def line(text: str) -> str:
    """One bounded line of somebody's text."""
    shown = printable(text)
    return shown if len(shown) <= LONGEST_LINE else f"{shown[: LONGEST_LINE - 3]}..."


def opened_text(incident: Incident, run: Run | None, remedy: str) -> str:
    """That something is wrong: which task, what, since when, the run and its error, and what to do."""
    said = [
        line(f"Task {incident.task!r} is {incident.kind}: {incident.text}"),
        f"Since: {incident.since:%Y-%m-%d %H:%M:%S} UTC",
        *_run_lines(run),
        f"What to do: {line(remedy)}",
    ]
    return "\n".join(said)


def resolved_text(incident: Incident, run: Run | None, how: str) -> str:
    """That it is over, and how."""
    assert incident.ended_at is not None
    lasted = duration_text(max(0.0, (incident.ended_at - incident.since).total_seconds()))
    said = [
        line(f"Resolved: task {incident.task!r} is {incident.kind} no more: {how}"),
        f"From {incident.since:%Y-%m-%d %H:%M:%S} to {incident.ended_at:%Y-%m-%d %H:%M:%S} UTC, {lasted}",
        *([] if run is None else [f"Run: {run.id}"]),
    ]
    return "\n".join(said)


def _run_lines(run: Run | None) -> list[str]:
    if run is None:
        return []
    error = (run.error or "").strip().splitlines()
    return [f"Run: {run.id} ({run.state})", *([f"Error: {line(error[-1])}"] if error else [])]
