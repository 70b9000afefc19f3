"""What turns a switch: ``enable`` and ``disable``."""

from __future__ import annotations

import datetime

import click

from task.cli.completing import complete_name
from task.cli.group import Refusal, group_of, json_option, manager_of
from task.cli.texts import as_json, local_text, moment_of
from task.errors import UnknownTaskError
from task.log import printable
from task.models import Recurring, TaskManager

__all__ = ["disable", "enable", "end_of", "note_option", "reaching", "tell_switch", "until_option"]

Moment = datetime.datetime

note_option = click.option("--note", help="Why; it is shown with the switch, and kept in the journal.")
until_option = click.option(
    "--until", metavar="MOMENT", help="Turn it on again at a moment (2026-05-04T12:00), or after a span (2h, 7d)."
)


@click.command(short_help="Turn the switch of a task on.")
@click.argument("name", shell_complete=complete_name)
@json_option
@click.pass_context
def enable(ctx: click.Context, name: str, in_json: bool) -> None:
    """Turn the switch of a task on, in all processes. Slots that came due meanwhile stay skipped.

    \b
    Example:
      enable report
    """
    manager = reaching(ctx, name)
    switches_of(manager, name).enable(name)
    tell_switch(manager, name, in_json)


@click.command(short_help="Turn the switch of a task off, for a while or for good.")
@click.argument("name", shell_complete=complete_name)
@note_option
@until_option
@json_option
@click.pass_context
def disable(ctx: click.Context, name: str, note: str | None, until: str | None, in_json: bool) -> None:
    """Turn the switch of a task off, in all processes: its slots and triggers are skipped. A run under way goes on.

    \b
    Examples:
      disable report --note "the other side is down"
      disable report --until 2h
    """
    manager = reaching(ctx, name)
    switches_of(manager, name).disable(name, note, end_of(until, manager))
    tell_switch(manager, name, in_json)


def end_of(until: str | None, manager: TaskManager) -> Moment | None:
    """When a switch that is turned off is on again."""
    try:
        return None if until is None else moment_of(until, manager.clock.now(), past=False)
    except ValueError as error:
        raise Refusal(f"--until: {error}") from None


def reaching(ctx: click.Context, name: str) -> TaskManager:
    """The manager, if what is steered here reaches the process that runs its tasks: else it would be told, and lost."""
    manager = manager_of(ctx)
    if group_of(ctx)[0].apart and not manager.store.shared and manager.state != "running":
        raise Refusal(
            f"{name!r} cannot be steered from another process, as the record of each is in its memory. Give the "
            "manager a store that processes share: store='sqlite:///tasks.db'."
        )
    return manager


def switches_of(manager: TaskManager, name: str) -> TaskManager | Recurring:
    """Where the switch of that name is turned: recurring entries have theirs, also those that cannot be run here."""
    try:
        manager.recurring.get(name)
    except UnknownTaskError:
        return manager
    return manager.recurring


def tell_switch(manager: TaskManager, name: str, in_json: bool) -> None:
    """Tell how it stands."""
    now = manager.clock.now()
    switch = manager.store.switch(name, now)
    if in_json:
        click.echo(as_json({"name": name, "enabled": switch.enabled, "note": switch.note, "until": switch.until}))
        return
    until = "" if switch.until is None else f" until {local_text(switch.until, now)}"
    note = "" if switch.note is None else f": {switch.note}"
    click.echo(printable(f"{name} is {'on' if switch.enabled else 'off'}{until}{note}"))
