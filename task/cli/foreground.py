"""``run``: the tasks of a module, run in the foreground: as a live table on a terminal, as log lines elsewhere."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, TextIO

import click

from task.cli.group import FAILED, INTERRUPTED
from task.cli.source import load_manager
from task.cli.telling import telling_events, telling_json
from task.errors import MissingExtraError, StoreError
from task.events import manager_state_changed, run_lost
from task.log import logger, printable
from task.models import TaskManager, is_echo
from task.overview import Overview
from task.runs import Run, RunState

__all__ = ["run_module"]

#: So many of the last lines are left on the terminal, when the table has gone.
LEFT = 10

#: How long it is waited for the last events, once all has stopped: a machine may be busy, and a pipe full. Seconds.
PATIENCE = 10.0

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_DATES = {True: "%H:%M:%S", False: "%Y-%m-%d %H:%M:%S"}


@click.command("run")
@click.argument("module", metavar="MODULE[:ATTR]", required=False)
@click.option("--store", metavar="URL", help="Keep the record there, if the code names no store.")
@click.option("--namespace", metavar="NAME", help="The name of this application on that store.")
@click.option("--plain", is_flag=True, help="Log lines, on a terminal too.")
@click.option("--json", "in_json", is_flag=True, help="Each event as JSON on a line of its own, on a terminal too.")
@click.pass_context
def run_module(
    ctx: click.Context, module: str | None, store: str | None, namespace: str | None, plain: bool, in_json: bool
) -> None:
    """Run the tasks of a module, here in the foreground.

    A terminal shows a live table; elsewhere each event is a line on stdout, and what tasks log is on stderr.

    Ctrl-C or SIGTERM stops it cleanly: nothing new starts, and what runs gets 10 seconds. The second one ends it at
    once; its runs are recorded as lost by the next process on the store.

    MODULE is package.module or jobs.py; after a colon, the name of a TaskManager, of a Flask application, or of a
    function that makes one of them.

    \b
    Exit codes: 0 it was stopped and all runs have ended; 1 runs had to be left, and are lost;
    2 it cannot be run; 130 Ctrl-C came twice.

    \b
    Examples:
      run jobs
      run shop/jobs.py --store sqlite:///tasks.db
      run shop.tasks:manager --plain >> tasks.log
    """
    above = {} if ctx.parent is None else ctx.parent.params
    target = module or above.get("module")
    if target is None:
        raise click.UsageError("Say what is to be run: MODULE, such as jobs, shop/jobs.py or shop.tasks:manager.")
    events = sys.stdout if in_json else None
    with contextlib.redirect_stdout(sys.stderr) if in_json else contextlib.nullcontext():  # what others print
        manager = load_manager(target, store or above.get("store"), namespace or above.get("namespace"))
        ended = _run(manager, target, table=not (plain or in_json) and _can_draw(), events=events)
    ctx.exit(ended)


def _can_draw() -> bool:
    if not sys.stdout.isatty():
        return False
    try:
        from task.cli.screen import is_in_front
    except ImportError as error:
        raise MissingExtraError.of("cli", "The live table (--plain does without)") from error
    return is_in_front()


def _run(manager: TaskManager, title: str, *, table: bool, events: TextIO | None) -> int:
    """Run it until it has stopped; the exit code. *events* gets them as JSON."""
    lost: list[str] = []

    def count(sender: TaskManager, run: Run) -> None:
        if sender.state != "running":  # else it is another process that has died
            lost.append(run.id)

    with _signals_end_it(manager) as asked, _logging(briefly=table), run_lost.connected_to(count, manager):
        try:
            with _table(manager, title) if table else _lines(manager, title, events):
                _until_stopped(manager, asked)
                manager.scheduler.announcer.join(PATIENCE)  # what is told of the end is told from another thread
        except KeyboardInterrupt:
            return INTERRUPTED
    return FAILED if lost else 0


class _Asked:
    """The signals so far: what one raises in a callback of the interpreter's own, such as each import has, reaches
    nobody.
    """

    def __init__(self) -> None:
        self.signals: list[int] = []
        #: The manager may run, and its first runs are being made: one of them that is broken off would never end.
        self.beginning = True


def _until_stopped(manager: TaskManager, asked: _Asked) -> None:
    try:
        manager.run()
        asked.beginning = False
        if not asked.signals:
            manager.wait()
    except KeyboardInterrupt:
        if manager.state != "running":
            raise  # the second: it has stopped at once
    manager.stop()  # whoever has begun to: until it has ended; or a signal came before it was waited for


@contextlib.contextmanager
def _signals_end_it(manager: TaskManager) -> Iterator[_Asked]:
    """The second SIGTERM is as the second Ctrl-C, and a terminal that is closed as SIGTERM. Gives those that came.

    The first one is heard by `TaskManager.wait`, which then puts back what is set here.
    """
    asked = _Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        if is_echo(number):
            return
        asked.signals.append(number)
        if asked.beginning and manager.state == "running" and len(asked.signals) == 1:
            return  # it is looked at in a moment
        raise KeyboardInterrupt

    def hang_up(number: int, frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGTERM)

    handlers: dict[int, Any] = {signal.SIGINT: interrupt, signal.SIGTERM: interrupt}
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # else it is nohup
        handlers[signal.SIGHUP] = hang_up
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _logging(*, briefly: bool) -> Iterator[None]:
    """What is logged goes to stderr, if the code has not said where; but for what is told as an event."""
    if logging.root.handlers:
        yield
        return
    handler, level = logging.StreamHandler(), logging.root.level
    handler.setFormatter(logging.Formatter(_FORMAT, _DATES[briefly]))
    handler.addFilter(lambda record: record.name != "task" or record.levelno >= logging.WARNING)
    logging.root.addHandler(handler)
    logging.root.setLevel(logging.INFO)
    try:
        yield
    finally:
        logging.root.removeHandler(handler)
        logging.root.setLevel(level)


# As lines.


@contextlib.contextmanager
def _lines(manager: TaskManager, title: str, events: TextIO | None) -> Iterator[None]:
    gone, over, writing = threading.Event(), threading.Event(), threading.Lock()

    def say(line: str) -> None:
        with writing:
            if gone.is_set() or over.is_set():
                return
            try:
                click.echo(line, file=events)
                return
            except OSError as error:  # whoever read it has gone: the tasks are run all the same
                gone.set()
                reason = str(error)
        logger.warning("Events are not told any more, as stdout cannot be written: %s", reason)

    def tell(sender: TaskManager, state: str) -> None:
        if state == "stopping":
            say(printable(f"Stopping {title}: {_waits(sender)}"))
        elif state == "running":
            count = len(sender)
            say(printable(f"Running {title} with {count} task{'' if count == 1 else 's'}; Ctrl-C stops it"))

    try:
        if events is not None:
            with telling_json(manager, say):
                yield
        else:
            with telling_events(manager, say), manager_state_changed.connected_to(tell, manager):
                yield
    finally:  # an interpreter that ends while a thread is in the middle of a line is aborted by that
        if writing.acquire(timeout=PATIENCE):
            over.set()
            writing.release()
    if gone.is_set():
        _give_up_stdout()


def _waits(manager: TaskManager) -> str:
    try:
        names = list(dict.fromkeys(run.task for run in manager.runs(state=RunState.RUNNING, limit=10)))
    except StoreError:
        return "it waits for what runs; Ctrl-C again ends it at once"
    return f"it waits for {', '.join(names)}; Ctrl-C again ends it at once" if names else "nothing runs"


def _give_up_stdout() -> None:
    """The interpreter, which flushes it at its end, would fail of it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


# As a table.


@contextlib.contextmanager
def _table(manager: TaskManager, title: str) -> Iterator[None]:
    from task.cli.board import draw, look
    from task.cli.screen import Screen

    overview = Overview(manager)
    screen = Screen(lambda width, height: draw(look(overview, manager, title, screen.lines), width, height))

    def hurry(sender: TaskManager, state: str) -> None:
        screen.hurry()

    telling = telling_events(manager, screen.say, briefly=True)
    try:
        with screen.shown(), telling, manager_state_changed.connected_to(hurry, manager):
            yield
    finally:
        _leave(list(screen.lines)[-LEFT:])


def _leave(lines: list[str]) -> None:
    """Leave the last lines of the log on the terminal."""
    try:
        for line in lines:
            click.echo(line)
    except OSError:  # it has been closed meanwhile
        _give_up_stdout()
