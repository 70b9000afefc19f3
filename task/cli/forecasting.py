"""``forecast``: the coming days of a module; with ``--diff``, what another one would do differently."""

from __future__ import annotations

import contextlib
import datetime
import math
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click

from task.cli.apart import declared_apart, load_stopped
from task.cli.forecast_tables import say, show_forecast
from task.cli.group import FAILED, Refusal, group_of, json_option, manager_of
from task.cli.texts import as_json, moment_of
from task.clock import in_zone
from task.foresight import Forecast, comparison_text, forecast, to_html, to_svg
from task.foresight.comparison import check_span, compare_declared
from task.foresight.cures import crowded_out
from task.foresight.declared import declared_tasks
from task.log import printable
from task.models import TaskManager
from task.overview import duration_text

__all__ = ["forecast_command"]

Moment = datetime.datetime


@click.command("forecast", short_help="The coming days, simulated: what runs, waits, is skipped.")
@click.argument("module", required=False, metavar="[MODULE[:ATTR]]")
@click.option("--days", type=click.FloatRange(0, 366, min_open=True), help="So many days from now on.  [default: 7]")
@click.option("--until", metavar="MOMENT", help="Up to a moment (2026-05-11T00:00), or so far ahead (12h, 2w).")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed draws the same.")
@click.option(
    "--duration",
    "durations",
    multiple=True,
    metavar="NAME=SECONDS",
    help="How long a body takes, or its p50,p95: 12,60. Otherwise as its runs on record have.",
)
@click.option(
    "--failure-rate",
    "failure_rates",
    multiple=True,
    metavar="NAME=SHARE",
    help="Which share of its attempts fails: 0.05. Otherwise as its runs on record have.",
)
@click.option("--conditions", is_flag=True, help="Ask conditions of your own (only_if) as well: they are called.")
@click.option("--store", metavar="URL", help="The database with the runs on record.")
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Tell of so many tasks.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=pathlib.Path), help="Write it as a page, too.")
@click.option("--svg", type=click.Path(dir_okay=False, path_type=pathlib.Path), help="Write the heat map, too.")
@click.option(
    "--fail-on",
    multiple=True,
    metavar="WHAT",
    help="End with 1 on: skips, late=SECONDS, saturation=SHARE, never. May be repeated.",
)
@click.option("--diff", "old", metavar="OLD", help="Compare the slots of OLD, a module or a file, with these instead.")
@click.option("--exit-code", is_flag=True, help="With --diff: end with 1 when anything is different.")
@json_option
@click.pass_context
def forecast_command(ctx: click.Context, /, **given: Any) -> None:
    """The coming days of MODULE, simulated: runs, skips, lateness, what is full and what mends it.

    Nothing of it happens: no body is called, and the record is only read. --diff compares which slots the code makes,
    instead, from today on: those that appear, vanish or move. OLD is imported by a process of its own, so that it may
    have the same name: a file of another checkout, say.

    \b
    --fail-on ends with 1, for a check before a deploy:
      skips            slots come to nothing, as other runs are in their way
      late=SECONDS     a run starts more than so late
      saturation=0.8   a task, or a place where bodies run, is occupied for more of its time
      never            a task has no slot in this time, or never again

    \b
    Exit codes: 0 it is told; 1 a --fail-on holds, or with --exit-code something is different;
    2 what was asked for cannot be.

    \b
    Examples:
      forecast shop.jobs --days 30
      forecast shop.jobs --store sqlite:///tasks.db --html forecast.html
      forecast shop.jobs --duration report=900 --fail-on skips --fail-on late=60
      forecast --diff ../main/shop/jobs.py shop.jobs --exit-code
    """
    checks = [_check(text) for text in given["fail_on"]]
    if given["old"] is not None:
        _compare(ctx, given)
        return
    if given["exit_code"]:
        raise click.UsageError("--exit-code goes with --diff; a forecast ends with 1 on what --fail-on says.")
    manager = _manager(ctx, given)
    if not len(manager):
        raise Refusal("There is no task to foresee. Name the module with the tasks: forecast MODULE.")
    with _progress() as progress:
        found = forecast(
            manager,
            _until(given, manager.clock.now()),
            given["seed"],
            durations=dict(_pair(text, "--duration", _duration) for text in given["durations"]),
            failure_rates=dict(_pair(text, "--failure-rate", _number) for text in given["failure_rates"]),
            conditions=given["conditions"],
            progress=progress,
        )
    module = given["module"] or _group_options(ctx).get("module")
    title = f"Forecast of {module}" if module else "Forecast"
    _write(given["html"], lambda: to_html(found, title))
    _write(given["svg"], lambda: to_svg(found, title))
    if given["in_json"]:
        click.echo(as_json(found))
    else:
        show_forecast(found, given["top"])
    _end([told for check in checks for told in check(found)])


def _manager(ctx: click.Context, given: dict[str, Any]) -> TaskManager:
    """That of MODULE; else that of the whole group."""
    if given["module"] is None and given["store"] is None:
        return manager_of(ctx)
    whole = _group_options(ctx)
    module = given["module"] or whole.get("module")
    return load_stopped(module, given["store"] or whole.get("store"), whole.get("namespace"))


def _group_options(ctx: click.Context) -> dict[str, Any]:
    return group_of(ctx)[1].params


def _until(given: dict[str, Any], now: Moment) -> Moment:
    if given["until"] is None:
        return now + datetime.timedelta(days=given["days"] or 7)
    if given["days"] is not None:
        raise click.UsageError("--days and --until both say how far: give one.")
    try:
        return moment_of(given["until"], now, past=False)
    except ValueError as error:
        raise Refusal(f"--until: {error}") from None


def _pair(text: str, option: str, read: Callable[[str], Any]) -> tuple[str, Any]:
    name, _, value = text.rpartition("=")
    try:
        return name, read(value)
    except ValueError:
        raise click.UsageError(f"{option} {text!r} is no NAME=NUMBER.") from None


def _duration(text: str) -> float | tuple[float, float]:
    half, comma, most = text.partition(",")
    return (_number(half), _number(most)) if comma else _number(half)


def _number(text: str) -> float:
    """Raises `ValueError` for what is none, as infinity."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[float], None] | None]:
    """How far it is, on a terminal; elsewhere nothing is said of it."""
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=1_000, label="Simulating", width=0, file=sys.stderr) as bar:
        yield lambda share: bar.update(int(share * 1_000) - bar.pos)


def _write(path: pathlib.Path | None, drawn: Callable[[], str]) -> None:
    if path is None:
        return
    try:
        path.write_text(drawn(), "utf-8")
    except OSError as error:
        raise Refusal(f"{str(path)!r} cannot be written: {error.strerror}.") from None
    click.echo(f"Written: {printable(str(path))}", err=True)


# What a check before a deploy refuses.


def _check(text: str) -> Callable[[Forecast], Iterable[str]]:
    """What ``--fail-on`` looks for: what it makes of a forecast is what is wrong there."""
    what, _, value = text.partition("=")
    try:
        if what == "late" and value:
            return _late(_number(value))
        if what == "saturation" and value:
            return _saturated(_number(value))
    except ValueError:
        raise click.UsageError(f"--fail-on {text!r}: {value!r} is no number.") from None
    if text in _CHECKS:
        return _CHECKS[text]
    raise click.UsageError(f"--fail-on {text!r} is none of skips, late=SECONDS, saturation=SHARE, never.")


def _late(most: float) -> Callable[[Forecast], Iterable[str]]:
    return lambda found: (
        f"{task.task!r} starts up to {duration_text(task.max_lateness)} late"
        for task in found.tasks
        if task.max_lateness is not None and task.max_lateness > most
    )


def _saturated(most: float) -> Callable[[Forecast], Iterable[str]]:
    def look(found: Forecast) -> Iterator[str]:
        for place in found.places:
            if place.size is not None and place.saturation > most:
                yield f"{place.place!r} is occupied for {place.saturation:.0%} of the time"
        for task in found.tasks:
            if task.saturation > most:
                yield f"{task.task!r} runs for {task.saturation:.0%} of the time that its places have"

    return look


def _skips(found: Forecast) -> Iterator[str]:
    for task in found.tasks:
        if count := crowded_out(task):
            yield f"{count} slots of {task.task!r} come to nothing, as other runs are in their way"


def _never(found: Forecast) -> Iterator[str]:
    return (f"{task.task!r} never fires: {task.never}" for task in found.tasks if task.never is not None)


_CHECKS: dict[str, Callable[[Forecast], Iterable[str]]] = {"skips": _skips, "never": _never}


def _end(wrong: list[str]) -> None:
    for told in wrong[:50]:
        click.echo(f"--fail-on: {printable(told)}", err=True)
    if wrong:
        raise click.exceptions.Exit(FAILED)


# What is different.


def _compare(ctx: click.Context, given: dict[str, Any]) -> None:
    for option in ("durations", "failure_rates", "fail_on", "html", "svg", "conditions"):
        if given[option]:
            raise click.UsageError(
                "--diff compares slots: it goes with --days, --until, --top, --json and --exit-code."
            )
    manager = _manager(ctx, given)
    now = manager.clock.now()
    since = in_zone(now).replace(hour=0, minute=0, second=0, microsecond=0).astimezone(datetime.UTC)
    until = _until(given, since if given["until"] is None else now)
    check_span(since, until)
    found = compare_declared(declared_apart(given["old"], since, until), declared_tasks(manager), since, until)
    if given["in_json"]:
        click.echo(as_json(found))
    else:
        for line in comparison_text(found, given["top"], colour=True):
            say(line)
    if given["exit_code"] and found.changes:
        raise click.exceptions.Exit(FAILED)
