"""``show``: everything of one task."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import click

from task.cli.completing import complete_name
from task.cli.group import json_option, manager_of, overview_of
from task.cli.history import show_runs
from task.cli.looking import card_detail, show_slots, slots_of, switch_text, with_next_run
from task.cli.tables import show_table
from task.cli.texts import ago, as_json, json_ready, local_text
from task.errors import UnknownTaskError
from task.log import printable
from task.models import TaskFunction, TaskManager
from task.overview import (
    Option,
    ParameterText,
    TaskCard,
    Upcoming,
    after_of,
    delays_text,
    duration_text,
    options_of,
    parameters_of,
    place_in,
)
from task.runs import Run
from task.stores import Incident, Statistics

__all__ = ["show"]

Moment = datetime.datetime

#: So many of the last runs and of the next slots.
ROWS, SLOTS = 5, 5


class _Told(NamedTuple):
    """What is known of one task."""

    card: TaskCard
    #: Where its body is; None where its code is not here.
    place: str | None
    parameters: tuple[ParameterText, ...]
    options: tuple[Option, ...]
    statistics: Statistics | None
    runs: list[Run]
    slots: tuple[Upcoming, ...]
    #: Those that are open.
    incidents: list[Incident]


@click.command(short_help="Everything of one task.")
@click.argument("name", shell_complete=complete_name)
@json_option
@click.pass_context
def show(ctx: click.Context, name: str, in_json: bool) -> None:
    """Everything of one task: schedules, switch, parameters, options, figures, last runs, next slots, problems.

    \b
    Examples:
      show report
      show report --json
    """
    manager = manager_of(ctx)
    told, now = _told(manager, name), manager.clock.now()
    if in_json:
        click.echo(as_json(_detail(told)))
        return
    _show(told, now)


def _told(manager: TaskManager, name: str) -> _Told:
    overview = overview_of(manager)
    card = with_next_run(manager, overview, overview.task(name))
    task = _code_of(manager, name)
    known = name in manager.store.names()
    return _Told(
        card,
        None if task is None else place_in(task.spec.place),
        () if task is None else parameters_of(task),
        () if task is None else tuple(_options(task)),
        manager.statistics(name) if known else None,
        manager.runs(name, limit=ROWS) if known else [],
        slots_of(manager, overview, name, SLOTS),
        [one for one in manager.incidents(name, limit=1) if one.open] if known else [],
    )


def _code_of(manager: TaskManager, name: str) -> TaskFunction[..., Any] | None:
    try:
        return manager[name]
    except UnknownTaskError:
        return None


def _options(task: TaskFunction[..., Any]) -> Iterator[Option]:
    yield from options_of(task.spec)
    if task.spec.policy.after:
        yield Option("After", f"{', '.join(task.spec.policy.after)}, when it {after_of(task.spec.policy)}")


def _detail(told: _Told) -> dict[str, object]:
    statistics = None if told.statistics is None else told.statistics.as_dict()
    return {
        **card_detail(told.card),
        "place": told.place,
        "parameters": json_ready(told.parameters),
        "options": json_ready(told.options),
        "statistics": statistics,
        "last_runs": [run.as_dict() for run in told.runs],
        "next_slots": json_ready(told.slots),
        "incidents": [one.as_dict() for one in told.incidents],
    }


# On a terminal.


def _show(told: _Told, now: Moment) -> None:
    card = told.card
    click.echo(click.style(printable(card.name), bold=True))
    for line in card.description.splitlines():
        click.echo(f"  {printable(line.expandtabs(4))}".rstrip())
    click.echo()
    _show_pairs(_facts(told, now))
    if told.parameters:
        _head("Parameters")
        rows = [[one.name, one.kind, _default(one)] for one in told.parameters]
        show_table(["name", "type", "default"], rows, indent=2)
    if told.options:
        _head("Options")
        _show_pairs(told.options)
    if told.runs:
        _head("Last runs")
        show_runs(told.runs, now, of_one_task=True, indent=2)
    if told.slots:
        _head("Next slots")
        show_slots(told.slots, now, indent=2)
    if card.problems:
        _head("Problems")
    for problem in card.problems:
        click.echo(click.style(f"  {printable(problem.kind)}: {printable(problem.text)}", fg="red"))
        click.echo(f"    {printable(problem.remedy)}")


def _head(title: str) -> None:
    click.echo(click.style(f"\n{title}", bold=True))


def _show_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    widest = max(len(name) for name, _ in pairs)
    for name, text in pairs:
        click.echo(f"  {name:{widest}}  {printable(text)}")


def _default(one: ParameterText) -> str:
    if one.secret:
        return "(secret)"
    return "(has to be passed)" if one.required else one.default or ""


def _facts(told: _Told, now: Moment) -> list[tuple[str, str]]:
    card = told.card
    facts = [("Defined at", told.place)] if told.place is not None else []
    if card.entry_of is not None:
        facts.append(("Runs", f"the task {card.entry_of!r}, as a recurring entry"))
    if card.tags:
        facts.append(("Tags", ", ".join(card.tags)))
    facts += [("Schedule", _schedule_text(one.text, one.source, one.zone)) for one in card.schedules]
    if not card.schedules:
        facts.append(("Schedule", "none: it is only triggered"))
    facts.append(("Switch", switch_text(card, now) + ("" if card.by is None else f" (by {card.by})")))
    facts.append(("Now", _doing(card)))
    if card.next_run is not None:
        facts.append(("Next run", f"{local_text(card.next_run, now)} ({ago(card.next_run, now)})"))
    if card.last is not None:
        facts.append(("Last run", f"{card.last.state} {ago(card.last.at, now)}"))
    for one in told.incidents:
        facts.append(("Incident", f"{one.kind} since {local_text(one.since, now)} ({ago(one.since, now)})"))
    return [*facts, *_figures(card, told.statistics)]


def _schedule_text(text: str, source: str, zone: str | None) -> str:
    words = text if zone is None else f"{text} in {zone}"
    return words if source in (text, words) else f"{words}  ({source})"


def _doing(card: TaskCard) -> str:
    done = "" if card.progress is None else f" {card.progress:.0f} %"
    return f"{card.doing}{done}" + (f": {card.message}" if card.message else "")


def _figures(card: TaskCard, statistics: Statistics | None) -> Iterator[tuple[str, str]]:
    counts = {} if statistics is None else statistics.counts
    if counts:
        yield "Counts", ", ".join(f"{count} {state}" for state, count in counts.items())
    if card.p50_duration is not None and card.p95_duration is not None:
        usual, longest = duration_text(card.p50_duration), duration_text(card.p95_duration)
        yield "Takes", f"{usual} at the median, {longest} at the 95th percentile"
    if card.p50_lateness is not None and card.p95_lateness is not None:
        usual, longest = duration_text(card.p50_lateness), duration_text(card.p95_lateness)
        yield "Starts late", f"{usual} at the median, {longest} at the 95th percentile"
    if statistics is not None and statistics.delays:
        yield "Why late", f"{delays_text(statistics.delays)} (of {statistics.sample} runs)"
