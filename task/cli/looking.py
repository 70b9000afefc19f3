"""What is looked at: ``list`` and ``next``."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator, Sequence

import click

from task.cli.completing import complete_name, complete_tag
from task.cli.group import Refusal, json_option, manager_of, overview_of
from task.cli.tables import show_table
from task.cli.texts import ago, as_json, json_ready, local_text
from task.errors import DeclarationError, ScheduleError
from task.log import printable
from task.models import TaskManager
from task.overview import Overview, TaskCard, Upcoming, duration_text, moment_text, zone_of
from task.schedules import resolve_zone, schedule_from_words, words

__all__ = ["card_detail", "list_tasks", "next_slots", "show_slots", "slots_of", "switch_text", "with_next_run"]

Moment = datetime.datetime

#: So many tasks are asked for at once.
_PAGE = 1_000

_CHANGES = {"gap": "the clock skips this time", "repeated": "the clock repeats this time"}


@click.command("list", short_help="All tasks: schedule, switch, next run and last outcome.")
@click.option("--tag", shell_complete=complete_tag, help="Only tasks with this tag.")
@json_option
@click.pass_context
def list_tasks(ctx: click.Context, tag: str | None, in_json: bool) -> None:
    """All tasks: schedule, switch, next run and last outcome.

    \b
    Examples:
      list
      list --tag reports
      list --json
    """
    manager = manager_of(ctx)
    manager.runs(limit=1)  # a store that cannot be reached is an error here, not an empty table
    overview, now = overview_of(manager), manager.clock.now()
    cards = [with_next_run(manager, overview, card) for card in _cards(overview, tag)]
    if in_json:
        click.echo(as_json([card_detail(card) for card in cards]))
        return
    rows = [_card_row(card, now) for card in cards]
    titles = ["name", "schedule", "switch", "next run", "at", "last run", "took"]
    show_table(titles, rows, whole=("next run", "at"), optional=("at", "took"))


def _cards(overview: Overview, tag: str | None) -> Iterator[TaskCard]:
    cursor = None
    while True:
        page = overview.tasks(tag=tag, limit=_PAGE, cursor=cursor)
        yield from page.cards
        cursor = page.cursor
        if cursor is None:
            return


def _card_row(card: TaskCard, now: Moment) -> list[str]:
    last, took = "", ""
    if card.last is not None:
        last = f"{card.last.state} {ago(card.last.at, now)}"
        took = "" if card.last.duration is None else duration_text(card.last.duration)
    if card.doing in ("running", "retrying", "queued"):
        last = card.doing if card.progress is None else f"{card.doing} {card.progress:.0f} %"
        took = ""
    due = card.next_run if card.enabled else None
    planned = ["", ""] if due is None else [ago(due, now), local_text(due, now)]
    if any(problem.kind == "overdue" for problem in card.problems):
        planned[0] = "overdue"
    schedule = "; ".join(one.text if one.zone is None else f"{one.text} in {one.zone}" for one in card.schedules)
    return [card.name, schedule, switch_text(card, now), *planned, last, took]


def switch_text(card: TaskCard, now: Moment) -> str:
    """How its switch stands."""
    if card.enabled:
        return "on"
    until = "" if card.until is None else f" until {local_text(card.until, now)}"
    return f"off{until}" + (f": {card.note}" if card.note else "")


def card_detail(card: TaskCard) -> dict[str, object]:
    """A card as JSON."""
    detail: dict[str, object] = json_ready(card)
    del detail["strip"]  # `runs` has it
    return detail


@click.command("next", short_help="The next slots of a task, or of a schedule in words.")
@click.argument("name_or_words", metavar='NAME|"WORDS"', shell_complete=complete_name)
@click.option("-n", "count", type=click.IntRange(1, 1_000), default=10, show_default=True, help="So many slots.")
@click.option("--tz", "zone", metavar="ZONE", help="Show them in this zone; words that name none are meant in it.")
@json_option
@click.pass_context
def next_slots(ctx: click.Context, name_or_words: str, count: int, zone: str | None, in_json: bool) -> None:
    """The next slots of a task, or of a schedule in words. Nights in which the clock changes are marked.

    \b
    Examples:
      next report
      next report -n 3 --tz America/New_York
      next "every monday at 09:00 in Europe/Amsterdam" -n 3
      next "30 2 * * *" --tz Europe/Amsterdam
    """
    manager, place = _manager_for(ctx, name_or_words), resolve_zone(zone)
    found, now = _slots(manager, name_or_words, count, zone), manager.clock.now()
    if place is not None:
        found = tuple(slot._replace(local=moment_text(slot.at.astimezone(place))) for slot in found)
    if in_json:
        click.echo(as_json(found))
        return
    if not found:
        click.echo(f"{printable(name_or_words)} has no slot to come: it has no schedule, or that has ended.", err=True)
        return
    show_slots(found, now)


def _manager_for(ctx: click.Context, name_or_words: str) -> TaskManager:
    """The manager; words need none, so that they can be tried where no tasks are named."""
    try:
        return manager_of(ctx)
    except DeclarationError:
        with contextlib.suppress(ScheduleError):
            schedule_from_words(name_or_words)
            return TaskManager([])
        raise


def show_slots(found: Sequence[Upcoming], now: Moment, *, indent: int = 0) -> None:
    """Write a table of slots."""
    rows = [[slot.local, ago(slot.at, now), _CHANGES.get(slot.clock_change or "", "")] for slot in found]
    columns = 3 if any(slot.clock_change for slot in found) else 2
    show_table(["slot", "when", "clock"][:columns], [row[:columns] for row in rows], indent=indent)


def _slots(manager: TaskManager, name_or_words: str, count: int, zone: str | None) -> tuple[Upcoming, ...]:
    overview = overview_of(manager)
    if name_or_words in manager or name_or_words in manager.store.names():
        return slots_of(manager, overview, name_or_words, count)
    try:
        if zone is not None and zone_of(schedule_from_words(name_or_words)) is None:
            with contextlib.suppress(ScheduleError):  # one that is in no zone: every 10 minutes
                return overview.preview(f"{name_or_words} in {zone}", count=count)
        return overview.preview(name_or_words, count=count)
    except ScheduleError as error:
        raise Refusal(f"There is no task {name_or_words!r}. {error}") from error


def slots_of(manager: TaskManager, overview: Overview, name: str, count: int) -> tuple[Upcoming, ...]:
    """The next slots of a task; as its code declares it, where no process has that in force yet."""
    return overview.upcoming(name, limit=count) or _declared_slots(manager, overview, name, count)


def with_next_run(manager: TaskManager, overview: Overview, card: TaskCard) -> TaskCard:
    """A card that tells of the next slot as `slots_of` does."""
    if card.next_run is not None or not card.enabled:
        return card
    first = _declared_slots(manager, overview, card.name, 1)
    return card._replace(next_run=first[0].at) if first else card


def _declared_slots(manager: TaskManager, overview: Overview, name: str, count: int) -> tuple[Upcoming, ...]:
    if name not in manager or manager.state == "running":
        return ()
    declared: list[Upcoming] = []
    for job in manager[name].schedules:
        with contextlib.suppress(ScheduleError):  # one of the user's own has no words
            declared += overview.preview(words(job), count=count, name=name)
    return tuple(sorted(declared, key=lambda slot: slot.at)[:count])
