"""``python -m benchmarks.soak --minutes 30 --store sqlite|postgresql``: three processes on one store, in all weathers.

The soak itself is tests/acceptance/soak.py; a minute of it is a test.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="The ledger in all weathers.")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--seed", type=int, default=0, help="what happens when")
    options = parser.parse_args(arguments)
    sys.path[:0] = [str(TESTS / "acceptance"), str(TESTS)]
    from conftest import Program
    from databases import Cluster, sqlite_url
    from ledger_driver import Ledger
    from soak import soak
    from wall_clock import WallClock, build_shim

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="task-soak-")))
        shim = build_shim(folder)
        started: list[Program] = []

        def start(source: str, *given: str, **environment: str) -> Program:
            path = folder / f"program_{len(started)}.py"
            path.write_text(source)
            started.append(Program.at(path, list(given), environment))
            return started[-1]

        stack.callback(lambda: [program.kill() for program in started])
        cluster = stack.enter_context(Cluster()) if options.store == "postgresql" else None
        url = sqlite_url(folder) if cluster is None else cluster.create_database()
        ledger = Ledger(start, folder, lambda file, seconds: WallClock(shim, file, seconds))
        report = soak(ledger, url, options.minutes * 60, cluster, options.seed)
    print(f"{options.store}, seed {options.seed}")
    print(report)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
