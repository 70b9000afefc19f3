"""What the tests of the schedules share."""

import pathlib
import sys
import time

import pytest

# `walk_oracle`, the second opinion on slots, lies beside the tests that ask it.
sys.path.insert(0, str(pathlib.Path(__file__).parent))


@pytest.fixture
def local_zone(monkeypatch):
    """Sets the zone of this process: a POSIX rule, which needs no zone data of the machine."""

    def set_zone(rule):
        monkeypatch.setenv("TZ", rule)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()
