"""What is accepted as a store, and that no message tells its password."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import traceback

import pytest

from task import TaskManager
from task.errors import DeclarationError, DeclarationTypeError, MissingExtraError, StoreUnavailableError, TaskError
from task.stores import open_store

SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "tasks.db",
        "mysql://user:hunter2@host/db",
        "mysql://host/db?password=hunter2",
        "postgres//user:hunter2@host/db",
        "postgresql:user:hunter2@host/db",
        "postgresql://user:hunter2@host:port/db",
        "postgresql://user:hunter2/db",
        "postgresql+psycopg2://user:hunter2@host/db",
        "postgresql+asyncpg://user:hunter2@host/db",
        "sqlite+aiosqlite:///tasks.db",
        "sqlite:///tasks.db?timeout=hunter2",
        "hunter2@host",
        b"postgresql://user:hunter2@host/db",
        pathlib.Path("tasks.db"),
    ],
)
def test_what_is_no_address_is_refused_and_a_password_in_it_is_not_shown(url: object) -> None:
    with pytest.raises((DeclarationError, DeclarationTypeError)) as raised:
        TaskManager([], store=url)  # type: ignore[arg-type]  # the mistake
    told = "".join(traceback.format_exception(raised.value, chain=True)).partition("Error: ")[2]
    assert "sqlite:///tasks.db" in told
    assert SECRET not in told
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file:a.db?uri=true"])
def test_a_store_that_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(DeclarationError, match="names no file"):
        TaskManager([], store=url)


def test_a_file_that_there_cannot_be_is_refused() -> None:
    with pytest.raises(DeclarationError, match="printable"):
        TaskManager([], store="sqlite:///a\0b")


def test_an_at_sign_in_a_password_is_to_be_written_out() -> None:
    with pytest.raises(DeclarationError, match="%40") as raised:
        TaskManager([], store="postgresql://user:half@hunter2@host/db")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://user:hunter2@127.0.0.1:1/db", "user:***@127.0.0.1:1/db"),
        ("postgresql://user:hunter2@127.0.0.1:1/db", "user:***@127.0.0.1:1/db"),
        ("postgres://user:hunter2@127.0.0.1:1/db", "user:***@127.0.0.1:1/db"),
        ("postgresql://user@127.0.0.1:1/db?password=hunter2", "user@127.0.0.1:1/db?password=hidden"),
        ("postgresql://user@127.0.0.1:1/db?sslpassword=hunter2", "user@127.0.0.1:1/db?sslpassword=hidden"),
    ],
)
def test_neither_a_repr_nor_an_error_nor_the_log_nor_health_tells_the_password(
    url: str, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("psycopg")
    store = open_store(url, "default", 30)
    assert repr(store) == f"SqlStore(<postgresql+psycopg://{shown} namespace='default'>)"
    for use in (lambda: store.runs(), lambda: store.pause(True)):
        with pytest.raises(StoreUnavailableError) as raised:
            use()
        assert shown in str(raised.value)
        assert SECRET not in "".join(traceback.format_exception(raised.value))
    assert shown in str(store.ailment)
    assert SECRET not in str(store.ailment)
    assert shown in caplog.text
    assert SECRET not in caplog.text
    store.close()


def test_a_folder_that_there_is_not_is_made_when_the_store_is_used(tmp_path: pathlib.Path) -> None:
    manager = TaskManager([], store=f"sqlite:///{tmp_path}/new/folder/tasks.db")
    assert not (tmp_path / "new").exists()
    assert manager.runs() == []
    assert (tmp_path / "new/folder/tasks.db").exists()


def test_a_folder_that_cannot_be_made_is_told_as_ours(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailableError, match="cannot be reached"):
        open_store(f"sqlite:///{tmp_path}/file/tasks.db", "default", 30).runs()


@pytest.mark.parametrize("namespace", ["", " ", "a\0b", "half \ud800", "two\nlines", "n" * 201, None, 5])
@pytest.mark.parametrize("store", [None, "sqlite:///tasks.db"])
def test_a_namespace_is_a_name(namespace: object, store: str | None) -> None:
    with pytest.raises(DeclarationError, match="namespace is a name of 1 to 200 printable characters") as raised:
        TaskManager([], store=store, namespace=namespace)  # type: ignore[arg-type]  # the mistake
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize("seconds", [0, 1.9, 86_401, True, "30", float("nan"), None])
def test_the_time_after_which_a_process_is_lost_is_checked(seconds: object) -> None:
    with pytest.raises(DeclarationError, match="lost_after is a number of seconds"):
        TaskManager([], lost_after=seconds)  # type: ignore[arg-type]  # the mistake


def test_without_a_driver_for_postgresql_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError) as raised:
        TaskManager([], store="postgresql://user:hunter2@host/db")
    assert str(raised.value) == "A PostgreSQL store needs the extra 'sql': pip install 'schedule-tasks[sql]'"
    assert isinstance(raised.value, TaskError)


def test_without_sqlalchemy_it_says_what_to_install_and_memory_works() -> None:
    code = """
import sys
sys.modules["sqlalchemy"] = None
from task import TaskManager
print(TaskManager([]).runs())
try:
    TaskManager([], store="postgresql://user:hunter2@host/db")
except ImportError as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == (
        "[]\nMissingExtraError A store in a database needs the extra 'sql': pip install 'schedule-tasks[sql]'\n"
    )
    assert done.stderr == ""


def test_sqlalchemy_is_loaded_by_those_who_use_it_only() -> None:
    code = "import sys, task; task.TaskManager([]); print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"
