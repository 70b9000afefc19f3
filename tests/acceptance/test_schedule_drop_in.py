"""`schedule`'s own test file, on our scheduler in the place of theirs and of the default one.

The file is that of its source distribution, unchanged, with its licence beside it.
"""

from __future__ import annotations

import pathlib
from xml.etree import ElementTree

HERE = pathlib.Path(__file__).parent

#: The tests that assert a fault of `schedule` which is mended here, and the fault.
FAULTS = {
    "test_daylight_saving_time": (
        "It expects every(4).hours to come four hours later by the wall clock, also across a change: that is three "
        "hours in spring and five in autumn. An interval follows elapsed time here."
    ),
    "test_tz_daily_dst_skip_hour": (
        "It expects a daily .at() whose wall time the spring change skips an hour later by the wall clock (02:30 "
        "at 03:30). It is due at the first moment after the gap here (03:00)."
    ),
}

RUN = """
    import sys

    import pytest
    import schedule
    from task.scheduler import Scheduler

    schedule.Scheduler = Scheduler
    Scheduler.adopt(schedule.default_scheduler)
    tests, report = sys.argv[1:]
    sys.exit(pytest.main([tests, "-q", "-c", "/dev/null", "-p", "no:cacheprovider", f"--junitxml={report}"]))
"""


def test_schedules_own_tests_pass_but_for_those_that_assert_its_faults(program, tmp_path):
    report = tmp_path / "report.xml"
    child = program(RUN, str(HERE / "schedule_1_2_2" / "test_schedule.py"), str(report), PYTHONDONTWRITEBYTECODE="1")
    child.end(timeout=400)
    cases = ElementTree.parse(report).getroot().findall(".//testcase")
    failed = {case.get("name") for case in cases if case.find("failure") is not None or case.find("error") is not None}
    skipped = [case.get("name") for case in cases if case.find("skipped") is not None]
    assert failed == set(FAULTS), child
    assert (len(cases), skipped) == (81, []), child


def test_the_default_scheduler_is_replaced_for_all_who_hold_it(program):
    child = program("""
    import schedule
    held, every = schedule.default_scheduler, schedule.every
    before = every(1).hours.do(print)
    from task.scheduler import Scheduler
    ours = Scheduler.adopt(schedule.default_scheduler)
    after = every(2).hours.do(print)
    print("same", held is ours is schedule.default_scheduler, isinstance(held, Scheduler), flush=True)
    print("jobs", schedule.get_jobs() == [before, after] == list(schedule.jobs) == held.jobs, flush=True)
    print("next", schedule.next_run() == before.next_run, 3590 < schedule.idle_seconds() <= 3600, flush=True)
    schedule.cancel_job(before)
    print("left", schedule.jobs == [after], len(schedule.jobs), flush=True)
    schedule.clear()
    print("none", schedule.jobs == [], schedule.next_run(), flush=True)
    """)
    assert child.end() == 0, child
    assert child.lines == ["same True True", "jobs True", "next True True", "left True 1", "none True None"]
