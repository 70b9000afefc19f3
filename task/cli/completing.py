"""What the shell completes: names, ids of runs, states and tags."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

from task.cli.group import knows_no_code, manager_of, overview_of
from task.errors import TaskError
from task.models import TaskManager

__all__ = ["complete_entry", "complete_name", "complete_run", "complete_tag"]

#: So many runs are offered: the newest.
RECENT = 50

Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _completion(find: Callable[[TaskManager], Iterable[CompletionItem]]) -> Completion:
    """Offer those of what *find* tells that begin as what was typed."""

    @functools.wraps(find)
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            nowhere = io.StringIO()  # a module may print: that is no completion
            with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
                offered = list(find(manager_of(ctx)))
        except TaskError:  # nothing can be told in the middle of a line; the command itself will tell it
            return []
        return [item for item in offered if item.value.startswith(incomplete) and item.value.isprintable()]

    return complete


@_completion
def complete_name(manager: TaskManager) -> Iterable[CompletionItem]:
    """For the shell: the tasks and recurring entries whose names begin so."""
    own = manager.store.names() if knows_no_code(manager) else list(manager)
    names = dict.fromkeys([*own, *(entry.name for entry in manager.recurring.list())])
    return [CompletionItem(name) for name in names]


@_completion
def complete_entry(manager: TaskManager) -> Iterable[CompletionItem]:
    """For the shell: the recurring entries whose names begin so."""
    return [CompletionItem(entry.name) for entry in manager.recurring.list()]


@_completion
def complete_run(manager: TaskManager) -> Iterable[CompletionItem]:
    """For the shell: the newest runs whose ids begin so, each with its task and state."""
    return [CompletionItem(run.id, help=f"{run.task} {run.state}") for run in manager.runs(limit=RECENT)]


@_completion
def complete_tag(manager: TaskManager) -> Iterable[CompletionItem]:
    """For the shell: the tags that begin so."""
    return [CompletionItem(tag) for tag in overview_of(manager).tasks(limit=1).tags]
