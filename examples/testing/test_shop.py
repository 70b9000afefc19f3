"""Tests of the shop's tasks. `python -m pytest` in this folder runs them, in a second.

The plugin comes with the installation; without one it is `python -m pytest -p task_pytest`.
"""

import pytest
import shop

from task.testing import assert_no_slot_lost, assert_ran, assert_skipped


@pytest.fixture(autouse=True)
def fresh_shop(monkeypatch):
    monkeypatch.setattr(shop, "letters", [])
    monkeypatch.setattr(shop, "orders", ["tea", "cups"])
    monkeypatch.setattr(shop, "shipped", [])


@pytest.mark.task_clock("2026-05-04T00:00Z")  # a Monday
def test_a_day_in_the_shop(task_clock):
    task_clock.run(shop.manager)
    task_clock.advance(hours=24)
    assert_ran(shop.nightly_report, times=1)
    assert_ran(shop.ship, times=144)
    assert_ran(shop.remind, times=24)
    assert_no_slot_lost(shop.manager)
    assert "04 May: 2 shipped" in shop.letters


@pytest.mark.task_clock("2026-05-09T00:00Z")  # a Saturday
def test_nobody_is_reminded_at_the_weekend(task_clock):
    task_clock.run(shop.manager)
    task_clock.advance(hours=12)
    assert_skipped(shop.remind, reason="only_if", times=12)


def test_the_report_comes_once_in_the_night_that_has_its_hour_twice(task_clock):
    task_clock.autumn_night("Europe/Amsterdam", shop.manager)
    assert_ran(shop.nightly_report, times=1)


def test_the_report_comes_in_the_night_that_lacks_its_hour(task_clock):
    task_clock.spring_night("Europe/Amsterdam", shop.manager)
    assert_ran(shop.nightly_report, times=1)


def test_after_a_night_asleep_the_report_is_sent_once(task_clock):
    task_clock.run(shop.manager)
    task_clock.suspend(hours=8)
    task_clock.advance(minutes=1)
    assert_ran(shop.nightly_report, times=1)


@pytest.mark.task_seeds(10, longest=120, failures=0.3)
def test_no_order_is_shipped_twice_whatever_fails(task_clock):
    task_clock.run(shop.manager)
    task_clock.advance(hours=4)
    assert shop.shipped == ["tea", "cups"]
    assert_no_slot_lost(shop.manager)
