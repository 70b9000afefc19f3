"""``python -m task`` and ``schedule-tasks``: the commands on a module, or on a store."""

from __future__ import annotations

import contextlib
import sys

import click

from task.cli.group import COMMAND, TasksGroup
from task.cli.source import load_manager
from task.cli.tree import make_group
from task.models import TaskManager

__all__ = ["main", "main_group"]

_HELP = """Look at tasks, run them and steer them: those of a Python module, or those on record in a store.

\b
Say which ones before the command, or in the environment:
  --module shop.jobs           the tasks of a module, and the store that it names
  --store sqlite:///tasks.db   what all processes have put on record; no code is imported

\b
Examples:
  schedule-tasks run shop.jobs
  schedule-tasks -m shop.jobs list
  schedule-tasks -m shop.jobs trigger report region=EU
  schedule-tasks --store sqlite:///tasks.db runs --state failed --since 24h
  TASK_MODULE=shop.jobs schedule-tasks next report

\b
Exit codes: 0 it is done; 1 the run did not succeed; 2 what was asked for cannot be;
3 the run was skipped; 130 Ctrl-C.
"""


def main_group() -> TasksGroup:
    """The tree of `python -m task`. Its manager is not started, except by `run`."""
    return make_group(
        _manager,
        modules=True,
        apart=True,
        name=COMMAND,
        help=_HELP,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
        params=[
            click.Option(
                ["-m", "--module", "module"],
                envvar="TASK_MODULE",
                metavar="MODULE[:ATTR]",
                help="Where the tasks are: a module, or the manager or application in it.",
                show_envvar=True,
            ),
            click.Option(
                ["--store"],
                envvar="TASK_STORE",
                metavar="URL",
                help="The database with the record; without a module, all that is in it.",
                show_envvar=True,
            ),
            click.Option(
                ["--namespace"],
                envvar="TASK_NAMESPACE",
                metavar="NAME",
                help="Which of the applications on that database.",
                show_envvar=True,
            ),
        ],
    )


def _manager(ctx: click.Context) -> TaskManager:
    with contextlib.redirect_stdout(sys.stderr):  # a module may print; on stdout is what was asked for
        return load_manager(*(ctx.params[key] for key in ("module", "store", "namespace")))


def main() -> None:
    """Run what the command line asks for, and end the process with its exit code."""
    main_group()()
