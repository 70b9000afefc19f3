"""What is called when a run has ended: ``on_success``, ``on_failed``, ``on_complete``. One that raises harms nobody."""

from __future__ import annotations

import contextvars
import inspect
from collections.abc import Callable, Sequence

from task.log import logger
from task.pipeline.binding import Binding
from task.pipeline.outcome import describe
from task.pipeline.surroundings import entered
from task.runs import Run, set_current_run
from task.spec import accepts_run

__all__ = ["Callback", "call_back", "call_back_async", "call_back_elsewhere"]

Callback = Callable[..., object]


def call_back(binding: Binding, run: Run, callback: Callback) -> object:
    """Call it here, with the run if it accepts an argument."""
    try:
        with entered(binding.pipeline.surroundings):
            return _call(callback, run)
    except BaseException as error:
        _failed(binding, run, callback, error)
    return None


async def call_back_async(binding: Binding, run: Run, callback: Callback) -> None:
    """The same on an event loop, where what it returns may be awaited."""
    try:
        with entered(binding.pipeline.surroundings):
            answer = _call(callback, run)
            if inspect.isawaitable(answer):
                await answer
    except BaseException as error:
        _failed(binding, run, callback, error)


def _call(callback: Callback, run: Run) -> object:
    return callback(run) if accepts_run(callback) else callback()


def call_back_elsewhere(binding: Binding, run: Run, callbacks: Sequence[Callback]) -> None:
    """On the executor of the task: the run was ended from elsewhere. On an event loop that takes no place."""
    executors, executor = binding.pipeline.executors, binding.executor
    if binding.on_loop and executors is not None:
        executor = executors.event_loop  # what waits at a gate when the manager stops never comes
    if executor is None:
        return

    async def on_loop(_: Run) -> None:
        set_current_run(run)
        for callback in callbacks:
            await call_back_async(binding, run, callback)

    def on_thread(_: Run) -> None:
        set_current_run(run)
        for callback in callbacks:
            call_back(binding, run, callback)

    fresh = contextvars.Context()
    executor.submit(on_loop if binding.on_loop else lambda run: fresh.run(on_thread, run), run)


def _failed(binding: Binding, run: Run, callback: object, error: BaseException) -> None:
    line, text = describe(error, run.mask)
    name = getattr(callback, "__name__", repr(callback))
    logger.error("The callback %s of task %r raised %s; nothing else is affected\n%s", name, binding.name, line, text)
