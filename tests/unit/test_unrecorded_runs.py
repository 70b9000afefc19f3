"""``on_store_failure="run"``: slots that run without the store, and what the store knows of them afterwards."""

from __future__ import annotations

import os
import pathlib

import pytest

from task import TaskManager, every
from task.errors import DeclarationError
from task.testing import VirtualClock


def test_a_slot_that_ran_without_the_store_has_its_end_there_and_leaves_its_place(
    tmp_path: pathlib.Path, clock: VirtualClock
) -> None:
    path, bodies = tmp_path / "tasks.db", list[str]()
    manager = TaskManager([], store=f"sqlite:///{path}", clock=clock, on_store_failure="run")
    manager.add(lambda: bodies.append(f"{clock.now():%M:%S}"), every(10).seconds, name="sample")
    with manager:
        clock.advance(seconds=15)
        os.rename(path, tmp_path / "away.db")
        path.mkdir()  # SQLite cannot open that
        clock.advance(seconds=20)
        path.rmdir()
        os.rename(tmp_path / "away.db", path)
        clock.advance(seconds=20)

        assert bodies == ["00:10", "00:20", "00:30", "00:40", "00:50"]
        assert [(str(run.state), run.slot and f"{run.slot:%M:%S}") for run in manager.runs()] == [
            ("succeeded", "00:50"),
            ("succeeded", "00:40"),
            ("succeeded", "00:30"),
            ("succeeded", "00:20"),
            ("succeeded", "00:10"),
        ]
        assert manager.audit() == []


@pytest.mark.parametrize("wrong", [{"catch_up_window": "1 day"}, {"catch_up_window": -1}, {"on_store_failure": "go"}])
def test_what_a_manager_cannot_do_without_its_store_is_refused_when_it_is_made(wrong: dict[str, object]) -> None:
    with pytest.raises(DeclarationError, match=rf"{next(iter(wrong))} is .*, not "):
        TaskManager([], **wrong)  # type: ignore[arg-type]  # that is the point
