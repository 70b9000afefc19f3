"""``Services``: what bodies are given by type, from values and factories; one per manager, on the library svcs."""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
import typing
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from task.errors import DeclarationError, DeclarationTypeError, MissingExtraError
from task.injection.opening import Opened, OpenedOnLoop, Provision, Scope, Stack
from task.injection.parameters import UNKNOWN
from task.injection.shared import ExitStack, SharedOnLoop, SharedServices
from task.runs import Run
from task.schedules import shorten

if TYPE_CHECKING:
    import svcs

__all__ = ["Scope", "Services", "can_be_provided"]

#: The modules of types that a caller passes: text, numbers, containers, moments. They are never services.
_OF_THE_CALLER = ("builtins", "datetime", "decimal", "uuid")


class Services:
    """The services of one manager, by their types.

    A parameter of a body that is annotated with one of these types, and has no default, is filled in. What was
    provided is a service; every other type is the caller's. What is provided needs the extra ``services``; the run
    and what `value` and `of_run` add do not.

    >>> class Database: ...
    >>> services = Services()
    >>> services.provide(Database, Database, scope="manager")
    >>> Database in services, Run in services, int in services
    (True, True, False)
    """

    def __init__(self) -> None:
        self._of_run: dict[type, Callable[[Run], object]] = {Run: lambda run: run}
        self._provisions: dict[type, Provision] = {}
        self._shared = SharedServices(lambda stack: _container_of(self._shared_registry, stack))
        # Made anew by each `provide`: a run that has begun keeps those of its beginning.
        self._registry: svcs.Registry | None = None
        self._shared_registry: svcs.Registry | None = None
        self._providing = threading.Lock()

    def value(self, service: type, value: object) -> None:
        """Give bodies *value* for their parameters of the type *service*. For ourselves: it needs no extra."""
        self.of_run(service, lambda _: value)

    def of_run(self, service: type, take: Callable[[Run], object]) -> None:
        """Give bodies what *take* makes of their run. For ourselves: it needs no extra."""
        self._of_run[service] = take

    def provide(self, service: type[Any], value_or_factory: object, scope: Scope = "run") -> None:
        """Give bodies a service for their parameters of the type *service*.

        A class, a function or a partial is a factory, which is called with nothing, or with the `svcs.Container`
        of the other services if its first parameter is annotated so or named ``svcs_container``. A factory that is
        a generator, or that returns a context manager, is entered before the body and left after it: after each
        attempt of a run (``scope="run"``), or when the manager stops (``scope="manager"``: made once, when first
        asked for). Anything else is the value itself, and is not entered. Providing a type again replaces it for
        later runs.

        Raises `DeclarationTypeError` for what is no class, no scope or no such factory, `DeclarationError` for a
        type that is a caller's (text, numbers, containers, moments) or our own, `MissingExtraError` without svcs.
        """
        self._check_type(service)
        if scope not in typing.get_args(Scope):
            raise DeclarationTypeError(
                f"The scope of the service {service.__qualname__} is 'run' or 'manager', not {shorten(scope)}."
            )
        provision = _provision_of(service, value_or_factory, scope)
        with self._providing:
            self._begin_anew({**self._provisions, service: provision})

    def _begin_anew(self, provisions: dict[type, Provision]) -> None:
        shared = {key: each for key, each in provisions.items() if each.ready or each.scope == "manager"}
        self._registry, self._shared_registry = self._registry_of(provisions), self._registry_of(shared)
        self._provisions = provisions

    def provide_as(self, other: Services) -> None:
        """Provide what *other* does; what it shares among the runs of a manager is made anew here."""
        if other._provisions:
            with self._providing:
                self._begin_anew({**self._provisions, **other._provisions})

    def set_apart(self) -> Callable[[], None]:
        """What is returned takes back what is provided from now on, and provides again what was replaced."""
        with self._providing:
            before = self._registry, self._shared_registry, self._provisions

        def put_back() -> None:
            with self._providing:
                self._registry, self._shared_registry, self._provisions = before

        return put_back

    def __contains__(self, hint: object) -> bool:
        """Whether a parameter of that type is filled in."""
        return isinstance(hint, type) and (hint in self._of_run or hint in self._provisions)

    def taker(self, service: type) -> Callable[[Run], object] | None:
        """What makes the value of our own types from a run; None for a provided one."""
        return self._of_run.get(service)

    def lives_on_loop(self, service: type) -> bool:
        """Whether only an async body can have it: its factory must be awaited."""
        provision = self._provisions.get(service)
        return provision is not None and provision.on_loop

    @contextlib.contextmanager
    def open(self, services: Mapping[str, type]) -> Iterator[dict[str, Any]]:
        """The services under their names, for one run on this thread; those of the run are closed at the end."""
        stack = contextlib.ExitStack()
        with _container_of(self._registry, stack) as container, stack:
            yield {key: container.get(service) for key, service in services.items()}

    @contextlib.asynccontextmanager
    async def open_on_loop(self, services: Mapping[str, type]) -> AsyncIterator[dict[str, Any]]:
        """As `open`, on the running event loop."""
        provisions = self._provisions
        stack = contextlib.AsyncExitStack()
        async with _container_of(self._registry, stack) as container, stack:
            await self._prepare([provisions[service] for service in services.values()])
            yield {key: await container.aget(service) for key, service in services.items()}

    async def _prepare(self, provisions: Sequence[Provision]) -> None:
        """Make what is shared and needs no event loop on a thread: it may take long, or wait for another thread."""
        import asyncio

        for provision in provisions:
            shared = provision.scope == "manager" and not provision.on_loop and not provision.ready
            if shared and not self._shared.is_made(provision):
                await asyncio.to_thread(self._shared.get, provision)

    def open_on_a_loop(self) -> bool:
        """Whether there is something for `aclose` to close."""
        return self._shared.open_on_a_loop()

    def close(self) -> None:
        """Close the services of the manager, the last one first; after the last run, and after `aclose`."""
        self._shared.close()

    async def aclose(self) -> None:
        """Close the services of the manager that live on an event loop, on it, the last one first."""
        await self._shared.aclose()

    def reset_after_fork(self) -> None:
        """In a forked child: leave what is open to the parent."""
        self._providing = threading.Lock()
        self._shared.reset_after_fork()

    def _check_type(self, service: Any) -> None:
        if not isinstance(service, type):
            raise DeclarationTypeError(f"A service is provided for a class, not for {shorten(service)}.")
        if service in self._of_run:
            raise DeclarationError(f"{service.__qualname__} is filled in already. Provide a class of your own.")
        if not can_be_provided(service):
            raise DeclarationError(
                f"{service.__qualname__} cannot be provided: parameters of that type are the caller's. "
                "Put the value into a class of your own, and provide that."
            )

    def _registry_of(self, provisions: Mapping[type, Provision]) -> svcs.Registry:
        import svcs

        registry = svcs.Registry()
        for service, provision in provisions.items():
            # As it is, entered, shared by the whole manager: svcs enters only what is the run's own.
            if provision.ready:
                registry.register_factory(service, provision.factory, enter=False)
            elif provision.scope == "run":
                kind = OpenedOnLoop if provision.on_loop else Opened
                registry.register_factory(service, functools.partial(kind, provision))
            elif provision.on_loop:
                registry.register_factory(service, functools.partial(SharedOnLoop, self._shared, provision))
            else:
                registry.register_factory(service, functools.partial(self._shared.get, provision), enter=False)
        return registry


def can_be_provided(hint: object) -> bool:
    """Whether a type may be a service, and is not the caller's: text, a number, a container, a moment.

    >>> class Database: ...
    >>> can_be_provided(Database), can_be_provided(str), can_be_provided(Database | None)
    (True, False, False)
    """
    return isinstance(hint, type) and hint is not UNKNOWN and hint.__module__ not in _OF_THE_CALLER


def _container_of(registry: svcs.Registry | None, stack: ExitStack) -> svcs.Container:
    import svcs

    container = svcs.Container(svcs.Registry() if registry is None else registry)
    container.register_local_value(Stack, Stack(stack))
    return container


def _provision_of(service: type, value_or_factory: Any, scope: Scope) -> Provision:
    try:
        import svcs
    except ImportError:
        raise MissingExtraError.of("services", f"The service {service.__qualname__}") from None
    if not isinstance(value_or_factory, (type, functools.partial)) and not inspect.isroutine(value_or_factory):
        return Provision(service, lambda: value_or_factory, scope, ready=True)
    registry = svcs.Registry()
    registry.register_factory(service, value_or_factory)  # svcs says what it makes of a factory
    registered = registry.get_registered_service_for(service)
    factory, takes_container = registered.factory, registered.takes_container
    try:
        inspect.signature(factory).bind(*([None] if takes_container else []))
    except TypeError as error:
        raise DeclarationTypeError(
            f"The factory of the service {service.__qualname__} cannot be called: {error}. It takes nothing, or a "
            "svcs.Container as its first parameter."
        ) from None
    except ValueError:  # a builtin that does not tell what it takes
        pass
    return Provision(service, factory, scope, takes_container, _is_awaited(value_or_factory))


def _is_awaited(factory: Any) -> bool:
    if isinstance(factory, type):
        return hasattr(factory, "__aenter__")
    while isinstance(factory, functools.partial):
        factory = factory.func
    factory = inspect.unwrap(factory)
    return inspect.iscoroutinefunction(factory) or inspect.isasyncgenfunction(factory)
