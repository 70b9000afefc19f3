"""Daylight saving: golden rows of eight zones, each found by a walk over UTC (`walk_oracle`)."""

import datetime
import json

import pytest
import walk_oracle

from task.schedules import next_slot

ROWS = json.loads(walk_oracle.GOLDEN.read_text())


def slots_of(row):
    """Every slot of a row's schedule between its two moments, as `next_slot` answers."""
    job = walk_oracle.build(row["schedule"], row["zone"])
    anchor, after, before = (datetime.datetime.fromisoformat(row[key]) for key in ("anchor", "after", "before"))
    found = []
    while (after := next_slot(job, after, anchor=anchor)) < before:
        found.append(walk_oracle.local(walk_oracle.minute_of(after), row["zone"]))
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['zone']}-{row['night']}-{row['schedule']}")
def test_slots_around_a_change_are_the_golden_ones(row):
    assert slots_of(row) == row["slots"]


def test_the_walk_reproduces_the_golden_rows():
    assert walk_oracle.golden_rows() == ROWS


def test_the_golden_rows_hold_gaps_overlaps_and_a_skipped_day_of_eight_zones():
    assert len({row["zone"] for row in ROWS}) == 8
    assert {row["night"] for row in ROWS} == {"gap", "overlap", "skipped day"}
