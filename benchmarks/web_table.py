"""Which measurements of the web side are taken, and which rows come of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator

from benchmarks.runner import Measurement, Results
from benchmarks.table import Row, absolute, ratio

__all__ = ["measure_web"]

#: What is asked for, by the name of its figures.
ALONE = {"list": "task list", "api": "API list"}
BESIDE = {"list beside": "task list", "api beside": "API list", "health beside": "health"}


def measure_web(quick: bool, say: Callable[[str], None]) -> list[Row]:
    """Take them; *quick* on fewer runs, and for a shorter time."""
    results = Results()
    count, long = ("100000", 8) if quick else ("1000000", 20)
    say("the web: pages and API")
    results.take([Measurement("web served", count, long)])
    if importlib.util.find_spec("flask_apscheduler") is None:
        say("the web without its peer: Flask-APScheduler is not installed")
        peer = False
    else:
        peer = True
        results.take([Measurement("web peer", "Flask-APScheduler", long)])
    say("the web: the context of an application")
    results.take([Measurement("web context", name, 1 if quick else 3) for name in ("within", "without")], 3)
    return list(_rows(results, count, peer))


def _rows(results: Results, count: str, peer: bool) -> Iterator[Row]:
    def of(figure: str) -> float:
        return results.median("web served", count, figure)

    for name, what in ALONE.items():
        yield _wait(of, name, f"{what}, 50 requests a second")
        beside = ""
        if peer:
            theirs = results.median("web peer", "Flask-APScheduler", "jobs spent")
            yield ratio(
                f"{what}: processor time of a request", of(f"{name} spent"), "Flask-APScheduler, its jobs", theirs, "ms"
            )
        else:
            yield Row(
                f"{what}: processor time of a request", f"{of(f'{name} spent'):.1f} ms", beside, "", "no goal", ""
            )
    for name, what in BESIDE.items():
        rate = 10 if name.startswith("health") else 25
        yield _wait(of, name, f"{what}, {rate} requests a second beside 64 open streams")
    failures = sum(of(f"{name} failures") for name in (*ALONE, *BESIDE, "watched", "live"))
    yield absolute("requests that had no answer", failures, "", "0", failures == 0)
    alone = of("unwatched spent")
    for name, what in (("watched", "64 open streams"), ("live", "64 pages open in browsers, all live")):
        spent = f"{of(f'{name} spent'):.0f} %"
        beside = f"{alone:.0f} % (nobody looks)"
        yield Row(f"{what}: processor time of both workers together", spent, beside, "", "no goal", "")
    p50, p95, p99 = (f"{of(f'live p{percent}'):.1f} ms" for percent in (50, 95, 99))
    yield Row("health beside these: p95", p95, f"{p50} (p50), {p99} (p99)", "", "no goal", "")
    within, without = (results.median("web context", name, "per second") for name in ("within", "without"))
    yield ratio("runs per second, in the context of an application", within, "without", without, "")


def _wait(of: Callable[[str], float], name: str, what: str) -> Row:
    p50, p95, p99 = (of(f"{name} p{percent}") for percent in (50, 95, 99))
    return absolute(f"{what}: p95", p95, "ms", "under 100 ms", p95 < 100, f"{p50:.1f} ms (p50), {p99:.1f} ms (p99)")
