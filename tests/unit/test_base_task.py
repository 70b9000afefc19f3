"""Class-based tasks: an instance is a template, and what a run does to its copy stays there."""

from __future__ import annotations

import abc
import asyncio
import contextvars
import copy
import dataclasses
import datetime
import inspect
import logging
import pickle
import threading
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

import pytest

from task import (
    DeclarationError,
    DeclarationTypeError,
    NoRunError,
    ParameterError,
    Run,
    RunCancelled,
    TaskManager,
    every,
)
from task.models.base_task import BaseTask
from task.runs import set_current_run
from task.spec import TaskSpec, is_async
from task.testing import VirtualClock

#: So long is waited for what another thread does, on a machine that lets it wait. Seconds.
LIMIT = 60.0

NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)

T = TypeVar("T")


def inside(run: Run, template: BaseTask, **parameters: Any) -> Any:
    """Call *template* as an executor does for *run*."""

    def body() -> Any:
        set_current_run(run)
        return template(**parameters)

    return contextvars.Context().run(body)


def a_run(**options: Any) -> Run:
    return Run("sample", "manual", NOON, **options)


class Travelling(BaseTask):
    """Here, and not in a test: what is pickled is found by its module's name for it."""

    source: str
    marks: list[str] = dataclasses.field(default_factory=list)

    def execute(self) -> tuple[bytes, str]:
        return pickle.dumps(self), self.id


# Fields.


def test_fields_make_a_constructor_as_in_a_dataclass() -> None:
    class Backup(BaseTask):
        source: str
        target: str = "x"
        patterns: list[str] = dataclasses.field(default_factory=lambda: ["*"], repr=False)
        kept: ClassVar[int] = 7
        verbose: dataclasses.InitVar[bool] = False
        size: int = dataclasses.field(init=False, default=0)

        def __post_init__(self, verbose: bool) -> None:
            self.size = 2 if verbose else 1

        def execute(self) -> object:
            return (self.source, self.target, self.patterns, self.kept, self.size)

    assert Backup("/data", verbose=True)() == ("/data", "x", ["*"], 7, 2)
    assert Backup(source="/data", target="y")() == ("/data", "y", ["*"], 7, 1)
    assert repr(Backup("/data")).endswith("Backup(source='/data', target='x', size=1)")
    assert Backup("/data").patterns is not Backup("/data").patterns
    with pytest.raises(TypeError, match="unexpected keyword argument 'sauce'"):
        Backup(sauce="/data")  # type: ignore[call-arg]  # the mistake under test


def test_instances_with_equal_fields_are_two_tasks() -> None:
    class Backup(BaseTask):
        source: str

        def execute(self) -> None: ...

    assert Backup("/data") != Backup("/data")
    assert len({Backup("/data"), Backup("/data")}) == 2


def test_fields_are_inherited_by_way_of_abstract_classes() -> None:
    class Report(BaseTask):
        region: str

        @abc.abstractmethod
        def rows(self) -> list[str]: ...

        def execute(self) -> list[str]:
            return self.rows()

    class Sales(Report):
        year: int = 2026

        def rows(self) -> list[str]:
            return [self.region, str(self.year)]

    assert Sales("EU")() == ["EU", "2026"]
    assert Sales("EU", 2027)() == ["EU", "2027"]
    with pytest.raises(DeclarationTypeError, match=r"Report is abstract: it lacks rows"):
        Report("EU")  # type: ignore[abstract]  # the mistake under test


def test_a_generic_class_is_a_task_too() -> None:
    class Echo(BaseTask, Generic[T]):
        what: T

        def execute(self) -> T:
            return self.what

    assert Echo[int](3)() == 3
    assert Echo("x")() == "x"


@pytest.mark.parametrize(
    "options", [{}, {"frozen": True}, {"slots": True}, {"frozen": True, "slots": True}, {"kw_only": True, "eq": False}]
)
def test_a_decorator_above_the_class_has_its_way(options: dict[str, Any]) -> None:
    @dataclasses.dataclass(**options)
    class Backup(BaseTask):
        source: str
        marks: list[str] = dataclasses.field(default_factory=list)
        kept: int = dataclasses.field(default=3, repr=False)

        def execute(self) -> object:
            return (self.source, self.marks, self.id == self.run.id, self.parent_id)

    template, run = Backup(source="/data"), a_run()

    assert inside(run, template, source="/other") == ("/other", [], True, template.id)
    assert repr(template).endswith("Backup(source='/data', marks=[])")
    assert template.source == "/data"
    if options.get("frozen"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            template.source = "/other"


def test_a_subclass_finds_the_fields_of_a_base_that_was_never_used() -> None:
    class Base(BaseTask):
        marks: list[str] = dataclasses.field(default_factory=lambda: ["base"])

    @dataclasses.dataclass
    class Sub(Base):
        more: int = 1

        def execute(self) -> object:
            return (self.marks, self.more)

    assert Sub()() == (["base"], 1)
    assert Sub(["x"], 2)() == (["x"], 2)


def test_threads_that_first_use_a_class_at_once_get_one_dataclass() -> None:
    for _ in range(20):

        class Backup(BaseTask):
            marks: list[str] = dataclasses.field(default_factory=lambda: ["fresh"])

            def execute(self) -> list[str]:
                return self.marks

        gate = threading.Barrier(4)
        made: list[object] = []

        def make(cls: type[Backup] = Backup, gate: threading.Barrier = gate, made: list[Any] = made) -> None:
            gate.wait(LIMIT)
            made.append(cls()())

        threads = [threading.Thread(target=make) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        assert made == [["fresh"]] * 4


# The copy of a run.


def test_a_run_sees_its_own_copy_and_leaves_the_template_as_it_was() -> None:
    class Count(BaseTask):
        number: int = 0

        def execute(self) -> int:
            self.number += 1
            self.parameters["seen"] = self.number
            return self.number

    template = Count()
    assert [template(), template(), template(number=5), template()] == [1, 1, 6, 1]
    assert template.number == 0
    assert not hasattr(template, "seen")


def test_two_runs_at_once_in_threads_do_not_see_each_other() -> None:
    gate = threading.Barrier(2, timeout=LIMIT)

    class Work(BaseTask):
        which: str = ""

        def execute(self) -> tuple[str, str, dict[str, Any]]:
            self.note = self.which
            gate.wait()
            return self.note, self.id, self.parameters

    template, first, second = Work(), a_run(), a_run()
    seen: list[Any] = [None, None]

    def call(place: int, run: Run, which: str) -> None:
        seen[place] = inside(run, template, which=which)

    threads = [threading.Thread(target=call, args=given) for given in ((0, first, "one"), (1, second, "two"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)

    assert seen == [("one", first.id, {"which": "one"}), ("two", second.id, {"which": "two"})]


def test_two_runs_at_once_on_an_event_loop_do_not_see_each_other() -> None:
    class Work(BaseTask):
        which: str = ""

        async def execute(self) -> tuple[str, str]:
            self.note = self.which
            await self.update_progress(50, self.which)
            await asyncio.sleep(0)
            await self.check_cancelled()
            return self.note, self.run.message

    async def both() -> list[Any]:
        template = Work()
        return list(await asyncio.gather(template(which="one"), template(which="two")))

    assert asyncio.run(both()) == [("one", "one"), ("two", "two")]


def test_what_a_field_refers_to_is_shared_by_the_runs_of_a_template_only() -> None:
    class Collect(BaseTask):
        marks: list[str] = dataclasses.field(default_factory=list)

        def execute(self, mark: str) -> None:
            self.marks.append(mark)

    first, second = Collect(), Collect()
    first(mark="a")
    first(mark="b")
    second(mark="c")

    assert (first.marks, second.marks) == (["a", "b"], ["c"])


def test_the_copy_speaks_for_the_run(caplog: pytest.LogCaptureFixture) -> None:
    class Work(BaseTask):
        def execute(self) -> object:
            self.update_progress(40, "nearly")
            self.logger.warning("a line")
            return (self.run, self.id, self.parent_id, self.is_cancelled())

    template, run = Work(), a_run(parent_id="another run")
    with caplog.at_level(logging.INFO):
        answer = inside(run, template)

    assert answer == (run, run.id, template.id, False)
    assert (run.progress, run.message, run.parent_id) == (40.0, "nearly", "another run")
    assert "a line" in caplog.text


def test_a_cancelled_run_ends_where_the_body_looks() -> None:
    class Work(BaseTask):
        def execute(self) -> None:
            assert self.is_cancelled()
            self.check_cancelled()

    run = a_run()
    run.ask_to_stop()

    with pytest.raises(RunCancelled):
        inside(run, Work())


def test_each_template_has_an_id_of_its_own() -> None:
    class Work(BaseTask):
        def execute(self) -> None: ...

    first, second = Work(), Work()

    assert first.id == first.id
    assert first.id != second.id
    assert (first.id[14], first.parent_id) == ("7", None)


# Parameters.


def test_parameters_replace_fields_and_the_others_go_to_execute() -> None:
    class Greet(BaseTask):
        whom: str = "world"

        def execute(self, mark: str, *, times: int = 1) -> object:
            return (self.whom, mark, times, self.parameters)

    template = Greet("Ada")

    assert template(mark="!") == ("Ada", "!", 1, {"mark": "!"})
    assert template(mark="!", times=2, whom="Grace") == ("Grace", "!", 2, {"mark": "!", "times": 2, "whom": "Grace"})
    with pytest.raises(TypeError, match="unexpected keyword argument 'marks'"):
        template(marks="!")


def test_the_signature_of_an_instance_is_what_a_run_of_it_takes() -> None:
    class Greet(BaseTask):
        whom: str = "world"
        hidden: int = dataclasses.field(default=0, init=False)

        def execute(self, run: Run, mark: str = "!", **others: object) -> None: ...

    taken = inspect.signature(Greet("Ada"))

    assert str(taken.replace(parameters=[p.replace(annotation=p.empty) for p in taken.parameters.values()])) == (
        "(*, run, mark='!', whom='Ada', **others)"
    )
    assert [p.annotation for p in taken.parameters.values()] == [Run, str, str, object]
    assert list(inspect.signature(Greet).parameters) == ["whom"]


def test_the_signature_of_a_class_is_its_constructor_before_the_first_instance_too() -> None:
    class Greet(BaseTask):
        whom: str
        times: int = 1

        def execute(self) -> None: ...

    assert str(inspect.signature(Greet)) == "(whom: 'str', times: 'int' = 1)"


def test_an_annotation_that_only_type_checkers_know_stays_text() -> None:
    class Greet(BaseTask):
        whom: Nowhere  # type: ignore[name-defined]  # noqa: F821 - the point of the test

        def execute(self, mark: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821 - the same

    parameters = inspect.signature(Greet("Ada")).parameters

    assert [parameters[name].annotation for name in ("mark", "whom")] == ["Nowhere", "Nowhere"]


def test_execute_may_take_anything_that_is_no_field() -> None:
    class Greet(BaseTask):
        whom: str = "world"

        def execute(self, **others: object) -> object:
            return (self.whom, others)

    assert Greet()(whom="Ada", anything=1) == ("Ada", {"anything": 1})


@pytest.mark.parametrize(("parameters", "hint"), [({"whon": "Ada"}, "Did you mean 'whom'"), ({"zzz": 1}, "It takes")])
def test_a_parameter_that_nothing_takes_is_refused_at_declaration(parameters: dict[str, Any], hint: str) -> None:
    class Greet(BaseTask):
        whom: str = "world"

        def execute(self, mark: str = "!") -> None: ...

    with pytest.raises(DeclarationError, match=hint):
        TaskSpec.declare(Greet(), None, parameters=parameters)


# Direct calls, and templates.


def test_a_direct_call_outside_of_a_run_works_as_a_function_does() -> None:
    class Work(BaseTask):
        def execute(self) -> object:
            self.update_progress(10, "begun")
            self.check_cancelled()
            self.logger.info("a line")
            return (self.is_cancelled(), self.run.attempt, str(self.run.state), self.run.task, self.parent_id)

    template = Work()
    assert template() == (False, 1, "running", "Work", template.id)


def test_a_direct_call_refuses_progress_that_is_no_number() -> None:
    class Work(BaseTask):
        def execute(self) -> None:
            self.update_progress("half")  # type: ignore[arg-type]  # the mistake under test

    with pytest.raises(ParameterError, match="number from 0 to 100"):
        Work()()


def test_an_instance_that_is_called_inside_another_body_belongs_to_that_run() -> None:
    class Part(BaseTask):
        def execute(self) -> str:
            return self.id

    class Whole(BaseTask):
        def execute(self) -> str:
            part: str = Part()()
            return part

    run = a_run()
    assert inside(run, Whole()) == run.id


@pytest.mark.parametrize(
    "use",
    [
        lambda template: template.run,
        lambda template: template.parameters,
        lambda template: template.logger,
        lambda template: template.is_cancelled(),
        lambda template: template.check_cancelled(),
        lambda template: template.update_progress(1),
    ],
)
def test_a_template_is_in_no_run_and_says_how_to_be_in_one(use: Callable[[BaseTask], object]) -> None:
    class Work(BaseTask):
        def execute(self) -> None: ...

    with pytest.raises(NoRunError, match=r"Work is a template, and in no run: call it"):
        use(Work())


# Kept, copied and carried.


def test_a_template_that_is_pickled_comes_out_with_its_fields_and_its_id() -> None:
    template = Travelling("/data", ["a"])
    there = pickle.loads(pickle.dumps(template))

    assert (there.source, there.marks, there.id) == ("/data", ["a"], template.id)
    assert there()[1] != template.id


def test_the_copy_of_a_run_is_a_template_again_where_it_is_carried_to() -> None:
    template = Travelling("/data")
    there = pickle.loads(inside(a_run(), template, source="/other")[0])

    assert (there.source, there.id, there.parent_id) == ("/other", template.id, None)
    with pytest.raises(NoRunError):
        there.check_cancelled()


def test_a_deep_copy_has_lists_of_its_own() -> None:
    template = Travelling("/data", ["a"])
    other = copy.deepcopy(template)
    other.marks.append("b")

    assert template.marks == ["a"]


# At a manager.


def test_a_template_is_scheduled_triggered_and_called(manager: TaskManager, clock: VirtualClock) -> None:
    seen: list[object] = []

    class Backup(BaseTask):
        """Copy what is in the source."""

        source: str
        target: str = "x"

        def execute(self) -> str:
            seen.append((self.source, self.target, self.parameters, self.run.trigger))
            return self.source

    added = manager.add(Backup("/data"), every(30).seconds, parameters={"target": "y"}, threaded=True)
    manager.run()
    clock.advance(seconds=30)
    manager["Backup"].trigger(source="/other")
    answer = added(source="/called")

    assert added.name == "Backup"
    assert inspect.getdoc(added.spec.func) == "Copy what is in the source."
    assert answer == "/called"
    assert seen == [
        ("/data", "y", {"target": "y"}, "schedule"),
        ("/other", "y", {"target": "y", "source": "/other"}, "manual"),
        ("/called", "x", {"source": "/called"}, "call"),
    ]
    assert [str(run.state) for run in manager.runs("Backup")] == ["succeeded"] * 3


def test_a_template_with_an_async_body_runs_on_the_event_loop(manager: TaskManager, clock: VirtualClock) -> None:
    seen: list[object] = []

    class Fetch(BaseTask):
        url: str

        async def execute(self) -> None:
            await asyncio.sleep(5)
            seen.append((self.url, self.id))

    manager.add(Fetch("https://example.org"), every(30).seconds)
    manager.run()
    clock.advance(seconds=35)

    (run,) = manager.runs("Fetch")
    assert seen == [("https://example.org", run.id)]
    assert run.state == "succeeded"


def test_a_subclass_may_change_whether_its_body_is_awaited() -> None:
    class Plain(BaseTask):
        def execute(self) -> Any:
            return "plain"

    class Awaited(Plain):
        async def execute(self) -> str:
            return "awaited"

    class PlainAgain(Awaited):
        def execute(self) -> Any:
            return "plain again"

    class Inherited(Awaited): ...

    assert [is_async(template) for template in (Plain(), Awaited(), PlainAgain(), Inherited())] == [
        False,
        True,
        False,
        True,
    ]
    assert (Plain()(), asyncio.run(Awaited()()), PlainAgain()()) == ("plain", "awaited", "plain again")


def test_two_templates_of_one_class_are_two_tasks_under_two_names(manager: TaskManager) -> None:
    class Backup(BaseTask):
        source: str

        def execute(self) -> str:
            return self.source

    first = manager.add(Backup("/a"), name="first")
    second = manager.add(Backup("/b"), name="second")

    assert (first(), second()) == ("/a", "/b")


def test_a_schedule_without_a_parameter_that_execute_needs_is_refused(manager: TaskManager) -> None:
    class Greet(BaseTask):
        def execute(self, mark: str) -> None: ...

    with pytest.raises(DeclarationError, match=r"'Greet' could not be run by its schedule: .*'mark'"):
        manager.add(Greet(), every().hour)


def test_the_description_of_a_class_without_one_is_not_its_constructor() -> None:
    class Greet(BaseTask):
        whom: str = "world"

        def execute(self) -> None: ...

    assert inspect.getdoc(Greet()) is None


# Misuse.


def test_a_class_without_execute_is_refused_when_an_instance_is_made() -> None:
    class Empty(BaseTask):
        source: str = ""

    for cls in (Empty, BaseTask):
        with pytest.raises(DeclarationTypeError, match=r"is abstract: it lacks execute\. .*def execute\(self\)"):
            cls()  # type: ignore[abstract]  # the mistake under test


@pytest.mark.parametrize(
    "name", ["run", "id", "parent_id", "parameters", "logger", "update_progress", "is_cancelled", "check_cancelled"]
)
def test_a_field_whose_name_is_taken_is_refused_when_the_class_is_made(name: str) -> None:
    def execute(self: Any) -> None: ...

    for namespace in ({"__annotations__": {name: str}}, {name: "value"}):
        with pytest.raises(DeclarationTypeError, match=f"Backup has a field or attribute called '{name}'"):
            type("Backup", (BaseTask,), {"execute": execute, "__qualname__": "Backup", **namespace})


@pytest.mark.parametrize("body", [5, staticmethod(lambda: None), classmethod(lambda cls: None), lambda: None])
def test_an_execute_that_is_no_plain_method_is_refused(body: object) -> None:
    with pytest.raises(DeclarationTypeError, match=r"Backup.execute is the body, a plain method"):
        type("Backup", (BaseTask,), {"execute": body, "__qualname__": "Backup"})


def test_a_parameter_of_execute_that_is_a_field_too_is_refused() -> None:
    class Base(BaseTask):
        source: str

    with pytest.raises(DeclarationTypeError, match=r"execute takes 'source', which is a field too"):

        class Backup(Base):
            def execute(self, source: str) -> None: ...


def test_fields_that_no_dataclass_can_have_are_refused_each_time() -> None:
    class Backup(BaseTask):
        marks: list[str] = dataclasses.field(default_factory=list)
        source: str  # type: ignore[misc]  # the mistake under test: one without a default comes after one with

        def execute(self) -> None: ...

    for _ in range(2):
        with pytest.raises(DeclarationTypeError, match=r"fields of .*Backup cannot .* 'source' follows default"):
            Backup()  # type: ignore[call-arg]  # as above
