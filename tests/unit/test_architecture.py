"""The house: imports go down the floors only, the front door is complete, every error is documented."""

from __future__ import annotations

import ast
import pathlib
import subprocess
import sys

import pytest

import task
import task.errors

ROOT = pathlib.Path(task.__file__).parent

#: Each room and its floor. A room may import from lower floors, and from its own package.
FLOORS = {
    "errors": 0,
    "clock": 0,
    "log": 0,
    "schedules": 1,
    "runs": 1,
    "events": 1,
    "tracing": 1,
    "hosting": 1,
    "stores": 2,
    "executors": 2,
    "retries": 2,
    "calendars": 2,
    "injection": 2,
    "shell": 2,
    "remote": 2,
    "spec": 3,  # it validates what retries and calendars understand
    "scheduler": 4,
    "pipeline": 4,
    "alerts": 5,
    "models": 6,
    "decorators": 7,
    "helpers": 7,
    "overview": 7,
    "testing": 7,
    "doctor": 8,
    "foresight": 8,
    "metrics": 8,
    "cli": 9,
    "__main__": 10,
    "flask": 10,
    "__init__": 10,
}


def imports_of(path: pathlib.Path) -> set[str]:
    """The modules of ours that a file imports when it runs; not those for annotations alone."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "task":
            found.add(node.module)
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names if name.name.split(".")[0] == "task")
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path: pathlib.Path) -> None:
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for module in imports_of(path):
        other = room_of(module)
        assert other == room or FLOORS[other] < FLOORS[room], f"{path.name} imports {module}"


def test_no_two_modules_import_each_other() -> None:
    graph = {
        ".".join(("task", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): imports_of(path)
        for path in FILES
    }
    visited: dict[str, bool] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert not (name in visited and not visited[name]), f"circle: {' → '.join((*trail, name))}"
        if name in visited:
            return
        visited[name] = False
        for other in graph.get(name, ()):
            package = other.rpartition(".")[0]
            if other != name and package != name:
                visit(other, (*trail, name))
        visited[name] = True

    for name in graph:
        visit(name, ())


def test_the_front_door_names_everything_that_it_opens() -> None:
    public = {name for name in vars(task) if not name.startswith(("_", "@"))}  # @: pytest's own, in installed plugins
    modules = {path.stem if path.parent == ROOT else path.parent.name for path in FILES}
    assert public - (modules - set(task.__all__)) == set(task.__all__)


def test_every_error_is_ours_documented_and_drawn() -> None:
    for name in task.errors.__all__:
        error = getattr(task.errors, name)
        assert issubclass(error, task.TaskError)
        assert error.__doc__
        assert name in (task.errors.__doc__ or "")
        assert name in task.__all__


def test_base_exceptions_are_caught_at_few_places_and_nowhere_else() -> None:
    places = {
        f"{path.relative_to(ROOT)}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and node.type is not None and ast.unparse(node.type) == "BaseException"
    }
    assert places == {
        "events.py",  # a receiver
        "stores/sql/ledger.py",  # a store operation
        "stores/sql/operations.py",  # what follows one
        "calendars/conditions.py",  # a condition
        "executors/event_loop.py",  # a dispatch
        "executors/loop_threads.py",  # a dispatch
        "executors/pools.py",  # a dispatch
        "injection/opening.py",  # the closing of a service
        "models/lifecycle.py",  # a start that is undone, and raised on
        "models/plain.py",  # a plain job's dispatch
        "models/registry.py",  # a registration that is undone, and raised on
        "log.py",  # a logging handler of the application
        "pipeline/execution.py",  # a body
        "pipeline/outcome.py",  # the text of an exception
        "pipeline/pipeline.py",  # a body that is called directly
        "pipeline/callbacks.py",  # a callback
        "pipeline/claims.py",  # a claim off the loop, and raised on
        "remote/entry.py",  # a body, in another process
        "runs/run.py",  # a callback that waits for the end of a run
        "retries.py",  # a retry strategy and its callbacks
        "scheduler/loop.py",  # a pass of the loop
        "scheduler/core.py",  # a schedule's computation
        "schedules/slots.py",  # the computation of a user's own schedule
    }


def test_only_the_schedules_know_croniter_and_only_the_clock_reads_the_time() -> None:
    for path in FILES:
        text = path.read_text()
        relative = str(path.relative_to(ROOT))
        assert "croniter import" not in text or relative == "schedules/cron.py"
        assert "datetime.now(" not in text.replace("datetime.datetime.now(", "datetime.now(") or relative in (
            "clock.py",
            "runs/run.py",  # in an example
        )


def test_importing_task_loads_nothing_that_most_programs_do_not_use() -> None:
    heavy = ("asyncio", "concurrent.futures", "croniter", "flask", "multiprocessing", "sqlalchemy", "svcs", "tenacity")
    program = f"import sys, task; print([name for name in {heavy} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout == "[]\n"
