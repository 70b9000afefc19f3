"""Where the commands find their manager: what each target means, and what is said of one that means nothing."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import sqlite3
import sys
from collections.abc import Callable, Iterator

import pytest
import schedule

from task import TaskManager, helpers
from task.cli.group import Refusal
from task.cli.source import load_manager
from task.errors import DeclarationError, DeclarationTypeError, ManagerStateError, TaskError

Write = Callable[..., str]

_numbers = itertools.count()


@pytest.fixture
def write(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a module into the current directory; its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)

    def write(text: str, name: str | None = None) -> str:
        name = name or f"jobs_{next(_numbers)}"
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return name

    yield write
    for added in set(sys.modules) - before:
        if getattr(sys.modules[added], "__file__", None) and str(tmp_path) in str(sys.modules[added].__file__):
            del sys.modules[added]


def refusal(target: str | None, store: str | None = None, namespace: str | None = None) -> str:
    """What is said of a target that means nothing."""
    with pytest.raises(TaskError) as caught:
        load_manager(target, store, namespace)
    return str(caught.value)


TASKS = "from task import TaskManager, task\n@task\ndef report(): ...\n"


def test_the_one_manager_of_a_module_is_meant(write: Write) -> None:
    module = write("from task import TaskManager\nfirst = TaskManager([])\nagain = first\n")
    assert load_manager(module) is sys.modules[module].first


def test_a_module_without_a_manager_has_its_tasks_run_by_one_of_their_own(write: Write) -> None:
    assert list(load_manager(write(TASKS))) == ["report"]


def test_an_attribute_is_a_manager_a_function_that_makes_one_a_class_of_managers_or_has_tasks(write: Write) -> None:
    module = write(
        TASKS
        + "first, second = TaskManager([]), TaskManager([])\n"
        + "def make(): return second\n"
        + "class Mine(TaskManager):\n    @task\n    def own(self): ...\n"
        + "class Plain:\n    made = TaskManager([])\n    @staticmethod\n    @task\n    def other(): ...\n"
    )
    assert load_manager(f"{module}:first") is sys.modules[module].first
    assert load_manager(f"{module}:second") is sys.modules[module].second
    assert load_manager(f"{module}:make") is sys.modules[module].second
    assert load_manager(f"{module}:Plain.made") is sys.modules[module].Plain.made
    assert list(load_manager(f"{module}:Plain")) == ["other"]
    assert list(load_manager(f"{module}:report")) == ["report"]
    assert "own" in load_manager(f"{module}:Mine")


def test_several_managers_are_refused_by_their_names(write: Write) -> None:
    module = write("from task import TaskManager\nfirst, second = TaskManager([]), TaskManager([])\n")
    assert refusal(module) == (
        f"'{module}' has several managers. Name the one that is meant: {module}:first, {module}:second."
    )


def test_a_file_is_imported_by_the_name_that_it_has_in_its_package(write: Write) -> None:
    write("", "shop_of_jobs.__init__")
    write("from shop_of_jobs import other\n" + TASKS, "shop_of_jobs.jobs")
    write("", "shop_of_jobs.other")

    assert list(load_manager("shop_of_jobs/jobs.py")) == ["report"]
    assert list(load_manager("shop_of_jobs/jobs.py:report")) == ["report"]
    assert "shop_of_jobs.jobs" in sys.modules


def test_a_flask_application_is_one_of_its_manager(write: Write, tmp_path: pathlib.Path) -> None:
    module = write(
        f"""
from flask import Flask, current_app
from task import TaskManager
from task.flask import FlaskTasks, allow_local
def create_app():
    app = Flask("shop", instance_path={str(tmp_path)!r})
    FlaskTasks(TaskManager([]), auth=allow_local).init_app(app)
    return app
app = create_app()
bare = Flask("bare")
"""
    )
    manager = load_manager(module)
    assert manager is sys.modules[module].app.extensions["tasks"].manager
    assert load_manager(f"{module}:app") is manager
    assert load_manager(f"{module}:create_app") is not manager
    assert refusal(f"{module}:bare").startswith(f"The application '{module}:bare' has no tasks: ")


def test_jobs_of_plain_schedule_run_beside_the_tasks_of_their_module(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "default_scheduler", schedule.Scheduler())
    monkeypatch.setattr(schedule, "jobs", schedule.default_scheduler.jobs)
    helpers._make_default_manager.cache_clear()
    module = write(TASKS + "import schedule\nschedule.every(1).hours.do(print)\n")

    manager = load_manager(module)

    assert manager is helpers.default_manager()
    assert (len(manager.scheduler.jobs), list(manager)) == (1, ["report"])
    helpers._make_default_manager.cache_clear()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import task\n\n1 / 0\n", "ZeroDivisionError: division by zero (PLACE, line 3)."),
        ("import json\njson.loads('{')\n", "JSONDecodeError: Expecting property name enclosed in double quotes"),
        ("from task import cron\ncron('0 0 31 2 *')\n", "PLACE, line 2)."),
        ("import sys\nsys.exit(3)\n", "it ends the program, as sys.exit() does (PLACE, line 2)."),
        ("def (:\n", "SyntaxError: invalid syntax (PLACE, line 1)."),
        ("import nothing_of_the_kind\n", "No module named 'nothing_of_the_kind' (PLACE, line 1)."),
    ],
)
def test_what_an_import_raises_is_one_line_with_the_place_in_the_users_file(
    write: Write, text: str, said: str, tmp_path: pathlib.Path
) -> None:
    module = write(text)
    told = refusal(module)
    assert told.startswith(f"'{module}' cannot be imported: ")
    assert said.replace("PLACE", str(tmp_path / f"{module}.py")) in told
    assert str(tmp_path / f"{module}.py") in told
    assert "\n" not in told


def test_a_factory_that_fails_is_told_with_its_place(write: Write, tmp_path: pathlib.Path) -> None:
    module = write("def make():\n    raise OSError('no settings')\n")
    assert refusal(f"{module}:make") == (
        f"'{module}:make' cannot be called: OSError: no settings ({tmp_path / module}.py, line 2)."
    )


def test_what_is_not_there_is_refused_with_the_nearest_name(write: Write) -> None:
    module = write(TASKS + "manager = TaskManager([])\n")
    assert refusal(f"{module}:manger") == f"There is no 'manger' in '{module}:manger'. Did you mean 'manager'?"
    assert "Did you mean 'jobs_" in refusal(f"{module}x")
    assert "Did you mean 'jobs_" in refusal(f"{module}x.py")
    assert refusal("nothing_of_the_kind.jobs").startswith("There is no module 'nothing_of_the_kind'. ")


def test_a_file_whose_name_is_another_modules_is_refused(write: Write) -> None:
    write(TASKS, "json")
    assert "Give the file a name of its own." in refusal("json.py")


def test_what_has_no_tasks_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "default_scheduler", schedule.Scheduler())
    module = write("number = 42\n")
    with pytest.raises(DeclarationError, match="has no TaskManager and no task"):
        load_manager(module)
    with pytest.raises(DeclarationTypeError, match="No tasks can be found on 42"):
        load_manager(f"{module}:number")


def test_no_target_looks_at_a_store_alone(tmp_path: pathlib.Path) -> None:
    url = f"sqlite:///{tmp_path}/tasks.db"
    TaskManager([], store=url).runs()
    manager = load_manager(None, url)
    assert (len(manager), manager.store.shared) == (0, True)
    assert refusal(None).startswith("No tasks are named. ")


@pytest.mark.parametrize("with_module", [True, False])
def test_a_file_that_is_no_database_is_left_as_it_is(write: Write, tmp_path: pathlib.Path, with_module: bool) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database\n" * 100)
    module = write(TASKS) if with_module else None

    with pytest.raises(Refusal, match=r"notes.txt' is no database that can be read \(file is not a database\)"):
        load_manager(module, f"sqlite:///{file}")

    assert file.read_text() == "not a database\n" * 100
    assert list(tmp_path.glob("*.corrupt-*")) == []


def test_to_look_at_the_database_of_something_else_writes_nothing_there(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "shop.db"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE orders (number INTEGER)")
    before = file.read_bytes()

    with pytest.raises(Refusal, match=r"There is no record of tasks in '.*shop\.db'"):
        load_manager(None, f"sqlite:///{file}")

    assert file.read_bytes() == before


def test_what_raises_when_it_is_looked_for_is_told_in_a_line(write: Write) -> None:
    module = write("def __getattr__(name):\n    raise RuntimeError('no ' + name)\n")

    with pytest.raises(DeclarationTypeError, match=r"'jobs' in '.*' cannot be read: RuntimeError: no jobs "):
        load_manager(f"{module}:jobs")


def test_a_path_that_is_too_long_is_none() -> None:
    with pytest.raises(DeclarationTypeError, match="There is no file 'x"):
        load_manager("x" * 3000 + ".py")


def test_a_store_is_for_a_manager_that_was_made_without(write: Write, tmp_path: pathlib.Path) -> None:
    url, other = f"sqlite:///{tmp_path}/tasks.db", f"sqlite:///{tmp_path}/other.db"
    tasks, bare = write(TASKS), write(TASKS + "manager = TaskManager([])\n")
    owner = write(TASKS + f"manager = TaskManager([], store={url!r}, namespace='shop')\n")

    assert load_manager(tasks, url, "shop").store.is_one_with(load_manager(bare, url, "shop").store)
    assert load_manager(owner, url) is sys.modules[owner].manager
    assert load_manager(owner, None, "shop") is sys.modules[owner].manager
    with pytest.raises(ManagerStateError, match="has a store already, SqlStore"):
        load_manager(owner, other)
    with pytest.raises(ManagerStateError, match="has a store already"):
        load_manager(owner, url, "attic")
    with pytest.raises(ManagerStateError, match="in another namespace than 'attic'"):
        load_manager(owner, None, "attic")
    assert isinstance(load_manager(bare), TaskManager)
