"""What a manager can be told when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from task.errors import DeclarationError, DeclarationTypeError, ManagerStateError
from task.schedules import shorten
from task.stores import Store

if TYPE_CHECKING:
    import concurrent.futures

__all__ = ["check_patience", "check_places", "check_restart"]


def check_places(
    max_workers: Any, pools: Mapping[str, Any], executors: Mapping[str, concurrent.futures.Executor]
) -> None:
    """Raise `ManagerStateError` for a size or a name that a place for bodies cannot have."""
    for name, size in {"max_workers": max_workers, **pools}.items():
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= 100_000:
            what = name if name == "max_workers" else f"the size of pool {shorten(name)}"
            raise ManagerStateError(f"{what} is a whole number from 1, not {shorten(size)}.")
    taken = {"serial", "threads", "process"} & executors.keys()
    if taken:
        raise ManagerStateError(f"executors names {sorted(taken)}, which are the manager's own. Use other names.")


def check_patience(catch_up_window: Any, on_store_failure: Any) -> None:
    """Raise `DeclarationError` for what is no span of time, or no way to go on without the store."""
    number = isinstance(catch_up_window, (int, float)) and not isinstance(catch_up_window, bool)
    if not number or not 0 <= catch_up_window <= 1e9:
        raise DeclarationError(f"catch_up_window is a number of seconds from 0, not {shorten(catch_up_window)}.")
    if on_store_failure not in ("wait", "run"):
        raise DeclarationError(f"on_store_failure is 'wait' or 'run', not {shorten(on_store_failure)}.")


def check_restart(restarts: Any, store: Store) -> None:
    """Raise `DeclarationTypeError`, or `DeclarationError` for a store that processes do not share."""
    if not isinstance(restarts, bool):
        raise DeclarationTypeError(f"restart_after_fork is True or False, not {shorten(restarts)}.")
    if restarts and not store.shared:
        raise DeclarationError(
            "restart_after_fork=True needs a store that processes share, such as store='sqlite:///tasks.db': without, "
            "each child would run every slot again."
        )
