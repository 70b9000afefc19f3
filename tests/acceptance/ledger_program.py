"""A program that several processes run on one store; ledger_driver.py starts it, talks to it and kills it.

Its one argument is a JSON object, with these keys:

- ``store``, ``namespace``, ``manager``: what `TaskManager` is given; ``manager`` holds its other options.
- ``log``: the file to which each body appends a line when it begins and one when it ends.
- ``tasks``: a list of objects. ``name``; ``seconds`` (an interval) or ``cron`` or neither; ``body_seconds``: how long
  its body takes; ``fails``: so many attempts of each run fail; ``options``: the options of `task.task`.
- ``kill_at``, ``pause_at``: ``[point, n]``: SIGKILL, or SIGSTOP, to itself when the named persistence point is reached
  for the n-th time.

Each line of its standard input is a command, a JSON object ``{"do": NAME, ...}``, and is answered with one line:
``{"ok": VALUE}`` or ``{"error": [CLASS, MESSAGE]}``. The first line that it prints answers its start.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import logging
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from task import Run, TaskManager, cron, current_run, every


class BodyError(Exception):
    """What a body raises that is to fail."""


class BodyLog:
    """One append-only file, shared by all processes. A line is one write, and begins a line whatever is before it."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, event: str, run: Run, **more: Any) -> None:
        line = {
            "event": event,
            "task": run.task,
            "slot": run.slot and run.slot.isoformat(),
            "run": run.id,
            "parent": run.parent_id,
            "token": run.token,
            "attempt": run.attempt,
            "pid": os.getpid(),
            "at": time.time(),
            "monotonic": time.monotonic(),  # of the machine: the same in all its processes, and never shifted
            **more,
        }
        os.write(self._file, f"\n{json.dumps(line)}\n".encode())


def add_task(manager: TaskManager, log: BodyLog, declared: dict[str, Any]) -> None:
    """Register one task of the argument."""
    seconds, line = declared.get("seconds"), declared.get("cron")
    schedule = every(seconds).seconds if seconds else cron(line) if line else None
    length, fails = declared.get("body_seconds", 0.0), declared.get("fails", 0)

    def body(note: str = "") -> str:
        run, raised = current_run(), None
        began = time.monotonic()
        log.write("begin", run, note=note)
        try:
            run.logger.info("begun %s", note)
            while (passed := time.monotonic() - began) < length:
                run.check_cancelled()
                run.update_progress(100 * passed / length, f"{passed:.1f} s")
                time.sleep(min(0.05, length - passed))
            if run.attempt <= fails:
                raise BodyError(f"attempt {run.attempt}")
            return note
        except BaseException as error:
            raised = type(error).__name__
            raise
        finally:
            log.write("end", run, raised=raised)

    manager.add(body, schedule, name=declared["name"], **declared.get("options", {}))


def signal_at(**wanted: tuple[str, int] | None) -> None:
    """Send this process a signal when a persistence point is reached for the n-th time.

    It is frozen while none of its threads uses the store, as it is when it is forked: a transaction that is frozen
    locks a SQLite file for all.
    """
    from task.stores.sql import hooks
    from task.stores.sql.database import Database

    reached: Counter[str] = Counter()
    lock = threading.Lock()
    prepare = Database._prepare
    databases: list[Database] = []

    def prepare_and_note(database: Database) -> None:
        prepare(database)
        databases.append(database)

    Database._prepare = prepare_and_note  # type: ignore[method-assign]  # of this program's store

    def at(point: str) -> None:
        with lock:
            reached[point] += 1
            time_of_it = reached[point]
        for name, moment in wanted.items():
            if moment is not None and (point, time_of_it) == tuple(moment):
                quiet = databases if name == "SIGSTOP" else []
                for database in quiet:
                    assert database.before_fork()
                os.kill(os.getpid(), getattr(signal, name))
                for database in quiet:
                    database.after_fork_in_parent()

    hooks.reached = at


class Commands:
    """What can be asked: each method is a command, with the keys of the JSON object as arguments."""

    def __init__(self, manager: TaskManager) -> None:
        self._manager = manager

    def run(self, at: float | None = None) -> None:
        """Start; at a moment of the machine's monotonic clock, so that several processes can do it together."""
        if at is not None:
            time.sleep(max(0.0, at - time.monotonic()))
        self._manager.run()

    def stop(self, timeout: float = 10.0) -> None:
        self._manager.stop(timeout)

    def trigger(self, task: str, **parameters: Any) -> str:
        return self._manager.trigger(task, **parameters).id

    def enable(self, task: str) -> None:
        self._manager[task].enable()

    def disable(self, task: str, note: str | None = None, until: str | None = None) -> None:
        self._manager[task].disable(note, None if until is None else datetime.datetime.fromisoformat(until))

    def cancel(self, run: str, reason: str = "cancelled") -> bool:
        """Cancel the run of that id, wherever it lives."""
        return self._manager.find_run(run).cancel(reason)

    def recurring(self, method: str, *arguments: Any, **named: Any) -> Any:
        """A method of `TaskManager.recurring`; entries and runs come back as dicts."""
        return _as_told(getattr(self._manager.recurring, method)(*arguments, **named))

    def audit(self) -> list[str]:
        return [str(finding) for finding in self._manager.audit()]

    def runs(self, task: str | None = None, state: str | None = None, limit: int = 10_000) -> list[dict[str, Any]]:
        page, found = self._manager.runs(task, state, 1000), []
        while True:
            found += [run.as_dict() for run in page]
            if page.cursor is None or len(found) >= limit:
                return found[:limit]
            page = self._manager.runs(task, state, 1000, cursor=page.cursor)

    def log_lines(self, run: str) -> list[str]:
        """The lines of the log of the run of that id."""
        return [line.message for line in self._manager.find_run(run).log]

    def health(self) -> dict[str, Any]:
        return dataclasses.asdict(self._manager.health)

    def details(self) -> list[dict[str, Any]]:
        return self._manager.tasks_detail

    def now(self) -> float:
        """The wall clock of this process."""
        return time.time()


def _as_told(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_told(one) for one in value]
    return value.as_dict() if hasattr(value, "as_dict") else value


def answer(work: Callable[[], object]) -> bool:
    """Do it, and print how it ended; whether it did well."""
    try:
        told = {"ok": work()}
    except Exception as error:
        logging.getLogger(__name__).info("A command failed", exc_info=True)
        told = {"error": [type(error).__name__, str(error)]}
    print(json.dumps(told, default=str), flush=True)
    return "ok" in told


def main(arguments: dict[str, Any]) -> int:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    made: list[Commands] = []

    def start() -> int:
        signals = {"SIGKILL": arguments.get("kill_at"), "SIGSTOP": arguments.get("pause_at")}
        if any(signals.values()):
            signal_at(**signals)
        options = dict(arguments.get("manager", {}))
        if arguments.get("store") is not None:
            options.update(store=arguments["store"], namespace=arguments.get("namespace", "default"))
        manager, log = TaskManager([], **options), BodyLog(arguments["log"])
        for declared in arguments["tasks"]:
            add_task(manager, log, declared)
        made.append(Commands(manager))
        return os.getpid()

    if not answer(start):
        return 1
    for line in sys.stdin:
        asked = json.loads(line)
        name = asked.pop("do")
        if name == "exit":
            answer(lambda: None)
            break
        method = getattr(made[0], name)
        answer(lambda: method(**asked))  # noqa: B023 - it is called at once
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
