"""Which measurements of foresight are taken, and which rows come of them."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.foresight import TASKS
from benchmarks.runner import Measurement, Results
from benchmarks.table import Row, absolute

__all__ = ["measure_foresight"]

#: A week of a hundred tasks may take so long. Seconds.
WANTED = 30.0

SUBJECTS = {
    "intervals": "`every(1).minutes`, on threads",
    "cron": "`cron('* * * * *')`, on threads",
    "one serial worker": "`every(1).minutes`, on the serial worker, which is full",
}


def measure_foresight(quick: bool, say: Callable[[str], None]) -> list[Row]:
    """Take them: a week, or *quick* a day."""
    results = Results()
    days = 1 if quick else 7
    say(f"foresight: {days} days of {TASKS} tasks that are due each minute")
    results.take([Measurement("forecast", name, 24 * days) for name in (*SUBJECTS, "croniter")])
    peer = results.median("forecast", "croniter", "seconds") * 7 / days
    rows = []
    for name, what in SUBJECTS.items():
        seconds = results.median("forecast", name, "seconds") * 7 / days
        beside = f"{peer:.1f} s (their slots alone, by croniter)" if name == "cron" else ""
        row = absolute(f"A week of {TASKS} tasks, {what}", seconds, "s", f"≤ {WANTED:g} s", seconds <= WANTED, beside)
        rows.append(row._replace(ratio=f"{seconds / peer:.2f}") if beside else row)
    each = results.median("forecast", "intervals", "each")
    rows.append(Row("… processor time of each run", f"{each:.1f} µs", "", "", "no goal", ""))
    memory = results.median("forecast", "intervals", "mebibytes")
    rows.append(Row("… memory of the process at its end", f"{memory:.0f} MiB", "", "", "no goal", ""))
    return rows
