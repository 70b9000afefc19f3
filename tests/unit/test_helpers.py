"""The five helpers, on the default scheduler that everybody already holds."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schedule

from task import DeclarationTypeError, Scheduler, every, task
from task.helpers import default_manager, disable_task, enable_task, run_all_tasks, stop_all_tasks, task_list


@pytest.fixture
def namespace() -> Iterator[types.SimpleNamespace]:
    @task(every(0.05).seconds)
    def sample() -> None:
        made.ran += 1

    made = types.SimpleNamespace(sample=sample, ran=0)
    yield made
    stop_all_tasks(made)
    schedule.clear()


def test_tasks_run_and_stop(namespace: types.SimpleNamespace, wait_for: Callable[[Callable[[], bool]], None]) -> None:
    run_all_tasks(namespace)
    wait_for(lambda: namespace.ran >= 2)
    stop_all_tasks(namespace)
    assert "sample" not in default_manager()
    assert not default_manager().health


def test_the_default_scheduler_becomes_ours_in_place_and_plain_jobs_run_too(
    namespace: types.SimpleNamespace, wait_for: Callable[[Callable[[], bool]], None]
) -> None:
    plain: list[int] = []
    job = schedule.every(1).seconds.do(lambda: plain.append(1))
    run_all_tasks(namespace)
    assert isinstance(schedule.default_scheduler, Scheduler)
    assert job in schedule.get_jobs()
    assert len(schedule.get_jobs()) == 2
    assert len(schedule.jobs) == 2
    wait_for(lambda: plain != [])
    stop_all_tasks(namespace)
    assert schedule.get_jobs() == [job]


def test_a_plain_job_that_fails_is_logged_and_the_others_go_on(
    namespace: types.SimpleNamespace, wait_for: Callable[[Callable[[], bool]], None], caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> None:
        raise SystemExit("no")

    run_all_tasks(namespace)
    every(0.05).seconds.do(fails)
    wait_for(lambda: caplog.text.count("The job fails failed: SystemExit: no") >= 2)
    before = namespace.ran
    wait_for(lambda: namespace.ran > before)


def test_enable_and_disable(namespace: types.SimpleNamespace) -> None:
    disable_task(namespace.sample)
    assert not namespace.sample.is_enable
    enable_task(namespace.sample)
    assert namespace.sample.is_enable


def test_what_is_not_a_task_is_refused() -> None:
    plain: Any = print
    with pytest.raises(DeclarationTypeError, match="Decorate it"):
        disable_task(plain)


def test_task_list_lists_them_also_on_main(namespace: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert task_list(namespace) == [namespace.sample]
    monkeypatch.setattr(sys.modules["__main__"], "sample_of_this_test", namespace.sample, raising=False)
    assert namespace.sample in task_list()


def test_nothing_found_is_said_with_the_place(caplog: pytest.LogCaptureFixture) -> None:
    empty = types.ModuleType("an_empty_module")
    run_all_tasks(empty)
    stop_all_tasks(empty)
    assert "No task was found in module 'an_empty_module'" in caplog.text
