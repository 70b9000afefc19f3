"""Starts processes of ledger_program.py, steers them, and judges what their bodies have written."""

from __future__ import annotations

import collections
import contextlib
import datetime
import json
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from wall_clock import WallClock

PROGRAM = Path(__file__).with_name("ledger_program.py")

Line = Mapping[str, Any]

#: For what takes no longer than this, unless it hangs. Seconds.
LIMIT = 60.0


class CommandError(Exception):
    """A command of the program has raised: the name of the exception's class, and its text."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class LedgerProcess:
    """One process of the program."""

    def __init__(self, program: Any, wall_clock: WallClock | None) -> None:
        self._program = program
        self._wall_clock = wall_clock
        self.pid: int = program.process.pid

    def send(self, command: str, **arguments: Any) -> None:
        """Give a command without waiting for its answer."""
        self._program.send(json.dumps({"do": command, **arguments}))

    def answer(self, timeout: float = LIMIT) -> Any:
        """What the oldest command without an answer came to. Raises `CommandError` with what it raised."""
        told = json.loads(self._program.expect("", timeout))
        if "error" in told:
            raise CommandError(*told["error"])
        return told["ok"]

    def ask(self, command: str, **arguments: Any) -> Any:
        """Give a command and wait for its answer; ledger_program.py has the commands."""
        self.send(command, **arguments)
        return self.answer()

    def run(self) -> None:
        """Start its manager. One that is to be killed or frozen at a point may be so before it answers: `run_soon`."""
        self.ask("run")

    def run_soon(self) -> None:
        """Have it start its manager, and go on; `answer` waits until it has, if it lives."""
        self.send("run")

    def stop(self, timeout: float = 10.0) -> None:
        self.ask("stop", timeout=timeout)

    def trigger(self, task: str, **parameters: Any) -> str:
        """The id of the new run."""
        return str(self.ask("trigger", task=task, **parameters))

    def runs(self, task: str | None = None, state: str | None = None) -> list[dict[str, Any]]:
        """Newest first, as `Run.as_dict`."""
        found: list[dict[str, Any]] = self.ask("runs", task=task, state=state)
        return found

    def audit(self) -> list[str]:
        found: list[str] = self.ask("audit")
        return found

    def shift(self, seconds: int) -> None:
        """Set its wall clock so many seconds ahead of the machine's. It was started with ``shift_seconds=``."""
        assert self._wall_clock is not None, "start it with shift_seconds=0"
        self._wall_clock.shift(seconds)

    def freeze(self) -> None:
        """Stop it as it stands, with all its threads (SIGSTOP)."""
        os.kill(self.pid, signal.SIGSTOP)
        self.wait_until_frozen()

    def wait_until_frozen(self, timeout: float = LIMIT) -> None:
        """Wait until it stands still: after `freeze`, or because it reached ``pause_at=``.

        All of its threads: one that is in the middle of a write when the signal comes ends that first.
        """
        deadline = time.monotonic() + timeout
        while (states := self._states()) != {"T"}:
            assert not states & {"Z", "X"}, f"the program has ended instead of pausing\n{self}"
            assert time.monotonic() < deadline, f"the program was not frozen in {timeout} s\n{self}"
            time.sleep(0.01)

    def thaw(self) -> None:
        """Let it go on, as if no time had passed (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it at once (SIGKILL), and whatever it had started."""
        self._program.kill()

    def end(self, timeout: float = LIMIT) -> int:
        """Wait until it has ended by itself (it reached ``kill_at=``, say): its exit code, negative for a signal."""
        code: int = self._program.end(timeout)
        return code

    def exit(self) -> int:
        """Ask it to end its main thread, and wait until it has ended."""
        self.ask("exit")
        return self.end()

    @property
    def stderr(self) -> str:
        """What it has logged."""
        text: str = self._program.stderr
        return text

    def __repr__(self) -> str:
        return repr(self._program)

    def _states(self) -> set[str]:
        """A letter for what each of its threads does: T is stopped, Z has ended."""
        found = set()
        for stat in Path(f"/proc/{self.pid}/task").glob("*/stat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
                found.add(stat.read_text().rpartition(")")[2].split()[0])
        return found


class Ledger:
    """Processes on shared stores, and the one log that all their bodies write. The fixture ``ledger`` makes it."""

    def __init__(
        self, start: Callable[..., Any], folder: Path, make_wall_clock: Callable[[Path, int], WallClock]
    ) -> None:
        self._start = start
        self._folder = folder
        self._make_wall_clock = make_wall_clock
        self.log = folder / "bodies.log"
        self.processes: list[LedgerProcess] = []

    def start(
        self,
        store: str | None,
        *tasks: Mapping[str, Any],
        namespace: str = "default",
        kill_at: tuple[str, int] | None = None,
        pause_at: tuple[str, int] | None = None,
        shift_seconds: int | None = None,
        **manager: Any,
    ) -> LedgerProcess:
        """A new process, whose manager is made and does not run yet.

        *store* is a URL, or None for memory; *manager* are other options of `TaskManager`. ``shift_seconds=5``: its
        wall clock is 5 seconds ahead; 0 when it is to be shifted later. Raises `CommandError` when no manager could
        be made.
        """
        arguments = {
            "store": store,
            "namespace": namespace,
            "log": str(self.log),
            "tasks": tasks,
            "manager": manager,
            "kill_at": kill_at,
            "pause_at": pause_at,
        }
        wall_clock, environment = None, {}
        if shift_seconds is not None:
            wall_clock = self._make_wall_clock(self._folder / f"offset_{len(self.processes)}", shift_seconds)
            environment = wall_clock.environment
        program = self._start(PROGRAM.read_text(), json.dumps(arguments), **environment)
        process = LedgerProcess(program, wall_clock)
        self.processes.append(process)
        process.answer()
        return process

    def run_together(self, processes: Iterable[LedgerProcess]) -> None:
        """Have them all start their managers at one moment."""
        together, at = list(processes), time.monotonic() + 0.3
        for process in together:
            process.send("run", at=at)
        for process in together:
            process.answer()

    def lines(self) -> list[Line]:
        """What the bodies have written by now, in the order in which they wrote it."""
        return read_log(self.log)

    def wait_for_lines(self, count: int, *, timeout: float = LIMIT, **having: Any) -> list[Line]:
        """Wait until there are *count* lines with these values (``event="end"``); all lines with them."""
        deadline = time.monotonic() + timeout
        while True:
            found = [line for line in self.lines() if having.items() <= line.items()]
            if len(found) >= count:
                return found
            said = "\n".join(map(repr, self.processes))
            assert time.monotonic() < deadline, f"{len(found)} of {count} lines with {having} in {timeout} s\n{said}"
            time.sleep(0.02)


def read_log(path: Path) -> list[Line]:
    """The lines of a log of bodies, in the order in which they were written; none when there is no such file yet.

    A line that is written right now, or whose process was killed right then, may be there in part: it is left out.
    """
    found = []
    for line in path.read_text().split("\n") if path.exists() else ():
        with contextlib.suppress(json.JSONDecodeError):
            found.append(json.loads(line))
    return found


def slots(lines: Iterable[Line], task: str) -> list[datetime.datetime]:
    """The moments for which bodies of a task began, each once, in order."""
    begun = {line["slot"] for line in lines if line["event"] == "begin" and line["task"] == task}
    return sorted(datetime.datetime.fromisoformat(slot) for slot in begun if slot is not None)


def doubles(lines: Iterable[Line], everywhere: Collection[str] = ()) -> list[list[Line]]:
    """The slots whose body began more than once without right: for each, the lines with which its bodies began.

    A further attempt of the run is its right, and so is one rerun of a run: one that has it as its parent. The tasks
    of *everywhere* have a slot in each process.
    """
    begun: dict[object, list[Line]] = collections.defaultdict(list)
    for line in lines:
        if line["event"] == "begin" and line["slot"] is not None:
            begun[line["task"], line["slot"], line["pid"] if line["task"] in everywhere else None].append(line)
    return [found for found in begun.values() if _is_double(found)]


def _is_double(begun: list[Line]) -> bool:
    attempts = [(line["run"], line["attempt"]) for line in begun]
    runs = dict.fromkeys(line["run"] for line in begun)
    reruns = {line["run"]: line["parent"] for line in begun if line["parent"] in runs}
    # A run has one rerun at most, and all but the first are reruns.
    return len(attempts) > len(set(attempts)) or len(runs) - len(set(reruns.values())) > 1


def most_at_once(lines: Iterable[Line], task: str) -> int:
    """So many bodies of a task were under way at one moment, in all processes together.

    One without an end was killed; it counts until the last line that its process wrote, or for that line alone.
    """
    lines = list(lines)
    last = {line["pid"]: line["monotonic"] for line in lines}
    ends = {(line["run"], line["attempt"]): line["monotonic"] for line in lines if line["event"] == "end"}
    changes = []
    for line in lines:
        if line["event"] == "begin" and line["task"] == task:
            changes.append((line["monotonic"], 1))
            changes.append((ends.get((line["run"], line["attempt"]), last[line["pid"]]), -1))
    changes.sort(key=lambda change: (change[0], -change[1]))
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most
