"""The tree of commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from task.cli.group import TasksGroup
from task.cli.looking import list_tasks, next_slots, runs
from task.cli.running import run
from task.cli.switching import disable, enable
from task.models import TaskManager

__all__ = ["make_group"]


def make_group(source: Callable[[click.Context], TaskManager], **options: Any) -> TasksGroup:
    """The commands on the manager that *source* finds; *options* are those of `click.Group`: a name, a help text.

    >>> from click.testing import CliRunner
    >>> manager = TaskManager([])
    >>> sample = manager.add(lambda: None, name="sample")
    >>> print(CliRunner().invoke(make_group(lambda context: manager, name="tasks"), ["list"]).output)
    NAME    SCHEDULE  SWITCH  NEXT RUN  LAST RUN
    sample            on
    <BLANKLINE>
    """
    group = TasksGroup(source, **options)
    for command in (list_tasks, run, enable, disable, runs, next_slots):
        group.add_command(command)
    return group
