"""The driver of processes on one store: that it sees a double, and that it steers a process."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ledger_driver import CommandError, Ledger, LedgerProcess, doubles, most_at_once, read_log, slots
from outages import Proxy

SLOT = "2026-05-04T12:00:00+00:00"


def begin(run: str, *, slot: str | None = SLOT, attempt: int = 1, parent: str | None = None, pid: int = 1) -> Any:
    return {
        "event": "begin",
        "task": "sample",
        "slot": slot,
        "run": run,
        "attempt": attempt,
        "parent": parent,
        "pid": pid,
        "monotonic": 1.0,
    }


@pytest.mark.parametrize(
    ("begun", "doubled"),
    [
        pytest.param([begin("a"), begin("b", slot="2026-05-04T12:01:00+00:00")], 0, id="two slots"),
        pytest.param([begin("a"), begin("b")], 1, id="two runs of one slot"),
        pytest.param([begin("a"), begin("a")], 1, id="an attempt that begins twice"),
        pytest.param([begin("a"), begin("a", attempt=2, pid=2)], 0, id="another attempt"),
        pytest.param([begin("a"), begin("b", parent="a"), begin("c", parent="b")], 0, id="reruns"),
        pytest.param([begin("a"), begin("b", parent="a"), begin("c", parent="a")], 1, id="two reruns of one run"),
        pytest.param([begin("b", parent="a"), begin("c", parent="a")], 1, id="two reruns of one that never began"),
        pytest.param([begin("a", slot=None), begin("b", slot=None)], 0, id="by hand"),
    ],
)
def test_a_slot_whose_body_began_more_than_once_is_a_double(begun: list[Any], doubled: int) -> None:
    assert len(doubles(begun)) == doubled


def test_a_task_of_everywhere_has_its_slot_in_each_process() -> None:
    lines = [begin("a", pid=1), begin("b", pid=2)]
    assert doubles(lines, everywhere=["sample"]) == []
    assert len(doubles([*lines, begin("c", pid=2)], everywhere=["sample"])) == 1


def test_bodies_at_once_are_counted_over_processes_and_a_killed_one_until_its_process_was_silent() -> None:
    one = [begin("a"), {**begin("a"), "event": "end", "monotonic": 2.0}]
    beside = {**begin("b", pid=2), "monotonic": 1.5}
    after = {**begin("c", pid=3), "monotonic": 3.0}
    assert most_at_once([*one, after], "sample") == 1
    assert most_at_once([*one, beside, after], "sample") == 2
    killed = [begin("d", pid=4), {**begin("e", pid=4), "task": "other", "monotonic": 4.0}]
    assert most_at_once([*killed, after], "sample") == 2


def test_a_line_that_is_there_in_part_spoils_no_other(tmp_path: Any) -> None:
    log = tmp_path / "bodies.log"
    assert read_log(log) == []
    log.write_text('\n{"run": 1}\n\n{"ru\n{"run": 2}\n\n{"run"')
    assert read_log(log) == [{"run": 1}, {"run": 2}]


def test_a_process_runs_its_tasks_and_answers(ledger: Ledger) -> None:
    process = ledger.start(
        None,
        {"name": "sample", "seconds": 0.1, "body_seconds": 0.02, "options": {"threaded": True}},
        {"name": "greet", "fails": 1, "options": {"retry": 1}},
    )
    process.run()
    ledger.wait_for_lines(3, task="sample", event="end", raised=None)

    run = process.trigger("greet", note="Ada")
    ledger.wait_for_lines(1, run=run, event="end", attempt=1, raised="BodyError")
    ledger.wait_for_lines(1, run=run, event="end", attempt=2, raised=None)
    process.ask("disable", task="sample", note="enough")
    with pytest.raises(CommandError, match="UnknownTaskError: There is no task 'nobody'"):
        process.trigger("nobody")
    assert process.ask("health")["healthy"] is True
    assert [detail["name"] for detail in process.ask("details")] == ["sample", "greet"]
    process.stop()

    assert process.audit() == []
    lines = ledger.lines()
    ran = slots(lines, "sample")
    assert len(ran) >= 3
    assert len(process.runs("sample", "succeeded")) == len(ran)
    assert doubles(lines) == []
    assert most_at_once(lines, "sample") == 1
    assert [run["state"] for run in process.runs("greet")] == ["succeeded"]
    assert process.ask("log_lines", run=run) == ["begun Ada", "begun Ada"]
    assert process.exit() == 0


def test_a_run_is_cancelled_by_its_id(ledger: Ledger) -> None:
    process = ledger.start(None, {"name": "slow", "body_seconds": 600, "options": {"threaded": True}})
    process.run()
    run = process.trigger("slow")
    ledger.wait_for_lines(1, run=run)
    assert process.ask("cancel", run=run) is True
    ledger.wait_for_lines(1, run=run, event="end", raised="RunCancelled")
    process.stop()
    assert [run["state"] for run in process.runs("slow")] == ["cancelled"]


def test_a_manager_that_cannot_be_made_says_why(ledger: Ledger) -> None:
    with pytest.raises(CommandError, match="no option 'colour'") as refused:
        ledger.start(None, {"name": "sample", "options": {"colour": "red"}})
    assert refused.value.kind == "DeclarationTypeError"


def test_processes_start_together_are_frozen_thawed_and_killed(ledger: Ledger) -> None:
    frozen, killed = (ledger.start(None, {"name": "sample", "seconds": 0.05}) for _ in range(2))
    ledger.run_together([frozen, killed])
    ledger.wait_for_lines(1, pid=frozen.pid)
    ledger.wait_for_lines(1, pid=killed.pid)

    frozen.freeze()
    before = len([line for line in ledger.lines() if line["pid"] == frozen.pid])
    others = len(ledger.wait_for_lines(1, pid=killed.pid))
    ledger.wait_for_lines(others + 10, pid=killed.pid)
    assert len([line for line in ledger.lines() if line["pid"] == frozen.pid]) == before
    frozen.thaw()
    ledger.wait_for_lines(before + 1, pid=frozen.pid)

    killed.kill()
    assert killed.end() == -9
    frozen.stop()
    assert frozen.exit() == 0


def test_each_process_has_its_own_wall_clock(ledger: Ledger) -> None:
    ahead, right = ledger.start(None, shift_seconds=5), ledger.start(None, shift_seconds=0)
    assert is_ahead(ahead, 5)
    assert is_ahead(right, 0)
    right.shift(-3600)
    assert is_ahead(right, -3600)
    assert is_ahead(ahead, 5)


def is_ahead(process: LedgerProcess, seconds: int) -> bool:
    """Whether its clock is so far ahead of the one here, however long its answer takes. It is shifted in seconds."""
    before = time.time()
    told: float = process.ask("now")
    return before - 1 < told - seconds < time.time() + 1


# On a store that processes share.

FAST = {"name": "fast", "seconds": 0.2, "options": {"threaded": True}}
SLOW = {"name": "slow", "body_seconds": 600, "options": {"threaded": True}}


def test_processes_share_a_store_and_one_that_runs_no_loop_steers_them(ledger: Ledger, store_url: str) -> None:
    one, two, onlooker = (ledger.start(store_url, FAST, SLOW) for _ in range(3))
    ledger.run_together([one, two])
    ledger.wait_for_lines(10, task="fast", event="end")
    run = one.trigger("slow", note="Ada")
    (begun,) = ledger.wait_for_lines(1, run=run)

    assert onlooker.ask("cancel", run=run) is True
    ledger.wait_for_lines(1, run=run, event="end", raised="RunCancelled")
    one.stop()
    two.stop()

    lines = ledger.lines()
    assert begun["token"] > 0
    assert {line["pid"] for line in lines} <= {one.pid, two.pid}
    assert doubles(lines) == []
    assert onlooker.audit() == []
    assert [row["id"] for row in onlooker.runs("slow", "cancelled")] == [run]


@pytest.mark.parametrize(("point", "began"), [("claim:after", False), ("finish:before", True)])
def test_a_process_is_killed_at_a_point(ledger: Ledger, store_url: str, point: str, began: bool) -> None:
    process = ledger.start(store_url, FAST, kill_at=(point, 1))
    process.run_soon()
    assert process.end() == -9
    assert [line["event"] for line in ledger.lines()] == (["begin", "end"] if began else [])


def test_a_process_is_frozen_at_a_point_and_goes_on_from_there(ledger: Ledger, store_url: str) -> None:
    process = ledger.start(store_url, FAST, pause_at=("claim:after", 1))
    process.run_soon()
    process.wait_until_frozen()
    assert ledger.lines() == []
    process.thaw()
    process.answer()
    ledger.wait_for_lines(3, event="end")
    process.stop()
    assert process.audit() == []


def test_processes_go_on_after_postgresql_was_cut_off(ledger: Ledger, proxy: Proxy) -> None:
    process = ledger.start(proxy.url, FAST)
    process.run()
    ledger.wait_for_lines(3, event="end")
    proxy.cut()
    known = len(ledger.wait_for_lines(1, event="end"))
    proxy.mend()
    known = len(ledger.wait_for_lines(known + 3, event="end"))
    proxy.refuse()
    proxy.mend()
    ledger.wait_for_lines(known + 3, event="end")
    process.stop()
    assert doubles(ledger.lines()) == []
    assert process.audit() == []
