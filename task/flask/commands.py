"""``flask tasks``: the commands on the manager of the application."""

from __future__ import annotations

import click
from flask.cli import ScriptInfo

from task.cli import TasksGroup, make_group
from task.flask.state import current_state
from task.models import TaskManager

__all__ = ["tasks_group"]


def tasks_group() -> TasksGroup:
    """The group for ``app.cli``. Its manager is not started: it looks at the store, and steers those that run."""
    return make_group(
        _manager_of_application,
        apart=True,
        name="tasks",
        help="Look at the application's tasks, run them and steer them.",
    )


def _manager_of_application(ctx: click.Context) -> TaskManager:
    ctx.with_resource(ctx.ensure_object(ScriptInfo).load_app().app_context())
    return current_state().manager
