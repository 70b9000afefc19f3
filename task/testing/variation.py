"""Bodies that take longer, and fail, at random: as a seed says, and so again."""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from task.errors import DeclarationError, InjectedFailureError
from task.pipeline import Binding
from task.runs import Run, current_run

if TYPE_CHECKING:
    from task.testing.clock import VirtualClock

__all__ = ["Variation", "Varied"]

#: How long a body takes at least, of those that take any time. Seconds.
SHORTEST = 0.001

#: What was varied is told of so many runs, the newest.
TOLD = 1_000


class Varied(NamedTuple):
    """What was made of one attempt."""

    task: str
    attempt: int
    #: By how much its body took longer. Seconds.
    seconds: float
    failed: bool


class Variation:
    """Makes bodies take longer and fail, by a seed: `VirtualClock.vary`.

    What becomes of an attempt depends on the seed, the task, how many attempts of it there were, and on nothing else.
    """

    def __init__(self, clock: VirtualClock, seed: int, longest: float, failures: float) -> None:
        if longest < 0 or not 0 <= failures <= 1:
            raise DeclarationError(
                f"vary() takes a longest duration from 0 seconds and a share of failures from 0 to 1, not {longest} "
                f"and {failures}."
            )
        self.seed = seed
        #: What was made of which attempt, the newest 1 000.
        self.told: list[Varied] = []
        self._clock = clock
        self._longest = longest
        self._failures = failures
        self._counts: dict[str, int] = {}

    def apply(self, run: Run) -> None:
        """Vary the body of a run's task from now on."""
        binding = run.holder
        if isinstance(binding, Binding) and getattr(binding.call, "variation", None) is not self:
            binding.call = self._varied(binding.call, coroutine=binding.on_loop)

    def _varied(self, call: Callable[..., Any], *, coroutine: bool) -> Callable[..., Any]:
        body = getattr(call, "varied", call)  # of a variation before this one

        @functools.wraps(body)
        def varied(**parameters: Any) -> Any:
            seconds, failure = self._draw()
            if seconds and not self._clock.crowded:
                self._clock.sleep(seconds)
            if failure == "before":
                raise self._failed()
            result = body(**parameters)
            if failure == "after":
                raise self._failed()
            return result

        @functools.wraps(body)
        async def varied_async(**parameters: Any) -> Any:
            seconds, failure = self._draw()
            await asyncio.sleep(seconds)
            if failure == "before":
                raise self._failed()
            result = await body(**parameters)
            if failure == "after":
                raise self._failed()
            return result

        made: Any = varied_async if coroutine else varied
        made.variation, made.varied = self, body
        return made  # type: ignore[no-any-return]

    def _draw(self) -> tuple[float, str | None]:
        """By how much the body of the present run takes longer, and when it fails, if it does."""
        run = current_run()
        count = self._counts[run.task] = self._counts.get(run.task, 0) + 1
        chance = random.Random(f"{self.seed} {run.task} {count}")
        seconds = 0.0
        if self._longest and chance.random() < 0.5:
            seconds = round(min(self._longest, SHORTEST * (self._longest / SHORTEST) ** chance.random()), 6)
        failure = chance.choice(("before", "after")) if chance.random() < self._failures else None
        self.told.append(Varied(run.task, run.attempt, seconds, failure is not None))
        del self.told[:-TOLD]
        return seconds, failure

    def _failed(self) -> InjectedFailureError:
        return InjectedFailureError(f"This body fails because the variation with the seed {self.seed} says so.")
