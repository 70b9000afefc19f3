"""What is on record: ``runs``, ``log`` and ``journal``."""

from __future__ import annotations

import datetime

import click

from task.cli.completing import complete_name, complete_run, complete_tag
from task.cli.following import Teller, exit_code, follow, outcome_of
from task.cli.group import Refusal, json_option, manager_of
from task.cli.tables import show_table
from task.cli.texts import as_json, local_text, moment_of
from task.log import printable
from task.models import TaskManager
from task.overview import duration_text
from task.runs import Run, RunState
from task.stores import RunPage

__all__ = ["journal", "log", "run_detail", "runs", "show_runs"]

Moment = datetime.datetime

#: So many runs are asked for at once, and told by one command.
PAGE, MOST = 1_000, 100_000

#: What has a log, and maybe a traceback: all but the slots that came to nothing.
BEGUN = [state for state in RunState if state not in (RunState.SKIPPED, RunState.MISSED)]


@click.command(short_help="Runs, skips and missed slots, newest first.")
@click.option("--task", shell_complete=complete_name, help="Only runs of this task.")
@click.option(
    "--state",
    multiple=True,
    type=click.Choice([str(state) for state in RunState]),
    help="Only in this state; may be repeated.",
)
@click.option("--tag", shell_complete=complete_tag, help="Only of tasks with this tag.")
@click.option("--since", metavar="MOMENT", help="From a moment on (2026-05-04T12:00), or so long ago (2h, 7d).")
@click.option("--until", metavar="MOMENT", help="Before a moment, or so long ago.")
@click.option("--parent", metavar="RUN", shell_complete=complete_run, help="Only those that came from this run.")
@click.option("--limit", type=click.IntRange(1, MOST), default=20, show_default=True, help="At most so many.")
@click.option("--cursor", help="Go on where the page before has ended: it told this.")
@json_option
@click.pass_context
def runs(
    ctx: click.Context,
    task: str | None,
    state: tuple[str, ...],
    tag: str | None,
    since: str | None,
    until: str | None,
    parent: str | None,
    limit: int,
    cursor: str | None,
    in_json: bool,
) -> None:
    """Runs, skips and missed slots, newest first.

    Where there are more than --limit, stderr tells the --cursor of the next page.

    \b
    Examples:
      runs --task report --since 24h
      runs --state failed --state timed_out --json
      runs --since 2026-05-04 --until 2026-05-05 --limit 5000
    """
    manager = manager_of(ctx)
    now = manager.clock.now()
    begin, end = moment_in_past("--since", since, now), moment_in_past("--until", until, now)
    found = RunPage()
    found.cursor = cursor
    while len(found) < limit and (found.cursor is not None or not found):
        size = min(PAGE, limit - len(found))
        page = manager.runs(
            task, state or None, size, since=begin, until=end, parent=parent, tag=tag, cursor=found.cursor
        )
        found += page
        found.cursor = page.cursor
        if page.cursor is None:
            break
    if in_json:
        click.echo(as_json([run.as_dict() for run in found]))
    else:
        show_runs(found, now)
    if found.cursor is not None:
        click.echo(f"There are older ones: --cursor {found.cursor}", err=True)


def moment_in_past(option: str, text: str | None, now: Moment) -> Moment | None:
    """What an option gives as a moment, or as a span before now. Raises `Refusal`."""
    try:
        return None if text is None else moment_of(text, now, past=True)
    except ValueError as error:
        raise Refusal(f"{option}: {error}") from None


def show_runs(found: list[Run], now: Moment, *, of_one_task: bool = False, indent: int = 0) -> None:
    """Write a table of runs; their ids are whole, to be copied."""
    titles = ["when", "task", "state", "took", "why", "id", "detail"]
    rows = [_row(run, now) for run in found]
    if of_one_task:
        del titles[1]
        rows = [[row[0], *row[2:]] for row in rows]
    show_table(titles, rows, whole=("id",), optional=("why", "took", "detail"), indent=indent)


def _row(run: Run, now: Moment) -> list[str]:
    state = f"{run.state} ×{run.count}" if run.count > 1 else str(run.state)
    detail = run.reason or run.error or run.message
    moment = run.started_at or run.slot or run.queued_at
    took = "" if run.duration is None else duration_text(run.duration)
    return [local_text(moment, now), run.task, state, took, run.trigger, run.id, detail]


@click.command(short_help="The log, the outcome and the error of a run.")
@click.argument("run", metavar="RUN", shell_complete=complete_run)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on until the run has ended, and end as it does.")
@json_option
@click.pass_context
def log(ctx: click.Context, run: str, following: bool, in_json: bool) -> None:
    """The log of a run, with its progress, its outcome and what it raised. RUN is an id, or a task: its newest run.

    \b
    Exit codes with --follow: those of `trigger`. Ctrl-C leaves the run to itself.

    \b
    Examples:
      log 019df2dc-0a00-7000-9169-757e966b5028
      log report -f
    """
    manager = manager_of(ctx)
    found = run_of(manager, run)
    teller = Teller(to_stderr=in_json)
    if following:
        teller.tell(found)
        found = follow(manager, found, teller)
    elif not in_json:
        teller.tell(found)
    if in_json:
        click.echo(as_json(run_detail(found)))
    else:
        for line in (found.traceback or "").splitlines():
            click.echo(printable(line.expandtabs(4)))
        click.echo(outcome_of(found))
    ctx.exit(exit_code(found) if following else 0)


def run_of(manager: TaskManager, text: str) -> Run:
    """The run of that id, or the newest one of that task, if it can one that began. Raises `UnknownRunError`."""
    known = text in manager.store.names()
    if (known or text in manager) and manager.store.find(text) is None:
        newest = (manager.runs(text, BEGUN, limit=1) or manager.runs(text, limit=1)) if known else []
        if not newest:
            raise Refusal(f"Task {text!r} has no run on record.")
        return manager.find_run(newest[0].id)
    return manager.find_run(text)


def run_detail(run: Run) -> dict[str, object]:
    """A run as JSON, with its log."""
    lines = [line.as_dict() for line in run.log]
    return {**run.as_dict(), "traceback": run.traceback, "log": lines, "log_dropped": run.log_dropped}


@click.command(short_help="Who has steered what, newest first.")
@click.option("--task", shell_complete=complete_name, help="Only what was done with this task.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True, help="At most so many.")
@json_option
@click.pass_context
def journal(ctx: click.Context, task: str | None, limit: int, in_json: bool) -> None:
    """Who has steered what, newest first: switches, triggers, cancelled runs, recurring entries.

    \b
    Example:
      journal --task report
    """
    manager = manager_of(ctx)
    entries, now = manager.journal(task, limit), manager.clock.now()
    if in_json:
        click.echo(as_json([entry.as_dict() for entry in entries]))
        return
    rows = [
        [local_text(entry.at, now), entry.who, entry.what, entry.task or "(all)", entry.note or ""] for entry in entries
    ]
    show_table(["when", "who", "what", "task", "note"], rows)
