"""Runs and their attempts as OpenTelemetry spans.

Loaded by `TaskManager.run`, and only where ``opentelemetry-api`` is installed. A run is one span, from when it was
queued to its end; each of its attempts is a child of that, and the current span of the body::

    run NAME ──────────────────────────────────────────────▶
      │ started            │ retrying
      ├ attempt 1 ────────▶├ attempt 2 ───────────────────▶

The spans are of kind INTERNAL. CONSUMER, says the semantic convention for messaging, is for what a broker has
delivered: its parent is remote, and tools draw a queue with a name between the two. Here whoever asks for a run and
whoever executes it are one program.

Nothing that a tracer, a sampler, a processor or a propagator raises gets any further than this file. Texts of errors
go through the run's mask; the exceptions themselves, which hold what is not masked, are given to nobody.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from opentelemetry import context, trace

from task.log import logger

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

    from task.runs import Run

__all__ = ["RunTrace", "Tracing", "continue_trace"]

_ERRORS = ("failed", "timed_out", "lost")


class Tracing:
    """What the runs of one manager are drawn with."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self.tracer = tracer
        self._failed = False

    @classmethod
    def find(cls) -> Tracing | None:
        """With the global tracer provider; None when none is set, or one that draws nothing."""
        tracer = trace.get_tracer("task")
        return None if isinstance(tracer, (trace.NoOpTracer, trace.ProxyTracer)) else cls(tracer)

    def expect(self, run: Run) -> None:
        """The span that is current here, if there is one, is the parent of the run's."""
        try:
            caller = trace.get_current_span().get_span_context()
            if caller.is_valid:
                run.trace = RunTrace(self, trace.NonRecordingSpan(caller))
        except Exception:
            self.failed()

    def begin(self, run: Run) -> None:
        """An attempt of the run starts."""
        drawn = run.trace
        if drawn is None:
            drawn = run.trace = RunTrace(self)
        drawn.begin(run)

    def failed(self) -> None:
        """Something here has raised: log the first of its kind, there may be one for each run."""
        if not self._failed:
            self._failed = True
            logger.exception("A run could not be traced; it goes on. This is logged once for each start of the manager")


class RunTrace:
    """The spans of one run, as long as it is under way: `end` lets go of them."""

    __slots__ = ("_attempt", "_parent", "_run", "_tracing")

    def __init__(self, tracing: Tracing, parent: trace.Span | None = None) -> None:
        self._tracing = tracing
        self._parent = parent
        self._run: trace.Span | None = None
        self._attempt: trace.Span | None = None

    def begin(self, run: Run) -> None:
        """Begin the span of an attempt, and before the first that of the run."""
        facts: dict[str, AttributeValue] = {"task.name": run.task, "task.run.id": run.id}
        try:
            start_span = self._tracing.tracer.start_span
            if self._run is None:
                self._run = start_span(
                    f"run {run.task}",
                    context=_below(self._parent),
                    attributes=facts | _origin(run),
                    start_time=_nanoseconds(run.queued_at),
                )
                self._run.add_event("started", timestamp=_nanoseconds(run.started_at))
            self._attempt = start_span(
                f"attempt {run.attempt}",
                context=_below(self._run),
                attributes=facts | {"task.run.attempt": run.attempt},
                start_time=_nanoseconds(run.attempt_started_at),
            )
        except Exception:
            self._tracing.failed()

    def enter(self) -> Callable[[], None] | None:
        """Make the span of the attempt the current one here; what is returned ends that."""
        if self._attempt is None:
            return None
        try:
            return functools.partial(context.detach, context.attach(trace.set_span_in_context(self._attempt)))
        except Exception:
            self._tracing.failed()
            return None

    def follow(self, child: Run) -> None:
        """The span of the run, or what that would have come from, is the parent of a run chained to it."""
        try:
            parent = self._run or self._parent
            if parent is not None:
                child.trace = RunTrace(self._tracing, trace.NonRecordingSpan(parent.get_span_context()))
        except Exception:
            self._tracing.failed()

    def retrying(self, run: Run, seconds: float, now: datetime.datetime) -> None:
        """The attempt has failed, and another follows."""
        self._end_attempt(run, run.error, now)
        try:
            if self._run is not None:
                facts = {"task.run.attempt": run.attempt, "task.run.wait": seconds}
                self._run.add_event("retrying", facts, _nanoseconds(now))
        except Exception:
            self._tracing.failed()

    def end(self, run: Run) -> None:
        """The run has its final state: end its spans, and forget them."""
        run.trace = None
        error = None
        if run.state in _ERRORS:
            error = run.mask(run.reason) if run.state == "lost" and run.reason else run.error or str(run.state)
        self._end_attempt(run, error, run.finished_at)
        span, self._run = self._run, None
        if span is not None:
            facts: dict[str, AttributeValue] = {"task.run.state": str(run.state), "task.run.attempt": run.attempt}
            self._end(span, run, error, run.finished_at, facts)

    def _end_attempt(self, run: Run, error: str | None, moment: datetime.datetime | None) -> None:
        span, self._attempt = self._attempt, None
        if span is None:
            return
        try:
            if error is not None and run.traceback is not None:  # there was an exception
                facts = {
                    "exception.type": _kind(run),
                    "exception.message": (run.error or "").partition(": ")[2],
                    "exception.stacktrace": run.traceback,
                }
                span.add_event("exception", facts, _nanoseconds(moment))
        except Exception:
            self._tracing.failed()
        self._end(span, run, error, moment, {})

    def _end(
        self,
        span: trace.Span,
        run: Run,
        error: str | None,
        moment: datetime.datetime | None,
        facts: dict[str, AttributeValue],
    ) -> None:
        try:
            if error is not None:
                facts["error.type"] = _kind(run)
                span.set_status(trace.Status(trace.StatusCode.ERROR, error))
            span.set_attributes(facts)
            span.end(_nanoseconds(moment))
        except Exception:
            self._tracing.failed()

    def carrier(self) -> dict[str, str]:
        """The context of the body as text, for another process: ``traceparent`` and what else is configured."""
        carried: dict[str, str] = {}
        try:
            from opentelemetry import propagate  # it looks for all propagators that are installed

            propagate.inject(carried)
        except Exception:
            self._tracing.failed()
        return carried


def continue_trace(carrier: Mapping[str, str]) -> None:
    """In the other process: what is drawn in the present context belongs to the attempt."""
    try:
        from opentelemetry import propagate

        context.attach(propagate.extract(carrier))
    except Exception:
        logger.exception("The spans of a body in another process lose their parent; the body is not affected")


def _below(parent: trace.Span | None) -> context.Context:
    """A context with *parent* and nothing else; without one, a new trace begins in it."""
    empty = context.Context()
    return empty if parent is None else trace.set_span_in_context(parent, empty)


def _origin(run: Run) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {"task.run.trigger": run.trigger}
    if run.slot is not None:
        found["task.run.slot"] = run.slot.isoformat()
    if run.lateness is not None:
        found["task.run.lateness"] = run.lateness
    return found


def _kind(run: Run) -> str:
    """The class of the exception, or where there was none, the state."""
    return str(run.state) if run.traceback is None else (run.error or "").partition(": ")[0]


def _nanoseconds(moment: datetime.datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1_000_000) * 1_000
