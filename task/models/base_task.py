"""``BaseTask``: a task as a class, with fields as in a dataclass; each instance of it is a template."""

from __future__ import annotations

import abc
import copy
import dataclasses
import inspect
import logging
import os
import threading
import typing
from collections.abc import Awaitable, Mapping
from typing import Any, ClassVar

from task.clock import SystemClock
from task.errors import DeclarationTypeError, NoRunError
from task.runs import Run, RunState, peek_current_run

__all__ = ["BaseTask"]

#: Held while a class is made a dataclass, which threads that first use it at once must not do twice.
_making = threading.RLock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_making.acquire, after_in_parent=_making.release, after_in_child=_making.release)


@dataclasses.dataclass(frozen=True, slots=True)
class _Inside:
    """What the copy of a template knows of its run. It stays here: deep copied or pickled it is None."""

    run: Run
    parameters: dict[str, Any]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()


class _Takes:
    """``__signature__``: what a run of an instance takes, by name; of a class, what its constructor takes."""

    def __get__(self, instance: BaseTask | None, owner: type[BaseTask]) -> inspect.Signature:
        if instance is not None:
            taken = [*_own_parameters(owner), *_field_parameters(instance)]
            return inspect.Signature(sorted(taken, key=lambda parameter: parameter.kind))
        _complete(owner)
        _, *others = inspect.signature(owner.__init__).parameters.values()
        return inspect.Signature(others)


@typing.dataclass_transform(eq_default=False, field_specifiers=(dataclasses.field,))
class BaseTask(abc.ABC):
    """A task as a class: its settings are fields, as in a dataclass, and its body is ``execute``.

    An instance is a template. Each attempt of a run executes a shallow copy of it, which knows its run:
    what the body assigns to ``self`` ends with the copy, but what a field refers to is shared. A list from
    ``dataclasses.field(default_factory=list)`` is one for each template, not for each run.

    The parameters of a run that name fields replace them on that copy, without another ``__post_init__``;
    the others are passed to ``execute``.

    A direct call of an instance, outside of any run, is what a unit test makes: the body runs, its progress
    goes nowhere, nobody cancels it, and ``run`` is one that no history knows.

    The class is made a dataclass when it is first used. With ``@dataclasses.dataclass(...)`` above it that
    happens there, with the options given; otherwise instances are compared by identity.

    >>> class Greet(BaseTask):
    ...     whom: str = "world"
    ...     def execute(self, mark: str = "!") -> str:  # or async def
    ...         self.update_progress(100, "greeted")
    ...         return f"Hello, {self.whom}{mark}"
    >>> template = Greet(whom="Ada")
    >>> template(), template(whom="Grace", mark="?"), template.whom
    ('Hello, Ada!', 'Hello, Grace?', 'Ada')

    Making the class raises `DeclarationTypeError` for a name that means something else here; making an
    instance does for a class without ``execute``, and for fields that no dataclass can have.
    """

    __signature__ = _Takes()
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    _refusal: ClassVar[str | None] = None
    _template_id: str | None = None
    _inside: _Inside | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for base in cls.__bases__:
            if issubclass(base, BaseTask):
                _complete(base)  # a decorator of its own has had its turn by now
        _check_names(cls)
        if cls.__call__ in (BaseTask.__call__, _call_async):  # whether to await it is asked of `__call__`
            awaited = inspect.iscoroutinefunction(cls.execute)
            cls.__call__ = _call_async if awaited else BaseTask.__call__  # type: ignore[method-assign]  # once a class

    def __new__(cls, *args: Any, **kwargs: Any) -> typing.Self:
        _complete(cls)
        if cls.__abstractmethods__:
            raise DeclarationTypeError(
                f"{cls.__qualname__} is abstract: it lacks {', '.join(sorted(cls.__abstractmethods__))}. Write what is "
                "missing, def execute(self) for the body, in it or in a subclass."
            )
        return super().__new__(cls)

    @abc.abstractmethod
    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """The body: write it with ``def`` or ``async def``, and with the parameters that it takes by name."""

    def __call__(self, /, **parameters: Any) -> Any:
        """Run the body on a fresh copy; what it returns. With an ``async def execute`` it is to be awaited."""
        copied, others = self._for_run(parameters)
        return copied.execute(**others)

    def _for_run(self, parameters: Mapping[str, Any]) -> tuple[BaseTask, dict[str, Any]]:
        """The copy for one run, and what its ``execute`` is called with."""
        fields = {field.name for field in _settable(self)}
        run = peek_current_run() or _unrecorded_run(type(self).__name__, parameters)
        copied = copy.copy(self)
        # Past `__setattr__`: a frozen dataclass has one that refuses.
        object.__setattr__(copied, "_template_id", self._own_id())
        object.__setattr__(copied, "_inside", _Inside(run, dict(parameters)))
        for name in fields & parameters.keys():
            object.__setattr__(copied, name, parameters[name])
        return copied, {name: value for name, value in parameters.items() if name not in fields}

    # What the body uses.

    @property
    def id(self) -> str:
        """The id of the run; of a template, its own."""
        return self._own_id() if self._inside is None else self._inside.run.id

    @property
    def parent_id(self) -> str | None:
        """The id of the template that this is a copy of; None for a template.

        Not ``run.parent_id``, which names the run that this run comes from.
        """
        return None if self._inside is None else self._own_id()

    @property
    def run(self) -> Run:
        """The run. Raises `NoRunError` on a template, as do all of the following."""
        return self._within().run

    @property
    def parameters(self) -> dict[str, Any]:
        """What the body was called with, by name: the declared parameters, and the caller's over them.

        Fields are in it when they were given so. The dict is this run's own.
        """
        return self._within().parameters

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """As `Run.logger`: what is logged is kept with the run."""
        return self.run.logger

    def update_progress(self, percent: float, message: str = "") -> Awaitable[None]:
        """As `Run.update_progress`: 0 to 100 percent, and a short text. May be awaited."""
        return self.run.update_progress(percent, message)

    def is_cancelled(self) -> bool:
        """As `Run.is_cancelled`: whether the run was asked to stop."""
        return self.run.is_cancelled()

    def check_cancelled(self) -> Awaitable[None]:
        """As `Run.check_cancelled`: raises `RunCancelled` if the run was asked to stop. May be awaited."""
        return self.run.check_cancelled()

    # How it is kept.

    def _within(self) -> _Inside:
        if self._inside is None:
            raise NoRunError(
                f"This {type(self).__qualname__} is a template, and in no run: call it, not its execute(), and "
                "use this inside of execute()."
            )
        return self._inside

    def _own_id(self) -> str:
        """The template's id, which its copies and pickles share; made when it is first asked for."""
        if self._template_id is None:  # of threads that ask at once all get the same
            self.__dict__.setdefault("_template_id", _unrecorded_run(type(self).__name__).id)
        assert self._template_id is not None
        return self._template_id

    def __getstate__(self) -> object:
        self._own_id()  # goes along to another process
        return super().__getstate__()


async def _call_async(self: BaseTask, /, **parameters: Any) -> Any:
    copied, others = self._for_run(parameters)
    return await copied.execute(**others)


def _unrecorded_run(name: str, parameters: Mapping[str, Any] | None = None) -> Run:
    """Stands for the run where there is none."""
    now = SystemClock().now()
    run = Run(name, "call", now, parameters=parameters)
    run.to(RunState.RUNNING)
    run.begin_attempt(now)
    return run


# What a class may be, and what it takes.


def _check_names(cls: type[BaseTask]) -> None:
    """Refuse what would not be found out before a run. Raises `DeclarationTypeError`."""
    annotated = inspect.get_annotations(cls).keys()
    for name in sorted({name for name in vars(BaseTask) if not name.startswith(("__", "_abc_"))} - {"execute"}):
        if name in annotated or inspect.getattr_static(cls, name) is not vars(BaseTask)[name]:
            raise DeclarationTypeError(
                f"{cls.__qualname__} has a field or attribute called {name!r}, which is something else in every "
                "BaseTask. Name it otherwise."
            )
    body = inspect.getattr_static(cls, "execute")
    if "execute" in annotated or not inspect.isfunction(body) or not inspect.signature(body).parameters:
        raise DeclarationTypeError(
            f"{cls.__qualname__}.execute is the body, a plain method: write def execute(self), or async def."
        )
    fields = annotated | getattr(cls, "__dataclass_fields__", {}).keys()
    for parameter in _own_parameters(cls):
        if parameter.name in fields:
            raise DeclarationTypeError(
                f"{cls.__qualname__}.execute takes {parameter.name!r}, which is a field too: leave it out, and read "
                f"self.{parameter.name}."
            )


def _complete(cls: type[BaseTask]) -> None:
    """Make *cls* a dataclass unless it is one. Raises `DeclarationTypeError` for fields that cannot be.

    Not in ``__init_subclass__``: whether a decorator follows is not known there, and it would find that the
    defaults of the fields have been taken away.
    """
    with _making:
        if cls is BaseTask or (cls._refusal is None and "__dataclass_fields__" in vars(cls)):
            return
        if cls._refusal is None:
            described = cls.__doc__
            try:
                dataclasses.dataclass(eq=False)(cls)
            except (TypeError, ValueError) as error:
                cls._refusal = f"The fields of {cls.__qualname__} cannot be those of a dataclass: {error}."
            cls.__doc__ = described  # where there is none, dataclass puts the constructor
        if cls._refusal is not None:
            raise DeclarationTypeError(cls._refusal)


def _settable(template: BaseTask) -> list[dataclasses.Field[Any]]:
    """The fields that the constructor sets, and so a parameter may."""
    return [field for field in dataclasses.fields(template) if field.init]


def _field_parameters(template: BaseTask) -> list[inspect.Parameter]:
    """The fields as parameters; the values that they have are the defaults."""
    hints = _hints(type(template))
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=getattr(template, field.name, inspect.Parameter.empty),
            annotation=hints.get(field.name, field.type),
        )
        for field in _settable(template)
    ]


def _own_parameters(cls: type[BaseTask]) -> list[inspect.Parameter]:
    """What ``execute`` takes; what it takes by name, it takes by name only."""
    hints = _hints(cls.execute)
    _, *others = inspect.signature(cls.execute).parameters.values()  # without `self`
    return [
        parameter.replace(
            kind=inspect.Parameter.KEYWORD_ONLY
            if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
            else parameter.kind,
            annotation=hints.get(parameter.name, parameter.annotation),
        )
        for parameter in others
        if parameter.kind is not inspect.Parameter.VAR_POSITIONAL
    ]


def _hints(of: Any) -> dict[str, Any]:
    """The annotations, evaluated; none of them where one is of a name that only type checkers know."""
    try:
        return typing.get_type_hints(of, include_extras=True)
    except Exception:  # whatever evaluating a user's text raises: it stays text
        return {}
