"""The code that runs on the other side, whatever took the call there."""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import os
import pickle
import platform
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from task.errors import TransferError
from task.remote.encoding import Dumps, encode_error, encode_result, load, one_line
from task.remote.messages import Send, StandIn
from task.runs import Run, capture_logs, set_current_run

__all__ = ["call_body", "run_call"]


def run_call(
    call: bytes, send: Send, *, begun: Callable[[StandIn], None] | None = None, dumps: Dumps = pickle.dumps
) -> bytes:
    """Run the body of an encoded call to its end; the encoded outcome. Raises nothing.

    *begun* is told the stand-in before the body starts, so that it can be asked to stop.
    """
    facts, body, parameters = pickle.loads(call)
    run = StandIn(facts, send)
    try:
        func, args, kwargs = _read(run, body, parameters)
        capture_logs()
        run.tell_place()
        if begun is not None:
            begun(run)
        result = contextvars.copy_context().run(_as_current, run, facts.get("trace"), func, args, kwargs)
    except BaseException as error:  # whatever the body raises is its outcome, SystemExit included
        return encode_error(run.task, error, dumps, _where())
    return encode_result(run.task, result, dumps)


def _read(run: StandIn, body: bytes, parameters: bytes) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    try:
        func = load(body, run)
        args, kwargs, run.parameters = load(parameters, run)
    except Exception as error:
        raise TransferError(
            f"Task {run.task!r}: its body or a parameter cannot be read in the other process ({one_line(error)}). "
            "Its module must be importable there."
        ) from error
    return func, args, kwargs


def _as_current(
    run: Run,
    carrier: Mapping[str, str] | None,
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    set_current_run(run)
    if carrier:
        with contextlib.suppress(Exception):  # OpenTelemetry is not installed here, or broken
            from task.tracing import continue_trace

            continue_trace(carrier)
    return call_body(run, func, args, kwargs)


def call_body(run: Run | None, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a plain body, or run a coroutine body on an event loop of its own, which a stop cancels."""
    result = func(*args, **kwargs)
    if not inspect.iscoroutine(result):
        return result
    import asyncio  # a process without async bodies never loads it

    return asyncio.run(_drive(run, result))


async def _drive(run: Run | None, coroutine: Coroutine[Any, Any, Any]) -> Any:
    import asyncio

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if run is None or task is None:
        return await coroutine

    def stop() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has just been closed
            loop.call_soon_threadsafe(task.cancel)

    before, run.stopper = run.stopper, stop
    try:
        if run.is_cancelled():  # it was asked before there was anything to cancel
            task.cancel()
        return await coroutine
    finally:
        run.stopper = before


def _where() -> str:
    return f" of process {os.getpid()} on {platform.node()}"
