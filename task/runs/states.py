"""The states of a run, and the ways between them::

    queued ───▶ running ──▶ succeeded | failed | cancelled | timed_out | lost
       │         ▲   │
       │         │   ▼
       │        retrying
       ▼             │
    cancelled | lost ◀

    skipped, missed: outcomes of slots that never ran; they are born final.

A final state never changes.
"""

from __future__ import annotations

import enum
from typing import Literal

__all__ = ["RunState", "Trigger"]

#: What started a run: its schedule, its schedule late, somebody by hand, a direct call, another task, the start, or the
#: death of the process that ran it before.
Trigger = Literal["schedule", "catch-up", "manual", "call", "chain", "start", "rerun"]


class RunState(enum.StrEnum):
    """The state of a run. It compares equal to its own text: ``run.state == "failed"``."""

    #: Admitted; waits for the runs before it, or for a place on its executor.
    QUEUED = "queued"
    #: The body runs.
    RUNNING = "running"
    #: An attempt failed; the next one has its moment.
    RETRYING = "retrying"
    #: The body returned.
    SUCCEEDED = "succeeded"
    #: The body raised, and no attempt was left.
    FAILED = "failed"
    #: It was stopped, before or after it started.
    CANCELLED = "cancelled"
    #: The body took longer than its timeout, and no attempt was left.
    TIMED_OUT = "timed_out"
    #: Nobody saw its end: the manager stopped, or the worker of an executor died, before the body ended.
    LOST = "lost"
    #: A guard refused the slot, call or trigger; the reason says which.
    SKIPPED = "skipped"
    #: The slot passed while nothing could run it; the reason says why.
    MISSED = "missed"

    #: The states that can follow; none: it is final.
    following: tuple[RunState, ...]
    final: bool


for _state in RunState:  # plain attributes: a property and a dictionary would cost a microsecond a run
    _state.following = ()
RunState.QUEUED.following = RunState.RETRYING.following = (RunState.RUNNING, RunState.CANCELLED, RunState.LOST)
RunState.RUNNING.following = (
    RunState.SUCCEEDED,
    RunState.FAILED,
    RunState.CANCELLED,
    RunState.TIMED_OUT,
    RunState.LOST,
    RunState.RETRYING,
)
for _state in RunState:
    _state.final = not _state.following
