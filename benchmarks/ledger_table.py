"""Which measurements of the ledger are taken, and which rows come of them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.ledger import POSTGRESQL
from benchmarks.runner import Measurement, Results
from benchmarks.table import Row, absolute, ratio

__all__ = ["measure_ledger"]

#: Runs per second that are wanted of one process.
WANTED = {"SQLite": 1_500, "PostgreSQL": 1_000}

APSCHEDULER = "APScheduler, SQLAlchemyJobStore"


def measure_ledger(quick: bool, say: Callable[[str], None]) -> list[Row]:
    """Take them on SQLite, and on PostgreSQL where that is installed; *quick* with shorter and fewer ones."""
    with _server() as missing:
        stores = ["SQLite"] if missing else ["SQLite", "PostgreSQL"]
        if missing:
            say(f"the ledger on SQLite only: {missing}")
        results = Results()  # it takes the environment over
        repeats, long = (1, 3) if quick else (3, 10)
        say("the ledger: throughput")
        results.take([Measurement("ledger throughput", name, long // 2) for name in stores], repeats)
        results.take([Measurement("ledger processes", name, long // 2) for name in stores], repeats)
        say("the ledger: lateness")
        results.take([Measurement("ledger burst", name) for name in (*stores, APSCHEDULER)], repeats)
        results.take([Measurement("ledger steady", name, long) for name in stores], repeats)
        thousands = 100 if quick else 1_000
        say(f"the ledger: a page of {thousands} 000 runs")
        results.take([Measurement("ledger page", name, thousands) for name in stores])
    return [
        row
        for name in stores
        for row in (*_rates(results, name), *_punctuality(results, name), _page(results, name, thousands))
    ]


@contextlib.contextmanager
def _server() -> Iterator[str | None]:
    """A PostgreSQL server for the children; why there is none, if so."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    import pytest
    from databases import Cluster

    try:
        cluster = Cluster()
    except pytest.skip.Exception as error:
        yield str(error)
        return
    with cluster:
        os.environ[POSTGRESQL] = cluster.url()
        try:
            yield None
        finally:
            del os.environ[POSTGRESQL]


def _rates(results: Results, name: str) -> list[Row]:
    found = results.median("ledger throughput", name, "per second")
    wanted = WANTED[name]
    rows = [
        absolute(f"{name}: runs per second, one process", found, "", f"≥ {wanted:,}".replace(",", " "), found >= wanted)
    ]
    for percent in ("p50", "p99"):
        claim = results.median("ledger throughput", name, percent)
        beside = (
            f"{results.median('ledger processes', name, 'p99'):.1f} ms (p99, four processes)"
            if percent == "p99"
            else ""
        )
        rows.append(Row(f"{name}: time of a claim meanwhile, {percent}", f"{claim:.1f} ms", beside, "", "no goal", ""))
    together = results.median("ledger processes", name, "per second")
    rows.append(ratio(f"{name}: runs per second, four processes together", together, "one process", found, ""))
    least = results.median("ledger processes", name, "least")
    rows.append(
        absolute(f"{name}: of four processes, the slowest against the fastest", least, "", "≥ 0.5", least >= 0.5)
    )
    return rows


def _punctuality(results: Results, name: str) -> list[Row]:
    late = results.median("ledger burst", name, "p99")
    theirs = f"{results.median('ledger burst', APSCHEDULER, 'p99'):.0f} ms ({APSCHEDULER}, SQLite)"
    starting = results.median("ledger burst", name, "start")
    p99, most = (results.median("ledger steady", name, figure) for figure in ("p99", "max"))
    return [
        absolute(f"{name}: lateness p99, 1 000 tasks due at one instant", late, "ms", "≤ 500 ms", late <= 500, theirs),
        absolute(f"{name}: lateness p99, 100 runs a second", p99, "ms", "≤ 20 ms", p99 <= 20),
        absolute(f"{name}: the latest of them", most, "ms", "≤ 250 ms", most <= 250),
        absolute(f"{name}: declaring and starting 1 000 tasks", starting, "ms", "≤ 400 ms", starting <= 400),
    ]


def _page(results: Results, name: str, thousands: int) -> Row:
    found = results.median("ledger page", name, "ms")
    return absolute(
        f"{name}: 100 of {thousands * 1_000:,} runs, the slowest of three questions".replace(",000", " 000"),
        found,
        "ms",
        "under 20 ms",
        found < 20,
    )
