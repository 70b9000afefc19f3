"""Files that are no store: the command line touches none that somebody has named by mistake."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sqlite3

from task.cli.group import Refusal

__all__ = ["check_file"]


def check_file(file: pathlib.Path, *, has_record: bool) -> None:
    """Raise `Refusal` for a file that is no database of SQLite; with *has_record* also for one without a record.

    A store moves a file that it cannot read aside and begins a new one, as an application has to go on. What somebody
    names in a shell may be any file: it is read first, and left alone.
    """
    try:
        empty = not file.stat().st_size
    except OSError:  # there is none yet, or it cannot be reached, which the store tells of
        empty = True
    tables = set() if empty else _tables(file)
    if has_record and "task_schema" not in tables:
        what = "There is no record of tasks in" if tables or os.path.isfile(file) else "There is no database"
        raise Refusal(f"{what} {str(file)!r}: no process has put anything on record there. Check --store.")


def _tables(file: pathlib.Path) -> set[str]:
    try:
        with contextlib.closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.OperationalError:  # it is locked, say: it is a database, of which the store tells more
        return {"task_schema"}
    except sqlite3.DatabaseError as error:
        raise Refusal(
            f"The file {str(file)!r} is no database that can be read ({error}); it was left as it is. Check --store."
        ) from error
