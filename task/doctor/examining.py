"""``diagnose``: all checks, of this process and of those that run on the store, the worst first."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, get_args

from task.doctor.processes import TOLERANCE, Subject, checks_of_process, clock_told, of_zones
from task.doctor.stores import checks_of_store
from task.doctor.tasks import checks_of_tasks
from task.doctor.values import Diagnosis, State
from task.errors import StoreError
from task.models import TaskManager, Vitals
from task.overview import Overview, duration_text
from task.stores import ProcessRow

__all__ = ["diagnose", "is_well"]

Moment = datetime.datetime

#: A heart is silent that has not beaten for so long, and for so many of its beats. Seconds; most beat every five.
SILENT, BEATS = 20.0, 4

#: So many managers of one process are told of.
MANAGERS = 4


def diagnose(manager: TaskManager, overview: Overview | None = None, *, outside: bool = False) -> tuple[Diagnosis, ...]:
    """What is well and what is not with a manager, its process, its store, and the processes that run on it.

    The worst comes first. *overview* is one that there is of it, to save reading the store again. With *outside* it is
    asked by a process that only looks, such as a shell: that its own manager does not run says nothing. It reads, and
    never changes or starts anything; it takes some tenths of a second at most.

    >>> manager = TaskManager([])
    >>> with manager:
    ...     is_well(diagnose(manager))
    True
    """
    return _sorted(_all_of(manager, overview or Overview(manager), outside))


def is_well(diagnoses: Iterable[Diagnosis]) -> bool:
    """Whether there is no problem among them; there may be warnings.

    >>> is_well([Diagnosis("code", "warning", "jobs.py changed.", "Restart the process.")])
    True
    """
    return all(one.state != "problem" for one in diagnoses)


_NOT_SEEN = Diagnosis(
    "processes",
    "not known",
    "The record is in the memory of each process: those that run cannot be seen from here.",
    "Ask there (the page /tasks/doctor, task.doctor.diagnose), or give the manager a store that processes share: "
    "store='sqlite:///tasks.db'.",
)


class _Other(NamedTuple):
    """Another process: its heartbeat, and what each of its managers told with that."""

    who: str
    #: Since when its heart has not beaten. Seconds.
    silence: float
    told: tuple[Vitals, ...]

    @property
    def silent(self) -> bool:
        """Whether that is too long."""
        return self.silence > max([SILENT, *(BEATS * vitals.beats_every for vitals in self.told)])


def _all_of(manager: TaskManager, overview: Overview, outside: bool) -> Iterator[Diagnosis]:
    here = f"{os.getpid()}@{platform.node()}"
    vitals, now, shared = manager.vitals(), manager.clock.now(), manager.store.shared
    others: list[_Other] = []
    told: set[str] = set()
    reached = True
    try:
        others = [_read(row, now, vitals.clocks) for row in manager.store.processes(None)]
        yield from checks_of_store(manager)
        bodies = {body.run: (who, body) for who, one in _all_vitals(here, vitals, others) for body in one.stuck}
        yield from checks_of_tasks(manager, overview, bodies, told)
    except StoreError as error:
        reached = False
        cure = "Look whether the database is there and can be reached; everything goes on by itself when it is back."
        yield Diagnosis("store", "problem", f"{error}"[:500], cure)
    failed = any(cause.startswith("it could not be started") for cause in vitals.causes)
    if vitals.state == "stopped" and (shared or outside) and not failed:
        yield from of_zones(vitals, now, here)
        if not shared:
            yield _NOT_SEEN
        elif reached:
            yield _of_company(others)
    else:
        yield from checks_of_process(Subject(here, vitals, shared, now, told))
    for one in others:
        yield from _of_heart(one)
        for theirs in one.told:
            yield from checks_of_process(Subject(one.who, theirs, True, now, told))
    yield from _of_clocks(_all_vitals(here, vitals, others))


def _read(row: ProcessRow, now: Moment, clocks: Mapping[str, float]) -> _Other:
    """*clocks* says how far those of processes are that are known to be wrong: they tell of it, and are not silent."""
    lines = row.vitals.splitlines()[:MANAGERS]
    told = tuple(vitals for line in lines if (vitals := Vitals.from_json(line)) is not None)
    who = f"{row.pid}@{row.host}"
    return _Other(who, (now - row.beat_at).total_seconds() + clocks.get(who, 0.0), told)


def _all_vitals(here: str, vitals: Vitals, others: Sequence[_Other]) -> list[tuple[str, Vitals]]:
    return [(here, vitals), *((one.who, theirs) for one in others for theirs in one.told)]


def _of_company(others: Sequence[_Other]) -> Diagnosis:
    living = sum(not one.silent for one in others)
    if living:
        runs = "1 process runs" if living == 1 else f"{living} processes run"
        return Diagnosis("processes", "well", f"{runs} tasks on this store.", "")
    return Diagnosis(
        "processes",
        "problem",
        "No process runs tasks on this store.",
        "Start one (the application, or python -m task run MODULE), or name the store and the namespace that are "
        "meant: --store, --namespace.",
    )


def _of_heart(one: _Other) -> Iterator[Diagnosis]:
    if one.silent:
        yield Diagnosis(
            "processes",
            "problem",
            f"Its heart has not beaten for {duration_text(one.silence)}: it died, hangs or is frozen, or its clock is "
            "wrong.",
            "If it lives, look where it hangs (py-spy dump), and restart it. If it died, start it again: its runs "
            "become lost, and are run again where on_lost='rerun'.",
            one.who,
        )
    elif one.silence < -TOLERANCE:
        yield clock_told(one.who, -one.silence, "the one here")
    elif not one.told:
        yield Diagnosis("processes", "not known", "It is alive, and has told nothing of itself yet.", "", one.who)


def _of_clocks(told: Sequence[tuple[str, Vitals]]) -> Iterator[Diagnosis]:
    """Against the store's; where that has none, against each other: of two that differ, each tells of the other."""
    doubted: set[str] = set()
    for who, vitals in told:
        if vitals.clock_offset is not None:
            yield clock_told(who, -vitals.clock_offset, "the store's")
            continue
        for other, ahead in vitals.clocks.items():
            if who not in doubted:
                doubted.add(other)
                yield clock_told(other, ahead, f"that of {who}")


def _sorted(found: Iterable[Diagnosis]) -> tuple[Diagnosis, ...]:
    """The worst first; what two managers of a process say alike, once."""
    states = get_args(State)
    return tuple(sorted(dict.fromkeys(found), key=lambda one: -states.index(one.state)))
