"""Three processes on one store for a while, in all weathers; afterwards an outside look at what came of each slot.

Processes are killed and replaced, one has a clock that is stepped, and PostgreSQL is restarted, all at random.
`python -m benchmarks.soak` runs it for as long as one likes, test_soak.py for a minute.
"""

from __future__ import annotations

import collections
import dataclasses
import heapq
import itertools
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sql
from databases import Cluster
from ledger_driver import LIMIT, Ledger, LedgerProcess, Line, doubles

#: How many processes share the store.
PROCESSES = 3

#: A process whose heart stands still for so long is dead. Seconds.
LOST_AFTER = 3

#: How long after another what happens, at least and at most. Seconds.
KILLS, RESTARTS, STEPS = (10, 20), (5, 40), (15, 30)

#: The tasks: name, period in seconds, and the rest of what ledger_program.py takes.
_TICKS = [{"name": f"tick {number}", "seconds": 1, "options": {"threaded": True}} for number in range(10)]
TASKS: list[dict[str, Any]] = [
    *_TICKS,
    {"name": "overlapping", "seconds": 1, "body_seconds": 1.5, "options": {"threaded": True}},
    {"name": "queueing", "seconds": 1, "body_seconds": 0.8, "options": {"threaded": True, "overlap": "queue"}},
    {"name": "failing", "seconds": 2, "fails": 1, "options": {"threaded": True, "retry": 2}},
    {"name": "catching up", "seconds": 1, "options": {"threaded": True, "misfire": "all"}},
    {"name": "again", "seconds": 2, "body_seconds": 0.7, "options": {"threaded": True, "on_lost": "rerun"}},
    {"name": "shared a", "seconds": 1, "body_seconds": 0.2, "options": {"threaded": True, "mutex": "one"}},
    {"name": "shared b", "seconds": 1, "body_seconds": 0.2, "options": {"threaded": True, "mutex": "one"}},
]


@dataclasses.dataclass
class Report:
    """What happened, and what is wrong with it."""

    seconds: float = 0
    kills: int = 0
    restarts: int = 0
    steps: int = 0
    slots: int = 0
    rows: Mapping[str, int] = dataclasses.field(default_factory=dict)
    begun: int = 0
    #: The longest time in which no body began anywhere. Seconds.
    silence: float = 0
    wrong: Sequence[str] = ()

    def __str__(self) -> str:
        lines = [
            ("seconds", f"{self.seconds:.0f}"),
            ("processes killed and replaced", self.kills),
            ("restarts of the server", self.restarts),
            ("steps of a clock", self.steps),
            ("slots that were due", self.slots),
            *((f"of them {state}", count) for state, count in sorted(self.rows.items())),
            ("bodies begun", self.begun),
            ("longest silence, seconds", f"{self.silence:.1f}"),
            ("wrong", len(self.wrong)),
        ]
        width = max(len(what) for what, _ in lines)
        return "\n".join([*(f"{what:<{width}}  {figure:>8}" for what, figure in lines), *self.wrong[:20]])


class Soak:
    """One soak, until `run` returns."""

    def __init__(self, ledger: Ledger, url: str, cluster: Cluster | None, seed: int) -> None:
        self._ledger = ledger
        self._url = url
        self._cluster = cluster
        self._random = random.Random(seed)
        self._processes: list[LedgerProcess] = []
        self._due: list[tuple[float, int, Callable[[], None], tuple[int, int]]] = []
        self._order = itertools.count()
        self._report = Report()

    def run(self, seconds: float) -> Report:
        """All of it: the weather, the end, and the judgement."""
        for number in range(PROCESSES):
            self._processes.append(self._begin(stepped=number == 0))
        started = time.monotonic()
        self._plan(self._kill, KILLS)
        self._plan(self._step, STEPS)
        if self._cluster is not None:
            self._plan(self._restart, RESTARTS)
        while (now := time.monotonic()) < started + seconds:
            if self._due[0][0] <= now:
                _, _, act, between = heapq.heappop(self._due)
                act()
                self._plan(act, between)
            else:
                time.sleep(min(0.1, self._due[0][0] - now))
        self._report.seconds = time.monotonic() - started
        findings = self._end()
        self._judge(findings)
        return self._report

    def _plan(self, act: Callable[[], None], between: tuple[int, int]) -> None:
        moment = time.monotonic() + self._random.uniform(*between)
        heapq.heappush(self._due, (moment, next(self._order), act, between))

    # The weather.

    def _begin(self, stepped: bool = False) -> LedgerProcess:
        process = self._ledger.start(self._url, *TASKS, lost_after=LOST_AFTER, shift_seconds=0 if stepped else None)
        process.run()
        return process

    def _kill(self) -> None:
        number = self._random.randrange(PROCESSES)
        self._processes[number].kill()
        self._processes[number] = self._begin(stepped=number == 0)
        self._report.kills += 1

    def _step(self) -> None:
        self._processes[0].shift(self._random.choice((-7, -2, 2, 5, 0)))
        self._report.steps += 1

    def _restart(self) -> None:
        assert self._cluster is not None
        mode = self._random.choice(("fast", "immediate", "kill"))
        if mode == "kill":
            self._cluster.kill()
        else:
            self._cluster.stop(mode)
        time.sleep(self._random.uniform(0, 3))
        self._cluster.start()
        self._report.restarts += 1

    def _end(self) -> list[str]:
        """The dead are found, everybody stops; what the audit of the last process says."""
        self._wait(self._is_well)
        for process in self._processes:
            process.send("stop", timeout=LIMIT)
        for process in self._processes:
            process.answer(2 * LIMIT)
        return self._processes[-1].audit()

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT
        while not condition():
            assert time.monotonic() < deadline, f"waited {LIMIT} seconds in vain: {self._processes!r}"
            time.sleep(0.5)

    def _is_well(self) -> bool:
        """Whether no process counts as alive that was killed, and all of them reach the store."""
        living = {process.pid for process in self._processes}
        counted = {row["pid"] for row in self._ask("SELECT pid FROM task_processes WHERE ended_at IS NULL")}
        causes = [cause for process in self._processes for cause in process.ask("health")["causes"]]
        return counted <= living and not any(cause.startswith("The store") for cause in causes)

    # The judgement.

    def _judge(self, findings: Sequence[str]) -> None:
        rows, lines = self._rows(), self._ledger.lines()
        begun = [line for line in lines if line["event"] == "begin"]
        report = self._report
        report.begun = len(begun)
        moments = sorted(line["monotonic"] for line in begun)
        report.silence = max((after - before for before, after in itertools.pairwise(moments)), default=0)
        counts: collections.Counter[str] = collections.Counter()
        for row in rows:
            counts[row["state"]] += row["count"] if row["slot"] is not None else 0
        report.rows, report.slots = counts, counts.total()
        report.wrong = [
            *(f"audit: {finding}" for finding in findings),
            *(f"twice: {[dict(line) for line in found]}" for found in doubles(lines)),
            *(wrong for task in TASKS for wrong in _holes(task, [row for row in rows if row["task"] == task["name"]])),
            *_contradictions(rows, lines),
            *self._damage(),
        ]

    def _rows(self) -> list[Mapping[str, Any]]:
        columns = ("id", "task", "trigger", "slot", "last_at", "count", "state", "owner", "token", "parent_id", "epoch")
        return self._ask(f"SELECT {', '.join(_quoted(name) for name in columns)} FROM task_runs ORDER BY slot, id")

    def _ask(self, statement: str) -> list[Mapping[str, Any]]:
        engine = sql.create_engine(self._url)
        try:
            with engine.connect() as connection:
                return [dict(row) for row in connection.exec_driver_sql(statement).mappings()]
        finally:
            engine.dispose()

    def _damage(self) -> list[str]:
        if self._cluster is not None:
            return []
        found = [next(iter(row.values())) for row in self._ask("PRAGMA integrity_check")]
        return [] if found == ["ok"] else [f"the file is damaged: {found}"]


def _quoted(name: str) -> str:
    return f'"{name}"'


def _holes(task: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where the outcomes of a task do not follow each other by its period: a slot has none, or two."""
    wrong, period = [], round(task["seconds"] * 1_000_000)
    slots = [row for row in rows if row["slot"] is not None]
    for before, row in itertools.pairwise(slots):
        if row["slot"] != before["last_at"] + period:
            wrong.append(f"{task['name']}: after {_told(before)} comes {_told(row)}")
    miscounted = [row for row in slots if row["last_at"] != row["slot"] + (row["count"] - 1) * period]
    return wrong + [f"{task['name']}: {_told(row)} counts wrong" for row in miscounted if row["count"] <= 1_000]


def _contradictions(rows: Sequence[Mapping[str, Any]], lines: Sequence[Line]) -> list[str]:
    """Where the bodies' own log and the store differ, and what is left open."""
    known = {row["id"]: row for row in rows}
    ended = {line["run"]: line for line in lines if line["event"] == "end"}
    begun = {line["run"] for line in lines if line["event"] == "begin"}
    wrong = [f"a body began, and the store does not know of run {run}" for run in begun - known.keys()]
    for row in rows:
        state, last = row["state"], ended.get(row["id"])
        if state == "running" or (state in ("queued", "retrying") and row["owner"] is not None):
            wrong.append(f"left open: {_told(row)}")
        elif state == "succeeded" and (last is None or last["raised"] is not None):
            wrong.append(f"succeeded, and its body did not end well: {_told(row)}")
        elif state in ("skipped", "missed") and row["id"] in begun:
            wrong.append(f"a body began all the same: {_told(row)}")
    tokens = collections.Counter(row["token"] for row in rows if row["token"])
    return wrong + [f"the token {token} was given {count} times" for token, count in tokens.items() if count > 1]


def _told(row: Mapping[str, Any]) -> str:
    return (
        f"{row['state']} {row['task']} {row['slot']} to {row['last_at']} ({row['count']}, {row['id']}, {row['owner']})"
    )


def soak(ledger: Ledger, url: str, seconds: float, cluster: Cluster | None = None, seed: int = 0) -> Report:
    """Run one; `Report.wrong` is empty when all is well."""
    return Soak(ledger, url, cluster, seed).run(seconds)
