"""``Placing``: which executor a task runs on, and how its body is called there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from task.errors import DeclarationError, did_you_mean
from task.executors import Executors
from task.pipeline.binding import Binding

if TYPE_CHECKING:
    import concurrent.futures

__all__ = ["Placing"]


class Placing:
    """The named pools and executors of one manager."""

    def __init__(
        self,
        pools: Mapping[str, int] | None = None,
        executors: Mapping[str, concurrent.futures.Executor] | None = None,
        max_workers: int = 32,
    ) -> None:
        self.max_workers = max_workers
        self.pools = dict(pools or {})
        self.executors = dict(executors or {})

    def prepare(self, binding: Binding) -> None:
        """At registration: check the names, and find how the body is called.

        Raises `DeclarationError` for a pool or executor that there is not, and `TransferError` for a body that cannot
        be called in another process.
        """
        policy, name = binding.spec.policy, binding.name
        if policy.pool is not None and policy.pool not in self.pools:
            hint = did_you_mean(policy.pool, self.pools, f"There are: {sorted(self.pools)}.")
            raise DeclarationError(
                f"Task {name!r}: there is no pool {policy.pool!r}. {hint} "
                f"Name it with TaskManager(pools={{{policy.pool!r}: 8}})."
            )
        executor = policy.executor
        if executor in ("serial", "threads") and binding.coroutine:
            raise DeclarationError(
                f"Task {name!r} is an async def, which runs on the event loop: leave executor={executor!r} out."
            )
        if executor in (None, "serial", "threads"):
            return
        if isinstance(executor, str) and executor != "process":
            if executor not in self.executors:
                known = ["serial", "threads", "process", *self.executors]
                hint = did_you_mean(executor, known, f"There are: {', '.join(known)}.")
                raise DeclarationError(f"Task {name!r}: there is no executor {executor!r}. {hint}")
            executor = self.executors[executor]
        from task.remote import BodyReference, body_for  # loaded for those who use it

        binding.call = body_for(executor, BodyReference.of(name, binding.body))
        binding.on_loop = False

    def place(self, binding: Binding, executors: Executors) -> None:
        """At the start of the manager: give the task its place."""
        policy = binding.spec.policy
        if policy.pool is not None:
            binding.executor = executors.pool(policy.pool, coroutine=binding.on_loop)
        elif binding.on_loop:
            binding.executor = executors.event_loop
        elif self.wants_thread(binding):
            binding.executor = executors.threads
        else:
            binding.executor = executors.serial

    @staticmethod
    def wants_thread(binding: Binding) -> bool:
        """A body elsewhere is waited for on a thread; and some bodies (a shell command) say that they want one."""
        executor = binding.spec.policy.executor
        if executor is None:
            executor = getattr(binding.body, "executor", None)
        return binding.spec.threaded or executor not in (None, "serial")
