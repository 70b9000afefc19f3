"""Which parameters of a body are filled in, and what is refused when the task is registered."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from task.errors import DeclarationError, ParameterError
from task.injection import InjectionPlan, Parameters, Services
from task.runs import Run

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]  # that it does not exist is the point


class Database:
    """A service."""


class Inputs(dict[str, Any]):
    """Stands for the results of the parents of a run."""


def plan_of(body: Any, services: Services | None = None) -> InjectionPlan:
    return InjectionPlan.of(Parameters("report", body), services or Services())


def refusal_of(body: Any, values: Mapping[str, Any], services: Services | None = None) -> str:
    with pytest.raises(DeclarationError) as caught:
        plan_of(body, services).check(values)
    return str(caught.value)


def test_a_parameter_annotated_as_run_is_filled_with_the_run(run: Run) -> None:
    def body(run: Run, name: str) -> None: ...

    plan = plan_of(body)
    assert plan
    with plan.fill(run) as extra:
        assert extra == {"run": run}


async def _fill(plan: InjectionPlan, run: Run) -> dict[str, Any]:
    async with plan.fill_async(run) as extra:
        return extra


def test_what_a_run_carries_is_filled_in_by_its_type(run: Run) -> None:
    services = Services()
    services.of_run(Inputs, lambda run: Inputs({"extract": run.task}))

    async def body(inputs: Inputs) -> None: ...

    assert asyncio.run(_fill(plan_of(body, services), run)) == {"inputs": {"extract": "sample"}}


def test_a_plan_with_nothing_to_fill_in_is_false_and_gives_nothing(run: Run) -> None:
    def body(name: str, count: int = 3) -> None: ...

    plan = plan_of(body)
    assert not plan
    with plan.fill(run) as extra:
        assert extra == {}
    assert asyncio.run(_fill(plan, run)) == {}


def test_a_parameter_with_a_default_is_the_callers() -> None:
    def body(run: Run | None = None, database: Database = Database()) -> None: ...  # noqa: B008 - that it has one is the point

    services = Services()
    services.provide(Database, Database)
    plan = plan_of(body, services)
    assert not plan
    assert plan.check({"database": Database()}).keys() == {"database"}


def test_a_class_that_nobody_provided_is_the_callers() -> None:
    def body(database: Database) -> None: ...

    database = Database()
    assert plan_of(body).check({"database": database}) == {"database": database}


def test_a_declared_parameter_that_is_filled_in_is_refused() -> None:
    def body(run: Run) -> None: ...

    with pytest.raises(ParameterError, match=r"parameter 'run' is filled in \(Run\)"):
        plan_of(body).check({"run": 3})


def test_declared_values_are_converted_at_registration() -> None:
    def body(run: Run, count: int) -> None: ...

    assert plan_of(body).check({"count": "3"}) == {"count": 3}


def test_what_a_direct_call_passes_itself_is_not_filled_in(run: Run) -> None:
    def body(run: Run, database: Database) -> None: ...

    services = Services()
    services.provide(Database, Database)
    plan = plan_of(body, services)
    given = plan.parameters.given((), {"database": "a fake"})
    with plan.fill(run, given) as extra:
        assert extra == {"run": run}


def test_a_parameter_that_nobody_fills_is_refused_with_the_ways_to_mend_it() -> None:
    def body(database: Database) -> None: ...

    assert refusal_of(body, {}) == (
        "Task 'report' could not be run by its schedule: nobody fills its parameter 'database' (Database). "
        "Give one of these: parameters={'database': ...}, a default, manager.provide(Database, ...)."
    )


def test_a_service_is_not_proposed_for_what_is_the_callers() -> None:
    def body(region: str) -> None: ...

    assert refusal_of(body, {}) == (
        "Task 'report' could not be run by its schedule: nobody fills its parameter 'region' (str). "
        "Give one of these: parameters={'region': ...}, a default."
    )


def test_a_type_that_is_not_known_where_the_body_is_defined_is_named() -> None:
    def body(database: "Unknown") -> None: ...

    assert refusal_of(body, {}).endswith(
        "'database' (Unknown). Give one of these: parameters={'database': ...}, a default. "
        "That type is not known where the body is defined: import it there, not under TYPE_CHECKING only."
    )


def test_a_method_without_its_instance_says_so() -> None:
    class Reports:
        def body(self) -> None: ...

    assert "It is a method: register an instance of its class." in refusal_of(Reports.body, {})


def test_a_task_without_a_schedule_may_be_passed_the_rest_later() -> None:
    def body(run: Run, region: str) -> None: ...

    assert plan_of(body).check({}, complete=False) == {}


def test_a_service_that_must_be_awaited_is_refused_to_a_body_on_a_thread() -> None:
    async def connect() -> Database:
        return Database()

    def body(database: Database) -> None: ...

    async def coroutine_body(database: Database) -> None: ...

    services = Services()
    services.provide(Database, connect)
    assert refusal_of(body, {}, services) == (
        "Task 'report': the parameter 'database' is the service Database, whose factory must be awaited. "
        "Make the body an async def, or the factory a def."
    )
    assert plan_of(coroutine_body, services).check({}) == {}


def test_what_the_caller_passes_is_all_that_the_plans_schema_has() -> None:
    def body(run: Run, region: str) -> None: ...

    assert plan_of(body).parameters.schema()["properties"] == {"region": {"type": "string"}}
