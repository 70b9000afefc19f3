"""``python -m benchmarks [--quick] [--ledger | --web | --forecast] [--output FILE]``, from the root."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.foresight_table import measure_foresight
from benchmarks.ledger_table import measure_ledger
from benchmarks.suite import measure
from benchmarks.table import Row, as_markdown, as_text
from benchmarks.web_table import measure_web

PAGE = """# Benchmarks

Taken by `python -m benchmarks --output docs/benchmarks.md`, which writes this page. It takes about
twelve minutes; `--quick` takes about three. {machine}

Machines are shared and noisy, so that a figure on its own says little: what counts is the ratio of two
figures of one run. Each figure is taken in a fresh process, subject after subject in turn. Lateness and the
processor time of a run are taken three times over, and the median counts; so are a round trip, the policies and
the log; imports fifteen times; the rest once.
Drift, steadiness, first firings and wake-ups, whose subjects sleep nearly always, are taken side by side.

- **task serial**, **task threaded**: a `TaskManager` as it is by default: guards, claims, and every run on
  record, logs captured; bodies on the serial worker, or on the pool of threads.
- **schedule**: plain `schedule` in the background thread of its documentation, which polls once a second;
  and the same, polled every 10 ms.
- **APScheduler**: version 3's `BackgroundScheduler` with its jobs in memory: *inline* on the debug executor,
  *pooled* on its default pool of ten threads. It keeps no record of runs.
- **floor**: a heap and a `Condition` that calls a plain function (`benchmarks/floor.py`): *inline* on the
  loop, *handing over* to a daemon thread behind a `SimpleQueue`. It is what the machine itself allows.
  Since the loop of `task` never runs a body, the floor of its lateness is the one that hands over.

{table}

What the words mean: *lateness* is the time from the moment a job is due to its body's first line;
its percentiles are taken within each second, and the median second counts.
*Drift* is the largest distance of a start from the grid that the first start begins. *Processor time of a no-op
run* is that of the whole process, for 300 jobs that are due together ten times a second, divided by the
runs; of five spans the least counts, since what disturbs a span only adds. *trigger().result()* is taken one
after another with all threads on one core: on two, the wake-up of the other core is most of it. *10 000 at once*
are coroutines that all wait at one moment, begun by `trigger()`; of threads, 1 000 are taken, and each figure is that
of one body. *A line of the log* is formatted and written to the null device; a run keeps its first and newest
1 000. *A process of its own* is spawned for each no-op, one after another. *Wake-ups* are the voluntary context
switches of all threads but the main one. *Memory of a job* is what Python allocates for each of 20 000.

{ledger}
{web}
{foresight}"""

LEDGER = """## The ledger on a database

`python -m benchmarks --ledger --output docs/benchmarks.md` takes these alone, in about five minutes, and writes this
section. {machine}

SQLite is a file on the disk of the machine, with `synchronous=FULL`; PostgreSQL is a server of its own beside, with
`fsync`. Every figure is that of recorded runs: claimed, started and finished, each in a transaction that is on the disk
before anything follows. APScheduler's `SQLAlchemyJobStore` keeps jobs, not runs.

{table}

*Runs per second*: eight threads trigger a no-op, each at most 100 ahead of what has ended; with four processes, two
threads in each. *The time of a claim* is that of `trigger()` meanwhile. *Due at one instant* are 1 000 tasks of one
manager with its usual 32 threads. *100 runs a second* come from 100 tasks, 10 ms apart. The three questions are for
the newest runs, for those of one task, and for those that failed.
"""

WEB = """## Pages and API under load

`python -m benchmarks --web --output docs/benchmarks.md` takes these alone, in about four minutes, and writes this
section. {machine}

Gunicorn serves with 2 workers of 40 threads each, on loopback, beside what asks it: 1 000 tasks on a SQLite file with
{runs} runs; 50 of the tasks run every ten seconds meanwhile, all of them on the page that is asked for. Every
request is measured from the moment that it was planned for, whatever became of those before it. Flask-APScheduler's
`GET /scheduler/jobs` tells of 1 000 jobs in a `SQLAlchemyJobStore`, which keeps no runs; it is asked twice a second.

{table}

*The task list* is the first page of 50 tasks, with the newest 60 outcomes of each; *the API list* tells the same as
JSON. *Streams* are those of `/events`: 32 in each worker. A *live page* gets the task list anew when its stream tells
of a change, as a browser does. Processor time in percent is of one core; that of the runs meanwhile is in it.
"""

FORESIGHT = """## Foresight

`python -m benchmarks --forecast --output docs/benchmarks.md` takes these alone, in about two minutes, and writes this
section. {machine}

`task.foresight.forecast` simulates a week in which 100 tasks are due each minute, 1 008 000 runs, through the real
scheduler, ledger, guards and pools. Bodies take 0.5 s at the median and 3 s at the 95th percentile, and 1 of 100
fails. Beside it are the slots alone, taken from a heap over croniter's iterators, which is what one writes without it:
it knows of no body, guard or place.

{table}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Ratios measured in one run.")
    parser.add_argument("--quick", action="store_true", help="shorter and fewer measurements")
    alone = parser.add_mutually_exclusive_group()
    alone.add_argument("--ledger", action="store_true", help="the ledger on a database alone")
    alone.add_argument("--web", action="store_true", help="pages and API under load alone")
    alone.add_argument("--forecast", action="store_true", help="the cost of foresight alone")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the table as a Markdown page, too")
    options = parser.parse_args(arguments)

    def say(text: str) -> None:
        print(f"... {text}", file=sys.stderr, flush=True)

    everything = not (options.ledger or options.web or options.forecast)
    rows = measure(options.quick, say) if everything else []
    ledger = measure_ledger(options.quick, say) if everything or options.ledger else []
    web = measure_web(options.quick, say) if everything or options.web else []
    foresight = measure_foresight(options.quick, say) if everything or options.forecast else []
    print(as_text([*rows, *ledger, *web, *foresight]))
    reached = [row.reached for row in (*rows, *ledger, *web, *foresight)]
    print(f"\n{reached.count('yes')} goals reached, {reached.count('no')} not.")
    if options.output is not None:
        _write(options.output, rows, ledger, web, foresight, "100 000" if options.quick else "1 000 000")
    return 0


def _write(output: Path, rows: list[Row], ledger: list[Row], web: list[Row], foresight: list[Row], runs: str) -> None:
    """The page, or those sections of it that were taken."""
    sections = {}
    if ledger:
        sections[LEDGER] = LEDGER.format(machine=_machine(), table=as_markdown(ledger))
    if web:
        sections[WEB] = WEB.format(machine=_machine(), table=as_markdown(web), runs=runs)
    if foresight:
        sections[FORESIGHT] = FORESIGHT.format(machine=_machine(), table=as_markdown(foresight))
    if rows:
        page = PAGE.format(
            machine=_machine(),
            table=as_markdown(rows),
            ledger=sections[LEDGER],
            web=sections[WEB],
            foresight=sections[FORESIGHT],
        )
    else:
        page = output.read_text(encoding="utf-8")
        for form, section in sections.items():
            page = _with_section(page, form.partition("\n")[0], section)
    output.write_text(page, encoding="utf-8")


def _with_section(page: str, heading: str, section: str) -> str:
    """The page with another section of that heading, at its end if it had none."""
    before, _, after = page.partition(heading)
    following = after.find("\n## ")
    rest = after[following + 1 :] if following >= 0 else ""
    return f"{before.rstrip()}\n\n{section}" + (f"\n{rest}" if rest else "")


def _machine() -> str:
    return (
        f"This run: {platform.system()}, {os.cpu_count()} cores (load {os.getloadavg()[0]:.1f} at its end), "
        f"Python {platform.python_version()}, schedule {version('schedule')}, APScheduler {version('apscheduler')}."
    )


if __name__ == "__main__":
    sys.exit(main())
