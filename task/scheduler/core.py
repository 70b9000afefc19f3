"""``Core``: the entries on the heap, the passes that fire them, and what a step of the clock does to them."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable

import schedule

from task.clock import Clock, as_local
from task.errors import ManagerStateError
from task.events import Announcer, clock_stepped, marks_set_back
from task.log import logger
from task.scheduler.entries import Entry, Timer
from task.scheduler.heap import Heap
from task.scheduler.loop import Loop
from task.scheduler.watch import LONGEST_LEAD, ClockWatch, Gap
from task.schedules import Due

__all__ = ["Core"]

Moment = datetime.datetime

#: What one pass fires at most: after it the loop looks at the clocks, publishes a beat, and goes on.
PASS_LIMIT = 100


class Core:
    """Entries by their jobs, a heap over their next slots, and a loop that fires what is due.

    One lock guards the heap. It is never held over a body, a callback, a receiver or input and output.
    """

    def _prepare(self, clock: Clock) -> None:
        self.clock = clock
        #: Runs a plain job away from the loop; set by the manager.
        self.run_plain: Callable[[schedule.Job], None] | None = None
        #: The manager that this scheduler belongs to.
        self.owner: Callable[[], object] = _nobody
        self._jobs: dict[int, tuple[schedule.Job, Entry]] = {}
        self._heap: Heap[Entry | Timer] = Heap()
        #: Knows the latest jumps of the wall clock.
        self.clock_watch = ClockWatch(clock)
        #: When its loop was last started (wall time).
        self.started_at: Moment | None = None
        #: The wall time up to which the loop has taken what was due; None until its first pass since the start.
        self.looked_at: Moment | None = None
        self._now = clock.now()
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """A fresh lock, no loop, no event thread: a forked child has none of the parent's threads."""
        self._lock = threading.Lock()
        self._loop: Loop | None = None
        self.announcer = Announcer(self.clock.inline)

    # Jobs and entries.

    def all_jobs(self) -> list[schedule.Job]:
        """The jobs, in the order in which they came."""
        with self._lock:
            return [job for job, _ in self._jobs.values()]

    def count(self) -> int:
        """How many jobs there are."""
        return len(self._jobs)

    def has(self, job: object) -> bool:
        """Whether *job* is one of them."""
        return id(job) in self._jobs

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
            self._heap.take_back(entry)
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
            self._heap.take_back(entry)
            if entry.timetable.lines:
                self._push(entry)
            return True

    def release(self, entry: Entry, moment: Moment | None = None) -> None:
        """Put a held entry back; with *moment* (wall time), its next slot is counted from there."""
        with self._lock:
            entry.held, entry.holder, entry.freed_at = False, None, self.clock.now()
            if moment is not None:
                moment += self.clock_watch.lead
                if entry.mark is not None:
                    moment = max(moment, entry.mark)
                for line in entry.timetable.lines:
                    line.anchor = moment
                entry.timetable.restart(moment)
            self._push(entry)

    def take_oldest(self, entry: Entry) -> Due | None:
        """The oldest late slot of a held entry. Slow: for a worker, never for the loop."""
        due = entry.timetable.take_oldest(self.clock.now(), self.clock_watch.lead)
        if due is not None:
            entry.mark = due.slot
        return due

    def hold(self, entry: Entry, holder: object) -> None:
        """Take an entry off the heap until `release`; *holder* is what it waits for."""
        with self._lock:
            entry.held, entry.holder = True, holder
            self._heap.take_back(entry)

    def call_at(self, moment: Moment, call: Callable[[], None]) -> Timer:
        """Call *call* on the loop at a wall time; it must only hand over. `call_off` takes it back."""
        timer = Timer(call)
        with self._lock:
            self._put(timer, moment)
        return timer

    def call_off(self, timer: Timer) -> None:
        """Take a call back that has not been made yet."""
        with self._lock:
            self._heap.take_back(timer)
        timer.call = _nobody  # the heap passes over it when it comes to it, and must not keep a run until then

    def _push(self, entry: Entry) -> None:
        """Set the entry's key and put it on the heap. The lock is held."""
        if not entry.live or entry.held or entry.reason is not None:
            return
        if entry.plain:
            for line in entry.timetable.lines:
                line.job.next_run = None if line.next is None else as_local(line.next)
        key = entry.timetable.due_at(self.clock_watch.lead)
        if key is not None:
            self._put(entry, key)

    def _put(self, item: Entry | Timer, key: Moment) -> None:
        if self._heap.put(item, key) and self._loop is not None:
            self._loop.wake()

    # The loop.

    def start(self, name: str = "task-scheduler") -> None:
        """Start the loop. Raises `ManagerStateError` when it runs already."""
        with self._lock:
            if self.is_running():
                raise ManagerStateError("This scheduler's loop runs already.")
            self.looked_at, self.started_at = None, self.clock.now()
            loop = self._loop = Loop(self.clock, self._lock, self._make_pass, self._heap.first)
        loop.start(name)

    def stop(self, timeout: float = 5.0) -> None:
        """End the loop and wait for it, at most *timeout* seconds. Jobs stay registered."""
        if self._loop is not None:
            self._loop.stop(timeout)

    @property
    def has_run(self) -> bool:
        """Whether its loop runs in this process, or has."""
        return self._loop is not None

    def is_running(self) -> bool:
        """Whether a loop makes passes in this process."""
        return self._loop is not None and self._loop.is_running()

    def ailment(self) -> str | None:
        """What is wrong with the loop, computed at this moment; None when nothing is."""
        return "the loop is not running" if self._loop is None else self._loop.ailment()

    def elapsed_now(self) -> Moment:
        """Now, as intervals count it: ahead of a wall clock that went back."""
        return self.clock_watch.elapsed_now()

    def overslept(self) -> tuple[Gap, ...]:
        """The newest of the loop's passes that began late though it had nothing to do."""
        return () if self._loop is None else self._loop.overslept

    def look_at_clock(self) -> None:
        """Compare the wall clock with the monotonic one, and follow a step."""
        self._now, jump = self.clock_watch.look()
        if jump:
            self._clock_stepped(jump)

    def _make_pass(self) -> None:
        """Fire all that is due."""
        loop = self._loop
        self.look_at_clock()
        for _ in range(PASS_LIMIT):
            if loop is None or loop.stopping:
                return
            if (item := self._pop_due()) is None:
                self.looked_at = self._now
                return
            try:
                self._take_and_fire(item) if isinstance(item, Entry) else item.call()
            except BaseException:  # the others are due all the same
                logger.exception("What was due could not be handed over: %s", item)
                if isinstance(item, Entry):
                    self.release(item, self._now if item.hold else None)

    def _pop_due(self) -> Entry | Timer | None:
        with self._lock:
            first = self._heap.first()
            if first is None:
                return None
            if first > self._now:
                self._now = self.clock.now()
                if first > self._now:
                    return None
            return self._heap.pop()

    def _take(self, entry: Entry) -> Due | None:
        """What is due of an entry, once; it goes back on the heap before anybody hears of it."""
        timetable = entry.timetable
        try:
            due = timetable.take(self._now, self.clock_watch.lead)
        except BaseException as error:
            self.break_entry(entry, error)
            return None
        with self._lock:
            entry.held = timetable.behind or (entry.hold and due is not None)
            if due is not None and due.slot is not None:
                entry.mark = due.slot
            if entry.held and not timetable.behind:
                for line in timetable.lines:
                    line.next = None  # known at the end of the run
            if entry.key is not None:
                self._heap.take_back(entry)
            self._push(entry)
        return due

    def _take_and_fire(self, entry: Entry) -> None:
        due = self._take(entry)
        if not entry.live:
            return
        if entry.timetable.behind:
            entry.client.catch_up()
        elif due is not None:
            entry.client.fire(due)

    def break_entry(self, entry: Entry, error: BaseException) -> None:
        """A schedule's own computation failed: leave that task out, say so, go on."""
        entry.client.broke()
        entry.reason = f"{type(error).__name__}: {_text(error)}"
        for line in entry.timetable.lines:
            line.next = line.job.next_run = None
        logger.error(
            "The schedule of task %r is broken and it will not run until it is registered again: %s",
            entry.client.name,
            entry.reason,
        )

    # Steps of the wall clock.

    def _clock_stepped(self, jump: float) -> None:
        """Intervals go on at their elapsed rate, ahead of a wall clock that went back by up to a day.

        Calendars keep their next slot, and so are silent until the wall clock has come to it.
        """
        now = self._now
        logger.warning("The wall clock jumped by %+.1f seconds", jump)
        reset: list[Entry] = []
        with self._lock:
            wrong = self.clock_watch.follow(jump)
            for entry in {id(entry): entry for _, entry in self._jobs.values()}.values():
                if wrong and self._begin_again(entry, now, now - datetime.timedelta(seconds=jump)):
                    reset.append(entry)
                self._heap.take_back(entry)
                self._push(entry)
            for item in self._heap.live():
                if isinstance(item, Timer) and item.key is not None:  # what it waits for is elapsed time
                    self._put(item, item.key + datetime.timedelta(seconds=jump))
        self.announcer.announce(clock_stepped, self, seconds=jump)
        if reset:
            for entry in reset:
                entry.client.set_back(now)
            names = [entry.client.name for entry in reset]
            logger.warning("Marks more than a day ahead were set back to %s: %s", now, names)
            self.announcer.announce(marks_set_back, self, moment=now, names=names)

    def _begin_again(self, entry: Entry, now: Moment, before: Moment) -> bool:
        """Plan from now, or from the mark, after a wall clock that read *before* was wrong.

        Whether something lay in the future that it had made up: the mark, or what intervals count from.
        """
        mark = entry.mark
        reset = mark is not None and mark - now > LONGEST_LEAD
        if reset:
            entry.mark = mark = None
        for line in entry.timetable.lines:
            if now < line.anchor <= before:
                line.anchor, reset = now, True
        try:
            entry.timetable.restart(now if mark is None else max(mark, now))
        except BaseException as error:
            self.break_entry(entry, error)
        return reset


def _nobody() -> None:
    return None


def _text(error: BaseException) -> str:
    try:
        return str(error)[:300]
    except BaseException:
        return "(its text raises)"
