"""What Prometheus is told of a manager."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest
from naughty import naughty_strings
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from task import StoreUnavailableError, TaskManager, current_run, every
from task import metrics as metrics_module
from task.metrics import TaskCollector, exposition
from task.runs import Run
from task.stores import Standing
from task.testing import VirtualClock


def samples(manager: TaskManager) -> dict[str, float]:
    """All that is told, as Prometheus reads it: ``name{label=value}`` and its value."""
    body, content_type = exposition(manager)
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def test_outcomes_are_counted_by_task_and_state(any_store_url: str | None, clock: VirtualClock) -> None:
    def sample() -> None:
        if clock.now().minute % 5 == 0:
            raise ValueError("no")

    with TaskManager([], clock=clock, store=any_store_url) as manager:
        manager.add(sample, every(1).minutes, name="sample")
        clock.advance(minutes=10)
        manager["sample"].disable()
        clock.advance(minutes=3)
        told = samples(manager)

    assert told["task_runs_total state=succeeded task=sample"] == 8
    assert told["task_runs_total state=failed task=sample"] == 2
    assert told["task_runs_total state=skipped task=sample"] == 3
    assert told["task_consecutive_failures task=sample"] == 1
    assert told["task_enabled task=sample"] == 0
    assert told["task_last_success_timestamp_seconds task=sample"] == 1777896540  # 4 May 2026, 12:09 UTC
    assert told["task_next_run_timestamp_seconds task=sample"] == 1777896840


def test_durations_and_lateness_are_seconds_at_two_quantiles(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: clock.sleep(clock.now().minute), every(1).minutes, name="sample", threaded=True)
    with manager:
        clock.advance(minutes=20, seconds=30)
        told = samples(manager)

    assert told["task_run_duration_seconds quantile=0.5 task=sample"] == 10
    assert told["task_run_duration_seconds quantile=0.95 task=sample"] == 19
    assert told["task_lateness_seconds quantile=0.95 task=sample"] == 0


def test_what_is_under_way_is_told_apart_from_what_waits(manager: TaskManager, clock: VirtualClock) -> None:
    seen: list[dict[str, float]] = []

    def sample() -> None:
        manager.trigger("sample")
        seen.append(samples(manager))
        current_run().cancel()

    manager.add(sample, name="sample", overlap="queue")
    with manager:
        run = manager.trigger("sample")
        run.wait(5)
        manager.pause()
    assert seen[0]["task_running task=sample"] == 1
    assert seen[0]["task_queued task=sample"] == 1


def test_a_manager_tells_whether_it_does_its_work(manager: TaskManager) -> None:
    with manager:
        running = samples(manager)
    stopped = samples(manager)

    assert (running["task_manager_healthy"], stopped["task_manager_healthy"]) == (1, 0)
    assert running["task_signals_dropped_total"] == 0


def test_without_a_loop_no_next_slot_is_told(manager: TaskManager) -> None:
    manager.add(lambda: None, every(1).minutes, name="sample")

    assert "task_next_run_timestamp_seconds task=sample" not in samples(manager)


def test_recurring_entries_are_told_of_as_tasks_are(manager: TaskManager, clock: VirtualClock) -> None:
    manager.add(lambda: None, name="sample")
    with manager:
        manager.recurring.add("nightly", task="sample", schedule="every 10 minutes")
        clock.advance(minutes=30)
        told = samples(manager)

    assert told["task_runs_total state=succeeded task=nightly"] == 3
    assert told["task_next_run_timestamp_seconds task=nightly"] == 1777898400


def test_there_are_at_most_so_many_tasks_and_the_others_are_counted(
    manager: TaskManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_module, "TASKS", 3)
    for number in range(5):
        manager.add(lambda: None, name=f"sample {number}")

    told = samples(manager)

    assert told["task_tasks_left_out"] == 2
    assert [name for name in told if name.startswith("task_enabled")] == [
        "task_enabled task=sample 0",
        "task_enabled task=sample 1",
        "task_enabled task=sample 2",
    ]


def test_a_store_that_cannot_be_reached_is_told_and_the_rest_still_is(
    manager: TaskManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(names: object, now: object) -> dict[str, Standing]:
        raise StoreUnavailableError("the disk is full")

    manager.add(lambda: None, name="sample")
    monkeypatch.setattr(manager.store, "standing", refuse)

    told = samples(manager)

    assert told["task_store_reachable"] == 0
    assert told["task_manager_healthy"] == 0
    assert "task_enabled task=sample" not in told


def test_names_cannot_forge_a_line(manager: TaskManager) -> None:
    names = [name for name in naughty_strings() if name.strip() and len(name) <= 200 and name.isprintable()]
    for name in names:
        manager.add(lambda: None, name=name)

    told = samples(manager)

    assert {name.removeprefix("task_enabled task=") for name in told if name.startswith("task_enabled")} == set(names)
    assert len(names) > 400


def test_it_can_be_registered_where_other_metrics_are_without_asking_the_store(
    manager: TaskManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager.store, "standing", None)
    registry = CollectorRegistry(auto_describe=True)

    registry.register(TaskCollector(manager))

    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(TaskCollector(manager))


def test_without_the_library_the_extra_is_named() -> None:
    program = "import sys; sys.modules['prometheus_client'] = None\nimport task.metrics"

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert "task.metrics needs the extra 'metrics': pip install 'schedule-tasks[metrics]'" in ended.stderr


def test_every_metric_is_told_with_its_meaning_and_ours_begin_alike(manager: TaskManager) -> None:
    families = list(text_string_to_metric_families(exposition(manager)[0].decode()))

    assert all(family.documentation and family.name.startswith("task_") for family in families)


def test_the_newest_runs_of_a_task_are_read_again_only_when_it_has_run(
    manager: TaskManager, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[str] = []
    read = manager.store.recent

    def recent(names: Sequence[str], limit: int = 60) -> dict[str, list[Run]]:
        looked_at.extend(names)
        return read(names, limit)

    monkeypatch.setattr(manager.store, "recent", recent)
    manager.add(lambda: None, every(10).seconds, name="often")
    manager.add(lambda: None, every(10).hours, name="seldom")
    collector = TaskCollector(manager)

    with manager:
        list(collector.collect())
        looked_at.clear()
        clock.advance(seconds=10)
        list(collector.collect())

    assert looked_at == ["often"]
