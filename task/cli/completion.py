"""``completion``: what a shell needs to complete names, runs, states and tags."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

__all__ = ["completion"]


@click.command(short_help="A script for bash, zsh or fish.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """A script for a shell: with it TAB completes commands, options, names of tasks, ids of runs, states and tags.

    The names are those of the --module or --store on the line, or of TASK_MODULE and TASK_STORE.

    \b
    Examples:
      eval "$(schedule-tasks completion bash)"                                            in ~/.bashrc
      eval "$(schedule-tasks completion zsh)"                                             in ~/.zshrc
      schedule-tasks completion fish > ~/.config/fish/completions/schedule-tasks.fish
    """
    root = ctx.find_root()
    program = root.info_name or ""
    if not program.replace("-", "").replace("_", "").isalnum():  # `python -m task` is no command of its own to a shell
        program = "schedule-tasks"
    kind = get_completion_class(shell)
    assert kind is not None
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    # Not what the class itself tells: that starts a shell, to see how old it is.
    click.echo(ShellComplete.source(kind(root.command, {}, program, variable)))
