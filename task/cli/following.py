"""How far a run is, what it logs and how it ended, told as that comes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import click

from task.cli.group import FAILED, INTERRUPTED, SKIPPED
from task.cli.tables import COLOURS
from task.errors import StoreUnavailableError
from task.log import printable
from task.models import TaskManager
from task.overview import duration_text
from task.runs import Run, RunState

__all__ = ["POLL", "Teller", "exit_code", "follow", "outcome_of"]

#: How often it is looked how far the run is. Seconds.
POLL = 0.5


class Teller:
    """Tells how far a run is, and what it logs, as that comes."""

    def __init__(self, *, to_stderr: bool) -> None:
        self._to_stderr = to_stderr
        self._lines = 0
        self._told: tuple[float | None, str] = (None, "")

    def tell(self, run: Run) -> None:
        """What is new."""
        lines = run.log
        fresh = len(lines) + run.log_dropped - self._lines
        self._lines += fresh
        for line in lines[-fresh:] if fresh > 0 else ():
            self._say(f"{line.at.astimezone():%H:%M:%S} {str(line).partition(' ')[2]}")
        if (run.progress, run.message) != self._told and run.progress is not None:
            self._told = run.progress, run.message
            self._say(f"{run.progress:3.0f} % {run.message}")

    def _say(self, text: str) -> None:
        click.echo(printable(text), err=self._to_stderr)


def outcome_of(run: Run) -> str:
    """How it ended, or how it stands, in one line."""
    state = click.style(str(run.state), fg=COLOURS.get(run.state))
    took = "" if run.duration is None else duration_text(run.duration)
    said = run.result_text if run.state is RunState.SUCCEEDED else run.reason or run.error
    parts = [printable(run.task), state, *([f"after {took}"] if took else []), f"({run.id})"]
    return " ".join(parts) + ("" if said is None else f": {printable(said)}")


def exit_code(run: Run) -> int:
    """How a command ends that has waited for it."""
    if run.state is RunState.SKIPPED:
        return SKIPPED
    return 0 if run.state is RunState.SUCCEEDED else FAILED


def follow(manager: TaskManager, run: Run, teller: Teller, judge: Callable[[Run], object] = lambda run: None) -> Run:
    """Tell of it until it has ended, and let *judge* see it each time. Ctrl-C leaves it to itself."""
    try:
        while not run.wait(POLL):
            found = run
            with contextlib.suppress(StoreUnavailableError):  # the end is heard of when it can be reached again
                found = manager.store.find(run.id) or run
                teller.tell(found)
            judge(found)
    except KeyboardInterrupt:
        click.echo(f"Nobody waits for run {run.id} any more; it goes on.", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    ended = manager.find_run(run.id)
    teller.tell(ended)
    return ended
