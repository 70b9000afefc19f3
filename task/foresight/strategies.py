"""Retry strategies of tenacity as a forecast asks them: how long they wait and when they stop, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from task.retries import RetryPolicy, retry_policy

__all__ = ["without_code"]


def without_code(name: str, policy: RetryPolicy | None, seed: int) -> RetryPolicy | None:
    """A retry strategy that asks nobody whether a failure is worth another attempt: each is, as long as one is left."""
    retrying: Any = getattr(policy, "retrying", None)
    if retrying is None:
        return policy
    from tenacity import after_nothing, retry_if_exception_type

    wait = _Drawn(retrying.wait, f"{seed}|{name}|wait") if callable(retrying.wait) else retrying.wait
    always = retry_if_exception_type(Exception)
    return retry_policy(name, retrying.copy(retry=always, wait=wait, after=after_nothing, before_sleep=None))


class _Drawn:
    """A wait whose randomness comes from a seed, and leaves the generator of the program as it was."""

    def __init__(self, wait: Callable[[Any], float], seed: str) -> None:
        self._wait = wait
        self._random = random.Random(seed)

    def __call__(self, state: Any) -> float:
        before = random.getstate()
        random.seed(self._random.random())
        try:
            return self._wait(state)
        finally:
            random.setstate(before)
