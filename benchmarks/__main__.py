"""``python -m benchmarks [--quick] [--output FILE]``, from the root of the repository."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.suite import measure
from benchmarks.table import Row, as_markdown, as_text

PAGE = """# Benchmarks

Taken by `python -m benchmarks --output docs/benchmarks.md`, which writes this page. It takes about eight
minutes; `--quick` takes about one and a half. {machine}

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
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Ratios measured in one run.")
    parser.add_argument("--quick", action="store_true", help="shorter and fewer measurements")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the table as a Markdown page, too")
    options = parser.parse_args(arguments)
    rows = measure(options.quick, lambda text: print(f"... {text}", file=sys.stderr, flush=True))
    print(as_text(rows))
    missed = sum(row.reached == "no" for row in rows)
    print(f"\n{sum(row.reached == 'yes' for row in rows)} goals reached, {missed} not.")
    if options.output is not None:
        options.output.write_text(_page(rows), encoding="utf-8")
    return 0


def _page(rows: Sequence[Row]) -> str:
    machine = (
        f"This run: {platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"schedule {version('schedule')}, APScheduler {version('apscheduler')}."
    )
    return PAGE.format(machine=machine, table=as_markdown(rows))


if __name__ == "__main__":
    sys.exit(main())
