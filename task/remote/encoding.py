"""What travels from process to process: the body and its parameters there, the outcome back, all of it as bytes."""

from __future__ import annotations

import functools
import importlib
import io
import os
import pickle
import platform
import sys
import traceback
import types
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from task.errors import TransferError
from task.runs import Run
from task.schedules import shorten

__all__ = [
    "BodyReference",
    "Dumps",
    "decode_outcome",
    "encode_call",
    "encode_error",
    "encode_result",
    "load",
    "one_line",
]

#: How much of a traceback from the other side is kept. Characters, from its end.
TRACEBACK_LIMIT = 8_000
#: How much of a text that is put into a message of ours. Characters.
TEXT_LIMIT = 300

Dumps = Callable[[Any], bytes]

_OURS = os.path.dirname(__file__)


class BodyReference:
    """A task's body, and how another process finds it.

    A function is found there by its module and name; a task of that name is unwrapped. What is not a function (a
    `functools.partial`, a bound method, an instance with ``__call__``) is pickled, with what it holds.
    """

    def __init__(self, name: str, func: Callable[..., Any]) -> None:
        #: The name of the task.
        self.name = name
        #: The plain body.
        self.func = func

    @classmethod
    def of(cls, name: str, func: Callable[..., Any]) -> BodyReference:
        """The body *func* of the task *name*.

        >>> BodyReference.of("tick", lambda: None).check_travels()
        Traceback (most recent call last):
        task.errors.TransferError: Task 'tick': its body is a lambda, which another process cannot find. Define it \
with def at the top of a module.
        """
        return cls(name, func)

    def check_travels(self) -> None:
        """Raise `TransferError` if another process could not find the body: for a lambda, or a local function.

        A decorated function does not carry its name in the module yet, so a name that leads to something else is
        found when the first run starts.
        """
        if isinstance(self.func, types.FunctionType):
            if "<" in self.func.__qualname__:  # <lambda> or <locals>
                kind = "a lambda" if self.func.__name__ == "<lambda>" else "defined inside another function"
                raise TransferError(
                    f"Task {self.name!r}: its body is {kind}, which another process cannot find. Define it with def at "
                    "the top of a module."
                )
            return
        self.encode(None)

    def encode(self, run: Run | None, by_value: bool = False) -> bytes:
        """The body as bytes. Raises `TransferError`."""
        try:
            return _dumps(self.func, run, by_value)
        except Exception as error:
            raise TransferError(
                f"Task {self.name!r}: its body {shorten(self.func)} cannot be sent to another process: "
                f"{one_line(error)}. Define it with def at the top of a module, under its own name, and let it hold "
                "only values that can be pickled."
            ) from error


def encode_call(
    reference: BodyReference, run: Run | None, args: tuple[Any, ...], kwargs: Mapping[str, Any], by_value: bool = False
) -> bytes:
    """A call of the body, with the facts of its run. Raises `TransferError`, which names the parameter at fault.

    *by_value*: pickled as Dask does it, lambdas and the main module's functions included.
    """
    declared = None if run is None else run.parameters
    try:
        parameters = _dumps((args, dict(kwargs), dict(kwargs if declared is None else declared)), run, by_value)
    except Exception as error:
        _refuse(reference.name, run, {**dict(enumerate(args)), **(declared or {}), **kwargs}, error, by_value)
    return pickle.dumps((_facts(reference.name, run), reference.encode(run, by_value), parameters))


def _facts(name: str, run: Run | None) -> dict[str, Any]:
    if run is None:
        return {"task": name}
    wanted = ("id", "task", "trigger", "slot", "queued_at", "started_at", "attempt", "parent_id")
    facts = {fact: getattr(run, fact) for fact in wanted}
    if (trace := run.trace) is not None:
        facts["trace"] = trace.carrier()
    if run.holder is not None and (folder := run.holder.artifact_folder) is not None:
        facts["artifacts"] = (platform.node(), folder)
    return facts


def _refuse(name: str, run: Run | None, parameters: Mapping[Any, Any], error: Exception, by_value: bool) -> NoReturn:
    for parameter, value in parameters.items():
        try:
            _dumps(value, run, by_value)
        except Exception as reason:
            raise TransferError(
                f"Task {name!r}: its parameter {parameter!r}, {shorten(value)}, cannot be sent to another process: "
                f"{one_line(reason)}. Pass a value that can be pickled, or open it inside the body."
            ) from reason
    raise TransferError(
        f"Task {name!r}: its parameters cannot be sent to another process: {one_line(error)}."
    ) from error


def load(content: bytes, run: Run) -> Any:
    """What was encoded, on the other side; *run* takes the place of the run that it was encoded for."""
    unpickler = _Unpickler(io.BytesIO(content))
    unpickler.run = run
    return unpickler.load()


class _Unpickler(pickle.Unpickler):
    run: Run

    def persistent_load(self, _: Any) -> Run:
        return self.run


class _Rules:
    """What differs from plain pickling: the run becomes the stand-in there, a task's function goes by its name."""

    run: Run | None
    by_value: bool

    def persistent_id(self, value: Any) -> str | None:
        return "run" if value is self.run and value is not None else None

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, types.FunctionType) and self._by_name(value):
            return find, (value.__module__, value.__qualname__)
        if isinstance(value, types.MethodType) and self._by_name(value.__func__):
            return bind, (value.__func__, value.__self__)
        above = getattr(super(), "reducer_override", None)
        return NotImplemented if above is None else above(value)

    def _by_name(self, value: Any) -> bool:
        """Whether *value* is what a task stands for in its module: pickle would not know it under that name."""
        module = sys.modules.get(getattr(value, "__module__", None) or "")
        if module is None or (self.by_value and module.__name__ == "__main__"):
            return False
        try:
            found = _walk(module, value.__qualname__)
        except AttributeError:
            return False
        return found is not value and unwrap(found) is value


class _Pickler(_Rules, pickle.Pickler):
    pass


def _dumps(value: Any, run: Run | None, by_value: bool) -> bytes:
    buffer = io.BytesIO()
    pickler = _by_value_pickler()(buffer) if by_value else _Pickler(buffer)
    pickler.run, pickler.by_value = run, by_value
    pickler.dump(value)
    return buffer.getvalue()


@functools.cache
def _by_value_pickler() -> Any:
    cloudpickle = importlib.import_module("cloudpickle")  # it comes with Dask
    return type("_ByValuePickler", (_Rules, cloudpickle.Pickler), {})


def find(module: str, name: str) -> Any:
    """The plain function that is called *name* in *module*."""
    return unwrap(_walk(importlib.import_module(module), name))


def bind(func: Any, instance: Any) -> Any:
    """The method *func* of *instance*."""
    return types.MethodType(func, instance)


def unwrap(found: Any) -> Any:
    """The plain function of a task; anything else as it is."""
    return getattr(getattr(found, "spec", None), "func", found)


def _walk(found: Any, name: str) -> Any:
    for part in name.split("."):
        found = getattr(found, part)
    return found


# The outcome. It is bytes before any transport sees it: what cannot be pickled must not break a pool.


def encode_result(name: str, value: Any, dumps: Dumps) -> bytes:
    """What the body returned; a `TransferError` in its place where it cannot be pickled."""
    try:
        return pickle.dumps(("result", dumps(value), shorten(value, TEXT_LIMIT)))
    except Exception as error:
        return encode_error(
            name,
            TransferError(
                f"Task {name!r} returned {shorten(value)} of type {type(value).__qualname__!r}, which cannot be sent "
                f"back: {one_line(error)}. Return a value that can be pickled."
            ),
            dumps,
        )


def encode_error(name: str, error: BaseException, dumps: Dumps, where: str = "") -> bytes:
    """The exception of the body with the text of its traceback; a `TransferError` for one that does not survive."""
    text = _traceback(error)
    try:
        content = dumps(error)
        same = type(pickle.loads(content)) is type(error)
        reason = "it comes back as something else"
    except Exception as problem:
        same, reason = False, one_line(problem)
    if not same:
        content = pickle.dumps(_unsendable(name, one_line(error), reason))
    return pickle.dumps(("error", content, one_line(error), text, where))


def is_error(outcome: bytes) -> bool:
    """Whether the body raised."""
    return bool(pickle.loads(outcome)[0] == "error")


def decode_outcome(name: str, outcome: bytes) -> Any:
    """What the body returned; its exception is raised, with the traceback of the other side as a note."""
    kind, content, line, *rest = pickle.loads(outcome)
    try:
        value = pickle.loads(content)
    except Exception as problem:
        if kind == "result":
            raise TransferError(
                f"Task {name!r} returned {line}, which cannot be read here: {one_line(problem)}. Return a value of a "
                "type that both processes can import."
            ) from problem
        value = _unsendable(name, line, one_line(problem))
    if kind == "result":
        return value
    text, where = rest
    try:
        value.add_note(f"The traceback{where}:\n{text}")
    except Exception:
        value = _unsendable(name, line, "it takes no note")
        value.add_note(f"The traceback{where}:\n{text}")
    raise value


def _unsendable(name: str, line: str, reason: str) -> TransferError:
    return TransferError(
        f"Task {name!r} raised {line}\nThat exception cannot be sent back: {reason}. Give its class a "
        "constructor that takes what its args hold."
    )


def _traceback(error: BaseException) -> str:
    """Its traceback as text, without our own frames at its top."""
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename.startswith(_OURS):
        frame = frame.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, frame, limit=-50))
    except Exception:  # it may come from a class that breaks the formatting
        text = one_line(error)
    return text[-TRACEBACK_LIMIT:]


def one_line(error: BaseException) -> str:
    """An exception in one bounded line."""
    try:
        text = " ".join(str(error).split())[:TEXT_LIMIT]
    except Exception:
        text = "(its text raises)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
