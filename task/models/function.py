"""``TaskFunction``: a function with a schedule, which is still a function."""

from __future__ import annotations

import datetime
import functools
import inspect
import sys
import types
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar

import schedule

from task.clock import ProcessClock
from task.errors import DeclarationTypeError
from task.events import task_disabled, task_enabled
from task.models.switches import check_switch
from task.pipeline import Binding, Pipeline, name_of
from task.runs import Run, RunState
from task.spec import TaskSpec
from task.stores import MemoryStore, Switch

__all__ = ["TaskFunction", "set_lonely_apart"]

P = ParamSpec("P")
R = TypeVar("R")
AnyTask: TypeAlias = "TaskFunction[..., Any]"


class TaskFunction(Generic[P, R]):
    """What `@task` makes of a function: it calls, type-checks, documents and tests like that function.

    Calling it runs the body at once in the caller's thread, under the task's guards and on its record:
    it returns the body's value and raises the body's exception. When a guard refuses (disabled,
    already running) it returns None, and the refusal is recorded as a skip. A call from inside a run
    of the same task is a plain call. An async task returns an awaitable that does the same.

    >>> from task import task
    >>> @task
    ... def double(number: int) -> int:
    ...     return 2 * number
    >>> double(21), double.name, double.is_enable
    (42, 'double', True)
    """

    __name__: str
    __qualname__: str

    def __init__(self, spec: TaskSpec, *, instance: object = None, static: bool = False) -> None:
        plain = inspect.isroutine(spec.func)  # else its attributes are its own: they would hide ours
        functools.update_wrapper(self, spec.func, updated=("__dict__",) if plain else ())
        if not plain:
            self.__name__ = self.__qualname__ = getattr(spec.func, "__name__", spec.name)
        #: The frozen declaration.
        self.spec = spec
        self._instance = instance
        if instance is not None:
            self.__signature__ = inspect.signature(self._body())  # without `self`
        self._static = static
        self._binding: Binding | None = None
        self._owner: weakref.ref[object] | None = None
        self._attribute: str | None = None
        #: Whether it is a recurring entry (`TaskManager.recurring`): it was declared in no code.
        self.recurring = False

    @classmethod
    def declare(cls, func: Any, schedule: Any = None, **options: Any) -> TaskFunction[..., Any]:
        """Validate a declaration and make its task; `task.task` delegates to it.

        Raises `DeclarationError`, `DeclarationTypeError` or `ScheduleError`.
        """
        if isinstance(func, TaskFunction):
            raise DeclarationTypeError(f"{func!r} is a task already: decorate a function once.")
        # An object that can be called is not bound to an instance either, when it is an attribute of a class.
        static = isinstance(func, staticmethod) or not inspect.isroutine(func)
        return cls(TaskSpec.declare(func, schedule, **options), static=static)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        binding = self._acting
        result: R = binding.pipeline.call(binding, args, kwargs)
        return result

    # What it is.

    @property
    def name(self) -> str:
        """Its name, unique within a manager."""
        return self.spec.name

    @property
    def func(self) -> Callable[P, R]:
        """The plain function, bound to its instance where it is a method."""
        body: Callable[P, R] = self._body()
        return body

    @property
    def schedules(self) -> list[schedule.Job]:
        """The live Jobs at its owner; those declared, as long as it has none."""
        entry = self._binding.entry if self._binding is not None else None
        return list(self.spec.schedules) if entry is None else [line.job for line in entry.timetable.lines]

    @property
    def is_running(self) -> bool:
        """Whether a run of it is under way at its owner."""
        binding = self._acting
        active = binding.pipeline.store.active(self.name)
        return any(run.state is RunState.RUNNING or run.overrunning for run in active)

    @property
    def is_enable(self) -> bool:
        """Whether its operator switch is on."""
        binding = self._acting
        return binding.pipeline.store.switch(self.name, binding.pipeline.clock.now()).enabled

    # What can be done with it.

    def enable(self, by: str | None = None) -> None:
        """Turn the operator switch on. Slots that came due meanwhile stay skipped.

        *by* is who does it, for the journal; else the user of this process and its host.
        """
        pipeline, who = self._acting.pipeline, name_of(by)
        pipeline.store.turn(self.name, Switch(True, at=pipeline.clock.now(), by=who))
        pipeline.journal("enabled", self.name, None, who)
        pipeline.tell(task_enabled, name=self.name)

    def disable(self, note: str | None = None, until: datetime.datetime | None = None, by: str | None = None) -> None:
        """Turn the operator switch off: slots, calls and triggers are skipped, and recorded as such.

        *note* says why; *until* (aware) turns it on again by itself; *by* is who does it, for the journal. A run under
        way goes on. On a store that processes share it is off in all of them. Raises `DeclarationError` for an
        *until* that is naive, or not within the years 1970 to 8999.
        """
        check_switch(f"Task {self.name!r}", False, note, until)
        pipeline, who = self._acting.pipeline, name_of(by)
        pipeline.store.turn(self.name, Switch(False, note, until, pipeline.clock.now(), who))
        end = None if until is None else f"until {until.isoformat(timespec='seconds')}"
        pipeline.journal("disabled", self.name, ", ".join(filter(None, [note, end])) or None, who)
        pipeline.tell(task_disabled, name=self.name, note=note)

    def _turn(self, switch: Switch) -> None:
        self.binding.pipeline.store.turn(self.name, switch)

    def trigger(self, /, **parameters: Any) -> Run:
        """A run now, on the owner's executor, guarded and recorded; *parameters* go over the declared ones.

        Returns at once. A guard's refusal is a run in the state ``skipped``. Raises `ParameterError` for a
        parameter that the body does not take, that is missing, or (with the extra ``web``) of another type than it is
        annotated with; `ManagerStateError` when no manager runs the task.
        """
        return self.trigger_by(None, parameters)

    def trigger_by(self, by: str | None, parameters: Mapping[str, Any]) -> Run:
        """`trigger`, with the name of who does it for the journal; None: the user of this process and its host.

        >>> from task import TaskManager
        >>> manager = TaskManager([])
        >>> sample = manager.add(lambda: None, name="sample")
        >>> with manager:
        ...     _ = sample.trigger_by("ada", {})
        ...     manager.journal("sample")[0].who
        'ada'
        """
        binding = self._acting
        return binding.pipeline.trigger(binding, parameters, by=by)

    @property
    def parameters_schema(self) -> dict[str, Any]:
        """What `trigger` takes, as JSON Schema, without defaults that are secret.

        Raises `MissingExtraError` without the extra ``web``.
        """
        schema = self.binding.parameters.schema()
        defaults = {name: one["default"] for name, one in schema["properties"].items() if "default" in one}
        for name in defaults.keys() - self.binding.without_secrets(defaults).keys():
            del schema["properties"][name]["default"]
        return schema

    # How it is tied.

    @property
    def binding(self) -> Binding:
        """Its tie to its owner; without one, to a ledger of its own, so that its guards always hold."""
        if self._binding is not None:
            return self._binding
        private: Binding | None = self.__dict__.get("_private")
        if private is None:  # of many threads that ask at once all get the same: the guards are on it
            private = self.__dict__.setdefault("_private", self._bound_privately())
        assert private is not None
        return private

    @property
    def _acting(self) -> Binding:
        """The binding of who acts for its owner here and now (`Embedding.defer_to`); else `binding`."""
        binding = self.binding
        acting = binding.pipeline.acting
        return binding if acting is None else acting(self.name) or binding

    def _bound_privately(self) -> Binding:
        store = MemoryStore()
        binding = Binding(self.spec, self._body(), Pipeline(store, ProcessClock()))
        _lonely.add(self)
        store.register(self.name, binding.terms)
        return binding

    def same_as(self, other: TaskFunction[..., Any]) -> bool:
        """Whether both are one task: one declaration, of one instance where it is a method."""
        return self.spec is other.spec and self._instance is other._instance

    def owner(self) -> object | None:
        """The first manager that registered it and still lives."""
        return None if self._owner is None else self._owner()

    def bind(self, owner: object, pipeline: Pipeline) -> Binding:
        """Make *owner* the owner: its ledger takes over what was known of the task."""
        private: Binding | None = self.__dict__.pop("_private", None)
        origin = None if private is None else private.pipeline.store
        self._binding = Binding(self.spec, self._body(), pipeline)
        self._binding.recurring = self.recurring
        pipeline.store.register(self.name, self._binding.terms, origin)
        self._owner = weakref.ref(owner)
        return self._binding

    @classmethod
    def standing_for(cls, name: str, pipeline: Pipeline) -> TaskFunction[..., Any]:
        """Steers the task of that name which *pipeline* knows from its store alone; nothing is registered."""
        made = cls.declare(lambda: None, name=name)
        made._binding = Binding(made.spec, made._body(), pipeline)
        return made

    def unbind(self, owner: object) -> None:
        """End the tie to *owner*; its switch stays as it is."""
        if self.owner() is owner and self._binding is not None:
            pipeline, self._binding, self._owner = self._binding.pipeline, None, None
            self._turn(pipeline.store.switch(self.name, pipeline.clock.now()))

    @property
    def tie(self) -> tuple[Binding | None, weakref.ref[object] | None]:
        """What ties it to its owner, to be set again after a rehearsal; or ``(None, None)``."""
        return self._binding, self._owner

    @tie.setter
    def tie(self, tie: tuple[Binding | None, weakref.ref[object] | None]) -> None:
        self._binding, self._owner = tie

    def variant(self, spec: TaskSpec) -> TaskFunction[P, R]:
        """The same body under another declaration."""
        return TaskFunction(spec, instance=self._instance, static=self._static)

    def entry(self, spec: TaskSpec) -> TaskFunction[P, R]:
        """A recurring entry that runs its body."""
        made = self.variant(spec)
        made.recurring = True
        return made

    def amend(self, spec: TaskSpec) -> None:
        """Declare it anew: what its runs are passed and how they are guarded."""
        self.spec = spec
        self.binding.amend(spec)

    def twin(self) -> TaskFunction[P, R]:
        """The same task for another manager than the owner."""
        return self.variant(self.spec)

    def _body(self) -> Any:
        return self.spec.func if self._instance is None else types.MethodType(self.spec.func, self._instance)

    def __set_name__(self, owner: type, name: str) -> None:
        self._attribute = name

    def __get__(self, instance: object, owner: type | None = None) -> TaskFunction[..., R]:
        """As a method: the task of that instance, one for each."""
        if instance is None or self._static:
            return self
        if isinstance(instance, type):
            raise DeclarationTypeError(
                f"Task {self.name!r} is a classmethod of {instance.__qualname__}, which a task cannot be. Use a "
                "staticmethod or a method."
            )
        key = f"_task_{self._attribute or self.__name__}_{id(self.spec)}"  # a class may call its base's with `super()`
        try:
            kept = instance.__dict__
        except AttributeError:
            raise DeclarationTypeError(
                f"Task {self.name!r} is a method of {type(instance).__qualname__}, whose instances have no "
                "__dict__ to keep it in. Remove __slots__, or use a staticmethod."
            ) from None
        made: TaskFunction[..., R] | None = kept.get(key)
        if made is None or made._instance is not instance:  # not yet, or that of the instance it was copied from
            fresh = TaskFunction[..., R](self.spec, instance=instance)
            fresh._attribute = self._attribute
            made = kept[key] = fresh if made is not None else kept.setdefault(key, fresh)
        assert made is not None
        return made

    @property
    def _is_coroutine(self) -> object:
        # What `asyncio.iscoroutinefunction` looks for; asyncio is not loaded for the asking.
        coroutines = sys.modules.get("asyncio.coroutines")
        return getattr(coroutines, "_is_coroutine", None) if self.binding.coroutine else None

    def __reduce__(self) -> str | tuple[Any, ...]:
        if self._instance is not None:
            return getattr, (self._instance, self._attribute or self.__name__)
        return self.__qualname__  # pickled and copied by its name, as a function is

    def __repr__(self) -> str:
        return f"<task {self.name!r} at {self.spec.place}>"


#: Tasks that were used without an owner: each has a ledger of its own.
_lonely: weakref.WeakSet[AnyTask] = weakref.WeakSet()


def set_lonely_apart() -> Callable[[], None]:
    """Let tasks without an owner begin a new ledger; what is returned puts those back that they have now."""
    before = [(lonely, private) for lonely in list(_lonely) if (private := lonely.__dict__.pop("_private", None))]

    def put_back() -> None:
        for lonely in list(_lonely):
            lonely.__dict__.pop("_private", None)
        for lonely, private in before:
            lonely.__dict__["_private"] = private

    return put_back
