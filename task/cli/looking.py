"""What is looked at: ``list``, ``runs`` and ``next``."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator

import click

from task.cli.group import Refusal, complete_name, json_option, manager_of
from task.cli.tables import show_table
from task.cli.texts import ago, as_json, json_ready, local_text, moment_of
from task.errors import ScheduleError
from task.log import printable
from task.models import TaskManager
from task.overview import Overview, TaskCard, Upcoming, duration_text
from task.runs import Run, RunState
from task.schedules import words

__all__ = ["list_tasks", "next_slots", "runs"]

Moment = datetime.datetime

#: So many tasks are asked for at once.
_PAGE = 1_000

_CHANGES = {"gap": "the clock skips this time", "repeated": "the clock repeats this time"}


@click.command("list")
@click.option("--tag", help="Only tasks with this tag.")
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
    overview, now = Overview(manager), manager.clock.now()
    cards = [(card, _next_run(overview, card)) for card in _cards(overview, tag)]
    if in_json:
        click.echo(as_json([_card_detail(card, next_run) for card, next_run in cards]))
        return
    rows = [_card_row(card, next_run, now) for card, next_run in cards]
    show_table(["name", "schedule", "switch", "next run", "last run"], rows)


def _cards(overview: Overview, tag: str | None) -> Iterator[TaskCard]:
    cursor = None
    while True:
        page = overview.tasks(tag=tag, limit=_PAGE, cursor=cursor)
        yield from page.cards
        cursor = page.cursor
        if cursor is None:
            return


def _next_run(overview: Overview, card: TaskCard) -> Moment | None:
    """Its next slot, wherever it is run: a process without a loop has none of its own."""
    if card.next_run is not None or not card.schedules:
        return card.next_run
    return next((slot.at for slot in overview.upcoming(card.name, limit=1)), None)


def _card_row(card: TaskCard, next_run: Moment | None, now: Moment) -> list[str]:
    last = ""
    if card.last is not None:
        took = "" if card.last.duration is None else duration_text(card.last.duration)
        last = f"{card.last.state} {ago(card.last.at, now)}" + (f", took {took}" if took else "")
    if card.doing in ("running", "retrying", "queued"):
        done = "" if card.progress is None else f" {card.progress:.0f} %"
        last = f"{card.doing}{done}"
    planned = "" if next_run is None or not card.enabled else f"{local_text(next_run, now)} ({ago(next_run, now)})"
    schedule = "; ".join(one.text if one.zone is None else f"{one.text} in {one.zone}" for one in card.schedules)
    return [card.name, schedule, _switch_text(card, now), planned, last]


def _switch_text(card: TaskCard, now: Moment) -> str:
    if card.enabled:
        return "on"
    until = "" if card.until is None else f" until {local_text(card.until, now)}"
    return f"off{until}" + (f": {card.note}" if card.note else "")


def _card_detail(card: TaskCard, next_run: Moment | None) -> dict[str, object]:
    detail: dict[str, object] = json_ready(card._replace(next_run=next_run))
    del detail["strip"]  # `runs` has it
    return detail


@click.command()
@click.option("--task", shell_complete=complete_name, help="Only runs of this task.")
@click.option(
    "--state",
    multiple=True,
    type=click.Choice([str(state) for state in RunState]),
    help="Only in this state; may be repeated.",
)
@click.option("--tag", help="Only of tasks with this tag.")
@click.option("--since", metavar="MOMENT", help="From a moment on (2026-05-04T12:00), or so long ago (2h, 7d).")
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True, help="At most so many.")
@json_option
@click.pass_context
def runs(
    ctx: click.Context,
    task: str | None,
    state: tuple[str, ...],
    tag: str | None,
    since: str | None,
    limit: int,
    in_json: bool,
) -> None:
    """Runs, skips and missed slots, newest first.

    \b
    Examples:
      runs --task report --since 24h
      runs --state failed --state timed_out --json
    """
    manager = manager_of(ctx)
    now = manager.clock.now()
    page = manager.runs(task, state or None, limit, since=_since(since, now), tag=tag)
    if in_json:
        click.echo(as_json([run.as_dict() for run in page]))
        return
    show_table(["when", "task", "state", "took", "why", "id", "detail"], [_run_row(run, now) for run in page])


def _since(text: str | None, now: Moment) -> Moment | None:
    try:
        return None if text is None else moment_of(text, now, past=True)
    except ValueError as error:
        raise Refusal(f"--since: {error}") from None


def _run_row(run: Run, now: Moment) -> list[str]:
    state = f"{run.state} ×{run.count}" if run.count > 1 else str(run.state)
    detail = run.reason or run.error or run.message
    moment = run.started_at or run.slot or run.queued_at
    took = "" if run.duration is None else duration_text(run.duration)
    return [local_text(moment, now), run.task, state, took, run.trigger, run.id, detail]


@click.command("next")
@click.argument("name_or_words", shell_complete=complete_name)
@click.option("-n", "count", type=click.IntRange(1, 1_000), default=10, show_default=True, help="So many slots.")
@json_option
@click.pass_context
def next_slots(ctx: click.Context, name_or_words: str, count: int, in_json: bool) -> None:
    """The next slots of a task, or of a schedule in words. Nights in which the clock changes are marked.

    \b
    Examples:
      next report
      next "every monday at 09:00 in Europe/Amsterdam" -n 3
      next "30 2 * * *"
    """
    manager = manager_of(ctx)
    found, now = _slots(manager, name_or_words, count), manager.clock.now()
    if in_json:
        click.echo(as_json(found))
        return
    if not found:
        click.echo(f"{printable(name_or_words)} has no slot to come: it has no schedule, or that has ended.", err=True)
        return
    rows = [[slot.local, ago(slot.at, now), _CHANGES.get(slot.clock_change or "", "")] for slot in found]
    columns = 3 if any(slot.clock_change for slot in found) else 2
    show_table(["slot", "when", "clock"][:columns], [row[:columns] for row in rows])


def _slots(manager: TaskManager, name_or_words: str, count: int) -> tuple[Upcoming, ...]:
    overview = Overview(manager)
    if name_or_words in manager:
        return overview.upcoming(name_or_words, limit=count) or _as_declared(manager, overview, name_or_words, count)
    try:
        return overview.preview(name_or_words, count=count)
    except ScheduleError as error:
        raise Refusal(f"There is no task {name_or_words!r}. {error}") from error


def _as_declared(manager: TaskManager, overview: Overview, name: str, count: int) -> tuple[Upcoming, ...]:
    """What the schedules in the code say from now on, where no process has them in force yet."""
    found: list[Upcoming] = []
    for job in manager[name].schedules:
        with contextlib.suppress(ScheduleError):  # one of the user's own has no words
            found += overview.preview(words(job), count=count, name=name)
    return tuple(sorted(found, key=lambda slot: slot.at)[:count])
