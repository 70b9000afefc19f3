"""What is promised of each command alike: JSON, exit codes, tables that fit, a help whose examples can be typed."""

from __future__ import annotations

import datetime
import json
import pathlib
import re
import shlex
import time
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner, Result
from databases import sqlite_url
from rich.cells import cell_len

from task import TaskManager, current_run, every
from task.cli import make_group
from task.cli.main import main_group
from task.testing import VirtualClock

#: Names that no terminal has room for, in letters that take one place and in some that take two.
LONG = "report of everything that was sold since the day before yesterday"
WIDE = "昨日から売れたすべてのものの報告書" * 3


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process is in UTC, and nobody has said which tasks are meant."""
    for name in ("TASK_MODULE", "TASK_STORE", "TASK_NAMESPACE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def shop(clock: VirtualClock) -> Iterator[TaskManager]:
    """A manager at work, of whose record each command has something to tell."""

    def report(region: str = "EU") -> dict[str, str]:
        current_run().logger.info("40 rows")
        return {"region": region}

    def fail() -> None:
        raise ValueError("no disk, " * 40)

    async def linger() -> None:
        import asyncio

        await asyncio.sleep(100_000)

    manager = TaskManager([], clock=clock)
    manager.add(report, every(10).minutes, name="report", tags=["money"])
    manager.add(fail, every(10).minutes, name=LONG)
    manager.add(lambda text="x" * 100: None, every(7).minutes, name=WIDE)
    manager.add(linger, name="linger")
    manager.add(lambda: None, name="off", disabled=True)
    manager.recurring.add("nightly", task="report", schedule="every day at 02:00", parameters={"region": LONG})
    with manager:
        clock.advance(minutes=21)
        manager.disable(WIDE, "the other side is moving house " * 5, by="ada")
        yield manager


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaskManager]:
    """One with a history in a database, as a record in memory is not pruned. Nothing is dropped from it here."""
    clock = VirtualClock(datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC))
    manager = TaskManager([], clock=clock, store=sqlite_url(tmp_path_factory.mktemp("archive")), keep_runs=1_000)
    manager.add(lambda: None, every(10).seconds, name=LONG)
    with manager:
        clock.advance(seconds=30)
        yield manager
    manager.store.close()


@pytest.fixture
def asked(line: str, request: pytest.FixtureRequest) -> TaskManager:
    """The manager that a line is for."""
    found: TaskManager = request.getfixturevalue("archive" if line.startswith("prune") else "shop")
    return found


def cli(manager: TaskManager, *words: str) -> Result:
    return CliRunner().invoke(make_group(lambda _: manager, name="tasks"), words)


def words_of(line: str, manager: TaskManager) -> list[str]:
    """The words of a command; RUN is the id of the newest run of `report`, LINGERING that of one that goes on."""
    ids = {"RUN": lambda: manager.runs("report", limit=1)[0].id, "LINGERING": lambda: manager.trigger("linger").id}
    return [ids[word]() if word in ids else word for word in shlex.split(line)]


def commands_of(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands_of(command, *path, name)
        else:
            yield " ".join([*path, name]), command


# JSON.

RUN = "id task state trigger attempts duration reason error result"
ENTRY = "name task schedule parameters enabled note until max_concurrent runs failures problem"
CARD = "name schedules doing enabled next_run last problems"
SWITCH = "name enabled note until"

#: A line that asks for JSON, whether that is a list, and keys of it, or of each that is in the list.
JSON = [
    ("list", True, CARD),
    ("show report", False, f"{CARD} place parameters options statistics last_runs next_slots incidents"),
    ("next report", True, "task at local clock_change duration"),
    ("next 'every day at 02:00'", True, "task at local clock_change duration"),
    ("runs", True, RUN),
    ("log RUN", False, f"{RUN} traceback log log_dropped"),
    ("journal", True, "at who what task note"),
    ("explain report", False, "task moment verdict reasons"),
    ("doctor", False, "well diagnoses"),
    ("trigger report", False, RUN),
    ("trigger report --no-wait", False, RUN),
    ("trigger report --here", False, RUN),
    ("run report", False, RUN),
    ("cancel LINGERING", False, RUN),
    ("enable off", False, SWITCH),
    ("disable report", False, SWITCH),
    ("recurring list", True, ENTRY),
    ("recurring show nightly", False, ENTRY),
    ("recurring create weekly --task report", False, ENTRY),
    ("recurring change nightly region=US", False, ENTRY),
    ("recurring delete nightly", False, "name deleted"),
    ("recurring enable nightly", False, SWITCH),
    ("recurring disable nightly", False, SWITCH),
    ("recurring trigger nightly", False, RUN),
    ("prune", False, "dry_run rows tasks"),
    ("forecast --days 0.1", False, "since until tasks places seed"),
]


@pytest.mark.parametrize(("line", "several", "keys"), JSON, ids=[line for line, _, _ in JSON])
def test_with_json_stdout_is_one_document_and_nothing_else(
    line: str, several: bool, keys: str, asked: TaskManager
) -> None:
    ended = cli(asked, *words_of(line, asked), "--json")

    assert ended.exit_code == 0, ended.output
    told = json.loads(ended.stdout)
    assert isinstance(told, list if several else dict)
    one: dict[str, object] = told[0] if several else told
    assert set(keys.split()) - one.keys() == set()
    assert ended.stdout.isascii()
    assert "\x1b" not in ended.stdout


def test_no_command_is_without_json(shop: TaskManager) -> None:
    tried = {" ".join(words[:2]) if (words := line.split())[0] == "recurring" else words[0] for line, _, _ in JSON}

    assert tried == {path for path, _ in commands_of(make_group(lambda _: shop, name="tasks"))}
    without = [path for path, command in commands_of(main_group()) if "in_json" not in {p.name for p in command.params}]
    assert without == ["completion"], "which is a script; `run MODULE` has it, as a stream"


def test_flask_tasks_has_the_same_commands_but_those_that_are_given_a_module(shop: TaskManager) -> None:
    ours, theirs = dict(commands_of(main_group())), dict(commands_of(make_group(lambda _: shop, name="tasks")))

    assert ours.keys() - theirs.keys() == {"completion"}
    assert theirs.keys() - ours.keys() == set()
    assert [path for path in theirs if theirs[path] is not ours[path]] == ["run"]


# Exit codes.

CODES = [
    ("list", 0),
    ("show report", 0),
    ("show reprot", 2),
    ("next report", 0),
    ("next reprot", 2),
    ("runs", 0),
    ("runs --task reprot", 2),
    ("log RUN", 0),
    ("log report --follow", 0),
    ("log off", 2),
    ("journal", 0),
    ("journal --task reprot", 2),
    ("explain report", 0),
    ("explain reprot", 2),
    ("explain report soon", 2),
    ("doctor", 0),
    ("doctor --process soon", 2),
    ("trigger report", 0),
    ("trigger report pages=3", 2),
    ("trigger reprot", 2),
    ("trigger off", 3),
    ("trigger off --here", 3),
    ("trigger off --no-wait", 3),
    ("cancel LINGERING", 0),
    ("cancel RUN", 2),
    ("cancel report", 2),
    ("cancel nothing", 2),
    ("enable off", 0),
    ("enable reprot", 2),
    ("disable report --until 2h", 0),
    ("disable report --until soon", 2),
    ("recurring list", 0),
    ("recurring show nightly", 0),
    ("recurring show nigthly", 2),
    ("recurring create weekly --task report", 0),
    ("recurring create nightly --task report", 2),
    ("recurring change nightly pages=3", 2),
    ("recurring change nightly region=US", 0),
    ("recurring delete nightly", 0),
    ("recurring delete nigthly", 2),
    ("recurring enable nightly", 0),
    ("recurring enable nigthly", 2),
    ("recurring disable nightly", 0),
    ("recurring disable nigthly", 2),
    ("recurring trigger nightly", 0),
    ("recurring trigger nigthly", 2),
    ("prune", 0),
    ("prune --keep-runs 0", 2),
    ("prune --older-than soon", 2),
    ("forecast --days 0.1", 0),
    ("forecast --days 0.1 --fail-on late=0.5 --duration report=60", 1),
    ("forecast --days -1", 2),
]


@pytest.mark.parametrize(("line", "code"), CODES, ids=[line for line, _ in CODES])
def test_a_command_ends_with_the_code_that_is_documented(line: str, code: int, asked: TaskManager) -> None:
    ended = cli(asked, *words_of(line, asked))

    assert ended.exit_code == code, ended.output
    if code == 2:
        assert ended.stdout == ""
        assert re.fullmatch(r"Error: .+\n", ended.stderr), "one line says why"


@pytest.mark.parametrize("line", [f"trigger '{LONG}'", f"trigger '{LONG}' --here", f"log '{LONG}' --follow"])
def test_a_command_that_has_waited_for_a_run_that_failed_ends_with_1(line: str, shop: TaskManager) -> None:
    assert cli(shop, *words_of(line, shop)).exit_code == 1
    assert cli(shop, "log", LONG).exit_code == 0, "who only reads of it has what was asked for"


def test_doctor_ends_with_1_where_there_is_a_problem(tmp_path: pathlib.Path, clock: VirtualClock) -> None:
    nobody_runs = TaskManager([], clock=clock, store=sqlite_url(tmp_path))
    nobody_runs.add(lambda: None, every().hour, name="report")
    assert cli(nobody_runs, "doctor").exit_code == 1
    nobody_runs.store.close()


# Tables.

TABLES = [
    "list",
    "show report",
    f"show '{LONG}'",
    "next report",
    "next '30 2 * * 0 in Europe/Amsterdam' -n 30",
    "runs",
    "journal",
    "explain report",
    "doctor --all",
    "recurring list",
    "prune --keep-runs 1 --dry-run",
    "forecast --days 1",
]


@pytest.mark.parametrize("columns", [60, 80, 132])
@pytest.mark.parametrize("line", TABLES)
def test_on_a_terminal_the_tables_of_a_command_fit(
    line: str, columns: int, asked: TaskManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))

    ended = cli(asked, *words_of(line, asked))
    monkeypatch.undo()

    assert ended.exit_code in (0, 1), ended.output
    lines = _tables_of(ended.stdout) if line.startswith(("show", "forecast")) else ended.stdout.splitlines()
    assert len(lines) > 1
    assert [text for text in lines if cell_len(text) > columns] == []


def _tables_of(shown: str) -> list[str]:
    """What is between a head in capitals and an empty line; what else is told there is text, which terminals wrap."""
    found, inside = [], False
    for line in shown.splitlines():
        inside = bool(line) and (inside or bool(re.match(r" *[A-Z]+  +[A-Z]", line)))
        found += [line] if inside else []
    return found


@pytest.mark.parametrize("line", TABLES)
def test_where_there_is_no_terminal_there_are_no_colours_and_nothing_is_cut(line: str, asked: TaskManager) -> None:
    group = make_group(lambda _: asked, name="tasks")
    coloured = CliRunner().invoke(group, words_of(line, asked), color=True)
    plain = CliRunner().invoke(group, words_of(line, asked))

    assert "\x1b[" in coloured.stdout
    assert "\x1b" not in plain.stdout
    assert "…" not in plain.stdout


# Help.

ALL = dict(commands_of(main_group()))


@pytest.mark.parametrize("path", ALL)
def test_each_example_of_a_help_can_be_typed(path: str) -> None:
    told = CliRunner().invoke(main_group(), [*path.split(), "--help"], terminal_width=400).stdout
    examples = told.partition("Example")[2].partition("\n\n")[0].splitlines()[1:]

    assert examples, "its help teaches with examples"
    for example in examples:
        words = shlex.split(_command_in(example.strip()))
        assert words[0] in path.split(), "`recurring trigger` is `trigger`"
        parse(main_group(), words)


def test_each_example_of_the_first_help_can_be_typed() -> None:
    told = CliRunner().invoke(main_group(), ["--help"]).stdout
    examples = told.partition("Examples:\n")[2].partition("\n\n")[0].splitlines()

    assert len(examples) == 5
    for example in examples:
        parse(main_group(), shlex.split(_command_in(example.strip())))


def _command_in(example: str) -> str:
    """Without the program, its settings, what is around it and where its output goes."""
    inside = re.search(r"schedule-tasks ([^)>]+)", example)
    return (example if inside is None else inside[1]).partition(" >> ")[0]


def parse(command: click.Command, words: list[str], above: click.Context | None = None) -> None:
    """Read the words as the command does, and do nothing. Raises what that would tell."""
    context = command.make_context(command.name, words, above)
    if isinstance(command, click.Group):
        _, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        parse(found, rest, context)
