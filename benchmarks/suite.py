"""Which measurements are taken, and which rows come of them."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.importing import import_times, unwanted_modules
from benchmarks.runner import Measurement, Results, child_environment
from benchmarks.table import Row, absolute, ratio

__all__ = ["measure"]

#: Our subject, APScheduler's and the floor's of the same kind.
KINDS = (
    ("serial", "task serial", "APScheduler inline", "floor inline"),
    ("threaded", "task threaded", "APScheduler pooled", "floor handing over"),
)
FAST = tuple(subject for kind in KINDS for subject in kind[1:])
PLAIN = ("schedule", "schedule, polled every 10 ms")

#: Who is asked for a run now, and whom that is held against.
ASKED = ("task serial", "task threaded")
ASKED_PEERS = {
    "ThreadPoolExecutor": "ThreadPoolExecutor(1), submit().result()",
    "APScheduler pooled": "APScheduler pooled, add_job run now",
}

#: Where a line is logged.
LINES = {"outside": "outside of a run", "inside": "inside a run", "run.logger": "inside a run, by run.logger"}


def measure(quick: bool, say: Callable[[str], None]) -> list[Row]:
    """Take all measurements, *quick* with shorter and fewer ones, and make the table."""
    results = Results()
    rows: list[Row] = []
    repeats = 1 if quick else 3
    many = 20_000 if quick else 100_000

    say("drift, steadiness and wake-ups, side by side")
    long = 5 if quick else 25
    slots = 5 if quick else 30
    lateness = [Measurement("lateness", name, 3) for name in FAST]
    results.take_together(
        [
            *(Measurement("drift", name, long) for name in ("task serial", "task threaded", "APScheduler pooled")),
            *(Measurement("drift", name, long) for name in PLAIN),
            *(Measurement("steady", name, slots) for name in ("task serial", "task threaded", *PLAIN)),
            *(Measurement("wakeups", name, long - 2) for name in ("task serial", "APScheduler pooled", *PLAIN)),
            *(Measurement("first firing", name, 3) for name in ("task serial", *PLAIN)),
        ]
    )
    say("lateness")
    if quick:
        results.take_together(lateness)  # they disturb each other a little: quick, not exact
    else:
        results.take(lateness, repeats)
    results.take([Measurement("burst", name, 1 if quick else 2) for name in FAST], repeats)
    say("processor time of a run")
    results.take([Measurement("firing", name, 1 if quick else 2) for name in FAST], repeats)
    say(f"{many} jobs")
    results.take([Measurement("idle", str(count), 2 if quick else 6) for count in (1, many)])
    results.take([Measurement("adding", str(count)) for count in (1_000, many)])
    results.take([Measurement("one pass", str(count)) for count in (10_000, many)])
    say("memory and throughput")
    runs, failing = (100_000, 5_000) if quick else (1_000_000, 20_000)
    results.take([Measurement("memory", ""), Measurement("growth", str(runs))])
    results.take([Measurement("failing growth", str(failing))])
    results.take([Measurement("throughput", name, 1 if quick else 3) for name in ("task serial", "task threaded")])
    say("one run: waiting for it, its policies, its log, its process; many at once")
    short = 1 if quick else 2
    results.take([Measurement("round trip", name, short) for name in (*ASKED, *ASKED_PEERS)], repeats)
    results.take([Measurement("concurrent", name) for name in ("task", "asyncio", "a thread each")])
    results.take([Measurement("policies", "", short), Measurement("log", "", short)], repeats)
    results.take([Measurement("process", name, 2 * short) for name in ("task", "pool")])
    results.take([Measurement("command", name, short) for name in ("task", "subprocess.run")])
    say("imports")
    imports = import_times(5 if quick else 15, child_environment())

    rows += _lateness(results)
    rows += _grid(results, long, slots)
    rows += _processor(results, many)
    rows += _many_jobs(results, many)
    rows += _memory(results, runs, failing)
    rows += _one_run(results)
    rows += _at_once(results)
    rows += _imports(imports, unwanted_modules(child_environment()))
    return rows


def _lateness(results: Results) -> list[Row]:
    rows = []
    handing_over = "floor handing over"  # what a scheduler does whose loop never runs a body
    for kind, ours, peer, _ in KINDS:
        for measure, words in (("lateness", "20 jobs, 50 ms apart"), ("burst", "1 000 jobs due at one instant")):
            found = results.median(measure, ours, "p50")
            # Of many due at one instant the median is work, not lateness: there, p99 alone has a goal.
            limit = 1.5 if measure == "lateness" else None
            floor = results.median(measure, handing_over, "p50")
            rows.append(ratio(f"lateness p50, {words}, {kind}", found, handing_over, floor, "ms", limit))
            found, theirs = (results.median(measure, name, "p99") for name in (ours, peer))
            rows.append(ratio(f"lateness p99, {words}, {kind}", found, peer, theirs, "ms", 1))
    found, floor = (results.median("lateness", name, "p50") for name in ("task serial", "floor inline"))
    rows.append(ratio("lateness p50, 20 jobs, 50 ms apart, serial", found, "floor inline", floor, "ms"))
    for name in PLAIN:
        found, theirs = (results.median("first firing", subject, "p50") for subject in ("task serial", name))
        rows.append(ratio("lateness p50, first firing of 20 jobs, serial", found, name, theirs, "ms"))
    return rows


def _grid(results: Results, long: int, slots: int) -> list[Row]:
    rows = []
    for ours in ("task serial", "task threaded"):
        others = ", ".join(
            f"{results.median('drift', name, 'deviation'):.1f} ms ({name})" for name in ("APScheduler pooled", *PLAIN)
        )
        found = results.median("drift", ours, "deviation")
        what = f"drift of a 1 s job with a 150 ms body in {long} s, {ours.split()[1]}"
        rows.append(absolute(what, found, "ms", "under 2 ms", found < 2, others))
        others = ", ".join(f"{results.median('steady', name, 'starts'):.0f} ({name})" for name in PLAIN)
        found = results.median("steady", ours, "starts")
        what = f"starts in {slots} s, every second with a 300 ms body, {ours.split()[1]}"
        rows.append(absolute(what, found, "", f"{slots}", found == slots, others))
    return rows


def _processor(results: Results, many: int) -> list[Row]:
    rows = []
    for kind, ours, peer, floor in KINDS:
        found = {name: results.median("firing", name, "us") for name in (ours, peer, floor)}
        what = f"processor time of a no-op run, {kind}"
        rows.append(ratio(what, found[ours], f"{peer}, which records nothing", found[peer], "µs", 1))
        rows.append(ratio(what, found[ours], floor, found[floor], "µs"))
    few, lots = (results.median("idle", str(count), "ms") for count in (1, many))
    what = f"processor time per second of a loop with {many} far-future tasks and one at 10 Hz"
    rows.append(ratio(what, lots, "with 1 far-future task", few, "ms", 1.5))
    others = ", ".join(
        f"{results.median('wakeups', name, 'per second'):.1f} ({name})" for name in ("APScheduler pooled", *PLAIN)
    )
    found_wakeups = results.median("wakeups", "task serial", "per second")
    rows.append(absolute("wake-ups per second, nothing due", found_wakeups, "", "0", found_wakeups == 0, others))
    return rows


def _many_jobs(results: Results, many: int) -> list[Row]:
    rows = []
    for figure, words in (("task", "a task of a running manager"), ("job", "a plain job on task.Scheduler")):
        for act in ("add", "cancel"):
            few, lots = (results.median("adding", str(count), f"{figure} {act}") for count in (1_000, many))
            rows.append(ratio(f"{act} {words}, beside {many}", lots, "beside 1 000", few, "µs", 2))
    few, lots = (results.median("adding", str(count), "schedule cancel") for count in (1_000, many))
    ours = results.median("adding", str(many), "job cancel")
    rows.append(ratio(f"cancel a plain job, beside {many}", ours, "schedule", lots, "µs"))
    for count, limit in ((10_000, 0.3), (many, 1.0)):
        found = results.median("one pass", str(count), "task")
        theirs = results.median("one pass", str(count), "schedule")
        what = f"one pass of the loop with {count} idle tasks"
        other = f"{theirs:.1f} ms (schedule)"
        rows.append(absolute(what, found, "ms", f"≤ {limit:g} ms", found <= limit, other))
    return rows


def _memory(results: Results, runs: int, failing: int) -> list[Row]:
    rows = []
    plain = f"{results.median('memory', '', 'schedule'):,.0f} B (schedule)".replace(",", " ")
    for figure, words in (("task", "task, ledger included"), ("job", "plain job on task.Scheduler")):
        found = results.median("memory", "", figure)
        rows.append(absolute(f"memory of a {words}", found, "B", "under 2 048 B", found < 2048, plain))
    found = results.median("growth", str(runs), "MB")
    rows.append(absolute(f"memory growth over {runs} runs", found, "MB", "≤ 10 MB", found <= 10))
    found = results.median("failing growth", str(failing), "MB")
    what = f"memory growth over {failing} failing runs, 100 kB in the frame of each"
    rows.append(absolute(what, found, "MB", "≤ 10 MB", found <= 10))
    found = results.median("growth", str(runs), "per second")
    rows.append(absolute("runs per second, virtual time", found, "", "≥ 10 000", found >= 10_000))
    for subject in ("task serial", "task threaded"):
        found = results.median("throughput", subject, "per second")
        what = f"runs per second, triggered flat out, {subject.split()[1]}"
        rows.append(absolute(what, found, "", "≥ 10 000", found >= 10_000))
    return rows


def _one_run(results: Results) -> list[Row]:
    rows = []
    for ours in ASKED:
        found = results.median("round trip", ours, "us")
        for peer, words in ASKED_PEERS.items():
            theirs = results.median("round trip", peer, "us")
            rows.append(ratio(f"trigger().result() of a no-op, {ours.split()[1]}", found, words, theirs, "µs"))
    plain = results.median("policies", "", "plain")
    for name, words in {"timeout": "timeout=60", "retry": "retry=3", "both": "timeout=60 and retry=3"}.items():
        what = f"processor time of a no-op run with {words}, virtual time"
        rows.append(ratio(what, results.median("policies", "", name), "without", plain, "µs"))
    plain = results.median("log", "", "plain")
    for name, words in LINES.items():
        rows.append(ratio(f"a line of the log {words}", results.median("log", "", name), "plain logging", plain, "µs"))
    pairs = (
        ("process", "pool", "a no-op in a process of its own", "ProcessPoolExecutor, spawned, one task per child"),
        ("command", "subprocess.run", "a shell command that does nothing", "subprocess.run"),
    )
    for measure, peer, what, words in pairs:
        found, theirs = (results.median(measure, name, "ms") for name in ("task", peer))
        rows.append(ratio(what, found, words, theirs, "ms"))
    return rows


def _at_once(results: Results) -> list[Row]:
    rows = []
    what = "of an async body, 10 000 at once"
    for figure, words, unit in (("bytes", "memory", "B"), ("us", "processor time", "µs")):
        found = results.median("concurrent", "task", figure)
        for peer, described in {"asyncio": "plain asyncio tasks", "a thread each": "a thread each"}.items():
            theirs = results.median("concurrent", peer, figure)
            rows.append(ratio(f"{words} {what}", found, described, theirs, unit))
    threads = results.median("concurrent", "task", "threads")
    others = ", ".join(
        f"{results.median('concurrent', name, 'threads'):.0f} ({words})"
        for name, words in {"asyncio": "plain asyncio", "a thread each": "1 000 bodies, a thread each"}.items()
    )
    what = "threads for 10 000 async bodies at once, the loop's included"
    rows.append(absolute(what, threads, "", "≤ 2", threads <= 2, others))
    return rows


def _imports(times: dict[str, float], unwanted: list[str]) -> list[Row]:
    bare = times["pass"]
    ours, theirs = times["import task"], times["import schedule"]
    what = "loaded by import task: " + (", ".join(unwanted) or "no web, SQL or event-loop library")
    return [
        ratio("import task, the whole process", ours, "import schedule", theirs, "ms", 2.5),
        ratio("import task, without the interpreter's start", ours - bare, "import schedule", theirs - bare, "ms"),
        absolute(what, len(unwanted), "", "none", not unwanted),
    ]
