"""Where the commands find their manager: a module, what it holds or makes, or a store alone."""

from __future__ import annotations

import importlib
import os
import pathlib
import sys
import sysconfig
import traceback
import types
from collections.abc import Callable
from typing import Any

import schedule

from task.cli.files import check_file
from task.errors import (
    DeclarationError,
    DeclarationTypeError,
    ManagerStateError,
    MissingExtraError,
    did_you_mean,
)
from task.helpers import default_manager, task_list
from task.models import TaskFunction, TaskManager
from task.schedules import shorten
from task.stores import open_store

__all__ = ["load_manager"]

#: So much is told of what an import has raised. Characters.
_LONGEST = 500
#: Code that is not the user's: of an error the last line that is theirs is told.
_OURS = (str(pathlib.Path(__file__).resolve().parents[1]), "<frozen ")
_LIBRARIES = tuple(sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib"))


def load_manager(target: str | None, store: str | None = None, namespace: str | None = None) -> TaskManager:
    """The manager of *target*: ``package.module`` or ``jobs.py``, and after a colon what is meant in it.

    That is a `TaskManager`, a Flask application that has its tasks, a function without parameters that returns one of
    them, or anything with tasks on it. Without it, the one manager of the module is meant, else its tasks are given one
    of their own: that of `task.helpers`, where plain `schedule` has jobs. Modules are found as ``python -m`` does: in
    the current directory first. *store* and *namespace* are for a manager that was made without; with a store alone,
    a manager without tasks looks at it. It is not started.

    Raises `DeclarationTypeError` for what cannot be imported or found, `DeclarationError` where several are meant,
    `ManagerStateError` for a manager that keeps its record elsewhere, and what `TaskManager` raises.

    >>> load_manager("jobs_of_nobody")
    Traceback (most recent call last):
    task.errors.DeclarationTypeError: There is no module 'jobs_of_nobody'. ...
    """
    manager = _found(target, store, namespace)
    if store is not None and manager.store.file is not None:
        check_file(manager.store.file, has_record=target is None)
    return manager


def _found(target: str | None, store: str | None, namespace: str | None) -> TaskManager:
    if target is None:
        if store is None:
            raise DeclarationError(
                "No tasks are named. Say where they are, with --module MODULE or TASK_MODULE; or which store is looked "
                "at, with --store URL or TASK_STORE."
            )
        return TaskManager([], store=store, namespace=namespace or "default")
    path, _, attribute = _parted(target)
    module = _imported(path)
    if attribute:
        found = _attribute(module, attribute, target)
        return _of_value(found, target, store, namespace)
    managers = _managers_of(module)
    if len(managers) > 1:
        raise DeclarationError(
            f"{path!r} has several managers. Name the one that is meant: "
            f"{', '.join(f'{path}:{name}' for name in managers.values())}."
        )
    if managers:
        return _kept(next(iter(managers)), target, store, namespace)
    return _of_tasks(module, target, store, namespace)


def _parted(target: str) -> tuple[str, str, str]:
    r"""A drive's colon (``C:\jobs.py``) parts nothing."""
    drive, rest = os.path.splitdrive(target)
    path, colon, attribute = rest.partition(":")
    return drive + path, colon, attribute


# The module.


def _imported(path: str) -> types.ModuleType:
    is_file = path.endswith(".py") or os.sep in path
    folder, name = _place_of(path) if is_file else (os.getcwd(), path)
    if folder not in sys.path[:1]:
        sys.path.insert(0, folder)
    importlib.invalidate_caches()  # the file may be newer than what was seen of its folder
    module: types.ModuleType = _calling(lambda: importlib.import_module(name), name, f"{path!r} cannot be imported")
    if is_file and not _is_of_file(module, path):
        raise DeclarationTypeError(
            f"{path!r} cannot be imported: the module {name!r} is another one, {getattr(module, '__file__', None)!r}. "
            "Give the file a name of its own."
        )
    return module


def _place_of(path: str) -> tuple[str, str]:
    """The folder that a file is imported from, and the name that it has there: that of its packages before its own."""
    file = pathlib.Path(path).resolve()
    if not os.path.isfile(file):  # which knows of no path that is too long
        near = did_you_mean(file.name, _files(file.parent), "Write the path of a file, or 'package.module'.")
        raise DeclarationTypeError(f"There is no file {path!r}. {near}")
    names, folder = [] if file.stem == "__init__" else [file.stem], file.parent
    while (folder / "__init__.py").is_file() and folder.parent != folder:
        names.insert(0, folder.name)
        folder = folder.parent
    return str(folder), ".".join(names)


def _is_of_file(module: types.ModuleType, path: str) -> bool:
    found = getattr(module, "__file__", None)
    return found is not None and os.path.exists(found) and os.path.samefile(found, path)


def _files(folder: pathlib.Path) -> list[str]:
    return [found.name for found in folder.glob("*.py")] if folder.is_dir() else []


def _calling(call: Callable[[], Any], name: str, what: str) -> Any:
    """What the user's code makes; what it raises is told in one line, with the place."""
    try:
        return call()
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            here = [file.removesuffix(".py") for file in _files(pathlib.Path.cwd())]
            near = did_you_mean(name, here, f"Modules are looked for in {os.getcwd()!r}, and where Python looks.")
            raise DeclarationTypeError(f"There is no module {shorten(error.name)}. {near}") from None
        raise _told(error, what) from error
    except MissingExtraError:
        raise
    except (Exception, SystemExit) as error:
        raise _told(error, what) from error


def _told(error: BaseException, what: str) -> DeclarationTypeError:
    kind = "it ends the program, as sys.exit() does" if isinstance(error, SystemExit) else type(error).__name__
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    said = kind + (f": {_in_one_line(said)}" if said and not isinstance(error, SystemExit) else "")
    place = _place_in_their_code(error)
    return DeclarationTypeError(f"{what}: {said}{'' if place is None else f' ({place})'}.")


def _in_one_line(text: str) -> str:
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def _place_in_their_code(error: BaseException) -> str | None:
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{error.filename}, line {error.lineno}"
    frames = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith(_OURS)]
    theirs = [one for one in frames if not one.filename.startswith(_LIBRARIES)] or frames
    return f"{theirs[-1].filename}, line {theirs[-1].lineno}" if theirs else None


# What is meant in it.


def _attribute(module: types.ModuleType, attribute: str, target: str) -> Any:
    found: Any = module
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            known = [one for one in getattr(found, "__dict__", ()) if not one.startswith("_")]
            raise DeclarationTypeError(
                f"There is no {name!r} in {target!r}. {did_you_mean(name, known)}".rstrip()
            ) from None
        except Exception as error:  # a property, or a module's own __getattr__
            raise _told(error, f"{name!r} in {target!r} cannot be read") from error
    return found


def _of_value(value: Any, target: str, store: str | None, namespace: str | None) -> TaskManager:
    manager = _manager_of(value)
    if manager is None and not isinstance(value, TaskFunction) and _is_factory(value):
        value = _calling(value, "", f"{target!r} cannot be called")
        manager = _manager_of(value)
    if manager is not None:
        return _kept(manager, target, store, namespace)
    if _is_flask(value):
        raise DeclarationError(f"The application {target!r} has no tasks: give it FlaskTasks(manager, app=app).")
    return _of_tasks(value, target, store, namespace)


def _is_factory(value: Any) -> bool:
    """A function, or a class of managers; the tasks of other classes are found on the class."""
    return issubclass(value, TaskManager) if isinstance(value, type) else callable(value) and not _is_flask(value)


def _managers_of(module: types.ModuleType) -> dict[TaskManager, str]:
    """Those that a module has, each with the first of its names there."""
    found: dict[TaskManager, str] = {}
    for name, value in list(vars(module).items()):
        manager = _manager_of(value)
        if manager is not None:
            found.setdefault(manager, name)
    return found


def _manager_of(value: Any) -> TaskManager | None:
    """A manager, or that of a Flask application; by its type alone: a proxy (``current_app``, say) is not woken."""
    if _is_flask(value):
        value = getattr(value.extensions.get("tasks"), "manager", None)
    return value if issubclass(type(value), TaskManager) else None


def _is_flask(value: Any) -> bool:
    return any((base.__module__, base.__name__) == ("flask.app", "Flask") for base in type(value).__mro__)


def _of_tasks(source: Any, target: str, store: str | None, namespace: str | None) -> TaskManager:
    tasks = task_list(source)
    if not tasks and not schedule.get_jobs():
        raise DeclarationError(
            f"{target!r} has no TaskManager and no task. Decorate functions with @task, or name what is meant: "
            "MODULE:ATTRIBUTE, a TaskManager or a function that returns one."
        )
    if not schedule.get_jobs():
        return TaskManager(source, store=store, namespace=namespace or "default")
    manager = default_manager()  # it drives the jobs of plain `schedule`, too
    for found in tasks:
        manager.add(found)
    return _kept(manager, target, store, namespace)


# Its record.


def _kept(manager: TaskManager, target: str, store: str | None, namespace: str | None) -> TaskManager:
    if store is None:
        if namespace is not None and namespace != getattr(manager.store, "namespace", None):
            raise ManagerStateError(
                f"The manager of {target!r} keeps its record in another namespace than {shorten(namespace)}. Leave out "
                "--namespace (TASK_NAMESPACE), or give --store as well, and no store in the code."
            )
        return manager
    if not manager.embedding.has_store:
        manager.embedding.keep_in(store, namespace)
        return manager
    own: str = getattr(manager.store, "namespace", "default")
    wanted = open_store(store, namespace or own, 30.0)
    if not wanted.is_one_with(manager.store):
        raise ManagerStateError(
            f"The manager of {target!r} has a store already, {manager.store!r}, which is not {wanted!r}. Leave out "
            "--store (TASK_STORE), or take store= out of the code."
        )
    return manager
