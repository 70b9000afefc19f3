"""What ``import task`` costs, each time in an interpreter of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from statistics import median

__all__ = ["import_times", "unwanted_modules"]

#: What a program that uses none of it must not have to load.
UNWANTED = ("asyncio", "concurrent.futures", "croniter", "flask", "multiprocessing", "sqlalchemy")

STATEMENTS = ("pass", "import schedule", "import task")


def import_times(repeats: int, environment: Mapping[str, str]) -> dict[str, float]:
    """Milliseconds of a whole process, by statement: the median, the statements in turn."""
    times: dict[str, list[float]] = {statement: [] for statement in STATEMENTS}
    for _ in range(repeats + 1):
        for statement in STATEMENTS:
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], env=environment, check=True)
            times[statement].append((time.perf_counter() - start) * 1e3)
    return {statement: median(found[1:]) for statement, found in times.items()}  # the first compiles


def unwanted_modules(environment: Mapping[str, str]) -> list[str]:
    """Those of `UNWANTED` that ``import task`` loads."""
    program = f"import sys, task; print(*[name for name in {UNWANTED} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    return done.stdout.split()
