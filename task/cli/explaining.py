"""``explain``: why a task runs at a moment, or does not."""

from __future__ import annotations

import shutil
import sys
import textwrap

import click

from task.cli.completing import complete_name
from task.cli.group import json_option, manager_of
from task.cli.tables import COLOURS
from task.cli.texts import as_json
from task.foresight import Explanation, Reason, explain
from task.log import printable

__all__ = ["explain_slot"]

#: How a reason is marked: it lets the slot run, it does not, or it only tells.
_MARKS = {True: ("yes", "green"), False: ("NO", "red"), None: ("", None)}

#: How wide the marks and the steps are.
_INDENT = 15


@click.command("explain")
@click.argument("name", shell_complete=complete_name)
@click.argument("words", nargs=-1, metavar="[MOMENT]")
@json_option
@click.pass_context
def explain_slot(ctx: click.Context, name: str, words: tuple[str, ...], in_json: bool) -> None:
    """Why a task runs at a moment, or does not.

    Would it, did it, and the chain of reasons, from the record and from what is declared.

    MOMENT is 2026-10-25 02:30, in the zone of the schedule; with an offset, 2026-10-25T02:30+01:00; or now. Each reason
    says yes where it lets the slot run, and NO where it does not.

    \b
    Examples:
      explain report "2026-10-25 02:30"
      explain report 2026-05-04T09:00+02:00 --json
      explain report
    """
    found = explain(manager_of(ctx), name, " ".join(words) if words else "now")
    if in_json:
        click.echo(as_json(found))
        return
    click.echo(f"{printable(name)}: {click.style(found.verdict, fg=_colour(found), bold=True)}")
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for reason in found.reasons:
        _tell(reason, width)


def _colour(found: Explanation) -> str | None:
    own = {"would run": "green", "would be skipped": "yellow", "no outcome": "red"}
    return own.get(found.verdict) or COLOURS.get(found.verdict)


def _tell(reason: Reason, width: int | None) -> None:
    mark, colour = _MARKS[reason.holds]
    text = printable(reason.text)
    lines = [text] if width is None else textwrap.wrap(text, max(20, width - _INDENT))
    head = click.style(f"{mark:3}", fg=colour) if colour else f"{mark:3}"
    click.echo(f"{head}  {reason.step:{_INDENT - 5}}{lines[0]}")
    for line in lines[1:]:
        click.echo(f"{'':{_INDENT}}{line}")
