"""What turns a switch: ``enable`` and ``disable``."""

from __future__ import annotations

import click

from task.cli.group import Refusal, complete_name, json_option, manager_of
from task.cli.texts import as_json, local_text, moment_of
from task.errors import UnknownTaskError
from task.log import printable
from task.models import Recurring, TaskManager

__all__ = ["disable", "enable"]


@click.command()
@click.argument("name", shell_complete=complete_name)
@json_option
@click.pass_context
def enable(ctx: click.Context, name: str, in_json: bool) -> None:
    """Turn the switch of a task on, in all processes. Slots that came due meanwhile stay skipped.

    \b
    Example:
      enable report
    """
    manager = manager_of(ctx)
    entries = _entries(manager, name)
    if entries is not None:
        entries.enable(name)
    else:
        manager[name].enable()
    _tell(manager, name, in_json)


@click.command()
@click.argument("name", shell_complete=complete_name)
@click.option("--note", help="Why; it is shown with the switch, and kept in the journal.")
@click.option(
    "--until", metavar="MOMENT", help="Turn it on again at a moment (2026-05-04T12:00), or after a span (2h, 7d)."
)
@json_option
@click.pass_context
def disable(ctx: click.Context, name: str, note: str | None, until: str | None, in_json: bool) -> None:
    """Turn the switch of a task off, in all processes: its slots and triggers are skipped. A run under way goes on.

    \b
    Examples:
      disable report --note "the other side is down"
      disable report --until 2h
    """
    manager = manager_of(ctx)
    try:
        end = None if until is None else moment_of(until, manager.clock.now(), past=False)
    except ValueError as error:
        raise Refusal(f"--until: {error}") from None
    entries = _entries(manager, name)
    if entries is not None:
        entries.disable(name, note, end)
    else:
        manager[name].disable(note, end)
    _tell(manager, name, in_json)


def _entries(manager: TaskManager, name: str) -> Recurring | None:
    """Where recurring entries are switched, if it is one: also one that this process cannot run."""
    try:
        manager.recurring.get(name)
    except UnknownTaskError:
        return None
    return manager.recurring


def _tell(manager: TaskManager, name: str, in_json: bool) -> None:
    now = manager.clock.now()
    switch = manager.store.switch(name, now)
    if in_json:
        click.echo(as_json({"name": name, "enabled": switch.enabled, "note": switch.note, "until": switch.until}))
        return
    until = "" if switch.until is None else f" until {local_text(switch.until, now)}"
    note = "" if switch.note is None else f": {switch.note}"
    click.echo(printable(f"{name} is {'on' if switch.enabled else 'off'}{until}{note}"))
