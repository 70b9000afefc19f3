"""``trigger`` and ``cancel``: a run now, watched until it ends, and the end of one."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from task.cli.completing import complete_name, complete_run
from task.cli.following import POLL, Teller, exit_code, follow, outcome_of
from task.cli.group import INTERRUPTED, Refusal, json_option, manager_of
from task.cli.texts import as_json, parameters_of
from task.errors import UnknownTaskError
from task.log import printable
from task.models import TaskFunction, TaskManager
from task.runs import Run, RunState, capture_logs, current_run

__all__ = ["cancel", "trigger"]

#: A run that no process has taken by then is withdrawn. Seconds.
PATIENCE = 10.0


@click.command(short_help="Run a task now, and end as its run does.")
@click.argument("name", shell_complete=complete_name)
@click.argument("parameters", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--no-wait", is_flag=True, help="Ask for the run, and return at once.")
@click.option("--here", is_flag=True, help="Run the body in this process: one attempt, without a time limit.")
@click.option("--json", "in_json", is_flag=True, help="Tell the run as JSON on stdout, and its log on stderr.")
@click.pass_context
def trigger(
    ctx: click.Context, name: str, parameters: tuple[str, ...], no_wait: bool, here: bool, in_json: bool
) -> None:
    """Run a task now, in a process that runs tasks; show its progress and log, and end as it ends.

    A value is JSON where it can be read so, else text. Ctrl-C leaves the run to itself.

    \b
    Exit codes: 0 it succeeded (or --no-wait: is queued); 1 it failed, timed out, was cancelled or lost;
    2 it cannot be asked for; 3 it was skipped: disabled, paused, running already.

    \b
    Examples:
      trigger report
      trigger report region=EU pages=20 'options={"draft": true}'
      trigger report --no-wait
    """
    if here and no_wait:
        raise click.UsageError("--here waits for the body: leave out --no-wait.")
    manager, given = manager_of(ctx), parameters_of(parameters)
    teller = Teller(to_stderr=in_json)
    with contextlib.redirect_stdout(sys.stderr) if in_json else contextlib.nullcontext():  # what a body prints here
        run = _run_here if here else functools.partial(_run_elsewhere, no_wait=no_wait)
        ended = run(manager, name, given, teller)
    if in_json:
        click.echo(as_json(ended.as_dict()))
    else:
        click.echo(outcome_of(ended))
    ctx.exit(0 if no_wait and not ended.done() else exit_code(ended))


# In a process that runs tasks.


def _run_elsewhere(
    manager: TaskManager, name: str, parameters: Mapping[str, Any], teller: Teller, no_wait: bool
) -> Run:
    task = _known(manager, name)
    if not manager.store.shared and manager.state != "running":
        raise Refusal(
            f"Task {name!r} cannot be run by another process, as the record of each is in its memory. Run it here with "
            "--here, or give the manager a store that processes share."
        )
    run = task.trigger(**parameters)
    return run if no_wait else follow(manager, run, teller, _Patience(run).judge)


class _Patience:
    """Withdraws a run that no process takes."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._deadline = time.monotonic() + PATIENCE
        self._taken = False

    def judge(self, found: Run) -> None:
        """See how it stands."""
        self._taken = self._taken or found.owner is not None or found.waiting or found.state is not RunState.QUEUED
        if not self._taken and time.monotonic() > self._deadline and self._run.withdraw("no process took it"):
            raise Refusal(
                f"No process that runs {found.task!r} took the run within {PATIENCE:.0f} seconds, so it was withdrawn. "
                "Start the application; or run it here with --here; or leave it to the next process that starts with "
                "--no-wait."
            )


def _known(manager: TaskManager, name: str) -> TaskFunction[..., Any]:
    """The task of that name in the code here. On record alone it cannot be run: what it takes is in its code."""
    try:
        return manager[name]
    except UnknownTaskError:
        if name not in manager.store.names():
            raise
    raise Refusal(
        f"Task {name!r} is on record, but its code is not here: what it takes and how it is guarded cannot be known. "
        "Name the module that has it: --module MODULE."
    )


# In this process.


def _run_here(manager: TaskManager, name: str, parameters: Mapping[str, Any], teller: Teller) -> Run:
    """Call the task, under its guards and on its record."""
    task = _known(manager, name)
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
                _await(answer)
        except KeyboardInterrupt:
            click.echo("The run was interrupted here.", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        except (Exception, SystemExit):
            if not seen:  # it was not the body that raised; that is on record, and told from there
                raise
    return manager.find_run(seen[0].id) if seen else manager.runs(name, RunState.SKIPPED, limit=1)[0]


def _await(answer: Any) -> None:
    import asyncio  # no other command needs it, and it takes a while to load

    async def awaited() -> None:
        await answer

    asyncio.run(awaited())


@contextlib.contextmanager
def _telling(seen: Sequence[Run], teller: Teller) -> Iterator[None]:
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


# The end of one.


@click.command(short_help="End a run, in whichever process it is.")
@click.argument("run", metavar="RUN", shell_complete=complete_run)
@click.option("--reason", default="cancelled", help="Why; it is kept with the run, and in the journal.")
@json_option
@click.pass_context
def cancel(ctx: click.Context, run: str, reason: str, in_json: bool) -> None:
    """End a run: one that waits at once; a body that runs is asked to stop, in whichever process. RUN is its id.

    Coroutines, processes and commands are stopped; a body in a thread ends when it looks whether it is to.

    \b
    Examples:
      cancel 019df2dc-0a00-7000-9169-757e966b5028
      cancel 019df2dc-0a00-7000-9169-757e966b5028 --reason "wrong region"
    """
    manager = manager_of(ctx)
    if run in manager:
        raise Refusal(f"{run!r} is a task, not a run: 'runs --task {run} --state running' has the ids of its runs.")
    asked = manager.find_run(run)
    if not asked.cancel(reason):
        raise Refusal(f"Run {run} of task {asked.task!r} has ended already: {asked.state}.")
    now = manager.find_run(run)
    if in_json:
        click.echo(as_json(now.as_dict()))
    elif now.done():
        click.echo(outcome_of(now))
    else:
        click.echo(printable(f"{now.task} is asked to stop ({now.id}): log {now.id} -f"))
