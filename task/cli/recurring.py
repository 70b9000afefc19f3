"""``recurring``: the schedules that people make at run time."""

from __future__ import annotations

import sys
from typing import Any

import click

from task.cli.completing import complete_entry, complete_name
from task.cli.group import CommandGroup, Refusal, json_option, knows_no_code, manager_of
from task.cli.running import trigger
from task.cli.switching import end_of, note_option, reaching, tell_switch, until_option
from task.cli.tables import show_table
from task.cli.texts import ago, as_json, local_text, parameters_of
from task.log import printable
from task.models import RecurringEntry, TaskManager

__all__ = ["recurring"]

_entry = click.argument("name", shell_complete=complete_entry)
_at_once = click.option("--max-concurrent", type=click.IntRange(1), help="So many runs of it at once.")


@click.group(cls=CommandGroup, short_help="Schedules that people make at run time.")
def recurring() -> None:
    """Recurring entries: tasks on schedules and with parameters that people make at run time, kept in the store.

    \b
    Examples:
      recurring list
      recurring create "EU nightly" --task report --schedule "every day at 02:00" region=EU
      recurring change "EU nightly" --schedule "0 3 * * *"
    """


@click.command("list", short_help="All entries.")
@json_option
@click.pass_context
def list_entries(ctx: click.Context, in_json: bool) -> None:
    """All entries: their task, schedule, switch and next run.

    \b
    Example:
      recurring list
    """
    manager = manager_of(ctx)
    entries = manager.recurring.list()
    if in_json:
        click.echo(as_json([entry.as_dict() for entry in entries]))
        return
    rows = [_row(manager, entry) for entry in entries]
    show_table(["name", "task", "schedule", "parameters", "switch", "runs"], rows, optional=("runs", "parameters"))


def _row(manager: TaskManager, entry: RecurringEntry) -> list[str]:
    switch = "on" if entry.enabled else "off" + (f": {entry.note}" if entry.note else "")
    if entry.problem is not None and not knows_no_code(manager):
        switch += " (not run here)"
    given = " ".join(f"{name}={_written(value)}" for name, value in entry.parameters.items())
    runs = str(entry.runs) + (f", {entry.failures} failed" if entry.failures else "")
    return [entry.name, entry.task, entry.schedule or "", given, switch, runs]


def _written(value: Any) -> str:
    return value if isinstance(value, str) else as_json(value, indent=None)


@click.command("show", short_help="All of one entry.")
@_entry
@json_option
@click.pass_context
def show_entry(ctx: click.Context, name: str, in_json: bool) -> None:
    """All of one entry. `show` has its figures and runs, as of any task.

    \b
    Example:
      recurring show "EU nightly"
    """
    _tell(manager_of(ctx), name, in_json)


@click.command(short_help="Make an entry.")
@click.argument("name")
@click.option("--task", required=True, shell_complete=complete_name, help="The task whose body it runs.")
@click.option("--schedule", metavar="WORDS", help="Without, it is only triggered.")
@click.argument("parameters", nargs=-1, metavar="[KEY=VALUE]...")
@_at_once
@click.option("--disabled", is_flag=True, help="Its switch is off at first.")
@json_option
@click.pass_context
def create(
    ctx: click.Context,
    name: str,
    task: str,
    schedule: str | None,
    parameters: tuple[str, ...],
    max_concurrent: int | None,
    disabled: bool,
    in_json: bool,
) -> None:
    """Make an entry: its slots are counted from now on, and every process on the store picks it up.

    \b
    Examples:
      recurring create "EU nightly" --task report --schedule "every day at 02:00 in Europe/Amsterdam" region=EU
      recurring create "by hand" --task report pages=3
    """
    manager = reaching(ctx, name)
    manager.recurring.add(
        name,
        task=task,
        schedule=schedule,
        parameters=parameters_of(parameters),
        max_concurrent=max_concurrent or 1,
        enabled=not disabled,
    )
    _tell(manager, name, in_json)


@click.command(short_help="Change its schedule, task or parameters.")
@_entry
@click.option("--task", shell_complete=complete_name, help="The task whose body it is to run.")
@click.option("--schedule", metavar="WORDS", help="Counted from now on; 'none': it is only triggered.")
@click.argument("parameters", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--drop", multiple=True, metavar="KEY", help="Pass this parameter no more; may be repeated.")
@_at_once
@json_option
@click.pass_context
def change(
    ctx: click.Context,
    name: str,
    task: str | None,
    schedule: str | None,
    parameters: tuple[str, ...],
    drop: tuple[str, ...],
    max_concurrent: int | None,
    in_json: bool,
) -> None:
    """Change an entry: what is not named stays; the parameters that are given go over those that it has.

    \b
    Examples:
      recurring change "EU nightly" --schedule "0 3 * * *"
      recurring change "EU nightly" pages=20 --drop region
    """
    manager = reaching(ctx, name)
    before = manager.recurring.get(name)
    asked: dict[str, Any] = {"task": task, "max_concurrent": max_concurrent}
    changes = {key: value for key, value in asked.items() if value is not None}
    if schedule is not None:
        changes["schedule"] = None if schedule.strip().lower() == "none" else schedule
    if parameters or drop:
        missing = [key for key in drop if key not in before.parameters]
        if missing:
            has = ", ".join(before.parameters) or "none"
            raise Refusal(f"Recurring entry {name!r} passes no parameter {missing[0]!r} to drop. It passes: {has}.")
        changes["parameters"] = {
            key: value for key, value in (before.parameters | parameters_of(parameters)).items() if key not in drop
        }
    if not changes:
        raise click.UsageError("Say what is to change: --schedule, --task, --max-concurrent, KEY=VALUE or --drop KEY.")
    manager.recurring.update(name, **changes)
    _tell(manager, name, in_json)


@click.command(short_help="Forget an entry; its history stays.")
@_entry
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def delete(ctx: click.Context, name: str, yes: bool, in_json: bool) -> None:
    """Forget an entry: no slot of it is run any more. Its history stays; a body under way goes on.

    On a terminal it asks first.

    \b
    Example:
      recurring delete "EU nightly"
    """
    manager = reaching(ctx, name)
    manager.recurring.get(name)
    if not yes and sys.stdin.isatty():
        click.confirm(f"Delete the recurring entry {printable(name)}?", abort=True, err=True)
    manager.recurring.remove(name)
    click.echo(as_json({"name": name, "deleted": True}) if in_json else f"{printable(name)} is deleted")


@click.command(short_help="Turn its switch on.")
@_entry
@json_option
@click.pass_context
def enable(ctx: click.Context, name: str, in_json: bool) -> None:
    """Turn the switch of an entry on, in all processes.

    \b
    Example:
      recurring enable "EU nightly"
    """
    manager = reaching(ctx, name)
    manager.recurring.enable(name)
    tell_switch(manager, name, in_json)


@click.command(short_help="Turn its switch off.")
@_entry
@note_option
@until_option
@json_option
@click.pass_context
def disable(ctx: click.Context, name: str, note: str | None, until: str | None, in_json: bool) -> None:
    """Turn the switch of an entry off, in all processes: its slots and triggers are skipped.

    \b
    Example:
      recurring disable "EU nightly" --until 7d
    """
    manager = reaching(ctx, name)
    manager.recurring.disable(name, note, end_of(until, manager))
    tell_switch(manager, name, in_json)


def _tell(manager: TaskManager, name: str, in_json: bool) -> None:
    """Tell how an entry is."""
    entry, now = manager.recurring.get(name), manager.clock.now()
    if in_json:
        click.echo(as_json(entry.as_dict()))
        return
    facts = {"Name": entry.name, "Task": entry.task, "Schedule": entry.schedule or "none: it is only triggered"}
    facts |= {f"  {key}": _written(value) for key, value in entry.parameters.items()}
    facts["At once"] = "one run" if entry.max_concurrent == 1 else f"{entry.max_concurrent} runs"
    until = "" if entry.until is None else f" until {local_text(entry.until, now)}"
    facts["Switch"] = "on" if entry.enabled else f"off{until}" + (f": {entry.note}" if entry.note else "")
    facts["Runs"] = f"{entry.runs}, {entry.failures} failed"
    facts["Updated"] = ago(entry.updated_at, now)
    if entry.problem is not None and not knows_no_code(manager):
        facts["Problem"] = entry.problem
    for key, text in facts.items():
        click.echo(f"{printable(key):10}  {printable(text)}")


recurring.add_section("Look", list_entries, show_entry)
recurring.add_section("Steer", create, change, delete, enable, disable, trigger)
