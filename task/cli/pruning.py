"""``prune``: drops what is old from the history."""

from __future__ import annotations

import sys

import click

from task.cli.group import Refusal, json_option, knows_no_code, manager_of
from task.cli.tables import show_table
from task.cli.texts import as_json, span_of

__all__ = ["prune"]


@click.command(short_help="Drop old runs from the history.")
@click.option("--keep-runs", type=click.IntRange(1), metavar="N", help="So many rows of each task stay, the newest.")
@click.option("--keep-days", type=click.FloatRange(0, min_open=True), metavar="DAYS", help="What is older goes.")
@click.option("--older-than", metavar="SPAN", help="The same as a span: 12h, 30d, 8w.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be dropped.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def prune(
    ctx: click.Context,
    keep_runs: int | None,
    keep_days: float | None,
    older_than: str | None,
    dry_run: bool,
    yes: bool,
    in_json: bool,
) -> None:
    """Drop old runs from the history, with their logs and artifacts, and tell how many of each task.

    What is under way, and the last outcome of each task, stay. On a terminal it asks first. Without a figure it is
    what the module gives its manager as keep_runs= and keep_days=, by which processes that run tasks prune by
    themselves. Artifacts are found by the module's artifacts=.

    \b
    Examples:
      prune --older-than 30d --dry-run
      prune --keep-runs 1000 --yes
    """
    manager = manager_of(ctx)
    if keep_days is not None and older_than is not None:
        raise click.UsageError("--keep-days and --older-than say the same: give one of them.")
    if older_than is not None:
        keep_days = _days_of(older_than)
    if keep_runs is None and keep_days is None and knows_no_code(manager):
        raise click.UsageError("Say what is to stay: --keep-runs or --older-than; or name the --module that says so.")
    ask = not dry_run and not yes and sys.stdin.isatty()
    found = manager.prune(keep_runs, keep_days, dry_run=dry_run or ask)
    if ask and found:
        show_table(["task", "rows"], [[name, str(count)] for name, count in sorted(found.items())])
        click.confirm(f"Drop {sum(found.values())} rows?", abort=True, err=True)
        found = manager.prune(keep_runs, keep_days)
    if in_json:
        click.echo(as_json({"dry_run": dry_run, "rows": sum(found.values()), "tasks": found}))
        return
    if found and not ask:
        show_table(["task", "rows"], [[name, str(count)] for name, count in sorted(found.items())])
    would = " would be" if dry_run else ""
    click.echo(f"{sum(found.values()) or 'No'} rows{would} dropped")


def _days_of(text: str) -> float:
    seconds = span_of(text)
    if not seconds:
        raise Refusal(f"--older-than: {text!r} is no span. Write 12h, 30d or 8w.")
    return seconds / 86_400
