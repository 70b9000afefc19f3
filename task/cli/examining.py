"""What is examined: ``doctor``."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence

import click

from task.cli.group import FAILED, json_option, manager_of
from task.cli.texts import as_json, json_ready
from task.doctor import Diagnosis, diagnose, is_well
from task.log import printable

__all__ = ["doctor", "lines_of"]

#: The shape and the colour of each state, beside its word.
_MARKS = {"problem": ("✖", "red"), "warning": ("▲", "yellow"), "not known": ("?", "cyan"), "well": ("●", "green")}

_INDENT = "    "


@click.command(short_help="Find what goes wrong: each finding with its cure.")
@click.option("--process", type=int, metavar="PID", help="Only what concerns the process of this id.")
@click.option("--all", "show_all", is_flag=True, help="Also what is well, check by check.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, process: int | None, show_all: bool, in_json: bool) -> None:
    """Find what goes wrong: each finding with its cure, the worst first.

    It examines the tasks, the store, and every process that runs tasks on it, as that tells of itself.

    \b
    Exit codes: 0 there is no problem (there may be warnings); 1 there is.

    \b
    Examples:
      doctor
      doctor --process 4711 --all
      doctor --json
    """
    found = diagnose(manager_of(ctx), outside=True)
    if process is not None:
        found = tuple(one for one in found if one.process is not None and one.process.startswith(f"{process}@"))
    if in_json:
        click.echo(as_json({"well": is_well(found), "diagnoses": [json_ready(one) for one in found]}))
    else:
        _show(found, show_all)
    ctx.exit(0 if is_well(found) else FAILED)


def _show(found: Sequence[Diagnosis], show_all: bool) -> None:
    width = max(40, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None
    for one in found:
        if show_all or one.state != "well":
            for line in lines_of(one, width):
                click.echo(line)
    well = [one for one in found if one.state == "well"]
    if well and not show_all:
        shape, colour = _MARKS["well"]
        names = sorted({one.check for one in well})
        count = "1 check is" if len(names) == 1 else f"{len(names)} checks are"
        for line in _wrapped(f"{shape} {count} well: {', '.join(names)}.", width, ""):
            click.echo(click.style(line, fg=colour))
    if not found:
        click.echo("Nothing is known of it: no such process tells of itself.", err=True)


def lines_of(one: Diagnosis, width: int | None) -> Iterator[str]:
    """A finding: what was found, its cure, and the details; at most so many characters wide."""
    shape, colour = _MARKS[one.state]
    of = "" if one.process is None else f"  (process {printable(one.process)})"
    yield f"{click.style(f'{shape} {one.state}', fg=colour, bold=True)}  {click.style(one.check, bold=True)}{of}"
    yield from _wrapped(printable(one.found), width, _INDENT)
    if one.cure:
        yield from _wrapped(f"→ {printable(one.cure)}", width, _INDENT)
    for line in one.details:
        yield f"{_INDENT}  {printable(line)}"


def _wrapped(text: str, width: int | None, indent: str) -> list[str]:
    if width is None:
        return [indent + text]
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False)
