"""A store from what a manager is given for one."""

from __future__ import annotations

from task.errors import DeclarationError, DeclarationTypeError, MissingExtraError
from task.schedules import shorten
from task.stores.base import Store
from task.stores.memory import MemoryStore

__all__ = ["open_store"]


def open_store(store: Store | str | None, namespace: str, lost_after: float) -> Store:
    """A ledger in memory for None, in a database for its URL; a store itself is that.

    Raises `DeclarationError` or `DeclarationTypeError` for what is none of these, and `MissingExtraError`.
    """
    if not isinstance(namespace, str) or not namespace.strip() or len(namespace) > 200 or not namespace.isprintable():
        raise DeclarationError(f"namespace is a name of 1 to 200 printable characters, not {shorten(namespace)}.")
    if isinstance(lost_after, bool) or not isinstance(lost_after, (int, float)) or not 2 <= lost_after <= 86_400:
        raise DeclarationError(f"lost_after is a number of seconds from 2 to 86400, not {shorten(lost_after)}.")
    if store is None:
        return MemoryStore()
    if isinstance(store, Store):
        return store
    if not isinstance(store, str):
        raise DeclarationTypeError(
            f"store is a URL such as 'sqlite:///tasks.db', or a Store, not a {type(store).__name__}."
        )
    try:
        from task.stores.sql import SqlStore  # loaded for those who use it
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "sqlalchemy":
            raise
        raise MissingExtraError.of("sql", "A store in a database") from None
    return SqlStore(store, namespace, lost_after)
