"""The commands, on a manager: what they show, what they do, and how they end."""

from __future__ import annotations

import datetime
import json
import logging
import pathlib
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result
from databases import sqlite_url

from task import Run, TaskManager, cron, current_run, every, once
from task.cli import make_group, running
from task.cli.tables import table
from task.testing import VirtualClock

UTC = datetime.UTC

pytestmark = pytest.mark.usefixtures("utc")


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone of this process."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def cli(manager: TaskManager, *words: str) -> Result:
    """What a command ends with."""
    return CliRunner().invoke(make_group(lambda _: manager, name="tasks"), words)


def shown(result: Result) -> list[str]:
    """The lines on stdout of a command that ended well."""
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


# Looking.


def test_list_shows_schedule_switch_next_run_and_last_outcome(manager: TaskManager, clock: VirtualClock) -> None:
    def fail() -> None:
        raise ValueError("no")

    manager.add(fail, cron("0 */6 * * *", tz="UTC"), name="fail")
    manager.add(lambda: clock.sleep(3), every(10).minutes, name="sample", threaded=True)
    manager.add(lambda: None, cron("0 3 * * *"), name="tidy")
    with manager:
        clock.advance(hours=6, minutes=10, seconds=5)
        manager["tidy"].disable("not now", datetime.datetime(2026, 5, 4, 20, tzinfo=UTC))
        lines = shown(cli(manager, "list"))

    assert [[part.strip() for part in re.split("  +", line)] for line in lines] == [
        ["NAME", "SCHEDULE", "SWITCH", "NEXT RUN", "AT", "LAST RUN", "TOOK"],
        ["fail", "every 6 hours in UTC", "on", "in 5 h 49 min", "2026-05-05 00:00:00", "failed 10 min ago", "0 ms"],
        ["sample", "every 10 minutes", "on", "in 9 min", "18:20:00", "succeeded 2.0 s ago", "3.0 s"],
        ["tidy", "every day at 03:00", "off until 20:00:00: not now"],
    ]
    assert lines[2].index("18:20:00") == lines[1].index("2026-05-05") == lines[0].index("AT")


def test_list_names_the_zone_of_a_schedule_whose_time_of_day_is_not_that_of_the_process(manager: TaskManager) -> None:
    manager.add(lambda: None, cron("30 3 * * *", tz="Europe/Amsterdam"), name="night")
    assert "every day at 03:30 in Europe/Amsterdam  on" in shown(cli(manager, "list"))[1]


def test_list_knows_tags_and_recurring_entries(manager: TaskManager) -> None:
    manager.add(lambda: None, name="sample", tags=["a"])
    manager.add(lambda: None, name="other")
    manager.recurring.add("nightly", task="sample", schedule="every day at 02:00")

    assert [line.split()[0] for line in shown(cli(manager, "list"))] == ["NAME", "nightly", "other", "sample"]
    assert "other" not in cli(manager, "list", "--tag", "a").output


def test_list_as_json_tells_all_of_each_task(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, every(10).minutes, name="sample")
    with manager:
        clock.advance(minutes=10)
        [told] = json.loads(cli(manager, "list", "--json").stdout)

    assert (told["name"], told["enabled"], told["runs"]) == ("sample", True, 1)
    assert told["next_run"] == "2026-05-04T12:20:00+00:00"
    assert told["last"]["state"] == "succeeded"
    assert told["schedules"] == [{"text": "every 10 minutes", "source": "every 10 minutes", "zone": None}]


def test_runs_are_filtered_and_newest_first(manager: TaskManager, clock: VirtualClock) -> None:
    def sample() -> None:
        if clock.now().minute == 3:
            raise ValueError("no disk")

    manager.add(sample, every(1).minutes, name="sample")
    with manager:
        clock.advance(minutes=5)
        failed = shown(cli(manager, "runs", "--state", "failed"))
        newest = json.loads(cli(manager, "runs", "--task", "sample", "--limit", "2", "--json").stdout)
        recent = shown(cli(manager, "runs", "--since", "90s"))
        since_noon = shown(cli(manager, "runs", "--since", "2026-05-04T12:04"))

    assert failed[0].split() == ["WHEN", "TASK", "STATE", "TOOK", "WHY", "ID", "DETAIL"]
    assert failed[1].startswith("12:03:00  sample  failed  0 ms  schedule  ")
    assert failed[1].endswith("  ValueError: no disk")
    assert [run["slot"] for run in newest] == ["2026-05-04T12:05:00+00:00", "2026-05-04T12:04:00+00:00"]
    assert len(recent) == len(since_noon) == 1 + 2


def test_next_shows_the_slots_of_a_task_and_of_words(manager: TaskManager) -> None:
    manager.add(lambda: None, cron("0 2 * * *", tz="UTC"), name="night")
    expected = ["Tue 5 May 2026 02:00 UTC  in 14 h", "Wed 6 May 2026 02:00 UTC  in 1 d 14 h"]
    with manager:
        of_task = shown(cli(manager, "next", "night", "-n", "2"))
    of_words = shown(cli(manager, "next", "every day at 02:00 in UTC", "-n", "2"))
    nobody_runs = shown(cli(manager, "next", "night", "-n", "2"))

    assert of_task[1:] == of_words[1:] == nobody_runs[1:] == expected


def test_next_says_so_where_no_slot_is_to_come(manager: TaskManager) -> None:
    manager.add(lambda: None, name="by hand")
    told = cli(manager, "next", "by hand")
    assert (told.exit_code, told.stdout) == (0, "")
    assert told.stderr == "by hand has no slot to come: it has no schedule, or that has ended.\n"
    assert json.loads(cli(manager, "next", "by hand", "--json").stdout) == []


def test_next_marks_the_nights_in_which_the_clock_changes(manager: TaskManager) -> None:
    lines = shown(cli(manager, "next", "30 2 * * 0 in Europe/Amsterdam", "-n", "30"))
    changes = [line for line in lines if "clock" in line]

    assert changes == ["Sun 25 Oct 2026 02:30 CEST  in 173 d 12 h  the clock repeats this time"]


def test_next_merges_the_schedules_of_a_task(manager: TaskManager) -> None:
    noon = datetime.datetime(2026, 5, 4, 14, tzinfo=UTC)
    manager.add(lambda: None, [every(1).hours, once(noon)], name="sample")
    with manager:
        told = json.loads(cli(manager, "next", "sample", "-n", "3", "--json").stdout)

    assert [slot["at"][11:16] for slot in told] == ["13:00", "14:00", "15:00"]


# Switching.


def test_a_switch_is_turned_with_a_note_and_an_end(manager: TaskManager) -> None:
    manager.add(lambda: None, name="sample")

    assert shown(cli(manager, "disable", "sample", "--note", "moving house", "--until", "2h")) == [
        "sample is off until 14:00:00: moving house"
    ]
    assert not manager["sample"].is_enable
    assert shown(cli(manager, "enable", "sample")) == ["sample is on"]
    assert manager["sample"].is_enable
    assert [entry.what for entry in manager.journal("sample")] == ["enabled", "disabled"]


def test_a_recurring_entry_whose_task_is_gone_is_switched_too(tmp_path: pathlib.Path, clock: VirtualClock) -> None:
    before = TaskManager([], store=sqlite_url(tmp_path), clock=clock)
    before.add(lambda: None, name="sample")
    before.recurring.add("nightly", task="sample", schedule="every day at 02:00")
    manager = TaskManager([], store=sqlite_url(tmp_path), clock=clock)

    assert json.loads(cli(manager, "disable", "nightly", "--json").stdout)["enabled"] is False
    assert not manager.recurring.get("nightly").enabled


# Running.


def test_run_waits_and_ends_as_the_run_does(manager: TaskManager) -> None:
    def sample(region: str, pages: int = 1, draft: bool = False) -> list[object]:
        return [region, pages, draft]

    manager.add(sample, name="sample")
    with manager:
        ended = cli(manager, "run", "sample", "region=EU", "pages=20", "draft=true")

    assert ended.exit_code == 0
    assert ended.stdout.startswith("sample succeeded after 0 ms (")
    assert ended.stdout.endswith('): ["EU", 20, true]\n')


@pytest.mark.parametrize(
    ("given", "value"),
    [("1", 1), ('"1"', "1"), ("null", None), ('{"a": [1]}', {"a": [1]}), ("", ""), ("NaN", "NaN"), ("a=b", "a=b")],
)
def test_a_value_is_json_where_it_can_be_read_so(given: str, value: object, manager: TaskManager) -> None:
    seen: list[object] = []
    manager.add(lambda value: seen.append(value), name="sample")
    with manager:
        cli(manager, "run", "sample", f"value={given}")

    assert seen == [value]


def test_what_does_not_succeed_has_its_own_exit_code(manager: TaskManager) -> None:
    def fail() -> None:
        raise ValueError("no disk")

    def stop() -> None:
        current_run().cancel("enough")
        current_run().check_cancelled()

    manager.add(fail, name="fail")
    manager.add(stop, name="stop")
    manager.add(lambda: None, name="off", disabled=True)
    with manager:
        failed, cancelled, skipped = (cli(manager, "run", name) for name in ("fail", "stop", "off"))

    assert (failed.exit_code, cancelled.exit_code, skipped.exit_code) == (1, 1, 3)
    assert failed.stdout.endswith("): ValueError: no disk\n")
    assert cancelled.stdout.endswith("): enough\n")
    assert skipped.stdout.endswith("): disabled\n")


def test_run_as_json_leaves_stdout_to_the_run(manager: TaskManager) -> None:
    def sample() -> None:
        current_run().logger.info("a line")
        current_run().update_progress(50, "half")

    manager.add(sample, name="sample")
    with manager:
        ended = cli(manager, "run", "sample", "--json")

    assert json.loads(ended.stdout)["state"] == "succeeded"
    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO task.run: a line\n 50 % half\n", ended.stderr)


@pytest.fixture
def worker(tmp_path: pathlib.Path) -> Iterator[Callable[[TaskManager], TaskManager]]:
    """Run a manager on the file; `elsewhere` is another one there, which has no loop."""
    running: list[TaskManager] = []

    def start(manager: TaskManager) -> TaskManager:
        running.append(manager)
        manager.run()
        return manager

    yield start
    for manager in running:
        manager.stop()
        manager.store.close()


@pytest.fixture
def elsewhere(tmp_path: pathlib.Path) -> Callable[[], TaskManager]:
    """A process on one file, with a task that waits until it is told to go on."""
    return lambda: TaskManager([], store=sqlite_url(tmp_path))


def test_a_run_in_another_process_is_watched_to_its_end(
    worker: Callable[[TaskManager], TaskManager], elsewhere: Callable[[], TaskManager]
) -> None:
    def sample(region: str) -> str:
        logging.getLogger("app").warning("begun")
        current_run().update_progress(40, "page 4")
        gone_on.wait(120)
        return region

    gone_on, asked = threading.Event(), elsewhere()
    for manager in (asked, worker_manager := elsewhere()):
        manager.add(sample, name="sample", threaded=True)
    worker(worker_manager)

    def told(text: str, err: bool = False) -> None:
        seen.append(text)
        if " 40 % page 4" in text:
            gone_on.set()

    seen: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running.click, "echo", told)
        patch.setattr(running, "PATIENCE", 60.0)
        ended = cli(asked, "run", "sample", "region=EU")

    assert ended.exit_code == 0
    assert asked.state == "stopped"
    assert [line.partition(" ")[2] for line in seen[:1]] == ["WARNING app: begun"]
    assert seen[1] == " 40 % page 4"
    assert click.unstyle(seen[2]).startswith("sample succeeded after ")
    assert seen[2].endswith(': "EU"')
    asked.store.close()


def test_a_run_that_nobody_takes_is_withdrawn_and_the_ways_out_are_named(
    elsewhere: Callable[[], TaskManager], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "PATIENCE", 0.01)
    manager = elsewhere()
    manager.add(lambda: None, name="sample")

    ended = cli(manager, "run", "sample")

    assert ended.exit_code == 2
    assert ended.stderr.startswith("Error: No process that runs 'sample' took the run within")
    assert "--here" in ended.stderr
    assert "--no-wait" in ended.stderr
    assert [run.reason for run in manager.runs("sample", "cancelled")] == ["no process took it"]
    manager.store.close()


def test_no_wait_leaves_the_run_to_the_next_process(elsewhere: Callable[[], TaskManager]) -> None:
    manager = elsewhere()
    manager.add(lambda: None, name="sample")

    ended = cli(manager, "run", "sample", "--no-wait")

    assert ended.exit_code == 0
    assert ended.stdout == f"sample queued ({manager.runs()[0].id})\n"
    manager.store.close()


def test_ctrl_c_leaves_the_run_to_itself(manager: TaskManager, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    manager.add(lambda: None, name="sample")
    with manager:
        with monkeypatch.context() as patch:
            patch.setattr(Run, "wait", interrupt)
            ended = cli(manager, "run", "sample")
        [run] = manager.runs("sample")

    assert ended.exit_code == 130
    assert ended.stderr == f"Nobody waits for run {run.id} any more; it goes on.\n"


def test_without_a_shared_store_another_process_cannot_run_it(manager: TaskManager) -> None:
    manager.add(lambda: None, name="sample")

    ended = cli(manager, "run", "sample")

    assert ended.exit_code == 2
    assert ended.stderr == (
        "Error: Task 'sample' cannot be run by another process, as the record of each is in its memory. Run it here "
        "with --here, or give the manager a store that processes share.\n"
    )


def test_here_the_body_runs_in_this_process_on_the_record_and_without_a_loop(
    elsewhere: Callable[[], TaskManager],
) -> None:
    async def wave(name: str, times: int = 1) -> str:
        logging.getLogger("app").warning("waving")
        return f"Hello, {name}" * times

    manager = elsewhere()
    manager.add(wave, name="wave", parameters={"name": "Ada"})

    ended = cli(manager, "run", "wave", "times=2", "--here")

    assert ended.exit_code == 0
    assert "WARNING app: waving" in ended.stdout
    assert ended.stdout.endswith(': "Hello, AdaHello, Ada"\n')
    assert manager.state == "stopped"
    assert [(run.trigger, run.state) for run in manager.runs("wave")] == [("call", "succeeded")]
    manager.store.close()


@pytest.mark.parametrize("error", [ValueError("no disk"), SystemExit(4)])
def test_here_a_body_that_fails_ends_the_command_with_1(error: BaseException, manager: TaskManager) -> None:
    def fail() -> None:
        raise error

    manager.add(fail, name="fail")

    ended = cli(manager, "run", "fail", "--here")

    assert ended.exit_code == 1
    assert ended.stdout.startswith("fail failed after ")


def test_here_ctrl_c_ends_the_body_on_the_record(manager: TaskManager) -> None:
    def press() -> None:
        raise KeyboardInterrupt

    manager.add(press, name="press")

    ended = cli(manager, "run", "press", "--here")

    assert ended.exit_code == 130
    assert ended.stderr == "The run was interrupted here.\n"
    assert [run.state for run in manager.runs("press")] == ["failed"]


def test_here_a_guard_refuses_as_everywhere(manager: TaskManager) -> None:
    manager.add(lambda: None, name="off", disabled=True)

    ended = cli(manager, "run", "off", "--here")

    assert (ended.exit_code, ended.stdout.endswith("): disabled\n")) == (3, True)


# How they fail.


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "sampel"], "There is no task 'sampel'. Did you mean 'sample'?"),
        (["enable", "sampel"], "There is no task 'sampel'. Did you mean 'sample'?"),
        (["run", "sample", "x"], "'x' is no parameter. Write KEY=VALUE, such as region=EU."),
        (["run", "sample", "--here", "x=1"], "Task 'sample': "),
        (["disable", "sample", "--until", "soon"], "--until: 'soon' is no moment. Write 2026-05-04T12:00 (local), "),
        (["runs", "--since", "soon"], "--since: 'soon' is no moment."),
        (["runs", "--since", "0001-01-01T00:00+23:59"], "--since: '0001-01-01T00:00+23:59' is no moment."),
        (["runs", "--task", "sampel"], "There is no task 'sampel' on record. Did you mean 'sample'?"),
        (["lst"], "There is no command 'lst'. Did you mean 'list'? Try 'tasks --help'."),
        (["run"], "Missing argument 'NAME'. Try 'tasks run --help'."),
        (["list", "--tags", "a"], "No such option"),
        (["list", "\x1b[2J\n"], "Got unexpected extra argument (\\x1b[2J ) Try 'tasks list --help'."),
        (["runs", "--state", "gone"], "Invalid value for '--state': 'gone' is not one of 'queued', "),
        (["run", "sample", "--here", "--no-wait"], "--here waits for the body: leave out --no-wait."),
        (["next", "evry day"], "There is no task 'evry day'. The schedule 'evry day' is not understood: "),
    ],
)
def test_an_error_is_one_line_on_stderr_and_the_exit_code_2(words: list[str], told: str, manager: TaskManager) -> None:
    manager.add(lambda: None, name="sample")

    ended = cli(manager, *words)

    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"Error: {told}")
    assert ended.stderr.count("\n") == 1


def test_a_store_that_cannot_be_reached_is_an_error_and_no_empty_table(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    manager = TaskManager([], store=f"sqlite:///{tmp_path}/file/tasks.db")

    ended = cli(manager, "list")
    (tmp_path / "file").unlink()

    assert ended.exit_code == 2
    assert ended.stderr.startswith("Error: The store <sqlite:///")
    assert ended.stderr.count("\n") == 1


def commands_of(group: click.Group, *path: str) -> Iterator[list[str]]:
    """The words of each command."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands_of(command, *path, name)
        else:
            yield [*path, name]


def test_every_command_teaches_with_an_example(manager: TaskManager) -> None:
    group = make_group(lambda _: manager, name="tasks")

    found = list(commands_of(group))
    assert len(found) >= 22
    for words in found:
        help_text = cli(manager, *words, "--help").stdout
        assert "Example" in help_text, words
        assert "--json" in help_text, words


# Names that complete themselves, and tables.


def test_the_shell_completes_names(manager: TaskManager) -> None:
    for name in ("report", "rebuild", "sample"):
        manager.add(lambda: None, name=name)
    manager.recurring.add("report in the night", task="report")
    group = make_group(lambda _: manager, name="tasks")

    complete = ShellComplete(group, {}, "tasks", "_TASKS_COMPLETE")

    assert [item.value for item in complete.get_completions(["run"], "re")] == [
        "report",
        "rebuild",
        "report in the night",
    ]
    assert [item.value for item in complete.get_completions(["runs", "--task"], "s")] == ["sample"]


def test_a_table_fits_the_terminal() -> None:
    rows = [["名前" * 20, "failed", "x" * 400], ["b", "succeeded", "e\u0301" * 50]]

    lines = [click.unstyle(line) for line in table(["name", "state", "detail"], rows, 40)]

    assert lines[0] == "NAME           STATE      DETAIL"
    assert lines[1] == "名前名前名前…  failed     xxxxxxxxxxxxx…"
    assert lines[2] == "b              succeeded  " + "e\u0301" * 13 + "…"


def test_on_the_narrowest_terminal_a_table_is_still_told() -> None:
    lines = [click.unstyle(line) for line in table(["name", "state"], [["report", "succeeded"]], 5)]

    assert lines == ["NAME  STA…", "rep…  suc…"]


def test_colours_are_for_terminals(manager: TaskManager, monkeypatch: pytest.MonkeyPatch) -> None:
    manager.add(lambda: None, name="sample")
    manager["sample"].disable()
    group = make_group(lambda _: manager, name="tasks")

    assert "\x1b[33moff\x1b[0m" in CliRunner().invoke(group, ["list"], color=True).stdout
    assert "\x1b" not in CliRunner().invoke(group, ["list"]).stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in CliRunner().invoke(group, ["list"], color=True).stdout


def test_without_the_library_the_extra_is_named() -> None:
    program = "import sys; sys.modules['click'] = None\nimport task.cli"

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)

    assert "task.cli needs the extra 'cli': pip install 'schedule-tasks[cli]'" in ended.stderr
