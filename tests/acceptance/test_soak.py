"""Twenty seconds of the soak on each database; ``python -m benchmarks.soak --minutes 30`` is the same for longer."""

from __future__ import annotations

from pathlib import Path

from databases import Cluster, sqlite_url
from ledger_driver import Ledger
from soak import soak


def test_no_slot_is_doubled_or_left_out_on_sqlite_while_processes_are_killed_and_a_clock_is_stepped(
    ledger: Ledger, tmp_path: Path
) -> None:
    report = soak(ledger, sqlite_url(tmp_path), seconds=20, seed=1)
    assert report.wrong == [], str(report)
    assert report.kills >= 1
    assert report.begun > 100


def test_no_slot_is_doubled_or_left_out_on_postgresql_while_it_is_restarted_too(
    ledger: Ledger, postgres_url: str, cluster: Cluster
) -> None:
    report = soak(ledger, postgres_url, seconds=20, cluster=cluster, seed=2)
    assert report.wrong == [], str(report)
    assert report.restarts >= 1
    assert report.begun > 100
