"""``flask tasks``: the commands on the store of the application."""

from __future__ import annotations

import contextvars
import json
import pathlib

import pytest
from click.shell_completion import ShellComplete
from flask import Flask, current_app
from flask.cli import FlaskGroup, ScriptInfo

from task import MemoryStore, TaskManager, every
from task.flask import FlaskTasks, allow_anyone


def make_app(manager: TaskManager, folder: pathlib.Path) -> Flask:
    app = Flask("reader", instance_path=str(folder))
    FlaskTasks(manager, auth=allow_anyone).init_app(app)
    return app


def test_the_commands_are_on_the_store_of_the_application_and_start_no_loop(tmp_path: pathlib.Path) -> None:
    manager = TaskManager([])
    manager.add(lambda: None, every(10).minutes, name="sample")
    app = make_app(manager, tmp_path)

    switched = app.test_cli_runner().invoke(args=["tasks", "disable", "sample", "--note", "moving house"])
    listed = app.test_cli_runner().invoke(args=["tasks", "list"])

    assert switched.output == "sample is off: moving house\n"
    assert listed.output.splitlines()[1].split() == ["sample", "every", "10", "minutes", "off:", "moving", "house"]
    assert app.extensions["tasks"].manager.state == "stopped"
    assert not app.extensions["tasks"].manager["sample"].is_enable
    manager.store.close()


@pytest.mark.parametrize(
    "words", [["disable", "sample"], ["enable", "sample"], ["recurring", "create", "nightly", "--task", "sample"]]
)
def test_a_record_in_memory_is_steered_only_where_the_tasks_run(words: list[str], tmp_path: pathlib.Path) -> None:
    manager = TaskManager([], store=MemoryStore())
    manager.add(lambda: None, name="sample")
    app = make_app(manager, tmp_path)

    elsewhere = app.test_cli_runner().invoke(args=["tasks", *words])
    with manager:
        here = app.test_cli_runner().invoke(args=["tasks", *words])

    assert (elsewhere.exit_code, elsewhere.stdout) == (2, "")
    assert "cannot be steered from another process, as the record of each is in its memory." in elsewhere.stderr
    assert here.exit_code == 0, here.output


def test_trigger_is_also_called_run(tmp_path: pathlib.Path) -> None:
    manager = TaskManager([])
    manager.add(lambda: "done", name="sample")
    app = make_app(manager, tmp_path)

    ended = [app.test_cli_runner().invoke(args=["tasks", word, "sample", "--here"]) for word in ("trigger", "run")]
    told = app.test_cli_runner().invoke(args=["tasks", "--help"]).stdout

    assert [one.stdout.endswith(': "done"\n') for one in ended] == [True, True]
    assert "The same as trigger." in told
    assert "completion" not in told
    manager.store.close()


def test_a_body_that_runs_here_is_inside_the_application(tmp_path: pathlib.Path) -> None:
    manager = TaskManager([])
    manager.add(lambda: current_app.name, name="sample")
    app = make_app(manager, tmp_path)

    ended = app.test_cli_runner().invoke(args=["tasks", "run", "sample", "--here", "--json"])

    assert ended.exit_code == 0
    assert json.loads(ended.stdout)["result"] == '"reader"'
    manager.store.close()


def test_the_shell_completes_the_names_of_the_applications_tasks(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_RUN_FROM_CLI", "false")  # Flask sets it, and leaves a context: its process ends then
    manager = TaskManager([])
    for name in ("report", "sample"):
        manager.add(lambda: None, name=name)
    app = make_app(manager, tmp_path)
    group = FlaskGroup(create_app=lambda: app, load_dotenv=False)

    complete = ShellComplete(group, {"obj": ScriptInfo(create_app=lambda: app)}, "flask", "_FLASK_COMPLETE")

    found = contextvars.copy_context().run(complete.get_completions, ["tasks", "run"], "re")

    assert [item.value for item in found] == ["report"]
    manager.store.close()
