"""The commands that show all of a task, its log and the journal, that end runs, change entries and prune."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result
from databases import sqlite_url

from task import Run, RunState, TaskManager, cron, current_run, every
from task.cli import history, make_group
from task.cli.main import main_group
from task.testing import VirtualClock

UTC = datetime.UTC
NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=UTC)

#: How long what will happen may take. Seconds.
LIMIT = 60.0

pytestmark = pytest.mark.usefixtures("utc")


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone of this process."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def cli(manager: TaskManager, *words: str, typed: str | None = None) -> Result:
    """What a command ends with."""
    return CliRunner().invoke(make_group(lambda _: manager, name="tasks"), words, input=typed)


def shown(result: Result) -> list[str]:
    """The lines on stdout of a command that ended well."""
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def told(result: Result) -> object:
    """The JSON on stdout of a command that ended well."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


# All of one task.


def test_show_tells_everything_of_a_task(manager: TaskManager, clock: VirtualClock) -> None:
    def report(region: str = "EU", *, pages: int, token: str = "s3cret") -> None:
        """Adds up the day.

        And writes it down.
        """
        if clock.now().minute == 20:
            raise ValueError("no disk")

    manager.add(
        report,
        [every(10).minutes, cron("30 2 * * *", tz="Europe/Amsterdam")],
        name="report",
        tags=["money", "daily"],
        parameters={"pages": 3},
        redact=["token"],
        timeout=90,
        threaded=True,
    )
    with manager:
        clock.advance(minutes=20, seconds=5)
        manager.disable("report", "moving house", by="ada")
        lines = shown(cli(manager, "show", "report"))
    [failed, succeeded] = manager.runs("report")

    assert lines[:-1] == [
        "report",
        "  Adds up the day.",
        "",
        "  And writes it down.",
        "",
        "  Defined at   tests/unit/test_cli_commands.py:65",
        "  Tags         money, daily",
        "  Schedule     every 10 minutes",
        "  Schedule     every day at 02:30 in Europe/Amsterdam  (30 2 * * *)",
        "  Switch       off: moving house (by ada)",
        "  Now          disabled",
        "  Next run     12:30:00 (in 9 min)",
        "  Last run     failed 5.0 s ago",
        "  Counts       1 succeeded, 1 failed",
        "  Takes        0 ms at the median, 0 ms at the 95th percentile",
        "  Starts late  0 ms at the median, 0 ms at the 95th percentile",
        "",
        "Parameters",
        "  NAME    TYPE  DEFAULT",
        "  region  str   'EU'",
        "  pages   int   3",
        "  token   str   (secret)",
        "",
        "Options",
        "  Runs on     the pool of threads",
        "  Time limit  1 min 30 s for each attempt",
        "  At once     one run; one that comes meanwhile is skipped",
        "  Secrets     token",
        "",
        "Last runs",
        f"  WHEN      STATE      TOOK  WHY       ID{' ' * 36}DETAIL",
        f"  12:20:00  failed     0 ms  schedule  {failed.id}  ValueError: no disk",
        f"  12:10:00  succeeded  0 ms  schedule  {succeeded.id}",
        "",
        "Next slots",
        "  SLOT                      WHEN",
        "  Mon 4 May 2026 12:30 UTC  in 9 min",
        "  Mon 4 May 2026 12:40 UTC  in 19 min",
        "  Mon 4 May 2026 12:50 UTC  in 29 min",
        "  Mon 4 May 2026 13:00 UTC  in 39 min",
        "  Mon 4 May 2026 13:10 UTC  in 49 min",
        "",
        "Problems",
        "  failing: Its last run failed: ValueError: no disk",
    ]
    assert lines[-1] == "    Read the traceback and the log of its run; run it again when the cause is gone."


def test_show_as_json_has_keys_that_stay(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda page=1: None, every(10).minutes, name="sample")
    with manager:
        clock.advance(minutes=10)
        found = told(cli(manager, "show", "sample", "--json"))

    assert isinstance(found, dict)
    assert {"name", "schedules", "enabled", "doing", "next_run", "problems", "place"} <= found.keys()
    assert found["parameters"] == [{"name": "page", "kind": "", "default": "1", "required": False, "secret": False}]
    assert found["options"][0] == {"name": "Runs on", "text": "the serial worker, one after another"}
    assert found["statistics"]["counts"] == {"succeeded": 1}
    assert [run["state"] for run in found["last_runs"]] == ["succeeded"]
    assert [slot["at"] for slot in found["next_slots"]][:2] == [
        "2026-05-04T12:20:00+00:00",
        "2026-05-04T12:30:00+00:00",
    ]


def test_show_tells_whose_body_a_recurring_entry_runs(manager: TaskManager) -> None:
    manager.add(lambda: None, name="report")
    manager.recurring.add("nightly", task="report", schedule="every day at 02:00")
    assert "Runs the task 'report', as a recurring entry" in [
        " ".join(line.split()) for line in shown(cli(manager, "show", "nightly"))
    ]


# The history.


def test_runs_between_two_moments_of_one_parent_and_page_by_page(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: manager.trigger("child"), name="parent", threaded=True)
    manager.add(lambda: None, every(1).minutes, name="child")
    with manager:
        parent = manager.trigger("parent")
        clock.advance(minutes=5)
        of_parent = told(cli(manager, "runs", "--parent", parent.id, "--json"))
        between = told(cli(manager, "runs", "--since", "2026-05-04T12:02", "--until", "1m", "--json"))
        first = cli(manager, "runs", "--task", "child", "--limit", "4", "--json")
        cursor = first.stderr.removeprefix("There are older ones: --cursor ").strip()
        rest = cli(manager, "runs", "--task", "child", "--limit", "4", "--cursor", cursor, "--json")

    assert isinstance(of_parent, list)
    assert isinstance(between, list)
    assert [run["task"] for run in of_parent] == ["child"]
    assert [run["slot"][11:16] for run in between] == ["12:03", "12:02"]
    assert (len(json.loads(first.stdout)), len(json.loads(rest.stdout)), rest.stderr) == (4, 2, "")


def test_more_runs_than_a_page_of_the_store_are_told_at_once(
    manager: TaskManager, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "PAGE", 4)
    manager.add(lambda: None, every(1).seconds, name="sample")
    with manager:
        clock.advance(seconds=12)
        found = told(cli(manager, "runs", "--limit", "10", "--json"))

    assert isinstance(found, list)
    assert [run["slot"][17:19] for run in found] == ["12", "11", "10", "09", "08", "07", "06", "05", "04", "03"]


def test_log_tells_the_lines_the_error_and_the_outcome(manager: TaskManager) -> None:
    def fail() -> None:
        current_run().logger.info("begun")
        raise ValueError("no disk")

    manager.add(fail, name="fail")
    with manager:
        run = manager.trigger("fail")
        run.wait(5)
    lines = shown(cli(manager, "log", run.id))
    newest = shown(cli(manager, "log", "fail"))
    as_json = told(cli(manager, "log", run.id, "--json"))

    assert lines == newest
    assert lines[0] == "12:00:00 INFO task.run: begun"
    assert lines[-2:] == ["ValueError: no disk", f"fail failed after 0 ms ({run.id}): ValueError: no disk"]
    assert isinstance(as_json, dict)
    assert (as_json["state"], as_json["log"][0]["message"], as_json["log_dropped"]) == ("failed", "begun", 0)
    assert as_json["traceback"].endswith("ValueError: no disk")


def test_log_of_a_task_is_that_of_a_body_and_not_of_the_slots_skipped_since(
    manager: TaskManager, clock: VirtualClock
) -> None:
    sample = manager.add(lambda: None, every().minute, name="sample")
    with manager:
        sample.trigger().wait(5)
        sample.disable()
        clock.advance(minutes=3)
    assert shown(cli(manager, "log", "sample"))[-1].startswith("sample succeeded after ")


def test_a_task_is_not_taken_for_a_run_to_cancel(manager: TaskManager) -> None:
    manager.add(lambda: None, name="sample")
    ended = cli(manager, "cancel", "sample")
    assert ended.exit_code == 2
    assert "'sample' is a task, not a run: 'runs --task sample --state running' has the ids" in ended.stderr


@pytest.mark.parametrize(("fails", "code"), [(False, 0), (True, 1)])
def test_log_follows_a_run_until_it_ends_and_ends_as_it_does(fails: bool, code: int) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def body() -> None:
        current_run().logger.info("first")
        begun.set()
        assert go_on.wait(LIMIT)
        current_run().logger.info("second")
        if fails:
            raise ValueError("no disk")

    with TaskManager([]) as manager:
        manager.add(body, name="sample", threaded=True)
        run = manager.trigger("sample")
        assert begun.wait(LIMIT)
        threading.Timer(0.1, go_on.set).start()
        followed = cli(manager, "log", run.id, "--follow")

    assert followed.exit_code == code
    assert [line for line in followed.stdout.splitlines() if "INFO" in line][-1].endswith("task.run: second")
    assert len([line for line in followed.stdout.splitlines() if "first" in line]) == 1


def test_who_stops_following_leaves_the_run_to_itself(manager: TaskManager, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    manager.add(lambda: None, name="sample")
    with manager:
        run = manager.trigger("sample")
        with monkeypatch.context() as patch:
            patch.setattr(Run, "wait", interrupt)
            followed = cli(manager, "log", run.id, "-f")

    assert (followed.exit_code, followed.stderr) == (130, f"Nobody waits for run {run.id} any more; it goes on.\n")


def test_the_journal_tells_who_did_what(manager: TaskManager) -> None:
    manager.add(lambda: None, name="sample")
    manager.add(lambda: None, name="other")
    manager.disable("sample", "moving house", by="ada")
    manager.enable("other", by="bob")

    assert [line.split() for line in shown(cli(manager, "journal"))] == [
        ["WHEN", "WHO", "WHAT", "TASK", "NOTE"],
        ["12:00:00", "bob", "enabled", "other"],
        ["12:00:00", "ada", "disabled", "sample", "moving", "house"],
    ]
    assert [entry["who"] for entry in json.loads(cli(manager, "journal", "--task", "sample", "--json").stdout)] == [
        "ada"
    ]


# The end of a run.


def test_cancel_ends_a_run_that_waits_and_asks_one_that_runs() -> None:
    begun = threading.Event()

    def body() -> None:
        begun.set()
        while not current_run().is_cancelled():
            time.sleep(0.01)
        current_run().check_cancelled()

    with TaskManager([]) as manager:
        manager.add(body, name="sample", max_concurrent=2)
        running, waiting = manager.trigger("sample"), manager.trigger("sample")
        assert begun.wait(LIMIT)
        ended = cli(manager, "cancel", waiting.id, "--reason", "wrong region")
        asked = cli(manager, "cancel", running.id)
        assert running.wait(LIMIT)
        again = cli(manager, "cancel", running.id)

    assert ended.stdout == f"sample cancelled ({waiting.id}): wrong region\n"
    assert asked.stdout.startswith("sample ")
    assert running.state is RunState.CANCELLED
    assert (again.exit_code, again.stderr) == (
        2,
        f"Error: Run {running.id} of task 'sample' has ended already: cancelled.\n",
    )


# Slots in another zone.


def test_next_shows_slots_in_a_zone_and_reads_words_in_it(manager: TaskManager) -> None:
    manager.add(lambda: None, cron("0 2 * * *", tz="UTC"), name="night")
    with manager:
        of_task = shown(cli(manager, "next", "night", "-n", "1", "--tz", "America/New_York"))
    of_words = shown(cli(manager, "next", "0 2 * * *", "-n", "1", "--tz", "Europe/Amsterdam"))
    has_its_own = shown(cli(manager, "next", "0 2 * * * in UTC", "-n", "1", "--tz", "Europe/Amsterdam"))
    in_no_zone = shown(cli(manager, "next", "every 10 minutes", "-n", "1", "--tz", "Europe/Amsterdam"))
    unknown = cli(manager, "next", "night", "--tz", "Europe/Amsterdm")

    assert of_task[1] == "Mon 4 May 2026 22:00 EDT  in 14 h"
    assert of_words[1] == "Tue 5 May 2026 02:00 CEST  in 12 h"
    assert has_its_own[1] == "Tue 5 May 2026 04:00 CEST  in 14 h"
    assert in_no_zone[1] == "Mon 4 May 2026 14:10 CEST  in 10 min"
    assert unknown.exit_code == 2
    assert "Europe/Amsterdam" in unknown.stderr


# Keys that scripts rely on.


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (
            ["list"],
            "by consecutive_failures description doing enabled entry_of failures last message name "
            "next_run note p50_duration p50_lateness p95_duration p95_lateness problems progress run_id runs schedules "
            "skips tags until",
        ),
        (["next", "sample"], "at clock_change duration local task"),
        (["journal"], "at note task what who"),
        (["enable", "sample"], "enabled name note until"),
        (["recurring", "delete", "nightly"], "deleted name"),
        (
            ["recurring", "list"],
            "consecutive_failures created_at enabled failures max_concurrent name next_run note parameters problem "
            "runs schedule task until updated_at",
        ),
    ],
)
def test_the_keys_of_json_stay(words: list[str], keys: str, manager: TaskManager) -> None:
    manager.add(lambda: None, every(10).minutes, name="sample")
    manager.recurring.add("nightly", task="sample")

    found = told(cli(manager, *words, "--json"))

    one = found[0] if isinstance(found, list) else found
    assert isinstance(one, dict)
    assert sorted(one) == keys.split()


# Recurring entries.


def test_an_entry_is_made_changed_switched_run_and_deleted(manager: TaskManager) -> None:
    seen: list[tuple[str, int]] = []

    def report(region: str = "US", pages: int = 1) -> None:
        seen.append((region, pages))

    manager.add(report, name="report")
    words = ("recurring", "create", "EU nightly", "--task", "report", "--schedule", "0 2 * * *", "region=EU", "pages=3")
    made = shown(cli(manager, *words))
    changed = told(cli(manager, "recurring", "change", "EU nightly", "pages=20", "--drop", "region", "--json"))
    off = shown(cli(manager, "recurring", "disable", "EU nightly", "--note", "later"))
    listed = shown(cli(manager, "recurring", "list"))
    on = told(cli(manager, "recurring", "enable", "EU nightly", "--json"))
    with manager:
        ran = cli(manager, "recurring", "trigger", "EU nightly", "region=CH")
    timeless = told(cli(manager, "recurring", "change", "EU nightly", "--schedule", "none", "--json"))
    shown_as_json = told(cli(manager, "recurring", "show", "EU nightly", "--json"))
    deleted = cli(manager, "recurring", "delete", "EU nightly")

    assert made[:5] == [
        "Name        EU nightly",
        "Task        report",
        "Schedule    0 2 * * *",
        "  pages     3",
        "  region    EU",
    ]
    assert isinstance(changed, dict)
    assert changed["parameters"] == {"pages": 20}
    assert off == ["EU nightly is off: later"]
    assert listed[1].split("  ") == ["EU nightly", "report", "0 2 * * *", "pages=20", "", "off: later", "0"]
    assert on == {"name": "EU nightly", "enabled": True, "note": None, "until": None}
    assert (ran.exit_code, seen) == (0, [("CH", 20)])
    assert isinstance(timeless, dict)
    assert (timeless["schedule"], timeless) == (None, shown_as_json)
    assert deleted.stdout == "EU nightly is deleted\n"
    assert manager.recurring.list() == []


def test_an_entry_whose_task_is_gone_says_that_it_is_not_run_here(manager: TaskManager) -> None:
    manager.add(lambda: None, name="report")
    manager.add(lambda: None, name="other")
    manager.recurring.add("nightly", task="report")
    manager.remove("report")

    listed, one = shown(cli(manager, "recurring", "list")), shown(cli(manager, "recurring", "show", "nightly"))

    assert "on (not run here)" in listed[1]
    assert one[-1].startswith("Problem     its task 'report' is not known here.")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["create", "nightly", "--task", "reprot"], "Recurring entry 'nightly': its task 'reprot' is not known here."),
        (
            ["create", "nightly", "--task", "report", "--schedule", "evry day"],
            "Recurring entry 'nightly': The",
        ),
        (["change", "there"], "Say what is to change: --schedule, --task, --max-concurrent, KEY=VALUE or --drop KEY."),
        (["change", "there", "--drop", "region"], "Recurring entry 'there' passes no parameter 'region' to drop."),
        (["change", "their", "pages=1"], "There is no recurring entry 'their'. Did you mean 'there'?"),
        (["delete", "their"], "There is no recurring entry 'their'."),
        (["chnge"], "There is no command 'chnge'. Did you mean 'change'"),
        (["list", "--jsno"], "No such option"),
    ],
)
def test_what_cannot_be_done_with_an_entry_is_told_in_one_line(
    words: list[str], error: str, manager: TaskManager
) -> None:
    manager.add(lambda: None, name="report")
    manager.recurring.add("there", task="report")

    ended = cli(manager, "recurring", *words)

    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"Error: {error}")
    assert ended.stderr.count("\n") == 1


# Pruning.


def kept(manager: TaskManager, clock: VirtualClock) -> None:
    """Six runs of one task, five of another, a minute apart."""
    manager.add(lambda: None, every(1).minutes, name="often")
    manager.add(lambda: None, every(1).minutes, name="failing", parameters=None)
    with manager:
        clock.advance(minutes=6)


def test_prune_drops_by_number_and_by_age_and_tells_what(store_url: str, clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock, store=store_url)
    kept(manager, clock)

    would = shown(cli(manager, "prune", "--keep-runs", "4", "--dry-run"))
    still = len(manager.runs())
    by_number = told(cli(manager, "prune", "--keep-runs", "4", "--json"))
    clock.advance(minutes=1)
    by_age = told(cli(manager, "prune", "--older-than", "3m", "--json"))
    nothing = shown(cli(manager, "prune", "--keep-days", "1"))

    assert would == ["TASK     ROWS", "failing  2", "often    2", "4 rows would be dropped"]
    assert still == 12
    assert by_number == {"dry_run": False, "rows": 4, "tasks": {"failing": 2, "often": 2}}
    assert by_age == {"dry_run": False, "rows": 2, "tasks": {"failing": 1, "often": 1}}
    assert nothing == ["No rows dropped"]
    assert [run.slot.minute for run in manager.runs("often") if run.slot] == [6, 5, 4]
    assert [entry.what for entry in manager.journal()] == ["pruned", "pruned"]


def test_prune_asks_on_a_terminal(tmp_path: pathlib.Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = TaskManager([], clock=clock, store=sqlite_url(tmp_path))
    kept(manager, clock)
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)

    no = cli(manager, "prune", "--keep-runs", "4", typed="n\n")
    left = len(manager.runs())
    yes = cli(manager, "prune", "--keep-runs", "4", typed="y\n")
    monkeypatch.undo()

    assert "Drop 4 rows? [y/N]: " in no.output
    assert (no.exit_code, left) == (1, 12)
    assert (yes.exit_code, len(manager.runs())) == (0, 8)
    manager.store.close()


def test_a_history_in_memory_bounds_itself(manager: TaskManager) -> None:
    ended = cli(manager, "prune", "--keep-runs", "4")
    assert ended.exit_code == 2
    assert ended.stderr.startswith("Error: The history is in the memory of this process, which keeps it bounded:")


def test_prune_keeps_what_runs_and_the_last_outcome(tmp_path: pathlib.Path, clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock, store=sqlite_url(tmp_path))
    kept(manager, clock)
    clock.advance(hours=1)

    cli(manager, "prune", "--older-than", "1m")

    assert [run.slot.minute for run in manager.runs("often") if run.slot] == [6]
    manager.store.close()


# What the shell completes, by the protocol of click.


def completed(folder: pathlib.Path, *words: str, **settings: str) -> list[str]:
    """What bash is told for the last of these words."""
    done = CliRunner(
        env={
            "_SCHEDULE_TASKS_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(["schedule-tasks", *words]),
            "COMP_CWORD": str(len(words)),
            **settings,
        }
    ).invoke(main_group(), prog_name="schedule-tasks")
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def made_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of a store on which another process has put its tasks."""
    folder, clock = tmp_path_factory.mktemp("elsewhere"), VirtualClock(NOON)
    with TaskManager([], clock=clock, store=sqlite_url(folder)) as manager:
        manager.add(lambda: None, every(10).minutes, name="report", tags=["money"])
        manager.add(lambda: None, name="rebuild")
        manager.recurring.add("nightly", task="report", schedule="every day at 02:00 in Europe/Amsterdam")
        clock.advance(minutes=10)
        manager.recurring.add("gone", task="report")
        manager.recurring.remove("gone")
    manager.store.close()
    return folder


@pytest.fixture
def on_record(made_elsewhere: pathlib.Path, tmp_path: pathlib.Path, clock: VirtualClock) -> str:
    """The address of such a store, ten minutes later."""
    shutil.copytree(made_elsewhere, tmp_path, dirs_exist_ok=True)
    clock.advance(minutes=10)
    return sqlite_url(tmp_path)


def test_the_shell_completes_names_runs_states_and_tags(
    on_record: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TASK_MODULE", "TASK_STORE", "TASK_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    run = TaskManager([], store=on_record).runs("report")[0]
    named = ("--store", on_record)

    assert completed(tmp_path, *named, "trigger", "re") == ["rebuild", "report"]
    assert completed(tmp_path, "show", "n", TASK_STORE=on_record) == ["nightly"]
    assert completed(tmp_path, *named, "recurring", "delete", "") == ["nightly"]
    assert completed(tmp_path, *named, "log", run.id[:8]) == [run.id]
    assert completed(tmp_path, *named, "runs", "--state", "fa") == ["failed"]
    assert completed(tmp_path, *named, "runs", "--tag", "mo") == ["money"]
    assert completed(tmp_path, *named, "rec") == ["recurring"]
    assert completed(tmp_path, "show", "re") == [""], "nobody says which tasks are meant"


def test_what_a_module_prints_is_no_completion(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "stand_that_prints.py").write_text(
        "from task import task\nprint('plain,hello')\n\n@task\ndef squeeze(): ...\n"
    )
    assert completed(tmp_path, "-m", str(tmp_path / "stand_that_prints.py"), "trigger", "") == ["squeeze"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_gives_the_script_of_a_shell(shell: str) -> None:
    ended = CliRunner().invoke(main_group(), ["completion", shell], prog_name="schedule-tasks")

    assert ended.exit_code == 0
    assert f"_SCHEDULE_TASKS_COMPLETE={shell}_complete" in ended.stdout
    assert "schedule-tasks" in ended.stdout


# A store of another process, without its code.


@pytest.fixture
def without_code(on_record: str, clock: VirtualClock) -> Iterator[TaskManager]:
    """A manager that has the store, and no tasks."""
    manager = TaskManager([], clock=clock, store=on_record)
    yield manager
    manager.store.close()


def test_without_its_code_a_task_is_listed_as_it_is_on_record(without_code: TaskManager) -> None:
    listed = [" ".join(line.split()) for line in shown(cli(without_code, "list"))]
    tagged = told(cli(without_code, "list", "--tag", "money", "--json"))
    all_of_it = shown(cli(without_code, "show", "report"))
    ahead = shown(cli(without_code, "next", "nightly", "-n", "1"))

    assert listed[1:] == [
        "nightly every day at 02:00 in Europe/Amsterdam on in 11 h 50 min 2026-05-05 00:00:00",
        "rebuild on",
        "report every 10 minutes on in 10 min 12:20:00 succeeded now 0 ms",
    ]
    assert isinstance(tagged, list)
    assert [(card["name"], card["tags"]) for card in tagged] == [("nightly", ["money"]), ("report", ["money"])]
    assert "  Schedule     every 10 minutes" in all_of_it
    assert "  Next run     12:20:00 (in 10 min)" in all_of_it
    assert ahead[1] == "Tue 5 May 2026 02:00 CEST  in 11 h 50 min"


def test_without_its_code_a_task_is_steered(without_code: TaskManager, clock: VirtualClock) -> None:
    off = shown(cli(without_code, "disable", "report", "--note", "moving house"))
    seen = [" ".join(line.split()) for line in shown(cli(without_code, "list"))]
    entry = shown(cli(without_code, "disable", "nightly"))
    on = shown(cli(without_code, "enable", "report"))
    log = shown(cli(without_code, "log", "report"))

    assert off == ["report is off: moving house"]
    assert "report every 10 minutes off: moving house succeeded now 0 ms" in seen
    assert (entry, on) == (["nightly is off"], ["report is on"])
    assert log[-1].startswith("report succeeded after 0 ms (")


def test_without_its_code_a_task_is_not_triggered(without_code: TaskManager) -> None:
    for words in (["trigger", "report"], ["trigger", "report", "--here"], ["recurring", "trigger", "nightly"]):
        refused = cli(without_code, *words)
        assert refused.exit_code == 2
        assert refused.stderr == (
            f"Error: Task {words[-1] if words[-1] != '--here' else 'report'!r} is on record, but its code is not here: "
            "what it takes and how it is guarded cannot be known. Name the module that has it: --module MODULE.\n"
        )
    assert len(without_code.runs()) == 1


def test_what_was_never_on_record_is_unknown(without_code: TaskManager) -> None:
    for words in (["show", "reprot"], ["disable", "reprot"], ["enable", "reprot"]):
        refused = cli(without_code, *words)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert refused.stderr == "Error: There is no task 'reprot' on record. Did you mean 'report'?\n"


def test_a_run_elsewhere_is_cancelled_without_the_code(
    on_record: str, without_code: TaskManager, wait_for: Callable[[Callable[[], bool]], None]
) -> None:
    begun = threading.Event()

    def body() -> None:
        begun.set()
        while not current_run().is_cancelled():
            time.sleep(0.01)
        current_run().check_cancelled()

    with TaskManager([], store=on_record) as other:
        other.add(body, name="sample", threaded=True)
        run = other.trigger("sample")
        assert begun.wait(LIMIT)
        asked = cli(without_code, "cancel", run.id, "--json")
        assert run.wait(LIMIT)

    assert told(asked)
    assert run.state is RunState.CANCELLED
    other.store.close()


def test_what_a_program_did_last_is_in_the_journal_when_it_has_exited(tmp_path: pathlib.Path) -> None:
    url = sqlite_url(tmp_path)
    (tmp_path / "stand_that_exits.py").write_text("from task import task\n\n@task\ndef squeeze(): ...\n")
    words = ["-m", "stand_that_exits", "--store", url, "trigger", "squeeze", "--no-wait"]
    ended = subprocess.run(
        [sys.executable, "-m", "task", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    looking = TaskManager([], store=url)

    assert ended.returncode == 0, ended.stderr
    assert [entry.what for entry in looking.journal()] == ["triggered"]
    looking.runs()[0].cancel()
    looking.store.close()


def test_ctrl_c_ends_a_command_as_shells_have_it(manager: TaskManager) -> None:
    def interrupt(_: object) -> TaskManager:
        raise KeyboardInterrupt

    ended = CliRunner().invoke(make_group(interrupt, name="tasks"), ["list"])

    assert (ended.exit_code, ended.output) == (130, "")


def test_where_no_process_runs_it_list_and_show_tell_the_same_next_run_as_next(
    manager: TaskManager, clock: VirtualClock
) -> None:
    manager.add(lambda: None, cron("30 2 * * *", tz="UTC"), name="report")
    manager.add(lambda: None, cron("30 2 * * *", tz="UTC"), name="off", disabled=True)
    manager.add(lambda: None, name="by hand")

    assert shown(cli(manager, "next", "report", "-n", "1"))[1] == "Tue 5 May 2026 02:30 UTC  in 14 h 30 min"
    assert [line.split("  ")[0] for line in shown(cli(manager, "list")) if "in 14 h 30 min" in line] == ["report"]
    assert "  Next run    2026-05-05 02:30:00 (in 14 h 30 min)" in shown(cli(manager, "show", "report"))
    told_of = told(cli(manager, "show", "report", "--json"))
    assert isinstance(told_of, dict)
    assert told_of["next_run"] == "2026-05-05T02:30:00+00:00"


def test_the_log_of_a_task_that_has_not_run_says_so(manager: TaskManager) -> None:
    manager.add(lambda: None, every().hour, name="report")

    ended = cli(manager, "log", "report")

    assert (ended.exit_code, ended.stderr) == (2, "Error: Task 'report' has no run on record.\n")


def test_what_a_body_prints_here_is_not_in_the_json_of_its_run(manager: TaskManager) -> None:
    manager.add(lambda: print("printed"), name="report")

    ended = cli(manager, "trigger", "report", "--here", "--json")

    run = told(ended)
    assert isinstance(run, dict)
    assert (run["task"], run["state"]) == ("report", "succeeded")
    assert "printed" in ended.stderr


def test_a_name_that_is_nearly_one_on_record_is_told_where_no_code_is(tmp_path: pathlib.Path) -> None:
    url = sqlite_url(tmp_path)
    with TaskManager([], store=url) as manager:
        manager.add(lambda: None, every().hour, name="broken")
    manager.store.close()
    looking = TaskManager([], store=url)

    told_of = [cli(looking, *line).stderr for line in (["runs", "--task", "brokn"], ["journal", "--task", "brokn"])]
    unlike = cli(looking, "recurring", "show", "x").stderr

    assert told_of == ["Error: There is no task 'brokn' on record. Did you mean 'broken'?\n"] * 2
    assert unlike == "Error: There is no recurring entry 'x'.\n"
    looking.store.close()
