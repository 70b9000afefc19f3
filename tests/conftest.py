"""What every test has: no manager, thread or process left behind, and a clean audit."""

from __future__ import annotations

import contextlib
import datetime
import gc
import multiprocessing
import pathlib
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from databases import Cluster, sqlite_url
from hypothesis import HealthCheck, settings
from outages import Proxy
from virtual_processes import VirtualProcesses

from task import TaskManager
from task.models import process as process_module
from task.testing import VirtualClock

UTC = datetime.UTC

#: How long what will happen is waited for. Seconds; a machine may be held up for many.
LIMIT = 60.0

# How long an example takes says nothing on a machine that is held up at any moment.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")

_FAILED: pytest.StashKey[bool] = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """What a failed test has left open is collected with it: the warnings would be errors of innocent tests."""
    result = yield
    if item.stash.get(_FAILED, False):
        for name in ("last_type", "last_value", "last_traceback", "last_exc"):  # they keep all that it had
            vars(sys).pop(name, None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """What a test has logged may be no UTF-8 (that is what it tests); reports go from process to process as that."""
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(autouse=True)
def every_slot_has_one_outcome(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test: its managers are stopped, and their audits find nothing."""
    for name in ("store_url", "any_store_url", "postgres_url", "proxy"):  # their databases are there until after that
        if name in request.fixturenames:
            request.getfixturevalue(name)
    before = set(process_module.all_managers)
    threads = set(threading.enumerate())
    yield
    managers = set(process_module.all_managers) - before
    with contextlib.ExitStack() as stack:  # each of them, whatever becomes of the others
        for manager in managers:
            stack.callback(manager.stop, timeout=5)
    assert [finding for manager in managers for finding in manager.audit()] == []
    deadline = time.monotonic() + LIMIT
    while left := [thread for thread in threading.enumerate() if thread not in threads and _ours(thread)]:
        assert time.monotonic() < deadline, f"threads left behind: {left}"
        for manager in list(process_module.all_managers):
            if manager.state == "stopped":  # one of an earlier test may have sent a signal after its stop
                manager.stop()
        left[0].join(0.1)
    while left := multiprocessing.active_children():  # some were killed just now
        assert time.monotonic() < deadline, f"processes left behind: {left}"
        left[0].join(0.1)
    if "flask" in sys.modules:
        assert not sys.modules["flask"].has_app_context(), "a context of an application is left behind"


def _ours(thread: threading.Thread) -> bool:
    return thread.name.startswith("task-")


@pytest.fixture
def clock() -> VirtualClock:
    """A virtual clock that starts at noon, UTC, on Monday 4 May 2026."""
    return VirtualClock(datetime.datetime(2026, 5, 4, 12, tzinfo=UTC))


@pytest.fixture
def manager(clock: VirtualClock) -> TaskManager:
    """A manager on the virtual clock, with no tasks."""
    return TaskManager([], clock=clock)


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool]], None]:
    """Wait until something that other threads bring about is so."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT
        event = threading.Event()
        while not condition():
            assert time.monotonic() < deadline, f"waited {LIMIT:g} seconds in vain"
            event.wait(0.005)

    return wait


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The PostgreSQL cluster of all tests. One that breaks it asks for `postgres_url` too, which mends it."""
    with Cluster(fsync=False) as made:  # the tests crash processes and the server, never the machine
        yield made


@pytest.fixture
def postgres_url(cluster: Cluster) -> Iterator[str]:
    """An empty PostgreSQL database."""
    cluster.start()
    url = cluster.create_database()
    yield url
    cluster.start()
    cluster.drop_database(url)


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[Proxy]:
    """Between the tests and the database of `postgres_url`."""
    with Proxy(postgres_url) as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    """An empty database of each kind."""
    return _url(request, tmp_path)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def any_store_url(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str | None:
    """What a manager on each kind of store is given as ``store=``: None means memory."""
    return None if request.param == "memory" else _url(request, tmp_path)


def _url(request: pytest.FixtureRequest, folder: pathlib.Path) -> str:
    return sqlite_url(folder) if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def processes(
    clock: VirtualClock, request: pytest.FixtureRequest, tmp_path: pathlib.Path
) -> Iterator[VirtualProcesses]:
    """Processes on one SQLite file, all on one virtual clock; a test asks for PostgreSQL by ``parametrize``."""
    kind = getattr(request, "param", "sqlite")
    made = VirtualProcesses(
        clock, sqlite_url(tmp_path) if kind == "sqlite" else request.getfixturevalue("postgres_url")
    )
    yield made
    made.close()
