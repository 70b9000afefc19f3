"""``python -m task`` and ``schedule-tasks``: which tasks are meant, and what is missing."""

from __future__ import annotations

import configparser
import json
import pathlib
import subprocess
import sys

import pytest
from click.testing import CliRunner
from databases import sqlite_url

from task import TaskManager
from task.cli.main import main_group

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("TASK_MODULE", "TASK_STORE", "TASK_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_module_and_a_store_it_says_what_to_give() -> None:
    ended = CliRunner().invoke(main_group(), ["list"])

    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr == (
        "Error: No tasks are named. Say where they are, with --module MODULE or TASK_MODULE; or which store is looked "
        "at, with --store URL or TASK_STORE.\n"
    )


@pytest.mark.parametrize("given", ["option", "environment"])
def test_the_tasks_are_those_of_a_module_on_a_store(given: str, tmp_path: pathlib.Path) -> None:
    module, url = tmp_path / f"stand_by_{given}.py", sqlite_url(tmp_path)
    module.write_text("from task import task\n\n@task\ndef squeeze(): ...\n")
    named = ["-m", str(module), "--store", url, "--namespace", "shop"]
    settings = {"TASK_MODULE": str(module), "TASK_STORE": url, "TASK_NAMESPACE": "shop"}

    ended = CliRunner(env=settings if given == "environment" else None).invoke(
        main_group(), [*(named if given == "option" else []), "disable", "squeeze", "--note", "no lemons"]
    )

    assert ended.stdout == "squeeze is off: no lemons\n"
    kept = TaskManager([], store=url, namespace="shop")
    assert kept.store.names() == ["squeeze"]
    kept.store.close()


@pytest.mark.parametrize(
    "words",
    [["disable", "squeeze"], ["enable", "squeeze"], ["recurring", "create", "nightly", "--task", "squeeze"]],
)
def test_what_no_other_process_would_hear_of_is_not_told_as_done(words: list[str], tmp_path: pathlib.Path) -> None:
    module = tmp_path / f"stand_alone_{words[0]}.py"
    module.write_text("from task import task\n\n@task\ndef squeeze(): ...\n")

    ended = CliRunner().invoke(main_group(), ["-m", str(module), *words])

    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.endswith(
        "cannot be steered from another process, as the record of each is in its memory. Give the manager a store that "
        "processes share: store='sqlite:///tasks.db'.\n"
    )


def test_next_reads_words_where_no_tasks_are_named() -> None:
    of_words = CliRunner().invoke(main_group(), ["next", "every day at 02:30 in Asia/Tokyo", "-n", "2"])
    of_a_name = CliRunner().invoke(main_group(), ["next", "report"])

    assert of_words.exit_code == 0, of_words.output
    assert [line.split()[4:6] for line in of_words.stdout.splitlines()[1:]] == [["02:30", "JST"]] * 2
    assert of_a_name.stderr.startswith("Error: No tasks are named.")


def test_a_choice_that_is_missing_is_told_in_one_line() -> None:
    ended = CliRunner().invoke(main_group(), ["completion"])

    assert "Choose from: bash, zsh, fish Try 'schedule-tasks completion --help'." in ended.stderr


def test_the_help_teaches_with_examples_in_sections() -> None:
    told = CliRunner().invoke(main_group(), ["--help"]).stdout

    assert "schedule-tasks -m shop.jobs trigger report region=EU" in told
    by_module = CliRunner().invoke(main_group(), ["--help"], prog_name="python -m task").stdout
    assert "python -m task -m shop.jobs trigger report region=EU" in by_module
    assert [line for line in told.splitlines() if line in ("Look:", "Steer:", "Run:", "Foresee:")][:2] == [
        "Look:",
        "Steer:",
    ]
    assert "Exit codes: 0 it is done;" in told


def test_the_first_lines_of_all_commands_are_whole_on_80_columns() -> None:
    told = CliRunner().invoke(main_group(), ["--help"], terminal_width=80).stdout

    commands = told.partition("Look:")[2].splitlines()
    assert len([line for line in commands if line.startswith("  ")]) == 17
    assert [line for line in commands if line.endswith("...") or len(line) > 80] == []


def test_what_a_module_prints_is_not_in_the_answer(tmp_path: pathlib.Path) -> None:
    module = tmp_path / "talks_aloud.py"
    module.write_text("from task import task\n\nprint('hello')\n\n@task\ndef squeeze(): ...\n")

    ended = CliRunner().invoke(main_group(), ["-m", str(module), "list", "--json"])

    assert [one["name"] for one in json.loads(ended.stdout)] == ["squeeze"]
    assert ended.stderr == "hello\n"


def test_without_the_extra_one_line_says_how_to_install_it() -> None:
    program = "import sys, runpy; sys.modules['click'] = None; runpy.run_module('task', run_name='__main__')"

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, cwd=ROOT)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "Error: task.cli needs the extra 'cli': pip install 'schedule-tasks[cli]'\n"


def test_the_console_script_is_the_same_command_line() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    script = settings["options.entry_points"]["console_scripts"].strip()
    ended = subprocess.run(
        [sys.executable, "-m", "task", "--help"], capture_output=True, text=True, timeout=120, cwd=ROOT
    )

    assert script == "schedule-tasks = task.__main__:main"
    assert ended.stdout.startswith("Usage: python -m task [OPTIONS] COMMAND [ARGS]...")


def test_to_look_for_a_database_that_is_not_there_makes_none(tmp_path: pathlib.Path) -> None:
    ended = CliRunner().invoke(main_group(), ["--store", sqlite_url(tmp_path), "list"])

    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Error: There is no database '/")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--sotre", "x", "list"], "No such option"),
        (["-m", "shop.jobs", "lsit"], "There is no command 'lsit'. Did you mean 'list'?"),
        (["--store"], "Option '--store' requires an argument."),
    ],
)
def test_a_mistake_before_the_command_is_told_in_one_line(words: list[str], told: str) -> None:
    ended = CliRunner().invoke(main_group(), words)

    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"Error: {told}")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["-m", "nothing_of_the_kind", "recurring"]])
def test_without_a_command_the_help_is_shown(words: list[str]) -> None:
    ended = CliRunner().invoke(main_group(), words)

    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Usage: schedule-tasks ")
