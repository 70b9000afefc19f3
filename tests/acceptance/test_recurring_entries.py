"""Recurring entries over real processes: made in one, run in the others, restored after a crash."""

from __future__ import annotations

import datetime

from ledger_driver import Ledger, doubles, slots

GREET = {"name": "greet", "options": {"threaded": True}}


def test_an_entry_outlives_the_processes_and_each_of_its_slots_runs_once(ledger: Ledger, store_url: str) -> None:
    one, two = (ledger.start(store_url, GREET, lost_after=2) for _ in range(2))
    desk = ledger.start(store_url, GREET, lost_after=2)  # its manager never runs
    ledger.run_together([one, two])

    desk.ask("recurring", method="add", name="often", task="greet", schedule="every 0.2 seconds", parameters=note("a"))
    ledger.wait_for_lines(3, task="often", event="begin", note="a")
    one.kill()
    desk.ask("recurring", method="update", name="often", parameters=note("b"))
    ledger.wait_for_lines(3, task="often", event="begin", note="b", pid=two.pid)

    again = ledger.start(store_url, GREET, lost_after=2)
    again.run()
    two.kill()
    ledger.wait_for_lines(3, task="often", event="begin", note="b", pid=again.pid)
    assert again.ask("recurring", method="orphans") == []

    desk.ask("recurring", method="remove", name="often")
    removed = datetime.datetime.now(datetime.UTC)
    last = ledger.start(store_url, GREET, lost_after=2)  # nothing is restored that was removed
    last.run()
    for process in (again, last):
        run = process.trigger("greet")
        ledger.wait_for_lines(1, run=run, event="end")
        process.stop()

    assert max(slots(ledger.lines(), "often")) <= removed
    assert doubles(ledger.lines()) == []
    assert last.ask("recurring", method="list") == []
    assert last.audit() == []


def note(text: str) -> dict[str, str]:
    return {"note": text}
