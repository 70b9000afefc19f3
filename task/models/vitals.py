"""``Vitals``: what a running manager tells of itself and its process, to people who ask, here or in another process."""

from __future__ import annotations

import dataclasses
import datetime
import inspect
import json
import platform
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from task.clock import Clock
from task.errors import StoreError
from task.executors import Gate, ThreadPool
from task.hosting import (
    Server,
    SourceFiles,
    find_server,
    mark_running,
    names_no_zone,
    reloader_twin,
    thread_room,
    zone_data,
)
from task.log import printable
from task.runs import Run, RunState

if TYPE_CHECKING:
    from task.models.function import TaskFunction
    from task.models.manager import TaskManager
    from task.pipeline import Pipeline

__all__ = ["Pool", "Stuck", "Vitals", "VitalsTaker"]

Moment = datetime.datetime

T = TypeVar("T")

#: So much is told at most. Characters; and of anything that there may be many of.
LONGEST = 16_000
MOST = 20

#: Nothing that is told in numbers is beyond.
MOST_NUMBER = 1e12

#: Of so many bodies it is told where they are: those that have gone on for so long. Seconds; and frames of each.
STUCK, STUCK_SECONDS, DEPTH = 8, 60.0, 12

#: What changes seldom is looked at so often. Seconds.
SELDOM = 60.0

#: A bound on threads is told of when so much of it is used.
NARROW = 0.7

_FRAME = re.compile(r'^  File "(.*)", line (\d+), in (.*)$', re.MULTILINE)


@dataclasses.dataclass(frozen=True, slots=True)
class Pool:
    """A place for bodies that is full, or has lost threads to bodies that go on past their time."""

    name: str
    size: int
    running: int
    waiting: int
    #: Threads whose bodies go on past their time: they were replaced, up to `replaceable`.
    written_off: int
    replaceable: int


@dataclasses.dataclass(frozen=True, slots=True)
class Stuck:
    """A body that has gone on for long, and where it is."""

    task: str
    run: str
    #: When it started: ISO 8601.
    since: str
    #: Whether its time is over.
    overruns: bool
    #: ``file:line function``, the innermost last; empty where that is not known.
    stack: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Vitals:
    """What a manager tells of itself and its process. No values, no environment, no arguments are in it.

    >>> Vitals.from_json(Vitals(state="running", pid=7).as_json()).state
    'running'
    """

    #: ``running`` …, as `Health` has it, and what is wrong.
    state: str
    pid: int
    causes: tuple[str, ...] = ()
    signals_dropped: int = 0
    #: When the manager was started: ISO 8601.
    started_at: str | None = None
    python: str = ""
    #: How often its heart beats on the store. Seconds.
    beats_every: float = 0.0
    #: What `task.hosting.zone_data` tells.
    zones: str | None = None
    zones_from: str | None = None
    zones_of_package: str | None = None
    #: The zone of the process, for schedules without one.
    local_zone: str = ""
    #: Another zone was meant: ``TZ`` names none that there is.
    names_no_zone: bool = False
    #: Which server runs it, and how many such processes beside each other.
    server: str | None = None
    workers: int = 1
    #: The parent process, if this is the child of Werkzeug's reloader, and a manager ran there too.
    twin: int | None = None
    #: The bound on threads that is nearest, what is used of it, and what it allows; where it is near.
    threads_bound: str | None = None
    threads: int = 0
    threads_limit: int = 0
    pools: tuple[Pool, ...] = ()
    #: Files that are not what they were when this process read them.
    changed_files: tuple[str, ...] = ()
    #: How far the store's clock is ahead of this process's. Seconds; None where it has none of its own.
    clock_offset: float | None = None
    #: How far those of other processes are, by ``pid@host``: those that are far.
    clocks: dict[str, float] = dataclasses.field(default_factory=dict)
    stuck: tuple[Stuck, ...] = ()

    def as_json(self) -> str:
        """One line, bounded: of what is too long stacks go first, then all that there is many of."""
        text = _line(dataclasses.asdict(self))
        if len(text) > LONGEST:
            stuck = tuple(dataclasses.replace(one, stack=one.stack[-1:]) for one in self.stuck)
            text = _line(dataclasses.asdict(dataclasses.replace(self, stuck=stuck)))
        if len(text) > LONGEST:
            few = dataclasses.replace(self, stuck=(), causes=self.causes[:3], changed_files=(), pools=(), clocks={})
            text = _line(dataclasses.asdict(few))
        return text

    @classmethod
    def from_json(cls, text: str) -> Vitals | None:
        """What another process has told; None where that is not understood: it may be of another release."""
        if len(text) > 2 * LONGEST:
            return None
        try:
            found = json.loads(text)
            found["pools"] = tuple(_read(Pool, one) for one in found.get("pools", ()))
            found["stuck"] = tuple(_read(Stuck, one) for one in found.get("stuck", ()))
            return _read(cls, found)
        except (ValueError, TypeError, AttributeError, RecursionError):
            return None


_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "str | None": (str, type(None)),
    "int": (int,),
    "int | None": (int, type(None)),
    "bool": (bool,),
    "float": (float, int),
    "float | None": (float, int, type(None)),
}


def _read(kind: type[T], found: dict[str, Any]) -> T:
    """A value of a class of ours from what JSON has of it. Raises `TypeError`."""
    given: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]  # all are dataclasses
        if field.name not in found:
            continue
        value, wanted = found[field.name], str(field.type)
        if wanted == "tuple[str, ...]":
            value = tuple(printable(str(one)) for one in value)
        elif wanted == "dict[str, float]":
            value = {printable(name): _number(float(number)) for name, number in value.items()}
        elif not isinstance(value, _KINDS.get(wanted, (tuple,))):
            raise TypeError(field.name)
        elif isinstance(value, str):
            value = printable(value)  # halves of characters cannot even be written
        elif isinstance(value, (int, float)):
            value = _number(value)
        given[field.name] = value
    return kind(**given)


def _number(value: Any) -> Any:
    """One that can be reckoned with: JSON in Python has infinity, too, and integers of a thousand digits."""
    if not abs(value) <= MOST_NUMBER:
        raise ValueError(value)
    return value


def _line(value: dict[str, Any]) -> str:
    return json.dumps({name: part for name, part in value.items() if part not in (None, [], (), {}, "")})


class VitalsTaker:
    """Takes the vitals of one manager; what changes seldom, seldom."""

    def __init__(
        self,
        pipeline: Pipeline,
        tasks: Mapping[str, TaskFunction[..., Any]],
        clock: Clock,
        owner: Callable[[], TaskManager | None],
    ) -> None:
        self._pipeline = pipeline
        self._tasks = tasks
        self._clock = clock
        self._owner = owner
        self._started_at: Moment | None = None
        self._files = SourceFiles()
        self._seldom: dict[str, Any] = {}
        self._next = float("-inf")

    def begin(self) -> None:
        """The manager starts: its files are as they were imported, as far as can be told."""
        mark_running()
        self._started_at, self._next = self._clock.now(), float("-inf")
        self._files.read_for(self._modules())

    def _modules(self) -> set[str]:
        """Of its tasks."""
        found = {getattr(inspect.unwrap(task.spec.func), "__module__", None) for task in list(self._tasks.values())}
        return {name for name in found if isinstance(name, str)}

    def take(self) -> Vitals:
        """As they are now."""
        manager, moment = self._owner(), self._clock.monotonic()
        assert manager is not None, "it is asked by its manager"
        health = manager.health
        if moment >= self._next:
            self._next = moment + SELDOM
            self._seldom = self._look_seldom()
        return Vitals(
            state=health.state,
            pid=health.pid,
            causes=tuple(_short(cause) for cause in health.causes[:MOST]),
            signals_dropped=health.signals_dropped,
            started_at=None if self._started_at is None else self._started_at.isoformat(),
            beats_every=round(self._pipeline.store.beats_every, 3),
            pools=self._pools(),
            stuck=self._stuck(),
            clocks=dict(list(self._pipeline.store.clocks.items())[:MOST]),
            **self._seldom,
        )

    def _look_seldom(self) -> dict[str, Any]:
        self._files.read_for(self._modules())
        room, zones, server = thread_room(), zone_data(), find_server() or Server("", 1)
        found: dict[str, Any] = {
            "python": platform.python_version(),
            "zones": zones.used,
            "zones_from": zones.source,
            "zones_of_package": zones.package,
            "local_zone": str(self._clock.now().astimezone().tzname()),
            "names_no_zone": names_no_zone(),
            "server": server.name or None,
            "workers": server.workers,
            "twin": reloader_twin(),
            "changed_files": tuple(_short(path) for path in self._files.changed()[:MOST]),
            "clock_offset": self._clock_offset(),
        }
        if room is not None and room.share >= NARROW:
            found |= {"threads_bound": room.bound, "threads": room.used, "threads_limit": room.limit}
        return found

    def _clock_offset(self) -> float | None:
        try:
            offset = None if self._clock.inline else self._pipeline.store.clock_offset()
        except StoreError:  # `causes` tell of it
            return None
        return None if offset is None else round(offset, 1)

    def _pools(self) -> tuple[Pool, ...]:
        executors = self._pipeline.executors
        found = []
        for one in [] if executors is None else executors.all():
            if isinstance(one, (ThreadPool, Gate)):
                replaced, most = (one.written_off, one.replaceable) if isinstance(one, ThreadPool) else (0, 0)
                if one.waiting() or replaced:
                    found.append(Pool(one.name, one.size, len(one.running()), one.waiting(), replaced, most))
        return tuple(found[:MOST])

    def _stuck(self) -> tuple[Stuck, ...]:
        executors, now = self._pipeline.executors, self._clock.now()
        if executors is None:
            return ()
        under_way = [(run.started_at, run) for run in self._pipeline.store.mine() if run.started_at is not None]
        old = [
            (started, run)
            for started, run in under_way
            if run.overrunning or (run.state is RunState.RUNNING and (now - started).total_seconds() > STUCK_SECONDS)
        ]
        old.sort(key=lambda pair: pair[0])
        return tuple(self._stuck_one(run, started) for started, run in old[:STUCK])

    def _stuck_one(self, run: Run, started: Moment) -> Stuck:
        executors = self._pipeline.executors
        stacks = (one.stack(run) for one in ([] if executors is None else executors.all()))
        text = next((stack for stack in stacks if stack is not None), "")
        return Stuck(run.task, run.id, started.isoformat(), run.overrunning, _frames_in(text))


def _frames_in(stack: str) -> tuple[str, ...]:
    """Where it is, without what stands there: that may be a secret. Ours, which lead to the body, are left out."""
    places = [(file, f"{_short(file)}:{line} {function}") for file, line, function in _FRAME.findall(stack)]
    while places and (places[0][0].endswith("threading.py") or _is_ours(places[0][0])):
        places.pop(0)
    return tuple(place for _, place in places[-DEPTH:])


def _is_ours(file: str) -> bool:
    return file.startswith(_ROOT)


_ROOT = __file__.removesuffix("models/vitals.py")


def _short(text: str) -> str:
    """The end of a long path says more than its beginning."""
    return text if len(text) <= 300 else f"…{text[-299:]}"
