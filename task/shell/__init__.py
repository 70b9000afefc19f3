"""A command line as the body of a task: ``shell(["pg_dump", "-Fc", "app"])``."""

from task.shell.command import ShellCommand, ShellResult, shell

__all__ = ["ShellCommand", "ShellResult", "shell"]
