"""``Scheduler``: a heap over the next slots, and the loop that sleeps until the first of them.

It is a drop-in for `schedule.Scheduler`, thread-safe, with O(log n) work per slot. The loop decides
and hands over; it never runs a body.
"""

from __future__ import annotations

import datetime
import heapq
import itertools
import logging
import os
import random
import threading
from collections.abc import Callable, Hashable, Iterator, MutableSequence
from typing import Any

import schedule

from task.clock import Clock, LoopHandle, SystemClock, as_local
from task.errors import ManagerStateError
from task.events import Announcer, clock_stepped, marks_set_back
from task.schedules import CancelJob, Due, Timetable, check_interval, check_job

__all__ = ["Entry", "Scheduler"]

logger = logging.getLogger("task")

Moment = datetime.datetime

#: The loop never waits longer without comparing the wall clock with the monotonic one. Seconds.
LONGEST_WAIT = 30.0

#: A difference between the two clocks that counts as a step. Seconds.
STEP = 1.0

#: A loop that is so late for its published beat counts as dead or blocked. Seconds.
BEAT_GRACE = 5.0

_DAY = datetime.timedelta(days=1)
_ZERO = datetime.timedelta(0)


class Entry:
    """One task on the heap: its timetable, and whom to tell when something is due.

    ``fire(due)`` is called on the loop and must only hand over. ``catch_up()`` is called instead when
    late slots are to be run one by one; it gets them from `Scheduler.take_oldest`. ``set_back(now)``
    is told that the mark lay in a future that was wrong.
    """

    __slots__ = (
        "catch_up",
        "fire",
        "held",
        "hold",
        "key",
        "live",
        "mark",
        "name",
        "plain",
        "reason",
        "set_back",
        "timetable",
    )

    def __init__(
        self,
        name: str,
        timetable: Timetable,
        fire: Callable[[Due], None],
        *,
        catch_up: Callable[[], None] | None = None,
        set_back: Callable[[Moment], None] | None = None,
        hold: bool = False,
        plain: bool = False,
    ) -> None:
        self.name = name
        self.timetable = timetable
        self.fire = fire
        self.catch_up = catch_up
        self.set_back = set_back
        #: Off the heap from each firing until `Scheduler.release` (``fixed_delay``).
        self.hold = hold
        self.held = False
        #: A job of plain `schedule`, which has no task.
        self.plain = plain
        #: When it is due, in wall time; a heap item with another key is stale.
        self.key: Moment | None = None
        #: The newest slot that was taken.
        self.mark: Moment | None = None
        #: False once it was removed.
        self.live = True
        #: Why the schedule is broken, or None.
        self.reason: str | None = None


class _Timer:
    """A call at a moment, on the loop; it must only hand over."""

    __slots__ = ("call", "key")

    def __init__(self, key: Moment, call: Callable[[], None]) -> None:
        self.key: Moment | None = key
        self.call = call


class _Jobs(MutableSequence[schedule.Job]):
    """The jobs of a scheduler as the list that `schedule` makes public; O(1) to append and to remove."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def _list(self) -> list[schedule.Job]:
        with self._scheduler._lock:
            return [job for job, _ in self._scheduler._jobs.values()]

    def __len__(self) -> int:
        return len(self._scheduler._jobs)

    def __iter__(self) -> Iterator[schedule.Job]:
        return iter(self._list())

    def __contains__(self, job: object) -> bool:
        return id(job) in self._scheduler._jobs

    def __getitem__(self, index: Any) -> Any:
        return self._list()[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        jobs = self._list()
        jobs[index] = value
        keep = {id(job) for job in jobs}
        for job in self._list():
            if id(job) not in keep:
                self._scheduler.drop(job)
        for job in jobs:
            if job not in self:
                self._scheduler.add(job)

    def __delitem__(self, index: Any) -> None:
        found = self._list()[index]
        for job in found if isinstance(index, slice) else [found]:
            self._scheduler.drop(job)

    def insert(self, index: int, value: schedule.Job) -> None:
        self._scheduler.add(value)

    def append(self, value: schedule.Job) -> None:
        self._scheduler.add(value)

    def remove(self, value: schedule.Job) -> None:
        if not self._scheduler.drop(value):
            raise ValueError(f"{value} is not scheduled")

    def __eq__(self, other: object) -> bool:
        return self._list() == (other._list() if isinstance(other, _Jobs) else other)

    __hash__ = None  # type: ignore[assignment]  # like a list

    def __repr__(self) -> str:
        return repr(self._list())


class Scheduler(schedule.Scheduler):
    """A `schedule.Scheduler` that is on time, thread-safe, and runs by itself once it is started.

    >>> scheduler = Scheduler()
    >>> job = scheduler.every(10).minutes.do(print, "hello")
    >>> scheduler.get_jobs() == [job]
    True
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._prepare(clock or SystemClock())

    def _prepare(self, clock: Clock) -> None:
        self.clock = clock
        #: Runs a plain job away from the loop; set by the manager.
        self.run_plain: Callable[[schedule.Job], None] | None = None
        #: The manager that this scheduler belongs to.
        self.owner: object = None
        self._jobs: dict[int, tuple[schedule.Job, Entry]] = {}
        self._heap: list[tuple[Moment, int, Entry | _Timer]] = []
        self._order = itertools.count()
        self._stale = 0
        self._now = clock.now()
        self._lead = _ZERO
        self._seen: tuple[Moment, float] | None = None
        self.reset_after_fork()

    def reset_after_fork(self, pid: int | None = None) -> None:
        """Fresh locks, and no loop: a forked child has neither the parent's threads nor its promises."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._handle: LoopHandle | None = None
        self._pid = pid
        self._stopping = False
        self._woken = False
        self._beat_due = 0.0
        self.announcer = Announcer(self.clock.inline)

    def rebuild(self) -> None:
        """Make the heap anew from the plain jobs: a fork may have caught it half changed."""
        plain = [job for job, entry in self._jobs.values() if entry.plain]
        self._jobs, self._heap, self._stale, self._pid = {}, [], 0, None
        for job in plain:
            self.add(job, keep=True)

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
        scheduler._prepare(SystemClock())
        for job in jobs:
            scheduler.add(job, keep=True)
        if scheduler is schedule.default_scheduler:
            schedule.jobs = scheduler.jobs
        return scheduler

    # What `schedule` has.

    @property
    def jobs(self) -> Any:
        """All jobs, as a list that may be changed while the loop runs."""
        return _Jobs(self)

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
        return min((job.next_run for job in self.get_jobs(tag) if job.next_run is not None), default=None)

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

    # Jobs and entries.

    def add(self, job: schedule.Job, *, keep: bool = False) -> None:
        """Put a plain job on the heap; with *keep* at the next run that it already has."""
        check_job(job)
        now = self.clock.now()
        anchor = after = now
        if keep and job.next_run is not None:
            anchor = job.next_run.astimezone(datetime.UTC)
            after = anchor - datetime.timedelta(microseconds=1)
        timetable = Timetable(str(random.random()))
        entry = Entry(str(job), timetable, lambda due: self._fire_plain(job), plain=True)
        timetable.add(job, anchor, after)
        self.register(entry)

    def _fire_plain(self, job: schedule.Job) -> None:
        """Hand a plain job over where a manager runs the loop; else run it here, as `schedule` does."""
        if self.run_plain is not None and self.is_running():
            self.run_plain(job)
        else:
            self.run_job(job)

    def run_job(self, job: schedule.Job) -> None:
        """Run a plain job that is still scheduled, and drop it when it has no next slot."""
        if id(job) in self._jobs:
            self._run_job(job)
            if job.next_run is None:
                self.drop(job)

    def register(self, entry: Entry) -> None:
        """Put an entry on the heap, its jobs among `jobs`."""
        with self._lock:
            entry.live = True
            for line in entry.timetable.lines:
                self._jobs[id(line.job)] = (line.job, entry)
            self._push(entry)

    def remove(self, entry: Entry) -> None:
        """Take an entry off, with all its jobs."""
        with self._lock:
            entry.live = False
            self._unkey(entry)
            for line in entry.timetable.lines:
                self._jobs.pop(id(line.job), None)
                line.next = line.job.next_run = None

    def drop(self, job: schedule.Job) -> bool:
        """Take one job off; whether it was there. Its task, if any, keeps its other schedules."""
        with self._lock:
            found = self._jobs.pop(id(job), None)
            if found is None:
                return False
            entry = found[1]
            entry.timetable.remove(job)
            self._unkey(entry)
            if entry.timetable.lines:
                self._push(entry)
            return True

    def release(self, entry: Entry, moment: Moment | None = None) -> None:
        """Put a held entry back; with *moment*, its next slot is counted from there."""
        with self._lock:
            entry.held = False
            if moment is not None:
                for line in entry.timetable.lines:
                    line.anchor = moment
                entry.timetable.restart(moment)
            self._push(entry)

    def take_oldest(self, entry: Entry) -> Due | None:
        """The oldest late slot of a held entry. Slow: for a worker, never for the loop."""
        due = entry.timetable.take_oldest(self.clock.now(), self._lead)
        if due is not None:
            entry.mark = due.slot
        return due

    def call_at(self, moment: Moment, call: Callable[[], None]) -> None:
        """Call *call* on the loop at a wall time; it must only hand over."""
        with self._lock:
            self._put(_Timer(moment, call), moment)

    def _push(self, entry: Entry) -> None:
        """Set the entry's key and put it on the heap. The lock is held."""
        if not entry.live or entry.held or entry.reason is not None:
            return
        if entry.plain:
            for line in entry.timetable.lines:
                line.job.next_run = None if line.next is None else as_local(line.next)
        key = entry.key = entry.timetable.due_at(self._lead)
        if key is not None:
            self._put(entry, key)

    def _put(self, item: Entry | _Timer, key: Moment) -> None:
        first = self._heap[0][0] if self._heap else None
        heapq.heappush(self._heap, (key, next(self._order), item))
        if first is None or key < first:
            self._woken = True
            self._changed.notify_all()

    def _unkey(self, entry: Entry) -> None:
        """Make the entry's heap item stale, and sweep when most of the heap is. The lock is held."""
        if entry.key is None:
            return
        entry.key = None
        self._stale += 1
        if self._stale > 64 and self._stale > len(self._heap) // 2:
            self._heap = [item for item in self._heap if item[2].key is item[0]]
            heapq.heapify(self._heap)
            self._stale = 0

    # The loop.

    def start(self, name: str = "task-scheduler") -> None:
        """Start the loop. Raises `ManagerStateError` when it runs already."""
        with self._lock:
            if self.is_running():
                raise ManagerStateError("This scheduler's loop runs already.")
            self._stopping = False
            self._seen = None
            self._pid = os.getpid()
            self._beat_due = self.clock.monotonic() + LONGEST_WAIT
        self._handle = self.clock.start(self, name)

    def stop(self, timeout: float = 5.0) -> None:
        """End the loop and wait for it, at most *timeout* seconds. Jobs stay registered."""
        with self._lock:
            self._stopping = True
            handle, self._handle = self._handle, None
            self._changed.notify_all()
        if handle is not None and handle is not threading.current_thread():
            handle.join(timeout)

    def is_running(self) -> bool:
        """Whether a loop makes passes in this process."""
        return self._handle is not None and self._handle.is_alive() and self._pid == os.getpid()

    def ailment(self) -> str | None:
        """What is wrong with the loop, computed at this moment; None when nothing is."""
        if self._pid is not None and self._pid != os.getpid():
            return f"forked: the loop runs in process {self._pid}, not in this one ({os.getpid()})"
        if self._handle is None:
            return "the loop is not running"
        if not self._handle.is_alive():
            return "the loop's thread is dead"
        late = self.clock.monotonic() - self._beat_due
        if late > BEAT_GRACE:
            return f"the loop has been blocked for {late:.0f} seconds"
        return None

    def loop(self) -> None:
        """Make passes and wait between them, until `stop`."""
        while not self._stopping:
            try:
                seconds = self.run_due()
            except BaseException:
                logger.exception("A pass of the scheduler's loop failed; the loop goes on")
                seconds = 1.0
            with self._changed:
                if not self._woken and not self._stopping:
                    self.clock.wait(self._changed, seconds)
                self._woken = False

    def run_due(self) -> float:
        """Make one pass: fire all that is due; the seconds to wait before the next."""
        self._observe_clock()
        while not self._stopping and (item := self._pop_due()) is not None:
            if isinstance(item, Entry):
                self._take_and_fire(item)
            else:
                item.call()
        with self._lock:
            self._woken = False
            seconds = LONGEST_WAIT
            if self._heap:
                seconds = min(seconds, max(0.0, (self._heap[0][0] - self.clock.now()).total_seconds()))
            self._beat_due = self.clock.monotonic() + seconds
            return seconds

    def _pop_due(self) -> Entry | _Timer | None:
        with self._lock:
            heap = self._heap
            while heap:
                key, _, item = heap[0]
                if item.key is not key:
                    heapq.heappop(heap)
                    self._stale -= 1
                    continue
                if key > self._now:
                    self._now = self.clock.now()
                    if key > self._now:
                        return None
                heapq.heappop(heap)
                item.key = None
                return item
            return None

    def _take(self, entry: Entry) -> Due | None:
        """What is due of an entry, once; it goes back on the heap before anybody hears of it."""
        timetable = entry.timetable
        try:
            due = timetable.take(self._now, self._lead)
        except BaseException as error:
            self._break(entry, error)
            return None
        with self._lock:
            entry.held = timetable.behind or (entry.hold and due is not None)
            if due is not None and due.slot is not None:
                entry.mark = due.slot
            if entry.held and not timetable.behind:
                for line in timetable.lines:
                    line.next = None  # known at the end of the run
            self._unkey(entry)
            self._push(entry)
        return due

    def _take_and_fire(self, entry: Entry) -> None:
        due = self._take(entry)
        if not entry.live:
            return
        if entry.timetable.behind and entry.catch_up is not None:
            entry.catch_up()
        elif due is not None:
            entry.fire(due)

    def _break(self, entry: Entry, error: BaseException) -> None:
        """A schedule's own computation failed: leave that task out, say so, go on."""
        entry.reason = f"{type(error).__name__}: {_text(error)}"
        for line in entry.timetable.lines:
            line.next = line.job.next_run = None
        logger.error(
            "The schedule of task %r is broken and it will not run until it is registered again: %s",
            entry.name,
            entry.reason,
        )

    # Steps of the wall clock.

    def _observe_clock(self) -> None:
        # Wall first: a pause between the two readings then makes the wall look behind, never ahead.
        wall, monotonic = self.clock.now(), self.clock.monotonic()
        seen, self._seen, self._now = self._seen, (wall, monotonic), wall
        if seen is None:
            return
        jump = (wall - seen[0]).total_seconds() - (monotonic - seen[1])
        if abs(jump) >= STEP:
            self._clock_stepped(wall, jump)

    def _clock_stepped(self, now: Moment, jump: float) -> None:
        """Intervals go on at their elapsed rate, ahead of a wall clock that went back by up to a day.

        Calendars keep their next slot, and so are silent until the wall clock has come to it.
        """
        logger.warning("The wall clock jumped by %+.1f seconds", jump)
        lead = max(_ZERO, self._lead - datetime.timedelta(seconds=jump))
        reset: list[Entry] = []
        with self._lock:
            wrong = lead > _DAY  # the clock had been wrong before: begin again from now
            self._lead = _ZERO if wrong else lead
            for entry in {id(entry): entry for _, entry in self._jobs.values()}.values():
                if wrong and self._begin_again(entry, now):
                    reset.append(entry)
                self._unkey(entry)
                self._push(entry)
        self.announcer.announce(clock_stepped, self, seconds=jump)
        for entry in reset:
            if entry.set_back is not None:
                entry.set_back(now)
        if reset:
            logger.warning("Marks more than a day ahead were set back to %s: %s", now, [e.name for e in reset])
            self.announcer.announce(marks_set_back, self, moment=now, names=[entry.name for entry in reset])

    def _begin_again(self, entry: Entry, now: Moment) -> bool:
        """Plan from now, or from the mark; whether the mark lay in a future that was wrong."""
        mark = entry.mark
        reset = mark is not None and mark - now > _DAY
        if reset:
            entry.mark = mark = None
        try:
            entry.timetable.restart(now if mark is None else max(mark, now))
        except BaseException as error:
            self._break(entry, error)
        return reset


def _text(error: BaseException) -> str:
    try:
        return str(error)[:300]
    except BaseException:
        return "(its text raises)"
