"""SIGTERM that comes twice and is one: GNU ``timeout`` sends it to its program, and then to the group of that."""

from __future__ import annotations

import signal

from task.clock import SystemClock

__all__ = ["ECHO", "is_echo", "raise_again"]

#: It is the one before if it comes again within so long. Who presses Ctrl-C twice means it, however soon. Seconds.
ECHO = 0.5

_monotonic = SystemClock().monotonic

#: When it was heard last.
_heard = float("-inf")


def is_echo(number: int) -> bool:
    """Whether a signal that has come is one that has been heard before: asked once for each, by who handles it."""
    global _heard
    if number != signal.SIGTERM:
        return False
    now = _monotonic()
    if now - _heard < ECHO:
        return True
    _heard = now
    return False


def raise_again(number: int) -> None:
    """Leave a signal that is no echo to another handler, which may ask, too."""
    global _heard
    _heard = float("-inf")
    signal.raise_signal(number)
