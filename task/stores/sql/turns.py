"""Whose turn it is to write a SQLite file."""

from __future__ import annotations

import contextlib
import random
import time
from typing import Any

import sqlalchemy as sql

from task.clock import SystemClock

__all__ = ["begin_to_write"]

_monotonic = SystemClock().monotonic

#: How often a process looks whether another has ended its transaction. Seconds, at least and at most.
LOOKING_AGAIN = (0.0002, 0.001)


def begin_to_write(connection: sql.Connection, timeout: float) -> None:
    """Wait until no other process writes, at most *timeout* seconds, and begin.

    SQLite itself would look again later and later: of several busy processes one would wait for most of a second, and
    often nobody would have the lock.
    """
    driver: Any = connection.connection.driver_connection
    deadline = _monotonic() + timeout
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                driver.execute("BEGIN IMMEDIATE")
                return
            except driver.Error as error:
                if "locked" not in str(error) or _monotonic() >= deadline:
                    connection.exec_driver_sql("BEGIN IMMEDIATE")  # raises it as SQLAlchemy tells it, most likely
                    return
            time.sleep(random.uniform(*LOOKING_AGAIN))
    finally:
        with contextlib.suppress(driver.Error):
            driver.execute(f"PRAGMA busy_timeout = {round(timeout * 1000)}")
