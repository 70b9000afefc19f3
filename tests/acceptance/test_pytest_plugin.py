"""The plugin for pytest, in projects that use it."""

from __future__ import annotations

import configparser
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytest_plugins = ["pytester"]

SHOP = """
    from task import TaskManager, cron, every

    manager = TaskManager()
    sent = []

    @manager.task(every().hour, name="report", retry=0)
    def report():
        sent.append("report")

    @manager.task(cron("0 2 * * *"))
    async def nightly():
        sent.append("nightly")
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project whose module `shop` has made its manager at import; no other plugin is loaded."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(pytester.path), str(ROOT)]))
    pytester.makepyfile(shop=SHOP)
    pytester.makeini("[pytest]\naddopts = --strict-markers --import-mode=importlib\nfilterwarnings = error")
    return pytester


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Its tests, in a process of their own: virtual time is for every manager of a process, and in this one are those
    that other tests have left behind.
    """
    return project.runpytest_subprocess("-p", "task_pytest", "-p", "no:cacheprovider", *arguments)


def test_a_day_of_a_manager_that_was_made_at_import_runs_in_each_test_anew(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import shop
        from task.testing import assert_no_slot_lost, assert_ran

        def test_one_day(task_clock):
            task_clock.run(shop.manager)
            task_clock.advance(hours=24)
            assert_ran(shop.report, times=24)
            assert_ran(shop.nightly, times=1)
            assert_no_slot_lost(shop.manager)

        def test_another_day(task_clock):
            task_clock.run(shop.manager)
            task_clock.advance(hours=24)
            assert_ran(shop.report, times=24)

        def test_nothing_is_left():
            assert shop.manager.state == "stopped"
            assert shop.manager.runs() == []
    """)
    run(project).assert_outcomes(passed=3)


def test_a_marker_says_when_the_clock_starts(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import datetime
        import pytest

        @pytest.mark.task_clock("2026-05-04T12:00+02:00")
        def test_start(task_clock):
            assert str(task_clock.now()) == "2026-05-04 10:00:00+00:00"
            assert datetime.datetime.now(datetime.UTC) == task_clock.now()
    """)
    run(project).assert_outcomes(passed=1)


def test_a_claim_that_does_not_hold_shows_what_has_happened(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import shop
        from task.testing import assert_ran

        def test_report(task_clock):
            task_clock.run(shop.manager)
            task_clock.advance(hours=3)
            shop.report.disable(by="ada")
            task_clock.advance(hours=2)
            assert_ran(shop.report, times=5)
    """)
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E * AssertionError: Task 'report' was to come to succeeded 5 times, and did 3 times.",
            "E * It came to: succeeded 3, skipped 2",
            "E * slot * state * times  trigger * why",
            "E * Thu 2026-01-01 03:00:00 UTC  succeeded  1      schedule",
            "E * Thu 2026-01-01 04:00:00 UTC  skipped    2      schedule  disabled",
            "E * Its next slot is Thu 2026-01-01 06:00:00 UTC.",
            "E * Its schedules: Every 1 hour",
            "E * It is disabled.",
        ]
    )
    assert "asserts.py" not in result.stdout.str().replace("task/testing/asserts.py:", "", 1)


FRAGILE = """
    import pytest
    import shop
    from task.testing import assert_ran

    @pytest.mark.task_seeds(6, failures=0.02)
    def test_no_report_fails(task_clock):
        task_clock.run(shop.manager)
        task_clock.advance(hours=24)
        assert_ran(shop.report, times=24)
"""


def test_a_seed_that_fails_is_shown_and_makes_the_same_failure_again(project: pytest.Pytester) -> None:
    project.makepyfile(test_fragile=FRAGILE)
    first = run(project, "-rf")
    outcomes = first.parseoutcomes()
    assert (outcomes["passed"], outcomes["failed"]) == (3, 3)
    (seed, *_), text = re.findall(r"--task-seed=(\d+) 'test_fragile", first.stdout.str()), first.stdout.str()
    assert f"Bodies were varied by the seed {seed}; this comes again with: pytest --task-seed={seed}" in text
    again = run(project, f"--task-seed={seed}")
    again.assert_outcomes(failed=1)

    def told(result: pytest.RunResult) -> list[str]:
        block = result.stdout.str().partition(f"[seed-{seed}]")[2].partition("task seed")[0]
        return re.findall(r"^E .*$", block, re.MULTILINE)

    assert told(again) == told(first)


def test_seeds_want_the_clock_and_a_number(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest

        @pytest.mark.task_seeds(3)
        def test_without_clock():
            pass
    """)
    run(project).stdout.fnmatch_lines(["*test_without_clock: task_seeds is for a test that uses task_clock."])


def test_classes_of_unittest_have_virtual_time_too(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import unittest
        import pytest
        import shop
        from task.testing import assert_ran, virtual_time

        class WithThePlugin(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def clock(self, task_clock):
                self.clock = task_clock

            def test_report(self):
                self.clock.run(shop.manager)
                self.clock.advance(hours=2)
                assert_ran("report", times=2)

        class WithoutIt(unittest.TestCase):
            def setUp(self):
                self.clock = self.enterContext(virtual_time())

            def test_report(self):
                self.clock.run(shop.manager)
                self.clock.advance(hours=2)
                assert_ran("report", times=2)
    """)
    run(project).assert_outcomes(passed=2)


def test_workers_of_xdist_share_the_seeds(project: pytest.Pytester) -> None:
    project.makepyfile(test_fragile=FRAGILE)
    result = project.runpytest_subprocess("-p", "xdist", "-p", "task_pytest", "-n", "2")
    result.assert_outcomes(passed=3, failed=3)


@pytest.fixture
def installed(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """The project with what is installed of this one: its entry points."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    information = project.mkdir("installed") / "schedule_tasks-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: schedule-tasks-installed\nVersion: 1\n")
    (information / "entry_points.txt").write_text(f"[pytest11]{setup['options.entry_points']['pytest11']}\n")
    monkeypatch.setenv("PYTHONPATH", f"{information.parent}:{ROOT}")
    return project


def test_the_plugin_comes_with_the_installation_and_loads_nothing_of_ours(installed: pytest.Pytester) -> None:
    installed.makepyfile("""
        import sys

        def test_nothing_is_loaded(request):
            assert "task_pytest" in sys.modules
            assert "task" not in sys.modules
            assert request.config.getoption("task_seed") is None
    """)
    installed.runpytest_subprocess("-p", "task").assert_outcomes(passed=1)


def test_the_plugin_can_be_left_out(installed: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    installed.makepyfile("def test_clock(task_clock): pass")
    result = installed.runpytest_subprocess("-p", "no:task")
    result.stdout.fnmatch_lines(["*fixture 'task_clock' not found"])
