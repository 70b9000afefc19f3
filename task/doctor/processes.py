"""The checks of one process: of what it tells of itself."""

from __future__ import annotations

import datetime
from collections.abc import Container, Iterator
from typing import NamedTuple

from task.doctor.values import Diagnosis, State
from task.hosting import ZoneData
from task.models import Pool, Stuck, Vitals
from task.overview import duration_text

__all__ = ["CURE_OF_STUCK", "TOLERANCE", "Subject", "checks_of_process", "clock_told", "of_zones"]

Moment = datetime.datetime

#: Clocks that differ by more are told of, and by so much more are a problem. Seconds.
TOLERANCE, FAR = 3.0, 60.0

#: So much of a bound on threads is a problem.
FULL = 0.95

CURE_OF_STUCK = (
    "Give what it waits for there a time limit, let it look at run.check_cancelled(), or run it in a process: "
    "executor='process'."
)


class Subject(NamedTuple):
    """A process whose manager is examined."""

    #: ``pid@host``.
    who: str
    vitals: Vitals
    #: Whether its store is shared with other processes.
    shared: bool
    now: Moment
    #: The runs of whose bodies something is told already.
    told: Container[str] = ()


def checks_of_process(subject: Subject) -> Iterator[Diagnosis]:
    """All of them, those that find nothing wrong included."""
    for check in (_fork, _loop, _workers, _reloader, _threads, _code, _signals, _stuck):
        for found in check(subject):
            yield found._replace(process=subject.who)
    yield from of_zones(subject.vitals, subject.now, subject.who)


def _fork(subject: Subject) -> Iterator[Diagnosis]:
    vitals = subject.vitals
    if vitals.state != "forked":
        yield Diagnosis("fork", "well", "It runs in the process in which it was started.", "")
        return
    cure = "Call manager.run() in this process" + (
        ", or make the manager with restart_after_fork=True."
        if subject.shared
        else "; with store='sqlite:///tasks.db' and restart_after_fork=True that happens by itself."
    )
    yield Diagnosis("fork", "problem", _sentence(vitals.causes[0] if vitals.causes else "forked"), cure)


def _loop(subject: Subject) -> Iterator[Diagnosis]:
    vitals = subject.vitals
    if vitals.state == "forked":
        return
    if vitals.state in ("starting", "stopping"):
        yield Diagnosis("loop", "well", f"The manager is {vitals.state}.", "")
        return
    if not vitals.causes:
        yield Diagnosis("loop", "well", f"The manager is {vitals.state}, and its loop makes its passes.", "")
    for cause in vitals.causes:
        yield Diagnosis("loop", "problem", _sentence(cause), _cure_of_loop(cause))


def _cure_of_loop(cause: str) -> str:
    if "could not be started" in cause:
        return "Mend that, and restart the process."
    if "not running" in cause:
        return "Start it: manager.run()."
    if "thread is dead" in cause:
        return "Restart the process: what ended the thread is in its log."
    if "event loop" in cause:
        return (
            "Await what takes long, move it to a thread (asyncio.to_thread), or declare the body as a plain function."
        )
    if "loop has been blocked" in cause:
        return (
            "Look which code keeps all threads of the process waiting (a C extension that holds the interpreter's "
            "lock, a stopped or starved machine), and restart the process if that does not end."
        )
    if "wait for" in cause or "only_if" in cause:
        return "Give the tasks that hold others up a timeout or a pool of their own, or the manager more max_workers."
    if "store" in cause.lower():
        return "Look whether the database is there and can be reached; everything goes on by itself when it is back."
    return "Look into the log of the process; restart it if it does not mend itself."


def _workers(subject: Subject) -> Iterator[Diagnosis]:
    vitals = subject.vitals
    server = "the server" if vitals.server in (None, "forked") else str(vitals.server)
    if vitals.workers < 2:
        told = "" if vitals.server in (None, "forked") else f" of {server}"
        yield Diagnosis("workers", "well", f"It is the only worker process{told}, as far as can be told.", "")
    elif subject.shared:
        yield Diagnosis("workers", "well", f"{vitals.workers} worker processes of {server} share the store.", "")
    else:
        yield Diagnosis(
            "workers",
            "warning" if vitals.server == "forked" else "problem",  # of those it is not known what they do
            f"{vitals.workers} worker processes of {server} each keep a record of their own in memory: each of them "
            "that runs its manager runs every slot.",
            "Give the manager a store that they share: TaskManager(store='sqlite:///tasks.db'), or run one worker.",
        )


def _reloader(subject: Subject) -> Iterator[Diagnosis]:
    twin = subject.vitals.twin
    if twin is None:
        yield Diagnosis("reloader", "well", "No other process of a reloader runs the same tasks.", "")
        return
    outcome = "the store keeps every slot to one of them" if subject.shared else "every slot runs twice"
    yield Diagnosis(
        "reloader",
        "warning" if subject.shared else "problem",
        f"Both processes of Werkzeug's reloader run a manager, this one and its parent {twin}: {outcome}.",
        "Start it in the child only: if os.environ.get('WERKZEUG_RUN_MAIN') == 'true': manager.run(); the Flask "
        "extension does so by itself; or switch the reloader off: use_reloader=False.",
    )


def _threads(subject: Subject) -> Iterator[Diagnosis]:
    vitals = subject.vitals
    wrong = [_pool(pool) for pool in vitals.pools if pool.waiting or pool.written_off]
    if vitals.threads_bound is not None and vitals.threads_limit:
        share = vitals.threads / vitals.threads_limit
        wrong.append(
            Diagnosis(
                "threads",
                "problem" if share >= FULL else "warning",
                f"{vitals.threads:,} of {vitals.threads_limit:,} threads and processes are in use that "
                f"{vitals.threads_bound} allows: beyond, none can be started.",
                "Raise that bound (docker run --pids-limit, TasksMax= of systemd, ulimit -u), or start fewer threads: "
                "max_workers=, fewer workers of the server.",
            )
        )
    yield from wrong or [Diagnosis("threads", "well", "No run waits for a thread, and more can be started.", "")]


def _pool(pool: Pool) -> Diagnosis:
    taken = "the only one is taken" if pool.size == 1 else f"all {pool.size} are taken"
    full = f"{_runs(pool.waiting)} for a place on {pool.name}: {taken}" if pool.waiting else ""
    if not pool.written_off:
        more = "the manager more max_workers" if pool.name == "threads" else "it more places"
        cure = f"Give {more}, or bodies that take long a pool of their own (pools=, pool=)."
        if pool.name == "serial":
            cure = "Declare bodies that take long with threaded=True: on the serial worker each waits for the other."
        return Diagnosis("threads", "warning", f"{full}.", cure)
    threads = "1 thread" if pool.written_off == 1 else f"{pool.written_off} threads"
    lost = f"The executor {pool.name} has replaced {threads} with bodies that hang, of at most {pool.replaceable}"
    exhausted = pool.written_off >= pool.replaceable
    return Diagnosis(
        "threads",
        "problem" if exhausted else "warning",
        f"{lost}; {full or 'their bodies go on past their time'}"
        f"{': the next body that hangs keeps its place' if exhausted else ''}.",
        "Let the bodies look at run.check_cancelled(), give what they wait for a time limit, or run them in a process "
        "that can be ended: executor='process'. Restart the process to be rid of these.",
    )


def _runs(number: int) -> str:
    return "1 run waits" if number == 1 else f"{number} runs wait"


def _code(subject: Subject) -> Iterator[Diagnosis]:
    files = subject.vitals.changed_files
    if not files:
        yield Diagnosis("code", "well", "The files that it runs are as it read them.", "")
        return
    others = f" and {len(files) - 1} more" if len(files) > 1 else ""
    yield Diagnosis(
        "code",
        "warning",
        f"{files[0]}{others} changed, or went, after the process had read it: it runs the older code.",
        "Restart the process.",
        details=files[1:],
    )


def _signals(subject: Subject) -> Iterator[Diagnosis]:
    dropped = subject.vitals.signals_dropped
    if not dropped:
        yield Diagnosis("events", "well", "No signal was dropped.", "")
        return
    yield Diagnosis(
        "events",
        "warning",
        f"{dropped:,} signals were dropped since it was started: their receivers are too slow.",
        "Let receivers hand long work over to a thread or a task of its own.",
    )


def _stuck(subject: Subject) -> Iterator[Diagnosis]:
    for one in subject.vitals.stuck:
        if one.run in subject.told:
            continue
        long = _long(one, subject.now)
        where = f", and is at {one.stack[-1]}" if one.stack else ""
        if one.overruns:
            found = f"The body of task {one.task!r} goes on past its timeout, {long} after it has begun{where}."
            yield Diagnosis("stuck", "problem", found, CURE_OF_STUCK, details=one.stack[:-1])
        else:
            found = f"The body of task {one.task!r} has run for {long}{where}."
            yield Diagnosis("stuck", "well", found, "", details=one.stack[:-1])


def _long(one: Stuck, now: Moment) -> str:
    try:
        seconds = (now - datetime.datetime.fromisoformat(one.since)).total_seconds()
    except (ValueError, TypeError):  # another process has told it
        return "a long time"
    return duration_text(max(0.0, seconds))


def of_zones(vitals: Vitals, now: Moment, who: str) -> Iterator[Diagnosis]:
    """Which zone data it goes by, and how old they are: three to five versions come a year."""
    if vitals.names_no_zone:
        yield Diagnosis(
            "zones",
            "problem",
            f"TZ names no zone that there is: schedules without a zone go by {vitals.local_zone or 'UTC'}.",
            "Set TZ to a name such as Europe/Amsterdam, or give each schedule its zone.",
            who,
        )
    used, package = ZoneData.year_of(vitals.zones), ZoneData.year_of(vitals.zones_of_package)
    if vitals.zones_from is None or used is None:
        missing = vitals.zones_from is None
        found = "There are no zone data." if missing else f"The zone data in {vitals.zones_from} tell no version."
        state: State = "problem" if missing else "not known"
        yield Diagnosis("zones", state, found, "Install the package tzdata, or that of the system.", who)
        return
    told = f"Zone data {vitals.zones} are in use, from {vitals.zones_from}"
    if used < now.year - 1:
        newer = package is not None and package > used
        yield Diagnosis(
            "zones",
            "warning",
            f"{told}: they are of {used}, and zones have changed since then.",
            f"Use the package's {vitals.zones_of_package}: set PYTHONTZPATH= (empty) for the process."
            if newer
            else "Upgrade the package tzdata, and that of the system, and restart the process.",
            who,
        )
        return
    local = f"; schedules without a zone go by {vitals.local_zone}" if vitals.local_zone else ""
    yield Diagnosis("zones", "well", f"{told}{local}.", "", who)


def clock_told(who: str, ahead: float, than: str) -> Diagnosis:
    """A clock that is ahead of another by so many seconds, or behind."""
    if abs(ahead) <= TOLERANCE:
        return Diagnosis("clock", "well", f"Its clock agrees with {than}.", "", who)
    return Diagnosis(
        "clock",
        "problem" if abs(ahead) > FAR else "warning",
        f"Its clock is {duration_text(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} {than}.",
        "Set the clock, and keep it set (chrony, systemd-timesyncd). No slot runs twice for it, but slots are early "
        "or late.",
        who,
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
