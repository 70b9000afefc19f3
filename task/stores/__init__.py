"""The ledger: its interface, and where it can be kept."""

from task.stores.base import Store
from task.stores.history import Retention, RunPage, Standing, Statistics, Wanted, check_limit
from task.stores.memory import MemoryStore
from task.stores.opening import open_store
from task.stores.rules import lapsed
from task.stores.values import (
    Declaration,
    Finding,
    Follower,
    JournalEntry,
    Limits,
    Listener,
    RecurringRecord,
    RecurringRow,
    Summary,
    Switch,
    Terms,
)

__all__ = [
    "Declaration",
    "Finding",
    "Follower",
    "JournalEntry",
    "Limits",
    "Listener",
    "MemoryStore",
    "RecurringRecord",
    "RecurringRow",
    "Retention",
    "RunPage",
    "Standing",
    "Statistics",
    "Store",
    "Summary",
    "Switch",
    "Terms",
    "Wanted",
    "check_limit",
    "lapsed",
    "open_store",
]
