"""The tree of commands."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import click

from task.cli.completion import completion
from task.cli.examining import doctor
from task.cli.explaining import explain_slot
from task.cli.forecasting import forecast_command
from task.cli.foreground import run_module
from task.cli.group import TasksGroup
from task.cli.history import journal, log, runs
from task.cli.looking import list_tasks, next_slots
from task.cli.pruning import prune
from task.cli.recurring import recurring
from task.cli.running import cancel, trigger
from task.cli.showing import show
from task.cli.switching import disable, enable
from task.models import TaskManager

__all__ = ["make_group"]


def make_group(source: Callable[[click.Context], TaskManager], *, modules: bool = False, **options: Any) -> TasksGroup:
    """The commands on the manager that *source* finds; *options* are those of `TasksGroup`: a name, a help text.

    With *modules* also those that are given a module, of which one is called ``run``; else that is `trigger`.

    >>> from click.testing import CliRunner
    >>> manager = TaskManager([])
    >>> sample = manager.add(lambda: None, name="sample")
    >>> print(CliRunner().invoke(make_group(lambda context: manager, name="tasks"), ["list"]).output)
    NAME    SCHEDULE  SWITCH  NEXT RUN  AT  LAST RUN  TOOK
    sample            on
    <BLANKLINE>
    """
    group = TasksGroup(source, **options)
    group.add_section("Look", list_tasks, show, next_slots, runs, log, journal)
    group.add_section("Look", explain_slot, doctor)
    group.add_section("Steer", trigger, cancel, enable, disable, recurring, prune)
    if not modules:
        group.add_section("Steer", _also(trigger, "run"))
    if modules:
        group.add_section("Run", run_module)
    group.add_section("Foresee", forecast_command)
    if modules:
        group.add_section("Shell", completion)
    return group


def _also(command: click.Command, name: str) -> click.Command:
    """The same command under another name."""
    other = copy.copy(command)
    other.name, other.short_help = name, f"The same as {command.name}."
    return other
