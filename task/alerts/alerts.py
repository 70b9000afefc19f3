"""``Alerts``: looks at the tasks of one manager now and then, and tells of incidents: once when each begins and ends.

What is open is in the store: who writes it there tells of it, whichever process that is.
"""

from __future__ import annotations

import dataclasses
import datetime
import threading
from collections.abc import Callable, Collection, Iterable
from typing import Any

from task.alerts.heartbeat import Heartbeat
from task.alerts.looking import Looking
from task.alerts.notifying import Message, Notifier
from task.alerts.rules import Trouble, troubles_of
from task.alerts.texts import line, opened_text, resolved_text
from task.errors import StoreError
from task.events import incident_opened, incident_resolved
from task.log import logger
from task.pipeline import Binding, Pipeline
from task.runs import Run
from task.scheduler import Scheduler
from task.stores import Incident

__all__ = ["Alerts"]

Moment = datetime.datetime

#: How often the tasks are looked at; after a failure at once, but so long after the last look at least. Seconds.
INTERVAL = 10.0
SOON = 1.0

#: After a start, a pause of the machine and an outage of the store nothing is called overdue for so long: what came
#: due meanwhile is run, or recorded, first. Seconds.
PATIENCE = 60.0

#: A stop waits so long for a look under way, which the store may hold up. Seconds.
LONGEST_WAIT = 1.0

#: So many incidents are opened and ended at one look at most.
AT_ONCE = 500


class Alerts:
    """The incidents of one manager, and its heartbeat."""

    def __init__(
        self,
        pipeline: Pipeline,
        scheduler: Scheduler,
        bindings: Callable[[], Iterable[Binding]],
        others: Callable[[], Collection[str]],
    ) -> None:
        self._pipeline = pipeline
        self._scheduler = scheduler
        self._bindings = bindings
        self._looking = Looking(pipeline, bindings, others)
        self._notifier = Notifier(scheduler)
        #: Called with what is wrong, and the run.
        self.notify: Callable[..., object] | None = None
        #: Pinged while the loop is healthy.
        self.heartbeat: Heartbeat | None = None
        #: Those whose opening or end the store has not answered for.
        self._opening: dict[str, tuple[Incident, Trouble]] = {}
        self._ending: dict[str, tuple[Incident, str]] = {}
        self._running = False
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Fresh locks, and none of the parent's threads."""
        self._lock = threading.Lock()
        self._one_look = threading.Lock()
        self._timer: Any = None
        self._running = self._looks = self._nudged = False
        self._took = 0.0  # the last look
        self._looked_at = self._wall_ahead = self._patient_until = float("-inf")
        self._notifier.reset_after_fork()
        if self.heartbeat is not None:
            self.heartbeat.reset_after_fork()

    def set_apart(self) -> Callable[[], None]:
        """Know of no incident for a while, and ping no URL; what is returned puts back what was.

        The loop does not run, before and then.
        """
        before, heartbeat = dict(vars(self)), self.heartbeat
        self.reset_after_fork()
        self._opening, self._ending = {}, {}
        if heartbeat is not None:
            heartbeat.muted = isinstance(heartbeat.beat, str)

        def put_back() -> None:
            vars(self).update(before)
            if heartbeat is not None:
                heartbeat.muted = False

        return put_back

    def beat(self, beat: str | Callable[[], object], every: float, healthy: Callable[[], object]) -> None:
        """Have somebody outside hear of it every so many seconds while it is *healthy*."""
        self.heartbeat = Heartbeat(self._scheduler, beat, every, healthy)

    @property
    def options(self) -> dict[str, Any]:
        """As its manager was given them."""
        told: dict[str, Any] = {"notify": self.notify}
        if self.heartbeat is not None:
            told |= {"heartbeat": self.heartbeat.beat, "heartbeat_every": self.heartbeat.every}
        return told

    # Its life.

    def begin(self) -> None:
        """The loop runs. Where nobody watches over the pipeline, as it is simulated, nothing is looked at."""
        if self._pipeline.watch is None:
            return
        self._looking.begin()
        self._opening, self._ending = {}, {}
        self._running, self._looks = True, False
        self._wait()
        self._pipeline.on_trouble = self.nudge
        self._arm(INTERVAL)
        if self.heartbeat is not None:
            self.heartbeat.begin()

    def end(self) -> None:
        """It does not run any more."""
        if not self._running:
            return
        self._running, self._pipeline.on_trouble = False, bool
        with self._lock:
            if self._timer is not None:
                self._scheduler.call_off(self._timer)
        if self._pipeline.store.ailment is None and self._wanted():
            self._look()  # of what has just failed, or was lost by stopping, nobody would hear
        if self.heartbeat is not None:
            self.heartbeat.end()
        self._notifier.close()

    def nudge(self) -> None:
        """Something has gone wrong: look soon."""
        self._nudged = True
        if self._running:
            self._arm(max(0.0, self._looked_at + max(SOON, self._took * 20) - self._pipeline.clock.monotonic()))

    def _arm(self, seconds: float) -> None:
        moment = self._pipeline.clock.now() + datetime.timedelta(seconds=seconds)
        with self._lock:
            if self._timer is not None:
                if self._timer.key is not None and self._timer.key <= moment:
                    return
                self._scheduler.call_off(self._timer)
            self._timer = self._scheduler.call_at(moment, self._due)

    def _due(self) -> None:
        """On the loop: hand over."""
        with self._lock:
            self._timer = None
        executors = self._pipeline.executors
        if not self._running or executors is None:
            return
        if self._looks or not self._wanted():
            self._arm(INTERVAL)
            return
        self._looks = True
        executors.service.submit(lambda _: self._look(), Run("(incidents)", "manual", self._pipeline.clock.now()))

    def _has_receivers(self) -> bool:
        sender = self._pipeline.owner()
        return any(signal.has_receivers_for(sender) for signal in (incident_opened, incident_resolved))

    def _wanted(self) -> bool:
        """Whether somebody is to be told: else nothing is read."""
        if self.notify is not None or self._has_receivers():
            return True
        policies = (binding.spec.policy for binding in self._bindings())
        if self._pipeline.store.shared:  # where another process may have somebody who is told
            return any(one.notify for one in policies)
        return any(one.expect_within or one.alert_after or one.notify for one in policies)

    # A look.

    def _look(self) -> None:
        if not self._one_look.acquire(timeout=LONGEST_WAIT):
            return
        try:
            self._look_alone()
        finally:
            self._one_look.release()

    def _look_alone(self) -> None:
        self._looked_at, self._nudged = self._pipeline.clock.monotonic(), False
        try:
            self._watch_the_clock()
            self._compare(self._pipeline.clock.now())
        except StoreError:  # the health tells of it
            self._wait()
        except Exception:
            logger.exception("The tasks could not be looked at; it is tried again")
        finally:
            self._looks, self._took = False, self._pipeline.clock.monotonic() - self._looked_at
            if self._running:
                self._arm(SOON if self._nudged else max(INTERVAL, self._took * 100))

    def _wait(self) -> None:
        """Call nothing overdue for a while."""
        self._patient_until = self._pipeline.clock.monotonic() + PATIENCE

    def _watch_the_clock(self) -> None:
        """The wall clock may have been set, or the machine have slept."""
        ahead = self._pipeline.clock.now().timestamp() - self._pipeline.clock.monotonic()
        if ahead - self._wall_ahead > PATIENCE / 2 and self._wall_ahead != float("-inf"):
            self._wait()
        self._wall_ahead = ahead

    def _compare(self, now: Moment) -> None:
        """What is wrong with what is open: tell the difference."""
        store, looking = self._pipeline.store, self._looking
        self._tell_opened()
        self._tell_ended()
        looking.look(now)
        opened = {(one.task, one.kind): one for one in store.incidents(limit=None) if self._is_heard(one.task)}
        patient = looking.paused or self._pipeline.clock.monotonic() < self._patient_until
        troubles = {
            (name, one.kind): one
            for name in list(looking.tasks)
            if self._is_heard(name)
            for one in self._troubles_of(name, now, patient)
        }
        over = [(one, how) for key, one in opened.items() if (how := self._end_of(one, key in troubles)) is not None]
        ended = [(dataclasses.replace(one, ended_at=now), how) for one, how in over[:AT_ONCE]]
        self._ending = {one.id: (one, how) for one, how in ended}
        self._tell_ended()
        for one, _ in ended:
            del opened[one.task, one.kind]
        self._opening = {}
        for name, kind in [key for key in troubles if key not in opened][:AT_ONCE]:
            trouble = troubles[name, kind]
            run = None if trouble.run is None else trouble.run.id
            made = Incident(name, kind, trouble.since, line(trouble.text), run)
            self._opening[made.id] = made, trouble
        self._tell_opened()

    def _is_heard(self, name: str) -> bool:
        """Whether somebody hears here of that task: else it is for the other processes to tell."""
        if self.notify is not None or self._has_receivers():
            return True
        watched = self._looking.tasks.get(name)
        binding = None if watched is None else watched.binding
        return not self._pipeline.store.shared or (binding is not None and binding.spec.policy.notify is not None)

    def _troubles_of(self, name: str, now: Moment, patient: bool) -> list[Trouble]:
        try:
            return list(troubles_of(self._looking.tasks[name], now, patient=patient))
        except Exception:  # a schedule of the user's own that cannot be computed is shown as broken
            logger.exception("Task %r could not be watched", name)
            return []

    def _end_of(self, incident: Incident, still: bool) -> str | None:
        """How an incident has ended; None while it goes on."""
        watched = self._looking.tasks.get(incident.task)
        if watched is None:
            return None if self._pipeline.store.shared else "the task was removed"
        if incident.kind == "overrunning":
            under_way = any(run.id == incident.run for run in watched.standing.active)
            return None if under_way else "its run has ended"
        if incident.kind == "overdue" and not watched.standing.switch.enabled:
            return "it was switched off"
        succeeded = watched.succeeded_at is not None and watched.succeeded_at >= incident.since
        return "a run of it has succeeded" if succeeded and not still else None

    def _tell_opened(self) -> None:
        """If the answer of the store is lost, the same are asked about again: nobody else has told of them."""
        asked = [incident for incident, _ in self._opening.values()]
        for incident in self._pipeline.store.open_incidents(asked) if asked else ():
            trouble = self._opening[incident.id][1]
            logger.error("Task %r is %s: %s", incident.task, incident.kind, incident.text)
            self._pipeline.tell(incident_opened, incident=incident, run=trouble.run)
            self._send(incident, opened_text(incident, trouble.run, trouble.remedy), trouble.run)
        self._opening = {}

    def _tell_ended(self) -> None:
        asked = [incident for incident, _ in self._ending.values()]
        for incident in self._pipeline.store.end_incidents(asked) if asked else ():
            how = self._ending[incident.id][1]
            watched = self._looking.tasks.get(incident.task)
            run = None if watched is None else watched.standing.summary.last
            logger.warning("Task %r is %s no more: %s", incident.task, incident.kind, how)
            self._pipeline.tell(incident_resolved, incident=incident, run=run)
            self._send(incident, resolved_text(incident, run, how), run)
        self._ending = {}

    def _send(self, incident: Incident, text: str, run: Run | None) -> None:
        watched = self._looking.tasks.get(incident.task)
        binding = None if watched is None else watched.binding
        notify = (None if binding is None else binding.spec.policy.notify) or self.notify
        if notify is not None:
            self._notifier.send(Message(notify, text, run))
