"""``TaskSpec``: what was declared of a task, validated once, with every default in one place."""

from __future__ import annotations

import dataclasses
import datetime
import inspect
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import schedule as schedule_library

from task.errors import DeclarationError, DeclarationTypeError, ScheduleError, did_you_mean
from task.injection import Parameters
from task.schedules import Misfire, check_job, shorten
from task.schedules.slots import follows_elapsed_time, period_of
from task.spec.expectation import Expectation
from task.spec.policy import DEFAULT_POLICY, OnLost, Overlap, RunPolicy, When

if TYPE_CHECKING:
    import concurrent.futures

__all__ = [
    "Schedules",
    "TaskOptions",
    "TaskSpec",
    "accepts_run",
    "is_async",
    "place_of",
]

Callback = Callable[..., object]

#: What may stand where a schedule is wanted.
Schedules = schedule_library.Job | Sequence[schedule_library.Job] | None

_NO_PARAMETERS: Mapping[str, Any] = types.MappingProxyType({})
_MISFIRES = ("latest", "skip", "all")
_POLICY = [field.name for field in dataclasses.fields(RunPolicy)]


class TaskOptions(TypedDict, total=False):
    """The options of a task, for type checkers; `TaskSpec` has their meanings and defaults."""

    name: str | None
    on_success: Callback | None
    on_failed: Callback | None
    on_complete: Callback | None
    disabled: bool
    threaded: bool
    parameters: Mapping[str, Any] | None
    tags: Iterable[str] | None
    misfire: Misfire
    misfire_grace: float
    fixed_delay: bool
    start: datetime.datetime | None
    jitter: float
    run_at_start: bool
    max_runs: int | None
    max_concurrent: int
    overlap: Overlap
    mutex: str | None
    pool: str | None
    priority: int
    retry: Any
    disable_after: int | None
    timeout: float | None
    executor: str | concurrent.futures.Executor | None
    redact: Iterable[str] | None
    after: Any
    when: When
    only_if: Any
    on_lost: OnLost
    everywhere: bool
    expect_within: float | None
    alert_after: int | None
    notify: Callback | None


@dataclasses.dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class TaskSpec:
    """The frozen declaration of a task. `TaskSpec.declare` validates; the fields' defaults are the defaults."""

    #: The plain function.
    func: Callable[..., Any]
    #: Unique within a manager.
    name: str
    #: The declared schedules; the manager works on copies.
    schedules: tuple[schedule_library.Job, ...] = ()
    #: What a scheduled run passes to the body, by name.
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=lambda: _NO_PARAMETERS, repr=False)
    #: Called once a run, after its final state; with the run if they accept an argument.
    on_success: Callback | None = None
    on_failed: Callback | None = None
    on_complete: Callback | None = None
    #: The first value of the switch that `enable` and `disable` turn.
    disabled: bool = False
    #: On the pool of threads; otherwise one after another on the serial worker.
    threaded: bool = False
    tags: tuple[str, ...] = ()
    #: What becomes of slots that are found more than `misfire_grace` seconds late.
    misfire: Misfire = "latest"
    misfire_grace: float = 60.0
    #: Measure the interval from the end of the run.
    fixed_delay: bool = False
    #: No slot before this moment (aware); intervals are counted from it, itself included.
    start: datetime.datetime | None = None
    #: Delay each start by up to so many seconds; the slot stays where it is.
    jitter: float = 0.0
    #: Run once when the manager starts, beside the schedules.
    run_at_start: bool = False
    #: Remove the schedules after so many scheduled runs.
    max_runs: int | None = None
    #: How its runs are guarded, repeated, limited and placed.
    policy: RunPolicy = DEFAULT_POLICY

    @classmethod
    def declare(cls, func: Any, schedule: Any = None, **options: Any) -> TaskSpec:
        """Validate a declaration.

        Raises `DeclarationError`, `DeclarationTypeError` or `ScheduleError`, each naming the task, the
        value and the fix.
        """
        func = func.__func__ if isinstance(func, staticmethod) else func
        name = _check_name(func, options.pop("name", None))
        _check_options(name, options)
        options = {key: value for key, value in options.items() if value is not None}
        if "parameters" in options:
            options["parameters"] = _check_parameters(
                name, func, options["parameters"], secret=options.get("redact") is not None
            )
        if "tags" in options:
            options["tags"] = _check_tags(name, options["tags"])
        policy = RunPolicy.declare(name, {key: options.pop(key) for key in _POLICY if key in options})
        spec = cls(func, name, _check_schedules(name, schedule), policy=policy, **options)
        _check_values(spec)
        return spec

    @property
    def place(self) -> str:
        """Where the body is defined, as ``file:line``."""
        return place_of(self.func)

    @property
    def expectation(self) -> Expectation:
        """What is expected of its runs."""
        return Expectation(self.policy.expect_within, self.misfire_grace + self.jitter, self.policy.alert_after)


def place_of(func: Any) -> str:
    """Where a callable is defined, as ``file:line``."""
    code = getattr(inspect.unwrap(func), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else shorten(func)


def is_async(func: Any) -> bool:
    """Whether calling *func* makes a coroutine: an ``async def``, a partial of one, or an async ``__call__``."""
    return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(getattr(func, "__call__", None))  # noqa: B004 - the method is wanted, not whether there is one


def accepts_run(callback: Callback) -> bool:
    """Whether a callback takes the run: whether it can be called with one argument."""
    try:
        signature = inspect.signature(callback)
    except (TypeError, ValueError):  # a builtin that does not tell: `print`, say, takes anything
        return True
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    return any(kind in (0, 1, 2) for kind in kinds)  # positional-only, positional or keyword, *args


def _check_name(func: Any, name: Any) -> str:
    if isinstance(func, classmethod):
        raise DeclarationTypeError(
            f"{shorten(func)} is a classmethod, which a task cannot be. Use a staticmethod or a method."
        )
    if not callable(func):
        raise DeclarationTypeError(
            f"A task is made of a function, not of {shorten(func)}. Write @task(...) above a def."
        )
    if isinstance(func, type):
        raise DeclarationTypeError(f"A task is made of a function, not of the class {func.__qualname__!r}.")
    if name is None:
        name = getattr(func, "__name__", None) or type(func).__name__
    if not isinstance(name, str) or not name.strip() or len(name) > 200 or not name.isprintable():
        raise DeclarationError(
            f"The name {shorten(name)} of {shorten(func)} is refused: give 1 to 200 printable characters."
        )
    return name


def _check_options(name: str, options: Mapping[str, Any]) -> None:
    own = [field.name for field in dataclasses.fields(TaskSpec)]
    known = [option for option in [*own, *_POLICY] if option not in ("func", "schedules", "policy")]
    for option in options:
        if option not in known:
            hint = did_you_mean(option, [*known, "schedule"], f"The options are: {', '.join(sorted(known))}.")
            raise DeclarationTypeError(f"Task {name!r} has no option {shorten(option)}. {hint}")


def _check_schedules(name: str, value: Any) -> tuple[schedule_library.Job, ...]:
    if value is None:
        return ()
    if isinstance(value, schedule_library.Job):
        value = [value]
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        hint = " Write cron('0 2 * * *') around a cron line." if isinstance(value, str) else ""
        if isinstance(value, types.MethodType) and isinstance(value.__self__, schedule_library.Job):
            hint = f" Is {value.__name__!r} not called? Write .{value.__name__}(...)."
        raise DeclarationTypeError(
            f"Task {name!r}: schedule is a Job such as every(30).seconds, or a list of them, not "
            f"{shorten(value)}.{hint}"
        )
    if not value:
        raise DeclarationError(
            f"Task {name!r}: schedule is an empty list. Leave it out for a task that is only triggered."
        )
    for job in value:
        _check_one_schedule(name, job)
    return tuple(value)


def _check_one_schedule(name: str, job: Any) -> None:
    if not isinstance(job, schedule_library.Job):
        raise DeclarationTypeError(
            f"Task {name!r}: {shorten(job)} in schedule is not a Job. Write every(30).seconds, cron(...) or once(...)."
        )
    if job.job_func is not None:
        raise DeclarationError(
            f"Task {name!r}: its schedule already runs {shorten(job.job_func)}. Leave .do(...) out: the "
            "decorated function is what runs."
        )
    try:
        check_job(job)
    except ScheduleError as error:
        raise ScheduleError(f"Task {name!r}: {error}") from None


def _check_parameters(name: str, func: Any, parameters: Any, *, secret: bool) -> Mapping[str, Any]:
    """Refuse parameters that *func* does not take by name. Raises `ParameterError`; a read-only copy, converted."""
    return types.MappingProxyType(Parameters(name, func).check(parameters, secret=secret))


def _check_tags(name: str, tags: Any) -> tuple[str, ...]:
    if isinstance(tags, str) or not all(isinstance(tag, str) and tag for tag in tags):
        raise DeclarationTypeError(f"Task {name!r}: tags is a list of texts, not {shorten(tags)}.")
    return tuple(dict.fromkeys(tags))


def _check_callback(spec: TaskSpec, key: str, callback: Callback) -> None:
    if is_async(callback) and not is_async(spec.func):
        raise DeclarationError(
            f"Task {spec.name!r}: {key} is an async def, which only an async body can have awaited. Make it a def."
        )
    arguments = (None,) if accepts_run(callback) else ()
    try:
        inspect.signature(callback).bind(*arguments)
    except TypeError as error:
        raise DeclarationTypeError(
            f"Task {spec.name!r}: {key} cannot be called: {error}. It takes nothing, or the run."
        ) from None
    except ValueError:  # a builtin that does not tell what it takes
        return


def _check_values(spec: TaskSpec) -> None:
    name = spec.name
    for key in ("on_success", "on_failed", "on_complete"):
        callback = getattr(spec, key)
        if callback is not None and not callable(callback):
            raise DeclarationTypeError(f"Task {name!r}: {key} is a function, not {shorten(callback)}.")
        if callback is not None:
            _check_callback(spec, key, callback)
    for key in ("disabled", "threaded", "fixed_delay", "run_at_start"):
        if not isinstance(getattr(spec, key), bool):
            raise DeclarationTypeError(f"Task {name!r}: {key} is True or False, not {shorten(getattr(spec, key))}.")
    if spec.misfire not in _MISFIRES:
        raise DeclarationError(f"Task {name!r}: misfire is one of {_MISFIRES}, not {shorten(spec.misfire)}.")
    for key in ("misfire_grace", "jitter"):
        value = getattr(spec, key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1e8:
            raise DeclarationError(f"Task {name!r}: {key} is a number of seconds from 0, not {shorten(value)}.")
    start = spec.start
    if start is not None and (not isinstance(start, datetime.datetime) or start.utcoffset() is None):
        raise DeclarationError(f"Task {name!r}: start is an aware datetime, not {shorten(start)}.")
    count = spec.max_runs
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise DeclarationError(f"Task {name!r}: max_runs is a whole number from 1, not {shorten(count)}.")
    _check_intervals(spec)


def _check_intervals(spec: TaskSpec) -> None:
    """What only makes sense with intervals, or within them."""
    for job in spec.schedules:
        interval = follows_elapsed_time(job) and job.at_time is None
        if spec.fixed_delay and not interval:
            raise DeclarationError(
                f"Task {spec.name!r}: fixed_delay measures from the end of a run, and needs seconds, "
                f"minutes or hours without .at(), not {shorten(job)}."
            )
        if interval and spec.jitter and spec.jitter >= period_of(job).total_seconds():
            raise DeclarationError(
                f"Task {spec.name!r}: a jitter of {spec.jitter} seconds does not fit in {shorten(job)}."
            )
    if spec.fixed_delay and len(spec.schedules) > 1:
        raise DeclarationError(f"Task {spec.name!r}: fixed_delay goes with one schedule only.")
