"""``TasksGroup``: what all commands have in common: a manager, one way to fail, and a help that is in sections."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable
from typing import Any

import click

from task.errors import TaskError, did_you_mean
from task.log import printable
from task.models import TaskManager
from task.overview import Overview

__all__ = [
    "COMMAND",
    "FAILED",
    "INTERRUPTED",
    "REFUSED",
    "SKIPPED",
    "CommandGroup",
    "Refusal",
    "TasksGroup",
    "group_of",
    "json_option",
    "knows_no_code",
    "manager_of",
    "overview_of",
]

#: How a command ends: its run did not succeed, or something was found; what was asked for cannot be; a guard refused
#: the run; somebody has pressed Ctrl-C, as shells have it.
FAILED, REFUSED, SKIPPED, INTERRUPTED = 1, 2, 3, 130

#: The command of the console script.
COMMAND = "schedule-tasks"

_MANAGER = "task.cli.manager"

_logger, _silence = logging.getLogger("task"), logging.NullHandler()

json_option = click.option("--json", "in_json", is_flag=True, help="Tell it as JSON, on stdout.")


class Refusal(click.ClickException):
    """Raised when what was asked for cannot be: one line on stderr, and the exit code 2."""

    exit_code = REFUSED

    def show(self, file: Any = None) -> None:
        """Tell it."""
        click.echo(f"Error: {printable(self.message)}", file=file, err=True)


class CommandGroup(click.Group):
    """Commands in sections, in the order in which they were added; of one that there is not, the nearest are told."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._sections: dict[str, list[str]] = {}

    def add_section(self, title: str, *commands: click.Command) -> None:
        """Add commands under a title: a new one, or one that there is."""
        for command in commands:
            self.add_command(command)
            assert command.name is not None
            self._sections.setdefault(title, []).append(command.name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options of the group; without a command there is its help."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(REFUSED)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise _refusal(error, ctx) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in the order of the help."""
        named = [name for names in self._sections.values() for name in names]
        return [*named, *(name for name in super().list_commands(ctx) if name not in named)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections; the texts begin at one column in all of them."""
        room = formatter.width - 6 - max(map(len, self.commands), default=0)
        widest = max(map(len, self.commands), default=0)
        for title, names in self._sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(widest), self._told(name, room)) for name in names])

    def _told(self, name: str, room: int) -> str:
        return self.commands[name].get_short_help_str(room)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find a command. An unknown one is refused with what it may have been meant to be."""
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing and not name.startswith("-"):
            there_are = self.list_commands(ctx)
            hint = did_you_mean(name, there_are, f"There are: {', '.join(there_are)}.")
            raise click.UsageError(f"There is no command {name!r}. {hint}", ctx)
        return super().resolve_command(ctx, args)


class TasksGroup(CommandGroup):
    """Commands on one manager, which *source* finds when the first of them needs it.

    *source* gets the context of this group, whose options it may have, and may raise any `TaskError`. *apart* says
    that each command is a process of its own, beside those that run the tasks.
    """

    def __init__(self, source: Callable[[click.Context], TaskManager], *, apart: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.source = source
        self.apart = apart

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write it; the command lines in it begin as this one did."""
        shown = copy.copy(self)
        shown.help = (self.help or "").replace(COMMAND, ctx.command_path)
        super(TasksGroup, shown).format_help_text(ctx, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for; what is wrong is told in one line."""
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None
        except TaskError as error:
            raise Refusal(str(error)) from error
        except click.UsageError as error:
            raise _refusal(error, ctx) from error


def _refusal(error: click.UsageError, ctx: click.Context) -> Refusal:
    message = " ".join(error.format_message().split())  # click puts choices on lines of their own
    return Refusal(f"{message} Try '{(error.ctx or ctx).command_path} --help'.")


def manager_of(ctx: click.Context) -> TaskManager:
    """The manager of the group that a command is in. It is not started: who looks and steers needs no loop."""
    if _MANAGER not in ctx.meta:
        group, place = group_of(ctx)
        found = ctx.meta[_MANAGER] = group.source(place)
        if knows_no_code(found):  # and runs nothing: what it cannot run is for others, and not worth a line each time
            _logger.addHandler(_silence)
    manager: TaskManager = ctx.meta[_MANAGER]
    return manager


def group_of(ctx: click.Context) -> tuple[TasksGroup, click.Context]:
    """The group that a command is in, and its context."""
    place: click.Context | None = ctx
    while place is not None and not isinstance(place.command, TasksGroup):
        place = place.parent
    assert place is not None, "the commands are in a TasksGroup"
    assert isinstance(place.command, TasksGroup)
    return place.command, place


def knows_no_code(manager: TaskManager) -> bool:
    """Whether it has a store and no tasks: all that can be told is what others have put on record there."""
    return manager.store.shared and not manager.tasks


def overview_of(manager: TaskManager) -> Overview:
    """What is to be seen of it: its tasks, or those on record."""
    return Overview(manager, on_record=knows_no_code(manager))
