"""Bad declarations get an error of ours that names the task, the value and the fix."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import schedule

from task import DeclarationError, DeclarationTypeError, ScheduleError, TaskError, TaskManager, cron, every, once, task
from task.spec import TaskSpec, accepts_run, place_of


def declare(schedule: Any = None, **options: Any) -> TaskSpec:
    def sample(region: str = "EU") -> None: ...

    return TaskSpec.declare(sample, schedule, **options)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (["every 5 minutes"], {}, DeclarationTypeError, "cron"),
        ([5], {}, DeclarationTypeError, "a Job such as"),
        ([[5]], {}, DeclarationTypeError, "is not a Job"),
        ([[]], {}, DeclarationError, "empty list"),
        ([schedule.Job(0).seconds], {}, ScheduleError, "every\\(0\\)"),
        ([schedule.Job(-5).seconds], {}, ScheduleError, "every\\(-5\\)"),
        ([every(3)], {}, ScheduleError, "no unit"),
        ([every().day.at], {}, DeclarationTypeError, "not called"),
        ([every(2).to(1).seconds], {}, ScheduleError, "range"),
        ([schedule.Job(1.5).days], {}, ScheduleError, "whole"),
        ([None], {"on_failed": 5}, DeclarationTypeError, "on_failed is a function"),
        ([None], {"parameters": {"regin": 1}}, DeclarationError, "Did you mean 'region'"),
        ([None], {"parameters": [1]}, DeclarationTypeError, "dict"),
        ([None], {"thraeded": True}, DeclarationTypeError, "Did you mean 'threaded'"),
        ([None], {"zzz": True}, DeclarationTypeError, "The options are"),
        ([None], {"threaded": "yes"}, DeclarationTypeError, "True or False"),
        ([None], {"misfire": "never"}, DeclarationError, "misfire is one of"),
        ([None], {"misfire_grace": -1}, DeclarationError, "seconds"),
        ([None], {"jitter": float("nan")}, DeclarationError, "seconds"),
        ([None], {"start": datetime.datetime(2030, 1, 1)}, DeclarationError, "aware"),
        ([None], {"max_runs": 0}, DeclarationError, "whole number"),
        ([None], {"tags": "one"}, DeclarationTypeError, "list of texts"),
        ([None], {"name": ""}, DeclarationError, "printable"),
        ([None], {"name": "a\nb"}, DeclarationError, "printable"),
        ([None], {"name": 7}, DeclarationError, "printable"),
        ([every(5).seconds], {"jitter": 5}, DeclarationError, "does not fit"),
        ([every().day.at("10:00")], {"fixed_delay": True}, DeclarationError, "fixed_delay"),
        ([[every(5).seconds, every(7).seconds]], {"fixed_delay": True}, DeclarationError, "one schedule"),
    ],
)
def test_a_bad_declaration_is_refused_with_the_fix(
    arguments: list[Any], options: dict[str, Any], error: type[TaskError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        declare(*arguments, **options)
    assert isinstance(caught.value, (ValueError, TypeError))
    assert len(str(caught.value)) <= 400
    if "name" not in options:
        assert "'sample'" in str(caught.value)


def test_a_job_that_was_done_already_is_refused() -> None:
    scheduler = schedule.Scheduler()
    with pytest.raises(DeclarationError, match=r"Leave \.do"):
        declare(scheduler.every(5).seconds.do(print))


def test_the_decorator_passes_its_options_on() -> None:
    @task([every(5).seconds, cron("0 2 * * *")], name="named", tags=["a", "b", "a"], parameters={"x": 1})
    def sample(x: int) -> None: ...

    assert (sample.spec.name, sample.spec.tags, dict(sample.spec.parameters)) == ("named", ("a", "b"), {"x": 1})
    assert len(sample.spec.schedules) == 2


def test_the_declaration_cannot_be_changed() -> None:
    spec = declare()
    with pytest.raises(AttributeError):
        spec.name = "other"  # type: ignore[misc]  # that is the point
    with pytest.raises(TypeError):
        declare(parameters={"region": "EU"}).parameters["region"] = "US"  # type: ignore[index]  # likewise


def test_a_scheduled_task_that_lacks_a_parameter_is_refused_at_registration() -> None:
    manager = TaskManager([])
    with pytest.raises(DeclarationError, match="nobody fills its parameter 'region'"):
        manager.add(lambda region: None, every(5).seconds, name="report")
    assert len(manager) == 0


def test_a_method_registered_without_its_instance_is_refused() -> None:
    class Jobs:
        @task(every(5).seconds)
        def sample(self) -> None: ...

    manager = TaskManager(Jobs)
    with pytest.raises(DeclarationError, match="register an instance"):
        manager.run()


def test_a_schedule_that_is_never_due_is_refused_when_it_is_registered() -> None:
    ended = every().hour.until(datetime.timedelta(minutes=30))
    with pytest.raises(ScheduleError, match="never due"), TaskManager([]) as manager:
        manager.add(lambda: None, ended, name="sample")


def test_a_naive_once_is_refused() -> None:
    with pytest.raises(ScheduleError, match="no time zone"):
        once(datetime.datetime(2030, 1, 1))


@pytest.mark.parametrize(
    ("callback", "accepts"),
    [(lambda: None, False), (lambda run: None, True), (lambda *args: None, True), (print, True), ([].clear, False)],
)
def test_a_callback_gets_the_run_if_it_accepts_an_argument(callback: Any, accepts: bool) -> None:
    assert accepts_run(callback) is accepts


def test_the_place_of_a_function_is_its_file_and_line() -> None:
    assert place_of(declare).endswith("test_spec.py:15")
