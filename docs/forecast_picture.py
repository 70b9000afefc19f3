"""The picture of a forecast in docs/pictures: two weeks of ``examples/foresight.py``, in which the clocks go back."""

from __future__ import annotations

import datetime
import importlib.util
import pathlib
from typing import Any

from task.foresight import forecast, to_svg
from task.testing import VirtualClock

ROOT = pathlib.Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "pictures" / "forecast.svg"

#: Monday, 19 October 2026 in Amsterdam.
SINCE = datetime.datetime(2026, 10, 18, 22, tzinfo=datetime.UTC)


def forecast_picture() -> str:
    """The picture, in the zone of this process: Europe/Amsterdam, for the one that is kept."""
    example = _example()
    manager = example.make_manager(clock=VirtualClock(SINCE))
    # 14 days by the clock: one of them has 25 hours.
    found = forecast(manager, SINCE + datetime.timedelta(days=14, hours=1), durations=example.DURATIONS)
    return to_svg(found, "Two weeks of examples/foresight.py")


def _example() -> Any:
    spec = importlib.util.spec_from_file_location("foresight_example", ROOT / "examples" / "foresight.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
