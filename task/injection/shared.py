"""The services that live until their manager stops: made once, when they are first asked for."""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from task.errors import ManagerStateError
from task.injection.opening import Opened, OpenedOnLoop, Provision
from task.log import logger

if TYPE_CHECKING:
    import asyncio

    import svcs

ExitStack = contextlib.ExitStack | contextlib.AsyncExitStack

__all__ = ["SharedOnLoop", "SharedServices"]


class _OnLoop:
    """Those of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        import asyncio  # a program without async bodies never loads it

        self.loop = loop
        self.making = asyncio.Lock()
        self.made: dict[Provision, Any] = {}
        self.stack = contextlib.AsyncExitStack()

    def tell(self) -> None:
        """Tell that nobody can close them any more."""
        if self.made:
            names = ", ".join(provision.name for provision in list(self.made)[:10])
            logger.warning("Services of the manager were left open, as their event loop is gone: %s", names)


#: Those of which one is being made here.
_making: contextvars.ContextVar[_OnLoop | None] = contextvars.ContextVar("task_services_making", default=None)


class SharedServices:
    """What was made for the whole manager; *container* makes what a factory gets the other services from."""

    def __init__(self, container: Callable[[ExitStack], svcs.Container]) -> None:
        self._container = container
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In a forked child: what was made is the parent's, to use and to close."""
        self._making = threading.RLock()  # a factory may ask for other services
        self._made: dict[Provision, Any] = {}
        self._stack = contextlib.ExitStack()
        self._state: _OnLoop | None = None

    def is_made(self, provision: Provision) -> bool:
        """Whether `get` would return at once."""
        return provision in self._made

    def get(self, provision: Provision) -> Any:
        """The service; made and opened if nobody asked before. Whoever asks meanwhile waits."""
        try:
            return self._made[provision]
        except KeyError:
            pass
        with self._making:
            if provision not in self._made:
                with self._container(self._stack) as container:
                    self._made[provision] = Opened(provision, container).__enter__()
            return self._made[provision]

    async def get_on_loop(self, provision: Provision) -> Any:
        """The service that lives on the running event loop. Raises `ManagerStateError` where it lives on another."""
        state = self._state_here(provision)
        if _making.get() is state:  # a factory asks for another service: the lock is its own already
            return await self._make_on_loop(provision, state)
        async with state.making:
            token = _making.set(state)
            try:
                return await self._make_on_loop(provision, state)
            finally:
                _making.reset(token)

    async def _make_on_loop(self, provision: Provision, state: _OnLoop) -> Any:
        if provision not in state.made:
            async with self._container(state.stack) as container:
                state.made[provision] = await OpenedOnLoop(provision, container).__aenter__()
        return state.made[provision]

    def open_on_a_loop(self) -> bool:
        """Whether a service lives on an event loop."""
        return self._state is not None

    def close(self) -> None:
        """Close what `get` opened, the last one first. Asked for again, it is made again."""
        with self._making:
            stack, self._stack, self._made = self._stack, contextlib.ExitStack(), {}
        stack.close()

    async def aclose(self) -> None:
        """Close, on their event loop, what `get_on_loop` opened, the last one first; before `close`."""
        import asyncio

        state = self._state
        if state is None:
            return
        if state.loop is not asyncio.get_running_loop():
            state.tell()
            self._state = None
            return
        async with state.making:
            self._state = None
            await state.stack.aclose()

    def _state_here(self, provision: Provision) -> _OnLoop:
        import asyncio

        loop = asyncio.get_running_loop()
        with self._making:
            state = self._state
            if state is not None and state.loop is loop:
                return state
            if state is not None and state.made and not state.loop.is_closed():
                raise ManagerStateError(
                    f"The service {provision.name} lives on the manager's event loop, and was asked for on another. "
                    "Trigger the task in place of calling it, or provide the service with scope='run'."
                )
            if state is not None:
                state.tell()
            self._state = _OnLoop(loop)
            return self._state


class SharedOnLoop:
    """Stands, in the container of a run, for a service that the run does not close."""

    def __init__(self, shared: SharedServices, provision: Provision) -> None:
        self._shared = shared
        self._provision = provision

    async def __aenter__(self) -> Any:
        return await self._shared.get_on_loop(self._provision)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """The manager closes it."""
