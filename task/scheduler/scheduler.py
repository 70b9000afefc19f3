"""``Scheduler``: our core in the place of `schedule`'s own scheduler."""

from __future__ import annotations

import datetime
import random
import threading
from collections.abc import Callable, Hashable
from typing import Any

import schedule

from task.clock import Clock, ProcessClock, as_local
from task.errors import TaskError
from task.events import Announcer
from task.log import logger
from task.scheduler.core import Core
from task.scheduler.entries import Entry, JobList, PlainJob
from task.scheduler.heap import Heap
from task.scheduler.watch import ClockWatch
from task.schedules import CancelJob, Timetable, check_interval, check_job, follows_elapsed_time

__all__ = ["Scheduler"]


class Scheduler(Core, schedule.Scheduler):
    """A `schedule.Scheduler` that is on time, thread-safe, and runs by itself once it is started.

    >>> scheduler = Scheduler()
    >>> job = scheduler.every(10).minutes.do(print, "hello")
    >>> scheduler.get_jobs() == [job]
    True
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._prepare(clock or ProcessClock())

    def rebuild(self) -> None:
        """Make the heap anew from the plain jobs: a fork may have caught it half changed."""
        plain = [job for job, entry in self._jobs.values() if entry.plain]
        self._jobs, self._heap = {}, Heap()
        for job in plain:
            self.add(job, keep=True)

    def set_apart(self) -> Callable[[], None]:
        """Plan nothing any more but plain jobs, and those anew; what is returned puts back what was planned.

        No loop may run, before and then.
        """
        before = self._jobs, self._heap, self.clock_watch, self._loop, self.announcer
        before_times = self.looked_at, self.started_at, self._now
        plain = [job for job, entry in self._jobs.values() if entry.plain]
        runs = [(job, job.last_run, job.next_run) for job in plain]
        self._jobs, self._heap, self.clock_watch = {}, Heap(), ClockWatch(self.clock)
        self._loop, self.announcer = None, Announcer(self.clock.inline)
        self.looked_at, self.started_at, self._now = None, None, self.clock.now()
        for job in plain:
            job.last_run = None
            self.add(job)

        def put_back() -> None:
            self._jobs, self._heap, self.clock_watch, self._loop, self.announcer = before
            self.looked_at, self.started_at, self._now = before_times
            for job, last_run, next_run in runs:
                job.last_run, job.next_run = last_run, next_run

        return put_back

    @classmethod
    def adopt(cls, scheduler: schedule.Scheduler) -> Scheduler:
        """Turn a plain scheduler into one of ours in place: everybody who holds it holds ours.

        Its jobs keep the next run that they had.
        """
        if isinstance(scheduler, cls):
            return scheduler
        jobs = list(scheduler.jobs)
        del scheduler.__dict__["jobs"]
        scheduler.__class__ = cls
        assert isinstance(scheduler, cls)
        scheduler._prepare(ProcessClock())
        for job in jobs:
            try:
                scheduler.add(job, keep=True)
            except TaskError as error:
                logger.error("The job %s cannot be kept and was left out: %s", job, error)
        if scheduler is schedule.default_scheduler:
            schedule.jobs = scheduler.jobs
        return scheduler

    @property
    def jobs(self) -> Any:
        """All jobs, as a list that may be changed while the loop runs."""
        return JobList(self)

    @jobs.setter
    def jobs(self, value: list[schedule.Job]) -> None:
        self.jobs[:] = value

    def every(self, interval: float = 1) -> schedule.Job:
        """A new job of this scheduler. Raises `ScheduleError` for an interval that is not positive."""
        check_interval(interval)
        return schedule.Job(interval, self)  # type: ignore[arg-type]  # fractions of a unit work here

    def run_pending(self) -> None:
        """Run what is due, here and now. While the loop runs this does nothing: the loop does it."""
        if self.is_running():
            return
        self._now = self.clock.now()
        while (item := self._pop_due()) is not None:
            if isinstance(item, Entry):
                self._take_and_fire(item)

    def run_all(self, delay_seconds: int = 0) -> None:
        """Run every job once, here and now, with *delay_seconds* between them.

        For a job that is due this is the run of its slot; other slots stay where they are.
        """
        self._now = self.clock.now()
        pause = threading.Condition()
        for job in self.get_jobs():
            found = self._jobs.get(id(job))
            if found is not None and found[1].plain:
                self._take(found[1])
            self.run_job(job)
            if delay_seconds:
                with pause:
                    self.clock.wait(pause, delay_seconds)

    def clear(self, tag: Hashable | None = None) -> None:
        """Cancel the jobs with *tag*, or all of them."""
        for job in self.get_jobs(tag):
            self.drop(job)

    def get_next_run(self, tag: Hashable | None = None) -> datetime.datetime | None:
        """When the next job with *tag* is due, naive and local; None when there is none."""
        return min((moment for job in self.get_jobs(tag) if (moment := job.next_run) is not None), default=None)

    next_run = property(get_next_run)

    def _run_job(self, job: schedule.Job) -> None:
        if job.cancel_after is not None and as_local(self.clock.now()) > job.cancel_after:
            self.drop(job)
            return
        if type(job).run is schedule.Job.run:
            assert job.job_func is not None
            result = job.job_func()
            job.last_run = as_local(self.clock.now())
        else:
            planned = job.next_run
            result = job.run()  # type: ignore[no-untyped-call]  # schedule has no annotation there
            job.next_run = planned  # its own computation counts for nothing here
        if result is CancelJob or isinstance(result, CancelJob):
            self.drop(job)

    def add(self, job: schedule.Job, *, keep: bool = False) -> None:
        """Put a plain job on the heap; with *keep* at the next run that it already has."""
        check_job(job)
        planned = job.next_run.astimezone(datetime.UTC) if keep and job.next_run is not None else None
        anchor = planned or (self.elapsed_now() if follows_elapsed_time(job) else self.clock.now())
        timetable = Timetable(str(random.random()))
        line = timetable.add(job, anchor, anchor)
        line.next = planned or line.next
        self.register(Entry(PlainJob(job, self), timetable, plain=True))

    def run_job(self, job: schedule.Job) -> None:
        """Run a plain job that is still scheduled, and drop it when it has no next slot."""
        found = self._jobs.get(id(job))
        if found is not None:
            self._run_job(job)
            if found[1].plain and job.next_run is None:
                self.drop(job)
