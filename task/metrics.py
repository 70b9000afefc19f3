"""Metrics of a manager, for Prometheus. Needs the extra ``metrics``."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from task.errors import MissingExtraError, StoreError
from task.models import TaskFunction, TaskManager
from task.overview import Overview
from task.runs import RunState
from task.stores import Standing, Statistics

try:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    raise MissingExtraError.of("metrics", "task.metrics") from error

__all__ = ["TaskCollector", "exposition"]

#: Of so many tasks and recurring entries metrics are told: each is a dozen series in the database of Prometheus.
TASKS = 1_000

#: What `exposition` answers is in: the text format that every version of Prometheus reads.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class TaskCollector(Collector):
    """Tells Prometheus of a manager, as it stands when it is asked: ``REGISTRY.register(TaskCollector(manager))``.

    What it tells of tasks is read off the store, at once for all of them; of their newest runs only what is new since
    it was asked last. On a store that processes share, each of them tells the same. Only the newest 60 runs of a task
    make its quantiles, and only the first 1 000 tasks are told of; ``task_tasks_left_out`` counts the others.

    >>> from task import TaskManager
    >>> manager = TaskManager([])
    >>> with manager:
    ...     manager.add(lambda: None, name="sample").trigger().wait(timeout=5)
    True
    >>> from prometheus_client import CollectorRegistry
    >>> registry = CollectorRegistry()
    >>> registry.register(TaskCollector(manager))
    >>> registry.get_sample_value("task_runs_total", {"task": "sample", "state": "succeeded"})
    1
    """

    def __init__(self, manager: TaskManager, overview: Overview | None = None) -> None:
        self._manager = manager
        #: One that others ask, too, has read much of it already.
        self._overview = overview or Overview(manager)

    def describe(self) -> Iterable[Metric]:
        """The metrics without values: a registry wants their names, and the store need not be asked for them."""
        return [*_Families().all(), *_of_manager(None)]

    def collect(self) -> Iterator[Metric]:
        """All metrics as they are now. A store that cannot be reached tells nothing of tasks."""
        families = _Families()
        reachable = True
        try:
            families.fill(self._manager, self._overview)
        except StoreError:  # told by the metric, with its reason by `TaskManager.health`
            families, reachable = _Families(), False
        yield from families.all()
        yield from _of_manager(self._manager)
        yield GaugeMetricFamily("task_store_reachable", "Whether the store answered.", int(reachable))


def exposition(manager: TaskManager, overview: Overview | None = None) -> tuple[bytes, str]:
    """The body and the content type of an answer to Prometheus, with the metrics of this manager alone.

    With an *overview* that is kept, what others have asked of that is not read again.

    >>> from task import TaskManager
    >>> body, content_type = exposition(TaskManager([]))
    >>> content_type
    'text/plain; version=0.0.4; charset=utf-8'
    """
    registry = CollectorRegistry()
    registry.register(TaskCollector(manager, overview))
    return generate_latest(registry), CONTENT_TYPE


class _Known(NamedTuple):
    """One task or recurring entry, and what only this process knows of it."""

    name: str
    next_run: datetime.datetime | None


class _Families:
    """The metrics of tasks."""

    def __init__(self) -> None:
        self.runs = CounterMetricFamily("task_runs", "Outcomes, of all time.", labels=["task", "state"])
        self.duration = _gauge("task_run_duration_seconds", "Durations of the newest 60 runs.", "quantile")
        self.lateness = _gauge(
            "task_lateness_seconds", "From the slot to the start, of the newest 60 runs.", "quantile"
        )
        self.last_success = _gauge("task_last_success_timestamp_seconds", "When the newest success had ended.")
        self.next_run = _gauge("task_next_run_timestamp_seconds", "The next slot, where this process runs the task.")
        self.failures = _gauge("task_consecutive_failures", "Failures in a row.")
        self.enabled = _gauge("task_enabled", "Its operator switch.")
        self.running = _gauge("task_running", "Runs whose body is under way.")
        self.queued = _gauge("task_queued", "Runs that wait for a place, or for another attempt.")
        self.left_out = GaugeMetricFamily("task_tasks_left_out", "Tasks that are not told of, as there are too many.")

    def all(self) -> list[Metric]:
        """Them all, in the order in which they are shown."""
        return list(vars(self).values())

    def fill(self, manager: TaskManager, overview: Overview) -> None:
        """Read all tasks off the store."""
        known = list(_known(manager))
        shown = known[:TASKS]
        names = [one.name for one in shown]
        standing = manager.store.standing(names, manager.clock.now())
        figures = overview.figures(standing)
        for name, next_run in shown:
            self._add(name, next_run, standing[name], figures[name])
        self.left_out.add_metric([], len(known) - len(shown))

    def _add(self, task: str, next_run: datetime.datetime | None, standing: Standing, told: Statistics) -> None:
        summary, active, switch, _ = standing
        for state, count in summary.states.items():
            self.runs.add_metric([task, state], count)
        _quantiles(self.duration, task, {"0.5": told.p50_duration, "0.95": told.p95_duration})
        _quantiles(self.lateness, task, {"0.5": told.p50_lateness, "0.95": told.p95_lateness})
        _moment(self.last_success, task, summary.succeeded_at)
        _moment(self.next_run, task, next_run)
        running = sum(run.state is RunState.RUNNING or run.overrunning for run in active)
        self.failures.add_metric([task], summary.consecutive_failures)
        self.enabled.add_metric([task], int(switch.enabled))
        self.running.add_metric([task], running)
        self.queued.add_metric([task], len(active) - running)


def _of_manager(manager: TaskManager | None) -> Iterator[Metric]:
    """Those of the manager; without one, the metrics without values."""
    health = None if manager is None else manager.health
    yield GaugeMetricFamily(
        "task_manager_healthy", "Whether this process runs its tasks.", None if health is None else int(health.healthy)
    )
    dropped = None if health is None else health.signals_dropped
    yield CounterMetricFamily("task_signals_dropped", "Signals whose receivers were too slow.", dropped)


def _known(manager: TaskManager) -> Iterator[_Known]:
    for task in manager.tasks:
        yield _Known(task.name, _next_run(task) if manager.state == "running" else None)
    if manager.state != "forked":  # it does not ask then
        for entry in manager.recurring.list():
            yield _Known(entry.name, entry.next_run)


def _next_run(task: TaskFunction[..., Any]) -> datetime.datetime | None:
    entry = task.binding.entry
    return None if entry is None or entry.reason is not None else entry.timetable.next_slot()


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=["task", *labels])


def _quantiles(family: GaugeMetricFamily, task: str, values: Mapping[str, float | None]) -> None:
    for quantile, value in values.items():
        if value is not None:
            family.add_metric([task, quantile], value)


def _moment(family: GaugeMetricFamily, task: str, moment: datetime.datetime | None) -> None:
    if moment is not None:
        family.add_metric([task], moment.timestamp())
