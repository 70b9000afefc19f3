"""What the tests of injection share: a run, and libraries that are made missing."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable

import pytest

from task.runs import Run


@pytest.fixture
def run() -> Run:
    """A run that nobody executes."""
    return Run("sample", "manual", datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC))


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make a library missing until the end of the test."""

    def remove(library: str) -> None:
        monkeypatch.setitem(sys.modules, library, None)

    return remove
