"""One service while it is open: entered where it is a context manager, closed once, whatever closing raises."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from task.errors import DeclarationError
from task.log import logger

if TYPE_CHECKING:
    import svcs

__all__ = ["Opened", "OpenedOnLoop", "Provision", "Scope", "Stack"]

#: How long a service lives: for one run (each attempt opens its own), or until the manager stops.
Scope = Literal["run", "manager"]


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Provision:
    """What was provided for one type."""

    service: type
    factory: Callable[..., Any]
    scope: Scope
    #: Whether the factory is called with the container of the other services.
    takes_container: bool = False
    #: Whether it has to be awaited, or entered with ``async with``.
    on_loop: bool = False
    #: Whether it was provided as it is, and nothing is made, entered or closed.
    ready: bool = False

    @property
    def name(self) -> str:
        """The type, for messages."""
        return self.service.__qualname__

    def make(self, container: svcs.Container) -> Any:
        """Call the factory."""
        return self.factory(container) if self.takes_container else self.factory()


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Stack:
    """What was opened by way of one container, in the order of being open; the container has it by this type.

    svcs closes in the reverse order of asking; but a generator that asks for another service is open only after that
    one, and must be closed before it.
    """

    exits: contextlib.ExitStack | contextlib.AsyncExitStack

    def push(self, opened: Opened | OpenedOnLoop) -> None:
        """Leave it when the stack is left."""
        if isinstance(opened, Opened):
            self.exits.push(opened)
        else:
            assert isinstance(self.exits, contextlib.AsyncExitStack)
            self.exits.push_async_exit(opened)


class Opened:
    """A service that is made without awaiting. Whoever enters it has the stack of its container leave it."""

    def __init__(self, provision: Provision, svcs_container: svcs.Container) -> None:
        self._provision = provision
        self._container = svcs_container
        self._entered: Any = None

    def __enter__(self) -> Any:
        made = self._provision.make(self._container)
        if isinstance(made, contextlib.AbstractContextManager):
            value = made.__enter__()
            self._entered = made
            self._container.get(Stack).push(self)
            return value
        if inspect.iscoroutine(made):
            made.close()
        elif not isinstance(made, contextlib.AbstractAsyncContextManager):
            return made
        raise DeclarationError(
            f"The factory of the service {self._provision.name} made {type(made).__name__!r}, which must be awaited. "
            "Write the factory as an async def, or with @asynccontextmanager."
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        entered, self._entered = self._entered, None
        if entered is None:
            return
        try:
            entered.__exit__(kind, error, traceback)
        except BaseException as failure:  # SystemExit too: the outcome of the run stands
            _tell(self._provision, failure, error)


class OpenedOnLoop:
    """A service that is awaited, or entered with ``async with``; as `Opened`."""

    def __init__(self, provision: Provision, svcs_container: svcs.Container) -> None:
        self._provision = provision
        self._container = svcs_container
        self._entered: Any = None
        self._awaits = False

    async def __aenter__(self) -> Any:
        made = self._provision.make(self._container)
        if inspect.iscoroutine(made):
            made = await made
        if isinstance(made, contextlib.AbstractAsyncContextManager):
            value = await made.__aenter__()
            self._entered, self._awaits = made, True
            self._container.get(Stack).push(self)
            return value
        if isinstance(made, contextlib.AbstractContextManager):
            value = made.__enter__()
            self._entered = made
            self._container.get(Stack).push(self)
            return value
        return made

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        entered, self._entered = self._entered, None
        if entered is None:
            return
        try:
            if self._awaits:
                await entered.__aexit__(kind, error, traceback)
            else:
                entered.__exit__(kind, error, traceback)
        except BaseException as failure:  # a cancellation too: the body has ended, and the others are to be closed
            _tell(self._provision, failure, error)


def _tell(provision: Provision, failure: BaseException, error: BaseException | None) -> None:
    if failure is not error:  # a context manager may raise on what its body raised
        logger.exception("The service %s failed to close; the outcome of the run stands", provision.name)
