"""Texts of people and of runs on the terminal: shown, never obeyed; and no secret among them."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from click.testing import CliRunner, Result
from naughty import OBEYED, naughty_strings

from task import StoreUnavailableError, TaskManager, current_run, shell
from task.cli import make_group
from task.testing import VirtualClock

CANARY = "CANARY-7f3a9c"

CHUNKS = [naughty_strings()[start : start + 50] for start in range(0, len(naughty_strings()), 50)]


@pytest.fixture(scope="module")
def talking() -> Iterator[TaskManager]:
    """A manager with a task that tells its text in every way that there is."""

    def talk(text: Any) -> None:
        run = current_run()
        run.update_progress(50, str(text))
        run.logger.info("%s", text)
        logging.getLogger("app").warning("%s", text)
        raise ValueError(text)

    with TaskManager([], clock=VirtualClock()) as manager:
        manager.add(talk, name="talk")
        manager.add(lambda text: text, name="echo")
        manager.add(lambda: None, name="sample")
        yield manager


def cli(manager: TaskManager, *words: str) -> Result:
    return CliRunner().invoke(make_group(lambda _: manager, name="tasks"), words, color=True)


def of_terminal(result: Result) -> str:
    """What reaches the terminal, without our own colours."""
    text = result.output
    for ours in ("\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m"):
        text = text.replace(ours, "")
    return text


@pytest.mark.parametrize("texts", CHUNKS, ids=range(len(CHUNKS)))
def test_no_text_of_a_run_reaches_the_terminal_as_more_than_text(texts: Sequence[str], talking: TaskManager) -> None:
    for text in texts:
        failed = cli(talking, "run", "talk", f"text={text}")
        echoed = cli(talking, "run", "echo", f"text={text}")

        assert (failed.exit_code, echoed.exit_code) == (1, 0)
        assert not OBEYED.search(of_terminal(failed) + of_terminal(echoed))
        assert failed.output.count("\n") == 4, "two lines of the log, the progress, the outcome"
        assert echoed.output.count("\n") == 1
        log = cli(talking, "log", "talk")
        assert log.exit_code == 0
        assert not OBEYED.search(of_terminal(log))
    listed = cli(talking, "runs", "--limit", str(2 * len(texts)))
    shown = cli(talking, "show", "talk")

    assert (listed.exit_code, shown.exit_code) == (0, 0)
    assert not OBEYED.search(of_terminal(listed) + of_terminal(shown))
    assert listed.stdout.count("\n") == 1 + 2 * len(texts)


def test_neither_does_what_a_command_writes(tmp_path: pathlib.Path) -> None:
    texts = [text for text in naughty_strings() if len(text) < 1_000]
    (tmp_path / "output").write_text("\n".join(texts), encoding="utf-8")
    with TaskManager([]) as manager:
        manager.add(shell(f"cat {tmp_path}/output"), name="cat")
        ended = cli(manager, "run", "cat")

    assert ended.exit_code == 0
    assert not OBEYED.search(of_terminal(ended))
    assert ended.output.count(" INFO ") > 500


@pytest.mark.parametrize("texts", CHUNKS, ids=range(len(CHUNKS)))
def test_neither_does_a_text_that_somebody_gives(texts: Sequence[str], talking: TaskManager) -> None:
    for text in texts:
        noted = cli(talking, "disable", "sample", f"--note={text}")
        tasks = cli(talking, "list")
        unknown = cli(talking, "run", "--", text, "x=1")
        parameter = cli(talking, "run", "sample", "--", text)
        words = cli(talking, "next", "--", text)

        assert (noted.exit_code, tasks.exit_code, unknown.exit_code) == (0, 0, 2)
        for result in (noted, tasks, unknown, parameter, words):
            assert not OBEYED.search(of_terminal(result))
        assert [noted.output.count("\n"), tasks.output.count("\n"), unknown.output.count("\n")] == [1, 4, 1]


@pytest.mark.parametrize("command", [["show"], ["log"], ["cancel"], ["recurring", "show"], ["recurring", "delete"]])
def test_neither_does_a_name_that_there_is_not(command: list[str], talking: TaskManager) -> None:
    for text in naughty_strings()[::5]:
        refused = cli(talking, *command, "--", text)
        assert refused.exit_code == 2
        assert not OBEYED.search(of_terminal(refused))
        assert refused.output.count("\n") == 1


def test_neither_does_what_the_store_keeps_of_people(manager: TaskManager) -> None:
    manager.add(lambda text="": None, name="echo")
    names = [text for text in naughty_strings() if text.strip() and len(text) <= 100 and text.isprintable()][::5]
    for number, text in enumerate(naughty_strings()[::5]):
        name = f"{number} {names[number % len(names)]}"
        made = cli(manager, "recurring", "create", "--task", "echo", "--", name, f"text={text}")
        assert made.exit_code == 0, made.output
        off = cli(manager, "recurring", "disable", name, f"--note={text}")
        assert not OBEYED.search(of_terminal(made) + of_terminal(off))
    listed, journal = cli(manager, "recurring", "list"), cli(manager, "journal", "--limit", "1000")

    assert not OBEYED.search(of_terminal(listed) + of_terminal(journal))
    assert listed.output.count("\n") == 1 + len(naughty_strings()[::5])
    assert journal.output.count("\n") == 1 + 2 * len(naughty_strings()[::5])


def test_names_of_tasks_are_one_line_each(manager: TaskManager) -> None:
    names = [text for text in naughty_strings() if text.strip() and len(text) <= 200 and text.isprintable()]
    for name in names:
        manager.add(lambda: None, name=name)

    listed = cli(manager, "list")

    assert listed.output.count("\n") == 1 + len(names)
    assert not OBEYED.search(of_terminal(listed))
    assert len(names) > 400


def test_a_secret_is_on_no_screen(manager: TaskManager) -> None:
    def sync(token: str, pages: int = 1) -> dict[str, str]:
        current_run().logger.info("with %s", token)
        current_run().update_progress(50, f"as {token}")
        if pages == 2:
            raise ValueError(f"refused {token}")
        return {"token": token}

    manager.add(sync, name="sync", redact=["token"], parameters={"token": CANARY})
    asked = [
        ["run", "sync"],
        ["run", "sync", f"token={CANARY}2", "pages=2"],
        ["run", "sync", f"token={CANARY}3", "--json"],
        ["run", "sync", f"token={CANARY}4", "pages=x"],
        ["run", "sync", f"token={CANARY}5", "--here"],
        ["run", "sync", f"token={CANARY}6", "pages=2", "--here", "--json"],
        ["run", "sync", f'token=["{CANARY}7"]'],
        ["runs"],
        ["runs", "--json"],
        ["list"],
        ["list", "--json"],
        ["show", "sync"],
        ["show", "sync", "--json"],
        ["log", "sync"],
        ["log", "sync", "--json"],
        ["journal"],
    ]
    with manager:
        results = [cli(manager, *words) for words in asked]

    assert [result.exit_code for result in results] == [0, 1, 0, 2, 0, 1, 2, *[0] * 9]
    assert [words for words, result in zip(asked, results, strict=True) if "CANARY" in result.output] == []


@pytest.mark.parametrize("texts", CHUNKS, ids=range(len(CHUNKS)))
def test_an_error_is_one_line_whatever_it_says(texts: Sequence[str]) -> None:
    for text in texts:

        def refuse(_: object, text: str = text) -> TaskManager:
            raise StoreUnavailableError(text)

        ended = CliRunner().invoke(make_group(refuse, name="tasks"), ["list"])

        assert ended.exit_code == 2
        assert ended.output.startswith("Error: ")
        assert ended.output.count("\n") == 1
        assert not OBEYED.search(ended.output)
