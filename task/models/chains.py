"""Chains: which tasks start when others have ended, and that none comes after itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from task.errors import DeclarationError, did_you_mean
from task.models.function import TaskFunction
from task.pipeline import Binding
from task.runs import ParentResults, Run, RunState
from task.stores import Follower

__all__ = ["Chains"]

AnyTask = TaskFunction[..., Any]

_FAILURES = frozenset({RunState.FAILED, RunState.TIMED_OUT})
_STATES = {
    "succeeded": frozenset({RunState.SUCCEEDED}),
    "failed": _FAILURES,
    "always": _FAILURES | {RunState.SUCCEEDED, RunState.CANCELLED, RunState.LOST},
}


class Chains:
    """The ties between the tasks of one manager, kept as they come and go."""

    def __init__(self, tasks: Mapping[str, AnyTask], elsewhere: Collection[str] = ()) -> None:
        self._tasks = tasks
        #: Tasks that other processes run.
        self._elsewhere = elsewhere
        #: Those that come after others.
        self._chained: dict[str, AnyTask] = {}

    def check_circle(self, found: AnyTask) -> None:
        """Raise `DeclarationError` when *found* would come after itself."""
        after = {name: task.spec.policy.after for name, task in self._chained.items()}
        after[found.name] = found.spec.policy.after
        trail = _circle(found.name, after)
        if trail:
            raise DeclarationError(
                f"Task {found.name!r} would come after itself: {' after '.join(map(repr, trail))}. Take one out."
            )

    def check_parents(self, found: AnyTask) -> None:
        """Raise `DeclarationError` when *found* comes after a task that there is not."""
        for name in found.spec.policy.after:
            if name not in self._tasks and name not in self._elsewhere:
                hint = did_you_mean(name, self._tasks, f"There are: {sorted(self._tasks)[:10]}.")
                raise DeclarationError(f"Task {found.name!r} comes after {name!r}, which there is not. {hint}")

    def added(self, found: AnyTask) -> None:
        """Tie a task that was registered to those before and after it."""
        if found.spec.policy.after:
            self._chained[found.name] = found
        for name in (found.name, *found.spec.policy.after) if self._chained else ():
            self._tie(name)

    def removed(self, found: AnyTask) -> None:
        """Untie a task that was taken out."""
        if self._chained.pop(found.name, None) is not None:
            for name in found.spec.policy.after:
                self._tie(name)

    def set_apart(self) -> Callable[[], None]:
        """Know of no ties for a while; what is returned puts them back."""
        before, self._chained = self._chained, {}

        def put_back() -> None:
            self._chained = before

        return put_back

    def _tie(self, name: str) -> None:
        parent = self._tasks.get(name)
        if parent is not None:
            children = [child for child in self._chained.values() if name in child.spec.policy.after]
            parent.binding.followers = tuple(_follower(child.binding) for child in children)


def _follower(binding: Binding) -> Follower:
    policy, declared = binding.spec.policy, binding.spec.parameters

    def follow(parent: Run, results: ParentResults) -> Run:
        now = parent.finished_at or parent.queued_at
        run = binding.new_run("chain", now, parameters=declared, parent_id=parent.id)
        run.inputs = results
        if parent.trace is not None:
            parent.trace.follow(run)
        return run

    return Follower(binding.name, policy.after, _STATES[policy.when], binding.limits, follow)


def _circle(start: str, after: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The way from *start* back to itself, or nothing."""
    ways = [[start]]
    seen = set()
    while ways:
        way = ways.pop()
        for name in after.get(way[-1], ()):
            if name == start:
                return [*way, name]
            if name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []
