"""``InjectionPlan``: which parameters of a body are filled in, with what; worked out once, at registration."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any

from task.errors import DeclarationError
from task.injection.parameters import UNKNOWN, Parameters, name_of_type
from task.injection.services import Services, can_be_provided
from task.runs import Run

__all__ = ["InjectionPlan"]


class InjectionPlan:
    """What is filled in for one body. It is false when that is nothing.

    >>> import datetime
    >>> def greet(run: Run, name: str): ...
    >>> plan = InjectionPlan.of(Parameters("greet", greet), Services())
    >>> with plan.fill(Run("greet", "manual", datetime.datetime(2026, 5, 4, tzinfo=datetime.UTC))) as extra:
    ...     print(sorted(extra))
    ['run']
    """

    __slots__ = ("_services", "_types", "parameters")

    def __init__(self, parameters: Parameters, services: Services, types: Mapping[str, type]) -> None:
        #: What remains for the caller to pass.
        self.parameters = parameters
        self._services = services
        self._types = types

    @classmethod
    def of(cls, parameters: Parameters, services: Services) -> InjectionPlan:
        """The plan for a body: each parameter without a default whose type is one of *services* is filled in."""
        types = {key: hint for key, hint in parameters.fillable.items() if hint in services}
        return cls(parameters.without(types), services, types)

    def __bool__(self) -> bool:
        return bool(self._types)

    def check(self, values: Mapping[str, Any], *, complete: bool = True) -> dict[str, Any]:
        """What is declared of the parameters, converted, when the task is registered.

        Raises `ParameterError` for a value that does not fit, and `DeclarationError` for a service that the body
        cannot have, and for a parameter that nobody fills; not for that with *complete* false: a task without a
        schedule is passed the rest by whoever triggers it.
        """
        name = self.parameters.name
        checked = self.parameters.check(values)
        for key, service in self._types.items():
            if self._services.lives_on_loop(service) and not _is_coroutine(self.parameters.body):
                raise DeclarationError(
                    f"Task {name!r}: the parameter {key!r} is the service {service.__qualname__}, whose factory "
                    "must be awaited. Make the body an async def, or the factory a def."
                )
        missing = self.parameters.missing(checked) if complete else ()
        for key in missing:
            raise DeclarationError(self._nobody_fills(key))
        return checked

    def fill(self, run: Run, given: Collection[str] = ()) -> AbstractContextManager[dict[str, Any]]:
        """What to pass to a body on a thread, by name; services of the run are closed when it is left.

        Leave it with the exception of the body, so that a service can roll back. *given* are the names that a
        direct call passes itself. What the opening of a service raises is raised.
        """
        return self._fill(run, given) if self._types else contextlib.nullcontext({})

    def fill_async(self, run: Run, given: Collection[str] = ()) -> AbstractAsyncContextManager[dict[str, Any]]:
        """As `fill`, for a coroutine body, on its event loop."""
        return self._fill_async(run, given) if self._types else contextlib.nullcontext({})

    @contextlib.contextmanager
    def _fill(self, run: Run, given: Collection[str]) -> Iterator[dict[str, Any]]:
        values, services = self._split(run, given)
        if not services:
            yield values
            return
        with self._services.open(services) as opened:
            yield values | opened

    @contextlib.asynccontextmanager
    async def _fill_async(self, run: Run, given: Collection[str]) -> AsyncIterator[dict[str, Any]]:
        values, services = self._split(run, given)
        if not services:
            yield values
            return
        async with self._services.open_on_loop(services) as opened:
            yield values | opened

    def _split(self, run: Run, given: Collection[str]) -> tuple[dict[str, Any], dict[str, type]]:
        """The values that the run itself gives, and the services to be opened."""
        values: dict[str, Any] = {}
        services: dict[str, type] = {}
        for key, service in self._types.items():
            if key in given:
                continue
            take = self._services.taker(service)
            if take is None:
                services[key] = service
            else:
                values[key] = take(run)
        return values, services

    def _nobody_fills(self, key: str) -> str:
        hint, written = self.parameters.hints[key], self.parameters.annotation(key)
        kind = "" if hint is UNKNOWN else f" ({name_of_type(hint)})"
        fixes = [f"parameters={{{key!r}: ...}}", "a default"]
        note = ""
        if key == "self":
            note = " It is a method: register an instance of its class."
        elif hint is UNKNOWN and isinstance(written, str):
            kind = f" ({written[:60]})"
            note = " That type is not known where the body is defined: import it there, not under TYPE_CHECKING only."
        elif hint is not UNKNOWN and can_be_provided(hint):
            fixes.append(f"manager.provide({hint.__qualname__}, ...)")
        return (
            f"Task {self.parameters.name!r} could not be run by its schedule: nobody fills its parameter "
            f"{key!r}{kind}. Give one of these: {', '.join(fixes)}.{note}"
        )


def _is_coroutine(body: Any) -> bool:
    return inspect.iscoroutinefunction(body) or inspect.iscoroutinefunction(getattr(body, "__call__", None))  # noqa: B004 - the method is wanted, not whether there is one
