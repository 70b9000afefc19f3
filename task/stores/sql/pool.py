"""``Pool``: connections that are closed also when they are given back after all others were."""

from __future__ import annotations

from typing import Any

from sqlalchemy.pool import QueuePool

__all__ = ["Pool"]


class Pool(QueuePool):
    """Once it is disposed of, nobody takes anything from it: what a thread still had is closed when that is done.

    SQLAlchemy's own keeps such a connection until it is collected, open at both ends.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._over = False

    def _do_return_conn(self, record: Any) -> None:
        super()._do_return_conn(record)
        if self._over:  # in this order, and in the other one there: one of the two finds it
            super().dispose()

    def dispose(self) -> None:
        """Close those that are here, and each of the others when it comes back."""
        self._over = True
        super().dispose()
