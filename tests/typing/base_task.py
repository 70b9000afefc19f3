"""What type checkers make of class-based tasks: checked with ``mypy --strict``, never run.

Each wrong use carries its ``type: ignore``; with ``warn_unused_ignores`` one that is not needed is an error.
"""

from __future__ import annotations

import abc
import dataclasses
import logging
from pathlib import Path
from typing import Any, Generic, TypeVar, assert_type

from task import Run, TaskManager, every
from task.models.base_task import BaseTask

T = TypeVar("T")


# The constructor is that of a dataclass.


class BackupTask(BaseTask):
    source: str
    target: str = "x"
    patterns: list[str] = dataclasses.field(default_factory=list)

    def execute(self) -> int:
        assert_type(self.source, str)
        assert_type(self.run, Run)
        assert_type(self.id, str)
        assert_type(self.parent_id, str | None)
        assert_type(self.parameters, dict[str, Any])
        assert_type(self.logger, logging.LoggerAdapter[logging.Logger])
        assert_type(self.is_cancelled(), bool)
        self.update_progress(50, "half")
        self.check_cancelled()
        return 1


BackupTask("/data")
BackupTask("/data", "y", ["*.py"])
BackupTask(source="/data", target="y")
BackupTask()  # type: ignore[call-arg]
BackupTask(5)  # type: ignore[arg-type]
BackupTask("/data", targt="y")  # type: ignore[call-arg]
assert_type(BackupTask("/data").execute(), int)
assert_type(dataclasses.replace(BackupTask("/data"), target="y"), BackupTask)


# ``execute`` takes what it likes, and may be a coroutine.


class Fetch(BaseTask):
    url: str

    async def execute(self, timeout: float, *, retries: int = 3) -> bytes:
        await self.update_progress(10)
        await self.check_cancelled()
        return self.url.encode()


class Anything(BaseTask):
    def execute(self, **others: object) -> None: ...


# Inherited fields, abstract classes, generic ones.


class Report(BaseTask):
    region: str

    @abc.abstractmethod
    def rows(self) -> list[str]: ...

    def execute(self) -> list[str]:
        return self.rows()


class Sales(Report):
    year: int = 2026

    def rows(self) -> list[str]:
        return [self.region, str(self.year)]


Sales("EU", 2027)
Sales("EU", "2027")  # type: ignore[arg-type]
Report("EU")  # type: ignore[abstract]
BaseTask()  # type: ignore[abstract]


class Copy(BaseTask, Generic[T]):
    what: T

    def execute(self) -> T:
        return self.what


assert_type(Copy("x").execute(), str)
assert_type(Copy[int](3).what, int)


# Decorated for other options.


@dataclasses.dataclass(frozen=True)
class Frozen(BaseTask):
    path: Path

    def execute(self) -> None: ...


Frozen(Path("."))
Frozen(".")  # type: ignore[arg-type]
Frozen(Path(".")).path = Path("x")  # type: ignore[misc]


# At a manager.

manager = TaskManager([])
added = manager.add(BackupTask("/data"), every().day.at("02:00"), name="nightly", threaded=True)
assert_type(added.name, str)
assert_type(added.trigger(source="/other"), Run)
assert_type(manager.add(Fetch("https://example.org"), every().hour, parameters={"timeout": 5}).name, str)
added()
