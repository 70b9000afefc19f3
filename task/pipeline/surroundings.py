"""What bodies and callbacks run inside of: context managers of the application around them, made anew for each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

__all__ = ["Surround", "entered"]

#: Makes what one attempt of a body, or one callback, runs inside of.
Surround = Callable[[], contextlib.AbstractContextManager[object]]


def entered(makers: Sequence[Surround]) -> contextlib.ExitStack:
    """All of them, entered: the newest goes around those before it. Leave them with ``with``.

    >>> import contextlib
    >>> @contextlib.contextmanager
    ... def session():
    ...     print("opened")
    ...     yield
    ...     print("closed")
    >>> with entered([session]):
    ...     print("the body")
    opened
    the body
    closed
    """
    with contextlib.ExitStack() as stack:
        for make in reversed(makers):
            stack.enter_context(make())
        return stack.pop_all()
    raise AssertionError("what is being entered has no error to suppress")
