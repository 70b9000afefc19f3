"""Jobs of plain `schedule` under a manager: on the serial worker, as they would be without one."""

from __future__ import annotations

import functools

import schedule

from task.log import logger
from task.pipeline import Pipeline, describe
from task.runs import Run
from task.scheduler import Scheduler

__all__ = ["PlainJobs"]


class PlainJobs:
    """Runs plain jobs. They have no name, and so no record; a failure is logged."""

    def __init__(self, scheduler: Scheduler, pipeline: Pipeline) -> None:
        self._scheduler = scheduler
        self._pipeline = pipeline
        self._under_way: set[int] = set()

    def run(self, job: schedule.Job) -> None:
        """Hand *job* to the serial worker; as with `schedule` itself, it never waits for itself."""
        executors = self._pipeline.executors
        if executors is None or id(job) in self._under_way:
            return
        self._under_way.add(id(job))
        name = getattr(job.job_func, "__name__", repr(job.job_func))
        executors.serial.submit(functools.partial(self._run, job), Run(name, "schedule", self._scheduler.clock.now()))

    def _run(self, job: schedule.Job, run: Run) -> None:
        run.started_at = self._scheduler.clock.now()
        try:
            if self._pipeline.closed is None:  # else it waited while the manager was stopped
                self._scheduler.run_job(job)
        except BaseException as error:
            line, text = describe(error)
            logger.error("The job %s failed: %s\n%s", run.task, line, text)
        finally:
            self._under_way.discard(id(job))

    def forget(self) -> None:
        """The executors are new: nothing of before is under way."""
        self._under_way = set()
