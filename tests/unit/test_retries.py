"""Retries: exact attempts, waits within bounds, our clock only, and no strategy that harms a run."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
import weakref
from typing import Any

import pytest
import tenacity
import tenacity.asyncio.retry
from tenacity import (
    Retrying,
    retry_any,
    retry_if_exception,
    retry_if_exception_type,
    retry_if_not_result,
    retry_if_result,
    retry_unless_exception_type,
    stop_after_attempt,
    stop_after_delay,
    stop_all,
    stop_any,
    stop_before_delay,
    wait_chain,
    wait_combine,
    wait_exception,
    wait_exponential,
    wait_exponential_jitter,
    wait_fixed,
    wait_random,
)

from task.errors import DeclarationError, DeclarationTypeError, RunTimedOut, TaskError
from task.retries import Ended, RetryPolicy, Verdict, retry_policy


def policy_of(value: Any) -> RetryPolicy:
    policy = retry_policy("report", value)
    assert policy is not None
    return policy


def ended(attempt: int = 1, seconds: float = 0.0, idle: float = 0.0, **outcome: Any) -> Ended:
    """An attempt that ended so many seconds after the first one began."""
    return Ended(attempt, started=5000.0, now=5000.0 + seconds, idle=idle, **outcome)


def failing(attempt: int = 1, seconds: float = 0.0, idle: float = 0.0) -> Ended:
    return ended(attempt, seconds, idle, error=OSError("no route"))


def waits_of(value: Any, body: float = 0.0, limit: int = 2000) -> list[float]:
    """The waits of a run whose every attempt takes *body* seconds and fails."""
    policy, seconds = policy_of(value), 0.0
    waits: list[float] = []
    for attempt in range(1, limit):
        seconds += body
        verdict = policy.judge(failing(attempt, seconds, sum(waits)))
        assert not verdict.accepted
        if verdict.wait is None:
            return waits
        waits.append(verdict.wait)
        seconds += verdict.wait
    return waits


# --- a number ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, 0])
def test_without_retries_there_is_no_policy(value: Any) -> None:
    assert retry_policy("report", value) is None


def test_three_retries_wait_one_two_and_four_seconds() -> None:
    assert waits_of(3) == [1.0, 2.0, 4.0]


def test_the_wait_doubles_up_to_one_hour() -> None:
    assert waits_of(14)[10:] == [1024.0, 2048.0, 3600.0, 3600.0]


def test_a_thousand_retries_are_a_thousand() -> None:
    assert len(waits_of(1000)) == 1000


def test_a_success_is_accepted_with_no_further_attempt() -> None:
    assert policy_of(3).judge(ended(attempt=2, result="done")) == Verdict(None, accepted=True)


def test_an_attempt_that_timed_out_is_retried() -> None:
    assert policy_of(1).judge(ended(error=RunTimedOut("too long"))) == Verdict(1.0, accepted=False)


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()])
@pytest.mark.parametrize("value", [3, Retrying(stop=stop_after_attempt(4))])
def test_only_an_exception_is_retried(value: Any, error: BaseException) -> None:
    assert policy_of(value).judge(ended(error=error)) == Verdict(None, accepted=False)


# --- what is refused --------------------------------------------------------------------------------------------


async def waits_for_ever(state: object) -> bool:
    return True


class BrokenText:
    def __repr__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("value", "error", "fix"),
    [
        (True, DeclarationTypeError, "retry=3"),
        (False, DeclarationTypeError, "retry=0"),
        (-1, DeclarationError, "from 0 to 1000, not -1. Write retry=3"),
        (1001, DeclarationError, "a tenacity Retrying without a stop goes on for ever"),
        (10**5000, DeclarationError, "retry=3"),
        (3.0, DeclarationTypeError, "Write retry=3 or retry=Retrying"),
        ("3", DeclarationTypeError, "Write retry=3 or retry=Retrying"),
        (BrokenText(), DeclarationTypeError, "whose repr"),
        ("x" * 100_000, DeclarationTypeError, "Write retry=3"),
        (Retrying, DeclarationTypeError, "Write retry=3 or retry=Retrying"),
        (tenacity.retry(stop=stop_after_attempt(3)), DeclarationTypeError, "Write retry=3 or retry=Retrying"),
        (stop_after_attempt(3), DeclarationTypeError, "Retrying(stop=...)"),
        (stop_after_attempt(3) | stop_after_delay(9), DeclarationTypeError, "Retrying(stop=...)"),
        (wait_fixed(1), DeclarationTypeError, "Retrying(wait=..., stop=stop_after_attempt(4))"),
        (retry_if_exception_type(OSError), DeclarationTypeError, "Retrying(retry=..., stop=stop_after_attempt(4))"),
        (tenacity.AsyncRetrying(), DeclarationTypeError, "Write retry=Retrying(...) with the same"),
        (Retrying(stop=3), DeclarationTypeError, "stop of its Retrying is a strategy"),  # type: ignore[arg-type]  # the mistake
        (Retrying(stop=None), DeclarationTypeError, "stop of its Retrying is a strategy"),  # type: ignore[arg-type]  # the mistake
        (Retrying(retry=waits_for_ever), DeclarationTypeError, "retry of its Retrying is async"),  # type: ignore[arg-type]  # the mistake
        (Retrying(after=waits_for_ever), DeclarationTypeError, "after of its Retrying is async"),  # type: ignore[arg-type]  # the mistake
        (
            Retrying(retry=tenacity.asyncio.retry.retry_if_result(waits_for_ever)),
            DeclarationTypeError,
            "retry of its Retrying is async",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 60 else type(value).__name__,
)
def test_a_wrong_retry_is_refused_with_the_task_and_the_fix(value: Any, error: type[TaskError], fix: str) -> None:
    with pytest.raises(TaskError) as caught:
        retry_policy("report", value)
    assert type(caught.value) is error
    assert str(caught.value).startswith("Task 'report': ")
    assert fix in str(caught.value)
    assert len(str(caught.value)) <= 300


# --- tenacity's strategies --------------------------------------------------------------------------------------


def test_a_strategy_without_a_stop_goes_on_for_ever() -> None:
    assert waits_of(Retrying(), limit=1500) == [0.0] * 1499


def test_stop_after_attempt_counts_the_first_attempt_too() -> None:
    assert waits_of(Retrying(stop=stop_after_attempt(3), wait=wait_fixed(2))) == [2.0, 2.0]


def test_stop_after_delay_is_asked_with_the_managers_clock() -> None:
    strategy = Retrying(stop=stop_after_delay(25), wait=wait_fixed(5))
    # Attempts end 5, 15 and 25 seconds after the first one began.
    assert waits_of(strategy, body=5) == [5.0, 5.0]


def test_stop_before_delay_counts_the_coming_wait() -> None:
    strategy = Retrying(stop=stop_before_delay(25), wait=wait_fixed(10))
    # Attempts end after 5 and 20 seconds; another wait would go past 25.
    assert waits_of(strategy, body=5) == [10.0]


def test_stops_are_combined() -> None:
    either = Retrying(stop=stop_any(stop_after_attempt(2), stop_after_delay(100)), wait=wait_fixed(1))
    both = Retrying(stop=stop_all(stop_after_attempt(2), stop_after_delay(3)), wait=wait_fixed(1))
    assert waits_of(either) == [1.0]
    assert waits_of(both) == [1.0, 1.0, 1.0]


def test_waits_grow_with_the_attempts() -> None:
    strategy = Retrying(stop=stop_after_attempt(6), wait=wait_exponential(multiplier=3, max=20))
    assert waits_of(strategy) == [3.0, 6.0, 12.0, 20.0, 20.0]


def test_waits_are_chained_and_combined() -> None:
    chain = Retrying(stop=stop_after_attempt(5), wait=wait_chain(wait_fixed(1), wait_fixed(7)))
    combined = Retrying(stop=stop_after_attempt(2), wait=wait_combine(wait_fixed(1), wait_fixed(7)))
    assert waits_of(chain) == [1.0, 7.0, 7.0, 7.0]
    assert waits_of(combined) == [8.0]


def test_jitter_stays_within_its_bounds() -> None:
    jitter = waits_of(Retrying(stop=stop_after_attempt(500), wait=wait_exponential_jitter(max=40, jitter=3)))
    drawn = waits_of(Retrying(stop=stop_after_attempt(500), wait=wait_random(2, 9)))
    assert len(jitter) == len(drawn) == 499
    assert 1 <= jitter[0] <= 4
    assert 8 <= jitter[3] <= 11
    assert max(jitter) == 40
    assert all(2 <= wait <= 9 for wait in drawn)
    assert len(set(drawn)) > 400


def test_a_wait_may_come_from_the_exception() -> None:
    policy = policy_of(Retrying(wait=wait_exception(lambda error: float(str(error)))))
    assert policy.judge(ended(error=ValueError("42.5"))) == Verdict(42.5, accepted=False)


def test_only_the_named_exceptions_are_retried() -> None:
    policy = policy_of(Retrying(retry=retry_if_exception_type(OSError)))
    assert policy.judge(ended(error=ConnectionError())) == Verdict(0.0, accepted=False)
    assert policy.judge(ended(error=ValueError())) == Verdict(None, accepted=False)


def test_a_strategy_may_retry_what_is_no_exception() -> None:
    policy = policy_of(Retrying(retry=retry_if_exception_type(SystemExit)))
    assert policy.judge(ended(error=SystemExit(1))) == Verdict(0.0, accepted=False)


def test_a_result_may_ask_for_another_attempt_until_none_is_left() -> None:
    strategy = Retrying(stop=stop_after_attempt(2), wait=wait_fixed(3), retry=retry_if_result(lambda pages: pages == 0))
    policy = policy_of(strategy)
    assert policy.judge(ended(attempt=1, result=0)) == Verdict(3.0, accepted=False)
    assert policy.judge(ended(attempt=2, result=0)) == Verdict(None, accepted=False)
    assert policy.judge(ended(attempt=2, result=4)) == Verdict(None, accepted=True)


def test_retry_conditions_are_combined() -> None:
    policy = policy_of(Retrying(retry=retry_any(retry_if_not_result(bool), retry_if_exception_type(OSError))))
    assert policy.judge(ended(result=0)) == Verdict(0.0, accepted=False)
    assert policy.judge(ended(result=1)) == Verdict(None, accepted=True)
    assert policy.judge(failing()) == Verdict(0.0, accepted=False)
    assert policy.judge(ended(error=ValueError())) == Verdict(None, accepted=False)


def test_retry_unless_goes_on_until_that_exception() -> None:
    policy = policy_of(Retrying(retry=retry_unless_exception_type(StopIteration)))
    assert policy.judge(ended(result="anything")) == Verdict(0.0, accepted=False)
    assert policy.judge(ended(error=StopIteration())) == Verdict(None, accepted=False)


def test_try_again_is_always_retried_within_the_stop() -> None:
    policy = policy_of(Retrying(stop=stop_after_attempt(2), retry=retry_if_exception_type(OSError)))
    assert policy.judge(ended(attempt=1, error=tenacity.TryAgain())) == Verdict(0.0, accepted=False)
    assert policy.judge(ended(attempt=2, error=tenacity.TryAgain())) == Verdict(None, accepted=False)


def test_a_strategy_that_is_not_enabled_asks_for_nothing() -> None:
    strategy = Retrying()
    strategy.enabled = False
    assert policy_of(strategy).judge(failing()) == Verdict(None, accepted=False)
    assert policy_of(strategy).judge(ended(result=1)) == Verdict(None, accepted=True)


def test_no_wait_may_be_given_as_none() -> None:
    strategy = Retrying()
    strategy.wait = None  # type: ignore[assignment]  # older versions of tenacity keep what they were given
    assert policy_of(strategy).judge(failing()) == Verdict(0.0, accepted=False)


def test_a_wait_that_no_calendar_has_is_cut_to_a_year() -> None:
    assert policy_of(Retrying(wait=wait_fixed(1e300))).judge(failing()) == Verdict(31_622_400.0, accepted=False)


def test_nothing_sleeps_and_the_machines_clock_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = Retrying(stop=stop_after_delay(10), wait=wait_exponential_jitter(), sleep=lambda _: pytest.fail("slept"))
    policy = policy_of(strategy)
    with monkeypatch.context() as patch:
        for name in ("time", "monotonic", "sleep"):
            patch.setattr(time, name, lambda *_: 1 / 0)
        verdicts = [policy.judge(failing(1, 9.0)), policy.judge(failing(2, 10.0))]
    assert verdicts[0].wait is not None
    assert verdicts[1].wait is None


def test_one_strategy_serves_several_runs_at_once() -> None:
    policy = policy_of(Retrying(stop=stop_after_attempt(3), wait=wait_exponential()))
    assert policy.judge(failing(1)).wait == 1
    assert policy.judge(failing(2)).wait == 2
    assert policy.judge(failing(1)).wait == 1
    assert policy.judge(failing(3)).wait is None


# --- its callbacks ----------------------------------------------------------------------------------------------


def test_callbacks_are_told_of_our_times_and_of_the_coming_wait() -> None:
    told: list[Any] = []

    def after(state: Any) -> None:
        told.append(("after", state.attempt_number, state.seconds_since_start, state.idle_for))

    def before_sleep(state: Any) -> None:
        told.append(("before_sleep", state.next_action.sleep, state.upcoming_sleep, state.idle_for))

    strategy = Retrying(stop=stop_after_attempt(3), wait=wait_fixed(8), after=after, before_sleep=before_sleep)
    policy_of(strategy).judge(failing(2, seconds=30, idle=8))
    policy_of(strategy).judge(failing(3, seconds=60, idle=16))
    policy_of(strategy).judge(ended(attempt=3, result="done"))
    assert told == [("after", 2, 30.0, 8), ("before_sleep", 8.0, 8.0, 16.0), ("after", 3, 60.0, 16)]


def test_tenacitys_own_log_lines_name_the_task(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("application")
    strategy = Retrying(
        wait=wait_fixed(2),
        after=tenacity.after_log(log, logging.WARNING),
        before_sleep=tenacity.before_sleep_log(log, logging.WARNING),
    )
    policy_of(strategy).judge(failing(seconds=1.5))
    assert "Finished call to 'report' after 1.5" in caplog.text
    assert "Retrying report in 2" in caplog.text


@pytest.mark.parametrize("key", ["after", "before_sleep"])
@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(3)])
def test_a_failing_callback_is_logged_and_changes_nothing(
    key: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(state: object) -> None:
        raise error

    strategy = Retrying(wait=wait_fixed(2), **{key: fails})  # type: ignore[arg-type]  # the key is one of the two
    assert policy_of(strategy).judge(failing()) == Verdict(2.0, accepted=False)
    assert f"Task 'report': {key} of its retry strategy failed; nothing else is affected: {error!r}" in caplog.text
    assert ", in fails" in caplog.text


# --- strategies that fail ---------------------------------------------------------------------------------------


def breaks(state: object) -> Any:
    raise ValueError("broken")


@pytest.mark.parametrize("part", ["stop", "wait", "retry"])
def test_a_strategy_that_raises_ends_the_attempts_and_is_logged(part: str, caplog: pytest.LogCaptureFixture) -> None:
    policy = policy_of(Retrying(**{part: breaks}))  # type: ignore[arg-type]  # the part is one of the three
    assert policy.judge(failing()) == Verdict(None, accepted=False)
    assert "Task 'report': its retry strategy failed, so there is no further attempt: ValueError" in caplog.text
    assert ", in breaks" in caplog.text


@pytest.mark.parametrize(
    "wait", [float("nan"), float("inf"), -0.5, 10**400, None, "3", True, 2j, "x" * 100_000], ids=lambda wait: "wait"
)
def test_a_wait_that_is_no_finite_number_from_0_ends_the_attempts(wait: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert policy_of(Retrying(wait=lambda state: wait)).judge(failing()) == Verdict(None, accepted=False)
    assert "Task 'report': its retry strategy failed" in caplog.text
    assert len(caplog.text) < 3000


def test_a_result_stands_when_its_strategy_could_not_be_asked() -> None:
    assert policy_of(Retrying(retry=breaks)).judge(ended(result=1)) == Verdict(None, accepted=True)


def test_a_result_that_was_refused_does_not_stand_when_the_wait_fails() -> None:
    policy = policy_of(Retrying(retry=retry_if_result(lambda pages: pages == 0), wait=breaks))
    assert policy.judge(ended(result=0)) == Verdict(None, accepted=False)


def test_a_predicate_that_is_async_does_not_count_as_yes(caplog: pytest.LogCaptureFixture) -> None:
    policy = policy_of(Retrying(retry=retry_if_exception(waits_for_ever)))  # type: ignore[arg-type]  # the mistake
    assert policy.judge(failing()) == Verdict(None, accepted=False)
    assert "calls an async def. Make it a def." in caplog.text


# --- what is kept -----------------------------------------------------------------------------------------------


class Big:
    """Something in a frame of a body."""


def fail_with_a_big_local() -> tuple[BaseException, weakref.ref[Big]]:
    big = Big()
    try:
        raise OSError("no route")
    except OSError as error:
        return error, weakref.ref(big)


def asks_for_the_result(state: Any) -> bool:
    return bool(state.outcome.result())


@pytest.mark.parametrize("part", ["stop", "wait", "retry", "after", "before_sleep"])
def test_no_frame_of_the_body_is_kept(part: str) -> None:
    kept = []

    def keeps_and_raises(state: Any) -> bool:
        kept.append(state)
        return asks_for_the_result(state)

    policy = policy_of(Retrying(**{part: keeps_and_raises}))  # type: ignore[arg-type]  # the part is one of the five
    error, big = fail_with_a_big_local()
    frames = error.__traceback__
    policy.judge(ended(error=error))
    assert error.__traceback__ is frames
    del error, frames
    assert kept
    assert big() is None


# --- the extra --------------------------------------------------------------------------------------------------


def test_a_number_never_loads_tenacity() -> None:
    program = """
import sys
from task.errors import DeclarationTypeError
from task.retries import retry_policy
retry_policy("report", 3)
try:
    retry_policy("report", object())
except DeclarationTypeError:
    assert "tenacity" not in sys.modules
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_module_of_the_users_called_tenacity_is_not_mistaken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tenacity", sys)
    with pytest.raises(DeclarationTypeError, match="Write retry=3"):
        retry_policy("report", object())
