"""The command line: one tree of commands, on a module, a store, or an application.

Needs the extra ``cli``, or Flask.
"""

from task.errors import MissingExtraError

try:
    import click as _click  # noqa: F401 - only whether it is there
except ImportError as error:
    raise MissingExtraError.of("cli", "task.cli") from error

from task.cli.group import TasksGroup
from task.cli.tree import make_group

__all__ = ["TasksGroup", "make_group"]
