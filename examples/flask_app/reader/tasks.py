"""The background tasks. Each body has an application context around it, as a request has."""

from __future__ import annotations

import csv
import datetime
import io
from typing import Literal

from reader import feeds
from reader.storage import database
from task import Run, cron, current_run, every, task


@task(every(30).seconds, threaded=True, timeout=60, tags=["feeds"])
def fetch_feeds() -> dict[str, int]:
    """Fetch all feeds, and keep the entries that are new.

    A feed that cannot be reached does not keep the others from being fetched. The run fails at its end then, so that
    somebody sees it.
    """
    run = current_run()
    rows = database().execute("SELECT name, url FROM feeds ORDER BY name").fetchall()
    found, failed = {}, []
    for number, row in enumerate(rows, start=1):
        run.check_cancelled()
        try:
            found[row["name"]] = keep(row["name"], feeds.fetch(row["url"]))
        except (OSError, ValueError) as error:
            failed.append(row["name"])
            run.logger.warning("%s: %s", row["name"], error)
        else:
            run.logger.info("%s: %d new", row["name"], found[row["name"]])
        run.update_progress(100 * number / len(rows), row["name"])
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(rows)} feeds could not be fetched: {', '.join(failed)}")
    return found


@task(threaded=True, retry=2, timeout=20, tags=["feeds"])
def fetch_feed(name: str) -> int:
    """Fetch one feed by its name, again after one and after two seconds if it cannot be reached."""
    row = database().execute("SELECT url FROM feeds WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise LookupError(f"no feed is called {name!r}")
    return keep(name, feeds.fetch(row["url"]))


def keep(name: str, feed: feeds.Feed) -> int:
    """Keep what is new of a feed, and tell how much that was."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    connection = database()
    with connection:
        before = connection.total_changes
        connection.executemany(
            "INSERT OR IGNORE INTO entries (feed, link, title, seen_at) VALUES (?, ?, ?, ?)",
            [(name, entry.link, entry.title, now) for entry in feed.entries],
        )
        new = connection.total_changes - before
        connection.execute("UPDATE feeds SET title = ?, fetched_at = ? WHERE name = ?", (feed.title, now, name))
    return new


@task(cron("30 3 * * *", tz="Europe/Amsterdam"), tags=["upkeep"])
def forget_old_entries(days: int = 90) -> int:
    """Forget the entries that were first seen more than so many days ago."""
    oldest = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days)
    with database() as connection:
        return connection.execute("DELETE FROM entries WHERE seen_at < ?", (oldest.isoformat(),)).rowcount


@task(cron("0 7 * * mon", tz="Europe/Amsterdam"), tags=["reports"])
def report(run: Run, kind: Literal["csv", "text"] = "csv") -> dict[str, int]:
    """Count the entries of each feed, as a file that is kept with the run."""
    counted = database().execute("SELECT feed, count(*) AS entries FROM entries GROUP BY feed ORDER BY feed").fetchall()
    counts = {row["feed"]: row["entries"] for row in counted}
    if kind == "csv":
        table = io.StringIO()
        csv.writer(table).writerows([("feed", "entries"), *counts.items()])
        run.save_artifact("report.csv", table.getvalue())
    else:
        run.save_artifact("report.txt", "\n".join(f"{feed}: {entries}" for feed, entries in counts.items()))
    return counts


@task(after=report, tags=["reports"])
def announce(run: Run) -> str:
    """Say that there is a new report; a real application would send a message here."""
    run.logger.info("A new report is ready: run %s", run.parent_id)
    return "announced"
