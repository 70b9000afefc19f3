"""The pytest plugin of `task`: virtual time for tests of tasks. docs/howto/testing.md shows it.

It lies beside the package, so that pytest loads it without loading that: `task` is imported by the test that uses it.
``pytest -p no:task`` leaves the plugin out.
"""

from __future__ import annotations

import shlex
import typing

import pytest

if typing.TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from task.testing import TaskClock

__all__: list[str] = []

MARKERS = (
    "task_clock(start=None, *, threads=False, keep_stores=False): how the fixture `task_clock` starts",
    "task_seeds(count, *, longest=30.0, failures=0.1): run the test once for each of so many seeds, by which the "
    "bodies of tasks take longer, up to `longest` seconds, and so many of them (0 to 1) fail",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("task").addoption(
        "--task-seed",
        type=int,
        default=None,
        metavar="N",
        help="run each test that is marked with task_seeds with this seed alone, to reproduce a failure",
    )


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("task_seeds")
    if marker is None:
        return
    if "task_seed" not in metafunc.fixturenames:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: task_seeds is for a test that uses task_clock.")
    count = marker.args[0] if marker.args else marker.kwargs.get("count")
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: task_seeds(20) takes a number of seeds, not {count!r}.")
    asked = metafunc.config.getoption("task_seed")
    seeds = range(count) if asked is None else [asked]
    metafunc.parametrize("task_seed", seeds, ids=[f"seed-{seed}" for seed in seeds], indirect=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    clock = item.stash.get(_CLOCK, None)
    if report.failed and clock is not None and clock.variation is not None:
        seed = clock.variation.seed
        again = f"clock.vary(seed={seed}) was called"
        if item.get_closest_marker("task_seeds") is not None:
            again = f"this comes again with: pytest --task-seed={seed} {shlex.quote(item.nodeid)}"
        report.sections.append(("task seed", f"Bodies were varied by the seed {seed}; {again}"))
    return report


_CLOCK: pytest.StashKey[TaskClock] = pytest.StashKey()


@pytest.fixture
def task_seed(request: pytest.FixtureRequest) -> int | None:
    """The seed of a test that is marked with ``task_seeds``; else None."""
    return getattr(request, "param", None)


@pytest.fixture
def task_clock(request: pytest.FixtureRequest, task_seed: int | None) -> Iterator[TaskClock]:
    """Virtual time: every manager of this process goes by it, on a record of its own, until the test ends.

    ``task_clock.run(manager)`` runs managers, ``task_clock.advance(hours=24)`` lets time pass. The marker
    ``task_clock(start="2026-05-04T12:00+02:00")`` says when it starts.
    """
    from task.testing import virtual_time

    marker = request.node.get_closest_marker("task_clock")
    arguments = marker.args if marker is not None else ()
    options = marker.kwargs if marker is not None else {}
    with virtual_time(*arguments, **options) as clock:
        if task_seed is not None:
            varied = request.node.get_closest_marker("task_seeds")
            chosen = {key: value for key, value in varied.kwargs.items() if key != "count"}
            clock.vary(task_seed, **chosen)
        request.node.stash[_CLOCK] = clock
        yield clock
