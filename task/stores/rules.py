"""What every ledger decides alike: whether a task admits a run, whether that waits, and when a switch is on again."""

from __future__ import annotations

import datetime

from task.stores.values import Limits, Switch

__all__ = ["crowding", "lapsed", "may_wait", "refusal"]

Moment = datetime.datetime


def lapsed(switch: Switch, now: Moment) -> Switch:
    """The switch as it is by now: one whose end has come is on again."""
    if not switch.enabled and switch.until is not None and now >= switch.until:
        return Switch(True, switch.note, None, switch.until, switch.by)
    return switch


def refusal(enabled: bool, paused: bool) -> str | None:
    """Why a task admits nothing at all; None when it does."""
    if not enabled:
        return "disabled"
    if paused:
        return "paused"
    return None


def crowding(limits: Limits, active: int, waiting: int, holder: str | None) -> str | None:
    """Why a run has to wait, or not to be: other runs of its task, or of the task *holder* that has its mutex."""
    if active >= limits.max_concurrent and limits.overlap != "allow":
        return "already running" if limits.overlap != "queue" or not waiting else "one run waits already"
    if holder is not None:
        return f"{holder!r} has the mutex {limits.mutex!r}"
    return None


def may_wait(limits: Limits, waiting: int, trigger: str) -> bool:
    """Whether a run that finds no room waits for it. A direct call does not: its caller would be blocked."""
    if trigger == "call":
        return False
    return limits.overlap == "cancel_previous" or (limits.overlap in ("queue", "allow") and not waiting)
