"""A real job: every minute, copy a SQLite database that is in use, and prove the copy.

    python examples/backup.py app.db backups --keep 60

Each copy is made by SQLite's online backup, opened again and checked, and only then given its name, so
that whatever stands in the folder is whole. The newest are kept, older ones are removed. A failure is told
on standard error, and the next minute tries again.
"""

import argparse
import contextlib
import glob
import os
import sqlite3
import sys
import time
from pathlib import Path

from task import Run, TaskManager, current_run, every
from task.clock import Clock

#: How long a locked database is waited for. Seconds.
PATIENCE = 30.0


def backup(database: Path, folder: Path, keep: int) -> Path:
    """Copy, check, name, and remove what is too old; the path of the new copy."""
    run = current_run()
    # Named after the slot, so that copies sort by time; a run at the start or by hand has none.
    moment = run.slot or run.queued_at
    target = folder / f"{database.stem}-{moment:%Y%m%dT%H%M%SZ}.db"
    partial = target.with_suffix(".part")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        copy(database, partial)
        check(partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    remove_old(target, database.stem, keep)
    print(f"backup written: {target.name}", flush=True)
    return target


def copy(database: Path, target: Path) -> None:
    """Copy a database while others write to it. Raises `sqlite3.Error`, or `TimeoutError` while it is locked."""
    run, deadline = current_run(), time.monotonic() + PATIENCE

    def look_up(status: int, remaining: int, total: int) -> None:
        run.check_cancelled()  # the manager is stopping: leave at once
        if time.monotonic() > deadline:
            raise TimeoutError(f"{database} has been locked for {PATIENCE:.0f} seconds")

    read_only = f"{database.resolve().as_uri()}?mode=ro"  # a database that is not there is not made
    with (
        contextlib.closing(sqlite3.connect(read_only, uri=True)) as source,
        contextlib.closing(sqlite3.connect(target)) as copied,
    ):
        source.backup(copied, progress=look_up)


def check(copied: Path) -> None:
    """Open a copy and let SQLite check all of it. Raises `ValueError` with what is wrong."""
    with contextlib.closing(sqlite3.connect(copied)) as connection:
        answer = connection.execute("PRAGMA integrity_check").fetchone()[0]
    if answer != "ok":
        raise ValueError(f"the copy is damaged: {answer}")


def remove_old(newest: Path, stem: str, keep: int) -> None:
    """Keep *newest* and the ``keep - 1`` copies before it."""
    stamp = "[0-9]" * 8 + "T" + "[0-9]" * 6 + "Z"
    others = sorted(set(newest.parent.glob(f"{glob.escape(stem)}-{stamp}.db")) - {newest})
    for old in others[: max(0, len(others) - (keep - 1))]:
        old.unlink()


def tell(run: Run) -> None:
    """Where a mail or a page to the operator would go out."""
    print(f"BACKUP FAILED at {run.finished_at:%H:%M:%S} UTC: {run.error}", file=sys.stderr, flush=True)


def make_manager(database: Path, folder: Path, keep: int, clock: Clock | None = None) -> TaskManager:
    """The manager with its one task; a test gives it a `task.testing.VirtualClock`."""
    manager = TaskManager([], clock=clock)
    manager.add(
        backup,
        every().minute,
        parameters={"database": database, "folder": folder, "keep": keep},
        threaded=True,
        run_at_start=True,
        on_failed=tell,
    )
    return manager


def main() -> None:
    parser = argparse.ArgumentParser(description="Back up a SQLite database every minute.")
    parser.add_argument("database", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keep", type=int, default=60, help="how many copies (default: 60)")
    options = parser.parse_args()
    if options.keep < 1:
        parser.error("--keep is a whole number from 1")
    manager = make_manager(options.database, options.folder, options.keep)
    manager.run()
    manager.wait()  # until Ctrl-C or SIGTERM; both let a copy that is being made come to its end


if __name__ == "__main__":
    main()
