"""Runs and attempts as OpenTelemetry spans."""

from __future__ import annotations

import asyncio
import contextvars
import datetime
import gc
import importlib
import logging
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler

from task import TaskManager, current_run, every
from task.testing import VirtualClock

WaitFor = Callable[[Callable[[], bool]], None]

#: How long what will happen is waited for. Seconds.
LIMIT = 60.0

BODIES = ["serial", "threaded", "async"]


class Drawn:
    """The spans that have ended, in the order in which they began."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("app")

    def spans(self) -> list[ReadableSpan]:
        return sorted(
            self.exporter.get_finished_spans(), key=lambda span: (span.start_time or 0, span.name[:3] != "run")
        )

    def tree(self) -> list[str]:
        """Each span as ``parent > name``."""
        names = {span.context.span_id: span.name for span in self.spans()}
        return [f"{names.get(span.parent.span_id, '?') if span.parent else ''} > {span.name}" for span in self.spans()]

    def __getitem__(self, name: str) -> ReadableSpan:
        (found,) = [span for span in self.spans() if span.name == name]
        return found


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """A provider as an application sets it, which keeps what is drawn."""
    made = Drawn()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: made.provider)
    return made


def at(span: ReadableSpan) -> tuple[str, str]:
    """From when to when it went, on 4 May 2026."""
    start, end = (
        datetime.datetime.fromtimestamp((moment or 0) / 1e9, datetime.UTC).time().isoformat()
        for moment in (span.start_time, span.end_time)
    )
    return start, end


def events(span: ReadableSpan) -> list[tuple[str, str, dict[str, Any]]]:
    """Moment, name and attributes of each."""
    return [
        (
            datetime.datetime.fromtimestamp(event.timestamp / 1e9, datetime.UTC).time().isoformat(),
            event.name,
            dict(event.attributes or {}),
        )
        for event in span.events
    ]


def add(manager: TaskManager, kind: str, body: Callable[[], Any], **options: Any) -> Any:
    """A task of one of `BODIES`."""

    async def coroutine() -> Any:
        return body()

    return manager.add(coroutine if kind == "async" else body, name="sample", threaded=kind == "threaded", **options)


# What a span tells.


def test_a_run_is_a_span_and_its_attempt_a_child_of_that(
    manager: TaskManager, clock: VirtualClock, drawn: Drawn
) -> None:
    manager.add(lambda: clock.sleep(2), every(10).seconds, name="sample", threaded=True)
    with manager:
        clock.advance(seconds=12)
        (row,) = manager.runs("sample")

    assert drawn.tree() == [" > run sample", "run sample > attempt 1"]
    run, attempt = drawn["run sample"], drawn["attempt 1"]
    assert (at(run), at(attempt)) == (("12:00:10", "12:00:12"), ("12:00:10", "12:00:12"))
    assert dict(run.attributes or {}) == {
        "task.name": "sample",
        "task.run.id": row.id,
        "task.run.trigger": "schedule",
        "task.run.slot": "2026-05-04T12:00:10+00:00",
        "task.run.lateness": 0.0,
        "task.run.state": "succeeded",
        "task.run.attempt": 1,
    }
    assert dict(attempt.attributes or {}) == {"task.name": "sample", "task.run.id": row.id, "task.run.attempt": 1}
    assert events(run) == [("12:00:10", "started", {})]
    assert (run.kind, attempt.kind) == (trace.SpanKind.INTERNAL, trace.SpanKind.INTERNAL)
    assert (run.status.status_code, attempt.status.status_code) == (trace.StatusCode.UNSET, trace.StatusCode.UNSET)
    assert run.instrumentation_scope is not None
    assert run.instrumentation_scope.name == "task"


def test_the_wait_for_a_place_is_in_the_span_of_the_run(
    manager: TaskManager, clock: VirtualClock, drawn: Drawn
) -> None:
    async def body() -> None:
        await asyncio.sleep(5)

    sample = manager.add(body, name="sample", overlap="queue")
    with manager:
        sample.trigger()
        clock.advance(seconds=1)
        sample.trigger()
        clock.advance(seconds=20)

    _, second = [span for span in drawn.spans() if span.name == "run sample"]
    assert at(second) == ("12:00:01", "12:00:10")
    assert events(second) == [("12:00:05", "started", {})]


def test_several_attempts_are_one_run_and_the_waits_between_them_events(
    manager: TaskManager, clock: VirtualClock, drawn: Drawn
) -> None:
    def body() -> None:
        if current_run().attempt < 3:
            raise ConnectionError("no route")

    sample = manager.add(body, name="sample", retry=3)
    with manager:
        sample.trigger()
        clock.advance(seconds=10)

    assert drawn.tree() == [
        " > run sample",
        "run sample > attempt 1",
        "run sample > attempt 2",
        "run sample > attempt 3",
    ]
    run = drawn["run sample"]
    assert at(run) == ("12:00:00", "12:00:03")
    assert events(run) == [
        ("12:00:00", "started", {}),
        ("12:00:00", "retrying", {"task.run.attempt": 1, "task.run.wait": 1.0}),
        ("12:00:01", "retrying", {"task.run.attempt": 2, "task.run.wait": 2.0}),
    ]
    assert (run.status.status_code, (run.attributes or {})["task.run.attempt"]) == (trace.StatusCode.UNSET, 3)
    assert [drawn[f"attempt {number}"].status.status_code.name for number in (1, 2, 3)] == ["ERROR", "ERROR", "UNSET"]
    assert drawn["attempt 2"].status.description == "ConnectionError: no route"


def test_a_failure_is_an_error_with_its_exception_in_the_attempt(manager: TaskManager, drawn: Drawn) -> None:
    def body() -> None:
        raise ValueError("wrong: all of it")

    sample = manager.add(body, name="sample")
    with manager:
        run = sample.trigger()

    for name in ("run sample", "attempt 1"):
        span = drawn[name]
        assert (span.status.status_code, span.status.description) == (
            trace.StatusCode.ERROR,
            "ValueError: wrong: all of it",
        )
        assert (span.attributes or {})["error.type"] == "ValueError"
    assert (drawn["run sample"].attributes or {})["task.run.state"] == "failed"
    assert events(drawn["attempt 1"]) == [
        (
            "12:00:00",
            "exception",
            {
                "exception.type": "ValueError",
                "exception.message": "wrong: all of it",
                "exception.stacktrace": run.traceback,
            },
        )
    ]


def test_secrets_are_masked_in_all_that_is_drawn(manager: TaskManager, drawn: Drawn) -> None:
    def body(password: str) -> None:
        raise PermissionError(f"{password} was refused")

    sample = manager.add(body, name="sample", redact=["password"])
    with manager:
        sample.trigger(password="hunter22")

    assert "was refused" in (drawn["run sample"].status.description or "")
    assert "was refused" in str(events(drawn["attempt 1"]))
    assert [span.name for span in drawn.spans() if "hunter22" in span.to_json()] == []


def test_a_run_past_its_limit_is_an_error(manager: TaskManager, clock: VirtualClock, drawn: Drawn) -> None:
    async def body() -> None:
        await asyncio.sleep(60)

    sample = manager.add(body, name="sample", timeout=5)
    with manager:
        sample.trigger()
        clock.advance(seconds=10)

    said = "RunTimedOut: Task 'sample' took longer than its timeout of 5 seconds."
    assert [(span.status.description, at(span)[1]) for span in drawn.spans()] == [(said, "12:00:05")] * 2
    assert (drawn["run sample"].attributes or {})["task.run.state"] == "timed_out"


def test_a_body_that_goes_on_past_its_limit_is_drawn_to_its_limit(drawn: Drawn, wait_for: WaitFor) -> None:
    manager, gate, children = TaskManager([]), threading.Event(), list[trace.Span]()

    def body() -> None:
        gate.wait(LIMIT)
        children.append(trace.get_current_span())

    sample = manager.add(body, name="sample", threaded=True, timeout=0.05)
    with manager:
        run = sample.trigger()
        assert run.wait(LIMIT)
        wait_for(lambda: len(drawn.spans()) == 2)
        assert drawn.tree() == [" > run sample", "run sample > attempt 1"]
        gate.set()
        wait_for(lambda: not sample.is_running)

    assert len(drawn.spans()) == 2
    assert children[0].get_span_context() == drawn["attempt 1"].get_span_context()


def test_a_cancelled_run_is_no_error(manager: TaskManager, clock: VirtualClock, drawn: Drawn) -> None:
    async def body() -> None:
        await asyncio.sleep(60)

    sample = manager.add(body, name="sample")
    with manager:
        run = sample.trigger()
        clock.advance(seconds=5)
        run.cancel("by hand")
        clock.advance(seconds=1)

    assert (drawn["run sample"].attributes or {})["task.run.state"] == "cancelled"
    assert [span.status.status_code.name for span in drawn.spans()] == ["UNSET", "UNSET"]
    assert events(drawn["attempt 1"]) == []


def test_a_run_cancelled_between_two_attempts_ends_then(
    manager: TaskManager, clock: VirtualClock, drawn: Drawn
) -> None:
    sample = manager.add(lambda: 1 / 0, name="sample", retry=3)
    with manager:
        run = sample.trigger()
        clock.advance(seconds=2)
        run.cancel()

    assert [at(drawn[name]) for name in ("run sample", "attempt 1", "attempt 2")] == [
        ("12:00:00", "12:00:02"),
        ("12:00:00", "12:00:00"),
        ("12:00:01", "12:00:01"),
    ]
    assert drawn["run sample"].status.status_code is trace.StatusCode.UNSET


def test_a_lost_run_is_an_error_with_its_reason(drawn: Drawn) -> None:
    manager, gate, begun = TaskManager([]), threading.Event(), threading.Event()
    sample = manager.add(lambda: (begun.set(), gate.wait(LIMIT)), name="sample", threaded=True)
    manager.run()
    sample.trigger()
    assert begun.wait(LIMIT)
    manager.stop(timeout=0.05)
    gate.set()

    said = "still running 0.05 seconds after the manager was told to stop"
    assert [(span.name, span.status.description) for span in drawn.spans()] == [
        ("run sample", said),
        ("attempt 1", said),
    ]
    assert (drawn["run sample"].attributes or {})["task.run.state"] == "lost"


def test_what_never_starts_has_no_span(manager: TaskManager, clock: VirtualClock, drawn: Drawn) -> None:
    async def body() -> None:
        await asyncio.sleep(5)

    refused = manager.add(body, name="refused", disabled=True)
    manager.add(body, every().minute, name="missed", misfire="skip", misfire_grace=1)
    sample = manager.add(body, name="sample", overlap="queue")
    with manager, drawn.tracer.start_as_current_span("caller"):
        sample.trigger()
        cancelled, skipped = sample.trigger(), sample.trigger()
        cancelled.cancel()
        refused.trigger()
        clock.advance(seconds=11)
        clock.suspend(seconds=59)
        clock.advance(seconds=1)
        ended = [(run.task, str(run.state), run.trace) for run in manager.runs() if not run.attempt]

    assert skipped.reason == "one run waits already"
    assert set(ended) == {
        ("sample", "cancelled", None),
        ("sample", "skipped", None),
        ("refused", "skipped", None),
        ("missed", "missed", None),
    }
    assert sorted(drawn.tree()) == [" > caller", "caller > run sample", "run sample > attempt 1"]


# Whose child it is.


def test_a_slot_begins_a_trace_of_its_own(manager: TaskManager, clock: VirtualClock, drawn: Drawn) -> None:
    manager.add(lambda: None, every(10).seconds, name="sample")
    with manager, drawn.tracer.start_as_current_span("caller"):
        clock.advance(seconds=21)

    runs = [span for span in drawn.spans() if span.name == "run sample"]
    assert [span.parent for span in runs] == [None, None]
    assert len({span.context.trace_id for span in drawn.spans()}) == 3


@pytest.mark.parametrize("kind", BODIES)
def test_who_triggers_is_the_parent_across_threads(kind: str, drawn: Drawn, wait_for: WaitFor) -> None:
    manager = TaskManager([])
    threads: list[str] = []
    sample = add(manager, kind, lambda: threads.append(threading.current_thread().name))
    with manager, drawn.tracer.start_as_current_span("caller"):
        assert sample.trigger().wait(LIMIT)

    wait_for(lambda: len(drawn.spans()) == 3)  # they end just after the run has its final state
    assert threads != [threading.current_thread().name]
    assert sorted(drawn.tree()) == [" > caller", "caller > run sample", "run sample > attempt 1"]


@pytest.mark.parametrize("kind", BODIES)
def test_what_a_body_draws_is_a_child_of_its_attempt(kind: str, drawn: Drawn, wait_for: WaitFor) -> None:
    manager = TaskManager([])

    def body() -> None:
        with drawn.tracer.start_as_current_span("query"):
            pass

    sample = add(manager, kind, body)
    with manager:
        assert sample.trigger().wait(LIMIT)

    wait_for(lambda: len(drawn.spans()) == 3)
    assert sorted(drawn.tree()) == [" > run sample", "attempt 1 > query", "run sample > attempt 1"]


def test_a_callback_belongs_to_the_attempt(manager: TaskManager, drawn: Drawn) -> None:
    seen: list[trace.Span] = []
    sample = manager.add(lambda: None, name="sample", on_success=lambda: seen.append(trace.get_current_span()))
    with manager:
        sample.trigger()

    assert [span.get_span_context() for span in seen] == [drawn["attempt 1"].get_span_context()]


def test_a_direct_call_is_drawn_inside_its_caller(manager: TaskManager, drawn: Drawn) -> None:
    def body() -> None:
        drawn.tracer.start_span("query").end()

    sample = manager.add(body, name="sample")
    with manager, drawn.tracer.start_as_current_span("caller") as caller:
        sample()
        assert trace.get_current_span() is caller

    assert sorted(drawn.tree()) == [
        " > caller",
        "attempt 1 > query",
        "caller > run sample",
        "run sample > attempt 1",
    ]
    assert (drawn["run sample"].attributes or {})["task.run.trigger"] == "call"


def test_a_direct_call_that_raises_leaves_its_callers_span_current(manager: TaskManager, drawn: Drawn) -> None:
    async def body() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    sample = manager.add(body, name="sample")

    async def caller() -> None:
        with drawn.tracer.start_as_current_span("caller") as span:
            with pytest.raises(ValueError, match="no"):
                await sample()
            assert trace.get_current_span() is span

    with manager:
        asyncio.run(caller())

    assert sorted(drawn.tree()) == [" > caller", "caller > run sample", "run sample > attempt 1"]


def test_a_run_triggered_inside_a_run_is_a_child_of_that_attempt(manager: TaskManager, drawn: Drawn) -> None:
    inner = manager.add(lambda: None, name="inner", threaded=True)
    outer = manager.add(lambda: inner.trigger(), name="outer")
    with manager:
        outer.trigger()

    assert sorted(drawn.tree()) == [
        " > run outer",
        "attempt 1 > run inner",
        "run inner > attempt 1",
        "run outer > attempt 1",
    ]


def test_a_chained_run_is_a_child_of_the_run_before_it(manager: TaskManager, clock: VirtualClock, drawn: Drawn) -> None:
    manager.add(lambda: None, every(10).seconds, name="extract")
    manager.add(lambda: 1 / 0, name="load", after="extract")
    manager.add(lambda: None, name="report", after="load", when="failed")
    with manager:
        clock.advance(seconds=11)

    assert sorted(name for name in drawn.tree() if "attempt" not in name) == [
        " > run extract",
        "run extract > run load",
        "run load > run report",
    ]


def test_coroutines_beside_each_other_keep_their_own_spans(
    manager: TaskManager, clock: VirtualClock, drawn: Drawn
) -> None:
    kept: list[bool] = []

    async def body(number: int) -> None:
        before = trace.get_current_span()
        await asyncio.sleep(number % 3)
        kept.append(trace.get_current_span() is before)

    sample = manager.add(body, name="sample", overlap="allow")
    with manager:
        for number in range(20):
            sample.trigger(number=number)
        clock.advance(seconds=5)

    assert kept == [True] * 20
    assert len({span.context.trace_id for span in drawn.spans()}) == 20


def test_a_body_in_a_pool_of_the_callers_has_the_span_too(drawn: Drawn, wait_for: WaitFor) -> None:
    with ThreadPoolExecutor(1) as pool:
        manager = TaskManager([], executors={"mine": pool})
        sample = manager.add(lambda: drawn.tracer.start_span("query").end(), name="sample", executor="mine")
        with manager:
            sample.trigger().result(LIMIT)

    wait_for(lambda: len(drawn.spans()) == 3)
    assert sorted(drawn.tree()) == [" > run sample", "attempt 1 > query", "run sample > attempt 1"]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Any]]:
    """A body that a process can import: it returns the span that is current there."""
    name = f"bodies_for_tracing_{os.getpid()}"
    (tmp_path / f"{name}.py").write_text(
        "from opentelemetry import trace\n"
        "def body():\n"
        "    context = trace.get_current_span().get_span_context()\n"
        "    return context.trace_id, context.span_id, context.is_remote\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    yield importlib.import_module(name).body
    del sys.modules[name]


def test_a_body_in_another_process_goes_on_with_the_trace(
    drawn: Drawn, elsewhere: Callable[[], Any], wait_for: WaitFor
) -> None:
    manager = TaskManager([])
    sample = manager.add(elsewhere, name="sample", executor="process")
    with manager:
        there = sample.trigger().result(LIMIT)

    wait_for(lambda: len(drawn.spans()) == 2)
    attempt = drawn["attempt 1"].context
    assert there == (attempt.trace_id, attempt.span_id, True)


# What it harms: nothing.


class BrokenTracer(trace.Tracer):
    def start_span(self, *args: Any, **options: Any) -> Any:
        raise RuntimeError("broken tracer")

    def start_as_current_span(self, *args: Any, **options: Any) -> Any:
        raise AssertionError("never called")


class BrokenProvider(trace.TracerProvider):
    def get_tracer(self, *args: Any, **options: Any) -> trace.Tracer:
        return BrokenTracer()


class UnusableProvider(trace.TracerProvider):
    def get_tracer(self, *args: Any, **options: Any) -> trace.Tracer:
        raise RuntimeError("broken provider")


class BrokenSampler(Sampler):
    def should_sample(self, *args: Any, **options: Any) -> Any:
        raise RuntimeError("broken sampler")

    def get_description(self) -> str:
        return "broken"


class BrokenStart(SpanProcessor):
    def on_start(self, *args: Any, **options: Any) -> None:
        raise RuntimeError("broken processor")


class BrokenEnd(SpanProcessor):
    def on_end(self, *args: Any, **options: Any) -> None:
        raise RuntimeError("broken processor")


def processed_by(processor: SpanProcessor) -> trace.TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


BROKEN: dict[str, Callable[[], trace.TracerProvider]] = {
    "provider": UnusableProvider,
    "tracer": BrokenProvider,
    "sampler": lambda: TracerProvider(sampler=BrokenSampler(), shutdown_on_exit=False),
    "start": lambda: processed_by(BrokenStart()),
    "end": lambda: processed_by(BrokenEnd()),
}


@pytest.mark.parametrize("part", BROKEN)
def test_a_broken_tracer_harms_no_run_and_is_logged_once(
    part: str,
    manager: TaskManager,
    clock: VirtualClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider = BROKEN[part]()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)

    async def coroutine() -> str:
        return "async"

    def retried() -> int:
        run = current_run()
        return 1 // (run.attempt - 1)

    first = manager.add(retried, name="first", retry=3)
    second = manager.add(coroutine, name="second")
    third = manager.add(lambda: "chained", name="third", after="first")
    with manager, caplog.at_level(logging.WARNING):
        run, other = first.trigger(), second.trigger()
        clock.advance(seconds=5)
        assert (run.result(), run.attempt, other.result()) == (1, 2, "async")
        assert [row.result_text for row in manager.runs(third.name)] == ['"chained"']
        assert third() == "chained"
        assert [row.trace for row in manager.runs()] == [None] * 4
    said = [record.message for record in caplog.records if "could not be traced" in record.message]
    refused = [record.message for record in caplog.records if "cannot be used" in record.message]
    assert (len(said), len(refused)) == ((0, 1) if part == "provider" else (1, 0))


def test_a_sampler_that_wants_nothing_gets_nothing(manager: TaskManager, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)

    sample = manager.add(lambda: trace.get_current_span().get_span_context().trace_flags.sampled, name="sample")
    with manager:
        assert sample.trigger().result() is False
    assert exporter.get_finished_spans() == ()


@pytest.mark.parametrize("provider", [trace.NoOpTracerProvider(), trace.ProxyTracerProvider()])
def test_a_provider_that_draws_nothing_costs_a_look_at_none(
    provider: trace.TracerProvider, manager: TaskManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)

    seen: list[Any] = []
    sample = manager.add(lambda: seen.append(current_run().trace), name="sample")
    with manager:
        sample.trigger()
        sample()
    assert seen == [None, None]
    assert manager._pipeline.tracing is None


def test_the_sdk_is_switched_off_by_its_own_variable(manager: TaskManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    provider = TracerProvider(shutdown_on_exit=False)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)

    with manager:
        assert manager._pipeline.tracing is None


def test_run_again_finds_a_provider_that_was_set_late(manager: TaskManager, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Drawn()
    sample = manager.add(lambda: None, name="sample")
    with manager:
        sample.trigger()
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: made.provider)
        manager.run()
        sample.trigger()

    assert made.tree() == [" > run sample", "run sample > attempt 1"]


def test_nothing_is_loaded_before_a_manager_runs_nor_needed_then() -> None:
    program = """
import sys
import task

assert not [name for name in sys.modules if name.startswith("opentelemetry")]

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("opentelemetry"):
            raise ModuleNotFoundError(name)

import importlib.util
there = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name.startswith("opentelemetry") else there(name)
sys.meta_path.insert(0, Absent())
manager = task.TaskManager([])
sample = manager.add(lambda: "ran", name="sample")
with manager:
    print(sample.trigger().result(60))
assert "task.tracing" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)

    assert (done.stdout, done.stderr) == ("ran\n", "")


@pytest.mark.parametrize("kind", BODIES)
def test_nothing_is_kept_of_the_spans_of_a_run_that_has_ended(kind: str, wait_for: WaitFor, drawn: Drawn) -> None:
    manager = TaskManager([])
    spans: list[weakref.ref[trace.Span]] = []
    sample = add(manager, kind, lambda: spans.append(weakref.ref(trace.get_current_span())))
    collecting = gc.isenabled()
    gc.disable()
    try:
        with manager:
            run = sample.trigger()
            assert run.wait(LIMIT)
            wait_for(lambda: run.trace is None and [span() for span in spans] == [None])
    finally:
        if collecting:
            gc.enable()


def test_a_context_of_the_callers_does_not_reach_into_the_body(manager: TaskManager, drawn: Drawn) -> None:
    request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")
    sample = manager.add(lambda: request.get(), name="sample")
    token = request.set("a web request")
    with manager, drawn.tracer.start_as_current_span("caller"):
        assert sample.trigger().result() == "none"
    request.reset(token)
