"""``forecast``: what it prints and writes, what it refuses, and how it ends."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import re
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from pseudo_terminal import PseudoTerminal

from task import TaskManager, cron, every, once
from task.cli import make_group
from task.flask import FlaskTasks, allow_anyone
from task.testing import VirtualClock

ROOT = pathlib.Path(__file__).resolve().parents[2]
UTC = datetime.UTC
MONDAY = datetime.datetime(2026, 10, 19, tzinfo=UTC)

pytestmark = pytest.mark.usefixtures("utc")


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone of this process."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(MONDAY)


def body() -> None:
    raise AssertionError("a forecast runs no body")


@pytest.fixture
def shop(manager: TaskManager) -> TaskManager:
    """A report that others wait for, and a task whose one moment is past."""
    manager.add(body, cron("30 2 * * *", tz="Europe/Amsterdam"), name="report")
    manager.add(body, every(15).minutes, name="fetch")
    manager.add(body, once(MONDAY - datetime.timedelta(days=1)), name="migrate")
    return manager


def cli(manager: TaskManager, *words: str) -> Result:
    return CliRunner().invoke(make_group(lambda _: manager, name="tasks"), ["forecast", *words])


PRINTED = """\
Mon 19 Oct 2026 00:00 to Mon 26 Oct 2026 00:00: 665 runs of 3 tasks, 7 late, 15 slots refused

UTC         00    02    04    06    08    10    12    14    16    18    20    22          runs
Mon 19 Oct  ░░░▒▒!▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒        94
Tue 20 Oct  ░░░▒▒!▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒        95
Wed 21 Oct  ░░░▒▒!▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒        95
Thu 22 Oct  ░░░▒▒!▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒        95
Fri 23 Oct  ░░░▒▒!▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒        95
Sat 24 Oct  ░░░▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒        95
Sun 25 Oct  ░░░▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒███        96

· none   ░ 1-3   ▒ 4   █ 5   runs start in that hour   ! most goes wrong
! Mon 19 Oct 01:00: 4 runs start, 1 late, 1 slot is refused
! Tue 20 Oct 01:00: 4 runs start, 1 late, 1 slot is refused
! Wed 21 Oct 01:00: 4 runs start, 1 late, 1 slot is refused
! Thu 22 Oct 01:00: 4 runs start, 1 late, 1 slot is refused
! Fri 23 Oct 01:00: 4 runs start, 1 late, 1 slot is refused

TASK     RUNS  REFUSED             LATE UP TO  OCCUPIED  TAKES
fetch    658   14 already running  30 min      6.5 %     1 min
migrate  0     1 missed                        0 %       1.0 s
report   7                                     2.1 %     30 min

PLACE          AT ONCE  WAITING  OCCUPIED
serial worker  1        1        8.6 %     ██░░░░░░░░░░░░░░░░░░

TOGETHER
Mon 19 Oct 2026 00:15: 1 run starts in that minute
Mon 19 Oct 2026 00:15: 1 body runs at once
7 times from Mon 19 Oct 2026 00:30 on: fetch, report

NIGHTS IN WHICH THE CLOCK CHANGES
report: Sun 25 Oct 2026 02:30 CEST, the clock repeats this time

WITHOUT A SLOT
migrate: its one moment was past when its manager started

ASSUMED
seed 0
no run is on record of 'migrate': a body is taken to last 1.0 s

WHAT TO CHANGE
Up to 1 run waits for the serial worker, up to 30 min, as 'report' lasts 30 min. Give 'report' a
  place of its own: threaded=True, or a pool: pool='report' and TaskManager(pools={'report': 1}).
"""


def test_it_prints_heat_map_cures_tasks_places_collisions_nights_and_what_never_fires(shop: TaskManager) -> None:
    ended = cli(shop, "--days", "7", "--duration", "report=1800", "--duration", "fetch=60")

    assert (ended.exit_code, ended.stderr) == (0, "")
    assert ended.stdout == PRINTED


def test_lines_fit_a_page_where_there_is_no_terminal(shop: TaskManager) -> None:
    ended = cli(shop, "--days", "10", "--duration", "report=1800")

    assert max(map(len, ended.stdout.splitlines())) <= 100


def test_json_has_all_of_it(shop: TaskManager) -> None:
    ended = cli(shop, "--until", "2d", "--seed", "3", "--failure-rate", "fetch=1", "--json")

    told = json.loads(ended.stdout)
    assert (told["since"], told["until"], told["seed"]) == (
        "2026-10-19T00:00:00+00:00",
        "2026-10-21T00:00:00+00:00",
        3,
    )
    fetch = next(task for task in told["tasks"] if task["task"] == "fetch")
    assert fetch["states"] == {"failed": 191, "running": 1}
    assert len(told["hours"]) == 48


def test_pages_and_pictures_are_written(shop: TaskManager, tmp_path: pathlib.Path) -> None:
    page, picture = tmp_path / "forecast.html", tmp_path / "forecast.svg"

    ended = cli(shop, "--html", str(page), "--svg", str(picture))

    assert ended.exit_code == 0
    assert ended.stderr == f"Written: {page}\nWritten: {picture}\n"
    assert "<h1>Forecast</h1>" in page.read_text("utf-8")
    assert ElementTree.parse(picture).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_a_file_that_cannot_be_written_is_told(shop: TaskManager, tmp_path: pathlib.Path) -> None:
    ended = cli(shop, "--html", str(tmp_path / "nowhere" / "forecast.html"))

    assert ended.exit_code == 2
    assert ended.stderr == f"Error: '{tmp_path}/nowhere/forecast.html' cannot be written: No such file or directory.\n"


@pytest.mark.parametrize(
    ("check", "told"),
    [
        ("skips", "2 slots of 'fetch' come to nothing, as other runs are in their way"),
        ("late=60", "'fetch' starts up to 33 min 20 s late"),
        ("saturation=0.01", "'serial worker' is occupied for 2% of the time"),
        ("never", "'migrate' never fires: "),
    ],
)
def test_a_check_before_a_deploy_fails(shop: TaskManager, check: str, told: str) -> None:
    ended = cli(shop, "--days", "1", "--duration", "report=2000", "--duration", "fetch=1", "--fail-on", check)

    assert ended.exit_code == 1
    assert f"--fail-on: {told}" in ended.stderr


def test_a_check_that_holds_ends_well(shop: TaskManager) -> None:
    shop.remove("migrate")
    checks = ["skips", "late=60", "saturation=0.8", "never"]

    ended = cli(shop, "--days", "1", "--duration", "report=1", *(f"--fail-on={check}" for check in checks))

    assert (ended.exit_code, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--fail-on", "skip"], "--fail-on 'skip' is none of skips, late=SECONDS, saturation=SHARE, never."),
        (["--fail-on", "late=soon"], "--fail-on 'late=soon': 'soon' is no number."),
        (["--duration", "report"], "--duration 'report' is no NAME=NUMBER."),
        (["--duration", "report=long"], "--duration 'report=long' is no NAME=NUMBER."),
        (["--fail-on", "late=nan"], "--fail-on 'late=nan': 'nan' is no number."),
        (["--duration", "report=inf"], "--duration 'report=inf' is no NAME=NUMBER."),
        (["--duration", "report=-1"], "report"),
        (["--duration", "reprot=5"], "reprot"),
        (["--failure-rate", "report=2"], "report"),
        (["--days", "2", "--until", "3d"], "--days and --until both say how far: give one."),
        (["--until", "soon"], "'soon' is no moment."),
        (["--until", "2026-10-18T00:00"], "is past"),
        (["--days", "400"], "--days"),
        (["--exit-code"], "--exit-code goes with --diff"),
        (["--diff", "jobs", "--html", "x.html"], "--diff compares slots"),
        (["no_such_module"], "There is no module 'no_such_module'."),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(shop: TaskManager, words: list[str], told: str) -> None:
    ended = cli(shop, *words)

    assert ended.exit_code == 2
    assert told in ended.stderr
    assert (ended.stderr.count("\n"), ended.stdout) == (1, "")


def test_bodies_last_as_long_as_their_runs_on_record(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = VirtualClock(datetime.datetime.now(UTC) - datetime.timedelta(minutes=5, seconds=40))
    store = f"sqlite:///{tmp_path}/tasks.db"
    with TaskManager([], clock=clock, store=store) as measured:
        measured.add(lambda: clock.sleep(15), every().minute, name="report")
        clock.advance(minutes=5, seconds=30)
    measured.store.close()
    (tmp_path / "measured.py").write_text(
        "from task import every, task\n@task(every().minute, name='report')\ndef report(): ...\n"
    )
    monkeypatch.setattr(sys, "path", list(sys.path))

    ended = cli(measured, str(tmp_path / "measured.py"), "--store", store, "--until", "1h")

    del sys.modules["measured"]
    assert re.search(r"^report .* 15\.0 s \(5 runs\)$", ended.stdout, re.MULTILINE)


def test_without_tasks_there_is_nothing_to_foresee(manager: TaskManager) -> None:
    ended = cli(manager)

    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "Name the module with the tasks: forecast MODULE." in ended.stderr


def test_of_many_tasks_the_worst_are_told(manager: TaskManager) -> None:
    for number in range(30):
        manager.add(body, every().hour, name=f"task {number:02}")

    ended = cli(manager, "--days", "1", "--top", "3", "--duration", "task 07=7000")

    rows = [line.split("  ")[0] for line in ended.stdout.splitlines() if line.startswith("task ")]
    assert rows[0] == "task 07"
    assert len(rows) == 3
    assert "and 27 more tasks (--top 30 tells of all)" in ended.stdout


# Another version of the code.

OLD = """
print("imported: {}")  # no answer of ours
from schedule import every
from task import TaskManager
from prices import HOUR

manager = TaskManager([])

@manager.task(every().day.at(f"{HOUR}:00", "UTC"))
def report(): ...

class Mine(type(every())):
    def __init__(self): super().__init__(1); self.unit = "own"
    def next_slot(self, after):
        import datetime
        return after + datetime.timedelta(hours=HOURS)

@manager.task(Mine())
def sync(): ...
"""


def versions(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Two checkouts of a package ``shop`` with a module ``jobs``, each with a module beside it."""
    found = []
    for name, hour, hours in (("old", "02", "6"), ("new", "03", "8")):
        package = folder / name / "shop"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "jobs.py").write_text(OLD.replace("HOURS", hours))
        (folder / name / "prices.py").write_text(f"HOUR = '{hour}'")
        found.append(package / "jobs.py")
    return found[0], found[1]


def on_its_own(*words: str, folder: pathlib.Path, columns: int = 100) -> tuple[int, list[str], bytes]:
    """The command as a program, on a terminal: exit code, lines, and what the terminal was sent."""
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    environment |= {"PYTHONPATH": str(ROOT), "TERM": "xterm", "TZ": "UTC"}
    command = [sys.executable, "-m", "task", "forecast", *words]
    with PseudoTerminal(command, columns=columns, lines=60, cwd=folder, env=environment) as terminal:
        code = terminal.wait_for_end()
        return code, [line for line in terminal.screen if line], terminal.bytes


def test_two_checkouts_with_modules_of_one_name_are_compared(tmp_path: pathlib.Path) -> None:
    old, _ = versions(tmp_path)

    code, lines, _ = on_its_own("--diff", str(old), "shop.jobs", "--exit-code", folder=tmp_path / "new", columns=120)

    assert code == 1
    assert lines[0] == "imported: {}"  # by ours, on stderr
    assert lines[1:5] == [
        "~ report",
        "    schedule: every day at 02:00 in UTC",
        "         now: every day at 03:00 in UTC",
        f"    7 slots move: 02:00 -> 03:00, 7 times from {lines[4][-10:].strip()}",
    ]
    assert lines[5] == "~ sync"
    assert [line[:20] for line in lines[6:8]] == ["    14 slots appear:", "    21 slots vanish:"]
    assert lines[-1].startswith("2 tasks are different, 0 tasks are the same: ")


def test_the_same_code_is_no_difference(tmp_path: pathlib.Path, shop: TaskManager) -> None:
    old, _ = versions(tmp_path)

    ended = cli(shop, "--diff", str(old), str(old), "--exit-code", "--json")

    told = json.loads(ended.stdout)
    assert (ended.exit_code, told["changes"], told["unchanged"]) == (0, [], 2)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise ValueError('no \\x1b[2J')", "cannot be imported: ValueError: no"),
        ("import os; os._exit(3)", "ended with 3"),
        (
            "from task import TaskManager\nmanager = TaskManager([])\nmanager.run()",
            "starts its manager when it is imported",
        ),
    ],
)
def test_an_old_version_that_cannot_be_imported_is_told(
    shop: TaskManager, tmp_path: pathlib.Path, code: str, told: str
) -> None:
    (tmp_path / "broken.py").write_text(code)

    ended = cli(shop, "--diff", str(tmp_path / "broken.py"))

    assert ended.exit_code == 2
    assert told in ended.stderr
    assert "\x1b" not in ended.output


def test_a_module_that_starts_its_tasks_when_it_is_imported_is_refused(
    shop: TaskManager, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "starting.py").write_text("from task import TaskManager\nmanager = TaskManager([])\nmanager.run()")

    ended = cli(shop, str(tmp_path / "starting.py"))

    assert ended.exit_code == 2
    assert "starts its manager when it is imported" in ended.stderr
    assert sys.modules.pop("starting").manager.state == "stopped"
    sys.path.remove(str(tmp_path))


# On a terminal.


def test_on_a_terminal_progress_is_shown_and_all_fits(tmp_path: pathlib.Path) -> None:
    (tmp_path / "jobs.py").write_text(
        "from task import every, task\n"
        "@task(every(5).minutes)\n"
        "def fetch_all_that_has_been_sold_since_yesterday_in_every_shop_of_ours(): ...\n"
    )

    code, lines, sent = on_its_own("jobs", "--days", "2", folder=tmp_path, columns=60)

    assert code == 0
    assert b"Simulating" in sent
    assert b"100%" in sent
    assert b"\x1b[36m" in sent
    assert max(map(len, lines)) <= 60
    assert any(line.startswith("fetch_all_") and "…" in line for line in lines)


def test_where_there_are_no_blocks_plain_signs_stand_for_them(shop: TaskManager) -> None:
    group = make_group(lambda _: shop, name="tasks")

    ended = CliRunner(charset="ascii").invoke(group, ["forecast", "--days", "7"])

    assert ended.exit_code == 0
    assert ended.stdout.isascii()
    assert ended.stdout.splitlines()[3].startswith("Mon 19 Oct  --!----")
    assert "--------------------" in ended.stdout


# In Flask.


def test_in_an_application_it_is_of_its_own_manager(tmp_path: pathlib.Path) -> None:
    manager = TaskManager([])
    manager.add(body, every(30).minutes, name="report")
    app = Flask("shop", instance_path=str(tmp_path))
    FlaskTasks(manager, auth=allow_anyone).init_app(app)

    ended = app.test_cli_runner().invoke(args=["tasks", "forecast", "--days", "1", "--json"])

    told = json.loads(ended.stdout)
    assert [task["task"] for task in told["tasks"]] == ["report"]
    assert app.extensions["tasks"].manager.state == "stopped"
    manager.store.close()
