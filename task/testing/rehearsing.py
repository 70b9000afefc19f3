"""``virtual_time``: virtual time for all that runs in this process, for as long as a test lasts."""

from __future__ import annotations

import contextlib
import datetime
import importlib.util
import threading
import time
from collections.abc import Iterator
from typing import Any

from task.clock import ProcessClock
from task.errors import DeclarationError, DeclarationTypeError, VirtualTimeError
from task.models import Rehearsal, TaskManager
from task.runs import peek_current_run
from task.testing.clock import VirtualClock

__all__ = ["TaskClock", "virtual_time"]

Moment = datetime.datetime

_sleep = time.sleep


class TaskClock(VirtualClock):
    """The virtual clock of a test, which every manager of the process goes by: `virtual_time`, or ``task_clock``."""

    def run(self, *managers: Any) -> None:
        """Run these managers, or those of these Flask applications.

        Raises `DeclarationTypeError` for what is neither, and what `TaskManager.run` raises.
        """
        for manager in [_manager_of(one) for one in managers]:
            if not isinstance(manager.clock, ProcessClock) and manager.clock is not self:
                raise VirtualTimeError(
                    "A manager that was made with clock= goes by that clock, not by this one. Leave clock= out, or "
                    "move its own clock."
                )
            manager.run()


def _manager_of(one: Any) -> TaskManager:
    if isinstance(one, TaskManager):
        return one
    state = getattr(one, "extensions", {}).get("tasks")
    if state is None:
        raise DeclarationTypeError(
            f"A TaskManager can be run, or a Flask application that has its tasks, not a {type(one).__name__}."
        )
    manager: TaskManager = state.manager
    return manager


@contextlib.contextmanager
def virtual_time(
    start: Moment | str | None = None, *, threads: bool = False, keep_stores: bool = False
) -> Iterator[TaskClock]:
    """Virtual time for every manager of this process that was given no clock, within a ``with``.

    It starts at *start*, an aware moment or its text (``"2026-05-04T12:00+02:00"``), by default at the beginning of
    2026 in UTC. Each manager begins anew, on a fresh record in memory: the switches are those of the code, there are no
    runs, and what a test does is kept nowhere. With *keep_stores* it writes into its own store. Managers that run are
    stopped before, and run again afterwards; managers that the test runs are stopped at the end, and all is as it was.

    ``time.sleep`` in a body takes virtual time, and with the extra ``testing`` (time-machine) the time of the machine
    is virtual, too: ``datetime.now`` and ``time.time`` agree with the clock. With *threads* bodies run on real
    threads, for tests of hung ones.

    Raises `DeclarationError` for a moment without a zone, and `VirtualTimeError` where time is virtual already.

    >>> from task import TaskManager, every
    >>> from task.testing import virtual_time
    >>> manager = TaskManager([])
    >>> sample = manager.add(lambda: None, every(10).minutes, name="sample")
    >>> with virtual_time() as clock:
    ...     clock.run(manager)
    ...     clock.advance(hours=24)
    ...     manager.statistics("sample").counts["succeeded"]
    144
    >>> manager.state, manager.runs("sample")
    ('stopped', [])
    """
    clock = TaskClock(_moment(start), threads=threads)
    rehearsal = Rehearsal(clock, keep_stores=keep_stores)
    with Rehearsal.stopped(), _machine_follows(clock), _sleeps_are_virtual(clock), rehearsal:
        yield clock


def _moment(start: Moment | str | None) -> Moment | None:
    if not isinstance(start, str):
        return start
    try:
        return datetime.datetime.fromisoformat(start)
    except ValueError as error:
        raise DeclarationError(
            f"{start!r} is no moment. Write it as '2026-05-04T12:00+02:00', or give an aware datetime."
        ) from error


@contextlib.contextmanager
def _machine_follows(clock: VirtualClock) -> Iterator[None]:
    """The machine's wall clock shows what the virtual one shows, where time-machine is installed."""
    if importlib.util.find_spec("time_machine") is None:
        yield
        return
    import time_machine

    with time_machine.travel(_seconds(clock.now()), tick=False) as traveller:
        clock.on_moved = lambda moment: traveller.move_to(_seconds(moment))
        try:
            yield
        finally:
            clock.on_moved = None


def _seconds(moment: Moment) -> float:
    """A moment for time-machine: as a number, for a datetime would set the zone of the process, too.

    Numbers of that size are exact to a quarter of a microsecond: what is cut off must not be the microsecond.
    """
    return moment.timestamp() + 2e-7 if moment.microsecond else int(moment.timestamp())


@contextlib.contextmanager
def _sleeps_are_virtual(clock: VirtualClock) -> Iterator[None]:
    """``time.sleep`` in a body takes virtual time. Elsewhere it waits, as for a server that is to answer."""
    here = threading.get_ident()

    def sleep(seconds: Any, /) -> None:
        if clock.inline and threading.get_ident() == here and peek_current_run() is not None:
            clock.sleep(seconds)
        else:
            _sleep(seconds)

    before, time.sleep = time.sleep, sleep
    try:
        yield
    finally:
        time.sleep = before
