"""``run``: a run now, watched until it ends."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from task.cli.group import FAILED, SKIPPED, Refusal, complete_name, manager_of
from task.cli.tables import COLOURS
from task.cli.texts import as_json
from task.errors import StoreUnavailableError
from task.log import printable
from task.models import TaskManager
from task.overview import duration_text
from task.runs import Run, RunState, capture_logs, current_run

__all__ = ["run"]

#: How often it is looked how far the run is. Seconds.
POLL = 0.5
#: A run that no process has taken by then is withdrawn. Seconds.
PATIENCE = 10.0

#: The exit code of who has pressed Ctrl-C, as shells have it.
INTERRUPTED = 130


@click.command()
@click.argument("name", shell_complete=complete_name)
@click.argument("parameters", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--no-wait", is_flag=True, help="Ask for the run, and return at once.")
@click.option("--here", is_flag=True, help="Run the body in this process: one attempt, without a time limit.")
@click.option("--json", "in_json", is_flag=True, help="Tell the run as JSON on stdout, and its log on stderr.")
@click.pass_context
def run(ctx: click.Context, name: str, parameters: tuple[str, ...], no_wait: bool, here: bool, in_json: bool) -> None:
    """Run a task now, in a process that runs tasks; show its progress and log, and end as it ends.

    A value is JSON where it can be read so, else text. Ctrl-C leaves the run to itself.

    \b
    Exit codes: 0 it succeeded (or --no-wait: is queued); 1 it failed, timed out, was cancelled or lost;
    2 it cannot be asked for; 3 it was skipped: disabled, paused, running already.

    \b
    Examples:
      run report
      run report region=EU pages=20 'options={"draft": true}'
      run report --no-wait
    """
    if here and no_wait:
        raise click.UsageError("--here waits for the body: leave out --no-wait.")
    manager, given = manager_of(ctx), _parameters(parameters)
    teller = _Teller(to_stderr=in_json)
    ended = _run_here(manager, name, given, teller) if here else _run_elsewhere(manager, name, given, teller, no_wait)
    if in_json:
        click.echo(as_json(ended.as_dict()))
    else:
        click.echo(_outcome(ended))
    ctx.exit(_exit_code(ended, no_wait))


def _parameters(given: Sequence[str]) -> dict[str, Any]:
    """``key=value`` as parameters."""
    found = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not equals or not key.isidentifier():
            raise Refusal(f"{one!r} is no parameter. Write KEY=VALUE, such as region=EU.")
        found[key] = _value(value)
    return found


def _value(text: str) -> Any:
    def refuse(constant: str) -> Any:
        raise ValueError(constant)  # NaN and Infinity are not JSON

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return text


class _Teller:
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


def _outcome(run: Run) -> str:
    state = click.style(str(run.state), fg=COLOURS.get(run.state))
    took = "" if run.duration is None else duration_text(run.duration)
    said = run.result_text if run.state is RunState.SUCCEEDED else run.reason or run.error
    parts = [printable(run.task), state, *([f"after {took}"] if took else []), f"({run.id})"]
    return " ".join(parts) + ("" if said is None else f": {printable(said)}")


def _exit_code(run: Run, no_wait: bool) -> int:
    if run.state is RunState.SKIPPED:
        return SKIPPED
    return 0 if run.state is RunState.SUCCEEDED or (no_wait and not run.done()) else FAILED


# In a process that runs tasks.


def _run_elsewhere(
    manager: TaskManager, name: str, parameters: Mapping[str, Any], teller: _Teller, no_wait: bool
) -> Run:
    task = manager[name]
    if not manager.store.shared and manager.state != "running":
        raise Refusal(
            f"Task {name!r} cannot be run by another process, as the record of each is in its memory. Run it here with "
            "--here, or give the manager a store that processes share."
        )
    run = task.trigger(**parameters)
    if no_wait:
        return run
    try:
        _follow(manager, run, teller)
    except KeyboardInterrupt:
        click.echo(f"Nobody waits for run {run.id} any more; it goes on.", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    ended = manager.find_run(run.id)
    teller.tell(ended)
    return ended


def _follow(manager: TaskManager, run: Run, teller: _Teller) -> None:
    deadline = time.monotonic() + PATIENCE
    taken = False
    while not run.wait(POLL):
        with contextlib.suppress(StoreUnavailableError):  # the end is heard of when it can be reached again
            found = manager.store.find(run.id) or run
            taken = taken or found.owner is not None or found.waiting or found.state is not RunState.QUEUED
            teller.tell(found)
        if not taken and time.monotonic() > deadline and run.withdraw("no process took it"):
            raise Refusal(
                f"No process that runs {run.task!r} took the run within {PATIENCE:.0f} seconds, so it was withdrawn. "
                "Start the application; or run it here with --here; or leave it to the next process that starts with "
                "--no-wait."
            )


# In this process.


def _run_here(manager: TaskManager, name: str, parameters: Mapping[str, Any], teller: _Teller) -> Run:
    """Call the task, under its guards and on its record."""
    task = manager[name]
    accepted = task.binding.accept(parameters)
    seen: list[Run] = []

    @contextlib.contextmanager
    def notice() -> Iterator[None]:
        seen.append(current_run())
        yield

    manager.embedding.surround(notice)
    capture_logs()
    with _telling(seen, teller):
        try:
            answer = task(**accepted)
            if inspect.isawaitable(answer):
                asyncio.run(_awaited(answer))
        except KeyboardInterrupt:
            click.echo("The run was interrupted here.", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        except (Exception, SystemExit):
            if not seen:  # it was not the body that raised; that is on record, and told from there
                raise
    return manager.find_run(seen[0].id) if seen else manager.runs(name, RunState.SKIPPED, limit=1)[0]


async def _awaited(answer: Any) -> None:
    await answer


@contextlib.contextmanager
def _telling(seen: Sequence[Run], teller: _Teller) -> Iterator[None]:
    """Tell how far the first of these runs is while it is under way, and at last."""
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(POLL):
            if seen:
                teller.tell(seen[0])

    thread = threading.Thread(target=tell, name="task-teller", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        if seen:
            teller.tell(seen[0])
