"""The databases that releases have left behind, as text: `tests/golden/`.

``python tests/golden_schemas.py`` writes those of the present version anew: for a version that no release has, only.
What is released stays as it is; a change of the schema is a new version, with a step in `task/stores/sql/schema.py`.
"""

from __future__ import annotations

import contextlib
import datetime
import platform
import re
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.dialects import postgresql

from task import TaskManager, cron, current_run, every
from task.stores.sql import schema
from task.testing import VirtualClock

FOLDER = Path(__file__).parent / "golden"

NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)


def sqlite_file(version: int) -> Path:
    """The text of a whole SQLite file of that version, rows included."""
    return FOLDER / f"schema_{version}.sqlite.sql"


def postgresql_file(version: int) -> Path:
    """The statements that make the tables of that version in PostgreSQL."""
    return FOLDER / f"schema_{version}.postgresql.sql"


def definitions(path: Path | str) -> list[str]:
    """What a SQLite file is made of: its tables and indexes."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC, name")
        return [_in_one_line(statement) for (statement,) in found]


def postgresql_definitions() -> list[str]:
    """The statements that make the tables in PostgreSQL."""
    made: list[str] = []
    dialect = postgresql.dialect()

    def keep(statement: Any, *_: object) -> None:
        made.append(_in_one_line(str(statement.compile(dialect=dialect))))

    engine = sql.create_mock_engine("postgresql+psycopg://", keep)
    schema.metadata.create_all(engine, checkfirst=False)
    return sorted(made)


def _in_one_line(statement: str) -> str:
    return re.sub(r"\s+", " ", statement).strip()


def load(version: int, path: Path) -> None:
    """Make the SQLite file that the release of that version would have left."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(sqlite_file(version).read_text(encoding="utf-8"))


def manager_on(url: str, clock: VirtualClock) -> TaskManager:
    """A manager of the tasks whose runs are in the file."""

    def report(region: str = "EU") -> dict[str, str]:
        current_run().update_progress(50, "half")
        current_run().logger.info("a line")
        return {"region": region}

    def fail() -> None:
        raise ValueError("on purpose")

    manager = TaskManager([], clock=clock, store=url)
    manager.add(report, [every(10).minutes, cron("5 * * * *", tz="Europe/Amsterdam")], name="report", tags=["a"])
    manager.add(fail, every(15).minutes, name="fail", retry=1)
    manager.add(lambda: None, every(7).minutes, name="off")
    manager.add(lambda: None, every(20).minutes, name="after")
    return manager


def fill(url: str) -> None:
    """What managers leave: runs that ended well and badly, skips, misses, a journal, a switch, one that waits."""
    clock = VirtualClock(NOON)
    with manager_on(url, clock) as manager:
        manager["off"].disable(note="not now")
        clock.advance(minutes=31)
        manager.trigger("report", region="US")
        clock.advance(seconds=1)
    clock.advance(hours=2)
    with manager_on(url, clock):
        clock.advance(seconds=1)
    manager_on(url, clock).trigger("after")


def write(version: int = schema.VERSION) -> None:
    FOLDER.mkdir(exist_ok=True)
    platform.node = lambda: "host"  # no machine's name in a file
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tasks.db"
        fill(f"sqlite:///{path}")
        with contextlib.closing(sqlite3.connect(path)) as connection:
            text = "\n".join(connection.iterdump()) + "\n"
    text = text.replace(str(Path(__file__)), "tasks.py")
    sqlite_file(version).write_text(text, encoding="utf-8")
    postgresql_file(version).write_text("\n".join(postgresql_definitions()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(write())
