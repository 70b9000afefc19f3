"""Takes the measurements: each in a fresh process, the subjects in turn, several times over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import median
from typing import NamedTuple

from benchmarks.figures import Figures

__all__ = ["Measurement", "Results", "child_environment"]

#: What no measurement comes near. Seconds.
TIMEOUT = 300


class Measurement(NamedTuple):
    """One function of `benchmarks.child`, for one subject."""

    measure: str
    subject: str
    seconds: int = 0


def child_environment() -> Mapping[str, str]:
    """The environment of the children: compiled modules are kept, as in any installation, but not in the tree."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = os.path.join(tempfile.gettempdir(), "task-benchmarks-pycache")
    return environment


class Results:
    """The figures of every measurement, and their medians."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[Figures]] = defaultdict(list)
        self._environment = child_environment()

    def take(self, measurements: Iterable[Measurement], repeats: int = 1) -> None:
        """Take them one after another, in turn, *repeats* times."""
        rounds = list(measurements)
        for _ in range(repeats):
            for measurement in rounds:
                self._keep(measurement, self._begin(measurement))

    def take_together(self, measurements: Iterable[Measurement]) -> None:
        """Take them at one time: for those that sleep nearly always, and so do not disturb each other."""
        begun = [(measurement, self._begin(measurement)) for measurement in measurements]
        for measurement, process in begun:
            self._keep(measurement, process)

    def _begin(self, measurement: Measurement) -> subprocess.Popen[str]:
        arguments = [measurement.measure, measurement.subject, str(measurement.seconds)]
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.child", *arguments],
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _keep(self, measurement: Measurement, process: subprocess.Popen[str]) -> None:
        output, _ = process.communicate(timeout=TIMEOUT)
        if process.returncode != 0:
            raise RuntimeError(f"The measurement {measurement.measure!r} of {measurement.subject!r} failed.")
        self._found[measurement.measure, measurement.subject].append(json.loads(output))

    def median(self, measure: str, subject: str, figure: str) -> float:
        """The median over the repeats."""
        return median(figures[figure] for figures in self._found[measure, subject])
