"""Connections to PostgreSQL that do not wait for ever: who is cut off without a word would never hear of it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from task.clock import SystemClock

__all__ = ["connect"]

_monotonic = SystemClock().monotonic

#: For how long a server that was asked something may say nothing. Seconds; it gives up on a lock, and tells, before.
LONGEST_SILENCE = 10.0

_classes: list[Any] = []


def connect(dialect: object, record: object, arguments: Any, options: Any) -> Any:
    """What SQLAlchemy calls to connect."""
    return _class().connect(*arguments, **options)


def _class() -> Any:
    if not _classes:
        import psycopg  # loaded for those who use it

        class Impatient(psycopg.Connection[Any]):
            """It is closed, and the statement fails, when the server is silent for too long."""

            def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
                return super().wait(_hearing(self, gen), *args, **options)

        _classes.append(Impatient)
    return _classes[0]


def _hearing(connection: Any, steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """The steps of a statement, as long as the server says something now and then."""
    heard = _monotonic()
    try:
        wanted = next(steps)
        while True:
            ready = yield wanted
            now = _monotonic()
            if ready:
                heard = now
            elif now - heard > LONGEST_SILENCE:
                connection.close()
                raise _silent()
            wanted = steps.send(ready)
    except StopIteration as end:
        return end.value


def _silent() -> Exception:
    import psycopg

    return psycopg.OperationalError(f"the server has not answered for {LONGEST_SILENCE:g} seconds")
