"""``TasksGroup``: what all commands have in common: a manager, one way to fail, and names that complete themselves."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from task.errors import TaskError
from task.log import printable
from task.models import TaskManager

__all__ = ["FAILED", "REFUSED", "SKIPPED", "Refusal", "TasksGroup", "complete_name", "json_option", "manager_of"]

#: How a command ends: its run did not succeed; what was asked for cannot be; a guard refused the run.
FAILED, REFUSED, SKIPPED = 1, 2, 3

_MANAGER = "task.cli.manager"

json_option = click.option("--json", "in_json", is_flag=True, help="Tell it as JSON, on stdout.")


class Refusal(click.ClickException):
    """Raised when what was asked for cannot be: one line on stderr, and the exit code 2."""

    exit_code = REFUSED

    def show(self, file: Any = None) -> None:
        """Tell it."""
        click.echo(f"Error: {printable(self.message)}", file=file, err=True)


class TasksGroup(click.Group):
    """Commands on one manager, which *source* finds when the first of them needs it.

    *source* gets the context of this group, whose options it may have, and may raise any `TaskError`.
    """

    def __init__(self, source: Callable[[click.Context], TaskManager], **options: Any) -> None:
        super().__init__(**options)
        self.source = source

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for; what is wrong is told in one line."""
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except TaskError as error:
            raise Refusal(str(error)) from error
        except click.UsageError as error:
            path = (error.ctx or ctx).command_path
            raise Refusal(f"{error.format_message()} Try '{path} --help'.") from error


def manager_of(ctx: click.Context) -> TaskManager:
    """The manager of the group that a command is in. It is not started: who looks and steers needs no loop."""
    if _MANAGER not in ctx.meta:
        place: click.Context | None = ctx
        while place is not None and not isinstance(place.command, TasksGroup):
            place = place.parent
        assert place is not None, "the commands are in a TasksGroup"
        assert isinstance(place.command, TasksGroup)
        ctx.meta[_MANAGER] = place.command.source(place)
    manager: TaskManager = ctx.meta[_MANAGER]
    return manager


def complete_name(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """For the shell: the tasks and recurring entries whose names begin so."""
    try:
        manager = manager_of(ctx)
        names = [*manager, *(entry.name for entry in manager.recurring.list())]
    except TaskError:  # nothing can be told in the middle of a line; the command itself will tell it
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
